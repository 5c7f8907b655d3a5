"""Settings come from FEWSTEP_* variables, checked, and reach other processes unchanged."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.settings import BadSettings, environment, read_settings, settings_table

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("FEWSTEP_")]:
        monkeypatch.delenv(name)


def test_without_variables_everything_is_embedded_under_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    settings = read_settings()

    assert settings.effective_database_url == f"sqlite:///{tmp_path}/data/fewstep.db"
    assert settings.effective_store_url == f"file://{tmp_path}/data/blobs"
    assert settings.effective_broker_url is None
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)


def test_rabbitmq_carries_messages_only_when_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWSTEP_REDIS_URL", "redis://h/1")
    assert read_settings().effective_broker_url == "redis://h/1"

    monkeypatch.setenv("FEWSTEP_BROKER_URL", "amqp://h//")
    assert read_settings().effective_broker_url == "amqp://h//"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_postgresql_means_psycopg(scheme: str) -> None:
    settings = read_settings(database_url=f"{scheme}://u@h/d")

    assert settings.effective_database_url == "postgresql+psycopg://u@h/d"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FEWSTEP_PORT", "65536"),
        ("FEWSTEP_PORT", "http"),
        ("FEWSTEP_DEVICE", "tpu-sesame"),
        ("FEWSTEP_DATABASE_URL", "mysql://u:sesame@h/d"),
        ("FEWSTEP_REDIS_URL", "http://:sesame@h"),
        ("FEWSTEP_STORE_URL", "ftp://u:sesame@h"),
        ("FEWSTEP_LEASE_S", "0"),
        ("FEWSTEP_DEFAULT_TTL_SECONDS", "0"),
    ],
)
def test_a_bad_setting_is_named_and_its_value_is_not(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(BadSettings) as refusal:
        read_settings()

    assert name in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "sesame" not in str(refusal.value)


def test_a_bad_setting_ends_a_command_with_one_line_and_status_2() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "from app.settings import load_settings; load_settings()"],
        env={**os.environ, "FEWSTEP_PORT": "-1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 2
    assert ended.stderr.startswith("fewstep: FEWSTEP_PORT: ")
    assert ended.stderr.count("\n") == 1


def test_another_process_reads_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read_settings(
        port=1, redis_url="unix:///s?db=0", bootstrap_key="fs_" + "x" * 30, max_steps=7
    )

    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)

    assert read_settings() == settings


def test_printing_settings_shows_no_secret() -> None:
    settings = read_settings(
        bootstrap_key="fs_sesame_sesame_sesame_sesame",
        database_url="postgresql://u:sesame@h/d",
        redis_url="redis://:sesame@h",
        broker_url="amqp://u:sesame@h",
    )

    assert "sesame" not in repr(settings)


def test_the_table_of_settings_in_the_docs_is_up_to_date() -> None:
    assert settings_table() in (ROOT / "docs" / "settings.md").read_text()


def test_a_lease_shorter_than_two_heartbeats_is_refused() -> None:
    with pytest.raises(BadSettings, match="FEWSTEP_LEASE_S must be at least twice"):
        read_settings(lease_s=3, heartbeat_s=2)
