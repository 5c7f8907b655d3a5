"""The rows of workers: who lives, by the database's clock."""

from sqlalchemy import Connection, delete, select, update

from app.db.connections import insert_missing, now_s
from app.db.tables import workers as t

FRESH_S = 10
FORGOTTEN_S = 3600


def announce(connection: Connection, worker_id: str, *, host: str, device: str) -> None:
    """Writes that this worker lives now."""
    seen = update(t).where(t.c.id == worker_id).values(seen_at=now_s())
    if connection.execute(seen).rowcount == 0:
        values = {"id": worker_id, "host": host, "device": device}
        new = insert_missing(connection, t).values(**values, started_at=now_s(), seen_at=now_s())
        connection.execute(new)
        connection.execute(delete(t).where(t.c.seen_at < now_s() - FORGOTTEN_S))


def withdraw(connection: Connection, worker_id: str) -> None:
    """Writes that this worker has ended."""
    connection.execute(delete(t).where(t.c.id == worker_id))


def live_workers(connection: Connection, *, host: str | None = None) -> list[str]:
    """The devices of the workers seen just now, of one host or of all."""
    query = select(t.c.device).where(t.c.seen_at > now_s() - FRESH_S)
    query = query if host is None else query.where(t.c.host == host)
    return list(connection.execute(query).scalars())
