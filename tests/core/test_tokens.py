"""Tokens and features: bounded, deterministic, and every letter, digit and sign in exactly one token."""

from __future__ import annotations

from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.detect import tokens as tokens_of_the_product
from firedoor.core.detect.names import CITY, FIRST, LAST, Names, word_hash
from firedoor.core.detect.tokens import MAX_WORD, ROWS, features, folded, tokens

texts = st.text(alphabet=st.characters(), max_size=200) | st.text(alphabet=" aÄß1.\n\u200b\u0301@\ud800", max_size=60)


@given(texts)
def test_every_character_but_white_space_is_in_one_token(text: str) -> None:
    found = tokens(text)
    covered = [i for token in found for i in range(token.start, token.end)]
    assert covered == sorted(set(covered))
    assert all(text[i].isspace() for i in set(range(len(text))).difference(covered))


@given(texts)
def test_features_are_rows_of_the_table_and_few(text: str) -> None:
    for token in tokens(text):
        rows = features(token.key)
        assert rows == features(token.key)
        assert 0 < len(rows) <= 50
        assert all(0 <= row < ROWS for row in rows)


@given(st.text(alphabet="aBcXyz", min_size=1, max_size=MAX_WORD), st.booleans())
def test_words_without_accents_have_the_features_of_all_words(word: str, spaced: bool) -> None:
    parts = ["s1" if spaced else "s0", *tokens_of_the_product._letters(word)]
    assert features(" " * spaced + word) == [crc32(part.encode()) & (ROWS - 1) for part in parts]


def test_a_space_before_a_token_is_told() -> None:
    assert [t.key for t in tokens("Anna-Lena Ott\nx9")] == ["Anna", "-", "Lena", " Ott", "\n", "x", "9"]


def test_a_long_word_is_cut() -> None:
    assert max(t.end - t.start for t in tokens("a" * 1000)) == MAX_WORD


def test_accents_and_case_are_folded() -> None:
    assert folded("ŁUCJA") == folded("Łucja") == "lucja"
    assert folded("Müßig") == "mussig"


def _lists(words: dict[str, int]) -> bytes:
    rows = sorted((word_hash(word), flag) for word, flag in words.items())
    return (
        len(rows).to_bytes(4, "little")
        + b"".join(h.to_bytes(4, "little") for h, _ in rows)
        + bytes(flag for _, flag in rows)
    )


def test_words_are_found_on_their_lists() -> None:
    names = Names(_lists({"anna": FIRST, "paris": FIRST | CITY, "kowalska": LAST}))
    assert names.flags(["anna", "nobody", "paris", "kowalska"]).tolist() == [FIRST, 0, FIRST | CITY, LAST]


def test_damaged_lists_are_refused() -> None:
    data = _lists({"anna": FIRST})
    for broken in (data[:-1], data + b"\0", b"\xff" * 4):
        try:
            Names(broken)
        except ValueError:
            continue
        raise AssertionError(broken)
