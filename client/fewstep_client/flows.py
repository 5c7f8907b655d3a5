"""What the clients do, without doing it: each operation is a generator that says what to send and
how long to pause, and is handed the answers. ``Client`` and ``AsyncClient`` only drive them.

A request that makes something has an Idempotency-Key from the first try on, so that trying again is
safe; what does not answer, is busy or unavailable is tried again within a budget.
"""

import json
import random
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from uuid import uuid4

import httpx

from fewstep_client.errors import FewstepError, Unavailable, error_of

Json = dict[str, Any]
Result = TypeVar("Result")

NDJSON: Final = "application/x-ndjson"
AGAIN: Final = frozenset({429, 502, 503, 504})
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0
LONGEST_WAIT_S: Final = 30  # of one request; proxies end longer ones
UNFINISHED: Final = frozenset({"queued", "running"})
BATCH_BYTES: Final = 8 * 2**20
BATCH_LINES: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request to send."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """So many seconds to do nothing."""

    seconds: float


Flow = Generator[Ask | Pause, httpx.Response | None, Result]


def send(ask: Ask, *, within_s: float) -> Flow[httpx.Response]:
    """The answer, tried for so long. Raises FewstepError for a refusal, Unavailable where nothing
    answered.
    """
    deadline, pause = time.monotonic() + within_s, FIRST_PAUSE_S
    while True:
        wait_s = pause * random.uniform(0.5, 1.5)  # or all would come again at once
        try:
            answer = yield ask
            assert answer is not None
        except httpx.TransportError as error:
            failure: FewstepError = Unavailable(f"nothing answered: {error}")
        else:
            if answer.status_code < 400:
                return answer
            failure = error_of(_json(answer), answer.status_code)
            if answer.status_code not in AGAIN or failure.code == "damaged":
                raise failure
            wait_s = max(wait_s, _seconds(answer.headers.get("Retry-After")))
        if time.monotonic() + wait_s > deadline:
            raise failure
        yield Pause(seconds=wait_s)
        pause = min(pause * 2, LONGEST_PAUSE_S)


def get(path: str, *, within_s: float, **params: Any) -> Flow[Json]:
    """The JSON at a path; parameters that are None are left out."""
    known = {name: value for name, value in params.items() if value is not None}
    answer = yield from send(Ask(method="GET", path=path, params=known), within_s=within_s)
    return _object(answer)


def change(
    method: str, path: str, body: Any, *, within_s: float, key: str | None = None
) -> Flow[Json]:
    """What a request with a body answers; {} where that is nothing."""
    headers = {} if key is None else {"Idempotency-Key": key}
    ask = Ask(method=method, path=path, body=body, headers=headers)
    answer = yield from send(ask, within_s=within_s)
    return _object(answer) if answer.content else {}


def adapt(body: Json, *, within_s: float, wait_s: float, key: str | None = None) -> Flow[Json]:
    """The adaptation, when it has ended, or as it stands after so long."""
    deadline = time.monotonic() + wait_s
    headers = {
        "Idempotency-Key": key or uuid4().hex,
        "Prefer": f"wait={_wait(wait_s)}" if wait_s > 0 else "respond-async",
    }
    ask = Ask(method="POST", path="/adapt", body=body, headers=headers)
    made = _object((yield from send(ask, within_s=within_s)))
    return (yield from wait(made, within_s=within_s, deadline=deadline))


def wait(adaptation: Json, *, within_s: float, deadline: float) -> Flow[Json]:
    """The adaptation when it has ended, or as it stands at the deadline, by the monotonic clock."""
    while adaptation["status"] in UNFINISHED:
        left = deadline - time.monotonic()
        if left <= 0:
            return adaptation
        path = f"/adaptations/{adaptation['id']}"
        adaptation = yield from get(path, within_s=within_s, wait=_wait(left))
    return adaptation


def adapt_many(
    bodies: Sequence[Json], *, within_s: float, wait_s: float, key: str, done: Any
) -> Flow[list[Json | FewstepError]]:
    """The adaptation of each body, or the refusal of one that is wrong, in their order; ``done`` is
    told how many there are of how many.
    """
    deadline, found = time.monotonic() + wait_s, list[Json | FewstepError]()
    for number, lines in enumerate(_batches(bodies)):
        headers = {
            "Content-Type": NDJSON,
            "Idempotency-Key": f"{key}-{number}",
            "Prefer": f"wait={_wait(deadline - time.monotonic())}",
        }
        content = "\n".join(lines).encode()
        ask = Ask(method="POST", path="/adaptations:batch", headers=headers, content=content)
        answer = yield from send(ask, within_s=within_s)
        for line in answer.text.splitlines():
            one = json.loads(line)
            if one.get("object") != "adaptation":
                found.append(error_of(one, int(one.get("status", 0))))
            else:
                found.append((yield from wait(one, within_s=within_s, deadline=deadline)))
            done(len(found), len(bodies))
    return found


def pages(path: str, *, within_s: float, **params: Any) -> Generator[Flow[Json], Json, None]:
    """A flow for each part of a list, sent back its answer."""
    more: dict[str, Any] = {}
    while True:
        page = yield get(path, within_s=within_s, **params, **more)
        if not page.get("next"):
            return
        more = {"cursor" if path == "/checkpoints" else "after": page["next"]}


def _batches(bodies: Sequence[Json]) -> Generator[list[str]]:
    lines, size = list[str](), 0
    for body in bodies:
        line = json.dumps(body, allow_nan=False)
        if lines and (len(lines) == BATCH_LINES or size + len(line) > BATCH_BYTES):
            yield lines
            lines, size = [], 0
        lines.append(line)
        size += len(line) + 1
    if lines:
        yield lines


def _wait(left_s: float) -> int:
    return max(0, min(LONGEST_WAIT_S, int(left_s) + 1 if left_s > 0 else 0))


def _seconds(text: str | None) -> float:
    return float(text) if text is not None and text.isdigit() else 0.0


def _object(answer: httpx.Response) -> Json:
    found = _json(answer)
    if not isinstance(found, dict):
        raise FewstepError("expected a JSON object from Fewstep; is this its address?")
    return found


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
