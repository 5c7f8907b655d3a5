"""On a GPU the same numbers come out as on the CPU, to rounding."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.meta_training.recipes import read_recipe
from models.meta_training.training import build_learner, start, train
from models.meta_training.training_state import dump_state, load_state
from models.tasks.opening import open_distribution

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")


def first_losses(name: str, device: str, folder: Path | None, cache: Path) -> list[float]:
    recipe = read_recipe(name)
    stages = tuple(replace(stage, iterations=5) for stage in recipe.stages)
    recipe = replace(recipe, stages=stages, start=None)
    learner = build_learner(recipe)
    state = start(recipe, learner, None, device)
    distribution = open_distribution(recipe.distribution, folder=folder, cache=cache)
    losses = [p.result.loss for p in train(recipe, learner, distribution, state)]
    again = load_state(recipe, dump_state(recipe, state), device)
    assert again.meta.tensors()[0].device.type == torch.device(device).type
    return losses


def test_a_sinusoid_trains_on_a_gpu_as_on_a_cpu(tmp_path: Path) -> None:
    on_gpu = first_losses("sinusoid", "cuda", None, tmp_path)

    assert on_gpu == pytest.approx(first_losses("sinusoid", "cpu", None, tmp_path), rel=1e-3)


def test_omniglot_trains_on_a_gpu_as_on_a_cpu(omniglot_dir: Path, tmp_path: Path) -> None:
    on_gpu = first_losses("omniglot-anyway", "cuda", omniglot_dir, tmp_path)
    on_cpu = first_losses("omniglot-anyway", "cpu", omniglot_dir, tmp_path)

    assert on_gpu == pytest.approx(on_cpu, rel=2e-2)  # TF32 convolutions, amplified by Adam
