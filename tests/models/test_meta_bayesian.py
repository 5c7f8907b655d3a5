"""Meta-training of the Bayesian last layer: its prior is the training tasks', in any units."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from models.episodes import EpisodeShape
from models.heads.bayesian import BIAS, FACTOR, NOISE, WEIGHT, posterior, predictive, prior_factor
from models.heads.layer import Head
from models.meta_training.bayesian import bayesian_step, fit_prior, posterior_of
from models.meta_training.recipes import Recipe, read_recipe
from models.meta_training.training import TrainingState, build_learner, start, train
from models.normalisation import Params
from models.tasks.series import Series

MEAN, DEVIATIONS, NOISE_OF_Y = (1.0, -0.5, 2.0), (0.5, 0.3, 1.0), 0.1  # of x, x² and 1


def parabolas(tasks: int, points: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Features x, x² (T, P, 2) and y (T, P, 1) of random parabolas, float64."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    weights = torch.tensor(MEAN) + torch.tensor(DEVIATIONS) * normal(tasks, 3)
    x = 2 * torch.rand(tasks, points, generator=generator, dtype=torch.float64) - 1
    inputs = torch.stack([x, x**2, torch.ones_like(x)], dim=2)
    y = (inputs @ weights[..., None])[..., 0] + NOISE_OF_Y * normal(tasks, points)
    return inputs[..., :2], y[..., None]


def series(tasks: int = 60, *, unit: float = 1.0, shift: float = 0.0) -> Series:
    features, y = parabolas(tasks, 24, seed=5)
    return Series(
        x=features[..., :1].float(),
        y=(y * unit + shift).float(),
        splits={name: list(range(tasks)) for name in ("train", "validation", "test")},
        digest="",
    )


def recipe(iterations: int) -> Recipe:
    written = read_recipe("series")
    stage = replace(written.stages[0], iterations=iterations)
    return replace(
        written,
        network_config={"inputs": 1, "hidden": [16, 8], "normalised": False},
        input_shape=(1,),
        head=Head(kind="bayesian", outputs=1),
        stages=(stage,),
        validation=replace(written.validation, every=10**6, episodes=4, query=10),
    )


def trained(iterations: int, tasks: Series) -> tuple[TrainingState, list[float]]:
    written = recipe(iterations)
    learner = build_learner(written)
    state = start(written, learner)
    losses = [step.result.loss for step in train(written, learner, tasks, state)]
    return state, losses


def covariance(theta: Params) -> Tensor:
    """(D + 1, D + 1): of the prior of the first output's weights, noise included."""
    factor = prior_factor(theta)
    found: Tensor = torch.linalg.inv(factor @ factor.T) * theta[NOISE][0].exp()
    return found


def test_a_fitted_prior_is_where_the_tasks_came_from() -> None:
    features, y = parabolas(2000, 20, seed=1)

    found = fit_prior(features, y)

    of_mean = 4 * np.array(DEVIATIONS) / math.sqrt(2000)  # four standard errors
    assert np.all(np.abs(found[WEIGHT][0].numpy() - MEAN[:2]) < of_mean[:2])
    assert abs(found[BIAS].item() - MEAN[2]) < of_mean[2]
    assert math.exp(found[NOISE].item() / 2) == pytest.approx(NOISE_OF_Y, rel=0.02)
    variances = covariance(found).diagonal().sqrt()
    assert np.allclose(variances.numpy(), DEVIATIONS, rtol=4 / math.sqrt(2 * 2000))


def marginal(theta: Params, features: Tensor, y: Tensor) -> float:
    """The log density of all of a task's targets at once, in its textbook form, over all tasks."""
    inputs = torch.cat([features, torch.ones_like(features[..., :1])], dim=-1)
    noise = theta[NOISE].exp() * torch.eye(y.shape[1], dtype=y.dtype)
    mean = inputs @ torch.cat([theta[WEIGHT][0], theta[BIAS]])
    of_y = inputs @ covariance(theta) @ inputs.mT + noise
    normal = torch.distributions.MultivariateNormal(mean, of_y)
    return float(normal.log_prob(y[..., 0]).sum())  # type: ignore[no-untyped-call]


def test_every_round_makes_the_training_tasks_likelier() -> None:
    features, y = parabolas(200, 8, seed=2)

    found = [marginal(fit_prior(features, y, rounds=n), features, y) for n in (0, 1, 3, 10, 60)]

    assert found == sorted(found)
    assert found[-1] - found[0] > 100


@pytest.mark.parametrize(("unit", "shift"), [(1000.0, 7000.0), (1e-3, -5.0)])
def test_a_fitted_prior_moves_along_with_the_units_of_its_targets(
    unit: float, shift: float
) -> None:
    features, y = parabolas(100, 10, seed=3)
    plain, other = fit_prior(features, y), fit_prior(features, y * unit + shift)

    assert torch.allclose(other[WEIGHT], plain[WEIGHT] * unit, rtol=1e-6)
    assert torch.allclose(other[BIAS], plain[BIAS] * unit + shift, rtol=1e-6)
    assert torch.allclose(other[NOISE], plain[NOISE] + 2 * math.log(unit), atol=1e-6)
    assert torch.allclose(other[FACTOR], plain[FACTOR], atol=1e-5)


@pytest.mark.parametrize("y", [torch.zeros(5, 4, 1), torch.full((5, 4, 1), 3.0)])
def test_tasks_that_are_all_the_same_constant_have_a_prior(y: Tensor) -> None:
    features, _ = parabolas(5, 4, seed=4)

    found = fit_prior(features.float(), y)

    mean, deviation = predictive(
        posterior(found, features.float()[:, :2], y[:, :2]), features.float()
    )
    assert torch.allclose(mean, y, atol=1e-3)
    assert bool(deviation.isfinite().all())


def test_steps_by_gradient_make_better_features_than_the_start_has() -> None:
    tasks, written = series(), recipe(150)
    before, _ = trained(1, tasks)

    after, _ = trained(150, tasks)

    shape = EpisodeShape(way=1, shot=4, query=10)
    drawn = tasks.draw("test", 200, shape, torch.Generator().manual_seed(9))
    errors = []
    for state in (before, after):
        with torch.no_grad():
            params, queries = posterior_of(build_learner(written), state.meta.theta, drawn)
            mean, _ = predictive(params, queries)
        errors.append((mean - drawn.query_y).square().mean().item())
    assert errors[1] < errors[0]


def test_targets_in_other_units_are_learned_alike() -> None:
    _, plain = trained(20, series())

    _, other = trained(20, series(unit=1000.0, shift=0.0))

    assert other == pytest.approx([loss + math.log(1000) for loss in plain], abs=2e-2)


def test_a_step_is_taken_on_the_likelihood_alone_and_moves_all_of_theta() -> None:
    state, _ = trained(1, series())
    before = {name: tensor.detach().clone() for name, tensor in state.meta.theta.items()}
    drawn = series().draw(
        "train", 5, EpisodeShape(way=1, shot=3, query=5), torch.Generator().manual_seed(1)
    )

    bayesian_step(build_learner(recipe(1)), state.meta, drawn, state.optimiser)

    assert all(not torch.equal(before[n], state.meta.theta[n]) for n in before)
