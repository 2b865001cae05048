"""Exchanges are kept in columns too, for counting who is affected; the index of a slot finds those that are not yet."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create them empty: whoever writes the index fills them. A rebuild has given the index another name."""
    op.create_table(
        "packs",
        sa.Column("slot", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("first", sa.BigInteger(), primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("after", "began", "last")),
        sa.Column("blank", sa.Boolean(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
    for index in sa.inspect(op.get_bind()).get_indexes("exchanges"):
        if str(index["name"]).startswith("ix_exchanges_slot"):
            op.drop_index(str(index["name"]), "exchanges")
    op.create_index("ix_exchanges_slot", "exchanges", ["slot", "first_seq"])
