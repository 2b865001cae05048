"""The session table of a process that has none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from firedoor.core.sessions import OBSERVE, Key, Standing, Turn


class NoSessions:
    """Remembers nobody: a worker without keys asks no model, so there is nothing to add up."""

    counts: Mapping[str, int] = MappingProxyType({})

    def note(self, keys: Iterable[Key], turn: Turn, now: float) -> Standing:
        """Everybody stands well. See `firedoor.ports.exchange.Sessions`."""
        del keys, turn, now
        return OBSERVE

    def close(self) -> None:
        """Nothing to let go of."""
