"""kill -9 in the middle of the work: everything ends, each once."""

import os
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.journey.requests import Json, characters, predict_one, queries
from tests.processes import Service, processes_of, running_service

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
ADAPTATIONS, KILLS = 100, 3
# What a lost worker costs is the lease, the sweep and a fresh process; the first two are shortened.
QUICK = {"FEWSTEP_LEASE_S": "3", "FEWSTEP_HEARTBEAT_S": "0.5", "FEWSTEP_SWEEP_S": "0.5"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of this module's own, as its worker will suffer."""
    folder = tmp_path_factory.mktemp("killing")
    with running_service(folder, FEWSTEP_BATCH_LIMIT="8", **QUICK) as running:
        yield running


def rows(service: Service, query: str) -> list[Any]:
    """What the database itself says, read by nothing of ours."""
    with closing(sqlite3.connect(service.data_dir / "fewstep.db", timeout=20)) as database:
        return database.execute(query).fetchall()


def worker_processes(service: Service) -> dict[int, str]:
    """The worker's parent and its children, without the guard that watches them."""
    mine = processes_of(service.data_dir)
    return {
        pid: command
        for pid, command in mine.items()
        if "app.cli.serving.guard" not in command and ("celery" in command or "billiard" in command)
    }


def until(happened: Callable[[], Any], *, within_s: float) -> Any:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if found := happened():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def count(service: Service, status: str) -> int:
    [(number,)] = rows(service, f"SELECT count(*) FROM adaptations WHERE status = '{status}'")
    return int(number)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_the_workers_parent_holds_no_torch_and_its_child_does(service: Service) -> None:
    maps = {
        command: Path(f"/proc/{pid}/maps").read_text()
        for pid, command in worker_processes(service).items()
    }

    [parent] = [text for command, text in maps.items() if "celery" in command and "-A" in command]
    assert "libtorch" not in parent
    assert any("libtorch" in text for text in maps.values())


def test_kill_9_three_times_in_the_middle_of_a_hundred_adaptations(service: Service) -> None:
    bodies = [characters(steps=20 + number % 5, name=str(number)) for number in range(ADAPTATIONS)]
    with httpx.Client(base_url=service.base_url, timeout=90) as client:

        def post(body: Json) -> str:
            answer = client.post("/adapt", json=body, headers={"Prefer": "respond-async"})
            assert answer.status_code in (201, 202), answer.text
            identity: str = answer.json()["id"]
            return identity

        with ThreadPoolExecutor(4) as pool:
            posting = pool.submit(lambda: list(map(post, bodies)))
            killed = [kill_in_the_middle(service, number) for number in range(KILLS)]
            ids = posting.result()
        until(lambda: count(service, "succeeded") == ADAPTATIONS, within_s=90)
        answers = [client.get(f"/adaptations/{one}").json() for one in ids]
        query = queries()["inputs"][0]
        labels = {predict_one(client, one, query)["label"] for one in answers}

    assert all(killed)
    assert len(set(ids)) == ADAPTATIONS
    assert Counter(one["status"] for one in answers) == {"succeeded": ADAPTATIONS}
    attempts = np.array([one["attempts"] for one in answers])
    assert (attempts > 1).sum() >= KILLS  # every kill met work that ran
    assert attempts.max() <= 4
    assert len(labels) == 1  # one support set, one answer, however often it was begun
    check_histories(service)


def kill_in_the_middle(service: Service, number: int) -> int:
    """Kills all of the worker's processes at once while rows are running; how many those were."""

    def struck() -> int:
        found = worker_processes(service)  # looked up first: the moment does not last
        enough = count(service, "succeeded") >= 10 * number + 5 and count(service, "queued")
        if not (len(found) > 1 and enough and count(service, "running")):
            return 0
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        return count(service, "running")  # none: it was between two batches, and is tried again

    return int(until(struck, within_s=60))


def check_histories(service: Service) -> None:
    """Events without gaps; one ending each; every row that ran again says that it was lost."""
    histories: dict[str, list[str]] = {}
    for adaptation, number, kind in rows(
        service, "SELECT adaptation_id, number, kind FROM events ORDER BY adaptation_id, number"
    ):
        history = histories.setdefault(adaptation, [])
        history.append(kind)
        assert number == len(history)
    assert len(histories) == ADAPTATIONS
    for history in histories.values():
        assert history.count("succeeded") == 1
        assert history[-1] == "succeeded"
        assert history[:-1] == ["queued", "running"] * (len(history) // 2)
    lost = rows(service, "SELECT count(*) FROM adaptations WHERE lease_until IS NOT NULL")
    assert lost == [(0,)]
