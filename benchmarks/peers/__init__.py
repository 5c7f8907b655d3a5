"""The libraries that the engine is measured against, each used as its own documentation shows.

An adapter knows one library and the plain torch network of ``network.py``, and nothing of ours: it
makes of a network two pieces of work, ``adapting`` and ``outer_step``, which the contest times.
The libraries live in an environment of their own (``install.py``), never in the service's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.peers.network import PlainConv4
from models.episodes import Episodes
from models.normalisation import Params

Adapting = Callable[[Tensor, Tensor], list[Params]]
OuterStep = Callable[[Episodes], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A way to use a library.

    adapting: from a network, the number of steps and their size to a work from supports (E, S, …)
    and classes (E, S) to the φ of every episode. outer_step: from a network, its optimiser and the
    size of the one inner step to one second-order update of θ; the meta-gradient stays in ``grad``.
    anil: as adapting, but the head alone moves, where the library shows how.
    """

    name: str
    adapting: Callable[[nn.Module, int, float], Adapting]
    outer_step: Callable[[nn.Module, Optimizer, float], OuterStep]
    anil: Callable[[PlainConv4, int, float], Adapting] | None = None


def installed_peers() -> list[Peer]:
    """The adapters whose library this interpreter has; in the service's environment none."""
    peers: list[Peer] = []
    for library in ("higher", "torchopt", "learn2learn"):
        if find_spec(library):
            peers.extend(import_module(f"benchmarks.peers.{library}").PEERS)
    return peers
