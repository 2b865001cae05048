import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json, structs

from firedoor.core.people import (
    LIFETIME,
    SKEW,
    Act,
    Signature,
    Signed,
    key_id,
    note_digest,
    raw_key,
    verify,
    verify_opening,
    verify_two,
)
from firedoor.core.plan.model import Loaded, Person, Plan
from firedoor.core.switches import Scope
from firedoor.core.switchtable import key_id as id_of_bytes
from firedoor.errors import ActRefused

NOW = 1_800_000_000
PLAN = "ab" * 32
KEYS = {
    name: Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32)
    for i, name in enumerate(["ana", "ben", "cem", "dora"], 1)
}


def public(key):
    return "ed25519:" + base64.b64encode(key.public_key().public_bytes_raw()).decode()


def respelled(key):
    """The same key with another, equally decodable last character."""
    text = public(key)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return text[:-2] + letters[letters.index(text[-2]) ^ 1] + "="


PEOPLE = {
    "ana": Person(name="Ana", roles=("incident_commander",), key=public(KEYS["ana"])),
    "ben": Person(name="Ben", roles=("dpo",), key=public(KEYS["ben"])),
    "cem": Person(name="Cem", roles=("soc_analyst",), key=public(KEYS["cem"])),
    "twin": Person(name="Twin", roles=("dpo",), key=public(KEYS["ana"])),
    "spelled": Person(name="Spelled", roles=("dpo",), key=respelled(KEYS["ana"])),
    "idle": Person(name="Idle", roles=(), key=public(KEYS["dora"])),
}
LOADED = Loaded(
    Plan(firedoor=1, name="t", people=PEOPLE, regions={}, models={}, shops={}, surfaces={}), PLAN, "plan.yaml"
)


def act(kind="open", **changes):
    args = {
        "open": {"scope": "eu/shop", "of": "7", "note_sha256": note_digest("0" * 32, "why")},
        "shut": {"scope": "eu/shop", "reason": "leak"},
        "end_drill": {"drill": "friday"},
    }.get(kind, {})
    values = {"region": "eu", "act": kind, "args": args, "plan": PLAN, "by": "ana", "made_at": NOW, "nonce": "0" * 32}
    return Act(**{**values, **changes})


def signature(who, of, key=None):
    return Signature(who, base64.b64encode(KEYS[key or who].sign(of.content)).decode())


def code(call):
    with pytest.raises(ActRefused) as refused:
        call()
    return refused.value.code


def judge(signed, *, now=NOW, region="eu", spent=(), note=None):
    return verify(signed, LOADED, region=region, now=now, spent=spent, note=note)


def one(of, who=None, key=None):
    return Signed(of, (signature(who or of.by, of, key),))


def test_a_good_act_of_each_kind_counts():
    judge(one(act("shut")))
    judge(one(act("shut", by="cem")))
    judge(one(act("shut", by="idle"), key="dora"))
    judge(one(act("end_drill", by="idle"), key="dora"))
    judge(one(act()), note="why")
    both = act()
    verify_two(Signed(both, (signature("ana", both), signature("ben", both))), LOADED, region="eu", now=NOW)


def shut(scope="eu/shop", reason="leak", **more):
    return {"args": {"scope": scope, "reason": reason, **more}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"region": "us"}, "wrong_region"),
        ({"plan": "cd" * 32}, "other_plan"),
        ({"made_at": NOW + SKEW + 1}, "from_the_future"),
        ({"made_at": NOW - LIFETIME - 1}, "expired"),
        ({"by": "nobody"}, "unknown_person"),
        ({"args": {"scope": "eu"}}, "bad_act"),
        ({"args": {"scope": "eu", "reason": "file"}}, "bad_act"),
        ({"args": {"scope": "eu", "reason": "leak", "more": "x"}}, "bad_act"),
        ({"args": {"scope": "eu//", "reason": "leak"}}, "bad_scope"),
        ({"made_at": NOW + SKEW}, None),
        ({"made_at": NOW - LIFETIME}, None),
        (shut(reason="drill"), "bad_act"),
        (shut(reason="drill", drill="friday"), None),
        (shut(drill="friday"), None),
        (shut(drill="Friday"), "bad_act"),
        (shut(drill=""), "bad_act"),
        (shut(drill="f" * 64), "bad_act"),
        (shut(incident="INC-2026_7.a~"), None),
        (shut(incident="-7"), "bad_act"),
        (shut(incident="7 "), "bad_act"),
        (shut(incident="7" * 65), "bad_act"),
        (shut("eu/*/*/m0", isolate="freeze"), None),
        (shut("eu/*/*/m0", isolate="melt"), "bad_act"),
        (shut("eu/*/*/m0", isolate="stop", drill="friday"), "bad_act"),
        (shut("eu/shop/*/m0", isolate="cut"), "bad_act"),
        (shut("eu/*/chat/m0", isolate="cut"), "bad_act"),
        (shut("*/*/*/m0", isolate="cut"), "bad_act"),
        (shut("us/*/*/m0", isolate="cut"), "bad_act"),
        (shut("eu", isolate="cut"), "bad_act"),
    ],
)
def test_what_an_act_must_say(changes, expected):
    signed = one(act("shut", **changes), key="ana")
    if expected is None:
        judge(signed)
    else:
        assert code(lambda: judge(signed)) == expected


