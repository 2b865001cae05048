"""Scribe and chain: what is written follows, what was changed does not, and every body has a place of its own."""

import json
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.evidence.chain import Chain, OpenExchanges
from firedoor.core.evidence.frames import decode_frame
from firedoor.core.evidence.leaf import BEGIN, CARRIED, GENESIS, Leaf, carried_after
from firedoor.core.evidence.record import OPERATIONS, Record
from firedoor.core.evidence.scribe import BODY_LIMIT, CARRIED_PER_LEAF, Scribe, needs_key
from firedoor.core.evidence.subjects import NOBODY, SubjectKey
from firedoor.core.evidence.xaes import OVERHEAD
from firedoor.errors import EvidenceDamaged

HOUR = 3_600_000_000_000
LOOKUP, SESSION = "5" * 32, "6" * 32
KEY = SubjectKey("7" * 32, bytes(range(32)), LOOKUP)
NONCE = bytes(24)


def scribe(slot="w0", region="eu"):
    made = Scribe(region, slot, 0, GENESIS, OpenExchanges())
    return made, made.begin(5_000, carry=False)


def record(
    kind="intent", exchange="fx-1", body=None, at=5_000, subject=LOOKUP, session=None, retention=OPERATIONS, **facts
):
    more = {"body": body, "subject": subject, "session": session, "retention": retention}
    return Record(kind=kind, exchange=exchange, at=at, facts=facts, **more)


def leaf_of(written):
    return decode_frame(written.frame, 0).leaf


def followed(written, region="eu", slot="w0", seq=0):
    chain = Chain(region, slot, seq)
    return [chain.follow(leaf_of(one)) for one in written]


records = st.builds(
    record,
    st.sampled_from(["intent", "outcome", "finding", "progress"]),
    st.sampled_from(["fx-1", "fx-2", "fx-3"]),
    st.none() | st.binary(max_size=50),
    at=st.integers(0, 5 * HOUR),
    retention=st.sampled_from(["support", "search", OPERATIONS]),
    count=st.integers(-(2**53) + 1, 2**53 - 1),
)


