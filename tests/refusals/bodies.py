"""Cases of bodies: their size, time, type and place."""

import gzip
import json
import pickle
import time
from collections.abc import Iterator

from tests.refusals.calls import (
    JSON_BODY,
    Call,
    get,
    post,
    repeated,
)
from tests.refusals.case import (
    accepted,
    allows,
    closes,
    in_little_memory,
    refused,
    succeeds,
)
from tests.refusals.world import SINE

LIMIT = 16 * 2**20
VALID = json.dumps(SINE).encode()
CHUNKED = ("Transfer-Encoding", "chunked")


def declared(length: int, *headers: tuple[str, str]) -> Call:
    """A head that announces a body, and no body."""
    kind = [] if headers else [JSON_BODY]
    return Call(headers=[*kind, *headers, ("Content-Length", str(length))], chunks=lambda: ())


def dripping() -> Iterator[bytes]:
    for byte in VALID:
        yield bytes([byte])
        time.sleep(0.1)


BODIES = [
    refused("B001", 413, "payload-too-large", lambda w: [declared(2**31)], then=closes),
    refused(
        "B002",
        413,
        "payload-too-large",
        in_little_memory(
            lambda w: [Call(headers=[JSON_BODY, CHUNKED], chunks=repeated(bytes(65536), 32768))]
        ),
        then=closes,
    ),
    refused("B003", 413, "payload-too-large", lambda w: [post(VALID.ljust(LIMIT + 1))]),
    accepted("B003-limit", lambda w: [post(VALID.ljust(LIMIT))], then=succeeds),
    refused(
        "B005",
        415,
        "unsupported-media-type",
        lambda w: [
            post(gzip.compress(VALID), ("Content-Encoding", "gzip")),
            post(gzip.compress(bytes(10_000_000)), ("Content-Encoding", "gzip")),
        ],
    ),
    refused(
        "B006",
        415,
        "unsupported-media-type",
        lambda w: [
            post(VALID, ("Content-Type", "text/plain")),
            Call(body=VALID),
            post(pickle.dumps(SINE), ("Content-Type", "application/x-python-pickle")),
        ],
    ),
    refused(
        "B007",
        415,
        "unsupported-media-type",
        lambda w: [
            post(
                VALID.decode().encode("utf-16"),
                ("Content-Type", "application/json; charset=utf-16"),
            )
        ],
    ),
    refused(
        "B008",
        405,
        "method-not-allowed",
        lambda w: [Call(method="BREW", headers=[JSON_BODY], body=VALID)],
        then=allows("POST"),
    ),
    refused(
        "B009",
        405,
        "method-not-allowed",
        lambda w: [Call(method="DELETE"), Call(method="GET"), Call(method="PATCH")],
        then=allows("POST"),
    ),
    refused("B010", 404, "not-found", lambda w: [post(SINE, path="/v1/adapt")]),
    refused("B011", 404, "not-found", lambda w: [post(SINE, path="/adapt/")]),
    refused(
        "B012",
        404,
        "not-found",
        lambda w: [
            get(f"/adaptations/{name}", hidden=["passwd"])
            for name in ("%ff", "ad_%00", "..%2f..%2fetc%2fpasswd")
        ],
    ),
    refused("B013", 422, "validation", lambda w: [post(SINE, path="/adapt?debug=true")]),
]
