"""How much may be decoded of one text: what goes beyond it is counted, not decoded."""

from __future__ import annotations

MAX_DECODED = 1 << 16
"""Code points that are decoded altogether: more than a request of a shopper has, some milliseconds of work."""
MAX_GROWTH = 8
"""Decoded code points for each one of the run: only compressed data grow at all."""
_FREE = 256
"""Code points that a run may grow to anyhow."""
MAX_RUNS = 256
"""Runs that are tried in one text; escapes that stand singly do not count, they are decoded in one pass."""

MAX_RUN = 1 << 17
"""Code points of one run: twice as many as may be decoded."""


class Budget:
    """What is left for one text."""

    __slots__ = ("_left", "_runs", "refused")

    def __init__(self) -> None:
        self._left = MAX_DECODED
        self._runs = MAX_RUNS
        self.refused = 0

    def tries(self) -> bool:
        """Whether one run more may be tried."""
        self._runs -= 1
        if self._runs == -1:
            self.refused += 1
        return self._runs >= 0

    def takes(self, source: int, written: int) -> bool:
        """Whether a run of `source` code points may become `written` ones."""
        if written > self._left or written > max(_FREE, MAX_GROWTH * source):
            self.refused += 1
            return False
        self._left -= written
        return True

    def room(self, source: int) -> int:
        """Bytes that a run of `source` code points may be decompressed to."""
        return min(self._left, max(_FREE, MAX_GROWTH * source))
