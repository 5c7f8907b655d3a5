"""A policy of the service in one's own environments: acts, collects rollouts, is adapted to them.

An environment is Gymnasium's, or anything with its ``reset`` and ``step``; Gymnasium itself is not
needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from fewstep_client.adaptation import Adaptation
    from fewstep_client.client import Client

Json = dict[str, Any]


class Environment(Protocol):
    """As much of gymnasium.Env as is used."""

    def reset(self) -> tuple[Any, Any]: ...

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, Any]: ...


class Policy:
    """A checkpoint's policy, and after each ``adapt`` the adapted one.

    adaptation: the last; None before the first.
    """

    def __init__(self, client: Client, checkpoint: str) -> None:
        self._client, self.checkpoint = client, checkpoint
        self.adaptation: Adaptation | None = None
        about = client.checkpoint(checkpoint).get("policy")
        if about is None:
            raise TypeError(f"expected a policy's checkpoint, got {checkpoint}")
        self.max_episode_steps = int(about["max_episode_steps"])

    def act(self, observations: Any, *, deterministic: bool = False) -> list[Json]:
        """What it does on each observation: ``action`` for the environment, and ``sampled_action``
        and ``log_prob`` to send back.
        """
        return self._client.act(
            self.checkpoint if self.adaptation is None else self.adaptation,
            observations,
            deterministic=deterministic,
        )

    def collect(self, environments: Sequence[Environment]) -> list[Json]:
        """An episode of each environment, all in lockstep: one request a step."""
        seen = [np.asarray(one.reset()[0], float) for one in environments]
        rollouts: list[Json] = [
            {"observations": [x.tolist()], "actions": [], "rewards": [], "log_probs": []}
            for x in seen
        ]
        running = list(range(len(environments)))
        for number in range(1, self.max_episode_steps + 1):
            said = self.act([seen[index] for index in running])
            for index, told in zip(running, said, strict=True):
                after, reward, terminated, truncated, _ = environments[index].step(
                    np.asarray(told["action"])
                )
                seen[index], one = np.asarray(after, float), rollouts[index]
                one["observations"].append(seen[index].tolist())
                one["actions"].append(told["sampled_action"])
                one["rewards"].append(float(reward))
                one["log_probs"].append(told["log_prob"])
                one["terminated"] = bool(terminated)
                ends = truncated or number == self.max_episode_steps
                one["truncated"] = bool(ends) and not terminated
            running = [
                index
                for index in running
                if not (rollouts[index]["terminated"] or rollouts[index]["truncated"])
            ]
            if not running:
                break
        return rollouts

    def adapt(self, rollouts: Sequence[Json], **options: Any) -> Adaptation:
        """One step on its own rollouts; it is the adapted policy from then on."""
        if self.adaptation is None:
            made = self._client.adapt(self.checkpoint, rollouts=rollouts, **options)
        else:
            made = self._client.adapt(
                None, rollouts=rollouts, continues=self.adaptation.id, **options
            )
        self.adaptation = made
        return made

    def learn(self, environments: Sequence[Environment], rounds: int) -> Iterator[float]:
        """The mean return before each round, and after the last."""
        for _ in range(rounds):
            rollouts = self.collect(environments)
            yield mean_return(rollouts)
            self.adapt(rollouts)
        yield mean_return(self.collect(environments))


def mean_return(rollouts: Sequence[Json]) -> float:
    """The mean over episodes of what each got in all."""
    return float(np.mean([sum(one["rewards"]) for one in rollouts]))
