"""Stretches of protected documents in answers: what is found, what leaves before it is, what the caller brought."""

from __future__ import annotations

import codecs
import itertools
import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.detect.fold import normalise
from firedoor.core.detect.leak.documents import PIECE, DocumentWatch, typed_grams
from firedoor.core.detect.leak.grams import (
    ENOUGH,
    GRAM,
    MAX_PROMPT,
    MIN_FOLDED,
    DocumentRef,
    GramFolding,
    GramKey,
    PromptGrams,
    grams_of,
)
from firedoor.core.detect.spans import Hit

FOLDING = GramFolding()
RANDOM = random.Random(20)
SYLLABLES = [a + b for a in "bdfgklmnprstvw" for b in ("a", "e", "ei", "o", "u", "and", "ist")]
WORDS = ["".join(RANDOM.choices(SYLLABLES, k=RANDOM.randint(1, 4))) for _ in range(900)]
OTHER_WORDS = ["".join(RANDOM.choices(SYLLABLES, k=RANDOM.randint(1, 4))) for _ in range(900)]


def invented(words: int, seed: int) -> str:
    """A text of invented words with some numbers and punctuation."""
    rng = random.Random(seed)
    out = [rng.choice(WORDS) if rng.random() < 0.9 else f"{rng.uniform(1, 900):.2f} EUR," for _ in range(words)]
    return " ".join(out)


class Known(dict[bytes, int]):
    """Fingerprints in a dictionary."""

    def __init__(self, documents: dict[DocumentRef, str]) -> None:
        self.refs = list(documents)
        for number, text in enumerate(documents.values()):
            self.update(dict.fromkeys(grams_of(FOLDING.marked(text), "plain"), number))

    def number(self, gram: bytes) -> int:
        return self.get(gram, -1)

    def find(self, grams: Iterable[bytes]) -> list[tuple[int, int]]:
        return [(at, self[gram]) for at, gram in enumerate(grams) if gram in self]

    def document(self, number: int) -> DocumentRef:
        return self.refs[number]


PRICES = DocumentRef("doc-1", "prices")
BOARD = DocumentRef("doc-2", "board")
PRICE_LIST = invented(400, 1)
MINUTES = (
    "Протокол заседания совета: закупочные цены повышаются на пять процентов с первого марта, " + "Straße ﬁnal " * 3
)
DOCUMENTS = Known({PRICES: PRICE_LIST, BOARD: MINUTES})
FOLDED = FOLDING.plain(PRICE_LIST)
FILLER = "Our delivery takes two days, and you may send back what you do not like. "


def watch(**options: object) -> DocumentWatch:
    return DocumentWatch([DOCUMENTS], FOLDING, **options)  # type: ignore[arg-type]


def hits(text: str, **options: object) -> list[Hit]:
    one = watch(**options)
    return one.feed(text) + one.end()


def disguised(how: str, text: str) -> str:
    match how:
        case "upper":
            return text.upper()
        case "bullets":
            return "\n- **" + text.replace(" ", "**\n- **")
        case "glued":
            return text.replace(" ", "")
        case "spaced":
            return " ".join(text)
        case "zero width":
            return "\u200b".join(text)
        case "fullwidth":
            return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
        case "homoglyphs":
            return text.translate(str.maketrans("aeop", "аеор"))
        case "reversed":
            return text[::-1]
        case "rot13":
            return codecs.encode(text, "rot13")
    return text


WAYS = ["plain", "upper", "bullets", "glued", "spaced", "zero width", "fullwidth", "homoglyphs", "reversed", "rot13"]


@pytest.mark.parametrize("how", WAYS)
def test_a_stretch_is_found_however_it_is_written(how: str) -> None:
    before, leak = FILLER, disguised(how, PRICE_LIST[200:320])
    found = hits(before + leak + " " + FILLER)
    assert {(hit.value_id, hit.set, hit.kind) for hit in found} == {("doc-1", "prices", "document")}
    assert {hit.view for hit in found} == {how if how in {"reversed", "rot13"} else "plain"}
    assert found[0].confirmed
    assert abs(found[0].start - len(before)) <= 12  # the markup before the first letter is none of it
    assert abs(found[-1].end - len(before) - len(leak)) <= 4
    assert all(one.end == other.start for one, other in itertools.pairwise(found))
    assert found[0].score == 1.0


