"""Support and query sets as a checkpoint takes them: read, joined with an earlier one, bounded.

It knows what a checkpoint's description says, and no row, no blob and no HTTP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import refusal
from app.inputs.examples import InputSpec, read_classes, read_examples, read_labels, read_values
from app.inputs.images import ImageLimits
from app.settings import Settings

Arrays = dict[str, NDArray[Any]]
Description = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportSet:
    """x: (S, …) float32; y: (S,) int64 numbers of ``classes``, or (S, outputs) float32 values."""

    x: NDArray[np.float32]
    y: NDArray[Any]
    classes: tuple[str, ...] | None

    @property
    def outputs(self) -> int:
        """Classes, or values of one target."""
        return len(self.classes) if self.classes is not None else int(self.y.shape[-1])


def input_spec(description: Description) -> InputSpec:
    """What a checkpoint (or an adapted model) takes as one example."""
    taken = description["input"]
    return InputSpec(shape=tuple(taken["shape"]), preprocessing=taken["preprocessing"])


def image_limits(settings: Settings) -> ImageLimits:
    """The settings' bounds on a picture."""
    return ImageLimits(
        max_side_px=settings.max_image_side_px, max_area_px=settings.max_image_area_px
    )


def check_amount(count: int, limit: int, pointer: str) -> None:
    """Raises ServiceError ``too-many-examples`` beyond the limit."""
    if count > limit:
        detail = f"expected at most {limit} examples, got {count}"
        raise refusal("too-many-examples", pointer, detail)


def read_support(
    inputs: Sequence[Any], targets: Sequence[Any], description: Description, limits: ImageLimits
) -> SupportSet:
    """The support set of a request. Raises ServiceError with the place of what does not fit."""
    pointer = "/support/targets"
    classes: tuple[str, ...] | None = None
    y: NDArray[Any]
    if description["task"] == "classification":
        classes, y = read_classes(targets, pointer=pointer)
    else:
        y = read_values(targets, (int(description["head"]["outputs"]),), pointer=pointer)
    spec = input_spec(description)
    x = read_examples(inputs, spec, pointer="/support/inputs", limits=limits)
    return SupportSet(x=x, y=y, classes=classes)


def read_query(
    inputs: Sequence[Any],
    targets: Sequence[Any] | None,
    description: Description,
    support: SupportSet,
    limits: ImageLimits,
) -> Arrays:
    """x, and y where targets are given. Raises ServiceError like ``read_support``."""
    spec = input_spec(description)
    x = read_examples(inputs, spec, pointer="/query/inputs", limits=limits)
    if targets is None:
        return {"x": x}
    pointer = "/query/targets"
    if support.classes is not None:
        return {"x": x, "y": read_labels(targets, support.classes, pointer=pointer)}
    return {"x": x, "y": read_values(targets, support.y.shape[1:], pointer=pointer)}


def join(old: SupportSet, new: SupportSet) -> SupportSet:
    """Both support sets as one; the old classes keep their numbers, new ones follow."""
    x = np.concatenate([old.x, new.x])
    if old.classes is None or new.classes is None:
        return SupportSet(x=x, y=np.concatenate([old.y, new.y]), classes=None)
    classes = tuple(dict.fromkeys(old.classes + new.classes))
    renumbered = np.array([classes.index(name) for name in new.classes], np.int64)[new.y]
    return SupportSet(x=x, y=np.concatenate([old.y, renumbered]), classes=classes)


def check_classes(support: SupportSet, description: Description) -> None:
    """Raises ServiceError where a classifier gets one class, or more than it can carry."""
    if support.classes is None:
        return
    got, most = len(support.classes), description["max_way"]
    if got < 2:
        detail = f"expected at least 2 classes, got {got}"
        raise refusal("too-few-classes", "/support/targets", detail)
    if got > most:
        detail = f"expected at most {most} classes for this checkpoint, got {got}"
        raise refusal("too-many-classes", "/support/targets", detail)
