"""Frames and leaves: what goes in comes out, and no flipped bit, cut or hole goes unnoticed or is taken for another."""

import json
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from firedoor.core.evidence.frames import (
    BLOCK_BYTES,
    HEADER_BYTES,
    begin_write,
    decode_frame,
    encode_frame,
    torn_write,
)
from firedoor.core.evidence.leaf import (
    GENESIS,
    LEAF_LIMIT,
    VERSION,
    Body,
    Leaf,
    body_file,
    check_name,
    decode,
    encode,
    hour,
    plain_facts,
)
from firedoor.errors import EvidenceDamaged

leaves = st.binary(min_size=1, max_size=300)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.from_regex(r"[a-z][a-z0-9_.-]{0,20}", fullmatch=True)
numbers = st.integers(-(2**53) + 1, 2**53 - 1)
codes = st.text(st.characters(max_codepoint=0xD7FF), max_size=20)
facts = st.dictionaries(
    codes,
    st.none()
    | st.booleans()
    | numbers
    | st.floats(-1e14, 1e14)
    | texts
    | st.lists(texts, max_size=3)
    | st.dictionaries(codes, numbers, max_size=3),
    max_size=6,
)


def leaf(**changes):
    fields = {
        "v": VERSION,
        "region": "eu",
        "slot": "w0",
        "seq": 1,
        "prev": GENESIS,
        "kind": "intent",
        "exchange": "fx-1",
    }
    return Leaf(**{**fields, "at": 1_790_000_000_000_000, "facts": {}, **changes})


def frame_of(text, first):
    return begin_write(encode_frame(text)) if first else encode_frame(text)


@given(st.lists(st.tuples(leaves, st.booleans()), max_size=5), st.binary(max_size=20))
def test_frames_follow_one_another(given_, before):
    data = before + b"".join(frame_of(*one) for one in given_)
    offset, found = len(before), []
    while (frame := decode_frame(data, offset)) is not None:
        found.append((frame.leaf, frame.begins_write))
        offset = frame.end
    assert found == given_
    assert offset == len(data)


@given(leaves, st.booleans(), st.data())
def test_a_cut_frame_is_not_yet_there(text, first, data):
    frame = frame_of(text, first)
    assert decode_frame(frame[: data.draw(st.integers(0, len(frame) - 1))], 0) is None


@given(leaves, st.booleans(), leaves, st.data())
def test_a_flipped_bit_is_damage_and_never_a_torn_tail(text, first, second, data):
    frame = frame_of(text, first)
    bit = data.draw(st.integers(0, 8 * len(frame) - 1))
    flipped = bytearray(frame + encode_frame(second))
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(EvidenceDamaged):
        decode_frame(bytes(flipped), 0)


def test_lengths_beyond_the_bounds_are_refused():
    with pytest.raises(EvidenceDamaged, match="impossible length"):
        decode_frame(encode_frame(b""), 0)
    with pytest.raises(EvidenceDamaged, match="impossible length"):
        decode_frame(encode_frame(bytes(LEAF_LIMIT + 1)), 0)
    assert decode_frame(encode_frame(b"x" * LEAF_LIMIT), 0).leaf == b"x" * LEAF_LIMIT
    with pytest.raises(EvidenceDamaged):
        decode_frame(bytes(HEADER_BYTES), 0)


json_texts = st.text("abc{}:0123456789", min_size=1, max_size=3000).map(str.encode)
writes = st.lists(st.lists(json_texts, min_size=1, max_size=4), min_size=1, max_size=3)


def segment_of(given_):
    """The bytes of these writes; where each frame starts, the number of its write, and the start of that write."""
    data, starts = b"", []
    for number, write in enumerate(given_):
        begin = len(data)
        for place, text in enumerate(write):
            starts.append((len(data), number, begin))
            data += frame_of(text, place == 0)
    return data, starts


def first_damaged(data):
    offset = 0
    try:
        while (frame := decode_frame(data, offset)) is not None:
            offset = frame.end
    except EvidenceDamaged:
        return offset
    return None


