"""An adaptation as its caller holds it: what was said of it, and what can be asked of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewstep_client.errors import AdaptationFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from fewstep_client.client import AsyncClient, Client

Json = dict[str, Any]


class Stands:
    """What both kinds of adaptation say of themselves; raw: the service's own JSON."""

    def __init__(self, raw: Json) -> None:
        self.raw = raw

    @property
    def id(self) -> str:
        """ad_…, to ask for it again from anywhere."""
        return str(self.raw["id"])

    @property
    def status(self) -> str:
        """queued, running, succeeded, failed, cancelled or expired."""
        return str(self.raw["status"])

    @property
    def classes(self) -> list[str] | None:
        """Class names in order; None of a regression."""
        found: list[str] | None = self.raw["classes"]
        return found

    @property
    def metrics(self) -> Json:
        """What was measured; {} before it has ended."""
        return dict(self.raw["metrics"] or {})

    @property
    def predictions(self) -> list[Json] | None:
        """Of the queries that were sent along."""
        found: list[Json] | None = self.raw["predictions"]
        return found

    @property
    def warnings(self) -> list[Json]:
        """What the service would have its caller know."""
        return list(self.raw["warnings"])

    def check(self) -> None:
        """Raises AdaptationFailed where it ended without a result."""
        if self.status in ("failed", "cancelled", "expired"):
            error = self.raw["error"] or {"code": self.status, "detail": f"it is {self.status}"}
            raise AdaptationFailed(error["detail"], code=error["code"])

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status}>"


class Adaptation(Stands):
    """An adaptation of a ``Client``."""

    def __init__(self, client: Client, raw: Json) -> None:
        super().__init__(raw)
        self._client = client

    def predict(self, example: Any, **options: Any) -> Json:
        """What it says of one example: a picture, a path, numbers, text."""
        return self._client.predict_many(self.id, [example], **options)[0]

    def predict_many(self, inputs: Any, **options: Any) -> list[Json]:
        """What it says of each of many examples."""
        return self._client.predict_many(self.id, inputs, **options)

    def wait(self, seconds: float = 3600) -> Adaptation:
        """Waits for its end. Raises AdaptationFailed where that has no result."""
        self.raw = self._client.get(self.id, wait_s=seconds).raw
        self.check()
        return self

    def extend(self, inputs: Any, targets: Any = None, **options: Any) -> Adaptation:
        """A new one on its examples and these: more of its classes, or another class."""
        return self._client.adapt(None, inputs, targets, extends=self.id, **options)

    def update(self, **changes: Any) -> Adaptation:
        """Changes name, metadata or ttl_seconds; None takes a value away."""
        self.raw = self._client.update(self.id, **changes).raw
        return self

    def cancel(self) -> Adaptation:
        """Stops it between two steps."""
        self.raw = self._client.cancel(self.id).raw
        return self

    def delete(self) -> None:
        """Deletes it for good."""
        self._client.delete(self.id)

    def follow(self) -> Iterator[Json]:
        """What happens to it, as it happens."""
        return self._client.follow(self.id)

    def save(self, path: str | Path, *, format: str | None = None) -> Path:
        """Its parameters as a file: .safetensors, .npz or .onnx, by the name or by ``format``."""
        target = Path(path)
        wanted = format or target.suffix.removeprefix(".") or "safetensors"
        target.write_bytes(self._client.parameters(self.id, format=wanted))
        return target


class AsyncAdaptation(Stands):
    """The same of an ``AsyncClient``."""

    def __init__(self, client: AsyncClient, raw: Json) -> None:
        super().__init__(raw)
        self._client = client

    async def predict(self, example: Any, **options: Any) -> Json:
        """What it says of one example."""
        return (await self._client.predict_many(self.id, [example], **options))[0]

    async def predict_many(self, inputs: Any, **options: Any) -> list[Json]:
        """What it says of each of many examples."""
        return await self._client.predict_many(self.id, inputs, **options)

    async def wait(self, seconds: float = 3600) -> AsyncAdaptation:
        """Waits for its end. Raises AdaptationFailed where that has no result."""
        self.raw = (await self._client.get(self.id, wait_s=seconds)).raw
        self.check()
        return self

    async def extend(self, inputs: Any, targets: Any = None, **options: Any) -> AsyncAdaptation:
        """A new one on its examples and these."""
        return await self._client.adapt(None, inputs, targets, extends=self.id, **options)

    async def update(self, **changes: Any) -> AsyncAdaptation:
        """Changes name, metadata or ttl_seconds; None takes a value away."""
        self.raw = (await self._client.update(self.id, **changes)).raw
        return self

    async def cancel(self) -> AsyncAdaptation:
        """Stops it between two steps."""
        self.raw = (await self._client.cancel(self.id)).raw
        return self

    async def delete(self) -> None:
        """Deletes it for good."""
        await self._client.delete(self.id)

    def follow(self) -> AsyncIterator[Json]:
        """What happens to it, as it happens."""
        return self._client.follow(self.id)
