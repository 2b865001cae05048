"""Hold back, inspect, release: the queue between a model's answer and the caller.

Whole frames wait until every text in them is covered: no protected value and no placeholder can still begin in it. Only
where other texts of the answer would wait too does a frame leave without the end of its text, which then follows. What
leaves is written anew from what was inspected, so that nothing hides beside it.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from firedoor.core import answers, policy, sse
from firedoor.core.answers import Channel, Piece
from firedoor.core.detect.leak.guard import LeakGuard
from firedoor.core.detect.spans import Hit
from firedoor.core.detect.strangers import AnswerCheck
from firedoor.core.exchange.shapes import chunk
from firedoor.core.exchange.texts import Text
from firedoor.core.minimise.placeholders import Placeholders
from firedoor.core.plan.model import AnswerRules
from firedoor.core.policy import Sighting
from firedoor.errors import CheckFailed, ModelFailed

MAX_HELD = 4096
"""Frames. While one text is held others pass it by, so only a model that repeats separators for ever fills this."""
MAX_CHANNELS = 256
"""Texts growing side by side: choices times tool calls and fields. More is not an answer to a shopper."""
MAX_PASSED = 4096
"""Short strings remembered as harmless: ids, roles, names of fields. An answer has about ten different ones."""

SERVER_SAID = answers.ALONE | {"system_fingerprint", "service_tier"}
"""Fields whose strings come from the model server and not from the model: ids that may look like anything."""

KEEP_ALIVE = b":\n\n"


class Step(NamedTuple):
    """What a frame led to: bytes that may leave, and what was seen that must not. `noted` lets the answer go on.

    With `stops` or `stranger` the answer must not go on; behind a stranger's value, `data` is what stands before it.
    """

    data: bytes = b""
    stops: list[Sighting] = []  # noqa: RUF012  # never changed
    noted: list[Sighting] = []  # noqa: RUF012
    stranger: bool = False


class Seen(NamedTuple):
    """What was seen that must not leave: what ends the answer, and what is masked or only recorded."""

    stops: list[Sighting]
    noted: list[Sighting]


class Inspection:
    """All texts of one answer. `look` at its documents in order, then `end` it.

    `guard` knows what must not leave and `rules` what becomes of it. `check` looks for personal data that nobody
    brought, and holds what was found; None where answers are not checked. With `json_content` the caller asked for
    JSON: what is restored in the content is escaped as in arguments.

    Every method raises `CheckFailed` when a search fails: an answer that was not looked at is not a clean one.
    """

    def __init__(
        self,
        guard: LeakGuard,
        rules: AnswerRules,
        placeholders: Placeholders,
        check: AnswerCheck | None = None,
        *,
        json_content: bool = False,
    ) -> None:
        self.check = check
        self._rules = rules
        self._json_content = json_content
        self._guard = guard
        self._placeholders = placeholders or None
        self._passed: set[str] = set()
        self.texts: dict[Channel, Text] = {}

    def look(self, document: dict[str, Any], *, skip: str = "") -> tuple[list[Found], Seen]:
        """The growing texts in `document` with where each ends now, and what must not leave. Raises `ModelFailed`."""
        found: list[Found] = []
        seen = Seen([], [])
        pieces = list(answers.pieces(document, skip))
        try:
            for piece in pieces:
                if piece.channel is None:
                    self._look_at_once(piece, seen)
                    continue
                if not piece.text:
                    continue
                text = self._text(piece.channel)
                hits = text.feed(piece.text)
                if hits:
                    self._judge(piece.channel, text, hits, seen)
                found.append(Found(text, text.fed, piece))
        except ModelFailed:
            raise
        except Exception as error:
            raise CheckFailed(type(error).__name__) from error
        return found, seen

    def end(self, choice: int | None = None) -> Seen:
        """The texts of `choice`, or all, are over: what only that completes."""
        seen = Seen([], [])
        try:
            for channel, text in self.texts.items():
                if choice is None or channel[0] == choice:
                    self._judge(channel, text, text.end(), seen)
        except Exception as error:
            raise CheckFailed(type(error).__name__) from error
        return seen

    @property
    def stops(self) -> bool:
        """Whether a stranger's value was found that must not leave."""
        return self.check is not None and self.check.stops

    @property
    def released(self) -> int:
        """Code points of the model's texts that have left."""
        return sum(text.released for text in self.texts.values())

    def released_text(self) -> dict[str, str]:
        """What has left, as the model wrote it, by channel."""
        return {_name(channel): text.released_text() for channel, text in self.texts.items()}

    def seen_text(self) -> dict[str, str]:
        """All that the model wrote, by channel."""
        return {_name(channel): text.seen_text() for channel, text in self.texts.items()}

    def _judge(self, channel: Channel, text: Text, hits: list[Hit], seen: Seen) -> None:
        """Sort `hits` by what becomes of them; what is masked is masked, and what cannot be ends the answer."""
        for hit in hits:
            action = policy.action_on(hit, self._rules)
            if action == "off":
                continue
            if action == "mask" and not text.mask(hit):
                action = "cut"
            one = Sighting(hit, _name(channel), policy.masked_hit(hit, text.excerpt(hit)), action)
            (seen.stops if policy.stops(action) else seen.noted).append(one)

    def _text(self, channel: Channel) -> Text:
        text = self.texts.get(channel)
        if text is None:
            if len(self.texts) >= MAX_CHANNELS:
                raise ModelFailed("garbage", "too many texts in one answer")
            restore = self._placeholders.watch() if self._placeholders is not None else None
            strangers = self.check.watch() if self.check is not None else None
            as_json = channel[-1] == "arguments" or (self._json_content and "content" in channel)
            text = Text(self._guard.watch(), restore, as_json=as_json, strangers=strangers)
            self.texts[channel] = text
        return text

    def _look_at_once(self, piece: Piece, seen: Seen) -> None:
        """A string that stands for itself: an id, a role, the name of a field. There is no masking part of it."""
        if piece.text in self._passed:
            return
        text = piece.text
        if self._placeholders is not None and piece.holder is not None:
            text = self._placeholders.restore(text)
            if text != piece.text:
                piece.holder[piece.key] = text
        hits = self._guard.look(text)
        if self.check is not None and piece.key not in SERVER_SAID:
            self.check.look(text)
        for hit in hits:
            action = policy.action_on(hit, self._rules)
            if action == "off":
                continue
            if action == "mask":
                action = "cut"
            one = Sighting(hit, str(piece.key or "name"), policy.masked_hit(hit, text[hit.start : hit.end]), action)
            (seen.stops if policy.stops(action) else seen.noted).append(one)
        if not hits and text == piece.text:
            if len(self._passed) >= MAX_PASSED:
                self._passed.clear()
            self._passed.add(text)


