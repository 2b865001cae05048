"""Copies published logs into a bundle, as they stand at one moment, while their agent goes on writing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from firedoor.app.identity import REGION_SLOT, published_keys
from firedoor.config import RegionHome
from firedoor.core.evidence.bundle import Chooser, Problem
from firedoor.core.evidence.chain import Chain
from firedoor.core.evidence.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from firedoor.core.evidence.leaf import Leaf
from firedoor.core.evidence.leaf import decode as decode_leaf
from firedoor.core.evidence.note import NOTE_LIMIT, Vkey, parse_note
from firedoor.core.evidence.tree import (
    HASH_BYTES,
    TILE_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    decode_bundle,
    encode_bundle,
    entries_path,
    levels,
    tile_path,
)
from firedoor.errors import EvidenceDamaged, FiredoorError, SetupError
from firedoor.store.bundlefiles import Target
from firedoor.store.files import read_bounded
from firedoor.store.journal_verify import Destroyed
from firedoor.store.segments import SegmentReader, segments, slots
from firedoor.store.tilelog_check import check_tree
from firedoor.store.tilelog_read import BUNDLE_LIMIT, CHECKPOINT, COSIGNED

BODIES: Final = 200_000
"""Bodies of one bundle: each is a file of it."""
SEARCHED: Final = 8
"""Ids looked for in the bytes of a leaf; for more of them reading the leaf is faster."""


class ExportedLog(NamedTuple):
    """A log of the bundle."""

    slot: str
    checkpoint: Checkpoint


class LogExporter:
    """The logs that a selection concerns: slots with a chosen record, slots that say what was destroyed, the region's.

    After `run`: `wanted` are leaves whose bodies are chosen, `destroyed` is what the records say was destroyed,
    `problems` what does not verify. Leaves are searched in the journals, which are ahead of the logs by a second.
    """

    def __init__(self, place: RegionHome, target: Target, chooser: Chooser) -> None:
        self._place = place
        self._keys = published_keys(place).log
        self._target = target
        self._chooser = chooser
        self._notes: dict[str, bytes] = {}
        self.wanted: list[Leaf] = []
        self.destroyed = Destroyed()
        self.problems: list[Problem] = []

    def run(self) -> list[ExportedLog]:
        """Copy them; the region's first. Raises `SetupError`, OSError."""
        newest = self._concerned()
        region = self._copy(REGION_SLOT, None)
        if region is None:
            raise SetupError(
                f"Region {self._place.name} has no published log.",
                remedy="Start its agent (`firedoor up`), and export a few seconds later.",
            )
        found = [region]
        for slot, last in sorted(newest.items()):
            log = self._copy(slot, self._notes.get(slot)) if slot != REGION_SLOT else None
            if log is not None:
                found.append(log)
                if last > log.checkpoint.size:
                    problem = f"Records {log.checkpoint.size + 1} to {last} are chosen and not published yet."
                    self._problem(f"log/{slot}", problem)
                    self.wanted = [leaf for leaf in self.wanted if leaf.slot != slot or leaf.seq <= log.checkpoint.size]
        return found

    def _concerned(self) -> dict[str, int]:
        """Slots that the selection concerns, and the last chosen record of each."""
        newest: dict[str, int] = {}
        search = _searched(self._chooser)
        for slot in slots(self._place.journals):
            try:
                for leaf in self._leaves(slot, search):
                    self.destroyed.learn(leaf)
                    if self._chooser.record(leaf) or leaf.kind in {"erasure", "expiry"}:
                        newest[slot] = leaf.seq
                    if self._chooser.body(leaf):
                        self.wanted.append(leaf)
                    if len(self.wanted) > BODIES:
                        raise SetupError(
                            f"More than {BODIES} bodies are chosen.", remedy="Export a shorter time, or one surface."
                        )
            except (EvidenceDamaged, OSError) as error:
                self._problem(f"journal/{slot}", f"It cannot be read to its end: {_reason(error)}")
                newest.setdefault(slot, 0)
        return newest

    def _leaves(self, slot: str, search: re.Pattern[bytes] | None) -> Iterator[Leaf]:
        """Leaves of a slot that may be chosen. They are searched as bytes, and only those that match are read."""
        for path in segments(self._place.journal(slot)):
            reader = SegmentReader(path)
            try:
                for _, frame in reader.frames():
                    if search is None or search.search(frame.leaf):
                        yield decode_leaf(frame.leaf)
            finally:
                reader.close()

    def _copy(self, slot: str, recorded: bytes | None) -> ExportedLog | None:
        """Copy the log of `slot` at its `recorded` checkpoint, else at the published one. None if there is none."""
        name = f"log/{slot}"
        try:
            note = self._note(slot, recorded)
            checkpoint = parse_checkpoint(parse_note(note).text)
        except (OSError, FiredoorError) as error:
            self._problem(f"{name}/{CHECKPOINT}", f"There is no checkpoint: {_reason(error)}")
            return None
        self._target.write(f"{name}/{CHECKPOINT}", note)
        for level in range(levels(checkpoint.size)):
            index, width = divmod(checkpoint.size >> (TILE_HEIGHT * level), TILE_WIDTH)
            for number in range(index + (1 if width else 0)):
                self._copy_tile(slot, level, number, TILE_WIDTH if number < index else width)
        if slot == REGION_SLOT:
            self._copy_cosigned(slot, checkpoint)
        self._check(slot, checkpoint)
        return ExportedLog(slot, checkpoint)

    def _note(self, slot: str, recorded: bytes | None) -> bytes:
        """The published checkpoint if it is the recorded one (with more signatures) and verifies; else the recorded."""
        published = self._read(slot, CHECKPOINT, NOTE_LIMIT) or b""
        if recorded is not None and published.rpartition(b"\n\n")[0] != recorded.rpartition(b"\n\n")[0]:
            return recorded
        try:
            checkpoint = parse_checkpoint(parse_note(published).text)
            open_checkpoint(published, [Vkey(checkpoint.origin, key.kind, key.key) for key in self._keys])
        except EvidenceDamaged as error:
            self._problem(f"log/{slot}/{CHECKPOINT}", error.message)
            if recorded is not None or _readable(published):
                return recorded or published
            return self._read(slot, COSIGNED, NOTE_LIMIT) or published  # the same log, a little earlier
        return published

    def _copy_tile(self, slot: str, level: int, index: int, width: int) -> None:
        """A hash tile and, on level 0, its bundle. A partial file may have become a full one meanwhile."""
        tile = self._read(slot, tile_path(level, index, width), TILE_BYTES)
        if tile is None and width < TILE_WIDTH:
            whole = self._read(slot, tile_path(level, index), TILE_BYTES)
            tile = whole[: width * HASH_BYTES] if whole is not None else None
        self._keep(slot, tile_path(level, index, width), tile)
        if level:
            return
        bundle = self._read(slot, entries_path(index, width), BUNDLE_LIMIT)
        if bundle is None and width < TILE_WIDTH:
            whole = self._read(slot, entries_path(index), BUNDLE_LIMIT)
            bundle = _head(whole, width) if whole is not None else None
        self._keep(slot, entries_path(index, width), bundle)

    def _read(self, slot: str, name: str, limit: int) -> bytes | None:
        try:
            return read_bounded(self._place.logs / slot / name, limit)
        except (OSError, SetupError):
            return None

    def _keep(self, slot: str, name: str, data: bytes | None) -> None:
        if data is None:
            self._problem(f"log/{slot}/{name}", "It cannot be read.")
        else:
            self._target.write(f"log/{slot}/{name}", data)

    def _copy_cosigned(self, slot: str, checkpoint: Checkpoint) -> None:
        data = self._read(slot, COSIGNED, NOTE_LIMIT)
        if data is None:
            return
        try:
            fits = parse_checkpoint(parse_note(data).text).size <= checkpoint.size
        except EvidenceDamaged:
            fits = True  # as it lies there, damaged
        if fits:
            self._target.write(f"log/{slot}/{COSIGNED}", data)

    def _check(self, slot: str, checkpoint: Checkpoint) -> None:
        """Name what of the copy does not verify; from the region's log, learn the newest checkpoint of every slot."""
        folder = self._target.folder / "log" / slot
        for damage in check_tree(folder, checkpoint):
            self._problem(f"log/{slot}/{damage.file}", damage.problem)
        chain = Chain(self._place.name, slot)
        try:
            for index in range(-(-checkpoint.size // TILE_WIDTH)):
                width = min(TILE_WIDTH, checkpoint.size - index * TILE_WIDTH)
                for data in decode_bundle(read_bounded(folder / entries_path(index, width), BUNDLE_LIMIT)):
                    self._learn(chain.follow(data))
        except (EvidenceDamaged, OSError, SetupError) as error:
            self._problem(f"log/{slot}", f"Records from {(chain.seq or 0) + 1} on do not verify: {_reason(error)}")

    def _learn(self, leaf: Leaf) -> None:
        """A slot's newest checkpoint that the region recorded is the one that witnesses vouch for."""
        origin, note = leaf.facts.get("log"), leaf.facts.get("note")
        if leaf.kind == "checkpoint" and leaf.slot == REGION_SLOT and isinstance(origin, str) and isinstance(note, str):
            self._notes[origin.rpartition("/")[2]] = note.encode()

    def _problem(self, file: str, problem: str) -> None:
        self.problems.append(Problem(file[:1000], problem[:1000]))


def _searched(chooser: Chooser) -> re.Pattern[bytes] | None:
    """Matches the bytes of every leaf that may matter; None where all have to be read."""
    chosen = chooser.selection
    if not chosen.named or chosen.windows or len(chosen.exchanges) + len(chosen.keys) > SEARCHED:
        return None
    names = [*chosen.exchanges, *chosen.keys, "erasure", "expiry"]
    return re.compile(b'"(?:' + b"|".join(re.escape(name.encode()) for name in names) + b')"')


def _readable(note: bytes) -> bool:
    """Whether these bytes are a checkpoint at all, whoever signed it."""
    try:
        parse_checkpoint(parse_note(note).text)
    except EvidenceDamaged:
        return False
    return True


def _head(bundle: bytes, width: int) -> bytes | None:
    try:
        return encode_bundle(decode_bundle(bundle)[:width])
    except EvidenceDamaged:
        return None


def _reason(error: Exception) -> str:
    if isinstance(error, FiredoorError):
        return error.message
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
