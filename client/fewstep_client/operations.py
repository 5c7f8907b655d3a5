"""Every operation once, as a flow; the two clients add how a flow is driven.

A method that ends in an adaptation gives its JSON.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from fewstep_client import flows
from fewstep_client.errors import FewstepError
from fewstep_client.flows import Ask, Flow, Json, change, get, send
from fewstep_client.requests import adapt_body, predict_body

RETRIED_S = 60.0
WAITED_S = 3600.0
PREDICTED_AT_ONCE = 1000


class Operations:
    """within_s: for how long a request that is not answered is tried again."""

    def __init__(self, *, within_s: float = RETRIED_S) -> None:
        self.within_s = within_s

    def adapt(
        self,
        checkpoint: str | None,
        inputs: Any = None,
        targets: Any = None,
        *,
        wait_s: float,
        **rest: Any,
    ) -> Flow[Json]:
        key = rest.pop("idempotency_key", None)
        body = adapt_body(checkpoint, inputs, targets, **rest)
        return flows.adapt(body, within_s=self.within_s, wait_s=wait_s, key=key)

    def adapt_many(
        self,
        checkpoint: str | None,
        supports: Sequence[Any],
        *,
        wait_s: float,
        done: Any,
        options: Sequence[Mapping[str, Any]] | None = None,
        idempotency_key: str | None = None,
    ) -> Flow[list[Json | FewstepError]]:
        each = options or [{}] * len(supports)
        bodies = [
            adapt_body(checkpoint, *(one if isinstance(one, tuple) else (one,)), **own)
            for one, own in zip(supports, each, strict=True)
        ]
        key = idempotency_key or uuid4().hex
        return flows.adapt_many(bodies, within_s=self.within_s, wait_s=wait_s, key=key, done=done)

    def predict(self, origin: Mapping[str, str], inputs: Any, **options: Any) -> Flow[list[Json]]:
        """The predictions of all inputs, in requests of a thousand at most."""
        examples = predict_body(origin, inputs, **options)
        given, found = examples.pop("inputs"), list[Json]()
        for first in range(0, len(given), PREDICTED_AT_ONCE):
            body = examples | {"inputs": given[first : first + PREDICTED_AT_ONCE]}
            answer = yield from change("POST", "/predict", body, within_s=self.within_s)
            found += answer["predictions"]
        return found

    def get(self, adaptation_id: str, *, wait_s: float = 0) -> Flow[Json]:
        deadline = time.monotonic() + wait_s
        found = yield from get(f"/adaptations/{adaptation_id}", within_s=self.within_s)
        return (yield from flows.wait(found, within_s=self.within_s, deadline=deadline))

    def update(self, adaptation_id: str, changes: Mapping[str, Any]) -> Flow[Json]:
        path = f"/adaptations/{adaptation_id}"
        return change("PATCH", path, dict(changes), within_s=self.within_s)

    def cancel(self, adaptation_id: str) -> Flow[Json]:
        return change("POST", f"/adaptations/{adaptation_id}/cancel", None, within_s=self.within_s)

    def remove(self, path: str) -> Flow[Json]:
        return change("DELETE", path, None, within_s=self.within_s)

    def read(self, path: str, **params: Any) -> Flow[Json]:
        return get(path, within_s=self.within_s, **params)

    def make(self, path: str, body: Mapping[str, Any]) -> Flow[Json]:
        """A POST that makes something, safe to try again."""
        return change("POST", path, dict(body), within_s=self.within_s, key=uuid4().hex)

    def put(self, path: str, body: Mapping[str, Any]) -> Flow[Json]:
        return change("PUT", path, dict(body), within_s=self.within_s)

    def patch(self, path: str, body: Mapping[str, Any]) -> Flow[Json]:
        return change("PATCH", path, dict(body), within_s=self.within_s)

    def download(self, path: str, **params: Any) -> Flow[bytes]:
        answer = yield from send(
            Ask(method="GET", path=path, params=params), within_s=self.within_s
        )
        return answer.content

    def upload(self, file: str | Path | bytes) -> Flow[Json]:
        data = file if isinstance(file, bytes) else Path(file).read_bytes()
        kind = {"Content-Type": "application/octet-stream", "Idempotency-Key": uuid4().hex}
        ask = Ask(method="POST", path="/checkpoints", headers=kind, content=data)
        found: Json = (yield from send(ask, within_s=self.within_s)).json()
        return found
