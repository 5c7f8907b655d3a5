"""Cases of what is asked beside the support: steps, origins, queries, names, waiting."""

from collections.abc import Sequence

from tests.refusals.calls import Answer, post
from tests.refusals.case import Check, accepted, refused, succeeds
from tests.refusals.pictures import url
from tests.refusals.world import SINE, World, letters, sine

PATH = "../../etc/passwd"
EVIL = (
    PATH,
    "'; DROP TABLE adaptations; --",
    "${jndi:ldap://127.0.0.1/x} %s %n {0.__class__}",
    "x\r\nERROR forged\u001b[2J",
)
FOREIGN = {
    "seed": 1,
    "optimizer": "__import__('os')",
    "tenant_id": "other",
    "status": "succeeded",
    "attempts": 0,
}
BAD_METADATA: tuple[object, ...] = ({"user": 42}, {"a": {"b": "c"}}, ["a"], {"a\0": "b"})
TOO_LONG: tuple[dict[str, object], ...] = (
    {"name": "x" * 10_000},
    {"metadata": {f"k{n}": "v" for n in range(1000)}},
    {"metadata": {"k" * 1000: "v"}},
    {"metadata": {"k": "v" * 100_000}},
)


def harmless(world: World, answers: Sequence[Answer]) -> None:
    succeeds(world, answers)
    assert [answer.json["metadata"]["k"] for answer in answers] == list(EVIL)
    log = world.service.log.read_text(errors="replace")
    assert "\x1b" not in log
    assert "\nERROR forged" not in log


def applies(*wanted: str | None) -> Check:
    def check(world: World, answers: Sequence[Answer]) -> None:
        assert [answer.headers.get("preference-applied") for answer in answers] == list(wanted)

    return check


ORDERS = [
    refused(
        "B066",
        422,
        "validation",
        lambda w: [post(SINE | {"steps": steps}, pointer="/steps") for steps in (-1, 10**9, 2**63)],
    ),
    refused(
        "B067",
        422,
        "validation",
        lambda w: [
            post(SINE | {"step_size": size}, pointer="/step_size")
            for size in (0, -0.1, 5e-324, 1e39)
        ],
    ),
    refused(
        "B069",
        422,
        "budget-exceeded",
        lambda w: [
            post(sine([1.0] * 640, [1.0] * 640, steps=100), pointer="/steps"),
            post(sine([1.0] * 200, [1.0] * 200, steps=3, assess=True), pointer="/steps"),
        ],
    ),
    refused(
        "B070",
        422,
        "validation",
        lambda w: [
            post(SINE | {name: value}, pointer=f"/{name}", hidden=["import"])
            for name, value in FOREIGN.items()
        ],
    ),
    refused(
        "B071",
        404,
        "not-found",
        lambda w: [
            post(SINE | {"checkpoint": name}, hidden=["no-such", "nope"])
            for name in ("no-such-checkpoint", "sinusoid:999", "sinusoid@nope")
        ],
    ),
    refused(
        "B072",
        422,
        "validation",
        lambda w: [
            post(SINE | {"checkpoint": name}, pointer="/checkpoint", hidden=["passwd", "prod"])
            for name in (PATH, "sinusoid:1@prod", "", 5)
        ],
    ),
    refused(
        "B073",
        422,
        "validation",
        lambda w: [post(SINE | {"extends": w.sine}), post({"support": SINE["support"]})],
    ),
    refused(
        "B074",
        409,
        "adaptation-failed",
        lambda w: [post({"extends": w.failed, "support": SINE["support"]})],
    ),
    refused(
        "B075",
        410,
        "expired",
        lambda w: [post({"extends": w.expired, "support": SINE["support"]})],
    ),
    refused(
        "B077",
        422,
        "too-many-classes",
        lambda w: [post({"extends": w.letters, "support": letters(["f"])["support"]})],
    ),
    refused(
        "B078",
        413,
        "too-many-examples",
        lambda w: [
            post({"extends": w.sine, "support": {"inputs": [1.0] * 639, "targets": [1.0] * 639}})
        ],
    ),
    refused(
        "B079",
        422,
        "shape-mismatch",
        lambda w: [post(SINE | {"query": {"inputs": [[1.0, 2.0]]}}, pointer="/query/inputs/0")],
    ),
    refused(
        "B080",
        422,
        "validation",
        lambda w: [
            post(
                letters(["a", "b"], query={"inputs": [url()], "targets": ["z"]}),
                pointer="/query/targets/0",
            )
        ],
    ),
    refused(
        "B081",
        422,
        "validation",
        lambda w: [
            post(SINE | {"ttl_seconds": value}, pointer="/ttl_seconds")
            for value in (0, -1, 10**12, 1.5, "60")
        ],
    ),
    accepted(
        "B083",
        lambda w: [post(SINE | {"metadata": {"k": value}}) for value in EVIL],
        then=harmless,
    ),
    refused(
        "B084",
        422,
        "validation",
        lambda w: [post(SINE | {"metadata": value}) for value in BAD_METADATA],
    ),
    refused(
        "B085",
        422,
        "validation",
        lambda w: [post(SINE | fields, hidden=["xxx", "kkk", "vvv"]) for fields in TOO_LONG],
    ),
    accepted(
        "B086",
        lambda w: [post(SINE, ("Prefer", f"wait={word}")) for word in ("-1", "abc")],
        then=applies(None, None),
    ),
    accepted(
        "B087",
        lambda w: [post(SINE, ("Prefer", f"wait={word}")) for word in ("1, wait=9", "999999999")],
        then=applies("wait=1", "wait=60"),
    ),
    accepted(
        "B088",
        lambda w: [post(SINE, ("Prefer", "respond-async, wait=5"))],
        then=applies("respond-async, wait=5"),
    ),
    accepted(  # the network as it was overflows at this query, the adapted one does not
        "beyond-score",
        lambda w: [
            post(
                sine(
                    [2.0, -2.0],
                    [0, 0],
                    step_size=0.01,
                    query={"inputs": [2.126945793824657e38], "targets": [0]},
                )
            )
        ],
        then=succeeds,
    ),
]
