"""uvicorn's HTTP/1.1 protocol with bounds on what it and its parser leave open: heads, trailers, waiting requests.

Nothing a caller sends may be kept without limit before its credential was looked at, no byte may be read as a request
that was sent as something else, and an answer under way gets no byte that is not its own.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from firedoor.core.exchange.shapes import error_body
from firedoor.errors import CallerError

MAX_HEAD = 16 * 1024
"""Bytes of request line and headers: what nginx and Apache allow too (8 to 32 kB); ours need less than 1 kB. Trailers
and chunk extensions, which nobody here needs, may be as long."""
HEAD_TIME = 10.0
"""Seconds for a head to arrive once its connection or its first byte is there. Ends slow-loris connections."""
DISCARD_TIME = 15.0
"""Seconds for the rest of a body whose request was answered already: as long as an admitted body may take."""
MAX_DISCARD = 32 * 1024 * 1024
"""Bytes of a body that arrive after their request was refused. They are dropped, not kept, so that a caller who is
still sending can read why; whoever sends more is cut off."""

MALFORMED = CallerError(400, "invalid_http", "The request is not valid HTTP.")
UPGRADE = CallerError(400, "invalid_http", "Connections are not upgraded: send HTTP/1.1 without Upgrade or CONNECT.")
HEAD_TOO_LARGE = CallerError(431, "headers_too_large", f"The request head is larger than {MAX_HEAD} bytes.")
HEAD_TOO_SLOW = CallerError(408, "request_timeout", "The request head did not arrive in time.")


class BoundedProtocol(HttpToolsProtocol):
    """Counts and times what arrives outside of bodies; refused requests get the OpenAI error shape.

    A connection is either in a head (from the end of a request to the end of the next head) or in a body, and at the
    same time an answer is under way or not. One request at a time: RFC 9112, section 9.3.2 lets a server close a
    connection on which requests were pipelined.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._begun = False  # the head's first byte was there
        self._head_size = 0
        self._idle_bytes = 0  # since the parser last yielded a head or a piece of a body
        self._discarded = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        """Give the head its time."""
        super().connection_made(transport)
        self._expect(HEAD_TIME)

    def connection_lost(self, exc: Exception | None) -> None:
        """No head will come."""
        self._stop_timer()
        self._unset_keepalive_if_required()  # uvicorn leaves it running, and us in memory, after a reset
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and count what came of it."""
        if self._in_head and not self._begun and data[0] in b"\r\n":
            data = data.lstrip(b"\r\n")  # RFC 9112, section 2.2: some clients end a body with a line break
            if not data:
                return
        self._unset_keepalive_if_required()
        self._idle_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:  # a callback's refusal, too: it has closed the connection by now
            self._refuse(MALFORMED)
            return
        if self._idle_bytes > MAX_HEAD:
            self._refuse(HEAD_TOO_LARGE)
        elif self._timer is None:
            if self._in_head:
                if self._begun:
                    self._expect(HEAD_TIME)
            elif self.cycle.response_complete:  # until then the exchange times its body
                self._expect(DISCARD_TIME)

    def on_message_begin(self) -> None:
        """A request line is coming."""
        if self._answering():
            # Kept, waiting requests would fill memory; left unread, they would hide that the caller is gone.
            self._stop(MALFORMED)
        self._begun = True
        self._head_size = self._discarded = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count it."""
        self._grow(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count it. A trailer is dropped: it comes after the head was judged (RFC 9110, section 6.5.1)."""
        if self._in_head:
            self._grow(len(name) + len(value) + 4)  # the colon, a space, the line's end
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole; the application bounds the body."""
        self._idle_bytes = 0
        if self.parser.should_upgrade():
            self._stop(UPGRADE)  # the parser would take the body for the next request
        self._stop_timer()
        self._unset_keepalive_if_required()
        super().on_headers_complete()
        self._in_head = False

    def on_body(self, body: bytes) -> None:
        """Drop what comes after the answer."""
        self._idle_bytes = 0
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
        self._begun = False
        self._idle_bytes = 0
        if self.cycle.response_complete:  # answered before its body was there: the connection is idle only from now on
            self._stop_timer()
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _grow(self, size: int) -> None:
        self._head_size += size
        if self._head_size > MAX_HEAD:
            self._stop(HEAD_TOO_LARGE)

    def _expect(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._refuse, HEAD_TOO_SLOW)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop(self, error: CallerError) -> None:
        """Refuse from within the parser, and stop it."""
        self._refuse(error)
        raise httptools.HttpParserError

    def _refuse(self, error: CallerError) -> None:
        """Answer the request that has no answer yet, if there is one, and close."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        if self._answering() and (self._in_head or self.cycle.response_started):
            self.transport.abort()  # what was to come is lost anyway; its exchange learns at once that nobody listens
            return
        if self._in_head or self._answering():
            if self._answering():  # the fault is in its body: this is its answer
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            body = error_body(error)
            head = f"HTTP/1.1 {error.status} Refused\r\ncontent-type: application/json\r\nconnection: close\r\n"
            self.transport.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()
