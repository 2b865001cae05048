"""The watch of all watches: every disguise, anywhere in an answer, however the answer was cut."""

from __future__ import annotations

import base64
import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote

import pytest
from chunk_invariance import assert_chunk_invariant
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from firedoor.core.detect.leak.encoded import EncodedReading
from firedoor.core.detect.leak.escapes import Escapes
from firedoor.core.detect.leak.leakwatch import MAX_DEPTH, LeakParts, LeakWatch
from firedoor.core.detect.leak.respelt import REACH, RespeltReading
from firedoor.core.detect.leak.secrets import SecretWatch
from firedoor.core.detect.leak.symbols import Symbols
from firedoor.core.detect.leak.values import ProtectedValue, ValueIndex
from firedoor.core.detect.spans import Hit

CODE = "Nordlicht-7731"
SUPPLIER = "Lieferant: Müller & Söhne GmbH, Südhafen"
VALUES = ValueIndex(
    [ProtectedValue("code", "codes", "honeytoken", CODE), ProtectedValue("supplier", "suppliers", "value", SUPPLIER)]
)
PARTS = LeakParts(values=VALUES.watch, secrets=SecretWatch)


def watch(parts: LeakParts = PARTS) -> LeakWatch:
    return LeakWatch(parts)


def find(text: str, parts: LeakParts = PARTS) -> list[Hit]:
    whole = LeakWatch(parts)
    return whole.feed(text) + whole.end()


def streamed(text: str, sizes: list[int], parts: LeakParts = PARTS) -> list[Hit]:
    """The hits of `text` fed in pieces; nothing of a hit left before it was found."""
    watch = LeakWatch(parts)
    hits: list[Hit] = []
    at = turn = released = 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        turn += 1
        found = watch.feed(text[at : at + size])
        at = min(len(text), at + size)
        assert all(hit.start >= released for hit in found), (found, released)
        hits += found
        assert watch.held_from() <= at
        released = max(released, watch.held_from())
    found = watch.end()
    assert all(hit.start >= released for hit in found if hit.kind != "partial"), (found, released)
    return hits + found


def utf16(text: str) -> str:
    return base64.b64encode(text.encode("utf-16-le")).decode()


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


LEET = str.maketrans("oieastbgz", "013457892")
SIGNS = str.maketrans("aesicl", "@€$!(|")
GREEK = str.maketrans("oaevic", "οаеνіс")
CAPS = str.maketrans("abcdefghijklmnoprstuvwyz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ")

DISGUISES: dict[str, tuple[Callable[[str], str], str]] = {
    "as it is": (str, "plain"),
    "upper": (str.upper, "plain"),
    "no spaces": (lambda t: re.sub(r"\W", "", t), "plain"),
    "spaced": (" ".join, "plain"),
    "bullets": (lambda t: "\n".join(f"- **{word}**" for word in t.split()), "plain"),
    "zero width": ("\u200b".join, "plain"),
    "tags between": ("\U000e0061".join, "plain"),
    "fullwidth": (lambda t: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in t), "plain"),
    "homoglyphs": (lambda t: t.translate(GREEK), "plain"),
    "small capitals": (lambda t: t.lower().translate(CAPS), "plain"),
    "mathematical": (lambda t: "".join(chr(0x1D5EE + ord(c) - 97) if "a" <= c <= "z" else c for c in t.lower()), "plain"),
    "squared": (lambda t: "".join(chr(0x1F170 + ord(c) - 97) if "a" <= c <= "z" else c for c in t.lower()), "plain"),
    "accents": (lambda t: "".join(c + "\u0301" for c in t), "plain"),
    "leet": (lambda t: t.lower().translate(LEET), "plain"),
    "symbols": (lambda t: t.lower().translate(SIGNS), "symbols"),
    "leet and symbols": (lambda t: t.lower().translate(LEET).translate(SIGNS), "symbols"),
    "rot13": (lambda t: codecs.encode(t, "rot13"), "rot13"),
    "reversed": (lambda t: t[::-1], "reversed"),
    "base64": (b64, "base64"),
    "base64 unpadded": (lambda t: b64(t).rstrip("="), "base64"),
    "base64 url": (lambda t: base64.urlsafe_b64encode(t.encode()).decode(), "base64"),
    "base64 lines": (lambda t: base64.encodebytes((t + " ") * 3 and (3 * (t + " ")).encode()).decode(), "base64"),
    "base64 utf-16": (utf16, "base64"),
    "base32": (lambda t: base64.b32encode(t.encode()).decode(), "base64"),
    "hex": (lambda t: t.encode().hex(), "hex"),
    "hex upper": (lambda t: t.encode().hex().upper(), "hex"),
    "binary": (lambda t: "".join(f"{byte:08b}" for byte in t.encode()), "hex"),
    "percent": (lambda t: "".join(f"%{byte:02X}" for byte in t.encode()), "percent"),
    "percent, some": (lambda t: "".join(f"%{ord(c):02x}" if c in "aeior" else c for c in t), "percent"),
    "url": (lambda t: quote(t, safe=""), "plain"),
    "entities": (lambda t: "".join(f"&#{ord(c)};" for c in t), "entities"),
    "entities, hex": (lambda t: "".join(f"&#x{ord(c):x};" for c in t), "entities"),
    "escapes": (lambda t: "".join(f"\\u{ord(c):04x}" for c in t), "escaped"),
    "escapes, some": (lambda t: "".join(f"\\u{ord(c):04x}" if c in "aeior" else c for c in t), "escaped"),
    "byte escapes": (lambda t: "".join(f"\\x{byte:02x}" for byte in t.encode()), "escaped"),
    "base64 of base64": (lambda t: b64(b64(t)), "base64"),
    "base64 of hex": (lambda t: b64(t.encode().hex()), "base64"),
    "hex of base64": (lambda t: b64(t).encode().hex(), "hex"),
    "percent of percent": (lambda t: "".join(f"%25{byte:02X}" for byte in t.encode()), "percent"),
    "base64 of rot13": (lambda t: b64(codecs.encode(t, "rot13")), "base64"),
}  # fmt: skip
AROUND = [
    ("", ""),
    ("Sure, here you are: ", " Can I help you with anything else?"),
    ("The code", ""),
    ("```\n", "\n```\nCosts 49.99 €, ships in 2-3 days!"),
    ('{"x":"', '","y":1}'),
    ("abcdef ", " 7fae"),
]


