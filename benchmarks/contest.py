"""What all contenders do: one network, one θ, the same episodes, and ours and the plain loop on it.

The network is that of the shipped omniglot-5way-1shot with its θ, normalised by the batch at hand
without a prior and under a linear head, which every library can do alike.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from models.episodes import Episodes, labelled
from models.files.checkpoint import Checkpoint, load_checkpoint
from models.heads.layer import Head, initial_head
from models.inner_loop import adapt_episodes
from models.learner import Adapted, Adapts, InnerLoop, Learner, episode_of
from models.meta_training.training import at_once
from models.normalisation import Params
from models.outer_loop import MetaParams, outer_step
from models.pictures.inputs import input_from_picture
from tests import plain_maml
from worker.stacking import adapt_rows
from worker.work import Failure, Work

ROOT = Path(__file__).parents[1]
FILE = ROOT / "models" / "checkpoints" / "omniglot-5way-1shot.safetensors"
DRAWINGS = ROOT / "examples" / "characters"
WAY, STEPS = 5, 5
STEP_SIZE = 0.01  # a longer one the worker's guard refuses now and then, which no library does
OURS, LOOP = "Fewstep", "plain loop"


def shared_checkpoint(device: torch.device = torch.device("cpu")) -> Checkpoint:  # noqa: B008
    """The shipped network and θ with a linear head drawn from a seed, on that device."""
    shipped = load_checkpoint(FILE.read_bytes())
    head = Head(kind="linear", outputs=WAY)
    drawn = initial_head(head, 64, torch.Generator().manual_seed(1))
    theta = {name: tensor.to(device) for name, tensor in (shipped.meta.theta | drawn).items()}
    learner = Learner(
        network=shipped.learner.network.to(device),
        head=head,
        task="classification",
        normalisation="batch",
    )
    return replace(shipped, learner=learner, meta=MetaParams(theta=theta))


def in_float64(checkpoint: Checkpoint) -> Checkpoint:
    """The same θ in double precision, where rounding hides no difference."""
    theta = {name: tensor.double() for name, tensor in checkpoint.meta.theta.items()}
    return replace(checkpoint, meta=MetaParams(theta=theta))


def draw_episodes(count: int, *, shot: int, query: int, seed: int = 1) -> Episodes:
    """Five-way episodes of the example drawings, turned and shifted by chance: no data set needed.

    shot and query: pictures per class.
    """
    pictures = _pictures()  # (characters, drawings, 1, 28, 28)
    generator = torch.Generator().manual_seed(seed)
    chance = _Chance(pictures, generator)
    drawn = torch.stack([chance.episode(shot + query) for _ in range(count)])
    x_EWK = drawn.unflatten(1, (WAY, shot + query))
    y_EWK = torch.arange(WAY)[None, :, None].expand(count, WAY, shot + query)
    return Episodes(
        support_x=x_EWK[:, :, :shot].flatten(1, 2).contiguous(),
        support_y=y_EWK[:, :, :shot].flatten(1, 2).contiguous(),
        query_x=x_EWK[:, :, shot:].flatten(1, 2).contiguous(),
        query_y=y_EWK[:, :, shot:].flatten(1, 2).contiguous(),
        outputs=WAY,
    )


def adapt_ours(checkpoint: Checkpoint, x_ES: Tensor, y_ES: Tensor) -> Callable[[], list[Params]]:
    """The call that the worker makes, from arrays to φ, losses and statistics.

    Everything moves, as with the libraries, whatever the shipped recipe adapts by itself.
    """
    work = asked_of_worker(checkpoint, x_ES, y_ES, adapts="all", steps=STEPS)
    return lambda: [one.params for one in work()]


def asked_of_worker(
    checkpoint: Checkpoint, x_ES: Tensor, y_ES: Tensor, *, adapts: Adapts, steps: int
) -> Callable[[], list[Adapted]]:
    """The same call for any way to adapt, with all that comes of it."""
    device = x_ES.device
    rows = [
        Work(support={"x": x.cpu().numpy(), "y": y.cpu().numpy()}, step_size=STEP_SIZE)
        for x, y in zip(x_ES, y_ES, strict=True)
    ]

    def work() -> list[Adapted]:
        done = adapt_rows(checkpoint, rows, outputs=WAY, steps=steps, device=device, adapts=adapts)
        return [_finished(one) for one in done]

    return work


def adapt_stacked(
    checkpoint: Checkpoint, x_ES: Tensor, y_ES: Tensor, *, adapts: Adapts = "all"
) -> list[Params]:
    """The engine's φ in the precision of θ, by steps of one size, without the worker around it."""
    recipe = InnerLoop(steps=STEPS, step_size=STEP_SIZE, adapts=adapts)
    learner, theta = checkpoint.learner, checkpoint.meta.theta
    with torch.no_grad():
        adapted = adapt_episodes(learner, theta, labelled(x_ES, y_ES), recipe, outputs=WAY)
    return [episode_of(adapted, e).params for e in range(len(x_ES))]


