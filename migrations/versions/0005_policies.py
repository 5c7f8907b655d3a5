"""Policies: rounds of rollouts, and the parameters that a round goes on from.

Revision: 0005, after: 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _added() -> tuple[sa.Column, ...]:
    return (
        sa.Column("round", sa.Integer()),
        sa.Column("env_steps", sa.Integer()),
        sa.Column("continues_id", sa.String(40)),
        sa.Column("start_digest", sa.String(64)),
    )


def upgrade() -> None:
    for column in _added():
        op.add_column("adaptations", column)


def downgrade() -> None:
    with op.batch_alter_table("adaptations", schema=None) as batch_op:
        for column in _added():
            batch_op.drop_column(column.name)
