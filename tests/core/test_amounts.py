"""Numbers in a growing text: every way of writing one, and what is no number."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from firedoor.core.detect.leak.amounts import SCALE, Amounts, amounts, significant
from firedoor.core.detect.leak.words import number_stems


def values(text: str) -> set[float]:
    return {value / SCALE for amount in amounts(text) for value in amount.values}


@pytest.mark.parametrize(
    "text",
    [
        "41.85", "41,85", "EUR 41.85", "EUR41.85", "41.85 €", "41,85€", "$41.85", "41.850", "**41.85**", "41.**85**",
        "4185 cents", "4185 ct", "4185ct", "4185 Cent", "4185 céntimos", "4185 groszy", "4185¢",
        "41 euros 85", "41 € 85", "41€85", "41 EUR 85", "41 euros and 85 cents", "41 Euro und 85 Cent",
        "41 euros et 85 centimes", "41 euros con 85", "41 zł 85 gr", "41 euro, 85 cent",
        "４１．８５", "٤١٫٨٥", "۴۱٫۸۵", "४१.८५", "41·85",
        "4 1 . 8 5", "4 1 , 8 5", "41 . 85", "4\u200b1.8\u200b5", "4\u00ad1\u2060.\ufeff85",
        "forty-one euros eighty-five", "forty-one euros and eighty-five cents", "forty-one point eight five",
        "forty-one eighty-five", "four one point eight five", "Forty One Dollars And Eighty Five",
        "einundvierzig Euro fünfundachtzig", "einundvierzig Komma acht fünf", "einundvierzig Euro und fünfundachtzig",
        "quarante et un euros quatre-vingt-cinq", "quarante et un virgule huit cinq",
        "cuarenta y un euros con ochenta y cinco", "cuarenta y uno coma ochenta y cinco",
        "quarantuno euro e ottantacinque", "quarantuno virgola ottantacinque",
        "eenenveertig euro vijfentachtig", "eenenveertig komma acht vijf",
        "czterdzieści jeden złotych osiemdziesiąt pięć groszy", "quarenta e um euros e oitenta e cinco",
    ],
)  # fmt: skip
def test_one_amount_in_many_ways(text: str) -> None:
    assert 41.85 in values(f"that is {text}.")
    assert 41.85 in values(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234.50", 1234.5), ("1.234,50", 1234.5), ("1 234,50", 1234.5), ("1\u202f234,50", 1234.5),
        ("1'234.50", 1234.5), ("1’234.50", 1234.5), ("1234.5", 1234.5), ("1234,50 EUR", 1234.5),
        ("12,34,567.50", 1234567.5), ("1.234", 1234), ("1.234", 1.234), ("1,234,567", 1234567), ("12 345 678", 12345678),
        ("one thousand two hundred thirty-four point five", 1234.5),
        ("zweihundertdreiundvierzig Euro zehn", 243.1), ("hundertzwanzig Euro", 120), ("mille deux cents euros", 1200),
        ("soixante-dix-sept euros cinquante", 77.5), ("ciento veinte euros", 120), ("centoventi euro", 120),
        ("honderd twintig euro", 120), ("dwieście dwanaście złotych", 212), ("duzentos e doze euros", 212),
        ("nine point oh five", 9.05), ("0.55", 0.55), ("12 %", 12), ("12,5%", 12.5), ("0.012345", 0.012345),
    ],
)  # fmt: skip
def test_amounts(text: str, value: float) -> None:
    assert value in values(text)


@pytest.mark.parametrize(
    "text",
    [
        "41.58", "4185", "41", "85", "418.5", "41 85", "41 or 85", "41-85", "41:85", "41/85", "41; 85", "41 pieces 85",
        "41.85.3", "41.85.2024", "141.85", "41.851", "41.085", "0x4185", "MH4185", "4185ml cents", "41 a 85 b",
        "41 euros 8", "41 euros 850", "41 euros, I said 85", "forty-one or eighty-five", "forty-one and eighty",
        "forty one euro notes, eighty five coins", "85 euros 41", "4 1 8 5", "eighty-five euros forty-one",
        "41.85" + "1" * 20, "41" + "\u200b" * 9 + ".85",
    ],
)  # fmt: skip
def test_near_misses(text: str) -> None:
    assert 41.85 not in values(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "no number at all", "MH01 and B12, 500ml", "10.0.0.1", "2024.05.12.", "one of a kind", "007",
        "1234567890123456789", "GB33BUKB20201555555555", "everyone often forgot the phone", "cents", "cent fois non",
    ],
)  # fmt: skip
def test_no_amounts(text: str) -> None:
    assert not {value for value in values(text) if value >= 100 or value != int(value)} - {100.0}


def test_where_they_stand() -> None:
    text = "It is \u200b41 euros and 85 cents, not 1 234,50."
    found = {text[amount.start : amount.end]: amount.values for amount in amounts(text)}
    assert found["41 euros and 85"] == (41_850_000,)
    assert found["1 234,50"] == (1_234_500_000,)


def test_significant_digits() -> None:
    shown = {"45": 2, "45.00": 2, "1.20": 2, "12.50": 3, "100": 1, "41.85": 4, "0.55": 2, "1005": 4}
    for text, count in shown.items():
        [amount] = amounts(text)
        assert significant(amount.values[0]) == count


PIECES = st.sampled_from(
    [
        "41", "85", "4", "1", "8", "5", "1234", "007", ".", ",", " ", "  ", "'", "\n", "€", "%", " euros ", " and ", "EUR",
        " cents", "ct", "ml", "a", "-", "\u200b", "**", "_", "forty", "-one", " eighty", " five", " point ", " hundred ",
        "thousand", "ein", "und", "vierzig", " zwei", " cent", " quatre", "-vingt", " otto", "bottom", "ten", "x" * 30,
    ]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=24).map("".join)


@st.composite
def streams(draw: st.DrawFn) -> list[str]:
    text = draw(TEXTS)
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=10)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(streams())
@example(["forty", "-one"])
@example(["41 euros ", "8", "5"])
@example(["1 ", "234", ",5"])
def test_streamed_numbers_are_all_numbers_and_are_held_until_then(chunks: list[str]) -> None:
    text = "".join(chunks)
    for pieces in (chunks, list(text)):
        reader = Amounts()
        found = []
        held = 0
        for piece in pieces:
            new = reader.feed(piece)
            assert all(amount.start >= held for amount in new)
            held = reader.held_from()
            found += new
        found += reader.end()
        assert sorted(found) == sorted(amounts(text))


@given(TEXTS)
def test_being_told_where_words_may_be_changes_nothing(text: str) -> None:
    assume(not re.search(r"[^\W\d_]{28}", text))  # no word is longer
    folded = text.lower()
    ends = {at + len(stem) for stem in number_stems() for at in range(len(folded)) if folded.startswith(stem, at)}
    assert sorted(amounts_at(text, sorted(ends))) == sorted(amounts(text))


def amounts_at(text: str, ends: list[int]) -> list[object]:
    reader = Amounts()
    return [*reader.feed(text, ends), *reader.end()]


def test_a_long_text_is_read_in_little_memory() -> None:
    reader = Amounts()
    found = 0
    for _ in range(2000):
        found += len(reader.feed("Nothing to see here, but 12.50 for the tent. "))
    assert found == 2000
    assert len(reader._text) < 4000
