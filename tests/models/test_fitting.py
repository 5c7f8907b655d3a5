"""Recipes fitted to data: what they can give, and nothing changed where they can give it all."""

from dataclasses import replace

import pytest

from models.episodes import Noticed, Supply
from models.meta_training.fitting import fit_recipe
from models.meta_training.recipes import Recipe, Stage, Validation, read_recipe
from models.meta_training.training import build_learner
from models.networks import shape_of_features

PICTURES = (3, 32, 32)


def supply(*, train: int, held_out: int, each: int) -> Supply:
    counts = {
        "train": (each,) * train,
        "validation": (each,) * held_out,
        "test": (each,) * held_out,
    }
    return Supply(input_shape=PICTURES, counts=counts)


def shape(part: Stage | Validation) -> tuple[object, object, int]:
    return part.way, part.shot, part.query


@pytest.mark.parametrize("name", ["omniglot-5way-1shot", "omniglot-anyway"])
def test_a_shipped_recipe_stays_as_it_is_with_its_own_data(name: str) -> None:
    counts = {"train": (20,) * 1100, "validation": (20,) * 100, "test": (20,) * 423}
    recipe = read_recipe(name)

    assert fit_recipe(recipe, Supply(input_shape=(1, 28, 28), counts=counts)) == (recipe, [])


def test_a_dozen_classes_of_eight_pictures_lower_what_is_drawn() -> None:
    fitted, said = fit_recipe(read_recipe("pictures"), supply(train=8, held_out=2, each=8))

    assert shape(fitted.stages[0]) == (8, 1, 3)
    assert shape(fitted.stages[1]) == (8, (1, 4), 4)
    assert shape(fitted.validation) == (2, 1, 7)
    assert said == [
        "stage 1: way 20 becomes 8 (train has 8 with 4 or more)",
        "stage 2: way 10 becomes 8, shot 1 to 5 becomes 1 to 4, query 5 becomes 4 (train has 8 "
        "with 8 or more)",
        "validation and test: way 5 becomes 2, query 10 becomes 7 (every split has 2 with 8 or "
        "more)",
    ]


def test_the_least_that_loads_is_enough_to_train_on() -> None:
    fitted, _ = fit_recipe(read_recipe("pictures"), supply(train=2, held_out=2, each=2))

    assert [shape(stage) for stage in fitted.stages] == [(2, 1, 1), (2, (1, 1), 1)]
    assert shape(fitted.validation) == (2, 1, 1)


def test_one_small_class_does_not_make_all_episodes_small() -> None:
    counts = {"train": (2, *(50,) * 9), "validation": (50,) * 5, "test": (50,) * 5}

    fitted, _ = fit_recipe(read_recipe("pictures"), Supply(input_shape=PICTURES, counts=counts))

    assert shape(fitted.stages[1]) == (9, (1, 5), 5)


def test_widths_are_the_datas() -> None:
    counts = dict.fromkeys(("train", "validation", "test"), (9,) * 9)

    features, _ = fit_recipe(read_recipe("features"), Supply(input_shape=(7, 2), counts=counts))
    series, _ = fit_recipe(
        read_recipe("series"), Supply(input_shape=(3,), counts=counts, outputs=2)
    )

    assert (features.input_shape, features.network_config["inputs"]) == ((7, 2), 14)
    assert (series.network_config["inputs"], series.head.outputs) == (3, 2)
    assert shape(series.validation) == (1, 4, 5)
    powers = replace(series, network="polynomial", network_config={"degree": 3})
    powers, _ = fit_recipe(powers, Supply(input_shape=(3,), counts=counts, outputs=2))
    assert shape_of_features(build_learner(powers).network, (3,))[0] == 9
    assert shape_of_features(build_learner(features).network, (7, 2))[0] == 512


def test_what_was_noticed_of_the_data_is_filled_in_and_said() -> None:
    counts = dict.fromkeys(("train", "validation", "test"), (20,) * 20)
    noticed = Noticed(centre=(1.0, 2.0), scale=(3.0, 4.0), settings={"test": 0.3}, said=("seen",))
    given = Supply(input_shape=(2,), counts=counts, noticed=noticed)

    fitted, said = fit_recipe(read_recipe("features"), given)
    again, _ = fit_recipe(fitted, replace(given, noticed=replace(noticed, scale=(9.0, 9.0))))

    assert (fitted.network_config["centre"], fitted.network_config["scale"]) == ([1, 2], [3, 4])
    assert fitted.distribution["test"] == 0.3
    assert said == ["seen"]
    assert again.network_config == fitted.network_config  # a recipe that says them keeps its own


def other(**changes: object) -> Recipe:
    return replace(read_recipe("pictures"), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (other(input_shape=(1, 28, 28)), r"input_shape: expected \[3, 32, 32\], .* \[1, 28, 28\]"),
        (other(network_config={"channels": 1}), "channels: expected 3, .* got 1"),
        (other(task="regression"), "task: expected classification with these data"),
    ],
)
def test_a_recipe_that_says_otherwise_is_refused(recipe: Recipe, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fit_recipe(recipe, supply(train=8, held_out=2, each=8))


def test_a_picture_network_on_numbers_is_refused() -> None:
    counts = dict.fromkeys(("train", "validation", "test"), (9,) * 9)

    with pytest.raises(ValueError, match=r"conv4 takes pictures \(C, H, W\), the data are \[7\]"):
        fit_recipe(read_recipe("pictures"), Supply(input_shape=(7,), counts=counts))
