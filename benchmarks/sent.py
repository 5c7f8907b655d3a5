"""What people send, through a running service: how many answers are right, and how many are wrong
and sure, beside the nearest picture of the pixels as they come.

    python -m benchmarks.sent [--omniglot FOLDER] [--url URL] [--episodes 40] [--seed N]

Without --url it starts a service of its own. Characters that ``omniglot-anyway`` never saw, five
classes, one drawing of each, five queries of each; sent clean, and as people send them. Photographs
are on papers that no test has. Then queries that are no drawing at all; and vectors of five classes
with a time stamp among their columns, to ``vectors``, five of each.
"""

import base64
import io
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from benchmarks.altered import NONSENSE, WAYS, Alter, data_url, nonsense, photographed
from benchmarks.serve_omniglot import adapt, client_of, read_drawings, report_of
from benchmarks.serve_unions import in_words

CHECKPOINT, VECTORS = "omniglot-anyway", "vectors"
WAY, QUERIES = 5, 5
PAPERS = ("grey", "recycled", "yellow")  # others than the tests have
SURE = 0.9
STAMP_MS, COLUMNS, SHOT = 1.7e12, 24, 5

Examples = dict[str, list[Any]]
Drawings = dict[str, list[Image.Image]]


@dataclass(slots=True)
class Tally:
    """The answers to one way of sending: of each episode the share that was right, and of all of
    them the sure ones.
    """

    right: list[float] = field(default_factory=list)
    nearest: list[float] = field(default_factory=list)
    sure: int = 0
    sure_and_wrong: int = 0
    answers: int = 0
    said: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, predictions: list[dict[str, Any]], names: list[str]) -> None:
        wrong = [one["label"] != name for one, name in zip(predictions, names, strict=True)]
        sure = [one["probability"] > SURE for one in predictions]
        self.right.append(1 - float(np.mean(wrong)))
        self.sure += sum(sure)
        self.sure_and_wrong += sum(w and s for w, s in zip(wrong, sure, strict=True))
        self.answers += len(names)

    def report(self) -> dict[str, object]:
        told: dict[str, object] = {"right": in_words(self.right)}
        if self.nearest:
            told["nearest pixels"] = in_words(self.nearest)
        return told | {
            "surer than 0.9, of all": f"{self.sure} of {self.answers}",
            "of these wrong": self.sure_and_wrong,
            "warnings": dict(self.said),
        }


def adapted(
    client: httpx.Client, checkpoint: str, support: Examples, **more: Any
) -> dict[str, Any]:
    return adapt(client, {"checkpoint": checkpoint, "support": support, **more})


def draw(drawings: Drawings, alter: Alter, random: np.random.Generator) -> tuple[Any, Any]:
    """(pictures, names) of a support set and of its queries."""
    support: tuple[list[Image.Image], list[str]] = ([], [])
    query: tuple[list[Image.Image], list[str]] = ([], [])
    for name in random.choice(sorted(drawings), WAY, replace=False):
        for place, index in enumerate(random.permutation(20)[: 1 + QUERIES]):
            pictures, names = query if place else support
            pictures.append(alter(drawings[name][index], random))
            names.append(str(name))
    return support, query


def measure_way(
    client: httpx.Client, drawings: Drawings, alter: Alter, count: int, seed: int, what: str
) -> dict[str, object]:
    random, tally = np.random.default_rng(seed), Tally()
    for _ in track(range(count), what, transient=True):
        (pictures, names), (asked, expected) = draw(drawings, alter, random)
        told = adapted(client, CHECKPOINT, _examples(pictures, names), query=_examples(asked))
        tally.add(told["predictions"], expected)
        for warning in told["warnings"]:
            tally.said[warning["code"]] += 1
        seen, shown = _pixels(pictures), _pixels(asked)
        apart = np.square(shown[:, None] - seen).sum(axis=2)
        right = [names[n] == name for n, name in zip(apart.argmin(axis=1), expected, strict=True)]
        tally.nearest.append(float(np.mean(right)))
    return tally.report()


