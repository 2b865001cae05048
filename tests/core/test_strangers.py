"""Personal data that nobody brought: found whatever the split, and with `cut` no character of it leaves."""

import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firedoor.core import policy, sse
from firedoor.core.detect import strangers
from firedoor.core.detect.known import Known
from firedoor.core.detect.leak.guard import Brought, LeakIndex
from firedoor.core.detect.leak.values import ProtectedValue, ValueIndex
from firedoor.core.detect.rules.tier import Rules
from firedoor.core.detect.spans import Span
from firedoor.core.detect.strangers import MAX_STRANGERS, AnswerCheck, Strangers, StrangerStop, is_worth_a_search
from firedoor.core.exchange.release import Inspection, Release, inspect_answer
from firedoor.core.exchange.texts import Text
from firedoor.core.minimise.request import minimise
from firedoor.core.plan.model import AnswerRules
from firedoor.core.switches import Scope

RULES = Rules()
MAIL = "mia@example.org"
ASKED = f"I am {MAIL}, call 0170 1234567 about order 10042"
SCOPE = Scope("eu", "shop", "support", "eu-chat")
STRANGE = [
    "write to ben.okafor@mail.example, please",
    "her phone is +49 171 7654321.",
    "the card 5500 0000 0000 0004 was charged",
    "IBAN PL27 1140 2004 0000 3002 0135 5387",
    "date of birth: 7 November 1984",
    "born on November 7, 1984 in",
    "Order number 77120 went to",
    "customer number 5532198 is",
    "from 203.0.113.77 last",
    "the key is ghp_abcdefghijklmnopqrstuvwxyz0123456789 now",
    "ben dot okafor at mail dot com",
    "call zero one seven one seven six five four three two one",
    '{"phone":"+49 171 7654321","order_id":77120}',
]
PLAIN = [
    "The boots cost 149.95 € (instead of 179.95 €) in sizes 38 to 47.",
    "We answer within 24 hours, Monday to Friday from 9:00 to 17:30.",
    "1. Open the app. 2. Choose one of the two shops at the top. 3. Done!",
    f"I have written to {MAIL} about order #10042 and will call +49 170 1234567.",
    "Your payment with the card was 2 x 19.99 EUR, 10 % off.",
    "",
]


def check(find=RULES.find, *, cut=True, names=None, known=(ASKED,)):
    return AnswerCheck(find, Known(lambda: known), cut=cut, names=names)


def watched(parts, **how):
    """The hits of a text in parts, what was held from after each part, and what was counted."""
    checked = check(**how)
    watch = checked.watch()
    held = [0]
    for part in parts:
        watch.feed(part)
        held.append(watch.held_from() if checked.cut else 0)
    watch.end()
    return watch.hits, [*held, watch.held_from() if checked.cut else len("".join(parts))], checked.found


@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize("text", STRANGE)
def test_a_stranger_is_found(text, cut):
    for whole in (text, f"Hello there, {text} and so on it goes.", f"one\ntwo {'and more ' * 300}\n{text}"):
        hits, held, found = watched([whole], cut=cut)
        assert hits, whole
        assert found.labels
        assert held[-1] == (hits[0].start if cut else len(whole))


@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize("text", PLAIN)
def test_what_is_known_or_nothing_is_none(text, cut):
    for whole in (text, f"Hello. {text}\nAnything else? {text}"):
        hits, held, found = watched([whole], cut=cut)
        assert not hits
        assert not found
        assert held[-1] == len(whole)


WORDS = st.one_of(
    st.sampled_from([*STRANGE, *PLAIN]),
    st.sampled_from(
        ["and", " ", "\n", "1", "42", " 0171", "7654321", "March", "at", " dot ", "one two", "\u2028", "j a n", "ü", "４", "٣",
         "DE 89", "+49 ", "order ", "\ud800", "x" * 70, "7" * 70, " " * 140, "@", "web.de", "€", "–"]
    ),
    st.text(max_size=5),
)  # fmt: skip
TEXTS = st.lists(WORDS, max_size=12).map(" ".join)


def cuts(text, places):
    at = sorted(place % (len(text) + 1) for place in places)
    return [text[a:b] for a, b in zip([0, *at], [*at, len(text)], strict=True)]


