"""`firedoor bench answers`: its invented content, and that its figures are what they say."""

import json
import random

import msgspec
import pytest
from typer.testing import CliRunner

from firedoor.bench import answers
from firedoor.bench.answers_disguises import DISGUISES, changed_words
from firedoor.bench.answers_texts import WORDS, clean_answers, cost_answer, protected, stretch
from firedoor.cli.bench_cmds import app
from firedoor.core.detect.leak.values import check_value


def test_content_is_the_same_each_time_and_nobodys():
    assert protected(6) == protected(6)
    content = protected(6)
    assert len(content.documents) == 6
    assert all(1500 < len(text) < 4000 for text in content.documents.values())
    for value in content.values:
        check_value(value)
    assert len({product.sku for product, _, _ in content.costs}) == len(content.costs)
    assert all(0.3 < float(cost) / product.price < 0.7 for product, cost, _ in content.costs)


def test_clean_answers_hold_nothing_protected():
    content = protected()
    said = list(clean_answers(400))
    assert said == list(clean_answers(400))
    assert len(set(said)) > 380
    assert not any(value in text for text in said for value in content.values)
    assert sum("€" in text or "EUR" in text for text in said) > 50
    assert any("ORD-" in text for text in said)


def test_an_answer_with_a_cost_tells_whose():
    one = protected(3).costs[0]
    product, cost, _ = one
    for seed in range(20):
        before, rest = cost_answer(one, random.Random(seed))
        assert product.name in before or product.sku in before
        assert rest.replace(",", ".").startswith(cost)


def test_disguises():
    text = "the price of Alpine toast"
    told = {how: disguise(text) for how, disguise in DISGUISES.items()}
    assert len(set(told.values())) == len(DISGUISES) == 13
    assert told["reversed"] == "tsaot eniplA fo ecirp eht"
    assert told["hex"].startswith("746865")
    assert told["leet"] == "7h3 pr1c3 0f 4lp1n3 70457"


@pytest.mark.parametrize(("share", "changed"), [(0.05, 1), (0.1, 2), (0.5, 10)])
def test_changed_words(share, changed):
    text = " ".join(f"w{number}" for number in range(20))
    other = changed_words(text, share, WORDS, random.Random(1)).split(" ")
    assert sum(a != b for a, b in zip(text.split(" "), other, strict=True)) == changed


def test_stretches_begin_with_a_word():
    text = " ".join(f"word{number}" for number in range(50))
    for seed in range(20):
        part = stretch(text, 60, random.Random(seed))
        assert len(part) == 60
        assert part in text
        assert part.startswith("word")


@pytest.fixture(scope="module")
def ran():
    return CliRunner().invoke(app, ["answers", "--samples", "4", "--answers", "40", "--fingerprints", "2000", "--json"])


def test_the_figures(ran):
    assert ran.exit_code == 0, ran.output
    figures = json.loads(ran.stdout)
    cells = {(cell["what"], cell["how"], cell["length"]): cell for cell in figures["recall"]}
    assert {length for what, _, length in cells if what == "document"} == {60, 120, 300}
    assert all(cell["asked"] == 4 for cell in cells.values())
    assert cells["document", "as it is", 120]["found"] == 4
    assert cells["value", "as it is", 0]["found"] == 4
    assert cells["amount", "as it is", 0]["found"] == 4
    assert len(figures["changed"]) == 9
    assert figures["clean"] == {"answers": 40, "alarms": 0, "doubts": 0, "kinds": {}}
    assert figures["stream"]["released"]["value"] == 0
    assert figures["stream"]["released"]["document"] < 31
    assert figures["stream"]["held_max"] >= figures["stream"]["held_p50"] >= 0
    assert figures["speed"]["whole"] > 0
    assert figures["speed"]["tokens"] > 0
    assert figures["index"]["fingerprints"] == 2000
    assert figures["index"]["mapped"] >= 2000 * 8
    ours, literal, waiting = figures["ways"]
    assert ours["documents"] == 1
    assert literal["values"] == 1
    assert literal["disguised_values"] < 0.2
    assert literal["first_p50"] == 0
    assert waiting["first_p50"] > ours["first_p50"]


def test_the_tables(monkeypatch, ran):
    known = msgspec.json.decode(ran.stdout, type=answers.AnswerFigures)
    monkeypatch.setattr(answers, "run", lambda *_: known)
    told = CliRunner().invoke(app, ["answers"])
    assert told.exit_code == 0, told.output
    for word in ("base64", "5% of words changed", "Clean answers: 40", "firedoor", "fingerprints", "paraphrase"):
        assert word in told.output
