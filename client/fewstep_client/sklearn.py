"""A scikit-learn classifier whose model is an adaptation: ``fit`` posts the examples, ``predict``
asks. Needs the extra ``fewstep-client[sklearn]``.

It takes rows of numbers, as scikit-learn's estimators do, by default with the checkpoint
``vectors``, which takes rows of any width; pictures and text are for ``Client``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from fewstep_client.client import Client


class FewstepClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """checkpoint: what is adapted; url and key: of the service, unset as ``Client`` finds them;
    adapts, steps, step_size: as in ``POST /adapt``; ttl_seconds: how long the service keeps it.

    classes_: in the order of ``predict_proba``; adaptation_id_: the fitted model at the service,
    which a copy or a pickle of this estimator goes on using.
    """

    def __init__(
        self,
        checkpoint: str = "vectors",
        *,
        url: str | None = None,
        key: str | None = None,
        adapts: str | None = None,
        steps: int | None = None,
        step_size: float | None = None,
        ttl_seconds: int | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.url = url
        self.key = key
        self.adapts = adapts
        self.steps = steps
        self.step_size = step_size
        self.ttl_seconds = ttl_seconds

    def fit(self, X: ArrayLike, y: ArrayLike) -> FewstepClassifier:
        """Adapts the checkpoint to rows (S, D) with their classes (S,)."""
        rows, labels = validate_data(self, X, y)
        check_classification_targets(labels)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"Classifier can't train when only one class is present: {self.classes_[0]!r}"
            )
        order = np.argsort(numbers, kind="stable")  # so that classes appear in their order
        options: dict[str, Any] = {
            "adapts": self.adapts,
            "steps": self.steps,
            "step_size": self.step_size,
            "ttl_seconds": self.ttl_seconds,
        }
        with Client(self.url, self.key) as client:
            made = client.adapt(
                self.checkpoint, rows[order], [str(one) for one in numbers[order]], **options
            )
        self.adaptation_id_ = made.id
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """(Q, N) probabilities of the classes."""
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False)
        names = [str(number) for number in range(len(self.classes_))]
        with Client(self.url, self.key) as client:
            predictions = client.predict_many(self.adaptation_id_, rows)
        told = [[one["probabilities"][name] for name in names] for one in predictions]
        return np.array(told, np.float64)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """(Q,) the likeliest class of each row."""
        check_is_fitted(self)
        found: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return found
