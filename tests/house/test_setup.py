"""What holds of the database before anybody is served, however many see to it at once."""

import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from app.cli.main import app
from app.db.connections import open_engine, reading
from app.db.keys import list_keys
from app.settings import environment, read_settings


def command_line(database_url: str, folder: Path, *arguments: str) -> tuple[int, str]:
    settings = environment(read_settings(database_url=database_url, data_dir=folder))
    result = CliRunner().invoke(app, list(arguments), env=settings)
    return result.exit_code, result.output


def test_three_that_migrate_a_new_database_at_once_all_succeed(
    postgres_url: str, tmp_path: Path
) -> None:
    key = "fs_" + "k" * 43
    settings = read_settings(database_url=postgres_url, data_dir=tmp_path, bootstrap_key=key)
    started = [
        subprocess.Popen(
            [str(Path(sys.executable).with_name("fewstep")), "migrate"],
            env={**os.environ, **environment(settings)},
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]

    said = [process.communicate(timeout=120)[1] for process in started]

    assert [process.returncode for process in started] == [0, 0, 0], said
    engine = open_engine(postgres_url)
    with reading(engine) as connection:
        assert [row.name for row in list_keys(connection)] == ["bootstrap"]
    engine.dispose()


def test_keys_are_created_listed_and_revoked(database_url: str, tmp_path: Path) -> None:
    assert command_line(database_url, tmp_path, "keys", "list") == (0, "")

    code, shown = command_line(database_url, tmp_path, "keys", "create", "--name", "laptop")
    assert code == 0
    assert "fs_" in shown

    _, listed = command_line(database_url, tmp_path, "keys", "list")
    key_id = listed.split()[0]
    assert "live" in listed
    assert "fs_" not in listed

    assert command_line(database_url, tmp_path, "keys", "revoke", key_id)[0] == 0
    assert "revoked" in command_line(database_url, tmp_path, "keys", "list")[1]
    assert command_line(database_url, tmp_path, "keys", "revoke", key_id)[0] == 1


def test_a_tenant_that_no_blob_could_lie_under_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"

    code, said = command_line(url, tmp_path, "keys", "create", "--tenant", "é")

    assert code == 2
    assert "a-z, 0-9 and _" in said


def test_a_key_of_a_reserved_tenant_is_refused_in_one_line(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"

    code, said = command_line(url, tmp_path, "keys", "create", "--tenant", "shared")

    assert code == 2
    assert said.startswith("fewstep: the tenant 'shared' is reserved")
    assert len(said.splitlines()) == 1
    assert command_line(url, tmp_path, "keys", "list") == (0, "")


def test_a_database_that_does_not_answer_is_said_in_one_line(tmp_path: Path) -> None:
    url = "postgresql://postgres@127.0.0.1:1/nobody"

    code, said = command_line(url, tmp_path, "migrate")

    assert code == 2
    assert said.strip().splitlines() == ["fewstep: unavailable: the database does not answer"]
