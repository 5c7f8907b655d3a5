"""docs/api.md: every example runs as it stands, and its table has every code."""

import base64
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from app.errors import PROBLEMS
from tests.both_kinds import KINDS, running_kind
from tests.processes import FEWSTEP, Service

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text()
KEY = "fs_" + "0123456789abcdef" * 4
BLOCK = re.compile(r"```(sh|python)\n(.*?)```", re.DOTALL)
WITH_KEYS = {"Hand a key to a customer", "Delete a customer"}
SAID = {
    "Adapt to a folder of pictures": ["kem", "tavo", '"status":"succeeded"', "succeeded ['dalu'"],
    "Ask what another picture is": ['"label":"kem"'],
    "Is my adaptation any good?": ["left out: 0.", "which way is best:"],
    "Wait for many": ['"status":"succeeded"', '"code":"empty-support"'],
    "Watch it happen": ["1 adaptation.queued", "3 adaptation.succeeded", "id: 2\n", "id: 3\n"],
    "Be told by a webhook": [],
    "Add a class later": ['"support_examples":6'],
    "Find mine again": ['"object":"list"', "letters"],
    "Keep it, stop it, delete it": ["404"],
    "Take the model home": ["True"],
    "Roll a checkpoint back": ["aliases: stable", "now: my-sine:2", "now: my-sine:1"],
    "Send it again safely": ["location: /adaptations/ad_", "idempotency-replayed: true"],
    "Hand a key to a customer": ["acme", "'RateLimit-Limit': '600'"],
    "Delete a customer": ["401 unauthenticated"],
    "What can go wrong": ['"pointer":"/steps"'],
}


def sections() -> dict[str, list[tuple[str, str]]]:
    """The examples by their headings, each with its language."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for part in PAGE.split("\n## ")[1:]:
        title, _, text = part.partition("\n")
        found[title] += BLOCK.findall(text)
    return dict(found)


@pytest.fixture(scope="module", params=KINDS)
def open_service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with running_kind(request.param, tmp_path_factory.mktemp("api-page")) as service:
        yield service


@pytest.fixture(scope="module", params=KINDS)
def keyed_service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("api-page-keys")
    with running_kind(request.param, folder, FEWSTEP_BOOTSTRAP_KEY=KEY) as service:
        yield service


@pytest.mark.parametrize("title", [title for title in sections() if title not in WITH_KEYS])
def test_the_examples_of_a_task_run(open_service: Service, title: str) -> None:
    run(title, {"FEWSTEP_URL": open_service.base_url})


@pytest.mark.parametrize("title", sorted(WITH_KEYS))
def test_the_examples_of_the_operator_run(keyed_service: Service, title: str) -> None:
    run(title, {"FEWSTEP_URL": keyed_service.base_url, "FEWSTEP_KEY": KEY})


def run(title: str, variables: dict[str, str]) -> None:
    """All shell of a section in one shell, each Python by itself; it says what it should."""
    found = sections()[title]
    shell = "\n".join(text for language, text in found if language == "sh")
    commands = [["bash", "-euo", "pipefail", "-c", LETTERS + shell]] if shell else []
    commands += [[sys.executable, "-c", text] for language, text in found if language == "python"]
    path = f"{Path(FEWSTEP).parent}:{os.environ['PATH']}"
    said = ""
    for command in commands:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | variables | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        said += done.stdout
    for word in SAID[title]:
        assert word in said, said


# The folder that the first task makes; the others go on with it.
LETTERS = BLOCK.search(PAGE.split("## Adapt to a folder of pictures")[1])[2].partition("id=")[0]  # type: ignore[index]


def test_every_task_was_run() -> None:
    assert sections().keys() == SAID.keys()


def test_the_lines_that_check_a_webhook_agree_with_the_public_signer() -> None:
    [(_, lines)] = sections()["Be told by a webhook"]
    page: dict[str, Any] = {}
    exec(lines, page)
    body, now = b'{"type":"adaptation.succeeded"}', datetime.now(UTC)
    secret = "whsec_" + base64.b64encode(b"k" * 32).decode()

    def takes(by: str, at: datetime, sent: bytes) -> bool:
        signature = Webhook(by).sign("wh_1", at, body.decode())
        stamp = str(int(at.timestamp()))
        told = ("wh_1", stamp, f"v1,AAAA {signature}")
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        return bool(page["is_from_fewstep"](secret, dict(zip(names, told, strict=True)), sent))

    other = "whsec_" + base64.b64encode(b"o" * 32).decode()
    assert takes(secret, now, body)
    assert not takes(other, now, body)
    assert not takes(secret, now, body + b" ")
    assert not takes(secret, now - timedelta(hours=1), body)


def test_the_table_has_every_code_under_its_status() -> None:
    by_status: dict[int, list[str]] = defaultdict(list)
    for code, (status, _) in PROBLEMS.items():
        by_status[status].append(code)
    for status, codes in by_status.items():
        row = f"| {status} | {', '.join(f'`{code}`' for code in codes)} |"
        assert row in PAGE
