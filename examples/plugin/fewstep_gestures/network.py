"""A small convolutional network over time, for windows of sensor readings."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from models.normalisation import EpisodeNorm


class Conv1d(nn.Module):
    """Blocks of convolution, normalisation and ReLU, each at half the rate, then a mean over time.

    x: (B, channels, T) float32 -> (B, filters). No bias stands before a normalisation.
    """

    def __init__(self, *, channels: int, filters: int, blocks: int = 3) -> None:
        super().__init__()
        widths = [channels, *[filters] * blocks]
        self.convs = nn.ModuleList(
            nn.Conv1d(a, b, 5, stride=2, padding=2, bias=False) for a, b in pairwise(widths)
        )
        self.norms = nn.ModuleList(EpisodeNorm(filters) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))
        return x.mean(dim=2)
