"""The commands of a case against a real control: API on its socket, real cases, the shipped law, people with keys."""

import contextlib
import re
import time

import pytest
from typer.testing import CliRunner

from firedoor.config import Home
from firedoor.core.incident import entries as kinds
from firedoor.errors import ActRefused, ControlUnreachable

from ..rooms.caseregion import counted  # noqa: TID252  # tests are no installed package
from .casehome import ONE, commands, running_house

CALLED = "Ms Quisling called"


@pytest.fixture(scope="module")
def house():
    with running_house() as made:
        yield made


def test_a_case_from_shutting_to_closing(house):
    said = house.incident("open", "An answer names another customer", "--shut", ONE, "--as", "cem")
    assert said.startswith(f"{ONE} is shut.\n")
    case = re.search(r"eu-\d{8}-[a-z2-7]{10}", said)[0]
    switches = house.run("switches", code=3).stdout
    assert f"incident {case}" in switches
    house.add(case, kinds.Contained(scope=ONE, version=2, at=house.region.micro))
    house.add(case, kinds.Sealed(slot="control", seq=7, sha256="ab" * 32, bytes=512, items={"sessions": 2}))
    house.add(case, kinds.Purged(asked=False))
    house.add(case, counted())
    assert house.incident("ack", "last", "--note", CALLED, "--as", "ana") == f"{case}: entry 7 (acknowledged).\n"
    house.incident("assign", case, "dpo", "ben", "--as", "ana")
    task = house.json("task", case, "Ask the provider for its log", "--role", "soc_analyst", "--as", "ana")["number"]

    shown = house.incident("show", case)
    top, _, timeline = shown.partition("\nWhat happened, in UTC and Europe/Berlin:\n")
    for told in (
        f"{case}  in progress  entry 9",
        "An answer names another customer",
        f"shut         {ONE} since",
        "by cem for leak",
        "left, until",
        "from detection, 'aware' is not set",
        "ana is at it since",
        "dpo: ben",
        "at least 12, at most 14 shoppers exposed, in 16 exchanges",
        "2 exchanges name no shopper",
        "contain 0.",
        "not scored",
        f"{task}: Ask the provider for its log, soc_analyst",
    ):
        assert told in top, told
    lines = timeline.splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(1, 10))
    assert "nothing is to be purged" in timeline
    assert f"people ana: acknowledged  {CALLED}" in timeline

    house.incident("done", case, task, "--note", "no further answers", "--as", "cem")
    assert "Ask the provider" not in house.incident("show", case).partition("What happened")[0]
    said = house.incident("aware", case, "--because", "its log shows whose data it was", "--as", "ben")
    assert "eu.gdpr.33.1: running, 2 d 23 h left, until" in said
    clocks = house.incident("clocks", case)
    assert "for counsel, not to act on" in clocks
    assert "eu.gdpr.33.1" in clocks
    severity = house.run("incident", "severity", case).stdout
    assert "suggested: " in severity
    assert "would change it" in severity
    house.run("incident", "severity", case, "--score", "--because", "few", "--as", "ben", text="n\n", code=1)
    scored = house.json(
        "severity", case, "--score", "--because", "names and mail addresses of few", "--category", "simple",
        "--identification", "1=mail addresses", "--confidentiality", "0.25", "--many", "no", "--yes", "--as", "ben",
    )  # fmt: skip
    assert (scored["kind"], scored["quarters"]) == ("scored", 5)
    said = house.incident("severity", case)
    assert "signed: 1.25 low" in said
    lines = said.partition("suggested: ")[2].splitlines()
    assert len(lines) == len(set(lines)), "advice repeats what the score said"
    assert "a person decides" in said

    stopped = house.refused("clock_running", "close", case, "--because", "done", "--as", "ana")
    assert "eu.gdpr.33.1" in stopped
    said = house.incident("decide", case, "authority", "--because", "names and mail addresses", "--as", "ben")
    assert "eu.gdpr.33.1: running" in said
    said = house.incident("submitted", case, "eu.gdpr.33.1", "--to", "LfDI", "--ref", "A-1", "--as", "ben")
    assert "eu.gdpr.33.1: met" in said
    for clock in house.json("clocks", case)["clocks"]:
        if clock["basis"] == "law" and clock["state"] in ("running", "missed", "halted"):
            house.incident("waive", case, clock["id"], "--because", "not this one", "--as", "ben")
    house.incident("resolve", case, "--because", "the prompt is fixed", "--as", "ana")
    house.incident("close", case, "--because", "handed in", "--lessons", "shorter prompts", "--as", "ana")
    house.refused("case_closed", "note", case, "more", "--as", "cem")
    listed = house.json("list", "--state", "closed")["regions"][0]["incidents"]
    assert [(line["id"], line["summary"]["outcome"]) for line in listed] == [(case, "authority")]
    house.incident("reopen", case, "--because", "another customer called", "--as", "ana")
    assert case in house.incident("list", "--state", "open")


