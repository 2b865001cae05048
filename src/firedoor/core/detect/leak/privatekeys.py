"""Private keys in an answer, while it grows."""

from __future__ import annotations

import re

from firedoor.core.detect.leak.cards import Secret

MAX_PRIVATE_KEY = 16_384
"""Code points; a longer one is cut off."""

_ARMOUR = re.compile("-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
ARMOUR_GROWS = re.compile(r"-----(?:B(?:E(?:G(?:I(?:N(?: [A-Z0-9 ]{0,56}-{0,4})?)?)?)?)?)?\Z|-{1,4}\Z")
_BODY = re.compile(r"[A-Za-z0-9+/=\s:,.\\]*")
_ARMOUR_END = re.compile("-----END [A-Z0-9 ]{1,56}-----")
_END_GROWS = re.compile(r"-{1,5}\Z|-----(?:E(?:N(?:D(?: [A-Z0-9 ]{0,56}-{0,4})?)?)?)\Z")
_KEY_LINE = re.compile("[A-Za-z0-9+/]{24}")
_KEY_BY = 256
"""Code points behind the head of an armour in which the key begins; otherwise it is only spoken of."""


class PrivateKeys:
    """Private keys in their armour (RFC 7468, OpenPGP), also cut off."""

    __slots__ = ("_at", "_fed", "_head", "_text")

    def __init__(self) -> None:
        self._fed = 0
        self._text = ""  # an armour that may begin, or begins, and what follows
        self._head = 0  # how long its head is; 0: not whole yet
        self._at = 0  # up to here it is read

    def feed(self, text: str) -> list[Secret]:
        """See `Watch.feed`."""
        self._fed += len(text)
        if not self._text and "-" not in text:
            return []
        self._text += text
        return self._read(final=False)

    @property
    def idle(self) -> bool:
        """Whether no armour may have begun."""
        return not self._text

    def held_from(self) -> int:
        """See `Watch.held_from`."""
        return self._fed - len(self._text)

    def end(self) -> list[Secret]:
        """See `Watch.end`."""
        return self._read(final=True)

    def skip(self, count: int, before: str) -> None:  # noqa: ARG002  # like other parts
        """`count` code points that hold nothing are not read."""
        self._fed += count
        self._text, self._head = "", 0

    def _read(self, *, final: bool) -> list[Secret]:
        found: list[Secret] = []
        while self._text:
            if not self._head and not self._find_head(final=final):
                return found
            if not self._find_end(final=final):
                return found
            if _KEY_LINE.search(self._text, self._head, min(self._at, self._head + _KEY_BY)):
                start, written = self.held_from(), self._text[: self._at].rstrip()
                found.append(Secret(start, start + len(written), "private_key", written))
            self._text = self._text[self._at :]
            self._head = 0
        return found

    def _find_head(self, *, final: bool) -> bool:
        """Whether an armour begins: it is then all that is kept."""
        head = _ARMOUR.search(self._text)
        if head is not None:
            self._text = self._text[head.start() :]
            self._head = self._at = len(head[0])
            return True
        grows = None if final else ARMOUR_GROWS.search(self._text, max(0, len(self._text) - 80))
        self._text = "" if grows is None else grows[0]
        return False

    def _find_end(self, *, final: bool) -> bool:
        """Whether it is known where the key ends: at `_at`."""
        text = self._text
        while self._at < MAX_PRIVATE_KEY:
            body = _BODY.match(text, self._at, MAX_PRIVATE_KEY)
            assert body is not None
            self._at = body.end()
            if self._at > self._head + _KEY_BY and not _KEY_LINE.search(text, self._head, self._head + _KEY_BY):
                return True
            if self._at == len(text) or self._at >= MAX_PRIVATE_KEY:
                return final or self._at >= MAX_PRIVATE_KEY
            if (end := _ARMOUR_END.match(text, self._at)) is not None:
                self._at = end.end()
                return True
            if not final and _END_GROWS.match(text, self._at):
                return False
            if text[self._at] != "-" or text.startswith("-----", self._at):
                return True
            self._at += 1
        return True
