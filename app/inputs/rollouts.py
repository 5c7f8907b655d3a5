"""Rollouts: episodes of a policy in its environment, from what JSON or safetensors carried to
arrays.

B episodes of up to T steps become the named arrays ``x`` (B, T + 1, D) float32, the observations
with the last one; ``actions`` (B, T, A) float32, or (B, T) int64 of a discrete policy; ``rewards``
(B, T) float32; ``lengths`` (B,) int64; ``terminated`` (B,) bool; where the caller sent any
``log_probs`` (B, T) float32, NaN where there are none. Behind an episode's end stand zeros. No
refusal shows the value that it refuses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from app.errors import kind_of, refusal
from app.inputs.numbers import FLOAT32_END, read_numbers
from app.settings import Settings
from app.values.arrays import INPUT, Arrays
from app.values.description import PolicyDescription

ACTIONS: Final = "actions"
REWARDS: Final = "rewards"
LENGTHS: Final = "lengths"
TERMINATED: Final = "terminated"
LOG_PROBS: Final = "log_probs"

FLOATS: Final = {np.dtype(name) for name in ("float16", "float32", "float64")}
INTEGERS: Final = {np.dtype(name) for name in ("uint8", "int16", "int32", "int64")}
FLAGS: Final = {np.dtype(name) for name in ("bool", "uint8")}
TENSORS: Final = ("observations", ACTIONS, REWARDS, LENGTHS, TERMINATED, "truncated", LOG_PROBS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One episode as a request has it, its numbers not yet read; pointer: where it stands there."""

    observations: Sequence[Any]
    actions: Sequence[Any]
    rewards: Sequence[Any]
    terminated: bool
    truncated: bool
    log_probs: Sequence[Any] | None
    pointer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedRollouts:
    """The bytes of a safetensors file: ``observations`` (ΣT + B, D), ``actions`` (ΣT, A) or (ΣT,),
    ``rewards`` (ΣT,), ``lengths``, ``terminated`` and ``truncated`` (B,), perhaps ``log_probs``.
    """

    data: bytes


