"""An adaptation past its time to live predicts no more, but can still be read."""

import time

import httpx
import pytest

from tests.journey.requests import adapt, predict, refusal, sine

pytestmark = pytest.mark.e2e


def test_a_result_past_its_time_is_gone_and_its_row_is_not(client: httpx.Client) -> None:
    one = adapt(client, sine(ttl_seconds=2))
    assert one["expires_at"] is not None
    assert len(predict(client, one, [1.0])) == 1  # and the process keeps it hot now

    deadline = time.monotonic() + 30
    while client.get(f"/adaptations/{one['id']}").json()["status"] == "succeeded":
        assert time.monotonic() < deadline, "it never expired"
        time.sleep(0.2)

    row = client.get(f"/adaptations/{one['id']}")
    assert (row.status_code, row.json()["status"]) == (200, "expired")
    assert row.json()["metrics"] == one["metrics"]
    body = {"adaptation": one["id"], "inputs": [1.0]}
    again = sine(extends=one["id"])
    del again["checkpoint"]
    gone = [
        client.get("/predict", params={"adaptation": one["id"], "input": "1"}),
        client.post("/predict", json=body),
        client.get(f"/adaptations/{one['id']}/parameters", params={"format": "safetensors"}),
        client.post("/adapt", json=again),
    ]
    assert [refusal(answer) for answer in gone] == [(410, "expired")] * 4
