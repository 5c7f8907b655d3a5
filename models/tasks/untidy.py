"""What makes episodes as untidy as what users bring: unequal shots and wrong labels.

Each draws from the generator only where the shape asks for it, so that tidy episodes stay as they
are, to the bit.
"""

import torch
from torch import Tensor

from models.episodes import EpisodeShape


def draw_shots(shape: EpisodeShape, counts: Tensor, generator: torch.Generator) -> Tensor:
    """(N·C,) int64: the support examples of each kind, the same for all kinds of a class.

    K of each; where they are unequal, of every class uniformly between 1 and 2 K - 1, so that K is
    their mean. counts: the examples, K + Q or more, of every kind that can be drawn; where the
    least of them leaves less than 2 K - 1 beside Q queries, the range is narrower about the same
    mean. One shot is one shot, unequal or not.
    """
    if not shape.unequal:
        return torch.full((shape.all_kinds,), shape.shot)
    top = min(2 * shape.shot - 1, int(counts.min()) - shape.query)
    shots = torch.randint(2 * shape.shot - top, top + 1, (shape.way,), generator=generator)
    return shots.repeat_interleave(shape.kinds)


def mislabel(y: Tensor, way: int, rate: float, generator: torch.Generator) -> Tensor:
    """(E, S) int64 labels, each with probability ``rate`` replaced by another of ``way`` classes,
    all of them equally likely.

    One example of each class, the last that would be, is never replaced: so every class that y has
    keeps a right one, and with one example per class nothing is replaced.
    """
    if way < 2:
        return y
    coin = torch.rand(y.shape, generator=generator)
    last = coin.new_zeros(len(y), way).scatter_reduce(1, y, coin, "amax").gather(1, y)
    other = (y + torch.randint(1, way, y.shape, generator=generator)) % way
    return torch.where((coin < rate) & (coin < last), other, y)
