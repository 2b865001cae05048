"""The tables of the index of exchanges, as SQLAlchemy Core sees them.

Repeated text is interned (`words`, `scopes`, `subject_keys`): with integers an aggregate over a million exchanges
reads one narrow index in its own order. Categories of personal data are bits of a number: one bit for each label. A
subject is an integer too, the first `subject_keys.id` with the same look-up pseudonym; erasing touches only that table.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

FRESH: Final = "fresh_"
"""Prefix of the tables that a rebuild fills before they take the others' place."""
NAMES: Final = ("exchanges", "findings", "packs", "slots", "cell_files", "subject_keys", "scopes", "words", "labels")
"""Every table of the index, in the order in which readers and the swap lock them."""
NOTHING: Final = 0
"""The integer of empty text in `words` and `scopes`: what no record says."""
OTHER: Final = "OTHER"
"""What labels are called that share the last bit."""
_LAST_BIT: Final = 62
"""Of the 63 that a signed 64-bit integer has. There are some thirty labels; if they run out, the rest shares it."""


def bit(label: int) -> int:
    """The bit that stands for the label with this integer (from 1 on)."""
    return 1 << min(label - 1, _LAST_BIT)


def shares_bit(label: int) -> bool:
    """Whether the label with this integer cannot be told from others."""
    return label > _LAST_BIT


class IndexTables:
    """The tables with `prefix` before each name, and `mark` after each index's name; in a PostgreSQL `schema`, or in
    the one of the connection.

    SQLite cannot rename an index, so that each rebuild marks its own.
    """

    def __init__(self, prefix: str = "", mark: str = "", schema: str | None = None) -> None:
        self.prefix = prefix
        self.metadata = metadata = MetaData(schema=schema)

        def index(name: str, *columns: str) -> Index:
            return Index(f"ix_{name}{mark}", *columns)

        self.exchanges = Table(
            f"{prefix}exchanges",
            metadata,
            Column("exchange", String(120), primary_key=True),
            Column("slot", Integer, primary_key=True, autoincrement=False),
            Column("first_seq", BigInteger, nullable=False),
            Column("last_seq", BigInteger, nullable=False),
            Column("began", BigInteger, nullable=False),
            Column("last", BigInteger, nullable=False),
            Column("scope", Integer, nullable=False),
            Column("credential", Integer, nullable=False),
            Column("plan", Integer, nullable=False),
            Column("key", Integer),
            Column("session", String(32)),
            Column("called", Boolean, nullable=False),
            Column("outcome", Integer),
            Column("reason", Integer),
            Column("outcome_seq", BigInteger, nullable=False),
            Column("released", BigInteger, nullable=False),
            Column("present", BigInteger, nullable=False),
            Column("restored", BigInteger, nullable=False),
            Column("found", Boolean, nullable=False),
            index("exchanges_began", "began"),
            # Holds all that a summary asks, in the order in which it groups: it reads this and sorts nothing.
            index(
                "exchanges_summary",
                *("scope", "outcome", "credential", "present", "restored", "called", "found"),
                *("began", "last", "key", "released"),
            ),
            index("exchanges_key", "key", "began"),
            index("exchanges_session", "session"),
            index("exchanges_slot", "slot", "first_seq"),
        )
        # Exchanges of a slot once more, in columns: see `index_packs`.
        self.packs = Table(
            f"{prefix}packs",
            metadata,
            Column("slot", Integer, primary_key=True, autoincrement=False),
            Column("first", BigInteger, primary_key=True, autoincrement=False),
            Column("after", BigInteger, nullable=False),
            Column("began", BigInteger, nullable=False),
            Column("last", BigInteger, nullable=False),
            Column("blank", Boolean, nullable=False),
            Column("data", LargeBinary, nullable=False),
        )
        self.findings = Table(
            f"{prefix}findings",
            metadata,
            Column("slot", Integer, primary_key=True, autoincrement=False),
            Column("seq", BigInteger, primary_key=True, autoincrement=False),
            Column("at", BigInteger, nullable=False),
            Column("exchange", String(120), nullable=False),
            Column("rule", Integer, nullable=False),
            Column("verdict", Integer, nullable=False),
            Column("scope", Integer, nullable=False),
            index("findings_rule", "rule", "at"),
            index("findings_exchange", "exchange", "slot", "rule"),
        )
        self.slots = Table(
            f"{prefix}slots",
            metadata,
            Column("number", Integer, primary_key=True, autoincrement=False),
            Column("slot", String(63), nullable=False),
            Column("seq", BigInteger, nullable=False),
            Column("prev", String(64), nullable=False),
            UniqueConstraint("slot"),
        )
        self.cell_files = Table(
            f"{prefix}cell_files",
            metadata,
            Column("name", String(200), primary_key=True),
            Column("inode", BigInteger, nullable=False),
            Column("cells", BigInteger, nullable=False),
            Column("last", String(32)),
        )
        self.subject_keys = Table(
            f"{prefix}subject_keys",
            metadata,
            Column("id", Integer, primary_key=True, autoincrement=False),
            Column("key", String(32), nullable=False),
            Column("lookup", String(32)),
            Column("subject", Integer),
            Column("erased", Boolean, nullable=False),
            UniqueConstraint("key"),
            index("subject_keys_lookup", "lookup"),
        )
        self.scopes = Table(
            f"{prefix}scopes",
            metadata,
            Column("id", Integer, primary_key=True, autoincrement=False),
            *(Column(part, String(120), nullable=False) for part in ("shop", "surface", "model", "jurisdiction")),
            UniqueConstraint("shop", "surface", "model", "jurisdiction"),
        )
        self.words = Table(
            f"{prefix}words",
            metadata,
            Column("id", Integer, primary_key=True, autoincrement=False),
            Column("word", String(120), nullable=False),
            UniqueConstraint("word"),
        )
        self.labels = Table(
            f"{prefix}labels",
            metadata,
            Column("id", Integer, primary_key=True, autoincrement=False),
            Column("label", String(120), nullable=False),
            UniqueConstraint("label"),
        )

    def all(self) -> list[Table]:
        """The tables in the order of `NAMES`."""
        tables = {table.name: table for table in self.metadata.tables.values()}
        return [tables[self.prefix + name] for name in NAMES]


LIVE: Final = IndexTables()
"""What readers read."""