def test_a_case_is_found_by_a_part_of_its_name(house):
    one, two = house.open("One"), house.open("Two")
    assert house.json("show", "last")["id"] == two
    assert house.json("show", one[-6:])["id"] == one
    assert house.json("show", one[-10:-3])["id"] == one
    assert one in house.refused("several_cases", "show", "eu-")
    house.refused("unknown_case", "show", "us-20260101-aaaaaaaaaa")
    house.run("incident", "show", code=2)


def test_who_decides_must_have_seen_what_others_wrote(house):
    case = house.open()
    seen = house.json("show", case)["details"]["entries"]
    house.incident("note", case, CALLED, "--exchange", "fx-1", "--as", "cem")
    moved = ("decide", case, "no_breach", "--because", "x", "--after", seen, "--as", "ben")
    said = house.refused("case_moved", *moved)
    assert f"Since entry {seen}:" in said
    assert CALLED in said
    house.refused("role_missing", "decide", case, "no_breach", "--because", "x", "--as", "cem")
    said = house.refused("role_missing", "aware", case, "--because", "x", "--as", "cem")
    assert "soc_analyst" not in said
    assert "length <= 8000" in house.run("incident", "note", case, "x" * 8001, "--as", "cem", code=2).stderr
    assert "UTF-8" in house.run("incident", "note", case, "Gr\udcc3e", "--as", "cem", code=2).stderr
    assert (
        house.json("decide", case, "no_breach", "--because", "nothing of anybody", "--as", "ben")["kind"] == "decided"
    )


def test_the_past_is_shown_as_it_was_known(house):
    case = house.open("First thought")
    time.sleep(1.1)
    then = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    time.sleep(1.1)
    number = house.json("note", case, "it was the cache", "--as", "cem")["number"]
    said = house.incident("show", case, "--at", then)
    assert "AS KNOWN AT" in said
    assert "it was the cache" not in said
    corrected = house.json(
        "correct", case, number, "--set", "text=it was the prompt", "--because", "looked again", "--as", "cem"
    )["number"]
    said = house.incident("show", case)
    assert f"noted [corrected by {corrected}]  it was the cache" in said
    assert "should say: it was the prompt: looked again" in said
    after = house.incident("show", case, "--since", number)
    assert "it was the cache" not in after.partition("What happened")[2]
    again = house.json("correct", case, number, "--withdraw", "--because", "neither", "--as", "cem")
    assert again["kind"] == "correction"
    house.refused("no_entry", "correct", case, 99, "--set", "text=x", "--because", "x", "--as", "cem")
    house.run("incident", "correct", case, number, "--because", "x", "--as", "cem", code=2)
    house.run("incident", "correct", case, number, "--set", "colour=red", "--because", "x", "--as", "cem", code=2)


