"""One adapted model, ready to predict: φ, its support statistics and its network."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.adapted_file import AdaptedFile, load_adapted
from models.checkpoint import Checkpoint
from models.heads import BIAS, WEIGHT, apply_head
from models.networks import build_network
from models.normalisation import EpisodeNorm, Params, Statistics, forward

OF_THE_OBJECTS = 16 * 1024  # measured: 13 kB beside the tensors of the smallest network


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """φ in a network of its own, so that threads may predict with it at once.

    head and statistics: tensors by name; description: as in the adapted model's file; bytes: of all
    tensors, and about of the objects that hold them.
    """

    network: nn.Module
    head: Params
    statistics: Statistics
    description: dict[str, Any]
    bytes: int

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(Q, …) inputs -> (Q, outputs) scores or values; each depends on its own input alone."""
        with torch.no_grad():
            features, _ = forward(self.network, None, torch.from_numpy(x), self.statistics)
            outputs = apply_head(self.head, features)
        return np.asarray(outputs.numpy(), dtype=np.float32)


def load_served(data: bytes) -> ServedModel:
    """The model in the bytes of an adapted file."""
    return _served(load_adapted(data))


def serve_theta(checkpoint: Checkpoint) -> ServedModel | None:
    """The unadapted θ of a regression checkpoint; None where it normalises by a support set."""
    normalised = any(
        isinstance(layer, EpisodeNorm) for layer in checkpoint.learner.network.modules()
    )
    if normalised:
        return None
    network = {"name": checkpoint.network, **checkpoint.network_config}
    description = {
        "task": checkpoint.learner.task,
        "network": network,
        "head": {"kind": checkpoint.learner.head.kind},
        "normalisation": checkpoint.learner.normalisation,
        "input": checkpoint.input,
        "classes": None,
        "outputs": checkpoint.learner.head.outputs,
    }
    return _served(
        AdaptedFile(params=checkpoint.meta.theta, statistics={}, description=description)
    )


def _served(file: AdaptedFile) -> ServedModel:
    about = file.description
    config = {key: value for key, value in about["network"].items() if key != "name"}
    network = build_network(about["network"]["name"], config).requires_grad_(False)
    head = {name: value for name, value in file.params.items() if name in (WEIGHT, BIAS)}
    body = {name: value for name, value in file.params.items() if name not in head}
    network.load_state_dict(body, strict=True)
    tensors = (*file.params.values(), *file.statistics.values())
    return ServedModel(
        network=network,
        head=head,
        statistics=file.statistics,
        description=about,
        bytes=OF_THE_OBJECTS + sum(tensor.nbytes for tensor in tensors),
    )
