"""Trainings as whoever orders them sees them: told to stop they go on to the same bits."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors import safe_open

from app.trainings.order import TrainingOrder
from app.trainings.running import run_training
from app.values.progress import Activity, Progress, Reached, Stopped

RECIPE = """
name = "short"
task = "regression"
seed = 3
input_shape = [1]

[distribution]
name = "sinusoid"

[network]
name = "mlp"
inputs = 1
hidden = [20, 20]
normalised = false

[head]
kind = "linear"
outputs = 1

[inner_loop]
steps = 2
step_size = 0.01

[[stages]]
iterations = 10
episodes = 4
way = 1
shot = 5
query = 5
inner_steps = 1
learning_rate = 1e-3
final_learning_rate = 1e-4

[[stages]]
iterations = 20
episodes = 4
way = 1
shot = 5
query = 5
inner_steps = 2
learning_rate = 1e-3
final_learning_rate = 1e-4

[validation]
every = 8
episodes = 10
way = 1
shot = 5
query = 5
"""
STEPS = 30


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> TrainingOrder:
    """An order for a training that has run to its end in its folder."""
    folder = tmp_path_factory.mktemp("trainings")
    (folder / "short.toml").write_text(RECIPE)
    order = TrainingOrder(recipe=str(folder / "short.toml"), folder=folder / "undisturbed")
    run_training(order, progress=Progress(), say=print)
    return order


def written(folder: Path | None) -> tuple[bytes, bytes]:
    """The bytes of a run's state and of its checkpoint."""
    assert folder is not None
    return (folder / "state.safetensors").read_bytes(), (folder / "short.safetensors").read_bytes()


def saved_step(folder: Path) -> int:
    """The outer steps done when the state was saved."""
    with safe_open(folder / "state.safetensors", framework="numpy") as state:
        done: int = json.loads(state.metadata()["state"])["iteration"]
        return done


def logged(folder: Path) -> list[int]:
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [json.loads(line)["iteration"] for line in lines]


def stopped_at(activity: Activity, done: int) -> Progress:
    """A progress that another thread tells to stop once the training has come this far."""

    def watch(reached: Reached) -> None:
        if reached.activity == activity and reached.done >= done:
            thread = threading.Thread(target=progress.stop, args=("cancelled",))
            thread.start()
            thread.join()

    progress = Progress(show=watch)
    return progress


@pytest.mark.parametrize("step", [0, 7, 10, 16, STEPS])
def test_a_training_told_to_stop_goes_on_to_the_bits_of_an_undisturbed_one(
    order: TrainingOrder, tmp_path: Path, step: int
) -> None:
    mine = replace(order, folder=tmp_path)

    with pytest.raises(Stopped, match="cancelled"):
        run_training(mine, progress=stopped_at("training", step), say=print)
    before = (saved_step(tmp_path), logged(tmp_path))
    run_training(mine, progress=Progress(), say=print)

    assert before == (step, list(range(1, step + 1)))
    assert logged(tmp_path) == list(range(1, STEPS + 1))
    assert written(tmp_path) == written(order.folder)


def test_a_training_stopped_while_it_is_tested_is_published_when_it_is_ordered_again(
    order: TrainingOrder, tmp_path: Path
) -> None:
    mine = replace(order, folder=tmp_path)

    with pytest.raises(Stopped):
        run_training(mine, progress=stopped_at("testing", 40), say=print)
    assert not (tmp_path / "short.safetensors").exists()
    run_training(mine, progress=Progress(), say=print)

    assert written(tmp_path) == written(order.folder)


def test_a_training_whose_steps_were_ordered_in_parts_says_where_it_stands(
    order: TrainingOrder, tmp_path: Path
) -> None:
    mine, said = replace(order, folder=tmp_path), list[str]()

    part = run_training(replace(mine, stop_after=7), progress=Progress(), say=said.append)
    whole = run_training(mine, progress=Progress(), say=said.append)

    assert (part, whole) == (None, tmp_path / "short.safetensors")
    assert said[:2] == [
        "stopped after outer step 7; the same command goes on",
        f"goes on after outer step 7 of {STEPS}",
    ]
    assert said[2].startswith(f"{whole}: ")
    assert written(tmp_path) == written(order.folder)


def test_a_checkpoint_of_an_unfinished_training_changes_nothing_of_how_it_goes_on(
    order: TrainingOrder, tmp_path: Path
) -> None:
    mine = replace(order, folder=tmp_path)

    early = run_training(
        replace(mine, stop_after=7, unfinished=True), progress=Progress(), say=print
    )
    assert early == tmp_path / "short.safetensors"
    run_training(mine, progress=Progress(), say=print)

    assert written(tmp_path) == written(order.folder)


def test_progress_hears_of_every_piece_of_work_from_its_start_to_its_end(
    order: TrainingOrder, tmp_path: Path
) -> None:
    heard: list[Reached] = []

    run_training(replace(order, folder=tmp_path), progress=Progress(show=heard.append), say=print)

    steps = [(r.subject, r.done, r.total) for r in heard if r.activity == "training"]
    assert steps == [("short", step, STEPS) for step in range(STEPS + 1)]
    tested = [(r.done, r.total) for r in heard if r.activity == "testing"]
    assert (tested[0], tested[-1]) == ((0, 600), (600, 600))