@given(st.lists(records, max_size=20))
def test_what_is_written_follows(given_):
    writer, written = scribe()
    written += [writer.write(one, KEY, NONCE) for one in given_]
    found = followed(written)
    assert [one.seq for one in found] == [one.seq for one in written] == list(range(1, len(written) + 1))
    assert [one.kind for one in found] == [BEGIN, *(one.kind for one in given_)]
    assert [one.at for one in found[1:]] == [one.at // 1000 for one in given_]


@given(st.lists(records, max_size=20))
def test_bodies_of_a_file_lie_one_after_another_and_files_do_not_mix(given_):
    writer, _ = scribe()
    ends = {}
    for one in given_:
        seq = writer.seq + 1
        leaf = followed([placed := writer.write(one, KEY, NONCE)], seq=None)[0]
        if one.body is None:
            assert leaf.body is placed.body is None
            continue
        path, offset, data = placed.body
        retention, hour, name = path.split("/")
        assert (retention, name) == (one.retention, f"w0.{leaf.body.file:020d}")
        assert hour == f"1970-01-01T{one.at // HOUR:02d}"
        assert (offset, path in ends) == (leaf.body.offset, leaf.body.file != seq)
        assert offset == ends.get(path, 0)
        ends[path] = offset + len(data)
        assert (leaf.body.length, leaf.body.sha256) == (len(data), sha256(data).hexdigest())
        assert len(data) == len(one.body) + OVERHEAD
        assert KEY.open(leaf, data) == one.body


@given(st.lists(records, min_size=2, max_size=12), st.data())
def test_a_record_left_out_or_moved_breaks_the_chain(given_, data):
    writer, written = scribe()
    written += [writer.write(one, KEY, NONCE) for one in given_]
    place = data.draw(st.integers(0, len(written) - 2))
    if data.draw(st.booleans()):
        written[place], written[place + 1] = written[place + 1], written[place]
    else:
        del written[place]
    with pytest.raises(EvidenceDamaged):
        followed(written)


def test_a_rewritten_record_breaks_the_chain_at_the_next_one():
    writer, written = scribe()
    written += [writer.write(record(surface="support"), KEY, NONCE), writer.write(record("outcome"), KEY, NONCE)]
    chain = Chain("eu", "w0")
    chain.follow(leaf_of(written[0]))
    chain.follow(leaf_of(written[1]).replace(b"support", b"suppart"))
    with pytest.raises(EvidenceDamaged, match="Record 3 does not follow"):
        chain.follow(leaf_of(written[2]))


def test_records_of_another_slot_or_region_do_not_belong():
    _, written = scribe("w1")
    for region, slot in (("eu", "w0"), ("us", "w1")):
        with pytest.raises(EvidenceDamaged, match="belongs to eu/w1"):
            followed(written, region, slot)


def test_open_exchanges_are_those_with_intent_and_without_outcome():
    exchanges = OpenExchanges()
    for kind, exchange in [("intent", "a"), ("progress", "a"), ("intent", "b"), ("outcome", "a"), ("outcome", "c")]:
        exchanges.see(kind, exchange)
    assert exchanges.ids() == ["b"]


def test_a_new_segment_carries_every_open_exchange():
    writer, _ = scribe()
    names = [f"fx-{number:0117d}" for number in range(CARRIED_PER_LEAF + 1)]
    for name in names:
        writer.write(record(exchange=name), KEY, NONCE)
    found = followed(writer.begin(9_000, carry=True), seq=None)
    assert [one.kind for one in found] == [BEGIN, CARRIED, CARRIED]
    assert carried_after(found[0]) == 2
    carried = OpenExchanges()
    for one in found:
        carried.carry(one)
    assert carried.ids() == names


@pytest.mark.parametrize("facts", [{}, {"carried": "2"}, {"carried": None}])
def test_a_begin_record_says_how_much_follows(facts):
    with pytest.raises(EvidenceDamaged, match="does not begin a segment"):
        carried_after(Leaf(2, "eu", "w0", 1, GENESIS, BEGIN, "", 5, facts))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        *(({"exchange": exchange}, "exchange id") for exchange in ["x" * 121, "fx 1", 'fx"1', "fx\n", "fé"]),
        ({"retention": "../other", "body": b"x"}, "retention class"),
        ({"retention": "Support", "body": b"x"}, "retention class"),
        ({"x": float("nan")}, "fact 'x'"),
        ({"x": "y" * 70_000}, "over 65535"),
        ({"body": bytes(BODY_LIMIT)}, "over"),
    ],
)
def test_a_refused_record_changes_nothing(changes, problem):
    writer, written = scribe()
    written.append(writer.write(record(body=b"first"), KEY, NONCE))
    with pytest.raises(ValueError, match=problem):
        writer.write(record("intent", **{"exchange": "fx-refused", **changes}), KEY, NONCE)
    assert writer.open.ids() == ["fx-1"]
    written.append(writer.write(record(body=b"second"), KEY, NONCE))
    assert [leaf.seq for leaf in followed(written)] == [1, 2, 3]
    assert written[2].body[:2] == (written[1].body.path, len(written[1].body.data))


def test_a_record_without_key_has_neither_pseudonyms_nor_body():
    writer, _ = scribe()
    leaf = json.loads(leaf_of(writer.write(record(subject=None), None, b"")))
    assert [leaf[name] for name in ("key", "subject", "session", "body")] == [None] * 4


def test_the_log_holds_other_pseudonyms_than_the_index():
    writer, _ = scribe()
    data = leaf_of(writer.write(record(session=SESSION), KEY, NONCE))
    assert LOOKUP.encode() not in data
    assert SESSION.encode() not in data
    leaf = json.loads(data)
    assert (leaf["key"], leaf["subject"]) == (KEY.id, KEY.pseudonym("subject", LOOKUP))
    assert leaf["session"] == KEY.pseudonym("session", SESSION)


@pytest.mark.parametrize(
    ("fields", "needed"),
    [
        ({"subject": None}, None),
        ({"subject": None, "body": b""}, NOBODY),
        ({"subject": None, "session": SESSION}, NOBODY),
        ({"subject": LOOKUP}, LOOKUP),
        ({"subject": LOOKUP, "body": b"x", "session": SESSION}, LOOKUP),
    ],
)
def test_which_key_a_record_needs(fields, needed):
    assert needs_key(record(**fields)) == needed
