"""Merging loses no clock, no decision and no score: what was said of a part of the case is to be said of the whole."""

import pytest
from msgspec import structs

from firedoor.core.incident.checks import open_clocks
from firedoor.core.incident.entries import (
    Correction,
    Decided,
    MergedInto,
    MomentSet,
    Submitted,
    TookIn,
    Waived,
    encode_payload,
)
from firedoor.core.incident.merging import brought, lapsed, lapsed_waivers, said_before, standing_waivers

from .test_deadlines import DETECTED, HOUR, case, clocks, counted, scored  # same cases, same law

SPARED = Decided(outcome="not_notified", because="risk is unlikely")
HARMLESS = Decided(outcome="no_breach", because="nobody's")
TOLD = Decided(outcome="authority", because="risk")
WAIVED = Waived(clock="eu.gdpr.33.1", because="told by the controller")


def taking(*said):
    """What a case tells that takes in another one, of which `said` was said."""
    return TookIn(case="eu-0", because="one leak", detected=DETECTED, before=said_before(case(*said)))


def why(clock, *said):
    found = clocks(case(*said))[clock]
    return found.applies, found.state, found.why


def test_what_was_said_there_is_told_with_who_said_it_and_where():
    [decided, waived] = taking(TOLD, SPARED, WAIVED).before
    assert (decided.outcome, decided.by, decided.number, decided.case) == ("not_notified", "dora", 3, "eu-1")
    assert (decided.because, decided.at) == ("risk is unlikely", DETECTED + 3)
    assert (waived.waived, waived.outcome) == ("eu.gdpr.33.1", None)
    [score] = taking(scored(quarters=13)).before
    assert (score.quarters, score.malicious) == (13, False)
    assert taking(WAIVED, structs.replace(WAIVED, state="resumed")).before == ()
    assert taking(SPARED, Correction(of=2, instead=None, because="a slip")).before == ()
    assert len(taking(structs.replace(SPARED, because="x" * 4000)).before[0].because) == 200


def test_a_decision_of_a_part_rules_nothing_out_and_is_not_lost():
    applies, _, told = why("eu.gdpr.33.1", taking(SPARED))
    assert applies == "yes"
    assert told.endswith("due unless risk is unlikely, which was decided for eu-1 alone: decide again")
    assert why("eu.gdpr.33.1", taking(HARMLESS))[0] == "likely"  # nobody knows of the whole
    assert why("eu.gdpr.33.1", taking(TOLD))[0] == "yes"  # what was a breach is one
    assert why("eu.gdpr.33.1", taking(SPARED), SPARED)[0] == "no"
    assert brought(case(taking(SPARED), SPARED)) == ()
    assert [one.outcome for one in brought(case(taking(SPARED), taking(TOLD)))] == ["not_notified", "authority"]


def test_it_goes_on_through_a_second_merge_until_it_is_said_again():
    middle = case(taking(SPARED, scored(quarters=13)), TOLD)
    again = TookIn(case="eu-2", because="b", detected=DETECTED, before=said_before(middle))
    assert [one.outcome or one.quarters for one in again.before] == ["authority", 13]


@pytest.mark.parametrize("outcome", [HARMLESS, SPARED])
def test_a_case_that_took_one_in_is_not_closed_on_its_old_decision(outcome):
    def unmet(*said):
        one = case(counted({"DE": 3}), *said)
        return {clock.id for clock in open_clocks(one, tuple(clocks(one).values()))}

    assert "eu.gdpr.33.1" not in unmet(outcome)
    assert "eu.gdpr.33.1" in unmet(outcome, taking())
    assert "eu.gdpr.33.1" not in unmet(outcome, taking(), outcome)
    assert lapsed(case(outcome, taking())) == {"decided"}
    assert lapsed(case(outcome, taking(), outcome)) == frozenset()
    later = Correction(of=2, instead=encode_payload(outcome).decode(), because="of all of it")
    assert lapsed(case(outcome, taking(), later)) == frozenset()


def test_a_waiver_of_a_part_lets_no_clock_of_the_whole_rest():
    aware = MomentSet(event="aware", at=DETECTED, because="seen")
    assert why("eu.gdpr.33.1", aware, WAIVED)[1] == "waived"
    whole = case(aware, WAIVED, taking())
    assert clocks(whole)["eu.gdpr.33.1"].state in ("running", "missed")
    assert [one.clock for one in lapsed_waivers(whole)] == ["eu.gdpr.33.1"]
    assert standing_waivers(whole) == ()
    said = case(aware, WAIVED, taking(), WAIVED)
    assert clocks(said)["eu.gdpr.33.1"].state == "waived"
    assert lapsed_waivers(said) == ()
    assert brought(case(taking(WAIVED)))[0].waived == "eu.gdpr.33.1"
    assert clocks(case(aware, taking(WAIVED)))["eu.gdpr.33.1"].state in ("running", "missed")
    assert brought(case(taking(WAIVED), WAIVED)) == ()


def test_the_higher_score_and_malice_count_until_scored_again():
    assert why("eu.gdpr.34.1", scored(quarters=4), taking(scored(quarters=13)))[:1] == ("likely",)
    assert why("eu.gdpr.34.1", taking(scored(quarters=13)), scored(quarters=4))[:1] == ("unknown",)
    assert lapsed(case(scored(quarters=4), taking())) == {"scored"}
    score = scored(quarters=4, malice=2)
    assert taking(score).before[0].malicious
    assert brought(case(taking(score)))[0].malicious


def test_what_was_handed_in_for_a_part_says_so():
    early = Submitted(clock="eu.gdpr.33.1", at=DETECTED, to="LfDI")
    clock = clocks(case(early, taking()))["eu.gdpr.33.1"]
    assert any("33(4)" in warning for warning in clock.warnings)
    more = structs.replace(early, at=DETECTED + HOUR)
    assert not any("33(4)" in warning for warning in clocks(case(early, taking(), more))["eu.gdpr.33.1"].warnings)


def test_a_case_that_took_nothing_in_has_nothing_to_say_again():
    alone = case(SPARED, WAIVED, MergedInto(case="eu-9", because="b"))
    assert (brought(alone), lapsed(alone), lapsed_waivers(alone)) == ((), frozenset(), ())
    assert standing_waivers(alone) == alone.waived