class TestTornWrites:
    @given(writes, st.integers(0, 4096), st.data())
    def test_blocks_missing_from_the_last_write_are_a_torn_write(self, given_, before, data):
        whole, starts = segment_of(given_)
        begin = starts[-1][2]
        left = bytearray(whole)
        for block in range((before + begin) // BLOCK_BYTES, (before + len(whole)) // BLOCK_BYTES + 1):
            if data.draw(st.booleans()):
                start = max(begin, block * BLOCK_BYTES - before)
                end = min(len(left), (block + 1) * BLOCK_BYTES - before)
                left[start:end] = bytes(end - start)
        damaged = first_damaged(bytes(left))
        if damaged is not None:
            assert damaged >= begin
            assert torn_write(bytes(left[damaged:]), before + damaged)

    @given(writes, st.integers(0, 4096), st.data())
    def test_a_flipped_bit_is_no_torn_write(self, given_, before, data):
        whole, starts = segment_of(given_)
        bit = data.draw(st.integers(0, 8 * len(whole) - 1))
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged = first_damaged(bytes(flipped))
        assert damaged in [start for start, _, _ in starts]
        # One byte alone at a block's end, in which the only set bit was cleared, is such a block: it cannot be told.
        assume((before + damaged) % BLOCK_BYTES < BLOCK_BYTES - 2)
        assert not torn_write(bytes(flipped[damaged:]), before + damaged)

    @given(writes.filter(lambda given_: len(given_) > 1), st.integers(0, 4096), st.data())
    def test_a_block_missing_from_what_was_synced_is_damage(self, given_, before, data):
        whole, starts = segment_of(given_)
        begin = starts[-1][2]
        end = data.draw(st.integers(1, begin))
        start = data.draw(st.integers(0, end - 1))
        left = whole[:start] + bytes(end - start) + whole[end:]
        assume(left != whole)
        damaged = first_damaged(left)
        assert damaged < begin
        assert not torn_write(left[damaged:], before + damaged)

    def test_zeros_to_the_end_are_a_torn_write(self):
        for length in (HEADER_BYTES, 100, 5000, 100_000):
            assert torn_write(bytes(length), 19)
        assert not torn_write(bytes(5000) + begin_write(encode_frame(b"{}")), 19)
        assert not torn_write(b"\x01" + bytes(5000), 19)


def canonical(value):
    """RFC 8785 written a second time, for the values a leaf may hold."""
    if isinstance(value, dict):
        pairs = sorted(value.items(), key=lambda pair: pair[0].encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(name)}:{canonical(one)}" for name, one in pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, float):
        return repr(value)  # the shortest digits that read back, as in ECMAScript; no exponent between 1e-4 and 1e15
    return json.dumps(value, ensure_ascii=False)


@given(facts, names, st.integers(1, 2**53 - 1), st.none() | names)
def test_a_leaf_is_canonical_json(given_, name, number, retention):
    body = None if retention is None else Body(number, 40, 0, retention, "ab" * 32)
    given_leaf = leaf(
        facts=plain_facts(given_), seq=number, at=number, slot=name, key=None if body is None else "0" * 32, body=body
    )
    data = encode(given_leaf)
    assert data.decode() == canonical(json.loads(data))
    assert decode(data) == given_leaf


def test_a_leaf_is_one_line_of_sorted_json():
    data = encode(leaf(facts={"b": 1, "a": "é"}))
    assert list(json.loads(data)) == sorted(json.loads(data))
    assert b'"facts":{"a":"\xc3\xa9","b":1}' in data
    assert b" " not in data
    assert b"\n" not in data


@pytest.mark.parametrize(
    ("given_", "written"),
    [
        (1.0, b"1"),
        (-0.0, b"0"),
        (0.1 + 0.2, b"0.3"),
        (1e-7, b"0"),
        (0.0001, b"0.0001"),
        (0.00004, b"0"),
        (123456.789, b"123456.789"),
        (True, b"true"),
        (7, b"7"),
    ],
)
def test_a_number_is_written_in_one_way(given_, written):
    assert encode(leaf(facts=plain_facts({"n": given_}))).find(b'"n":' + written + b"}") > 0


@given(st.floats(min_value=-1e14, max_value=1e14))
def test_any_float_is_written_without_exponent_and_comes_back_within_a_ten_thousandth(value):
    data = encode(leaf(facts=plain_facts({"n": value})))
    number = data.split(b'"n":')[1].split(b"}")[0]
    assert b"e" not in number
    assert math.isclose(decode(data).facts["n"], value, abs_tol=1e-4, rel_tol=1e-12)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e15])
def test_numbers_without_one_way_are_refused(value):
    with pytest.raises(ValueError, match="fact 'n'"):
        plain_facts({"n": value})


def test_a_leaf_has_a_bound():
    with pytest.raises(ValueError, match=str(LEAF_LIMIT)):
        encode(leaf(facts={"text": "x" * LEAF_LIMIT}))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        encode(leaf())[:-1],
        encode(leaf()).replace(b'"v":2', b'"v":1'),
        encode(leaf()).replace(b'"v":2', b'"v":3'),
        b'{"x":1,' + encode(leaf())[1:],
    ],
)
def test_other_bytes_are_not_a_leaf(data):
    with pytest.raises(EvidenceDamaged):
        decode(data)


@pytest.mark.parametrize("name", ["", "EU", "e/u", "..", "eu\n", "a" * 64, "eu\0", "ü"])
def test_names_that_could_leave_their_folder_are_refused(name):
    with pytest.raises(ValueError, match="slot"):
        check_name("slot", name)


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "1970-01-01T00"),
        (3_599_999_999, "1970-01-01T00"),
        (3_600_000_000, "1970-01-01T01"),
        (1_709_164_799_999_999, "2024-02-28T23"),
        (1_709_164_800_000_000, "2024-02-29T00"),
        (1_795_406_400_000_000, "2026-11-23T04"),
    ],
)
def test_hours_are_named_in_utc(at, text):
    assert hour(at) == text
    assert body_file("w0", at, Body(7, 1, 0, "support", "")) == f"support/{text}/w0.{7:020d}"
