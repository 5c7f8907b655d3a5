"""Adapts to one drawing of each of five characters, then names twenty drawings it has not seen.

python examples/adapt_characters.py [--url URL] [--out runs/examples/characters.png]
"""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import matplotlib as mpl
import numpy as np
from PIL import Image
from service import Json, adapt, connect, parser, send

mpl.use("Agg")
from matplotlib import pyplot as plt  # the backend has to be chosen first
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

CHARACTERS = Path(__file__).parent / "characters"
CLASSES = ("dalu", "kem", "noshi", "peru", "tavo")
RIGHT, WRONG = "#1a7f37", "#cf222e"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What the service said to one query drawing."""

    picture: Path
    truth: str
    label: str
    probability: float

    @property
    def is_right(self) -> bool:
        return self.label == self.truth


def data_url(picture: Path) -> str:
    """The file as the text that stands for a picture in JSON and in a URL."""
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()


def adapt_to(supports: dict[str, Path], service: httpx.Client, checkpoint: str) -> Json:
    """The adaptation to one picture per class, by gradient steps, to show their losses."""
    inputs = [data_url(picture) for picture in supports.values()]
    support = {"inputs": inputs, "targets": list(supports)}
    asked = {"checkpoint": checkpoint, "support": support, "steps": 3, "name": "characters"}
    return adapt(service, asked)


def guess(picture: Path, service: httpx.Client, adaptation_id: str) -> Guess:
    """The answer of ``GET /predict`` to one picture, beside the truth: its folder's name."""
    query = {"adaptation": adaptation_id, "input": data_url(picture)}
    first = send(service, "GET", "/predict", params=query)["predictions"][0]
    return Guess(
        picture=picture,
        truth=picture.parent.name,
        label=first["label"],
        probability=first["probability"],
    )


def print_table(guesses: list[Guess]) -> None:
    """One line per character, then the accuracy over all."""
    print(f"{'character':<12}{'right':>7}{'of':>5}   least sure")
    for name in CLASSES:
        own = [guess for guess in guesses if guess.truth == name]
        right = sum(guess.is_right for guess in own)
        print(f"{name:<12}{right:>7}{len(own):>5}   {min(g.probability for g in own):.3f}")
    right = sum(guess.is_right for guess in guesses)
    print(f"{'all':<12}{right:>7}{len(guesses):>5}   accuracy {right / len(guesses):.1%}")


def show(axes: Axes, picture: Path, *, title: str, colour: str) -> None:
    """Draws one picture with its title and a frame, both in ``colour``."""
    axes.imshow(np.asarray(Image.open(picture).convert("L")), cmap="gray", vmin=0, vmax=255)
    axes.set_title(title, fontsize=9, color=colour, pad=3)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color(colour)


def plot(supports: dict[str, Path], guesses: list[Guess], losses: list[float], out: Path) -> None:
    """Support row, query drawings under it, and the support loss at the side."""
    figure = plt.figure(figsize=(10, 6.4), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(5, 3))
    left, right = halves
    rows = max(sum(guess.truth == name for guess in guesses) for name in CLASSES)
    grid: Any = left.subplots(rows + 1, len(CLASSES))
    left.suptitle("one drawing to learn from (top row), then drawings to name", fontsize=10)
    for column, (name, picture) in enumerate(supports.items()):
        show(grid[0, column], picture, title=name, colour="#000000")
        for row, answer in enumerate((g for g in guesses if g.truth == name), start=1):
            title = f"{answer.label} {answer.probability:.2f}"
            show(
                grid[row, column],
                answer.picture,
                title=title,
                colour=RIGHT if answer.is_right else WRONG,
            )
    plot_losses(right.subplots(), losses)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)


def plot_losses(axes: Axes, losses: list[float]) -> None:
    """The support loss before the first step and after each."""
    axes.plot(range(len(losses)), losses, marker="o", color="#0969da")
    axes.set(xlabel="inner step", ylabel="support loss (mean cross-entropy)")
    axes.set_ylim(0, 1.1 * max(losses))
    axes.set_title("a few gradient steps", fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)


def main() -> None:
    options = parser(__doc__, out="runs/examples/characters.png")
    options.add_argument("--checkpoint", default="omniglot-5way-1shot")
    arguments = options.parse_args()
    supports = {name: CHARACTERS / name / "01.png" for name in CLASSES}
    queries = [p for n in CLASSES for p in sorted((CHARACTERS / n).glob("*.png"))[1:]]
    with connect(arguments.url) as service:
        adaptation = adapt_to(supports, service, arguments.checkpoint)
        guesses = [guess(picture, service, adaptation["id"]) for picture in queries]
    losses = adaptation["metrics"]["support_loss"]
    print(f"{adaptation['id']}  support loss " + " -> ".join(f"{loss:.4f}" for loss in losses))
    print_table(guesses)
    plot(supports, guesses, losses, Path(arguments.out))
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
