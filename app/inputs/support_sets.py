"""Examples as a request has them, and support sets as a checkpoint takes them; both bounded.

It knows no row, no blob and no HTTP.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.errors import refusal
from app.inputs.images import ImageLimits
from app.settings import Settings
from app.values.arrays import Arrays, count_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Examples as a request has them, not yet read; *_at: where they stand in it."""

    inputs: Sequence[Any]
    targets: Sequence[Any] | None = None
    inputs_at: str
    targets_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportSet:
    """arrays: by name, each (S, …); classes: their names in order, None where there are none;
    outputs: classes, or values of one target.
    """

    arrays: Arrays
    classes: tuple[str, ...] | None
    outputs: int

    def __len__(self) -> int:
        return count_of(self.arrays)


def image_limits(settings: Settings) -> ImageLimits:
    """The bounds on a picture, as in training unless the settings lower them."""
    most = ImageLimits()
    side, area = settings.max_image_side_px, settings.max_image_area_px
    return replace(
        most,
        max_side_px=min(side or most.max_side_px, most.max_side_px),
        max_area_px=min(area or most.max_area_px, most.max_area_px),
    )


def check_amount(count: int, limit: int, pointer: str) -> None:
    """Raises ServiceError ``too-many-examples`` beyond the limit."""
    if count > limit:
        detail = f"expected at most {limit} examples, got {count}"
        raise refusal("too-many-examples", pointer, detail)


def check_classes(classes: Sequence[str] | None, most: int | None) -> None:
    """Raises ServiceError where a classifier gets one class, or more than it can carry."""
    if classes is None or most is None:
        return
    got = len(classes)
    if got < 2:
        detail = f"expected at least 2 classes, got {got}"
        raise refusal("too-few-classes", "/support/targets", detail)
    if got > most:
        detail = f"expected at most {most} classes for this checkpoint, got {got}"
        raise refusal("too-many-classes", "/support/targets", detail)
