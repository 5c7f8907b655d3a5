"""Numbers and names as a checkpoint of vectors takes them, its preprocessing being
``{"kind": "numbers", "missing": …, "categories": …}``.

missing: the number that stands for a ``null``, for each number of an example in reading order, or
None where there may be none. categories: for each name behind the numbers the known ones, in the
order of the network's inputs that are 1 for them and 0 for the others.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import kind_of, refusal
from app.inputs.numbers import read_numbers

SHOWN = 20  # known names in a refusal


def read_vector(
    example: object,
    shape: tuple[int, ...],
    preprocessing: Mapping[str, Any] | None,
    pointer: str,
) -> NDArray[np.float64]:
    """An example as an array of ``shape``. Raises ServiceError at the place that does not fit."""
    about = preprocessing or {}
    missing, categories = about.get("missing") or (), about.get("categories") or ()
    if not categories:
        return read_numbers(example, shape, pointer, missing=missing)
    width = shape[0] - sum(map(len, categories))
    if not isinstance(example, list) or len(example) != width + len(categories):
        got = f"an array of {len(example)}" if isinstance(example, list) else kind_of(example)
        detail = f"expected {width} numbers and behind them {len(categories)} names, got {got}"
        raise refusal("shape-mismatch", pointer, detail)
    names = zip(example[width:], categories, range(width, len(example)), strict=True)
    marks = [_marks(name, known, f"{pointer}/{place}") for name, known, place in names]
    numbers = read_numbers(example[:width], (width,), pointer, missing=missing) if width else ()
    return np.concatenate([numbers, *marks])


def _marks(name: object, known: Sequence[str], pointer: str) -> NDArray[np.float64]:
    """1 for the name and 0 for the others that are known."""
    if not isinstance(name, str) or name not in known:
        more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
        among = ", ".join(repr(one) for one in known[:SHOWN])
        got = "another string" if isinstance(name, str) else kind_of(name)
        raise refusal("validation", pointer, f"expected one of {among}{more}, got {got}")
    return np.array([one == name for one in known], np.float64)
