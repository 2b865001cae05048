"""What a case looks like to ENISA's method, and what a severity comes to: the examples of the EDPB, down to the outcome."""

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from firedoor.core.incident import severity_table as table
from firedoor.core.incident.affected import Affected, AskedFor, Range, Unknown
from firedoor.core.incident.case import Case
from firedoor.core.incident.entries import Opened, Outcome
from firedoor.core.incident.severity import (
    Adjustment,
    Category,
    Circumstance,
    Flag,
    Identification,
    Inputs,
    Malice,
    decode,
    encode,
    explain,
    score,
)
from firedoor.core.incident.severity_advice import A_PERSON_DECIDES, OUTCOME_SAYS, advice
from firedoor.core.incident.severity_suggest import suggest
from firedoor.core.plan.decode import decode as decode_plan
from firedoor.core.plan.model import LABELS, Attribute, Legal, PersonalDataRules, Plan, ProtectedSet
from firedoor.core.taxonomy import IDS

GOOD = decode_plan((Path(__file__).parent.parent / "vectors" / "plans" / "good.yaml").read_bytes(), "good.yaml").plan
SCOPE = "eu/alpenladen/support/eu-chat"


ONE = Range(1, 1)


def counted(*labels: str, people: Range = ONE, unknown: dict[Unknown, int | None] | None = None, **more) -> Affected:
    values = {
        "asked": AskedFor(region="eu", scopes=(SCOPE,), since=0, until=None),
        "as_of": 1,
        "took": 0.1,
        "exchanges": people,
        "exposed": people,
        "confirmed": ONE,
        "subjects": people,
        "exposed_subjects": people,
        "jurisdictions": {},
        "categories": dict.fromkeys(labels, people),
        "subjects_by_category": {},
        "recipients": {},
        "findings": {},
        "unknown": unknown or {},
    }
    return Affected(**{**values, **more})


def case(*rules: str, count: Affected | None = None, sets: tuple[str, ...] = (), scope: str = SCOPE) -> Case:
    opened = Opened(cause="finding", title="a case", scope=scope, detected=0)
    return Case(
        id="eu-1", number=1, opened=opened, opened_at=0, opened_by="firedoor", clocks_at="eu-1", scopes=(scope,),
        rules=rules, sets=sets, counted=count,
    )  # fmt: skip


def with_legal(**legal: object) -> Plan:
    return structs.replace(GOOD, legal=Legal(**legal))  # type: ignore[arg-type]


def with_set(attribute: Attribute) -> Plan:
    return structs.replace(GOOD, protected={"secrets": ProtectedSet(description="x", attribute=attribute)})


def levels(each: Inputs) -> tuple[int, ...]:
    context = max((data.context for data in each.categories), default=0)
    parts = (each.identification, each.confidentiality, each.integrity, each.availability, each.malice)
    return (context, *(part.quarters for part in parts))


# --- what is suggested ---


