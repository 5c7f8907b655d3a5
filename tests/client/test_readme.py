"""Every example of the client's README runs, as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import Service

ROOT = Path(__file__).parents[2]
EXAMPLES = re.findall(
    r"```python\n(.*?)```", (ROOT / "client" / "README.md").read_text(), re.DOTALL
)
SAID = ["kem\n", "40 adapted, 0 refused\n", "adaptation.queued\n", "True\n", "True\n"]


@pytest.mark.parametrize(("example", "said"), list(zip(EXAMPLES, SAID, strict=True)))
def test_an_example_says_what_it_promises(service: Service, example: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=ROOT,
        env=os.environ | {"FEWSTEP_URL": service.base_url},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(said)
