"""Kinds of task: how targets are read, what a prediction looks like, and how it is scored.

A kind is one entry of ``KINDS``, found by the word that a checkpoint's description and a row have
for it. Its mathematics (loss, gradient, score in training) is its entry in ``models/kinds.py``.
NumPy only; no row, no blob, no HTTP.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from app.errors import refusal
from app.inputs.examples import read_classes, read_examples, read_labels, read_values
from app.inputs.images import ImageLimits
from app.inputs.rollouts import ACTIONS, LENGTHS, REWARDS, TERMINATED
from app.inputs.support_sets import Given, SupportSet
from app.values.arrays import INPUT, TARGET, Arrays, count_of
from app.values.description import Description, InputSpec
from app.values.novelty import novelty_of
from app.values.readable import Scores, class_prediction, softmax, value_prediction
from app.values.ways import ALL, AUTO, BAYESIAN, HEAD, KERNEL

Classes = tuple[str, ...] | None

LESS = 0.9  # of an error is clearly less


class UnknownKind(ValueError):
    """This process has no entry for a kind of task: another version, or a plugin, has."""


class Kind(ABC):
    """What the service must know of one kind of task.

    name: as descriptions say it; measure: the last word of its metrics' names (``query_accuracy``).
    unadapted: why θ alone predicts nothing, None where it does.
    """

    name: ClassVar[str]
    measure: ClassVar[str]
    unadapted: ClassVar[str | None] = None

    @abstractmethod
    def read_targets(self, given: Given, classes: Classes, outputs: int) -> NDArray[Any]:
        """The targets of queries, (Q, …), for a model of these classes and so many outputs.

        Raises ServiceError with the place of what does not fit.
        """

    @abstractmethod
    def read_support_targets(
        self, given: Given, about: Description
    ) -> tuple[Classes, NDArray[Any]]:
        """The classes in order of first appearance, None where there are none, and (S, …) targets.

        Raises ServiceError with the place of what does not fit.
        """

    @abstractmethod
    def readable(
        self, outputs: Scores, classes: Classes, *, values: int, top_k: int | None = None
    ) -> list[dict[str, Any]]:
        """What a caller reads of (Q, outputs) scores or values, one entry for each query.

        values: classes, or values of one target; what is more than these is what the head knows
        beside them.
        """

    @abstractmethod
    def score(self, outputs: Scores, targets: NDArray[Any]) -> float | None:
        """The mean score of (Q, outputs) values or scores, with nothing beside them; None where
        that is no finite number.
        """

    @abstractmethod
    def blank_targets(self, examples: int, outputs: int) -> NDArray[Any]:
        """Targets of so many examples that mean nothing: what a process warms up with."""

    def blank_support(self, examples: int, input_shape: tuple[int, ...], outputs: int) -> Arrays:
        """A support set that means nothing."""
        x = np.zeros((examples, *input_shape), np.float32)
        return {INPUT: x, TARGET: self.blank_targets(examples, outputs)}

    @abstractmethod
    def usual_size(self, max_way: int, outputs: int) -> tuple[int, int]:
        """How many examples and outputs a support set has where nothing more is known."""

    def most_classes(self, max_way: int) -> int | None:
        """The most classes of a checkpoint that says so many; None where there are no classes."""
        return None

    def read_support(self, given: Given, about: Description, limits: ImageLimits) -> SupportSet:
        """The support set of a request. Raises ServiceError with the place of what does not fit."""
        classes, targets = self.read_support_targets(given, about)
        x = read_examples(given.inputs, about.input, pointer=given.inputs_at, limits=limits)
        outputs = int(targets.shape[-1]) if classes is None else len(classes)
        return SupportSet(arrays={INPUT: x, TARGET: targets}, classes=classes, outputs=outputs)

    def read_query(
        self, given: Given, spec: InputSpec, classes: Classes, outputs: int, limits: ImageLimits
    ) -> Arrays:
        """The queries, with their targets where they are given. Raises like ``read_support``."""
        x = read_examples(given.inputs, spec, pointer=given.inputs_at, limits=limits)
        if given.targets is None:
            return {INPUT: x}
        return {INPUT: x, TARGET: self.read_targets(given, classes, outputs)}

    def join(self, old: SupportSet, new: SupportSet) -> SupportSet:
        """Both support sets as one; they have arrays of the same names."""
        assert old.arrays.keys() == new.arrays.keys()
        arrays = {name: np.concatenate([old.arrays[name], new.arrays[name]]) for name in old.arrays}
        return SupportSet(arrays=arrays, classes=old.classes, outputs=old.outputs)

    def left_out(self, support: Arrays) -> list[int]:
        """Which examples the others can do without: those that ``assess`` leaves out in turn."""
        return list(range(count_of(support))) if count_of(support) > 1 else []

    def rivals(self, features: Scores, support: Arrays) -> dict[str, float | None]:
        """What simpler methods score on the same features (S, D), each example left out in turn."""
        return {}

    def ways(self, about: Description) -> tuple[str, ...]:
        """The kinds of adaptation that a caller may ask a checkpoint for."""
        return (ALL,)

    def is_clearly_better(self, score: float, usual: float, examples: int) -> bool:
        """Whether a mean over so few examples is better by more than chance may be."""
        return score < LESS * usual

    def best_of(self, scores: Mapping[str, float | None], *, examples: int) -> str | None:
        """The name of the best score; the first unless another is clearly better than that. None
        where there is no score.
        """
        known = [(name, score) for name, score in scores.items() if score is not None]
        if not known:
            return None
        best, reached = known[0]
        for name, score in known[1:]:
            if self.is_clearly_better(score, reached, examples):
                best, reached = name, score
        return best


class Classification(Kind):
    """Classes by name; a prediction is a label with the probabilities of all classes."""

    name = "classification"
    measure = "accuracy"
    unadapted = "a classifier has no classes before it is adapted; POST /adapt first"

    def read_targets(self, given: Given, classes: Classes, outputs: int) -> NDArray[Any]:
        return read_labels(given.targets or (), classes or (), pointer=given.targets_at)

    def read_support_targets(
        self, given: Given, about: Description
    ) -> tuple[Classes, NDArray[Any]]:
        return read_classes(given.targets or (), pointer=given.targets_at)

    def readable(
        self, outputs: Scores, classes: Classes, *, values: int, top_k: int | None = None
    ) -> list[dict[str, Any]]:
        """``novelty``: None of a model that knows nothing of its inputs."""
        scores, beside = outputs[:, :values], outputs[:, values:]
        rows = softmax(scores)
        novelties = [novelty_of(float(far[0])) if len(far) else None for far in beside]
        return [
            class_prediction(row, int(best), classes or (), top_k) | {"novelty": novelty}
            for row, best, novelty in zip(rows, scores.argmax(axis=1), novelties, strict=True)
        ]

    def score(self, outputs: Scores, targets: NDArray[Any]) -> float | None:
        if not np.isfinite(outputs).all():
            return None
        return float((outputs.argmax(axis=1) == targets).mean())

    def blank_targets(self, examples: int, outputs: int) -> NDArray[Any]:
        return np.arange(examples) % outputs

    def usual_size(self, max_way: int, outputs: int) -> tuple[int, int]:
        return max_way, max_way

    def most_classes(self, max_way: int) -> int | None:
        return max_way

    def join(self, old: SupportSet, new: SupportSet) -> SupportSet:
        """The old classes keep their numbers, new ones follow."""
        mine, theirs = old.classes or (), new.classes or ()
        classes = tuple(dict.fromkeys(mine + theirs))
        numbers = np.array([classes.index(name) for name in theirs], np.int64)
        renumbered = new.arrays | {TARGET: numbers[new.arrays[TARGET]]}
        joined = Kind.join(self, old, SupportSet(arrays=renumbered, classes=classes, outputs=0))
        return SupportSet(arrays=joined.arrays, classes=classes, outputs=len(classes))

    def left_out(self, support: Arrays) -> list[int]:
        """Those whose class has others."""
        counts = np.bincount(support[TARGET])
        return [index for index, label in enumerate(support[TARGET]) if counts[label] > 1]

    def ways(self, about: Description) -> tuple[str, ...]:
        return (HEAD, KERNEL, *_stepped(about), AUTO)

    def is_clearly_better(self, score: float, usual: float, examples: int) -> bool:
        return (score - usual) * examples > 1.5  # more than one example more

    def rivals(self, features: Scores, support: Arrays) -> dict[str, float | None]:
        """The class of the most similar other example, by the cosine of their features."""
        left_out, y = self.left_out(support), support[TARGET]
        if not left_out:
            return {"nearest_neighbour": None}
        lengths = np.linalg.norm(features, axis=1, keepdims=True)
        directions = features / np.maximum(lengths, np.finfo(np.float32).tiny)
        likeness = directions @ directions.T
        np.fill_diagonal(likeness, -np.inf)
        right = y[likeness.argmax(axis=1)] == y
        return {"nearest_neighbour": float(right[left_out].mean())}


class Regression(Kind):
    """Values; a prediction is a list of them."""

    name = "regression"
    measure = "mse"

    def ways(self, about: Description) -> tuple[str, ...]:
        if about.head.kind == BAYESIAN:
            return (BAYESIAN, HEAD, AUTO)
        return (HEAD, *_stepped(about), AUTO)

    def read_targets(self, given: Given, classes: Classes, outputs: int) -> NDArray[Any]:
        return read_values(given.targets or (), (outputs,), pointer=given.targets_at)

    def read_support_targets(
        self, given: Given, about: Description
    ) -> tuple[Classes, NDArray[Any]]:
        return None, self.read_targets(given, None, about.head.outputs)

    def readable(
        self, outputs: Scores, classes: Classes, *, values: int, top_k: int | None = None
    ) -> list[dict[str, Any]]:
        return [value_prediction(row[:values], row[values:]) for row in outputs]

    def score(self, outputs: Scores, targets: NDArray[Any]) -> float | None:
        if not np.isfinite(outputs).all():
            return None
        values = outputs[:, : targets.shape[1]].astype(np.float64)  # squares end beyond float32
        return float(np.square(values - targets).mean())

    def blank_targets(self, examples: int, outputs: int) -> NDArray[Any]:
        return np.zeros((examples, outputs), np.float32)

    def usual_size(self, max_way: int, outputs: int) -> tuple[int, int]:
        return 5, outputs


class Policy(Kind):
    """Actions: a policy is adapted to rollouts (``app/adaptations/acting.py``), and what it does on
    an observation is told by ``app/predictions/acting.py``.
    """

    name = "policy"
    measure = "return"

    def read_targets(self, given: Given, classes: Classes, outputs: int) -> NDArray[Any]:
        detail = "a policy's actions have no targets; send rollouts to adapt it"
        raise refusal("validation", given.targets_at, detail)

    def read_support_targets(
        self, given: Given, about: Description
    ) -> tuple[Classes, NDArray[Any]]:
        raise refusal("validation", "/support", "expected rollouts for a policy, got a support set")

    def readable(
        self, outputs: Scores, classes: Classes, *, values: int, top_k: int | None = None
    ) -> list[dict[str, Any]]:
        """The likeliest action as it stands, unscaled."""
        return [{"value": [float(number) for number in row[:values]]} for row in outputs]

    def score(self, outputs: Scores, targets: NDArray[Any]) -> float | None:
        return None

    def blank_targets(self, examples: int, outputs: int) -> NDArray[Any]:
        return np.zeros((examples, outputs), np.float32)

    def blank_support(self, examples: int, input_shape: tuple[int, ...], outputs: int) -> Arrays:
        """Two steps of so many episodes, in which nothing happens."""
        return {
            INPUT: np.zeros((examples, 3, *input_shape), np.float32),
            ACTIONS: np.zeros((examples, 2, outputs), np.float32),
            REWARDS: np.zeros((examples, 2), np.float32),
            LENGTHS: np.full(examples, 2),
            TERMINATED: np.ones(examples, np.bool_),
        }

    def usual_size(self, max_way: int, outputs: int) -> tuple[int, int]:
        return 20, outputs


def _stepped(about: Description) -> tuple[str, ...]:
    """Gradient steps on everything, of a checkpoint that has a step size for them."""
    loop = about.inner_loop
    return (ALL,) if loop.learned or loop.step_size else ()


def most_classes(task: str, max_way: int) -> int | None:
    """The most classes of a checkpoint; None where there are none, and for a kind unknown here."""
    return KINDS[task].most_classes(max_way) if task in KINDS else None


KINDS: dict[str, Kind] = {kind.name: kind for kind in (Classification(), Regression(), Policy())}


def find_kind(name: str) -> Kind:
    """The kind of this name. Raises UnknownKind, a ValueError, with the names that there are."""
    if name not in KINDS:
        raise UnknownKind(f"unknown kind of task {name!r}, expected one of {', '.join(KINDS)}")
    return KINDS[name]
