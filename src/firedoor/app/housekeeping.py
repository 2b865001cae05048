"""Retention and erasure of one region, put together for its agent."""

from __future__ import annotations

import contextlib
import time

from firedoor.config import RegionHome
from firedoor.core.evidence.retention import Expired, Periods
from firedoor.errors import StateDamaged, StateUnavailable
from firedoor.store.cache_care import sweep
from firedoor.store.erasure import Eraser, ErasureNotes
from firedoor.store.expiry import expire
from firedoor.store.holds import Archive, Write


def archive(place: RegionHome) -> Archive:
    """Where the region's evidence lies."""
    return Archive(place.journals, place.bodies, place.subjects, place.holds, place.expiry, place.cache)


class RegionHousekeeping:
    """See `firedoor.ports.evidence.Housekeeping`. The ring is used in the caller's thread: give it one of its own."""

    def __init__(self, place: RegionHome, periods: Periods, ring: ErasureNotes, write: Write) -> None:
        self._archive = archive(place)
        self._periods = periods
        self._write = write
        self._eraser = Eraser(self._archive, ring, write)

    def expire(self) -> Expired:
        """See the port. Cached answers whose time is over go as well, also where no new one comes to sweep them out."""
        with contextlib.suppress(StateUnavailable, StateDamaged):  # given to nobody either way
            sweep(self._archive.cache, time.time())
        return expire(self._archive, self._periods, self._write, now=time.time_ns() // 1000)

    def finish_erasures(self) -> int:
        """See the port."""
        return self._eraser.resume()