def test_moments_are_corrected_as_people_write_them(house):
    case = house.open()
    house.incident("moment", case, "triaged", "--at", "30s", "--because", "looked", "--as", "cem")
    number = house.json("aware", case, "--because", "certain", "--as", "ben")["number"]
    moment = "2026-01-01T10:00:00+01:00"
    correct = ("correct", case, number, "--set", f"at={moment}", "--because", "a slip", "--as", "ben")
    house.refused("implausible", *correct)
    house.incident(*correct, "--set", "even_so=they rang in January")
    assert "even so: they rang in January" in house.incident("show", case)
    assert house.json("show", case)["details"]["moments"]["aware"] == 1767258000 * 10**6
    house.refused("in_the_future", "aware", case, "--at", "2100-01-01T00:00:00Z", "--because", "x", "--as", "ben")
    house.run("incident", "aware", case, "--at", "noon", "--because", "x", "--as", "ben", code=2)


def test_merging_splitting_linking_and_handing_over(house):
    one, two = house.open("One"), house.open("Two")
    assert house.json("merge", one, two, "--because", "the same", "--as", "ana")["into"] == two
    assert f"goes on as {two}" in house.incident("show", one)
    assert f"took in {one}" in house.incident("show", two)
    assert "AGAIN" not in house.incident("show", two)
    found = [
        kinds.FoundOne(slot="w0", seq=n, at=house.region.micro, rule="protected_value", verdict="shut", scope=ONE)
        for n in range(2)
    ]
    numbers = [house.add(two, kinds.Findings(found=(one,))).number for one in found]
    house.refused("no_findings", "split", two, 1, "--because", "another leak", "--as", "ana")
    new = house.json("split", two, numbers[0], "--because", "another leak", "--clocks", "here", "--as", "ana")["new"]
    assert f"The legal clocks are those of case {two}" in house.incident("clocks", new)
    house.refused("no_link", "handover", two, "jira", "--because", "theirs", "--as", "ana")
    house.incident("link", two, "jira", "SEC-7", "--url", "https://jira.example/SEC-7", "--as", "cem")
    house.incident("handover", two, "jira", "--because", "theirs", "--as", "ana")
    assert "jira SEC-7 https://jira.example/SEC-7 LEADS" in house.incident("show", two)
    house.incident("handover", two, "jira", "--back", "--because", "ours again", "--as", "ana")
    assert "LEADS" not in house.incident("show", two)


def test_who_merges_is_told_what_is_to_be_said_again(house):
    one, two = house.open("One"), house.open("Two")
    house.incident("decide", one, "not_notified", "--because", "risk is unlikely", "--as", "ben")
    score = ("--score", "--because", "names only", "--category", "behavioural", "--identification", "1=order", "--yes")
    house.incident("severity", one, *score, "--as", "ben")
    house.incident("waive", two, "us.other", "--because", "nobody lives there", "--as", "ben")
    house.incident("submitted", one, "eu.gdpr.33.1", "--to", "LfDI", "--even-so", "to be safe", "--as", "ben")
    told = house.incident("merge", one, two, "--because", "the same", "--as", "ana")
    shown = house.incident("show", two)
    for said in (told, shown):
        assert f"in {one}, before it was taken in, ben decided not_notified" in said
        assert "risk is unlikely" in said
        assert f"DECIDE AGAIN: firedoor incident decide {two}" in said
        assert f"in {one}, before it was taken in, ben scored " in said
        assert f"SCORE AGAIN: firedoor incident severity {two} --score" in said
        assert f"us.other was waived, before {one} was taken in" in said
    assert "eu.gdpr.33.1: handed in before another case was taken in" in shown
    clock = next(c for c in house.json("clocks", two)["clocks"] if c["id"] == "eu.gdpr.33.1")
    assert clock["applies"] == "yes"
    assert f"was decided for {one} alone: decide again" in clock["why"]
    house.incident("decide", two, "authority", "--because", "both together", "--as", "ben")
    house.incident("severity", two, *score, "--as", "ben")
    house.incident("waive", two, "us.other", "--because", "nobody lives there", "--as", "ben")
    assert "AGAIN" not in house.incident("show", two)


def test_what_is_implausible_is_taken_with_a_reason_only(house):
    case = house.open()
    aware = ("aware", case, "--at", "2h", "--because", "the processor rang", "--as", "ben")
    house.refused("implausible", *aware)
    house.incident(*aware, "--even-so", "they saw it before we did")
    assert "even so: they saw it before we did" in house.incident("show", case)
    handed = ("submitted", case, "eu.dora.19.final", "--to", "BaFin", "--as", "ben")
    house.refused("implausible", *handed)
    house.incident(*handed, "--even-so", "they asked for it by telephone")
    assert "even so: they asked for it by telephone" in house.incident("show", case)
    long_ago = ("open", "An old leak", "--scope", ONE, "--detected", "900d", "--as", "cem")
    house.refused("implausible", *long_ago)
    house.incident(*long_ago, "--even-so", "a letter that lay unread")


def test_a_restricted_case_is_shown_to_who_signs_that_they_look(house):
    case = house.open(CALLED, "cem", "--role", "legal")
    listed = next(line for line in house.incident("list").splitlines() if case in line)
    assert CALLED not in listed
    assert "restricted" in listed
    shown = house.incident("show", case)
    assert CALLED not in shown
    assert re.search(r"eu\.gdpr\.33\.1: .*Z, counted from detection", shown)
    assert "may see      dpo, incident_commander, legal" in house.incident("show", case, "--as", "ana")
    assert CALLED in house.incident("show", case, "--as", "ana")
    assert house.json("affected", case, "--as", "ana")["affected"] is None
    house.refused("restricted", "clocks", case)
    house.refused("may_not_see", "show", case, "--as", "cem")
    house.refused("may_not_see", "note", case, "x", "--as", "cem")
    house.incident("restrict", case, "--role", "legal", "--person", "cem", "--as", "ben")
    assert CALLED in house.incident("show", case, "--as", "cem")
    house.incident("note", case, "seen", "--as", "cem")
    house.incident("restrict", case, "--all", "--as", "ben")
    assert CALLED in house.incident("show", case)
    house.run("incident", "restrict", case, "--as", "ben", code=2)


def test_affected_people_are_told_in_words_that_say_what_is_not_known(house):
    case = house.open()
    assert "Not counted yet" in house.incident("affected", case)
    house.add(case, counted())
    said = house.incident("affected", case)
    for told in (
        "exposed to     at least 12, at most 14 shoppers",
        "DE: at least 10, at most 12 shoppers",
        "EMAIL: 9 exchanges",
        "not sure       2 exchanges name no shopper",
    ):
        assert told in said, told


def test_what_people_write_cannot_drive_a_terminal(house):
    case = house.open("A title with \u202e in it")
    assert "\u202e" not in house.incident("show", case)
    assert "\\u202e" in house.incident("show", case)
    assert "\u202e" not in house.incident("list")


def test_the_arguments_of_open_are_checked_before_anything_is_shut(house):
    before = house.json("list")["regions"][0]["incidents"]
    for wrong in (("--shut", ONE, "--scope", ONE), (), ("--shut", "*"), ("--scope", "eu/alpen/support/m0/x")):
        with contextlib.suppress(ActRefused):
            house.run("incident", "open", "A title", *wrong, "--as", "cem", code=2)
    house.refused("unknown_scope", "open", "A title", "--shut", "eu/nowhere", "--as", "cem")
    assert house.json("list")["regions"][0]["incidents"] == before


def test_without_control_it_says_so(tmp_path):
    home = Home(tmp_path / "home")
    home.region("eu").make()
    for args in (("list",), ("show", "last"), ("ack", "eu-20260101-aaaaaaaaaa", "--as", "ana")):
        result = CliRunner().invoke(commands(), ["incident", *args], env={"FIREDOOR_HOME": str(home.root)})
        assert isinstance(result.exception, ControlUnreachable)
        assert "SHUT" in result.exception.remedy
