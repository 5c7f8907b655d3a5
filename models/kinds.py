"""Kinds of task: the loss of a network's outputs, its gradient, and the score that is reported.

A kind is one entry of ``KINDS``, found by the word that a recipe, a checkpoint or a row has for it.
What the service makes of a kind (how targets are read, what a prediction looks like) is its entry
in ``app/kinds.py``. This file knows no network and no inner loop.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from models.episodes import Examples, Supply
from models.heads.layer import Head


class Kind(ABC):
    """What the mathematics must know of one kind of task.

    name: as recipes say it; score_name: what ``scores`` are, in words; in_percent: whether a score
    is a share; higher_is_better: or lower; heads: those that θ may have; closed_forms: the
    heads that are fitted to a support set in one step; knows_its_inputs: whether a prediction says
    how unlike the support set its input is.
    """

    name: ClassVar[str]
    score_name: ClassVar[str]
    in_percent: ClassVar[bool] = False
    higher_is_better: ClassVar[bool] = False
    heads: ClassVar[frozenset[str]] = frozenset({"linear"})
    closed_forms: ClassVar[tuple[str, ...]] = ()
    knows_its_inputs: ClassVar[bool] = False

    @abstractmethod
    def losses(self, outputs: Tensor, examples: Examples) -> Tensor:
        """(E,) the mean loss over the examples that count; outputs: (E, S, N) float32.

        Differentiable twice in the outputs.
        """

    @abstractmethod
    def scores(self, outputs: Tensor, examples: Examples) -> Tensor:
        """(E,) the score over the examples that count."""

    @abstractmethod
    def suits(self, supply: Supply) -> bool:
        """Whether a data set gives targets of this kind."""

    def ways(self, head: Head) -> tuple[str, ...]:
        """What a recipe may adapt where θ has this head: ``models.learner.Adapts``."""
        alone = () if self.curvature(1) is None else ("head",)
        return ("all", "weights", *alone, *self.closed_forms)

    def curvature(self, outputs: int) -> float | None:
        """The most that the loss of one example curves in its outputs, the largest eigenvalue of
        that Hessian anywhere; None where nobody knows.
        """
        return None

    def losses_back(self, outputs: Tensor, examples: Examples) -> tuple[Tensor, Tensor]:
        """The mean losses (E,), and the gradient of each in its outputs (E, S, N).

        A kind may write its gradient out, which saves an inner step a graph.
        """
        with torch.enable_grad():
            at = outputs.detach().requires_grad_()
            losses = self.losses(at, examples)
            (gradient,) = torch.autograd.grad(losses.sum(), at)
        return losses.detach(), gradient

    def merit(self, score: float) -> float:
        """The score with a sign that makes the larger one the better one."""
        return score if self.higher_is_better else -score

    def written(self, mean: float, ci95: float) -> str:
        """A mean score with half of its interval, in the unit of tables."""
        if self.in_percent:
            return f"{100 * mean:.2f} ± {100 * ci95:.2f}"
        return f"{mean:.3f} ± {ci95:.3f}"

    def expected_way(self, head: Head, max_way: int) -> str | None:
        """What was expected of ``max_way``, the most classes, where it does not fit; else None."""
        return None


class Classification(Kind):
    """One of N classes: cross-entropy over scores (E, S, N), ``y`` (E, S) int64 in [0, N)."""

    name = "classification"
    score_name = "accuracy"
    in_percent = True
    higher_is_better = True
    heads = frozenset({"linear", "prototype"})
    closed_forms = ("kernel",)
    knows_its_inputs = True

    def curvature(self, outputs: int) -> float | None:
        return 0.5  # of the softmax: Böhning 1992

    def losses(self, outputs: Tensor, examples: Examples) -> Tensor:
        y = examples["y"]
        each = F.cross_entropy(outputs.flatten(0, 1), y.flatten(), reduction="none")
        return mean_over(each.view(y.shape), examples.mask)

    def losses_back(self, outputs: Tensor, examples: Examples) -> tuple[Tensor, Tensor]:
        logarithms = outputs.log_softmax(dim=-1)
        picked = examples["y"][..., None]
        losses = mean_over(-logarithms.gather(-1, picked)[..., 0], examples.mask)
        gradient = logarithms.exp_()
        gradient.scatter_add_(-1, picked, gradient.new_full((1, 1, 1), -1.0).expand(picked.shape))
        return losses, _shared_out(gradient, examples.mask)

    def scores(self, outputs: Tensor, examples: Examples) -> Tensor:
        right = (outputs.argmax(dim=-1) == examples["y"]).to(outputs.dtype)
        right = torch.where(outputs.isnan().any(dim=-1), torch.nan, right)  # says no class
        return mean_over(right, examples.mask)

    def suits(self, supply: Supply) -> bool:
        return supply.outputs == 0

    def expected_way(self, head: Head, max_way: int) -> str | None:
        fits = head.kind == "prototype" or max_way <= head.outputs
        if type(max_way) is int and max_way >= 2 and fits:
            return None
        return f"at least 2 and at most the head's {head.outputs} outputs"


class Regression(Kind):
    """Values: mean squared error of (E, S, N), ``y`` (E, S, N) float32.

    Behind the values of a Bayesian head stand their deviations, (E, S, 2 N), which are not scored.
    """

    name = "regression"
    score_name = "mean squared error"

    def ways(self, head: Head) -> tuple[str, ...]:
        if head.kind == "bayesian":
            return ("bayesian", "head")
        return super().ways(head)

    heads = frozenset({"linear", "bayesian"})

    def curvature(self, outputs: int) -> float | None:
        return 2 / outputs

    def losses(self, outputs: Tensor, examples: Examples) -> Tensor:
        y = examples["y"]
        each = (outputs[..., : y.shape[-1]] - y).square()
        if examples.mask is None:
            return each.flatten(1).mean(dim=1)
        return mean_over(each.mean(dim=2), examples.mask)

    def losses_back(self, outputs: Tensor, examples: Examples) -> tuple[Tensor, Tensor]:
        losses, apart = self.losses(outputs, examples), outputs - examples["y"]
        if examples.mask is None:
            return losses, apart * (2 / (apart.shape[1] * apart.shape[2]))
        return losses, _shared_out(apart * (2 / apart.shape[2]), examples.mask)

    def scores(self, outputs: Tensor, examples: Examples) -> Tensor:
        return self.losses(outputs, examples)

    def suits(self, supply: Supply) -> bool:
        return supply.outputs > 0


class Control(Kind):
    """Actions of a policy, which is adapted to rollouts (``models/policies``), not to examples."""

    name = "policy"
    score_name = "mean return"
    higher_is_better = True

    def ways(self, head: Head) -> tuple[str, ...]:
        return ("all",)

    def losses(self, outputs: Tensor, examples: Examples) -> Tensor:
        raise TypeError("a policy is adapted to rollouts, not to examples")

    def scores(self, outputs: Tensor, examples: Examples) -> Tensor:
        raise TypeError("a policy is judged by its rollouts, not by examples")

    def suits(self, supply: Supply) -> bool:
        return False


def mean_over(each: Tensor, mask: Tensor | None) -> Tensor:
    """(E,) the mean of (E, S) numbers over the examples that count, at least one an episode."""
    if mask is None:
        return each.mean(dim=1)
    return torch.where(mask, each, 0).sum(dim=1) / mask.sum(dim=1)


def _shared_out(gradient: Tensor, mask: Tensor | None) -> Tensor:
    """The gradient (E, S, N) of a sum over examples as that of their mean."""
    if mask is None:
        return gradient.div_(gradient.shape[1])
    counted = torch.where(mask[..., None], gradient, 0)
    return counted.div_(mask.sum(dim=1)[:, None, None])


KINDS: dict[str, Kind] = {kind.name: kind for kind in (Classification(), Regression(), Control())}


def find_kind(name: str) -> Kind:
    """The kind of this name. Raises ValueError with the names that there are."""
    if name not in KINDS:
        raise ValueError(f"unknown kind of task {name!r}, expected one of {', '.join(KINDS)}")
    return KINDS[name]
