"""Which inputs are like none of a support set: what is said of them, and labels withheld."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any, Final

from app.values.warnings import Warning, warnings_at

UNLIKE: Final = 0.95  # the share of known inputs that are less unlike

_known: Final = NormalDist()


def novelty_of(deviations: float) -> float:
    """The share in [0, 1] of known inputs that are nearer than so many deviations from their
    middle.
    """
    return _known.cdf(deviations)


def unlike_all(predictions: Sequence[Mapping[str, Any]]) -> Iterator[int]:
    """The places of predictions whose input is beyond the threshold."""
    for index, prediction in enumerate(predictions):
        novelty = prediction.get("novelty")
        if novelty is not None and novelty > UNLIKE:
            yield index


def warnings_of(predictions: Sequence[Mapping[str, Any]], pointer: str) -> list[Warning]:
    """A warning for each input of the list at ``pointer`` that is beyond the threshold."""
    detail = (
        "unlike every support example: more than 19 in 20 known inputs are less so; its class may "
        "be none of these"
    )
    return warnings_at("unlike-all", (f"{pointer}/{i}" for i in unlike_all(predictions)), detail)


def without_labels(predictions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same predictions, those of such inputs with ``label`` None."""
    told = list(predictions)
    for index in unlike_all(predictions):
        told[index] = told[index] | {"label": None}
    return told
