"""Parameters that failed their check are derived again, and are the same model."""

import asyncio
from typing import Any

import numpy as np
import pytest

import worker.repairing
from app.adaptations.finding import find_adaptation
from app.errors import ServiceError
from app.inputs.support_sets import Given
from app.messages.memory import Memory
from app.predictions.batching import Batcher
from app.predictions.hot_models import HotModels
from app.predictions.predicting import Predictor, PredictOrder, predict
from app.values.timing import Timing
from tests.worker.orders import drawings, kinds, look, place
from worker.batch import run_hint
from worker.bench import Bench
from worker.repairing import repair
from worker.work import Failure

QUERY = drawings(5)


def adapt(bench: Bench) -> str:
    mine = place(
        bench,
        checkpoint="omniglot-5way-1shot",
        support_inputs=drawings(1).tolist(),
        support_targets=list("abcde"),
    )
    run_hint(bench, mine)
    return mine


def predictions(bench: Bench, adaptation_id: str) -> tuple[list[str], np.ndarray]:
    """Labels and probabilities for the query by a process that keeps nothing hot."""
    order = PredictOrder(
        tenant_id="default",
        adaptation=adaptation_id,
        checkpoint=None,
        given=Given(inputs=QUERY.tolist(), inputs_at="/inputs", targets_at="/targets"),
    )

    async def asked() -> list[dict[str, Any]]:
        batcher = Batcher(1)
        predictor = Predictor(
            backends=bench.backends, memory=Memory(), hot=HotModels(2**20), batcher=batcher
        )
        try:
            told = await predict(predictor, order, Timing())
        finally:
            batcher.close()
        found: list[dict[str, Any]] = told["predictions"]
        return found

    found = asyncio.run(asked())
    probabilities = [list(one["probabilities"].values()) for one in found]
    return [one["label"] for one in found], np.array(probabilities)


def damage(bench: Bench, adaptation_id: str) -> None:
    """Flips one bit in the middle of the adapted parameters."""
    one = find_adaptation(bench.backends, "default", adaptation_id)
    blob = bench.backends.settings.data_dir / "blobs" / "default" / str(one.phi_digest)
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)


def test_a_flipped_bit_is_never_served_and_repair_gives_the_same_model(bench: Bench) -> None:
    mine = adapt(bench)
    labels, probabilities = predictions(bench, mine)
    damage(bench, mine)

    with pytest.raises(ServiceError) as refusal:
        predictions(bench, mine)
    repaired = repair(bench, mine)

    assert (refusal.value.code, refusal.value.status) == ("damaged", 503)
    assert repaired
    again, numbers = predictions(bench, mine)
    assert again == labels
    np.testing.assert_allclose(numbers, probabilities, atol=1e-5)


def test_a_refusal_for_damage_asks_the_workers_for_repair(bench: Bench) -> None:
    mine = adapt(bench)
    damage(bench, mine)
    before = bench.backends.queue.redis.llen("adapt")

    with pytest.raises(ServiceError):
        predictions(bench, mine)

    assert bench.backends.queue.redis.llen("adapt") == before + 1


def test_what_has_no_parameters_is_left_as_it_is(bench: Bench) -> None:
    waiting = place(bench)

    assert [repair(bench, one) for one in (waiting, "ad_" + "0" * 32)] == [False] * 2
    assert look(bench, waiting).status == "queued"


def test_whole_parameters_are_not_derived_again(bench: Bench) -> None:
    mine = adapt(bench)

    assert repair(bench, mine)

    assert kinds(bench, mine) == ["queued", "running", "succeeded"]


def test_what_cannot_be_derived_again_fails_with_its_reason(bench: Bench) -> None:
    gone = adapt(bench)
    damage(bench, gone)
    support = look(bench, gone).support_digest
    (bench.backends.settings.data_dir / "blobs" / "default" / support).unlink()

    assert not repair(bench, gone)

    assert look(bench, gone).status == "failed"
    assert (look(bench, gone).error or {})["code"] == "damaged"
    with pytest.raises(ServiceError, match="adaptation-failed"):
        predictions(bench, gone)


def test_a_repair_that_lacks_memory_costs_the_row_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = adapt(bench)
    damage(bench, mine)
    failure = Failure(code="out-of-memory", detail="")
    with monkeypatch.context() as little_memory:
        little_memory.setattr(worker.repairing, "adapt_rows", lambda *_, **__: [failure])
        assert not repair(bench, mine)
    assert look(bench, mine).status == "succeeded"

    assert repair(bench, mine)


def test_many_refusals_for_damage_ask_for_one_repair(bench: Bench) -> None:
    mine = adapt(bench)
    damage(bench, mine)
    before = bench.backends.queue.redis.llen("adapt")

    for _ in range(5):
        with pytest.raises(ServiceError, match="damaged"):
            predictions(bench, mine)

    assert bench.backends.queue.redis.llen("adapt") == before + 1
