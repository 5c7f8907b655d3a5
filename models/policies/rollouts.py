"""Rollouts of several tasks at once, and which of their steps count."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollouts:
    """B episodes of each of E tasks, all as long as the longest.

    observations: (E, B, T + 1, D), the last one included; actions: (E, B, T, A), or (E, B, T) int64
    of a discrete policy; rewards: (E, B, T); lengths: (E, B) int64, how many steps count, none of
    an episode that is padding; terminated: (E, B) bool, else it was cut off. What lies behind an
    episode's end changes nothing.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    lengths: Tensor
    terminated: Tensor

    @property
    def mask(self) -> Tensor:
        """(E, B, T) bool, the steps that count."""
        steps = torch.arange(self.rewards.shape[2], device=self.rewards.device)
        return steps < self.lengths[..., None]

    @property
    def returns(self) -> Tensor:
        """(E,) the mean over its episodes of what each got in all, undiscounted."""
        whole = torch.where(self.mask, self.rewards, 0).sum(dim=(1, 2))
        return whole / (self.lengths > 0).sum(dim=1)

    def some(self, episodes: int) -> "Rollouts":
        """The first so many episodes of each task."""
        return Rollouts(
            observations=self.observations[:, :episodes],
            actions=self.actions[:, :episodes],
            rewards=self.rewards[:, :episodes],
            lengths=self.lengths[:, :episodes],
            terminated=self.terminated[:, :episodes],
        )


def rollouts_of(arrays: Mapping[str, NDArray[Any]], device: torch.device | str = "cpu") -> Rollouts:
    """From arrays by the names that a blob has for them (``x``: the observations), with (E, B)."""
    dtype = torch.int64 if arrays["actions"].dtype.kind == "i" else torch.float32

    def tensor(name: str, dtype: torch.dtype) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(arrays[name])).to(device, dtype)

    return Rollouts(
        observations=tensor("x", torch.float32),
        actions=tensor("actions", dtype),
        rewards=tensor("rewards", torch.float32),
        lengths=tensor("lengths", torch.int64),
        terminated=tensor("terminated", torch.bool),
    )


def mean_of_steps(each: Tensor, mask: Tensor) -> Tensor:
    """(E,) the mean of (E, B, T) numbers over the steps that count."""
    return torch.where(mask, each, 0).sum(dim=(1, 2)) / mask.sum(dim=(1, 2))
