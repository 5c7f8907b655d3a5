import pickle

import pytest

from app.errors import PROBLEMS, FieldError, ServiceError, kind_of


def test_every_code_is_an_error_status_with_a_title() -> None:
    assert all(400 <= status < 600 and title for status, title in PROBLEMS.values())


def test_an_error_knows_the_status_and_title_of_its_code() -> None:
    error = ServiceError("expired", "its time is over")

    assert (error.status, error.title) == PROBLEMS["expired"]


def test_an_unknown_code_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        ServiceError("no-such-code", "")


def test_at_most_twenty_errors_are_kept() -> None:
    places = [FieldError(pointer=f"/{i}", detail="expected a, got b") for i in range(21)]

    assert ServiceError("validation", "wrong", errors=places).errors == tuple(places[:20])


def test_an_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(ServiceError("damaged", "a blob")))

    assert (error.code, error.status, error.detail) == ("damaged", 503, "a blob")


def test_a_boolean_is_not_called_an_integer() -> None:
    assert [kind_of(True), kind_of(1)] == ["a boolean", "an integer"]
