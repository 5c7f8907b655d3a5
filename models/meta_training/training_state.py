"""A training run's state as a .safetensors file, from which it goes on to the same bits (on one
CPU).
"""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from models.meta_training.recipes import Recipe, Stage
from models.meta_training.training import TrainingState, state_of
from models.normalisation import Params, Prior
from models.outer_loop import MetaParams

MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class OtherRun(ValueError):
    """A state belongs to a run with other data or another recipe."""


def dump_state(recipe: Recipe, state: TrainingState, data: str | None = None) -> bytes:
    """The bytes of a state: θ, the best θ by validation, Adam's moments and the outer steps done.

    data: the digest of what is trained on, where there is one.
    """
    tensors = {
        **_named("now", state.meta),
        **_named("best", state.best),
        **_named_prior("now", state.prior),
        **_named_prior("best", state.best_prior),
        **{f"adam.{i}.{m}": s[m] for i, s in _moments(state) for m in MOMENTS},
    }
    about = {
        "recipe": _so_far(recipe, state.iteration),
        "data": data,
        "iteration": state.iteration,
        "best_score": state.best_score,
        "best_iteration": state.best_iteration,
    }
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save_tensors(whole, metadata={"state": json.dumps(about)})


def load_state(
    recipe: Recipe, saved: bytes, device: str = "cpu", data: str | None = None
) -> TrainingState:
    """The state in these bytes; one that knows no data belongs to any.

    Raises OtherRun where a run with other data or another recipe wrote it.
    """
    length = int.from_bytes(saved[:8], "little")
    about = json.loads(json.loads(saved[8 : 8 + length])["__metadata__"]["state"])
    _check_same(about, data, _so_far(recipe, about["iteration"]))
    tensors = {name: tensor.to(device) for name, tensor in load_tensors(saved).items()}
    state = state_of(about["iteration"], _meta("now", tensors))
    state.best, state.best_score = _meta("best", tensors), about["best_score"]
    state.best_iteration = about["best_iteration"]
    examples = recipe.inner_loop.prior_examples
    state.prior, state.best_prior = (_prior(w, tensors, examples) for w in ("now", "best"))
    for index, tensor in enumerate(state.meta.tensors()):
        if f"adam.{index}.step" in tensors:
            moments = {m: tensors[f"adam.{index}.{m}"] for m in MOMENTS}
            state.optimiser.state[tensor] = moments | {"step": moments["step"].cpu()}
    return state


def _check_same(about: dict[str, Any], data: str | None, recipe: str) -> None:
    began = about.get("data")
    if None not in (began, data) and began != data:
        raise OtherRun(f"the run began with other data: expected {began}, got {data}")
    if about["recipe"] != recipe:
        changed = _differing(json.loads(about["recipe"]), json.loads(recipe))
        raise OtherRun(f"the run began with another recipe: it differs in {', '.join(changed)}")


def _differing(one: Any, other: Any, where: str = "") -> Iterator[str]:
    """The places, as ``stages.0.way``, at which two JSON values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            yield from _differing(one.get(key), other.get(key), f"{where}.{key}".lstrip("."))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, pair in enumerate(zip(one, other, strict=True)):
            yield from _differing(*pair, f"{where}.{place}")
    elif one != other:
        yield where


def _so_far(recipe: Recipe, iteration: int) -> str:
    """The recipe up to the stage that a run is in: later stages may still change. What is left at
    its default is left out, so that a state outlives options that came after it.
    """
    begun = [s for i, s in enumerate(recipe.stages) if iteration > _iterations(recipe.stages[:i])]
    return json.dumps(_said(replace(recipe, stages=tuple(begun))), sort_keys=True)


def _said(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_said(one) for one in value]
    if not is_dataclass(value):
        return value
    given = {f.name: getattr(value, f.name) for f in fields(value)}
    return {f.name: _said(given[f.name]) for f in fields(value) if given[f.name] != f.default}


def _iterations(stages: tuple[Stage, ...]) -> int:
    return sum(stage.iterations for stage in stages)


def _moments(state: TrainingState) -> list[tuple[int, dict[str, torch.Tensor]]]:
    leaves = enumerate(state.meta.tensors())
    return [(i, state.optimiser.state[leaf]) for i, leaf in leaves if leaf in state.optimiser.state]


def _named(which: str, meta: MetaParams) -> Params:
    theta = {f"{which}.theta.{name}": tensor for name, tensor in meta.theta.items()}
    return theta | {f"{which}.step_size.{name}": t for name, t in meta.step_sizes.items()}


def _named_prior(which: str, prior: Prior | None) -> Params:
    statistics = prior.statistics if prior else {}
    return {f"{which}.prior.{name}": tensor for name, tensor in statistics.items()}


def _meta(which: str, tensors: Params) -> MetaParams:
    return MetaParams(
        theta=_under(f"{which}.theta.", tensors),
        step_sizes=_under(f"{which}.step_size.", tensors),
    )


def _prior(which: str, tensors: Params, examples: float) -> Prior | None:
    statistics = _under(f"{which}.prior.", tensors)
    return Prior(statistics=statistics, examples=examples) if statistics else None


def _under(prefix: str, tensors: Params) -> Params:
    names = [name for name in sorted(tensors) if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors[name] for name in names}
