"""HTTP for callers from outside who have little to say: whoever is slow is dropped."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

EXCHANGE_SECONDS = 15.0
"""From waiting for the first byte to the answer's last: a request is under 64 KiB, its answer one disk sync away."""


class HastyProtocol(H11Protocol):
    """Drops a connection whose request, from its first byte to its answer, takes longer than `EXCHANGE_SECONDS`."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its base does
        """The time begins."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(EXCHANGE_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Of each further request it begins with its first byte."""
        if self._timer is None:
            self._timer = self.loop.call_later(EXCHANGE_SECONDS, self.transport.abort)
        super().data_received(data)

    def on_response_complete(self) -> None:
        """The answer is out."""
        self._stop()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits any more."""
        self._stop()
        super().connection_lost(exc)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
