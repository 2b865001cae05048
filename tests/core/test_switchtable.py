import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json

from firedoor.core.switches import MAX_DRILLS, MAX_SWITCHES, Scope, Switch, Table
from firedoor.core.switchtable import DOMAIN, HEAD, MESSAGE_LIMIT, OPENINGS, Said, key_id, seal, unproven, unseal
from firedoor.errors import TableRefused
from tests.core.switching import KEYS, PUBLIC, opening, public, sealed

X = Scope("eu", "s", "chat")
SAID = Said(Table("eu", 7, "p", (Switch(X, "leak", 1.5, version=7),), {"h/w0": 3}), 4, (opening(X, 5),), {"h": 99})
DATA = sealed(SAID)


def refusal(data, keys=None):
    with pytest.raises(TableRefused) as refused:
        unseal(data, public("eu") if keys is None else keys)
    assert len(str(refused.value)) < 200
    return refused.value.code


def test_what_control_signed_is_read_back():
    assert unseal(DATA, public("us", "eu")) == SAID
    assert DATA.startswith(HEAD)
    assert sealed(SAID) == DATA, "the same is said in the same bytes"


def signed(payload, domain=DOMAIN, head=HEAD):
    signature = base64.b64encode(KEYS["eu"].sign(domain + payload))
    return head + key_id(PUBLIC["eu"]).encode() + b"\n" + signature + b"\n\n" + payload


GOOD = json.encode(SAID)
FORGED = {
    "another key": (sealed(SAID, "us"), "unknown_signer"),
    "a key that counts no more": (sealed(SAID, "old eu"), "unknown_signer"),
    "another key under the name of ours": (seal(SAID, KEYS["us"].sign, key_id(PUBLIC["eu"])), "bad_signature"),
    "another domain": (signed(GOOD, b"firedoor/global/1\0"), "bad_signature"),
    "no domain": (signed(GOOD, b""), "bad_signature"),
    "a longer message": (DATA + b" ", "bad_signature"),
    "a shorter message": (DATA[:-1], "bad_signature"),
    "a signature of another table": (signed(GOOD)[: -len(GOOD)] + GOOD.replace(b"chat", b"chut"), "bad_signature"),
    "another head": (signed(GOOD, head=b"firedoor/table/2\n"), "malformed"),
    "no head": (GOOD, "malformed"),
    "nothing": (b"", "malformed"),
    "no signature": (HEAD + b"\n\n" + GOOD, "unknown_signer"),
    "no empty line": (HEAD + key_id(PUBLIC["eu"]).encode() + b"\n", "malformed"),
    "a signature that is no base64": (DATA.replace(b"\n", b"\n!", 2), "unknown_signer"),
    "a name that is not ASCII": (HEAD + b"\xff\n\n" + GOOD, "unknown_signer"),
    "a long first line": (HEAD + b"k" * 201 + b"\n\n" + GOOD, "malformed"),
    "signed, but no JSON": (signed(b"{"), "malformed"),
    "signed, but deep": (signed(b"[" * 100_000), "malformed"),
    "signed, but not UTF-8": (signed(GOOD.replace(b"chat", b"\xff\xff\xff\xff")), "malformed"),
    "signed, with a field more": (signed(GOOD[:-1] + b',"note":"x"}'), "malformed"),
    "signed, but too large": (signed(GOOD + b" " * MESSAGE_LIMIT), "malformed"),
}


@pytest.mark.parametrize("what", FORGED)
def test_nothing_else_is_taken_for_it(what):
    data, code = FORGED[what]
    assert refusal(data) == code


def test_a_public_key_that_is_none_proves_nothing():
    assert refusal(DATA, {key_id(PUBLIC["eu"]): b"short"}) == "bad_signature"
    assert refusal(DATA, {}) == "unknown_signer"


@settings(deadline=None, max_examples=200)
@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_a_changed_byte_is_never_another_table(at, change):
    data = bytearray(DATA)
    data[at] ^= change
    try:
        assert unseal(bytes(data), public("eu")) == SAID  # a spare bit of the base64
    except TableRefused as refused:
        assert refused.code in {"malformed", "unknown_signer", "bad_signature"}  # either is right


@given(st.binary(max_size=300), st.booleans())
def test_whatever_comes_it_raises_only_a_refusal(data, headed):
    assert refusal((HEAD if headed else b"") + data)
    unproven((HEAD if headed else b"") + data)


def test_what_nobody_vouches_for_can_still_be_read_for_what_it_shuts():
    assert unproven(sealed(SAID, "old eu")) == SAID
    assert unproven(GOOD) is None
    assert unproven(HEAD + b"\n\n{") is None


def longest(count):
    n = "n" * 63
    return tuple(
        Switch(Scope(n, n, n, f"{i:063d}"), "maintenance", 1234567890.123456, ("k" * 16,) * 2, "e" * 64, "i" * 64,
               1 << 53, n)
        for i in range(count)
    )  # fmt: skip


def test_a_full_table_with_all_openings_fits_a_message_and_one_that_does_not_is_refused():
    n = "n" * 63
    proofs = tuple(opening(Scope(n, n, n, f"{i:063d}"), 1 << 50) for i in range(OPENINGS))
    absorbed = {f"{n}/{i:063d}": 1 << 40 for i in range(128)}
    full = Table(n, 1 << 53, "f" * 64, longest(MAX_SWITCHES + 1), absorbed, 1 << 40, longest(MAX_DRILLS))
    said = Said(full, 1 << 40, proofs, {f"{i:063d}": 1 << 60 for i in range(128)})
    data = sealed(said)
    assert len(data) <= MESSAGE_LIMIT
    assert unseal(data, public("eu")) == said
    with pytest.raises(TableRefused) as refused:
        sealed(Said(full, 1, proofs * 8))
    assert refused.value.code == "too_large"


def test_keys_are_named_by_their_hash():
    key = Ed25519PrivateKey.from_private_bytes(b"\1" * 32).public_key().public_bytes_raw()
    assert key_id(key) == "34750f98bd59fcfc"
