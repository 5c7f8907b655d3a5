"""One prediction, for every door of the service: find the model, decode the inputs, wait, forward.

It knows no HTTP. Torch is imported late: only a process that predicts loads it.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from numpy.typing import NDArray

from app.backends import Backends
from app.errors import ServiceError, refusal
from app.inputs.doubts import doubts_of_inputs
from app.inputs.examples import check_lengths
from app.inputs.images import is_small_png
from app.inputs.support_sets import Given, check_amount, image_limits
from app.kinds import find_kind
from app.messages.memory import Memory
from app.predictions.acting import actions_of, new_seeds
from app.predictions.batching import Batcher
from app.predictions.hot_models import HotModels
from app.predictions.models import Found, find_model, remembered_model
from app.settings import Settings
from app.values.arrays import INPUT, TARGET, Arrays
from app.values.description import InputSpec, PolicyDescription, read_policy
from app.values.novelty import warnings_of, without_labels
from app.values.timing import Timing
from app.values.warnings import Warning

if TYPE_CHECKING:
    from models.served import ServedModel

LIGHT_BYTES: Final = 8192
LIGHT_INPUTS: Final = 16
LARGE_BODY_BYTES: Final = 2**17  # some hundred times a request of five small pictures
LARGE_BODIES_AT_ONCE: Final = 2
LOADED_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOrder:
    """A request as its form was checked; one of adaptation and checkpoint is given.

    size_bytes: of the request, by which it is known what may be done at once; reject: whether
    inputs that are like none of the support set get no label. deterministic and seeds: of a policy,
    whose actions are sampled unless that is asked for, or equal requests must have equal answers
    (is_pure).
    """

    tenant_id: str
    adaptation: str | None
    checkpoint: str | None
    given: Given
    size_bytes: int = 0
    top_k: int | None = None
    reject: bool = False
    deterministic: bool | None = None
    seeds: Sequence[int] | None = None
    is_pure: bool = False

    @property
    def is_light(self) -> bool:
        """Whether reading the inputs is shorter than the way to a thread."""
        return (
            self.size_bytes <= LIGHT_BYTES
            and len(self.given.inputs) <= LIGHT_INPUTS
            and all(not isinstance(x, str) or is_small_png(x) for x in self.given.inputs)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """What a process predicts with.

    large_bodies: few at a time, so that memory and the small requests' threads are not theirs;
    background: models that are loaded before anybody asks for them.
    """

    backends: Backends
    memory: Memory
    hot: HotModels
    batcher: Batcher
    large_bodies: CapacityLimiter = field(
        default_factory=lambda: CapacityLimiter(LARGE_BODIES_AT_ONCE)
    )
    background: set[asyncio.Task[None]] = field(default_factory=set)

    def limiter_for(self, size_bytes: int) -> CapacityLimiter | None:
        """The limiter that work on a body of this size passes; None: the usual one."""
        return self.large_bodies if size_bytes > LARGE_BODY_BYTES else None


async def predict(predictor: Predictor, order: PredictOrder, timing: Timing) -> dict[str, Any]:
    """What a caller is told: the predictions, whose they are, and metrics where targets are given.

    ``timing`` gets the parts find, decode, wait and forward. Raises ServiceError for all that is
    wrong with the order.
    """
    settings = predictor.backends.settings
    limiter = predictor.limiter_for(order.size_bytes)
    check_order(settings, order)
    timing.skip()
    found = await _find(predictor, order.tenant_id, order.adaptation, order.checkpoint)
    timing.mark("find")
    if order.is_light:
        query = read_query(settings, found.model, order)
    else:
        query = await run_sync(read_query, settings, found.model, order, limiter=limiter)
    timing.mark("decode")
    predicted = await predictor.batcher.predict(found.model, query[INPUT])
    timing.add("wait", predicted.wait_ms)
    timing.add("forward", predicted.forward_ms)
    timing.tell("batch", predicted.batch_size)
    if len(query[INPUT]) <= LIGHT_INPUTS:
        return answer(found, order, query, predicted.outputs)
    return await run_sync(answer, found, order, query, predicted.outputs, limiter=limiter)


def keep_hot(predictor: Predictor, tenant_id: str, adaptation_id: str) -> None:
    """Begins to load an adaptation's φ, so that the first who predicts with it need not wait; where
    too much is being loaded it is left to them.
    """
    if len(predictor.background) < LOADED_AT_ONCE:
        task = asyncio.create_task(_load(predictor, tenant_id, adaptation_id))
        predictor.background.add(task)
        task.add_done_callback(predictor.background.discard)


def check_order(settings: Settings, order: PredictOrder) -> None:
    """Raises ServiceError for too many inputs, and for targets that are not as many."""
    given = order.given
    check_amount(len(given.inputs), settings.max_predict_inputs, given.inputs_at)
    if given.targets is not None:
        check_lengths(given.inputs, given.targets, "")


def read_query(settings: Settings, model: "ServedModel", order: PredictOrder) -> Arrays:
    """The request's arrays. Raises ServiceError at an input or a target that does not fit."""
    about = model.about
    if order.reject and model.classes is None:
        raise refusal("validation", "/reject", "expected a classifier, got a model without classes")
    _check_acting(about.policy is not None, order)
    kind, limits = find_kind(about.task), image_limits(settings)
    return kind.read_query(order.given, _spec_of(model), model.classes, about.outputs, limits)


