"""What happens to the keys over time: a new epoch, a new base key, and the end of the old ones.

A new epoch is what makes erasure reach the backups. A subject is erased by zeroing cells; an older copy of the cells
still has them. Carrying the living cells over to a new epoch and destroying the old one's key in the root ends every
copy of the old cells, wherever it lies.

Each act is a row of steps that are durable one after the other, and running it again goes on where it was cut short:

1. the new epoch is made and becomes `current`, the old one `retiring`: one change of the ring. Writers follow it;
2. when no writer holds a file of the old epoch any more, its living cells are sealed anew, into one new file;
3. the old epoch is `destroyed`, its wrapping key `doomed`: one change of the ring;
4. the old cells are unlinked, the root destroys what is doomed, the ring notes when that takes effect.

A key may lie in two epochs between 2 and 4: a reader takes the newer one, an eraser zeroes both.

Every act is recorded before it is done, and its end again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from firedoor.core.evidence.record import Fact
from firedoor.errors import KeyUnusable
from firedoor.keys.files import sync_folder
from firedoor.keys.rewrap import CELLS, Moved, Task, carry_over, cell_files
from firedoor.keys.ring import Ring
from firedoor.keys.ringfile import Entry, State, epoch_public

Recorder = Callable[[str, dict[str, Fact]], None]
"""Leaves an evidence record: its kind (``key``) and facts. Durable on return; it must not keep a file of cells open."""

EPHEMERAL_BYTES: Final = 32
POLL: Final = 0.05
"""Seconds between two looks whether the writers let go."""


class Change(Struct, frozen=True):
    """What an act on the keys came to.

    `epoch` is the current one. `made` says whether this run made a new key, or only ended what an earlier one began.
    `moved` are the cells carried over. `destroyed` are handles of wrapping keys that are gone, and when: ``now`` or
    a date. `held_by` are the slots whose writers still hold the epoch that retires: run it again when they let go.
    """

    epoch: int
    made: bool
    moved: Moved
    destroyed: dict[str, str]
    held_by: tuple[str, ...] = ()


def new_epoch(ring: Ring, record: Recorder, *, wait: float = 0.0, drop_damaged: bool = False) -> Change:
    """Begin a new epoch and end the one before; if an earlier run left one half ended, only end that one.

    Waits at most `wait` seconds for its writers to let go. Raises `KeyUnusable`, `EvidenceDamaged`; can be run again
    after any of them.
    """
    moved = Moved(0, 0)
    with ring.alone(), _disk(ring.region):
        made = not _unfinished(ring)
        gone = _destroy_doomed(ring, record)
        if made:
            _begin(ring, record)
        for old in ring.state.epochs("retiring"):
            with _without_writers(ring.subjects / old.name, wait) as holders:
                if holders:
                    return Change(_number(ring.state.epoch), made, moved, gone, tuple(holders))
                moved = _carry_over(ring, old, drop_damaged=drop_damaged)
                _doom(ring, record, old, moved)
                gone |= _destroy_doomed(ring, record)
        return Change(_number(ring.state.epoch), made, moved, gone)


def rotate(ring: Ring, record: Recorder) -> Change:
    """A new base key in the root: every key but the epochs' is wrapped by it, the old one is destroyed.

    If an earlier run left an old base key alive, only destroy that one. Raises `KeyUnusable`; run it again then.
    """
    with ring.alone(), _disk(ring.region):
        made = not set(ring.state.doomed) - {entry.handle for entry in ring.state.entries}
        gone = _destroy_doomed(ring, record)
        if made:
            _new_base(ring, record)
            gone |= _destroy_doomed(ring, record)
        return Change(_number(ring.state.epoch), made, Moved(0, 0), gone)


def _unfinished(ring: Ring) -> bool:
    """Whether an earlier run left an epoch half ended: finish that one before another begins."""
    state = ring.state
    return bool(state.epochs("retiring")) or any(
        not entry.gone or (ring.subjects / entry.name).is_dir() for entry in state.epochs("destroyed")
    )


def _new_base(ring: Ring, record: Recorder) -> None:
    state = ring.state
    record("key", {"act": "rotate", "from": state.base})
    base = ring.root.create("base")
    try:
        entries = ring.wrapped_anew(base)
    except KeyUnusable:
        with contextlib.suppress(KeyUnusable):
            ring.root.destroy(base)
        raise
    ring.write(msgspec.structs.replace(state, base=base, entries=entries, doomed=(*state.doomed, state.base)))


def _begin(ring: Ring, record: Recorder) -> None:
    state = ring.state
    number = _number(state.epoch) + 1
    record("key", {"act": "new_epoch", "epoch": number})
    entry = ring.new_epoch_entry(ring.root.create(f"epoch-{number}"))
    entries = (*_with_state(state.entries, state.epoch, "retiring"), entry)
    ring.write(msgspec.structs.replace(state, entries=entries))


def _carry_over(ring: Ring, old: Entry, *, drop_damaged: bool) -> Moved:
    current = ring.state.epoch
    source = ring.subjects / old.name
    target = ring.subjects / current.name / f"rewrapped-{old.name}{CELLS}"
    if not cell_files(source):
        return Moved(0, 0)
    task = Task(
        ring.region,
        _number(old),
        ring.epoch_secret(_number(old)),
        epoch_public(ring.region, current),
        os.urandom(EPHEMERAL_BYTES),
    )
    return carry_over(task, source, target, drop_damaged=drop_damaged)


def _doom(ring: Ring, record: Recorder, old: Entry, moved: Moved) -> None:
    facts: dict[str, Fact] = {"act": "destroy_epoch", "epoch": _number(old), "cells": moved.cells}
    record("key", facts | {"dropped": moved.dropped} if moved.dropped else facts)
    state = ring.state
    entries = _with_state(state.entries, old, "destroyed")
    ring.write(msgspec.structs.replace(state, entries=entries, doomed=(*state.doomed, old.handle)))


def _destroy_doomed(ring: Ring, record: Recorder) -> dict[str, str]:
    """Unlink the cells of dead epochs and let the root destroy what nothing needs any more. When each is gone."""
    for entry in ring.state.epochs("destroyed"):
        _unlink_cells(ring.subjects / entry.name)
    gone: dict[str, str] = {}
    for handle in ring.state.doomed:
        gone[handle] = ring.root.destroy(handle)
        state = ring.state
        entries = tuple(
            msgspec.structs.replace(entry, gone=gone[handle]) if entry.handle == handle else entry
            for entry in state.entries
        )
        record("key", {"act": "destroyed", "handle": handle, "effective": gone[handle]})
        doomed = tuple(other for other in state.doomed if other != handle)
        ring.write(msgspec.structs.replace(state, entries=entries, doomed=doomed))
    return gone


def _with_state(entries: tuple[Entry, ...], which: Entry, state: State) -> tuple[Entry, ...]:
    """The entries, `which` in another state; a destroyed one loses what was wrapped."""
    wrapped = "" if state == "destroyed" else which.wrapped
    changed = msgspec.structs.replace(which, state=state, wrapped=wrapped)
    return tuple(changed if entry.id == which.id else entry for entry in entries)


@contextlib.contextmanager
def _without_writers(folder: Path, wait: float) -> Iterator[list[str]]:
    """Slots whose writer holds a file in `folder`; if there are none, none can come back while the block runs."""
    deadline = time.monotonic() + wait
    while True:
        with contextlib.ExitStack() as stack:
            held = [path.name.removesuffix(CELLS) for path in cell_files(folder) if not _hold(stack, path)]
            if not held or time.monotonic() >= deadline:
                yield held
                return
        time.sleep(POLL)


def _hold(stack: contextlib.ExitStack, path: Path) -> bool:
    """Take the lock that a writer of this file shares; False if one has it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unlink_cells(folder: Path) -> None:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    sync_folder(folder.parent)


@contextlib.contextmanager
def _disk(region: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KeyUnusable(
            f"The keys of region {region} cannot be changed: {error.strerror}.",
            remedy="Nothing is lost: run it again when the disk is well.",
        ) from error


def _number(entry: Entry) -> int:
    return int(entry.name)