@pytest.mark.parametrize(
    ("what", "seen", "wanted"),
    [
        ("names and mail addresses to one", case("stranger_data", count=counted("PERSON", "EMAIL")), (1, 4, 1, 0, 0, 0)),
        ("a name to one", case("stranger_data", count=counted("PERSON")), (1, 3, 1, 0, 0, 0)),
        ("a name and an address", case("stranger_data", count=counted("PERSON", "STREET_ADDRESS")), (1, 4, 1, 0, 0, 0)),
        ("orders", case("stranger_data", count=counted("ORDER_ID")), (2, 1, 1, 0, 0, 0)),
        ("a card", case("payment_card", count=counted("CREDIT_CARD")), (4, 3, 1, 0, 0, 0)),
        ("a card's owner", case("payment_card", count=counted("CREDIT_CARD", "PERSON")), (4, 4, 1, 0, 0, 0)),
        ("an account number", case("stranger_data", count=counted("IBAN")), (3, 3, 1, 0, 0, 0)),
        ("an identity number", case("stranger_data", count=counted("NATIONAL_ID")), (2, 4, 1, 0, 0, 0)),
        ("an address on the network", case("stranger_data", count=counted("IP")), (1, 2, 1, 0, 0, 0)),
        ("a password", case("secret", count=counted("SECRET")), (3, 4, 1, 0, 0, 0)),
        ("no label, yet somebody's data", case("stranger_data", count=counted()), (1, 4, 1, 0, 0, 0)),
        ("somebody's answer", case("replayed_answer", count=counted()), (2, 4, 1, 0, 0, 0)),
        ("a kept answer", case("poisoned_cache", count=counted("EMAIL")), (2, 4, 1, 1, 0, 2)),
        ("taken by an attack", case("stranger_data", "prompt_attack", count=counted("EMAIL")), (1, 4, 1, 0, 0, 2)),
        ("not counted yet", case("stranger_data"), (1, 4, 2, 0, 0, 0)),
        ("opened by a person, nothing counted", case(), (1, 4, 2, 0, 0, 0)),
        ("opened by a person, nothing seen", case(count=counted()), (0, 1, 1, 0, 0, 0)),
        ("opened by a person", case(count=counted("EMAIL", "CITY")), (1, 4, 1, 0, 0, 0)),
        ("nothing went out", case("stranger_data", count=counted("EMAIL", people=Range(0, 0),
         categories={"EMAIL": Range(1, 1)})), (1, 4, 0, 0, 0, 0)),
        ("a price to one", case("protected_value", count=counted()), (0, 1, 1, 0, 0, 0)),
        ("a price, and callers' own words", case("protected_value", count=counted("EMAIL")), (0, 1, 1, 0, 0, 0)),
        ("a price by an attack", case("protected_value", "prompt_attack", count=counted("EMAIL")), (0, 1, 1, 0, 0, 2)),
        ("a price, first heard of from a host", case("leak", "protected_value", count=counted("EMAIL")), (0, 1, 1, 0, 0, 0)),
        ("perhaps a mail address", case("stranger_data", count=counted("PERSON", categories={"PERSON": ONE,
         "EMAIL": Range(0, 2), "IBAN": Range(0, 0)})), (1, 4, 1, 0, 0, 0)),
        ("only heard of from a host", case("leak", count=counted("EMAIL")), (1, 4, 1, 0, 0, 0)),
        ("a price and a stranger", case("protected_value", "stranger_data", count=counted("EMAIL")), (1, 4, 1, 0, 0, 0)),
        ("a card that nobody counted, and a town", case("payment_card", count=counted("CITY")), (4, 3, 1, 0, 0, 0)),
        ("a password that nobody counted, and a town", case("secret", count=counted("CITY")), (3, 4, 1, 0, 0, 0)),
        ("one answer to several", case("same_answer", count=counted()), (2, 4, 1, 0, 0, 0)),
        ("a date of birth", case("stranger_data", count=counted("DATE_OF_BIRTH")), (1, 1, 1, 0, 0, 0)),
        ("born where", case("stranger_data", count=counted("DATE_OF_BIRTH", "POSTCODE")), (1, 3, 1, 0, 0, 0)),
        ("an attack only", case("prompt_attack", count=counted("EMAIL")), (1, 4, 1, 0, 0, 2)),
        ("a kind that nobody knows", case("stranger_data", count=counted("HEALTH")), (4, 4, 1, 0, 0, 0)),
    ],
)  # fmt: skip
def test_suggestions(what, seen, wanted):
    inputs = suggest(seen, GOOD)
    assert levels(inputs) == wanted
    parts = (*inputs.categories, inputs.identification, inputs.confidentiality, inputs.malice, inputs.many)
    assert all(part.by == "suggested" and part.why for part in parts)
    assert decode(encode(inputs)) == inputs


@pytest.mark.parametrize(
    ("people", "quarters", "many"),
    [
        (Range(1, 1), 1, False),
        (Range(20, 20), 1, False),
        (Range(21, 21), 2, False),
        (Range(1, 2), 2, False),
        (Range(100, 100), 2, False),
        (Range(101, 101), 2, True),
        (Range(3, 101), 2, True),
        (Range(3, None), 2, True),
        (Range(0, 4), 2, False),
    ],
)
def test_of_a_range_the_worse_end_counts_and_it_is_said(people, quarters, many):
    inputs = suggest(case("stranger_data", count=counted("EMAIL", people=people)), GOOD)
    assert (inputs.confidentiality.quarters, inputs.many.holds) == (quarters, many)
    assert ("worse end" in inputs.confidentiality.why) is not people.exact
    assert ("worse end" in inputs.many.why) is (many and people.least <= 100)


