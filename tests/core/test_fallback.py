"""Fallback answers: words, decisions, and OpenAI's shapes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from firedoor.core.fallback import (
    MAX_CHOICES,
    MAX_QUERY,
    FallbackAnswer,
    answer,
    as_chunks,
    as_completion,
    message,
    pick_language,
    query_of,
    search_text,
    tail_chunks,
    transaction_in,
)
from firedoor.core.language import KNOWN, language_of
from firedoor.core.plan.model import MessageFallback, RefuseFallback, Rule, RulesFallback, SearchFallback
from firedoor.core.rules import MAX_TRANSACTION

TEXTS = {"en": "Back soon.", "de": "Bald zurück."}
MESSAGE = MessageFallback(text=TEXTS)
SEARCH = SearchFallback(text={"en": "Found:", "de": "Gefunden:"}, empty={"en": "Nothing."}, hits=2)
RULES = RulesFallback(rules=(Rule(field="amount", op="missing", points=9, reason="no_amount"),), review=5, block=20)
HITS = [
    {"sku": "A", "name": "Two\n person  tent", "price": 329.0, "currency": "EUR"},
    {"sku": "B", "name": "Mug", "price": 9, "currency": "EUR"},
    {"sku": "C", "name": "Third", "price": 1, "currency": "EUR"},
]
MADE = {"model": "m", "created": 1_700_000_000, "completion_id": "x-1"}
ANSWER = FallbackAnswer("Back soon.", False, "message")
REFUSED = FallbackAnswer("Not available.", True, "refuse")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def says(text, **more):
    return {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": text}], **more}


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Back soon."),
        ("de", "Bald zurück."),
        ("de-AT", "Bald zurück."),
        ("xx", "Back soon."),
        (None, "Back soon."),
    ],
)
def test_a_message_in_the_shoppers_language(language, text):
    assert message(MESSAGE, language) == text


def test_without_a_language_the_words_decide():
    assert answer(MESSAGE, says("Wann kommt mein Paket und wo ist es?")).text == "Bald zurück."
    assert answer(MESSAGE, says("When is my parcel going to be here?")).text == "Back soon."
    assert answer(MESSAGE, says("Wann kommt mein Paket?"), language="en").text == "Back soon."


def test_search_lists_the_hits_that_the_plan_allows():
    assert search_text(SEARCH, "en", HITS) == "Found:\n- Two person tent, 329.00 EUR\n- Mug, 9.00 EUR"
    assert search_text(SEARCH, "de", HITS[:1]) == "Gefunden:\n- Two person tent, 329.00 EUR"
    assert search_text(SEARCH, "de", []) == "Nothing."
    assert search_text(SEARCH, "en", [{"sku": "A"}, {"name": "x" * 500, "price": True}]).endswith("- A\n- " + "x" * 120)


def test_each_kind_of_fallback_gives_its_answer():
    assert answer(MESSAGE, says("hi")) == FallbackAnswer("Back soon.", False, "message")
    assert answer(SEARCH, says("tent"), hits=HITS[1:2]) == FallbackAnswer("Found:\n- Mug, 9.00 EUR", False, "search")
    decided = answer(RULES, says('{"amount": 3}'))
    assert (decided.kind, json.loads(decided.text)["decision"]) == ("rules", "allow")
    assert json.loads(answer(RULES, says("hello")).text)["reasons"] == ["no_amount"]
    assert answer(RefuseFallback(), says("hi")).refused


@given(JSON)
def test_no_request_is_too_odd_for_a_fallback(request):
    for odd in (request, {"messages": request}, {"messages": [{"role": "user", "content": request}], "n": request}):
        for spec in (MESSAGE, SEARCH, RULES):
            given_ = answer(spec, odd)
            assert given_.text
            assert as_completion(given_, odd, **MADE)["choices"]
            assert as_chunks(given_, odd, **MADE)


@pytest.mark.parametrize(
    ("request_", "query"),
    [
        (says("boots"), "boots"),
        ({"messages": [{"role": "user", "content": "old"}, {"role": "user", "content": "new"}]}, "new"),
        ({"messages": [{"role": "user", "content": "mine"}, {"role": "assistant", "content": "its"}]}, "mine"),
        (says([{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]), "a\nb"),
        (says("x" * 5000), "x" * MAX_QUERY),
        (says(None), ""),
        ({"messages": []}, ""),
        ({}, ""),
        (None, ""),
        ({"messages": ["x", {"role": "system", "content": "s"}]}, ""),
    ],
)
def test_the_query_is_the_last_user_text(request_, query):
    assert query_of(request_) == query


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"amount": 5}', {"amount": 5}),
        (' \n{"amount": 5, "a": {"b": [1]}}\n', {"amount": 5, "a": {"b": [1]}}),
        ('```json\n{"amount": 5}\n```', {"amount": 5}),
        ('Please score: {"amount": 5}. Thanks {smile}', {"amount": 5}),
        ('Answer as {"decision": ...}. {"amount": 5}', {"amount": 5}),
        ('{"note": "{\\"amount\\": 1}", "amount": 5}', {"note": '{"amount": 1}', "amount": 5}),
        ('note: {"amount": 1} order: {"amount": 900}', {}),
        ('[{"amount": 1}, {"amount": 2}]', {}),
        ("no object", {}),
        ("", {}),
        ('{"amount": 5', {}),
        ("{" * 5000, {}),
        ('{"a":' * 5000, {}),
        ("{" * 7 + '"a": 1}', {"a": 1}),
        ("{" * 8 + '"a": 1}', {}),
        ('{"amount": ' + "9" * 5000 + "}", {}),
        ('{"amount": 1}' + " " * MAX_TRANSACTION, {}),
    ],
)
def test_the_transaction_is_the_one_object_in_the_text(text, found):
    assert transaction_in(says(text)) == found


def test_a_language_to_answer_in_is_always_one_that_there_is():
    assert pick_language(says("Was ist mit der Bestellung?"), TEXTS) == "de"
    assert pick_language(says("12345"), {"de": "x"}) == "de"
    assert pick_language({}, {"pl": "x", "de": "y"}) == "pl"
    assert pick_language({}, {"pl": "x", "de": "y"}, "de") == "de"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Where is my order and when will it be here?", "en"),
        ("Wo ist meine Bestellung und wann kommt sie an?", "de"),
        ("Où est ma commande et quand est-ce que je vais la recevoir ?", "fr"),
        ("¿Dónde está mi pedido y cuándo lo voy a recibir?", "es"),
        ("Dov'è il mio ordine e quando posso averlo?", "it"),
        ("Waar is mijn bestelling en wanneer komt het pakket aan?", "nl"),
        ("Gdzie jest moje zamówienie i kiedy do mnie dotrze?", "pl"),
        ("AL-4001 4711", "??"),
        ("", "??"),
        ("die in", "??"),
    ],
)
def test_function_words_vote(text, language):
    assert language_of(text, KNOWN, "??") == language
    assert language_of(text, [], "??") == "??"


# --- OpenAI's shapes: checked by OpenAI's own types -------------------------------------------------------------------


@pytest.mark.parametrize(("n", "count"), [(None, 1), (1, 1), (3, 3), (0, 1), (True, 1), ("3", 1), (MAX_CHOICES + 1, 1)])
def test_a_completion_has_the_choices_asked_for(n, count):
    document = as_completion(ANSWER, says("hi", n=n), **MADE)
    made = ChatCompletion.model_validate(document, strict=True)
    assert [choice.index for choice in made.choices] == list(range(count))
    assert {choice.message.content for choice in made.choices} == {"Back soon."}
    assert {choice.finish_reason for choice in made.choices} == {"stop"}
    assert (made.id, made.model, made.created, made.usage.total_tokens) == ("x-1", "m", 1_700_000_000, 0)


@pytest.mark.parametrize("usage", [False, True])
@pytest.mark.parametrize("n", [1, 2])
def test_chunks_make_the_same_answer(usage, n):
    request = says("hi", n=n, stream=True, stream_options={"include_usage": usage})
    chunks = [ChatCompletionChunk.model_validate(c, strict=True) for c in as_chunks(ANSWER, request, **MADE)]
    assert {(chunk.id, chunk.model, chunk.created) for chunk in chunks} == {("x-1", "m", 1_700_000_000)}
    assert chunks[0].choices[0].delta.role == "assistant"
    for index in range(n):
        own = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
        assert "".join(choice.delta.content or "" for choice in own) == "Back soon."
        assert [choice.finish_reason for choice in own] == [None, None, "stop"]
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [0] * usage
    assert (chunks[-1].choices == []) is usage


def test_a_refusal_is_no_content():
    whole = ChatCompletion.model_validate(as_completion(REFUSED, {}, **MADE), strict=True).choices[0].message
    assert (whole.content, whole.refusal) == (None, "Not available.")
    deltas = [c["choices"][0]["delta"] for c in as_chunks(REFUSED, {}, **MADE)]
    assert deltas == [{"role": "assistant", "content": None}, {"refusal": "Not available."}, {}]


def test_a_tail_ends_only_the_choices_named():
    chunks = tail_chunks(ANSWER, (1, 3), after="\n\n", **MADE)
    assert [[c["index"] for c in chunk["choices"]] for chunk in chunks] == [[1, 3], [1, 3]]
    assert chunks[0]["choices"][0]["delta"] == {"content": "\n\nBack soon."}
    assert {c["finish_reason"] for c in chunks[1]["choices"]} == {"stop"}
