"""POST /adapt without HTTP: from a checked request to a queued row and a hint to the workers.

Blob before row, row before message. It knows no torch: a support set is arrays here.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy.exc import IntegrityError

from app.adaptations.finding import find_adaptation
from app.backends import Backends, read_blob
from app.checkpoints.registry import Reference, find_servable, parse_reference
from app.db.adaptations import insert_queued
from app.db.connections import reading, writing
from app.db.idempotency import find_replay, keep_key
from app.db.lookups import find
from app.errors import ServiceError, refusal
from app.inputs.examples import check_lengths, pack_arrays, unpack_arrays
from app.inputs.support_sets import (
    Given,
    SupportSet,
    check_amount,
    check_classes,
    image_limits,
)
from app.kinds import find_kind
from app.settings import Settings
from app.store import BlobDamaged, BlobMissing, StoreFull, StoreUnavailable
from app.values.adaptation import Adaptation, NewAdaptation, example_steps, example_weight
from app.values.arrays import Arrays
from app.values.checkpoint import CheckpointRef, CheckpointRow
from app.values.description import Description
from app.values.lifecycle import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptOrder:
    """A request as the API hands it over: forms and types are checked, meanings are not.

    fingerprint: equal for requests of equal content; idempotency_key None: every order is a new
    one.
    """

    tenant_id: str
    checkpoint: str | None
    extends: str | None
    support: Given
    query: Given | None = None
    steps: int | None = None
    step_size: float | None = None
    assess: bool = False
    name: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    ttl_seconds: int | None = None
    idempotency_key: str | None = None
    fingerprint: str = ""


def place_order(
    backends: Backends, order: AdaptOrder, adaptation_id: str
) -> tuple[Adaptation, bool]:
    """The queued adaptation, and whether it was there before under the order's idempotency key.

    Raises ServiceError for everything that is wrong with the order; then nothing was created.
    """
    replayed = _replay(backends, order)
    if replayed:
        return replayed, True
    new = _prepare(backends, order, adaptation_id)
    try:
        with writing(backends.engine) as connection:
            row = insert_queued(connection, new)
            if order.idempotency_key is not None:
                keep_key(connection, new, key=order.idempotency_key, fingerprint=order.fingerprint)
    except IntegrityError:
        first = _replay(backends, order)  # the same key, at the same time
        if first is None:
            raise
        return first, True
    backends.queue.hint(row.id)
    return row, False


def _replay(backends: Backends, order: AdaptOrder) -> Adaptation | None:
    if order.idempotency_key is None:
        return None
    with reading(backends.engine) as connection:
        kept = find_replay(connection, order.tenant_id, order.idempotency_key)
        row = find(connection, order.tenant_id, kept[1]) if kept else None
    if kept and kept[0] != order.fingerprint:
        detail = "this Idempotency-Key was used with other content; use a new key"
        raise ServiceError("idempotency-mismatch", detail)
    return row


def _prepare(backends: Backends, order: AdaptOrder, adaptation_id: str) -> NewAdaptation:
    base = _base(backends, order)
    _check_amounts(backends.settings, order, base)
    checkpoint = _checkpoint(backends, order, base)
    about = checkpoint.description
    step_size = _step_size(order, about)
    support = _support(backends, order, about, base)
    query = _query(backends, order, about, support)
    steps = about.inner_loop.steps if order.steps is None else order.steps
    weight = example_weight(about.input.shape)
    _check_work(backends.settings, len(support), steps, weight, assess=order.assess)
    return NewAdaptation(
        id=adaptation_id,
        tenant_id=order.tenant_id,
        task=about.task,
        checkpoint=checkpoint.ref,
        classes=support.classes,
        outputs=support.outputs,
        steps=steps,
        step_size=step_size,
        assess=order.assess,
        support_examples=len(support),
        example_weight=weight,
        support_digest=_keep(backends, order.tenant_id, support.arrays),
        query_digest=_keep(backends, order.tenant_id, query) if query else None,
        batch_key=_batch_key(checkpoint.ref, support, steps, assess=order.assess),
        name=order.name,
        metadata=order.metadata,
        ttl_seconds=order.ttl_seconds or backends.settings.default_ttl_seconds,
    )


def _base(backends: Backends, order: AdaptOrder) -> Adaptation | None:
    if order.extends is None:
        return None
    base = find_adaptation(backends, order.tenant_id, order.extends)
    if base.status is Status.EXPIRED:
        raise ServiceError("expired", "the adaptation to extend has expired")
    if base.status in (Status.FAILED, Status.CANCELLED):
        raise ServiceError("adaptation-failed", f"the adaptation to extend is {base.status}")
    return base


def _checkpoint(backends: Backends, order: AdaptOrder, base: Adaptation | None) -> CheckpointRow:
    if base is None:
        return find_servable(
            backends.engine, order.tenant_id, parse_reference(str(order.checkpoint))
        )
    pinned = Reference(name=base.checkpoint.name, version=base.checkpoint.version)
    return find_servable(backends.engine, base.checkpoint.tenant_id, pinned)


def _check_amounts(settings: Settings, order: AdaptOrder, base: Adaptation | None) -> None:
    support, query = order.support, order.query
    check_lengths(support.inputs, support.targets or (), "/support")
    total = len(support.inputs) + (base.support_examples if base else 0)
    check_amount(total, settings.max_support_examples, support.inputs_at)
    if query is not None:
        check_amount(len(query.inputs), settings.max_query_examples, query.inputs_at)
    if query is not None and query.targets is not None:
        check_lengths(query.inputs, query.targets, "/query")
    if order.steps is not None and order.steps > settings.max_steps:
        raise refusal("validation", "/steps", f"expected 0 to {settings.max_steps} steps, got more")


def _step_size(order: AdaptOrder, about: Description) -> float | None:
    if order.step_size is not None and not 0 < np.float32(order.step_size) < np.inf:
        raise refusal("validation", "/step_size", "expected a positive number finite in float32")
    if not about.inner_loop.learned:
        return order.step_size or float(about.inner_loop.step_size)
    if order.step_size is not None:
        detail = "this checkpoint learned its step sizes; leave step_size out"
        raise refusal("not-adjustable", "/step_size", detail)
    return None


def _check_work(
    settings: Settings, examples: int, steps: int, weight: int, *, assess: bool
) -> None:
    work = example_steps(examples=examples, steps=steps, assess=assess) * weight
    if work > settings.max_example_steps:
        how = "examples × (steps + 1) × examples" if assess else "examples × (steps + 1)"
        how += f" × {weight} for the size of an input" if weight > 1 else ""
        detail = f"expected {how} up to {settings.max_example_steps}, got {work}"
        raise refusal("budget-exceeded", "/steps", detail)


def _support(
    backends: Backends, order: AdaptOrder, about: Description, base: Adaptation | None
) -> SupportSet:
    kind = find_kind(about.task)
    support = kind.read_support(order.support, about, image_limits(backends.settings))
    if base is not None:
        support = kind.join(_stored_support(backends, base), support)
    check_classes(support.classes, kind.most_classes(about.max_way))
    return support


def _stored_support(backends: Backends, base: Adaptation) -> SupportSet:
    try:
        arrays = unpack_arrays(read_blob(backends, base.tenant_id, base.support_digest))
    except (BlobMissing, BlobDamaged) as error:
        raise ServiceError("damaged", "the support set to extend cannot be read") from error
    return SupportSet(arrays=arrays, classes=base.classes, outputs=base.outputs)


def _query(
    backends: Backends, order: AdaptOrder, about: Description, support: SupportSet
) -> Arrays | None:
    if order.query is None:
        return None
    limits, kind = image_limits(backends.settings), find_kind(about.task)
    return kind.read_query(order.query, about.input, support.classes, support.outputs, limits)


def _batch_key(ref: CheckpointRef, support: SupportSet, steps: int, *, assess: bool) -> str:
    """Equal for adaptations that can be stacked: step sizes may differ, the rest may not."""
    shapes = sorted((name, array.shape) for name, array in support.arrays.items())
    parts = [ref.digest, shapes, support.outputs, steps, assess]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _keep(backends: Backends, tenant_id: str, arrays: Arrays) -> str:
    try:
        return backends.store.put(tenant_id, pack_arrays(**arrays))
    except StoreFull as error:
        raise ServiceError("store-full", "there is no room for the support set") from error
    except StoreUnavailable as error:
        raise ServiceError("unavailable", "the store does not answer", retry_after_s=1) from error
