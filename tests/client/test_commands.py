"""The commands that call a running service: JSON for scripts, words for people, one line for what
goes wrong.
"""

import json
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.client.test_client import five
from tests.journey.requests import CHARACTERS
from tests.processes import FEWSTEP, Service, clean_environment
from tests.surface.test_registry import renamed

Json = dict[str, Any]


class Shell:
    """A person at a terminal, with the service's address in FEWSTEP_URL."""

    def __init__(self, service: Service) -> None:
        self.environment = clean_environment(FEWSTEP_URL=service.base_url)

    def run(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [FEWSTEP, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        assert done.returncode == code, done.stderr
        return done

    def json(self, *words: str, code: int = 0) -> list[Json]:
        """The lines on stdout, each a value of JSON."""
        return [
            json.loads(line) for line in self.run(*words, "--json", code=code).stdout.splitlines()
        ]


@pytest.fixture
def shell(service: Service) -> Shell:
    return Shell(service)


def test_a_folder_goes_in_and_a_label_comes_out(shell: Shell, tmp_path: Path) -> None:
    [made] = shell.json("adapt", "omniglot-5way-1shot", str(five(tmp_path)), "--name", "letters")
    kem = str(CHARACTERS / "kem" / "02.png")

    [told] = shell.json("predict", made["id"], kem)

    assert told["label"] == "kem"
    words = shell.run("predict", made["id"], kem).stdout
    assert words.splitlines()[1].split("\t")[1] == "kem"
    assert shell.run("adaptations", "show", made["id"]).stdout == f"{made['id']}  succeeded\n"


def test_an_adaptations_life_from_the_command_line(shell: Shell, tmp_path: Path) -> None:
    support, tag = tmp_path / "wave.json", uuid4().hex
    support.write_text(json.dumps({"inputs": [-2, -1, 0, 1, 2], "targets": [0.1, 0.9, 0, -0.9, 0]}))
    said = shell.run("adapt", "sinusoid", str(support)).stdout
    one = said.split()[0]

    shell.run("adaptations", "update", one, "--name", "wave", "--metadata", f"tag={tag}")
    [listed] = shell.json("adaptations", "list", "--metadata", f"tag={tag}")
    assert (listed["id"], listed["name"]) == (one, "wave")
    assert one in shell.run("adaptations", "list").stdout
    kinds = [event["type"] for event in shell.json("adaptations", "events", one, "--follow")]
    assert kinds[-1] == "adaptation.succeeded"
    assert shell.json("adaptations", "wait", one)[0]["status"] == "succeeded"
    for form in ("safetensors", "npz", "onnx"):
        shell.run("adaptations", "export", one, str(tmp_path / f"wave.{form}"))
        assert (tmp_path / f"wave.{form}").stat().st_size > 1000
    assert "conflict" in shell.run("adaptations", "cancel", one, code=2).stderr
    shell.run("adaptations", "delete", one)
    gone = shell.run("adaptations", "show", one, code=2)
    assert gone.stdout == ""
    assert gone.stderr == "fewstep: not-found: there is no such adaptation\n"


def test_many_go_in_at_once(shell: Shell, tmp_path: Path) -> None:
    files = []
    for number in range(3):
        files.append(tmp_path / f"{number}.json")
        targets = [0.1 * number, 0.5] if number < 2 else [0.5]
        files[-1].write_text(json.dumps({"inputs": [0, 1], "targets": targets}))

    told = shell.json("adapt", "sinusoid", *map(str, files), code=1)

    assert [one["status"] for one in told] == ["succeeded", "succeeded", 422]
    assert told[2]["code"] == "length-mismatch"


def test_a_checkpoint_is_uploaded_named_and_ended(shell: Shell, tmp_path: Path) -> None:
    name, file = f"sine-{uuid4().hex[:8]}", tmp_path / "sine.safetensors"
    file.write_bytes(renamed(name))

    [added] = shell.json("checkpoints", "upload", str(file))
    assert (added["name"], added["version"]) == (name, 1)
    shell.run("checkpoints", "alias", name, "live", "1")
    assert "aliases: live" in shell.run("checkpoints", "describe", f"{name}@live").stdout
    shell.run("checkpoints", "download", name, "1", str(tmp_path / "again.safetensors"))
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()
    assert "in-use" in shell.run("checkpoints", "delete", name, "1", code=2).stderr
    shell.run("checkpoints", "alias", name, "live")
    shell.run("checkpoints", "delete", name, "1")
    assert "not-found" in shell.run("checkpoints", "describe", name, code=2).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("adapt", "sinusoid", "nowhere.json"), "nowhere.json: no such file or directory"),
        (("adapt", "none", "{folder}"), "not-found"),
        (("adapt", "sinusoid", "{empty}"), "expected pictures"),
        (("predict", "ad_1", "1"), "not-found"),
        (("adaptations", "list", "--metadata", "x"), "expected key=value"),
        (("adaptations", "list", "--status", "done"), "/status"),
    ],
)
def test_what_goes_wrong_is_one_line_on_stderr(
    shell: Shell, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "empty").mkdir()
    places = {"folder": str(five(tmp_path / "full")), "empty": str(tmp_path / "empty")}

    done = shell.run(*(word.format(**places) for word in words), code=2)

    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr
