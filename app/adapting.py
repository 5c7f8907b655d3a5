"""POST /adapt without HTTP: from a checked request to a queued row and a hint to the workers.

Blob before row, row before message. It knows no torch: a support set is arrays here.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.exc import IntegrityError

from app.adaptation import Adaptation, CheckpointRef, NewAdaptation
from app.backends import Backends
from app.codec import (
    InputSpec,
    check_lengths,
    pack_arrays,
    read_classes,
    read_examples,
    read_labels,
    read_values,
    unpack_arrays,
)
from app.db.adaptations import find, find_replay, insert_queued, keep_key
from app.db.checkpoints import CheckpointRow
from app.db.engine import reading, writing
from app.errors import ServiceError, refusal
from app.images import ImageLimits
from app.lifecycle import Status
from app.registry import Reference, find_checkpoint, parse_reference
from app.settings import Settings
from app.store import BlobDamaged, BlobMissing, StoreFull, StoreUnavailable

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptOrder:
    """A request as the API hands it over: forms and types are checked, meanings are not.

    fingerprint: equal for requests of equal content; idempotency_key None: every order is a new
    one.
    """

    tenant_id: str
    checkpoint: str | None
    extends: str | None
    support_inputs: Sequence[Any]
    support_targets: Sequence[Any]
    query_inputs: Sequence[Any] | None = None
    query_targets: Sequence[Any] | None = None
    steps: int | None = None
    step_size: float | None = None
    assess: bool = False
    name: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    ttl_seconds: int | None = None
    idempotency_key: str | None = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """A support set or its extension, ready: x (S, …) float32, y, and the classes by their
    numbers.
    """

    x: NDArray[np.float32]
    y: NDArray[Any]
    classes: tuple[str, ...] | None


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


def find_adaptation(backends: Backends, tenant_id: str, adaptation_id: str) -> Adaptation:
    """A tenant's adaptation. Raises ServiceError ``not-found``, the same for another tenant's."""
    with reading(backends.engine) as connection:
        found = find(connection, tenant_id, adaptation_id)
    if found is None:
        raise ServiceError("not-found", "there is no such adaptation")
    return found


def input_spec(description: Mapping[str, Any]) -> InputSpec:
    """What a checkpoint (or an adapted model) takes as one example."""
    taken = description["input"]
    return InputSpec(shape=tuple(taken["shape"]), preprocessing=taken["preprocessing"])


def image_limits(settings: Settings) -> ImageLimits:
    """The settings' bounds on a picture."""
    return ImageLimits(
        max_side_px=settings.max_image_side_px, max_area_px=settings.max_image_area_px
    )


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
    checkpoint = _checkpoint(backends, order, base)
    description = checkpoint.description
    _check_amounts(backends.settings, order, base)
    support = _read_support(backends, order, description)
    if base is not None:
        support = _join(_stored_support(backends, base), support)
    _check_classes(support, description)
    query = _read_query(backends, order, description, support)
    steps = description["inner_loop"]["steps"] if order.steps is None else order.steps
    outputs = len(support.classes) if support.classes is not None else support.y.shape[-1]
    return NewAdaptation(
        id=adaptation_id,
        tenant_id=order.tenant_id,
        task=description["task"],
        checkpoint=checkpoint.ref,
        classes=support.classes,
        outputs=outputs,
        steps=steps,
        step_size=_step_size(order, description),
        assess=order.assess,
        support_examples=len(support.x),
        support_digest=_keep(backends, order.tenant_id, {"x": support.x, "y": support.y}),
        query_digest=_keep(backends, order.tenant_id, query) if query else None,
        batch_key=_batch_key(checkpoint.ref, support.x.shape, outputs, steps),
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
        return find_checkpoint(
            backends.engine, order.tenant_id, parse_reference(str(order.checkpoint))
        )
    pinned = Reference(name=base.checkpoint.name, version=base.checkpoint.version)
    return find_checkpoint(backends.engine, order.tenant_id, pinned)


def _check_amounts(settings: Settings, order: AdaptOrder, base: Adaptation | None) -> None:
    check_lengths(order.support_inputs, order.support_targets, "/support")
    total = len(order.support_inputs) + (base.support_examples if base else 0)
    _at_most(total, settings.max_support_examples, "/support/inputs")
    _at_most(len(order.query_inputs or ()), settings.max_query_examples, "/query/inputs")
    if order.query_inputs is not None and order.query_targets is not None:
        check_lengths(order.query_inputs, order.query_targets, "/query")
    if order.steps is not None and order.steps > settings.max_steps:
        raise refusal("validation", "/steps", f"expected 0 to {settings.max_steps} steps, got more")


def _at_most(count: int, limit: int, pointer: str) -> None:
    if count > limit:
        detail = f"expected at most {limit} examples, got {count}"
        raise refusal("too-many-examples", pointer, detail)


def _read_support(
    backends: Backends, order: AdaptOrder, description: Mapping[str, Any]
) -> Examples:
    pointer = "/support/targets"
    if description["task"] == "classification":
        classes, labels = read_classes(order.support_targets, pointer=pointer)
        x = _read_inputs(backends, order.support_inputs, description, "/support/inputs")
        return Examples(x=x, y=labels, classes=classes)
    shape = (int(description["head"]["outputs"]),)
    values = read_values(order.support_targets, shape, pointer=pointer)
    x = _read_inputs(backends, order.support_inputs, description, "/support/inputs")
    return Examples(x=x, y=values, classes=None)


def _read_inputs(
    backends: Backends, inputs: Sequence[Any], description: Mapping[str, Any], pointer: str
) -> NDArray[np.float32]:
    limits = image_limits(backends.settings)
    return read_examples(inputs, input_spec(description), pointer=pointer, limits=limits)


def _stored_support(backends: Backends, base: Adaptation) -> Examples:
    try:
        arrays = unpack_arrays(backends.store.get(base.tenant_id, base.support_digest))
    except (BlobMissing, BlobDamaged) as error:
        raise ServiceError("damaged", "the support set to extend cannot be read") from error
    return Examples(x=arrays["x"], y=arrays["y"], classes=base.classes)


def _join(old: Examples, new: Examples) -> Examples:
    """Both support sets as one; the old classes keep their numbers, new ones follow."""
    x = np.concatenate([old.x, new.x])
    if old.classes is None or new.classes is None:
        return Examples(x=x, y=np.concatenate([old.y, new.y]), classes=None)
    classes = tuple(dict.fromkeys(old.classes + new.classes))
    renumbered = np.array([classes.index(name) for name in new.classes], np.int64)[new.y]
    return Examples(x=x, y=np.concatenate([old.y, renumbered]), classes=classes)


def _check_classes(support: Examples, description: Mapping[str, Any]) -> None:
    if support.classes is None:
        return
    got, most = len(support.classes), description["max_way"]
    if got < 2:
        detail = f"expected at least 2 classes, got {got}"
        raise refusal("too-few-classes", "/support/targets", detail)
    if got > most:
        detail = f"expected at most {most} classes for this checkpoint, got {got}"
        raise refusal("too-many-classes", "/support/targets", detail)


def _read_query(
    backends: Backends, order: AdaptOrder, description: Mapping[str, Any], support: Examples
) -> Arrays | None:
    if order.query_inputs is None:
        return None
    x = _read_inputs(backends, order.query_inputs, description, "/query/inputs")
    if order.query_targets is None:
        return {"x": x}
    pointer = "/query/targets"
    if support.classes is not None:
        return {"x": x, "y": read_labels(order.query_targets, support.classes, pointer=pointer)}
    return {"x": x, "y": read_values(order.query_targets, support.y.shape[1:], pointer=pointer)}


def _step_size(order: AdaptOrder, description: Mapping[str, Any]) -> float | None:
    if order.step_size is not None and not 0 < np.float32(order.step_size) < np.inf:
        raise refusal("validation", "/step_size", "expected a positive number finite in float32")
    if not description["inner_loop"].get("learned", False):
        return order.step_size or float(description["inner_loop"]["step_size"])
    if order.step_size is not None:
        detail = "this checkpoint learned its step sizes; leave step_size out"
        raise refusal("not-adjustable", "/step_size", detail)
    return None


def _batch_key(ref: CheckpointRef, shape: tuple[int, ...], outputs: int, steps: int) -> str:
    """Equal for adaptations that can be stacked: step sizes may differ, the rest may not."""
    return hashlib.sha256(json.dumps([ref.digest, shape, outputs, steps]).encode()).hexdigest()


def _keep(backends: Backends, tenant_id: str, arrays: Arrays) -> str:
    try:
        return backends.store.put(tenant_id, pack_arrays(**arrays))
    except StoreFull as error:
        raise ServiceError("store-full", "there is no room for the support set") from error
    except StoreUnavailable as error:
        raise ServiceError("unavailable", "the store does not answer", retry_after_s=1) from error
