"""Leaves to rows: what counts, what is left out, and that nothing a leaf may hold gets through unchecked."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.evidence.exchanges import CODE_LIMIT, LARGEST, UNREADABLE, Place, fold
from firedoor.core.evidence.leaf import Leaf

KEY, SUBJECT, SESSION = "a" * 32, "b" * 32, "c" * 32
FACTS = {
    "shop": "alpenladen", "surface": "support", "model": "eu-chat", "jurisdiction": "DE",
    "credential": "c-1", "plan": "0123456789abcdef",
}  # fmt: skip


def leaf(kind, seq=1, exchange="fx-1", at=10, slot="w0", facts=None, **more):
    facts = FACTS if facts is None else facts
    return Leaf(2, "eu", slot, seq, "0" * 64, kind, exchange, at, facts, **more)


def only(*leaves):
    (change,) = fold(leaves).exchanges.values()
    return change


def test_an_exchange_from_intent_to_outcome():
    change = only(
        leaf("intent", 5, at=100, key=KEY, subject=SUBJECT, session=SESSION, facts={**FACTS, "minimised": {"EMAIL": 2}}),
        leaf("progress", 7, at=150, key=KEY, subject=SUBJECT, facts={**FACTS, "released": 40}),
        leaf(
            "outcome", 9, at=140,
            facts={**FACTS, "outcome": "minimised", "reason": None, "released": 70, "restored": {"EMAIL": 1}},
        ),
    )  # fmt: skip
    assert (change.first_seq, change.last_seq, change.began, change.last) == (5, 9, 100, 150)
    assert change.place == Place("alpenladen", "support", "eu-chat", "DE")
    assert (change.credential, change.plan) == ("c-1", "0123456789abcdef")
    assert (change.key, change.session, change.called, change.released) == (KEY, SESSION, True, 70)
    assert (change.outcome, change.reason, change.outcome_seq) == ("minimised", "", 9)
    assert (change.present, change.restored, change.found) == ({"EMAIL"}, {"EMAIL"}, False)


def test_the_last_outcome_counts():
    change = only(leaf("outcome", 3, facts={"outcome": "answered"}), leaf("outcome", 4, facts={"outcome": "cut"}))
    assert (change.outcome, change.outcome_seq) == ("cut", 4)


def test_an_open_exchange_has_no_outcome_and_a_recovered_one_is_unknown():
    assert only(leaf("intent")).outcome is None
    change = only(leaf("outcome", 2, facts={"outcome": "unknown", "reason": "recovered"}))
    assert (change.outcome, change.reason, change.place, change.called) == ("unknown", "recovered", None, False)


def test_a_finding_is_a_row_and_marks_its_exchange():
    changes = fold([leaf("finding", 8, facts={**FACTS, "rule": "honeytoken", "verdict": "shut"})])
    (found,) = changes.findings
    assert (found.slot, found.seq, found.exchange, found.rule, found.verdict) == ("w0", 8, "fx-1", "honeytoken", "shut")
    assert found.place.shop == "alpenladen"
    assert changes.exchanges["w0", "fx-1"].found


def test_a_finding_about_no_exchange_makes_none():
    changes = fold([leaf("finding", exchange="", facts={"rule": "undeclared_flow"})])
    assert not changes.exchanges
    assert changes.findings[0].rule == "undeclared_flow"


@pytest.mark.parametrize(
    "kind", ["switch", "request", "access", "refused", "begin", "carried", "key", "expiry", "hold"]
)
def test_other_kinds_change_nothing(kind):
    changes = fold([leaf(kind, facts={**FACTS, "keys": [KEY], "rule": "x", "open": ["fx-1"]})])
    assert not changes.exchanges
    assert not changes.findings
    assert not changes.erased


def test_the_key_counts_only_with_a_subject():
    assert only(leaf("intent", key=KEY)).key is None  # the slot's own key: about nobody
    assert only(leaf("intent", key=KEY, subject=SUBJECT)).key == KEY
    assert only(leaf("intent", key="not hex", subject=SUBJECT)).key is None


def test_slots_are_kept_apart():
    changes = fold([leaf("intent", slot="w0"), leaf("outcome", slot="w1", facts={"outcome": "cut"})])
    assert changes.exchanges["w0", "fx-1"].outcome is None
    assert changes.exchanges["w1", "fx-1"].outcome == "cut"


@pytest.mark.parametrize(
    ("keys", "erased"),
    [([KEY, SESSION], {KEY, SESSION}), ([], set()), ([KEY[:-1], KEY + "a", KEY.upper(), ""], set()), (KEY, set()), (None, set())],
)  # fmt: skip
def test_erasures(keys, erased):
    assert fold([leaf("erasure", exchange="", facts={"keys": keys})]).erased == erased


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("support", "support"), ("x" * CODE_LIMIT, "x" * CODE_LIMIT), (None, ""), ("", ""),
        ("x" * (CODE_LIMIT + 1), UNREADABLE), ("a\0b", UNREADABLE), ("a\x1b[2J", UNREADABLE), ("a\nb", UNREADABLE),
        ("\u202eevil", UNREADABLE), (7, UNREADABLE), (["a"], UNREADABLE), ({"a": 1}, UNREADABLE), (True, UNREADABLE),
    ],
)  # fmt: skip
def test_codes(value, kept):
    assert only(leaf("intent", facts={**FACTS, "surface": value})).place.surface == kept


@pytest.mark.parametrize(
    ("value", "kept"),
    [({"EMAIL": 1}, {"EMAIL"}), ({"EMAIL": 0, "IBAN": -1}, set()), ({"": 1}, set()), (["EMAIL"], set()), ("EMAIL", set())],
)  # fmt: skip
def test_categories(value, kept):
    assert only(leaf("intent", facts={**FACTS, "minimised": value})).present == kept


@pytest.mark.parametrize(
    ("value", "kept"), [(5, 5), (-5, 0), (2**70, LARGEST), (True, 0), (1.5, 0), ("5", 0), (None, 0)]
)
def test_counts(value, kept):
    assert only(leaf("outcome", facts={"outcome": "cut", "released": value})).released == kept


FACT = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text(), max_size=3),
    st.dictionaries(st.text(), st.integers(), max_size=3),
)  # fmt: skip
NAMES = st.sampled_from(["shop", "surface", "model", "jurisdiction", "credential", "plan", "minimised", "restored",
                         "released", "outcome", "reason", "rule", "verdict", "keys"])  # fmt: skip
LEAVES = st.builds(
    leaf,
    st.sampled_from(["intent", "progress", "outcome", "finding", "erasure", "switch"]),
    exchange=st.text(max_size=200),
    at=st.integers(),
    facts=st.dictionaries(NAMES, FACT),
    key=st.none() | st.text(max_size=40),
    subject=st.none() | st.text(max_size=40),
    session=st.none() | st.text(max_size=40) | st.text(string.hexdigits, min_size=32, max_size=32),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(LEAVES, max_size=8))
def test_whatever_a_leaf_holds_the_rows_can_be_stored(leaves):
    changes = fold(leaves)
    for change in changes.exchanges.values():
        texts = [change.exchange, change.credential, change.plan, change.reason, change.outcome or ""]
        texts += [*(change.place or ()), *change.present, *change.restored]
        assert all(len(text) <= CODE_LIMIT and text.isprintable() for text in texts)
        assert all(0 <= number <= LARGEST for number in (change.began, change.last, change.released))
        assert all(one is None or (len(one) == 32 and one.isascii()) for one in (change.key, change.session))
        assert change.began <= change.last
    for found in changes.findings:
        assert all(
            len(text) <= CODE_LIMIT and text.isprintable() for text in (found.exchange, found.rule, *found.place)
        )