@pytest.mark.parametrize(
    ("catalogue", "labels", "context"),
    [
        ("ordinary", ["EMAIL", "ORDER_ID"], 2),
        ("luxury", ["EMAIL"], 2),
        ("luxury", ["ORDER_ID"], 2),
        ("sensitive", ["EMAIL"], 3),
        ("sensitive", ["ORDER_ID"], 4),
        ("sensitive", ["URL"], 4),
        ("sensitive", ["IBAN"], 3),
        ("sensitive", ["SECRET"], 4),
        ("luxury", ["SECRET"], 3),
    ],
)
def test_what_a_shop_sells_raises_the_context(catalogue, labels, context):
    plan = with_legal(catalogue=catalogue)
    assert levels(suggest(case("stranger_data", count=counted(*labels)), plan))[0] == context


@pytest.mark.parametrize(
    ("attribute", "context"), [("order", 2), ("staff", 1), ("cost", 0), ("supplier", 0), ("other", 1)]
)
def test_what_a_protected_set_tells(attribute, context):
    inputs = suggest(case("protected_value", count=counted(), sets=("secrets",)), with_set(attribute))
    assert levels(inputs)[0] == context
    also = suggest(case("protected_value", count=counted("CITY"), sets=("secrets",)), with_set(attribute))
    assert also.identification.quarters == (4 if context else 1), "a town of a caller says nothing of who is in the set"
    assert any("their attribute does not say" in each for each in inputs.unknown) is (attribute == "other")


@pytest.mark.parametrize(
    ("rules", "handling", "wanted"),
    [
        (("model_drift",), "mask", 1),
        (("model_drift",), "drop", 1),
        (("model_drift",), "generalise", 4),
        (("model_drift",), "pass", 4),
        (("model_drift", "stranger_data"), "mask", 4),  # in answers placeholders are restored
        (("stranger_data",), "mask", 4),
    ],
)
def test_data_that_was_minimised_identifies_less(rules, handling, wanted):
    surfaces = {
        name: structs.replace(surface, personal_data=PersonalDataRules(default=handling))
        for name, surface in GOOD.surfaces.items()
    }
    plan = structs.replace(GOOD, surfaces=surfaces)
    model = next(iter(GOOD.surfaces["support"].models.values()))
    seen = case(*rules, count=counted("EMAIL"), scope=f"eu/*/*/{model}")
    inputs = suggest(seen, plan)
    assert inputs.identification.quarters == wanted
    assert ("placeholders" in inputs.identification.why) is (wanted == 1)
    assert inputs.confidentiality.quarters == (2 if "model_drift" in rules else 1)  # who runs the other model?
    shadow = {
        name: structs.replace(surface, personal_data=PersonalDataRules(default=handling, mode="shadow"))
        for name, surface in GOOD.surfaces.items()
    }
    assert suggest(seen, structs.replace(GOOD, surfaces=shadow)).identification.quarters == 4


def test_a_leak_without_personal_data_is_no_breach_and_what_would_change_that_is_said():
    plan = with_set("cost")
    inputs = suggest(case("protected_value", count=counted(), sets=("secrets",)), plan)
    result = score(inputs)
    assert (result.quarters, result.band, result.applies) == (0, "none", False)
    assert inputs.categories == ()
    assert inputs.unknown == ()
    assert explain(result)[0].startswith("not to be scored")
    said = advice(result, inputs, plan)
    assert said.outcome == "no_breach"
    assert said.reasons[0].startswith("no personal data seen")
    assert said.reasons[1] == "would change it: any personal data: from severity 0.50, low upwards"
    assert said.reasons[-1] == A_PERSON_DECIDES


@pytest.mark.parametrize(
    ("unknown", "context"),
    [
        ({"not_seen": 3}, 1),
        ({"not_seen": None}, 1),
        ({"log_missing": None}, 1),
        ({"not_seen": 0}, 0),
        ({"no_subject": 4, "not_indexed": 2}, 0),
    ],
)
def test_what_nobody_looked_at_may_hold_personal_data(unknown, context):
    inputs = suggest(case(count=counted(unknown=unknown)), GOOD)
    assert levels(inputs)[0] == context
    assert bool(inputs.unknown) is bool(context)
    price = suggest(case("protected_value", count=counted(unknown=unknown)), GOOD)
    assert price.categories == ()
    assert bool(price.unknown) is bool(context)


