"""Who writes, and the switch table with the requests that wait."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create them empty."""
    op.create_table(
        "control_writer",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("region", sa.String(63), nullable=False),
        sa.Column("term", sa.BigInteger(), nullable=False),
        sa.Column("mark", sa.String(32), nullable=False),
    )
    op.create_table(
        "control_state",
        sa.Column("name", sa.String(80), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
    )
