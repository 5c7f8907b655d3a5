"""Looking adaptations up: rows as values, and what the latest ones were like. Changes nothing."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, or_, select

from app.db.connections import now_s
from app.db.tables import adaptations as t
from app.values.adaptation import Adaptation
from app.values.checkpoint import CheckpointRef
from app.values.lasting import Lasting
from app.values.lifecycle import Status, advance
from app.values.ways import RECIPE

EXPIRING: Final = (Status.SUCCEEDED, Status.FAILED)
KNOWN: Final = tuple(f.name for f in fields(Adaptation) if f.name in t.c)
LEFT_S: Final = (t.c.expires_at - now_s()).label("left_s")
FIND: Final = select(t, LEFT_S).where(
    t.c.tenant_id == bindparam("of_tenant"), t.c.id == bindparam("of")
)


def owner_of(connection: Connection, adaptation_id: str) -> str | None:
    """The tenant whose adaptation this is; for our own work only, never for a caller."""
    query = select(t.c.tenant_id).where(t.c.id == adaptation_id)
    return connection.execute(query).scalar_one_or_none()


def find_status(connection: Connection, tenant_id: str, adaptation_id: str) -> Status | None:
    """How a tenant's adaptation stands; None where there is none of this id, or another's."""
    query = select(t.c.status).where(t.c.tenant_id == tenant_id, t.c.id == adaptation_id)
    found = connection.execute(query).scalar_one_or_none()
    return None if found is None else Status(found)


def find(connection: Connection, tenant_id: str, adaptation_id: str) -> Adaptation | None:
    """A tenant's adaptation; None where there is none of this id, or it is another tenant's."""
    found = find_lasting(connection, tenant_id, adaptation_id)
    return found.value if found else None


def find_all(connection: Connection, tenant_id: str, ids: Sequence[str]) -> list[Adaptation]:
    """Those of a tenant's adaptations that there are, in the order of their ids."""
    query = select(t, LEFT_S).where(t.c.tenant_id == tenant_id, t.c.id.in_(ids))
    found = {row.id: standing_of(row) for row in connection.execute(query)}
    return [found[one] for one in ids if one in found]


def find_ended_equals(
    connection: Connection, tenant_id: str, work_digests: Sequence[str]
) -> dict[str, Adaptation]:
    """By work digest, an adaptation of the tenant that has its parameters and keeps them for now.

    Of several the one that was created last.
    """
    kept = or_(t.c.expires_at.is_(None), t.c.expires_at > now_s())
    query = select(t).where(
        t.c.tenant_id == tenant_id,
        t.c.work_digest.in_(work_digests),
        t.c.status == Status.SUCCEEDED,
        kept,
    )
    rows = connection.execute(query.order_by(t.c.created_at))
    return {row.work_digest: adaptation_of(row) for row in rows}


def find_lasting(
    connection: Connection, tenant_id: str, adaptation_id: str
) -> Lasting[Adaptation] | None:
    """The same, with the seconds until it expires."""
    asked = {"of_tenant": tenant_id, "of": adaptation_id}
    row = connection.execute(FIND, asked).one_or_none()
    if row is None:
        return None
    adaptation = adaptation_of(row)
    left = math.inf if row.left_s is None else float(row.left_s)
    return Lasting(value=as_it_stands(adaptation, left), left_s=left)


def standing_of(row: Row[Any]) -> Adaptation:
    """A row that was selected with LEFT_S as the value that it stands for now."""
    return as_it_stands(adaptation_of(row), math.inf if row.left_s is None else float(row.left_s))


def as_it_stands(adaptation: Adaptation, left_s: float) -> Adaptation:
    """The adaptation, expired where its time is over and the sweeper has yet to write it down."""
    if left_s > 0 or adaptation.status not in EXPIRING:
        return adaptation
    return replace(adaptation, status=advance(adaptation.status, Status.EXPIRED))


def count_failed(connection: Connection, adaptation_ids: Collection[str]) -> int:
    """How many of these adaptations of all tenants are *failed*."""
    failed = t.c.id.in_(adaptation_ids), t.c.status == Status.FAILED
    return connection.execute(select(func.count()).where(*failed)).scalar_one()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What adaptations that cost the same have in common."""

    checkpoint: CheckpointRef
    outputs: int
    support_examples: int


def recent_kinds(connection: Connection, *, limit: int = 200) -> list[Kind]:
    """The kinds of the latest succeeded adaptations of all tenants, newest first, each once."""
    parts = [getattr(t.c, f"checkpoint_{f.name}") for f in fields(CheckpointRef)]
    query = (
        select(*parts, t.c.outputs, t.c.support_examples)
        .where(t.c.status == Status.SUCCEEDED)
        .order_by(t.c.queued_at.desc())
        .limit(limit)
    )
    kinds = (
        Kind(
            checkpoint=_reference(dict(row._mapping)),
            outputs=row.outputs,
            support_examples=row.support_examples,
        )
        for row in connection.execute(query)
    )
    return list(dict.fromkeys(kinds))


def adaptation_of(row: Row[Any]) -> Adaptation:
    """A whole row as the value that it stands for."""
    values = row._mapping
    own = {name: values[name] for name in KNOWN}
    own["checkpoint"] = _reference(dict(values))
    own["status"] = Status(own["status"])
    own["warnings"] = own["warnings"] or ()  # rows of before there were any
    own["adapts"] = own["adapts"] or RECIPE
    own["classes"] = tuple(own["classes"]) if own["classes"] is not None else None
    return Adaptation(**own)


def _reference(values: Mapping[str, Any]) -> CheckpointRef:
    return CheckpointRef(**{f.name: values[f"checkpoint_{f.name}"] for f in fields(CheckpointRef)})
