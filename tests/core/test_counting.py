"""Counting who is affected in columns: many countries, many labels, what the entry of a case has room for; merging."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.evidence.exchanges import fold, merge
from firedoor.core.evidence.leaf import GENESIS, VERSION, Leaf
from firedoor.core.incident.affected import ENTRY_LIMIT, OTHERS, Affected, AskedFor, Range, decode, encode
from firedoor.core.incident.counting import ENDED, ERASED, GIVEN, KNOWN, NOBODY, OPEN, Columns, Doubt, Names, Tally
from firedoor.core.incident.inquestion import scopes_of, standing

SURE = Doubt(0, 0)


def tally(people, countries=("DE",), labels=("EMAIL",), kinds=None):
    return Tally(np.array(kinds or [KNOWN] * people, np.uint8), Names(countries, labels, ("c",), ("m",)))


def columns(people, ended=GIVEN, *, country=0, labels=0, called=True, released=False):
    def whole(value, kind=np.int64):
        return np.full(len(people), value, kind)

    return Columns(
        np.array(people, np.int64),
        whole(labels),
        whole(called, np.bool_),
        whole(released, np.bool_),
        whole(ended, np.int8),
        whole(country),
        whole(0),
        whole(0),
    )


def test_more_countries_than_an_integer_has_bits():
    names = [f"C{number}" for number in range(200)]
    counts = tally(3, names)
    for number in range(200):
        counts.add(columns([number % 3], country=number), sure=True)
    counts.add(columns([0], country=-1), sure=True)
    found = counts.jurisdictions(SURE)
    assert found["C199"] == Range(1, 2)
    assert found["C198"] == Range(1, 1)  # whoever told nothing is of it anyway
    assert found["unknown"] == Range(1, 1)
    assert len(found) == 201
    assert counts.person(1)[2] == tuple(f"C{number}" for number in range(1, 200, 3))


def test_the_last_of_sixty_three_labels():
    labels = [f"L{number}" for number in range(63)]
    counts = tally(2, labels=labels)
    counts.add(columns([0, NOBODY], labels=1 << 62 | 1), sure=True)
    assert counts.categories(SURE) == {"L0": Range(2, 2), "L62": Range(2, 2)}
    assert counts.subjects_by_category(SURE)["L62"] == Range(1, 2)


def test_what_is_behind_the_records_that_nobody_read():
    counts = tally(3)
    counts.add(columns([0, 1]), sure=True)
    counts.add(columns([2], released=True), sure=True)
    assert counts.exposed(SURE) == Range(3, 3)
    assert counts.exposed(Doubt(2, 2)) == Range(1, 5)  # an answer of which nothing is released may be taken back
    assert counts.exposed_subjects(Doubt(2, 2)) == Range(1, 5)
    assert counts.recipients(Doubt(2, 2))["credentials"] == {"c": Range(1, 5)}
    assert counts.subjects(Doubt(None, 7)) == Range(3, None)


def test_an_erased_shopper_may_be_one_of_the_known():
    counts = tally(3, kinds=[KNOWN, ERASED, ERASED])
    counts.add(columns([1, 2], ENDED), sure=True)
    assert counts.subjects(SURE) == Range(1, 2)
    counts.add(columns([0], ENDED), sure=True)
    assert counts.subjects(SURE) == Range(1, 3)


def test_an_open_exchange_without_an_intent_gave_nothing():
    counts = tally(1)
    counts.add(columns([0], OPEN, called=False), sure=True)
    assert counts.exposed(SURE) == Range(0, 0)
    counts.add(columns([0], OPEN), sure=True)
    assert counts.exposed(SURE) == Range(0, 1)
    assert counts.exposed_subjects(SURE) == Range(0, 1)


@pytest.mark.parametrize(("countries", "name"), [(10, 20), (250, 120)])
def test_an_entry_holds_it_whatever_its_size(countries, name):
    some = Range(1, 2)
    many = {f"{'c' * name}{number}": Range(number, number) for number in range(5000)}
    affected = Affected(
        asked=AskedFor(region="eu", scopes=("eu/*/*/*",) * 200, since=1, until=None, exchanges=("fx-0" * 7,) * 200),
        as_of=1, took=1.0, exchanges=some, exposed=some, confirmed=some, subjects=some, exposed_subjects=some,
        jurisdictions={f"C{n}": Range(n, n) for n in range(countries)}, categories=many if name > 50 else {},
        subjects_by_category={}, recipients={"credentials": many, "models": {}}, findings=dict.fromkeys(many, 1),
        unknown={}, read_up_to=dict.fromkeys(many, 1),
    )  # fmt: skip
    text = encode(affected)
    assert len(text) <= ENTRY_LIMIT
    found = decode(text)
    assert found.asked == affected.asked
    others = found.recipients["credentials"][OTHERS]
    named = [value for key, value in found.recipients["credentials"].items() if key != OTHERS]
    assert others.most == sum(range(5000)) - sum(value.least for value in named)
    assert others.least == max(set(range(5000)) - {value.least for value in named})


def leaf(seq, kind, at, facts, key):
    return Leaf(VERSION, "eu", "w0", seq, GENESIS, kind, "fx-1", at, facts, key, key, None)


LEAVES = st.lists(
    st.builds(
        lambda kind, at, placed, outcome, released, label, key: (
            kind, at,
            {
                **({"shop": "s", "surface": "f", "model": "m", "jurisdiction": "DE"} if placed else {}),
                "released": released, "minimised": {label: 1}, "restored": {label: 1},
                **({"outcome": outcome} if kind == "outcome" else {}),
            },
            key,
        ),
        st.sampled_from(["intent", "progress", "outcome", "finding"]), st.integers(0, 9), st.booleans(),
        st.sampled_from(["answered", "unknown", "cut"]), st.integers(0, 5), st.sampled_from("ABC"),
        st.sampled_from([None, "0" * 32]),
    ),
    min_size=2, max_size=8,
)  # fmt: skip


@given(LEAVES, st.data())
def test_merging_two_parts_says_what_all_leaves_say(made, data):
    leaves = [leaf(seq, *one) for seq, one in enumerate(made, 1)]
    cut = data.draw(st.integers(1, len(leaves) - 1))
    (whole,), (old,), (new,) = (fold(part).exchanges.values() for part in (leaves, leaves[:cut], leaves[cut:]))
    assert merge(old, new) == whole
    assert merge(whole, new) == whole


def test_a_scope_that_cannot_be_read_means_the_region():
    asked = AskedFor(region="eu", scopes=("what is this",), since=0, until=None)
    (change,) = fold([leaf(1, "intent", 5, {"shop": "s", "surface": "f", "model": "m"}, None)]).exchanges.values()
    assert standing(asked, scopes_of(asked), change) == "sure"
