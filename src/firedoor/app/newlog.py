"""A new log after a restored backup: the old name must never sign again what it signed differently before."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from firedoor.app.identity import (
    IDENTITY,
    REGION_SLOT,
    SET_ASIDE,
    has_identity,
    make_anew,
    read_identity,
    renew_identity,
)
from firedoor.config import RegionHome
from firedoor.core.evidence.checkpoint import parse_checkpoint
from firedoor.core.evidence.note import NOTE_LIMIT, parse_note
from firedoor.core.plan.model import Plan
from firedoor.errors import EvidenceDamaged, SetupError
from firedoor.keys.ring import Ring
from firedoor.store.files import read_bounded, sync_folder

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
    """The old log's name (empty if nothing tells it any more) and last signed size here, and the new log's name."""

    old: str
    size: int
    new: str


def begin_new_log(
    place: RegionHome, plan: Plan, ring: Ring, record: Callable[[HandOver], None], *, new_keys: bool = False
) -> HandOver:
    """Set the published logs of this host aside and give them a new name; the journals stay, and are published anew.

    Call while no agent runs. `record` leaves the hand-over in the evidence, before it is done. The witness of the
    region goes on with what it has cosigned, unless `new_keys` are made for both. After a crash it is called again.
    Raises `SetupError`, OSError, and what `record` raises.
    """
    fresh = place.root / FRESH
    fresh.mkdir(mode=0o700, exist_ok=True)
    begun = (fresh / IDENTITY).exists()
    make = make_anew if new_keys else renew_identity
    new = read_identity(place, fresh) if begun else make(place, plan, ring, fresh)
    old = read_identity(place).logs if has_identity(place) else ""
    done = HandOver(old, _signed(place), new.logs)
    record(done)
    if place.logs.is_dir() and any(place.logs.iterdir()):
        aside = place.root / SET_ASIDE
        aside.mkdir(mode=0o700, exist_ok=True)
        place.logs.rename(next(path for n in itertools.count(1) if not (path := aside / f"log-{n}").exists()))
        sync_folder(aside)
    fresh.rename(place.logs)
    sync_folder(place.root)
    return done


def _signed(place: RegionHome) -> int:
    """Checkpoints in the region's log; 0 if nothing was ever signed, or it cannot be read: what is set aside tells."""
    try:
        note = parse_note(read_bounded(place.logs / REGION_SLOT / "checkpoint", NOTE_LIMIT))
        return parse_checkpoint(note.text).size
    except (OSError, EvidenceDamaged, SetupError):
        return 0
