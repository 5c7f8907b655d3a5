"""What examples are, whatever they are called: to know a class again in other data, and to see an
example that is there twice.
"""

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHOWN = 3  # pairs of names in a sentence


def content_of(examples: NDArray[Any]) -> str:
    """16 hex digits for the examples (M, …) of a class, in whatever order they are."""
    each = sorted(hashlib.sha256(e.tobytes()).digest() for e in np.ascontiguousarray(examples))
    return hashlib.sha256(b"".join(each)).hexdigest()[:16]


def say_equal_rows(x: NDArray[Any], classes: Sequence[str], what: str) -> tuple[str, ...]:
    """``say_repeated`` of the rows of x (M, …), where 0 and -0 are the same."""
    contents = (row.tobytes() for row in x + x.dtype.type(0))
    names = [f"row {row} {label}".rstrip() for row, label in enumerate(classes)]
    return say_repeated(contents, names, classes, what)


def say_repeated(
    contents: Iterable[Hashable], names: Iterable[str], classes: Iterable[str], what: str
) -> tuple[str, ...]:
    """A warning where examples of the same content are of two classes, and one where they are of
    one. what: an example, in a word.
    """
    found: dict[Hashable, list[tuple[str, str]]] = defaultdict(list)
    for content, name, label in zip(contents, names, classes, strict=True):
        found[content].append((name, label))
    pairs = [(seen[0], other) for seen in found.values() for other in seen[1:]]
    apart = [f"{one[0]} and {other[0]}" for one, other in pairs if one[1] != other[1]]
    within = [f"{one[0]} and {other[0]}" for one, other in pairs if one[1] == other[1]]
    return (
        *_warning(apart, f"the same {what} is in two classes", "no answer to it is right"),
        *_warning(within, f"the same {what} is there twice", "scores count it as new"),
    )


def _warning(pairs: list[str], seen: str, why: str) -> tuple[str, ...]:
    if not pairs:
        return ()
    more = f" and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else ""
    return (f"warning: {seen}: {', '.join(pairs[:SHOWN])}{more}; {why}",)
