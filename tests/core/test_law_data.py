"""The law files: each is sound, says what the law says, and a damaged one names its line."""

import re
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import get_args

import pytest

from firedoor.app.lawbook import AUTHORITIES, calendars, law_book
from firedoor.core.incident.breach import Applies
from firedoor.core.incident.clocks import ClockState
from firedoor.core.incident.entries import Outcome
from firedoor.core.incident.law import Condition, LawBook, Reading, Rule, length
from firedoor.core.incident.lawfile import bound, read_authorities, read_law
from firedoor.core.plan.jurisdictions import EEA, GROUPS
from firedoor.core.plan.response import StartEvent
from firedoor.errors import SetupError

FOLDER = files("firedoor") / "data" / "law"
NAMES = sorted(each.name for each in FOLDER.iterdir())
BOOK = law_book()
RULES = {rule.id: rule for rule in BOOK.rules}

TABLE = """
eu.gdpr.33.1          aware                                72 h       @gdpr_authority
eu.gdpr.33.2          processor_aware                      asap       @controllers
eu.gdpr.34.1          high_risk_decided                    asap       @people
eu.gdpr_omnibus.33.1  aware                                96 h       single entry point of ENISA
eu.nis2.23.4.a        significant_aware                    24 h       @nis2_authority
eu.nis2.23.4.b        significant_aware                    72 h       @nis2_authority
eu.nis2.23.4.c        significant_aware                    on request @nis2_authority
eu.nis2.23.4.d        submitted(eu.nis2.23.4.b)            1 month    @nis2_authority
eu.nis2.23.4.e        handled                              1 month    @nis2_authority
eu.cra.14.early       aware                                24 h       CSIRT
eu.cra.14.notif       aware                                72 h       CSIRT
eu.cra.14.final_vuln  fix_available                        14 d       CSIRT
eu.cra.14.final_inc   submitted(eu.cra.14.notif)           1 month    CSIRT
eu.dora.19.initial    classified_major                     4 h        @financial_authority
eu.dora.19.intermediate submitted(eu.dora.19.initial)      72 h       @financial_authority
eu.dora.19.final      submitted(eu.dora.19.intermediate)   1 month    @financial_authority
eu.aiact.73           aware                                15 d       @market_authority
eu.aiact.73.death     aware                                10 d       @market_authority
eu.aiact.73.widespread aware                               2 d        @market_authority
uk.gdpr.33            aware                                72 h       Information Commissioner
ch.fadp.24            noticed                              asap       FDPIC
us.ca.people          discovered                           30 d       @people
us.ca.ag              told_people                          15 d       Attorney General
us.ny.people          discovered                           30 d       @people
us.ny.state           discovered                           30 d       Attorney General
us.tx.people          determined                           60 d       @people
us.tx.ag              determined                           30 d       Attorney General
us.fl.people          determined                           30 d       @people
us.co.people          determined                           30 d       @people
us.wa.people          discovered                           30 d       @people
us.sec.8k             determined                           4 bd       Securities
us.ftc.safeguards     discovered                           30 d       Federal Trade
us.other              discovered                           not established @people
ca.pipeda             determined                           asap       Office of the Privacy
ca.qc                 aware                                asap       Commission d'accès
br.lgpd               knew                                 3 bd       ANPD
br.lgpd.people        knew                                 3 bd       @people
br.lgpd.complement    submitted(br.lgpd)                   20 bd      ANPD
au.ndb.assess         suspected                            30 d       yourselves
au.ndb.oaic           aware                                asap       Office of the Australian
jp.prelim             knew                                 5 d        Personal Information
jp.final              knew                                 30 d       Personal Information
sg.pdpc               assessed_notifiable                  3 d        Personal Data
in.dpb                aware                                72 h       Data Protection Board
in.certin             aware                                6 h        CERT-In
kr.pipa               aware                                72 h       Personal Information
cn.measures           discovered                           4 h        Cyberspace
cn.measures.cii       discovered                           1 h        the department
pci.acquirer          suspected                            asap       the acquirer
pci.visa              suspected                            3 bd       Visa
"""


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_sound(name):
    document = (FOLDER / name).read_bytes()
    assert read_authorities(document, name) if name == AUTHORITIES else read_law(document, name)


@pytest.mark.parametrize("line", TABLE.strip().splitlines(), ids=lambda line: line.split()[0])
def test_rules_are_those_of_the_law(line):
    clock, starts, rest = re.split(r"\s+", line, maxsplit=2)
    rule = RULES[clock]
    assert rule.starts == starts
    assert rest.startswith(rule.length)
    assert rule.to[0].startswith(rest.removeprefix(rule.length).strip())