@pytest.mark.parametrize("how", ["plain", "reversed", "rot13"])
@pytest.mark.parametrize("shift", range(13))
def test_31_characters_are_a_leak_and_30_are_not(how: str, shift: int) -> None:
    before = "z" * (40 + shift)
    assert MIN_FOLDED == 31
    letters = normalise(PRICE_LIST) if how != "rot13" else "".join(c for c in PRICE_LIST.lower() if c.isalnum())
    for at in (0, 5, 333):
        assert len(hits(before + disguised(how, letters[at : at + 31]) + "zzzzz")) == 1
        assert hits(before + disguised(how, letters[at : at + 30]) + "zzzzz") == []


def test_other_texts_are_not_found() -> None:
    assert hits(FILLER * 50) == []
    assert hits(invented(3000, 2)) == []  # the same words in another order
    assert hits("") == []
    assert watch().end() == []
    for length in (20, 25, 29):  # many short quotations, far from each other
        assert hits((PRICE_LIST[:length] + FILLER * 2) * 5) == []


def test_a_document_in_another_script_is_found() -> None:
    assert {hit.value_id for hit in hits("Я скажу: " + MINUTES[20:90])} == {"doc-2"}
    assert {hit.value_id for hit in hits("so: " + MINUTES[90:].replace("ß", "ss").replace("ﬁ", "fi"))} == {"doc-2"}
    assert {hit.view for hit in hits(MINUTES[20:70][::-1] + FILLER)} == {"reversed"}


def change(rng: random.Random, text: str, share: float) -> str:
    words = text.split(" ")
    for at in rng.sample(range(len(words)), max(1, round(len(words) * share))):
        words[at] = rng.choice(OTHER_WORDS)
    return " ".join(words)


@pytest.mark.parametrize(
    ("length", "share", "least"), [(120, 0.05, 0.99), (120, 0.1, 0.95), (300, 0.1, 0.99), (300, 0.2, 0.97)]
)
def test_stretches_with_changed_words_are_found(length: int, share: float, least: float) -> None:
    rng = random.Random(length)
    found = 0
    for _ in range(400):
        at = rng.randrange(len(PRICE_LIST) - length)
        found += bool(hits(FILLER + change(rng, PRICE_LIST[at : at + length], share) + FILLER))
    assert found >= least * 400


def test_a_leak_with_a_changed_word_is_reported_through() -> None:
    words = PRICE_LIST[100:400].split(" ")
    words[len(words) // 2] = "xylophone"
    leak = " ".join(words)
    found = hits(FILLER + leak + FILLER)
    assert all(one.end == other.start for one, other in itertools.pairwise(found))
    assert abs(found[-1].end - found[0].start - len(leak)) <= 4
    assert min(hit.score for hit in found) < 1


# Streams: stretches of the document in each view, just long enough and just too short, between other texts.
PLACES = st.integers(0, len(PRICE_LIST) - 90)
STRETCHES = st.builds(
    lambda at, length, how: disguised(how, PRICE_LIST[at : at + length]),
    PLACES,
    st.integers(18, 80),
    st.sampled_from(["plain", "plain", "reversed", "rot13", "upper", "fullwidth"]),
)
OTHERS = st.one_of(
    st.text("ab 1-ß\u200bа\n", max_size=8), st.sampled_from([FILLER, "xylo", " ", MINUTES[:50], "." * 30])
)
TEXTS = st.lists(st.one_of(STRETCHES, OTHERS), max_size=7).map("".join)


@st.composite
def streams(draw: st.DrawFn) -> list[str]:
    text = draw(TEXTS)
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=30)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def streamed(chunks: Iterable[str], **options: object) -> list[Hit]:
    one = watch(**options)
    return sorted([hit for chunk in chunks for hit in one.feed(chunk)] + one.end())


@settings(max_examples=150)
@given(streams())
def test_streamed_is_whole(chunks: list[str]) -> None:
    text = "".join(chunks)
    whole = sorted(hits(text))
    assert streamed(chunks) == whole
    assert streamed(text) == whole
    assert streamed(text[at : at + 4] for at in range(0, len(text), 4)) == whole


@pytest.mark.parametrize("size", [1, 3, 4, 7, 64, 1000, PIECE, PIECE + 1])
def test_a_long_stream_is_whole_for_every_size_of_chunk(size: int) -> None:
    parts = [FILLER * 20, PRICE_LIST[:500], FILLER * 30, PRICE_LIST[700:800][::-1], "ж" * 200, " " * 5000, FILLER]
    text = "".join(parts) + codecs.encode(PRICE_LIST[300:420], "rot13") + FILLER
    whole = sorted(hits(text))
    assert {hit.view for hit in whole} == {"plain", "reversed", "rot13"}
    assert streamed(text[at : at + size] for at in range(0, len(text), size)) == whole


