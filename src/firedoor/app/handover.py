"""How a gateway worker gets its region's keys: over a pipe from the process that opened them, and in no other way.

A worker is what strangers talk to. It gets its share of the keys, and nothing that leads to the root: no passphrase, no
credentials of a key server, no descriptor but the reading end of a pipe.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Callable, Mapping
from typing import Final

from firedoor.errors import KeyUnusable
from firedoor.keys.derive import BUNDLE_LIMIT, WorkerKeys

WAYS_TO_SECRETS: Final = ("FIREDOOR_PASSPHRASE", "FIREDOOR_ROOT_PASSPHRASE", "AWS_", "BAO_", "PG", "VAULT_")
"""Beginnings of the variables from which passphrases and the credentials of key servers and databases are taken."""


class Handover:
    """The keys of one worker. Each start of it has a pipe of its own, which waits while the region has no keys."""

    def __init__(self, keys: Callable[[], bytes | None]) -> None:
        """`keys` gives the worker's share as it is now, None while there is none."""
        self._keys = keys
        self._write = -1

    def pipe(self) -> int:
        """The reading end for the next start, the caller's to close. What an earlier one had ends."""
        self.close()
        read, self._write = os.pipe()
        self.hand_over()
        return read

    def hand_over(self) -> None:
        """Give the keys to a worker that waits for them, if there are any by now."""
        keys = self._keys() if self._write >= 0 else None
        if keys is not None:
            with contextlib.suppress(BrokenPipeError):  # it died: the next start has a pipe of its own
                os.write(self._write, keys)  # a pipe holds far more than this
            self.close()

    def close(self) -> None:
        """Let go of the pipe."""
        write, self._write = self._write, -1
        if write >= 0:
            os.close(write)


class HandedKeys:
    """The worker's end of it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def take(self) -> WorkerKeys:
        """The keys, once. Raises `KeyUnusable` while the parent has none, and if it gave none."""
        if self._descriptor < 0 or not self._is_filled():
            raise KeyUnusable("The parent process has no keys for this worker.", remedy="It says why: see its output.")
        descriptor, self._descriptor = self._descriptor, -1
        try:
            with os.fdopen(descriptor, "rb") as pipe:
                return WorkerKeys.from_bundle(pipe.read(BUNDLE_LIMIT + 1))
        except OSError as error:
            raise KeyUnusable("The keys that the parent process hands down cannot be read.") from error

    def _is_filled(self) -> bool:
        waiting = select.poll()
        waiting.register(self._descriptor, select.POLLIN)
        return bool(waiting.poll(0))


def bare_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without what opens a root or a database: for processes that strangers talk to."""
    return {name: value for name, value in environment.items() if not name.startswith(WAYS_TO_SECRETS)}
