"""What the routes of one process share, and how they get it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import Depends, FastAPI, Request

from app.backends import Backends, open_backends
from app.messages.memory import Memory
from app.messages.news import News
from app.predictions.batching import Batcher
from app.predictions.hot_models import HotModels
from app.predictions.predicting import Predictor
from app.predictions.warming import warm_up
from app.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Backends, what predicts, and the news that routes wait for."""

    backends: Backends
    predictor: Predictor
    news: News

    @property
    def memory(self) -> Memory:
        """What this process remembers of keys and adaptations."""
        return self.predictor.memory


@asynccontextmanager
async def running(app: FastAPI, settings: Settings) -> AsyncIterator[None]:
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
    news = News(str(settings.redis_url), predictor.memory)
    app.state.service = Service(backends=backends, predictor=predictor, news=news)
    try:
        async with news.listening():
            yield
    finally:
        predictor.batcher.close()
        backends.close()


async def service_of(request: Request) -> Service:
    """What the request's process has; async, for FastAPI would use a thread for anything else."""
    service: Service = request.app.state.service
    return service


Here = Annotated[Service, Depends(service_of)]
