"""The figures of docs/results.md, drawn from the committed checkpoints.

``python -m benchmarks.figures`` writes ``sinusoid-fits.png`` and ``sinusoid-steps.png`` (figures 2
and 3 of Finn et al. 2017) and, where Omniglot is at hand, ``omniglot-steps.png`` to docs/images.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.progress import track

from app.cli.errors import in_one_line
from app.cli.learning.bars import bars
from app.trainings.data import checkpoint_file, open_data, trained_on
from models.episodes import Episodes, EpisodeShape, TaskDistribution, labelled
from models.files.checkpoint import load_checkpoint
from models.inner_loop import adapt
from models.learner import InnerLoop, Learner, predict
from models.measuring.baselines import tune_step_size
from models.measuring.evaluation import Protocol, evaluate
from models.outer_loop import MetaParams
from models.tasks.sinusoid import Sinusoids

IMAGES = Path(__file__).parents[1] / "docs" / "images"
EPISODES, SEED = 600, 600
STEPS = range(11)
SIZES = (0.001, 0.003, 0.01, 0.02, 0.05, 0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is drawn: a checkpoint and how it is called in the legend."""

    label: str
    learner: Learner
    meta: MetaParams
    recipe: InnerLoop


def committed(name: str, label: str) -> Subject:
    """The paper's take every step, whatever comes of it; the shipped ones as they are served."""
    loaded = load_checkpoint(checkpoint_file(name).read_bytes())
    recipe = replace(loaded.recipe, guarded=not name.startswith("paper/"))
    return Subject(label=label, learner=loaded.learner, meta=loaded.meta, recipe=recipe)


def scores(
    subject: Subject,
    distribution: TaskDistribution,
    shape: EpisodeShape,
    steps: Sequence[int],
    *,
    protocol: Protocol = "one by one",
) -> tuple[list[float], list[float]]:
    """The mean score and half its 95 % interval after each number of inner steps."""
    measured = [
        evaluate(
            subject.learner,
            subject.meta,
            replace(subject.recipe, steps=count),
            distribution,
            split="test",
            shape=shape,
            episodes=EPISODES,
            seed=SEED,
            protocol=protocol,
        )
        for count in track(steps, description=f"{subject.label}, {shape.way}-way {shape.shot}-shot")
    ]
    return [one.mean for one in measured], [one.ci95 for one in measured]


def draw_sinusoid_steps(plt: Any) -> None:
    """Mean squared error against inner steps: the paper's figure 3."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), sharey=True)
    for place, shot in zip(axes, (5, 10, 20), strict=True):
        shape = EpisodeShape(way=1, shot=shot, query=shot)
        for subject in sinusoid_subjects(shape):
            means, half = scores(subject, Sinusoids(), shape, STEPS)
            place.errorbar(STEPS, means, half, label=subject.label, capsize=2, marker="o", ms=3)
        oracle = committed("paper/sinusoid-oracle", "oracle")
        bound, _ = scores(oracle, Sinusoids(oracle=True), shape, [0])
        place.axhline(bound[0], ls="--", color="grey", label="oracle")
        place.set(title=f"K = {shot}", xlabel="inner steps", yscale="log", xticks=range(0, 11, 2))
    axes[0].set_ylabel("mean squared error of the queries")
    axes[0].legend(fontsize=8)
    save(figure, "sinusoid-steps.png")


def sinusoid_subjects(shape: EpisodeShape) -> list[Subject]:
    pretrained = committed("paper/sinusoid-pretrained", "pretrained on all tasks")
    tuned = tune_step_size(
        pretrained.learner,
        pretrained.meta,
        replace(pretrained.recipe, steps=10),
        Sinusoids(),
        candidates=SIZES,
        shape=shape,
        episodes=100,
        seed=SEED,
    )
    return [
        committed("paper/sinusoid", "MAML, the paper's recipe"),
        committed("sinusoid", "MAML, the shipped checkpoint"),
        replace(pretrained, recipe=tuned),
    ]


def draw_sinusoid_fits(plt: Any) -> None:
    """One sine before and after the inner steps: the paper's figure 2."""
    figure, axes = plt.subplots(2, 2, figsize=(11, 6.4), sharex=True, sharey=True)
    subjects = sinusoid_subjects(EpisodeShape(way=1, shot=5, query=5))
    for row, shot in zip(axes, (5, 10), strict=True):
        shape = EpisodeShape(way=1, shot=shot, query=400)
        drawn = Sinusoids().draw("test", 8, shape, torch.Generator().manual_seed(SEED))
        for place, subject in zip(row, (subjects[0], subjects[2]), strict=True):
            fit(place, subject, drawn.part(5, 6))
            place.set_title(f"{subject.label}, K = {shot}", fontsize=10)
    axes[0, 0].legend(fontsize=8)
    save(figure, "sinusoid-fits.png")


def fit(axes: Any, subject: Subject, episode: Episodes) -> None:
    x, y = episode.support_x[0], episode.support_y[0]
    order = episode.query_x[0, :, 0].argsort()
    grid, truth = episode.query_x[0, order], episode.query_y[0, order, 0]
    axes.plot(grid[:, 0], truth, color="red", label="true sine")
    axes.plot(x[:, 0], y[:, 0], "^", color="purple", ms=8, label="support")
    for steps, style in ((0, ":"), (1, "--"), (10, "-")):
        recipe = replace(subject.recipe, steps=steps)
        with torch.no_grad():
            adapted = adapt(subject.learner, subject.meta.theta, labelled(x, y), recipe, outputs=1)
            values = predict(subject.learner, adapted, grid)[:, 0]
        named = "before" if steps == 0 else f"{steps} step{'s' if steps > 1 else ''}"
        axes.plot(grid[:, 0], values, style, color="green", label=named)


def draw_omniglot_steps(plt: Any) -> None:
    """Accuracy against inner steps: transductive with the paper's recipe, one by one as served."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.8))
    steps = (0, 1, 2, 3, 5, 7, 10)
    shape = EpisodeShape(way=5, shot=1, query=15)
    lines: list[tuple[str, str, Protocol]] = [
        ("paper/omniglot-5way-1shot", "paper's recipe, transductive", "transductive"),
        ("omniglot-5way-1shot", "shipped, one by one", "one by one"),
    ]
    for place, kept in zip(axes, (lines, lines[1:]), strict=True):
        for name, label, protocol in kept:
            recipe = trained_on(load_checkpoint(checkpoint_file(name).read_bytes()), "draw")
            with in_one_line(FileNotFoundError), bars() as shown:
                distribution = open_data(recipe["distribution"], None, shown.progress)
            means, half = scores(
                committed(name, label), distribution, shape, steps, protocol=protocol
            )
            place.errorbar(steps, means, half, label=label, capsize=2, marker="o", ms=3)
        place.set(xlabel="inner steps", ylabel="accuracy, 5-way 1-shot")
        place.legend(fontsize=8)
    axes[1].set_ylim(0.98, 1.0)
    save(figure, "omniglot-steps.png")


def save(figure: Any, name: str) -> None:
    figure.tight_layout()
    figure.savefig(IMAGES / name, dpi=110)
    print(IMAGES / name)


def main() -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    torch.set_num_threads(1)
    draw_sinusoid_fits(plt)
    draw_sinusoid_steps(plt)
    draw_omniglot_steps(plt)


if __name__ == "__main__":
    main()
