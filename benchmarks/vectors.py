"""The checkpoint ``vectors``: feature vectors of any width, told apart without training.

    python -m benchmarks.vectors

makes the file anew, to the same bytes.
"""

from pathlib import Path

import torch

from models.files.checkpoint import Checkpoint, dump_checkpoint
from models.files.served_loop import ServedInnerLoop
from models.heads.layer import Head
from models.learner import Learner
from models.networks import build_network
from models.outer_loop import MetaParams

FILE = Path(__file__).parents[1] / "models" / "checkpoints" / "vectors.safetensors"


def vectors() -> Checkpoint:
    """The checkpoint: the inputs are the features."""
    network = build_network("identity", {}).requires_grad_(False)
    return Checkpoint(
        name="vectors",
        learner=Learner(
            network=network, head=Head(kind="prototype", scale=0.0), task="classification"
        ),
        meta=MetaParams(theta={"gain": torch.ones(())}),
        network="identity",
        network_config={},
        input_shape=(0,),
        preprocessing=None,
        max_way=200,
        inner_loop=ServedInnerLoop(steps=0, step_size=0.0, adapts="kernel"),
        provenance={"command": "python -m benchmarks.vectors", "data": None},
    )


if __name__ == "__main__":
    FILE.write_bytes(dump_checkpoint(vectors()))
