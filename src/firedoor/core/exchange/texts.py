r"""One growing text of an answer: its placeholders restored, its protected values looked for, until what it is covered.

The watches read what the caller will read: placeholders restored, and in tool-call arguments the JSON escapes undone.
So a protected value is found as well inside a restored placeholder, around one, or behind a ``\n``; and so are a
stranger's values, where the surface has its answers checked.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import deque
from typing import NamedTuple

import msgspec
from msgspec import Struct

from firedoor.core.detect.leak.watch import Watch
from firedoor.core.detect.spans import Hit
from firedoor.core.detect.strangers import StrangerStop, StrangerWatch
from firedoor.core.minimise.placeholders import PlaceholderWatch, Replacement, json_escaped

_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|[^u])")
_OPEN_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_QUOTE = re.compile(r'\\.|"', re.DOTALL)

MASK = "[…]"
"""What a reader sees in place of a stretch that a surface masks: of no language, and safe inside JSON."""
RESTORED = "\ufffc"
"""What the search for strangers' data reads in place of each restored character: nothing of anybody's."""


class _Change(NamedTuple):
    """The model's text from `start` to `end` reads as `read` to the watch, and is sent as `sent` (None: as it is)."""

    start: int
    end: int
    read: str
    sent: str | None


class _Step(NamedTuple):
    """After a change: where its end stands in the read text and in the model's, and where the change began there."""

    read: int
    end: int
    start: int


class _Mask(Struct):
    """A stretch that is not sent; `said` when its mark was."""

    start: int
    end: int
    said: bool = False


