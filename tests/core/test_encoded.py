"""Codes in an answer: where they may begin, what is garbage, what is held of them, and escapes."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.detect.leak.decoding import Stretch
from firedoor.core.detect.leak.encoded import EncodedReading
from firedoor.core.detect.leak.escapes import Escapes
from firedoor.core.detect.leak.respelt import Respelt
from firedoor.core.detect.leak.symbols import Symbols
from firedoor.core.detect.leak.values import ProtectedValue, ValueIndex

VALUE = "Nordlicht-7731"
INDEX = ValueIndex([ProtectedValue("v", "s", "value", VALUE), ProtectedValue("ü", "s", "value", "Größe: übermäßig 7")])


def reading() -> EncodedReading:
    return EncodedReading(INDEX.watch)


def find(text: str) -> list[tuple[int, int, str]]:
    whole = reading()
    return [(hit.start, hit.end, hit.view) for hit in whole.feed(text) + whole.end()]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


CODES = {
    "base64": b64(VALUE),
    "hex": VALUE.encode().hex(),
    "HEX": VALUE.encode().hex().upper(),
    "base32": base64.b32encode(VALUE.encode()).decode().rstrip("="),
    "binary": "".join(f"{byte:08b}" for byte in VALUE.encode()),
}
GLUED = [
    "",
    "x",
    "xy",
    "xyz",
    "a",
    "fa",
    "fad",
    "0",
    "01",
    "010",
    "0101010",
    "Q",
    "QR",
    "A2",
    "A2B",
    "/",
    "id=",
    "0x",
    "€",
    ":",
]


@pytest.mark.parametrize("after", ["", "a", "f0", "Zz9", "==", "=", "/", "\n", "."])
@pytest.mark.parametrize("code", CODES)
def test_a_code_is_found_whatever_it_is_glued_to(code: str, after: str) -> None:
    for before in GLUED:
        written = CODES[code]
        if code == "base32" and after[:1].isalnum():
            continue  # the last group is another then
        found = find(before + written + after)
        assert found, before
        assert all(len(before) <= start < end <= len(before) + len(written) for start, end, _ in found)


@pytest.mark.parametrize("width", [24, 40, 64, 76])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n    ", "\n> "])
def test_a_code_over_several_lines(width: int, end: str) -> None:
    for text in (f"{'x' * n} {VALUE} {'y' * (60 - n)}" for n in range(0, 60, 7)):
        for code in (b64(text), text.encode().hex()):
            lines = end.join(code[at : at + width] for at in range(0, len(code), width))
            assert find(f"Here:{end}{lines}{end}Best wishes"), lines


@pytest.mark.parametrize(
    "written",
    [
        base64.b64encode("Größe: übermäßig 7".encode()).decode(),
        base64.b64encode("Größe: übermäßig 7".encode("utf-16-le")).decode(),
        base64.b64encode("Größe: übermäßig 7".encode("utf-16")).decode(),
        base64.b64encode("\ufeffGröße: übermäßig 7".encode()).decode(),
        base64.b64encode(b"\xff\xfe\x00garbage\x80\x81\x82\x83\x84\x85" + "Größe: übermäßig 7".encode()).decode(),
        base64.b64encode(b"Gr\xc3\xb6\xc3\x9fe: \xffuberm\x80assig 7").decode(),
    ],
)
def test_what_is_decoded_may_be_any_utf(written: str) -> None:
    assert find(f"see {written} there")


NO_CODES = [
    "00340434161094042557",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "550e8400-e29b-41d4-a716-446655440000",
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "Donaudampfschifffahrtsgesellschaftskapitän",
    "herren-winterjacke-2024-schwarz",
    "MH01-XS-Black/MH02-XL-White_2",
    "1Z999AA10123456784",
    "INTERNATIONALISIERUNG",
    b64("Nordlicht"),
    b64("an innocent sentence about jackets"),
    "cafebabedeadbeef",
]


@pytest.mark.parametrize("text", NO_CODES)
def test_what_is_no_code_of_a_value_is_found_nowhere(text: str) -> None:
    assert find(f"a {text} b") == []


@pytest.mark.parametrize("text", NO_CODES)
def test_garbage_leaves_as_soon_as_it_is_over(text: str) -> None:
    for stop in range(1, len(text)):
        whole = reading()
        whole.feed("see " + text[:stop])
        assert stop + 4 - whole.held_from() <= 64
        whole.feed(", and")
        assert whole.held_from() == stop + 9


def test_plain_words_are_held_at_no_time() -> None:
    whole = reading()
    text = "Donaudampfschifffahrtsgesellschaft and Jackets, warm ones. Größe"
    for at, character in enumerate(text, 1):
        whole.feed(character)
        assert whole.held_from() == at
        assert whole.idle


@given(
    st.text("ab1XY-/ =\n", max_size=20),
    st.sampled_from(sorted(CODES.values())),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_cuts_change_nothing(around: str, code: str, sizes: list[int]) -> None:
    text = around + code + around[::-1] + code
    whole, pieces = reading(), reading()
    expected = whole.feed(text) + whole.end()
    hits = []
    at = turn = released = 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        turn += 1
        new = pieces.feed(text[at : at + size])
        at = min(len(text), at + size)
        assert all(hit.start >= released for hit in new)
        hits += new
        assert released <= pieces.held_from() <= at
        released = pieces.held_from()
    assert sorted(hits + pieces.end()) == sorted(expected)


class _Asked:
    """A watch that counts what it reads."""

    read = 0

    def feed(self, text: str) -> list[object]:
        _Asked.read += len(text)
        return []

    def held_from(self) -> int:
        return 0

    def end(self) -> list[object]:
        return []


def test_random_bytes_are_asked_for_nowhere() -> None:
    state, data = 1, bytearray()
    for _ in range(30_000):
        state = (state * 1103515245 + 12345) % 2**31
        data.append(state >> 16 & 255)
    _Asked.read = 0
    garbage = EncodedReading(_Asked)
    garbage.feed(base64.b64encode(data).decode())
    garbage.end()
    assert _Asked.read < len(data) // 3


def test_a_stretch_gives_up_and_begins_again() -> None:
    stretch = Stretch(INDEX.watch)
    data = b"Nordl" + b"\xff" * 9 + VALUE.encode() + b"\xff" * 9 + b"Nordlich\xfft-\xff7731"
    found = stretch.feed(data[:20]) + stretch.feed(data[20:], final=True)
    assert [(start, end) for start, end, _ in found] == [(14, 28), (37, 53)]


ESCAPED = [
    ("%4e", "N"),
    ("%C3%BC", "ü"),
    ("%FC", "ü"),
    ("\\u004e", "N"),
    ("\\u{4e}", "N"),
    ("\\U0000004e", "N"),
    ("\\x4e", "N"),
    ("\\xc3\\xbc", "ü"),
    ("\\116", "N"),
    ("\\ud83d\\ude00", "😀"),
    ("&#78;", "N"),
    ("&#78", "N"),
    ("&#x4E;", "N"),
    ("&uuml;", "ü"),
    ("&amp;", "&"),
    ("\U000e004e", "N"),
    ("\U000e013e", "N"),
    ("%E4%BD%A0", "你"),
    ("%F0%9F%98%80", "😀"),
]


@pytest.mark.parametrize(("written", "meant"), ESCAPED)
def test_escapes(written: str, meant: str) -> None:
    edits, upto = Escapes().read(f"a{written} b", 0, final=False)
    assert [(edit.start, edit.end, edit.written) for edit in edits] == [(1, 1 + len(written), meant)]
    assert upto == len(written) + 3
    for stop in range(1, len(written)):
        edits, upto = Escapes().read("a" + written[:stop], 0, final=False)
        assert (edits, upto) == ([], 1)


@pytest.mark.parametrize(
    "text", ["20% off", "100 %", "H&M", "a & b", "C:\\new", "50%-off", "R&D;", "\\", "&;", "%", "&#;", "x\\y"]
)
def test_no_escapes(text: str) -> None:
    assert Escapes().read(text + " ", 0, final=True)[0] == []


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("N0rd!icht", "N0rdiicht"),
        ("pr|ce", "price"),
        ("$upplier", "supplier"),
        ("@CME", "aCME"),
        ("co$t", "cost"),
        ("acce$$", "acce$$"),
        ("ca$", "cas"),
        ("co$+s", "costs"),
        ("$€cr€t", "secret"),
        ("$3cret", "s3cret"),
    ],
)
def test_symbols_for_letters(text: str, read: str) -> None:
    assert respelt(f"a {text} b") == f"a {read} b"


@pytest.mark.parametrize(
    "text",
    ["€49.99", "$5", "2+1", "great!", "wow!!", "3 | 4", "(a)", "5€", "A + B", "no! yes", "49€ each", "@ 5", "+49 30"],
)
def test_symbols_that_are_none(text: str) -> None:
    assert all(not edit.sure for edit in edits_of(f"a {text} b"))


def edits_of(text: str) -> list[Respelt]:
    return Symbols().read(text, 0, final=True)[0]


def respelt(text: str) -> str:
    for edit in reversed(edits_of(text)):
        text = text[: edit.start] + edit.written + text[edit.end :]
    return text
