"""Predictions without HTTP: a tenant's adapted parameters, kept hot, and inputs that were checked.

Torch is imported late: only a process that predicts loads it.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from app.adaptation import Adaptation
from app.adapting import find_adaptation
from app.backends import Backends, read_blob
from app.codec import check_lengths, read_examples, read_labels, read_values
from app.db.checkpoints import CheckpointRow
from app.errors import ServiceError, refusal
from app.lifecycle import Status
from app.predictions import readable
from app.registry import find_checkpoint, parse_reference
from app.store import BlobDamaged, BlobMissing
from app.support_sets import check_amount, image_limits, input_spec

if TYPE_CHECKING:
    from models.served import ServedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOrder:
    """A request as the API hands it over; one of adaptation and checkpoint is given."""

    tenant_id: str
    adaptation: str | None
    checkpoint: str | None
    inputs: Sequence[Any]
    targets: Sequence[Any] | None = None
    top_k: int | None = None
    pointer: str = "/inputs"


class HotModels:
    """Adapted models of this process by their blob, bounded in bytes; each is loaded once at a
    time.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._kept: LRUCache[tuple[str, str], ServedModel] = LRUCache(
            capacity_bytes, getsizeof=lambda model: model.bytes
        )
        self._loading: dict[tuple[str, str], Future[ServedModel]] = {}
        self._lock = threading.Lock()

    def get(self, backends: Backends, tenant_id: str, digest: str) -> "ServedModel":
        """The model in this blob. Raises BlobMissing, BlobDamaged, ServiceError."""
        key = (tenant_id, digest)
        with self._lock:
            if key in self._kept:
                return self._kept[key]
            promise = self._loading.get(key)
            mine = promise is None
            if promise is None:
                promise = self._loading[key] = Future()
        if mine:
            self._load(backends, key, promise)
        return promise.result()

    def _load(
        self, backends: Backends, key: tuple[str, str], promise: "Future[ServedModel]"
    ) -> None:
        from models.served import load_served

        try:
            model = load_served(read_blob(backends, *key))
        except BaseException as error:  # noqa: BLE001 - raised again in every waiting thread
            promise.set_exception(error)
        else:
            promise.set_result(model)
        with self._lock:
            del self._loading[key]
            if promise.exception() is None and model.bytes <= self._kept.maxsize:
                self._kept[key] = model


def prepare_to_predict(threads: int) -> None:
    """Loads torch before the first request, with so many threads for one prediction."""
    import torch

    import models.served  # noqa: F401 - the import is the work

    torch.set_num_threads(threads)


def predict(backends: Backends, hot: HotModels, order: PredictOrder) -> dict[str, Any]:
    """The answer to a prediction request. Raises ServiceError for all that is wrong with it."""
    check_amount(len(order.inputs), backends.settings.max_predict_inputs, order.pointer)
    if order.targets is not None:
        check_lengths(order.inputs, order.targets, "")
    if order.adaptation is None:
        return _by_checkpoint(backends, order)
    one = find_adaptation(backends, order.tenant_id, order.adaptation)
    model = adapted_model(backends, hot, one)
    return {"adaptation": one.id, **_answer(backends, model, order)}


def check_ended_well(one: Adaptation) -> None:
    """Raises ServiceError where an adaptation has no result (yet, or no more)."""
    if one.status in (Status.QUEUED, Status.RUNNING):
        raise ServiceError("not-ready", f"the adaptation is {one.status}", retry_after_s=1)
    if one.status is Status.CANCELLED:
        raise ServiceError("adaptation-failed", "the adaptation was cancelled")
    if one.status is Status.FAILED:
        code = (one.error or {}).get("code", "internal")
        raise ServiceError("adaptation-failed", f"the adaptation failed: {code}")
    if one.status is Status.EXPIRED:
        raise ServiceError("expired", "the adaptation's time to live has passed")


def adapted_model(backends: Backends, hot: HotModels, one: Adaptation) -> "ServedModel":
    """The hot model of an adaptation.

    Raises ServiceError where it has no result, or ``damaged`` while its parameters are derived
    again.
    """
    check_ended_well(one)
    try:
        return hot.get(backends, one.tenant_id, str(one.phi_digest))
    except (BlobMissing, BlobDamaged) as error:
        raise damaged(backends, one) from error


def damaged(backends: Backends, one: Adaptation) -> ServiceError:
    """Has an adaptation's parameters derived again; the refusal to give meanwhile."""
    backends.queue.repair(one.id)
    detail = "the stored parameters failed their check and are being derived again"
    return ServiceError("damaged", detail, retry_after_s=1)


def _by_checkpoint(backends: Backends, order: PredictOrder) -> dict[str, Any]:
    reference = parse_reference(str(order.checkpoint))
    row = find_checkpoint(backends.engine, order.tenant_id, reference)
    if row.description["task"] != "regression":
        detail = "a classifier has no classes before it is adapted; POST /adapt first"
        raise ServiceError("needs-adaptation", detail)
    model = _unadapted(backends, row)
    return {"checkpoint": row.ref, **_answer(backends, model, order)}


def _unadapted(backends: Backends, row: CheckpointRow) -> "ServedModel":
    from models.checkpoint import load_checkpoint
    from models.served import serve_theta

    try:
        data = read_blob(backends, row.ref.tenant_id, row.ref.digest)
        served = serve_theta(load_checkpoint(data))
    except (BlobMissing, BlobDamaged) as error:
        raise ServiceError("damaged", "the stored checkpoint failed its check") from error
    if served is None:
        detail = "this checkpoint needs the statistics of a support set; POST /adapt first"
        raise ServiceError("needs-adaptation", detail)
    return served


def _answer(backends: Backends, model: "ServedModel", order: PredictOrder) -> dict[str, Any]:
    spec = input_spec(model.description)
    limits = image_limits(backends.settings)
    x = read_examples(order.inputs, spec, pointer=order.pointer, limits=limits)
    y = _targets(model, order)
    outputs = model.predict(x)
    _check_finite(outputs, order.pointer)
    classes = model.classes
    answer: dict[str, Any] = {"predictions": readable(outputs, classes, top_k=order.top_k)}
    if y is not None:
        answer["metrics"] = _metrics(outputs, y, classes)
    return answer


def _metrics(
    outputs: NDArray[np.float32], y: NDArray[Any], classes: Sequence[str] | None
) -> dict[str, float]:
    if classes is None:
        return {"query_mse": float(np.square(outputs.astype(np.float64) - y).mean())}
    return {"query_accuracy": float((outputs.argmax(axis=1) == y).mean())}


def _targets(model: "ServedModel", order: PredictOrder) -> NDArray[Any] | None:
    if order.targets is None:
        return None
    if model.classes is None:
        return read_values(order.targets, (model.description["outputs"],), pointer="/targets")
    return read_labels(order.targets, model.classes, pointer="/targets")


def _check_finite(outputs: NDArray[np.float32], pointer: str) -> None:
    finite = np.isfinite(outputs).all(axis=1)
    if not finite.all():
        place = f"{pointer}/{int(finite.argmin())}"
        raise refusal(
            "validation", place, "expected an input whose prediction is finite in float32"
        )
