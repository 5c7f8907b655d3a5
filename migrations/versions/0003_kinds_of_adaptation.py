"""How an adaptation adapts, and how its pictures were set right. Rows of before say nothing
of it: they adapted as their checkpoint's recipe has it, and took pictures as they were.

Revision: 0003, after: 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("adapts", sa.String(16)),
        sa.Column("preprocessing", sa.JSON()),
        sa.Column("warnings", sa.JSON()),
    ):
        op.add_column("adaptations", column)


def downgrade() -> None:
    with op.batch_alter_table("adaptations", schema=None) as batch_op:
        for name in ("adapts", "preprocessing", "warnings"):
            batch_op.drop_column(name)
