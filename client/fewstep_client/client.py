"""``Client`` and ``AsyncClient``: the same operations, waited for or awaited."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

import httpx

from fewstep_client.acting import Policy
from fewstep_client.adaptation import Adaptation, AsyncAdaptation
from fewstep_client.errors import FewstepError, Unavailable, error_of
from fewstep_client.flows import Ask, Flow, Json, Pause, pages
from fewstep_client.following import Lines
from fewstep_client.operations import RETRIED_S, WAITED_S, Operations

URL: Final = "http://127.0.0.1:8000"
TIMEOUT: Final = httpx.Timeout(30, read=90)
STREAM: Final = "text/event-stream"
AGAIN_S: Final = 1.0

Result = TypeVar("Result")
Progress = Callable[[int, int], None]


def _settings(url: str | None, key: str | None) -> dict[str, Any]:
    found = key or os.environ.get("FEWSTEP_KEY") or os.environ.get("FEWSTEP_API_KEY")
    headers = {"User-Agent": "fewstep-client"}
    if found:
        headers["Authorization"] = f"Bearer {found}"
    return {
        "base_url": url or os.environ.get("FEWSTEP_URL", URL),
        "headers": headers,
        "timeout": TIMEOUT,
    }


def _request(ask: Ask) -> dict[str, Any]:
    given: dict[str, Any] = {"params": dict(ask.params), "headers": dict(ask.headers)}
    if ask.content is not None:
        given["content"] = ask.content
    elif ask.body is not None:
        given["json"] = ask.body
    return given


def _bar(done: int, total: int) -> None:
    """A line on a terminal, nothing elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done} of {total} adapted" + ("\n" if done == total else ""))
        sys.stderr.flush()


def _silent(done: int, total: int) -> None:
    pass


def _shown(progress: bool | Progress) -> Progress:
    if callable(progress):
        return progress
    return _bar if progress else _silent