class Found(NamedTuple):
    """A growing text in a document, where it ends after it, and the place of its piece."""

    text: Text
    end: int
    piece: Piece


class _Held(Struct):
    document: dict[str, Any]
    found: list[Found]
    finishes: list[int]
    final: bool  # ends the last choice, or comes after: waits for the outcome


class Release:
    """Takes frames of one answer, gives back the bytes that may leave. Pure; the verdict ignores how bytes were cut."""

    def __init__(self, inspection: Inspection, choices: int) -> None:
        self.inspection = inspection
        self._choices = choices
        self._held: deque[_Held] = deque()
        self._finished: set[int] = set()
        self._ended: set[int] = set()
        self.head: dict[str, Any] = {}
        self.answer_id: object = None  # the first one that is not empty
        self.finish_reason: str | None = None
        self.done = False

    @property
    def held(self) -> int:
        """Frames waiting."""
        return len(self._held)

    @property
    def complete(self) -> bool:
        """Whether every choice said why it ended."""
        return len(self._finished) >= self._choices

    def open_choices(self) -> list[int]:
        """Choices of which the caller was not told why they ended: the one that ends last is always among them."""
        return [i for i in range(self._choices) if i not in self._ended]

    def feed(self, frame: sse.Frame) -> Step:
        """Take a frame. After what stops the answer nothing more is released, after a stranger nothing from there on.

        Raises `ModelFailed` for garbage, `CheckFailed`.
        """
        if self.done:
            return Step()  # nothing follows [DONE]
        if frame.data is None:  # a comment: passed on as one, without its words
            return Step() if self._held else Step(KEEP_ALIVE)
        if frame.data == sse.DONE:
            self.done = True
            return Step()
        document = answers.decode_chunk(frame.data, self._choices)
        if not self.head:
            self.head = {name: document[name] for name in ("id", "created", "model") if name in document}
        self.answer_id = self.answer_id or document.get("id")
        found, seen = self.inspection.look(document)
        if any(one.piece.channel is not None and one.piece.channel[0] in self._finished for one in found):
            raise ModelFailed("garbage", "text after a choice has ended")
        finishes = answers.finished_choices(document)
        if finishes:
            self.finish_reason = next((c["finish_reason"] for c in document["choices"] if c.get("finish_reason")), None)
        for choice in finishes:
            more = self.inspection.end(choice)
            seen = Seen(seen.stops + more.stops, seen.noted + more.noted)
        if seen.stops:
            return Step(stops=seen.stops, noted=seen.noted)
        if self.inspection.stops:
            return Step(self.before_stranger(), noted=seen.noted, stranger=True)
        self._finished.update(finishes)
        held = _Held(document, found, finishes, self.complete)
        self._held.append(held)
        if len(self._held) > MAX_HELD:
            raise ModelFailed("garbage", "too many stream events without releasable text")
        return Step(self._drain(held), noted=seen.noted)

    def finish(self) -> tuple[bytes, dict[str, Any]]:
        """The rest: bytes of all frames but the last, and the last one decoded: the outcome is added to it."""
        out: list[bytes] = []
        last: dict[str, Any] = {}
        while self._held:
            held = self._held.popleft()
            out += self._restored(held)
            last = held.document
            if self._held:
                out.append(_encoded(last))
        out += self._owed(set(range(self._choices)), set())
        return b"".join(out), last

    def before_stranger(self) -> bytes:
        """What stands before a stranger's value, once: it is checked, and no part of the value."""
        out: list[bytes] = []
        while self._held and not self._held[0].final:
            out += self._first()
        out += self._owed(set(range(self._choices)), set())
        return b"".join(out)

    def _drain(self, newest: _Held) -> bytes:
        """Release from the left what is covered. Frames that end the answer wait for `finish`."""
        out: list[bytes] = []
        while self._held and not self._held[0].final:
            held = self._held[0]
            blocked = [one.text for one in held.found if one.text.covered() < one.end]
            if blocked and all(one.text in blocked for one in newest.found) and not newest.finishes:
                break
            out += self._first()
        return b"".join(out)

    def _first(self) -> list[bytes]:
        """The first frame that waits, to be sent, and what comes before it."""
        held = self._held.popleft()
        self._ended.update(held.finishes)
        return [*self._restored(held), _encoded(held.document)]

    def _restored(self, held: _Held) -> list[bytes]:
        """Write what may be sent into the frame; before a frame that ends a choice, what its texts still owe."""
        owed = self._owed(set(held.finishes), {id(one.text) for one in held.found}) if held.finishes else []
        for one in held.found:
            one.piece.holder[one.piece.key] = one.text.take(one.end)
        return owed

    def _owed(self, choices: set[int], but: set[int]) -> list[bytes]:
        """Frames with what the texts of `choices` still hold, but those of `but`."""
        return [
            _encoded(chunk(self.head, [_choice(channel, text.take(text.fed))]))
            for channel, text in self.inspection.texts.items()
            if channel[0] in choices and id(text) not in but and text.released < text.covered()
        ]


def inspect_answer(answer: dict[str, Any], inspection: Inspection, *, skip: str = "") -> Step:
    """Inspect a whole answer and restore its placeholders in place; `skip` is a field that is not looked into."""
    found, seen = inspection.look(answer, skip=skip)
    more = inspection.end()
    stops, noted = seen.stops + more.stops, seen.noted + more.noted
    if stops or inspection.stops:
        return Step(stops=stops, noted=noted, stranger=not stops)
    for one in found:
        one.piece.holder[one.piece.key] = one.text.take(one.end)
    return Step(msgspec.json.encode(answer), noted=noted)


def _encoded(document: dict[str, Any]) -> bytes:
    return sse.encode(msgspec.json.encode(document))


def _choice(channel: Channel, text: str) -> dict[str, Any]:
    """A choice of a chunk in which `channel` continues with `text`."""
    inner: Any = text
    for part in reversed(channel[1:]):
        inner = [{"index": part, **inner}] if isinstance(part, int) else {part: inner}
    return {"index": channel[0], "finish_reason": None, **inner}


def _name(channel: Channel) -> str:
    return ".".join(str(part) for part in channel)
