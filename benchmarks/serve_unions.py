"""What users bring, through a running service: classes of several characters, and digits as they
are; by default, without any adaptation, and beside the simplest methods on the pixels.

    python -m benchmarks.serve_unions [--omniglot FOLDER] [--url URL] [--episodes 40] [--seed N]

Without --url it starts a service of its own. Posts the official PNG files of held-out characters
to ``omniglot-anyway``: so many classes, of so many characters each, of which so many drawings are
the support set and two more of each are asked for. The digits are scikit-learn's 8 × 8 pictures as
PNG files, 10 classes, rivals fitted to the same supports; they are left out where scikit-learn
is not installed. Differences are paired: the same episodes.
"""

import math
import random
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from benchmarks.altered import data_url
from benchmarks.serve_omniglot import Episode, adapt, client_of, read_drawings, report_of

CHECKPOINT = "omniglot-anyway"
SHAPES = ((5, 1, 5), (20, 1, 1), (5, 3, 2), (5, 3, 5), (2, 10, 2))  # classes, characters, drawings
SHOTS = (1, 5, 20)
QUERIES = 2
ASKED = 20  # digits of each class

Pixels = NDArray[np.float64]


def draw(
    drawings: dict[str, list[str]], shape: tuple[int, int, int], randomness: random.Random
) -> Episode:
    """An episode of so many classes, of so many characters each."""
    way, kinds, shot = shape
    characters = randomness.sample(sorted(drawings), way * kinds)
    support, query = [], []
    for place, character in enumerate(characters):
        name = f"class {place // kinds}"
        pictures = randomness.sample(drawings[character], shot + QUERIES)
        support += [(name, picture) for picture in pictures[:shot]]
        query += [(name, picture) for picture in pictures[shot:]]
    return Episode(support, query)


def score(client: httpx.Client, episode: Episode, **asked: Any) -> tuple[float, dict[str, Any]]:
    """The share of queries that were answered rightly, and the adaptation."""

    def examples(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
        return {"inputs": [p for _, p in pairs], "targets": [name for name, _ in pairs]}

    body = {
        "checkpoint": CHECKPOINT,
        "support": examples(episode.support),
        "query": examples(episode.query),
        **asked,
    }
    adaptation = adapt(client, body)
    return float(adaptation["metrics"]["query_accuracy"]), adaptation


def in_words(scores: list[float]) -> str:
    half = 1.96 * statistics.pstdev(scores) / math.sqrt(len(scores))
    return f"{100 * statistics.fmean(scores):.2f} ± {100 * half:.2f}"


def measure_unions(
    client: httpx.Client, drawings: dict[str, list[str]], count: int, seed: int
) -> dict[str, dict[str, object]]:
    """The default adaptation beside none at all."""
    report: dict[str, dict[str, object]] = {}
    for shape in SHAPES:
        randomness = random.Random(f"{seed} {shape}")
        told, without, rises = list[float](), list[float](), 0
        for _ in track(range(count), " × ".join(map(str, shape)), transient=True):
            episode = draw(drawings, shape, randomness)
            right, adaptation = score(client, episode)
            losses = adaptation["metrics"]["support_loss"]
            rises += losses[-1] > losses[0]
            told.append(right)
            without.append(score(client, episode, steps=0)[0])
        gains = [a - b for a, b in zip(told, without, strict=True)]
        report[" × ".join(map(str, shape))] = {
            "by default": in_words(told),
            "steps 0": in_words(without),
            "gain": in_words(gains),
            "support losses that rose": rises,
        }
    return report


def measure_digits(client: httpx.Client, count: int, seed: int) -> dict[str, dict[str, object]]:
    """The default adaptation beside none, and beside classifiers of the pixels."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    random_ = np.random.default_rng(seed)
    report: dict[str, dict[str, object]] = {}
    for shot in SHOTS:
        scores: dict[str, list[float]] = {}
        for _ in track(range(count), f"digits, {shot} of each", transient=True):
            support, query = _drawn(labels, shot, random_)
            episode = Episode(
                [(str(labels[i]), picture_of(pixels[i])) for i in support],
                [(str(labels[i]), picture_of(pixels[i])) for i in query],
            )
            right, adaptation = score(client, episode)
            scores.setdefault("by default", []).append(right)
            scores.setdefault("steps 0", []).append(score(client, episode, steps=0)[0])
            for name, classify in rivals():
                told = classify(pixels[support] / 16, labels[support], pixels[query] / 16)
                scores.setdefault(name, []).append(float((told == labels[query]).mean()))
        said = [warning["code"] for warning in adaptation["warnings"]]
        report[f"{shot} of each"] = {name: in_words(each) for name, each in scores.items()} | {
            "warnings": said
        }
    return report


def _drawn(
    labels: NDArray[np.int64], shot: int, random_: np.random.Generator
) -> tuple[list[int], list[int]]:
    """Places of the support set and of the queries."""
    support, query = [], []
    for label in range(10):
        places = random_.permutation(np.flatnonzero(labels == label))
        support += places[:shot].tolist()
        query += places[shot : shot + ASKED].tolist()
    return support, query


def rivals() -> Iterator[tuple[str, Callable[[Pixels, Pixels, Pixels], Pixels]]]:
    """Classifiers of the pixels by name."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC

    for name, model in (
        ("1-NN on pixels", KNeighborsClassifier(1)),
        ("logistic regression on pixels", LogisticRegression(max_iter=500)),
        ("SVM on pixels", SVC()),
    ):
        yield name, lambda x, y, queries, model=model: model.fit(x, y).predict(queries)


def picture_of(digit: Pixels) -> str:
    """The 8 × 8 picture as a PNG's data URL: light on dark, as scikit-learn has it."""
    return data_url(Image.fromarray((digit.reshape(8, 8) / 16 * 255).astype(np.uint8)))


def measure(url: str, folder: Path, count: int, seed: int) -> dict[str, object]:
    """The report of ``count`` episodes of each shape."""
    with client_of(url) as client:
        about = client.get(f"/checkpoints/{CHECKPOINT}").raise_for_status().json()
        drawings = read_drawings(folder, set(about["provenance"]["data"]["test_classes"]))
        report: dict[str, object] = {"seed": seed, "episodes": count}
        report["classes × characters × drawings"] = measure_unions(client, drawings, count, seed)
        try:
            report["digits as they are"] = measure_digits(client, count, seed)
        except ModuleNotFoundError as error:
            report["digits as they are"] = f"not measured: {error}; pip install scikit-learn"
    return report


if __name__ == "__main__":
    raise SystemExit(report_of(measure, __doc__.splitlines()[0], 40))
