"""Protected values in answers: what is found, what is held back, what may be protected at all; and how they are folded."""

from __future__ import annotations

import codecs
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.detect.fold import Folding, fold, letters, normalise
from firedoor.core.detect.leak.values import (
    MAX_CHARACTERS,
    MAX_VALUES,
    ProtectedValue,
    ValueIndex,
    check_value,
    forms,
)
from firedoor.core.detect.spans import Hit
from firedoor.errors import ActRefused


def value(text: str, name: str = "v", kind: str = "value", owner: str = "suppliers") -> ProtectedValue:
    return ProtectedValue(name, owner, kind, text)


def index(*texts: str) -> ValueIndex:
    return ValueIndex.build(value(text, f"v{i}") for i, text in enumerate(texts))


def ends_in(built: ValueIndex, text: str, ignore: frozenset[str] = frozenset()) -> list[Hit]:
    watch = built.watch(ignore=ignore)
    assert watch.feed(text) == []
    return watch.end()


@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("the code is NORDLICHT-7731.", "plain"),
        ("nordlicht7731", "plain"),
        ("N o r d l i c h t 7 7 3 1", "plain"),
        ("**Nordlicht**-`7731`", "plain"),
        ("nord\u200blicht\u00ad7731", "plain"),
        ("ＮＯＲＤＬＩＣＨＴ－７７３１", "plain"),
        ("NÖRDLICHT 7731", "plain"),
        ("Nоrdliсht 7731", "plain"),  # two Cyrillic letters
        ("n.o.r.d.l.i.c.h.t\n7_7_3_1", "plain"),
        ("n0rd11cht-7731", "plain"),
        ("nordlicht-tte1", "plain"),
        ("nordl\u0131cht ⑦⑦③①", "plain"),
        ("\U000e0041nord\ufe0flicht\u202e-7731", "plain"),
        ("ɴᴏʀᴅʟɪᴄʜᴛ-7731", "plain"),
        ("🅽🅾🆁🅳🅻🅸🅲🅷🆃 7731", "plain"),
        ("𝓝𝓸𝓻𝓭𝓵𝓲𝓬𝓱𝓽-𝟕𝟕𝟑𝟏", "plain"),
        ("ꓠꓳꓣꓓꓡꓲꓚꓧꓔ 7731", "plain"),
        ("ΝΟRDLΙCΗΤ 7731", "plain"),
        ("1377-thcildron", "reversed"),
        ("!1377 THC1LDR0N", "reversed"),
        ("Abeqyvpug-7731", "rot13"),
        ("a b e q y v p u g 7 7 3 1", "rot13"),
    ],
)
def test_disguises_that_are_seen_through(text: str, view: str) -> None:
    assert [(hit.value_id, hit.view) for hit in index("Nordlicht-7731").find(text)] == [("v0", view)]


@pytest.mark.parametrize(
    "text",
    [
        "nordlicht 773",
        "nordlicht 77310"[1:],
        "nordlicht sieben 7731",
        "7731 nordlicht",
        "nordlicht-7737",
        "nordlicht-7781",
        "abeqyvpug-2286",
        "1377 nordlicht",
        "thcildron-7731",
        "nordlichtung 7731",
    ],
)
def test_near_misses(text: str) -> None:
    assert index("Nordlicht-7731").find(text) == []


def test_no_digit_is_folded_like_another() -> None:
    assert len({normalise(digit) for digit in "0123456789"}) == 10
    assert [hit.value_id for hit in index("Code 0123456789", "Code 0123456780").find("code 0123456789")] == ["v0"]


@given(st.text(max_size=20))
def test_folding_is_done_at_once_and_for_each_character(text: str) -> None:
    folded = normalise(text)
    assert normalise(folded) == folded
    folding = Folding()
    assert "".join(folding[c] for c in text) == folded
    assert not any(c.isspace() or (c.isascii() and not c.isalnum()) or c in "0123l45789" for c in folded)


