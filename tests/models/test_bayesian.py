"""The Bayesian last layer against textbook regression, Gaussian processes and differences."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.heads.bayesian import (
    BIAS,
    COVARIANCE,
    FACTOR,
    NOISE,
    WEIGHT,
    initial_prior,
    log_likelihood,
    posterior,
    predictive,
)
from models.normalisation import Params

Array = NDArray[np.float64]
E, S, Q, D, N = 3, 6, 4, 2, 2


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_prior() -> Params:
    """Nothing in it is zero, above the diagonal of the factor either."""
    return {
        WEIGHT: drawn(N, D, seed=1),
        BIAS: drawn(N, seed=2),
        FACTOR: 0.5 * drawn(D + 1, D + 1, seed=3),
        NOISE: 0.3 * drawn(N, seed=4) - 2,
    }


def in_numpy(theta: Params, output: int) -> tuple[Array, Array, float]:
    """The prior of one output in textbook form: mean (D + 1,), covariance, noise variance."""
    stored = theta[FACTOR].numpy()
    factor = np.tril(stored, -1) + np.diag(np.exp(np.diag(stored)))
    noise = math.exp(theta[NOISE][output].item())
    mean = np.append(theta[WEIGHT][output].numpy(), theta[BIAS][output])
    return mean, noise * np.linalg.inv(factor @ factor.T), noise


def with_ones(features: Tensor) -> Array:
    return np.concatenate([features.numpy(), np.ones((len(features), 1))], axis=1)


def test_the_posterior_is_that_of_textbook_linear_regression() -> None:
    theta, features, y = some_prior(), drawn(E, S, D, seed=5), drawn(E, S, N, seed=6)

    found = posterior(theta, features, y)

    for e in range(E):
        for n in range(N):
            mean, covariance, noise = in_numpy(theta, n)
            inputs, before = with_ones(features[e]), np.linalg.inv(covariance)
            after = np.linalg.inv(before + inputs.T @ inputs / noise)
            moved = after @ (before @ mean + inputs.T @ y[e, :, n].numpy() / noise)
            assert np.allclose(found[WEIGHT][e, n].numpy(), moved[:-1], atol=1e-9)
            assert np.allclose(found[BIAS][e, n].numpy(), moved[-1], atol=1e-9)
            assert np.allclose(noise * found[COVARIANCE][e].numpy(), after, atol=1e-9)
            assert found[NOISE][e, n].item() == pytest.approx(noise)


def test_predictions_are_those_of_a_gaussian_process_with_the_kernel_of_the_prior() -> None:
    theta, features, y = some_prior(), drawn(E, S, D, seed=5), drawn(E, S, N, seed=6)
    queries = drawn(E, Q, D, seed=7)

    means, deviations = predictive(posterior(theta, features, y), queries)

    for e in range(E):
        for n in range(N):
            mean, covariance, noise = in_numpy(theta, n)
            inputs, asked = with_ones(features[e]), with_ones(queries[e])
            gram = inputs @ covariance @ inputs.T + noise * np.eye(S)
            across = asked @ covariance @ inputs.T
            told = asked @ mean + across @ np.linalg.solve(gram, y[e, :, n].numpy() - inputs @ mean)
            left = asked @ covariance @ asked.T - across @ np.linalg.solve(gram, across.T)
            assert np.allclose(means[e, :, n].numpy(), told, atol=1e-9)
            assert np.allclose(deviations[e, :, n].numpy() ** 2, np.diag(left) + noise, atol=1e-9)


def test_the_log_likelihood_is_the_mean_of_normal_log_densities() -> None:
    params = posterior(some_prior(), drawn(E, S, D, seed=5), drawn(E, S, N, seed=6))
    queries, y = drawn(E, Q, D, seed=7), drawn(E, Q, N, seed=8)

    found = log_likelihood(params, queries, y)

    normal = torch.distributions.Normal(*predictive(params, queries))
    assert torch.allclose(found, normal.log_prob(y).mean(dim=(1, 2)), atol=1e-12)


def test_gradients_in_theta_features_and_targets_are_finite_differences() -> None:
    theta = some_prior()
    names = list(theta)
    features, queries = drawn(E, S, D, seed=5), drawn(E, Q, D, seed=7)
    y, asked = drawn(E, S, N, seed=6), drawn(E, Q, N, seed=8)

    def likelihood(features: Tensor, queries: Tensor, y: Tensor, *values: Tensor) -> Tensor:
        params = posterior(dict(zip(names, values, strict=True)), features, y)
        return log_likelihood(params, queries, asked)

    inputs = [t.requires_grad_() for t in (features, queries, y, *theta.values())]
    assert torch.autograd.gradcheck(likelihood, inputs)


def test_a_support_set_of_nothing_leaves_the_prior() -> None:
    theta = some_prior()

    found = posterior(theta, drawn(E, 0, D, seed=5), drawn(E, 0, N, seed=6))

    _, covariance, noise = in_numpy(theta, 0)
    assert torch.allclose(found[WEIGHT], theta[WEIGHT].expand(E, N, D))
    assert torch.allclose(found[BIAS], theta[BIAS].expand(E, N))
    assert np.allclose(noise * found[COVARIANCE].numpy(), covariance, rtol=1e-9)


def test_masked_examples_are_as_if_they_were_not_there_whatever_they_hold() -> None:
    theta, features, y = some_prior(), drawn(E, S, D, seed=5), drawn(E, S, N, seed=6)
    kept = posterior(theta, features[:, :4], y[:, :4])
    features[:, 4:], y[:, 4:] = math.nan, math.inf
    mask = (torch.arange(S) < 4).expand(E, S)

    found = posterior(theta, features, y, mask)

    assert all(torch.allclose(found[name], kept[name], atol=1e-12) for name in kept)


def test_an_episode_alone_gives_what_it_gives_among_others() -> None:
    theta, features, y = some_prior(), drawn(E, S, D, seed=5), drawn(E, S, N, seed=6)
    queries, together = drawn(E, Q, D, seed=7), posterior(theta, features, y)

    alone = posterior(theta, features[1], y[1])

    assert all(torch.allclose(alone[name], together[name][1], atol=1e-12) for name in alone)
    told, among = predictive(alone, queries[1]), predictive(together, queries)
    assert torch.allclose(told[0], among[0][1])
    assert torch.allclose(told[1], among[1][1])


def test_many_equal_points_give_their_mean_and_the_noise() -> None:
    """A limit in closed form: what is measured a million times is known but for its noise."""
    theta = initial_prior(1, D)
    features = torch.tensor([0.3, -0.7]).expand(10_000, D)

    found = posterior(theta, features, torch.full((10_000, 1), 2.0))

    mean, deviation = predictive(found, features[:1])
    assert mean.item() == pytest.approx(2.0, abs=1e-4)
    assert deviation.item() == pytest.approx(math.exp(theta[NOISE].item() / 2), rel=1e-3)


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e6, 1e12])
def test_features_of_any_size_are_solved_and_predicted_without_a_fault(size: float) -> None:
    theta = initial_prior(1, 3)
    x = torch.linspace(-1, 1, 7)[:, None] * size
    features = torch.cat([x, x, x**2 / size], dim=1)  # two of them the same

    found = posterior(theta, features, x / size)

    mean, deviation = predictive(found, features)
    assert all(bool(tensor.isfinite().all()) for tensor in (*found.values(), mean, deviation))
    assert found[COVARIANCE].dtype == torch.float32
    assert bool((deviation >= math.exp(theta[NOISE].item() / 2) * (1 - 1e-6)).all())
