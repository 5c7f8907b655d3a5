"""No step harms: the support loss of φ is never above that of the start, whatever is adapted on."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.episodes import Episodes, Examples, labelled
from models.files.checkpoint import Checkpoint, load_checkpoint
from models.guard import SHORTER
from models.heads.layer import Head
from models.inner_loop import adapt, adapt_episodes
from models.learner import CLOSED_FORMS, Adapts, InnerLoop, Learner, episode_of
from models.networks import build_network
from models.normalisation import Params
from models.outer_loop import MetaParams, outer_loss

SHIPPED = sorted((Path(__file__).parents[2] / "models" / "checkpoints").glob("*.safetensors"))
SHIPPED = [path for path in SHIPPED if path.stem != "point-navigation"]  # has no support loss


def parabola() -> tuple[Learner, dict[str, Tensor]]:
    """One weight w and no bias worth speaking of: the loss of (1, 0) is w², its gradient 2 w."""
    learner = Learner(network=nn.Flatten(), head=Head(kind="linear", outputs=1), task="regression")
    return learner, {"head.weight": torch.ones(1, 1), "head.bias": torch.zeros(1)}


def at_one(count: int = 1) -> Examples:
    return labelled(torch.ones(count, 1, 1), torch.zeros(count, 1, 1))


@pytest.fixture(params=SHIPPED, ids=lambda path: path.stem)
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    return load_checkpoint(request.param.read_bytes())


def test_a_step_that_raises_the_loss_is_taken_back_and_the_next_is_a_quarter() -> None:
    learner, theta = parabola()
    # weight and bias both move, so w + b jumps from 1 to 1 - 4 a: a = 0.6 gives -1.4, a = 0.15 0.4
    recipe = InnerLoop(steps=2, step_size=0.6, guarded=True)

    adapted = adapt(learner, theta, at_one().each(lambda array: array[0]), recipe, outputs=1)

    assert SHORTER == 0.25
    assert adapted.losses.tolist() == pytest.approx([1.0, 1.0, 0.16])


def test_an_episode_beside_a_bad_one_takes_the_steps_that_it_takes_alone() -> None:
    learner, theta = parabola()
    sizes = torch.tensor([0.1, 0.6, 1e30])
    recipe = InnerLoop(steps=3, step_size=sizes, guarded=True)

    together = adapt_episodes(learner, theta, at_one(3), recipe, outputs=1)

    for episode, size in enumerate(sizes.tolist()):
        alone = adapt_episodes(learner, theta, at_one(), replace(recipe, step_size=size), outputs=1)
        assert torch.equal(episode_of(together, episode).losses, alone.losses[0])
    plain = adapt_episodes(learner, theta, at_one(), InnerLoop(steps=3, step_size=0.1), outputs=1)
    assert torch.equal(together.losses[0], plain.losses[0])


def hostile(checkpoint: Checkpoint, generator: torch.Generator) -> list[tuple[str, Tensor, Tensor]]:
    """Support sets of four examples that nobody would send on purpose."""
    shape = (4, *(side or 24 for side in checkpoint.input_shape))
    noise = torch.rand(shape, generator=generator)
    if checkpoint.learner.task == "regression":
        y = torch.randn(4, 1, generator=generator)
        inputs = {"noise": noise * 10 - 5, "constant": torch.ones(shape), "far": noise * 1e4}
        return [(name, x, y * size) for name, x in inputs.items() for size in (1, 1e4)]
    y = torch.tensor([0, 1, 0, 1])
    inputs = {
        "noise": noise,
        "black": torch.zeros(shape),
        "white": torch.ones(shape),
        "twins": noise[:1].expand(shape).clone(),
        "extremes": (noise > 0.5).float() * 1e4,
        "negatives": -noise,
    }
    return [(name, x, labels) for name, x in inputs.items() for labels in (y, y.sort().values)]


@pytest.mark.parametrize("adapts", ["all", "head", "kernel", "bayesian"])
@pytest.mark.parametrize("size", [None, 0.1, 10.0, 1e6])
def test_the_support_loss_never_ends_above_its_start(
    checkpoint: Checkpoint, size: float | None, adapts: Adapts
) -> None:
    learner = checkpoint.learner
    if adapts not in learner.kind.ways(learner.head) or (size and adapts in CLOSED_FORMS):
        return
    generator = torch.Generator().manual_seed(17)
    recipe = replace(checkpoint.recipe_of(adapts), steps=6)
    if size is not None and not recipe.step_sizes:
        recipe = replace(recipe, step_size=size)
    outputs = 1 if checkpoint.learner.task == "regression" else 2

    for name, x, y in hostile(checkpoint, generator):
        with torch.no_grad():
            adapted = adapt(
                checkpoint.learner, checkpoint.meta.theta, labelled(x, y), recipe, outputs=outputs
            )
        losses = adapted.losses
        assert bool(losses.isfinite().all()), name
        assert bool((losses[1:] <= losses[:-1]).all()), (name, losses.tolist())
        assert all(bool(value.isfinite().all()) for value in adapted.params.values()), name


def test_classes_of_several_kinds_are_not_unlearned() -> None:
    """Two classes of ten kinds each, which the plain steps take to chance."""
    [path] = [path for path in SHIPPED if path.stem == "omniglot-anyway"]
    checkpoint = load_checkpoint(path.read_bytes())
    generator = torch.Generator().manual_seed(3)
    kinds = torch.rand(20, 1, 7, 7, generator=generator).round()
    pictures = nn.Upsample(scale_factor=4)(kinds)
    y = torch.arange(20) % 2
    noisy = [(pictures + 0.1 * torch.randn(pictures.shape, generator=generator)) for _ in range(3)]

    def accuracy(steps: int, *, guarded: bool) -> float:
        recipe = checkpoint.recipe_of("all")
        recipe = replace(recipe, steps=steps, step_size=0.05, guarded=guarded)
        support = labelled(torch.cat(noisy[:2]), y.repeat(2))
        with torch.no_grad():
            adapted = adapt(checkpoint.learner, checkpoint.meta.theta, support, recipe, outputs=2)
        from models.learner import predict

        return float(
            (predict(checkpoint.learner, adapted, noisy[2])[:, :2].argmax(1) == y).float().mean()
        )

    start = accuracy(0, guarded=True)
    assert accuracy(10, guarded=True) >= start > accuracy(10, guarded=False)


@pytest.mark.parametrize("adapts", ["all", "head", "kernel"])
def test_the_outer_gradient_runs_through_the_steps_that_were_kept(adapts: Adapts) -> None:
    """Of steps that are far too long, against central differences in float64."""
    torch.manual_seed(0)
    network = build_network("mlp", {"inputs": 3, "hidden": [5], "normalised": False}).double()
    head = Head(kind="prototype", scale=0.3)
    learner = Learner(network=network, head=head, task="classification")
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(1, 18, 3, generator=generator, dtype=torch.float64)
    y = torch.arange(18)[None] % 2
    episodes = Episodes(
        support_x=x[:, :8], support_y=y[:, :8], query_x=x[:, 8:], query_y=y[:, 8:], outputs=2
    )
    recipe = InnerLoop(steps=3, step_size=50.0, adapts=adapts, guarded=True)
    theta = {name: value.detach() for name, value in network.named_parameters()}

    def loss(at: Params) -> Tensor:
        return outer_loss(learner, MetaParams(theta=at), episodes, recipe)[0].sum()

    leaves = {name: value.clone().requires_grad_() for name, value in theta.items()}
    gradients = torch.autograd.grad(loss(leaves), list(leaves.values()))
    direction = {n: g / 10 for n, g in zip(leaves, gradients, strict=True)}
    slope = sum(float((g * direction[n]).sum()) for n, g in zip(leaves, gradients, strict=True))
    small = 1e-5
    ahead, behind = (
        {name: theta[name] + sign * small * direction[name] for name in theta} for sign in (1, -1)
    )
    with torch.no_grad():
        numeric = float(loss(ahead) - loss(behind)) / (2 * small)

    assert slope > 0
    assert numeric == pytest.approx(slope, rel=1e-3)
