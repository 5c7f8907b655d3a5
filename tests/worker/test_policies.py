"""Policies among a worker's rows: stacked or alone the same φ, rounds that go on from one another,
and a damaged φ derived again from the chain that it came from.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from app.adaptations.finding import find_adaptation
from app.inputs.rollouts import Episode
from models.environments.navigation import Navigation
from models.files.adapted_file import params_of
from models.files.checkpoint import load_checkpoint
from models.normalisation import Params
from models.policies.policy import Policy
from models.policies.sampling import collect
from tests.worker.conftest import OpenBench
from tests.worker.orders import look, place
from worker.batch import run_hint
from worker.bench import Bench
from worker.repairing import repair

FILE = Path(__file__).parents[2] / "models" / "checkpoints" / "point-navigation.safetensors"
CHECKPOINT = load_checkpoint(FILE.read_bytes())
POLICY = Policy(network=CHECKPOINT.learner.network, actions=2)


def episodes(params: Params, seed: int, count: int = 6) -> list[Episode]:
    """Rollouts of one policy, as a request has them."""
    goal = np.array([[0.3, -0.2]])
    stacked = {name: value[None] for name, value in params.items()}
    found = collect(POLICY, stacked, Navigation(), goal, count, [seed])
    return [
        Episode(
            observations=found.observations[0, index, : length + 1].tolist(),
            actions=found.actions[0, index, :length].tolist(),
            rewards=found.rewards[0, index, :length].tolist(),
            terminated=bool(found.terminated[0, index]),
            truncated=not found.terminated[0, index],
            log_probs=None,
            pointer=f"/rollouts/{index}",
        )
        for index, length in enumerate(found.lengths[0].tolist())
    ]


def order(bench: Bench, rollouts: list[Episode], continues: str | None = None) -> str:
    checkpoint = None if continues else "point-navigation"
    return place(bench, support=None, checkpoint=checkpoint, continues=continues, rollouts=rollouts)


def phi_of(bench: Bench, adaptation_id: str) -> Params:
    row = find_adaptation(bench.backends, "default", adaptation_id)
    return params_of(bench.backends.store.get("default", str(row.phi_digest)))


def damage(bench: Bench, digest: str | None) -> None:
    blob = bench.backends.settings.data_dir / "blobs" / "default" / str(digest)
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)


def assert_equal(one: Params, other: Params) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], atol=1e-6, rtol=1e-5)


def test_stacked_and_alone_come_to_the_same(open_bench: OpenBench) -> None:
    bench = open_bench(share_equal_work=False)
    rollouts = [episodes(CHECKPOINT.meta.theta, seed) for seed in range(3)]
    together = [order(bench, each) for each in rollouts]
    sine = place(bench)
    for hint in (*together, sine):
        run_hint(bench, hint)
    alone = []
    for index, each in enumerate(rollouts):
        other = order(bench, each)
        run_hint(bench, other)
        alone.append(other)
        assert look(bench, together[index]).status == "succeeded"

    for one, other in zip(together, alone, strict=True):
        assert_equal(phi_of(bench, one), phi_of(bench, other))
    assert look(bench, sine).status == "succeeded"


def test_a_damaged_phi_is_derived_again_from_the_chain_that_it_came_from(bench: Bench) -> None:
    first = order(bench, episodes(CHECKPOINT.meta.theta, 1))
    run_hint(bench, first)
    before = phi_of(bench, first)
    second = order(bench, episodes(before, 2), continues=first)
    run_hint(bench, second)
    row, whole = look(bench, second), phi_of(bench, second)
    assert (row.status, row.round) == ("succeeded", 2)
    assert row.start_digest == look(bench, first).phi_digest

    damage(bench, row.phi_digest)
    assert repair(bench, second)
    assert_equal(phi_of(bench, second), whole)

    damage(bench, look(bench, second).phi_digest)
    damage(bench, row.start_digest)
    assert repair(bench, second)
    assert_equal(phi_of(bench, second), whole)


def test_what_no_chain_leads_back_to_is_lost(bench: Bench) -> None:
    first = order(bench, episodes(CHECKPOINT.meta.theta, 1))
    run_hint(bench, first)
    second = order(bench, episodes(phi_of(bench, first), 2), continues=first)
    run_hint(bench, second)
    for one in (first, second):
        damage(bench, look(bench, one).phi_digest)
    damage(bench, look(bench, first).support_digest)

    assert not repair(bench, second)
    assert look(bench, second).status == "failed"


@pytest.mark.parametrize("steps", [0, 1])
def test_no_step_leaves_the_policy_as_it_is(bench: Bench, steps: int) -> None:
    mine = place(
        bench,
        support=None,
        checkpoint="point-navigation",
        rollouts=episodes(CHECKPOINT.meta.theta, 3),
        steps=steps,
    )
    run_hint(bench, mine)

    kl = (look(bench, mine).metrics or {})["kl"]
    assert (kl == pytest.approx(0, abs=1e-7)) == (steps == 0)
