"""Warming makes the first requests quick, and never costs the process that warms."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

import app.predictions.warming
import worker.warming
from app.checkpoints.in_use import checkpoints_in_use
from app.settings import environment
from models.files.checkpoint import Checkpoint
from tests.processes import FEWSTEP, clean_environment, stop
from tests.worker.orders import look, place
from worker.batch import run_hint
from worker.bench import Bench

WITHIN_S = 0.3


class Block:
    """A step that waits until it is let go, and counts how often it began."""

    def __init__(self) -> None:
        self.began = 0
        self.let_go = threading.Event()

    def __call__(self, *_: Any, **__: Any) -> None:
        self.began += 1
        self.let_go.wait(30)


@pytest.fixture
def block() -> Iterator[Block]:
    """Let go when the test has ended."""
    step = Block()
    yield step
    step.let_go.set()


def took_s(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def test_a_worker_whose_warming_blocks_starts_all_the_same_and_adapts(
    bench: Bench, block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.warming, "adapt_rows", block)

    took = took_s(lambda: worker.warming.warm_up(bench, within_s=WITHIN_S))
    mine = place(bench)
    run_hint(bench, mine)

    assert WITHIN_S <= took < WITHIN_S + 2
    assert look(bench, mine).status == "succeeded"


def test_work_shares_no_checkpoint_with_warming_that_goes_on(
    bench: Bench, block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[Checkpoint] = []
    monkeypatch.setattr(worker.warming, "adapt_rows", lambda c, *_, **__: used.append(c) or block())

    worker.warming.warm_up(bench, within_s=WITHIN_S)
    run_hint(bench, place(bench))

    assert len(used) == 1
    assert all(checkpoint is not used[0] for checkpoint in bench.hot.values())


def test_no_step_begins_after_the_time_is_over(
    bench: Bench, block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.warming, "adapt_rows", block)

    worker.warming.warm_up(bench, within_s=WITHIN_S)
    block.let_go.set()
    for thread in threading.enumerate():
        if thread.name == "warming":
            thread.join(10)

    assert block.began == 1


def test_what_was_warmed_in_time_stays_hot(bench: Bench) -> None:
    worker.warming.warm_up(bench)

    warmed = {ref.digest for ref in checkpoints_in_use(bench.backends)}
    assert bench.hot.keys() == warmed


def test_an_api_whose_warming_blocks_starts_all_the_same(
    bench: Bench, block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.predictions.warming, "read_blob", block)

    took = took_s(lambda: app.predictions.warming.warm_up(bench.backends, 1, within_s=WITHIN_S))

    assert WITHIN_S <= took < WITHIN_S + 2


def test_what_goes_wrong_in_time_is_raised(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: Any, **__: Any) -> None:
        raise RuntimeError("no kernel for this device")

    monkeypatch.setattr(worker.warming, "adapt_rows", break_down)

    with pytest.raises(RuntimeError, match="no kernel"):
        worker.warming.warm_up(bench)


@pytest.mark.parametrize(("side", "examples"), [(28, [5]), (84, [5]), (200, [3]), (2000, [])])
def test_large_pictures_are_warmed_with_no_more_work_than_the_bound(
    bench: Bench,
    omniglot: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    side: int,
    examples: list[int],
) -> None:
    shape = [3, side, side]
    large = replace(omniglot, input_shape=tuple(shape))
    first = checkpoints_in_use(bench.backends)[0]
    monkeypatch.setattr(worker.warming, "checkpoints_in_use", lambda _: [first])
    monkeypatch.setattr(worker.warming, "hot_checkpoint", lambda *_: large)
    seen: list[int] = []
    monkeypatch.setattr(
        worker.warming, "adapt_rows", lambda _, rows, **__: seen.append(len(rows[0].support["x"]))
    )

    worker.warming.warm_up(bench)

    assert seen == examples


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a blob that never answers is a named pipe")
def test_a_worker_process_whose_store_hangs_while_it_warms_still_adapts(bench: Bench) -> None:
    settings = bench.backends.settings
    for ref in checkpoints_in_use(bench.backends):
        if ref.name != "sinusoid":
            blob = settings.data_dir / "blobs" / ref.tenant_id / ref.digest
            blob.unlink()
            os.mkfifo(blob)
    mine = place(bench)
    process = subprocess.Popen(
        [FEWSTEP, "worker"], env=clean_environment(**environment(settings)), cwd=settings.data_dir
    )

    try:
        ends_at = time.monotonic() + 50
        while look(bench, mine).status != "succeeded" and time.monotonic() < ends_at:
            time.sleep(0.5)
    finally:
        stop(process)

    assert look(bench, mine).status == "succeeded"
