"""docker-compose.yml works: each of our services runs natively, as it is written there.

Commands, environments, dependencies and health checks are the file's own; only host names, the
folder of the volume and the port are those of this machine.
"""

import base64
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import make_url

from tests.compose import VariableMissing, read_compose, seconds
from tests.processes import clean_environment, free_port, stop
from tests.servers import fresh_postgres, fresh_redis

ROOT = Path(__file__).parents[2]
KEY = "fs_" + "compose" * 6
OURS = ("migrate", "api", "worker")
VOLUME = "/var/lib/fewstep"
CHARACTERS = ("dalu", "kem", "noshi", "peru", "tavo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What this machine has in place of the containers'."""

    database_url: str
    redis_url: str
    folder: Path
    port: int


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found = read_compose(ROOT / "docker-compose.yml", {"FEWSTEP_BOOTSTRAP_KEY": KEY})
    declared: dict[str, Any] = found["services"]
    return declared


@pytest.fixture(scope="module")
def api(services: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the running api, with its worker, once every health check passes."""
    folder = tmp_path_factory.mktemp("compose")
    with ExitStack() as running:
        here = Here(
            database_url=running.enter_context(fresh_postgres()),
            redis_url=running.enter_context(fresh_redis()),
            folder=folder / "volume",
            port=free_port(),
        )
        run_to_the_end(services["migrate"], here)
        for name in ("api", "worker"):
            running.enter_context(started(services[name], here, log=folder / f"{name}.log"))
        for name in ("api", "worker"):
            wait_until_healthy(services[name], here, log=folder / f"{name}.log")
        yield f"http://127.0.0.1:{here.port}"


def test_without_a_first_key_compose_refuses_to_start() -> None:
    with pytest.raises(VariableMissing, match="FEWSTEP_BOOTSTRAP_KEY"):
        read_compose(ROOT / "docker-compose.yml", {})


@pytest.mark.parametrize("name", OURS)
def test_our_services_reach_the_database_and_redis_that_the_file_starts(
    services: dict[str, Any], name: str
) -> None:
    postgres, environment = services["postgres"]["environment"], services[name]["environment"]

    url = make_url(environment["FEWSTEP_DATABASE_URL"])

    assert (url.host, url.port, url.database) == ("postgres", 5432, postgres["POSTGRES_DB"])
    assert (url.username, url.password) == (
        postgres["POSTGRES_USER"],
        postgres["POSTGRES_PASSWORD"],
    )
    assert environment["FEWSTEP_REDIS_URL"] == "redis://redis:6379/0"


@pytest.mark.parametrize("name", ["postgres", "redis", "api", "worker"])
def test_every_service_that_stays_is_checked_restarted_and_not_root(
    services: dict[str, Any], name: str
) -> None:
    service = services[name]

    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    assert service["user"] not in ("root", "0")
    assert seconds(service["stop_grace_period"]) > 25


def test_api_and_worker_share_the_folder_of_blobs_and_wait_for_the_migration(
    services: dict[str, Any],
) -> None:
    for name in ("api", "worker"):
        assert services[name]["volumes"] == [f"blobs:{VOLUME}"]
        assert services[name]["environment"]["FEWSTEP_DATA_DIR"] == VOLUME
        assert services[name]["depends_on"] == {
            "migrate": {"condition": "service_completed_successfully"},
            "redis": {"condition": "service_healthy"},
        }


def test_redis_keeps_and_never_evicts_messages(services: dict[str, Any]) -> None:
    command = " ".join(services["redis"]["command"])

    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_a_gpu_is_given_to_the_worker_alone() -> None:
    added = read_compose(ROOT / "compose.gpu.yaml", {})["services"]

    devices = added["worker"]["deploy"]["resources"]["reservations"]["devices"]

    assert list(added) == ["worker"]
    assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]


@pytest.mark.e2e
def test_the_main_job_runs_through_the_services_as_composed(api: str) -> None:
    support = {"inputs": [drawing(c, 1) for c in CHARACTERS], "targets": list(CHARACTERS)}
    request = {"checkpoint": "omniglot-5way-1shot", "support": support}

    with httpx.Client(base_url=api, headers={"Authorization": f"Bearer {KEY}"}) as client:
        adapted = client.post("/adapt", json=request, headers={"Prefer": "wait=60"}, timeout=70)
        adaptation = adapted.json()
        predicted = [
            client.get("/predict", params={"adaptation": adaptation["id"], "input": drawing(c, 2)})
            for c in CHARACTERS
        ]

    assert (adapted.status_code, adaptation["status"]) == (201, "succeeded")
    assert [answer.status_code for answer in predicted] == [200] * len(CHARACTERS)
    labels = [answer.json()["predictions"][0]["label"] for answer in predicted]
    assert sum(label == c for label, c in zip(labels, CHARACTERS, strict=True)) >= 4


@pytest.mark.e2e
def test_without_the_key_the_composed_service_answers_nobody(api: str) -> None:
    answer = httpx.get(f"{api}/checkpoints")

    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthenticated"


def drawing(character: str, number: int) -> str:
    """A drawing of the examples as a data URL."""
    path = ROOT / "examples" / "characters" / character / f"{number:02}.png"
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def environment_here(service: dict[str, Any], here: Here) -> dict[str, str]:
    written = {name: str(value) for name, value in service["environment"].items()}
    mapped = {
        "FEWSTEP_DATABASE_URL": here.database_url,
        "FEWSTEP_REDIS_URL": here.redis_url,
        "FEWSTEP_DATA_DIR": written["FEWSTEP_DATA_DIR"].replace(VOLUME, str(here.folder)),
        "FEWSTEP_PORT": str(here.port),
    }
    return clean_environment(**{**written, **mapped})


def run_to_the_end(service: dict[str, Any], here: Here) -> None:
    subprocess.run(service["command"], env=environment_here(service, here), check=True, timeout=120)


@contextmanager
def started(service: dict[str, Any], here: Here, *, log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            service["command"],
            env=environment_here(service, here),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
    finally:
        stop(process)


def wait_until_healthy(service: dict[str, Any], here: Here, *, log: Path) -> None:
    check = service["healthcheck"]
    command = [word.replace(":8000", f":{here.port}") for word in check["test"][1:]]
    patience_s = seconds(check["start_period"]) + check["retries"] * seconds(check["interval"])
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        ended = subprocess.run(
            command,
            env=environment_here(service, here),
            capture_output=True,
            timeout=seconds(check["timeout"]),
            check=False,
        )
        if ended.returncode == 0:
            return
        time.sleep(1)
    said = log.read_text()[-3000:] + ended.stderr.decode()[-1000:]
    pytest.fail(f"{service['command']} on {socket.gethostname()} is not healthy:\n{said}")


def test_the_image_is_built_from_what_the_ignore_file_lets_through() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = {
        source
        for line in lines
        if line.startswith("COPY ") and "--from=" not in line
        for source in line.split()[1:-1]
    }
    let_through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }

    assert copied == let_through
    assert all((ROOT / source).exists() for source in copied)
