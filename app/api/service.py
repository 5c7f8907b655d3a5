"""What the routes of one process share, and how they get it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Depends, FastAPI, Request

from app.backends import Backends, open_backends
from app.events import WakeUps
from app.predicting import HotModels, prepare_to_predict
from app.settings import Settings

LARGE_BODY_BYTES = 2**17  # some hundred times a request of five small pictures
LARGE_BODIES_AT_ONCE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Backends, the models kept hot, the wake-ups that waiting routes hear, and who may work hard.

    large_bodies: few at a time, so that memory and the small requests' threads are not theirs.
    """

    backends: Backends
    hot: HotModels
    wake_ups: WakeUps
    large_bodies: CapacityLimiter

    def limiter_for(self, body: bytes) -> CapacityLimiter | None:
        """The limiter that work on this body passes; None: the usual one."""
        return self.large_bodies if len(body) > LARGE_BODY_BYTES else None


@asynccontextmanager
async def running(app: FastAPI, settings: Settings) -> AsyncIterator[None]:
    """The service's life: opened before the first request, closed after the last."""
    backends = open_backends(settings)
    wake_ups = WakeUps(str(settings.redis_url))
    hot = HotModels(settings.phi_cache_mib * 2**20)
    app.state.service = Service(
        backends=backends,
        hot=hot,
        wake_ups=wake_ups,
        large_bodies=CapacityLimiter(LARGE_BODIES_AT_ONCE),
    )
    await run_sync(prepare_to_predict, settings.torch_threads or 1)
    try:
        async with wake_ups.listening():
            yield
    finally:
        backends.close()


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Here = Annotated[Service, Depends(_service)]
