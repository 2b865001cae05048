"""The gate skips work and nothing else: with it and without it the findings are the same."""

from __future__ import annotations

import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firedoor.core.detect.rules import gate
from firedoor.core.detect.rules.gate import ALL, Gate
from firedoor.core.detect.rules.identifiers import OUTLINES, cue_phrases
from firedoor.core.detect.rules.identifiers_fields import fold
from firedoor.core.detect.rules.tier import Rules

pytest.importorskip("hyperscan")

GATED, UNGATED = Rules(), Rules(gated=False)
SMALL = Gate([["00-000"], ["aa00", "0 (0"]], ["pesel", "social security", "né", "ΑΜΚΑ".lower(), "c f"])
FIRST, SECOND, WORDS = 1, 2, 4


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("", 0),
        ("a plain question about shoes", 0),
        ("12-345", FIRST),
        ("12-34", 0),
        ("xy12", SECOND),
        ("1 (2", SECOND),
        ("é12-345", FIRST),
        ("pesel", WORDS),
        ("peselu", WORDS),  # more than is needed, never less
        ("social  security", WORDS),
        ("my security", WORDS),
        ("né le", WORDS),
        ("année", 0),
        ("αμκα 1", WORDS),
        ("c. f.", WORDS),
        ("cf", 0),
        ("\ud800 pesel \udfff", WORDS),
        ("ab12 pesel", SECOND | WORDS),
    ],
)
def test_what_a_text_needs(text: str, needed: int) -> None:
    assert SMALL.needed(text) == needed


def test_without_hyperscan_everything_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hyperscan", None)
    assert Gate([["0"]], ["word"]).needed("") == ALL


def test_a_huge_text_needs_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_MAX_BYTES", 10)
    assert SMALL.needed("x" * 10) == 0
    assert SMALL.needed("x" * 11) == ALL


def test_a_busy_database_needs_everything() -> None:
    import hyperscan

    class Busy:
        def scan(self, *args: object, **kwargs: object) -> None:
            raise hyperscan.error("in use")

    busy = Gate([["0"]], ["word"])
    busy._outlines = Busy()
    assert busy.needed("plain") == ALL


def test_every_phrase_passes() -> None:
    every = Gate([outlines.split("|") for outlines in OUTLINES], cue_phrases())
    for phrase in cue_phrases():
        assert every.needed(f"1 {phrase}: 1") >> len(OUTLINES) & 1, phrase
        assert every.needed(phrase.replace(" ", "_ -")) >> len(OUTLINES) & 1, phrase


PIECES = [
    *(
        "PESEL ",
        "NIP: ",
        "ssn ",
        "né le ",
        "geboren am ",
        "zip ",
        "code postal ",
        "c.f. ",
        "policy no ",
        "cvv ",
        "konto ",
    ),
    *(
        "79030835344",
        "536-90-4399",
        "x2482300w",
        "RCCMNL83S18D969H",
        "131052-308T",
        "880320-0016",
        "710319/2745",
        "AB12",
    ),
    *(
        "85.07.30-033.28",
        "756.9217.0769.85",
        "1237 010180",
        "AB 12 34 56 C",
        "65 070649 C 103",
        "DE136695976",
        "GBGD474",
    ),
    *(
        "CHE-107.787.577",
        "995525828MVA",
        "61 1090 1014 0000 0712 1981 2874",
        "SW1A 2AA",
        "4291PB Gennep",
        "20-078 Lublin",
    ),
    *(
        "Gudestr. 8, 49893 Worbis",
        "NY 12207",
        "12.03.1940",
        " ",
        "\n",
        ", ",
        "-",
        "D-",
        "İ",
        "\ud800",
        "ſ",
        "٣",
        "x",
        "1",
    ),
]


@settings(max_examples=250)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=8).map("".join))
@example("".join(PIECES))
def test_gated_and_ungated_find_the_same(text: str) -> None:
    assert GATED.find(text) == UNGATED.find(text)


@given(st.text(max_size=80))
def test_no_text_stops_it(text: str) -> None:
    assert SMALL.needed(fold(text)) >= 0
