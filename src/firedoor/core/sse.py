"""Event-stream bytes to frames, incrementally (WHATWG HTML, "Server-sent events").

A frame keeps its original bytes, so that what nobody changed is forwarded untouched. Cutting the input differently
never changes the frames.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from firedoor.errors import ModelFailed

DONE = b"[DONE]"
MAX_FRAME = 2 * 1024 * 1024
"""Bytes. Model servers send a frame per token (about 250 bytes); a whole tool call in one frame stays far below."""

# Two line ends in a row. Atomic, so that one CRLF is never taken for two line ends.
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r){2}")
_LINE_END = re.compile(rb"\r\n|\n|\r")


class Frame(NamedTuple):
    """One event: `raw` with its blank line, `data` without field names (None for comments and keep-alives)."""

    raw: bytes
    data: bytes | None


class FrameDecoder:
    """`feed` bytes, get the frames they complete."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> list[Frame]:
        """Raises `ModelFailed` ("too_large") when a frame grows past the limit."""
        buffer = self._buffer
        if not buffer and b"\r" not in data:  # nearly always: whole frames, and line feeds only
            *whole, rest = data.split(b"\n\n")
            buffer += rest
            self._searched = max(0, len(rest) - 3)
            self._check(rest)
            return [_plain_frame(part) for part in whole]
        buffer += data
        frames: list[Frame] = []
        start = 0
        while match := _BLANK_LINE.search(buffer, max(start, self._searched)):
            end = match.end()
            if end == len(buffer) and buffer.endswith(b"\r"):
                break  # the CR may be half of a CRLF
            frames.append(_frame(bytes(buffer[start:end])))
            start = end
        del buffer[:start]
        self._searched = max(0, len(buffer) - 3)  # a blank line is at most four bytes
        self._check(buffer)
        return frames

    def _check(self, rest: bytes | bytearray) -> None:
        if len(rest) > self._limit:
            raise ModelFailed("too_large", "a stream event is larger than the limit")

    def finish(self) -> list[Frame]:
        """The frame that a final lone CR was holding back; anything else left is an incomplete event and is dropped."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        match = _BLANK_LINE.search(rest)
        return [_frame(rest)] if match and match.end() == len(rest) else []


def _plain_frame(text: bytes) -> Frame:
    """A frame from its text without the blank line, which has line feeds only."""
    raw = text + b"\n\n"
    if text.startswith(b"data: ") and b"\n" not in text:
        return Frame(raw, text[6:])
    return _frame(raw)


def _frame(raw: bytes) -> Frame:
    values = []
    for line in _LINE_END.split(raw):
        name, _, value = line.partition(b":")
        if name == b"data":
            values.append(value.removeprefix(b" "))
    return Frame(raw, b"\n".join(values) if values else None)


def encode(data: bytes) -> bytes:
    """One event with `data`, which must be a single line."""
    return b"data: " + data + b"\n\n"
