"""A kind of task is known on both sides, or on neither."""

import app.kinds
import models.kinds


def test_the_service_and_the_mathematics_know_the_same_kinds() -> None:
    assert app.kinds.KINDS.keys() == models.kinds.KINDS.keys()
