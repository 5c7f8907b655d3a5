"""How a row is adapted: as it says, as its checkpoint's recipe says, or as leaving out says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

import models
from app.adaptations.choosing import choose_way
from app.values.description import read_description
from app.values.ways import RECIPE, Way
from models.files.checkpoint import Checkpoint, describe_checkpoint, load_checkpoint
from models.served import load_served
from tests.worker.orders import drawings, look, place
from worker.assessing import ways_of
from worker.batch import run_hint
from worker.bench import Bench
from worker.outcomes import order_of
from worker.work import Work

SHIPPED = sorted((Path(models.__file__).parent / "checkpoints").glob("*.safetensors"))


@pytest.fixture(params=SHIPPED, ids=lambda path: path.stem)
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    return load_checkpoint(request.param.read_bytes())


def test_what_is_compared_first_is_what_an_order_without_wishes_gets(
    checkpoint: Checkpoint,
) -> None:
    about = read_description(describe_checkpoint(checkpoint))

    default = choose_way(None, None, None, about)

    way = next(iter(ways_of(checkpoint).values()))
    steps = (way.adapts, way.steps, way.step_size)
    assert steps == (default.adapts, default.steps, default.step_size)


def test_a_row_of_before_adapts_as_its_recipe_has_it(bench: Bench) -> None:
    mine = place(
        bench,
        checkpoint="miniimagenet-5way-1shot-finn2017",
        support_inputs=np.zeros((2, 3, 84, 84)).tolist(),
        support_targets=["a", "b"],
    )
    with bench.backends.engine.begin() as connection:
        connection.execute(text("UPDATE adaptations SET adapts = NULL"))
    imported = load_checkpoint(SHIPPED[[p.stem[:4] for p in SHIPPED].index("mini")].read_bytes())
    work = Work(support={}, step_size=None)

    row = look(bench, mine)

    assert row.adapts == RECIPE
    assert order_of(imported, row, work).way == Way(adapts="weights", steps=10, step_size=0.05)


def test_models_of_one_checkpoint_share_its_body_whatever_their_support(bench: Bench) -> None:
    made = []
    for count in (6, 7):
        mine = place(
            bench,
            checkpoint="omniglot-anyway",
            support_inputs=drawings(1, count).tolist(),
            support_targets=[str(index // 2) for index in range(count)],
        )
        run_hint(bench, mine)
        made.append(look(bench, mine))
    loads = []

    def theta_of(digest: str) -> dict[str, object]:
        loads.append(digest)
        file = next(path for path in SHIPPED if path.stem == "omniglot-anyway")
        return dict(load_checkpoint(file.read_bytes()).meta.theta)

    one, other = (
        load_served(bench.backends.store.get("default", str(row.phi_digest)), theta_of)  # type: ignore[arg-type]
        for row in made
    )

    assert one.architecture is not other.architecture
    assert one.architecture.body is other.architecture.body
    assert len(loads) <= 1
    assert one.values > 100_000 > one.flat.numel()


def test_what_was_chosen_once_is_what_is_derived_again(bench: Bench) -> None:
    mine = place(
        bench,
        checkpoint="omniglot-anyway",
        support_inputs=drawings(1, 6).tolist(),
        support_targets=list("aabbcc"),
        adapts="auto",
    )
    run_hint(bench, mine)
    row = look(bench, mine)
    file = next(path for path in SHIPPED if path.stem == "omniglot-anyway")
    checkpoint = load_checkpoint(file.read_bytes())

    chosen = replace(row, metrics={"adapts": "head"})

    order = order_of(checkpoint, chosen, Work(support={}, step_size=None))
    assert order.way == ways_of(checkpoint)["head"]
    assert order.scores is None
