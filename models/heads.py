"""The heads: from feature vectors to class scores or values, and where they start an adaptation
from.

``linear``     a learned layer, part of θ; for classification of at most N classes, or for
regression.
``prototype``  starts at each class's mean support feature (ProtoMAML, Triantafillou et al. 2020):
               W_k = 2 s c_k, b_k = -s |c_k|², so that a score is -s |f - c_k|² up to a constant;
               any number of classes, and no parameters of its own in θ.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from models.normalisation import Params

WEIGHT, BIAS = "head.weight", "head.bias"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """kind; outputs: rows of a linear head (classes, or values); scale: s of a prototype head."""

    kind: Literal["linear", "prototype"]
    outputs: int = 0
    scale: float = 1.0


def initial_head(head: Head, features: int, generator: torch.Generator) -> Params:
    """What θ holds of the head before meta-training: nothing for prototypes."""
    if head.kind == "prototype":
        return {}
    bound = (6 / (features + head.outputs)) ** 0.5  # Glorot and Bengio 2010
    weight = torch.rand(head.outputs, features, generator=generator) * 2 * bound - bound
    return {WEIGHT: weight, BIAS: torch.zeros(head.outputs)}


def start_head(head: Head, theta: Params, features: Tensor, y: Tensor, outputs: int) -> Params:
    """The head's parameters before the first inner step; ``features`` (S, D), y (S,) int64.

    A linear head gives its first ``outputs`` rows; a prototype head is differentiable in
    ``features``.
    """
    if head.kind == "linear":
        return {WEIGHT: theta[WEIGHT][:outputs], BIAS: theta[BIAS][:outputs]}
    members = F.one_hot(y, outputs).to(features.dtype)  # (S, N)
    prototypes = (members.T @ features) / members.sum(dim=0)[:, None]
    return {
        WEIGHT: 2 * head.scale * prototypes,
        BIAS: -head.scale * prototypes.square().sum(dim=1),
    }


def apply_head(params: Params, features: Tensor) -> Tensor:
    """(B, D) features -> (B, N) scores or values."""
    return features @ params[WEIGHT].T + params[BIAS]
