import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json, structs

from firedoor.core.hosts import HEAD, MESSAGE_LIMIT, NO_AGE, REPORTS, SLOTS, HostSaid, Report, seal, unseal
from firedoor.core.switches import MAX_SWITCHES, Scope, Switch
from firedoor.errors import TableRefused

KEY = b"k" * 32
KEPT = (Switch(Scope("eu", "s"), "leak", 1.5, version=4),)
SAID = HostSaid(
    region="eu", host="h1", count=17, ask=True, version=7, beat=3, global_version=2, age_ms=120, refused="older",
    workers=4, latched=True, reports=(Report("w0", 5, "eu/s/chat/m", "fx-1"),), kept=KEPT, begun=("w1",),
)  # fmt: skip
DATA = seal(SAID, KEY)


def tagged(payload, key=KEY, head=HEAD):
    return head + hmac.digest(key, head + payload, "sha256").hex().encode() + b"\n" + payload


def refusal(data):
    with pytest.raises(TableRefused) as refused:
        unseal(data, KEY)
    return refused.value.code


def test_what_a_host_said_is_read_back():
    assert unseal(DATA, KEY) == SAID
    least = HostSaid(region="eu", host="h1", count=0)
    assert unseal(seal(least, KEY), KEY) == least


GOOD = json.encode(SAID)
FORGED = {
    "another region's key": (seal(SAID, b"u" * 32), "bad_signature"),
    "a longer message": (DATA + b" ", "bad_signature"),
    "a shorter message": (DATA[:-1], "bad_signature"),
    "another host's name": (DATA.replace(b'"h1"', b'"h2"'), "bad_signature"),
    "a tag in capitals": (HEAD + DATA[len(HEAD) : len(HEAD) + 64].upper() + DATA[len(HEAD) + 64 :], "bad_signature"),
    "another head": (tagged(GOOD, head=b"firedoor/host/2\n"), "malformed"),
    "no tag": (HEAD + b"\n" + GOOD, "malformed"),
    "no line after the tag": (DATA[: len(HEAD) + 64] + b" " + GOOD, "malformed"),
    "nothing": (b"", "malformed"),
    "only the head": (HEAD, "malformed"),
    "no JSON": (tagged(b"{"), "malformed"),
    "deep": (tagged(b"[" * 50_000), "malformed"),
    "a field more": (tagged(GOOD[:-1] + b',"note":"x"}'), "malformed"),
    "too large": (tagged(GOOD + b" " * MESSAGE_LIMIT), "malformed"),
}


@pytest.mark.parametrize("what", FORGED)
def test_nothing_else_is_taken_for_it(what):
    data, code = FORGED[what]
    assert refusal(data) == code


OUT_OF_BOUNDS = [
    {"region": "EU"},
    {"host": "h/1"},
    {"host": ""},
    {"count": -1},
    {"count": (1 << 62) + 1},
    {"version": (1 << 53) + 1},
    {"version": -2},
    {"beat": (1 << 53) + 1},
    {"age_ms": -1},
    {"refused": "x" * 41},
    {"workers": 4097},
    {"reports": (Report("w0", 1, "eu", ""),) * (REPORTS + 1)},
    {"reports": (Report("../w0", 1, "eu", ""),)},
    {"reports": (Report("w0", -1, "eu", ""),)},
    {"reports": (Report("w0", 1, "e" * 301, ""),)},
    {"reports": (Report("w0", 1, "eu", "x" * 65),)},
    {"kept": KEPT * (MAX_SWITCHES + 1)},
    {"begun": ("w0",) * (SLOTS + 1)},
    {"begun": ("h/w0",)},
]


@pytest.mark.parametrize("changes", OUT_OF_BOUNDS, ids=str)
def test_what_is_out_of_bounds_is_refused_whoever_said_it(changes):
    assert refusal(seal(structs.replace(SAID, **changes), KEY)) == "malformed"


def test_what_is_just_within_them_is_taken():
    most = structs.replace(
        SAID, host="h" * 63, count=1 << 62, version=1 << 53, beat=1 << 53, age_ms=NO_AGE, refused="x" * 40,
        workers=4096, begun=("w.0",) * SLOTS,
    )  # fmt: skip
    assert unseal(seal(most, KEY), KEY) == most


def test_the_fullest_message_fits():
    n = "n" * 63
    kept = tuple(
        Switch(Scope(n, n, n, f"{i:063d}"), "maintenance", 1234567890.123456, ("k" * 64,) * 2, "e" * 64, "i" * 64,
               1 << 53, n)
        for i in range(MAX_SWITCHES)
    )  # fmt: skip
    reports = (Report(n, 1 << 62, "s" * 300, "x" * 64),) * REPORTS
    full = structs.replace(SAID, region=n, host=n, kept=kept, reports=reports, begun=(n,) * SLOTS)
    data = seal(full, KEY)
    assert len(data) <= MESSAGE_LIMIT
    assert unseal(data, KEY) == full


@settings(deadline=None, max_examples=200)
@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_a_changed_byte_is_always_refused(at, change):
    data = bytearray(DATA)
    data[at] ^= change
    assert refusal(bytes(data)) in {"malformed", "bad_signature"}


@given(st.binary(max_size=300), st.booleans())
def test_whatever_comes_it_raises_only_a_refusal(data, headed):
    assert refusal((HEAD if headed else b"") + data)
