"""uvicorn's HTTP/1.1 protocol with bounds on the request head, which uvicorn and its parser leave open."""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from firedoor.core.exchange.shapes import error_body
from firedoor.errors import CallerError

MAX_HEAD = 16 * 1024
"""Bytes of request line and headers: what nginx and Apache allow too (8 to 32 kB); ours need less than 1 kB."""
HEAD_TIME = 10.0
"""Seconds for a head to arrive once its connection or its first byte is there. Ends slow-loris connections."""
MAX_DISCARD = 32 * 1024 * 1024
"""Bytes of a body that arrive after their request was refused. They are dropped, not kept, so that a caller who is
still sending can read why; whoever sends more is cut off."""

MALFORMED = CallerError(400, "invalid_http", "The request is not valid HTTP.")
HEAD_TOO_LARGE = CallerError(431, "headers_too_large", f"The request head is larger than {MAX_HEAD} bytes.")
HEAD_TOO_SLOW = CallerError(408, "request_timeout", "The request head did not arrive in time.")


class BoundedProtocol(HttpToolsProtocol):
    """Counts and times the head; malformed requests get the OpenAI error shape."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._in_head = True
        self._discarded = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        """Give the head its time."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """No head will come."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the head, then parse."""
        if self._in_head:
            if self._head_timer is None:
                self._expect_head()  # a further request on a kept connection
            self._head_bytes += len(data)
            # One read may hold a whole head and much of a body: only what stays unparsed counts as head.
            if self._head_bytes > MAX_HEAD and b"\r\n\r\n" not in data[: MAX_HEAD + 4]:
                self._refuse(HEAD_TOO_LARGE)
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """A request line is coming."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """The head is whole; the application bounds the body."""
        self._in_head = False
        self._head_bytes = 0
        self._stop_timer()
        try:
            super().on_headers_complete()
        except (httptools.HttpParserError, UnicodeDecodeError):
            self._refuse(MALFORMED)

    def on_body(self, body: bytes) -> None:
        """Drop what comes after the refusal."""
        if self.cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > MAX_DISCARD:
                self.transport.close()
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The next bytes are another head."""
        super().on_message_complete()
        self._in_head = True

    def send_400_response(self, msg: str) -> None:
        """As uvicorn does, in the OpenAI shape; its text may quote the caller."""
        del msg
        self._refuse(MALFORMED)

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIME, self._refuse, HEAD_TOO_SLOW)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, error: CallerError) -> None:
        self._stop_timer()
        if self.transport.is_closing():
            return
        body = error_body(error)
        head = f"HTTP/1.1 {error.status} Refused\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()
