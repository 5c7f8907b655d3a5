"""Whether a classifier knows what is none of its classes, beside the simplest rivals.

    python -m benchmarks.novelty [FILE] [--episodes 200] [--picture FILE.png]

Support sets of held-out characters, and of printed signs; asked are other characters, signs, noise
and blank paper. A figure is the AUROC: how often such an input is more unlike than one of a known
class, by the novelty, by the largest probability (the usual simple measure) and by the distance of
the pixels. A checkpoint without a calibration is calibrated first, in memory.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from app.trainings.data import checkpoint_file, open_data
from app.values.progress import Progress
from models.episodes import Episodes, EpisodeShape, TaskDistribution
from models.files.checkpoint import Checkpoint, load_checkpoint
from models.heads.novelty import UNLIKE
from models.inner_loop import adapt
from models.learner import predict
from models.measuring.calibrating import calibrate_answers
from models.measuring.reliability import auroc, calibration_error, open_episodes
from models.pictures.inputs import input_from_picture
from models.tasks.classes import LabelledExamples
from tests.glyphs import SIGNS, draw_glyphs

SEED = 602
SHAPES = (
    ("5-way 1-shot", EpisodeShape(way=5, shot=1, query=5)),
    ("5-way 5-shot", EpisodeShape(way=5, shot=5, query=5)),
    ("20-way 1-shot", EpisodeShape(way=20, shot=1, query=3)),
    ("5 × 3 kinds, 2-shot", EpisodeShape(way=5, shot=2, query=3, kinds=3)),
)
SIGNS_SHOWN = (("5 signs, 1-shot", SHAPES[0][1]), ("5 signs, 5-shot", SHAPES[1][1]))
HEADER = (
    "| support | asked | novelty | largest probability | pixels | beyond the threshold | answered"
    " above 0.9 |\n|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Of (Q,) inputs of one sort: deviations, calibrated and plain largest probabilities, distances
    of pixels; the classes are those of known ones.
    """

    deviations: Tensor
    probabilities: Tensor
    largest_plain: Tensor
    pixels: Tensor


def signs(preprocessing: dict[str, Any], pictures: int = 12) -> LabelledExamples:
    """Printed letters and signs, as the checkpoint takes them."""
    with tempfile.TemporaryDirectory() as folder:
        files = sorted(draw_glyphs(Path(folder) / "signs", pictures=pictures).rglob("*.png"))
        x = np.stack([input_from_picture(Image.open(file), preprocessing) for file in files])
    return LabelledExamples(
        name="signs",
        examples=torch.from_numpy(x),
        counts=(pictures,) * len(SIGNS),
        names=tuple(SIGNS),
        splits={"test": list(range(len(SIGNS)))},
        digest="-",
    )


def others(shape: tuple[int, ...], printed: Tensor | None, seed: int) -> dict[str, Tensor]:
    """Inputs of no class: signs, where they are none, noise of three grains, paper without and full
    of ink.
    """
    random = torch.Generator().manual_seed(seed)
    fine = torch.rand(10, *shape, generator=random)
    coarse = torch.nn.functional.interpolate(fine[:, :, :7, :7], shape[1:], mode="bilinear")
    dots = (torch.rand(10, *shape, generator=random) > 0.95).float()
    found = {
        "noise": torch.cat([fine, coarse, dots]),
        "blank": torch.stack([torch.zeros(shape), torch.ones(shape)]),
    }
    if printed is None:
        return found
    pick = torch.randperm(len(printed), generator=random)[:25]
    return {"printed signs": printed[pick]} | found


def told_of(
    checkpoint: Checkpoint, distribution: TaskDistribution, shape: EpisodeShape, episodes: int
) -> Iterator[tuple[str, Told, Tensor]]:
    """Of each episode and each sort of input what is told, and the classes of known ones."""
    of_signs = distribution.describe()["name"] == "signs"
    printed = None if of_signs else signs(checkpoint.preprocessing or {}).examples
    drawn = open_episodes(distribution, "test", shape, episodes, SEED)
    for number, (part, beside) in enumerate(drawn):
        for e in range(len(part)):
            one = part.part(e, e + 1)
            asked = {"known": one.query_x[0], "other classes": beside[e]}
            asked |= others(checkpoint.input_shape, printed, 1000 * number + e)
            for name, told in _told(checkpoint, one, asked):
                yield name, told, one.query_y[0]


