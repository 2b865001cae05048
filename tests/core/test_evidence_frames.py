"""Frames and leaves: what goes in comes out, and no flipped bit or cut goes unnoticed."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.evidence.frames import BODY_LIMIT, HEADER_BYTES, decode_frame, encode_frame
from firedoor.core.evidence.leaf import GENESIS, LEAF_LIMIT, Leaf, check_name, decode, encode, plain_facts
from firedoor.errors import EvidenceDamaged

leaves = st.binary(min_size=1, max_size=300)
bodies = st.binary(max_size=300)


def leaf(**changes):
    fields = {"v": 1, "region": "eu", "slot": "w0", "seq": 1, "prev": GENESIS, "kind": "intent", "exchange": "fx-1"}
    return Leaf(**{**fields, "at": 1_790_000_000_000_000_000, "facts": {}, "body": None, **changes})


@given(st.lists(st.tuples(leaves, bodies), max_size=5), st.binary(max_size=20))
def test_frames_follow_one_another(pairs, before):
    data = before + b"".join(encode_frame(*pair) for pair in pairs)
    offset, found = len(before), []
    while (frame := decode_frame(data, offset)) is not None:
        found.append((frame.leaf, frame.sealed))
        offset = frame.end
    assert found == pairs
    assert offset == len(data)


@given(leaves, bodies, st.data())
def test_a_cut_frame_is_not_yet_there(first, body, data):
    frame = encode_frame(first, body)
    cut = data.draw(st.integers(0, len(frame) - 1))
    assert decode_frame(frame[:cut], 0) is None


@given(leaves, bodies, leaves, st.data())
def test_a_flipped_bit_is_damage_and_never_a_torn_tail(first, body, second, data):
    whole = encode_frame(first, body) + encode_frame(second)
    bit = data.draw(st.integers(0, 8 * len(encode_frame(first, body)) - 1))
    flipped = bytearray(whole)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(EvidenceDamaged):
        decode_frame(bytes(flipped), 0)


def test_lengths_beyond_the_bounds_are_refused():
    with pytest.raises(ValueError, match="body"):
        encode_frame(b"{}", bytes(BODY_LIMIT + 1))
    with pytest.raises(EvidenceDamaged, match="impossible lengths"):
        decode_frame(encode_frame(b""), 0)
    with pytest.raises(EvidenceDamaged):
        decode_frame(bytes(HEADER_BYTES), 0)


def test_a_leaf_is_one_line_of_sorted_json():
    data = encode(leaf(facts={"b": 1, "a": "é"}))
    assert list(json.loads(data)) == sorted(json.loads(data))
    assert b'"facts":{"a":"\xc3\xa9","b":1}' in data
    assert b" " not in data
    assert b"\n" not in data
    assert decode(data) == leaf(facts={"b": 1, "a": "é"})


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
        encode(leaf()).replace(b'"v":1', b'"v":2'),
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
