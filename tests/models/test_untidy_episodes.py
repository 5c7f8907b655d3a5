"""Episodes as users bring them: classes of several kinds, unequal shots, wrong labels."""

import json
import math
from collections import Counter

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from app.cli.main import app
from models.episodes import Episodes, EpisodeShape
from models.measuring.baselines import evaluate_classifier, nearest_neighbour, nearest_prototype
from models.measuring.evaluation import Evaluation, draw_episodes
from models.tasks.augmentation import distort_pictures, mirror_pictures, turn_pictures
from models.tasks.classes import LabelledExamples
from models.tasks.sinusoid import Sinusoids


def numbers(*, classes: int = 30, each: int = 20) -> LabelledExamples:
    """Every example is one number that names class and example: 100 · class + example."""
    x = torch.arange(classes).repeat_interleave(each) * 100 + torch.arange(each).repeat(classes)
    return LabelledExamples(
        name="numbers",
        examples=x[:, None].float(),
        counts=(each,) * classes,
        names=tuple(map(str, range(classes))),
        splits={"train": list(range(classes)), "test": list(range(classes))},
        digest="",
    )


def draw(shape: EpisodeShape, *, episodes: int = 20, seed: int = 0, **given: bool) -> Episodes:
    generator = torch.Generator().manual_seed(seed)
    return numbers().draw("train", episodes, shape, generator, **given)


def kinds_of(x: Tensor) -> Tensor:
    return x[..., 0].long() // 100


def pictures() -> LabelledExamples:
    generator = torch.Generator().manual_seed(5)
    counts = (9, 12, 7, 8, 20, 6)  # the last has too few for what is drawn
    x = torch.randint(256, (sum(counts), 1, 8, 8), generator=generator).to(torch.uint8)
    return LabelledExamples(
        name="pictures",
        examples=x,
        counts=counts,
        names=tuple("abcdef"),
        splits={"train": [0, 2, 3, 4, 5]},
        digest="",
        turns=True,
        mirror=True,
        distort=0.7,
    )


