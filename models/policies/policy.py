"""The policy: a network, a linear layer on its features, and of a Gaussian its deviations, which
are adapted like the rest (Finn et al. 2017, appendix A.2).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.engine.layers import forward_stacked
from models.heads.deviations import LEAST_LOG_STD, LOG_STD
from models.heads.layer import BIAS, WEIGHT, linear_scores
from models.networks import build_network, shape_of_features
from models.normalisation import Params
from models.policies.distributions import Categorical, Distribution, Gaussian


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """actions: numbers of one action, or choices where it is discrete."""

    network: nn.Module
    actions: int
    discrete: bool = False

    def __call__(self, params: Params, observations: Tensor) -> Distribution:
        """What E policies do on observations (E, …, D); params lead with (E,)."""
        rows = observations.flatten(1, -2)
        body = {name: value for name, value in params.items() if not name.startswith("head.")}
        features, _ = forward_stacked(self.network, body, rows)
        outputs = linear_scores(params, features).view(*observations.shape[:-1], self.actions)
        if self.discrete:
            return Categorical(outputs)
        log_std = params[LOG_STD].clamp(min=LEAST_LOG_STD)
        return Gaussian(outputs, log_std.view(len(log_std), *[1] * (outputs.dim() - 2), -1))


def policy_of(network: Mapping[str, Any], *, actions: int, discrete: bool) -> Policy:
    """The policy that a file's metadata describes. Raises ValueError for an unknown network."""
    config = {name: value for name, value in network.items() if name != "name"}
    built = build_network(network["name"], config).requires_grad_(False)
    return Policy(network=built, actions=actions, discrete=discrete)


def initial_policy(policy: Policy, observation_size: int, generator: torch.Generator) -> Params:
    """θ before meta-training: Glorot and Bengio 2010, biases and the log of deviations 0."""
    features, _ = shape_of_features(policy.network, (observation_size,))
    shapes = {name: value.shape for name, value in policy.network.named_parameters()}
    shapes |= {WEIGHT: torch.Size((policy.actions, features)), BIAS: torch.Size((policy.actions,))}
    if not policy.discrete:
        shapes[LOG_STD] = torch.Size((policy.actions,))
    return {name: _drawn(shape, generator) for name, shape in shapes.items()}


def _drawn(shape: torch.Size, generator: torch.Generator) -> Tensor:
    if len(shape) < 2:
        return torch.zeros(shape)
    bound = (6 / sum(shape)) ** 0.5
    drawn: Tensor = torch.rand(shape, generator=generator) * 2 * bound - bound
    return drawn