def simple(text):
    """A search as the rules are, and quick: phone-like and address-like runs with a word on either side."""
    return [
        Span(*match.span(), "PHONE", "test") for match in re.finditer(r"(?:\w+ )?[0-9]{4,9}(?: [0-9]{2,9}){0,3}", text)
    ] + [Span(*match.span(), "EMAIL", "test") for match in re.finditer(r"[\w.]{1,30}@[\w.]{3,30}", text)]


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.lists(st.integers(0, 3000), max_size=12), st.booleans(), st.booleans())
def test_every_split_gives_the_same(text, places, cut, real):
    how = {"find": RULES.find if real else lambda t: sorted(simple(t)), "cut": cut}
    hits, held, found = watched(cuts(text, places), **how)
    whole, whole_held, whole_found = watched([text], **how)
    assert hits == whole
    assert found == whole_found
    assert held[-1] == whole_held[-1]
    if cut:
        assert held == sorted(held), "what had left was called back"


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.sampled_from(STRANGE), TEXTS)
@example("", STRANGE[5], "")
@example("7" * 700 + " ", STRANGE[0], "")
def test_no_character_of_a_stranger_leaves(before, strange, after):
    text = f"{before} so {strange} or {after}"
    hits, held, _ = watched(list(text))
    assert hits
    starts = [hit.start for hit in hits]
    assert max(held) <= min(starts)
    assert held[-1] == starts[0]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([*STRANGE, *PLAIN, "\n"]), max_size=30).map(" ".join))
def test_reading_behind_and_reading_ahead_both_find_it(text):
    behind, _, _ = watched([text], cut=False)
    ahead, _, _ = watched([text], cut=True)
    assert bool(behind) == bool(ahead)


class HoldsOnlyRuns(StrangerStop):
    def held_from(self):
        return super().held_from() if self._run is not None or self.hits else self._base + self._next


class JudgesUnfinishedWords(StrangerStop):
    def feed(self, text):
        super().feed(text)
        if self._run is not None and not self.hits:
            self._judge(len(self._text))


@pytest.mark.parametrize(
    ("fault", "finder"),
    [
        (HoldsOnlyRuns, test_no_character_of_a_stranger_leaves),
        (JudgesUnfinishedWords, test_every_split_gives_the_same),
    ],
)
def test_planted_faults_are_found(fault, finder, monkeypatch):
    monkeypatch.setattr(strangers, "StrangerStop", fault)
    with pytest.raises((AssertionError, ExceptionGroup)):
        finder()


class Counting:
    def __init__(self):
        self.calls = 0
        self.characters = 0

    def find(self, text):
        self.calls += 1
        self.characters += len(text)
        return []


@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize(
    "text",
    ["1 " * 20_000, "7" * 40_000, "a@b " * 10_000, "order 12345, " * 3000, " " * 40_000, "x" * 40_000, "1234\n" * 8000],
)
def test_the_search_is_linear(text, cut):
    counting = Counting()
    for size in (7, len(text)):
        counting.__init__()
        watched([text[i : i + size] for i in range(0, len(text), size)], cut=cut, find=counting.find)
        assert counting.characters <= 16 * len(text)


def test_a_text_without_signs_is_never_searched():
    counting = Counting()
    for text in (PLAIN[0], PLAIN[2], "Warm, light boots: they last at least for many seasons, at a fair price. " * 20):
        for cut in (True, False):
            watched([text], cut=cut, find=counting.find)
    assert counting.calls == 0


@pytest.mark.parametrize("text", STRANGE)
def test_whatever_the_rules_find_is_worth_a_search(text):
    assert is_worth_a_search(text)


def test_the_same_value_counts_once_and_there_is_a_bound():
    _, _, found = watched(["ben@mail.example, ben@mail.example"], cut=False)
    assert found == Strangers({"EMAIL": 1})
    many = "\n".join(f"b{i}@mail.example" for i in range(1000))
    assert MAX_STRANGERS <= watched([many], cut=False)[2].labels["EMAIL"] < 3 * MAX_STRANGERS


