"""What control notes about an isolated model instance: steps, what replaces what, what a crash leaves undone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from firedoor.core.isolation import (
    HOWS,
    STEPS,
    Halted,
    as_how,
    bare_command,
    isolate_facts,
    isolated,
    left_over,
    names_model,
    release_facts,
    replaces,
    wanted,
)
from firedoor.core.people import ISOLATE, Act, Signature, Signed
from firedoor.core.switches import Scope, Switch, Table
from firedoor.core.switchstate import Entry

CHAT = Scope("eu", model="chat")


def entry(state="shut", scope=CHAT, version=5, how=None, drill=None):
    args = {"scope": str(scope), "reason": "leak"} | ({"isolate": how} if how else {})
    act = Act(region="eu", act="shut", args=args, plan="ab" * 32, by="ana", made_at=1, nonce="0" * 32)
    signed = Signed(act, (Signature("ana", "A" * 86 + "=="),)) if how else None
    return Entry(
        state=state, scope=scope, reason="leak", cause="person", at=7.0, by=("ana",), version=version, signed=signed,
        drill=drill,
    )  # fmt: skip


def table(*scopes):
    return Table("eu", 99, "ab" * 32, tuple(Switch(scope, "leak", 1.0) for scope in scopes))


def note(how="freeze", version=5, **more):
    return structs.replace(isolated("chat", how, entry(version=version), own=True), **more)


def test_the_ways_to_isolate_are_those_that_people_sign():
    assert HOWS == ISOLATE
    assert [as_how(text) for text in ISOLATE] == list(HOWS)
    with pytest.raises(ValueError, match="cut, freeze, stop"):
        as_how("melt")


def test_steps_follow_one_another_and_only_then_may_it_return():
    wish = note()
    done = []
    while wish.next is not None:
        assert not structs.replace(wish, releasing=True).may_return
        done.append(wish.next)
        wish = wish.done(wish.next)
    assert tuple(done) == STEPS
    assert not wish.may_return
    assert structs.replace(wish, releasing=True).may_return


@pytest.mark.parametrize(
    ("present", "how", "anew"),
    [
        (None, "cut", True),
        (note("cut"), "cut", False),
        (note("cut"), "freeze", True),
        (note("freeze"), "cut", False),
        (note("freeze"), "stop", True),
        (note("stop"), "freeze", False),
        (note("stop", releasing=True), "cut", True),
    ],
)
def test_a_milder_wish_lets_nothing_go_again(present, how, anew):
    assert replaces(present, how) is anew


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (entry(how="freeze"), ("chat", "freeze")),
        (entry(), None),
        (entry(state="open", how="freeze"), None),
        (entry(how="freeze", scope=Scope("eu", "alpen", model="chat")), None),
        (entry(how="freeze", scope=Scope("eu")), None),
        (entry(how="freeze", scope=Scope("*", model="chat")), None),
        (entry(how="melt"), None),
    ],
)
def test_what_a_change_of_the_table_isolates(change, expected):
    assert wanted(change) == expected


def test_only_one_model_instance_for_all_shops_and_surfaces_is_named():
    assert names_model(CHAT)
    for scope in (Scope("eu"), Scope("*", model="chat"), Scope("eu", "alpen", model="chat"), Scope("eu", "*", "faq")):
        assert not names_model(scope)


@pytest.mark.parametrize(
    ("trail", "notes", "shut", "missing", "release"),
    [
        # shut to be isolated, killed before it was noted
        ([entry(how="freeze")], {}, [CHAT], ["chat"], []),
        # noted already
        ([entry(how="freeze")], {"chat": note()}, [CHAT], [], []),
        # opened and shut again to be isolated: the note is an old one
        ([entry("open", version=6), entry(how="cut", version=8)], {"chat": note()}, [CHAT], ["chat"], []),
        # opened, and killed before it was let back
        ([entry(how="freeze"), entry("open", version=6)], {"chat": note()}, [], [], ["chat"]),
        # the region was opened, which covers it
        ([entry("open", Scope("eu"), 6)], {"chat": note()}, [], [], ["chat"]),
        # opened, but the region is shut
        ([entry(how="freeze"), entry("open", version=6)], {"chat": note()}, [Scope("eu")], [], []),
        # opened, before it was isolated
        ([entry("open", version=4)], {"chat": note()}, [], [], []),
        # another one was opened
        ([entry("open", Scope("eu", model="other"), 6)], {"chat": note()}, [], [], []),
        # a drill ended
        ([entry("open", version=6, drill="d")], {"chat": note()}, [], [], []),
        # a table that was lost shuts nothing of its own any more: that opens nothing
        ([], {"chat": note()}, [], [], []),
        # shut to be isolated, and opened since: nothing is missing
        ([entry(how="freeze"), entry("open", version=6)], {}, [], [], []),
    ],
)  # fmt: skip
def test_what_a_crash_left_undone(trail, notes, shut, missing, release):
    found = left_over(notes, trail, table(*shut))
    assert ([e.scope.model for e in found[0]], found[1]) == (missing, release)


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        (["serve", "--port", "80"], ["serve", "--port", "80"]),
        (["serve", "--api-key", "sk-1"], ["serve", "--api-key", "(left out)"]),
        (["serve", "--api-key=sk-1"], ["serve", "--api-key=(left out)"]),
        (["serve", "--key-file", "run/k"], ["serve", "--key-file", "run/k"]),
        (["serve", "--hf-token", "hf_1", "-v"], ["serve", "--hf-token", "(left out)", "-v"]),
        (["serve", "--token", "--verbose", "x"], ["serve", "--token", "--verbose", "x"]),
        (["--db-password", "p", "--url", "http://u:p@h/"], ["--db-password", "(left out)", "--url", "http://(left out)@h/"]),
        (["--tokenizer-dir", "t"], ["--tokenizer-dir", "t"]),
        ([], []),
    ],
)  # fmt: skip
def test_no_secret_of_a_command_line_is_kept(given_, kept):
    assert bare_command(given_) == kept


@given(st.lists(st.text(max_size=8), max_size=6))
def test_a_command_line_keeps_its_length_and_bare_is_bare(arguments):
    bare = bare_command(arguments)
    assert len(bare) == len(arguments)
    assert bare_command(bare) == bare


def test_facts_are_codes_digests_and_counts():
    halted = Halted(version=5, how="freeze", did="frozen", pid=42, born="b:1", processes=(42, 43))
    details = {
        "key": "revoked",
        "weights": {"sha256": "aa"},
        "program": {"not_seen": "not_permitted"},
        "command": {"sha256": "cc"},
        "baseline": {"state": "drift"},
        "exchanges": {"ids": ["a", "b"]},
    }
    facts = isolate_facts(note(details=details, halted=halted), "eu")
    assert facts == {
        "act": "isolate", "state": "done", "scope": "eu/*/*/chat", "model": "chat", "how": "freeze", "reason": "leak",
        "by": ["ana"], "switches": 5, "key": "revoked", "process": "frozen", "processes": 2, "baseline": "drift",
        "exchanges": 2, "weights_sha256": "aa", "command_sha256": "cc",
    }  # fmt: skip
    bare = isolate_facts(note(), "eu")
    assert (bare["process"], bare["key"], bare["baseline"], bare["exchanges"]) == (
        "unconfirmed",
        "unknown",
        "not_verified",
        0,
    )
    assert isolate_facts(note(own=False), "eu")["process"] == "not_ours"
    fresh = Halted(version=5, how="freeze", did="fresh", pid=77)
    assert release_facts(note(halted=halted), "eu", fresh) == {
        "act": "release", "state": "done", "scope": "eu/*/*/chat", "model": "chat", "how": "freeze", "switches": 5,
        "key": "rotated", "process": "fresh", "old_pid": 42, "new_pid": 77,
    }  # fmt: skip
