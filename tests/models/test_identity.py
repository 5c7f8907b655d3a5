"""The network that leaves vectors as they are, and the checkpoint made of it."""

from pathlib import Path

import torch

import models
from models.episodes import labelled
from models.files.checkpoint import load_checkpoint
from models.heads.layer import Head
from models.inner_loop import adapt_episodes
from models.learner import InnerLoop, Learner, features_of
from models.networks import build_network

FILE = Path(models.__file__).parent / "checkpoints" / "vectors.safetensors"
HEAD = Head(kind="prototype", scale=0.0)


def test_vectors_are_their_own_features_whatever_their_width() -> None:
    checkpoint = load_checkpoint(FILE.read_bytes())

    for width in (1, 7, 300):
        x = torch.randn(4, width, generator=torch.Generator().manual_seed(width))
        assert torch.equal(features_of(checkpoint.learner, checkpoint.meta.theta, x), x)


def test_its_written_gradient_is_that_of_the_graph() -> None:
    learner = Learner(network=build_network("identity", {}), head=HEAD, task="classification")
    x = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(1))
    support = labelled(x, torch.arange(6).expand(2, 6) % 3)
    recipe = InnerLoop(steps=3, step_size=0.1)
    theta = {"gain": torch.tensor(1.0)}

    with torch.no_grad():
        written = adapt_episodes(learner, theta, support, recipe, outputs=3)
    theta = {"gain": torch.tensor(1.0, requires_grad=True)}
    graphed = adapt_episodes(learner, theta, support, recipe, outputs=3)

    assert float((written.params["gain"] - 1).abs().min()) > 1e-4
    torch.testing.assert_close(written.params["gain"], graphed.params["gain"].detach())


def test_the_sharpness_of_its_class_means_follows_the_scale_of_the_vectors() -> None:
    checkpoint = load_checkpoint(FILE.read_bytes())
    x = torch.randn(1, 6, 5, generator=torch.Generator().manual_seed(2))
    y = torch.arange(6)[None] % 3
    recipe = InnerLoop(steps=0, adapts="kernel", guarded=True)

    losses = [
        adapt_episodes(
            checkpoint.learner, checkpoint.meta.theta, labelled(x * scale, y), recipe, outputs=3
        ).losses
        for scale in (1e-3, 1.0, 1e3, 1e-21, 1e15)
    ]

    assert all(bool(loss.isfinite()) for loss in losses)
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(losses[2], losses[1], rtol=1e-3, atol=1e-4)
