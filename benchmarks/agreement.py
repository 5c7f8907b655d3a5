"""Whether all contenders computed the same, which is checked before any of them is timed.

In float32 the sums are ordered differently, and now and then a ReLU whose input is all but zero
falls on the other side, which moves a channel of one episode. So in float32 all but ``STRAY`` of
the elements of an episode must agree to ``ELEMENT`` in all but ``FLIPPED`` of the episodes, and the
median episode to ``WAY_MOVED`` of the way that the steps went. That this is rounding and nothing
else is checked in float64, where all agree to 1e-8, the engine among them.
"""

import math
import statistics

import torch

from benchmarks.contest import (
    OURS,
    STEP_SIZE,
    STEPS,
    adapt_in_a_loop,
    adapt_stacked,
    difference,
    draw_episodes,
    in_float64,
)
from benchmarks.peers import Peer
from benchmarks.peers.network import plain_network
from models.files.checkpoint import Checkpoint
from models.normalisation import Params

ELEMENT = {"rtol": 1e-3, "atol": 1e-4}
STRAY = 1e-3
FLIPPED = 0.02
WAY_MOVED = 5e-2
GRADIENT = 2e-2
SAME_MATHEMATICS = 1e-8


def check_mathematics(checkpoint: Checkpoint, peers: list[Peer]) -> None:
    """Raises AssertionError, naming who has other φ in float64 than the plain loop."""
    exact = in_float64(checkpoint)
    theta = exact.meta.theta
    for shot in (1, 5):
        episodes = draw_episodes(4, shot=shot, query=1)
        x, y = episodes.support_x.double(), episodes.support_y
        loop = adapt_in_a_loop(exact, x, y)()
        found = {OURS: adapt_stacked(exact, x, y)} | {
            peer.name: peer.adapting(plain_network(theta), STEPS, STEP_SIZE)(x, y) for peer in peers
        }
        for name, phis in found.items():
            apart = max(difference(a, b, theta) for a, b in zip(phis, loop, strict=True))
            assert apart <= SAME_MATHEMATICS, f"{name}: off by {apart:.1e} in float64"


def check_phis(theta: Params, phis: dict[str, list[Params]]) -> None:
    """Raises AssertionError, naming the contender whose φ are not ours."""
    ours = phis[OURS]
    for name, theirs in phis.items():
        stray = [share_apart(a, b) > STRAY for a, b in zip(theirs, ours, strict=True)]
        most = math.ceil(FLIPPED * len(stray))
        assert sum(stray) <= most, f"{name}: {sum(stray)} of {len(stray)} episodes differ"
        apart = [difference(a, b, theta) for a, b in zip(theirs, ours, strict=True)]
        middle = statistics.median(apart)
        assert middle <= WAY_MOVED, f"{name}: {middle:.1e} of the way that the steps went"


def share_apart(phi: Params, expected: Params) -> float:
    """The share of elements that are further apart than ``ELEMENT`` allows."""
    apart = [~torch.isclose(phi[name], value, **ELEMENT) for name, value in expected.items()]
    return float(torch.cat([part.flatten() for part in apart]).double().mean())


def check_gradients(gradients: dict[str, Params]) -> None:
    """Raises AssertionError, naming the contender whose meta-gradient is not ours."""
    ours = gradients[OURS]
    for name, theirs in gradients.items():
        apart = difference(theirs, ours)
        assert apart <= GRADIENT, f"{name}: the meta-gradient is off by {apart:.1e}"