def measure_nonsense(
    client: httpx.Client, drawings: Drawings, count: int, seed: int
) -> dict[str, object]:
    """No answer to these is right: how sure they are, and what is said."""
    random = np.random.default_rng(seed)
    asked, sure, novel = 0, dict.fromkeys(NONSENSE, 0), dict.fromkeys(NONSENSE, 0)
    for _ in track(range(count), "nonsense", transient=True):
        (pictures, names), _ = draw(drawings, WAYS["as they are"], random)
        told = adapted(client, CHECKPOINT, _examples(pictures, names))
        inputs = [data_url(nonsense(what, random)) for what in NONSENSE]
        body = {"adaptation": told["id"], "inputs": inputs, "reject": True}
        predictions = client.post("/predict", json=body).raise_for_status().json()["predictions"]
        asked += 1
        for what, one in zip(NONSENSE, predictions, strict=True):
            sure[what] += one["probability"] > SURE
            novel[what] += one["label"] is None
    return {
        what: {
            "surer than 0.9": f"{sure[what]} of {asked}",
            "rejected": f"{novel[what]} of {asked}",
        }
        for what in NONSENSE
    }


def measure_stamps(client: httpx.Client, count: int, seed: int) -> dict[str, object]:
    """Vectors about five corners, as they are and with a column of milliseconds among them."""
    report: dict[str, object] = {}
    for what in ("vectors", "vectors with a time stamp"):
        random, tally = np.random.default_rng(seed), Tally()
        for _ in track(range(count), what, transient=True):
            corners = 3 * random.normal(size=(WAY, COLUMNS))
            y = np.repeat(np.arange(WAY), SHOT + QUERIES)
            x = corners[y] + random.normal(size=(len(y), COLUMNS))
            if what != "vectors":
                x[:, 3] = STAMP_MS + random.uniform(0, 30 * 86_400e3, len(y))
            first = np.arange(len(y)) % (SHOT + QUERIES) < SHOT
            names = [f"class {label}" for label in y]
            told = adapted(
                client,
                VECTORS,
                {
                    "inputs": x[first].tolist(),
                    "targets": [n for n, f in zip(names, first, strict=True) if f],
                },
                query={"inputs": x[~first].tolist()},
            )
            tally.add(told["predictions"], [n for n, f in zip(names, first, strict=True) if not f])
            for warning in told["warnings"]:
                tally.said[warning["code"]] += 1
        report[what] = tally.report()
    return report


def _examples(pictures: list[Image.Image], names: list[str] | None = None) -> Examples:
    inputs: Examples = {"inputs": [data_url(picture) for picture in pictures]}
    return inputs if names is None else inputs | {"targets": names}


def _pixels(pictures: list[Image.Image]) -> NDArray[np.float32]:
    """(S, 784) as they come, made small."""
    white = (255, 255, 255, 255)
    plain = [
        Image.alpha_composite(Image.new("RGBA", p.size, white), p) if p.mode == "RGBA" else p
        for p in pictures
    ]
    small = [p.convert("L").resize((28, 28), Image.Resampling.LANCZOS) for p in plain]
    return np.stack([np.asarray(p, np.float32).ravel() / 255 for p in small])


def _decoded(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.urlsafe_b64decode(url.partition(",")[2]))).convert("L")


def measure(url: str, folder: Path, count: int, seed: int) -> dict[str, object]:
    """The report of ``count`` episodes of each way."""
    with client_of(url) as client:
        about = client.get(f"/checkpoints/{CHECKPOINT}").raise_for_status().json()
        characters = set(about["provenance"]["data"]["test_classes"])
        drawings = {
            name: [_decoded(one) for one in each]
            for name, each in read_drawings(folder, characters).items()
        }
        ways = WAYS | {"photographed": photographed(PAPERS)}
        return {
            "seed": seed,
            "episodes": count,
            "ways": {
                what: measure_way(client, drawings, alter, count, seed, what)
                for what, alter in ways.items()
            },
            "no drawing": measure_nonsense(client, drawings, count, seed),
            "numbers": measure_stamps(client, count, seed),
        }


if __name__ == "__main__":
    raise SystemExit(report_of(measure, __doc__.splitlines()[0], 40))
