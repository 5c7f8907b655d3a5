"""What the routes of one process share, and how they get it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import Depends, FastAPI, Request

from app.backends import Backends, open_backends
from app.events import WakeUps
from app.predicting import HotModels, prepare_to_predict
from app.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Backends, the models kept hot, and the wake-ups that waiting routes hear."""

    backends: Backends
    hot: HotModels
    wake_ups: WakeUps


@asynccontextmanager
async def running(app: FastAPI, settings: Settings) -> AsyncIterator[None]:
    """The service's life: opened before the first request, closed after the last."""
    backends = open_backends(settings)
    wake_ups = WakeUps(str(settings.redis_url))
    hot = HotModels(settings.phi_cache_mib * 2**20)
    app.state.service = Service(backends=backends, hot=hot, wake_ups=wake_ups)
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
