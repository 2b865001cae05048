"""Protected values in answers: what is found, what is held back, what may be protected at all."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from firedoor.core.detect.fold import fold, normalise
from firedoor.core.detect.protected import (
    MAX_CHARACTERS,
    MAX_VALUES,
    ProtectedIndex,
    ProtectedValue,
    ProtectedWatch,
    check_value,
)
from firedoor.core.detect.spans import Hit
from firedoor.errors import ActRefused


def value(text: str, name: str = "v", kind: str = "value") -> ProtectedValue:
    return ProtectedValue(name, "suppliers", kind, text)


def index(*texts: str) -> ProtectedIndex:
    return ProtectedIndex.build(value(text, f"v{i}") for i, text in enumerate(texts))


def expected(values: list[ProtectedValue], text: str) -> set[Hit]:
    """Every occurrence, found the slow way: fold each character, compare at each place."""
    folded = [(c, at) for at, character in enumerate(text) for c in fold(character)]
    flat = "".join(c for c, _ in folded)
    hits = set()
    for wanted in values:
        needle = normalise(wanted.text)
        for start in range(len(flat) - len(needle) + 1):
            if flat.startswith(needle, start):
                last = start + len(needle) - 1
                hits.add(Hit(folded[start][1], folded[last][1] + 1, wanted.id, wanted.set, wanted.kind))
    return hits


# Few letters, so that values overlap, share beginnings and end inside each other; "ß" folds to two, "-" to none.
LETTERS = st.text("aab", min_size=8, max_size=12)
VALUES = st.lists(st.one_of(LETTERS, LETTERS.map(lambda t: t[:6] + "ß" + t[6:])), min_size=1, max_size=6)
ALPHABET = "aaaabbAB -ß\u200bа"  # the last one is Cyrillic


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[ProtectedValue], list[str]]:
    values = [value(text, f"v{i}") for i, text in enumerate(draw(VALUES))]
    pieces = st.one_of(st.text(ALPHABET, max_size=9), st.sampled_from([v.text for v in values]))
    text = "".join(draw(st.lists(pieces, max_size=6)))
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=12)))
    return values, [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def check_stream(values: list[ProtectedValue], chunks: list[str], watch: ProtectedWatch) -> None:
    """Chunks change nothing, and nothing of a value is released before the value is reported."""
    hits: list[Hit] = []
    released = fed = 0
    for chunk in chunks:
        new = watch.feed(chunk)
        fed += len(chunk)
        assert all(hit.start >= released for hit in new)
        assert released <= watch.held_from() <= fed
        hits += new
        released = watch.held_from()
    assert len(hits) == len(set(hits))
    assert set(hits) == expected(values, "".join(chunks))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(streams())
def test_streamed_hits_are_all_hits_and_nothing_leaves_early(stream: tuple[list[ProtectedValue], list[str]]) -> None:
    values, chunks = stream
    built = ProtectedIndex.build(values)
    check_stream(values, chunks, built.watch())
    assert built.find("".join(chunks)) == built.find("".join(chunks))  # a learnt index finds the same
    check_stream(values, list("".join(chunks)), built.watch())


@given(streams())
def test_nothing_is_held_that_could_go(stream: tuple[list[ProtectedValue], list[str]]) -> None:
    values, chunks = stream
    watch = ProtectedIndex.build(values).watch()
    beginnings = {normalise(v.text)[:n] for v in values for n in range(1, len(normalise(v.text)) + 1)}
    for end in range(len(chunks)):
        watch.feed(chunks[end])
        seen = "".join(chunks[: end + 1])
        held = normalise(seen[watch.held_from() :])
        assert held == "" or any(held.endswith(b) and len(held) - len(b) <= 1 for b in beginnings)


class _LetsGo(ProtectedWatch):
    def held_from(self) -> int:
        return self._fed


class _OneTooFar(ProtectedWatch):
    def held_from(self) -> int:
        return min(super().held_from() + 1, self._fed)


class _ForgetsAtBorders(ProtectedWatch):
    def feed(self, text: str) -> list[Hit]:
        self._state, self._offsets = self._index.start(), []
        return super().feed(text)


class _CountsDroppedCharacters(ProtectedWatch):
    def held_from(self) -> int:
        return self._fed - len(self._state.text)


class _ReportsTwice(ProtectedWatch):
    def feed(self, text: str) -> list[Hit]:
        return super().feed(text) * 2


@pytest.mark.parametrize("broken", [_LetsGo, _OneTooFar, _ForgetsAtBorders, _CountsDroppedCharacters, _ReportsTwice])
def test_the_property_finds_planted_faults(broken: type[ProtectedWatch]) -> None:
    def fails(stream: tuple[list[ProtectedValue], list[str]]) -> bool:
        values, chunks = stream
        try:
            check_stream(values, chunks, broken(ProtectedIndex.build(values), frozenset()))
        except AssertionError:
            return True
        return False

    find(streams(), fails, settings=settings(max_examples=2000, database=None))


@pytest.mark.parametrize(
    "text",
    [
        "the code is NORDLICHT-7731.",
        "nordlicht7731",
        "N o r d l i c h t 7 7 3 1",
        "**Nordlicht**-`7731`",
        "nord\u200blicht\u00ad7731",
        "ＮＯＲＤＬＩＣＨＴ－７７３１",
        "NÖRDLICHT 7731",
        "Nоrdliсht 7731",  # two Cyrillic letters
        "n.o.r.d.l.i.c.h.t\n7_7_3_1",
    ],
)
def test_disguises_that_are_seen_through(text: str) -> None:
    assert [hit.value_id for hit in index("Nordlicht-7731").find(text)] == ["v0"]


@pytest.mark.parametrize(
    "text",
    [
        "nordlicht 773",
        "nordlicht 77310"[1:],
        "nordlicht sieben 7731",
        "1377-thcildron",
        "nordl1cht-7731",
        "7731 nordlicht",
    ],
)
def test_near_misses(text: str) -> None:
    assert index("Nordlicht-7731").find(text) == []


def test_offsets_are_those_of_the_text_as_it_came() -> None:
    text = "👋 (Nord-Licht … 77\u200b31!)"
    [hit] = index("Nordlicht-7731").find(text)
    assert text[hit.start : hit.end] == "Nord-Licht … 77\u200b31"
    assert hit.set == "suppliers"
    assert hit.kind == "value"


def test_a_partial_match_is_held_from_its_first_character_until_it_breaks() -> None:
    watch = index("Nordlicht-7731").watch()
    held = []
    for chunk in ["Hi, n", "ord", "licht", " -", "77", "x ok"]:
        assert watch.feed(chunk) == []
        held.append(watch.held_from())
    assert held == [4, 4, 4, 4, 4, len("Hi, nordlicht -77x ok")]


def test_values_the_caller_typed_are_learnt_and_ignored() -> None:
    built = index("Nordlicht-7731", "Suedwind-4410")
    typed = built.ids_in("is NORDLICHT 7731 still valid?")
    assert typed == {"v0"}
    watch = built.watch(ignore=typed)
    assert [h.value_id for h in watch.feed("nordlicht-7731 and suedwind-4410")] == ["v1"]


def test_values_that_fold_to_the_same_text_are_both_reported() -> None:
    assert {h.value_id for h in index("Nordlicht-7731", "NORDLICHT 7731").find("nordlicht7731")} == {"v0", "v1"}


def test_an_empty_index_finds_and_holds_nothing() -> None:
    built = ProtectedIndex.build([])
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
        ("nordlicht-7731", False),
        ("nord", False),
    ],
)
def test_most_of_a_value_at_the_end_tells_it(text: str, telling: bool) -> None:
    watch = index("Nordlicht-7731").watch()
    watch.feed(text)
    assert watch.telling_partial() is telling


def test_the_beginning_of_a_series_tells_nothing() -> None:
    watch = index(*(f"supplier cost {n:03}" for n in range(40))).watch()
    watch.feed("we never speak of supplier cost")
    assert not watch.telling_partial()


def test_an_ignored_value_is_not_told() -> None:
    watch = index("Nordlicht-7731").watch(ignore=frozenset({"v0"}))
    watch.feed("nordlicht-773")
    assert not watch.telling_partial()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "value_too_short"),
        ("abc-123", "value_too_short"),
        ("a.b.c.d.e.f.g", "value_too_short"),
        ("\ud800" * 9, "value_too_short"),
        ("1234567890", "value_only_digits"),
        ("12 34-56.78", "value_only_digits"),
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
        ProtectedIndex.build([value(text)])


@pytest.mark.parametrize("text", ["abcdefgh", "1234567x", "Ü" * 8, "a" * MAX_CHARACTERS])
def test_values_at_the_bounds_are_accepted(text: str) -> None:
    check_value(text)
    assert len(index(text).find(f"({text})")) == 1


def test_an_index_has_a_bound() -> None:
    many = [value(f"value-{n:08}", str(n)) for n in range(MAX_VALUES + 1)]
    assert len(ProtectedIndex.build(many[:-1])) == MAX_VALUES
    with pytest.raises(ActRefused) as refused:
        ProtectedIndex.build(many)
    assert refused.value.code == "too_many_values"


def test_forgetting_what_was_learnt_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firedoor.core.detect.protected.MAX_TRANSITIONS", 7)
    monkeypatch.setattr("firedoor.core.detect.fold.MAX_KEPT", 3)
    values = [value("nordlicht-7731", "v0"), value("lichtung-773", "v1")]
    text = "Nordlichtung 7731, nordlicht 7731. Straße"
    check_stream(values, [text[i : i + 3] for i in range(0, len(text), 3)], ProtectedIndex.build(values).watch())
