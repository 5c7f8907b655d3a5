"""A plain install acts, adapts and trains without MuJoCo and Gymnasium."""

import subprocess
import sys

LOADED = """
import sys
for name in ("mujoco", "gymnasium"):
    sys.modules[name] = None  # importing it fails
import app.api.application, app.cli.main, worker.application, worker.acting
import models.meta_training.policies, models.environments.opening
models.environments.opening.open_environment({"name": "point-navigation"})
try:
    models.environments.opening.open_environment({"name": "half-cheetah-direction"}).start(
        __import__("numpy").ones((1, 1)), 1, __import__("numpy").random.default_rng(0)
    )
except (ValueError, ImportError) as error:
    print(error)
"""


def test_neither_is_needed_nor_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert "mujoco" in done.stdout.lower()
