"""An answer depends on its model and its input alone, whatever waits at the desk beside it."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from app.kinds import softmax
from app.predictions.batching import Batcher, Predicted
from models.files.checkpoint import Checkpoint
from models.served import ServedModel, serve_theta, stand_in
from tests.worker.orders import drawings

WAVES, LETTERS = 1500, 40


@contextmanager
def sitting() -> Iterator[Batcher]:
    before = torch.get_num_threads()
    desk = Batcher(1)
    yield desk
    desk.close()
    torch.set_num_threads(before)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def varied(model: ServedModel, count: int) -> list[ServedModel]:
    """So many different models of one architecture."""
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(count, len(model.flat), generator=generator) * 0.05
    return [replace(model, flat=model.flat * (1 + one)) for one in noise]


@pytest.fixture(scope="module")
def waves(sinusoid: Checkpoint) -> list[ServedModel]:
    theta = serve_theta(sinusoid)
    assert theta is not None
    return varied(theta, WAVES)


@pytest.fixture(scope="module")
def letters(omniglot: Checkpoint) -> list[ServedModel]:
    return varied(stand_in(omniglot, outputs=5), LETTERS)


def by_hand(model: ServedModel, x: float) -> float:
    """The sinusoid network in NumPy and float64."""
    named = model.architecture.named(model.flat)
    weights = {name: tensor.numpy().astype(np.float64) for name, tensor in named.items()}
    hidden = np.array([x], np.float64)
    for layer in ("linears.0", "linears.1"):
        hidden = np.maximum(weights[f"{layer}.weight"] @ hidden + weights[f"{layer}.bias"], 0)
    return float((weights["head.weight"] @ hidden + weights["head.bias"])[0])


def test_thousands_of_neighbours_change_no_answer(
    waves: list[ServedModel], letters: list[ServedModel]
) -> None:
    random = np.random.default_rng(0)
    numbers = random.uniform(-5, 5, (WAVES, 1, 1)).astype(np.float32)
    pictures = np.concatenate([drawings(seed) for seed in range(LETTERS // 5)])[:, None]

    async def together() -> tuple[list[Predicted], list[Predicted], list[Predicted]]:
        with sitting() as desk:
            mixed = [desk.predict(m, x) for m, x in zip(waves, numbers, strict=True)]
            drawn = [desk.predict(m, x) for m, x in zip(letters, pictures, strict=True)]
            same = [desk.predict(waves[7], x) for x in numbers]
            found = await asyncio.gather(*mixed, *drawn, *same)
            return found[:WAVES], found[WAVES:-WAVES], found[-WAVES:]

    mixed, drawn, same = run(together())

    exact = [by_hand(m, float(x[0, 0])) for m, x in zip(waves, numbers, strict=True)]
    np.testing.assert_allclose([float(one.outputs[0, 0]) for one in mixed], exact, 1e-5, 1e-5)
    exact = [by_hand(waves[7], float(x[0, 0])) for x in numbers]
    np.testing.assert_allclose([float(one.outputs[0, 0]) for one in same], exact, 1e-5, 1e-5)
    for one, model, x in zip(drawn, letters, pictures, strict=True):
        alone = softmax(model.predict(x))
        np.testing.assert_allclose(softmax(one.outputs), alone, atol=1e-5)
        assert one.outputs.argmax() == alone.argmax()
    assert max(one.batch_size for one in mixed) > 100  # or nothing was tested


def test_heavy_inputs_are_answered_by_the_thread_and_light_ones_do_not_wait_for_them(
    letters: list[ServedModel], waves: list[ServedModel]
) -> None:
    many = np.repeat(drawings(1), 200, axis=0)
    order: list[str] = []

    async def go() -> tuple[Predicted, Predicted]:
        async def ask(name: str, model: ServedModel, x: Any) -> Predicted:
            found = await desk.predict(model, x)
            order.append(name)
            return found

        with sitting() as desk:
            heavy = ask("heavy", letters[0], many)
            light = ask("light", waves[0], np.ones((1, 1), np.float32))
            first, second = await asyncio.gather(heavy, light)
            return first, second

    heavy, light = run(go())

    assert order == ["light", "heavy"]
    alone = softmax(letters[0].predict(drawings(1)))
    np.testing.assert_allclose(softmax(heavy.outputs[::200]), alone, atol=1e-5)
    assert light.outputs.shape == (1, 1)


def test_what_breaks_on_one_input_breaks_for_its_sender_alone(waves: list[ServedModel]) -> None:
    good, bad = np.ones((1, 1), np.float32), np.ones((1, 3), np.float32)
    torn = replace(waves[0], flat=waves[0].flat[:5])

    async def go() -> list[Any]:
        with sitting() as desk:
            asked = [(waves[1], good), (waves[2], bad), (torn, good), (waves[3], good)]
            work = [desk.predict(model, x) for model, x in asked]
            return await asyncio.gather(*work, return_exceptions=True)

    first, wrong_shape, broken, last = run(go())

    assert isinstance(wrong_shape, RuntimeError)
    assert isinstance(broken, RuntimeError)
    for found, model in ((first, waves[1]), (last, waves[3])):
        assert float(found.outputs[0, 0]) == pytest.approx(by_hand(model, 1.0), rel=1e-5)


def test_who_went_away_leaves_nothing_hanging(waves: list[ServedModel]) -> None:
    one = np.ones((1, 1), np.float32)

    async def go() -> Predicted:
        with sitting() as desk:
            gone = asyncio.create_task(desk.predict(waves[0], one))
            stays = asyncio.create_task(desk.predict(waves[1], one))
            await asyncio.sleep(0)
            gone.cancel()
            found = await asyncio.wait_for(stays, 5)
            assert gone.cancelled()
            later = await asyncio.wait_for(desk.predict(waves[0], one), 5)
            assert later.batch_size == 1
            return found

    assert run(go()).batch_size == 1


def test_a_thousand_pictures_of_one_request_let_others_in_between(
    letters: list[ServedModel],
) -> None:
    """A request of many turns of the thread ends after one that came later and takes one turn."""
    many = np.concatenate([drawings(seed) for seed in range(80)])  # 400 pictures: seven turns
    few = drawings(99).repeat(4, axis=0)  # 20 pictures: heavy, one turn
    ended: list[str] = []

    async def ask(desk: Batcher, name: str, model: ServedModel, x: Any) -> Predicted:
        found = await desk.predict(model, x)
        ended.append(name)
        return found

    async def work() -> list[Predicted]:
        with sitting() as desk:
            first = asyncio.create_task(ask(desk, "many", letters[0], many))
            await asyncio.sleep(0)
            second = asyncio.create_task(ask(desk, "few", letters[1], few))
            return [await first, await second]

    large, small = run(work())

    assert ended == ["few", "many"]
    np.testing.assert_allclose(large.outputs, letters[0].predict(many), atol=1e-5)
    np.testing.assert_allclose(small.outputs, letters[1].predict(few), atol=1e-5)
