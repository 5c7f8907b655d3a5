"""Parameters that failed their check are derived again, and are the same model."""

import numpy as np
import pytest

import worker.repairing
from app.adaptations.finding import find_adaptation
from app.db.connections import reading
from app.db.events import kinds_of
from app.errors import ServiceError
from app.predictions.predicting import HotModels, PredictOrder, predict
from tests.worker.orders import drawings, look, place
from worker.batch import run_hint
from worker.desk import Desk
from worker.engine import Failure
from worker.repairing import repair

QUERY = drawings(5)


def adapt(desk: Desk) -> str:
    mine = place(
        desk,
        checkpoint="omniglot-5way-1shot",
        support_inputs=drawings(1).tolist(),
        support_targets=list("abcde"),
    )
    run_hint(desk, mine)
    return mine


def predictions(desk: Desk, adaptation_id: str) -> tuple[list[str], np.ndarray]:
    """Labels and probabilities for the query by a process that keeps nothing hot."""
    order = PredictOrder(
        tenant_id="default", adaptation=adaptation_id, checkpoint=None, inputs=QUERY.tolist()
    )
    found = predict(desk.backends, HotModels(2**20), order)["predictions"]
    probabilities = [list(one["probabilities"].values()) for one in found]
    return [one["label"] for one in found], np.array(probabilities)


def damage(desk: Desk, adaptation_id: str) -> None:
    """Flips one bit in the middle of the adapted parameters."""
    one = find_adaptation(desk.backends, "default", adaptation_id)
    blob = desk.backends.settings.data_dir / "blobs" / "default" / str(one.phi_digest)
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)


def test_a_flipped_bit_is_never_served_and_repair_gives_the_same_model(desk: Desk) -> None:
    mine = adapt(desk)
    labels, probabilities = predictions(desk, mine)
    damage(desk, mine)

    with pytest.raises(ServiceError) as refusal:
        predictions(desk, mine)
    repaired = repair(desk, mine)

    assert (refusal.value.code, refusal.value.status) == ("damaged", 503)
    assert repaired
    again, numbers = predictions(desk, mine)
    assert again == labels
    np.testing.assert_allclose(numbers, probabilities, atol=1e-5)


def test_a_refusal_for_damage_asks_the_workers_for_repair(desk: Desk) -> None:
    mine = adapt(desk)
    damage(desk, mine)
    before = desk.backends.queue.redis.llen("adapt")

    with pytest.raises(ServiceError):
        predictions(desk, mine)

    assert desk.backends.queue.redis.llen("adapt") == before + 1


def test_what_has_no_parameters_is_left_as_it_is(desk: Desk) -> None:
    waiting = place(desk)

    assert [repair(desk, one) for one in (waiting, "ad_" + "0" * 32)] == [False] * 2
    assert look(desk, waiting).status == "queued"


def test_whole_parameters_are_not_derived_again(desk: Desk) -> None:
    mine = adapt(desk)

    assert repair(desk, mine)

    with reading(desk.backends.engine) as connection:
        assert kinds_of(connection, mine) == ["queued", "running", "succeeded"]


def test_what_cannot_be_derived_again_fails_with_its_reason(desk: Desk) -> None:
    gone = adapt(desk)
    damage(desk, gone)
    support = look(desk, gone).support_digest
    (desk.backends.settings.data_dir / "blobs" / "default" / support).unlink()

    assert not repair(desk, gone)

    assert look(desk, gone).status == "failed"
    assert (look(desk, gone).error or {})["code"] == "damaged"
    with pytest.raises(ServiceError, match="adaptation-failed"):
        predictions(desk, gone)


def test_a_repair_that_lacks_memory_costs_the_row_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = adapt(desk)
    damage(desk, mine)
    failure = Failure(code="out-of-memory", detail="")
    with monkeypatch.context() as little_memory:
        little_memory.setattr(worker.repairing, "adapt_rows", lambda *_, **__: [failure])
        assert not repair(desk, mine)
    assert look(desk, mine).status == "succeeded"

    assert repair(desk, mine)


def test_many_refusals_for_damage_ask_for_one_repair(desk: Desk) -> None:
    mine = adapt(desk)
    damage(desk, mine)
    before = desk.backends.queue.redis.llen("adapt")

    for _ in range(5):
        with pytest.raises(ServiceError, match="damaged"):
            predictions(desk, mine)

    assert desk.backends.queue.redis.llen("adapt") == before + 1
