"""The bench of answers with and without minimisation: its counting, a run with a model made up here, the real model."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from contextlib import asynccontextmanager
from importlib import metadata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from firedoor.bench import quality
from firedoor.bench import quality_score as score
from firedoor.bench.quality_figures import groups
from firedoor.bench.quality_score import Kept
from firedoor.bench.quality_texts import EXAMPLE_VALUES, EXAMPLES, Message, Probe, messages, probes
from firedoor.cli.bench_cmds import app
from firedoor.core.detect.rules.tier import Rules
from firedoor.core.minimise.placeholders import Placeholders
from firedoor.upstream import embedded

WORDS = st.text(alphabet="ab .", max_size=30)


@pytest.mark.parametrize(
    ("one", "other", "rouge", "f1"),
    [
        ("The tent is here.", "the tent, is here", 1, 1),
        ("a b c d", "a c b d", 0.75, 1),
        ("a b c d", "x a y b", 0.5, 0.5),
        ("a a a", "a", 0.5, 0.5),
        ("here", "", 0, 0),
        ("", "!", 1, 1),
    ],
)
def test_likeness_of_words(one, other, rouge, f1):
    assert score.rouge_l(one, other) == rouge
    assert score.token_f1(one, other) == f1


@given(WORDS, WORDS)
def test_likeness_is_a_share_and_the_same_both_ways(one, other):
    assert 0 <= score.rouge_l(one, other) <= score.token_f1(one, other) <= 1
    assert score.rouge_l(one, other) == score.rouge_l(other, one)
    assert score.rouge_l(one, one) == 1


def test_values_that_an_answer_repeats():
    values = ["Nora Field", "lee", "+44 20 7946 0123", "#48213"]
    assert score.repeated(values, "dear nora\nfield, a sleeve; call +44 20 7946 0123.") == {values[0], values[2]}
    assert score.repeated(values, "Lee's order #48213, not #482130") == {"lee", "#48213"}
    assert score.repeated(values, "Nora, order #482139") == set()


def test_the_language_of_an_answer():
    assert score.in_language("We are sorry and will write to you.", "en")
    assert not score.in_language("We are sorry and will write to you.", "de")
    assert not score.in_language("12345", "en")


@pytest.mark.parametrize(
    "answer",
    [
        "<EMAIL>",
        "[PERSON]",
        "<PERSON_A>",
        "{EMAIL}",
        "<email_x>",
        "ORDER_ID_",
        "PERSON 2 wrote",
        "<Order ID>",
        "EMAIL1",
    ],
)
def test_what_only_looks_like_a_placeholder(answer):
    assert score.looks_like(f"Write to {answer} today", cut=False) == (1, 0)


@pytest.mark.parametrize(
    "answer",
    [
        "<EMAIL_1>", "[EMAIL_1]", "< email 12 >", "EMAIL_1", r"\<EMAIL\_1\>", "&lt;ORDER_ID_100482&gt;",  # well-formed
        "IP 203.0.113.7", "IBAN 91 ABNA", "your city, person or email", "[Your Name]", "<br>", "URLs", "<personal>",
    ],
)  # fmt: skip
def test_what_does_not(answer):
    assert score.looks_like(f"Write to {answer} today", cut=False) == (0, 0)


def test_an_end_that_cuts_a_placeholder_in_two():
    assert score.looks_like("Write to <EMAI", cut=True) == (0, 1)
    assert score.looks_like("Write to <ORDER_ID_", cut=True) == (0, 1)
    assert score.looks_like("Write to <ORDER_ID_", cut=False) == (1, 0)
    assert score.looks_like("Write to <nora", cut=True) == (0, 0)


def test_placeholders_of_an_answer():
    known = Placeholders({("EMAIL", 1): "nora@example.com", ("PERSON", 1): "Nora"})
    answer = "Dear [PERSON_1], <EMAIL_1> or <EMAIL_2>, <PHONE>, EMAIL_1 <CIT"
    text, kept = score.restored(answer, known, cut=True)
    assert text == "Dear Nora, nora@example.com or <EMAIL_2>, <PHONE>, nora@example.com <CIT"
    assert kept == Kept(restored=3, invented=1, garbled=1, ended=1, left=0)
    assert kept + kept == Kept(6, 2, 2, 2, 0)


def test_a_placeholder_that_comes_out_of_a_value_is_left():
    known = Placeholders({("EMAIL", 1): "<PERSON_1>", ("PERSON", 1): "Nora"})
    assert score.restored("<EMAIL_1>", known, cut=False)[1].left == 1


def test_the_texts():
    asked = messages()
    languages = [message.language for message in asked]
    english = languages.count("en")
    assert len(asked) >= 60
    assert set(languages[:english]) == {"en"}
    assert set(languages) == set(EXAMPLES)
    assert len(set(languages[english : english + 6])) == 6
    for message in asked:
        assert all(value in message.text for value in message.marked)
        assert not score.repeated(EXAMPLE_VALUES, message.text)
    for language, example in EXAMPLES.items():
        assert score.in_language(example.answered, language)
        assert score.repeated(EXAMPLE_VALUES, example.answered) == set(EXAMPLE_VALUES)
    for probe in probes():
        assert score.repeated(probe.right, probe.text) == set(probe.right)
        assert not score.repeated(probe.right, " ".join(probe.wrong))


TEXTS = [
    Message("en", "Where is order ORD-100482? Write to nora@example.com. Nora Field", ("Nora Field",)),
    Message("en", "How do I wash a jacket?"),
    Message("de", "Wo ist die Bestellung ORD-100377? Bitte an lena@example.de."),
    Message("en", "Please mail the list to ruth@example.net, that is all."),
]
QUESTIONS = [
    Probe("copy", "The order is ORD-100482.", ("ORD-100482",)),
    Probe("copy", "The order is ORD-100519.", ("ORD-100519",)),
    Probe("one of two", "Here are ORD-100482 and ORD-100519.", ("ORD-100482",), ("ORD-100519",)),
]


class Parrot:
    """A model that repeats what it was told, through `change`, and at any temperature but 0 says something else."""

    def __init__(self, change=lambda text: text):
        self.change = change
        self.asked = []
        self.at_once = self.most = 0

    async def __call__(self, request):
        self.asked.append(request)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return quality.Reply("Hm." if request["temperature"] else self.change(request["messages"][-1]["content"]))


def compare(model, count=10):
    return asyncio.run(quality.compare(TEXTS, QUESTIONS, Rules().find, model, count=count, tokens=40))


def test_a_model_that_repeats_everything():
    parrot = Parrot()
    cases, tried = compare(parrot)
    assert [case.text for case in cases] == [TEXTS[0].text, TEXTS[2].text, TEXTS[3].text]
    for case in cases:
        assert case.written == case.restored == case.text
        assert case.raw == case.told
        assert "@" not in case.told
    assert cases[0].values == ["Nora Field", "ORD-100482", "nora@example.com"]
    assert [case.in_clear for case in cases] == [1, 0, 0]  # rules know no names
    assert [case.kept for case in cases] == [Kept(restored=2), Kept(restored=2), Kept(restored=1)]
    english, german, both = groups(cases)
    assert (english.name, english.messages, german.messages, both.messages) == ("English", 2, 1, 3)
    assert both.minimised.rouge_l == both.minimised.f1 == 1
    assert both.warm.rouge_l == 0
    assert german.unrelated is None
    assert german.error is None
    assert (both.difference, both.error) == (1, 0)
    assert 0 < english.unrelated.rouge_l < 1
    assert [way.own for way in both.ways] == [6, 6, 0]
    assert [(way.repeated, way.too) for way in both.ways] == [(6, 6), (6, 6), (6, 0)]
    assert [way.right_language for way in both.ways] == [1, 1, 0]
    copy, two = tried
    assert (copy.probes, copy.values, copy.in_clear) == (2, 2, 0)
    assert (copy.written, copy.minimised, copy.kept.restored) == (2, 2, 2)
    # An answer that names the other one as well is not right, however much it holds.
    assert (two.written_values, two.minimised_values, two.written, two.minimised) == (1, 1, 0, 0)


def test_what_the_model_is_asked():
    parrot = Parrot()
    compare(parrot, count=1)
    assert len(parrot.asked) == 3 + 2 * len(QUESTIONS)
    assert parrot.most <= quality.SLOTS
    written, minimised, warm = parrot.asked[:3]
    assert (written["seed"], written["temperature"]) == (minimised["seed"], minimised["temperature"]) == (1, 0)
    assert (warm["seed"], warm["temperature"]) == (2, 0.7)
    assert warm["messages"] == written["messages"]
    assert written["messages"][1]["content"] == EXAMPLES["en"].asked
    for value in (*EXAMPLE_VALUES[1:], "ORD-100482", "nora@example.com"):
        assert value in str(written["messages"])
        assert value not in str(minimised["messages"])


def test_a_model_that_garbles_and_one_that_mixes_customers_up():
    garbled, tried = compare(Parrot(lambda text: text.replace("_2>", ">").replace("_1>", "_7>")))
    assert sum((case.kept for case in garbled), Kept()) == Kept(garbled=5)
    assert tried[0].kept == Kept(invented=2)
    assert (tried[0].written, tried[0].minimised) == (2, 0)
    mixed, _ = compare(Parrot(lambda text: text.replace("_2>", "_1>")))
    way = groups(mixed)[-1].ways[1]
    assert (way.too, way.example) == (1, 5)  # the name, which no placeholder stood for


@pytest.fixture
def parrot(monkeypatch):
    @asynccontextmanager
    async def model():
        yield Parrot()

    monkeypatch.setattr(quality, "embedded", model)


def bench(*words):
    ran = CliRunner().invoke(app, ["quality", *words])
    assert ran.exit_code == 0, ran.output
    return ran


def test_the_tables(parrot):
    told = bench("--messages", "22").stdout
    for part in ("English", "other languages", "(b) minimised, restored", "order of one of two", "0 left", "no judge"):
        assert part in told


def test_the_figures(parrot):
    figures = json.loads(bench("--messages", "3", "--json").stdout)
    assert len(figures["cases"]) == figures["groups"][0]["messages"] == 3
    assert figures["kept"]["left"] == figures["kept"]["garbled"] == figures["templates"] == 0
    assert figures["kept"]["restored"] >= 3
    assert figures["placeholders"] > figures["kept"]["restored"]  # those of the example were told as well
    kinds = {one["kind"]: one for one in figures["probes"]}
    assert kinds["e-mail address"]["minimised"] == kinds["e-mail address"]["probes"] == 8
    assert all(one["in_clear"] == 0 for one in figures["probes"])


def _installed():
    try:
        metadata.distribution(embedded.WEIGHTS_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return False
    return importlib.util.find_spec("xllamacpp") is not None


@pytest.mark.torture
@pytest.mark.model
@pytest.mark.skipif(
    not _installed(), reason=f"needs the embedded model: {embedded.NO_SERVER} and {embedded.NO_WEIGHTS}"
)
def test_placeholders_survive_the_real_model():
    shown = [probe for probe in probes() if probe.kind in ("name and order", "e-mail address")]

    async def main():
        async with quality.embedded() as ask:
            names = Message("en", "Hello, this is Harriet Lowe. Please send order ORD-101201 to 14 Larch Street.")
            return await quality.compare(
                [TEXTS[0], names], [shown[0], shown[-1]], Rules().find, ask, count=2, tokens=16
            )

    cases, tried = asyncio.run(main())
    assert len(cases) == 2
    for case in cases:
        assert case.written
        assert case.raw
        assert case.warm
        assert case.kept.left == 0
    assert [(one.written, one.minimised) for one in tried] == [(1, 1), (1, 1)]
    assert all(one.kept.restored for one in tried)
