"""What a checkpoint's file says of itself, read once; and what one example must be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

ANY_WIDTH: Final = (0,)  # vectors as long as the first of a support set


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """What a checkpoint takes for one example.

    shape: (C, H, W) of a picture, () or (1,) for one number, or ANY_WIDTH; preprocessing: how a
    picture, or numbers of which some are missing or are names, become that input; None for numbers.
    """

    shape: tuple[int, ...]
    preprocessing: Mapping[str, Any] | None = None

    @property
    def takes_pictures(self) -> bool:
        return self.preprocessing is not None and self.preprocessing.get("kind") != "numbers"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadDescription:
    """kind: linear or prototype; outputs: rows of a linear head; scale: of a prototype head."""

    kind: str
    outputs: int
    scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerLoopDescription:
    """The inner loop's defaults: the inner-loop recipe of the glossary.

    learned: whether the checkpoint brings step sizes of its own; normalisation: ``support``, or
    ``batch``, in which queries see each other and which is not served.
    """

    steps: int
    step_size: float
    learned: bool
    normalisation: str
    granularity: str = "layer"
    adapts: str = "all"
    prior_examples: float = 0.0
    head_steps: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDescription:
    """What a policy acts in and how it is adapted: ``models/files/acting.py``.

    observation_size: numbers of an observation; action_size: of an action, or choices where it is
    discrete; low and high: the environment's bounds, none of choices.
    """

    is_discrete: bool
    observation_size: int
    action_size: int
    low: tuple[float, ...]
    high: tuple[float, ...]
    max_episode_steps: int
    gamma: float
    gae_lambda: float
    step_sizes: tuple[float, ...]
    episodes: int
    dt: float
    environment: str

    def step_size(self, round_: int) -> float:
        """Of a round, which counts from 1."""
        return self.step_sizes[min(round_, len(self.step_sizes)) - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """task: the kind of task, by its name; max_way: the most classes that it can carry; policy: of
    one, None of every other kind.
    """

    name: str
    task: str
    network: Mapping[str, Any]
    head: HeadDescription
    input: InputSpec
    max_way: int
    inner_loop: InnerLoopDescription
    provenance: Mapping[str, Any]
    evaluation: tuple[Mapping[str, Any], ...]
    policy: PolicyDescription | None = None


def read_description(about: Mapping[str, Any]) -> Description:
    """The description in a file's metadata, which was checked when the file was installed."""
    taken = about["input"]
    return Description(
        name=about["name"],
        task=about["task"],
        network=about["network"],
        head=HeadDescription(**about["head"]),
        input=InputSpec(shape=tuple(taken["shape"]), preprocessing=taken["preprocessing"]),
        max_way=about["max_way"],
        inner_loop=InnerLoopDescription(**about["inner_loop"]),
        provenance=about["provenance"],
        evaluation=tuple(about["evaluation"]),
        policy=read_policy(about),
    )


def read_policy(about: Mapping[str, Any]) -> PolicyDescription | None:
    """What a file's metadata says of a policy; None where it is none."""
    table = about.get("policy")
    if table is None:
        return None
    kept = {name: value for name, value in table.items() if name != "actions"}
    lists = {name: tuple(table[name]) for name in ("low", "high", "step_sizes")}
    return PolicyDescription(
        is_discrete=table["actions"] == "discrete",
        observation_size=int(about["input"]["shape"][0]),
        action_size=int(about["head"]["outputs"] if "head" in about else about["outputs"]),
        **kept | lists,
    )