def longest_run(text: str) -> int:
    """The longest stretch of a document, in any view, in a folded text."""
    longest = 0
    for view in ("plain", "reversed", "rot13"):
        run = 0
        for gram in grams_of(FOLDING.marked(text), view):
            run = run + 1 if gram in DOCUMENTS else 0
            longest = max(longest, run)
    return longest + GRAM - 1 if longest else 0


@settings(max_examples=150)
@given(streams())
def test_fewer_than_31_characters_of_a_document_leave_unreported(chunks: list[str]) -> None:
    one = watch()
    seen, released = "", 0
    for chunk in chunks:
        if one.feed(chunk):
            break
        seen += chunk
        released = max(released, one.held_from())
        assert released <= len(seen)
        assert longest_run(seen[:released]) < MIN_FOLDED
        assert len(FOLDING.plain(seen[one.held_from() :])) < MIN_FOLDED  # and no more is held than that
    else:
        assert longest_run(seen) < MIN_FOLDED
    assert longest_run(seen[:released]) < MIN_FOLDED


@pytest.mark.parametrize("how", ["plain", "reversed", "rot13"])
def test_a_leak_is_reported_with_its_31st_character(how: str) -> None:
    leak = disguised(how, "".join(c for c in PRICE_LIST[100:300] if c.isalnum()))
    for shift in range(12):
        one = watch()
        one.feed("q" * (30 + shift))
        first = next(n for n, character in enumerate(leak, 1) if one.feed(character))
        assert first == MIN_FOLDED


def test_clean_text_is_not_held() -> None:
    one = watch()
    for at, character in enumerate(FILLER * 3, 1):
        assert one.feed(character) == []
        assert one.held_from() == at


def test_a_run_that_ends_is_let_go() -> None:
    one = watch()
    one.feed(FILLER + PRICE_LIST[:34])
    assert one.held_from() == len(FILLER)
    assert one.feed(" xylophone") == []
    assert one.held_from() == len(FILLER) + 44


def test_after_a_leak_all_is_held_until_it_is_over() -> None:
    one = watch()
    (*_, last) = one.feed(PRICE_LIST[:120])
    assert one.held_from() == last.end
    one.feed(FILLER)
    assert last.end <= one.held_from() <= 120
    one.feed(FILLER * 2)
    assert one.held_from() == 120 + 3 * len(FILLER)
    assert one.end() == []


@pytest.mark.parametrize("how", ["plain", "reversed", "rot13"])
def test_what_the_caller_typed_is_no_leak(how: str) -> None:
    typed = typed_grams([DOCUMENTS], FOLDING, "Is this right? " + disguised(how, PRICE_LIST[50:250]))
    assert hits("You wrote: " + PRICE_LIST[50:250], typed=typed) == []
    assert hits("You wrote: " + PRICE_LIST[50:250][::-1], typed=typed) == []
    found = hits("You wrote: " + PRICE_LIST[50:300], typed=typed)  # and what the model adds is one
    assert found
    assert found[0].start >= 11 + 200 - GRAM * 2
    assert hits(PRICE_LIST[600:700], typed=typed)


def test_typing_other_texts_excuses_nothing() -> None:
    assert typed_grams([DOCUMENTS], FOLDING, FILLER * 10) == frozenset()
    assert typed_grams([], FOLDING, PRICE_LIST) == frozenset()
    assert typed_grams([DOCUMENTS], FOLDING, PRICE_LIST) == set(grams_of(FOLDING.marked(PRICE_LIST), "plain"))


def test_granted_sets_are_not_reported() -> None:
    assert hits(PRICE_LIST[:200], granted=frozenset({"prices"})) == []
    assert hits(PRICE_LIST[:200], granted=frozenset({"board"}))
    shared = Known({DocumentRef("doc-3", "prices", ("board", "audit")): PRICE_LIST})
    for granted, elsewhere, found in (
        ({"audit"}, set(), ""),
        ({"prices"}, set(), ""),
        ({"staff"}, set(), "prices"),
        (set(), {"audit", "staff"}, "prices"),
        (set(), {"prices", "board"}, "audit"),
        ({"board"}, {"prices"}, ""),
        (set(), {"prices", "board", "audit"}, ""),
    ):
        one = DocumentWatch([shared], FOLDING, granted=frozenset(granted), elsewhere=frozenset(elsewhere))
        assert {hit.set for hit in one.feed(PRICE_LIST[:200])} == ({found} if found else set())