@pytest.mark.parametrize("of", ["", "07", "-1", "1.5", "7 ", "٧", "1" * 17, None])
def test_an_opening_names_the_shut_it_opens(of):
    args = act().args | {"of": of}
    bad = act(args={k: v for k, v in args.items() if v is not None})
    assert code(lambda: judge(one(bad))) == "bad_act"


def test_what_two_people_opened_can_be_proven_later_and_elsewhere():
    opening = act(plan="cd" * 32)  # signed under another version of the plan, and long ago
    proof = Signed(opening, (signature("ana", opening), signature("ben", opening)))
    assert verify_opening(proof, LOADED, region="eu") == (Scope("eu", "shop"), 7)
    for bad, expected in (
        (Signed(opening, (signature("ana", opening),)), "second_person_missing"),
        (Signed(opening, (signature("ana", opening), signature("twin", opening, "ana"))), "same_key"),
        (Signed(opening, (signature("ana", opening), signature("ben", opening, "cem"))), "bad_signature"),
        (one(act("shut")), "bad_act"),
    ):
        assert code(lambda bad=bad: verify_opening(bad, LOADED, region="eu")) == expected
    assert code(lambda: verify_opening(proof, LOADED, region="us")) == "wrong_region"


def test_a_key_has_one_id_however_it_is_spelled():
    assert key_id(PEOPLE["ana"]) == key_id(PEOPLE["spelled"]) == id_of_bytes(raw_key(PEOPLE["ana"]))
    assert key_id(PEOPLE["ana"]) != key_id(PEOPLE["ben"])


def test_a_nonce_counts_once():
    assert code(lambda: judge(one(act()), spent={"0" * 32})) == "nonce_spent"


@pytest.mark.parametrize("note", ["", "Why", "why ", "x" * 501])
def test_the_note_is_the_one_that_was_signed(note):
    assert code(lambda: judge(one(act()), note=note)) == "bad_note"


def test_only_the_maker_comes_first():
    assert code(lambda: judge(one(act(), who="ben"))) == "not_the_maker"


def test_another_persons_key_does_not_sign():
    assert code(lambda: judge(one(act(), key="ben"))) == "bad_signature"


def test_some_roles_may_shut_but_not_open():
    assert code(lambda: judge(one(act(by="cem")))) == "role_missing"
    assert code(lambda: judge(one(act(by="idle"), key="dora"))) == "role_missing"


@pytest.mark.parametrize(
    ("second", "key", "expected"),
    [
        ("ana", "ana", "same_person"),
        ("twin", "ana", "same_key"),
        ("spelled", "ana", "same_key"),
        ("cem", "cem", "role_missing"),
        ("nobody", "ben", "unknown_person"),
        ("ben", "ana", "bad_signature"),
    ],
)
def test_opening_takes_a_second_person_with_a_second_key(second, key, expected):
    of = act()
    signed = Signed(of, (signature("ana", of), signature(second, of, key)))
    assert code(lambda: verify_two(signed, LOADED, region="eu", now=NOW)) == expected


def test_one_signature_opens_nothing():
    assert code(lambda: verify_two(one(act()), LOADED, region="eu", now=NOW)) == "second_person_missing"


def test_the_respelled_key_is_the_same_key():
    assert PEOPLE["spelled"].key != PEOPLE["ana"].key
    assert raw_key(PEOPLE["spelled"]) == raw_key(PEOPLE["ana"])


FIELDS = {
    "region": st.sampled_from(["eu", "us"]),
    "act": st.sampled_from(["open", "shut"]),
    "args": st.dictionaries(st.sampled_from(["scope", "reason", "note_sha256"]), st.text(max_size=20), max_size=3),
    "plan": st.sampled_from([PLAN, "cd" * 32]),
    "by": st.sampled_from(["ana", "ben"]),
    "made_at": st.integers(0, 1 << 53),
    "nonce": st.sampled_from(["0" * 32, "1" * 32]),
}


@given(st.fixed_dictionaries(FIELDS), st.fixed_dictionaries(FIELDS))
def test_different_acts_are_different_bytes(left, right):
    assert (Act(**left).content == Act(**right).content) == (Act(**left) == Act(**right))


