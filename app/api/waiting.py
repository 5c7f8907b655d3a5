"""Waiting for an adaptation's end: woken by the worker, and looking at the row now and then
besides.
"""

import asyncio
from contextlib import suppress

from anyio.to_thread import run_sync

from app.adaptations.finding import find_adaptation
from app.api.service import Service
from app.errors import ServiceError
from app.predictions.predicting import keep_hot
from app.values.adaptation import Adaptation
from app.values.lifecycle import FINAL, Status

LOOKED_AT_EVERY_S = 1.0  # a lost wake-up costs no more


async def wait_for_end(
    service: Service, adaptation: Adaptation, ended: asyncio.Event, seconds: float
) -> Adaptation:
    """The adaptation when it has ended, or as it stands after so many seconds."""
    deadline = asyncio.get_running_loop().time() + seconds
    while adaptation.status not in FINAL:
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            break
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), min(left, LOOKED_AT_EVERY_S))
        ended.clear()
        adaptation = await _look_again(service, adaptation)
        if adaptation.status is Status.SUCCEEDED:
            keep_hot(service.predictor, adaptation.tenant_id, adaptation.id)
    return adaptation


async def _look_again(service: Service, adaptation: Adaptation) -> Adaptation:
    """The row now; as it was last seen where the database does not answer, for it was accepted."""
    try:
        return await run_sync(
            find_adaptation, service.backends, adaptation.tenant_id, adaptation.id
        )
    except ServiceError as error:
        if error.code != "unavailable":
            raise
        return adaptation


async def join_wait(service: Service, adaptation: Adaptation, seconds: float) -> Adaptation:
    """The same for an adaptation that somebody else began: listens first, then looks."""
    async with service.news.ended(adaptation.id) as ended:
        now = await run_sync(find_adaptation, service.backends, adaptation.tenant_id, adaptation.id)
        return await wait_for_end(service, now, ended, seconds)
