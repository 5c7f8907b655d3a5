"""The Bayesian last layer: regression in closed form (ALPaCA, Harrison, Sharma and Pavone 2018).

A feature vector f (D,) is extended by a 1, f~ (D + 1,). An output n is y = w_n . f~ + noise, whose
variance σ_n² the outputs do not share, with w_n ~ N(m_n, σ_n² Λ0^-1). θ holds what the training
tasks have in common: ``head.weight`` (N, D) and ``head.bias`` (N,), the mean m, so that θ as it is
predicts like any linear head; ``head.factor`` (D + 1, D + 1), of the precision Λ0 = F F^T; and
``head.noise`` (N,), log σ_n². F is lower-triangular and stored with the logarithms of its diagonal;
what stands above the diagonal counts for nothing: every factor gives a positive definite Λ0.

Pure functions of tensors; everything is solved in float64 and given in the dtype of the features.
"""

import math

import torch
from torch import Tensor

from models.normalisation import Params

WEIGHT, BIAS = "head.weight", "head.bias"
FACTOR, NOISE, COVARIANCE = "head.factor", "head.noise", "head.covariance"

NOISE_SHARE = 0.01  # of the variance of the outputs, before anything is known of them
JITTER = 1e-12  # of a matrix's diagonal; above float64's rounding, below what data can tell


def initial_prior(outputs: int, features: int) -> Params:
    """The prior of outputs around unit scale before any data: mean 0, weights of variance 1 / D and
    biases of variance 1.
    """
    level = torch.full((features + 1,), NOISE_SHARE * features)
    level[-1] = NOISE_SHARE
    return {
        WEIGHT: torch.zeros(outputs, features),
        BIAS: torch.zeros(outputs),
        FACTOR: (level.log() / 2).diag(),
        NOISE: torch.full((outputs,), math.log(NOISE_SHARE)),
    }


def posterior(theta: Params, features: Tensor, y: Tensor, mask: Tensor | None = None) -> Params:
    """The head's posterior given a support set (ALPaCA, eq. 4 and 5, Algorithm 1).

    Λ = Λ0 + Σ_s f~_s f~_s^T, mean = m + Λ^-1 Σ_s f~_s (y_s - m . f~_s). features: (E, S, D);
    y: (E, S, N); mask: (E, S) bool, True where an example counts; all of them without E for one
    episode, and S may be 0. Differentiable in theta and features.

    Gives ``head.weight`` (E, N, D), ``head.bias`` (E, N), ``head.covariance`` (E, D + 1, D + 1)
    = Λ^-1, and ``head.noise`` (E, N): σ_n² itself, no longer its logarithm.
    """
    inputs, targets = extended(features), y.double()
    if mask is not None:
        inputs = torch.where(mask[..., None], inputs, 0)
        targets = torch.where(mask[..., None], targets, 0)
    mean, factor = prior_mean(theta), prior_factor(theta)
    covariance = inverse(factor @ factor.mT + inputs.mT @ inputs)
    moved = mean + covariance @ (inputs.mT @ (targets - inputs @ mean))  # (E, D + 1, N)
    noise = theta[NOISE].double().exp()
    told = {
        WEIGHT: moved[..., :-1, :].mT,
        BIAS: moved[..., -1, :],
        COVARIANCE: covariance,
        NOISE: noise.expand(*features.shape[:-2], len(noise)),
    }
    return {name: value.to(features.dtype) for name, value in told.items()}


def predictive(params: Params, features: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and the standard deviation of y at queries, each (E, Q, N) (ALPaCA, eq. 6).

    params: of ``posterior``; features: (E, Q, D). The variance is σ_n² (1 + f~^T Λ^-1 f~): of a
    value that is measured, its noise included. All without E for one episode.
    """
    mean, variance = _predictive(params, features)
    return mean.to(features.dtype), variance.sqrt().to(features.dtype)


def log_likelihood(params: Params, features: Tensor, y: Tensor) -> Tensor:
    """(E,) the log density of y (E, Q, N) under ``predictive``, the mean over queries and outputs
    (ALPaCA, eq. 7, with the sign turned). One episode without E gives one number.
    """
    mean, variance = _predictive(params, features)
    each = (y.double() - mean).square() / variance + variance.log() + math.log(2 * math.pi)
    return (-0.5 * each.mean(dim=(-2, -1))).to(features.dtype)


def extended(features: Tensor) -> Tensor:
    """(…, D) features -> (…, D + 1) float64, a 1 behind each."""
    return torch.cat([features, torch.ones_like(features[..., :1])], dim=-1).double()


def prior_mean(theta: Params) -> Tensor:
    """(D + 1, N) float64: the weights and behind them the bias."""
    return torch.cat([theta[WEIGHT], theta[BIAS][:, None]], dim=1).double().T


def prior_factor(theta: Params) -> Tensor:
    """F, (D + 1, D + 1) float64, lower-triangular with a positive diagonal."""
    stored = theta[FACTOR].double()
    return stored.tril(-1) + stored.diagonal().exp().diag()


def inverse(matrix: Tensor) -> Tensor:
    """The inverse of positive definite matrices (…, D, D) float64, by Cholesky, symmetric.

    Rows and columns are scaled to a diagonal of 1 first: features of very different sizes cost no
    digits, and no finite matrix is refused.
    """
    scale = matrix.diagonal(dim1=-2, dim2=-1).rsqrt()
    apart = scale[..., :, None] * scale[..., None, :]
    steadied = matrix * apart + JITTER * torch.eye(matrix.shape[-1], dtype=matrix.dtype).to(matrix)
    found = torch.cholesky_inverse(torch.linalg.cholesky(steadied)) * apart
    return (found + found.mT) / 2


def _predictive(params: Params, features: Tensor) -> tuple[Tensor, Tensor]:
    inputs = extended(features)
    weight, bias = params[WEIGHT].double(), params[BIAS].double()
    mean = inputs[..., :-1] @ weight.mT + bias.unsqueeze(-2)
    spread = (inputs @ params[COVARIANCE].double() * inputs).sum(dim=-1).clamp(min=0)
    return mean, params[NOISE].double().unsqueeze(-2) * (1 + spread[..., None])
