"""A circuit breaker: after several failures in a row, stop asking for a while.

It is no switch. It opens for this process only, nobody's leak is behind it, and it closes again by itself. The
gateway's breaker of a model instance (`core/breaker.py`) is another one: there every call reports back, so it can count
shares and wait for its probe. Here a thread or task of the shop may be given up in the middle of a call, so a probe is
only a turn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Breaker:
    """Closed until `failures` calls in a row failed; then lets one probe through every `pause` seconds until one works.

    A probe that never reports back costs nothing but its turn. Safe to share between threads.
    """

    def __init__(self, *, failures: int = 5, pause: float = 2.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures
        self._pause = pause
        self._clock = clock
        self._lock = threading.Lock()
        self._failed = 0
        self._next_probe = 0.0

    @property
    def tripped(self) -> bool:
        """Whether calls are being kept back."""
        with self._lock:
            return self._failed >= self._limit

    def allows(self) -> bool:
        """Whether this call may go out. Saying yes while tripped makes it the probe."""
        with self._lock:
            if self._failed < self._limit:
                return True
            now = self._clock()
            if now < self._next_probe:
                return False
            self._next_probe = now + self._pause
            return True

    def succeeded(self) -> None:
        """A call was answered by a living gateway."""
        with self._lock:
            self._failed = 0

    def failed(self) -> None:
        """A call was not answered usably."""
        with self._lock:
            self._failed += 1
            self._next_probe = self._clock() + self._pause
