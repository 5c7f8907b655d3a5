"""The tables. Times are seconds since 1970 by the database's clock; every row belongs to a
tenant.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def claim_columns() -> tuple[Column[Any], ...]:
    """The columns of every table whose rows are claimed (``claims``); index status with queued_at.

    epoch: of the claim that holds or held the row last; attempts_alone: of those, by itself.
    """
    return (
        Column("id", String(40), primary_key=True),
        Column("status", String(16), nullable=False),
        Column("epoch", Integer, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("attempts_alone", Integer, nullable=False),
        Column("alone", Boolean, nullable=False),
        Column("worker", String(200)),
        Column("lease_until", Double),
        Column("queued_at", Double, nullable=False),
        Column("started_at", Double),
    )


tenants = Table(
    "tenants",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("created_at", Double, nullable=False),
    Column("deleted_at", Double),
    Column("limits", JSON(none_as_null=True)),
    Column("support_retention_seconds", Integer),
    Column("webhook_secret", String(100)),
    Column("served_at", Double),  # when a batch was last begun for it while others waited
    Column("webhook_secret_before", String(100)),  # signs as well, for a while
    Column("webhook_secret_since", Double),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("secret_sha256", String(64), nullable=False, unique=True),
    Column("scopes", JSON(none_as_null=True)),  # none: every one, as keys of before had
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("parameters", Integer, nullable=False),
    Column("description", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("deleted_at", Double),  # the number of a version is never given twice
    UniqueConstraint("tenant_id", "name", "digest"),
)

checkpoint_aliases = Table(
    "checkpoint_aliases",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("alias", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("updated_at", Double, nullable=False),
)

adaptations = Table(
    "adaptations",
    metadata,
    *claim_columns(),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("key_id", String(40)),
    Column("extends_id", String(40)),
    Column("task", String(32), nullable=False),
    Column("checkpoint_tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("checkpoint_name", String(64), nullable=False),
    Column("checkpoint_version", Integer, nullable=False),
    Column("checkpoint_digest", String(64), nullable=False),
    Column("classes", JSON),
    Column("outputs", Integer, nullable=False),
    Column("adapts", String(16)),
    Column("steps", Integer, nullable=False),
    Column("step_size", Double),
    Column("assess", Boolean, nullable=False),
    Column("support_examples", Integer, nullable=False),
    Column("example_weight", Integer, nullable=False, server_default="1"),
    Column("support_digest", String(64), nullable=False),
    Column("query_digest", String(64)),
    Column("batch_key", String(64), nullable=False),
    Column("work_digest", String(64)),  # equal in a tenant: equal work, so equal parameters
    Column("name", String(200)),
    Column("metadata", JSON, nullable=False),
    Column("ttl_seconds", Integer),
    Column("preprocessing", JSON(none_as_null=True)),
    Column("warnings", JSON),
    Column("webhook", String(2000)),
    Column("trace_context", String(200)),
    Column("made_by", JSON(none_as_null=True)),
    Column("phi_digest", String(64)),
    Column("metrics", JSON),
    Column("predictions", JSON),
    Column("error", JSON),
    Column("timing", JSON),
    Column("created_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("expires_at", Double),
    Column("support_forgotten_at", Double),
    Column("round", Integer),  # of policies, as the next three
    Column("env_steps", Integer),
    Column("continues_id", String(40)),
    Column("start_digest", String(64)),
    Index(None, "status", "queued_at"),
    Index(None, "status", "tenant_id", "queued_at"),
    Index(None, "status", "finished_at"),
    Index(None, "tenant_id", "work_digest"),
    Index(None, "batch_key", "status"),
    Index(None, "tenant_id", "created_at", "id"),
    Index(None, "status", "expires_at"),
)

events = Table(
    "events",
    metadata,
    Column("adaptation_id", ForeignKey("adaptations.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("detail", JSON, nullable=False),
    Column("at", Double, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("adaptation_id", ForeignKey("adaptations.id", ondelete="CASCADE")),
    Column("made", JSON(none_as_null=True)),  # what else the request made, as its own room reads it
    Column("created_at", Double, nullable=False, index=True),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    *claim_columns(),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("adaptation_id", ForeignKey("adaptations.id", ondelete="CASCADE"), nullable=False),
    Column("event_number", Integer, nullable=False),
    Column("url", String(2000), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("answered", Integer),  # the last answer's status
    Column("error", String(200)),
    Column("created_at", Double, nullable=False),
    Column("finished_at", Double),
    Index(None, "status", "queued_at"),
    Index(None, "status", "finished_at"),
    Index(None, "adaptation_id", "event_number"),
)

usage = Table(
    "usage",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), primary_key=True),
    Column("key_id", String(40), primary_key=True),  # "": nobody's
    Column("day", String(10), primary_key=True),  # of UTC, as 2026-01-31
    Column("counted", String(32), primary_key=True),
    Column("amount", Double, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("host", String(200), nullable=False),
    Column("device", String(40), nullable=False),
    Column("started_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
)
