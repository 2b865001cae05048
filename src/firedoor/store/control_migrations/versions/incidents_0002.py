"""The cases of a region: their entries, how far they know the journals, and what other systems are to be told."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create them empty."""
    big, case = sa.BigInteger(), sa.String(64)
    op.create_table(
        "incident_cases",
        sa.Column("id", case, primary_key=True),
        sa.Column("opened_at", big, nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
    )
    op.create_table(
        "incident_entries",
        sa.Column("case_id", case, primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("at", big, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "incident_unrecorded",
        sa.Column("position", big, primary_key=True, autoincrement=False),
        sa.Column("case_id", case, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
    )
    op.create_table(
        "incident_cursors",
        sa.Column("host", sa.String(63), primary_key=True),
        sa.Column("slot", sa.String(130), primary_key=True),
        sa.Column("seq", big, nullable=False),
    )
    op.create_table(
        "incident_messages",
        sa.Column("position", big, primary_key=True, autoincrement=False),
        sa.Column("system", sa.String(63), nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("not_before", big, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.UniqueConstraint("system", "id"),
    )
    op.create_table(
        "incident_dropped",
        sa.Column("system", sa.String(63), primary_key=True),
        sa.Column("messages", big, nullable=False),
    )
