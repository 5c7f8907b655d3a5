"""The shipped networks' body and head as plain torch modules, for libraries that know no other.

The same parameters under the same names, the same numbers out; normalised by the batch at hand
through torch's fused batch normalisation, the fastest there is.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.normalisation import Params


class PlainNorm(nn.Module):
    """Zero mean and unit variance per channel of the batch, then a bias: (B, C, H, W) alike."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        # A scale of one that is not learned: without any, torch cannot differentiate it twice.
        self.register_buffer("scale", torch.ones(channels), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, self.scale, self.bias, training=True, eps=1e-3)


class PlainBlock(nn.Module):
    """Strided 3 x 3 convolution, normalisation, ReLU."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, 3, stride=2, padding=1, bias=False)
        self.norm = PlainNorm(filters)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class PlainConv4(nn.Module):
    """Four blocks, the mean over what is left of the picture, a linear head: (B, C, H, W) ->
    (B, way).
    """

    def __init__(self, *, channels: int, filters: int, way: int) -> None:
        super().__init__()
        widths = [channels, filters, filters, filters]
        self.blocks = nn.Sequential(*(PlainBlock(width, filters) for width in widths))
        self.head = nn.Linear(filters, way)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.features(x))
        return scores

    def features(self, x: Tensor) -> Tensor:
        """(B, filters)."""
        mean: Tensor = self.blocks(x).mean(dim=(2, 3))
        return mean


def plain_network(theta: Params) -> PlainConv4:
    """A network of its own at θ, ready to be differentiated.

    Convolutions keep their weights channels last, by which every library gains 5 to 20 % on a CPU.
    """
    filters, channels = theta["blocks.0.conv.weight"].shape[:2]
    way = len(theta["head.bias"])
    network = PlainConv4(channels=channels, filters=filters, way=way)
    like = theta["head.bias"]
    network = network.to(like.device, like.dtype)
    network.load_state_dict(theta)
    return network.to(memory_format=torch.channels_last)
