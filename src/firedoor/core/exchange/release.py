"""Hold back, inspect, release: the queue between a model's stream and the caller.

Whole frames wait until every text in them is covered: no protected value and no placeholder can still begin in it.
A frame nobody changed leaves as the bytes that came; only restored ones are written anew.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec
from msgspec import Struct

from firedoor.core import chat, sse
from firedoor.core.chat import Channel, Piece
from firedoor.core.detect.protected import ProtectedIndex, ProtectedWatch
from firedoor.core.detect.spans import Hit
from firedoor.core.minimise import Placeholders, PlaceholderWatch, Replacement
from firedoor.errors import ModelFailed

MAX_HELD = 1024
"""Frames. A live partial match spans at most 256 characters, so a model that fills this sends empty frames."""
MAX_CHANNELS = 256
"""Texts growing side by side: choices times tool calls and fields. More is not an answer to a shopper."""


class Text:
    """One text channel: what watches it and what is to be replaced in it."""

    __slots__ = ("_as_json", "_restore", "_watch", "edits", "fed", "released", "seen")

    def __init__(self, watch: ProtectedWatch, restore: PlaceholderWatch | None, *, as_json: bool) -> None:
        self._watch = watch
        self._restore = restore
        self._as_json = as_json
        self.fed = 0
        self.released = 0
        self.seen: list[str] = []
        self.edits: list[Replacement] = []

    def feed(self, text: str) -> list[Hit]:
        """Take more text; the protected values it completes."""
        self.fed += len(text)
        self.seen.append(text)
        if self._restore is not None:
            for edit in self._restore.feed(text):
                inserted = json_escaped(edit.text) if self._as_json else edit.text
                self.edits.append(Replacement(edit.start, edit.end, inserted))
        return self._watch.feed(text)

    def covered(self) -> int:
        """Text before this offset is checked and can be released."""
        held = self._watch.held_from()
        return held if self._restore is None else min(held, self._restore.held_from())

    def most_of_a_value(self) -> bool:
        """Whether the text so far ends in so much of a protected value that letting it go would tell it."""
        return self._watch.telling_partial()

    def rewrite(self, start: int, text: str) -> str:
        """`text`, which began at offset `start`, with the edits that begin in it made."""
        end = start + len(text)
        out: list[str] = []
        position = start
        for edit in self.edits:
            if edit.end <= start or edit.start >= end:
                continue
            if edit.start >= start:
                out.append(text[position - start : edit.start - start])
                out.append(edit.text)
            position = min(edit.end, end)
        out.append(text[position - start :])
        return "".join(out)

    def touched(self, start: int, end: int) -> bool:
        """Whether an edit covers any of `start`..`end`."""
        return any(edit.start < end and edit.end > start for edit in self.edits)


class _Held(Struct):
    frame: sse.Frame
    document: dict[str, Any] | None
    pieces: list[tuple[Text, int, int, Piece]]
    final: bool = False  # ends the last choice, or comes after: waits for the outcome


class Release:
    """Takes frames of one answer, gives back the bytes that may leave. Pure; the verdict ignores how bytes were cut."""

    def __init__(self, index: ProtectedIndex, typed: frozenset[str], placeholders: Placeholders, choices: int) -> None:
        self._index = index
        self._typed = typed
        self._placeholders = placeholders or None
        self._choices = choices
        self._texts: dict[Channel, Text] = {}
        self._held: deque[_Held] = deque()
        self._finished: set[int] = set()
        self.head: dict[str, Any] = {}
        self.done = False

    @property
    def held(self) -> int:
        """Frames waiting."""
        return len(self._held)

    @property
    def released(self) -> int:
        """Code points of the model's texts that have left."""
        return sum(text.released for text in self._texts.values())

    def released_text(self) -> dict[str, str]:
        """What has left, as the model wrote it, by channel."""
        return {_name(channel): "".join(text.seen)[: text.released] for channel, text in self._texts.items()}

    def seen_text(self) -> dict[str, str]:
        """All that the model wrote, by channel."""
        return {_name(channel): "".join(text.seen) for channel, text in self._texts.items()}

    @property
    def complete(self) -> bool:
        """Whether every choice said why it ended."""
        return len(self._finished) >= self._choices

    def open_choices(self) -> list[int]:
        """Choices that have not said why they ended."""
        return [i for i in range(self._choices) if i not in self._finished]

    def feed(self, frame: sse.Frame) -> tuple[bytes, list[Hit]]:
        """Bytes that may leave, and protected values found. After a hit nothing more is released.

        Raises `ModelFailed` for a frame that is not a chunk.
        """
        if self.done:
            return b"", []  # nothing follows [DONE]
        if frame.data is None:
            self._held.append(_Held(frame, None, [], self.complete))
            return self._drain(), []
        if frame.data == sse.DONE:
            self.done = True
            return b"", []
        document = _chunk(frame.data)
        if not self.head:
            self.head = {name: document[name] for name in ("id", "created", "model") if name in document}
        held = _Held(frame, document, [])
        hits: list[Hit] = []
        for piece in chat.pieces_of_chunk(document):
            text = self._text(piece.channel)
            start = text.fed
            hits += text.feed(piece.text)
            held.pieces.append((text, start, text.fed, piece))
        if hits:
            return b"", hits
        self._finished.update(chat.finished_choices(document))
        held.final = self.complete
        self._held.append(held)
        if len(self._held) > MAX_HELD:
            raise ModelFailed("garbage", "too many stream events without releasable text")
        return self._drain(), []

    def finish(self) -> tuple[bytes, dict[str, Any]]:
        """The rest: bytes of all frames but the last, and the last one decoded: the outcome is added to it."""
        last: dict[str, Any] = {}
        out: list[bytes] = []
        while self._held:
            held = self._held.popleft()
            rendered = self._render(held)
            if not self._held and held.document is not None:
                last = held.document
            else:
                out.append(rendered)
        return b"".join(out), last

    def most_of_a_value(self) -> bool:
        """Whether any text ends in most of a protected value (asked when the answer has ended)."""
        return any(text.most_of_a_value() for text in self._texts.values())

    def _text(self, channel: Channel) -> Text:
        text = self._texts.get(channel)
        if text is None:
            if len(self._texts) >= MAX_CHANNELS:
                raise ModelFailed("garbage", "too many texts in one answer")
            watch = self._index.watch(self._typed)
            restore = self._placeholders.watch() if self._placeholders is not None else None
            text = self._texts[channel] = Text(watch, restore, as_json=channel[-1] == "arguments")
        return text

    def _drain(self) -> bytes:
        """Release from the left what is covered. Frames that end the answer wait for `finish`."""
        out: list[bytes] = []
        while self._held:
            held = self._held[0]
            if held.final or any(text.covered() < end for text, _, end, _ in held.pieces):
                break
            self._held.popleft()
            out.append(self._render(held))
        return b"".join(out)

    def _render(self, held: _Held) -> bytes:
        changed = False
        for text, start, end, piece in held.pieces:
            text.released = end
            if text.edits and text.touched(start, end):
                piece.holder[piece.key] = text.rewrite(start, piece.text)
                changed = True
        if not changed or held.document is None:
            return held.frame.raw
        for choice in chat.choices_of(held.document):
            choice.pop("logprobs", None)  # they spell the text that was replaced
        return sse.encode(msgspec.json.encode(held.document))


