"""What of a bundle is pure: selections, custody, names of files."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from firedoor.core.evidence.bundle import (
    BodyIn,
    Chooser,
    Custody,
    CustodySignature,
    LogIn,
    Problem,
    RecordKey,
    RecordKeys,
    Selection,
    SignatureIn,
    SignedIn,
    check_path,
    decode_custody,
    decode_signature,
)
from firedoor.core.evidence.leaf import Body, Leaf
from firedoor.core.evidence.retention import Window
from firedoor.errors import EvidenceDamaged

KEY = "ab" * 16
OTHER = "cd" * 16


def leaf(**changes):
    values = {
        "v": 2, "region": "eu", "slot": "w0", "seq": 1, "prev": "0" * 64, "kind": "intent", "exchange": "ex_1",
        "at": 1000, "facts": {"surface": "support"}, "key": KEY, "subject": None, "session": None,
        "body": Body(1, 10, 0, "support", "0" * 64),
    }  # fmt: skip
    return Leaf(**{**values, **changes})


@pytest.mark.parametrize(
    ("selection", "record", "expected"),
    [
        (Selection(exchanges=("ex_1",)), leaf(), True),
        (Selection(exchanges=("ex_2",)), leaf(), False),
        (Selection(exchanges=("ex_2",), keys=(KEY,)), leaf(), True),
        (Selection(keys=(OTHER,)), leaf(), False),
        (Selection(keys=(KEY,)), leaf(key=None), False),
        (Selection(exchanges=("ex_1",), surface="support"), leaf(), True),
        (Selection(exchanges=("ex_1",), surface="search"), leaf(), False),
        (Selection(exchanges=("ex_1",), since=1000, until=1001), leaf(), True),
        (Selection(exchanges=("ex_1",), since=1001), leaf(), False),
        (Selection(exchanges=("ex_1",), until=1000), leaf(), False),
        (Selection(surface="support"), leaf(), True),
        (Selection(surface="support"), leaf(facts={}, body=None), False),
        (Selection(since=0), leaf(exchange=""), False),  # a person's act, a key: no exchange
        (Selection(windows=(Window("support", 1000, 1001),)), leaf(), True),
        (Selection(windows=(Window("support", 0, 1000),)), leaf(), False),
        (Selection(windows=(Window("search", 0, 2000), Window("support", 0, 2000))), leaf(), True),
        (Selection(windows=(Window("support", 0, 2000),), until=500), leaf(), False),
    ],
)
def test_what_a_selection_is_about(selection, record, expected):
    assert Chooser(selection).record(record) is expected
    assert Chooser(selection).body(record) is (expected and record.body is not None)


def test_peoples_notes_never_leave_and_are_shown_where_their_exchange_is_named():
    note = leaf(kind="access", body=Body(1, 10, 0, "operations", "0" * 64), facts={})
    assert Chooser(Selection(exchanges=("ex_1",))).body(note, notes=True)
    for selection in (Selection(exchanges=("ex_1",)), Selection(keys=(KEY,)), Selection(since=0)):
        assert not Chooser(selection).body(note)
    assert not Chooser(Selection(keys=(KEY,))).body(note, notes=True)


def test_an_empty_selection_says_so():
    assert Selection().empty
    assert Selection(incident="INC-1").empty  # a reference alone chooses nothing
    for some in ({"since": 0}, {"until": 5}, {"surface": "support"}, {"exchanges": ("a",)}, {"keys": (KEY,)}):
        assert not Selection(**some).empty


SELECTIONS = st.builds(
    Selection,
    exchanges=st.lists(st.text("abx_.:-", min_size=1, max_size=5), max_size=3).map(tuple),
    keys=st.lists(st.sampled_from([KEY, OTHER]), max_size=2).map(tuple),
    windows=st.lists(st.builds(Window, st.just("s"), st.integers(0, 5), st.integers(0, 5)), max_size=2).map(tuple),
    surface=st.none() | st.sampled_from(["a", "b"]),
    since=st.none() | st.integers(0, 3),
    until=st.none() | st.integers(0, 3),
    incident=st.none() | st.text(max_size=4),
)


@given(SELECTIONS, SELECTIONS)
def test_different_selections_have_different_digests(left, right):
    assert (left.digest == right.digest) == (left == right)


@given(SELECTIONS)
def test_the_digest_can_be_made_without_us(selection):
    line, _, text = selection.content.partition(b"\n")
    plain = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert line == b"firedoor/selection/1"
    assert plain == text
    assert hashlib.sha256(line + b"\n" + plain).hexdigest() == selection.digest


TEXTS = st.text(max_size=20)
HASHES = st.binary(min_size=32, max_size=32).map(bytes.hex)
COUNTS = st.integers(0, 2**63 - 1)
CUSTODIES = st.builds(
    Custody,
    region=TEXTS, made_at=COUNTS, by=TEXTS, reason=TEXTS, tool=TEXTS, plan=HASHES, selection=SELECTIONS,
    selection_sha256=HASHES, recipient=st.none() | TEXTS, region_log=TEXTS,
    approval=st.none() | st.builds(
        SignedIn, TEXTS, st.lists(st.builds(SignatureIn, TEXTS, TEXTS, TEXTS), min_size=1, max_size=2).map(tuple),
        st.none() | COUNTS,
    ),
    logs=st.lists(st.builds(LogIn, st.sampled_from(["w0", "w1"]), TEXTS, COUNTS, HASHES), max_size=2).map(tuple),
    bodies=st.lists(st.builds(BodyIn, TEXTS, COUNTS, st.sampled_from(["included", "erased"])), max_size=2).map(tuple),
    problems=st.lists(st.builds(Problem, TEXTS, TEXTS), max_size=2).map(tuple),
    files=st.dictionaries(st.sampled_from(["policy", "log/w0/checkpoint", "bodies/w0/1"]), HASHES),
)  # fmt: skip


@given(CUSTODIES)
def test_custody_reads_back_and_can_be_written_without_us(custody):
    data = custody.encode()
    assert decode_custody(data) == custody
    plain = json.dumps(json.loads(data), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    assert plain.encode() == data


@given(st.binary(max_size=200))
def test_any_bytes_are_custody_or_a_clear_error(data):
    for decode in (decode_custody, decode_signature):
        with pytest.raises(EvidenceDamaged):
            decode(data)


def a_custody(**changes):
    selection = Selection(exchanges=("ex_1",))
    custody = Custody(
        region="eu", made_at=1, by="ana", reason="audit", tool="t", plan="0" * 64, selection=selection,
        selection_sha256=selection.digest, recipient=None, approval=None, region_log="checkpoints", logs=(), bodies=(),
        problems=(), files={"policy": "0" * 64},
    )  # fmt: skip
    return structs.replace(custody, **changes)


def test_custody_is_written_in_one_way_only():
    data = a_custody().encode()
    assert decode_custody(data) == a_custody()
    for other in (data + b"\n", data.replace(b" ", b"  ", 1), data[:-1], data.replace(b'"eu"', b'"\\u0065u"')):
        with pytest.raises(EvidenceDamaged):
            decode_custody(other)
    sealed = CustodySignature("0" * 64).encode()
    assert decode_signature(sealed) == CustodySignature("0" * 64)
    with pytest.raises(EvidenceDamaged):
        decode_signature(sealed + b" ")


def test_deep_json_is_refused():
    for decode in (decode_custody, decode_signature):
        with pytest.raises(EvidenceDamaged):
            decode(b"[" * 100_000)


@pytest.mark.parametrize(
    "path",
    ["../x", "/etc/passwd", "a/../b", "", "a//b", "a/", "./a", ".hidden", "a\\b", "a\0b", "a\nb", "C:/x", "ä", "a/" * 13 + "b",
     "x" * 101, "log/.x"],
)  # fmt: skip
def test_no_file_outside_of_a_bundle_has_a_name(path):
    with pytest.raises(EvidenceDamaged):
        check_path(path)
    with pytest.raises(EvidenceDamaged):
        decode_custody(a_custody(files={path: "0" * 64}).encode())


@pytest.mark.parametrize("path", ["policy", "log/w0/tile/entries/x001/234.p/5", "bodies/w-0_a.b/12", "README.md"])
def test_names_of_files_that_bundles_have(path):
    assert check_path(path) == path


def test_record_keys_name_their_format():
    keys = RecordKeys("eu", (RecordKey("w0", 1, "0" * 64),))
    assert json.loads(keys.encode()) == {
        "format": "firedoor/record-keys/1",
        "keys": [{"key": "0" * 64, "seq": 1, "slot": "w0"}],
        "region": "eu",
    }