def test_unsure_forms_do_not_count():
    def find(text):
        return [Span(0, 5, "ORDER_ID", "order.hash", 0.6), Span(0, 5, "POSTCODE", "postcode.form", 1.0)]

    assert watched(["12345 and"], find=find)[2] == Strangers()


# --- names ---


def people(text):
    found = [("Ben Okafor", "PERSON", 0.95), ("Mia Muster", "PERSON", 0.95), ("Ben Doubt", "PERSON", 0.8)]
    found += [("Single", "PERSON", 0.99), ("Elm Road 3", "STREET_ADDRESS", 0.97), ("Alpen GmbH", "ORG", 0.99)]
    spans = [
        Span(text.find(name), text.find(name) + len(name), label, "model", score, "model")
        for name, label, score in found
    ]
    return [span for span in spans if span.start >= 0]


@pytest.mark.parametrize("cut", [True, False])
def test_full_names_and_addresses_are_counted_at_the_end(cut):
    text = "Ben Okafor of Elm Road 3 asked Single, Ben Doubt and Mia Muster of Alpen GmbH."
    hits, held, found = watched([text[:20], text[20:]], cut=cut, names=people, known=("muster, mia",))
    assert found == Strangers({}, 2)
    assert not hits
    assert held[-1] == len(text)
    assert not watched([text], cut=cut, known=("muster, mia",))[2]


# --- in a text, an answer, a verdict ---

SECRET = "alpha beta 77"
VALUES = ValueIndex.build([ProtectedValue("v1", "s", "value", SECRET)])
INDEX = LeakIndex(VALUES)
CUT = AnswerRules()


def placeholders():
    find = lambda text: [Span(0, len(MAIL), "EMAIL", "t")] if text == MAIL else []  # noqa: E731
    return minimise({"messages": [{"role": "user", "content": MAIL}]}, find).placeholders


def sent(parts, *, as_json=False, cut=True):
    checked = check(cut=cut)
    text = Text(VALUES.watch(), placeholders().watch(), as_json=as_json, strangers=checked.watch())
    out = []
    for part in parts:
        text.feed(part)
        out.append(text.take(text.fed))
    text.end()
    out.append(text.take(text.fed))
    return "".join(out), checked


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from([*STRANGE, "<EMAIL_1>", "so <EM", "alpha beta 7", "Hi", '\\"', "\\u0041", "\n"]), max_size=6
    ),
    st.lists(st.integers(0, 400), max_size=9),
    st.booleans(),
)
def test_a_text_sends_the_same_whatever_the_split(words, places, as_json):
    text = " ".join(words)
    whole, whole_check = sent([text], as_json=as_json)
    split, split_check = sent(cuts(text, places), as_json=as_json)
    assert split == whole
    assert split_check.found == whole_check.found
    if not whole_check.stops:
        assert whole == placeholders().restore(text, json_string=as_json)


def test_a_restored_placeholder_is_known_and_a_stranger_beside_it_is_not():
    assert sent(["Dear <EMAIL_1>, welcome"])[0] == f"Dear {MAIL}, welcome"
    text, checked = sent(["Dear <EMAIL_1> and ben@mail.example"])
    assert text == f"Dear {MAIL} and "
    assert checked.found == Strangers({"EMAIL": 1})


def test_escapes_of_arguments_hide_nothing():
    arguments = '{"to": "ben\\u0040mail.example", "n": 1}'
    for parts in ([arguments], list(arguments)):
        text, checked = sent(parts, as_json=True)
        assert text == '{"to": "'
        assert checked.found == Strangers({"EMAIL": 1})


def chunks(text, size, **more):
    parts = [text[i : i + size] for i in range(0, len(text), size)]
    documents = [{"choices": [{"index": 0, "delta": {"content": part}, "finish_reason": None}]} for part in parts]
    documents.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return [sse.FrameDecoder().feed(sse.encode(json.dumps(document).encode()))[0] for document in documents]


def content(data):
    frames = [json.loads(frame.data) for frame in sse.FrameDecoder().feed(data)]
    return "".join(
        choice.get("delta", {}).get("content", "") for frame in frames for choice in frame["choices"]
    ), frames


