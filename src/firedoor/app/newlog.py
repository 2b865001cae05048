"""A new log after a restored backup: the old name must never sign again what it signed differently before."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
from collections.abc import Iterator
from typing import NamedTuple

from firedoor.app.identity import REGION_SLOT, read_identity, renew_identity
from firedoor.config import RegionHome
from firedoor.core.evidence.checkpoint import parse_checkpoint
from firedoor.core.evidence.note import NOTE_LIMIT, parse_note
from firedoor.core.plan.model import Plan
from firedoor.errors import EvidenceDamaged, SetupError
from firedoor.keys.ring import Ring
from firedoor.store.files import read_bounded, sync_folder

SET_ASIDE = "set-aside"
FRESH = ".log.new"


@contextlib.contextmanager
def agent_stopped(place: RegionHome) -> Iterator[None]:
    """Hold the agent's slot, so that none publishes meanwhile. Raises `SetupError` while one runs."""
    folder = place.journal(REGION_SLOT)
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SetupError(
                f"The agent of region {place.name} runs.", remedy="Stop `firedoor up` first, then do this again."
            ) from error
        yield
    finally:
        os.close(lock)


class HandOver(NamedTuple):
    """The old log's name and last signed size here, and the new log's name."""

    old: str
    size: int
    new: str


def begin_new_log(place: RegionHome, plan: Plan, ring: Ring) -> HandOver:
    """Set the published logs of this host aside and give them a new name; the journals stay, and are published anew.

    Call while no agent runs. The witness of the region goes on with what it has cosigned. Raises `SetupError`, OSError.
    """
    if not place.logs.exists() and (place.root / FRESH).exists():
        (place.root / FRESH).rename(place.logs)  # a crash came between the two renames
    old = read_identity(place)
    try:
        note = parse_note(read_bounded(place.logs / REGION_SLOT / "checkpoint", NOTE_LIMIT))
        size = parse_checkpoint(note.text).size
    except (OSError, EvidenceDamaged):
        size = 0  # nothing was ever signed, or it cannot be read: the log that is set aside tells
    aside = place.root / SET_ASIDE
    aside.mkdir(mode=0o700, exist_ok=True)
    target = next(path for n in itertools.count(1) if not (path := aside / f"log-{n}").exists())
    fresh = place.root / FRESH
    fresh.mkdir(mode=0o700, exist_ok=True)
    new = renew_identity(place, plan, ring, old, fresh)
    place.logs.rename(target)
    fresh.rename(place.logs)
    sync_folder(place.root)
    return HandOver(old.logs, size, new.logs)
