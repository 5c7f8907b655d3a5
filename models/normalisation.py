"""Normalisation by the examples of an episode, and the statistics that a service keeps of them.

A layer normalises by the batch at hand (``batch``: transductive, as in Finn et al. 2017), or by
statistics that an earlier forward recorded (``support``: MetaBN in Bronskill et al. 2020,
TaskNorm). The second makes a prediction depend on its adaptation and its own input alone. A prior
steadies the statistics of a small support set. This file knows no loss and no episode.
"""

from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

Params = dict[str, Tensor]
Statistics = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """Statistics of the training distribution that count as ``examples`` more examples.

    A layer's mean and variance become those of the pooled sample, so that two support pictures do
    not decide alone, and twenty still do.
    """

    statistics: Statistics
    examples: float

    def to(self, device: torch.device) -> "Prior":
        """The same prior on that device."""
        moved = {name: tensor.to(device) for name, tensor in self.statistics.items()}
        return Prior(statistics=moved, examples=self.examples)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Forward:
    """One forward pass: the statistics it is given (none: the batch's own) and those it used."""

    given: Statistics | None
    prior: Prior | None = None
    recorded: bool = True
    used: Statistics = field(default_factory=dict)


_CURRENT: ContextVar[_Forward] = ContextVar("forward")


class EpisodeNorm(nn.Module):
    """Zero mean and unit variance per channel, then a learned bias; no scale, no running averages.

    x: (B, C, …) float32 -> the same shape. Biased variance and eps 1e-3, as in Finn et al. 2017.
    Works inside ``forward`` of this module only.
    """

    def __init__(self, channels: int, *, eps: float = 1e-3) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps
        self.path = ""

    def forward(self, x: Tensor) -> Tensor:
        current = _CURRENT.get()
        if not current.recorded:
            # CUDA's gradient of a bias without a weight has a wrong shape (torch 2.11).
            ones = torch.ones_like(self.bias) if x.is_cuda else None
            return F.batch_norm(x, None, None, ones, self.bias, training=True, eps=self.eps)
        mean, var = self._statistics(x, current)
        current.used[f"{self.path}.mean"], current.used[f"{self.path}.var"] = mean, var
        scale = torch.rsqrt(var + self.eps)
        shift = self.bias - mean * scale
        channelwise = (-1,) + (1,) * (x.dim() - 2)
        return x * scale.view(channelwise) + shift.view(channelwise)

    def _statistics(self, x: Tensor, current: _Forward) -> tuple[Tensor, Tensor]:
        if current.given is not None:
            return self._from(current.given)
        axes = [axis for axis in range(x.dim()) if axis != 1]
        var, mean = torch.var_mean(x, dim=axes, correction=0)
        if current.prior is None:
            return mean, var
        share = len(x) / (len(x) + current.prior.examples)
        return pooled(mean, var, *self._from(current.prior.statistics), share)

    def _from(self, given: Statistics) -> tuple[Tensor, Tensor]:
        return given[f"{self.path}.mean"], given[f"{self.path}.var"]


def pooled(
    mean: Tensor, var: Tensor, prior_mean: Tensor, prior_var: Tensor, share: float
) -> tuple[Tensor, Tensor]:
    """Mean and variance of two samples put together, the first of them with this share."""
    gap = mean - prior_mean
    within = torch.lerp(prior_var, var, share)
    spread = torch.addcmul(within, gap, gap, value=share * (1 - share))
    return torch.lerp(prior_mean, mean, share), spread


def name_layers(network: nn.Module) -> nn.Module:
    """The same network, each of its normalisation layers told the name its statistics go by."""
    for path, layer in network.named_modules():
        if isinstance(layer, EpisodeNorm):
            layer.path = path
    return network


def normalises(network: nn.Module) -> bool:
    """Whether any layer normalises by the examples of an episode."""
    return any(isinstance(layer, EpisodeNorm) for layer in network.modules())


def forward(
    network: nn.Module,
    params: Params | None,
    x: Tensor,
    statistics: Statistics | None = None,
    *,
    prior: Prior | None = None,
) -> tuple[Tensor, Statistics]:
    """The network's output for x under ``params``, and the statistics that normalised it.

    x: (B, …). ``statistics`` None: those of x itself, pooled with ``prior`` where there is one,
    differentiable in params and x. ``params`` None: the network's own; only then may threads share
    the network, for a substitution swaps its parameters in place and back.
    """
    current = _Forward(given=statistics, prior=prior)
    return _run(network, params, x, current), current.used


def forward_together(network: nn.Module, params: Params, x: Tensor) -> Tensor:
    """The network's output for x, normalised by x itself; no statistics are kept, which is twice
    as fast.
    """
    return _run(network, params, x, _Forward(given=None, recorded=False))


def _run(network: nn.Module, params: Params | None, x: Tensor, current: _Forward) -> Tensor:
    token = _CURRENT.set(current)
    try:
        output: Tensor = network(x) if params is None else functional_call(network, params, (x,))
        return output
    finally:
        _CURRENT.reset(token)