def adapt_in_a_loop(
    checkpoint: Checkpoint, x_ES: Tensor, y_ES: Tensor
) -> Callable[[], list[Params]]:
    """One episode after the other through the network's own modules."""
    recipe = InnerLoop(steps=STEPS, step_size=STEP_SIZE)
    learner, theta = checkpoint.learner, checkpoint.meta.theta

    def work() -> list[Params]:
        return [
            plain_maml.adapt(learner, theta, x, y, recipe, outputs=WAY)[0]
            for x, y in zip(x_ES, y_ES, strict=True)
        ]

    return work


class Trained:
    """A θ of its own under Adam, and the outer step on it that the given work takes."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.learner = checkpoint.learner
        self.meta = MetaParams(theta=_leaves(checkpoint.meta.theta))
        self.optimiser = torch.optim.Adam(self.meta.tensors(), lr=1e-3)

    def gradient(self) -> Params:
        """The meta-gradient of the last outer step."""
        return {name: tensor.grad.clone() for name, tensor in self.meta.theta.items()}

    def step_ours(self, episodes: Episodes) -> None:
        """The call that meta-training makes."""
        recipe = InnerLoop(steps=1, step_size=STEP_SIZE)
        chunk = at_once(self.learner, episodes)
        outer_step(self.learner, self.meta, episodes, recipe, self.optimiser, chunk=chunk)

    def step_in_a_loop(self, episodes: Episodes) -> None:
        """One episode after the other through the network's own modules."""
        recipe = InnerLoop(steps=1, step_size=STEP_SIZE)
        self.optimiser.zero_grad(set_to_none=True)
        for e in range(len(episodes)):
            one = episodes.part(e, e + 1)
            loss = plain_maml.outer_loss(self.learner, self.meta.theta, one, recipe)
            (loss / len(episodes)).backward()
        self.optimiser.step()


def difference(theirs: Params, ours: Params, start: Params | None = None) -> float:
    """The largest relative difference of a tensor, in norm; of what moved it from ``start``."""
    worst = 0.0
    for name, value in ours.items():
        moved = value - start[name] if start else value
        apart = (theirs[name].detach() - value).norm() / moved.norm()
        worst = max(worst, float(apart))
    return worst


def _finished(done: Adapted | Failure) -> Adapted:
    if isinstance(done, Failure):
        raise FloatingPointError(done.detail)
    return done


def _leaves(theta: Params) -> Params:
    """As meta-training keeps them: convolutions with their channels last."""
    return {
        name: tensor.clone(
            memory_format=torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
        ).requires_grad_()
        for name, tensor in theta.items()
    }


def _pictures() -> Tensor:
    spec = load_checkpoint(FILE.read_bytes()).preprocessing
    folders = sorted(folder for folder in DRAWINGS.iterdir() if folder.is_dir())
    characters = [
        [
            torch.from_numpy(input_from_picture(Image.open(file), spec))
            for file in sorted(folder.glob("*.png"))
        ]
        for folder in folders
    ]
    return torch.stack([torch.stack(drawings) for drawings in characters])


class _Chance:
    """Draws episodes of pictures (W * K, 1, 28, 28), class after class, from one generator."""

    def __init__(self, pictures: Tensor, generator: torch.Generator) -> None:
        self.pictures = pictures
        self.generator = generator

    def episode(self, each: int) -> Tensor:
        characters = torch.randperm(len(self.pictures), generator=self.generator)[:WAY]
        return torch.stack([self._picture(int(c)) for c in characters for _ in range(each)])

    def _picture(self, character: int) -> Tensor:
        drawing, turns, down, right = (self._below(n) for n in (self.pictures.shape[1], 4, 5, 5))
        turned = torch.rot90(self.pictures[character, drawing], turns, (1, 2))
        return torch.roll(turned, (down - 2, right - 2), (1, 2))

    def _below(self, bound: int) -> int:
        return int(torch.randint(bound, (), generator=self.generator))
