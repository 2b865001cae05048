"""What the journals of this host hold beyond its index, and what its published logs hold beyond its journals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from firedoor.config import RegionHome
from firedoor.core.evidence.checkpoint import parse_checkpoint
from firedoor.core.evidence.leaf import GENESIS, Leaf
from firedoor.core.evidence.note import NOTE_LIMIT, parse_note
from firedoor.errors import EvidenceDamaged, SetupError
from firedoor.store.files import read_bounded
from firedoor.store.journal_end import read_end
from firedoor.store.segments import slots
from firedoor.store.tilelog_read import CHECKPOINT, COSIGNED

TAIL: Final = 20_000
"""Records that are read to be counted exactly: some seconds' worth at the rates of one host, and a fifth of a second.
What is beyond is counted as a range.
"""


class Ends(Struct):
    """`leaves` stand in journals and not in the index, `unread` more records too. `missing` are in neither, though the
    published log covers them; None if nobody knows how many. `read_up_to` says per slot how far was read.
    """

    leaves: list[Leaf]
    unread: int
    missing: int | None
    read_up_to: dict[str, int]

    def lacks(self, records: int | None) -> None:
        """Records are missing."""
        self.missing = None if records is None or self.missing is None else self.missing + records


def read_ends(
    place: RegionHome, known: Mapping[str, tuple[int, str]], matters: Callable[[str], bool], limit: int
) -> Ends:
    """Everything that is not in an index which has read the slots up to `known` (last record, hash of its leaf).

    `matters` says whether what may have been written to a slot after its last known record could be in question.
    Raises OSError.
    """
    ends = Ends([], 0, 0, {slot: seq for slot, (seq, _) in known.items()})
    present = slots(place.journals)
    logs = {path.parent.name for path in place.logs.glob(f"*/{CHECKPOINT}")} if place.logs.is_dir() else set()
    for slot in present:
        _read(ends, place, slot, known.get(slot, (0, GENESIS)), matters, limit - len(ends.leaves))
    for slot in sorted((known.keys() | logs) - set(present)):
        after = known.get(slot, (0, GENESIS))[0]
        if (after or slot in logs) and matters(slot):
            ends.lacks(_beyond(place.logs / slot, after))
    return ends


def _read(
    ends: Ends, place: RegionHome, slot: str, known: tuple[int, str], matters: Callable[[str], bool], limit: int
) -> None:
    after, hashed = known
    try:
        end = read_end(place.journal(slot), after, hashed, max(0, limit))
    except EvidenceDamaged:  # a file that is no segment: nobody can say what stood there
        ends.lacks(None)
        return
    ends.unread += end.unread
    if any((leaf.region, leaf.slot) != (place.name, slot) for leaf in end.leaves):
        ends.unread += len(end.leaves)
        return
    ends.leaves += end.leaves
    if end.leaves:
        ends.read_up_to[slot] = end.leaves[-1].seq
    if end.replaced:
        if matters(slot):
            ends.lacks(_beyond(place.logs / slot, after) if after else 0)
    elif covered := _published(place.logs / slot):
        ends.lacks(max(0, covered - after - len(end.leaves) - end.unread))


def _beyond(log: Path, known: int) -> int | None:
    """How many records of a slot the published log has beyond the `known` first; None if there is no log to tell."""
    published = _published(log)
    return None if published is None else max(0, published - known)


def _published(log: Path) -> int | None:
    """How many records a published log covers. Who could forge it could make counts wider, never smaller."""
    sizes = []
    for name in (CHECKPOINT, COSIGNED):
        try:
            sizes.append(parse_checkpoint(parse_note(read_bounded(log / name, NOTE_LIMIT)).text).size)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (EvidenceDamaged, SetupError):
            return None
    return max(sizes, default=None)
