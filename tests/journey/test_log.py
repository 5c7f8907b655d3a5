"""The log of a whole service, API and worker together: each line is a JSON object with its ids."""

import json
import os
import re
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.cli.serving import valkey
from app.messages.hints import ADAPT_TASK, build_celery
from app.settings import read_settings
from tests.house.test_guard import wait_for
from tests.processes import Service, processes_of, running_service

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

KEY = "fs_" + "l0gs" * 12
SINE = {"inputs": [-2, -1, 0, 1, 2], "targets": [0.1, 0.2, 0.3, 0.4, 0.5]}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    variables = {"FEWSTEP_LOG_FORMAT": "json", "FEWSTEP_BOOTSTRAP_KEY": KEY}
    with running_service(tmp_path_factory.mktemp("log"), **variables) as running:
        yield running


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {KEY}", "Prefer": "wait=60"}
    with httpx.Client(base_url=service.base_url, headers=headers, timeout=70) as client:
        yield client


def lines(service: Service, **fields: str) -> list[dict[str, Any]]:
    """Every line so far, parsed, that has these fields."""
    whole = service.log.read_text().rpartition("\n")[0]
    parsed = [json.loads(line) for line in whole.splitlines()]
    return [line for line in parsed if fields.items() <= line.items()]


def adapt(client: httpx.Client, request_id: str) -> str:
    order = {"checkpoint": "sinusoid", "support": SINE, "metadata": {"mine": "s3cret"}}
    answer = client.post("/adapt", json=order, headers={"X-Request-Id": request_id})
    assert (answer.json()["status"], answer.headers["x-request-id"]) == ("succeeded", request_id)
    adaptation_id: str = answer.json()["id"]
    return adaptation_id


def test_an_adaptation_is_followed_from_its_request_to_its_worker(
    service: Service, client: httpx.Client
) -> None:
    mine = adapt(client, "call-1")

    assert wait_for(lambda: lines(service, event="adaptation ended", adaptation_id=mine))
    placed, claimed, ended = lines(service, adaptation_id=mine)
    assert (placed["request_id"], placed["status"]) == ("call-1", "queued")
    assert (claimed["logger"], claimed["status"], claimed["E"]) == ("worker.batch", "running", 1)
    assert (ended["status"], ended["worker"], ended["E"]) == ("succeeded", claimed["worker"], 1)
    assert ended["steps"] == placed["steps"] > 0
    assert 0 < ended["seconds"] < 60


def test_a_mistake_of_the_api_has_one_traceback_under_the_requests_id(
    service: Service, client: httpx.Client
) -> None:
    mine = adapt(client, "call-2")
    damage_row(service.data_dir, mine)

    answer = client.get(f"/adaptations/{mine}", headers={"X-Request-Id": "call-3"})

    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "call-3")
    assert wait_for(lambda: len(lines(service, request_id="call-3")) == 2)
    ours, servers = lines(service, request_id="call-3")
    assert (ours["logger"], ours["event"]) == ("app.api.problems", "request failed")
    assert (servers["logger"], servers["event"]) == (
        "uvicorn.error",
        "Exception in ASGI application",
    )
    assert servers["exception"].startswith("Traceback")


def test_a_task_that_celery_sees_fail_is_one_line_like_any_other(service: Service) -> None:
    redis_url = valkey.redis_url(valkey.place_of_socket(service.data_dir))
    celery = build_celery(read_settings(redis_url=redis_url))
    celery.send_task(ADAPT_TASK, args=("one", "too many"), queue="adapt")
    celery.close()

    assert wait_for(lambda: lines(service, logger="celery.app.trace"))
    [line] = lines(service, logger="celery.app.trace")
    assert line["level"] == "error"
    assert "TypeError" in line["exception"]
    assert "adaptation_id" not in line  # of the batch before


def test_the_loss_of_a_workers_processes_is_told_in_lines(service: Service) -> None:
    kill(service, "spawn_main")
    assert wait_for(lambda: lines(service, logger="multiprocessing"), within_s=20)
    kill(service, "celery")

    assert wait_for(lambda: lines(service, event="child started again"), within_s=20)
    [guards] = lines(service, logger="app.cli.serving.guard")
    assert guards["event"] == "worker ended by itself with status -9"


def test_every_line_is_whole_and_tells_no_secret(service: Service) -> None:
    found = lines(service)

    assert [
        line for line in found if not {"timestamp", "level", "logger", "event"} <= {*line}
    ] == []
    assert any(line["event"].startswith("Fewstep answers at") for line in found)
    assert len({json.dumps(line) for line in found}) == len(found)
    assert not re.search(f"{KEY}|s3cret", service.log.read_text())


def kill(service: Service, name: str) -> None:
    """Ends the service's processes whose command line holds the name, at once."""
    for pid, command in processes_of(service.data_dir).items():
        if name in command and "guard" not in command:
            os.kill(pid, signal.SIGKILL)


def damage_row(data_dir: Path, adaptation_id: str) -> None:
    """Leaves in the row what no line of ours writes, so that reading it is a mistake."""
    with sqlite3.connect(data_dir / "fewstep.db", timeout=10) as connection:
        connection.execute("UPDATE adaptations SET metadata = '{' WHERE id = ?", [adaptation_id])
    connection.close()
