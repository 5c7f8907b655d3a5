"""POST /adapt without HTTP: from a checked request to a queued row and a hint to the workers.

Blob before row, row before message. It knows no torch: a support set is arrays here.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app.adaptations.acting import check_policy_to_continue, take_rollouts
from app.adaptations.finding import find_adaptation
from app.adaptations.order import AdaptOrder
from app.adaptations.results import check_ended_well
from app.adaptations.room import room_of
from app.adaptations.taking import take_examples
from app.backends import Backends
from app.checkpoints.registry import Reference, find_servable, parse_reference
from app.db.adaptations import insert_queued
from app.db.connections import reading, writing
from app.db.idempotency import find_replay, keep_key
from app.db.lookups import find
from app.errors import ServiceError, other_content
from app.inputs.examples import pack_arrays
from app.inputs.support_sets import (
    SupportSet,
)
from app.messages.webhooks.guard import check_webhook, rules_of
from app.messages.webhooks.resolving import resolve
from app.observing.phases import traced
from app.observing.tracing import traceparent
from app.store import StoreFull, StoreUnavailable
from app.values.adaptation import Adaptation, NewAdaptation
from app.values.arrays import Arrays
from app.values.checkpoint import CheckpointRef, CheckpointRow
from app.values.lifecycle import Status
from app.values.ways import Way

Find = Callable[[str, Reference], CheckpointRow]  # what a tenant means by a reference


@traced("place")
def place_order(
    backends: Backends, order: AdaptOrder, adaptation_id: str
) -> tuple[Adaptation, bool]:
    """The queued adaptation, and whether it was there before under the order's idempotency key.

    Raises ServiceError for everything that is wrong with the order; then nothing was created.
    """
    replayed = find_replayed(backends, order)
    if replayed:
        return replayed, True
    room_of(backends, order.tenant_id, order.at_once).check(1)
    new = prepare(backends, order, adaptation_id, finder(backends))
    try:
        with writing(backends.engine) as connection:
            row = insert_queued(connection, new)
            if order.idempotency_key is not None:
                keep_order(connection, order, new.id)
    except IntegrityError:
        first = find_replayed(backends, order)  # the same key, at the same time
        if first is None:
            raise
        return first, True
    backends.queue.hint(row.id)
    return row, False


def find_replayed(backends: Backends, order: AdaptOrder) -> Adaptation | None:
    """The adaptation that the order's idempotency key led to before. Raises ServiceError
    idempotency-mismatch where that order was another.
    """
    if order.idempotency_key is None:
        return None
    with reading(backends.engine) as connection:
        kept = find_replay(connection, order.tenant_id, order.idempotency_key)
        found = kept.adaptation_id if kept else None
        row = find(connection, order.tenant_id, found) if found else None
    if kept and (kept.fingerprint != order.fingerprint or kept.adaptation_id is None):
        raise other_content()
    return row


def keep_order(connection: Connection, order: AdaptOrder, adaptation_id: str) -> None:
    """Binds the order's idempotency key to its row. Raises IntegrityError where it is taken."""
    keep_key(
        connection,
        order.tenant_id,
        key=str(order.idempotency_key),
        fingerprint=order.fingerprint,
        adaptation_id=adaptation_id,
    )


def finder(backends: Backends) -> Find:
    """Looks the checkpoint of a tenant's reference up, once for all orders that name it."""
    return cache(partial(find_servable, backends.engine))


def prepare(
    backends: Backends, order: AdaptOrder, adaptation_id: str, find_checkpoint: Find
) -> NewAdaptation:
    """The order as a row that can be inserted, its blobs in the store. Raises ServiceError for
    everything that is wrong with it.
    """
    if order.webhook is not None:
        check_webhook(order.webhook, rules_of(backends.settings), resolve)
    base = _base(backends, order)
    checkpoint = _checkpoint(order, base, find_checkpoint)
    about = checkpoint.description
    if about.policy is not None:
        taken = take_rollouts(backends, order, checkpoint, base)
    else:
        taken = take_examples(backends, order, about, base)
    way, support, query = taken.way, taken.support, taken.query
    new = NewAdaptation(
        id=adaptation_id,
        tenant_id=order.tenant_id,
        key_id=order.key_id,
        task=about.task,
        checkpoint=checkpoint.ref,
        classes=support.classes,
        outputs=support.outputs,
        adapts=way.adapts,
        steps=way.steps,
        step_size=way.step_size,
        assess=order.assess,
        support_examples=len(support),
        example_weight=taken.weight,
        support_digest=_keep(backends, order.tenant_id, support.arrays),
        query_digest=_keep(backends, order.tenant_id, query) if query else None,
        batch_key=_batch_key(checkpoint.ref, support, way, assess=order.assess),
        name=order.name,
        metadata=order.metadata,
        ttl_seconds=order.ttl_seconds or backends.settings.default_ttl_seconds,
        preprocessing=taken.preprocessing,
        extends_id=order.extends,
        warnings=taken.warnings,
        webhook=order.webhook,
        round=taken.round,
        env_steps=taken.env_steps,
        continues_id=order.continues,
        start_digest=taken.start_digest,
    )
    return replace(new, work_digest=_work_digest(new), trace_context=traceparent())


def _base(backends: Backends, order: AdaptOrder) -> Adaptation | None:
    if order.continues is not None:
        base = find_adaptation(backends, order.tenant_id, order.continues)
        check_policy_to_continue(base)
        check_ended_well(base)
        return base
    if order.extends is None:
        return None
    base = find_adaptation(backends, order.tenant_id, order.extends)
    if base.status is Status.EXPIRED:
        raise ServiceError("expired", "the adaptation to extend has expired")
    if base.status in (Status.FAILED, Status.CANCELLED):
        raise ServiceError("adaptation-failed", f"the adaptation to extend is {base.status}")
    if base.support_forgotten_at is not None:
        detail = "the support set of the adaptation to extend is kept no longer; send it again"
        raise ServiceError("conflict", detail)
    return base


def _checkpoint(order: AdaptOrder, base: Adaptation | None, find_checkpoint: Find) -> CheckpointRow:
    if base is None:
        return find_checkpoint(order.tenant_id, parse_reference(str(order.checkpoint)))
    pinned = Reference(name=base.checkpoint.name, version=base.checkpoint.version)
    return find_checkpoint(base.checkpoint.tenant_id, pinned)


def _batch_key(ref: CheckpointRef, support: SupportSet, way: Way, *, assess: bool) -> str:
    """Equal for adaptations that can be stacked: step sizes may differ, the rest may not."""
    shapes = sorted((name, array.shape) for name, array in support.arrays.items())
    parts = [ref.digest, shapes, support.outputs, way.adapts, way.steps, assess]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _work_digest(new: NewAdaptation) -> str:
    """Equal for adaptations that come to the same: one of them need not be worked out again."""
    asked = [new.batch_key, new.classes, new.support_digest, new.query_digest, new.step_size]
    parts = [*asked, new.preprocessing, new.start_digest]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _keep(backends: Backends, tenant_id: str, arrays: Arrays) -> str:
    try:
        return backends.store.put(tenant_id, pack_arrays(**arrays))
    except StoreFull as error:
        raise ServiceError("store-full", "there is no room for the support set") from error
    except StoreUnavailable as error:
        raise ServiceError("unavailable", "the store does not answer", retry_after_s=1) from error
