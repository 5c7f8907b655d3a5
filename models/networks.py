"""The bodies: from one batch of inputs to feature vectors. The head on top is models/heads.py's.

The batch over episodes is never written here; ``torch.func.vmap`` adds it from outside.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.normalisation import EpisodeNorm, forward, name_layers


class ConvBlock(nn.Module):
    """3 x 3 convolution, normalisation, ReLU; halves the picture by its stride or by max-pooling.

    x: (B, C, H, W) -> (B, filters, ceil(H / 2), ceil(W / 2)) strided, (…, H // 2, W // 2) pooled.
    No bias stands before the normalisation: it would cancel.
    """

    def __init__(self, channels: int, filters: int, *, pooled: bool) -> None:
        super().__init__()
        stride = 1 if pooled else 2
        self.conv = nn.Conv2d(channels, filters, 3, stride=stride, padding=1, bias=False)
        self.norm = EpisodeNorm(filters)
        self.pooled = pooled
        nn.init.xavier_uniform_(self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        activation = F.relu(self.norm(self.conv(x)))
        return F.max_pool2d(activation, 2) if self.pooled else activation


class Conv4(nn.Module):
    """Four convolution blocks (Vinyals et al. 2016; Finn et al. 2017, section 5.2).

    x: (B, C, H, W) -> (B, D): the mean over what is left of the picture, or all of it flattened.
    """

    def __init__(self, *, channels: int, filters: int, pooled: bool, flatten: bool) -> None:
        super().__init__()
        widths = [channels, filters, filters, filters]
        self.blocks = nn.Sequential(*(ConvBlock(w, filters, pooled=pooled) for w in widths))
        self.flatten = flatten

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.blocks(x)
        return maps.flatten(1) if self.flatten else maps.mean(dim=(2, 3))


class MLP(nn.Module):
    """Fully connected layers with ReLU after each; normalised ones carry no bias of their own.

    x: (B, …), flattened to (B, inputs) -> (B, hidden[-1]).
    """

    def __init__(self, *, inputs: int, hidden: list[int], normalised: bool) -> None:
        super().__init__()
        widths = [inputs, *hidden]
        pairs = list(pairwise(widths))
        self.linears = nn.ModuleList(nn.Linear(a, b, bias=not normalised) for a, b in pairs)
        self.norms = nn.ModuleList(EpisodeNorm(b) if normalised else nn.Identity() for b in hidden)

    def forward(self, x: Tensor) -> Tensor:
        activation = x.flatten(1)
        for linear, norm in zip(self.linears, self.norms, strict=True):
            activation = F.relu(norm(linear(activation)))
        return activation


NETWORKS: Mapping[str, Callable[..., nn.Module]] = {"conv4": Conv4, "mlp": MLP}


def build_network(name: str, config: Mapping[str, Any]) -> nn.Module:
    """The network of this name and configuration, randomly initialised, ready for ``forward``.

    Raises ValueError for an unknown name or a configuration that the network does not take.
    """
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}, expected one of {sorted(NETWORKS)}")
    try:
        return name_layers(NETWORKS[name](**config))
    except TypeError as error:
        raise ValueError(f"network {name!r}: {error}") from error


def feature_count(network: nn.Module, input_shape: tuple[int, ...]) -> int:
    """D, the length of the feature vector that the network makes of one input."""
    with torch.no_grad():
        features, _ = forward(
            network, dict(network.named_parameters()), torch.zeros(2, *input_shape)
        )
    return int(features.shape[1])
