"""One growing text: for every split, what is sent and what is found are those of the whole, and nothing leaves early."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firedoor.core.detect.leak.values import ProtectedValue, ValueIndex
from firedoor.core.detect.spans import Span
from firedoor.core.exchange.texts import Text
from firedoor.core.minimise.placeholders import json_escaped
from firedoor.core.minimise.request import minimise

VALUES = ("alpha beta 77", "n77 gamma x", "a@b c extra")
INDEX = ValueIndex.build([ProtectedValue(f"v{i}", "s", "value", v) for i, v in enumerate(VALUES)])
MAIL = 'a@b"c'  # needs escaping in JSON


def known():
    find = lambda text: [Span(0, len(MAIL), "EMAIL", "t")] if text == MAIL else []  # noqa: E731
    return minimise({"messages": [{"role": "user", "content": MAIL}]}, find).placeholders


def play(parts, *, as_json, greedy=True):
    """What is taken after each part and at the end, the hits, and how much had been taken when the first hit came."""
    text = Text(INDEX.watch(), known().watch(), as_json=as_json)
    out, hits, taken = [], [], 0
    for part in parts:
        hits += text.feed(part)
        if hits:
            return "".join(out), hits, taken
        if greedy:
            out.append(text.take(text.fed))
            taken = text.released
    more = text.end()
    hits += more
    if not hits:
        out.append(text.take(text.fed))
    return "".join(out), hits, taken


WORDS = st.sampled_from(
    ["alpha", " beta", " 77", "n77", " gamma", " x", "<EMAIL_1>", "<EM", "AIL_1>", "<", "extra", "\\n", "\\u0037", "\\u00", "37",
     "\\\\", "\\", '\\"', "n", "7", "ALPHA", "&lt;EMAIL_1&gt;", "\\u003cEMAIL_1\\u003e", "ß", " "]
)  # fmt: skip
TEXTS = st.lists(WORDS, max_size=10).map("".join)


@settings(max_examples=1500)
@given(TEXTS, st.lists(st.integers(0, 99), max_size=8), st.booleans())
@example("alpha\\nbeta\\u0037\\u0037", [3, 7, 9, 15], True)
def test_every_split_gives_what_the_whole_gives(text, places, as_json):
    cuts = sorted(place % (len(text) + 1) for place in places)
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    sent, hits, taken = play(parts, as_json=as_json)
    whole, whole_hits, _ = play([text], as_json=as_json, greedy=False)
    assert bool(hits) == bool(whole_hits)
    if not hits:
        assert sent == whole == known().restore(text, json_string=as_json)
        return
    assert whole == ""
    # What had left before the hit, read as a caller reads it, holds no part that the value needs.
    plain = text[:taken]
    assert not INDEX.find(plain)
    rest = Text(INDEX.watch(), known().watch(), as_json=as_json)
    assert rest.feed(text[taken:]) or rest.end(), "the value began in what had left"


def test_a_value_in_json_is_read_with_its_escapes_undone():
    for arguments in (
        f'{{"x": "{json_escaped("alpha" + chr(10) + "beta 77")}"}}',
        '{"x": "alpha\\u0020beta\\u00a077"}',
    ):
        assert play([arguments], as_json=True)[1]
        assert play(list(arguments), as_json=True)[1]


def test_restored_values_are_escaped_in_json_and_plain_elsewhere():
    assert play(["<EMAIL_1>"], as_json=True)[0] == 'a@b\\"c'
    assert play(["<EMAIL_1>"], as_json=False)[0] == MAIL


class HoldsNothing(Text):
    __slots__ = ()

    def covered(self):
        return self.fed


class ForgetsTheEscapes(Text):
    __slots__ = ()

    def _with_escapes(self, changes, text, upto):
        return changes, upto


class ReadsTheModelOnly(Text):
    __slots__ = ()

    def feed(self, text):
        super().feed(text)
        return INDEX.find(self.seen_text())


@pytest.mark.parametrize("fault", [HoldsNothing, ForgetsTheEscapes, ReadsTheModelOnly])
def test_planted_faults_are_found(fault, monkeypatch):
    monkeypatch.setitem(globals(), "Text", fault)
    with pytest.raises((AssertionError, ExceptionGroup)):
        test_every_split_gives_what_the_whole_gives()
        test_a_value_in_json_is_read_with_its_escapes_undone()
