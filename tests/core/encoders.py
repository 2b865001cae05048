"""Encoders for tests: how people write a sentence so that a filter does not read it."""

from __future__ import annotations

import base64
import codecs
import gzip
import string
import urllib.parse
import zlib
from collections.abc import Callable

_LOWER = string.ascii_lowercase
_SIGNS = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.. "
    "----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----. .-.-.- --..-- ..--.."
)
_SAID = (
    "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november oscar papa quebec romeo "
    "sierra tango uniform victor whiskey xray yankee zulu"
)
_MORSE = dict(zip(_LOWER + string.digits + ".,?", _SIGNS.split(), strict=True))
_CODE = dict(zip(_LOWER, _SAID.split(), strict=True))
_BRAILLE = dict(zip(_LOWER, "⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵", strict=True)) | {" ": "⠀"}
_SMALL = dict(zip(_LOWER, "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘǫʀꜱᴛᴜᴠᴡxʏᴢ", strict=True))
_TURNED = dict(zip(_LOWER, "ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹsʇnʌʍxʎz", strict=True))
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def _letters(alphabet: str) -> Callable[[str], str]:
    table = str.maketrans(_LOWER + _LOWER.upper(), alphabet + alphabet.upper())
    return lambda text: text.translate(table)


def _bytes(form: str, between: str = "") -> Callable[[str], str]:
    return lambda text: between.join(format(byte, form) for byte in text.encode())


def _each(before: str, form: str, after: str = "", between: str = "") -> Callable[[str], str]:
    return lambda text: between.join(before + format(ord(character), form) + after for character in text)


def _drawn(first: int) -> Callable[[str], str]:
    return lambda text: "".join(chr(first + ord(c) - 97) if c in _LOWER else c for c in text.lower())


def _words(table: dict[str, str], between: str, gap: str) -> Callable[[str], str]:
    return lambda text: gap.join(
        between.join(table[c] for c in word if c in table) for word in text.lower().split()
    )  # fmt: skip


def _base58(text: str) -> str:
    number, written = int.from_bytes(text.encode(), "big"), ""
    while number:
        number, digit = divmod(number, 58)
        written = _BASE58[digit] + written
    return written


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


ENCODERS: dict[str, Callable[[str], str]] = {
    "base64": lambda text: _base64(text.encode()),
    "base64, for addresses": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 over lines": lambda text: base64.encodebytes(text.encode()).decode(),
    "base64 in groups": lambda text: " ".join(_cut(_base64(text.encode()), 4)),
    "base64, UTF-16": lambda text: _base64(text.encode("utf-16-le")),
    "base64 twice": lambda text: _base64(_base64(text.encode()).encode()),
    "base64 backwards": lambda text: _base64(text.encode())[::-1],
    "base64 in an address": lambda text: urllib.parse.quote(_base64(text.encode())),
    "base64 in hex": lambda text: _base64(text.encode()).encode().hex(),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "base58": _base58,
    "base85": lambda text: base64.b85encode(text.encode()).decode(),
    "ascii85": lambda text: base64.a85encode(text.encode(), adobe=True).decode(),
    "gzip": lambda text: _base64(gzip.compress(text.encode(), mtime=0)),
    "zlib": lambda text: _base64(zlib.compress(text.encode())),
    "hex": _bytes("02x"),
    "hex, 0x": lambda text: "0x" + text.encode().hex(),
    "hex bytes": _bytes("02X", " "),
    "hex with colons": _bytes("02x", ":"),
    "hex, each 0x": _bytes("#04x", ", "),
    "decimal": _bytes("d", " "),
    "decimal in a list": lambda text: f"[{_bytes('d', ',')(text)}]",
    "octal": _bytes("03o", " "),
    "binary": _bytes("08b", " "),
    "binary in a row": _bytes("08b"),
    "percent": urllib.parse.quote,
    "percent, all": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "percent twice": lambda text: urllib.parse.quote(urllib.parse.quote(text)),
    "form": urllib.parse.quote_plus,
    "entities": _each("&#", "d", ";"),
    "entities, hex": _each("&#x", "x", ";"),
    "JSON": _each("\\u", "04x"),
    "source": _each("\\x", "02x"),
    "code points": _each("U+", "04X", between=" "),
    "quoted-printable": _each("=", "02X"),
    "spaces": " ".join,
    "dashes": "-".join,
    "dashes in words": lambda text: " ".join("-".join(word) for word in text.split()),
    "stars": lambda text: "*".join(text.replace(" ", "")),
    "lines": "\n".join,
    "pieces": lambda text: " ".join("|".join(_cut(word, 3)) for word in text.split()),
    "strings": lambda text: " + ".join(f"'{part}'" for part in _cut(text, 4)),
    "names": lambda text: f"a='{text[:9]}'; b='{text[9:]}'; do a+b",
    "snake": lambda text: "_".join(text.split()),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "rot47": lambda text: "".join(chr(33 + (ord(c) + 14) % 94) if c > " " else c for c in text),
    "atbash": _letters(_LOWER[::-1]),
    "Caesar": _letters(_LOWER[3:] + _LOWER[:3]),
    "backwards": lambda text: text[::-1],
    "rot13 in base64": lambda text: _base64(codecs.encode(text, "rot13").encode()),
    "Morse": _words(_MORSE, " ", " / "),
    "spelling alphabet": _words(_CODE, " ", " / "),
    "places in the alphabet": lambda text: " ".join(
        "-".join(str(ord(c) - 96) for c in word if c in _LOWER) for word in text.lower().split()
    ),
    "braille": lambda text: "".join(_BRAILLE.get(c, "") for c in text.lower()),
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if c > " " else c for c in text),
    "bold": _drawn(0x1D41A),
    "monospace": _drawn(0x1D68A),
    "in circles": _drawn(0x24D0),
    "in squares": lambda text: "".join(chr(0x1F170 + ord(c) - 65) if "A" <= c <= "Z" else c for c in text.upper()),
    "small capitals": lambda text: "".join(_SMALL.get(c, c) for c in text.lower()),
    "upside down": lambda text: "".join(_TURNED.get(c, c) for c in text.lower())[::-1],
    "zero width": "\u200b".join,
    "soft hyphens": "\u00ad".join,
    "overridden direction": lambda text: f"\u202e{text}\u202c",
    "heaped marks": lambda text: "".join(c + "\u0335\u0301\u0323" for c in text),
    "look-alikes": lambda text: text.translate(str.maketrans("aeopcxi", "аеорсхі")),
    "tags": lambda text: "Hi" + "".join(chr(0xE0000 + ord(c)) for c in text),
    "variation selectors": lambda text: "🙂" + "".join(chr(0xE0100 + byte - 16) for byte in text.encode()),
}
"""Each keeps all letters of a plain English sentence, perhaps not their case nor the signs between them."""