def test_what_is_not_known_is_said():
    count = counted("CREDIT_CARD", "ORDER_ID", findings={"prompt_attack": 2}, people=Range(2, 5))
    count = structs.replace(count, categories={**count.categories, "IBAN": Range(0, None), "CITY": Range(0, 0)})
    unknown = " | ".join(suggest(case("stranger_data", count=count), GOOD).unknown)
    for words in (
        "expiry date",
        "whether IBAN were in it at all",
        "callers' own words",
        "one of 2 attacks",
        "one person spans",
    ):
        assert words in unknown
    assert "CITY" not in unknown
    few = suggest(case("stranger_data", count=counted("EMAIL")), GOOD)
    assert any("children" in each for each in few.unknown)
    assert not any("children" in each for each in suggest(case("payment_card", count=count), GOOD).unknown)


RANGES = st.builds(
    lambda a, b: Range(a, None if b is None else a + b), st.integers(0, 500), st.none() | st.integers(0, 9)
)


@given(
    st.lists(st.sampled_from(sorted(IDS))),
    st.none() | st.builds(
        lambda labels, people, unknown: counted(*labels, people=people, unknown=unknown),
        st.lists(st.sampled_from([*LABELS, "HEALTH" * 20])),
        RANGES,
        st.dictionaries(st.sampled_from(get_args(Unknown)), st.none() | st.integers(0, 9)),
    ),
    st.sampled_from(["ordinary", "luxury", "sensitive"]),
    st.lists(st.sampled_from(["secrets", "gone"])),
)  # fmt: skip
def test_any_case_has_a_suggestion_that_fits_and_can_be_advised_on(rules, count, catalogue, sets):
    plan = with_legal(catalogue=catalogue)
    inputs = suggest(case(*rules, count=count, sets=tuple(sets)), plan)
    assert decode(encode(inputs)) == inputs
    said = advice(score(inputs), inputs, plan)
    assert said.reasons[-1] == A_PERSON_DECIDES
    assert (said.outcome == "no_breach") is (not inputs.categories)


# --- what it comes to ---


def inputs(base: str, ei: int, c: int = 0, i: int = 0, a: int = 0, m: int = 0, *, ground: str = "", **flags) -> Inputs:
    adjustments = (Adjustment(ground=ground, why="test"),) if ground else ()  # type: ignore[arg-type]
    return Inputs(
        categories=(Category(base=base, adjustments=adjustments, why="test"),),  # type: ignore[arg-type]
        identification=Identification(quarters=ei, why="test"),  # type: ignore[arg-type]
        confidentiality=Circumstance(quarters=c, why="test"),  # type: ignore[arg-type]
        integrity=Circumstance(quarters=i, why="test"),  # type: ignore[arg-type]
        availability=Circumstance(quarters=a, why="test"),  # type: ignore[arg-type]
        malice=Malice(quarters=m, why="test"),  # type: ignore[arg-type]
        many=Flag(holds=flags.get("many", False), why="test"),
        unintelligible=Flag(holds=flags.get("unintelligible", False), why="the disk is encrypted"),
    )


@pytest.mark.parametrize(
    ("number", "what", "given", "outcome"),
    [
        ("02", "ransomware, no copy, nothing taken", inputs("simple", 4, a=2, m=2), "authority"),
        ("04", "ransomware, data taken", inputs("financial", 4, c=2, a=1, m=2), "authority_and_people"),
        ("05", "applications for jobs taken from a form", inputs("simple", 4, c=2, m=2, ground="simple.profile"),
         "authority_and_people"),
        ("06", "hashed passwords taken", inputs("simple", 2, c=2, m=2, unintelligible=True), "not_notified"),
        ("07", "accounts of a bank entered", inputs("financial", 4, c=2, m=2, ground="financial.fraud"),
         "authority_and_people"),
        ("08", "an employee who leaves takes business contacts", inputs("simple", 4, c=2, m=2), "authority"),
        ("09", "sent to one trusted third party", inputs("simple", 4, c=1), "not_notified"),
        ("13", "two parcels mixed up", inputs("behavioural", 4, c=1, ground="behavioural.no_insight"), "not_notified"),
        ("14", "identity numbers mailed to many", inputs("financial", 4, c=2), "authority_and_people"),
        ("15", "a list of participants mailed to the wrong ones", inputs("simple", 4, c=1), "not_notified"),
        ("16", "an insurance letter to the wrong person", inputs("financial", 4, c=1, ground="financial.partial"),
         "authority"),
        ("17", "a caller who takes over an account", inputs("financial", 4, c=1, m=2), "authority_and_people"),
        ("18", "rules that send mail elsewhere", inputs("financial", 4, c=2, m=2), "authority_and_people"),
    ],
)  # fmt: skip
def test_examples_of_the_edpb(number, what, given, outcome):
    """EDPB Guidelines 01/2021: what authorities expect, case by case. The factors are our reading of each."""
    assert advice(score(given), given, GOOD).outcome == outcome


