"""The clocks of a case: when they start and end, whether they apply, to whom they go, and what became of them."""

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from firedoor.app.lawbook import calendars, law_book
from firedoor.core.incident import affected, reckoning, severity
from firedoor.core.incident.affected import Affected, AskedFor, Range
from firedoor.core.incident.case import fold
from firedoor.core.incident.deadlines import clock_lines, clocks_of, moments_of, switched
from firedoor.core.incident.entries import (
    ClocksSet,
    Correction,
    Counted,
    Decided,
    Entry,
    Findings,
    FoundOne,
    MergedInto,
    MomentSet,
    Opened,
    Scored,
    SplitFrom,
    Submitted,
    TookIn,
    Waived,
    encode_payload,
)  # fmt: skip
from firedoor.core.plan.decode import decode
from firedoor.core.plan.response import Contract, Legal
from firedoor.core.plan.words import Duration

PLAN = decode((Path(__file__).parent.parent / "vectors" / "plans" / "good.yaml").read_bytes(), "good.yaml").plan
BOOK, CALENDARS = law_book(), calendars()
BERLIN = "Europe/Berlin"
SHOP = Legal(controller="Alpenladen GmbH", main="DE", establishments=("DE",), zone=BERLIN)
HOUR = 3600 * 10**6
LISTED = {"CREDIT_CARD": Range(3, 5)}


