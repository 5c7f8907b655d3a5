"""What a caller reads of scores and values."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating[Any]]


def softmax(scores: Scores) -> NDArray[np.float64]:
    """(Q, N) scores -> (Q, N) probabilities in float64, each row summing to 1."""
    shifted = scores.astype(np.float64) - scores.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float64)


def value_prediction(
    values: NDArray[np.floating[Any]], deviations: NDArray[np.floating[Any]]
) -> dict[str, Any]:
    told = {"value": [float(number) for number in values]}
    if len(deviations):
        told["standard_deviation"] = [float(number) for number in deviations]
    return told


def class_prediction(
    row: NDArray[np.float64], best: int, classes: Sequence[str], top_k: int | None
) -> dict[str, Any]:
    """best: of the scores, whose probabilities may be alike; ``top_k`` keeps only that many of
    them, the largest.
    """
    order = np.argsort(-row, kind="stable")[:top_k] if top_k else range(len(classes))
    kept = {classes[int(index)]: float(row[int(index)]) for index in order}
    return {"label": classes[best], "probability": float(row[best]), "probabilities": kept}