@pytest.mark.parametrize(
    ("number", "what", "seen", "plan", "outcome"),
    [
        ("13", "a name in one kept answer", case("stranger_data", count=counted("PERSON")), GOOD, "not_notified"),
        ("16", "one wrong answer with an order", case("stranger_data", count=counted("PERSON", "EMAIL", "ORDER_ID")),
         GOOD, "authority"),
        ("14", "an order of a pharmacy in a wrong answer", case("stranger_data", count=counted("EMAIL", "ORDER_ID")),
         with_legal(catalogue="sensitive"), "authority_and_people"),
        ("04", "cards to many, by an attack", case("payment_card", "indirect_attack",
         count=counted("CREDIT_CARD", "PERSON", people=Range(400, None))), GOOD, "authority_and_people"),
        ("06", "placeholders to an exchanged model", case("model_drift", count=counted("EMAIL"),
         scope="eu/*/*/" + next(iter(GOOD.surfaces["support"].models.values()))), GOOD, "not_notified"),
    ],
)  # fmt: skip
def test_their_counterparts_here_from_the_case_to_the_outcome(number, what, seen, plan, outcome):
    given = suggest(seen, plan)
    said = advice(score(given), given, plan)
    assert said.outcome == outcome
    assert said.reasons[-1] == A_PERSON_DECIDES
    assert OUTCOME_SAYS[outcome] in said.reasons[0]


def test_what_nobody_can_read_lowers_the_duty_to_tell_people():
    clear, encrypted = inputs("financial", 4, c=2), inputs("financial", 4, c=2, unintelligible=True)
    assert advice(score(clear), clear, GOOD).ground is None
    said = advice(score(encrypted), encrypted, GOOD)
    assert (said.outcome, said.ground) == ("authority", "unintelligible")
    assert any("Art. 34(3)(a)" in reason and "the disk is encrypted" in reason for reason in said.reasons)
    low = inputs("simple", 1, unintelligible=True)
    assert advice(score(low), low, GOOD).ground is None


@pytest.mark.parametrize(
    ("given", "otherwise"),
    [
        (inputs("simple", 4, c=1, a=2), "authority"),  # 1.75
        (inputs("simple", 4, c=2, m=2), "not_notified"),  # 2.00
        (inputs("behavioural", 4, c=1), "not_notified"),  # 2.25
        (inputs("behavioural", 4, c=2), None),  # 2.50: not near
        (inputs("behavioural", 4, c=2, a=1), "authority_and_people"),  # 2.75
        (inputs("financial", 4), "authority"),  # 3.00
        (inputs("sensitive", 4), None),  # 4.00: high and very high come to the same
    ],
)
def test_near_a_border_the_other_side_is_named(given, otherwise):
    result = score(given)
    said = advice(result, given, GOOD)
    assert said.otherwise == otherwise
    assert any("near a border" in reason for reason in said.reasons) is result.near_border


def test_a_plan_may_map_bands_otherwise():
    given = inputs("behavioural", 4, c=1)
    plan = with_legal(outcomes={"medium": "authority_and_people"})
    assert advice(score(given), given, GOOD).outcome == "authority"
    assert advice(score(given), given, plan).outcome == "authority_and_people"
    assert set(table.BAND_OUTCOMES.values()) == set(get_args(Outcome)) == set(OUTCOME_SAYS)
