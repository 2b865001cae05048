"""Scribe and chain: what is written follows, what was changed does not, and sealed bodies stay where they belong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.evidence.chain import Chain, OpenExchanges
from firedoor.core.evidence.frames import decode_frame
from firedoor.core.evidence.leaf import CARRIED, GENESIS, KEY, Leaf
from firedoor.core.evidence.record import Record
from firedoor.core.evidence.scribe import CARRIED_PER_LEAF, Scribe
from firedoor.core.evidence.seal import BodyKey, EvidenceOpener, key_id
from firedoor.errors import EvidenceDamaged

OPENER = EvidenceOpener("eu", bytes(range(32)))
RANDOM = bytes(range(64))


def scribe(slot="w0"):
    made = Scribe(OPENER.seal, slot, 0, GENESIS, OpenExchanges())
    return made, made.new_key(1, RANDOM, carry=False)


def record(kind="intent", exchange="fx-1", body=None, **facts):
    return Record(kind=kind, exchange=exchange, at=5, facts=facts, body=body)


def leaves(written):
    return [decode_frame(one.frame, 0) for one in written]


records = st.builds(
    record,
    st.sampled_from(["intent", "outcome", "finding", "progress"]),
    st.sampled_from(["fx-1", "fx-2", "fx-3"]),
    st.none() | st.binary(max_size=50),
    count=st.integers(-(2**53), 2**53),
)


@given(st.lists(records, max_size=20))
def test_what_is_written_follows(given_):
    writer, written = scribe()
    written += [writer.write(one) for one in given_]
    chain = Chain("eu", "w0")
    found = [chain.follow(frame.leaf) for frame in leaves(written)]
    assert [one.seq for one in found] == list(range(1, len(written) + 1))
    assert [one.kind for one in found] == [KEY, *(one.kind for one in given_)]


@given(st.lists(records, min_size=2, max_size=12), st.data())
def test_a_record_left_out_or_moved_breaks_the_chain(given_, data):
    writer, written = scribe()
    frames = leaves([*written, *(writer.write(one) for one in given_)])
    place = data.draw(st.integers(0, len(frames) - 2))
    if data.draw(st.booleans()):
        frames[place], frames[place + 1] = frames[place + 1], frames[place]
    else:
        del frames[place]
    chain = Chain("eu", "w0")
    with pytest.raises(EvidenceDamaged):
        for frame in frames:
            chain.follow(frame.leaf)


def test_a_rewritten_record_breaks_the_chain_at_the_next_one():
    writer, written = scribe()
    frames = leaves([*written, writer.write(record(surface="support")), writer.write(record("outcome"))])
    chain = Chain("eu", "w0")
    chain.follow(frames[0].leaf)
    chain.follow(frames[1].leaf.replace(b"support", b"suppart"))
    with pytest.raises(EvidenceDamaged, match="Record 3 does not follow"):
        chain.follow(frames[2].leaf)


def test_records_of_another_slot_or_region_do_not_belong():
    writer, written = scribe("w1")
    for chain in (Chain("eu", "w0"), Chain("us", "w1")):
        with pytest.raises(EvidenceDamaged, match="belongs to eu/w1"):
            chain.follow(leaves(written)[0].leaf)
    assert writer.seq == 1


def test_open_exchanges_are_those_with_intent_and_without_outcome():
    exchanges = OpenExchanges()
    for kind, exchange in [("intent", "a"), ("progress", "a"), ("intent", "b"), ("outcome", "a"), ("outcome", "c")]:
        exchanges.see(kind, exchange)
    assert exchanges.ids() == ["b"]


def test_a_new_segment_carries_every_open_exchange():
    writer, _ = scribe()
    count = CARRIED_PER_LEAF + 1
    names = [f"fx-{number:0117d}" for number in range(count)]
    for name in names:
        writer.write(record(exchange=name))
    head = leaves(writer.new_key(9, RANDOM, carry=True))
    chain = Chain("eu", "w0", seq=None)
    found = [chain.follow(frame.leaf) for frame in head]
    assert [one.kind for one in found] == [KEY, CARRIED, CARRIED]
    assert found[0].facts == {"carried": 2}
    carried = OpenExchanges()
    for one in found:
        carried.carry(one)
    assert carried.ids() == names


@pytest.mark.parametrize("exchange", ["x" * 121, "fx 1", 'fx"1', "fx\n", "fé"])
def test_exchange_ids_are_bounded(exchange):
    writer, _ = scribe()
    with pytest.raises(ValueError, match="exchange id"):
        writer.write(record(exchange=exchange))
    assert writer.write(record()).seq == 2  # the refused one left no gap


class TestSealing:
    def sealed(self, body=b"Liefert Alpen AG den Kessel?"):
        writer, written = scribe()
        written = leaves([*written, writer.write(record(body=body))])
        chain = Chain("eu", "w0")
        return [(chain.follow(frame.leaf), frame.sealed) for frame in written]

    def test_the_region_opens_what_a_worker_sealed(self):
        (key, wrapped), (leaf, sealed) = self.sealed()
        assert b"Kessel" not in sealed
        data_key = OPENER.unwrap(wrapped, "w0")
        assert leaf.body.key == key.body.key == key_id(wrapped)
        assert BodyKey("eu", "w0", wrapped, data_key).open(leaf, sealed) == b"Liefert Alpen AG den Kessel?"

    @pytest.mark.parametrize(
        "change",
        [
            {"seq": 3},
            {"region": "us"},
            {"slot": "w1"},
            {"kind": "outcome"},
            {"exchange": "fx-2"},
        ],
    )
    def test_a_body_moved_to_another_record_does_not_open(self, change):
        (_, wrapped), (leaf, sealed) = self.sealed()
        key = BodyKey("eu", "w0", wrapped, OPENER.unwrap(wrapped, "w0"))
        fields = {name: getattr(leaf, name) for name in Leaf.__struct_fields__}
        with pytest.raises(EvidenceDamaged, match="does not open"):
            key.open(Leaf(**{**fields, **change}), sealed)

    @pytest.mark.parametrize(
        ("opener", "slot"),
        [(EvidenceOpener("us", bytes(range(32))), "w0"), (EvidenceOpener("eu", bytes(32)), "w0"), (OPENER, "w1")],
    )
    def test_a_data_key_opens_only_in_its_region_and_slot(self, opener, slot):
        (_, wrapped), _ = self.sealed()
        with pytest.raises(EvidenceDamaged):
            opener.unwrap(wrapped, slot)

    @given(st.integers(0, 8 * 80 - 1))
    def test_a_changed_key_record_does_not_open(self, bit):
        (_, wrapped), _ = self.sealed()
        changed = bytearray(wrapped)
        changed[bit // 8] ^= 1 << bit % 8
        if bit == 255:
            return  # X25519 ignores the top bit of a public key (RFC 7748, 5); the key's id and the leaf's hash do not
        with pytest.raises(EvidenceDamaged):
            OPENER.unwrap(bytes(changed), "w0")
