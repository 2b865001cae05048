"""Signed requests that wait for a second person, as one JSON file. Notes are not: the evidence holds them sealed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from firedoor.core.switchstate import PENDING, Pending
from firedoor.errors import SetupError
from firedoor.store.files import read_bounded, write_atomic

REQUESTS_LIMIT = 64 * 1024
"""Bytes of the file: 32 requests of at most 2 kB."""

_decoder = msgspec.json.Decoder(tuple[Pending, ...])


class RequestFile:
    """`requests.json`. See `firedoor.ports.RequestStore`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> tuple[Pending, ...]:
        """What waits. A damaged file is set aside and nothing waits: whatever was asked for stays shut."""
        try:
            return _decoder.decode(read_bounded(self._path, REQUESTS_LIMIT))[:PENDING]
        except FileNotFoundError:
            return ()
        except (OSError, SetupError, msgspec.DecodeError):
            with contextlib.suppress(OSError):
                self._path.rename(self._path.with_name(f"{self._path.name}.damaged-{time.time_ns()}"))
            return ()

    def save(self, pending: Sequence[Pending]) -> None:
        """Replace what waits. Raises OSError."""
        write_atomic(self._path, msgspec.json.encode(tuple(pending)))
