"""Bytes written in characters: base64, base32, base58, base85, hexadecimal, and numbers one by one.

A run is decoded if its bytes are text: of random bytes twelve in a row that can be printed are one in ten million, so
numbers of articles and parcels, hashes and keys stay what they are. Shorter ones must read like language.
"""

from __future__ import annotations

import bz2
import re
import string
import zlib
from base64 import a85decode, b32decode, b85decode
from binascii import Error, a2b_base64
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from firedoor.core.detect.attack import likeness
from firedoor.core.detect.attack.budget import MAX_RUN, Budget
from firedoor.core.detect.attack.shape import GROUP_SIZES
from firedoor.core.detect.disguise.views import Edit

_SYMBOL, _LINE = "[A-Za-z0-9+/_-]", r"[ \t>]{0,4}\r?\n[ \t>]{0,4}"
_RUN = re.compile(
    rf"(?:0[xX]|={{1,2}})?{_SYMBOL}{{16,}}(?:{_LINE}{_SYMBOL}{{16,}})*(?:{_LINE}{_SYMBOL}{{2,}})?={{0,6}}"
    r"|[A-Za-z0-9+/]{7,15}={1,2}"
)
"""Over line breaks if each line but the last is long."""
_TELLING = re.compile(r"[0-9+=]|(?<=[a-z/_-])[A-Z]|^[A-Z]{16}|^[a-z2-7]{26,}$")
"""What ordinary words and names do not have."""
_GROUPED = tuple(
    re.compile(
        rf"(?<![^\s\"'`:(])[A-Za-z0-9+/]{{{size}}}(?:[ \t\n]{{1,2}}[A-Za-z0-9+/]{{{size}}}){{3,}}"
        rf"(?:[ \t\n]{{1,2}}[A-Za-z0-9+/]{{1,{size}}}={{0,2}}(?![^\s\"'`.,;)]))?={{0,2}}"
    )
    for size in GROUP_SIZES
)
_SPACE = re.compile(r"\s*\n[\s>]*|\s+")
_DENSE = re.compile(r"<~[!-u\s]{8,}~>|(?<![^\s\"'`(])[!-~]{20,}")
_LEAST_SIGNS = 2
MAX_DENSE = 1 << 13
"""Characters of one run in base85, which takes a microsecond for each."""
_ADDRESS = re.compile(r"://|www\.|@[a-z0-9-]+\.|\.(?:com|org|net|html?|php)\b")