def _check_acting(is_policy: bool, order: PredictOrder) -> None:
    """Raises ServiceError for what only a policy can do, and for seeds that are not as many."""
    for name in ("deterministic", "seeds"):
        if not is_policy and getattr(order, name) is not None:
            raise refusal("validation", f"/{name}", f"expected no {name}: this is no policy")
    if order.seeds is None:
        return
    if order.deterministic:
        raise refusal("validation", "/seeds", "expected no seeds where it is deterministic")
    if len(order.seeds) != len(order.given.inputs):
        detail = f"expected a seed for each of {len(order.given.inputs)} inputs"
        raise refusal("length-mismatch", "/seeds", f"{detail}, got {len(order.seeds)}")


def _acted(found: Found, order: PredictOrder, outputs: NDArray[np.float32]) -> list[dict[str, Any]]:
    policy = _policy_of(found.model)
    is_likeliest = order.deterministic or order.is_pure
    seeds = None if is_likeliest else order.seeds or new_seeds(len(outputs))
    return actions_of(outputs, policy, seeds)


def _policy_of(model: "ServedModel") -> PolicyDescription:
    about = model.about
    table = {"policy": about.policy, "input": {"shape": about.input_shape}}
    found = read_policy(table | {"outputs": about.outputs})
    assert found is not None
    return found


def answer(
    found: Found, order: PredictOrder, query: Arrays, outputs: NDArray[np.float32]
) -> dict[str, Any]:
    """What a caller is told. Raises ServiceError at an input whose prediction is not finite."""
    _check_finite(outputs, order.given.inputs_at)
    kind = find_kind(found.model.about.task)
    told: dict[str, Any] = (
        {"checkpoint": found.checkpoint} if found.checkpoint else {"adaptation": order.adaptation}
    )
    values = found.model.about.outputs
    if found.model.about.policy is not None:
        return told | {"predictions": _acted(found, order, outputs)}
    predictions = kind.readable(outputs, found.model.classes, values=values, top_k=order.top_k)
    if warnings := _doubts(found, order, query) + warnings_of(predictions, order.given.inputs_at):
        told["warnings"] = warnings
    told["predictions"] = without_labels(predictions) if order.reject else predictions
    if TARGET in query:
        score = kind.score(outputs[:, :values], query[TARGET])
        told["metrics"] = {f"query_{kind.measure}": score}
    return told


def _doubts(found: Found, order: PredictOrder, query: Arrays) -> list[Warning]:
    spec, given = _spec_of(found.model), order.given
    return doubts_of_inputs(query[INPUT], given.inputs, spec, given.inputs_at)


def _spec_of(model: "ServedModel") -> InputSpec:
    return InputSpec(shape=model.about.input_shape, preprocessing=model.about.preprocessing)


async def _find(
    predictor: Predictor, tenant_id: str, adaptation: str | None, checkpoint: str | None
) -> Found:
    """The model that is meant, remembered from now on. Raises ServiceError."""
    memory, hot = predictor.memory, predictor.hot
    known = remembered_model(memory, hot, tenant_id, adaptation)
    if known is not None:
        return known
    stamp = memory.stamp()
    asked = (tenant_id, adaptation, checkpoint)
    found = await run_sync(find_model, predictor.backends, hot, *asked)
    if adaptation is not None and found.phi is not None:
        memory.keep_phi(adaptation, found.phi, stamp)
    return found


async def _load(predictor: Predictor, tenant_id: str, adaptation_id: str) -> None:
    with suppress(ServiceError):  # who predicts with it is told
        await _find(predictor, tenant_id, adaptation_id, None)


def _check_finite(outputs: NDArray[np.float32], pointer: str) -> None:
    finite = np.isfinite(outputs)
    if not finite.all():
        place = f"{pointer}/{int(finite.all(axis=1).argmin())}"
        raise refusal(
            "validation", place, "expected an input whose prediction is finite in float32"
        )
