"""The index of the summary also holds what who-is-affected asks: whose credential it was, and what was released."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it anew: it holds nothing of its own. A rebuild of the index of exchanges has given it another name."""
    for index in sa.inspect(op.get_bind()).get_indexes("exchanges"):
        if str(index["name"]).startswith("ix_exchanges_summary"):
            op.drop_index(str(index["name"]), "exchanges")
    group = ["scope", "outcome", "credential", "present", "restored", "called", "found"]
    op.create_index("ix_exchanges_summary", "exchanges", [*group, "began", "last", "key", "released"])
