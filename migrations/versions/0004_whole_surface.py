"""Scopes, aliases, limits, webhooks, usage, and what made an adaptation. Rows of before have none:
their keys may do everything, and nobody wrote down what made them.

Revision: 0004, after: 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _added() -> dict[str, tuple[sa.Column, ...]]:
    return {
        "tenants": (
            sa.Column("deleted_at", sa.Double()),
            sa.Column("limits", sa.JSON()),
            sa.Column("support_retention_seconds", sa.Integer()),
            sa.Column("webhook_secret", sa.String(100)),
            sa.Column("served_at", sa.Double()),
            sa.Column("webhook_secret_before", sa.String(100)),
            sa.Column("webhook_secret_since", sa.Double()),
        ),
        "api_keys": (sa.Column("scopes", sa.JSON()),),
        "checkpoints": (sa.Column("deleted_at", sa.Double()),),
        "adaptations": (
            sa.Column("key_id", sa.String(40)),
            sa.Column("extends_id", sa.String(40)),
            sa.Column("work_digest", sa.String(64)),
            sa.Column("webhook", sa.String(2000)),
            sa.Column("trace_context", sa.String(200)),
            sa.Column("made_by", sa.JSON()),
            sa.Column("support_forgotten_at", sa.Double()),
        ),
        "idempotency_keys": (sa.Column("made", sa.JSON()),),
    }


INDICES = (
    ("status", "tenant_id", "queued_at"),
    ("status", "finished_at"),
    ("tenant_id", "work_digest"),
)


def upgrade() -> None:
    for table, columns in _added().items():
        for column in columns:
            op.add_column(table, column)
    with op.batch_alter_table("idempotency_keys", schema=None) as batch_op:
        batch_op.alter_column("adaptation_id", existing_type=sa.String(40), nullable=True)
    for names in INDICES:
        op.create_index(f"ix_adaptations_{'_'.join(names)}", "adaptations", list(names))
    _create_aliases()
    _create_deliveries()
    _create_usage()


def downgrade() -> None:
    for table in ("usage", "webhook_deliveries", "checkpoint_aliases"):
        op.drop_table(table)
    for names in INDICES:
        op.drop_index(f"ix_adaptations_{'_'.join(names)}", table_name="adaptations")
    op.execute("DELETE FROM idempotency_keys WHERE adaptation_id IS NULL")
    with op.batch_alter_table("idempotency_keys", schema=None) as batch_op:
        batch_op.alter_column("adaptation_id", existing_type=sa.String(40), nullable=False)
    for table, columns in _added().items():
        for column in columns:
            op.drop_column(table, column.name)


def _tenant() -> sa.Column:
    return sa.Column("tenant_id", sa.String(40), nullable=False)


def _of_tenant(table: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_tenant_id"
    return sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f(name))


def _create_aliases() -> None:
    op.create_table(
        "checkpoint_aliases",
        _tenant(),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("alias", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        _of_tenant("checkpoint_aliases"),
        sa.PrimaryKeyConstraint("tenant_id", "name", "alias", name=op.f("pk_checkpoint_aliases")),
    )


def _create_deliveries() -> None:
    table = "webhook_deliveries"
    op.create_table(
        table,
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("attempts_alone", sa.Integer(), nullable=False),
        sa.Column("alone", sa.Boolean(), nullable=False),
        sa.Column("worker", sa.String(200)),
        sa.Column("lease_until", sa.Double()),
        sa.Column("queued_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double()),
        _tenant(),
        sa.Column("adaptation_id", sa.String(40), nullable=False),
        sa.Column("event_number", sa.Integer(), nullable=False),
        sa.Column("url", sa.String(2000), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("answered", sa.Integer()),
        sa.Column("error", sa.String(200)),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double()),
        _of_tenant(table),
        sa.ForeignKeyConstraint(
            ["adaptation_id"],
            ["adaptations.id"],
            ondelete="CASCADE",
            name=op.f(f"fk_{table}_adaptation_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
    )
    for names in (
        ("status", "queued_at"),
        ("status", "finished_at"),
        ("adaptation_id", "event_number"),
    ):
        op.create_index(f"ix_{table}_{'_'.join(names)}", table, list(names))


def _create_usage() -> None:
    op.create_table(
        "usage",
        _tenant(),
        sa.Column("key_id", sa.String(40), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("counted", sa.String(32), nullable=False),
        sa.Column("amount", sa.Double(), nullable=False),
        _of_tenant("usage"),
        sa.PrimaryKeyConstraint("tenant_id", "key_id", "day", "counted", name=op.f("pk_usage")),
    )