_DIGITS58 = {c: at for at, c in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")}
_MOST_BASE58 = 512
"""Its arithmetic takes time that grows with the square."""
_URL_SAFE = str.maketrans("-_", "+/")

_LEAST_BYTES = 12
"""Bytes that can be printed, which are text by that alone."""
_SHORT_BYTES = 5
_PRINTED = re.compile(r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd\u0600-\u0605]*")
_STRETCH = re.compile(rb"(?:[\t\n\r\x20-\x7e]|[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}){12,}")


class _Code(NamedTuple):
    """What a run in some code looks like, and its bytes; `decode` raises `ValueError` where it is none."""

    name: str
    fits: re.Pattern[str]
    decode: Callable[[str], bytes]


def dense(text: str, budget: Budget) -> tuple[str, list[Edit]]:
    """Runs in base85 as the text that their bytes are. They hold all signs, so nothing else is to be undone before."""
    spans = [
        match.span()
        for match in _DENSE.finditer(text)
        if sum(not character.isalnum() for character in match[0]) >= _LEAST_SIGNS and not _ADDRESS.search(match[0])
    ]
    return _decoded(text, spans, _DENSE_CODES, budget)


def packed(text: str, budget: Budget) -> tuple[str, list[Edit]]:
    """The code and the edits: runs of letters and digits as the text that their bytes are."""
    spans = [match.span() for match in _RUN.finditer(text) if _TELLING.search(match[0])]
    return _decoded(text, spans, _CODES, budget)


def grouped(text: str, budget: Budget) -> tuple[str, list[Edit]]:
    """The same for runs that are written in groups of one size."""
    found = [match for pattern in _GROUPED for match in pattern.finditer(text) if _TELLING.search(match[0])]
    return _decoded(text, sorted(match.span() for match in found), _CODES, budget)


def _decoded(
    text: str, spans: list[tuple[int, int]], codes: tuple[_Code, ...], budget: Budget
) -> tuple[str, list[Edit]]:
    edits: list[Edit] = []
    names: dict[str, None] = {}
    taken = 0
    for start, end in spans:
        if start < taken or not budget.tries():
            continue
        if end - start > (MAX_DENSE if codes is _DENSE_CODES else MAX_RUN):
            budget.refused += 1
            continue
        for begin, stop in _trims(text, start, end):
            name, written = _unpacked(_SPACE.sub("", text[begin:stop]), codes, budget)
            if name:
                break
        if name and budget.takes(stop - begin, len(written)):
            edits.append(Edit(begin, stop, written))
            names[name] = None
            taken = stop
    return "+".join(names), edits


def _trims(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A run, and without its first groups or its last line: those may be words that stand beside it."""
    yield start, end
    spaces = [match.end() for match in islice(_BREAK.finditer(text, start, end), _MOST_TRIMS)]
    if spaces and "\n" in text[start:end]:
        yield start, start + text[start:end].rindex("\n")
    for begin in spaces:
        yield begin, end


_BREAK = re.compile(r"\s+")
_MOST_TRIMS = 3


def _unpacked(run: str, codes: tuple[_Code, ...], budget: Budget) -> tuple[str, str]:
    """The code of `run` and what it says, or nothing."""
    if run[:2] in ("0x", "0X"):
        run = run[2:]
    for name, fits, decode in codes:
        if fits.fullmatch(run):
            try:
                data = decode(run)
            except (ValueError, Error):
                continue
            written = as_text(_inflated(data, len(run), budget))
            if written is not None:
                return name, written
    return _respelt(run)


def _base64(run: str) -> bytes:
    run = run.rstrip("=").translate(_URL_SAFE)
    return a2b_base64(run[: len(run) - (len(run) % 4 == 1)] + "==="[: -len(run) % 4])


def _base32(run: str) -> bytes:
    run = run.rstrip("=").upper()
    return b32decode(run[: len(run) - (len(run) % 8 in (1, 3, 6))] + "=" * (-len(run) % 8))


def _base58(run: str) -> bytes:
    if len(run) > _MOST_BASE58:
        raise ValueError("too long")
    number = 0
    for character in run:
        number = number * 58 + _DIGITS58[character]
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _bits(run: str) -> bytes:
    return bytes(int(run[at : at + 8], 2) for at in range(0, len(run) - 7, 8))


def _ascii85(run: str) -> bytes:
    return a85decode(run.removeprefix("<~").removesuffix("~>"))


_CODES: tuple[_Code, ...] = (
    _Code("binary", re.compile(r"[01]{16,}"), _bits),
    _Code("hex", re.compile(r"(?:[0-9a-fA-F]{2}){4,}"), bytes.fromhex),
    _Code("base32", re.compile(r"(?:[A-Z2-7]{8,}|[a-z2-7]{8,})=*"), _base32),
    _Code("base64", re.compile(r"(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9+/_-]{7,}={0,2}"), _base64),
    _Code("base58", re.compile(r"(?=[^A-Za-z]*[A-Za-z])[1-9A-HJ-NP-Za-km-z]{16,}"), _base58),
)
_DENSE_CODES: tuple[_Code, ...] = (
    _Code("base85", re.compile(r"<~[!-uz]+~>|[!-uz]{20,}"), _ascii85),
    _Code("base85", re.compile(r"[0-9A-Za-z!#$%&()*+;<=>?@^_`{|}~-]{20,}"), b85decode),
)


def _respelt(run: str) -> tuple[str, str]:
    """Base64 backwards, in rot13, or behind other characters of its alphabet: ``id=U3Vw…``, ``payload/SWdu…``."""
    if not _MOST_CODES.fullmatch(run):
        return "", ""
    run = run.strip("=")  # the signs of its end stand in front of one that is backwards
    for name, other in (("reversed+base64", run[::-1]), ("rot13+base64", run.translate(_ROT13))):
        written = as_text(_base64(other))
        if written is not None:
            return name, written
    for skip in range(1, 4):
        found = _STRETCH.search(_base64(run[skip:]))
        if found and len(found[0]) * 4 >= len(run) * 2:
            return "base64", found[0].decode("utf-8", "ignore")
    return "", ""


_ROT13 = str.maketrans(
    string.ascii_letters,
    string.ascii_lowercase[13:]
    + string.ascii_lowercase[:13]
    + string.ascii_uppercase[13:]
    + string.ascii_uppercase[:13],
)
_MOST_CODES = re.compile(r"={0,2}(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9+/_-]{20,}={0,2}")


def _inflated(data: bytes, source: int, budget: Budget) -> bytes:
    """`data`, decompressed as far as there is room if it is gzip, zlib or bzip2."""
    room = budget.room(source)
    try:
        if data[:2] == b"\x1f\x8b" or (
            data[:1] == b"\x78" and len(data) > 2 and int.from_bytes(data[:2], "big") % 31 == 0
        ):
            inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
            written = inflater.decompress(data, room)
            more = bool(inflater.unconsumed_tail)
        elif data[:3] == b"BZh":
            unzipper = bz2.BZ2Decompressor()
            written = unzipper.decompress(data, room)
            more = not unzipper.needs_input and not unzipper.eof
        else:
            return data
    except (zlib.error, OSError, EOFError):
        return data
    budget.refused += more
    return written


def as_text(data: bytes, least: int = _LEAST_BYTES) -> str | None:
    """`data` as text, if it is some: UTF-8, UTF-16, or Latin-1 with few letters beyond ASCII."""
    if len(data) < _SHORT_BYTES:
        return None
    if data.count(0) * 3 >= len(data) or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        big = data[:2] == b"\xfe\xff" or not data[0]
        text = data.decode("utf-16-be" if big else "utf-16-le", "replace").lstrip("\ufeff")
    else:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = data.decode("utf-8", "ignore") if _cut(data) else data.decode("latin-1")
            if len(text.encode("ascii", "ignore")) < _ASCII_SHARE * len(text):
                return None
    if not _PRINTED.fullmatch(text):
        return None
    if len(text) >= least and (text.isascii() or likeness.reads(text)):
        return text
    letters = sum(map(str.isalpha, text))
    return text if letters >= max(_SHORT_BYTES, 0.7 * len(text)) and likeness.reads(text, 3.0) else None


_ASCII_SHARE = 0.8


def _cut(data: bytes) -> bool:
    """Whether only the last character is not whole."""
    try:
        data[:-3].decode()
    except UnicodeDecodeError as error:
        return error.start >= len(data) - 6
    return True
