"""Held-out Omniglot characters through a running service, as its users see it.

    python -m benchmarks.serve_omniglot --omniglot FOLDER [--url URL] [--episodes 200] [--seed N]

Without --url it starts a service of its own, on an empty data folder.

Draws five-way one-shot episodes of characters that the checkpoint lists as never trained on, posts
the official PNG files to POST /adapt, and predicts fifteen other drawings per character one by one
with GET /predict. Then posts half of the episodes again from 16 clients at once: the same labels?
"""

import argparse
import base64
import json
import math
import os
import random
import statistics
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import httpx
from rich.progress import track

from tests.processes import running_service

CHECKPOINT = "omniglot-5way-1shot"
WAY, QUERIES, DRAWINGS = 5, 15, 20


@dataclass(frozen=True, slots=True)
class Episode:
    """Pictures as data URLs, with the names of their classes."""

    support: list[tuple[str, str]]
    query: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the service answered: its labels in the order of the queries, and the support loss."""

    labels: list[str]
    support_loss: list[float]


def read_drawings(folder: Path, characters: set[str]) -> dict[str, list[str]]:
    """``Alphabet/characterNN`` -> its twenty drawings as data URLs."""
    drawings: dict[str, list[str]] = {name: [] for name in sorted(characters)}
    for archive in sorted(folder.glob("images_*.zip")):
        with zipfile.ZipFile(archive) as zipped:
            for member in sorted(n for n in zipped.namelist() if n.endswith(".png")):
                character = "/".join(PurePosixPath(member).parts[-3:-1])
                if character in characters:
                    text = base64.urlsafe_b64encode(zipped.read(member)).decode()
                    drawings[character].append(f"data:image/png;base64,{text}")
    return drawings


def draw(drawings: dict[str, list[str]], randomness: random.Random) -> Episode:
    support, query = [], []
    for character in randomness.sample(sorted(drawings), WAY):
        first, *rest = randomness.sample(drawings[character], 1 + QUERIES)
        support.append((character, first))
        query.extend((character, picture) for picture in rest)
    return Episode(support, query)


def adapt(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    """The adaptation that succeeded; ends the command where it did not."""
    answer = client.post("/adapt", json=body, headers={"Prefer": "wait=60"}).raise_for_status()
    adaptation: dict[str, Any] = answer.json()
    if adaptation["status"] != "succeeded":
        raise SystemExit(f"{adaptation['id']} is {adaptation['status']}: {adaptation['error']}")
    return adaptation


def run(client: httpx.Client, episode: Episode) -> Outcome:
    """Adapts, then predicts every query with a request of its own."""
    body = {
        "checkpoint": CHECKPOINT,
        "support": {
            "inputs": [picture for _, picture in episode.support],
            "targets": [character for character, _ in episode.support],
        },
    }
    adaptation = adapt(client, body)
    labels = []
    for _, picture in episode.query:
        asked = {"adaptation": adaptation["id"], "input": picture}
        predicted = client.get("/predict", params=asked).raise_for_status().json()
        labels.append(predicted["predictions"][0]["label"])
    return Outcome(labels, adaptation["metrics"]["support_loss"])


def accuracy(episode: Episode, outcome: Outcome) -> float:
    pairs = zip(episode.query, outcome.labels, strict=True)
    return sum(character == label for (character, _), label in pairs) / len(episode.query)


def client_of(url: str) -> httpx.Client:
    """A client of the service there, with the key of the environment where there is one."""
    key = os.environ.get("FEWSTEP_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=url, headers=headers, timeout=120)


def measure(url: str, folder: Path, count: int, seed: int) -> dict[str, object]:
    """The report of ``count`` episodes drawn with ``seed``."""
    with client_of(url) as client:
        about = client.get(f"/checkpoints/{CHECKPOINT}").raise_for_status().json()
        drawings = read_drawings(folder, set(about["provenance"]["data"]["test_classes"]))
        randomness = random.Random(seed)
        episodes = [draw(drawings, randomness) for _ in range(count)]
        one_by_one = [run(client, episode) for episode in track(episodes, "one after the other")]
        half = episodes[: max(1, count // 2)]
        with ThreadPoolExecutor(16) as clients:
            at_once = list(clients.map(lambda episode: run(client, episode), half))
    scores = [accuracy(e, o) for e, o in zip(episodes, one_by_one, strict=True)]
    return {
        "seed": seed,
        "episodes": count,
        "accuracy": round(statistics.fmean(scores), 5),
        "ci95": round(1.96 * statistics.pstdev(scores) / math.sqrt(count), 5),
        "support_loss_rises": sum(o.support_loss[-1] > o.support_loss[0] for o in one_by_one),
        "posted_from_16_clients": len(half),
        "same_labels": sum(a.labels == b.labels for a, b in zip(one_by_one, at_once, strict=False)),
    }


@contextmanager
def own_service() -> Iterator[str]:
    """The address of a service on an empty data folder, for the block."""
    with tempfile.TemporaryDirectory() as folder, running_service(Path(folder)) as service:
        yield service.base_url


def report_of(
    measure: Callable[[str, Path, int, int], dict[str, object]], about: str, episodes: int
) -> int:
    """Runs a measurement of (address, Omniglot's folder, episodes, seed) as a command."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--omniglot", type=Path, default=os.environ.get("FEWSTEP_OMNIGLOT"))
    parser.add_argument("--url", help="A running service; without it one is started.")
    parser.add_argument("--episodes", type=int, default=episodes)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    chosen = parser.parse_args()
    if chosen.omniglot is None:
        sys.stdout.write("not measured: neither --omniglot nor FEWSTEP_OMNIGLOT names a folder\n")
        return 0
    with ExitStack() as stack:
        url = chosen.url or stack.enter_context(own_service())
        report = measure(url, Path(chosen.omniglot), chosen.episodes, chosen.seed)
    sys.stdout.write(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(report_of(measure, __doc__.splitlines()[0], 200))