@pytest.mark.parametrize("size", [1, 3, 7, 20, 1000])
def test_a_stream_is_cut_before_the_value(size):
    release = Release(Inspection(INDEX.guard(Brought()), CUT, placeholders(), check()), 1)
    data, stopped = b"", False
    for frame in chunks("Hello, the other one is ben@mail.example and he likes boots.", size):
        step = release.feed(frame)
        data += step.data
        if step.stranger:
            stopped = True
            break
    text, frames = content(data)
    assert stopped
    assert text == "Hello, the other one is "
    assert not any(choice.get("finish_reason") for frame in frames for choice in frame["choices"])
    assert release.open_choices() == [0]


def test_a_stream_on_record_goes_on_and_is_not_held():
    release = Release(Inspection(INDEX.guard(Brought()), CUT, placeholders(), check(cut=False)), 1)
    text = "The mail is ben@mail.example and he wrote to us twice in the last week, so they told us. "
    *frames, last = chunks(text, 4)
    sent_early = content(b"".join(release.feed(frame).data for frame in frames))[0]
    assert text.startswith(sent_early)
    assert "ben@mail.example and" in sent_early
    assert not release.feed(last).stranger
    assert release.inspection.check.found == Strangers({"EMAIL": 1})


@pytest.mark.parametrize("cut", [True, False])
def test_a_whole_answer_is_checked(cut):
    message = {"content": "The mail is ben@mail.example", "refusal": None}
    whole = {"id": "chatcmpl-01711234567890", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    inspection = Inspection(INDEX.guard(Brought()), CUT, placeholders(), check(cut=cut))
    step = inspect_answer(whole, inspection)
    assert inspection.check.found == Strangers({"EMAIL": 1})
    assert step.stranger is cut
    assert (b"ben@" in step.data) is not cut


def test_strings_that_stand_alone_are_checked_but_not_the_servers_ids():
    inspection = Inspection(INDEX.guard(Brought()), CUT, placeholders(), check())
    assert not inspect_answer(
        {
            "id": "0171 7654321 tel",
            "system_fingerprint": "a@b.example",
            "choices": [{"index": 0, "message": {"content": "x"}}],
        },
        inspection,
    ).stranger
    assert inspect_answer(
        {"sources": ["ben@mail.example"], "choices": [{"index": 0, "message": {"content": "x"}}]}, inspection
    ).stranger


def test_a_protected_value_comes_first():
    release = Release(Inspection(INDEX.guard(Brought()), CUT, placeholders(), check()), 1)
    step = release.feed(chunks(f"ben@mail.example and also more {SECRET}", 1000)[0])
    assert step.stops
    assert not step.data


@pytest.mark.parametrize(
    ("found", "answers", "action"),
    [
        (Strangers({"EMAIL": 2, "CREDIT_CARD": 1}), "cut", "cut"),
        (Strangers({"EMAIL": 2}), "record", "record"),
        (Strangers({"EMAIL": 2}), "pass", None),
        (Strangers({}, 2), "cut", "record"),
        (Strangers({}, 2), "record", "record"),
        (Strangers(), "cut", None),
    ],
)
def test_the_verdict(found, answers, action):
    verdict = policy.judge_strangers(found, SCOPE, answers)
    assert (verdict.action if verdict else None) == action
    if verdict:
        assert verdict.reason == "stranger_data"
        assert verdict.facts["rule"] == "stranger_data"
        assert verdict.facts.get("labels", {}) == found.labels
        assert verdict.facts.get("names", 0) == found.names


def test_the_verdict_is_not_changed_by_what_is_found_later():
    found = Strangers({"EMAIL": 1})
    verdict = policy.judge_strangers(found, SCOPE, "record")
    found.labels["EMAIL"] = 2
    assert verdict.facts["labels"] == {"EMAIL": 1}


@pytest.mark.parametrize("size", [1, 3, 50])
def test_signs_between_words_do_not_end_a_value(size):
    text = "Please write to ben . okafor @ mail . com and ask him."
    found = RULES.find(text)[0]
    hits, held, _ = watched([text[i : i + size] for i in range(0, len(text), size)])
    assert hits
    assert max(held) <= found.start
