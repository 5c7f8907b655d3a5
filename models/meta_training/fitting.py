"""A recipe fitted to a data set: widths filled in, and episodes no larger than the data can give.

Pure: the same recipe and supply give the same recipe, and one sentence for everything changed.
"""

import math
from dataclasses import replace
from typing import Any, TypeVar

from models.episodes import Noticed, Supply
from models.heads.layer import Head
from models.kinds import KINDS
from models.meta_training.recipes import Bounds, Mixed, Recipe, Stage, Validation

Sort = TypeVar("Sort", Stage, Mixed)


def fit_recipe(recipe: Recipe, supply: Supply) -> tuple[Recipe, list[str]]:
    """The recipe with the data's input shape, spread and open settings, and with ways, shots and
    queries that they can give.

    Raises ValueError where the recipe is for another kind of data, or says another input shape,
    width or number of outputs.
    """
    shape = supply.input_shape
    suitable = [kind.name for kind in KINDS.values() if kind.suits(supply)]
    if recipe.task not in suitable:
        expected = " or ".join(suitable)
        raise ValueError(f"task: expected {expected} with these data, got {recipe.task}")
    if recipe.input_shape not in ((), shape):
        raise ValueError(
            f"input_shape: expected {list(shape)}, as the data have it, or none, got "
            f"{list(recipe.input_shape)}"
        )
    staged = [
        _fit_stage(stage, supply, f"stage {number}")
        for number, stage in enumerate(recipe.stages, start=1)
    ]
    validation, said = _fit_validation(recipe.validation, supply)
    config = _with_width(recipe.network, recipe.network_config, shape)
    fitted = replace(
        recipe,
        distribution=recipe.distribution | supply.noticed.settings,
        input_shape=shape,
        network_config=_with_spread(recipe.network, config, supply.noticed),
        head=_with_outputs(recipe, supply.outputs),
        stages=tuple(stage for stage, _ in staged),
        validation=validation,
    )
    changed = [line for _, lines in staged for line in lines] + said
    return fitted, [*supply.noticed.said, *changed]


