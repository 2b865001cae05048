"""`firedoor bench pii`: what it counts, and that it runs on its own set and on others."""

import json
from importlib import resources, util

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from firedoor.bench import pii, pii_tools
from firedoor.bench.pii_score import NEUTRAL, Score
from firedoor.cli.bench_cmds import app
from firedoor.core.plan.model import LABELS
from firedoor.errors import SetupError

TEXT = "Nora Field, Leeds, Acme, order 100482"
GOLD = [(0, 10, "PERSON"), (12, 17, "CITY"), (19, 23, "ORG"), (31, 37, "ORDER_ID")]


def row(text=TEXT, spans=GOLD, language="en"):
    return pii.Row(text, tuple(pii.Mark(*span) for span in spans), language, "test")


def score(*found):
    total = Score()
    total.add(row(), list(found))
    return total


def test_characters_and_values_whatever_the_label():
    perfect = score((0, 10, "CITY"), (12, 17, "CITY"), (31, 37, "ORDER_ID"))
    assert (perfect.f1, perfect.precision, perfect.recall, perfect.values_left, perfect.alarms) == (1, 1, 1, 0, 0)
    nothing = score()
    assert (nothing.f1, nothing.recall, nothing.values_left, nothing.values) == (0, 0, 1, 3)
    assert nothing.gold == len("NoraFieldLeeds100482")


def test_neutral_spans_count_neither_way():
    assert score((19, 23, "PERSON")).found == 0
    assert score((19, 23, "PERSON")).false == {}
    assert score((25, 30, "PERSON")).alarms == 1000
    assert score((25, 30, "PERSON")).false == {"PERSON": 1}


def test_two_characters_in_clear_tell_nothing_and_three_do():
    assert score((0, 8, "PERSON"), (12, 17, "CITY"), (33, 37, "ORDER_ID")).left == 0
    assert score((0, 7, "PERSON"), (12, 17, "CITY"), (34, 37, "ORDER_ID")).missed == {
        "PERSON": 1,
        "ORDER_ID": 1,
        "CITY": 0,
    }


def test_a_value_that_stays_in_clear_once_is_left():
    total = Score()
    total.add(row("Nora, nora", [(0, 4, "PERSON"), (6, 10, "PERSON")]), [(0, 4, "PERSON")])
    assert (total.values, total.left) == (1, 1)


@given(st.lists(st.tuples(st.integers(0, 36), st.integers(1, 9), st.sampled_from(LABELS))))
def test_the_figures_are_shares(found):
    total = score(*((start, min(start + size, len(TEXT)), label) for start, size, label in found))
    for figure in (total.f1, total.precision, total.recall, total.values_left, total.alarms / 1000):
        assert 0 <= figure <= 1
    assert total.right <= min(total.found, total.gold)


def test_our_own_set_is_labelled_in_eleven_languages():
    data = resources.files("firedoor.data").joinpath(pii.SAMPLE).read_bytes()
    assert len(data) < 150_000
    rows = [one for rows in pii._sample().values() for one in rows]
    assert len(rows) >= 200
    assert {one.language for one in rows} == {"cs", "da", "de", "en", "es", "fr", "it", "nl", "pl", "pt", "sv"}
    labels = {label for one in rows for _, _, label in one.spans}
    assert labels <= {*LABELS, *NEUTRAL}
    assert len(labels & set(LABELS)) >= 15
    assert any(not one.spans for one in rows)


def bench(*words):
    ran = CliRunner().invoke(app, ["pii", *map(str, words)])
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return ran


@pytest.fixture
def folder(tmp_path):
    lines = [
        {"id": 1, "lang": "en", "source": "x", "text": TEXT + " and so on" * 20,
         "spans": [{"start": a, "end": b, "label": c, "text": TEXT[a:b]} for a, b, c in GOLD]},
        {"id": 2, "lang": "de", "text": "Wo ist der Laden?", "spans": []},
    ]  # fmt: skip
    (tmp_path / "one.dev.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "clean.jsonl").write_text(json.dumps(lines[1]))
    return tmp_path


def test_figures_of_sets_of_yours(folder):
    ran = bench("--data", folder, "--tiers", "rule", "--json")
    assert ran.exit_code == 0, ran.output
    figures = json.loads(ran.stdout)
    ours = figures["tools"][0]
    assert ours["name"] == "firedoor rule"
    assert [(one["name"], one["texts"]) for one in ours["sets"]] == [("clean", 1), ("one", 2)]
    assert ours["sets"][0]["f1"] is None
    assert ours["sets"][1]["values"] == ours["mean"]["values"] == 3
    assert ours["sets"][1]["left"] == pytest.approx(2 / 3)  # rules know no names
    assert ours["mean"]["f1"] == ours["sets"][1]["f1"]
    assert [one["name"] for one in ours["languages"]] == ["de", "en"]
    assert {one["label"]: one["left"] for one in ours["labels"]} == {"PERSON": 1.0, "CITY": 1.0, "ORDER_ID": 0.0}
    assert ours["speed"]["mean"] > 0
    assert ours["speed"]["p99"] >= ours["speed"]["p50"] > 0
    assert ours["cost"]["load_seconds"] > 0
    assert ours["cost"]["rss_mib"] > 10
    assert figures["peer_installed"] is (util.find_spec("presidio_analyzer") is not None)


def test_the_tables(folder):
    ran = bench("--data", folder)
    assert ran.exit_code == 0
    for told in ("firedoor rule+model", "mean of sets", "PERSON", "CPU ms per 500 characters", "Presidio"):
        assert told in ran.output
    assert "templates" not in ran.output


def test_its_own_set_says_what_it_is_worth(monkeypatch):
    short = {"shop": [row()]}
    monkeypatch.setattr(pii, "_sample", lambda: short)
    assert "made from the templates" in bench("--tiers", "model").output


def test_a_peer_that_is_installed_stands_beside(folder, monkeypatch):
    def find(text):
        return [(0, 10, "PERSON")] if text.startswith("Nora") else []

    monkeypatch.setattr(pii, "peer", lambda: pii_tools.Peer("presidio (patterns alone)", find))
    cost = pii._cost
    monkeypatch.setattr(pii, "_cost", lambda *what: pii_tools.Cost(1.0, 2.0) if what == ("presidio",) else cost(*what))
    figures = json.loads(bench("--data", folder, "--json").stdout)
    assert [tool["name"] for tool in figures["tools"]] == ["firedoor rule+model", "presidio (patterns alone)"]
    assert figures["tools"][1]["sets"][1]["precision"] == 1
    assert figures["tools"][1]["cost"] == {"load_seconds": 1.0, "rss_mib": 2.0}


def test_a_process_that_fails_is_told():
    with pytest.raises(SetupError, match="ended with status 1"):
        pii._cost("no-tier")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("x", "line 1 is not a labelled text"),
        ('{"text": "abc"}\n{"text": 1}', "line 2 is not a labelled text"),
        ('{"text": "abc", "spans": [{"start": 2, "end": 4, "label": "PERSON"}]}', "outside the text"),
        (
            '{"text": "abc", "spans": [{"start": 0, "end": 2, "label": "A"}, {"start": 1, "end": 3, "label": "B"}]}',
            "overlaps",
        ),
    ],
)
def test_sets_that_are_none(tmp_path, content, says):
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(SetupError, match=says):
        bench("--data", tmp_path)


def test_folders_without_sets_and_unknown_tiers(tmp_path):
    with pytest.raises(SetupError, match=r"no \.jsonl files"):
        bench("--data", tmp_path)
    assert bench("--tiers", "rule,magic").exit_code == 2
    assert bench("--tiers", "").exit_code == 2
