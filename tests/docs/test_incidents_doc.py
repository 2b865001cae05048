"""docs/incidents.md: its worked case is worked, as written, and its tables are those of the code."""

import re
import shlex

import pytest

from firedoor.api.incidents import routes
from firedoor.api.openapi import document
from firedoor.core.incident import rights
from firedoor.core.plan.words import ROLES

from ..cli.casehome import running_house  # noqa: TID252  # tests are no installed package
from .reading import SOURCE, codes, fences, page, rows, section

DOC = page("docs/incidents.md")
WORKED = section(DOC, "## A case, worked")
REFUSING = (
    "core/incident/checks.py", "core/incident/rights.py", "control/incidents.py", "control/caselog.py",
    "control/incident_looks.py", "api/incidents.py", "cli/incident_case.py", "cli/incident_open.py",
    "cli/incident_work.py",
)  # fmt: skip
"""Where acts about cases are refused; webhooks and letters have lists of their own."""


def lines():
    """The commands of the worked case, in order, for the shop and the people of the tests."""
    people = {"ana": "ana", "ben": "cem", "cleo": "ben"}
    blocks = (content for language, content in fences(WORKED) if language == "console")
    for block in blocks:
        for line in block.splitlines():
            words = shlex.split(line.removeprefix("$ ").replace("alpenladen", "alpen"))[1:]
            yield [people.get(word, word) for word in words]


def test_the_worked_case_works():
    with running_house() as house:
        for words in lines():
            if words[:2] == ["incident", "close"]:  # what the doc does not go through one by one
                for clock in house.json("clocks", "last")["clocks"]:
                    if clock["basis"] == "law" and clock["state"] in ("running", "missed", "not_started"):
                        house.incident("waive", "last", clock["id"], "--because", "not here", "--as", "ben")
            done = house.invoke(*words)
            assert done.exit_code in ({0, 3} if words == ["switches"] else {0}), (
                f"{words}: {done.output}{done.exception}"
            )
        shown = house.json("show", "last")
    assert (shown["state"], shown["details"]["decided"]["outcome"]) == ("closed", "authority")
    assert [s["clock"] for s in shown["details"]["submitted"]] == ["eu.gdpr.33.1"]


def test_who_may_do_what_is_what_the_code_lets_them():
    kinds = {
        "open": "opened", "ack": "acknowledged", "note": "noted", "task": "tasked", "done": "task_ended",
        "assign": "assigned", "merge": "merged_into", "split": "split_off", "handover": "handed_over",
        "resolve": "resolved", "close": "closed", "reopen": "reopened", "restrict": "restricted", "link": "linked",
        "severity --score": "scored", "decide": "decided", "submitted": "submitted", "waive": "waived",
    }  # fmt: skip
    told, lead = {}, {"incident_commander", "dpo"}
    for what, who in rows(section(DOC, "## Who may do what")):
        named = set(codes(who)) | (lead if who.startswith("those") else set())
        named |= set(ROLES) if "every person" in who else set()
        if what.startswith("moment: "):
            for event in what.removeprefix("moment: ").split(", "):
                if event != "any other":
                    assert {r for r in ROLES if rights.may_write("moment_set", {r}, event)} == named
            continue
        told |= dict.fromkeys(what.split(", "), named)
    del told["correct"]
    assert {what: {r for r in ROLES if rights.may_write(kind, {r})} for what, kind in kinds.items()} == told


def test_every_route_is_told():
    told = {tuple(codes(row[0])[0].split()) for row in rows(section(DOC, "## Control API"))}
    made = {(m, route.path) for route in routes(None, None) for m in route.methods if m != "HEAD"}
    assert told == made
    described = {(m.upper(), path) for path, methods in document()["paths"].items() for m in methods}
    assert made <= described


def test_every_code_of_a_refused_act_is_told():
    text = "".join((SOURCE / room).read_text() for room in REFUSING)
    raised = set(re.findall(r'ActRefused\(\s*"([a-z_]+)"', text))
    told = [codes(row[0])[0] for row in rows(section(page("docs/errors.md"), "## Refused acts in cases"))]
    assert len(told) == len(set(told))
    assert set(told) == raised


@pytest.mark.parametrize("words", [pytest.param(words, id=" ".join(words)[:60]) for words in lines()])
def test_people_of_the_worked_case_are_named(words):
    """Every command that writes says who; a reader who copies one is not asked for what the page did not tell."""
    looks = words == ["switches"] or words[1] in ("show", "affected", "clocks")
    looks |= words[1:2] == ["severity"] and "--score" not in words
    assert ("--as" in words) != looks
