"""Stages over the episodes that users bring: what is drawn, fitted, trained and saved."""

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.episodes import EpisodeShape, Supply
from models.meta_training.fitting import fit_recipe
from models.meta_training.recipes import FOLDER, Mixed, Recipe, Stage, Validation, read_recipe
from models.meta_training.training import TrainingState, build_learner, start, train
from models.meta_training.training_state import dump_state, load_state
from models.tasks.classes import LabelledExamples

SHIPPED = sorted(FOLDER.rglob("*.toml"))
TIDY = [file for file in SHIPPED if "mixture" not in file.read_text()]
MIXTURE = """
kinds = [1, 10]
most_kinds = 20

[[stages.mixture]]
share = 3

[[stages.mixture]]
share = 1
way = [2, 5]
shot = 4
kinds = 1
unequal = true
label_noise = 0.1
"""
SORTS = (
    Mixed(share=3, way=5, shot=(1, 5), kinds=(1, 10)),
    Mixed(share=1, way=(2, 5), shot=4, unequal=True, label_noise=0.1),
)
SMALL = (replace(SORTS[0], kinds=(1, 6)), SORTS[1])


def stage(**given: Any) -> Stage:
    usual = replace(read_recipe("features").stages[1], iterations=6, episodes=2, query=3)
    return replace(usual, **given)


def shapes(of: Stage, count: int) -> list[EpisodeShape]:
    return [of.shape(torch.Generator().manual_seed(seed)) for seed in range(count)]


@pytest.mark.parametrize("file", TIDY, ids=[file.stem for file in TIDY])
def test_a_stage_without_a_mixture_draws_what_it_drew(file: Path) -> None:
    for one in read_recipe(file).stages:
        now, before = (torch.Generator().manual_seed(3) for _ in range(2))
        for _ in range(5):
            way, shot = (
                bounds
                if isinstance(bounds, int)
                else int(torch.randint(bounds[0], bounds[1] + 1, (), generator=before))
                for bounds in (one.way, one.shot)
            )
            assert one.shape(now) == EpisodeShape(way=way, shot=shot, query=one.query)
        assert torch.equal(now.get_state(), before.get_state())


def test_ways_shots_and_kinds_are_drawn_from_all_of_their_bounds() -> None:
    drawn = shapes(stage(way=(2, 5), shot=(1, 3), kinds=(1, 4)), 300)

    assert {shape.way for shape in drawn} == {2, 3, 4, 5}
    assert {shape.shot for shape in drawn} == {1, 2, 3}
    assert {shape.kinds for shape in drawn} == {1, 2, 3, 4}


def test_way_gives_way_to_the_most_kinds_of_an_episode() -> None:
    drawn = shapes(stage(way=(3, 20), kinds=(1, 10), most_kinds=20), 1000)

    for kinds in range(1, 11):
        ways = {shape.way for shape in drawn if shape.kinds == kinds}
        most = 20 // kinds
        assert ways == set(range(min(3, most), most + 1))


def test_a_sort_of_a_mixture_comes_as_often_as_its_share() -> None:
    drawn = shapes(stage(mixture=SORTS), 1000)

    second = [shape for shape in drawn if shape.unequal]
    assert abs(len(second) - 250) <= 3 * math.sqrt(1000 * 0.25 * 0.75)
    assert {(s.shot, s.kinds, s.label_noise) for s in second} == {(4, 1, 0.1)}
    assert {shape.way for shape in drawn if not shape.unequal} == {5}


def test_what_a_table_of_a_mixture_leaves_out_is_the_stages(tmp_path: Path) -> None:
    text = (FOLDER / "features.toml").read_text()
    head, validation = text.split("[validation]")
    file = tmp_path / "mixed.toml"
    file.write_text(f"{head}{MIXTURE}\n[validation]\nkinds = 3{validation}")

    recipe = read_recipe(file)

    assert recipe.stages[1] == replace(
        read_recipe("features").stages[1], kinds=(1, 10), most_kinds=20, mixture=SORTS
    )
    assert recipe.validation.shape == EpisodeShape(way=5, shot=1, query=10, kinds=3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kinds": 0}, "kinds: expected 1 or more"),
        ({"kinds": (4, 2)}, r"kinds: expected 1 or more, or \[least, most\], got \(4, 2\)"),
        ({"kinds": (1, 8), "most_kinds": 15}, "most_kinds: expected room for two classes of 8"),
        ({"label_noise": 1.0}, "label_noise: expected a share"),
        ({"mixture": (replace(SORTS[0], share=0),)}, "share: expected more than 0"),
        ({"algorithm": "prototypes", "kinds": 2}, "a stage of prototypes: expected kinds = 1"),
        ({"algorithm": "prototypes", "mixture": SORTS}, "a stage of prototypes: .* no label_noise"),
    ],
)
def test_a_stage_that_cannot_be_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        stage(**given)


def fitted(one: Stage, *, classes: int, each: int = 20, **judged: int) -> tuple[Recipe, list[str]]:
    counts = dict.fromkeys(("train", "validation", "test"), (each,) * classes)
    usual = read_recipe("features")
    validation = replace(usual.validation, **judged)  # type: ignore[arg-type]
    recipe = replace(usual, stages=(one,), validation=validation)
    return fit_recipe(recipe, Supply(input_shape=(4,), counts=counts))


