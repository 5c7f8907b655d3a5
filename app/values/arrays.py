"""Named arrays: how examples travel from a request to a worker, as one blob.

``x`` is what a network takes. The others belong to the kind of task: ``y``, the targets of labelled
examples. A ``mask`` (S,) bool, where there is one, says which of the S examples count.
"""

from typing import Any, Final

from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

INPUT: Final = "x"
TARGET: Final = "y"
MASK: Final = "mask"


def count_of(arrays: Arrays) -> int:
    """S, the number of examples."""
    return len(arrays[INPUT])


def without(arrays: Arrays, index: int) -> Arrays:
    """The same examples but for one."""
    kept = [i for i in range(count_of(arrays)) if i != index]
    return {name: array[kept] for name, array in arrays.items()}
