"""Only the changes of the lifecycle's picture can happen."""

from itertools import product

import pytest

from app.values.lifecycle import FINAL, ForbiddenChange, Status, advance

# The picture in the interface's description, arrow by arrow.
ARROWS = {
    ("queued", "running"),
    ("queued", "cancelled"),
    ("running", "succeeded"),
    ("running", "failed"),
    ("running", "queued"),
    ("running", "cancelled"),
    ("succeeded", "expired"),
    ("succeeded", "failed"),  # beyond the picture: parameters that nothing can derive again
}
DESCRIBED = {"queued", "running", "succeeded", "failed", "cancelled", "expired"}
# Rows that ended otherwise may lose their time to live as well.
TOLERATED = {("failed", "expired"), ("cancelled", "expired")}


def test_there_are_the_described_states_and_no_others() -> None:
    assert {str(status) for status in Status} == DESCRIBED


@pytest.mark.parametrize("change", sorted(ARROWS))
def test_every_arrow_can_be_taken(change: tuple[str, str]) -> None:
    before, after = map(Status, change)

    assert advance(before, after) is after


@pytest.mark.parametrize("change", sorted(set(product(DESCRIBED, DESCRIBED)) - ARROWS - TOLERATED))
def test_a_change_without_an_arrow_is_our_own_mistake(change: tuple[str, str]) -> None:
    before, after = map(Status, change)

    with pytest.raises(ForbiddenChange, match=f"{before} cannot become {after}"):
        advance(before, after)


def test_what_has_ended_never_waits_or_runs_again() -> None:
    assert {str(status) for status in FINAL} == DESCRIBED - {"queued", "running"}
