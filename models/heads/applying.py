"""Whichever head a model has, from features to scores or values."""

import torch
from torch import Tensor

from models.heads.bayesian import COVARIANCE, predictive
from models.heads.deviations import LOG_STD, with_deviations
from models.heads.kernel import SPREAD, kernel_scores
from models.heads.layer import linear_scores
from models.heads.novelty import KNOWN, with_novelty
from models.normalisation import Params


def apply_head(params: Params, features: Tensor, x: Tensor) -> Tensor:
    """(B, D) features and their inputs (B, …) -> (B, N) scores or values; or all with (E,) in
    front. A Bayesian head gives (B, 2 N): the values, and behind them their standard deviations, as
    that of a policy does of an action; a head that knows the inputs it is for (B, N + 1), as
    ``models/heads/novelty.py`` has it.
    """
    if COVARIANCE in params:
        return torch.cat(predictive(params, features), dim=-1)
    if LOG_STD in params:
        return with_deviations(params, linear_scores(params, features))
    of_kernel = SPREAD in params
    scores = kernel_scores(params, features, x) if of_kernel else linear_scores(params, features)
    return with_novelty(params, scores, features) if KNOWN in params else scores
