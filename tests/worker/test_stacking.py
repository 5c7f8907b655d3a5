"""Many support sets in one stacked call come out as each would by itself."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import worker.stacking
from models.files.checkpoint import Checkpoint
from models.learner import Adapted
from models.networks import build_network
from tests.worker.orders import drawings, sine_points
from worker.stacking import adapt_rows, query_outputs
from worker.work import Failure, Work

CPU = torch.device("cpu")


def sines(count: int, *, step_size: float = 0.01) -> list[Work]:
    """One support set of five points each."""
    points = [sine_points(seed) for seed in range(count)]
    return [Work(support={"x": x, "y": y}, step_size=step_size) for x, y in points]


def adapted(checkpoint: Checkpoint, rows: list[Work], **more: Any) -> list[Adapted | Failure]:
    return adapt_rows(checkpoint, rows, **{"outputs": 1, "steps": 10, "device": CPU} | more)


def plain_descent(theta: dict[str, torch.Tensor], work: Work, *, steps: int) -> Any:
    """Gradient descent on the mean squared error, written out with autograd alone, in float64.

    Gives the parameters and the loss before each step and after the last.
    """
    phi = {name: tensor.double().requires_grad_() for name, tensor in theta.items()}
    x, y = (torch.from_numpy(work.support[name]).double() for name in ("x", "y"))
    losses = []
    for step in range(steps + 1):
        loss = ((plain_network(phi, x) - y) ** 2).mean()
        losses.append(loss.item())
        if step < steps:
            gradients = torch.autograd.grad(loss, list(phi.values()))
            moved = zip(phi.items(), gradients, strict=True)
            phi = {n: (p - work.step_size * g).detach().requires_grad_() for (n, p), g in moved}
    return phi, losses


def plain_network(phi: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    for layer in (0, 1):
        weight, bias = phi[f"linears.{layer}.weight"], phi[f"linears.{layer}.bias"]
        x = F.linear(x, weight, bias).clamp(min=0)
    return F.linear(x, phi["head.weight"], phi["head.bias"])


@pytest.mark.parametrize("at_once", [4, 100])
def test_every_row_of_a_batch_is_plain_gradient_descent(
    sinusoid: Checkpoint, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(worker.stacking, "episodes_at_once", lambda *_: at_once)
    rows = sines(11)  # three stacks, the last one not full; or one

    batch = adapted(sinusoid, rows)

    for row, result in zip(rows, batch, strict=True):
        phi, losses = plain_descent(sinusoid.meta.theta, row, steps=10)
        assert isinstance(result, Adapted)
        # float32 against float64 over ten steps
        np.testing.assert_allclose(result.losses.numpy(), losses, rtol=1e-4, atol=1e-5)
        for name, tensor in phi.items():
            np.testing.assert_allclose(result.params[name], tensor.detach(), atol=1e-5)


def test_what_progress_raises_ends_the_stacked_work_between_two_inner_steps(
    sinusoid: Checkpoint,
) -> None:
    steps_left = iter(range(7))

    def progress() -> None:
        if next(steps_left, None) is None:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        adapted(sinusoid, sines(3), steps=1000, progress=progress)


def test_rows_of_a_batch_may_differ_in_their_step_size(sinusoid: Checkpoint) -> None:
    rows = [*sines(2, step_size=0.001), *sines(2, step_size=0.005)]

    batch = adapted(sinusoid, rows)

    for row, result in zip(rows, batch, strict=True):
        assert isinstance(result, Adapted)
        _, losses = plain_descent(sinusoid.meta.theta, row, steps=10)
        np.testing.assert_allclose(result.losses.numpy(), losses, rtol=1e-4, atol=1e-5)


def test_a_classifier_in_a_batch_predicts_as_it_does_alone(omniglot: Checkpoint) -> None:
    size = omniglot.inner_loop.step_size  # a much larger one would amplify rounding
    rows = [
        Work(support={"x": drawings(seed), "y": np.arange(5)}, step_size=size) for seed in range(9)
    ]
    query = drawings(99)

    batch = adapted(omniglot, rows, outputs=5, steps=3)

    for row, result in zip(rows, batch, strict=True):
        [alone] = adapted(omniglot, [row], outputs=5, steps=3)
        assert isinstance(result, Adapted)
        assert isinstance(alone, Adapted)
        together = query_outputs(omniglot, result, query).softmax(dim=1)
        by_itself = query_outputs(omniglot, alone, query).softmax(dim=1)
        np.testing.assert_allclose(together, by_itself, atol=1e-5)


def test_a_row_that_diverges_fails_alone(sinusoid: Checkpoint) -> None:
    rows = sines(5)
    huge = rows[2].support["y"] * np.float32(1e25)
    rows[2] = Work(support={"x": rows[2].support["x"], "y": huge}, step_size=0.01)

    batch = adapted(sinusoid, rows)

    assert [isinstance(result, Failure) for result in batch] == [False, False, True, False, False]
    assert isinstance(batch[2], Failure)
    assert batch[2].code == "diverged"
    for row, result in zip(rows[:2] + rows[3:], batch[:2] + batch[3:], strict=True):
        assert isinstance(result, Adapted)
        _, losses = plain_descent(sinusoid.meta.theta, row, steps=10)
        np.testing.assert_allclose(result.losses.numpy(), losses, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (1e30, 1.0, "scale the inputs, whose numbers are very large; try a smaller step_size"),
        (1.0, 1e30, "scale the targets, whose numbers are very large; try a smaller step_size"),
        (1e30, 1e10, "scale the inputs"),
        (1e10, 1e30, "scale the targets"),
        (1.0, 1.0, None),
    ],
)
def test_what_diverges_is_told_which_side_is_large(
    sinusoid: Checkpoint, x: float, y: float, said: str | None
) -> None:
    [points] = sines(1)
    support = {"x": points.support["x"] * np.float32(x), "y": points.support["y"] * np.float32(y)}

    [result] = adapted(sinusoid, [Work(support=support, step_size=0.01)])

    assert isinstance(result, Failure) == (said is not None)
    if isinstance(result, Failure):
        assert said is not None
        assert said in result.detail


def test_inputs_are_large_as_the_network_sees_them(sinusoid: Checkpoint) -> None:
    config = sinusoid.network_config | {"centre": [0.0], "scale": [1e29]}
    learner = replace(sinusoid.learner, network=build_network("mlp", config))
    standardising = replace(sinusoid, learner=learner, network_config=config)
    x = np.float32(1e30) * np.linspace(-1, 1, 4, dtype=np.float32)[:, None]
    support = {"x": x, "y": np.full((4, 1), 1e25, np.float32)}

    [result] = adapted(standardising, [Work(support=support, step_size=0.01)])

    assert isinstance(result, Failure)
    assert "scale the targets" in result.detail


def test_with_no_step_taken_a_network_is_what_it_was(sinusoid: Checkpoint) -> None:
    [result] = adapted(sinusoid, sines(1), steps=0)

    assert isinstance(result, Adapted)
    assert len(result.losses) == 1
    assert set(result.params) == set(sinusoid.meta.theta)
    for name, tensor in sinusoid.meta.theta.items():
        assert torch.equal(result.params[name], tensor)


class LittleMemory:
    """A device that holds no more than so many support sets in one call."""

    def __init__(self, holds: int, real: Any, error: RuntimeError) -> None:
        self.holds, self.real, self.error, self.sizes = holds, real, error, list[int]()

    def __call__(self, checkpoint: Checkpoint, rows: list[Work], **more: Any) -> Any:
        self.sizes.append(len(rows))
        assert len(self.sizes) < 50, "it tries for ever"
        if len(rows) > self.holds:
            raise self.error
        return self.real(checkpoint, rows, **more)


def allocation_that_fails() -> RuntimeError:
    """What torch itself says on this machine's CPU."""
    with pytest.raises(RuntimeError) as failed:
        torch.empty(2**60)
    return failed.value


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_out_of_memory_halves_the_batch(
    sinusoid: Checkpoint, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    rows = sines(8)
    error = allocation_that_fails() if device == "cpu" else torch.OutOfMemoryError("not enough")
    memory = LittleMemory(2, worker.stacking._stacked, error)
    monkeypatch.setattr(worker.stacking, "_stacked", memory)

    batch = adapted(sinusoid, rows)

    assert memory.sizes == [8, 4, 2, 2, 2, 2]
    for row, result in zip(rows, batch, strict=True):
        assert isinstance(result, Adapted)
        _, losses = plain_descent(sinusoid.meta.theta, row, steps=10)
        np.testing.assert_allclose(result.losses.numpy(), losses, rtol=1e-4, atol=1e-5)


def test_a_row_that_fits_no_memory_fails_alone_and_ends(
    sinusoid: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = LittleMemory(0, worker.stacking._stacked, torch.OutOfMemoryError("not enough"))
    monkeypatch.setattr(worker.stacking, "_stacked", memory)

    batch = adapted(sinusoid, sines(3))

    assert [one.code for one in batch if isinstance(one, Failure)] == ["out-of-memory"] * 3


@pytest.mark.parametrize("adapts", ["kernel", "head"])
def test_numbers_beyond_float32_fail_alone_and_by_name(omniglot: Checkpoint, adapts: str) -> None:
    """What overflows in the network is no number, and no matrix can be solved with it."""
    x = np.concatenate([drawings(1), drawings(2)])
    y = np.tile(np.arange(5), 2)
    good = Work(support={"x": x, "y": y}, step_size=None)
    bad = Work(support={"x": x * np.float32(3e38), "y": y}, step_size=None)

    fine, failed, too = adapt_rows(
        omniglot, [good, bad, good], outputs=5, steps=1, adapts=adapts, device=CPU
    )

    assert isinstance(fine, Adapted)
    assert isinstance(too, Adapted)
    assert isinstance(failed, Failure)
    assert failed.code == "diverged"
    assert "scale the inputs" in failed.detail
