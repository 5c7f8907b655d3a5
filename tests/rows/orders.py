"""Rows to begin with, and looks at the tables that use none of the functions under test."""

from itertools import count
from typing import Any

from sqlalchemy import Engine, text

from app.db.adaptations import claim, insert_queued, recover_lost
from app.db.connections import writing
from app.values.adaptation import Adaptation, NewAdaptation, Outcome, new_id
from app.values.checkpoint import CheckpointRef

LEASE_S = 60.0
TICKS = count(1)
OUTCOME = Outcome(
    phi_digest="f" * 64, metrics={"support_loss": [1.0, 0.5]}, predictions=None, timing={}
)


def new_order(**changes: Any) -> NewAdaptation:
    """An order of the default tenant with a new id, but for the changes."""
    values: dict[str, Any] = {
        "id": new_id(),
        "tenant_id": "default",
        "task": "regression",
        "checkpoint": CheckpointRef(tenant_id="shared", name="c", version=1, digest="c" * 64),
        "classes": None,
        "outputs": 1,
        "adapts": "all",
        "steps": 10,
        "step_size": 0.01,
        "assess": False,
        "support_examples": 5,
        "example_weight": 1,
        "support_digest": "a" * 64,
        "query_digest": None,
        "batch_key": "one",
        "name": None,
        "metadata": {},
        "ttl_seconds": None,
    }
    return NewAdaptation(**values | changes)


def queue(engine: Engine, number: int = 1, **changes: Any) -> list[str]:
    """So many queued rows; their ids, oldest first."""
    with writing(engine) as connection:
        ids = [insert_queued(connection, new_order(**changes)).id for _ in range(number)]
    older = "UPDATE adaptations SET queued_at = queued_at - :ago WHERE id = :id"
    for one in ids:  # ages that differ by more than a clock's tick
        run(engine, older, ago=1000 - 0.01 * next(TICKS), id=one)
    return ids


def claimed(engine: Engine, *, worker: str = "w", **more: Any) -> list[Adaptation]:
    """What one claim in a transaction of its own gives."""
    options = {"limit": 32, "lease_s": LEASE_S, "most_example_steps": 20_000} | more
    with writing(engine) as connection:
        return claim(connection, worker=worker, **options)


def recovered(engine: Engine) -> list[str]:
    """The ids that one look for lost workers changes."""
    with writing(engine) as connection:
        return recover_lost(connection)


def lapse(engine: Engine, *ids: str) -> None:
    """Lets the leases of these rows have ended an hour ago."""
    for one in ids:
        run(
            engine, "UPDATE adaptations SET lease_until = lease_until - 3600 WHERE id = :id", id=one
        )


def value(engine: Engine, column: str, adaptation_id: str) -> Any:
    """One column of one row."""
    return run(engine, f"SELECT {column} FROM adaptations WHERE id = :id", id=adaptation_id)[0][0]


def events(engine: Engine, adaptation_id: str) -> list[tuple[int, str]]:
    """Number and kind of each event of a row, by number."""
    query = "SELECT number, kind FROM events WHERE adaptation_id = :id ORDER BY number"
    return [(number, kind) for number, kind in run(engine, query, id=adaptation_id)]


def run(engine: Engine, statement: str, **parameters: Any) -> list[Any]:
    """The rows that a statement in plain SQL gives; committed."""
    with engine.begin() as connection:
        result = connection.execute(text(statement), parameters)
        return list(result) if result.returns_rows else []