@pytest.mark.parametrize("rule", BOOK.rules, ids=lambda rule: rule.id)
def test_rules_are_whole(rule):
    assert date.fromisoformat(rule.version) >= date(2026, 11, 22)
    assert date.fromisoformat(rule.reviewed_on) < date.fromisoformat(rule.review_by)
    assert (date.fromisoformat(rule.review_by) - date.fromisoformat(rule.reviewed_on)).days <= 200
    assert rule.source.startswith("https://")
    assert rule.limit is not None or rule.length in ("on request", "not established")
    assert rule.zone is None or calendars().zone(rule.zone)
    assert rule.business in (None, "seat") or calendars().knows(rule.business)
    dated = rule.limit is not None and rule.limit.mode != "eh"
    assert not dated or rule.zone or rule.id.startswith(("eu.", "pci.")), "dates end somewhere"


def test_what_is_not_law_is_marked():
    assert [rule.id for rule in BOOK.rules if rule.status == "proposed"] == ["eu.gdpr_omnibus.33.1"]
    assert [rule.id for rule in BOOK.rules if rule.status == "unknown"] == ["kr.pipa_2026"]
    assert RULES["in.dpb"].valid_from == "2027-05-13"
    assert all(RULES[f"eu.aiact.73{end}"].valid_from == "2027-12-02" for end in ("", ".death", ".widespread"))
    assert {rule.id for rule in BOOK.rules if rule.confidence == "?"} == {"us.other", "kr.pipa_2026"}


@pytest.mark.parametrize(
    ("clock", "at_least"),
    [
        ("us.ca.ag", 501), ("us.tx.ag", 250), ("us.fl.ag", 500), ("us.co.ag", 500), ("us.wa.ag", 500),
        ("us.ny.credit", 5001), ("jp.prelim", 1001), ("sg.pdpc", 500), ("kr.pipa", 1000), ("cn.measures", 1_000_000),
        ("us.ftc.safeguards", 500),
    ],
)  # fmt: skip
def test_thresholds(clock, at_least):
    found = [
        each.people.at_least
        for condition in RULES[clock].applies
        for each in (condition, *condition.one_of)
        if each.people is not None
    ]
    assert max(found) == at_least


def test_there_is_an_authority_for_every_state():
    assert set(BOOK.authorities) == EEA.members
    territories = [code for authority in BOOK.authorities.values() for code in authority.territories]
    assert sorted(territories) == sorted(GROUPS["EU"].territories)


# What a damaged file is told


LAW = (FOLDER / "sg.yaml").read_text("utf-8")


@pytest.mark.parametrize(
    ("old", "new", "on", "said"),
    [
        ("length: 3 d", "length: 3 days", "length:", "rules[0].length: must be a length"),
        ("length: 3 d", "length: asap", "length:", "asap needs a target of ours"),
        ("length: 3 d", "length: 3 bd", "- id: sg.pdpc", "business: stands exactly where"),
        ("length: 3 d", "length: 3 d\n    target: 2 d", "target:", "a target of ours stands only"),
        ("length: 3 d", "length: 3 d\n    readings: [hours_1182]", "readings:", "hours_1182 does not go with 3 d"),
        ("starts: assessed_notifiable", "starts: assesed_notifiable", "starts:", "'assesed_notifiable' is no event"),
        ("to: [Personal Data Protection Commission (PDPC)]", 'to: ["@pdpc"]', "to:", "'@pdpc' is no recipient"),
        ("breach: personal_data", "breach: personal", "breach:", "'personal' is not allowed here"),
        ("breach: personal_data", "breach: personal_data\n        malicious: true", "breach:", "exactly one key"),
        ("breach: personal_data", "malicious: false", "malicious:", "exactly one key"),
        ("- people: {in: [SG], at_least: 500}", "- {}", "- {}", "exactly one key"),
        ("at_least: 500", "at_least: 0", "at_least:", "out of bounds"),
        ("confidence: R", "confidence: sure", "confidence:", "'sure' is not allowed here"),
        ("confidence: R", "sure: R", "sure:", "unknown key"),
        ('dated: "2026-11-22"', 'dated: "2026-02-30"', "dated:", "is no day of the calendar"),
        ('review_by: "2027-05-22"', "review_by: soon", "review_by:", "must be a date"),
        ("id: sg.people", "id: sg.pdpc", "rules:", "stands here 2 times"),
        ("firedoor_law: 1", "firedoor_law: 2", "firedoor_law:", "is not allowed here"),
        ("firedoor_law: 1", "firedoor_law: [1", "law:", "not YAML"),
        ("firedoor_law: 1\n", "firedoor_law: 1\nlaw: twice\n", "law: PDPA", "is here twice"),
    ],
)
def test_a_damaged_law_file_names_its_line(old, new, on, said):
    assert old in LAW
    document = LAW.replace(old, new, 1)
    with pytest.raises(SetupError) as refused:
        read_law(document.encode(), "sg.yaml")
    assert said in str(refused.value)
    number = int(re.search(r"sg\.yaml, line (\d+)", str(refused.value))[1])
    assert on in document.splitlines()[number - 1]