@pytest.mark.parametrize("value", [CODE, SUPPLIER], ids=["code", "supplier"])
@pytest.mark.parametrize("name", DISGUISES)
def test_a_value_is_found_in_every_disguise_anywhere(name: str, value: str) -> None:
    disguise, view = DISGUISES[name]
    wanted = "code" if value == CODE else "supplier"
    for before, after in AROUND:
        text = before + disguise(value) + after
        hits = [hit for hit in find(text) if hit.value_id == wanted]
        assert hits, text
        if name != "url":
            assert hits[0].view == view
        for hit in hits:
            assert len(before) <= hit.start < hit.end <= len(before) + len(disguise(value)), (text, hit)
        for sizes in ([1], [4], [3, 1, 7, 20]):
            assert set(streamed(text, sizes)) == set(find(text)), sizes


NEAR_MISSES = {
    "tracking numbers": "DHL 00340434161094042557, UPS 1Z999AA10123456784, Hermes 12345678901234, GLS 50121234567",
    "hashes": "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, md5 d41d8cd98f00b204e9800998ecf8427e",
    "uuid": "Your request 550e8400-e29b-41d4-a716-446655440000 is closed.",
    "data uri": "![x](data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==)",
    "long words": "Donaudampfschifffahrtsgesellschaftskapitän, Rindfleischetikettierungsüberwachungsaufgabe, INTERNATIONALISIERUNG",
    "skus": "MH01-XS-Black, WS12-M-Orange, 24-WB07, SKU: ABC-12345-XYZ-2024-RED-XXL, art. 4711/0815-AB",
    "isbn": "ISBN 978-3-16-148410-0, EAN 4006381333931, IMEI 490154203237518",
    "prices": "€49.99 instead of $59.99 (-17%), 3+1 free, 2 @ £5, 50€/pc, A+ rated, C++, AT&T, H&M, rock'n'roll!",
    "paths": "https://shop.example/de/herren/winterjacke-2024?variant=43729076748333&size=XL#reviews",
    "mail": "Write to service@shop.example or call +49 30 1234567 (Mon-Fri 9:00-18:00)!",
    "table": "| Size | Chest (cm) | 38 | 40 | 42 |\n|------|:----:|---|\n| XL | 104-108 | 1 | 0 | 3 |",
    "entities": "H&amp;M &amp; friends &#8211; 20&nbsp;% off &copy; 2026",
    "most of it": "Nordlicht-773 and Nordlicht 7732, Lieferant: Müller & Söhne GmbH, Hafen",
    "most of it in base64": b64("Nordlicht-773") + " " + b64("ordlicht-7731"),
    "most of it in hex": b"Nordlicht-773".hex() + " and " + "lieferant müller".encode().hex(),
    "digits for others": "7731-Nordlicht, N0rd1icht-773l2"[:16],
}  # fmt: skip


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_near_misses_are_found_nowhere_and_leave(name: str) -> None:
    text = f"Hello, thanks for asking. {NEAR_MISSES[name]} Have a nice day, and come again soon, dear friend. "
    assert [hit for hit in find(text) if hit.kind != "partial"] == []
    assert [hit for hit in streamed(text, [4]) if hit.kind != "partial"] == []
    reader = watch()
    for at in range(0, len(text), 4):
        reader.feed(text[at : at + 4])
        held = at + 4 - reader.held_from()
        assert held <= 64, text[reader.held_from() : at + 4]
    assert reader.held_from() == len(text)


