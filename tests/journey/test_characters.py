"""Real handwriting that the checkpoint has never seen: held-out Omniglot characters."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import numpy as np
import pytest

from tests.journey.requests import OMNIGLOT, Json, adapt, data_url, predict_one
from tests.processes import Service

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
EPISODES, WAY, QUERIES, CLIENTS = 40, 5, 2, 16
SEED = 20_261_123


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """Five characters: one drawing of each to adapt to, two to predict."""

    body: Json
    queries: list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What the service made of an episode."""

    adaptation: Json
    labels: list[str]


@pytest.fixture(scope="module")
def held_out(service: Service) -> list[str]:
    """The characters that the checkpoint itself says it was not trained on."""
    answer = httpx.get(f"{service.base_url}/checkpoints/{OMNIGLOT}")
    characters: list[str] = answer.json()["provenance"]["data"]["test_classes"]
    return characters


@pytest.fixture(scope="module")
def episodes(drawings: dict[str, list[bytes]], held_out: list[str]) -> list[Episode]:
    random = np.random.default_rng(SEED)
    return [episode(drawings, held_out, random) for _ in range(EPISODES)]


@pytest.fixture(scope="module")
def ended(service: Service, episodes: list[Episode]) -> list[Ended]:
    """Every episode, one after the other."""
    with httpx.Client(base_url=service.base_url, timeout=90) as client:
        return [travel(client, one) for one in episodes]


def episode(
    drawings: dict[str, list[bytes]], held_out: list[str], random: np.random.Generator
) -> Episode:
    names = [str(name) for name in random.choice(held_out, WAY, replace=False)]
    support, queries = [], []
    for name in names:
        support_png, *query_pngs = random.permutation(20)[: 1 + QUERIES]
        support.append(data_url(drawings[name][support_png]))
        queries += [(name, data_url(drawings[name][index])) for index in query_pngs]
    body = {"checkpoint": OMNIGLOT, "support": {"inputs": support, "targets": names}}
    return Episode(body=body, queries=queries)


def travel(client: httpx.Client, one: Episode) -> Ended:
    adaptation = adapt(client, one.body)
    labels = [predict_one(client, adaptation, picture)["label"] for _, picture in one.queries]
    return Ended(adaptation=adaptation, labels=labels)


def backwards(one: Episode) -> Episode:
    support = {name: column[::-1] for name, column in one.body["support"].items()}
    return Episode(body={**one.body, "support": support}, queries=one.queries)


def test_423_characters_are_held_out(held_out: list[str], drawings: dict[str, list[bytes]]) -> None:
    assert len(set(held_out)) == 423
    assert set(held_out) < set(drawings)


def test_unseen_characters_are_told_apart_after_one_drawing_each(
    episodes: list[Episode], ended: list[Ended]
) -> None:
    truth = [name for one in episodes for name, _ in one.queries]
    answers = [label for one in ended for label in one.labels]

    right = np.mean([a == b for a, b in zip(answers, truth, strict=True)])

    assert len(truth) == EPISODES * WAY * QUERIES
    assert right >= 0.95


def test_the_support_loss_rises_in_no_episode(ended: list[Ended]) -> None:
    losses = np.array([one.adaptation["metrics"]["support_loss"] for one in ended])

    assert losses.shape == (EPISODES, 2)
    standing = [loss.tolist() for loss in losses if not loss[-1] <= loss[0]]
    assert standing == []


def test_sixteen_clients_at_once_get_the_same_labels(
    service: Service, episodes: list[Episode], ended: list[Ended]
) -> None:
    """The drawings in another order, as the very same work would be taken over, not done."""
    turned = [backwards(one) for one in episodes]
    limits = httpx.Limits(max_connections=CLIENTS)
    with (
        httpx.Client(base_url=service.base_url, timeout=90, limits=limits) as client,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        at_once = list(pool.map(lambda one: travel(client, one), turned))

    assert [one.labels for one in at_once] == [one.labels for one in ended]
    assert max(one.adaptation["timing"]["batch_size"] for one in at_once) > 1
