"""Findings become the cases that a person would make of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from firedoor.core.evidence.leaf import Leaf
from firedoor.core.incident import entries as kinds
from firedoor.core.incident.case import fold
from firedoor.core.incident.entries import Entry, FoundOne
from firedoor.core.incident.folding import (
    FAMILIES,
    LEAK,
    TITLES,
    Counts,
    Folding,
    Standing,
    found_of,
    leak_of,
    title_of,
)
from firedoor.core.plan.response import IncidentRules, OpensRule
from firedoor.core.plan.words import Duration
from firedoor.core.policy import PROMPT_RULES, RULES

AT = 1_800_000_000_000_000
SECOND = 1_000_000
HOUR = 3600 * SECOND
SCOPE = "eu/alpen/support/m0"


def found(seq=1, at=AT, scope=SCOPE, rule="protected_value", verdict="shut", sets=()):
    return FoundOne(
        slot="w0", seq=seq, at=at, rule=rule, verdict=verdict, scope=scope, exchange=f"x{seq}", sets=tuple(sets)
    )


def standing(*found_ones, name="c", **more):
    opened = kinds.Opened(
        cause="finding", title="t", scope=found_ones[0].scope, detected=found_ones[0].at, rule=found_ones[0].rule
    )
    payloads = [opened, kinds.Findings(found=found_ones)]
    case = fold([Entry(case=name, number=n, at=AT, by="firedoor", payload=p) for n, p in enumerate(payloads, 1)])
    return Standing.of(structs.replace(case, **more), "eu")


def folding(*known, opens=None, counts=None, **rules):
    rules = IncidentRules(**({"opens": opens} if opens is not None else {}), **rules)
    return Folding(known, rules, counts or Counts())


@pytest.mark.parametrize(
    ("one", "joins"),
    [
        (found(2), True),
        (found(2, rule="honeytoken"), True),
        (found(2, rule=LEAK), True),
        (found(2, rule="stranger_data"), False),
        (found(2, rule="prompt_attack"), False),
        (found(2, scope="eu/alpen/support/m9"), True),  # the same surface
        (found(2, scope="eu/alpen/search/m0"), True),  # the same model instance
        (found(2, scope="eu/alpen/search/m9"), False),
        (found(2, scope="eu/alpen/search/m9", sets=["orders"]), True),  # the same protected set
        (found(2, scope="eu/alpen/search/m9", sets=["prices"]), False),
        (found(2, scope="eu/berg/support/m0", sets=["orders"]), False),  # another shop
        (found(2, scope="eu/alpen/*/*"), False),
        (found(2, at=AT + 24 * HOUR - 1), True),
        (found(2, at=AT + 24 * HOUR), False),
        (found(2, at=AT - 24 * HOUR + 1), True),
        (found(2, at=AT - 24 * HOUR), False),
    ],
)
def test_which_finding_joins(one, joins):
    assert folding(standing(found(sets=["orders"]))).joins(one) == ("c" if joins else None)


@pytest.mark.parametrize("wide", ["eu/alpen/*/*", "eu/*/*/*", "eu/*/support/*", "eu/*/*/m0"])
def test_a_wider_case_takes_what_lies_in_it(wide):
    assert folding(standing(found(scope=wide))).joins(found(2)) == "c"
    assert folding(standing(found(scope="eu/berg/*/*"))).joins(found(2)) is None


def test_two_model_instances_drift_for_themselves():
    one, other = (found(rule="model_drift", scope=f"eu/*/*/m{n}", verdict="record") for n in range(2))
    assert folding(standing(one)).joins(other) is None
    assert folding(standing(one)).joins(structs.replace(one, seq=2)) == "c"


def test_a_resolved_case_takes_what_was_found_before_and_one_that_ended_nothing():
    resolved = standing(found(), resolved_at=AT + HOUR)
    assert folding(resolved).joins(found(2, at=AT + HOUR)) == "c"
    after = found(2, at=AT + HOUR + 1)
    assert folding(resolved).joins(after) is None
    assert folding(resolved).earlier(after) == "c"
    closed = folding(standing(found(), state="closed", closed_at=AT + HOUR))
    assert closed.joins(found(2)) is None
    assert closed.earlier(found(2)) == "c"
    assert closed.earlier(found(2, rule="stranger_data")) is None


def test_of_several_the_case_found_last_takes_it():
    early, late = standing(found(at=AT - HOUR), name="a"), standing(found(), name="b")
    assert folding(early, late).joins(found(2)) == folding(late, early).joins(found(2)) == "b"


def test_what_a_case_takes_widens_it():
    cases = folding(standing(found()))
    assert cases.joins(found(2, scope="eu/alpen/search/m9")) is None
    assert cases.joins(found(3, scope="eu/alpen/search/m0")) == "c"
    assert cases.joins(found(4, scope="eu/alpen/search/m9")) == "c"


@pytest.mark.parametrize(
    ("rule", "one", "opens"),
    [
        (OpensRule(findings=("any",)), found(), True),
        (OpensRule(findings=("any",)), found(verdict="cut"), False),
        (OpensRule(findings=("any",), verdicts=("cut", "mask")), found(verdict="mask"), True),
        (OpensRule(findings=("honeytoken",)), found(), False),
        (OpensRule(findings=("honeytoken",)), found(rule="honeytoken"), True),
        (OpensRule(findings=("honeytoken",)), found(rule=LEAK), True),
        (OpensRule(findings=("stranger_data",)), found(rule=LEAK), False),
        (OpensRule(findings=("any",), verdicts=("record",)), found(rule="model_drift", verdict="record"), True),
    ],
)
def test_what_opens_a_case(rule, one, opens):
    opening = folding(opens=(rule,)).opens(one)
    assert (opening is not None) is opens
    if opening:
        assert opening == (rule, (one,))


def test_the_first_rule_that_fits_opens():
    rules = (OpensRule(findings=("honeytoken",), purge=("cache",)), OpensRule(findings=("any",), restricted=("dpo",)))
    assert folding(opens=rules).opens(found(rule="honeytoken")).rule is rules[0]
    assert folding(opens=rules).opens(found()).rule is rules[1]


ATTACKS = OpensRule(findings=("prompt_attack",), verdicts=("record",), count=3, within=Duration(60))


def attack(seq, at, shop="alpen"):
    return found(seq, at, f"eu/{shop}/support/m0", "prompt_attack", "record")


def test_several_within_a_time_open_one_case_of_all_of_them():
    counts = Counts()
    cases = folding(opens=(ATTACKS,), counts=counts)
    assert cases.opens(attack(1, AT)) is None
    assert cases.opens(attack(2, AT + 30 * SECOND, shop="berg")) is None
    cases = folding(opens=(ATTACKS,), counts=counts)  # another batch
    assert cases.opens(attack(3, AT + 59 * SECOND)) is None
    opening = cases.opens(attack(4, AT + 59 * SECOND))
    assert [one.seq for one in opening.found] == [1, 3, 4]
    assert cases.opens(attack(5, AT + 59 * SECOND)) is None  # they were used


def test_too_slow_for_the_rule_opens_nothing():
    cases = folding(opens=(ATTACKS,))
    assert all(cases.opens(attack(n, AT + n * 30 * SECOND)) is None for n in range(20))


def test_counts_are_bounded():
    counts = Counts()
    rule = structs.replace(ATTACKS, count=10_000, within=Duration(86400))
    for n in range(30_000):
        counts.enough(0, rule, attack(n, AT, shop=f"s{n % 100}"))
    assert counts._size <= 20_000
    assert counts._size == sum(map(len, counts._seen.values()))


def leaf(**facts):
    return Leaf(v=2, region="eu", slot="w0", seq=4, prev="0" * 64, kind="finding", exchange="x1", at=AT, facts=facts)


def test_what_a_record_says_of_a_finding():
    facts = {"rule": "honeytoken", "verdict": "shut", "scope": SCOPE, "sets": ["orders"], "score": 1}
    assert found_of(leaf(**facts), "eu") == structs.replace(found(4, rule="honeytoken", sets=["orders"]), exchange="x1")


@pytest.mark.parametrize(
    "wrong", [{"rule": 7}, {"scope": "eu//"}, {"scope": None}, {"sets": "no"}, {"rule": "a\nb"}, {"rule": "x" * 200}]
)
def test_a_record_that_cannot_be_read_is_none_but_a_leak_is_always_one(wrong):
    facts = {"rule": "honeytoken", "verdict": "shut", "scope": SCOPE} | wrong
    assert found_of(leaf(**facts | {"verdict": "mask"}), "eu") is None
    leak = found_of(leaf(**facts), "eu")
    assert (leak.rule, leak.verdict) == (LEAK, "shut")
    assert leak.scope == (SCOPE if "scope" not in wrong else "eu/*/*/*")


def test_a_leak_elsewhere_is_one_of_the_whole_region():
    assert leak_of("h/w0", 1, AT, "us/alpen/support/m0", "x\x00é", "eu") == FoundOne(
        slot="h/w0", seq=1, at=AT, rule=LEAK, verdict="shut", scope="eu/*/*/*", exchange="x"
    )


def test_every_rule_of_a_finding_has_a_family_and_a_title():
    named = {*RULES.values(), *PROMPT_RULES, "stranger_data", "model_drift", "poisoned_cache", "session_refused"}
    assert named <= FAMILIES.keys()
    assert FAMILIES.keys() == TITLES.keys()
    assert title_of(found()) == "Leak of protected values: alpen, support, m0"
    assert title_of(found(rule="not_scanned", scope="eu")) == "not scanned: all of the region"
    assert len(title_of(found(rule="x" * 130, scope="/".join(["a" * 63] * 4)))) <= 300


def test_ten_thousand_findings_against_a_hundred_cases():
    known = [standing(found(scope=f"eu/s{n}/support/m{n}", sets=["orders"]), name=f"c{n}") for n in range(100)]
    cases = folding(*known)
    many = [found(n, AT + n, f"eu/s{n % 200}/support/m{n % 7}", sets=["prices"]) for n in range(10_000)]
    assert sum(cases.joins(one) is not None for one in many) == 5000


FOUND = st.builds(
    found,
    st.integers(1, 9),
    st.integers(AT - 30 * HOUR, AT + 30 * HOUR),
    st.builds("eu/{}/{}/{}".format, *(st.sampled_from(["*", name, name + "2"]) for name in ("a", "b", "c"))),
    st.sampled_from(["honeytoken", "protected_value", "stranger_data", LEAK]),
    sets=st.lists(st.sampled_from(["s1", "s2"]), max_size=2, unique=True),
)


@settings(deadline=None, max_examples=200)
@given(st.lists(FOUND, min_size=1, max_size=12))
def test_every_leak_is_in_exactly_one_case_and_order_in_a_batch_is_kept(many):
    cases, made = folding(), {}
    for number, one in enumerate(many):
        name = cases.joins(one)
        if name is None:
            opening = cases.opens(one)
            assert opening is not None
            name = f"c{number}"
            cases.begin(name, opening.found)
            assert name not in made
        made.setdefault(name, []).append(one)
    assert sum(map(len, made.values())) == len(many)
    for group in made.values():
        assert len({FAMILIES[one.rule] for one in group}) == 1
        assert all(cases.joins(one) is not None for one in group)  # told again, it finds a case
