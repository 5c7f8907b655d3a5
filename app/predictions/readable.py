"""From a network's scores to what a caller reads. NumPy only; probabilities are worked out in
float64.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def readable(
    outputs: NDArray[np.floating[Any]], classes: Sequence[str] | None, *, top_k: int | None = None
) -> list[dict[str, Any]]:
    """What a caller reads of (Q, outputs) scores of classes, or of values where there are none."""
    if classes is None:
        return value_predictions(outputs)
    return class_predictions(outputs, classes, top_k=top_k)


def class_predictions(
    scores: NDArray[np.floating[Any]], classes: Sequence[str], *, top_k: int | None = None
) -> list[dict[str, Any]]:
    """(Q, N) scores -> for each query its label, the label's probability and those of all classes.

    ``top_k`` keeps only that many of the probabilities, the largest.
    """
    return [_class_prediction(row, classes, top_k) for row in softmax(scores)]


def value_predictions(values: NDArray[np.floating[Any]]) -> list[dict[str, Any]]:
    """(Q, outputs) values -> for each query its value as a list."""
    return [{"value": [float(number) for number in row]} for row in values]


def softmax(scores: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """(Q, N) scores -> (Q, N) probabilities, each row summing to 1."""
    shifted = scores.astype(np.float64) - scores.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float64)


def _class_prediction(
    row: NDArray[np.float64], classes: Sequence[str], top_k: int | None
) -> dict[str, Any]:
    best = int(row.argmax())
    order = np.argsort(-row, kind="stable")[:top_k] if top_k else range(len(classes))
    kept = {classes[int(index)]: float(row[int(index)]) for index in order}
    return {"label": classes[best], "probability": float(row[best]), "probabilities": kept}
