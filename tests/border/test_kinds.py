"""What the service's kinds of task say of features and targets that are known by hand."""

import numpy as np

from app.kinds import KINDS


def test_the_nearest_other_example_tells_the_class_of_those_that_have_others() -> None:
    features = np.array([[1, 0], [9, 1], [0, 1], [1, 9], [-1, 0], [-5, -4]], np.float32)
    y = np.array([0, 0, 1, 1, 0, 2])

    told = KINDS["classification"].rivals(features, {"x": features, "y": y})

    # the fifth of the first five is nearest to the last, which stands alone in its class
    assert told == {"nearest_neighbour": 4 / 5}


def test_where_nothing_can_be_left_out_there_is_no_score() -> None:
    features = np.ones((2, 3), np.float32)

    told = KINDS["classification"].rivals(features, {"x": features, "y": np.array([0, 1])})

    assert told == {"nearest_neighbour": None}
    assert KINDS["regression"].rivals(features, {"x": features, "y": features}) == {}
