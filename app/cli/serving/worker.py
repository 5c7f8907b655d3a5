"""`fewstep worker`: one Celery worker, as the supervisor starts it and as a container runs it."""

import os
import sys
from typing import Final

from app.settings import environment, load_settings

# Celery warns root because of pickle; nothing here reads anything but JSON.
NO_ROOT_WARNING: Final = "ignore:You're running the worker with superuser privileges"
# Said past every set-up of logs, by the process that cleans up after a worker that was killed.
NO_CLEANING_WARNING: Final = "ignore:semaphore_tracker"


def worker_command() -> list[str]:
    """The command of one worker; it reads its settings from FEWSTEP_* variables."""
    python = [sys.executable, "-W", NO_ROOT_WARNING, "-W", NO_CLEANING_WARNING]
    celery = [*python, "-m", "celery", "--quiet", "-A", "worker.application", "worker"]
    pool = ["--pool", "prefork", "--concurrency", "1"]
    return [*celery, *pool, "--without-gossip", "--without-mingle", "-Q", "adapt"]


def worker() -> None:
    """Adapt whatever waits in the queue, until stopped. Needs FEWSTEP_REDIS_URL."""
    settings = load_settings()
    if settings.redis_url is None:
        sys.stderr.write(
            "fewstep: set FEWSTEP_REDIS_URL to the service's Redis; the embedded one belongs to"
            " `fewstep serve`, which starts its own worker\n"
        )
        raise SystemExit(2)
    command = worker_command()
    os.execve(command[0], command, {**os.environ, **environment(settings)})
