"""Kills a writer of evidence at random moments and counts what was acknowledged and is not there afterwards."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from msgspec import Struct

from firedoor.bench.evidence_load import ACKNOWLEDGED, Keys, content, open_for_load, places
from firedoor.core.evidence.leaf import Leaf
from firedoor.errors import EvidenceDamaged, FiredoorError, SetupError
from firedoor.store.journal_read import read
from firedoor.store.journal_verify import verify
from firedoor.store.opening import BodyOpener

LIVES: Final = 10
"""Kills of one journal; then a new one is begun, so that checking all of it stays cheap."""
START_SECONDS: Final = 30.0
LONGEST: Final = 0.3
"""Seconds a writer lives after its first acknowledged record, at most."""
EARLY: Final = 0.15
"""Share of the kills that come at any moment of the start, recovery included."""


class Kills(Struct):
    """What `times` kills did. All but `times` and `acknowledged` must be 0.

    `lost` are acknowledged records that are not in the journal or say something else, `unreadable` records in the
    journal whose body does not open or is another's, `damaged` reports with damage or journals that refused to open.
    """

    times: int = 0
    acknowledged: int = 0
    lost: int = 0
    unreadable: int = 0
    damaged: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing was lost."""
        return not (self.lost or self.unreadable or self.damaged)


def kill(times: int, say: Callable[[str], None], seed: int | None = None) -> Kills:
    """Kill a writer with 100 records in flight `times` times. Raises `SetupError` if it does not start."""
    rng = random.Random(seed)  # noqa: S311  moments, not secrets
    kills = Kills()
    while kills.times < times:
        with tempfile.TemporaryDirectory(prefix="firedoor-bench-") as folder:
            journal = _Journal(Path(folder), kills, rng)
            for _ in range(min(LIVES, times - kills.times)):
                say(f"kill {kills.times + 1} of {times}, {kills.acknowledged:,} records acknowledged")
                journal.live_and_die()
                journal.check()
    return kills


class _Journal:
    """One journal, what its writers had acknowledged, and how much of it was checked."""

    def __init__(self, folder: Path, kills: Kills, rng: random.Random) -> None:
        self._folder = folder
        self._kills = kills
        self._rng = rng
        self._keys = Keys()
        self._acknowledged: dict[int, int] = {}  # sequence number -> number of the record
        self._next = 0
        self._checked = 0
        places(folder)

    def live_and_die(self) -> None:
        """Start a writer, let it write, and kill it."""
        arguments = ["-m", "firedoor.bench.evidence_load", str(self._folder), self._keys.public.hex(), str(self._next)]
        child = subprocess.Popen(  # noqa: S603  our own interpreter and module
            [sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        reports = _Reports(child.stdout)
        if self._acknowledged and self._rng.random() < EARLY:
            time.sleep(self._rng.uniform(0, 2 * LONGEST))
        elif reports.first.wait(START_SECONDS) and reports.data:
            time.sleep(self._rng.uniform(0, LONGEST))
        else:
            child.kill()
            child.wait()
            raise SetupError("The writer of the bench does not start.")
        child.kill()
        child.wait()
        reports.join()
        for seq, number in ACKNOWLEDGED.iter_unpack(reports.data):
            if seq in self._acknowledged:
                self._kills.lost += 1
            self._acknowledged[seq] = number
            self._next = max(self._next, number + 1)
        self._next += self._next % 2 + 1_000  # numbers in flight are not used again, and an intent comes first
        self._kills.times += 1

    def check(self) -> None:
        """Open the journal as the next writer would, verify all of it, and compare what is new with what was told."""
        kills = self._kills
        try:
            _reopened(self._folder, self._keys)
            report = verify(self._folder / "journal", self._folder / "bodies")
        except FiredoorError:
            kills.damaged += 1
            return
        kills.damaged += not report.ok
        new = {stored.leaf.seq: stored.leaf for stored in read(places(self._folder).slot, self._checked + 1)}
        told = {seq: number for seq, number in self._acknowledged.items() if seq > self._checked}
        kills.acknowledged += len(told)
        kills.lost += sum(not _says(new.get(seq), number) for seq, number in told.items())
        kills.unreadable += self._unreadable(new)
        self._checked = max(new, default=self._checked)

    def _unreadable(self, leaves: dict[int, Leaf]) -> int:
        where = places(self._folder)
        opener = BodyOpener(where.bodies, where.subjects, self._keys)
        unreadable = 0
        for leaf in leaves.values():
            if leaf.body is not None:
                try:
                    unreadable += opener.open(leaf) != content(_number(leaf))
                except (EvidenceDamaged, OSError):
                    unreadable += 1
        opener.close()
        return unreadable


class _Reports:
    """Reads what a writer has to say until its end, so that it never waits for us."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.data = bytearray()
        self.first = threading.Event()
        self._pipe = pipe
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the end. Reports are whole: they are shorter than what a pipe takes at once."""
        self._thread.join()
        self._pipe.close()

    def _read(self) -> None:
        while part := self._pipe.read1(65_536):  # type: ignore[attr-defined]  # a pipe is a BufferedReader
            self.data += part
            self.first.set()
        self.first.set()


def _reopened(folder: Path, keys: Keys) -> None:
    async def go() -> None:
        await open_for_load(folder, keys).aclose()

    asyncio.run(go())


def _number(leaf: Leaf) -> int:
    return 2 * int(leaf.exchange.removeprefix("fx-")) + (leaf.kind == "outcome")


def _says(leaf: Leaf | None, number: int) -> bool:
    return leaf is not None and leaf.body is not None and _number(leaf) == number
