"""What counts as the same model instance, what as another, and what cannot be told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from firedoor.core.integrity import (
    ABSENT,
    Baseline,
    Look,
    Verified,
    commanded,
    compare,
    described,
    drift_facts,
    learnt,
    probe_answer,
    probe_item,
    probe_request,
    propertied,
)
from firedoor.core.plan.model import Integrity, Probe

ITEMS = {
    "weights.file": "w1",
    "arguments.command": "a1",
    "description.models": "d1",
    "description.props": ABSENT,
    "probe.aa": "p1",
    "probe.aa.start": "s1",
}
BASE = Baseline(1, ITEMS, {"probe.bb": "not_stable", "arguments.program": "not_permitted"})
VLLM = {
    "id": "shop", "object": "model", "created": 1, "owned_by": "vllm", "root": "/models/shop", "parent": None,
    "max_model_len": 8192, "permission": [{"id": "modelperm-1", "created": 1}],
}  # fmt: skip
PROPS = {
    "model_path": "/srv/shop.gguf", "build_info": "b6000-abc", "chat_template": "{{ messages }}", "total_slots": 4,
    "media_marker": "<random>", "is_sleeping": False,
    "default_generation_settings": {"n_ctx": 4096, "params": {"lora": [], "temperature": 0.8}},
}  # fmt: skip


def without(item):
    return {name: digest for name, digest in ITEMS.items() if name != item}


def test_the_same_is_the_same():
    assert compare(BASE, Look(dict(ITEMS))) == Verified("same")
    extra = {**ITEMS, "probe.bb": "x", "arguments.program": "y"}  # not used when the baseline was taken
    assert compare(BASE, Look(extra)).state == "same"
    assert compare(BASE, Look(ITEMS, {"arguments.program": "not_permitted"})).state == "same"


@pytest.mark.parametrize("item", sorted(ITEMS))
def test_every_item_that_differs_is_a_drift(item):
    found = compare(BASE, Look({**ITEMS, item: "other"}))
    assert (found.state, found.changed, found.what) == ("drift", (item,), [item.partition(".")[0]])
    assert found.print


def test_a_page_that_comes_or_goes_is_a_drift():
    assert compare(BASE, Look({**ITEMS, "description.props": "x"})).what == ["description"]
    assert compare(BASE, Look({**ITEMS, "description.models": ABSENT})).what == ["description"]


@pytest.mark.parametrize("item", ["weights.file", "arguments.command", "description.models"])
def test_what_is_not_seen_is_not_the_same(item):
    assert compare(BASE, Look(without(item), {item: "timeout"})) == Verified("not_verified", (), {item: "timeout"})
    assert compare(BASE, Look(without(item))).unseen == {item: "not_looked_at"}
    assert compare(BASE, Look({**without(item), "probe.aa": "other"}, {item: "timeout"})).state == "drift"


def test_without_a_baseline_nothing_is_verified():
    other = structs.replace(BASE, version=BASE.version + 1)
    assert compare(other, Look(dict(ITEMS))) == Verified("not_verified", (), {"baseline": "of_another_release"})
    assert compare(None, Look(ITEMS)) == Verified("not_verified", (), {"baseline": "no_baseline"})
    assert compare(Baseline(1, {}), Look()).state == "not_verified"
    assert compare(BASE, Look({**ITEMS, "probe.cc": "p"})).unseen == {"probe.cc": "no_baseline"}
    gone = {item: digest for item, digest in ITEMS.items() if not item.startswith("probe.aa")}
    assert compare(BASE, Look(gone)).state == "same"  # the plan asks that probe no more


@given(st.dictionaries(st.sampled_from(sorted(ITEMS)), st.sampled_from(["same", "other", "unseen"])))
def test_only_a_whole_look_without_a_difference_is_the_same(fates):
    seen = {i: ("other" if fates.get(i) == "other" else d) for i, d in ITEMS.items() if fates.get(i) != "unseen"}
    unseen = {i: "timeout" for i, fate in fates.items() if fate == "unseen"}
    state = "drift" if "other" in fates.values() else "not_verified" if unseen else "same"
    assert compare(BASE, Look(seen, unseen)).state == state


def test_one_change_has_one_print():
    first = compare(BASE, Look({**ITEMS, "weights.file": "w2", "probe.aa": "x"}))
    noisy = compare(BASE, Look({**ITEMS, "weights.file": "w2", "probe.aa": "y", "probe.aa.start": "z"}))
    again = compare(BASE, Look({**ITEMS, "weights.file": "w3", "probe.aa": "x"}))
    assert first.print == noisy.print != again.print
    assert first.what == ["weights", "probe"]


def test_the_finding_names_parts_and_no_content():
    found = compare(BASE, Look({**ITEMS, "probe.aa": "x", "weights.file": "w"}))
    assert drift_facts("eu", "eu-chat", found, Integrity(on_drift="shut")) == {
        "rule": "model_drift", "stage": "model", "scope": "eu/*/*/eu-chat", "model": "eu-chat",
        "what": ["weights", "probe"], "verdict": "shut",
    }  # fmt: skip
    assert drift_facts("eu", "m", found, Integrity())["verdict"] == "record"


def test_a_model_is_described_by_what_says_which_it_is():
    listing = {"object": "list", "data": [{"id": "other", "owned_by": "x"}, VLLM]}
    known = described(listing, ["shop"])
    restarted = {**VLLM, "created": 2, "permission": [{"id": "modelperm-2", "created": 2}]}
    assert described({"data": [restarted, {"id": "more"}]}, ["shop"]) == known
    for change in ({"root": "/models/evil"}, {"max_model_len": 4096}, {"owned_by": "me"}, {"parent": "base"}):
        assert described({"data": [{**VLLM, **change}]}, ["shop"]) != known
    assert described({"data": [{"id": "llama3:latest"}, {"id": "x"}]}, ["llama3"]) != ABSENT
    assert described({"data": [{"id": "anything"}]}, ["shop"]) != ABSENT  # the only one
    for none in (None, [], {}, {"data": None}, {"data": []}, {"data": ["shop"]}, {"data": [{"id": "a"}, {"id": "b"}]}):
        assert described(none, ["shop"]) == ABSENT


def test_props_tell_path_build_template_context_and_adapters():
    known = propertied(PROPS)
    assert propertied({**PROPS, "media_marker": "<another>", "is_sleeping": True}) == known
    settings = PROPS["default_generation_settings"]
    for change in (
        {"model_path": "/srv/evil.gguf"},
        {"chat_template": "{{ evil }}"},
        {"build_info": "b6001"},
        {"total_slots": 1},
        {"default_generation_settings": {**settings, "n_ctx": 1}},
        {"default_generation_settings": {**settings, "params": {"lora": [{"id": 0}]}}},
    ):
        assert propertied({**PROPS, **change}) != known
    assert propertied({**PROPS, "model_path": "/proc/self/fd/9"}) == propertied(
        {**PROPS, "model_path": "/proc/self/fd/12"}
    )
    for none in (None, [], {}, "page", {"status": "ok"}):
        assert propertied(none) == ABSENT


def test_a_command_is_the_same_after_a_restart():
    start = ["python", "-m", "server", "--weights", "/proc/self/fd/7", "--port", "0", "--lifeline"]
    again = ["python", "-m", "server", "--weights", "/proc/self/fd/9", "--port", "40123", "--lifeline"]
    assert commanded(start) == commanded(again)
    assert commanded([*start, "--lora", "evil.gguf"]) != commanded(start)
    assert commanded(["--port", "1", "2"]) != commanded(["--port", "1"])


def test_a_probe_is_asked_coldly_and_its_answer_folded():
    probe = Probe(ask="Capital of Austria?", tokens=8)
    asked = probe_request(probe, "m")
    assert (asked["temperature"], asked["seed"], asked["max_tokens"], asked["stream"]) == (0, 0, 8, False)
    assert probe_item(probe) != probe_item(Probe(ask="Capital of Austria?", tokens=9))

    def answer(text, **more):
        return probe_answer("probe.x", {"choices": [{"message": {"content": text, **more}}]})

    known = answer("The capital is Vienna.")
    assert answer("the  capital is\nVIENNA.") == known
    later = answer("The capital is Graz.")
    assert later["probe.x"] != known["probe.x"]
    assert later["probe.x.start"] == known["probe.x.start"]
    assert answer("Vienna is it.")["probe.x.start"] != known["probe.x.start"]
    assert answer(None, reasoning_content="Vienna") != {}
    for none in (None, {}, {"choices": []}, {"choices": [{}]}, {"choices": [{"message": None}]}):
        assert probe_answer("probe.x", none) == {}
    assert answer(" \n") == answer("") == answer(None) == {}


def test_a_baseline_leaves_out_what_tells_nothing():
    look = Look({"weights.file": "w", "probe.x": "1"}, {"arguments.program": "not_permitted"})
    taken = learnt(5, look, {"probe.x": "not_stable"})
    assert taken == Baseline(5, {"weights.file": "w"}, {"arguments.program": "not_permitted", "probe.x": "not_stable"})
