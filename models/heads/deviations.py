"""The head of a policy: beside the linear layer that gives an action's mean, the logarithms of its
standard deviations, which no observation changes and an adaptation moves (Finn et al. 2017).
"""

import math
from typing import Final

import torch
from torch import Tensor

from models.normalisation import Params

LOG_STD: Final = "head.log_std"
LEAST_LOG_STD: Final = math.log(1e-6)  # as in the authors' code


def with_deviations(params: Params, means: Tensor) -> Tensor:
    """(B, A) means -> (B, 2 A), the deviations behind them; or all with (E,) in front."""
    deviations = params[LOG_STD].clamp(min=LEAST_LOG_STD).exp().unsqueeze(-2)
    return torch.cat([means, deviations.expand_as(means)], dim=-1)
