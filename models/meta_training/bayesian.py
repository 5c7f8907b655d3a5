"""Meta-training of the Bayesian last layer: first its prior by the training tasks in closed form,
then body and prior together by gradient (ALPaCA, Harrison et al. 2018, Algorithm 1).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from models.engine.layers import forward_stacked
from models.episodes import Episodes, EpisodeShape, TaskDistribution
from models.heads.bayesian import (
    BIAS,
    FACTOR,
    NOISE,
    NOISE_SHARE,
    WEIGHT,
    extended,
    inverse,
    log_likelihood,
    posterior,
    predictive,
)
from models.learner import Learner
from models.normalisation import Params, Statistics
from models.outer_loop import MetaParams, OuterResult, check_finite

TASKS = 256  # that the prior is fitted to, drawn
ROUNDS = 60  # of expectation and maximisation
STARTS_COUNT_AS = 0.1  # tasks: what the start of the prior's covariance weighs beside the data

TINY = 1e-9


class _Prior(NamedTuple):
    """mean (D + 1, N), covariance (D + 1, D + 1) in units of the noise (N,), all float64."""

    mean: Tensor
    covariance: Tensor
    noise: Tensor


def fit_prior(features: Tensor, y: Tensor, *, rounds: int = ROUNDS) -> Params:
    """The head's part of θ under which T training tasks are likeliest, by expectation and
    maximisation (empirical Bayes for hierarchical linear regression, Dempster, Laird and Rubin
    1977).

    features: (T, P, D); y: (T, P, N). Targets of any scale and shift: what it gives moves along.
    """
    inputs, targets = extended(features), y.double()
    start = prior = _first(inputs, targets)
    for _ in range(rounds):
        prior = _likelier(prior, start, inputs, targets)
    factor = torch.linalg.cholesky(inverse(prior.covariance))
    stored = factor.tril(-1) + factor.diagonal().log().diag()
    told = {
        WEIGHT: prior.mean[:-1].T,
        BIAS: prior.mean[-1],
        FACTOR: stored,
        NOISE: prior.noise.log(),
    }
    return {name: value.to(features.dtype).contiguous() for name, value in told.items()}


def start_prior(
    learner: Learner,
    meta: MetaParams,
    distribution: TaskDistribution,
    shape: EpisodeShape,
    generator: torch.Generator,
) -> None:
    """Sets the head of θ to the prior of training tasks, under the body's features as they are;
    support and query of an episode together are the points of its task.
    """
    drawn = distribution.draw("train", TASKS, shape, generator)
    x = torch.cat([drawn.support_x, drawn.query_x], dim=1)
    y = torch.cat([drawn.support_y, drawn.query_y], dim=1)
    device = meta.tensors()[0].device
    with torch.no_grad():
        features, _ = _features(learner, meta.theta, x.to(device))
        for name, value in fit_prior(features, y.to(device)).items():
            meta.theta[name].copy_(value)


def bayesian_step(
    learner: Learner, meta: MetaParams, episodes: Episodes, optimiser: torch.optim.Optimizer
) -> OuterResult:
    """One update of body and prior by the negative log likelihood of the queries, each under the
    posterior of its episode's support (ALPaCA, eq. 8, Algorithm 1).

    The score is the mean squared error of the posterior's mean.
    """
    optimiser.zero_grad(set_to_none=True)
    params, queries = posterior_of(learner, meta.theta, episodes)
    loss = -log_likelihood(params, queries, episodes.query_y.double()).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    check_finite(loss.item(), meta)
    _step_in_units_of_noise(meta.theta, optimiser)
    with torch.no_grad():
        mean, _ = predictive(params, queries)
        score = (mean - episodes.query_y).square().mean()
    return OuterResult(loss=loss.item(), score=score.item())


def posterior_of(learner: Learner, theta: Params, episodes: Episodes) -> tuple[Params, Tensor]:
    """The posterior of every episode's head, and the features of its queries (E, Q, D), float64."""
    features, statistics = _features(learner, theta, episodes.support_x)
    queries, _ = _features(learner, theta, episodes.query_x, statistics)
    return posterior(theta, features.double(), episodes.support_y), queries.double()


def _features(
    learner: Learner, theta: Params, x: Tensor, statistics: Statistics | None = None
) -> tuple[Tensor, Statistics]:
    """(E, B, …) inputs -> (E, B, D) under the one body of all episodes."""
    body = {n: t.expand(len(x), *t.shape) for n, t in theta.items() if not n.startswith("head.")}
    return forward_stacked(learner.network, body, x, statistics)


def _step_in_units_of_noise(theta: Params, optimiser: torch.optim.Optimizer) -> None:
    """The optimiser's step, with the prior's mean measured in deviations of the noise, so that
    targets of any scale learn alike.
    """
    unit = (theta[NOISE].detach() / 2).exp()
    units = {WEIGHT: unit[:, None], BIAS: unit}
    before = {name: theta[name].detach().clone() for name in units}
    for name, size in units.items():
        gradient = theta[name].grad
        assert gradient is not None
        gradient.mul_(size)
    optimiser.step()
    with torch.no_grad():
        for name, size in units.items():
            theta[name].copy_(before[name] + size * (theta[name] - before[name]))


def _first(inputs: Tensor, targets: Tensor) -> _Prior:
    """A wide prior around the mean of all targets, in units of the features' sizes."""
    width = inputs.shape[-1]
    mean = inputs.new_zeros(width, targets.shape[-1])
    mean[-1] = targets.mean(dim=(0, 1))
    apart = (targets - mean[-1]).square().mean(dim=(0, 1))
    noise = NOISE_SHARE * apart.clamp(min=TINY * (1 + mean[-1].square()))
    sizes = inputs.square().mean(dim=(0, 1))
    sizes = sizes.clamp(min=TINY * sizes.max())
    return _Prior(mean, (1 / (NOISE_SHARE * width * sizes)).diag(), noise)


def _likelier(prior: _Prior, start: _Prior, inputs: Tensor, targets: Tensor) -> _Prior:
    """One round: the posterior of every task, then the prior that suits all of them best."""
    precision = inverse(prior.covariance)
    spread = inverse(precision + inputs.mT @ inputs)  # (T, D + 1, D + 1)
    moved = spread @ (inputs.mT @ (targets - inputs @ prior.mean))  # (T, D + 1, N)
    rest = targets - inputs @ (prior.mean + moved)
    misfit = rest.square().sum(dim=(0, 1)) + (moved * (precision @ moved)).sum(dim=(0, 1))
    noise = (misfit / (len(rest) * rest.shape[1])).clamp(min=TINY * start.noise)
    mean = prior.mean + moved.mean(dim=0)
    apart = (moved - moved.mean(dim=0)) / noise.sqrt()
    outer = torch.einsum("tin,tjn->ij", apart, apart) / apart.shape[-1] + spread.sum(dim=0)
    covariance = (outer + STARTS_COUNT_AS * start.covariance) / (len(rest) + STARTS_COUNT_AS)
    return _Prior(mean, covariance, noise)
