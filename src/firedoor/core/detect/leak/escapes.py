"""Characters that are written as escapes: percent signs, entities, the source of programs and of JSON, hidden ones.

A reading with the escapes undone; what stands between them stays, as most texts escape only some of their characters.
Hidden are tag characters and variation selectors, in which ASCII can be written that nobody sees.
"""

from __future__ import annotations

import html
import re

from firedoor.core.detect.leak.respelt import Respelt
from firedoor.core.detect.spans import View

_HEX = "[0-9a-fA-F]"
_BYTE = r"(?:%|\\x)"
_NEXT = rf"{_BYTE}[89abAB]{_HEX}"
_HIDDEN = "\U000e0020-\U000e007e\U000e0100-\U000e01ef"
_ESCAPE = re.compile(
    rf"(?P<bytes>{_BYTE}(?:[c-dC-D]{_HEX}{_NEXT}|[eE]{_HEX}(?:{_NEXT}){{2}}|[fF]{_HEX}(?:{_NEXT}){{3}}|{_HEX}{{2}}))"
    rf"|&(?:#(?:[0-9]{{1,7}}|[xX]{_HEX}{{1,6}});?|(?P<name>[A-Za-z][A-Za-z0-9]{{1,7}});)"
    rf"|\\(?P<pair>u[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}})"
    rf"|\\(?P<code>u{_HEX}{{4}}|u\{{{_HEX}{{1,6}}\}}|U{_HEX}{{8}})|\\(?P<octal>[0-3][0-7]{{2}})|(?P<hidden>[{_HIDDEN}])"
)
_OPEN = re.compile(
    rf"(?:{_BYTE}[c-fC-F]{_HEX}(?:{_NEXT}){{0,2}})?(?:%{_HEX}?|\\(?:x{_HEX}?)?)?"
    rf"|&(?:#(?:[0-9]{{0,7}}|[xX]{_HEX}{{0,6}})|[A-Za-z][A-Za-z0-9]{{0,7}})?"
    rf"|\\(?:u(?:\{{{_HEX}{{0,6}}|{_HEX}{{0,3}}|[dD][89abAB]{_HEX}{{2}}(?:\\(?:u{_HEX}{{0,3}})?)?)?|U{_HEX}{{0,7}}|[0-3][0-7]?)?"
)
_LONGEST = 16
ESCAPES = re.compile(rf"[%\\&{_HIDDEN}]")
"""What no text without escapes has."""
_NUMBER = re.compile(rf"{_HEX}+")
_UNITS = re.compile(_HEX + "{2}")


class Escapes:
    """A `Spelling`: what escapes stand for."""

    def read(self, text: str, first: int, *, final: bool) -> tuple[list[Respelt], int]:
        """See `Spelling.read`."""
        found: list[Respelt] = []
        at = first
        while (begin := ESCAPES.search(text, at)) is not None:
            start = begin.start()
            if not final and len(text) - start < _LONGEST and _OPEN.fullmatch(text, start):
                return found, start
            match = _ESCAPE.match(text, start)
            at = start + 1 if match is None else match.end()
            if match is not None:
                view, written = _undone(match)
                found.append(Respelt(start, at, written, view))
        return found, len(text)


def _undone(match: re.Match[str]) -> tuple[View, str]:
    kind = match.lastgroup
    written = match[0]
    if kind == "bytes":
        data = bytes.fromhex("".join(_UNITS.findall(written.replace("\\x", "%"))))
        try:
            return ("percent" if written[0] == "%" else "escaped"), data.decode()
        except UnicodeDecodeError:
            return "percent", data.decode("latin-1")
    if kind == "hidden":
        code = ord(written)
        return "escaped", chr(code - 0xE0000 if code < 0xE0100 else code - 0xE0100 + 16)
    if kind == "pair":
        return "escaped", bytes.fromhex(written[2:6] + written[8:12]).decode("utf-16-be")
    if kind == "octal":
        return "escaped", chr(int(match["octal"], 8))
    if kind == "code":
        number = _NUMBER.search(match["code"], 1)
        assert number is not None
        code = int(number[0], 16)
        return "escaped", chr(code) if code < 0x110000 else ""
    return "entities", html.unescape(written if written[-1] == ";" else written + ";")
