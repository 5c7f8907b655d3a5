"""docs/operations.md: its commands run, a backup of a running service is restored, and the settings
that it names are there.
"""

import os
import re
import subprocess
from pathlib import Path

import httpx
import pytest
import yaml

from app.settings import Settings
from tests.journey.requests import adapt, predict_one, sine
from tests.processes import FEWSTEP, running_service

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))


def test_a_backup_of_a_running_service_is_a_service_that_predicts_the_same(
    tmp_path: Path,
) -> None:
    kept = tmp_path / "kept"
    (tmp_path / "first").mkdir()
    with running_service(tmp_path / "first") as service:
        with httpx.Client(base_url=service.base_url, timeout=90) as client:
            made = adapt(client, sine())
            before = predict_one(client, made, 0.5)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", SHELL.replace("/tmp/fewstep-backup", str(kept))],
            env=os.environ
            | {
                "FEWSTEP_DATA_DIR": str(service.data_dir),
                "PATH": f"{Path(FEWSTEP).parent}:{os.environ['PATH']}",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    secret = next(word for word in done.stdout.split() if word.startswith("fs_"))

    (tmp_path / "second").mkdir()
    kept.rename(tmp_path / "second" / "data")
    with running_service(tmp_path / "second") as service:
        key = {"Authorization": f"Bearer {secret}"}
        with httpx.Client(base_url=service.base_url, timeout=90, headers=key) as client:
            assert client.get("/keys").status_code == 200
        environment = {"FEWSTEP_DATA_DIR": str(service.data_dir)}
        full = _new_key(environment)
        with httpx.Client(base_url=service.base_url, timeout=90, headers=full) as client:
            assert predict_one(client, made, 0.5) == before


def _new_key(environment: dict[str, str]) -> dict[str, str]:
    done = subprocess.run(
        [FEWSTEP, "keys", "create"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return {"Authorization": f"Bearer {done.stdout.strip()}"}


def test_every_setting_that_is_named_is_there() -> None:
    known = {f"FEWSTEP_{name.upper()}" for name in Settings.model_fields}

    assert set(re.findall(r"FEWSTEP_[A-Z_]+", PAGE)) <= known


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_every_rule_is_yaml(text: str) -> None:
    assert yaml.safe_load(text)
