"""What the routes of one process share, and how they get it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import Depends, FastAPI, Request

from app.adaptations.observed import Observed
from app.api.streams import Streams
from app.backends import Backends, open_backends
from app.callers.usage import Meter
from app.messages.memory import Memory
from app.messages.news import News
from app.messages.rates import Rates
from app.observing.sharing import Sharing
from app.observing.tracing import end_tracing, start_tracing
from app.predictions.batching import Batcher
from app.predictions.hot_models import HotModels
from app.predictions.predicting import Predictor
from app.predictions.warming import warm_up
from app.settings import Settings

WRITTEN_EVERY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Backends, what predicts, the news that routes wait for, what tenants use, what an
    operator sees, and streams.
    """

    backends: Backends
    predictor: Predictor
    news: News
    rates: Rates
    meter: Meter
    observed: Observed
    streams: Streams

    @property
    def memory(self) -> Memory:
        """What this process remembers of keys and adaptations."""
        return self.predictor.memory


@asynccontextmanager
async def running(app: FastAPI, settings: Settings, streams: Streams) -> AsyncIterator[None]:
    """The service's life: opened before the first request, closed after the last."""
    backends = open_backends(settings)
    threads = settings.torch_threads or 1
    await run_sync(warm_up, backends, threads)
    predictor = Predictor(
        backends=backends,
        memory=Memory(),
        hot=HotModels(settings.phi_cache_mib * 2**20),
        batcher=Batcher(threads),
    )
    news, meter = News(str(settings.redis_url), predictor.memory), Meter()
    sharing = Sharing(str(settings.redis_url))
    app.state.service = Service(
        backends=backends,
        predictor=predictor,
        news=news,
        rates=Rates(str(settings.redis_url)),
        meter=meter,
        observed=Observed(backends, sharing),
        streams=streams,
    )
    start_tracing()
    with sharing.flushing():  # ended when nothing waits in the loop any more: that holds it up
        try:
            async with news.listening(), _written_down(meter, backends):
                yield
        finally:
            await run_sync(end_tracing)
            predictor.batcher.close()
            backends.close()


@asynccontextmanager
async def _written_down(meter: Meter, backends: Backends) -> AsyncIterator[None]:
    """Writes down what is used, every few seconds and in the end."""

    async def write() -> None:
        while True:
            await asyncio.sleep(WRITTEN_EVERY_S)
            await run_sync(meter.write_down, backends)

    writing = asyncio.create_task(write())
    try:
        yield
    finally:
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
        await run_sync(meter.write_down, backends)


async def service_of(request: Request) -> Service:
    """What the request's process has; async, for FastAPI would use a thread for anything else."""
    service: Service = request.app.state.service
    return service


Here = Annotated[Service, Depends(service_of)]
