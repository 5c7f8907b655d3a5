"""Environments by their names; an installed package adds one under the entry-point group
``fewstep.environments``: a callable that makes an ``Environment`` of a recipe's options.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any, Final

from models.environments.navigation import Navigation
from models.environments.oracle import Oracle
from models.environments.protocol import Environment

GROUP: Final = "fewstep.environments"
MUJOCO: Final = {
    "ant-direction": "ant:ant_direction",
    "ant-velocity": "ant:ant_velocity",
    "half-cheetah-direction": "half_cheetah:half_cheetah_direction",
    "half-cheetah-velocity": "half_cheetah:half_cheetah_velocity",
}


def open_environment(table: Mapping[str, Any]) -> Environment:
    """The environment of a recipe's table: ``name``, perhaps ``oracle``, and its own options.

    Raises ValueError for an unknown name or an option that it does not take.
    """
    options = dict(table)
    name, sees_task = options.pop("name"), options.pop("oracle", False)
    try:
        found = _maker(name)(**options)
    except TypeError as error:
        raise ValueError(f"environment {name!r}: {error}") from error
    return found if not sees_task else Oracle(found)


def _maker(name: str) -> Callable[..., Environment]:
    if name == "point-navigation":
        return Navigation
    if name in MUJOCO:
        return _of_mujoco(MUJOCO[name])
    added = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in added:
        known = ", ".join(sorted({"point-navigation", *MUJOCO, *added}))
        raise ValueError(f"unknown environment {name!r}, expected one of {known}")
    maker: Callable[..., Environment] = added[name].load()
    return maker


def _of_mujoco(place: str) -> Callable[..., Environment]:
    """Raises ValueError where MuJoCo is not installed."""
    if find_spec("mujoco") is None:
        raise ValueError("this environment needs MuJoCo 4: pip install 'fewstep[rl]'")
    room, maker = place.split(":")
    made: Callable[..., Environment] = getattr(import_module(f"models.environments.{room}"), maker)
    return made
