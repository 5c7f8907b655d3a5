"""What an adapted model's file says of itself, for whoever predicts with it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What an adapted model's file says of the models that share its network, read once.

    task: the kind's name; network: its name and configuration; preprocessing: how a picture becomes
    an input, None for numbers; outputs: classes, or values of one input; body: the digest of the
    checkpoint whose body it has, None for one of its own; policy: what a policy's checkpoint says
    of acting, ``models/files/acting.py``.
    """

    task: str
    network: dict[str, Any]
    head: str
    normalisation: str
    input_shape: tuple[int, ...]
    preprocessing: dict[str, Any] | None
    outputs: int
    body: str | None = None
    policy: dict[str, Any] | None = None


def read_about(description: dict[str, Any]) -> About:
    """What the JSON of an adapted model's file says of its network."""
    return About(
        task=description["task"],
        network=description["network"],
        head=description["head"]["kind"],
        normalisation=description["normalisation"],
        input_shape=tuple(description["input"]["shape"]),
        preprocessing=description["input"]["preprocessing"],
        outputs=description["outputs"],
        body=description.get("body"),
        policy=description.get("policy"),
    )