def at(text, zone=BERLIN):
    return reckoning.utc(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


DETECTED = at("2026-11-23 09:15")


def case(*said, scope="eu/alpenladen/support/*", detected=DETECTED):
    payloads = [Opened(cause="finding", title="t", scope=scope, rule="protected_value", detected=detected), *said]
    by = ("firedoor", *["dora"] * len(said))
    return fold(
        Entry(case="eu-1", number=number, at=detected + number, by=by[number - 1], payload=payload)
        for number, payload in enumerate(payloads, 1)
    )


def moment(event, when, zone=BERLIN):
    return MomentSet(event=event, at=at(when, zone) if isinstance(when, str) else when, because="seen")


def submitted(clock, when, **more):
    return Submitted(clock=clock, at=at(when) if isinstance(when, str) else when, to="them", **more)


def counted(jurisdictions, *, subjects=None, categories=None):
    places = {
        code: number if isinstance(number, Range) else Range(number, number) for code, number in jurisdictions.items()
    }
    total = subjects or Range(sum(n.least for n in places.values()), sum(n.most or 0 for n in places.values()))
    return Counted(
        affected=affected.encode(
            Affected(
                asked=AskedFor(region="eu", scopes=(), since=0, until=None),
                as_of=0,
                took=0.1,
                exchanges=total,
                exposed=total,
                confirmed=total,
                subjects=total,
                exposed_subjects=total,
                jurisdictions=places,
                categories=categories or {},
                subjects_by_category={},
                recipients={},
                findings={},
                unknown={},
            )
        )
    )


def scored(quarters=12, malice=None, by="person"):
    inputs = severity.Inputs(
        categories=(), identification=severity.Identification(quarters=4, why="w"),
        confidentiality=severity.Circumstance(quarters=0, why="w"), integrity=severity.Circumstance(quarters=0, why="w"),
        availability=severity.Circumstance(quarters=0, why="w"),
        malice=severity.Malice(quarters=malice or 0, why="w", by=by if malice is not None else "suggested"),
        many=severity.Flag(holds=False, why="w"), unintelligible=severity.Flag(holds=False, why="w"),
    )  # fmt: skip
    return Scored(inputs=severity.encode(inputs), quarters=quarters, because="w")


def clocks(of, legal=SHOP, now=DETECTED + HOUR, plan=PLAN, book=BOOK):
    plan = structs.replace(plan, legal=legal)
    return {clock.id: clock for clock in clocks_of(of, plan, book, CALENDARS, now)}


# Starts and ends


def test_before_anybody_is_aware_a_cautious_end_counts_from_detection():
    clock = clocks(case())["eu.gdpr.33.1"]
    assert (clock.state, clock.applies, clock.due) == ("not_started", "likely", None)
    assert clock.cautious == DETECTED + 72 * HOUR
    assert clock.share == round(1 / 72, 4)


def test_from_awareness_on_the_strict_end_counts_and_other_readings_stand_beside():
    clock = clocks(case(moment("aware", "2026-11-23 10:20")), now=at("2026-11-24 10:20"))["eu.gdpr.33.1"]
    assert (clock.state, clock.applies, clock.zone) == ("running", "yes", BERLIN)
    assert clock.due_local == "Thu 2026-11-26 10:20:00 +01:00"
    assert [(one.reading, one.local) for one in clock.alternatives] == [
        ("hours_1182", "Thu 2026-11-26 11:00:00 +01:00")
    ]
    assert clock.cautious == DETECTED + 72 * HOUR
    assert clock.share == round(24 / 72, 4)
    assert clock.source == "GDPR, Regulation (EU) 2016/679, Art. 33(1) (https://eur-lex.europa.eu/eli/reg/2016/679/oj)"


def test_a_weekend_shows_the_contested_reading_and_moves_nothing():
    friday = case(moment("aware", "2026-11-20 16:20"), detected=at("2026-11-20 16:00"))
    clock = clocks(friday)["eu.gdpr.33.1"]
    assert clock.due_local == "Mon 2026-11-23 16:20:00 +01:00"
    assert [one.local for one in clock.alternatives] == [
        "Mon 2026-11-23 17:00:00 +01:00", "Tue 2026-11-24 23:59:59 +01:00",
    ]  # fmt: skip


@pytest.mark.parametrize("clock", ["eu.nis2.23.4.d", "eu.cra.14.final_inc"])
def test_final_reports_count_from_the_submission_of_the_72_hour_one(clock):
    legal = structs.replace(SHOP, nis2="online_marketplace", manufacturer=True)
    base = {"eu.nis2.23.4.d": "eu.nis2.23.4.b", "eu.cra.14.final_inc": "eu.cra.14.notif"}[clock]
    moments = [moment(event, "2027-01-28 10:00") for event in ("significant_aware", "aware")]
    before = clocks(case(*moments, detected=at("2027-01-28 09:00")), legal)[clock]
    assert (before.state, before.due, before.cautious, before.depends_on) == ("not_started", None, None, base)
    twice = [submitted(base, "2027-02-02 09:00"), submitted(base, "2027-01-31 09:00")]
    after = clocks(case(*moments, *twice, detected=at("2027-01-28 09:00")), legal)[clock]
    assert after.due_local == "Sun 2027-02-28 23:59:59 +01:00"
    assert [one.local for one in after.alternatives] == ["Mon 2027-03-01 23:59:59 +01:00"]


def test_nis2_while_handling_goes_on():
    legal = structs.replace(SHOP, nis2="online_marketplace")
    said = [moment("significant_aware", "2026-11-23 10:00"), submitted("eu.nis2.23.4.b", "2026-11-25 10:00")]
    found = clocks(case(*said), legal, now=at("2026-12-20 10:00"))
    assert (found["eu.nis2.23.4.a"].due_local, found["eu.nis2.23.4.d"].due_local) == (
        "Tue 2026-11-24 10:00:00 +01:00", "Fri 2026-12-25 23:59:59 +01:00",
    )  # fmt: skip
    assert found["eu.nis2.23.4.a"].recipients == ("DE: BSI (NIS2 23(1), 26)",)
    assert found["eu.nis2.23.4.c"].state == "not_started"
    assert (found["eu.nis2.23.4.e"].applies, found["eu.nis2.23.4.e"].due) == ("unknown", None)
    late = clocks(case(*said, moment("handled", "2027-01-10 10:00")), legal, now=at("2027-01-11 10:00"))
    assert (late["eu.nis2.23.4.e"].applies, late["eu.nis2.23.4.e"].due_local) == (
        "yes",
        "Wed 2027-02-10 23:59:59 +01:00",
    )
    assert clocks(case(*said), legal, now=at("2026-12-27 10:00"))["eu.nis2.23.4.e"].applies == "yes"
    early = clocks(case(*said, moment("handled", "2026-12-01 10:00")), legal, now=at("2026-12-02 10:00"))
    assert early["eu.nis2.23.4.e"].state == "not_applicable"


def test_cra_fourteen_days_count_from_the_fix():
    legal = structs.replace(SHOP, manufacturer=True)
    aware = moment("aware", "2026-11-23 10:00")
    before = clocks(case(aware), legal)["eu.cra.14.final_vuln"]
    assert (before.state, before.cautious) == ("not_started", None)
    after = clocks(case(aware, moment("fix_available", "2026-12-01 10:00")), legal)["eu.cra.14.final_vuln"]
    assert after.due_local == "Tue 2026-12-15 23:59:59 +01:00"
    assert clocks(case(aware), legal)["eu.cra.14.early"].due == at("2026-11-24 10:00")
    assert clocks(case(aware))["eu.cra.14.early"].state == "not_applicable"


@pytest.mark.parametrize(
    ("aware", "classified", "due"),
    [
        ("2026-11-23 10:00", "2026-11-23 12:00", "2026-11-23 16:00"),  # 4 hours, well within the 24
        ("2026-11-23 10:00", "2026-11-24 09:00", "2026-11-24 10:00"),  # 24 hours after awareness come first
        ("2026-11-23 10:00", "2026-11-24 10:00", "2026-11-24 10:00"),  # the last moment of these
        ("2026-11-23 10:00", "2026-11-24 10:00:01", "2026-11-24 14:00:01"),  # classified later: 4 hours alone
        (None, "2026-11-24 09:00", "2026-11-24 13:00"),
    ],
)
def test_dora_initial_has_two_limbs(aware, classified, due):
    legal = structs.replace(SHOP, payments=True)
    moments = [moment("classified_major", classified), *([moment("aware", aware)] if aware else [])]
    clock = clocks(case(*moments), legal)["eu.dora.19.initial"]
    assert clock.due == at(due)
    assert clock.applies == "yes"
    assert clock.cautious == DETECTED + 24 * HOUR


def test_dora_reports_count_from_submissions_the_final_one_from_the_latest():
    legal = structs.replace(SHOP, payments=True)
    said = [
        moment("classified_major", "2026-11-23 12:00"),
        submitted("eu.dora.19.initial", "2026-11-25 15:00"),
        submitted("eu.dora.19.intermediate", "2026-11-27 15:00"),
        submitted("eu.dora.19.intermediate", "2026-12-31 15:00"),
    ]
    found = clocks(case(*said), legal)
    between = found["eu.dora.19.intermediate"]
    assert between.due == at("2026-11-28 15:00")  # a Saturday
    assert [(one.reading, one.local) for one in between.alternatives] == [
        ("noon_of_next_working_day", "Mon 2026-11-30 12:00:00 +01:00")
    ]
    assert found["eu.dora.19.final"].due_local == "Sun 2027-01-31 23:59:59 +01:00"
    assert found["eu.dora.19.initial"].state == "met_late"


def test_the_ai_act_is_off_until_it_applies():
    legal = structs.replace(SHOP, laws={"eu.aiact": "on"})
    off = clocks(case(moment("aware", "2026-11-23 10:00")), legal)["eu.aiact.73"]
    assert (off.state, off.why) == ("not_applicable", "applies from 2027-12-02 on")
    later = case(moment("aware", "2027-12-06 10:00"), detected=at("2027-12-06 09:00"))
    found = clocks(later, legal, now=at("2027-12-06 11:00"))
    assert [found[f"eu.aiact.73{end}"].due_local[:14] for end in ("", ".death", ".widespread")] == [
        "Tue 2027-12-21", "Thu 2027-12-16", "Wed 2027-12-08",
    ]  # fmt: skip
    assert clocks(later, now=at("2027-12-06 11:00"))["eu.aiact.73"].applies == "unknown"


def test_a_proposal_is_off_and_marked_when_it_is_on():
    aware = case(moment("aware", "2026-11-23 10:00"), Decided(outcome="authority_and_people", because="high"))
    off = clocks(aware)["eu.gdpr_omnibus.33.1"]
    assert off.state == "not_applicable"
    assert off.due is None
    assert "a proposal, not law" in off.why
    assert (
        clocks(aware, structs.replace(SHOP, laws={"eu.gdpr": "on"}))["eu.gdpr_omnibus.33.1"].state == "not_applicable"
    )
    on = clocks(aware, structs.replace(SHOP, laws={"eu.gdpr_omnibus": "on"}))["eu.gdpr_omnibus.33.1"]
    assert (on.state, on.basis, on.due) == ("running", "internal", at("2026-11-27 10:00"))
    assert on.title.startswith("Not law: ")
    assert on.warnings[0].startswith("not law (proposed)")
    assert clocks(aware)["eu.gdpr.33.1"].due == at("2026-11-26 10:00"), "96 hours are a proposal"


# The rest of the world

ABROAD = case(
    moment("discovered", "2026-10-10 22:00", "America/Los_Angeles"),
    moment("determined", "2026-11-24 10:00", "America/Chicago"),
    moment("told_people", "2026-11-25 09:00", "America/Los_Angeles"),
    counted({"US-CA": 501, "US-TX": 250, "US-NY": 5000, "US-OH": 3}, categories=LISTED),
    scope="us/alpenladen-us/support/*",
)


@pytest.mark.parametrize(
    ("clock", "due", "applies"),
    [
        ("us.ca.people", "Mon 2026-11-09 23:59:59 -08:00", "likely"),  # over the end of summer time
        ("us.ca.ag", "Thu 2026-12-10 23:59:59 -08:00", "likely"),
        ("us.tx.people", "Sat 2027-01-23 23:59:59 -06:00", "likely"),
        ("us.tx.ag", "Thu 2026-12-24 23:59:59 -06:00", "likely"),
        ("us.ny.people", "Tue 2026-11-10 23:59:59 -05:00", "likely"),  # there it was the 11th of October already
        ("us.other", "", "likely"),
        ("us.sec.8k", "Tue 2026-12-01 23:59:59 -05:00", "unknown"),  # Thanksgiving and the weekend are left out
    ],
)
def test_the_united_states(clock, due, applies):
    found = clocks(ABROAD)[clock]
    assert (found.due_local, found.applies) == (due, applies)


def test_states_without_data_say_so():
    found = clocks(ABROAD)["us.other"]
    assert (found.state, found.length) == ("not_started", "not established")
    assert "not established: have counsel confirm it" in found.warnings


@pytest.mark.parametrize(("clock", "place", "number"), [("us.ca.ag", "US-CA", 500), ("us.tx.ag", "US-TX", 249)])
def test_below_a_threshold(clock, place, number):
    found = clocks(case(counted({place: number}, categories=LISTED), scope="us/*"))[clock]
    assert (found.state, found.applies) == ("not_applicable", "no")
    assert f"{number} people" in found.why


def test_small_agents_in_brazil_have_double():
    knew = [moment("knew", "2026-11-19 09:00", "America/Sao_Paulo"), counted({"BR": 5}, categories=LISTED)]
    said = case(*knew, detected=at("2026-11-19 08:00", "America/Sao_Paulo"))
    assert clocks(said)["br.lgpd"].due_local == "Wed 2026-11-25 23:59:59 -03:00"
    assert clocks(said, structs.replace(SHOP, small=True))["br.lgpd"].due_local == "Mon 2026-11-30 23:59:59 -03:00"
    silent = clocks(said, Legal())["br.lgpd"]
    assert [(one.reading, one.local[:14]) for one in silent.alternatives] == [("small_agent", "Mon 2026-11-30")]
    told = case(*knew, submitted("br.lgpd", "2026-11-25 15:00"), detected=at("2026-11-19 08:00"))
    assert clocks(told)["br.lgpd.complement"].due_local == "Wed 2026-12-23 23:59:59 -03:00"


@pytest.mark.parametrize(
    ("malice", "due", "others"),
    [
        (None, "Wed 2026-12-23", [("improper_purpose", "Fri 2027-01-22")]),
        (2, "Fri 2027-01-22", []),
        (0, "Wed 2026-12-23", []),
    ],
)
def test_japan_has_sixty_days_only_when_it_surely_was_an_attack(malice, due, others):
    said = [
        moment("knew", "2026-11-23 10:00"),
        counted({"JP": 1001}),
        *([scored(malice=malice)] if malice is not None else []),
    ]
    found = clocks(case(*said))
    assert found["jp.final"].due_local[:14] == due
    assert [(one.reading, one.local[:14]) for one in found["jp.final"].alternatives] == others
    assert found["jp.prelim"].due_local == "Sat 2026-11-28 23:59:59 +09:00"
    assert found["jp.prelim"].applies == "yes"


@pytest.mark.parametrize(
    ("place", "clock", "event", "when", "due"),
    [
        ("SG", "sg.pdpc", "assessed_notifiable", "2026-11-20 09:00", "Mon 2026-11-23 23:59:59 +08:00"),
        ("AU", "au.ndb.assess", "suspected", "2026-11-20 09:00", "Sun 2026-12-20 23:59:59 +11:00"),
        ("IN", "in.certin", "aware", "2026-11-23 10:00", "Mon 2026-11-23 16:00:00 +01:00"),
        ("KR", "kr.pipa.people", "aware", "2026-11-23 10:00", "Thu 2026-11-26 10:00:00 +01:00"),
        ("CN", "cn.pipl", "discovered", "2026-11-23 10:00", "Mon 2026-11-23 14:00:00 +01:00"),
        ("GB", "uk.gdpr.33", "aware", "2026-11-23 10:00", "Thu 2026-11-26 10:00:00 +01:00"),
        ("CH", "ch.fadp.24", "noticed", "2026-11-23 10:00", "Thu 2026-11-26 10:00:00 +01:00"),
        ("CA-QC", "ca.qc", "aware", "2026-11-23 10:00", "Thu 2026-11-26 10:00:00 +01:00"),
        ("CA-QC", "ca.pipeda", "determined", "2026-11-23 10:00", "Thu 2026-11-26 10:00:00 +01:00"),
    ],
)
def test_other_places(place, clock, event, when, due):
    found = clocks(case(moment(event, when), counted({place: 600})))[clock]
    assert found.due_local == due
    assert found.applies in ("yes", "likely")
    nobody = clocks(case(moment(event, when), counted({"DE": 600})))[clock]
    assert nobody.state == "not_applicable"


def test_singapore_counts_from_the_assessment_and_shows_no_end_before():
    found = clocks(case(moment("aware", "2026-11-23 10:00"), counted({"SG": 600})))["sg.pdpc"]
    assert (found.state, found.due, found.cautious) == ("not_started", None, None)


def test_india_begins_in_2027():
    said = [moment("aware", "2027-05-14 10:00"), counted({"IN": 1})]
    later = case(*said, detected=at("2027-05-14 09:00"))
    assert clocks(later, now=at("2027-05-14 11:00"))["in.dpb"].applies == "yes"
    assert clocks(case(moment("aware", "2026-11-23 10:00"), counted({"IN": 1})))["in.dpb"].state == "not_applicable"


def test_cards_start_the_contract_with_the_acquirer():
    said = [moment("suspected", "2026-11-27 10:00"), counted({"DE": 3}, categories=LISTED)]
    found = clocks(case(*said), now=at("2026-11-27 10:30"))
    assert (found["pci.acquirer"].due, found["pci.acquirer"].basis) == (at("2026-11-27 11:00"), "contract")
    assert found["pci.visa"].due_local == "Wed 2026-12-02 23:59:59 +01:00"
    assert found["pci.visa"].applies == "likely"
    assert clocks(case(said[0], counted({"DE": 3})))["pci.visa"].applies == "unknown"
    seen = Findings(found=(FoundOne("s", 1, DETECTED, "payment_card", "cut", "eu/*"),))
    assert clocks(case(seen))["pci.visa"].applies == "likely"


# Whether it applies


@pytest.mark.parametrize(
    ("number", "subjects", "applies"),
    [
        (Range(500, 500), None, "likely"),  # it is there; harm and kinds of data are for people to judge
        (Range(499, 499), None, "unknown"),  # below: significant harm would still make it notifiable
        (Range(400, 600), None, "likely"),  # straddles
        (Range(400, None), Range(400, None), "likely"),
        (Range(0, 0), None, "no"),
    ],
)
def test_counts_about_a_threshold(number, subjects, applies):
    found = clocks(case(counted({"SG": number}, subjects=subjects)))["sg.pdpc"]
    assert found.applies == applies


@pytest.mark.parametrize(
    ("jurisdictions", "subjects", "applies"),
    [
        ({"US-CA": Range(600, 600)}, None, "yes"),
        ({"US-CA": Range(400, 700)}, None, "likely"),
        ({"US": Range(800, 800)}, None, "likely"),  # some of them may be Californians
        ({"US": Range(300, 300), "US-CA": Range(201, 201)}, None, "likely"),
        ({"US": Range(300, 300), "US-CA": Range(200, 200)}, None, "no"),
        ({"US-NY": Range(900, 900)}, None, "no"),
        ({"US-CA": Range(500, 500), "unknown": Range(1, 1)}, None, "likely"),
        ({"US-CA": Range(500, 500)}, Range(500, 501), "likely"),
        ({"US-NY": Range(9, 9)}, Range(9, None), "likely"),  # nobody knows how many more; a shop is at home there
        ({}, Range(0, 0), "no"),
    ],
)
def test_people_of_a_state(jurisdictions, subjects, applies):
    """The threshold alone: more than 500 residents of California."""
    from firedoor.core.incident.applies import facts_of, judge
    from firedoor.core.incident.law import Condition, People

    of = case(counted(jurisdictions, subjects=subjects), scope="us/*")
    wanted = Condition(people=People(places=("US-CA",), at_least=501))
    assert judge((wanted,), facts_of(of, PLAN)).word == applies


def test_before_the_count_it_goes_by_where_shops_sell():
    found = clocks(case())
    assert found["eu.gdpr.33.1"].applies == "likely"
    assert found["ch.fadp.24"].applies == "likely"
    assert found["sg.pdpc"].state == found["us.ca.people"].state == "not_applicable"
    assert clocks(case(scope="us/alpenladen-us/*"))["us.ca.people"].applies == "unknown"  # which data, nobody knows
    assert clocks(case(scope="*"))["us.other"].applies == "likely"


def test_what_nobody_counted_is_unknown_where_a_region_serves():
    somewhere = counted({"DE": Range(5, 5)}, subjects=Range(5, 9))
    assert clocks(case(somewhere))["ch.fadp.24"].applies == "unknown"
    assert clocks(case(somewhere))["kr.pipa.people"].state == "not_applicable"
    assert clocks(case(counted({"DE": 5})))["ch.fadp.24"].state == "not_applicable"


@pytest.mark.parametrize(
    ("said", "authority", "people"),
    [
        ([], "likely", "unknown"),
        ([moment("aware", "2026-11-23 10:00")], "yes", "unknown"),
        ([Decided(outcome="no_breach", because="b")], "no", "no"),
        ([Decided(outcome="not_notified", because="b")], "no", "no"),
        ([Decided(outcome="authority", because="b")], "yes", "no"),
        ([Decided(outcome="authority", because="b", ground="unintelligible")], "yes", "no"),
        ([Decided(outcome="authority_and_people", because="b")], "yes", "yes"),
        ([moment("high_risk_decided", "2026-11-23 10:00")], "likely", "yes"),
        ([moment("high_risk_decided", "2026-11-23 10:00"), Decided(outcome="not_notified", because="b")], "no", "no"),
        ([scored(quarters=11)], "likely", "unknown"),
        ([scored(quarters=12)], "likely", "likely"),  # a score is no decision
    ],
)
def test_decisions(said, authority, people):
    found = clocks(case(*said))
    assert (found["eu.gdpr.33.1"].applies, found["eu.gdpr.34.1"].applies) == (authority, people)


HIGH = moment("high_risk_decided", "2026-11-23 09:30")
OTHER = TookIn(case="eu-0", because="b", detected=DETECTED, moments={"aware": DETECTED + HOUR})
HARMLESS, RISK = (Decided(outcome=outcome, because="b") for outcome in ("no_breach", "authority"))


@pytest.mark.parametrize(
    ("said", "authority", "people", "korea"),
    [
        ([HARMLESS, moment("aware", "2026-11-23 10:00")], "yes", "unknown", "yes"),
        ([HARMLESS, moment("triaged", "2026-11-23 10:00")], "no", "no", "no"),
        ([HARMLESS, HIGH], "likely", "yes", "likely"),
        ([HARMLESS, OTHER], "yes", "unknown", "yes"),
        ([HARMLESS, OTHER, HARMLESS], "no", "no", "no"),
        ([Decided(outcome="not_notified", because="b"), moment("aware", "2026-11-23 10:00")], "no", "no", "yes"),
        ([Decided(outcome="not_notified", because="b"), HIGH], "yes", "yes", "yes"),
        ([Decided(outcome="not_notified", because="b"), OTHER], "yes", "unknown", "yes"),
        ([RISK, HIGH], "yes", "yes", "yes"),
        ([RISK, OTHER], "yes", "unknown", "yes"),
        ([Decided(outcome="authority", because="b", ground="unintelligible"), HIGH], "yes", "no", "yes"),
        ([Decided(outcome="authority_and_people", because="b"), OTHER], "yes", "yes", "yes"),
    ],
)
def test_what_was_decided_before_rules_nothing_out_that_came_after(said, authority, people, korea):
    found = clocks(case(counted({"KR": 5, "DE": 3}), *said))
    assert [found[one].applies for one in ("eu.gdpr.33.1", "eu.gdpr.34.1", "kr.pipa.people")] == [
        authority, people, korea,
    ]  # fmt: skip


def test_a_moment_that_was_corrected_after_the_decision_came_after_it():
    said = [moment("aware", "2026-11-23 10:00"), HARMLESS]
    assert clocks(case(*said))["eu.gdpr.33.1"].state == "not_applicable"
    earlier = encode_payload(moment("aware", "2026-11-23 09:45")).decode()
    clock = clocks(case(*said, Correction(of=2, instead=earlier, because="b")))["eu.gdpr.33.1"]
    assert (clock.state, clock.due) == ("running", at("2026-11-26 09:45"))
    assert "`aware` was signed after the decision: decide again" in clock.why
    gone = clocks(case(*said, Correction(of=2, instead=None, because="b")))["eu.gdpr.33.1"]
    assert gone.state == "not_applicable"


def test_a_withdrawn_start_leaves_the_cautious_end():
    clock = clocks(case(AWARE, Correction(of=2, instead=None, because="b")))["eu.gdpr.33.1"]
    assert (clock.state, clock.due, clock.cautious) == ("not_started", None, DETECTED + 72 * HOUR)


def test_a_decision_to_tell_people_goes_with_a_case_that_is_taken_in_or_split_off():
    told = case(Decided(outcome="authority_and_people", because="b"))
    assert moments_of(told)["high_risk_decided"] == told.decided_at
    assert moments_of(case(HIGH, Decided(outcome="authority_and_people", because="b")))["high_risk_decided"] == at(
        "2026-11-23 09:30"
    )
    into = case(TookIn(case="eu-0", because="b", detected=DETECTED, moments={"high_risk_decided": DETECTED}), RISK)
    assert clocks(into)["eu.gdpr.34.1"].applies == "yes"


def test_the_notice_to_californians_starts_the_one_to_their_attorney_general():
    people = counted({"US-CA": 501}, categories=LISTED)
    said = [people, submitted("us.ca.people", "2026-11-25 20:00", delay=None)]
    assert clocks(case(people, scope="us/*"))["us.ca.ag"].due is None
    assert clocks(case(*said, scope="us/*"))["us.ca.ag"].due_local == "Thu 2026-12-10 23:59:59 -08:00"
    sooner = moment("told_people", "2026-11-24 09:00", "America/Los_Angeles")
    assert clocks(case(*said, sooner, scope="us/*"))["us.ca.ag"].due_local == "Wed 2026-12-09 23:59:59 -08:00"


def test_telling_people_starts_with_the_decision():
    clock = clocks(case(Decided(outcome="authority_and_people", because="b")))["eu.gdpr.34.1"]
    assert clock.start_at == DETECTED + 2
    assert clock.length == "without undue delay (target of ours: 24 h)"


def test_what_a_decision_under_the_gdpr_does_not_settle():
    found = clocks(case(counted({"KR": 5, "DE": 3}), Decided(outcome="not_notified", because="b")))
    assert found["kr.pipa.people"].applies == "yes"
    none = clocks(case(counted({"KR": 5}), Decided(outcome="no_breach", because="b")))
    assert none["kr.pipa.people"].state == "not_applicable"


def test_a_plan_that_says_nothing_of_law_rules_nothing_out():
    found = clocks(case(counted({"DE": 3})), Legal())
    assert found["eu.nis2.23.4.a"].applies == found["eu.cra.14.early"].applies == "unknown"
    assert found["eu.dora.19.initial"].applies == "unknown"
    assert clocks(case(counted({"DE": 3})))["eu.nis2.23.4.a"].state == "not_applicable"
    zone_only = Legal(zone=BERLIN, catalogue="luxury", laws={"us": "off"}, contracts=CONTRACTS)
    assert clocks(case(counted({"DE": 3})), zone_only)["eu.nis2.23.4.a"].applies == "unknown"


@pytest.mark.parametrize(
    ("legal", "clock", "applies"),
    [
        (Legal(representative="IE"), "uk.gdpr.33", "unknown"),  # not in the EEA says nothing of Britain
        (Legal(representative="IE"), "eu.gdpr.33.1", "no"),
        (Legal(establishments=("CA",)), "ca.qc", "unknown"),  # perhaps in Quebec
        (Legal(establishments=("CA",)), "uk.gdpr.33", "no"),
        (Legal(establishments=("CA-QC",)), "ca.pipeda", "likely"),
        (Legal(main="DE"), "uk.gdpr.33", "no"),
        (Legal(main="DE"), "ch.fadp.24", "no"),
        (Legal(main="DE", establishments=("DE", "GB")), "uk.gdpr.33", "likely"),
        (Legal(main="IS"), "eu.gdpr.33.1", "likely"),  # the EEA, not the EU
        (Legal(main="GB"), "eu.gdpr.33.1", "no"),
    ],
)
def test_where_the_responsible_body_is_established(legal, clock, applies):
    assert clocks(case(counted({"MX": 3})), legal)[clock].applies == applies


def test_somebody_counted_in_two_places_hides_nobody_who_told_none():
    """Five people: three in Germany, of whom three in Austria too, and two of no known place."""
    found = clocks(case(counted({"DE": 3, "AT": 3, "unknown": 2}, subjects=Range(5, 5))))
    assert found["ch.fadp.24"].applies == "unknown"


def test_processors_tell_their_controllers():
    legal = structs.replace(SHOP, controller=None, processor_for=("Haus AG", "Hof AG"))
    found = clocks(case(moment("processor_aware", "2026-11-23 10:00")), legal)
    assert found["eu.gdpr.33.2"].recipients == ("Haus AG (controller, GDPR 33(2))", "Hof AG (controller, GDPR 33(2))")
    assert found["eu.gdpr.33.2"].due == at("2026-11-24 10:00")
    assert found["eu.gdpr.33.1"].applies == "unknown"
    assert clocks(case())["eu.gdpr.33.2"].state == "not_applicable"


def test_a_malicious_leak_at_a_marketplace_is_likely_significant():
    legal = structs.replace(SHOP, nis2="online_marketplace")
    attack = Findings(found=(FoundOne("s", 1, DETECTED, "indirect_attack", "cut", "eu/alpenladen/support/m"),))
    assert clocks(case(), legal)["eu.nis2.23.4.a"].applies == "unknown"
    assert clocks(case(attack), legal)["eu.nis2.23.4.a"].applies == "likely"
    assert clocks(case(moment("significant_aware", "2026-11-23 10:00")), legal)["eu.nis2.23.4.a"].applies == "yes"


@pytest.mark.parametrize(
    ("laws", "clock", "said"),
    [
        ({"eu": "off"}, "eu.gdpr.33.1", "off"),
        ({"eu": "off", "eu.gdpr": "on"}, "eu.gdpr.33.1", "on"),
        ({"eu.gdpr.33": "off"}, "eu.gdpr.33.1", "off"),
        ({"eu.gdpr.3": "off"}, "eu.gdpr.33.1", None),
        ({"eu.gdpr": "off"}, "eu.gdpr_omnibus.33.1", None),
        ({"contract": "off"}, "contract.acquirer-1", "off"),
        ({}, "eu.gdpr.33.1", None),
    ],
)
def test_switches_of_the_plan(laws, clock, said):
    assert switched(clock, laws) == said


def test_laws_that_are_switched():
    off = clocks(case(), structs.replace(SHOP, laws={"us.sec": "off", "eu.gdpr": "off"}))
    assert (off["eu.gdpr.33.1"].state, off["eu.gdpr.33.1"].why) == (
        "not_applicable", "switched off by the plan (legal.laws)",
    )  # fmt: skip
    on = clocks(case(counted({"DE": 4})), structs.replace(SHOP, laws={"us.sec": "on", "us.tx.ag": "on", "kr": "on"}))
    assert on["us.sec.8k"].applies == "yes"
    assert on["us.tx.ag"].applies == "no", "a threshold stays"
    assert on["kr.pipa.people"].applies == "likely"
    assert on["kr.pipa_2026"].warnings[0] == "not law (unknown): shown because the plan switches it on"


def test_people_whose_place_nobody_told_are_taken_to_be_at_home():
    untold = case(counted({"untold": Range(4, 4)}))
    found = clocks(untold, Legal(controller="x"))["eu.gdpr.33.1"]
    assert found.applies == "likely"
    assert [one[:12] for one in found.recipients] == ["AT: Datensch", "the authorit"], "at home, or anywhere"
    assert clocks(untold)["ch.fadp.24"].applies == "unknown"
    both = case(counted({"NO": Range(1, 5), "untold": Range(4, 4)}, subjects=Range(5, 5)))
    assert [one[:2] for one in clocks(both, Legal(controller="x"))["eu.gdpr.33.1"].recipients] == ["AT", "NO", "th"]


# To whom

ALL = "the authority of every EEA state with people affected"


@pytest.mark.parametrize(
    ("legal", "recipients"),
    [
        (SHOP, ["DE: authority of the Land"]),
        (structs.replace(SHOP, main="FR", establishments=("DE", "FR")), ["FR: CNIL (lead: main establishment in FR"]),
        (
            structs.replace(SHOP, main=None, establishments=("IE",)),
            ["IE: Data Protection Commission (established in IE"],
        ),
        (
            structs.replace(SHOP, main=None, establishments=("IE", "IT")),
            ["IE: Data Protection Commission (", "IT: Garante"],
        ),
        (
            Legal(representative="IE"),
            ["AT: Daten", "FR: CNIL (people in FR: no establishment", "NO: Datatilsynet", ALL],
        ),
        (Legal(), ["AT: Daten", "FR: CNIL (people in FR: no establishment", "NO: Datatilsynet", ALL]),
        (Legal(establishments=("US",)), ["AT: Daten", "FR: CNIL", "NO: Datatilsynet", ALL]),
    ],
)
def test_the_authorities_of_the_gdpr(legal, recipients):
    people = {"AT": 3, "RE": 1, "FR": Range(0, 4), "NO": 1, "US": 9, "DE": 0}
    found = clocks(case(counted(people)), legal)["eu.gdpr.33.1"].recipients
    assert len(found) == len(recipients)
    assert all(one.startswith(wanted) for one, wanted in zip(found, recipients, strict=True))
    if legal.representative:
        assert all("IE) is no one-stop shop, EDPB 9/2022 73" in one for one in found)


def test_without_an_establishment_and_a_count_it_is_every_state_that_is_sold_to():
    found = clocks(case(), Legal(controller="x"))["eu.gdpr.33.1"].recipients
    assert len(found) == 27 + 1 + 1  # the EU, Norway, and the rule itself; Switzerland has none
    assert found[0].startswith("AT: Datenschutzbehörde (people in AT may be affected")
    assert found[-1].startswith("the authority of every EEA state with people affected")


# Contracts

CONTRACTS = {
    "acquirer": Contract(to="Bank AG", starts="suspected", within=Duration(24 * 3600), source="Contract 12, 4.2"),
    "insurer": Contract(
        to="Insurer", starts="detected", within=Duration(5400), source="Policy 7", shops=("gutschein",)
    ),
}


def test_contracts_are_clocks():
    legal = structs.replace(SHOP, contracts=CONTRACTS)
    found = clocks(case(moment("suspected", "2026-11-23 10:00")), legal)
    bank, insurer = found["contract.acquirer"], found["contract.insurer"]
    assert (bank.due, bank.basis, bank.recipients) == (at("2026-11-24 10:00"), "contract", ("Bank AG",))
    assert (bank.source, bank.length, bank.rule_version) == ("Contract 12, 4.2", "24 h", "plan")
    assert (insurer.state, insurer.why) == ("not_applicable", "is about gutschein")
    theirs = clocks(case(scope="eu/gutschein/support/*"), legal)["contract.insurer"]
    assert (theirs.state, theirs.due, theirs.length) == ("running", DETECTED + 5400 * 10**6, "1.5 h")
    assert clocks(case(scope="eu/*"), legal)["contract.insurer"].state == "running"
    off = clocks(case(), structs.replace(legal, laws={"contract.acquirer": "off"}))["contract.acquirer"]
    assert off.state == "not_applicable"


# What became of it


AWARE = moment("aware", "2026-11-23 10:20")
DUE = at("2026-11-26 10:20")


@pytest.mark.parametrize(
    ("said", "now", "state", "warning"),
    [
        ([], DUE, "running", None),
        ([], DUE + 1, "missed", "over: hand it in all the same"),
        ([], DUE + 1, "missed", "within that of Regulation 1182/71"),
        ([], DUE + HOUR, "missed", "over: hand it in all the same"),
        ([submitted("eu.gdpr.33.1", DUE)], DUE + HOUR, "met", None),
        ([submitted("eu.gdpr.33.1", DUE + 1)], DUE + HOUR, "met_late", "handed in late without the reasons"),
        ([submitted("eu.gdpr.33.1", DUE + 1, delay="x")], DUE + HOUR, "met_late", "within that of Regulation 1182/71"),
        ([submitted("eu.gdpr.33.1", DUE + 1), submitted("eu.gdpr.33.1", DUE - 1)], DUE + HOUR, "met", None),
        ([Waived(clock="eu.gdpr.33.1", because="b")], DUE + 1, "waived", None),
        ([Waived(clock="eu.gdpr.33.1", state="halted", because="b")], DUE, "halted", None),
        ([Waived(clock="eu.gdpr.33.1", state="halted", because="b")], DUE + 1, "halted", "and its end is over"),
        ([submitted("eu.gdpr.33.1", "2026-11-23 10:19")], DUE, "met", "handed in before it started"),
        (
            [Waived(clock="eu.gdpr.33.1", state=state, because="b") for state in ("halted", "resumed")],
            DUE - HOUR, "running", None,
        ),
        ([Waived(clock="uk.gdpr.33", because="b")], DUE - HOUR, "running", None),
        ([Decided(outcome="not_notified", because="b")], DUE + 1, "not_applicable", None),
        ([Decided(outcome="not_notified", because="b"), submitted("eu.gdpr.33.1", DUE)], DUE + 1, "met", None),
    ],
)  # fmt: skip
def test_states(said, now, state, warning):
    clock = clocks(case(AWARE, *said), now=now)["eu.gdpr.33.1"]
    assert clock.state == state
    if warning is None:
        assert clock.warnings == ()
    else:
        assert any(warning in one for one in clock.warnings)


def test_handed_in_late_with_reasons_beyond_both_readings():
    late = submitted("eu.gdpr.33.1", DUE + HOUR, delay="the host was silent")
    assert clocks(case(AWARE, late), now=DUE + 2 * HOUR)["eu.gdpr.33.1"].warnings == ()


def test_a_target_of_ours_is_never_missed():
    said = case(Decided(outcome="authority_and_people", because="b"))
    over = clocks(said, now=DETECTED + 30 * HOUR)["eu.gdpr.34.1"]
    assert over.state == "running"
    assert over.share > 1
    assert over.warnings == ("over the target of ours; the law says without undue delay",)
    told = case(Decided(outcome="authority_and_people", because="b"), submitted("eu.gdpr.34.1", DETECTED + 30 * HOUR))
    assert clocks(told)["eu.gdpr.34.1"].state == "met"


def test_what_waits_for_a_waived_clock_does_not_come():
    legal = structs.replace(SHOP, nis2="online_marketplace")
    said = [moment("significant_aware", "2026-11-23 10:00"), Waived(clock="eu.nis2.23.4.b", because="b")]
    found = clocks(case(*said), legal)
    assert found["eu.nis2.23.4.d"].state == "not_applicable"
    assert found["eu.nis2.23.4.d"].why == "eu.nis2.23.4.b, which starts it: waived"
    again = Waived(clock="eu.nis2.23.4.b", state="resumed", because="b")
    sent = submitted("eu.nis2.23.4.b", "2026-11-24 10:00")
    assert clocks(case(*said, again), legal)["eu.nis2.23.4.d"].applies == "yes"
    assert clocks(case(*said, sent), legal)["eu.nis2.23.4.d"].due_local == "Thu 2026-12-24 23:59:59 +01:00"


@pytest.mark.parametrize(
    ("hours", "said"),
    [
        (24, None),
        (24.01, "`aware` is 24 h after detection: a slow investigation is a failing of its own"),
        (48, "`aware` is 48 h after detection: a slow investigation is a failing of its own"),
        (48.01, "more than 48 h: `aware` is 48 h after detection: a slow investigation is a failing of its own"),
    ],
)
def test_slow_investigations(hours, said):
    when = DETECTED + int(hours * HOUR)
    assert clocks(case(moment("aware", when)), now=when)["eu.gdpr.33.1"].warnings == ((said,) if said else ())
    waiting = clocks(case(), now=when)["eu.gdpr.33.1"].warnings
    assert bool(waiting) == (said is not None)
    assert not said or waiting[0].startswith(said.partition("`")[0] + "detected")


def test_other_moments_that_are_known():
    found = clocks(case(moment("aware", "2026-11-23 12:00"), moment("processor_told", "2026-11-23 10:00")))
    assert any("later than `processor_told`" in one for one in found["eu.gdpr.33.1"].warnings)
    assert any("say when `noticed` was" in one for one in found["ch.fadp.24"].warnings)


def test_a_rule_that_should_have_been_read_again_warns():
    old = clocks(case(AWARE), now=at("2027-02-23 09:00"))["eu.gdpr.33.1"].warnings
    assert "the rule was to be read again by 2027-02-22: it may have changed" in old
    now = clocks(case(AWARE), now=at("2027-02-22 09:00"))["eu.gdpr.33.1"].warnings
    assert not any("read again" in one for one in now)


def test_places_and_zones_that_are_not_known_are_told():
    legal = structs.replace(SHOP, main="ZZ", zone="Europe/Nowhere")
    found = clocks(case(moment("suspected", "2026-11-23 10:00"), counted({"DE": 1}, categories=LISTED)), legal)
    assert found["pci.visa"].zone == "UTC"
    assert found["pci.visa"].warnings[-2:] == (
        "time zone Europe/Nowhere is not known: reckoned in UTC",
        "holidays of ZZ are not known: only weekends are left out",
    )
    assert found["eu.gdpr.33.1"].alternatives == ()


# Cases that hang together, time travel, corrections


def test_a_merged_case_leaves_its_clocks_to_the_other():
    found = clocks(case(AWARE, MergedInto(case="eu-0", because="b")))
    assert {clock.state for clock in found.values()} == {"not_applicable"}
    assert found["eu.gdpr.33.1"].why == "kept by case eu-0"
    split = clocks(case(SplitFrom(case="eu-0", because="b", clocks="there")))
    assert {clock.state for clock in split.values()} == {"not_applicable"}
    own = clocks(case(SplitFrom(case="eu-0", because="b", moments={"aware": DETECTED - HOUR})))
    assert own["eu.gdpr.33.1"].due == DETECTED + 71 * HOUR


def test_what_a_merged_case_handed_in_counts_where_it_goes_on():
    early = Submitted(clock="eu.gdpr.33.1", at=DETECTED + HOUR, to="authority")
    told = TookIn(case="eu-0", because="b", detected=DETECTED, moments={"aware": DETECTED}, submitted=(early,))
    found = clocks(case(told))["eu.gdpr.33.1"]
    assert (found.state, found.submitted) == ("met", (DETECTED + HOUR,))


def test_a_corrected_moment_moves_the_clock_and_earlier_values_stand():
    later = moment("aware", "2026-11-23 12:00")
    opened = Opened(cause="finding", title="t", scope="eu/*", detected=DETECTED)
    said = [opened, AWARE, Correction(of=2, instead=encode_payload(later).decode(), because="wrong day")]
    entries = [
        Entry(case="eu-1", number=n, at=DETECTED + n * HOUR, by="dora", payload=payload)
        for n, payload in enumerate(said, 1)
    ]
    as_known, now = fold(entries, at=DETECTED + 2 * HOUR), fold(entries)
    assert clocks(as_known)["eu.gdpr.33.1"].due == DUE
    assert clocks(now)["eu.gdpr.33.1"].due == at("2026-11-26 12:00")


def test_lines_hold_what_runs_or_may_run():
    found = tuple(clocks(case(AWARE)).values())
    lines = {line.rule: line for line in clock_lines(found)}
    assert list(lines) == sorted(lines)
    assert lines["eu.gdpr.33.1"].due == DUE
    assert lines["eu.gdpr.33.1"].start == "aware"
    assert "eu.gdpr_omnibus.33.1" not in lines
    assert "eu.gdpr.34.1" not in lines
    later = clock_lines(clocks(case(AWARE), now=DUE - HOUR).values())
    assert later == clock_lines(found), "lines change with what is known, not with time"
    assert len(encode_payload(ClocksSet(clocks=clock_lines(clocks(case(AWARE), Legal()).values())))) < 16_384


def test_the_next_due_comes_first_and_what_does_not_apply_last():
    legal = structs.replace(SHOP, contracts=CONTRACTS, nis2="online_marketplace")
    said = [AWARE, moment("suspected", "2026-11-23 10:00"), submitted("eu.nis2.23.4.a", "2026-11-23 11:00")]
    found = list(clocks(case(*said), legal).values())
    assert found[0].id == "contract.acquirer"
    dues = [
        one.due or one.cautious for one in found if one.state in ("running", "not_started") and one.applies != "unknown"
    ]
    assert [due for due in dues if due] == sorted(due for due in dues if due)
    assert found[-1].state == "not_applicable"
    assert [one.state for one in found if one.id == "eu.nis2.23.4.a"] == ["met"]


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 400 * 24), st.integers(0, 200), st.sampled_from([BERLIN, "UTC", "America/St_Johns", "Asia/Kolkata"]),
    st.booleans(),
)  # fmt: skip
def test_clocks_depend_on_nothing_but_what_they_are_given(began, waited, zone, aware):
    start = at("2026-01-01 00:00") + began * HOUR
    legal = structs.replace(SHOP, zone=zone, contracts=CONTRACTS)
    said = [moment("aware", start + waited * HOUR)] if aware else []
    now = start + (waited + 5) * HOUR
    found = clocks(case(*said, detected=start), legal, now=now)
    assert found == clocks(case(*said, detected=start), legal, now=now)
    gdpr = found["eu.gdpr.33.1"]
    assert gdpr.cautious == start + 72 * HOUR
    assert gdpr.due == (start + (waited + 72) * HOUR if aware else None)
    for clock in found.values():
        assert clock.state != "missed" or clock.due < now
        assert clock.why or clock.applies == "yes"
        assert (clock.state == "not_applicable") == (clock.applies == "no")
        assert clock.due is None or clock.due_local


