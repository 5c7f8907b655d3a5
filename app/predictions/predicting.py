"""Predictions without HTTP: a tenant's adapted parameters, kept hot, and inputs that were checked.

Torch is imported late: only a process that predicts loads it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from app.adaptations.finding import find_lasting_adaptation
from app.adaptations.results import check_ended_well, damaged
from app.backends import Backends, read_blob
from app.checkpoints.registry import find_checkpoint, parse_reference
from app.db.checkpoints import CheckpointRow
from app.errors import ServiceError, refusal
from app.inputs.examples import check_lengths, read_examples, read_labels, read_values
from app.inputs.images import is_small_png
from app.inputs.support_sets import check_amount, image_limits, input_spec
from app.messages.memory import Lasting, Memory, Phi
from app.predictions.hot_models import HotModels
from app.predictions.readable import readable
from app.settings import Settings
from app.store import BlobDamaged, BlobMissing
from app.values.adaptation import Adaptation, CheckpointRef

if TYPE_CHECKING:
    from models.served import ServedModel

LIGHT_BYTES: Final = 8192
LIGHT_INPUTS: Final = 16


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The model that a request means; phi: what may be remembered of its adaptation's row."""

    model: "ServedModel"
    checkpoint: CheckpointRef | None = None
    phi: Lasting[Phi] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """x: (Q, …) float32; y: (Q,) int64 or (Q, outputs) float32 where the request has targets."""

    x: NDArray[np.float32]
    y: NDArray[Any] | None


def predict(backends: Backends, hot: HotModels, order: PredictOrder) -> dict[str, Any]:
    """The answer to a prediction request. Raises ServiceError for all that is wrong with it."""
    check_order(backends.settings, order)
    found = find_model(backends, hot, order)
    inputs = read_inputs(backends.settings, found.model, order)
    return answer(found, order, inputs, found.model.predict(inputs.x))


def check_order(settings: Settings, order: PredictOrder) -> None:
    """Raises ServiceError for too many inputs, and for targets that are not as many."""
    check_amount(len(order.inputs), settings.max_predict_inputs, order.pointer)
    if order.targets is not None:
        check_lengths(order.inputs, order.targets, "")


def remembered_model(memory: Memory, hot: HotModels, order: PredictOrder) -> Found | None:
    """The model of an adaptation that this process knows; None where that has to be looked up."""
    if order.adaptation is None:
        return None
    digest = memory.phi(order.tenant_id, order.adaptation)
    model = None if digest is None else hot.peek(order.tenant_id, digest)
    return None if model is None else Found(model=model)


def find_model(backends: Backends, hot: HotModels, order: PredictOrder) -> Found:
    """The model by its row and its blob. Raises ServiceError where there is none."""
    if order.adaptation is None:
        return _by_checkpoint(backends, hot, order)
    one = find_lasting_adaptation(backends, order.tenant_id, order.adaptation)
    model = adapted_model(backends, hot, one.value)
    phi = Phi(tenant_id=order.tenant_id, digest=str(one.value.phi_digest))
    return Found(model=model, phi=Lasting(value=phi, left_s=one.left_s))


def read_inputs(settings: Settings, model: "ServedModel", order: PredictOrder) -> Inputs:
    """The request's arrays. Raises ServiceError at an input or a target that does not fit."""
    spec, limits = input_spec(model.description), image_limits(settings)
    x = read_examples(order.inputs, spec, pointer=order.pointer, limits=limits)
    return Inputs(x=x, y=_targets(model, order))


def answer(
    found: Found, order: PredictOrder, inputs: Inputs, outputs: NDArray[np.float32]
) -> dict[str, Any]:
    """What a caller is told. Raises ServiceError at an input whose prediction is not finite."""
    _check_finite(outputs, order.pointer)
    classes = found.model.classes
    told: dict[str, Any] = (
        {"checkpoint": found.checkpoint} if found.checkpoint else {"adaptation": order.adaptation}
    )
    told["predictions"] = readable(outputs, classes, top_k=order.top_k)
    if inputs.y is not None:
        told["metrics"] = _metrics(outputs, inputs.y, classes)
    return told


def is_light(order: PredictOrder, size_bytes: int) -> bool:
    """Whether reading the inputs of a request of this size is shorter than the way to a thread."""
    return (
        size_bytes <= LIGHT_BYTES
        and len(order.inputs) <= LIGHT_INPUTS
        and all(not isinstance(one, str) or is_small_png(one) for one in order.inputs)
    )


def adapted_model(backends: Backends, hot: HotModels, one: Adaptation) -> "ServedModel":
    """The hot model of an adaptation.

    Raises ServiceError where it has no result, or ``damaged`` while its parameters are derived
    again.
    """
    from models.served import load_served

    check_ended_well(one)
    digest = str(one.phi_digest)
    try:
        return hot.get(
            one.tenant_id, digest, lambda: load_served(read_blob(backends, one.tenant_id, digest))
        )
    except (BlobMissing, BlobDamaged) as error:
        raise damaged(backends, one) from error


def _by_checkpoint(backends: Backends, hot: HotModels, order: PredictOrder) -> Found:
    reference = parse_reference(str(order.checkpoint))
    row = find_checkpoint(backends.engine, order.tenant_id, reference)
    if row.description["task"] != "regression":
        detail = "a classifier has no classes before it is adapted; POST /adapt first"
        raise ServiceError("needs-adaptation", detail)
    try:
        model = hot.get(row.ref.tenant_id, row.ref.digest, lambda: _unadapted(backends, row))
    except (BlobMissing, BlobDamaged) as error:
        raise ServiceError("damaged", "the stored checkpoint failed its check") from error
    return Found(model=model, checkpoint=row.ref)


def _unadapted(backends: Backends, row: CheckpointRow) -> "ServedModel":
    from models.files.checkpoint import load_checkpoint
    from models.served import serve_theta

    data = read_blob(backends, row.ref.tenant_id, row.ref.digest)
    served = serve_theta(load_checkpoint(data))
    if served is None:
        detail = "this checkpoint needs the statistics of a support set; POST /adapt first"
        raise ServiceError("needs-adaptation", detail)
    return served


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
    finite = np.isfinite(outputs)
    if not finite.all():
        place = f"{pointer}/{int(finite.all(axis=1).argmin())}"
        raise refusal(
            "validation", place, "expected an input whose prediction is finite in float32"
        )