@pytest.mark.parametrize(
    ("characters", "folded"),
    [
        ("аеорсухіАВЕКМНОРСТУХ", "aeopcyxiabekmhopctyx"),
        ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "abezhikmnoptyx"),
        ("օսհոց", "ouhng"),
        ("ⓃＮ𝐍ℕ🄽🅝🅽🇳Ｎɴŋ", "nnnnnnnnnnn"),
        ("łøđħŧıſßæœĳ", "iodhtisssaeoeij"),
        ("٠١٢٣٤٥٦٧٨٩", "oizeas6tbg"),
        ("²③❹５𝟨", "zeas6"),
        ("ö̈ñç", "onc"),
        (" -_.*€!\u200b\u2060\ufeff\u00ad\ufe0f\u0301\U000e0061\ud800\x00", ""),
        ("ж你א", "ж你א"),
    ],
)
def test_look_alikes(characters: str, folded: str) -> None:
    assert normalise(characters) == folded


def test_letters_keep_digits_and_fold_the_commonest_only() -> None:
    assert "".join(map(letters, "N0rdlicht ＮО７ł")) == "n0rdlichtno7l"


def test_every_latin_letter_with_a_mark_folds_to_letters_of_ascii() -> None:
    for code in (*range(0xC0, 0x250), *range(0x1E00, 0x1F00)):
        named = unicodedata.name(chr(code), "")
        if (
            named.startswith("LATIN")
            and " WITH " in named
            and "LETTER" in named
            and "LETTER" not in named.split(" WITH ")[1]
        ):
            letter = named.split(" WITH ")[0].rsplit(" ", 1)[-1]
            if len(letter) == 1:
                assert fold(chr(code)) == normalise(letter), named


def test_offsets_are_those_of_the_text_as_it_came() -> None:
    text = "👋 (Nord-Licht … 77\u200b31!)"
    [hit] = index("Nordlicht-7731").find(text)
    assert text[hit.start : hit.end] == "Nord-Licht … 77\u200b31"
    assert hit.set == "suppliers"
    assert hit.kind == "value"
    assert hit.confirmed


def test_values_the_caller_typed_are_learnt_and_ignored() -> None:
    built = index("Nordlicht-7731", "Suedwind-4410")
    typed = built.ids_in("is NORDLICHT 7731 still valid?")
    assert typed == {"v0"}
    watch = built.watch(ignore=typed)
    assert [h.value_id for h in watch.feed("nordlicht-7731 and suedwind-4410")] == ["v1"]
    assert built.ids_in("1377-thcildron, please turn it round") == {"v0"}
    assert built.ids_in("nordlicht") == frozenset()


def test_values_of_granted_sets_are_not_reported() -> None:
    built = ValueIndex([value("Nordlicht-7731", "a"), value("Suedwind-4410", "b", owner="codes")])
    watch = built.watch(granted=frozenset({"suppliers"}))
    assert [h.value_id for h in watch.feed("nordlicht-7731 and suedwind-4410, 1377-thcildron")] == ["b"]


def test_values_that_fold_to_the_same_text_are_both_reported() -> None:
    assert {h.value_id for h in index("Nordlicht-7731", "NORDLICHT 7731").find("nordlicht7731")} == {"v0", "v1"}


def test_a_value_that_is_another_turned_round() -> None:
    hits = index("Nordlicht", "thcildroN").find("nordlicht")
    assert {(hit.value_id, hit.view) for hit in hits} == {("v0", "plain"), ("v1", "reversed")}


@pytest.mark.parametrize("text", ["Anna-Otto-Anna".replace("Otto", "tt"), "radar radar", "Nn Aa Nn Aa"])
def test_a_palindrome_is_reported_once(text: str) -> None:
    assert [hit.view for hit in index(text).find(f"it is {text}!")] == ["plain"]


@given(st.text("abyzAZ09 -éβлς", min_size=8, max_size=14))
def test_every_form_is_found_in_its_view(text: str) -> None:
    written = forms(text)
    assert written[normalise(text)] == "plain"
    assert set(written.values()) <= {"plain", "reversed", "rot13"}
    for variant in (text, text.upper(), text.lower(), text[::-1], codecs.encode(text, "rot13")):
        assert normalise(variant) in written


