"""Cases in words: every kind of entry is told in one harmless line, counts say how sure they are."""

import re
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from firedoor.cli import incident_words as words
from firedoor.core.incident import affected
from firedoor.core.incident import entries as kinds
from firedoor.core.incident.affected import Range

from ..rooms.caseregion import counted  # noqa: TID252  # tests are no installed package

HOUR = 3600 * 10**6
FOUND = kinds.FoundOne(slot="w0", seq=1, at=5, rule="secret", verdict="shut", scope="eu/a/b/c")
WHY = "why \x1b[31m\u202e not\nred"

ONE_OF_EACH = [
    kinds.Opened(cause="hook", title=WHY, scope="eu/a/b/c", detected=1, system="siem", drill="friday"),
    kinds.Findings(
        found=(FOUND, structs.replace(FOUND, scope="eu/a/b/d"), structs.replace(FOUND, scope="eu/a/b/e")), more=3
    ),
    kinds.Contained(scope="eu/a/b/c", version=7, at=HOUR),
    kinds.Contained(asked=False),
    kinds.Sealed(slot="control", seq=1, sha256="ab" * 32, bytes=5, items={"sessions": 2}, missing={"index": "gone"}),
    kinds.Purged(seal="ab" * 32, cache_epoch=4, items={"removed": 9}),
    kinds.ClocksSet(
        clocks=(
            kinds.ClockLine(rule="eu.gdpr.33.1", version="1", start="aware", cautious=HOUR),
            kinds.ClockLine(rule="pci.visa", version="1", start="suspected", due=2 * HOUR),
        )
    ),
    counted(),
    kinds.StepFailed(step="seal", code="disk_full"),
    kinds.Called(role="dpo", person="ben", reason="opened", rung=1),
    kinds.Acknowledged(note=WHY),
    kinds.Assigned(role="dpo", person="ben"),
    kinds.Noted(text=WHY * 100, exchanges=("fx-1",)),
    kinds.Tasked(text=WHY, role="dpo", due=HOUR),
    kinds.TaskEnded(task=3, state="dropped", text=WHY),
    kinds.MomentSet(event="aware", at=HOUR, because=WHY),
    kinds.Scored(inputs="{}", quarters=9, because=WHY),
    kinds.Decided(outcome="authority", because=WHY, ground="disproportionate"),
    kinds.Submitted(clock="eu.gdpr.33.1", at=HOUR, to="LfDI", ref="A-1", delay=WHY),
    kinds.Waived(clock="pci.visa", state="halted", because=WHY),
    kinds.Linked(system="jira", ref="SEC-1", url="https://jira.example/1"),
    kinds.HandedOver(leads="there", system="jira", because=WHY),
    kinds.HandedOver(leads="here", system="jira", because=WHY),
    kinds.MergedInto(case="eu-1", because=WHY),
    kinds.TookIn(case="eu-1", because=WHY, detected=1),
    kinds.SplitOff(case="eu-1", because=WHY, entries=(2, 3), clocks="here"),
    kinds.SplitFrom(case="eu-1", because=WHY),
    kinds.Restricted(roles=("legal",), people=("cem",)),
    kinds.Restricted(),
    kinds.Resolved(because=WHY),
    kinds.Closed(because=WHY, lessons=WHY),
    kinds.Reopened(because=WHY),
    kinds.Correction(of=2, instead=kinds.encode_payload(kinds.Noted(text="why \u202e not")).decode(), because=WHY),
    kinds.Correction(of=2, instead=None, because=WHY),
]


def entry(payload, at=HOUR):
    return kinds.Entry(case="eu-1", number=1, at=at, by="ana", payload=payload)


def test_every_kind_is_told_in_one_harmless_line():
    assert {type(payload) for payload in ONE_OF_EACH} == set(typing.get_args(kinds.Payload))
    for payload in ONE_OF_EACH:
        line = words.entry_line(entry(payload), "Europe/Berlin")
        assert line.isprintable(), line
        assert f"ana: {kinds.kind_of(payload)}" in line
        assert len(line) < 700


