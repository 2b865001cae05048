"""Many folded texts at once in a growing text: what is found, what is held back, and what forgetting changes."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from firedoor.core.detect.fold import fold, normalise
from firedoor.core.detect.leak.automaton import Automaton, AutomatonWatch, Match


def automaton(*texts: str) -> Automaton:
    return Automaton(normalise(text) for text in texts)


def expected(texts: list[str], text: str) -> set[Match]:
    """Every occurrence, found the slow way: fold each character, compare at each place."""
    folded = [(c, at) for at, character in enumerate(text) for c in fold(character)]
    flat = "".join(c for c, _ in folded)
    hits = set()
    for wanted in texts:
        needle = normalise(wanted)
        for start in range(len(flat) - len(needle) + 1):
            if flat.startswith(needle, start):
                last = start + len(needle) - 1
                hits.add(Match(folded[start][1], folded[last][1] + 1, needle))
    return hits


# Few letters, so that texts overlap, share beginnings and end inside each other; "ß" folds to two, "-" to none.
LETTERS = st.text("aab", min_size=8, max_size=12)
TEXTS = st.lists(st.one_of(LETTERS, LETTERS.map(lambda t: t[:6] + "ß" + t[6:])), min_size=1, max_size=6)
ALPHABET = "aaaabbAB -ß\u200bа"  # the last one is Cyrillic


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    texts = draw(TEXTS)
    pieces = st.one_of(st.text(ALPHABET, max_size=9), st.sampled_from(texts))
    text = "".join(draw(st.lists(pieces, max_size=6)))
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=12)))
    return texts, [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def check_stream(texts: list[str], chunks: list[str], watch: AutomatonWatch) -> None:
    """Chunks change nothing, and nothing of a match is released before it is reported."""
    matches: list[Match] = []
    released = fed = 0
    for chunk in chunks:
        new = watch.feed(chunk)
        fed += len(chunk)
        assert watch.fed == fed
        assert all(match.start >= released for match in new)
        assert released <= watch.held_from() <= fed
        matches += new
        released = watch.held_from()
    assert len(matches) == len(set(matches))
    assert set(matches) == expected(texts, "".join(chunks))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(streams())
def test_streamed_matches_are_all_matches_and_nothing_leaves_early(stream: tuple[list[str], list[str]]) -> None:
    texts, chunks = stream
    built = automaton(*texts)
    check_stream(texts, chunks, built.watch())
    assert built.find("".join(chunks)) == built.find("".join(chunks))  # a learnt automaton finds the same
    check_stream(texts, list("".join(chunks)), built.watch())


@given(streams())
def test_nothing_is_held_that_could_go(stream: tuple[list[str], list[str]]) -> None:
    texts, chunks = stream
    watch = automaton(*texts).watch()
    beginnings = {normalise(text)[:n] for text in texts for n in range(1, len(normalise(text)) + 1)}
    for end in range(len(chunks)):
        watch.feed(chunks[end])
        seen = "".join(chunks[: end + 1])
        held = normalise(seen[watch.held_from() :])
        assert held == "" or any(held.endswith(b) and len(held) - len(b) <= 1 for b in beginnings)
        assert held.endswith(watch.live)


class _LetsGo(AutomatonWatch):
    def held_from(self) -> int:
        return self._fed


class _OneTooFar(AutomatonWatch):
    def held_from(self) -> int:
        return min(super().held_from() + 1, self._fed)


class _ForgetsAtBorders(AutomatonWatch):
    def feed(self, text: str) -> list[Match]:
        self._state, self._tail = self._state.automaton.start(), ""
        return super().feed(text)


class _CountsDroppedCharacters(AutomatonWatch):
    def held_from(self) -> int:
        return self._fed - len(self._state.text)


class _ReportsTwice(AutomatonWatch):
    def feed(self, text: str) -> list[Match]:
        return super().feed(text) * 2


@pytest.mark.parametrize("broken", [_LetsGo, _OneTooFar, _ForgetsAtBorders, _CountsDroppedCharacters, _ReportsTwice])
def test_the_property_finds_planted_faults(broken: type[AutomatonWatch]) -> None:
    def fails(stream: tuple[list[str], list[str]]) -> bool:
        texts, chunks = stream
        try:
            check_stream(texts, chunks, broken(automaton(*texts)))
        except AssertionError:
            return True
        return False

    find(streams(), fails, settings=settings(max_examples=2000, database=None))


def test_a_partial_match_is_held_from_its_first_character_until_it_breaks() -> None:
    watch = automaton("Nordlicht-7731").watch()
    held = []
    for chunk in ["Hi, n", "ord", "licht", " -", "77", "x ok"]:
        assert watch.feed(chunk) == []
        held.append(watch.held_from())
    assert held == [4, 4, 4, 4, 4, len("Hi, nordlicht -77x ok")]


def test_a_match_may_be_spread_far() -> None:
    watch = automaton("abcdefgh").watch()
    gap = " " * 2000
    for character in "abcdefg":
        watch.feed(character + gap)
    assert watch.held_from() == 0
    assert watch.feed("h!") == [Match(0, 7 * 2001 + 1, "abcdefgh")]


def test_texts_that_begin_with_another() -> None:
    built = automaton("nordlicht", "nordlandia", "nordwind")
    assert built.beginning_with("nordii", 9) == ["nordiicht"]
    assert built.beginning_with("nord", 2) == ["nordiandia", "nordiicht"]
    assert built.beginning_with("south", 9) == []
    assert len(built) == 3


def test_forgetting_what_was_learnt_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firedoor.core.detect.leak.automaton.MAX_TRANSITIONS", 7)
    monkeypatch.setattr("firedoor.core.detect.leak.automaton.MAX_TAIL", 3)
    monkeypatch.setattr("firedoor.core.detect.fold.MAX_KEPT", 3)
    texts = ["nordlicht-7731", "lichtung-773"]
    text = "Nordlichtung 7731, nordlicht 7731. Straße"
    check_stream(texts, [text[i : i + 3] for i in range(0, len(text), 3)], automaton(*texts).watch())
