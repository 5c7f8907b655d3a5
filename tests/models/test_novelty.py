"""How unlike a support set an input is: beside NumPy in float64, and where the truth is known."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from benchmarks.vectors import vectors
from models.episodes import EpisodeShape, labelled
from models.files.adapted_file import dump_adapted
from models.files.checkpoint import (
    Checkpoint,
    InvalidCheckpoint,
    dump_checkpoint,
    load_checkpoint,
)
from models.heads.novelty import KNOWN, SEEN, UNLIKE, Bucket, Calibration, with_novelty
from models.inner_loop import adapt, adapt_episodes
from models.learner import Adapted, episode_of, predict
from models.measuring.calibrating import calibrate_answers
from models.measuring.evaluation import evaluate
from models.measuring.reliability import auroc, calibration_error, measure_reliability
from models.served import load_served
from models.tasks.classes import LabelledExamples

CHECKPOINTS = Path(__file__).parents[2] / "models" / "checkpoints"
WIDTH, APART = 16, 2.0
MEASURED = Bucket(
    shots=1, middle=1.5, below=0.3, above=0.2, left_out=1.5, temperature={"kernel": 0.5}
)


def of_vectors(*buckets: Bucket) -> Checkpoint:
    checkpoint = vectors()
    calibration = Calibration(buckets=buckets)
    return replace(checkpoint, learner=replace(checkpoint.learner, calibration=calibration))


def clouds(*, width: int = WIDTH, apart: float = APART) -> LabelledExamples:
    """Unit Gaussians about means that are Gaussian themselves, ``apart`` times as wide."""
    random, classes, each = np.random.default_rng(0), 40, 20
    means = random.normal(size=(classes, 1, width)) * apart
    x = means + random.normal(size=(classes, each, width))
    third = classes // 4
    return LabelledExamples(
        name="clouds",
        examples=torch.from_numpy(x.reshape(-1, width)).float(),
        counts=(each,) * classes,
        names=tuple(map(str, range(classes))),
        splits={
            "train": list(range(third)),
            "validation": list(range(third, 2 * third)),
            "test": list(range(2 * third, classes)),
        },
        digest="-",
    )


def adapted_to(checkpoint: Checkpoint, x: Tensor, y: Tensor, adapts: Any = "kernel") -> Adapted:
    recipe = checkpoint.recipe_of(adapts)
    support = labelled(x, y)
    outputs = int(y.max()) + 1
    return adapt(checkpoint.learner, checkpoint.meta.theta, support, recipe, outputs=outputs)


def file_of(adapted: Adapted, width: int = WIDTH) -> bytes:
    about = {
        "task": "classification",
        "network": {"name": "identity"},
        "head": {"kind": "prototype"},
        "normalisation": "support",
        "input": {"shape": [width], "preprocessing": None},
        "classes": list("abc"),
        "outputs": 3,
    }
    return dump_adapted(adapted, about, body="0" * 64)


@pytest.fixture
def drawn() -> tuple[Tensor, Tensor, Tensor]:
    """Three classes of four vectors each, and 50 inputs from near to very far."""
    random = torch.Generator().manual_seed(3)
    y = torch.arange(12) % 3
    x = torch.randn(12, WIDTH, generator=random) + 3 * torch.eye(3, WIDTH)[y]
    far = torch.logspace(-1, 3, 50)[:, None]
    return x, y, x.mean(dim=0) + far * torch.randn(50, WIDTH, generator=random)


@pytest.mark.parametrize("adapts", ["kernel", "head"])
def test_deviations_are_those_of_the_nearest_support_example(
    drawn: tuple[Tensor, Tensor, Tensor], adapts: str
) -> None:
    x, y, queries = drawn
    adapted = adapted_to(of_vectors(MEASURED), x, y, adapts)

    outputs = predict(of_vectors(MEASURED).learner, adapted, queries)

    apart = np.linalg.norm(queries.double()[:, None] - x.double()[None], axis=2)
    np.fill_diagonal(own := np.linalg.norm(x.double()[:, None] - x.double()[None], axis=2), np.inf)
    left_out = np.median(np.sort(np.where(y[:, None] == y, own, np.inf).min(axis=1))[5])
    middle = 1.5 + 12 / (12 + 25) * (np.log(left_out) - 1.5)  # the sixth of twelve
    distance = np.log(apart.min(axis=1)) - middle
    np.testing.assert_allclose(outputs[:, 3], distance / np.where(distance < 0, 0.3, 0.2), 1e-3)


def test_no_label_changes_and_far_inputs_are_not_answered_with_certainty(
    drawn: tuple[Tensor, Tensor, Tensor],
) -> None:
    x, y, queries = drawn
    queries = torch.cat([queries, queries * 1e12, queries * 1e30])
    for adapts in ("kernel", "head"):
        plain = replace(vectors().learner, calibration=None)
        checkpoint = replace(vectors(), learner=plain)
        scores = predict(plain, adapted_to(checkpoint, x, y, adapts), queries)
        told = predict(plain, adapted_to(of_vectors(MEASURED), x, y, adapts), queries)

        known = torch.isfinite(scores).all(dim=1)
        assert known.sum() >= 100
        assert torch.equal(told[known, :3].argmax(dim=1), scores[known].argmax(dim=1))
        beyond = (told[:, 3] - UNLIKE) * 0.2 > np.log(1.06)  # 6 % farther than the threshold
        assert 50 < beyond.sum() < len(queries)
        assert float(told[beyond & known, :3].double().softmax(dim=1).max()) < 0.9


def test_probabilities_stay_below_what_the_distance_leaves() -> None:
    random = torch.Generator().manual_seed(1)
    params = {
        SEEN: torch.zeros(1, 1),
        KNOWN: torch.tensor([1.0, 0.0, 0.1, 0.1]),
    }
    distances = torch.linspace(0.5, 20, 400)[:, None]
    scores = torch.randn(400, 7, generator=random) * torch.logspace(-2, 6, 400)[:, None]

    told = with_novelty(params, scores, distances)

    trust = np.minimum(1, (np.exp(0.1 * UNLIKE) / distances.double().numpy()[:, 0]) ** 4)
    largest = told[:, :7].double().softmax(dim=1).amax(dim=1)
    assert (largest.numpy() <= trust + (1 - trust) / 7 + 1e-5).all()
    near = distances[:, 0] < np.exp(0.1 * UNLIKE)
    expected = scores[near].double().softmax(dim=1)
    torch.testing.assert_close(told[near, :7].double().softmax(dim=1), expected, atol=1e-5, rtol=0)
    assert (told[1:, 7] > told[:-1, 7]).all()


def test_what_is_said_of_an_input_does_not_depend_on_others(
    drawn: tuple[Tensor, Tensor, Tensor],
) -> None:
    x, y, queries = drawn
    params = adapted_to(of_vectors(MEASURED), x, y).params
    scores = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))

    together = with_novelty(params, scores, queries)

    alone = [with_novelty(params, scores[i : i + 1], queries[i : i + 1]) for i in range(50)]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize(("width", "apart"), [(16, 2.0), (64, 1.0), (256, 0.7)])
def test_a_network_that_nobody_measured_knows_by_the_support_set_alone(
    width: int, apart: float
) -> None:
    shape = EpisodeShape(way=5, shot=5, query=10)

    found = measure_reliability(
        of_vectors().learner,
        of_vectors().meta,
        of_vectors().recipe,
        clouds(width=width, apart=apart),
        split="test",
        shape=shape,
        episodes=30,
        seed=1,
    )

    assert found is not None
    assert found.false_alarms is not None
    assert found.caught is not None
    assert 0.005 < found.false_alarms < 0.08
    assert found.caught > 0.9


def test_with_one_example_of_each_class_nobody_knows() -> None:
    y = torch.arange(3)

    adapted = adapted_to(of_vectors(), torch.eye(3, WIDTH), y)

    assert not {KNOWN, SEEN} & set(adapted.params)
    assert predict(of_vectors().learner, adapted, torch.zeros(2, WIDTH)).shape == (2, 3)


def test_the_same_example_twice_tells_nothing_of_others(
    drawn: tuple[Tensor, Tensor, Tensor],
) -> None:
    x, y, _ = drawn
    twice = adapted_to(of_vectors(MEASURED), x[:3].repeat(2, 1), y[:3].repeat(2))

    once = adapted_to(of_vectors(MEASURED), x[:3], y[:3])

    torch.testing.assert_close(twice.params[KNOWN][1:], once.params[KNOWN][1:])


def test_stacked_support_sets_know_what_each_does(drawn: tuple[Tensor, Tensor, Tensor]) -> None:
    x, y, _ = drawn
    checkpoint = of_vectors()
    others = torch.tensor([0, 1, 2, 0, 1, 0, 1, 0, 1, 0, 1, 0])  # one example of the last class
    support = labelled(torch.stack([x, x * 2]), torch.stack([y, others]))
    theta, recipe = checkpoint.meta.theta, checkpoint.recipe

    stacked = adapt_episodes(checkpoint.learner, theta, support, recipe, outputs=3)

    first, second = (episode_of(stacked, e) for e in range(2))
    torch.testing.assert_close(first.params[KNOWN], adapted_to(checkpoint, x, y).params[KNOWN])
    assert KNOWN not in second.params


@pytest.mark.parametrize("shot", [1, 5])
def test_calibrated_answers_come_true_on_classes_that_were_held_out(shot: int) -> None:
    checkpoint = calibrate_answers(
        of_vectors(), clouds(), EpisodeShape(way=5, shot=5, query=5), episodes=40
    )

    found = measure_reliability(
        checkpoint.learner,
        checkpoint.meta,
        checkpoint.recipe,
        clouds(),
        split="test",
        shape=EpisodeShape(way=5, shot=shot, query=10),
        episodes=60,
        seed=2,
    )

    assert found is not None
    assert found.calibration_error < 0.03
    assert found.false_alarms == pytest.approx(0.05, abs=0.03)
    assert found.novelty_auroc is not None
    assert found.novelty_auroc > 0.95  # of unit clouds 2 * sqrt(2 * 16) apart


def test_a_calibration_changes_no_accuracy() -> None:
    asked: dict[str, Any] = {
        "split": "test",
        "shape": EpisodeShape(way=5, shot=3, query=5),
        "episodes": 20,
        "seed": 1,
    }
    subject = (of_vectors().meta, of_vectors().recipe, clouds())

    plain = evaluate(replace(vectors().learner, calibration=None), *subject, **asked)

    assert plain.mean > 0.5
    assert evaluate(of_vectors(MEASURED).learner, *subject, **asked) == plain


def test_a_calibration_comes_back_and_a_broken_one_is_refused() -> None:
    checkpoint = of_vectors(MEASURED, replace(MEASURED, shots=5))
    data = dump_checkpoint(checkpoint)

    assert load_checkpoint(data).learner.calibration == checkpoint.learner.calibration
    assert load_checkpoint(dump_checkpoint(vectors())).learner.calibration == Calibration()
    for broken in (
        {"above": 0.0},
        {"middle": float("nan")},
        {"shots": 2},
        {"temperature": {"kernel": -1}},
        {"temperature": {"magic": 1}},
        {"extra": 1},
    ):
        length = int.from_bytes(data[:8], "little")
        about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["fewstep"])
        about["calibration"]["buckets"][0] |= broken
        with pytest.raises(InvalidCheckpoint):
            load_checkpoint(save(load(data), metadata={"fewstep": json.dumps(about)}))


def test_a_stored_kernel_keeps_its_points_once_and_predicts_the_same(
    drawn: tuple[Tensor, Tensor, Tensor],
) -> None:
    x, y, queries = drawn
    checkpoint = of_vectors(MEASURED)
    adapted = adapted_to(checkpoint, x, y)
    data = file_of(adapted)

    served = load_served(data, lambda _: dict(checkpoint.meta.theta))

    assert SEEN not in load(data)
    expected = predict(checkpoint.learner, adapted, queries)
    near = slice(0, 30)  # of the farthest ones the kernel is 0, whatever the rounding
    np.testing.assert_allclose(served.predict(queries.numpy())[near], expected[near], 1e-3, 1e-4)


def test_what_five_characters_add_to_a_stored_head_is_small() -> None:
    plain = load_checkpoint((CHECKPOINTS / "omniglot-5way-1shot.safetensors").read_bytes())
    learner = replace(plain.learner, calibration=Calibration(buckets=(MEASURED,)))
    checkpoint = replace(plain, learner=learner)
    x = torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    stored = {
        name: len(file_of(adapted_to(one, x, torch.arange(5), "head")))
        for name, one in {"plain": plain, "calibrated": checkpoint}.items()
    }

    assert stored["calibrated"] - stored["plain"] < 1700  # 5 x 64 floats, and what names them
    assert stored["calibrated"] < 8000


def test_calibration_error_and_auroc_are_those_of_their_definitions() -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(4) / 2, 500)
    y = random.integers(0, 4, 500)
    largest, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == y
    error = 0.0
    for low in np.arange(15) / 15:
        inside = (largest >= low) & (largest < low + 1 / 15 + (low > 0.93))
        if inside.any():
            error += inside.mean() * abs(largest[inside].mean() - right[inside].mean())
    near, far = random.integers(0, 9, 40), random.integers(3, 12, 30)
    pairs = [(a < b) + (a == b) / 2 for a in near for b in far]

    assert calibration_error(torch.from_numpy(probabilities), torch.from_numpy(y)) == pytest.approx(
        error
    )
    assert auroc(torch.tensor(near), torch.tensor(far)) == pytest.approx(np.mean(pairs))