class Text:
    """Feed it the model's text; take back what may be sent. Offsets count code points of the model's text."""

    __slots__ = (
        "_as_json", "_changes", "_decided", "_ended", "_lexed", "_masks", "_pending", "_quotes", "_read", "_restore",
        "_sent", "_steps", "_stop", "_strangers", "_watch", "fed", "released",
    )  # fmt: skip

    def __init__(
        self,
        watch: Watch,
        restore: PlaceholderWatch | None,
        *,
        as_json: bool,
        strangers: StrangerWatch | None = None,
    ) -> None:
        self._watch = watch
        self._strangers = strangers
        self._stop = strangers if isinstance(strangers, StrangerStop) else None
        self._restore = restore
        self._as_json = as_json
        self._changes: deque[_Change] = deque()
        self._masks: list[_Mask] = []  # in order, apart from each other
        self._quotes: list[int] = []  # where strings of JSON begin and end
        self._lexed = 0  # looked for up to here
        self._steps: deque[_Step] = deque([_Step(0, 0, 0)])
        self._decided = 0  # before this, placeholders and escapes are decided and the watch has read
        self._read = 0
        self._pending = ""  # the model's text that has not been taken
        self._sent: list[str] = []
        self._ended = False
        self.fed = 0
        self.released = 0

    def feed(self, text: str) -> list[Hit]:
        """Take more of the model's text; what it must not hold and now does."""
        self._pending += text
        self.fed += len(text)
        if self._restore is None and not self._as_json:
            self._decided = self.fed
            if self._strangers is not None:
                self._strangers.feed(text)
            return self._watch.feed(text)  # what is read is what the model wrote: so are the offsets
        changes = []
        upto = self.fed
        if self._restore is not None:
            changes = [self._change(found) for found in self._restore.feed(text)]
            upto = self._restore.held_from()
        return self._read_on(changes, upto)

    def covered(self) -> int:
        """Text before this offset is checked and can be released."""
        if self._ended and (self._stop is None or not self._stop.stopped):
            return self.fed
        held = self._watch.held_from()
        if self._stop is not None:
            held = min(held, self._stop.held_from())
        limit = self._decided
        if len(self._steps) == 1:
            (only,) = self._steps
            return min(limit, only.end + held - only.read)
        for step in reversed(self._steps):
            if held >= step.read:
                return min(limit, step.end + held - step.read)
            limit = min(limit, step.start)
        return min(limit, self.released)

    def end(self) -> list[Hit]:
        """No more will come: what only the end completes."""
        if self._ended:
            return []
        hits: list[Hit] = []
        if self._restore is not None:  # only now nothing can follow a placeholder without brackets
            hits += self._read_on([self._change(found) for found in self._restore.finish()], self.fed)
        if self._decided < self.fed:
            hits += self._look(self._pending[self._decided - self.released :])
        self._decided = self.fed
        self._ended = True
        if self._strangers is not None:
            self._strangers.end()
        return hits + [self._in_model_text(hit) for hit in self._watch.end()]

    def mask(self, hit: Hit) -> bool:
        """Have a mark stand in place of `hit`, or of what has not left of it.

        False if there is no place for one: in JSON, outside of a string and across strings.
        """
        start, end = max(hit.start, self.released), hit.end
        if start >= end:
            return True
        if self._as_json and not self._is_in_string(start, end):
            return False
        at = len(self._masks)
        while at and self._masks[at - 1].start > end:
            at -= 1
        behind, said = at, False
        while at and self._masks[at - 1].end >= start:  # a stretch that goes on, or several that overlap
            at -= 1
            last = self._masks[at]
            start, end, said = min(last.start, start), max(last.end, end), said or last.said
        self._masks[at:behind] = [_Mask(start, end, said)]
        return True

    def excerpt(self, hit: Hit) -> str:
        """The model's text of `hit`, or what has not left of it."""
        return self._pending[max(0, hit.start - self.released) : max(0, hit.end - self.released)]

    def take(self, upto: int) -> str:
        """What is sent for the model's text before `upto` that was not taken yet; nothing past what is covered."""
        start, end = self.released, max(self.released, min(upto, self.covered()))
        if self._as_json:
            self._find_quotes(end)
        raw, self._pending = self._pending[: end - start], self._pending[end - start :]
        self._sent.append(raw)
        self.released = end
        out: list[str] = []
        at = start
        while self._masks and self._masks[0].start < end:
            mask = self._masks[0]
            out.append(self._written(raw, start, at, mask.start))
            out.append("" if mask.said else MASK)
            mask.said = True
            at = max(at, min(mask.end, end))
            self._written(raw, start, mask.start, at)  # what is changed inside is not sent
            if mask.end >= end:
                mask.start = end  # it may still go on
                break
            self._masks.pop(0)
        out.append(self._written(raw, start, at, end))
        while len(self._steps) > 1 and self._steps[1].end <= end:
            self._steps.popleft()
        return "".join(out)

    def _written(self, raw: str, base: int, start: int, end: int) -> str:
        """The model's text from `start` to `end` with its changes; `raw` is the text from `base` on."""
        out: list[str] = []
        at = start
        while self._changes and self._changes[0].start < end:
            change = self._changes[0]
            if change.start >= start:
                out += (raw[at - base : change.start - base], change.sent or "")
            at = min(change.end, end)
            if change.end > end:
                break
            self._changes.popleft()
        out.append(raw[at - base : max(at, end) - base])
        return "".join(out)

    def released_text(self) -> str:
        """What has been taken, as the model wrote it."""
        return "".join(self._sent)

    def seen_text(self) -> str:
        """All that the model wrote."""
        return self.released_text() + self._pending

    def _is_in_string(self, start: int, end: int) -> bool:
        """Whether all of the model's text from `start` to `end`, in JSON, is inside of one string."""
        self._find_quotes(end)
        before = bisect_left(self._quotes, start)
        return before % 2 == 1 and before == bisect_left(self._quotes, end)

    def _find_quotes(self, upto: int) -> None:
        """Note the quotes in the model's text up to `upto`, and those behind an escape that reaches over it."""
        base = self.released
        while self._lexed < upto:
            match = _QUOTE.search(self._pending, self._lexed - base, upto - base + 1)
            if match is None or base + match.start() >= upto:
                self._lexed = upto
                break
            if match[0] == '"':
                self._quotes.append(base + match.start())
            self._lexed = base + match.end()

    def _change(self, found: Replacement) -> _Change:
        return _Change(found.start, found.end, found.text, json_escaped(found.text) if self._as_json else found.text)

    def _look(self, read: str, unrestored: str | None = None) -> list[Hit]:
        """Have the watches read on."""
        if self._strangers is not None:
            self._strangers.feed(read if unrestored is None else unrestored)
        return [self._in_model_text(hit) for hit in self._watch.feed(read)]

    def _in_model_text(self, hit: Hit) -> Hit:
        """`hit`, in read text, as it stands in the model's; whole changes where it begins or ends inside one."""
        return hit._replace(start=self._place(hit.start, inside_at_start=True), end=self._place(hit.end))

    def _place(self, read: int, *, inside_at_start: bool = False) -> int:
        limit: _Step | None = None
        for step in reversed(self._steps):
            if read >= step.read:
                at = step.end + read - step.read
                if limit is None or at <= limit.start:
                    return at
                return limit.start if inside_at_start else limit.end
            limit = step
        return self.released

    def _read_on(self, changes: list[_Change], upto: int) -> list[Hit]:
        """Have the watch read up to `upto`, or to an escape that is not whole yet."""
        base = self.released
        if not changes and not self._as_json:  # nearly always
            text = self._pending[self._decided - base : upto - base]
            self._read += upto - self._decided
            self._decided = upto
            return self._look(text)
        if self._as_json:
            text = self._pending[self._decided - base : upto - base]
            if "\\" in text:
                changes, upto = self._with_escapes(changes, text, upto)
        self._changes.extend(change for change in changes if change.sent is not None)
        out: list[str] = []
        unrestored: list[str] = []  # the same, with blanks for what came out of placeholders: that was brought
        at = self._decided
        for change in changes:
            between = self._pending[at - base : change.start - base]
            out += (between, change.read)
            unrestored += (between, change.read if change.sent is None else RESTORED * len(change.read))
            self._read += change.start - at + len(change.read)
            at = change.end
            self._steps.append(_Step(self._read, change.end, change.start))
        out.append(self._pending[at - base : upto - base])
        unrestored.append(out[-1])
        self._read += upto - at
        self._decided = upto
        return self._look("".join(out), "".join(unrestored))

    def _with_escapes(self, changes: list[_Change], text: str, upto: int) -> tuple[list[_Change], int]:
        """`changes` and the JSON escapes beside them, in order; reading stops before an escape that is not whole."""
        found: list[_Change] = []
        at = 0
        while at < len(text):
            match = _ESCAPE.search(text, at)
            open_from = text.find("\\", at) if match is None else match.start()
            if match is None:
                if open_from >= 0 and _OPEN_ESCAPE.match(text, open_from):
                    upto = min(upto, self._decided + open_from)
                break
            start, end = self._decided + match.start(), self._decided + match.end()
            found.append(_Change(start, end, _unescaped(match[0]), None))
            at = match.end()
        kept = [e for e in found if not any(c.start < e.end and e.start < c.end for c in changes)]
        return sorted((*changes, *kept)), upto


def _unescaped(escape: str) -> str:
    try:
        return str(msgspec.json.decode(f'"{escape}"'.encode()))
    except (msgspec.DecodeError, UnicodeError):
        return ""  # half of a surrogate pair, or no escape of JSON