def tidy_draw(
    of: LabelledExamples, shape: EpisodeShape, generator: torch.Generator, *, augment: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """How episodes were drawn before there were kinds: three of them, in the order of Episodes."""
    each, counts = shape.shot + shape.query, torch.tensor(of.counts)
    pool = torch.tensor([index for index in of.splits["train"] if of.counts[index] >= each])
    classes = pool[torch.rand(3, len(pool), generator=generator).argsort(dim=1)[:, : shape.way]]
    tickets = torch.rand(3, shape.way, int(counts[pool].max()), generator=generator)
    absent = torch.arange(tickets.shape[2]) >= counts[classes][:, :, None]
    members = tickets.masked_fill(absent, 2.0).argsort(dim=2)[:, :, :each]
    first = counts.cumsum(dim=0) - counts
    x = of.examples[first[classes][:, :, None] + members].float() / 255
    x = turn_pictures(x, torch.randint(4, (3, shape.way), generator=generator))
    if augment:
        x = mirror_pictures(x, torch.randint(2, (3, shape.way), generator=generator).bool())
        x = distort_pictures(x, of.distort, generator, beyond=of.beyond)
    y = torch.arange(shape.way)[None, :, None].expand(x.shape[:3])
    return (
        x[:, :, : shape.shot].flatten(1, 2),
        y[:, :, : shape.shot].flatten(1, 2),
        x[:, :, shape.shot :].flatten(1, 2),
        y[:, :, shape.shot :].flatten(1, 2),
    )


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize(("way", "shot", "query"), [(2, 1, 6), (4, 3, 4), (3, 1, 1)])
def test_tidy_episodes_are_what_they_were_to_the_bit(
    way: int, shot: int, query: int, augment: bool
) -> None:
    shape = EpisodeShape(way=way, shot=shot, query=query)
    now, before = (torch.Generator().manual_seed(11) for _ in range(2))

    drawn = pictures().draw("train", 3, shape, now, augment=augment)

    was = tidy_draw(pictures(), shape, before, augment=augment)
    parts = (drawn.support_x, drawn.support_y, drawn.query_x, drawn.query_y)
    assert all(torch.equal(one, other) for one, other in zip(parts, was, strict=True))
    assert torch.equal(now.get_state(), before.get_state())


def test_a_class_is_the_union_of_its_kinds() -> None:
    shape = EpisodeShape(way=4, shot=2, query=3, kinds=5)

    drawn = draw(shape)

    support, query = kinds_of(drawn.support_x), kinds_of(drawn.query_x)
    assert (drawn.outputs, support.shape, query.shape) == (4, (20, 40), (20, 60))
    for e in range(20):
        shown = Counter(zip(drawn.support_y[e].tolist(), support[e].tolist(), strict=True))
        asked = Counter(zip(drawn.query_y[e].tolist(), query[e].tolist(), strict=True))
        assert set(shown) == set(asked)
        assert (set(shown.values()), set(asked.values())) == ({2}, {3})
        assert Counter(label for label, _ in shown) == {0: 5, 1: 5, 2: 5, 3: 5}
        assert len({kind for _, kind in shown}) == 20  # no kind twice, in no two classes


@pytest.mark.parametrize("unequal", [False, True])
def test_no_example_is_in_support_and_query_of_a_union(unequal: bool) -> None:
    drawn = draw(EpisodeShape(way=3, shot=4, query=13, kinds=3, unequal=unequal))

    for support, query in zip(drawn.support_x[..., 0], drawn.query_x[..., 0], strict=True):
        assert len({*support.tolist(), *query.tolist()}) == len(support) + len(query)


def test_every_kind_of_a_class_is_turned_by_itself() -> None:
    corner = torch.zeros(40, 1, 2, 2)
    corner[:, 0, 0, 0] = 1.0
    turning = LabelledExamples(
        name="corners",
        examples=corner,
        counts=(2,) * 20,
        names=tuple("abcdefghijklmnopqrst"),
        splits={"train": list(range(20))},
        digest="",
        turns=True,
    )
    shape = EpisodeShape(way=2, shot=1, query=1, kinds=10)

    drawn = turning.draw("train", 1, shape, torch.Generator().manual_seed(0))

    turns = drawn.support_x.flatten(2).argmax(dim=2)
    assert torch.equal(turns, drawn.query_x.flatten(2).argmax(dim=2))
    assert all(len(turns[0, part].unique()) > 1 for part in (slice(10), slice(10, 20)))


def test_unequal_shots_are_one_vector_for_all_episodes_of_a_call() -> None:
    drawn = draw(EpisodeShape(way=5, shot=4, query=3, unequal=True))

    support, query = (
        torch.nn.functional.one_hot(y, 5).sum(1) for y in (drawn.support_y, drawn.query_y)
    )
    assert torch.equal(support, support[:1].expand(20, 5))
    assert len(set(support[0].tolist())) > 1
    assert query.unique().tolist() == [3]
    assert drawn.support_x.shape[1] == support[0].sum()
    for e in range(20):
        pairs = zip(drawn.support_y[e].tolist(), kinds_of(drawn.support_x)[e].tolist(), strict=True)
        assert len(set(pairs)) == 5  # labels still go with what the examples are


@pytest.mark.parametrize(
    ("query", "least", "most"),
    [(3, 1, 7), (14, 2, 6), (16, 4, 4)],  # of 20 examples: 17, 6 and 4 are left for the support
)
def test_unequal_shots_are_even_about_k_as_far_as_there_are_examples(
    query: int, least: int, most: int
) -> None:
    shape = EpisodeShape(way=5, shot=4, query=query, unequal=True)

    shots = torch.stack(
        [draw(shape, episodes=1, seed=seed).support_y[0].bincount() for seed in range(200)]
    ).flatten()

    assert shots.unique().tolist() == list(range(least, most + 1))
    deviation = math.sqrt(((most - least + 1) ** 2 - 1) / 12)  # of a discrete uniform
    assert abs(shots.double().mean() - 4) <= 3 * deviation / math.sqrt(len(shots))


def test_the_kinds_of_a_class_share_its_unequal_shots() -> None:
    drawn = draw(EpisodeShape(way=3, shot=4, query=2, kinds=4, unequal=True), episodes=1)

    shots = Counter(
        zip(drawn.support_y[0].tolist(), kinds_of(drawn.support_x)[0].tolist(), strict=True)
    )
    by_class = [{n for (label, _), n in shots.items() if label == k} for k in range(3)]
    assert [len(different) for different in by_class] == [1, 1, 1]
    assert len(set.union(*by_class)) > 1


def test_wrong_labels_come_at_their_rate_and_of_all_other_classes_alike() -> None:
    shape = EpisodeShape(way=5, shot=10, query=4, label_noise=0.2)
    right = torch.arange(5).repeat_interleave(10)

    drawn = draw(shape, episodes=400, augment=True)

    wrong = (drawn.support_y != right).double()
    n = wrong.numel()  # that all ten of a class would be wrong is 1e-7 likely
    assert abs(wrong.sum() - 0.2 * n) <= 3 * math.sqrt(n * 0.2 * 0.8)
    shifts = (drawn.support_y - right)[wrong.bool()] % 5
    for shift in (1, 2, 3, 4):
        deviation = math.sqrt(len(shifts) / 4 * 3 / 4)
        assert abs((shifts == shift).sum() - len(shifts) / 4) <= 3 * deviation
    assert torch.equal(drawn.query_y, torch.arange(5).repeat_interleave(4).expand(400, 20))


def test_wrong_labels_change_no_example_and_stay_out_of_testing() -> None:
    clean, noisy = (EpisodeShape(way=5, shot=3, query=4, label_noise=rate) for rate in (0.0, 0.4))

    trained, tested = draw(noisy, augment=True), draw(noisy)

    assert torch.equal(trained.support_x, draw(clean).support_x)
    assert torch.equal(tested.support_y, draw(clean).support_y)
    assert not torch.equal(trained.support_y, tested.support_y)


def test_every_class_keeps_a_rightly_labelled_example() -> None:
    shape = EpisodeShape(way=4, shot=2, query=1, unequal=True, label_noise=0.95)

    for seed in range(100):
        drawn = draw(shape, episodes=4, seed=seed, augment=True)
        right = kinds_of(drawn.support_x)  # of one kind each: the label of a kind is its query's
        for e in range(4):
            of_kind = dict(
                zip(kinds_of(drawn.query_x)[e].tolist(), drawn.query_y[e].tolist(), strict=True)
            )
            pairs = zip(right[e].tolist(), drawn.support_y[e].tolist(), strict=True)
            assert {label for kind, label in pairs if of_kind[kind] == label} == {0, 1, 2, 3}


def test_more_kinds_than_there_are_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 32 train classes of 1 \\+ 1 examples"):
        draw(EpisodeShape(way=4, shot=1, query=1, kinds=8))


def test_an_evaluation_over_unions_says_so() -> None:
    shape = EpisodeShape(way=2, shot=2, query=3, kinds=8)

    near, mean = (
        evaluate_classifier(method, numbers(), split="test", shape=shape, episodes=40, seed=1)
        for method in (nearest_neighbour, nearest_prototype)
    )

    assert (near.kinds, near.way, near.shot, near.mean) == (8, 2, 2, 1.0)
    assert mean.mean < 0.8  # the mean of eight kinds lies among those of the other class


def test_a_record_from_before_kinds_still_reads() -> None:
    record = {
        "protocol": "one by one",
        "episodes": 600,
        "way": 5,
        "shot": 1,
        "query": 10,
        "steps": 3,
        "seed": 600,
        "mean": 0.99,
        "ci95": 0.001,
    }

    assert Evaluation(**record).kinds == 1  # type: ignore[arg-type]


def test_tasks_without_classes_are_not_measured_by_kinds() -> None:
    shape = EpisodeShape(way=1, shot=5, query=5, kinds=2)

    with pytest.raises(ValueError, match="kinds: expected 1"):
        next(draw_episodes(Sinusoids(), split="test", shape=shape, episodes=2, seed=1))


def test_the_command_measures_by_kinds_only_where_tasks_have_classes() -> None:
    asked = ["evaluate", "sinusoid", "--episodes", "2", "--json"]

    plain = CliRunner().invoke(app, asked)
    refused = CliRunner().invoke(app, [*asked, "--kinds", "2"])

    assert json.loads(plain.stdout)["kinds"] == 1  # its recipe was written before there were kinds
    assert refused.exit_code == 2
    assert "kinds: expected 1" in refused.stderr
