"""Models that are kept hot: what really stays in memory, and how often each is loaded."""

import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.predictions.hot_models import HotModels
from models.files.checkpoint import Checkpoint
from models.networks import build_network
from models.served import ServedModel, predict_stacked, stand_in

MIB = 2**20
WIDTHS = (1020, 1021, 1022, 1023)  # so many networks, each with a φ of about 4 MiB
BOUND_BYTES = 16 * MIB
MODELS = 40
# Of the allocator, and of the largest activations: less than one φ for each of eight threads.
SLACK_BYTES = 8 * MIB

Buffers = list["weakref.ref[NDArray[np.float32]]"]


def wide(sinusoid: Checkpoint, width: int) -> ServedModel:
    """A model of two layers of this width."""
    config = {"inputs": 1, "hidden": [width, width], "normalised": False}
    network = build_network("mlp", config)
    checkpoint = replace(
        sinusoid,
        network="mlp",
        network_config=config,
        learner=replace(sinusoid.learner, network=network),
        meta=replace(sinusoid.meta, theta=dict(network.named_parameters())),
    )
    return stand_in(checkpoint, outputs=1)


def loading(model: ServedModel, buffers: Buffers) -> Callable[[], ServedModel]:
    """Loads a copy of the model, and notes its buffer."""

    def load() -> ServedModel:
        buffer = model.flat.numpy().copy()
        buffers.append(weakref.ref(buffer))
        return replace(model, flat=torch.from_numpy(buffer))

    return load


def fill(hot: HotModels, firsts: list[ServedModel]) -> int:
    """Predicts with many models in eight threads; the bytes of φ that are alive afterwards."""
    buffers: Buffers = []

    def use(number: int) -> None:
        first = firsts[number % len(firsts)]
        model = hot.get("mine", str(number), loading(first, buffers))
        model.predict(np.ones((1, 1), np.float32))
        predict_stacked([model, first], np.ones((2, 1), np.float32))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(MODELS)))
    alive = [buffer() for buffer in buffers]
    assert len(alive) == MODELS
    return sum(buffer.nbytes for buffer in alive if buffer is not None)


def test_models_that_made_room_leave_nothing_behind(sinusoid: Checkpoint) -> None:
    firsts = [wide(sinusoid, width) for width in WIDTHS]

    alive = fill(HotModels(BOUND_BYTES), firsts)

    assert 0 < alive <= BOUND_BYTES


def test_modules_that_nobody_uses_hold_no_parameters(sinusoid: Checkpoint) -> None:
    model = wide(sinusoid, WIDTHS[0])
    unused = held_bytes(model)

    model.predict(np.ones((1, 1), np.float32))

    assert len(model.architecture.free) == 1  # given back
    assert (unused, held_bytes(model)) == (0, 0)


def held_bytes(model: ServedModel) -> int:
    return sum(
        parameter.nbytes
        for modules in model.architecture.free
        for parameter in modules.network.parameters()
    )


def test_modules_come_back_from_a_forward_that_fails(sinusoid: Checkpoint) -> None:
    model = wide(sinusoid, WIDTHS[0])
    before = [id(modules) for modules in model.architecture.free]

    with pytest.raises(RuntimeError):
        model.predict(np.ones((1, 7), np.float32))

    assert [id(modules) for modules in model.architecture.free] == before
    assert held_bytes(model) == 0


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_a_process_grows_by_the_bound_and_little_more() -> None:
    """Measured in a process of its own, whose allocator gives large buffers back at once."""
    grown = subprocess.run(
        [sys.executable, "-c", "from tests.worker import test_hot_models as t; t.tell_growth()"],
        env={"MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )

    assert int(grown.stdout) <= BOUND_BYTES + SLACK_BYTES


def tell_growth() -> None:
    """Prints by how many bytes this process grows over all models, warm ones before it apart."""
    from models.files.checkpoint import load_checkpoint
    from tests.worker.conftest import CHECKPOINTS
    from tests.worker.test_served import resident_bytes

    sinusoid = load_checkpoint((CHECKPOINTS / "sinusoid.safetensors").read_bytes())
    fill(HotModels(BOUND_BYTES), [wide(sinusoid, 900)])
    firsts = [wide(sinusoid, width) for width in WIDTHS]
    for first in firsts:  # their numbers are written, and so resident
        first.flat.add_(1.0)
    before = resident_bytes()
    hot = HotModels(BOUND_BYTES)
    fill(hot, firsts)
    print(resident_bytes() - before)  # noqa: T201 - read by the test
    # whichever came last of eight threads
    assert sum(hot.peek("mine", str(number)) is not None for number in range(MODELS)) >= 3


class Slow:
    """Loads, each 0.1 s long, that are counted and end in one way."""

    def __init__(self, end: Callable[[], ServedModel]) -> None:
        self.end = end
        self.count = 0

    def __call__(self) -> ServedModel:
        self.count += 1
        time.sleep(0.1)
        return self.end()


def ask_at_once(hot: HotModels, load: Callable[[], ServedModel]) -> list[object]:
    """What eight threads are told that ask for one model at the same time: it, or an error."""
    at_once = threading.Barrier(8)

    def ask(_: int) -> object:
        at_once.wait()
        try:
            return hot.get("mine", "digest", load)
        except OSError as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(ask, range(8)))


def test_whoever_asks_while_a_model_is_loaded_gets_that_one(sinusoid: Checkpoint) -> None:
    model, hot = stand_in(sinusoid, outputs=1), HotModels(MIB)
    load = Slow(lambda: model)

    told = ask_at_once(hot, load)

    assert (told, load.count) == ([model] * 8, 1)
    assert hot.peek("mine", "digest") is model
    assert hot.peek("theirs", "digest") is None


def test_all_who_wait_for_a_load_that_fails_are_told_at_once_and_the_next_tries_again(
    sinusoid: Checkpoint,
) -> None:
    model, hot = stand_in(sinusoid, outputs=1), HotModels(MIB)
    away = OSError("the store is away")

    def fail() -> ServedModel:
        raise away

    load = Slow(fail)
    told = ask_at_once(hot, load)

    assert (told, load.count) == ([away] * 8, 1)
    assert hot.get("mine", "digest", lambda: model) is model


def test_a_model_too_large_to_keep_is_still_loaded_once_for_all_who_wait(
    sinusoid: Checkpoint,
) -> None:
    model = stand_in(sinusoid, outputs=1)
    hot, load = HotModels(model.bytes - 1), Slow(lambda: model)

    told = ask_at_once(hot, load)

    assert (told, load.count) == ([model] * 8, 1)
    assert hot.peek("mine", "digest") is None