@given(st.fixed_dictionaries(FIELDS))
def test_the_content_is_canonical_and_reads_back(values):
    of = Act(**values)
    domain, _, body = of.content.partition(b"\n")
    assert domain == b"firedoor/act/1"
    assert json.decode(body, type=Act) == of
    keys = list(json.decode(body))
    assert keys == sorted(keys)


@given(st.fixed_dictionaries({}, optional=FIELDS))
def test_an_altered_act_does_not_carry_its_signature(changes):
    of = act()
    altered = structs.replace(of, **changes)
    signed = Signed(altered, (signature("ana", of),))
    if altered != of:
        with pytest.raises(ActRefused):
            judge(signed)


def test_every_byte_of_a_signature_counts():
    of = act()
    good = base64.b64decode(signature("ana", of).value)
    for at in range(64):
        bad = bytes([*good[:at], good[at] ^ 4, *good[at + 1 :]])
        signed = Signed(of, (Signature("ana", base64.b64encode(bad).decode()),))
        assert code(lambda s=signed: judge(s)) == "bad_signature"


# Reading bodies, handing evidence out

PERSONS = {
    "ines": Person(name="Ines", roles=("incident_commander",), key=public(KEYS["ana"])),
    "dan": Person(name="Dan", roles=("dpo",), key=public(KEYS["ben"])),
    "sol": Person(name="Sol", roles=("soc_analyst",), key=public(KEYS["cem"])),
    "eng": Person(name="Eng", roles=("platform_engineer", "ai_engineer", "communications"), key=public(KEYS["dora"])),
    "law": Person(name="Law", roles=("legal",), key=public(KEYS["dora"])),
}
OF = {"ines": "ana", "dan": "ben", "sol": "cem", "eng": "dora", "law": "dora"}
READING = Loaded(structs.replace(LOADED.plan, people=PERSONS), PLAN, "plan.yaml")
RECIPIENT = "age1" + "q" * 58


def reading(by="sol", kind="read_bodies", **args):
    base = {"selection": "ab" * 32, "reason": "incident"}
    base |= {"note_sha256": note_digest("0" * 32, "why")} if kind == "read_bodies" else {"manifest": "cd" * 32}
    return act(kind, by=by, args={**base, **args})


def signed_by(of, *who):
    return Signed(of, tuple(signature(one, of, OF[one]) for one in who))


def check_reading(of, *who, two=True):
    signed = signed_by(of, *who)
    if two:
        verify_two(signed, READING, region="eu", now=NOW)
    else:
        verify(signed, READING, region="eu", now=NOW, spent=())


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("sol", "ines", None),
        ("sol", "dan", None),
        ("sol", "law", None),
        ("dan", "ines", None),
        ("dan", "sol", "role_missing"),  # may ask, may not agree
        ("ines", "eng", "role_missing"),  # may open a switch, may not read
        ("eng", "dan", "role_missing"),
        ("dan", "dan", "same_person"),
        ("dan", None, "second_person_missing"),
    ],
)
def test_reading_takes_one_who_may_ask_and_one_who_may_agree(first, second, expected):
    who = [first] if second is None else [first, second]
    if expected is None:
        check_reading(reading(first), *who)
    else:
        assert code(lambda: check_reading(reading(first), *who)) == expected


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (reading(recipient=RECIPIENT), None),
        (reading(reason="leak"), "bad_act"),  # a reason to shut, none to read
        (reading(selection="AB" * 32), "bad_act"),
        (reading(selection="ab" * 31), "bad_act"),
        (reading(recipient="age1" + "b" * 58), "bad_act"),  # b is no letter of bech32
        (reading(recipient=RECIPIENT[:-1]), "bad_act"),
        (reading(scope="eu"), "bad_act"),
        (reading(manifest="cd" * 32), "bad_act"),
        (reading(kind="export"), None),
        (reading(kind="export", recipient=RECIPIENT), None),
        (reading(kind="export", manifest="x"), "bad_act"),
        (reading(by="eng", kind="export"), "role_missing"),
    ],
)
def test_what_a_request_to_read_or_hand_out_must_say(of, expected):
    if expected is None:
        check_reading(of, of.by, two=False)
    else:
        assert code(lambda: check_reading(of, of.by, two=False)) == expected


def test_the_signature_for_one_receiver_is_none_for_another():
    mine, theirs = reading("dan", recipient=RECIPIENT), reading("dan", recipient="age1" + "p" * 58)
    signed = Signed(theirs, signed_by(mine, "dan", "ines").signatures)
    assert code(lambda: verify_two(signed, READING, region="eu", now=NOW)) == "bad_signature"


def test_what_shuts_or_opens_reads_nothing():
    for kind in ("shut", "open"):
        of = reading("dan")
        as_other = structs.replace(of, act=kind)
        assert code(lambda o=as_other: check_reading(o, "dan", two=False)) == "bad_act"
