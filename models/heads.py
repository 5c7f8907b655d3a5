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

from models.episodes import Examples
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


def start_head(
    head: Head, theta: Params, features: Tensor, support: Examples, outputs: int
) -> Params:
    """The heads before the first inner step, (E, N, D) and (E, N); features (E, S, D).

    A linear head gives its first ``outputs`` rows, the same for all E; a prototype head is
    differentiable in ``features``, and takes the classes ``y`` (E, S) of the examples that count.
    """
    if head.kind == "linear":
        rows = {WEIGHT: theta[WEIGHT][:outputs], BIAS: theta[BIAS][:outputs]}
        return {name: value.expand(len(features), *value.shape) for name, value in rows.items()}
    members = F.one_hot(support["y"], outputs).to(features.dtype)  # (E, S, N)
    if support.mask is not None:
        members = members * support.mask[..., None]
    prototypes = (members.mT @ features) / members.sum(dim=1)[..., None]
    return {
        WEIGHT: 2 * head.scale * prototypes,
        BIAS: -head.scale * prototypes.square().sum(dim=-1),
    }


def apply_head(params: Params, features: Tensor) -> Tensor:
    """(B, D) features -> (B, N) scores or values; or all with (E,) in front."""
    return features @ params[WEIGHT].mT + params[BIAS].unsqueeze(-2)
