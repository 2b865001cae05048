"""The other end of an exchange: the request body in, our bytes out, and whether anybody is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from firedoor.core.exchange.effects import Headers
from firedoor.errors import CallerError

WRITE_TIME = 30.0
"""Seconds a caller may keep us waiting to take more bytes."""

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

CLOSE = (("connection", "close"),)


class CallerLeft(Exception):  # no error: it is turned into a fact at once
    """The connection ended while the body was being read. Never leaves the driver."""


class Caller:
    """One caller, in ASGI's terms. `left` is called when they are found gone. Belongs to the task that makes it."""

    def __init__(self, receive: Receive, send: Send, left: Callable[[], None]) -> None:
        self._receive = receive
        self._send = send
        self._left = left
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._watching: asyncio.Task[None] | None = None
        self._waiting_since: float | None = None
        self._in_middle = False  # a piece of a stream that has begun, and is not its end
        self._interrupted: Literal["stuck", "shut"] | None = None
        self._gone = False
        self.head_sent = False

    async def read(self, limit: int, seconds: float) -> bytes:
        """The whole body. Raises `CallerError` for one that is too large or too slow, `CallerLeft`."""
        body = bytearray()
        try:
            async with asyncio.timeout(seconds):
                more = True
                while more:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise CallerLeft
                    body += message.get("body", b"")
                    if len(body) > limit:
                        raise too_large(limit)
                    more = message.get("more_body", False)
        except TimeoutError:
            text = "The request body did not arrive in time."
            raise CallerError(408, "request_timeout", text, headers=CLOSE) from None
        self._watching = self._loop.create_task(self._watch(), name="caller")
        return bytes(body)

    async def start(self, status: int, headers: Headers) -> None:
        """Send the response head."""
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await self._write({"type": "http.response.start", "status": status, "headers": raw})

    async def send(self, data: bytes, *, last: bool = False) -> None:
        """Send bytes of the body; waits while the caller takes none."""
        await self._write({"type": "http.response.body", "body": data, "more_body": not last})

    def drop_waiting(self) -> None:
        """The door shut: what waits for the caller to take it is not sent any more."""
        if self._in_middle:
            self._interrupt("shut")

    def give_up_if_stuck(self, now: float) -> None:
        """Treat a caller who has taken nothing for `WRITE_TIME` as gone. `now` is the loop's time."""
        if self._waiting_since is not None and now - self._waiting_since > WRITE_TIME:
            self._interrupt("stuck")

    async def aclose(self) -> None:
        """Stop watching."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left()

    async def _write(self, message: dict[str, Any]) -> None:
        if self._gone:
            return
        self.head_sent = True
        self._waiting_since = self._loop.time()
        self._in_middle = message.get("more_body", False)
        try:
            await self._send(message)
        except OSError:
            self._lost()
        except asyncio.CancelledError:
            why, self._interrupted = self._interrupted, None
            if why is None:
                raise
            assert self._task is not None
            self._task.uncancel()
            if why == "stuck":
                self._lost()
        finally:
            self._waiting_since = None
            self._in_middle = False

    def _interrupt(self, why: Literal["stuck", "shut"]) -> None:
        """End a write that waits. uvicorn writes after it has waited, so nothing of the message leaves."""
        if self._waiting_since is not None and self._interrupted is None:
            assert self._task is not None
            self._interrupted = why
            self._task.cancel()

    def _lost(self) -> None:
        self._gone = True
        self._left()


def too_large(limit: int) -> CallerError:
    """The body is over the surface's limit."""
    return CallerError(413, "body_too_large", f"The request body is larger than {limit} bytes.")