class Client:
    """Fewstep at a URL, for a key; both are read from FEWSTEP_URL and FEWSTEP_KEY where they are
    not given. Every method raises FewstepError.

    retry_s: for how long a request that is not answered is tried again; transport: of httpx, for
    tests.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        retry_s: float = RETRIED_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(**_settings(url, key), transport=transport)
        self._do = Operations(within_s=retry_s)

    def adapt(
        self,
        checkpoint: str | None,
        inputs: Any = None,
        targets: Any = None,
        *,
        wait_s: float = WAITED_S,
        check: bool = True,
        **options: Any,
    ) -> Adaptation:
        """Adapts a checkpoint to a few examples: a folder of folders of pictures, or inputs and
        targets. Options: query, adapts, steps, step_size, name, metadata, ttl_seconds, assess,
        webhook, extends, idempotency_key; of a policy rollouts, and continues.

        wait_s: how long to wait for the end; 0: not at all. check: whether one without a result is
        an AdaptationFailed.
        """
        flow = self._do.adapt(checkpoint, inputs, targets, wait_s=wait_s, **options)
        made = Adaptation(self, self._run(flow))
        if check:
            made.check()
        return made

    def adapt_many(
        self,
        checkpoint: str | None,
        supports: Sequence[Any],
        *,
        options: Sequence[Mapping[str, Any]] | None = None,
        wait_s: float = WAITED_S,
        progress: bool | Progress = True,
        idempotency_key: str | None = None,
    ) -> list[Adaptation | FewstepError]:
        """Adapts to many support sets in as few calls as possible, in their order; a refusal stands
        in the place of one that is wrong. supports: folders, or pairs of inputs and targets.
        """
        flow = self._do.adapt_many(
            checkpoint,
            supports,
            options=options,
            wait_s=wait_s,
            done=_shown(progress),
            idempotency_key=idempotency_key,
        )
        found = self._run(flow)
        return [one if isinstance(one, FewstepError) else Adaptation(self, one) for one in found]

    def predict(self, adaptation: str, example: Any, **options: Any) -> Json:
        """What an adaptation says of one example. Options: top_k, reject."""
        return self.predict_many(adaptation, [example], **options)[0]

    def predict_many(self, adaptation: str, inputs: Any, **options: Any) -> list[Json]:
        """What an adaptation says of each example."""
        return self._run(self._do.predict({"adaptation": adaptation}, inputs, **options))

    def act(
        self, of: str | Adaptation, observations: Any, *, deterministic: bool = False
    ) -> list[Json]:
        """What a policy, a checkpoint by its name or an adaptation, does on each observation."""
        origin = {"checkpoint": of} if isinstance(of, str) else {"adaptation": of.id}
        options = {"deterministic": True} if deterministic else {}
        return self._run(self._do.predict(origin, observations, **options))

    def policy(self, checkpoint: str) -> Policy:
        """A policy, to be adapted to environments of one's own."""
        return Policy(self, checkpoint)

    def get(self, adaptation: str, *, wait_s: float = 0) -> Adaptation:
        """An adaptation as it stands, or when it has ended."""
        return Adaptation(self, self._run(self._do.get(adaptation, wait_s=wait_s)))

    def list(
        self,
        *,
        status: str | None = None,
        checkpoint: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Iterator[Adaptation]:
        """Every adaptation, newest first, read in parts."""
        params = {"status": status, "checkpoint": checkpoint}
        params |= {f"metadata[{name}]": value for name, value in (metadata or {}).items()}
        return (Adaptation(self, raw) for raw in self._all("/adaptations", **params))

    def update(self, adaptation: str, **changes: Any) -> Adaptation:
        """Changes name, metadata or ttl_seconds; None takes a value away."""
        return Adaptation(self, self._run(self._do.update(adaptation, changes)))

    def cancel(self, adaptation: str) -> Adaptation:
        """Stops one that is queued or running."""
        return Adaptation(self, self._run(self._do.cancel(adaptation)))

    def delete(self, adaptation: str) -> None:
        """Deletes one for good."""
        self._run(self._do.remove(f"/adaptations/{adaptation}"))

    def events(self, adaptation: str) -> Iterator[Json]:
        """What happened to one so far, oldest first."""
        return self._all(f"/adaptations/{adaptation}/events")

    def follow(self, adaptation: str) -> Iterator[Json]:
        """What happens to one, as it happens, from its beginning to its end; a connection that
        breaks is taken up again where it was.
        """
        lines, silent_since = Lines(), time.monotonic()
        while not lines.has_ended:
            headers = {"Accept": STREAM}
            if lines.last_id is not None:
                headers["Last-Event-ID"] = lines.last_id
            path = f"/adaptations/{adaptation}/events"
            try:
                with self._http.stream("GET", path, headers=headers) as answer:
                    if answer.status_code == 204:
                        return
                    _check_stream(answer, answer.read() if answer.is_error else b"")
                    for line in answer.iter_lines():
                        silent_since = time.monotonic()
                        yield from lines.take(line)
            except (httpx.TransportError, Unavailable) as error:
                if time.monotonic() - silent_since > self._do.within_s:
                    raise Unavailable(f"nothing answered: {error}") from error
            if not lines.has_ended:
                time.sleep(AGAIN_S)

    def parameters(self, adaptation: str, *, format: str = "safetensors") -> bytes:
        """The adapted parameters as a file: safetensors, npz or onnx."""
        return self._run(self._do.download(f"/adaptations/{adaptation}/parameters", format=format))

    def checkpoints(self) -> Iterator[Json]:
        """Every version of every checkpoint that this key can use."""
        return self._all("/checkpoints")

    def checkpoint(self, name: str) -> Json:
        """What a checkpoint is: ``name``, ``name:3`` or ``name@alias``."""
        return self._run(self._do.read(f"/checkpoints/{name}"))

    def upload_checkpoint(self, file: str | Path | bytes) -> Json:
        """Makes a .safetensors file a version of its name."""
        return self._run(self._do.upload(file))

    def download_checkpoint(self, name: str, version: int) -> bytes:
        """θ, as it was uploaded."""
        return self._run(self._do.download(f"/checkpoints/{name}/versions/{version}/parameters"))

    def delete_checkpoint(self, name: str, version: int) -> None:
        """Ends a version of one's own that nothing needs."""
        self._run(self._do.remove(f"/checkpoints/{name}/versions/{version}"))

    def set_alias(self, name: str, alias: str, version: int) -> Json:
        """Has ``name@alias`` stand for a version; ``default`` is what the name alone stands for."""
        return self._run(self._do.put(f"/checkpoints/{name}/aliases/{alias}", {"version": version}))

    def delete_alias(self, name: str, alias: str) -> None:
        """Ends an alias; its version stays."""
        self._run(self._do.remove(f"/checkpoints/{name}/aliases/{alias}"))

    def keys(self) -> Iterator[Json]:
        """This tenant's keys, without their secrets."""
        return self._all("/keys")

    def create_key(self, name: str = "", scopes: Sequence[str] = (), **options: Any) -> Json:
        """A new key with its secret, which is shown this once. Options: expires_in_seconds,
        tenant.
        """
        body = {"name": name, **options} | ({"scopes": [*scopes]} if scopes else {})
        return self._run(self._do.make("/keys", body))

    def revoke_key(self, key_id: str) -> None:
        """Ends a key at once."""
        self._run(self._do.remove(f"/keys/{key_id}"))

    def tenants(self) -> Iterator[Json]:
        """Every tenant; for the operator."""
        return self._all("/tenants")

    def create_tenant(self, tenant: str, **options: Any) -> Json:
        """A new tenant. Options: limits, support_retention_seconds."""
        return self._run(self._do.make("/tenants", {"id": tenant, **options}))

    def update_tenant(self, tenant: str, **changes: Any) -> Json:
        """Gives a tenant other limits or another retention."""
        return self._run(self._do.patch(f"/tenants/{tenant}", changes))

    def delete_tenant(self, tenant: str) -> None:
        """Deletes a customer with all it has."""
        self._run(self._do.remove(f"/tenants/{tenant}"))

    def usage(self, **days: str) -> Json:
        """What this key has used by day; ``from`` and ``to`` as 2026-01-31."""
        return self._run(self._do.read("/usage", **days))

    def limits(self) -> Json:
        """What the service accepts."""
        return self._run(self._do.read("/limits"))

    def close(self) -> None:
        """Gives connections back."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _all(self, path: str, **params: Any) -> Iterator[Json]:
        parts = pages(path, within_s=self._do.within_s, **params)
        flow = next(parts)
        while True:
            page = self._run(flow)
            yield from page["data"]
            try:
                flow = parts.send(page)
            except StopIteration:
                return

    def _run(self, flow: Flow[Result]) -> Result:
        step = next(flow, None)
        try:
            while True:
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    step = flow.send(None)
                    continue
                assert step is not None
                try:
                    answer = self._http.request(step.method, step.path, **_request(step))
                except httpx.TransportError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            found: Result = end.value
            return found


def _check_stream(answer: httpx.Response, body: bytes) -> None:
    if answer.is_error:
        found = answer.json() if body.startswith(b"{") else None
        raise error_of(found, answer.status_code)


class AsyncClient:
    """``Client`` for asyncio: the same methods, awaited; lists and ``follow`` are iterated with
    ``async for``.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        retry_s: float = RETRIED_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(**_settings(url, key), transport=transport)
        self._do = Operations(within_s=retry_s)

    async def adapt(
        self,
        checkpoint: str | None,
        inputs: Any = None,
        targets: Any = None,
        *,
        wait_s: float = WAITED_S,
        check: bool = True,
        **options: Any,
    ) -> AsyncAdaptation:
        """As ``Client.adapt``."""
        flow = self._do.adapt(checkpoint, inputs, targets, wait_s=wait_s, **options)
        made = AsyncAdaptation(self, await self._run(flow))
        if check:
            made.check()
        return made

    async def adapt_many(
        self,
        checkpoint: str | None,
        supports: Sequence[Any],
        *,
        options: Sequence[Mapping[str, Any]] | None = None,
        wait_s: float = WAITED_S,
        progress: bool | Progress = True,
        idempotency_key: str | None = None,
    ) -> list[AsyncAdaptation | FewstepError]:
        """As ``Client.adapt_many``."""
        flow = self._do.adapt_many(
            checkpoint,
            supports,
            options=options,
            wait_s=wait_s,
            done=_shown(progress),
            idempotency_key=idempotency_key,
        )
        found = await self._run(flow)
        return [
            one if isinstance(one, FewstepError) else AsyncAdaptation(self, one) for one in found
        ]

    async def predict(self, adaptation: str, example: Any, **options: Any) -> Json:
        """As ``Client.predict``."""
        return (await self.predict_many(adaptation, [example], **options))[0]

    async def predict_many(self, adaptation: str, inputs: Any, **options: Any) -> list[Json]:
        """As ``Client.predict_many``."""
        return await self._run(self._do.predict({"adaptation": adaptation}, inputs, **options))

    async def get(self, adaptation: str, *, wait_s: float = 0) -> AsyncAdaptation:
        """As ``Client.get``."""
        return AsyncAdaptation(self, await self._run(self._do.get(adaptation, wait_s=wait_s)))

    def list(
        self,
        *,
        status: str | None = None,
        checkpoint: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> AsyncIterator[AsyncAdaptation]:
        """As ``Client.list``."""
        params = {"status": status, "checkpoint": checkpoint}
        params |= {f"metadata[{name}]": value for name, value in (metadata or {}).items()}
        return self._adaptations(params)

    async def update(self, adaptation: str, **changes: Any) -> AsyncAdaptation:
        """As ``Client.update``."""
        return AsyncAdaptation(self, await self._run(self._do.update(adaptation, changes)))

    async def cancel(self, adaptation: str) -> AsyncAdaptation:
        """As ``Client.cancel``."""
        return AsyncAdaptation(self, await self._run(self._do.cancel(adaptation)))

    async def delete(self, adaptation: str) -> None:
        """As ``Client.delete``."""
        await self._run(self._do.remove(f"/adaptations/{adaptation}"))

    def events(self, adaptation: str) -> AsyncIterator[Json]:
        """As ``Client.events``."""
        return self._all(f"/adaptations/{adaptation}/events")

    async def follow(self, adaptation: str) -> AsyncIterator[Json]:
        """As ``Client.follow``."""
        lines, silent_since = Lines(), time.monotonic()
        while not lines.has_ended:
            headers = {"Accept": STREAM}
            if lines.last_id is not None:
                headers["Last-Event-ID"] = lines.last_id
            path = f"/adaptations/{adaptation}/events"
            try:
                async with self._http.stream("GET", path, headers=headers) as answer:
                    if answer.status_code == 204:
                        return
                    _check_stream(answer, await answer.aread() if answer.is_error else b"")
                    async for line in answer.aiter_lines():
                        silent_since = time.monotonic()
                        for event in lines.take(line):
                            yield event
            except (httpx.TransportError, Unavailable) as error:
                if time.monotonic() - silent_since > self._do.within_s:
                    raise Unavailable(f"nothing answered: {error}") from error
            if not lines.has_ended:
                await asyncio.sleep(AGAIN_S)

    async def parameters(self, adaptation: str, *, format: str = "safetensors") -> bytes:
        """As ``Client.parameters``."""
        path = f"/adaptations/{adaptation}/parameters"
        return await self._run(self._do.download(path, format=format))

    def checkpoints(self) -> AsyncIterator[Json]:
        """As ``Client.checkpoints``."""
        return self._all("/checkpoints")

    async def checkpoint(self, name: str) -> Json:
        """As ``Client.checkpoint``."""
        return await self._run(self._do.read(f"/checkpoints/{name}"))

    async def upload_checkpoint(self, file: str | Path | bytes) -> Json:
        """As ``Client.upload_checkpoint``."""
        return await self._run(self._do.upload(file))

    async def download_checkpoint(self, name: str, version: int) -> bytes:
        """As ``Client.download_checkpoint``."""
        path = f"/checkpoints/{name}/versions/{version}/parameters"
        return await self._run(self._do.download(path))

    async def delete_checkpoint(self, name: str, version: int) -> None:
        """As ``Client.delete_checkpoint``."""
        await self._run(self._do.remove(f"/checkpoints/{name}/versions/{version}"))

    async def set_alias(self, name: str, alias: str, version: int) -> Json:
        """As ``Client.set_alias``."""
        path = f"/checkpoints/{name}/aliases/{alias}"
        return await self._run(self._do.put(path, {"version": version}))

    async def delete_alias(self, name: str, alias: str) -> None:
        """As ``Client.delete_alias``."""
        await self._run(self._do.remove(f"/checkpoints/{name}/aliases/{alias}"))

    def keys(self) -> AsyncIterator[Json]:
        """As ``Client.keys``."""
        return self._all("/keys")

    async def create_key(self, name: str = "", scopes: Sequence[str] = (), **options: Any) -> Json:
        """As ``Client.create_key``."""
        body = {"name": name, **options} | ({"scopes": [*scopes]} if scopes else {})
        return await self._run(self._do.make("/keys", body))

    async def revoke_key(self, key_id: str) -> None:
        """As ``Client.revoke_key``."""
        await self._run(self._do.remove(f"/keys/{key_id}"))

    def tenants(self) -> AsyncIterator[Json]:
        """As ``Client.tenants``."""
        return self._all("/tenants")

    async def create_tenant(self, tenant: str, **options: Any) -> Json:
        """As ``Client.create_tenant``."""
        return await self._run(self._do.make("/tenants", {"id": tenant, **options}))

    async def update_tenant(self, tenant: str, **changes: Any) -> Json:
        """As ``Client.update_tenant``."""
        return await self._run(self._do.patch(f"/tenants/{tenant}", changes))

    async def delete_tenant(self, tenant: str) -> None:
        """As ``Client.delete_tenant``."""
        await self._run(self._do.remove(f"/tenants/{tenant}"))

    async def usage(self, **days: str) -> Json:
        """As ``Client.usage``."""
        return await self._run(self._do.read("/usage", **days))

    async def limits(self) -> Json:
        """As ``Client.limits``."""
        return await self._run(self._do.read("/limits"))

    async def close(self) -> None:
        """Gives connections back."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.close()

    async def _adaptations(self, params: Mapping[str, Any]) -> AsyncIterator[AsyncAdaptation]:
        async for raw in self._all("/adaptations", **params):
            yield AsyncAdaptation(self, raw)

    async def _all(self, path: str, **params: Any) -> AsyncIterator[Json]:
        parts = pages(path, within_s=self._do.within_s, **params)
        flow = next(parts)
        while True:
            page = await self._run(flow)
            for one in page["data"]:
                yield one
            try:
                flow = parts.send(page)
            except StopIteration:
                return

    async def _run(self, flow: Flow[Result]) -> Result:
        step = next(flow, None)
        try:
            while True:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    step = flow.send(None)
                    continue
                assert step is not None
                try:
                    answer = await self._http.request(step.method, step.path, **_request(step))
                except httpx.TransportError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            found: Result = end.value
            return found