def test_the_length_of_a_day_at_the_change_of_summer_time():
    """Detected before, aware after: the end is 72 hours later on every clock, and local hours differ."""
    for detected, local in (
        ("2026-10-24 10:30", "Tue 2026-10-27 09:30:00 +01:00"),
        ("2026-03-27 10:30", "Mon 2026-03-30 11:30:00 +02:00"),
    ):
        of = case(moment("aware", detected), detected=at(detected) - HOUR)
        clock = clocks(of, now=at(detected) + 71 * HOUR)["eu.gdpr.33.1"]
        assert clock.due_local == local
        assert clock.share == round(71 / 72, 4)
        assert clock.due - at(detected) == timedelta(hours=72) // timedelta(microseconds=1)


def test_dates_that_end_nowhere_in_particular_say_so():
    fixed = moment("fix_available", "2026-12-01 10:00")
    legal = structs.replace(SHOP, manufacturer=True)
    said = "its last day ends in UTC: the plan names no other zone (legal.zone)"
    assert said not in clocks(case(fixed), legal)["eu.cra.14.final_vuln"].warnings
    nowhere = structs.replace(legal, zone="UTC")
    assert said in clocks(case(fixed), nowhere)["eu.cra.14.final_vuln"].warnings
    assert said not in clocks(case(moment("aware", "2026-12-01 10:00")), nowhere)["eu.cra.14.early"].warnings
