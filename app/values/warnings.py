"""What a caller is told beside an answer: nothing is wrong enough to be refused, and something may
well not be meant.
"""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

Warning = Mapping[str, str]  # code, pointer, detail

WARNINGS: Final[Mapping[str, str]] = {
    "blank": "nothing is drawn in a picture, or it is of one colour",
    "full": "nearly all of a picture is ink",
    "negative": "pictures are negatives of those that the checkpoint knows",
    "fills-frame": "what is drawn touches the frame, which the checkpoint does not know",
    "out-of-range": "the numbers of a picture are not between 0 and 1",
    "twin-labels": "two labels look alike, and are two classes",
    "duplicate": "the same input stands in two classes",
    "uneven-classes": "one class has far more examples than the others",
    "indistinct-column": "a column's numbers differ by less than float32 can tell apart",
    "dominant-column": "a column outweighs all others in distances between examples",
    "few-episodes": "there are too few episodes to tell a better action from luck",
    "equal-returns": "every episode returned the same, so that nothing was learned",
    "unlike-all": "a query is unlike all examples of the support set",
}
SHOWN: Final = 20  # places of one kind


def warning(code: str, pointer: str, detail: str) -> Warning:
    """One entry of ``warnings``; code: one of ``WARNINGS``."""
    assert code in WARNINGS
    return {"code": code, "pointer": pointer, "detail": detail}


def warnings_at(code: str, places: Iterable[str], detail: str) -> list[Warning]:
    """A warning for each of these places, at most ``SHOWN``."""
    return [warning(code, place, detail) for place in islice(places, SHOWN)]
