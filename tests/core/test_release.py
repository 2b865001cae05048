"""The hold-back queue: what is released must not depend on how the stream was cut."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core import sse
from firedoor.core.detect.leak.guard import Brought, LeakIndex
from firedoor.core.detect.leak.values import ProtectedValue, ValueIndex
from firedoor.core.detect.spans import Span
from firedoor.core.exchange.release import Inspection, Release, inspect_answer
from firedoor.core.minimise.request import minimise
from firedoor.core.plan.model import AnswerRules
from firedoor.errors import ModelFailed

SECRET = "alpha beta 77"
VALUES = ValueIndex.build([ProtectedValue("v1", "s", "value", SECRET)])
INDEX = LeakIndex(VALUES)
RULES = AnswerRules()
MAIL = "a@b.example"
ASKED = {"messages": [{"role": "user", "content": MAIL}]}


def placeholders():
    find = lambda text: [Span(0, len(MAIL), "EMAIL", "t")] if text == MAIL else []  # noqa: E731
    return minimise(ASKED, find).placeholders


def frame(pieces):
    """One chunk with text for some choices."""
    choices = [{"index": i, "delta": {"content": text}} for i, text in pieces]
    return next(iter(sse.FrameDecoder().feed(sse.encode(json.dumps({"choices": choices}).encode()))))


def read(data, choices=2, field="content"):
    texts = [""] * choices
    for one in sse.FrameDecoder().feed(data):
        for choice in json.loads(one.data)["choices"]:
            texts[choice["index"]] += choice.get("delta", {}).get(field, "")
    return texts


def new(choices=2, index=INDEX, known=None):
    return Release(Inspection(index.guard(Brought()), RULES, known or placeholders()), choices)


def play(frames):
    release = new()
    out, hits = b"", []
    for one in frames:
        step = release.feed(one)
        hits = step.stops
        out += step.data
        if hits:
            break
    if not hits:
        hits = [one for one in release.inspection.end().stops if one.hit.confirmed]
    if not hits:
        rest, last = release.finish()
        out += rest + (sse.encode(json.dumps(last).encode()) if last else b"")
    return read(out), bool(hits)


WORDS = st.sampled_from(
    ["alpha", " beta", " 77", "<EMAIL_1>", "<EM", "AIL_1>", "<", "ALPHA", "x", " ", "al", "pha beta", "7"]
)
TEXTS = st.lists(WORDS, max_size=8).map("".join)


def cut(text, places):
    cuts = sorted(place % (len(text) + 1) for place in places)
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


PLACES = st.lists(st.integers(0, 99), max_size=6)


@settings(max_examples=400)
@given(TEXTS, TEXTS, PLACES, PLACES, st.integers(0, 3**14))
def test_released_text_is_the_whole_text_restored_or_nothing_of_the_value(first, second, here, there, order):
    left, right = cut(first, here), cut(second, there)
    frames = []
    while left or right:  # two choices interleaved in any way
        order, turn = divmod(order, 3)
        pieces = []
        if left and (turn != 1 or not right):
            pieces.append((0, left.pop(0)))
        if right and (turn != 0 or not pieces):
            pieces.append((1, right.pop(0)))
        frames.append(frame(pieces))
    texts, leaked = play(frames)
    whole = [first.replace("<EMAIL_1>", MAIL), second.replace("<EMAIL_1>", MAIL)]
    assert leaked == bool(VALUES.find(first) or VALUES.find(second))
    for text, original, said in zip(texts, (first, second), whole, strict=True):
        if not leaked:
            assert text == said
        else:
            assert said.startswith(text)
            hits = VALUES.find(original)
            if hits:
                before = original[: min(h.start for h in hits)].replace("<EMAIL_1>", MAIL)
                assert len(text) <= len(before)


def one_frame(release, document):
    return release.feed(sse.FrameDecoder().feed(sse.encode(json.dumps(document).encode()))[0])


def delta(index=0, finish=None, **fields):
    return {"choices": [{"index": index, "delta": fields, "finish_reason": finish}]}


def test_what_leaves_is_what_was_inspected():
    raw = b'\xef\xbb\xbfevent: alpha beta 77\ndata: {"choices": [{"index": 0, "delta": {"content": "alpha beta 77", "content": "hi"}}]}\n\n'
    step = new().feed(sse.FrameDecoder().feed(raw[3:])[0])
    assert b"alpha" not in step.data
    assert read(step.data) == ["hi", ""]


def test_comments_pass_without_their_words():
    assert new().feed(sse.FrameDecoder().feed(b": alpha beta 77\n\n")[0]).data == b":\n\n"


HIDDEN = [
    delta(role=SECRET),
    delta(**{SECRET: 1}),
    delta(tool_calls=[{"index": 0, "id": SECRET}]),
    delta(tool_calls=[{"index": 0, "function": {"name": SECRET}}]),
    delta(tool_calls=[{"index": 0, "function": {"arguments": '{"x": "alpha\\nbeta \\u0037\\u0037"}'}}]),
    delta(function_call={"arguments": SECRET}),
    delta(content=[{"type": "text", "text": "alpha"}, {"type": "text", "text": " beta 77"}]),
    {**delta(content="x"), "id": SECRET},
    {**delta(content="x"), "usage": {"note": [SECRET]}},
    {"choices": [{"index": 0, "finish_reason": SECRET}]},
    {"choices": [{"index": 0, "text": SECRET}]},
]


@pytest.mark.parametrize("document", HIDDEN)
def test_a_value_is_found_wherever_it_stands(document):
    step = one_frame(new(), document)
    assert step.stops
    assert not step.data
    whole = json.loads(json.dumps(document).replace('"delta"', '"message"'))
    assert inspect_answer(whole, Inspection(INDEX.guard(Brought()), RULES, placeholders())).stops


def test_a_value_behind_an_escape_that_is_cut_anywhere_is_found():
    arguments = json.dumps({"x": "caf\u00e9 alpha\nbeta\t77"})
    for place in range(1, len(arguments)):
        release = new()
        hits = []
        for part in (arguments[:place], arguments[place:]):
            step = one_frame(release, delta(tool_calls=[{"index": 0, "function": {"arguments": part}}]))
            hits += step.stops
            assert b"beta" not in step.data
        assert hits + release.inspection.end().stops, place


def test_a_value_inside_a_placeholder_or_around_one_is_found():
    def find(text):
        start = text.find("alpha beta")
        return [Span(start, start + len("alpha beta"), "EMAIL", "t")] if start >= 0 else []

    known = minimise({"messages": [{"role": "system", "content": "alpha beta"}]}, find).placeholders
    for parts in (["<EMAIL_1> 77"], ["<EM", "AIL_1>", " 7", "7"]):
        release = new(known=known)
        steps = [one_frame(release, delta(content=part)) for part in parts]
        assert any(step.stops for step in steps)
        assert b"alpha" not in b"".join(step.data for step in steps)
    whole = {"choices": [{"index": 0, "message": {"content": "<EMAIL_1> 77"}}]}
    assert inspect_answer(whole, Inspection(INDEX.guard(Brought()), RULES, known)).stops


def test_a_held_text_does_not_hold_the_others():
    release = new(1)
    thought, said = (
        "They like it in all the sizes there are, and so extra",
        "We have boots in six sizes, and shoes too.",
    )
    assert one_frame(release, delta(reasoning_content=thought)).data == b""  # "a" may begin a value
    freed = one_frame(release, delta(content=said)).data
    early = read(freed, field="reasoning_content")[0]
    assert early
    assert thought[:-1].startswith(early)
    assert read(freed)[0]
    assert one_frame(release, delta(finish="stop")).data == b""
    rest, last = release.finish()
    assert early + read(rest, field="reasoning_content")[0] == thought  # what was owed comes before the end
    assert last["choices"][0]["finish_reason"] == "stop"


def test_choices_that_finish_at_different_times_do_not_wait_for_each_other():
    release = new(2)
    one_frame(release, delta(0, content="extra a"))
    step = one_frame(release, delta(0, finish="stop"))
    step = one_frame(release, delta(1, content="We have boots in six sizes, and shoes too. "))
    assert read(step.data)[1].startswith("We have")


def test_text_after_the_end_of_a_choice_is_garbage():
    release = new(1)
    one_frame(release, delta(finish="stop"))
    with pytest.raises(ModelFailed):
        one_frame(release, delta(content="more"))


def test_token_level_fields_never_leave():
    step = one_frame(new(), {"choices": [{"index": 0, "delta": {"content": "hi"}, "logprobs": {"content": [1]}}]})
    assert b"logprobs" not in step.data


def test_numbers_and_unknown_fields_survive():
    step = one_frame(
        new(),
        {"choices": [{"index": 0, "delta": {"content": "hi"}, "vendor": 1.5}], "usage": None, "x": [1, {"y": None}]},
    )
    document = json.loads(step.data.removeprefix(b"data: "))
    assert document["x"] == [1, {"y": None}]
    assert document["choices"][0]["vendor"] == 1.5
