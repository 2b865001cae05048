"""Letters written as numbers: decimal, octal, binary and hexadecimal bytes, and places in the alphabet."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from firedoor.core.detect.attack import likeness
from firedoor.core.detect.attack.budget import Budget
from firedoor.core.detect.attack.runs import as_text
from firedoor.core.detect.disguise.views import Edit

_GAP = r"(?:[ \t]?[,;:/|_\n-][ \t]?|[ \t]{1,3})"
_PREFIX = r"(?:0[xXoObB]|\\|U\+|&#|#|\$)?"
_NUMBERS = re.compile(
    rf"(?<![^\W_])(?<![.,][0-9]){_PREFIX}[0-9a-fA-F]{{1,8}}(?:{_GAP}{_PREFIX}[0-9a-fA-F]{{1,8}}){{4,}}(?![^\W_])"
)
_ONE = re.compile(rf"({_PREFIX})([0-9a-fA-F]{{1,8}})")
_BITS = re.compile(r"[01]+")
_BARE_BITS = re.compile(r"(?<![0-9])[01]{32,}(?![0-9])")
_MOST_COST = 3.15
_LEAST_PLACES = 8
_LETTERS = 26


def numbers(text: str, budget: Budget) -> list[Edit]:
    """Rows of numbers as the text that they are."""
    edits = []
    for match in _NUMBERS.finditer(text):
        if not budget.tries():
            break
        written = _read(match[0])
        if written is not None and budget.takes(len(match[0]), len(written)):
            edits.append(Edit(*match.span(), written))
    if not edits:
        for match in _BARE_BITS.finditer(text):
            written = as_text(_bytes([match[0][at : at + 8] for at in range(0, len(match[0]) - 7, 8)], 2))
            if written is not None and budget.tries() and budget.takes(len(match[0]), len(written)):
                edits.append(Edit(*match.span(), written))
    return edits


def _read(row: str) -> str | None:
    found = _ONE.findall(row)
    prefix = Counter(prefix.lower() for prefix, _ in found).most_common(1)[0][0]
    written = [digits for _, digits in found]
    for decode in _DECODERS:
        text = decode(prefix, written)
        if text is not None:
            return text
    return None if prefix else _places(written, row)


def _binary(prefix: str, written: list[str]) -> str | None:
    joined = "".join(written)
    if prefix not in ("", "0b") or not _BITS.fullmatch(joined) or len(joined) < 32:
        return None
    if all(len(digits) in (7, 8) for digits in written):
        return as_text(_bytes(written, 2))
    return as_text(_bytes([joined[at : at + 8] for at in range(0, len(joined) - 7, 8)], 2))


def _decimal(prefix: str, written: list[str]) -> str | None:
    if prefix not in ("", "&#", "#") or not all(digits.isdecimal() and len(digits) <= 4 for digits in written):
        return None
    return _text([int(digits) for digits in written])


def _octal(prefix: str, written: list[str]) -> str | None:
    if prefix not in ("", "0o", "\\") or any(set(digits) - set("01234567") or len(digits) > 4 for digits in written):
        return None
    return _text([int(digits, 8) for digits in written])


def _hexadecimal(prefix: str, written: list[str]) -> str | None:
    if prefix not in ("", "0x", "u+", "#", "\\", "$"):
        return None
    if any(len(digits) % 2 for digits in written) or max(map(len, written)) > 8:
        return None
    if prefix == "u+":
        return _text([int(digits, 16) for digits in written])
    return as_text(bytes.fromhex("".join(written)), least=_LEAST_HEX)


_LEAST_HEX = 16


def _places(written: list[str], row: str) -> str | None:
    """``9-7-14-15-18-5``: 1 is A."""
    if len(written) < _LEAST_PLACES or not all(digits.isdecimal() and len(digits) <= 2 for digits in written):
        return None
    places = [int(digits) for digits in written]
    if not all(1 <= place <= _LETTERS for place in places):
        return None
    gaps = re.findall(r"[^0-9]+", row)
    usual = Counter(gaps).most_common(1)[0][0]
    letters = [chr(96 + place) for place in places]
    text = letters[0] + "".join(
        ("" if gap == usual else " ") + letter for gap, letter in zip(gaps, letters[1:], strict=True)
    )
    return text if likeness.cost(text) <= _MOST_COST - 0.15 and len(set(letters)) > 4 else None


_Reader = Callable[[str, list[str]], str | None]
_DECODERS: tuple[_Reader, ...] = (_binary, _decimal, _octal, _hexadecimal)


def _bytes(written: list[str], base: int) -> bytes:
    return bytes(int(digits, base) & 0xFF for digits in written)


def _text(codes: list[int]) -> str | None:
    """Code points, or the bytes of UTF-8."""
    if not all(9 <= code < 0x3000 for code in codes) or sum(code < 32 for code in codes) * 8 > len(codes):
        return None
    text = "".join(map(chr, codes))
    if max(codes) > 127 and max(codes) < 256:
        try:
            text = bytes(codes).decode()
        except UnicodeDecodeError:
            pass
    return text if likeness.reads(text, _MOST_COST) else None
