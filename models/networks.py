"""The bodies: from one batch of inputs to feature vectors. The head on top: models/heads.

Each is a module for one set of parameters, and says how it runs over stacked episodes; what a
module does not say, ``vmap`` does. An installed package adds a network under the entry-point group
``fewstep.networks``: a callable that makes a module (B, …) -> (B, D) of its configuration, with
``EpisodeNorm`` where it normalises.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.engine.layers import Layers
from models.normalisation import EpisodeNorm, Params, Statistics, forward, name_layers


class ConvBlock(nn.Module):
    """3 x 3 convolution, normalisation, ReLU; halves the picture by its stride or by max-pooling.

    x: (B, C, H, W) -> (B, filters, ceil(H / 2), ceil(W / 2)) strided, (…, H // 2, W // 2) pooled.
    No bias stands before the normalisation: it would cancel. ``bias`` is for imported weights.
    """

    def __init__(self, channels: int, filters: int, *, pooled: bool, bias: bool) -> None:
        super().__init__()
        stride = 1 if pooled else 2
        self.conv = nn.Conv2d(channels, filters, 3, stride=stride, padding=1, bias=bias)
        self.norm = EpisodeNorm(filters)
        self.pooled = pooled
        nn.init.xavier_uniform_(self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        activation = F.relu(self.norm(self.conv(x)))
        return F.max_pool2d(activation, 2) if self.pooled else activation

    def stacked(self, layers: Layers, path: str, x: Tensor) -> Tensor:
        """(E, B, H, W, C) -> the same of the halved pictures."""
        stride, eps = self.conv.stride[0], self.norm.eps
        maps = layers.conv_norm_relu(x, path, stride=stride, eps=eps)
        return layers.halve(maps) if self.pooled else maps


class Conv4(nn.Module):
    """Four convolution blocks (Vinyals et al. 2016; Finn et al. 2017, section 5.2).

    x: (B, C, H, W) -> (B, D): the mean over what is left of the picture, or all of it flattened.
    """

    def __init__(
        self, *, channels: int, filters: int, pooled: bool, flatten: bool, bias: bool = False
    ) -> None:
        super().__init__()
        widths = [channels, filters, filters, filters]
        blocks = (ConvBlock(width, filters, pooled=pooled, bias=bias) for width in widths)
        self.blocks = nn.Sequential(*blocks)
        self.filters, self.pooled, self.flatten = filters, pooled, flatten

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.blocks(x)
        return maps.flatten(1) if self.flatten else maps.mean(dim=(2, 3))

    def stacked(self, layers: Layers, x: Tensor) -> Tensor:
        """(E, B, C, H, W) -> (E, B, D)."""
        maps = layers.channels_last(x)
        for index, block in enumerate(self.blocks):
            maps = block.stacked(layers, f"blocks.{index}", maps)  # type: ignore[operator]
        return layers.flatten(maps) if self.flatten else layers.mean(maps)

    def values_per_input(self, shape: tuple[int, ...]) -> int:
        """The patches of every convolution."""
        channels, height, width = shape
        values = 0
        for _ in self.blocks:
            halved = (-(-height // 2), -(-width // 2))
            places = height * width if self.pooled else halved[0] * halved[1]
            values += 9 * channels * places
            height, width = (height // 2, width // 2) if self.pooled else halved
            channels = self.filters
        return values


class MLP(nn.Module):
    """Fully connected layers with ReLU after each; normalised ones carry no bias of their own.

    x: (B, …), flattened to (B, inputs) -> (B, hidden[-1]). centre and scale: each of ``inputs``
    numbers, by which inputs are standardised first, (x - centre) / scale.
    """

    centre: Tensor | None
    scale: Tensor | None

    def __init__(
        self,
        *,
        inputs: int,
        hidden: list[int],
        normalised: bool,
        centre: list[float] | None = None,
        scale: list[float] | None = None,
    ) -> None:
        super().__init__()
        for name, value in _standard(inputs, centre, scale).items():
            self.register_buffer(name, value, persistent=False)  # configuration, no parameter
        widths = [inputs, *hidden]
        pairs = list(pairwise(widths))
        self.widths = sum(hidden)
        self.linears = nn.ModuleList(nn.Linear(a, b, bias=not normalised) for a, b in pairs)
        self.norms = nn.ModuleList(EpisodeNorm(b) if normalised else nn.Identity() for b in hidden)

    def forward(self, x: Tensor) -> Tensor:
        activation = self._standardised(x.flatten(1))
        for layer, norm in zip(self.linears, self.norms, strict=True):
            activation = F.relu(norm(layer(activation)))
        return activation

    def stacked(self, layers: Layers, x: Tensor) -> Tensor:
        """(E, B, …) -> (E, B, hidden[-1])."""
        activation = self._standardised(x.flatten(2))
        for index, norm in enumerate(self.norms):
            activation = layers.linear(activation, f"linears.{index}")
            if isinstance(norm, EpisodeNorm):
                activation = layers.norm_relu(activation, f"norms.{index}", eps=norm.eps)
            else:
                activation = layers.relu(activation)
        return activation

    def values_per_input(self, shape: tuple[int, ...]) -> int:
        """The inputs and every layer's activations."""
        return math.prod(shape) + self.widths

    def _standardised(self, flat: Tensor) -> Tensor:
        if self.centre is None or self.scale is None:
            return flat
        return (flat - self.centre.to(flat.device)) / self.scale.to(flat.device)


def _standard(
    inputs: int, centre: list[float] | None, scale: list[float] | None
) -> dict[str, Tensor | None]:
    """Centre and scale as tensors. Raises ValueError for others than ``inputs`` numbers of each,
    scales above 0; both may be left out.
    """
    if centre is None and scale is None:
        return {"centre": None, "scale": None}
    found = {
        "centre": torch.tensor(centre or [], dtype=torch.float32),
        "scale": torch.tensor(scale or [], dtype=torch.float32),
    }
    fits = all(t.shape == (inputs,) and bool(t.isfinite().all()) for t in found.values())
    if not fits or bool((found["scale"] <= 0).any()):
        raise ValueError(f"expected {inputs} numbers as centre, and as many above 0 as scale")
    return {**found}


class Identity(nn.Module):
    """The inputs as they are, times one number that starts at 1: for vectors that are features
    already, of any width.

    x: (B, …) -> (B, D), flattened.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) * self.gain

    def stacked(self, layers: Layers, x: Tensor) -> Tensor:
        """(E, B, …) -> (E, B, D)."""
        return layers.times(x.flatten(2), "gain")

    def values_per_input(self, shape: tuple[int, ...]) -> int:
        """The inputs."""
        return math.prod(shape)


class Polynomial(nn.Module):
    """The powers 1 to ``degree`` of every standardised input, by degree; it has no parameters.

    x: (B, …), flattened to (B, inputs) -> (B, degree · inputs) of z^k, z = (x - centre) / scale
    held within ±LIMIT: so far from the training inputs a power says nothing, and stays finite.
    """

    LIMIT = 100.0

    def __init__(
        self,
        *,
        inputs: int,
        degree: int,
        centre: Sequence[float] = (),
        scale: Sequence[float] = (),
    ) -> None:
        super().__init__()
        if degree < 1 or {len(centre), len(scale)} - {0, inputs}:
            raise ValueError(
                "network 'polynomial': expected a degree of at least 1 and "
                f"{inputs} numbers for each of centre and scale, or none"
            )
        self.inputs, self.degree = inputs, degree
        self.centre = torch.tensor(centre or [0.0] * inputs)
        self.scale = torch.tensor(scale or [1.0] * inputs)

    def forward(self, x: Tensor) -> Tensor:
        return self._powers(x.flatten(1))

    def stacked(self, layers: Layers, x: Tensor) -> Tensor:
        """(E, B, …) -> (E, B, degree · inputs)."""
        return self._powers(x.flatten(2))

    def values_per_input(self, shape: tuple[int, ...]) -> int:
        """The inputs, and what comes of them."""
        return math.prod(shape) * (self.degree + 1)

    def _powers(self, flat: Tensor) -> Tensor:
        z = (flat - self.centre.to(flat)) / self.scale.to(flat)
        z = z.clamp(-self.LIMIT, self.LIMIT)
        return torch.cat([z**k for k in range(1, self.degree + 1)], dim=-1)


GROUP = "fewstep.networks"
NETWORKS: Mapping[str, Callable[..., nn.Module]] = {
    "conv4": Conv4,
    "identity": Identity,
    "mlp": MLP,
    "polynomial": Polynomial,
}


def build_network(name: str, config: Mapping[str, Any]) -> nn.Module:
    """The network of this name and configuration, randomly initialised, ready for ``forward``.

    Raises ValueError for an unknown name or a configuration that the network does not take.
    """
    maker = _maker(name)
    try:
        return name_layers(maker(**config))
    except TypeError as error:
        raise ValueError(f"network {name!r}: {error}") from error


def _maker(name: str) -> Callable[..., nn.Module]:
    if name in NETWORKS:
        return NETWORKS[name]
    added = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in added:
        known = sorted({*NETWORKS, *added})
        raise ValueError(f"unknown network {name!r}, expected one of {known}")
    maker: Callable[..., nn.Module] = added[name].load()
    return maker


def shape_of_features(network: nn.Module, input_shape: tuple[int, ...]) -> tuple[int, Statistics]:
    """D, the length of the feature vector of one input, and statistics of the shapes it has."""
    body: Params = dict(network.named_parameters())
    with torch.no_grad():
        features, statistics = forward(network, body, torch.zeros(2, *input_shape))
    return int(features.shape[1]), statistics
