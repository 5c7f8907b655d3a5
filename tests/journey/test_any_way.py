"""Few and many classes, with unequal numbers of drawings, through the running service."""

import httpx
import numpy as np
import pytest

from tests.journey.requests import Json, adapt, data_url, predict, refusal

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
QUERIES = 3
ANYWAY, TWENTY = "omniglot-anyway", ("omniglot-20way-1shot", "omniglot-20way-5shot")


def held_out(client: httpx.Client, checkpoint: str) -> list[str]:
    names: list[str] = client.get(f"/checkpoints/{checkpoint}").json()["provenance"]["data"][
        "test_classes"
    ]
    return names


def unequal(
    drawings: dict[str, list[bytes]], names: list[str], random: np.random.Generator
) -> tuple[Json, Json]:
    """A support set with one to four drawings of each class, shuffled, and a query set."""
    support, queries = [], []
    for place, name in enumerate(names):
        order, shots = random.permutation(20), 1 + place % 4
        support += [(data_url(drawings[name][i]), name) for i in order[:shots]]
        queries += [(data_url(drawings[name][i]), name) for i in order[shots : shots + QUERIES]]
    random.shuffle(support)
    as_body = [
        {"inputs": [x for x, _ in pairs], "targets": [y for _, y in pairs]}
        for pairs in (support, queries)
    ]
    return as_body[0], as_body[1]


@pytest.mark.parametrize("way", [2, 3, 7, 20])
@pytest.mark.parametrize("checkpoint", [ANYWAY, *TWENTY])
def test_classes_of_any_number_and_unequal_shots_are_told_apart(
    client: httpx.Client, drawings: dict[str, list[bytes]], checkpoint: str, way: int
) -> None:
    random = np.random.default_rng(20_261_124 + way)
    right: list[bool] = []
    for _ in range(4):
        names = [str(n) for n in random.choice(held_out(client, checkpoint), way, replace=False)]
        support, queries = unequal(drawings, names, random)

        adaptation = adapt(client, {"checkpoint": checkpoint, "support": support, "query": queries})
        alone = predict(client, adaptation, queries["inputs"][:2])

        labels = [one["label"] for one in adaptation["predictions"]]
        right += [label == name for label, name in zip(labels, queries["targets"], strict=True)]
        assert sorted(adaptation["classes"]) == sorted(set(support["targets"]))
        assert adaptation["support_examples"] == sum(1 + place % 4 for place in range(way))
        assert [one["label"] for one in alone] == labels[:2]
        assert set(alone[0]["probabilities"]) == set(names)
        losses = adaptation["metrics"]["support_loss"]
        assert losses[-1] <= losses[0]

    assert np.mean(right) >= 0.93


def test_more_classes_than_a_checkpoint_carries_are_refused(
    client: httpx.Client, drawings: dict[str, list[bytes]]
) -> None:
    names = held_out(client, ANYWAY)[:21]
    support = {"inputs": [data_url(drawings[name][0]) for name in names], "targets": names}

    answer = client.post("/adapt", json={"checkpoint": ANYWAY, "support": support})

    assert refusal(answer) == (422, "too-many-classes")
    assert "20" in answer.json()["detail"]
