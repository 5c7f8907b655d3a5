"""The heads: from feature vectors to class scores or values, and where they start an adaptation
from.

``linear``     a learned layer, part of θ; for classification of at most N classes, or for
regression.
``prototype``  starts at each class's mean support feature (ProtoMAML, Triantafillou et al. 2020):
               W_k = 2 s c_k, b_k = -s |c_k|², so that a score is -s |f - c_k|² up to a constant;
               any number of classes, and no parameters of its own in θ.
``bayesian``   a linear head with a prior around it, for regression (models/heads/bayesian.py).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from models.episodes import Examples
from models.heads.bayesian import BIAS as BIAS
from models.heads.bayesian import WEIGHT as WEIGHT
from models.heads.bayesian import initial_prior
from models.normalisation import Params

RELATIVE = 6.0  # cross-entropy of sentence embeddings, 5 to 77 classes: best from 4 to 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """kind; outputs: rows of a linear head (classes, or values); scale: s of a prototype head, or 0
    for ``RELATIVE`` over the mean squared distance of the support set from its mean.
    """

    kind: Literal["linear", "prototype", "bayesian"]
    outputs: int = 0
    scale: float = 1.0


def initial_head(head: Head, features: int, generator: torch.Generator) -> Params:
    """What θ holds of the head before meta-training: nothing for prototypes."""
    if head.kind == "prototype":
        return {}
    if head.kind == "bayesian":
        return initial_prior(head.outputs, features)
    bound = (6 / (features + head.outputs)) ** 0.5  # Glorot and Bengio 2010
    weight = torch.rand(head.outputs, features, generator=generator) * 2 * bound - bound
    return {WEIGHT: weight, BIAS: torch.zeros(head.outputs)}


def start_head(
    head: Head, theta: Params, features: Tensor, support: Examples, outputs: int
) -> Params:
    """The heads before the first inner step, (E, N, D) and (E, N); features (E, S, D).

    A linear head gives its first ``outputs`` rows, the same for all E; a prototype head is
    differentiable in ``features``, and takes the classes ``y`` (E, S) of the examples that count.
    """
    if head.kind != "prototype":
        rows = {WEIGHT: theta[WEIGHT][:outputs], BIAS: theta[BIAS][:outputs]}
        return {name: value.expand(len(features), *value.shape) for name, value in rows.items()}
    members = F.one_hot(support["y"], outputs).to(features.dtype)  # (E, S, N)
    if support.mask is not None:
        members = members * support.mask[..., None]
    prototypes = (members.mT @ features) / members.sum(dim=1)[..., None]
    scale = _scale(head, features, members.sum(dim=2))
    return {
        WEIGHT: 2 * scale * prototypes,
        BIAS: -scale[..., 0] * prototypes.square().sum(dim=-1),
    }


def _scale(head: Head, features: Tensor, counts: Tensor) -> Tensor:
    """(E, 1, 1); counts: (E, S), 1 where an example counts."""
    if head.scale:
        return features.new_full((len(features), 1, 1), head.scale)
    number, weights = counts.sum(dim=1)[:, None, None], counts[..., None]
    centre = (features * weights).sum(dim=1, keepdim=True) / number
    apart = (features - centre).square().sum(dim=2, keepdim=True) * weights
    around = apart.sum(dim=1, keepdim=True) / number
    return RELATIVE / torch.where(around > 0, around, 1.0).clamp(min=1e-30)


def linear_scores(params: Params, features: Tensor) -> Tensor:
    """(B, D) features -> (B, N) scores or values; or all with (E,) in front."""
    return features @ params[WEIGHT].mT + params[BIAS].unsqueeze(-2)
