"""What is doubtful in examples that can be taken: said, since it cannot be set right here.

It knows no row and no HTTP, and shows no value, only places and the names of classes.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.inputs.preparing import takes_ink
from app.inputs.support_sets import Given, SupportSet
from app.values.arrays import INPUT, TARGET
from app.values.description import InputSpec
from app.values.warnings import SHOWN, Warning, warning, warnings_at

FLAT: Final = 0.02  # between the lightest and the darkest of a picture: less shows nothing
MOSTLY_INK: Final = 0.45  # of a picture's pixels; a filled square that is cropped to has half
BEYOND: Final = 0.05  # numbers overshoot 0 and 1 by so much where a picture was made smaller
MANY_TIMES, AT_LEAST = 10, 20  # the usual class, and examples: then a class is far larger


def doubts_of_support(support: SupportSet, given: Given, spec: InputSpec) -> list[Warning]:
    """Of a support set that was read of ``given``: its inputs, its labels, and both together."""
    said = doubts_of_inputs(support.arrays[INPUT], given.inputs, spec, given.inputs_at)
    if support.classes is None:
        return said
    names = [support.classes[place] for place in support.arrays[TARGET]]
    return [
        *said,
        *_twins(names, given.targets_at),
        *_duplicates(support.arrays[INPUT], names, given.inputs_at),
        *_uneven(names, given.targets_at),
    ]


def doubts_of_inputs(
    x: NDArray[np.float32], given: Sequence[Any], spec: InputSpec, pointer: str
) -> list[Warning]:
    """Of the inputs x (S, …) that were read of ``given``, support or queries."""
    if not spec.takes_pictures or x.ndim < 3:
        return []
    flat = x.reshape(len(x), -1)
    blank = flat.max(axis=1) - flat.min(axis=1) < FLAT
    said = warnings_at(
        "blank",
        _places(blank, pointer),
        "nothing is seen in this picture but one colour; whatever comes of it means nothing",
    )
    if _are_strokes(spec):
        full = ~blank & ((flat > 0.5).mean(axis=1) > MOSTLY_INK)
        detail = "nearly all of this picture is ink; is it a drawing, and all of it?"
        said += warnings_at("full", _places(full, pointer), detail)
    numbers = np.array([isinstance(one, list) for one in given])
    outside = numbers & ((flat.min(axis=1) < -BEYOND) | (flat.max(axis=1) > 1 + BEYOND))
    if not outside.any():
        return said
    return said + warnings_at("out-of-range", _places(outside, pointer), _range_in_words(flat))


def _are_strokes(spec: InputSpec) -> bool:
    """Whether inputs are strokes of 1 on a ground of 0."""
    about = spec.preprocessing or {}
    return "polarity" in about.get("corrects", ()) or takes_ink(about)


def _range_in_words(flat: NDArray[np.float32]) -> str:
    known = "expected numbers between 0 and 1, as the checkpoint's pictures have"
    if 1 < flat.max() <= 255 and flat.min() >= 0:
        return f"{known}, got up to 255; divide by 255"
    return f"{known}, got others; bring them to 0 to 1, or send pictures"


def _twins(names: Sequence[str], pointer: str) -> list[Warning]:
    """Classes whose names differ in nothing that is seen: spaces, and characters without width."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(names):
        alike[_as_seen(name)].append(name)
    twins = [(same[0], other) for same in alike.values() for other in same[1:]]
    return [
        warning(
            "twin-labels",
            f"{pointer}/{names.index(other)}",
            f"the labels {one!a} and {other!a} look alike and are two classes; if they "
            "are one, give them one label",
        )
        for one, other in twins[:SHOWN]
    ]


def _as_seen(name: str) -> str:
    plain = unicodedata.normalize("NFKC", name)
    seen = (" " if character.isspace() else character for character in plain if _shows(character))
    return " ".join("".join(seen).split())


def _shows(character: str) -> bool:
    return (
        unicodedata.category(character) not in ("Cf", "Mn") or unicodedata.combining(character) > 0
    )


def _duplicates(x: NDArray[np.float32], names: Sequence[str], pointer: str) -> list[Warning]:
    first: dict[bytes, int] = {}
    said = list[Warning]()
    for index, example in enumerate(x):
        before = first.setdefault(example.tobytes(), index)
        if names[before] != names[index]:
            detail = (
                f"the same input as {pointer}/{before}, there in class {names[before]!a} and "
                f"here in {names[index]!a}; no answer to it is right"
            )
            said.append(warning("duplicate", f"{pointer}/{index}", detail))
    return said[:SHOWN]


def _uneven(names: Sequence[str], pointer: str) -> list[Warning]:
    counts = Counter(names)
    largest, most = counts.most_common(1)[0]
    usual = float(np.median([count for name, count in counts.items() if name != largest] or [most]))
    if most < AT_LEAST or most < MANY_TIMES * usual:
        return []
    detail = (
        f"class {largest!a} has {most} examples where the others usually have {usual:g}; a few of "
        "each tell as much, and alike numbers favour no class"
    )
    return [warning("uneven-classes", f"{pointer}/{names.index(largest)}", detail)]


def _places(which: NDArray[np.bool_], pointer: str) -> list[str]:
    return [f"{pointer}/{index}" for index in np.flatnonzero(which)]
