"""Training on the console: Ctrl-C, a lost process, and a device that is not there."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from app.cli.learning import train as command
from app.cli.main import app
from app.trainings import running
from app.trainings.order import TrainingOrder
from app.trainings.running import run_training
from app.trainings.runs import check_device
from app.values.progress import Progress, Reached
from tests.trainings.test_running import RECIPE, STEPS, logged, saved_step


class Killed(Exception):
    """Stands for the end of a process."""


def write_recipe(folder: Path) -> str:
    file = folder / "short.toml"
    file.write_text(RECIPE)
    return str(file)


def at_step(step: int, act: object) -> Progress:
    """A progress that acts once the training has come so far."""

    def watch(reached: Reached) -> None:
        if reached.activity == "training" and reached.done == step:
            act()  # type: ignore[operator]

    return Progress(show=watch)


def test_a_process_that_is_lost_loses_no_more_than_the_time_between_two_savings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(0, 100_000, 5))  # seconds: every look at the clock takes five
    monkeypatch.setattr(running.time, "monotonic", lambda: float(next(now)))

    def die() -> None:
        raise Killed

    order = TrainingOrder(recipe=write_recipe(tmp_path), folder=tmp_path)
    with pytest.raises(Killed):
        run_training(order, progress=at_step(20, die), say=print)

    lost = 20 - saved_step(tmp_path)
    assert 0 < lost * 3 * 5 <= running.SAVED_EVERY_S


def test_an_interrupt_ends_between_two_steps_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = signal.getsignal(signal.SIGINT)
    order = TrainingOrder(recipe=write_recipe(tmp_path), folder=tmp_path)
    monkeypatch.setattr("worker.allocator.keep_freed_memory", lambda: None)
    taken = running._reached

    def interrupted(*arguments: object) -> Reached:
        found = taken(*arguments)  # type: ignore[arg-type]
        if found.done == 9:
            signal.raise_signal(signal.SIGINT)
        return found

    monkeypatch.setattr(running, "_reached", interrupted)
    with pytest.raises(typer.Exit) as ended:
        command.train_on_console(order)

    assert ended.value.exit_code == 130
    assert "stopped after outer step 9; the same command goes on" in capsys.readouterr().out
    assert (saved_step(tmp_path), logged(tmp_path)) == (9, list(range(1, 10)))
    assert signal.getsignal(signal.SIGINT) is usual


def test_a_second_interrupt_ends_at_once() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & ignores it
    with command.stopping_at_signals(Progress()):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    told = CliRunner().invoke(
        app, ["train", "sinusoid", "--out", str(tmp_path), "--device", "cuda"]
    )

    assert told.exit_code == 2
    [line] = told.stderr.splitlines()
    assert line.startswith("fewstep: device cuda: torch ")
    assert "sees no GPU here; train with --device cpu" in line


@pytest.mark.parametrize("name", ["gpu", "mps", "cuda:x", "cpu:1", ""])
def test_other_devices_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="device"):
        check_device(name)


def test_the_detail_says_what_each_number_is(tmp_path: Path) -> None:
    heard: list[Reached] = []
    order = TrainingOrder(recipe=write_recipe(tmp_path), folder=tmp_path)

    run_training(replace(order, stop_after=9), progress=Progress(show=heard.append), say=print)
    run_training(replace(order, stop_after=1), progress=Progress(show=heard.append), say=print)

    first = [reached.detail for reached in heard if reached.done == 1]
    ninth, resumed = (reached.detail for reached in heard if reached.done == 9)
    assert first[0].startswith("training mean squared error ")
    assert "validation" not in first[0]
    score = ninth.partition("validation ")[2].partition(" ")[0]
    assert ninth.endswith(f", validation {score} (best {score} at 8)")
    assert resumed == f"validation {score} (best {score} at 8)"
    assert STEPS > 9
