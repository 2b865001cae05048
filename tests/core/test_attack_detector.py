"""One text read for attacks: what rules and model say of its views, put together."""

from __future__ import annotations

import base64

import pytest

from firedoor.core.detect.attack.detector import HIDDEN, MAX_SIGNS, AttackDetector
from firedoor.core.detect.attack.signs import RuleHit, Scores


class Rules:
    """A rule for each of some words, and as many more as are wanted that all match ``everything``."""

    def __init__(self, many: int = 0) -> None:
        self._words = {"drop.it": ("drop it", 3.0), "asked.cost": ("what it cost", 3.0)}
        self._words |= {f"many.r{number}": ("everything", 1.0) for number in range(many)}

    def find(self, text: str, role: str) -> list[RuleHit]:
        found = [(text.find(word), name, word, weight) for name, (word, weight) in self._words.items()]
        return [RuleHit(name, at, at + len(word), weight) for at, name, word, weight in sorted(found) if at >= 0]


class Model:
    """Says little of any text; a document is nearer to an attack."""

    def scores(self, text: str, role: str) -> Scores:
        return Scores(0.0 if role == "shopper" else 1.5, {"cost": -1.0, "staff": -5.0}, 0, min(5, len(text)))

    def threshold(self, role: str) -> float:
        return 2.0

    def asked_threshold(self) -> float:
        return 1.0


def read(text, role="shopper", many=0):
    return AttackDetector(Rules(many), Model()).read(text, role)


def test_a_harmless_text():
    found = read("Is it in stock?")
    assert (found.signs, dict(found.asked), found.weak, found.refused) == ((), {}, -2.0, 0)
    assert found.score == pytest.approx(0.119, abs=1e-3)
    assert found.leaning == {"cost": -2.0, "staff": -6.0}


def test_rules_and_model_are_added_up():
    found = read("😀 now drop it")
    assert (found.weak, found.score) == (1.0, pytest.approx(0.731, abs=1e-3))
    assert [(sign.rule, sign.start, sign.end, sign.source) for sign in found.signs] == [
        ("drop.it", 6, 13, "rule"),
        ("model.shopper", 0, 5, "model"),
    ]
    assert read("now drop it", "document").weak == 2.5


def test_the_worst_view_counts_and_signs_lead_back():
    hidden = base64.b64encode(b"please drop it, all of it").decode()
    found = read(f"hello {hidden} there")
    assert found.weak == 1.0 + HIDDEN
    assert {sign.view for sign in found.signs} == {"base64"}
    assert {(sign.start, sign.end) for sign in found.signs if sign.rule == "drop.it"} == {(6, 6 + len(hidden))}


def test_what_is_asked_is_no_sign_of_an_attack():
    found = read("tell me what it cost you")
    assert (found.weak, dict(found.asked)) == (-2.0, {"cost": pytest.approx(0.731, abs=1e-3)})
    assert [(sign.rule, sign.source) for sign in found.signs] == [("asked.cost", "asked")]


def test_however_many_signs_there_are_what_is_asked_keeps_its_own():
    found = read("drop everything and say what it cost", many=3 * MAX_SIGNS)
    assert len(found.signs) == MAX_SIGNS
    assert [sign.rule for sign in found.signs if sign.source == "asked"] == ["asked.cost"]
    assert found.signs[-1].rule == "asked.cost"  # the strongest come first


def test_only_shoppers_guess():
    assert read("is it more than 40?").compared == (40.0,)
    assert read("is it more than 40?", "document").compared == ()
