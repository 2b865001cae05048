"""The index of exchanges. It is derived from the evidence: a later step may drop it and have it made again."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create it empty."""
    big, small, text = sa.BigInteger(), sa.Integer(), sa.String(120)
    op.create_table(
        "exchanges",
        sa.Column("exchange", text, primary_key=True),
        sa.Column("slot", small, primary_key=True, autoincrement=False),
        *(sa.Column(name, big, nullable=False) for name in ("first_seq", "last_seq", "began", "last")),
        *(sa.Column(name, small, nullable=False) for name in ("scope", "credential", "plan")),
        sa.Column("key", small),
        sa.Column("session", sa.String(32)),
        sa.Column("called", sa.Boolean(), nullable=False),
        sa.Column("outcome", small),
        sa.Column("reason", small),
        *(sa.Column(name, big, nullable=False) for name in ("outcome_seq", "released", "present", "restored")),
        sa.Column("found", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "findings",
        sa.Column("slot", small, primary_key=True, autoincrement=False),
        sa.Column("seq", big, primary_key=True, autoincrement=False),
        sa.Column("at", big, nullable=False),
        sa.Column("exchange", text, nullable=False),
        *(sa.Column(name, small, nullable=False) for name in ("rule", "verdict", "scope")),
    )
    op.create_table(
        "slots",
        sa.Column("number", small, primary_key=True, autoincrement=False),
        sa.Column("slot", sa.String(63), nullable=False),
        sa.Column("seq", big, nullable=False),
        sa.Column("prev", sa.String(64), nullable=False),
        sa.UniqueConstraint("slot"),
    )
    op.create_table(
        "cell_files",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("inode", big, nullable=False),
        sa.Column("cells", big, nullable=False),
        sa.Column("last", sa.String(32)),
    )
    op.create_table(
        "subject_keys",
        sa.Column("id", small, primary_key=True, autoincrement=False),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("lookup", sa.String(32)),
        sa.Column("subject", small),
        sa.Column("erased", sa.Boolean(), nullable=False),
        sa.UniqueConstraint("key"),
    )
    op.create_table(
        "scopes",
        sa.Column("id", small, primary_key=True, autoincrement=False),
        *(sa.Column(part, text, nullable=False) for part in ("shop", "surface", "model", "jurisdiction")),
        sa.UniqueConstraint("shop", "surface", "model", "jurisdiction"),
    )
    for table, value in (("words", "word"), ("labels", "label")):
        op.create_table(
            table,
            sa.Column("id", small, primary_key=True, autoincrement=False),
            sa.Column(value, text, nullable=False),
            sa.UniqueConstraint(value),
        )
    summary = ["scope", "outcome", "present", "restored", "called", "found", "began", "last", "key"]
    op.create_index("ix_exchanges_began", "exchanges", ["began"])
    op.create_index("ix_exchanges_summary", "exchanges", summary)
    op.create_index("ix_exchanges_key", "exchanges", ["key", "began"])
    op.create_index("ix_exchanges_session", "exchanges", ["session"])
    op.create_index("ix_exchanges_slot", "exchanges", ["slot"])
    op.create_index("ix_findings_rule", "findings", ["rule", "at"])
    op.create_index("ix_findings_exchange", "findings", ["exchange", "slot", "rule"])
    op.create_index("ix_subject_keys_lookup", "subject_keys", ["lookup"])
