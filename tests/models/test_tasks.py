"""Task distributions: what an episode must and must not hold."""

import json
import math
from pathlib import Path

import pytest
import torch

from models.episodes import EpisodeShape
from models.tasks.augmentation import turn_pictures
from models.tasks.classes import LabelledExamples
from models.tasks.omniglot import SPLIT_FILE, load_omniglot
from models.tasks.sinusoid import Sinusoids


def omniglot_of_numbers() -> LabelledExamples:
    """Eight characters whose every pixel names character and drawing: 20 · character + drawing."""
    numbers = torch.arange(160).reshape(160, 1, 1, 1).expand(160, 1, 28, 28)
    return LabelledExamples(
        name="numbers",
        examples=numbers.to(torch.uint8),
        counts=(20,) * 8,
        names=tuple("abcdefgh"),
        splits={"train": [0, 1, 2, 3, 4], "test": [5, 6, 7]},
        digest="",
        turns=True,
    )


def test_support_and_query_never_share_a_drawing() -> None:
    generator = torch.Generator().manual_seed(0)

    drawn = omniglot_of_numbers().draw(
        "train", 50, EpisodeShape(way=5, shot=3, query=17), generator
    )

    support = (drawn.support_x[..., 0, 0, 0] * 255).round().long()
    query = (drawn.query_x[..., 0, 0, 0] * 255).round().long()
    for s, q in zip(support, query, strict=True):
        assert len({*s.tolist(), *q.tolist()}) == 5 * 20


def test_labels_follow_the_characters_and_are_new_in_every_episode() -> None:
    generator = torch.Generator().manual_seed(0)

    drawn = omniglot_of_numbers().draw("train", 50, EpisodeShape(way=5, shot=1, query=2), generator)

    characters = (drawn.support_x[..., 0, 0, 0] * 255).round().long() // 20  # (E, N)
    query_characters = (drawn.query_x[..., 0, 0, 0] * 255).round().long() // 20
    assert torch.equal(characters.gather(1, drawn.query_y), query_characters)
    assert len({tuple(row.tolist()) for row in characters}) > 30  # of 120 orders, 50 draws


def test_a_split_gives_its_own_characters_only() -> None:
    generator = torch.Generator().manual_seed(0)

    drawn = omniglot_of_numbers().draw("test", 50, EpisodeShape(way=3, shot=1, query=1), generator)

    characters = (drawn.support_x[..., 0, 0, 0] * 255).round().long() // 20
    assert set(characters.flatten().tolist()) == {5, 6, 7}


def test_a_class_is_turned_as_a_whole() -> None:
    picture = torch.zeros(1, 2, 3, 4, 4)
    picture[..., 0, 1] = 1.0

    turned = turn_pictures(picture, torch.tensor([[0, 1]]))

    assert turned[0, 0, :, 0, 1].tolist() == [1.0] * 3
    assert turned[0, 1, :, 2, 0].tolist() == [1.0] * 3  # a quarter turn against the clock


def test_the_same_generator_state_gives_the_same_episodes() -> None:
    shape = EpisodeShape(way=3, shot=1, query=1)

    one = omniglot_of_numbers().draw("train", 4, shape, torch.Generator().manual_seed(7))
    two = omniglot_of_numbers().draw("train", 4, shape, torch.Generator().manual_seed(7))

    assert torch.equal(one.support_x, two.support_x)


def test_the_committed_split_is_1100_100_and_423_characters_without_overlap() -> None:
    split = json.loads(SPLIT_FILE.read_text())

    assert {name: len(members) for name, members in split.items()} == {
        "train": 1100,
        "validation": 100,
        "test": 423,
    }
    assert len({*split["train"], *split["validation"], *split["test"]}) == 1623


def test_omniglot_loads_with_strokes_as_ones(omniglot_dir: Path, tmp_path: Path) -> None:
    loaded = load_omniglot(omniglot_dir, cache=tmp_path)
    again = load_omniglot(omniglot_dir, cache=tmp_path)

    assert loaded.examples.shape == (1623 * 20, 1, 28, 28)
    assert 0.03 < loaded.examples.float().mean() / 255 < 0.2  # mostly paper, which is zero
    assert torch.equal(loaded.examples, again.examples)
    assert len(loaded.describe()["test_classes"]) == 423  # type: ignore[arg-type]


def test_a_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"images_background\.zip"):
        load_omniglot(tmp_path)


def test_sinusoids_are_amplitude_times_sine_of_x_minus_phase() -> None:
    generator = torch.Generator().manual_seed(0)

    drawn = Sinusoids().draw("train", 200, EpisodeShape(way=1, shot=20, query=30), generator)

    x = torch.cat([drawn.support_x, drawn.query_x], dim=1)[..., 0].double()
    y = torch.cat([drawn.support_y, drawn.query_y], dim=1)[..., 0].double()
    basis = torch.stack([x.sin(), -x.cos()], dim=2)  # A sin(x - p) = A cos p sin x - A sin p cos x
    fit = torch.linalg.lstsq(basis, y[..., None]).solution[..., 0]
    amplitude, phase = fit.norm(dim=1), torch.atan2(fit[:, 1], fit[:, 0])
    torch.testing.assert_close((basis @ fit[..., None])[..., 0], y, atol=1e-5, rtol=0)
    assert ((amplitude > 0.1) & (amplitude < 5.0)).all()
    assert ((phase > 0.0) & (phase < math.pi)).all()
    assert x.abs().max() <= 5.0


@pytest.mark.parametrize(
    "shape", [EpisodeShape(way=4, shot=1, query=1), EpisodeShape(way=3, shot=6, query=15)]
)
def test_more_than_there_is_to_draw_is_refused(shape: EpisodeShape) -> None:
    with pytest.raises(ValueError, match=r"at least \d test classes of"):
        omniglot_of_numbers().draw("test", 1, shape, torch.Generator())
