"""`fewstep serve` from outside: it starts on nothing, says where it answers, and leaves nothing."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
import torch

from app.cli.serving import valkey
from tests.house.test_guard import wait_for
from tests.processes import (
    FEWSTEP,
    Service,
    clean_environment,
    free_port,
    processes_of,
    running_service,
    stop,
    wait_until_ready,
)

pytestmark = pytest.mark.e2e


def refusal(folder: Path, **variables: str) -> str:
    """What `fewstep serve` says before it ends with exit code 1."""
    own = {"FEWSTEP_DATA_DIR": str(folder / "data"), "FEWSTEP_PORT": "0", **variables}
    ended = subprocess.run(
        [FEWSTEP, "serve"],
        env=clean_environment(**own),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    return ended.stderr


def says_last(log: Path, line: str) -> bool:
    return log.read_text().splitlines()[-1:] == [line]


@pytest.mark.slow
def test_stopped_in_any_way_it_leaves_no_process_and_starts_again(tmp_path: Path) -> None:
    for signal_number, status in ((signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -9)):
        with running_service(tmp_path) as service:
            announced = f"Fewstep answers at {service.base_url}"
            assert wait_for(partial(says_last, service.log, announced))

            assert stop(service.process, by=signal_number) == status

        assert wait_for(lambda: processes_of(tmp_path) == {})
    valkey.remove_socket(valkey.socket_path(tmp_path / "data"))


@pytest.mark.slow
def test_a_worker_killed_with_all_its_processes_adapts_again_within_20_s(service: Service) -> None:
    killed = kill_all(service, naming=("celery", "spawn"))

    began = time.monotonic()
    status = adapt_a_line(service)

    assert status == "succeeded"
    assert time.monotonic() - began < 20
    assert killed.isdisjoint(processes_of(service.data_dir))


def test_a_killed_message_server_is_started_again_and_used(service: Service) -> None:
    killed = kill_all(service, naming=("valkey-server unixsocket",))

    assert wait_for(lambda: killed.isdisjoint(processes_of(service.data_dir)))
    wait_until_ready(service, within_s=20)
    assert adapt_a_line(service) == "succeeded"


def kill_all(service: Service, *, naming: tuple[str, ...]) -> set[int]:
    """Kills the service's processes whose command line holds one of the names; their numbers."""
    found = processes_of(service.data_dir).items()
    killed = {pid for pid, command in found if any(name in command for name in naming)}
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    return killed


def adapt_a_line(service: Service) -> str:
    """The status of an adaptation of the sine checkpoint to five points, however long it takes."""
    support = {"inputs": [-2, -1, 0, 1, 2], "targets": [0.1, 0.2, 0.3, 0.4, 0.5]}
    answer = httpx.post(
        f"{service.base_url}/adapt",
        json={"checkpoint": "sinusoid", "support": support},
        headers={"Prefer": "wait=60"},
        timeout=70,
    )
    status: str = answer.json()["status"]
    return status


def test_a_second_service_on_the_same_data_is_refused(service: Service) -> None:
    assert "another fewstep service uses" in refusal(service.data_dir.parent)


def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        said = refusal(tmp_path, FEWSTEP_PORT=str(port))

    reason = "Address already in use; FEWSTEP_PORT chooses another"
    assert said == f"fewstep: cannot listen on 127.0.0.1 port {port}: {reason}\n"
    assert not (tmp_path / "data").exists()


def test_without_a_key_it_refuses_to_listen_beyond_loopback(tmp_path: Path) -> None:
    said = refusal(tmp_path, FEWSTEP_HOST="0.0.0.0")

    assert "a key is needed" in said
    assert wait_for(lambda: processes_of(tmp_path) == {})


def test_a_weak_bootstrap_key_is_refused_and_not_repeated(tmp_path: Path) -> None:
    said = refusal(tmp_path, FEWSTEP_BOOTSTRAP_KEY="fs_sesame")

    assert "FEWSTEP_BOOTSTRAP_KEY" in said
    assert "sesame" not in said


def test_a_silent_database_is_named_and_its_password_is_not(tmp_path: Path) -> None:
    url = f"postgresql://u:sesame@127.0.0.1:{free_port()}/d"

    said = refusal(tmp_path, FEWSTEP_DATABASE_URL=url)

    assert said.splitlines()[-1] == (
        "fewstep: the database of FEWSTEP_DATABASE_URL does not answer"
    )
    assert "sesame" not in said


@pytest.mark.slow
def test_killing_make_ends_the_service_that_it_started(tmp_path: Path) -> None:
    with started_by_a_parent(tmp_path) as parent:
        assert wait_for(lambda: "answers at" in (tmp_path / "log").read_text(), within_s=60)

        parent.kill()
        parent.wait()

        assert wait_for(lambda: processes_of(tmp_path) == {}, within_s=25)


@contextmanager
def started_by_a_parent(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that only waits, as make does, for the service that it started."""
    wait = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    with (folder / "log").open("wb") as log:
        parent = subprocess.Popen(
            [sys.executable, "-c", wait, FEWSTEP, "serve", "--stop-with-parent"],
            env=clean_environment(
                FEWSTEP_DATA_DIR=str(folder / "data"), FEWSTEP_PORT=str(free_port())
            ),
            stdout=log,
            stderr=log,
        )
    try:
        yield parent
    finally:
        parent.kill()
        parent.wait()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_device_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    said = refusal(tmp_path, FEWSTEP_DEVICE="cuda")

    assert said == "fewstep: FEWSTEP_DEVICE is cuda, but torch sees no GPU here\n"
