"""The running service as the cases find it: a client, and adaptations in every state."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import httpx
from sqlalchemy import Engine, func, insert, select, update

from app.db.connections import now_s, open_engine, reading, writing
from app.db.tables import adaptations, idempotency_keys
from app.values.adaptation import new_id
from tests.processes import Service, processes_of
from tests.refusals.calls import Json
from tests.refusals.pictures import url

SINE: Json = {"checkpoint": "sinusoid", "support": {"inputs": [1.0, 2.0], "targets": [0.5, -0.5]}}
UNKNOWN = "ad_" + "0" * 32


def letters(targets: list[object], inputs: list[object] | None = None, **others: object) -> Json:
    """A body for the characters: drawings of these classes unless the inputs are given."""
    drawn = [url(seed) for seed in range(len(targets))] if inputs is None else inputs
    support = {"inputs": drawn, "targets": targets}
    return {"checkpoint": "omniglot-5way-1shot", "support": support, **others}


def sine(inputs: list[object], targets: object, **others: object) -> Json:
    return {"checkpoint": "sinusoid", "support": {"inputs": inputs, "targets": targets}, **others}


class World:
    """A service, who talks to it, and what there is in it; made when it is first asked for."""

    def __init__(self, service: Service, client: httpx.Client) -> None:
        self.service, self.client = service, client

    def adapt(self, body: Json, **headers: str) -> Json:
        answer = self.client.post("/adapt", json=body, headers=headers)
        assert answer.status_code in (201, 202), answer.text
        found: Json = answer.json()
        return found

    def adapt_unwatched(self, body: Json) -> Json:
        """The same when it has ended, though nobody waited: no process keeps its φ hot."""
        where = f"/adaptations/{self.adapt(body, Prefer='respond-async')['id']}"
        deadline = time.monotonic() + 30
        while (found := self.client.get(where).json())["status"] != "succeeded":
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        ended: Json = found
        return ended

    @cached_property
    def sine(self) -> str:
        return str(self.adapt(SINE)["id"])

    @cached_property
    def letters(self) -> str:
        return str(self.adapt(letters(["a", "b", "c", "d", "e"]))["id"])

    @cached_property
    def failed(self) -> str:
        return str(self.adapt(sine([1.0], [1e30]))["id"])

    @cached_property
    def expired(self) -> str:
        found = str(self.adapt(SINE | {"ttl_seconds": 1})["id"])
        deadline = time.monotonic() + 15
        while self.status(found) != "expired":
            assert time.monotonic() < deadline, "nothing expired it"
            time.sleep(0.1)
        return found

    @cached_property
    def running(self) -> str:
        return self._copy_of_sine(status="running", phi_digest=None, lease_until=4e9)

    @cached_property
    def cancelled(self) -> str:
        return self._copy_of_sine(status="cancelled", phi_digest=None)

    @contextmanager
    def queued(self) -> Iterator[str]:
        """An adaptation that no worker takes inside the block."""
        worker = [
            process
            for process, command in processes_of(self.service.data_dir).items()
            if process != self.service.process.pid and "valkey" not in command
        ]
        _signal(worker, signal.SIGSTOP)
        try:
            yield str(self.adapt(SINE, Prefer="respond-async")["id"])
        finally:
            _signal(worker, signal.SIGCONT)

    def status(self, adaptation_id: str) -> str:
        return str(self.client.get(f"/adaptations/{adaptation_id}").json()["status"])

    def parameters_on_disk(self, adaptation_id: str) -> Path:
        query = select(adaptations.c.tenant_id, adaptations.c.phi_digest)
        with reading(self.engine) as connection:
            row = connection.execute(query.where(adaptations.c.id == adaptation_id)).one()
        return self.service.data_dir / "blobs" / row.tenant_id / row.phi_digest

    def count(self) -> int:
        """How many adaptations there are, of all tenants."""
        with reading(self.engine) as connection:
            return connection.execute(select(func.count()).select_from(adaptations)).scalar_one()

    def age_keys(self, hours: float) -> None:
        """Makes every Idempotency-Key so much older."""
        aged = {"created_at": now_s() - hours * 3600}
        with writing(self.engine) as connection:
            connection.execute(update(idempotency_keys).values(**aged))

    def memory_mib(self) -> int:
        """The most memory that the API's process ever held (Linux, else 0)."""
        status = Path(f"/proc/{self.service.process.pid}/status")
        lines = status.read_text().splitlines() if status.exists() else ["VmHWM: 0 kB"]
        return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))

    @cached_property
    def engine(self) -> Engine:
        return open_engine(f"sqlite:///{self.service.data_dir / 'fewstep.db'}")

    def close(self) -> None:
        if "engine" in vars(self):
            self.engine.dispose()

    def _copy_of_sine(self, **changes: object) -> str:
        original = select(adaptations).where(adaptations.c.id == self.sine)
        with writing(self.engine) as connection:
            row = dict(connection.execute(original).one()._mapping)
            copy = row | changes | {"id": new_id()}
            connection.execute(insert(adaptations).values(copy))
        return str(copy["id"])


def _signal(processes: list[int], number: int) -> None:
    for process in processes:
        os.kill(process, number)
