"""What keys cost: sealing bodies, minting keys, sealing and opening files, carrying subjects over into a new epoch.

All but the last two rows run on one core. Files go from memory to memory, so that no disk is measured.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from firedoor.bench.processes import Machine, machine
from firedoor.core.evidence.record import Fact
from firedoor.core.evidence.subjects import RANDOM_BYTES, EpochPrivate, mint
from firedoor.core.sealedfile import CHUNK, SEALED_CHUNK, ChunkCipher, file_context
from firedoor.keys.epochs import new_epoch
from firedoor.keys.ring import create_ring
from firedoor.keys.roots.file import FileRoot
from firedoor.store.sealedfile import BATCH, Hash, open_stream, seal_stream

BODY = 1000
"""Bytes of a body: a question and its answer, as the benches of the gateway send them."""
FILE = 512 << 20
"""Bytes of the file that is sealed and opened, read from memory and dropped."""
ROUND = 0.05
"""Seconds of work between two looks at the clock."""
REGION = "bench"


class Row(Struct, frozen=True):
    """One measurement: `value` in `unit`, and what it must reach at least (or, in seconds, at most)."""

    what: str
    value: float
    unit: str
    bar: float | None = None


class KeyFigures(Struct, frozen=True):
    """The whole run."""

    machine: Machine
    rows: list[Row]


class _File(NamedTuple):
    """An anonymous file in memory, in clear and sealed."""

    clear: int
    sealed: int


def run(seconds: float, subjects: int, say: Callable[[str], None]) -> KeyFigures:
    """Measure everything. `seconds` for each of the small rows; `subjects` are carried over. Raises `KeyUnusable`."""
    here = machine()
    rows: list[Row] = []
    with _one_core():
        for what, work, bar in _small():
            say(what)
            rows.append(Row(what, _per_second(work, seconds), "1/s", bar))
        say("files, cipher")
        rows += _cipher()
        say("files, streams")
        rows += _streams()
    say("files, signed")
    rows += _streams(hashed=True)
    say(f"{subjects:,} subjects into a new epoch")
    rows.append(_rewrap(subjects))
    return KeyFigures(here, rows)


def _small() -> Iterator[tuple[str, Callable[[], object], float | None]]:
    """What is done for every exchange: seal a body, sometimes mint a key."""
    epoch = EpochPrivate(REGION, 1, os.urandom(32))
    _, key = mint(epoch.public, "0" * 32, 0, os.urandom(RANDOM_BYTES))
    body, context = os.urandom(BODY), b"bench" * 30

    def fresh() -> bytes:
        _, minted = mint(epoch.public, "0" * 32, 0, os.urandom(RANDOM_BYTES))
        return minted.seal(os.urandom(24), body, context)

    sealed = key.seal(os.urandom(24), body, context)
    yield "seal a 1 kB body, key at hand", lambda: key.seal(os.urandom(24), body, context), 200_000
    yield "mint a subject's key and seal a 1 kB body", fresh, None
    yield "the key of one body, for a receiver", lambda: key.record_key(sealed), None


def _per_second(work: Callable[[], object], seconds: float) -> float:
    work()
    done, begun = 0, time.perf_counter()
    while (spent := time.perf_counter() - begun) < seconds:
        until = time.perf_counter() + ROUND
        while time.perf_counter() < until:
            for _ in range(20):
                work()
            done += 20
    return done / spent


def _cipher() -> list[Row]:
    """The cipher alone, batch after batch in the same memory."""
    key, context = os.urandom(32), file_context(REGION, "model", "bench")
    cipher = ChunkCipher(key, context, os.urandom(24))
    clear = memoryview(bytearray(os.urandom(BATCH * CHUNK)))
    sealed, back = memoryview(bytearray(BATCH * SEALED_CHUNK)), memoryview(bytearray(BATCH * CHUNK))
    batches = FILE // len(clear)
    seal_seconds = _seconds(lambda: [cipher.seal(n * BATCH, clear, sealed, last=False) for n in range(batches)])
    cipher.seal(0, clear, sealed, last=False)
    open_seconds = _seconds(lambda: [cipher.open(0, sealed, back, last=False) for _ in range(batches)])
    return [
        Row("seal a file, cipher alone", FILE / seal_seconds / 1e9, "GB/s", 1.5),
        Row("open a file, cipher alone", FILE / open_seconds / 1e9, "GB/s", 1.5),
    ]


def _streams(*, hashed: bool = False) -> list[Row]:
    """The whole way, as `firedoor keys seal` and `firedoor up` go it; `hashed` with both hashes of a signature."""
    key, context = os.urandom(32), file_context(REGION, "model", "bench")

    def hashes() -> dict[str, Hash]:
        return {"clear_hash": hashlib.sha256(), "sealed_hash": hashlib.sha256()} if hashed else {}

    with _files(key, context) as files:
        os.lseek(files.clear, 0, os.SEEK_SET)
        seal_seconds = _seconds(lambda: seal_stream(files.clear, len, key, context, **hashes()))
        open_seconds = _seconds(lambda: open_stream(files.sealed, len, key, context, **hashes()))
    how = "hashed twice on all cores" if hashed else "read and handed on"
    return [
        Row(f"seal a file, {how}", FILE / seal_seconds / 1e9, "GB/s", None if hashed else 1.5),
        Row(f"open a file, {how}", FILE / open_seconds / 1e9, "GB/s", None if hashed else 1.5),
    ]


@contextlib.contextmanager
def _files(key: bytes, context: bytes) -> Iterator[_File]:
    files = _File(os.memfd_create("clear"), os.memfd_create("sealed"))
    try:
        block = os.urandom(1 << 20)
        for _ in range(FILE // len(block)):
            os.write(files.clear, block)
        os.lseek(files.clear, 0, os.SEEK_SET)
        seal_stream(files.clear, lambda batch: os.write(files.sealed, batch), key, context)
        yield files
    finally:
        for descriptor in files:
            os.close(descriptor)


def _rewrap(subjects: int) -> Row:
    """A real ring with the development root: new epoch, every cell sealed anew and synced, the old one destroyed."""
    with tempfile.TemporaryDirectory(prefix="firedoor-bench-") as folder:
        place = Path(folder)
        ring = create_ring(place, REGION, FileRoot(place / "root.json", REGION))
        cells = place / "subjects" / "1" / "bench.cells"
        cells.parent.mkdir(parents=True)
        epoch = ring.epoch_private(1).public
        with cells.open("wb") as file:
            for number in range(subjects):
                cell, _ = mint(epoch, f"{number:032x}", 0, os.urandom(RANDOM_BYTES))
                file.write(cell.encode())

        def record(_: str, __: dict[str, Fact]) -> None:
            """Nothing is kept of a bench."""

        spent = _seconds(lambda: new_epoch(ring, record))
    # 60 s for a million keys.
    return Row(f"{subjects:,} subjects into a new epoch", spent, "s", subjects * 60 / 1e6)


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


@contextlib.contextmanager
def _one_core() -> Iterator[None]:
    """Keep this thread, and those it starts, on one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
