"""What the routes of one process share, and how they get it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Depends, FastAPI, Request

from app.backends import Backends, open_backends
from app.events import News
from app.hot_models import HotModels
from app.prediction_desk import PredictionDesk
from app.remembering import Memory
from app.settings import Settings
from app.warming import warm_up

LARGE_BODY_BYTES = 2**17  # some hundred times a request of five small pictures
LARGE_BODIES_AT_ONCE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Backends, what is remembered and kept hot, the news that routes wait for, and who may work
    hard.

    large_bodies: few at a time, so that memory and the small requests' threads are not theirs;
    loading: of models before anybody asks for them.
    """

    backends: Backends
    memory: Memory
    hot: HotModels
    desk: PredictionDesk
    news: News
    large_bodies: CapacityLimiter
    loading: CapacityLimiter

    def limiter_for(self, size_bytes: int) -> CapacityLimiter | None:
        """The limiter that work on a body of this size passes; None: the usual one."""
        return self.large_bodies if size_bytes > LARGE_BODY_BYTES else None


@asynccontextmanager
async def running(app: FastAPI, settings: Settings) -> AsyncIterator[None]:
    """The service's life: opened before the first request, closed after the last."""
    backends = open_backends(settings)
    threads = settings.torch_threads or 1
    await run_sync(warm_up, backends, threads)
    memory, hot = Memory(), HotModels(settings.phi_cache_mib * 2**20)
    desk = PredictionDesk(threads)
    service = app.state.service = Service(
        backends=backends,
        memory=memory,
        hot=hot,
        desk=desk,
        news=News(str(settings.redis_url), memory),
        large_bodies=CapacityLimiter(LARGE_BODIES_AT_ONCE),
        loading=CapacityLimiter(1),
    )
    try:
        async with service.news.listening():
            yield
    finally:
        desk.close()
        backends.close()


async def service_of(request: Request) -> Service:
    """What the request's process has; async, for FastAPI would use a thread for anything else."""
    service: Service = request.app.state.service
    return service


Here = Annotated[Service, Depends(service_of)]
