"""Cases of webhooks that must not be called; what names lead to is in ``tests/webhooks``."""

from collections.abc import Sequence

from tests.refusals.calls import Call, post
from tests.refusals.case import refused
from tests.refusals.world import SINE

LOOPBACK = (
    "http://127.0.0.1:8000/",
    "http://127.1/",
    "http://0x7f000001/",
    "http://2130706433/",
    "http://[::1]/",
    "http://localhost./",
    "http://0.0.0.0/",
)
PRIVATE = (
    "http://169.254.169.254/latest/meta-data/",
    "http://192.168.1.1/",
    "http://[::ffff:10.0.0.1]/",
    "http://[fd00::1]/",
    "http://100.64.0.1/",
)
OTHERS = (
    "file:///etc/passwd",
    "gopher://example.com/",
    "https://user:pass@example.com/",
    "https://example.com:6379/",
)
NONE: tuple[object, ...] = ("not a url", 5, "https://example.com/\r\nX-Evil: 1")


def told(urls: Sequence[object], hidden: Sequence[str]) -> list[Call]:
    return [post(SINE | {"webhook": url}, pointer="/webhook", hidden=hidden) for url in urls]


def over_tls(urls: Sequence[str]) -> list[str]:
    """The same where not even the missing TLS is a reason."""
    return [url.replace("http://", "https://").replace(":8000", "") for url in urls]


WEBHOOKS = [
    refused(
        "B189",
        422,
        "forbidden-url",
        lambda w: told([*LOOPBACK, *over_tls(LOOPBACK)], ["127", "localhost", "7f0"]),
    ),
    refused(
        "B190",
        422,
        "forbidden-url",
        lambda w: told([*PRIVATE, *over_tls(PRIVATE)], ["169", "192", "meta-data"]),
    ),
    refused("B192", 422, "forbidden-url", lambda w: told(OTHERS, ["passwd", "user:", "6379"])),
    refused("B193", 422, "validation", lambda w: told(NONE, ["not a", "Evil"])),
]
