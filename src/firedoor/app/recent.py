"""Which exchanges went to a model instance lately: from the index, and from the journals where it is not yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from firedoor.config import RegionHome
from firedoor.core.evidence.questions import Question
from firedoor.errors import FiredoorError
from firedoor.store.index_read import open_index
from firedoor.store.journal_read import JournalCursor
from firedoor.store.segments import first_seq, segments, slots

MOST: Final = 200
"""Exchanges that are named; how many there were, `firedoor evidence search --model` says."""
TAIL: Final = 20_000
"""Records read of the journals: those since the index, some seconds' worth at the rates of one host."""
BATCH: Final = 2000
MICRO: Final = 1_000_000


def recent_exchanges(place: RegionHome, state: str | None, model: str, *, since: int, until: int) -> dict[str, Any]:
    """The newest exchanges that were given to `model` between two moments (Unix seconds), newest first. Blocks.

    `state` is the region's PostgreSQL database, None for its SQLite file. ``whole`` is False when more may be missing
    than those beyond `MOST`: a source could not be read, or not to its end.
    """
    found: dict[str, int] = {}
    after: dict[str, int] = {}
    whole = True
    try:
        index = open_index(state or place.state, place.name)
        try:
            after = index.read_up_to()
            asked = Question(model=model, since=since * MICRO, until=until * MICRO)
            found = {one.exchange: one.began for one in index.find(asked, MOST) if one.called}
        finally:
            index.close()
    except (FiredoorError, OSError):
        whole = False
    left = TAIL
    for slot in slots(place.journals):
        try:
            left = _tail(place.journal(slot), after.get(slot), model, since * MICRO, found, left)
        except (FiredoorError, OSError):
            whole = False
    newest = sorted(found, key=lambda exchange: (-found[exchange], exchange))
    return {
        "ids": newest[:MOST],
        "since": since,
        "until": until,
        "more": len(newest) > MOST,
        "whole": whole and left > 0,
    }


def _tail(folder: Path, after: int | None, model: str, since: int, found: dict[str, int], left: int) -> int:
    """Add what a slot's journal holds after record `after`, or in its newest segment; how many may still be read."""
    if after is None:
        paths = segments(folder)
        if not paths:
            return left
        after = first_seq(paths[-1]) - 1
    cursor = JournalCursor(folder, after)
    try:
        while left > 0 and (batch := cursor.new(min(BATCH, left))):
            left -= len(batch)
            for stored in batch:
                leaf = stored.leaf
                if leaf.kind == "intent" and leaf.facts.get("model") == model and leaf.at >= since:
                    found[leaf.exchange] = leaf.at
    finally:
        cursor.close()
    return left
