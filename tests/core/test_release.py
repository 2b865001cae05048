"""The hold-back queue: what is released must not depend on how the stream was cut."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core import sse
from firedoor.core.detect.protected import ProtectedIndex, ProtectedValue
from firedoor.core.detect.spans import Span
from firedoor.core.exchange.release import Release
from firedoor.core.minimise import minimise

SECRET = "alpha beta 77"
INDEX = ProtectedIndex.build([ProtectedValue("v1", "s", "value", SECRET)])
MAIL = "a@b.example"
ASKED = {"messages": [{"role": "user", "content": MAIL}]}


def placeholders():
    find = lambda text: [Span(0, len(MAIL), "EMAIL", "t")] if text == MAIL else []  # noqa: E731
    return minimise(ASKED, find).placeholders


def frame(pieces):
    """One chunk with text for some choices."""
    choices = [{"index": i, "delta": {"content": text}} for i, text in pieces]
    return next(iter(sse.FrameDecoder().feed(sse.encode(json.dumps({"choices": choices}).encode()))))


def read(data, choices=2):
    texts = [""] * choices
    for one in sse.FrameDecoder().feed(data):
        for choice in json.loads(one.data)["choices"]:
            texts[choice["index"]] += choice["delta"]["content"]
    return texts


def play(frames):
    release = Release(INDEX, frozenset(), placeholders(), 2)
    out, hits = b"", []
    for one in frames:
        data, hits = release.feed(one)
        out += data
        if hits:
            break
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
    assert leaked == bool(INDEX.find(first) or INDEX.find(second))
    for text, original, said in zip(texts, (first, second), whole, strict=True):
        if not leaked:
            assert text == said
        else:
            assert said.startswith(text)
            hits = INDEX.find(original)
            if hits:
                before = original[: min(h.start for h in hits)].replace("<EMAIL_1>", MAIL)
                assert len(text) <= len(before)


def test_a_frame_nobody_touched_keeps_its_bytes_and_its_logprobs():
    raw = b'data: {"choices": [{"index": 0, "delta": {"content": "hi"}, "logprobs": {"content": [1.50]}}]}\n\n'
    release = Release(INDEX, frozenset(), placeholders(), 1)
    data, _ = release.feed(sse.FrameDecoder().feed(raw)[0])
    assert data == raw


def test_logprobs_of_a_restored_frame_are_dropped_because_they_spell_the_text():
    raw = b'data: {"choices": [{"index": 0, "delta": {"content": "<EMAIL_1>"}, "logprobs": {"content": [1]}}]}\n\n'
    release = Release(INDEX, frozenset(), placeholders(), 1)
    data, _ = release.feed(sse.FrameDecoder().feed(raw)[0])
    assert b"logprobs" not in data
    assert MAIL.encode() in data
