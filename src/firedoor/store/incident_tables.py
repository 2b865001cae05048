"""The tables of a region's cases in control's database. In clear are ids, numbers, moments and kinds; the rest is
sealed, each row for its own place: what was moved or swapped does not open.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, String, Table, UniqueConstraint

from firedoor.store.controldb import TABLES

CASES: Final = Table(
    "incident_cases",
    TABLES,
    Column("id", String(64), primary_key=True),
    Column("opened_at", BigInteger, nullable=False),
    Column("ended", Boolean, nullable=False),
    Column("entries", Integer, nullable=False),
)
ENTRIES: Final = Table(
    "incident_entries",
    TABLES,
    Column("case_id", String(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("content", LargeBinary, nullable=False),
)
UNRECORDED: Final = Table(
    "incident_unrecorded",
    TABLES,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("case_id", String(64), nullable=False),
    Column("number", Integer, nullable=False),
)
"""Entries that the evidence is not known to hold, oldest first."""
CURSORS: Final = Table(
    "incident_cursors",
    TABLES,
    Column("host", String(63), primary_key=True),
    Column("slot", String(130), primary_key=True),
    Column("seq", BigInteger, nullable=False),
)
MESSAGES: Final = Table(
    "incident_messages",
    TABLES,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("system", String(63), nullable=False),
    Column("id", String(200), nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    UniqueConstraint("system", "id"),
)
"""`not_before` is in Unix microseconds."""
DROPPED: Final = Table(
    "incident_dropped",
    TABLES,
    Column("system", String(63), primary_key=True),
    Column("messages", BigInteger, nullable=False),
)
"""How many messages to a system were dropped because too many waited."""