def restore_answer(
    answer: dict[str, Any], index: ProtectedIndex, typed: frozenset[str], placeholders: Placeholders
) -> tuple[bool, list[Hit], bool]:
    """Inspect a whole answer and restore its placeholders in place.

    Returns whether it was changed, the protected values found, and whether it ends in most of one.
    """
    changed = False
    hits: list[Hit] = []
    telling = False
    for piece in list(chat.pieces_of_answer(answer)):
        watch = index.watch(typed)
        hits += watch.feed(piece.text)
        telling = telling or watch.telling_partial()
        if placeholders:
            restored = placeholders.restore(piece.text, json_string=piece.key == "arguments")
            if restored != piece.text:
                piece.holder[piece.key] = restored
                changed = True
    if changed:
        for choice in chat.choices_of(answer):
            choice.pop("logprobs", None)
    return changed, hits, telling


def json_escaped(text: str) -> str:
    """`text` as it stands inside a JSON string."""
    return msgspec.json.encode(text)[1:-1].decode()


def _chunk(data: bytes) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ModelFailed("garbage", "a stream event is not JSON") from None
    if not isinstance(document, dict):
        raise ModelFailed("garbage", "a stream event is not an object")
    if document.get("error") is not None:
        raise ModelFailed("error_event", "the model server reported an error in the stream")
    return document


def _name(channel: Channel) -> str:
    return ".".join(str(part) for part in channel)