def test_letters_of_other_scripts_in_both_cases() -> None:
    built = index("Βορράς Ημέρα 7", "Склад Север 7")
    for text in ("ΒΟΡΡΆΣ ΗΜΈΡΑ 7", "βορράς ημέρα 7", "СКЛАД СЕВЕР 7", "склад север 7"):
        assert len(built.find(text)) == 1, text


def test_an_empty_index_finds_and_holds_nothing() -> None:
    built = ValueIndex.build([])
    watch = built.watch()
    assert (len(built), watch.feed("anything"), watch.held_from(), built.ids_in("x")) == (0, [], 8, frozenset())


def test_lone_surrogates_and_nul_are_dropped_like_any_control() -> None:
    assert len(index("Nordlicht-7731").find("nord\x00licht\ud8007731")) == 1


@pytest.mark.parametrize(
    ("text", "telling"),
    [
        ("nordlicht-77", True),
        ("code: Nordlicht-773", True),
        ("nordlicht", False),
        ("nord", False),
        ("1377-thcildr", False),
    ],
)
def test_most_of_a_value_at_the_end_tells_it(text: str, telling: bool) -> None:
    hits = ends_in(index("Nordlicht-7731"), text)
    assert bool(hits) is telling
    for hit in hits:
        assert (hit.kind, hit.confirmed, hit.end) == ("partial", False, len(text))
        assert 0.75 <= hit.score < 1
        assert normalise(text[hit.start :]) == normalise("nordlicht-773"[: len(text) - hit.start])


def test_a_whole_value_is_no_partial_one() -> None:
    watch = index("Nordlicht-7731").watch()
    assert len(watch.feed("nordlicht-7731")) == 1
    assert watch.end() == []


def test_the_beginning_of_a_series_tells_nothing() -> None:
    assert ends_in(index(*(f"supplier cost {n:03}" for n in range(40))), "we never speak of supplier cost") == []


def test_a_series_turned_round_hides_no_value() -> None:
    built = index("Nordlicht-7731", *(f"{n:03} 377thcildron"[::-1] for n in range(40)))
    assert [hit.value_id for hit in ends_in(built, "nordlicht-773")] == []
    assert [
        hit.value_id for hit in ends_in(index("Nordlicht-7731", "x-" + "Nordlicht-7731"[::-1]), "nordlicht-773")
    ] == ["v0"]


def test_an_ignored_value_is_not_told() -> None:
    assert ends_in(index("Nordlicht-7731"), "nordlicht-773", frozenset({"v0"})) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "value_too_short"),
        ("abc-123", "value_too_short"),
        ("a.b.c.d.e.f.g", "value_too_short"),
        ("\ud800" * 9, "value_too_short"),
        ("1234567890", "value_only_digits"),
        ("12 34-56.78", "value_only_digits"),
        ("٠١٢٣٤٥٦٧٨٩", "value_only_digits"),
        ("１２３４ ５６７８", "value_only_digits"),
        ("a" * (MAX_CHARACTERS + 1), "value_too_long"),
        ("\ufdfa" * 30, "value_too_long"),  # one code point that unfolds to 18
    ],
)
def test_values_that_would_alarm_by_chance_are_refused(text: str, code: str) -> None:
    with pytest.raises(ActRefused) as refused:
        check_value(text)
    assert refused.value.code == code
    assert refused.value.remedy
    assert not text or text not in str(refused.value)
    with pytest.raises(ActRefused):
        ValueIndex.build([value(text)])


@pytest.mark.parametrize("text", ["abcdefgh", "1234567x", "Ü" * 8, "a" * MAX_CHARACTERS])
def test_values_at_the_bounds_are_accepted(text: str) -> None:
    check_value(text)
    assert len(index(text).find(f"({text})")) == 1


def test_an_index_has_a_bound() -> None:
    many = [value(f"value-{n:08}", str(n)) for n in range(MAX_VALUES + 1)]
    assert len(ValueIndex.build(many[:-1])) == MAX_VALUES
    with pytest.raises(ActRefused) as refused:
        ValueIndex.build(many)
    assert refused.value.code == "too_many_values"
