"""What an example weighs, so that a claim bounds a batch as a request is bounded.

Revision: 0002, after: 0001. Rows of before weigh as their claims counted them: one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.Column("example_weight", sa.Integer(), nullable=False, server_default="1")
    op.add_column("adaptations", column)


def downgrade() -> None:
    with op.batch_alter_table("adaptations", schema=None) as batch_op:
        batch_op.drop_column("example_weight")
