"""A store with less room than the settings keep free takes nothing new, and keeps what it has."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.store.files import FileStore
from tests.both_kinds import KINDS, running_kind
from tests.journey.requests import refusal, sine
from tests.processes import Service
from tests.surface.test_registry import BINARY, renamed

MORE_THAN_ANY_DISK_MIB = str(10**10)


@pytest.fixture(scope="module", params=KINDS)
def full(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    mark = {"FEWSTEP_STORE_FREE_MIB": MORE_THAN_ANY_DISK_MIB}
    with running_kind(request.param, tmp_path_factory.mktemp("full"), **mark) as service:
        yield service


@pytest.fixture
def caller(full: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=full.base_url, timeout=30) as client:
        yield client


def blobs(service: Service) -> set[Path]:
    return {path for path in (service.data_dir / "blobs").rglob("*") if path.is_file()}


def test_b149_a_full_store_takes_no_checkpoint(full: Service, caller: httpx.Client) -> None:
    before = blobs(full)

    answer = caller.post("/checkpoints", content=renamed("more"), headers=BINARY)

    assert refusal(answer) == (507, "store-full")
    assert int(answer.headers["Retry-After"]) > 0
    uploads = full.data_dir / "uploads"
    assert not uploads.exists() or not list(uploads.iterdir())
    assert blobs(full) == before
    assert caller.get("/checkpoints/sinusoid/versions/1/parameters").status_code == 200


def test_a_full_store_takes_no_adaptation_and_still_predicts(
    full: Service, caller: httpx.Client
) -> None:
    assert refusal(caller.post("/adapt", json=sine())) == (507, "store-full")
    lines = "\n".join([json.dumps(sine(4)), json.dumps(sine(6))])
    headers = {"Content-Type": "application/x-ndjson"}
    told = caller.post("/adaptations:batch", content=lines, headers=headers).text.splitlines()
    assert [json.loads(line)["code"] for line in told] == ["store-full"] * 2
    assert caller.get("/adaptations").json()["data"] == []
    assert caller.get("/predict", params={"checkpoint": "sinusoid", "input": "1"}).is_success


def test_a_folder_has_the_room_of_its_disk(tmp_path: Path) -> None:
    free = FileStore(tmp_path / "blobs").free_bytes()

    assert free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.05)
