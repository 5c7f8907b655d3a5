"""Ready means warm: the first adaptation and the first prediction are not the slow ones."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import httpx
import pytest

from tests.journey.requests import Json, adapt, characters, data_url, drawing, predict_one, sine
from tests.processes import running_service

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MULTIPLE = 4.0
NOISE_S = 0.1  # of a busy machine, beside which a few milliseconds are nothing


def took_s(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


@pytest.mark.parametrize("kind", ["number", "picture"])
def test_the_first_requests_take_little_more_than_the_usual_ones(tmp_path: Path, kind: str) -> None:
    example: object = 0.5 if kind == "number" else data_url(drawing("kem", 4))
    made: list[Json] = []

    def body(number: int) -> Json:
        more = {"steps": 3 + number % 2, "name": str(number)}
        return sine(**more) if kind == "number" else characters(**more)

    with (
        running_service(tmp_path) as service,
        httpx.Client(base_url=service.base_url, timeout=90) as client,
    ):
        client.get("/livez")  # the connection
        adapting, predicting = [], []
        for number in range(12):
            adapting.append(took_s(lambda n=number: made.append(adapt(client, body(n)))))
            predicting.append(took_s(lambda: predict_one(client, made[-1], example)))

    for first, *later in (adapting, predicting):
        assert first < MULTIPLE * median(later) + NOISE_S