def _told(
    checkpoint: Checkpoint, one: Episodes, asked: dict[str, Tensor]
) -> Iterator[tuple[str, Told]]:
    support = episode_support(one)
    way, plain = one.outputs, replace(checkpoint.learner, calibration=None)
    with torch.no_grad():
        adapted, bare = (
            adapt(learner, checkpoint.meta.theta, support, checkpoint.recipe, outputs=way)
            for learner in (checkpoint.learner, plain)
        )
        for name, x in asked.items():
            outputs = predict(checkpoint.learner, adapted, x)
            scores = predict(plain, bare, x)
            yield (
                name,
                Told(
                    deviations=outputs[:, way],
                    probabilities=outputs[:, :way].double().softmax(dim=1),
                    largest_plain=scores.double().softmax(dim=1).amax(dim=1),
                    pixels=torch.cdist(x.flatten(1), support.x.flatten(1)).amin(dim=1),
                ),
            )


def episode_support(one: Episodes) -> Any:
    """The support set of a single episode, its arrays (S, …)."""
    return one.support.each(lambda array: array[0])


def measured(
    checkpoint: Checkpoint, distribution: TaskDistribution, shape: EpisodeShape, episodes: int
) -> tuple[dict[str, Told], float]:
    """All that was told of every sort of input, and the expected calibration error."""
    found: dict[str, list[Told]] = {}
    targets = []
    for name, told, y in told_of(checkpoint, distribution, shape, episodes):
        found.setdefault(name, []).append(told)
        if name == "known":
            targets.append(y)
    joined = {
        name: Told(
            **{
                key: torch.cat([getattr(told, key) for told in each])
                for key in Told.__dataclass_fields__
            }
        )
        for name, each in found.items()
    }
    return joined, calibration_error(joined["known"].probabilities, torch.cat(targets))


def rows(support: str, told: dict[str, Told], error: float) -> Iterator[str]:
    """A row of the table for each sort of input, the known ones first."""
    known = told["known"]
    for name, asked in told.items():
        figures = [
            auroc(known.deviations, asked.deviations),
            auroc(-known.largest_plain, -asked.largest_plain),
            auroc(known.pixels, asked.pixels),
        ]
        beyond = float((asked.deviations > UNLIKE).double().mean())
        sure = float((asked.probabilities.amax(dim=1) > 0.9).double().mean())
        shown = " | ".join("" if name == "known" else f"{figure:.4f}" for figure in figures)
        label = f"known (calibration error {error:.2%})" if name == "known" else name
        yield f"| {support} | {label} | {shown} | {beyond:.1%} | {sure:.1%} |"


def draw(told: dict[str, Told], file: Path) -> None:
    """Deviations of every sort of input, and the threshold."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, place = plt.subplots(figsize=(7, 3.6))
    bins = np.linspace(-4, 8, 97).tolist()
    for name, asked in told.items():
        shown = asked.deviations.clamp(-4, 8).tolist()
        place.hist(shown, bins=bins, density=True, histtype="step", label=name)
    place.axvline(UNLIKE, color="black", linestyle=":", label="threshold, novelty 0.95")
    place.set(xlabel="deviations of the distance from that of known inputs", ylabel="density")
    place.set_ylim(0, 1.6)
    place.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", default="omniglot-anyway")
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    checkpoint = load_checkpoint(checkpoint_file(asked.file).read_bytes())
    recipe = checkpoint.provenance["recipe"]
    characters = open_data(recipe["distribution"], None, Progress())
    if not checkpoint.learner.calibration or not checkpoint.learner.calibration.buckets:
        shape = {key: recipe["validation"][key] for key in ("way", "shot", "query")}
        checkpoint = calibrate_answers(checkpoint, characters, EpisodeShape(**shape))
    print(HEADER)
    for name, shape in SHAPES:
        told, error = measured(checkpoint, characters, shape, asked.episodes)
        print("\n".join(rows(name, told, error)), flush=True)
        if asked.picture and (name, shape) == SHAPES[0]:
            draw(told, asked.picture)
    for name, shape in SIGNS_SHOWN:
        told, error = measured(
            checkpoint, signs(checkpoint.preprocessing or {}), shape, asked.episodes
        )
        print("\n".join(rows(name, told, error)), flush=True)


if __name__ == "__main__":
    main()
