"""A damaged blob is never served: 503, derived again, then the same answers."""

import time

import httpx
import pytest

from tests.journey.requests import Json, characters, predict, queries, refusal, table
from tests.processes import Service

pytestmark = pytest.mark.e2e


def adapt_unwatched(client: httpx.Client, body: Json) -> Json:
    """The adaptation that succeeded, though nobody waited for it: no process keeps its φ hot."""
    answer = client.post("/adapt", json=body, headers={"Prefer": "respond-async"})
    deadline = time.monotonic() + 30
    while (one := client.get(answer.headers["location"]).json())["status"] != "succeeded":
        assert time.monotonic() < deadline, one
        time.sleep(0.05)
    ended: Json = one
    return ended


def test_a_flipped_bit_is_refused_once_and_mended(client: httpx.Client, service: Service) -> None:
    query = queries()
    one = adapt_unwatched(client, characters(query=query, metadata={"fate": "damage"}, steps=7))
    where = f"/adaptations/{one['id']}/parameters"
    answer = client.get(where, params={"format": "safetensors"})
    digest = answer.headers["etag"].strip('"').removesuffix(".safetensors")
    [blob] = service.data_dir.rglob(digest)
    whole = blob.read_bytes()
    assert whole == answer.content
    blob.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
    ask = {"adaptation": one["id"], "inputs": query["inputs"]}

    first = client.post("/predict", json=ask)
    deadline = time.monotonic() + 30
    while (later := client.post("/predict", json=ask)).status_code != 200:
        assert refusal(later) == (503, "damaged")
        assert time.monotonic() < deadline, "never derived again"
        time.sleep(0.2)

    assert refusal(first) == (503, "damaged")
    assert int(first.headers["retry-after"]) >= 1
    labels = [prediction["label"] for prediction in predict(client, one, query["inputs"])]
    assert labels == [prediction["label"] for prediction in one["predictions"]]
    assert table(later.json()["predictions"]) == pytest.approx(table(one["predictions"]), abs=1e-5)
