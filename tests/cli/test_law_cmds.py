"""`firedoor law`: every rule with its status and source; old ones are told."""

import json
from pathlib import Path

import pytest
import time_machine
from typer.testing import CliRunner

from firedoor.app.lawbook import law_book
from firedoor.cli.main import app
from firedoor.errors import SetupError


def run(*words):
    told = CliRunner().invoke(app, ["law", *words], env={"COLUMNS": "200"})
    if told.exception is not None and not isinstance(told.exception, SystemExit):
        raise told.exception
    return told


@time_machine.travel("2026-11-23T08:00:00Z")
def test_the_list_names_every_rule():
    told = run("list")
    assert all(rule.id in told.stdout for rule in law_book().rules)
    assert "proposed: off" in told.stdout
    assert "from 2027-05-13" in told.stdout
    assert told.stderr == ""
    rows = json.loads(run("list", "--json").stdout)
    assert [row["id"] for row in rows] == [rule.id for rule in law_book().rules]
    (row,) = (row for row in rows if row["id"] == "eu.gdpr.33.1")
    assert (row["limit"], row["in_application"], row["review_over"]) == ("72 h", True, False)


def test_whom_it_goes_to_is_said_by_name_or_in_words(tmp_path):
    words = [
        to for row in json.loads(run("show", "eu", "--json", "--home", str(tmp_path)).stdout) for to in row["goes_to"]
    ]
    assert not [to for to in words if to.startswith("@")]
    assert (
        "goes to     the supervisory authority of the main establishment"
        in run("show", "eu.gdpr.33.1", "--home", str(tmp_path)).stdout
    )
    plan = (Path(__file__).parent.parent / "vectors" / "plans" / "good.yaml").read_text()
    (tmp_path / "plan.yaml").write_text(
        plan + "\nlegal: {main: IE, nis2: online_marketplace, processor_for: [Shop AG]}\n"
    )
    for clock, to in (
        ("eu.gdpr.33.1", "IE: Data Protection Commission"), ("eu.gdpr.33.2", "Shop AG"),
        ("eu.gdpr.34.1", "the people affected"), ("eu.nis2.23.4.a", "IE: "),
    ):  # fmt: skip
        assert f"goes to     {to}" in run("show", clock, "--home", str(tmp_path)).stdout
    (tmp_path / "plan.yaml").write_text("no plan")
    assert "@" not in run("show", "eu.gdpr", "--home", str(tmp_path)).stdout


@time_machine.travel("2027-03-01T08:00:00Z")
def test_rules_that_must_be_read_again_are_told():
    assert "eu.gdpr.33.1" in run("list").stderr
    assert "2027-02-22 (over)" in run("list").stdout
    assert json.loads(run("show", "eu.gdpr.33.1", "--json").stdout)[0]["review_over"] is True


@time_machine.travel("2026-11-23T08:00:00Z")
def test_one_rule_and_several():
    told = run("show", "eu.dora.19.initial").stdout
    assert "24 h from aware, if that was within 24 h before" in told
    assert "springlex.eu" in told
    several = run("show", "br").stdout
    assert [line.partition(":")[0] for line in several.splitlines() if not line.startswith(" ")] == [
        "br.lgpd", "br.lgpd.complement", "br.lgpd.people",
    ]  # fmt: skip
    assert "6 bd if role: small" in several
    (shown,) = json.loads(run("show", "sg.pdpc", "--json").stdout)
    assert shown["rule"]["applies"][2]["one_of"][0] == {
        "people": {"in": ["SG"], "but_not": [], "at_least": 500}, "seat": [], "data": [], "role": None, "breach": None,
        "malicious": None, "moment": None, "ask": None, "still_on_at": None, "one_of": [],
    }  # fmt: skip


def test_a_rule_that_is_not_there():
    with pytest.raises(SetupError, match=r"no rule eu\.gdp"):
        run("show", "eu.gdp")