def test_damaged_authorities_name_their_line():
    text = (FOLDER / AUTHORITIES).read_text("utf-8")
    with pytest.raises(SetupError, match=r"authorities\.yaml, line \d+: states\.FR\.gpdr: unknown key"):
        read_authorities(text.replace("FR: {gdpr", "FR: {gpdr").encode(), AUTHORITIES)


def rule(clock="x.one", starts="aware", **more):
    given = {"title": "t", "article": "a", "length": "72 h", "to": ("x",), "applies": ()}
    return Rule(id=clock, starts=starts, **{**given, **more})


def test_clocks_that_wait_for_one_that_is_not_there():
    with pytest.raises(SetupError, match=r"x\.one waits for x\.two"):
        bound([rule(starts="submitted(x.two)")], {})


def test_clocks_that_wait_for_each_other():
    with pytest.raises(SetupError, match=r"x\.one, x\.two wait for each other"):
        bound([rule(starts="submitted(x.two)"), rule("x.two", "submitted(x.one)")], {})


def test_versions_of_a_clock_follow_each_other():
    first = rule(valid_from="2020-01-01", valid_to="2025-12-31", length="24 h")
    second = rule(valid_from="2026-01-01")
    book = bound([second, first], {})
    assert [book.on("x.one", day) for day in ("2019-01-01", "2025-12-31", "2026-01-01")] == [first, first, second]
    for end in (None, "2026-01-01"):
        with pytest.raises(SetupError, match="two versions hold on 2026-01-01"):
            bound([second, rule(valid_from="2020-01-01", valid_to=end)], {})
    ended = bound([first], {})
    assert ended.on("x.one", "2026-05-01") == first
    with pytest.raises(KeyError):
        LawBook({}).on("x.one", "2026-01-01")


@pytest.mark.parametrize(
    ("text", "found"),
    [("72 h", "72 h"), ("1 month", "1 month"), ("3 bd", "3 business days"), ("14 d", "14 calendar days"),
     ("5400 s", "1.5 h"), ("asap", "None"), ("0 h", "None"), ("72h", "None"), ("72 hours", "None")],
)  # fmt: skip
def test_lengths(text, found):
    assert str(length(text)) == found


# docs/clocks.md

PAGE = (Path(__file__).parents[2] / "docs" / "clocks.md").read_text("utf-8")


def section(heading):
    return re.split(r"^## ", PAGE.partition(f"## {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def rows(heading):
    lines = [line for line in section(heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_page_has_every_rule_as_the_data_says():
    told = rows("All rules")[2:]
    assert told == [
        [
            f"`{rule.id}`", rule.cited, f"asap, ours {rule.limit}" if rule.length == "asap" else rule.length,
            f"`{rule.starts}`", ", ".join(rule.to),
        ]
        for rule in BOOK.rules
    ]  # fmt: skip


def test_the_page_has_every_source_and_day_of_review():
    told = rows("Sources, and when they were read")[2:]
    assert told == [
        list(row) for row in sorted({(rule.law, rule.source, rule.reviewed_on, rule.review_by) for rule in BOOK.rules})
    ]


def test_the_page_explains_every_word():
    for words, heading in (
        (get_args(ClockState), "What a clock says"),
        (get_args(StartEvent), "From when it counts"),
        (get_args(Applies), "Whether it applies"),
        ((*get_args(Reading), *(each.reading for rule in BOOK.rules for each in rule.variants)), "How it is counted"),
        (Condition.__struct_fields__, "Add a law, or correct one"),
        (get_args(Outcome), "Whether it applies"),
    ):
        for word in words:
            assert f"`{word}`" in section(heading), word
    assert "no legal advice" in PAGE