def test_clocks_lead_with_what_applies_and_ends_first():
    def line(rule, applies, due=None, cautious=None):
        return kinds.ClockLine(rule=rule, version="1", start="aware", due=due, cautious=cautious, applies=applies)

    lines = (
        line("a.unknown", "unknown", due=1), line("b.likely", "likely", due=2), line("c.cautious", "yes", cautious=3),
        line("d.late", "yes", due=5), line("e.soon", "yes", due=4),
    )  # fmt: skip
    told = words.says(kinds.ClocksSet(clocks=lines[:3]))
    assert told == "3 clocks, c.cautious from detection 1970-01-01 00:00:00Z; likely b.likely due 1970-01-01 00:00:00Z"
    assert re.findall(r"[a-e]\.\w+", words.says(kinds.ClocksSet(clocks=lines))) == ["e.soon", "d.late"]
    assert words.says(kinds.ClocksSet(clocks=lines[:1])).startswith("1 clocks, perhaps a.unknown due")
    older = kinds.ClockLine(rule="eu.gdpr.33.1", version="1", start="aware", due=9)  # of before `applies` was kept
    assert words.says(kinds.ClocksSet(clocks=(older,))) == "1 clocks, eu.gdpr.33.1 due 1970-01-01 00:00:00Z"
    assert b"applies" not in kinds.encode_payload(kinds.ClocksSet(clocks=(older,)))


def test_a_call_that_nothing_carries_reached_nobody():
    called = kinds.Called(role="dpo", person="ben", reason="opened")
    assert words.says(called) == "ben as dpo, for opened"  # an older release did not say
    assert b"told" not in kinds.encode_payload(called)
    assert words.says(structs.replace(called, told=("pager",))) == "ben as dpo, for opened, by pager"
    assert "REACHED NOBODY" in words.says(structs.replace(called, told=()))


@given(st.text(max_size=400))
def test_no_text_gets_out_of_its_line(text):
    line = words.entry_line(entry(kinds.Noted(text=text)))
    assert line.isprintable()
    assert len(words.shortened(text)) <= words.LINE


@pytest.mark.parametrize(
    ("range_", "said"),
    [
        (Range(0, 0), "0 shoppers"),
        (Range(1, 1), "1 shopper"),
        (Range(12, 12), "12 shoppers"),
        (Range(12, 14), "at least 12, at most 14 shoppers"),
        (Range(0, 1), "at least 0, at most 1 shoppers"),
        (Range(1, None), "at least 1 shopper, nobody can say how many more"),
    ],
)
def test_a_count_says_how_sure_it_is(range_, said):
    assert words.count(range_, "shopper", "shoppers") == said


def test_every_doubt_is_told_and_none_that_there_is_not():
    doubts = typing.get_args(affected.Unknown)
    found = affected.decode(counted().affected)
    for number in (1, 3):
        told = words.doubts(structs.replace(found, unknown=dict.fromkeys(doubts, number)))
        assert len(told) == len(doubts)
        assert all(line.startswith(f"{number} ") for line in told)
    assert words.doubts(structs.replace(found, unknown=dict.fromkeys(doubts, 0))) == []
    endless = words.doubts(structs.replace(found, unknown=dict.fromkeys(doubts)))
    assert len(endless) == len(doubts)
    assert all("nobody can say" in line for line in endless)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h 00 min"), (86_399, "23 h 59 min"),
        (86_400, "1 d 0 h"), (259_199, "2 d 23 h"), (-61, "1 min ago"),
    ],
)  # fmt: skip
def test_time_left_is_never_more_than_there_is(seconds, said):
    assert words.left(seconds) == said


def test_a_moment_is_told_in_the_zone_of_the_responsible_body():
    summer, winter = 1_782_950_400 * 10**6, 1_795_910_400 * 10**6
    assert words.local(summer, "Europe/Berlin") == "Thu 2026-07-02 02:00 CEST"
    assert words.both(winter, "Europe/Berlin") == "2026-11-29 00:00:00Z (Sun 2026-11-29 01:00 CET)"
    assert words.both(winter, "UTC") == "2026-11-29 00:00:00Z"
    assert words.local(winter, "Nowhere/None").endswith("00:00 UTC")
