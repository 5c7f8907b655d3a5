"""Reads a compose file as Docker Compose would, as far as ours go: anchors, merges, variables."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<rule>:[-?])(?P<word>[^}]*))?\}|\$\$")
DURATION = re.compile(r"(\d+)(ms|s|m)")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}


class VariableMissing(Exception):
    """A variable that the file demands with `:?` is not set."""


def read_compose(path: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """The file with its variables put in. Raises VariableMissing."""
    found: dict[str, Any] = _filled(yaml.safe_load(path.read_text()), variables)
    return found


def seconds(duration: str) -> float:
    """What a duration such as `1m30s` means."""
    return sum(int(number) * SECONDS[unit] for number, unit in DURATION.findall(duration))


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(inner, variables) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, variables) for inner in value]
    if not isinstance(value, str):
        return value
    return VARIABLE.sub(lambda found: _put_in(found, variables), value)


def _put_in(found: re.Match[str], variables: Mapping[str, str]) -> str:
    if found["name"] is None:
        return "$"
    if value := variables.get(found["name"]):
        return value
    if found["rule"] == ":?":
        raise VariableMissing(f"{found['name']}: {found['word']}")
    return found["word"] or ""