Rollouts = Sequence[Episode] | UploadedRollouts


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most episodes of one adaptation, and the most steps of all of them together."""

    episodes: int
    env_steps: int


def rollout_limits(settings: Settings) -> Limits:
    """What the settings allow."""
    return Limits(episodes=settings.max_episodes, env_steps=settings.max_env_steps)


def read_rollouts(given: Rollouts, about: PolicyDescription, limits: Limits) -> Arrays:
    """The arrays of the page above. Raises ServiceError with the place of what does not fit."""
    if isinstance(given, UploadedRollouts):
        return _padded(_read_file(given, about, limits), about)
    _check_counts(len(given), (len(one.actions) for one in given), limits)
    return _padded([_read_episode(one, about) for one in given], about)


def env_steps_of(arrays: Arrays) -> int:
    """How many steps all episodes have together."""
    return int(arrays[LENGTHS].sum())


Read = dict[str, Any]  # an episode's arrays, and whether it terminated


def _read_episode(one: Episode, about: PolicyDescription) -> Read:
    steps = len(one.actions)
    _check_length(one.observations, steps, f"{one.pointer}/observations")
    _check_lists(one, steps)
    _check_end(steps, one.terminated, one.truncated, about, one.pointer)
    x = _rows(one.observations, about.observation_size, f"{one.pointer}/observations")
    read = {
        INPUT: x,
        ACTIONS: _read_actions(one.actions, about, f"{one.pointer}/actions"),
        REWARDS: read_numbers(list(one.rewards), (steps,), f"{one.pointer}/rewards"),
        TERMINATED: one.terminated,
    }
    if one.log_probs is not None:
        read[LOG_PROBS] = read_numbers(list(one.log_probs), (steps,), f"{one.pointer}/log_probs")
    return read


def _check_length(observations: Sequence[Any], steps: int, pointer: str) -> None:
    if len(observations) != steps + 1:
        detail = (
            f"expected {steps + 1} observations for {steps} actions (T+1, the last one included), "
            f"got {len(observations)}"
        )
        raise refusal("length-mismatch", pointer, detail)


def _check_lists(one: Episode, steps: int) -> None:
    if not steps:
        raise refusal("empty-support", f"{one.pointer}/actions", "expected a step, got none")
    for name, values in ((REWARDS, one.rewards), (LOG_PROBS, one.log_probs)):
        if values is not None and len(values) != steps:
            detail = f"expected one for each of {steps} actions, got {len(values)}"
            raise refusal("length-mismatch", f"{one.pointer}/{name}", detail)


def _check_end(
    steps: int, terminated: bool, truncated: bool, about: PolicyDescription, pointer: str
) -> None:
    if steps > about.max_episode_steps:
        detail = f"expected at most {about.max_episode_steps} steps in an episode, got {steps}"
        raise refusal("validation", f"{pointer}/actions", detail)
    if terminated == truncated:
        got = "both" if terminated else "neither"
        detail = f"expected exactly one of terminated and truncated to be true, got {got}"
        raise refusal("validation", pointer, detail)


def _rows(values: Sequence[Any], width: int, pointer: str) -> NDArray[np.float64]:
    """(T, width); of width 1 bare numbers do as well."""
    if width == 1 and not any(isinstance(value, list) for value in values):
        return read_numbers(list(values), (len(values),), pointer)[:, None]
    return read_numbers(list(values), (len(values), width), pointer)


def _read_actions(
    values: Sequence[Any], about: PolicyDescription, pointer: str
) -> NDArray[np.floating[Any] | np.integer[Any]]:
    if not about.is_discrete:
        return _rows(values, about.action_size, pointer)
    for index, value in enumerate(values):
        if type(value) is not int:
            raise refusal("validation", f"{pointer}/{index}", _discrete(about, kind_of(value)))
    return _checked_choices(np.array(values, object), about, pointer)


def _checked_choices(
    values: NDArray[Any], about: PolicyDescription, pointer: str
) -> NDArray[np.int64]:
    outside = np.flatnonzero((values < 0) | (values >= about.action_size))
    if len(outside):
        place = f"{pointer}/{int(outside[0])}"
        raise refusal("validation", place, _discrete(about, "one outside"))
    return values.astype(np.int64)


def _discrete(about: PolicyDescription, got: str) -> str:
    return f"expected an action from 0 to {about.action_size - 1}, got {got}"


def _check_counts(episodes: int, steps: Any, limits: Limits) -> None:
    if not episodes:
        raise refusal("empty-support", "/rollouts", "expected at least one episode, got none")
    if episodes > limits.episodes:
        detail = f"expected at most {limits.episodes} episodes, got {episodes}"
        raise refusal("too-many-examples", "/rollouts", detail)
    total = sum(steps)
    if total > limits.env_steps:
        detail = f"expected at most {limits.env_steps} steps in all episodes, got {total}"
        raise refusal("too-many-examples", "/rollouts", detail)


def _read_file(given: UploadedRollouts, about: PolicyDescription, limits: Limits) -> list[Read]:
    tensors = _tensors(given.data)
    lengths = _flat(tensors, LENGTHS, INTEGERS)
    if (lengths < 0).any():
        raise refusal("validation", "/rollouts/lengths", "expected lengths above 0, got another")
    _check_counts(len(lengths), map(int, lengths), limits)
    total, episodes = int(lengths.sum()), len(lengths)
    x = _numbers(tensors, "observations", (total + episodes, about.observation_size))
    own: dict[str, Any] = {REWARDS: _numbers(tensors, REWARDS, (total,))}
    own[ACTIONS] = _file_actions(tensors, total, about)
    if LOG_PROBS in tensors:
        own[LOG_PROBS] = _numbers(tensors, LOG_PROBS, (total,))
    ends = {name: _flags(tensors, name, episodes) for name in (TERMINATED, "truncated")}
    read: list[Read] = []
    place = 0
    for index, length in enumerate(map(int, lengths)):
        pointer = f"/rollouts/{index}"
        if not length:
            raise refusal("empty-support", f"{pointer}/actions", "expected a step, got none")
        terminated, truncated = (bool(ends[name][index]) for name in ends)
        _check_end(length, terminated, truncated, about, pointer)
        cut = {name: array[place : place + length] for name, array in own.items()}
        seen = x[place + index : place + index + length + 1]
        read.append({**cut, INPUT: seen, TERMINATED: terminated})
        place += length
    return read


def _tensors(data: bytes) -> dict[str, NDArray[Any]]:
    try:
        tensors: dict[str, NDArray[Any]] = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, OverflowError):
        detail = "expected a safetensors file, got something else"
        raise refusal("validation", "/rollouts", detail) from None
    missing = [name for name in TENSORS[:-1] if name not in tensors]
    if missing or tensors.keys() - set(TENSORS):
        detail = f"expected the tensors {', '.join(TENSORS[:-1])} and perhaps {LOG_PROBS}"
        got = f"no {missing[0]}" if missing else "another one as well"
        raise refusal("validation", "/rollouts", f"{detail}, got {got}")
    return tensors


def _flat(
    tensors: Mapping[str, NDArray[Any]], name: str, kinds: set[np.dtype[Any]]
) -> NDArray[np.int64]:
    found = tensors[name]
    if found.ndim != 1 or found.dtype not in kinds:
        expected = "booleans" if kinds is FLAGS else "integers"
        detail = f"expected one axis of {expected}, got {found.ndim} of {found.dtype}"
        raise refusal("shape-mismatch", f"/rollouts/{name}", detail)
    return found.astype(np.int64)


def _flags(tensors: Mapping[str, NDArray[Any]], name: str, episodes: int) -> NDArray[np.int64]:
    found = _flat(tensors, name, FLAGS)
    if len(found) != episodes:
        detail = f"expected one for each of {episodes} episodes, got {len(found)}"
        raise refusal("length-mismatch", f"/rollouts/{name}", detail)
    return found


def _numbers(
    tensors: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    found, pointer = tensors[name], f"/rollouts/{name}"
    if found.dtype not in FLOATS or found.ndim != len(shape):
        detail = f"expected floats of {len(shape)} axes, got {found.ndim} of {found.dtype}"
        raise refusal("shape-mismatch", pointer, detail)
    if len(found) != shape[0]:
        detail = f"expected {shape[0]} rows, as lengths has it, got {len(found)}"
        raise refusal("length-mismatch", pointer, detail)
    if found.shape != shape:
        detail = f"expected {shape[1]} numbers in a row, got {found.shape[1]}"
        raise refusal("shape-mismatch", pointer, detail)
    if not (np.abs(found) < FLOAT32_END).all():
        row = int((~(np.abs(found) < FLOAT32_END)).reshape(len(found), -1).any(axis=1).argmax())
        detail = "expected a number finite in float32, got one that is not"
        raise refusal("validation", f"{pointer}/{row}", detail)
    return found.astype(np.float64)


def _file_actions(
    tensors: Mapping[str, NDArray[Any]], total: int, about: PolicyDescription
) -> NDArray[Any]:
    if not about.is_discrete:
        return _numbers(tensors, ACTIONS, (total, about.action_size))
    found = _flat(tensors, ACTIONS, INTEGERS)
    if len(found) != total:
        detail = f"expected {total} actions, as lengths has it, got {len(found)}"
        raise refusal("length-mismatch", "/rollouts/actions", detail)
    return _checked_choices(found, about, "/rollouts/actions")


def _padded(read: Sequence[Read], about: PolicyDescription) -> Arrays:
    """All episodes as long as the longest."""
    lengths = np.array([len(one[REWARDS]) for one in read], np.int64)
    episodes, longest = len(read), int(lengths.max())
    wide = () if about.is_discrete else (about.action_size,)
    arrays: Arrays = {
        INPUT: np.zeros((episodes, longest + 1, about.observation_size), np.float32),
        ACTIONS: np.zeros(
            (episodes, longest, *wide), np.int64 if about.is_discrete else np.float32
        ),
        REWARDS: np.zeros((episodes, longest), np.float32),
        LENGTHS: lengths,
        TERMINATED: np.array([one[TERMINATED] for one in read], np.bool_),
    }
    if any(LOG_PROBS in one for one in read):
        arrays[LOG_PROBS] = np.full((episodes, longest), np.nan, np.float32)
    for index, one in enumerate(read):
        for name in (INPUT, ACTIONS, REWARDS, LOG_PROBS):
            if name in one:
                arrays[name][index, : len(one[name])] = one[name]
    return arrays