def _with_width(network: str, config: dict[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """The configuration with the input's width; networks that are not ours say it themselves."""
    if network == "conv4" and len(shape) != 3:
        raise ValueError(f"network: conv4 takes pictures (C, H, W), the data are {list(shape)}")
    keys = {"conv4": "channels", "mlp": "inputs", "polynomial": "inputs"}
    if network not in keys:
        return config
    key, width = keys[network], shape[0] if network == "conv4" else math.prod(shape)
    if config.get(key, width) != width:
        raise ValueError(
            f"{key}: expected {width}, as the data have it, or none, got {config[key]}"
        )
    return config | {key: width}


def _with_spread(network: str, config: dict[str, Any], noticed: Noticed) -> dict[str, Any]:
    """The configuration with the inputs' mean and deviation, where they are known and not said."""
    if not noticed.scale or "centre" in config or "scale" in config:
        return config
    if network != "mlp":
        raise ValueError(
            f"standardise: only the network 'mlp' standardises its inputs, not {network}"
        )
    return config | {"centre": list(noticed.centre), "scale": list(noticed.scale)}


def _with_outputs(recipe: Recipe, outputs: int) -> Head:
    """A linear head with the data's values, or with a row for each of the most classes."""
    head = recipe.head
    if head.kind == "prototype":
        return head
    if outputs and head.outputs not in (0, outputs):
        raise ValueError(f"head: expected outputs = {outputs} or none, got {head.outputs}")
    return replace(head, outputs=head.outputs or outputs or recipe.max_way)


def _fit_stage(stage: Stage, supply: Supply, name: str) -> tuple[Stage, list[str]]:
    wanted = max(_most(sort.shot) for sort in stage.sorts)
    room = _room(supply, ("train",), wanted + stage.query)
    shot, query = _share(wanted, stage.query, room[1])
    fitted = replace(
        stage if stage.mixture else _fit_sort(stage, supply, room[0], shot),
        query=query,
        mixture=tuple(_fit_sort(sort, supply, room[0], shot) for sort in stage.mixture),
    )
    if not supply.outputs:
        fitted = replace(fitted, most_kinds=_most_kinds(fitted, room[0]))
    said = _said(name, stage, fitted, "train", room)
    for number, pair in enumerate(zip(stage.mixture, fitted.mixture, strict=True), start=1):
        said += _said(f"{name}, mixture {number}", *pair, "train", room)
    return fitted, said


def _fit_sort(sort: Sort, supply: Supply, classes: int, shot: int) -> Sort:
    """So few kinds that two classes of the most can be drawn, so few classes of the least."""
    fitted = replace(sort, shot=_capped(sort.shot, shot))
    if supply.outputs:
        return fitted
    kinds = _capped(sort.kinds, max(classes // 2, 1))
    least = kinds if isinstance(kinds, int) else kinds[0]
    return replace(fitted, way=_capped(sort.way, classes // least), kinds=kinds)


def _most_kinds(stage: Stage, classes: int) -> int | None:
    """The stage's cap on way times kinds, or the classes there are, where it could exceed them."""
    most = max(_most(sort.way) * _most(sort.kinds) for sort in stage.sorts)
    if min(most, stage.most_kinds or most) <= classes:
        return stage.most_kinds
    return classes


def _fit_validation(wanted: Validation, supply: Supply) -> tuple[Validation, list[str]]:
    """It is drawn from all three splits: the prior from training, the last score from test."""
    room = _room(supply, ("train", "validation", "test"), wanted.shot + wanted.query)
    shot, query = _share(wanted.shot, wanted.query, room[1])
    fitted = replace(wanted, shot=shot, query=query)
    if not supply.outputs:
        kinds = min(wanted.kinds, max(room[0] // 2, 1))
        fitted = replace(fitted, way=min(wanted.way, room[0] // kinds), kinds=kinds)
    return fitted, _said("validation and test", wanted, fitted, "every split", room)


def _room(supply: Supply, splits: tuple[str, ...], wanted: int) -> tuple[int, int]:
    """How many classes can stand in an episode, and how many examples of each, at most ``wanted``.

    Up to a quarter of a split's classes may have fewer and stay out: one small class does not make
    the episodes of all others small.
    """
    examples = min(_lower_quarter(supply.counts[split]) for split in splits)
    examples = min(examples, wanted)
    ways = [sum(count >= examples for count in supply.counts[split]) for split in splits]
    return min(ways), examples


def _lower_quarter(counts: tuple[int, ...]) -> int:
    return sorted(counts)[len(counts) // 4]


def _share(shot: int, query: int, examples: int) -> tuple[int, int]:
    """Shots and queries out of so many examples; where they are few, at most half are shots."""
    if shot + query <= examples:
        return shot, query
    shot = min(shot, max(1, examples // 2))
    return shot, min(query, examples - shot)


def _most(bounds: Bounds) -> int:
    return bounds if isinstance(bounds, int) else bounds[1]


def _capped(bounds: Bounds, most: int) -> Bounds:
    if isinstance(bounds, int):
        return min(bounds, most)
    return min(bounds[0], most), min(bounds[1], most)


def _said(
    name: str,
    wanted: Stage | Mixed | Validation,
    fitted: Stage | Mixed | Validation,
    where: str,
    room: tuple[int, int],
) -> list[str]:
    changes = [
        f"{key} {_in_words(getattr(wanted, key))} becomes {_in_words(getattr(fitted, key))}"
        for key in ("way", "kinds", "most_kinds", "shot", "query")
        if getattr(wanted, key, None) != getattr(fitted, key, None)
    ]
    if not changes:
        return []
    return [f"{name}: {', '.join(changes)} ({where} has {room[0]} with {room[1]} or more)"]


def _in_words(bounds: Bounds | None) -> str:
    if bounds is None:
        return "none"
    return str(bounds) if isinstance(bounds, int) else f"{bounds[0]} to {bounds[1]}"
