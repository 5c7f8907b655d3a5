"""A recipe fitted to a data set: widths filled in, and episodes no larger than the data can give.

Pure: the same recipe and supply give the same recipe, and one sentence for everything changed.
"""

import math
from dataclasses import replace
from typing import Any

from models.episodes import Supply
from models.heads import Head
from models.kinds import KINDS
from models.meta_training.recipes import Recipe, Stage, Validation

Bounds = int | tuple[int, int]


def fit_recipe(recipe: Recipe, supply: Supply) -> tuple[Recipe, list[str]]:
    """The recipe with the data's input shape, and with ways, shots and queries that they can give.

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
    fitted = replace(
        recipe,
        input_shape=shape,
        network_config=_with_width(recipe.network, recipe.network_config, shape),
        head=_with_outputs(recipe, supply.outputs),
        stages=tuple(stage for stage, _ in staged),
        validation=validation,
    )
    return fitted, [line for _, lines in staged for line in lines] + said


def _with_width(network: str, config: dict[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """The configuration with the input's width; networks that are not ours say it themselves."""
    if network == "conv4" and len(shape) != 3:
        raise ValueError(f"network: conv4 takes pictures (C, H, W), the data are {list(shape)}")
    widths = {"conv4": ("channels", shape[0]), "mlp": ("inputs", math.prod(shape))}
    if network not in widths:
        return config
    key, width = widths[network]
    if config.get(key, width) != width:
        raise ValueError(
            f"{key}: expected {width}, as the data have it, or none, got {config[key]}"
        )
    return config | {key: width}


def _with_outputs(recipe: Recipe, outputs: int) -> Head:
    """A linear head with the data's values, or with a row for each of the most classes."""
    head = recipe.head
    if head.kind == "prototype":
        return head
    if outputs and head.outputs not in (0, outputs):
        raise ValueError(f"head: expected outputs = {outputs} or none, got {head.outputs}")
    return replace(head, outputs=head.outputs or outputs or recipe.max_way)


def _fit_stage(stage: Stage, supply: Supply, name: str) -> tuple[Stage, list[str]]:
    room = _room(supply, ("train",), _most(stage.shot) + stage.query)
    shot, query = _share(_most(stage.shot), stage.query, room[1])
    way = stage.way if supply.outputs else _capped(stage.way, room[0])
    fitted = replace(stage, way=way, shot=_capped(stage.shot, shot), query=query)
    return fitted, _said(name, stage, fitted, "train", room)


def _fit_validation(wanted: Validation, supply: Supply) -> tuple[Validation, list[str]]:
    """It is drawn from all three splits: the prior from training, the last score from test."""
    room = _room(supply, ("train", "validation", "test"), wanted.shot + wanted.query)
    shot, query = _share(wanted.shot, wanted.query, room[1])
    way = wanted.way if supply.outputs else min(wanted.way, room[0])
    fitted = replace(wanted, way=way, shot=shot, query=query)
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
    wanted: Stage | Validation,
    fitted: Stage | Validation,
    where: str,
    room: tuple[int, int],
) -> list[str]:
    changes = [
        f"{key} {_in_words(getattr(wanted, key))} becomes {_in_words(getattr(fitted, key))}"
        for key in ("way", "shot", "query")
        if getattr(wanted, key) != getattr(fitted, key)
    ]
    if not changes:
        return []
    return [f"{name}: {', '.join(changes)} ({where} has {room[0]} with {room[1]} or more)"]


def _in_words(bounds: Bounds) -> str:
    return str(bounds) if isinstance(bounds, int) else f"{bounds[0]} to {bounds[1]}"