def test_the_first_of_several_sources_names_the_document() -> None:
    prompt = PromptGrams([PRICE_LIST], FOLDING)
    one = DocumentWatch([prompt, DOCUMENTS], FOLDING, kind="prompt")
    found = one.feed(PRICE_LIST[:100])
    assert {(hit.value_id, hit.set, hit.kind) for hit in found} == {("system", "", "prompt")}
    one = DocumentWatch([PromptGrams([], FOLDING), DOCUMENTS], FOLDING)
    assert {hit.value_id for hit in one.feed(PRICE_LIST[:100] + FILLER * 2 + MINUTES)} == {"doc-1", "doc-2"}
    assert DocumentWatch([], FOLDING).feed(PRICE_LIST) == []


def test_a_prompt_is_known_up_to_its_bound_and_without_what_is_excused() -> None:
    prompt = PromptGrams(["You are Mila. " + PRICE_LIST, MINUTES], FOLDING, excused=[PRICE_LIST[:200]])
    assert prompt.number(grams_of(FOLDING.marked(MINUTES[:60]), "plain")[0]) == 0
    assert prompt.number(grams_of(FOLDING.marked(PRICE_LIST[50:100]), "plain")[0]) == -1
    assert not DocumentWatch([prompt], FOLDING).feed(PRICE_LIST[:200])
    assert DocumentWatch([prompt], FOLDING).feed(PRICE_LIST[300:400])
    long = PromptGrams([invented(20_000, 3), PRICE_LIST], FOLDING)
    assert len(long) <= MAX_PROMPT
    assert not DocumentWatch([long], FOLDING).feed(PRICE_LIST)


def test_folding_keeps_both_readings_apart() -> None:
    every = "".join(map(chr, range(128)))
    assert all(len(FOLDING.marked(character)) <= 1 for character in every)
    odd = every + "ﬁ É ß ⑥ ½ ǆ 日本 ж\u0301 \u00a9 ｌ１"
    assert FOLDING.plain(odd) == normalise(odd)
    assert normalise(normalise(odd)) == normalise(odd)
    assert len(FOLDING.plain(odd)) == len(FOLDING.marked(odd))
    numbers = "Order 1234567890 costs 45.60 euros, Lily Zoll"
    turned = codecs.encode(numbers, "rot13")
    assert grams_of(FOLDING.marked(turned), "rot13") == grams_of(FOLDING.marked(numbers), "plain")
    for sign in "жéß½":  # which rot13 leaves as they are
        assert grams_of(FOLDING.marked(turned + sign), "rot13") == grams_of(FOLDING.marked(numbers + sign), "plain")


@given(st.text(min_size=1, max_size=40))
def test_every_text_is_folded_as_values_are(text: str) -> None:
    assert FOLDING.plain(text) == normalise(text)
    assert "".join(map(FOLDING.of, text)) == FOLDING.marked(text)


@given(st.text("abcß0жE \u0301", min_size=GRAM, max_size=60), st.integers(1, 12))
def test_grams_of_a_text_read_backwards(text: str, step: int) -> None:
    marked = FOLDING.marked(text)
    straight = grams_of(marked, "plain")
    assert straight == [FOLDING.plain(text)[at : at + GRAM].encode() for at in range(len(marked) - GRAM + 1)]
    assert grams_of(marked, "plain", step) == straight[::step]
    backwards = grams_of(marked, "reversed", step)
    assert backwards == [gram.decode()[::-1].encode() for gram in straight[::-1]][::step]


def test_a_key_is_derived_and_never_shown() -> None:
    key = GramKey.derive(bytes(32))
    assert key.identity(b"a" * GRAM) != GramKey.derive(b"\1" + bytes(31)).identity(b"a" * GRAM)
    assert key.identity(b"a" * GRAM) == GramKey.derive(bytes(32)).identity(b"a" * GRAM)
    assert str(key.seed) not in repr(key)
    with pytest.raises(ValueError, match="32 bytes"):
        GramKey.derive(b"short")
    assert ENOUGH < GRAM
