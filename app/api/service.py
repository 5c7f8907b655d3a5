"""What the routes of one process share, and how they get it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Annotated

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Depends, FastAPI, Request

from app.backends import Backends, open_backends
from app.errors import ServiceError
from app.messages.memory import Memory
from app.messages.news import News
from app.predictions.batching import PredictionDesk
from app.predictions.hot_models import HotModels
from app.predictions.predicting import Found, PredictOrder, find_model
from app.predictions.warming import warm_up
from app.settings import Settings

LARGE_BODY_BYTES = 2**17  # some hundred times a request of five small pictures
LARGE_BODIES_AT_ONCE = 2
LOADED_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Backends, what is remembered and kept hot, the news that routes wait for, and who may work
    hard.

    large_bodies: few at a time, so that memory and the small requests' threads are not theirs;
    background: models that are loaded before anybody asks for them.
    """

    backends: Backends
    memory: Memory
    hot: HotModels
    desk: PredictionDesk
    news: News
    large_bodies: CapacityLimiter
    background: set[asyncio.Task[None]] = field(default_factory=set)

    def limiter_for(self, size_bytes: int) -> CapacityLimiter | None:
        """The limiter that work on a body of this size passes; None: the usual one."""
        return self.large_bodies if size_bytes > LARGE_BODY_BYTES else None

    def keep_hot(self, tenant_id: str, adaptation_id: str) -> None:
        """Begins to load an adaptation's φ, so that the first who predicts with it need not wait;
        where too much is being loaded it is left to them.
        """
        if len(self.background) < LOADED_AT_ONCE:
            task = asyncio.create_task(self._load(tenant_id, adaptation_id))
            self.background.add(task)
            task.add_done_callback(self.background.discard)

    async def find_model(self, order: PredictOrder) -> Found:
        """The model that an order means, remembered from now on. Raises ServiceError."""
        stamp = self.memory.stamp()
        found = await run_sync(find_model, self.backends, self.hot, order)
        if order.adaptation is not None and found.phi is not None:
            self.memory.keep_phi(order.adaptation, found.phi, stamp)
        return found

    async def _load(self, tenant_id: str, adaptation_id: str) -> None:
        order = PredictOrder(
            tenant_id=tenant_id, adaptation=adaptation_id, checkpoint=None, inputs=()
        )
        with suppress(ServiceError):  # who predicts with it is told
            await self.find_model(order)


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
