"""Subjects' keys carried from one epoch to the next: every living cell sealed anew, the same keys under the same ids.

The work is a stream of bounded blocks, done by two processes where there is enough of it: sealing is all processor, and
the interpreter's lock leaves threads nothing to share.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import BinaryIO, Final

from msgspec import Struct

from firedoor.core.evidence.subjects import (
    CELL_BYTES,
    EpochPrivate,
    EpochPublic,
    Sealing,
    decode_cell,
    rewrap,
)
from firedoor.errors import EvidenceDamaged
from firedoor.keys.files import sync_folder

CELLS: Final = ".cells"
BLOCK_CELLS: Final = 4096
"""Cells in one block: 512 KiB, about a quarter of a second of work."""
IN_FLIGHT: Final = 4
"""Blocks handed to the processes and not yet written: what bounds the memory."""
ALONE_BYTES: Final = 5 * BLOCK_CELLS * CELL_BYTES
"""Below this many bytes of cells a second process costs more than it saves."""
PROCESSES: Final = 2


class Moved(Struct, frozen=True):
    """How many living cells were carried over, and how many that do not open were left behind."""

    cells: int
    dropped: int


class Task(Struct, frozen=True):
    """What a process needs: the old epoch's private key, the new one's public key, 32 random bytes for the sealing."""

    region: str
    old: int
    private: bytes
    new: EpochPublic
    ephemeral: bytes

    def __repr__(self) -> str:
        return f"Task({self.region!r}, {self.old}, …)"


def cell_files(folder: Path) -> list[Path]:
    """The files of cells in an epoch's folder; none if there is no folder."""
    return sorted(path for path in folder.glob(f"*{CELLS}") if not path.name.startswith("."))


def carry_over(task: Task, source: Path, target: Path, *, drop_damaged: bool = False) -> Moved:
    """Seal every living cell of the files in `source` anew into the file `target`, durable on return.

    `target` is replaced whole: a run that was cut short leaves nothing that counts. Raises OSError, and
    `EvidenceDamaged` for a cell that does not open, unless such cells are to be left behind.
    """
    temporary = target.with_name(f".{target.name}.new")
    total = Moved(0, 0)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for name, at, (sealed, living, broken) in _sealed(task, cell_files(source)):
                if broken and not drop_damaged:
                    raise EvidenceDamaged(
                        f"{name}, byte {at + broken[0]}: a subject's key does not open.",
                        remedy="Restore that file from a copy, or run again with --drop-damaged: its bodies are lost.",
                    )
                file.write(sealed)
                total = Moved(total.cells + living, total.dropped + len(broken))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)
    sync_folder(target.parent.parent)
    return total


def seal_block(task: Task, block: bytes) -> tuple[bytes, int, list[int]]:
    """One block of cells: those that are alive sealed anew, how many, and the offsets of those that do not open."""
    old = EpochPrivate(task.region, task.old, task.private)
    sealing = Sealing(task.new, task.ephemeral)
    sealed: list[bytes] = []
    broken: list[int] = []
    for at in range(0, len(block), CELL_BYTES):
        try:
            cell = decode_cell(block[at : at + CELL_BYTES])
            if cell is not None:
                sealed.append(rewrap(cell, old, sealing).encode())
        except EvidenceDamaged:
            broken.append(at)
    return b"".join(sealed), len(sealed), broken


def _sealed(task: Task, files: list[Path]) -> Iterator[tuple[str, int, tuple[bytes, int, list[int]]]]:
    """(file, offset, sealed block) of all blocks, in order."""
    blocks = _blocks(files)
    if sum(path.stat().st_size for path in files) < ALONE_BYTES:
        for name, at, block in blocks:
            yield name, at, seal_block(task, block)
        return
    # Never fork: the root may hold an HSM's library in this process.
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        yield from _in_flight(pool, task, blocks)


def _in_flight(
    pool: ProcessPoolExecutor, task: Task, blocks: Iterable[tuple[str, int, bytes]]
) -> Iterator[tuple[str, int, tuple[bytes, int, list[int]]]]:
    waiting: deque[tuple[str, int, Future[tuple[bytes, int, list[int]]]]] = deque()
    for name, at, block in blocks:
        waiting.append((name, at, pool.submit(seal_block, task, block)))
        if len(waiting) >= IN_FLIGHT:
            name, at, done = waiting.popleft()  # noqa: PLW2901  # the oldest block goes first
            yield name, at, done.result()
    for name, at, done in waiting:
        yield name, at, done.result()


def _blocks(files: list[Path]) -> Iterator[tuple[str, int, bytes]]:
    """(file, offset, whole cells); a cell that a crash left torn at the end was never acknowledged."""
    for path in files:
        with path.open("rb") as file:
            at = 0
            while block := _whole(file):
                yield path.name, at, block
                at += len(block)


def _whole(file: BinaryIO) -> bytes:
    block = file.read(BLOCK_CELLS * CELL_BYTES)
    return block[: len(block) - len(block) % CELL_BYTES]