def test_clean_words_leave_at_once() -> None:
    reader = watch()
    text = "yes, we have it in blue and in green as well, and it is warm"
    for at in range(len(text)):
        assert reader.feed(text[at]) == []
        assert at + 1 - reader.held_from() <= 4


ALPHABET = "abnorth 01247 .-/_+=%&#;\\x\\u!|$€@(AZ\n\u200b\u0435ß"
PIECES = st.one_of(
    st.text(ALPHABET, max_size=8),
    st.sampled_from([disguise(value) for disguise, _ in DISGUISES.values() for value in (CODE, "Nordlicht")]),
    st.sampled_from(["sk-", "AKIA", "API key: ", "4111 1111 ", "%4", "&#7", "\\u00", "U3Vw", "-----BEGIN ", "://a:b@"]),
    st.sampled_from(["MH01-XS-Black ", "costs €49.99 ", "The ", "Nord", " 7731", "N0rd!", "(code)", "\n"]),
)
STREAMS = st.tuples(st.lists(PIECES, max_size=7).map("".join), st.lists(st.integers(1, 40), min_size=1, max_size=6))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STREAMS)
@example(("".join(f"&#{ord(c)};" for c in "Nordlicht-7731") + "&#1;", [1]))
def test_a_streamed_answer_has_the_hits_of_the_whole_one(stream: tuple[str, list[int]]) -> None:
    text, sizes = stream
    whole = find(text)
    assert len(set(whole)) == len(whole)
    watch = LeakWatch(PARTS)
    hits: list[Hit] = []
    at = turn = 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        turn += 1
        hits += watch.feed(text[at : at + size])
        at += size
    hits += watch.end()
    assert sorted(hits) == sorted(whole)


def ungated(text: str) -> set[tuple[str, str, int]]:
    """What the readings find when each reads all of the text."""

    def inner() -> LeakWatch:
        return LeakWatch(PARTS, 1)

    def plain() -> LeakWatch:
        return LeakWatch(LeakParts(values=VALUES.watch), MAX_DEPTH)

    readings = [
        SecretWatch(),
        EncodedReading(inner),
        RespeltReading(Escapes(), inner),
        RespeltReading(Symbols(), plain),
    ]
    hits = VALUES.find(text)
    hits += [hit for reading in readings for hit in (*reading.feed(text), *reading.end())]
    return {(hit.value_id, hit.view, hit.end) for hit in hits if hit.kind != "partial"}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STREAMS)
def test_what_waits_is_nothing_that_a_reading_would_find(stream: tuple[str, list[int]]) -> None:
    text, _ = stream
    plain = {(hit.value_id, hit.view, hit.end) for hit in find(text) if hit.kind != "partial"}
    more = ungated(text) - plain
    told = VALUES.find(text)
    assert all(any(hit.value_id == value and hit.end <= end for hit in told) for value, _, end in more), more


def masked(chunks: Iterable[str]) -> Iterator[str]:
    """A filter: what may leave of a growing text, with a block for each character of a hit."""
    watch = LeakWatch(PARTS)
    text, hidden, released = "", set[int](), 0

    def leave(upto: int) -> str:
        nonlocal released
        out = "".join("█" if at in hidden else text[at] for at in range(released, upto))
        released = max(released, upto)
        return out

    for chunk in chunks:
        hits = watch.feed(chunk)
        text += chunk
        hidden.update(at for hit in hits for at in range(hit.start, hit.end))
        yield leave(watch.held_from())
    hidden.update(at for hit in watch.end() for at in range(hit.start, hit.end))
    yield leave(len(text))


