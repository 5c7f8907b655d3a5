"""FewstepClassifier among scikit-learn's own: its estimator checks, pipelines, pickles."""

import pickle
from typing import Any

import numpy as np
import pytest
from fewstep_client.sklearn import FewstepClassifier
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

from tests.processes import Service

CANNOT_APPLY = {
    "check_methods_subset_invariance": "asks for equal probabilities to 1e-7 whatever else is in "
    "the request; the service computes in float32 and promises 1e-5",
}
NAMES = [
    check.func.__name__ for _, check in estimator_checks_generator(FewstepClassifier(), legacy=True)
]


@pytest.fixture(autouse=True)
def here(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWSTEP_URL", service.base_url)


def test_it_passes_every_estimator_check_that_applies() -> None:
    results = check_estimator(
        FewstepClassifier(), expected_failed_checks=CANNOT_APPLY, on_skip=None, on_fail=None
    )

    failed = {
        one["check_name"]: str(one["exception"]) for one in results if one["status"] == "failed"
    }
    assert failed == {}
    assert len(results) > 50
    assert set(CANNOT_APPLY) <= set(NAMES)


def test_the_check_that_cannot_apply_holds_to_what_the_service_promises() -> None:
    X, y = load_iris(return_X_y=True)
    model = FewstepClassifier().fit(X[::5], y[::5])

    together = model.predict_proba(X)
    alone = np.concatenate([model.predict_proba(X[i : i + 1]) for i in range(0, 150, 10)])

    assert together[::10] == pytest.approx(alone, abs=1e-5)


def test_in_a_pipeline_it_is_about_as_good_as_the_nearest_neighbour() -> None:
    X, y = load_iris(return_X_y=True)
    kinds: dict[str, Any] = {"ours": FewstepClassifier(), "1-NN": KNeighborsClassifier(1)}

    scores = {
        name: cross_val_score(make_pipeline(StandardScaler(), kind), X, y, cv=5).mean()
        for name, kind in kinds.items()
    }

    assert scores["ours"] > scores["1-NN"] - 0.04, scores


def test_a_pickle_and_a_clone_go_on() -> None:
    X, y = load_iris(return_X_y=True)
    model = FewstepClassifier(ttl_seconds=3600).fit(X[::5], y[::5])

    again = pickle.loads(pickle.dumps(model))

    assert (again.predict(X) == model.predict(X)).all()
    assert clone(model).get_params() == model.get_params()
    assert not hasattr(clone(model), "adaptation_id_")
