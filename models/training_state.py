"""A training run's state as a .safetensors file, from which it goes on to the same bits (on one
CPU).
"""

import json
from dataclasses import replace

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from models.normalisation import Params
from models.outer_loop import MetaParams
from models.recipes import Recipe, Stage
from models.training import TrainingState, state_of

MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def dump_state(recipe: Recipe, state: TrainingState) -> bytes:
    """The bytes of a state: θ, the best θ by validation, Adam's moments and the outer steps
    done.
    """
    tensors = {
        **_named("now", state.meta),
        **_named("best", state.best),
        **{f"adam.{i}.{m}": s[m] for i, s in _moments(state) for m in MOMENTS},
    }
    about = {
        "recipe": _so_far(recipe, state.iteration),
        "iteration": state.iteration,
        "best_score": state.best_score,
        "best_iteration": state.best_iteration,
    }
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save_tensors(whole, metadata={"state": json.dumps(about)})


def load_state(recipe: Recipe, data: bytes) -> TrainingState:
    """The state in these bytes. Raises ValueError where another recipe wrote it."""
    length = int.from_bytes(data[:8], "little")
    about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["state"])
    if about["recipe"] != _so_far(recipe, about["iteration"]):
        raise ValueError("the saved state belongs to another recipe; choose another folder")
    tensors = load_tensors(data)
    state = state_of(about["iteration"], _meta("now", tensors))
    state.best, state.best_score = _meta("best", tensors), about["best_score"]
    state.best_iteration = about["best_iteration"]
    for index, tensor in enumerate(state.meta.tensors()):
        if f"adam.{index}.step" in tensors:
            state.optimiser.state[tensor] = {m: tensors[f"adam.{index}.{m}"] for m in MOMENTS}
    return state


def _so_far(recipe: Recipe, iteration: int) -> str:
    """The recipe up to the stage that a run is in: later stages may still change."""
    begun = [s for i, s in enumerate(recipe.stages) if iteration > _iterations(recipe.stages[:i])]
    return repr(replace(recipe, stages=tuple(begun)))


def _iterations(stages: tuple[Stage, ...]) -> int:
    return sum(stage.iterations for stage in stages)


def _moments(state: TrainingState) -> list[tuple[int, dict[str, torch.Tensor]]]:
    leaves = enumerate(state.meta.tensors())
    return [(i, state.optimiser.state[leaf]) for i, leaf in leaves if leaf in state.optimiser.state]


def _named(which: str, meta: MetaParams) -> Params:
    theta = {f"{which}.theta.{name}": tensor for name, tensor in meta.theta.items()}
    return theta | {f"{which}.step_size.{name}": t for name, t in meta.step_sizes.items()}


def _meta(which: str, tensors: Params) -> MetaParams:
    def under(prefix: str) -> Params:
        names = [name for name in sorted(tensors) if name.startswith(prefix)]
        return {name.removeprefix(prefix): tensors[name] for name in names}

    return MetaParams(theta=under(f"{which}.theta."), step_sizes=under(f"{which}.step_size."))