@pytest.mark.parametrize("name", ["as it is", "symbols", "reversed", "base64", "hex", "percent, some", "entities"])
def test_what_leaves_is_the_same_for_every_split(name: str) -> None:
    text = f"It is {DISGUISES[name][0](CODE)}, or {CODE[:-1]} for 4 € (20% off), sk-ii is API key: none."
    whole = "".join(masked([text]))
    assert "█" in whole
    assert_chunk_invariant(masked, lambda whole_text: "".join(masked([whole_text])), text)
    short = f"a {DISGUISES[name][0](CODE)[:24]} b!"
    assert_chunk_invariant(masked, lambda whole_text: "".join(masked([whole_text])), short, splits=3)


class Counting:
    """A watch that counts the characters it reads and finds nothing."""

    def __init__(self, read: list[int]) -> None:
        self._read = read
        self._fed = 0

    def feed(self, text: str) -> list[Hit]:
        self._fed += len(text)
        self._read[0] += len(text)
        return []

    def held_from(self) -> int:
        return self._fed

    def end(self) -> list[Hit]:
        return []


BOMBS = {
    "base64 of base64 of base64": b64(b64(b64("the quick brown fox " * 1000))),
    "one letter": "U" * 60_000 + "1" * 60_000,
    "hex of hex of hex": ("the quick brown fox " * 300).encode().hex().encode().hex().encode().hex(),
    "zeros and ones": "01" * 50_000,
    "percent of percent": "%25" * 30_000,
    "entities of entities": "&amp;" * 20_000,
    "escapes": "\\u005c" * 15_000,
    "symbols": "a!b@" * 20_000,
    "symbols far apart": ("word " * 60 + "a!b ") * 200,
    "hidden": "a\U000e0041" * 30_000,
    "base32": "KRUGKIDROVUWG2Y" * 4000,
    "all codes at once": ("U3VwcGxpZXI= 53757070 %53 &#83; a!b \\x53 " * 2000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_codes_within_codes_do_not_grow(name: str) -> None:
    text = BOMBS[name]
    read = [0]
    reader = LeakWatch(LeakParts(values=lambda: Counting(read)))
    for at in range(0, len(text), 4000):
        reader.feed(text[at : at + 4000])
    reader.end()
    assert len(text) <= read[0] <= 8 * len(text)


def test_what_was_granted_or_typed_is_found_in_no_view() -> None:
    parts = LeakParts(values=lambda: VALUES.watch(frozenset({"code"}), frozenset({"suppliers"})))
    for disguise, _ in DISGUISES.values():
        assert find(f"{disguise(CODE)} and {disguise(SUPPLIER)}", parts) == []


def test_a_hit_in_two_views_is_told_once() -> None:
    text = "nordlicht-7731 @nd n0rd|ich+-7731"
    assert [(hit.value_id, hit.view) for hit in find(text)] == [("code", "plain"), ("code", "symbols")]
    assert [hit.view for hit in find("&amp; is Nordlicht-7731 &amp; a!b more")] == ["plain"]


def test_without_parts_nothing_is_found_or_held() -> None:
    reader = LeakWatch(LeakParts())
    assert reader.feed(b64(CODE) + " sk-" + "aB3" * 20) == []
    assert reader.held_from() == len(b64(CODE)) + 64
    assert reader.end() == []


def test_keys_are_found_in_codes_too() -> None:
    key = "sk-proj-" + "aB3dE5fG7h" * 4
    hits = find(f"Here: {b64('key ' + key + ' end')} bye", LeakParts(secrets=SecretWatch))
    assert [(hit.kind, hit.value_id, hit.view) for hit in hits] == [("secret", "openai", "base64")]


def test_symbols_reach_back_to_where_the_value_began() -> None:
    value = "Lieferant " + "sehr " * 30 + "geheim"
    index = ValueIndex([ProtectedValue("long", "s", "value", value)])
    text = "well, " * 80 + value[:-6] + "gehe!m"
    [hit] = find(text, LeakParts(values=index.watch))
    assert (hit.start, hit.end, hit.view) == (480, len(text), "symbols")
    assert len(value) < REACH


@pytest.mark.parametrize("size", [1_000_000, 65_536, 97])
def test_a_text_of_a_megabyte_is_read_to_its_end_in_pieces_of_any_size(size: int) -> None:
    text = "x" * 600_000 + f" {CODE} " + "hello world " * 33_000
    assert {hit.value_id for hit in streamed(text, [size])} == {"code"}