def test_ways_of_several_kinds_are_fitted_to_the_classes_there_are() -> None:
    recipe, said = fitted(stage(way=(2, 10), shot=1, kinds=(1, 10)), classes=12, kinds=4)

    assert (recipe.stages[0].kinds, recipe.stages[0].most_kinds) == ((1, 6), 12)
    assert (recipe.validation.way, recipe.validation.kinds) == (3, 4)
    assert said == [
        "stage 1: kinds 1 to 10 becomes 1 to 6, most_kinds none becomes 12 (train has 12 with 4 or "
        "more)",
        "validation and test: way 5 becomes 3 (every split has 12 with 11 or more)",
    ]
    assert all(shape.all_kinds <= 12 for shape in shapes(recipe.stages[0], 200))


def test_a_fixed_number_of_kinds_leaves_room_for_fewer_ways() -> None:
    recipe, said = fitted(stage(way=(2, 5), shot=1, kinds=3), classes=12)

    one = recipe.stages[0]
    assert (one.way, one.kinds, one.most_kinds) == ((2, 4), 3, None)
    assert said[0] == "stage 1: way 2 to 5 becomes 2 to 4 (train has 12 with 4 or more)"


def test_every_sort_of_a_mixture_is_fitted() -> None:
    recipe, said = fitted(stage(mixture=SORTS), classes=4, each=6, kinds=3)

    one, two = recipe.stages[0].mixture
    assert (one.way, one.shot, one.kinds) == (4, (1, 3), (1, 2))
    assert (two.way, two.shot, two.kinds) == ((2, 4), 3, 1)
    assert (recipe.validation.way, recipe.validation.kinds) == (2, 2)
    assert [line.split(":")[0] for line in said] == [
        "stage 1",
        "stage 1, mixture 1",
        "stage 1, mixture 2",
        "validation and test",
    ]
    assert all(shape.all_kinds <= 4 for shape in shapes(recipe.stages[0], 200))


def test_what_the_data_can_give_is_left_as_it_is() -> None:
    wanted = stage(mixture=SORTS, most_kinds=20, kinds=(1, 10))

    recipe, said = fitted(wanted, classes=50, kinds=3)

    assert (recipe.stages[0], said) == (wanted, [])


def vectors() -> LabelledExamples:
    generator = torch.Generator().manual_seed(1)
    means = 3 * torch.randn(24, 1, 4, generator=generator)
    x = (means + torch.randn(24, 12, 4, generator=generator)).flatten(0, 1)
    splits = {"train": list(range(12)), "validation": list(range(12, 24)), "test": []}
    names = tuple(map(str, range(24)))
    return LabelledExamples(
        name="vectors", examples=x, counts=(12,) * 24, names=names, splits=splits, digest=""
    )


def mixed_recipe() -> Recipe:
    usual = read_recipe("features")
    network = {"hidden": [16], "normalised": True, "inputs": 4}
    return replace(
        usual,
        network_config=network,
        input_shape=(4,),
        stages=(stage(mixture=SMALL, most_kinds=12),),
        validation=Validation(every=3, episodes=4, way=2, shot=2, query=3, kinds=3),
    )


def run(recipe: Recipe, state: TrainingState, until: int) -> TrainingState:
    for step in train(recipe, build_learner(recipe), vectors(), state):
        if step.iteration == until:
            break
    return state


def test_a_broken_run_over_a_mixture_resumes_to_the_same_bytes() -> None:
    recipe = mixed_recipe()
    whole = run(recipe, start(recipe, build_learner(recipe)), 6)

    part = run(recipe, start(recipe, build_learner(recipe)), 4)
    resumed = run(recipe, load_state(recipe, dump_state(recipe, part)), 6)

    assert dump_state(recipe, resumed) == dump_state(recipe, whole)
    assert whole.best_score > 0.5


def test_a_state_of_another_mixture_is_refused() -> None:
    recipe = mixed_recipe()
    saved = dump_state(recipe, run(recipe, start(recipe, build_learner(recipe)), 1))
    other = replace(recipe, stages=(stage(mixture=SMALL[:1], most_kinds=12),))

    with pytest.raises(ValueError, match="another recipe"):
        load_state(other, saved)


def test_a_state_of_tidy_episodes_says_nothing_of_untidy_ones() -> None:
    recipe = replace(
        mixed_recipe(),
        stages=(stage(),),
        validation=Validation(every=9, episodes=4, way=2, shot=2, query=3),
    )
    data = dump_state(recipe, run(recipe, start(recipe, build_learner(recipe)), 1))

    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    said = json.loads(json.loads(header["__metadata__"]["state"])["recipe"])
    assert set(said["stages"][0]) == {
        "iterations",
        "episodes",
        "way",
        "shot",
        "query",
        "inner_steps",
        "learning_rate",
        "final_learning_rate",
        "adapts",
        "guarded",
        "chunk",
    }
    assert set(said["validation"]) == {"every", "episodes", "way", "shot", "query"}


def test_the_episodes_of_a_mixture_are_as_its_shapes_say() -> None:
    wanted = stage(mixture=SMALL, most_kinds=12)

    found: Counter[bool] = Counter()
    for seed in range(30):
        generator = torch.Generator().manual_seed(seed)
        shape = wanted.shape(generator)
        drawn = vectors().draw("train", 2, shape, generator, augment=True)
        found[shape.unequal] += 1
        assert drawn.outputs == shape.way
        assert drawn.query_x.shape[:2] == (2, shape.all_kinds * 3)
        assert drawn.support_y.unique().tolist() == list(range(shape.way))
    assert set(found) == {False, True}
