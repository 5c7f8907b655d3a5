"""Normalisation by the examples of an episode, and the statistics that a service keeps of them.

A layer normalises by the batch at hand (``batch``: transductive, as in Finn et al. 2017), or by
statistics that
an earlier forward recorded (``support``: MetaBN in Bronskill et al. 2020, TaskNorm). The second
makes a
prediction depend on its adaptation and its own input alone. This file knows no loss and no episode.
"""

from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.func import functional_call

Params = dict[str, Tensor]
Statistics = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Forward:
    """One forward pass: the statistics it is given (none: the batch's own) and those it used."""

    given: Statistics | None
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
        mean, var = self._of_batch(x) if current.given is None else self._from(current.given)
        current.used[f"{self.path}.mean"], current.used[f"{self.path}.var"] = mean, var
        scale = torch.rsqrt(var + self.eps)
        shift = self.bias - mean * scale
        channelwise = (-1,) + (1,) * (x.dim() - 2)
        return x * scale.view(channelwise) + shift.view(channelwise)

    def _of_batch(self, x: Tensor) -> tuple[Tensor, Tensor]:
        axes = [axis for axis in range(x.dim()) if axis != 1]
        var, mean = torch.var_mean(x, dim=axes, correction=0)
        return mean, var

    def _from(self, given: Statistics) -> tuple[Tensor, Tensor]:
        return given[f"{self.path}.mean"], given[f"{self.path}.var"]


def name_layers(network: nn.Module) -> nn.Module:
    """The same network, each of its normalisation layers told the name its statistics go by."""
    for path, layer in network.named_modules():
        if isinstance(layer, EpisodeNorm):
            layer.path = path
    return network


def forward(
    network: nn.Module, params: Params | None, x: Tensor, statistics: Statistics | None = None
) -> tuple[Tensor, Statistics]:
    """The network's output for x under ``params``, and the statistics that normalised it.

    x: (B, …). ``statistics`` None: those of x itself, differentiable in params and x. ``params``
    None: the network's own; only then may threads share the network, for a substitution swaps its
    parameters in place and back.
    """
    current = _Forward(given=statistics)
    token = _CURRENT.set(current)
    try:
        output = network(x) if params is None else functional_call(network, params, (x,))
        return output, current.used
    finally:
        _CURRENT.reset(token)
