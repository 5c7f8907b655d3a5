"""Pictures that are not as the checkpoint knows them: seen in a support set, and set right.

A checkpoint's preprocessing says under ``corrects`` what it may be: ``polarity``, where strokes are
1 on a ground of 0, and ``frame``, where nothing that is drawn touches the frame. What was found is
the adaptation's own preprocessing, so its queries go the same way. It knows no row and no HTTP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.inputs.images import DRAWN
from app.values.warnings import Warning, warning

TOUCHING: Final = 0.75  # of the pictures: of sets of ten held-out characters at most 0.3 do
MARGIN: Final = 1 / 7  # of a side


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """preprocessing: the changed one, None where the checkpoint's is right; warnings: what is to be
    said.
    """

    preprocessing: dict[str, Any] | None
    warnings: tuple[Warning, ...]


def look_at(
    x: NDArray[np.float32],
    given: Sequence[Any],
    preprocessing: Mapping[str, Any] | None,
    pointer: str,
) -> Prepared:
    """What is wrong with a support set x (S, C, H, W) that was read of ``given``.

    Numbers are taken as they are: of them it is only said.
    """
    are_pictures = not any(isinstance(one, list) for one in given)
    corrects = () if preprocessing is None else preprocessing.get("corrects", ())
    if takes_ink(preprocessing) and not are_pictures:  # of pictures that is seen one by one
        corrects = ("polarity", "frame")
    if preprocessing is None or not corrects:
        return Prepared(preprocessing=None, warnings=())
    changed, said = dict(preprocessing), list[Warning]()
    if "polarity" in corrects and is_negative(x):
        said.append(_said("negative", pointer, corrected=are_pictures))
        changed["invert"], x = not preprocessing["invert"], 1 - x
    if "frame" in corrects and fills_frame(x):
        said.append(_said("fills-frame", pointer, corrected=are_pictures))
        changed["margin"] = round(MARGIN * min(preprocessing["size"]))
    corrected = changed if said and are_pictures else None
    return Prepared(preprocessing=corrected, warnings=tuple(said))


def takes_ink(preprocessing: Mapping[str, Any] | None) -> bool:
    """Whether pictures become their ink, strokes of 1 on a ground of 0."""
    return preprocessing is not None and preprocessing.get("preparation") in DRAWN


def is_negative(x: NDArray[np.float32]) -> bool:
    """Whether the ground of most pictures is nearer to 1 than to 0, and the drawn is darker."""
    ring = _ring(x)
    return bool(np.median(ring) > 0.5 and ring.mean() > x.mean())


def fills_frame(x: NDArray[np.float32]) -> bool:
    """Whether what is drawn touches the frame in most pictures."""
    return bool((_ring(x).max(axis=1) > 0.5).mean() >= TOUCHING)


def _ring(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """(S, …) the outermost pixels."""
    rows, columns = x[:, :, (0, -1), :], x[:, :, :, (0, -1)]
    return np.concatenate([rows.reshape(len(x), -1), columns.reshape(len(x), -1)], axis=1)


WORDS: Final = {
    "negative": (
        "the pictures are negatives of those that the checkpoint knows",
        "support and queries are inverted",
        "send 1 minus each number",
    ),
    "fills-frame": (
        "what is drawn touches the frame, which the checkpoint does not know",
        "support and queries get a margin",
        "leave a margin around it",
    ),
}


def _said(code: str, pointer: str, *, corrected: bool) -> Warning:
    what, done, to_do = WORDS[code]
    return warning(code, pointer, f"{what}; {done if corrected else to_do}")
