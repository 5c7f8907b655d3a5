"""What a policy says of the next action: a diagonal Gaussian, or one of N choices.

Leading axes are anything; a Gaussian's deviations do not depend on the observation.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Gaussian:
    """mean: (…, A); log_std: broadcast to it."""

    mean: Tensor
    log_std: Tensor

    def log_probs(self, actions: Tensor) -> Tensor:
        """(…) of actions (…, A)."""
        z = (actions - self.mean) / self.log_std.exp()
        constant = math.log(2 * math.pi)
        return -0.5 * (z.square() + 2 * self.log_std + constant).sum(dim=-1)

    def kl_from(self, old: "Gaussian") -> Tensor:
        """(…) KL(old ‖ this)."""
        apart = (old.mean - self.mean).square() + (2 * old.log_std).exp()
        each = self.log_std - old.log_std + 0.5 * apart / (2 * self.log_std).exp() - 0.5
        return each.sum(dim=-1)

    def drawn(self, generator: torch.Generator) -> Tensor:
        """(…, A) actions."""
        noise = torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype)
        return self.mean + self.log_std.exp() * noise.to(self.mean.device)

    def detached(self) -> "Gaussian":
        return Gaussian(self.mean.detach(), self.log_std.detach())


@dataclass(frozen=True, slots=True)
class Categorical:
    """logits: (…, N)."""

    logits: Tensor

    def log_probs(self, actions: Tensor) -> Tensor:
        """(…) of actions (…) int64."""
        return self.logits.log_softmax(dim=-1).gather(-1, actions[..., None])[..., 0]

    def kl_from(self, old: "Categorical") -> Tensor:
        """(…) KL(old ‖ this)."""
        before, now = old.logits.log_softmax(dim=-1), self.logits.log_softmax(dim=-1)
        return (before.exp() * (before - now)).sum(dim=-1)

    def drawn(self, generator: torch.Generator) -> Tensor:
        """(…) int64 actions."""
        shares = self.logits.softmax(dim=-1).cpu()
        drawn = torch.multinomial(shares.flatten(0, -2), 1, generator=generator)
        return drawn.view(shares.shape[:-1]).to(self.logits.device)

    def detached(self) -> "Categorical":
        return Categorical(self.logits.detach())


Distribution = Gaussian | Categorical
