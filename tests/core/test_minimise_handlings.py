"""What becomes of each kind of data, of fields with rules, of values in pieces, and of what nobody can look into."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.detect.spans import Span
from firedoor.core.minimise.fields import MAX_DEPTH, compiled
from firedoor.core.minimise.generalise import amount_band, generalise, plain_number
from firedoor.core.minimise.handlings import Handlings
from firedoor.core.minimise.request import Minimised, minimise
from firedoor.core.plan.model import LABELS, FieldRule, PersonalDataRules

CARD = "4111 1111 1111 1111"
MIA = "mia.vogt@example.org"
YEAR = 2026

FORMS = {
    "EMAIL": r"[a-z.]+@[a-z]+\.org",
    "CREDIT_CARD": r"(?<![0-9])(?:4111[ -]?1111[ -]?1111[ -]?1111)(?![0-9])|(?<=cvv: )[0-9]{3}",
    "PHONE": r"\+49 170 [0-9]{7}",
    "ORDER_ID": r"(?<=order )[0-9]{5}|(?<=order: )[0-9]{5}",
    "POSTCODE": r"\b80331\b",
    "CITY": r"\bBerlin\b",
    "DATE_OF_BIRTH": r"1988-03-12",
    "IP": r"203\.0\.113\.[0-9]+",
    "PERSON": r"\bAnna Kowalska\b",
}
_FIND = re.compile("|".join(f"(?P<{label}>{form})" for label, form in FORMS.items()))


def find(text: str) -> list[Span]:
    """A detector of a few plain forms."""
    return [Span(*found.span(), str(found.lastgroup), "test") for found in _FIND.finditer(text)]


def chat(*texts: str | dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text} if isinstance(text, str) else text for text in texts]}


def said(done: Minimised) -> list[str]:
    return [message["content"] for message in done.request["messages"]]


def handled(text: str, **rules: Any) -> Minimised:
    return minimise(chat(text), find, Handlings(PersonalDataRules(**rules)), YEAR)


EVERYTHING = f"order 10042 for {MIA}, +49 170 1234567, 80331 Berlin, 1988-03-12, 203.0.113.9, {CARD}, Anna Kowalska"


@pytest.mark.parametrize(
    ("default", "text"),
    [
        (
            "mask",
            (
                "order <ORDER_ID_1> for <EMAIL_1>, <PHONE_1>, <POSTCODE_1> <CITY_1>, <DATE_OF_BIRTH_1>, <IP_1>,"
                " <CREDIT_CARD_1>, <PERSON_1>"
            ),
        ),
        (
            "generalise",
            "order <ORDER_ID_1> for example.org, +49, 803xx <CITY_1>, 30-39, 203.0.113.0/24, <CREDIT_CARD_1>, <PERSON_1>",
        ),
        (
            "drop",
            "order [removed] for [removed], [removed], [removed] [removed], [removed], [removed], [removed], [removed]",
        ),
        ("pass", EVERYTHING.replace(CARD, "<CREDIT_CARD_1>")),
    ],
)
def test_one_handling_for_all(default: str, text: str) -> None:
    done = handled(EVERYTHING, default=default)
    assert said(done) == [text]
    if default == "mask":
        assert done.placeholders.restore(text) == EVERYTHING
    if default in ("generalise", "drop"):  # what is coarser or gone does not come back
        restored = done.placeholders.restore(text)
        assert MIA not in restored
        assert "1234567" not in restored


def test_counts_say_what_was_taken_out_and_what_was_found() -> None:
    done = handled(f"{MIA} {MIA.upper()} lea@example.org 80331 Berlin", labels={"POSTCODE": "pass", "CITY": "drop"})
    assert done.counts == {"EMAIL": 2, "CITY": 1}
    assert done.found == {"mask": {"EMAIL": 2}, "pass": {"POSTCODE": 1}, "drop": {"CITY": 1}}


def test_without_a_year_a_birthday_is_masked() -> None:
    rules = Handlings(PersonalDataRules(default="generalise"))
    assert said(minimise(chat("1988-03-12"), find, rules)) == ["<DATE_OF_BIRTH_1>"]


# --- refuse, shadow, cards ---------------------------------------------------------------------------------------------


def test_a_refused_request_is_gone_and_says_what_and_where_but_no_value() -> None:
    rules = Handlings(PersonalDataRules(labels={"EMAIL": "refuse"}))
    request = {"messages": [{"role": "user", "content": "hi"}, {"role": "user", "content": f"I am {MIA}"}]}
    done = minimise(request, find, rules)
    assert done.request == {}
    assert not done.placeholders
    assert done.refused is not None
    error = done.refused
    assert (error.status, error.code, error.param) == (400, "personal_data_refused", "messages[1].content")
    assert "EMAIL" in str(error)
    assert MIA not in str(error)


@pytest.mark.parametrize(
    ("request_", "where"),
    [
        ({"messages": [], "metadata": {MIA: 1}}, "metadata"),
        ({"messages": [], MIA: {"x": MIA}}, "request"),
        ({"messages": [{"role": "user", "content": "x", MIA: MIA}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": MIA}]}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": json.dumps({MIA: 1})}]}, "messages[0].content"),
        ({"input": ["x", MIA]}, "input[1]"),
        ({"messages": [], "tools": [{"function": {"description": MIA}}]}, "tools"),
    ],
)
def test_a_refusal_names_fields_of_the_api_only(request_: dict[str, Any], where: str) -> None:
    done = minimise(request_, find, Handlings(PersonalDataRules(labels={"EMAIL": "refuse"})))
    assert done.refused is not None
    assert done.refused.param == where


def test_shadow_finds_everything_and_changes_nothing_but_cards() -> None:
    done = handled(EVERYTHING, mode="shadow", labels={"EMAIL": "refuse", "CITY": "pass"})
    assert said(done) == [EVERYTHING.replace(CARD, "<CREDIT_CARD_1>")]
    assert done.refused is None
    assert done.counts == {"CREDIT_CARD": 1}
    assert done.found["refuse"] == {"EMAIL": 1}
    assert done.found["pass"] == {"CITY": 1}
    assert sum(sum(counts.values()) for counts in done.found.values()) == len(FORMS)


@pytest.mark.parametrize("rules", [{}, {"default": "pass"}, {"default": "generalise"}, {"mode": "shadow"}])
@pytest.mark.parametrize("text", [CARD, CARD.replace(" ", ""), '{"cvv": 123, "card": 4111111111111111}', "cvv: 123"])
def test_cards_never_pass(rules: dict[str, Any], text: str) -> None:
    done = handled(text, **rules)
    assert done.counts["CREDIT_CARD"] >= 1
    assert "1111" not in said(done)[0]
    assert "123" not in said(done)[0]


def test_a_card_may_be_dropped_or_refused() -> None:
    assert said(handled(CARD, labels={"CREDIT_CARD": "drop"})) == ["[removed]"]
    assert handled(CARD, labels={"CREDIT_CARD": "refuse"}).refused is not None


# --- coarser forms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "value", "coarser"),
    [
        ("POSTCODE", "80331", "803xx"),
        ("POSTCODE", "00-950", "00-9xx"),
        ("POSTCODE", "SW1A 1AA", "SW1x xxx"),
        ("POSTCODE", "1010", "10xx"),
        ("POSTCODE", "12", None),
        ("DATE_OF_BIRTH", "1988-03-12", "30-39"),
        ("DATE_OF_BIRTH", "12.03.88", "30-39"),
        ("DATE_OF_BIRTH", "12. M\u00e4rz 1930", "90+"),
        ("DATE_OF_BIRTH", "3/12/20", "0-9"),
        ("DATE_OF_BIRTH", "12 March", None),
        ("DATE_OF_BIRTH", "1850-01-01", None),
        ("DATE_OF_BIRTH", "2031-01-01", None),
        ("PHONE", "+49 170 1234567", "+49"),
        ("PHONE", "0048 601 100 200", "+48"),
        ("PHONE", "+1 (555) 0100", "+1"),
        ("PHONE", "+353 1 555 0100", "+353"),
        ("PHONE", "0170 1234567", None),
        ("IP", "203.0.113.9", "203.0.113.0/24"),
        ("IP", "2001:db8:1:2::3", "2001:db8:1::/48"),
        ("IP", "203.0.113", None),
        ("EMAIL", "mia@example.org", "example.org"),
        ("EMAIL", "mia at example dot org", None),
        ("CITY", "Berlin", None),
        ("CREDIT_CARD", CARD, None),
    ],
)
def test_coarser_forms(label: str, value: str, coarser: str | None) -> None:
    assert generalise(label, value, YEAR) == coarser


@given(st.sampled_from(LABELS), st.text(max_size=40))
def test_any_text_has_a_coarser_form_or_none(label: str, value: str) -> None:
    coarser = generalise(label, value, YEAR)
    assert coarser is None or coarser


@pytest.mark.parametrize(
    ("number", "band"),
    [(0, "0"), (0.5, "0-1"), (1, "1-2"), (4.99, "2-5"), (79.9, "50-100"), (100, "100-200"), (-79.9, "-(50-100)")],
)
def test_bands(number: float, band: str) -> None:
    assert amount_band(number) == band


@given(st.floats(min_value=0.001, max_value=1e11))
def test_every_amount_lies_in_its_band(number: float) -> None:
    low, _, high = amount_band(number).partition("-")
    assert int(low) <= number < int(high)
    assert int(high) <= 2.5 * max(int(low), 1)


@pytest.mark.parametrize(
    ("text", "number"), [("79.90", 79.9), ("79,90", 79.9), (" -3 ", -3.0), ("79 EUR", None), ("", None)]
)
def test_numbers_in_texts(text: str, number: float | None) -> None:
    assert plain_number(text) == number


# --- rules for fields --------------------------------------------------------------------------------------------------

ORDER = (
    '{"customer": {"name": "Zelda Ortiz",  "mail": "mia.vogt@example.org"}, "internal": {"a": [1, {"b": "]}"}], "c": 2},'
    ' "lines": [{"total": 79.90}, {"total": "12,50"}, {"total": 4111111111111111}], "zip": 80331, "town": "Berlin",'
    ' "note": "order 10042, 4111 1111 1111 1111", "n": 1.10, "ok": true}'
)
RULES = (
    FieldRule(path="$.customer.name", handling="mask", label="PERSON"),
    FieldRule(path="$.internal", handling="drop"),
    FieldRule(path="$..total", handling="generalise"),
    FieldRule(path="$.zip", handling="generalise", label="POSTCODE"),
    FieldRule(path="$.town", handling="pass", label="CITY"),
    FieldRule(path="$.note", handling="pass"),
)


def test_rules_for_fields() -> None:
    done = handled(ORDER, fields=RULES)
    expected = (
        '{"customer": {"name": "<PERSON_1>",  "mail": "<EMAIL_1>"}, "internal": "[removed]",'
        ' "lines": [{"total": "50-100"}, {"total": "10-20"}, {"total": "<CREDIT_CARD_1>"}], "zip": "803xx", "town": "Berlin",'
        ' "note": "order 10042, <CREDIT_CARD_1>", "n": 1.10, "ok": true}'
    )
    assert said(done) == [expected]
    assert done.counts == {"PERSON": 1, "EMAIL": 1, "CREDIT_CARD": 1, "POSTCODE": 1}


def test_a_rule_counts_for_all_below_its_place_and_the_first_rule_wins() -> None:
    rules = (
        FieldRule(path="$.a.b", handling="drop"),
        FieldRule(path="$.a", handling="pass"),
        FieldRule(path="$.a.b", handling="pass"),
    )
    text = json.dumps({"a": {"b": "x", "c": [MIA, {"d": MIA}]}, "e": MIA})
    assert json.loads(said(handled(text, fields=rules))[0]) == {
        "a": {"b": "[removed]", "c": [MIA, {"d": MIA}]},
        "e": "<EMAIL_1>",
    }


def test_a_whole_document_may_be_dropped_or_refused() -> None:
    assert said(handled("[1, 2]", fields=(FieldRule(path="$", handling="drop"),))) == ['"[removed]"']
    rule = FieldRule(path="$.mail", handling="refuse")
    assert handled(json.dumps({"mail": MIA}), fields=(rule,)).refused is not None
    assert handled(json.dumps({"mail": "none", "to": MIA}), fields=(rule,)).refused is None


def test_rules_reach_tools_and_inputs() -> None:
    rules = Handlings(PersonalDataRules(fields=(FieldRule(path="$.zip", handling="drop"),)))
    call = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": '{"zip": "80331"}'}}]}
    as_object = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"zip": "80331"}}}]}
    result = {"role": "tool", "content": [{"type": "text", "text": '{"zip": 80331}'}]}
    request = {**chat(call, as_object, result), "input": ['{"zip": 1}'], "metadata": {"zip": '{"zip": "1"}'}}
    done = minimise(request, find, rules).request
    assert done["messages"][0]["tool_calls"][0]["function"]["arguments"] == '{"zip": "[removed]"}'
    assert done["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"zip": "[removed]"}
    assert done["messages"][2]["content"][0]["text"] == '{"zip": "[removed]"}'
    assert done["input"] == ['{"zip": "[removed]"}']
    assert done["metadata"] == {"zip": '{"zip": "1"}'}


@pytest.mark.parametrize("text", ["[" * 5000 + "]" * 5000, "[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2)])
def test_a_nesting_bomb_is_refused_where_there_are_rules_and_harmless_elsewhere(text: str) -> None:
    done = handled(text, fields=RULES)
    assert done.refused is not None
    assert done.refused.code == "too_deep"
    assert said(handled(text)) == [text]


def test_in_shadow_mode_rules_wait() -> None:
    assert said(handled('{"zip": "x"}', mode="shadow", fields=(FieldRule(path="$.zip", handling="drop"),))) == [
        '{"zip": "x"}'
    ]


@pytest.mark.parametrize(
    "path",
    [
        "zip",
        "$[",
        "$.a[",
        "$..a..b",
        "$.a[?$.b]",
        "$[?search(@.x, 'a')]",
        "$[?match(@.x, 'a')]",
        "$" + "[?@" * 2000,
        "",
    ],
)
def test_paths_that_cannot_be_used(path: str) -> None:
    with pytest.raises(ValueError, match=r"is no JSONPath|has "):
        compiled(path)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.just(MIA)
    | st.just(CARD),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c", '"', MIA]), inner, max_size=3)
    ),
    max_leaves=12,
)
PATHS = ("$.a", "$..b", "$.a[*].c", "$[0]", "$.a[?@.b > 1]", "$")
RULE = st.builds(
    FieldRule,
    path=st.sampled_from(PATHS),
    handling=st.sampled_from(["pass", "mask", "generalise", "drop"]),
    label=st.sampled_from([None, "PERSON", "POSTCODE"]),
)


@given(JSON, st.lists(RULE, max_size=3))
@settings(max_examples=150)
def test_json_stays_json_whatever_the_rules(document: Any, rules: list[FieldRule]) -> None:
    text = json.dumps(document)
    done = handled(text, fields=tuple(rules))
    after = json.loads(said(done)[0])
    assert CARD not in said(done)[0]
    if not rules:
        assert MIA not in json.dumps(after)
    if isinstance(document, dict | list) and "$" not in [rule.path for rule in rules]:
        assert type(after) is type(document)
        assert len(after) == len(document)


# --- values in pieces --------------------------------------------------------------------------------------------------


def test_a_value_that_goes_on_in_the_next_message() -> None:
    done = minimise(
        chat(
            "my card is 4111 1111",
            {"role": "assistant", "content": "go on"},
            "1111 1111 exp 12/28",
            "mia.vogt@",
            "example.org!",
        ),
        find,
    )
    assert said(done) == ["my card is <CREDIT_CARD_1>", "go on", "[continued] exp 12/28", "<EMAIL_1>", "[continued]!"]
    assert done.placeholders.restore("<CREDIT_CARD_1> <EMAIL_1>") == f"{CARD} {MIA}"


def test_a_card_in_four_messages() -> None:
    assert said(minimise(chat("4111", "1111", "1111", "1111", "thanks"), find)) == [
        "<CREDIT_CARD_1>",
        "[continued]",
        "[continued]",
        "[continued]",
        "thanks",
    ]


@pytest.mark.parametrize(
    "texts",
    [
        ["I take 2", "4 jackets"],
        ["order 10042", "80331 is my postcode? no"],
        ["4111 1111 are the digits, that is all I want to say", "so 1111 1111"],
        ["write to mia.vogt", "example.org is down"],
        ["her mail is mia.vogt@example.org.", "Write to her, please"],
        ["my number is +49 170 1234567", "2 pairs please"],
        ["call 06 12 34 56 78", "75001 Paris"],
    ],
)
def test_what_does_not_go_on(texts: list[str]) -> None:
    assert not any("[continued]" in text for text in said(minimise(chat(*texts), find)))


def test_pieces_of_different_roles_are_not_one() -> None:
    done = minimise(chat("my card is 4111 1111", {"role": "assistant", "content": "1111 1111"}), find)
    assert said(done) == ["my card is 4111 1111", "1111 1111"]


def test_numbers_given_before_a_value_was_whole_stay() -> None:
    first = chat("lea@example.org 4111", "order 10042")
    longer = chat("lea@example.org 4111", "order 10042", "4111 1111", "1111 1111")
    before, after = said(minimise(first, find)), said(minimise(longer, find))
    assert after[:2] == before
    assert after[2:] == ["<CREDIT_CARD_1>", "[continued]"]


# --- known values ------------------------------------------------------------------------------------------------------


def test_a_value_is_replaced_where_its_detector_misses_it() -> None:
    def first_only(text: str) -> list[Span]:
        return [Span(6, 15, "PHONE", "test")] if text.startswith("phone ") else []

    done = minimise(chat("537792402?", "phone 537792402", "x537792402 5377924021 537792402", "(537792402)"), first_only)
    assert said(done) == ["<PHONE_1>?", "phone <PHONE_1>", "x537792402 5377924021 <PHONE_1>", "(<PHONE_1>)"]


@given(
    st.lists(
        st.sampled_from([MIA, CARD, "+49 170 1234567", "order 10042", "<EMAIL_1>", "[CREDIT_CARD_1]", "IP_1", "jacket"])
    )
)
@settings(max_examples=100)
def test_no_value_is_left_and_restoring_gives_it_back(words: list[str]) -> None:
    text = " ".join(words)
    done = handled(text)
    assert not find(said(done)[0])
    assert done.placeholders.restore(said(done)[0]) == text
    watch = done.placeholders.watch()
    edits = [edit for letter in said(done)[0] for edit in watch.feed(letter)] + watch.finish()
    assert [edit.text for edit in edits] == [text[span.start : span.end] for span in find(text)]


# --- images, audio, files ----------------------------------------------------------------------------------------------

PASS = Handlings(PersonalDataRules(media="pass"))
IMAGE = "data:image/png;base64,4111111111111111iVBORw0KGgo="


def parts(*content: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(content)}]}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": IMAGE, "detail": "high"}},
        {"type": "input_image", "image_url": IMAGE},
        {"type": "input_audio", "input_audio": {"data": "UklGRiQ4111111111111111AAAA" * 4, "format": "wav"}},
        {"type": "file", "file": {"file_data": IMAGE, "filename": "receipt.png"}},
        {"type": "image_url", "image_url": {"url": "https://cdn.example/4111111111111111.png?w=80&h=60#x"}},
    ],
)
def test_content_that_passes_is_not_touched(part: dict[str, Any]) -> None:
    assert minimise(parts(part), find, PASS).request == parts(part)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"url": f"https://cdn.example/a?to={MIA}&x=1"}, {"url": "https://cdn.example/a?to=%3CEMAIL_1%3E&x=1"}),
        ({"url": "https://cdn.example/a?to=mia.vogt%40example.org"}, {"url": "https://cdn.example/a?to=%3CEMAIL_1%3E"}),
        ({"url": "https://cdn.example/a?order=10042"}, {"url": "https://cdn.example/a?order=%3CORDER_ID_1%3E"}),
        ({"url": f"data:text/plain,{CARD}"}, {"url": "data:text/plain,<CREDIT_CARD_1>"}),
        ({"url": f"it is {MIA}"}, {"url": "it is <EMAIL_1>"}),
        ({"data": "4111111111111111"}, {"data": "<CREDIT_CARD_1>"}),
        ({"filename": f"{MIA}.pdf"}, {"filename": "<EMAIL_1>.pdf"}),
        ({"alt": f"mail of {MIA}"}, {"alt": "mail of <EMAIL_1>"}),
    ],
)
def test_what_can_be_read_beside_it_is_searched(before: dict[str, str], after: dict[str, str]) -> None:
    done = minimise(parts({"type": "image_url", "image_url": before}), find, PASS).request
    assert done == parts({"type": "image_url", "image_url": after})


def test_a_payload_elsewhere_is_text() -> None:
    done = minimise(
        {"messages": [], "metadata": {"type": "file", "data": CARD, "url": f"https://x.example/?m={MIA}"}}, find, PASS
    )
    assert CARD not in json.dumps(done.request)
    assert MIA not in json.dumps(done.request)


# --- cards never pass, whatever they are taken for ---


def as_order(text: str) -> list[Span]:
    """A detector that calls every number behind a ``#`` an order, and a link a link."""
    forms = {"ORDER_ID": r"(?<=#)[0-9 -]{5,}[0-9]", "URL": r"https?://\S+", "IBAN": r"DE[0-9 ]{10,30}"}
    return [Span(*found.span(), label, "test") for label, form in forms.items() for found in re.finditer(form, text)]


@pytest.mark.parametrize("rules", [{"default": "pass"}, {"mode": "shadow"}])
@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"order #{CARD}", "order #<CREDIT_CARD_1>"),
        ("https://pay.example/4111111111111111/x", "https://pay.example/<CREDIT_CARD_1>/x"),
        ("order #4111111111111112", "order #4111111111111112"),
        ("DE89 4111 1111 1111 1111 00", "DE89 4111 1111 1111 1111 00"),
    ],
)
def test_a_card_within_what_passes_as_something_else(rules: dict[str, Any], text: str, left: str) -> None:
    assert said(minimise(chat(text), as_order, Handlings(PersonalDataRules(**rules)), YEAR)) == [left]


def test_a_known_card_in_a_field_that_passes() -> None:
    def deaf(text: str) -> list[Span]:
        return [] if text.startswith("note") else find(text)

    rules = (FieldRule(path="$.note", handling="pass"),)
    texts = (CARD, MIA, f'{{"note":"{CARD} {MIA}"}}')
    done = minimise(chat(*texts), deaf, Handlings(PersonalDataRules(fields=rules)), YEAR)
    assert said(done)[2] == f'{{"note":"<CREDIT_CARD_1> {MIA}"}}'


@pytest.mark.parametrize(
    "number", ["4111111111111111", "4111111111111111.0000", "4.111111111111111e15", "41111111111111110E-1"]
)
def test_a_card_as_a_number_however_it_is_written(number: str) -> None:
    assert said(handled(f'{{"n":{number}}}')) == ['{"n":"<CREDIT_CARD_1>"}']
    body = {**chat("x"), "metadata": {"n": json.loads(number)}}
    assert minimise(body, find).request["metadata"] == {"n": "<CREDIT_CARD_1>"}


@pytest.mark.parametrize("number", ["1.5", "1e99", "1e-3", "0.0", "12.50", "1e9999"])
def test_other_numbers_stay(number: str) -> None:
    assert said(handled(f'{{"n":{number}}}')) == [f'{{"n":{number}}}']


# --- JSON that can be read in two ways, or that only some read ---

_NAMED = PersonalDataRules(default="pass", fields=(FieldRule(path="$.c.name", handling="mask", label="PERSON"),))


@pytest.mark.parametrize("text", ['{"c":{"name":"qzx"},"c":1}', '{"c":{"name":"qzx","n\\u0061me":1}}'])
def test_a_key_said_twice_is_refused_where_fields_have_rules(text: str) -> None:
    refused = minimise(chat(text), find, Handlings(_NAMED)).refused
    assert refused is not None
    assert (refused.status, refused.code) == (400, "duplicate_key")
    assert said(handled(text)) == [text]


@pytest.mark.parametrize("more", ["NaN", "-Infinity", "1e999", "1" * 400, '"\\ud83d"'])
def test_rules_count_in_what_only_some_take_for_json(more: str) -> None:
    done = minimise(chat(f'{{"c":{{"name":"qzx"}},"x":{more}}}'), find, Handlings(_NAMED))
    assert said(done) == [f'{{"c":{{"name":"<PERSON_1>"}},"x":{more}}}']


def test_half_a_surrogate_pair_hides_nothing() -> None:
    assert said(handled(f'["\\ud83d {MIA}","\\ud83d"]')) == ['["\ufffd <EMAIL_1>","\\ud83d"]']


def test_a_field_that_is_a_name_is_one_to_its_last_sign() -> None:
    done = minimise(chat('{"c":{"name":"007 Mr Qzx 1.5"}}'), find, Handlings(_NAMED))
    assert said(done) == ['{"c":{"name":"<PERSON_1>"}}']


def test_shadow_mode_leaves_the_identifying_fields() -> None:
    request = {**chat("hi"), "user": "shopper-77"}
    done = minimise(request, find, Handlings(PersonalDataRules(mode="shadow")))
    assert (done.request, done.dropped, done.changed) == (request, (), False)


def test_a_guess_does_not_change_the_name_of_a_field():
    guess = Span(0, 7, "PERSON", "model.person", 0.9, "model")
    sure = Span(0, 7, "PERSON", "own.name", 1.0, "own")
    schema = {"properties": {"carrier": {"type": "string"}}, "required": ["carrier"]}
    tool = {"type": "function", "function": {"name": "track", "parameters": schema}}
    request = {"messages": [{"role": "user", "content": "carrier pigeon"}], "tools": [tool]}

    def find(text, span):
        at = text.find("carrier")
        return [span._replace(start=at, end=at + 7)] if at >= 0 else []

    done = minimise(request, lambda text: find(text, guess))
    assert done.request["tools"] == [tool]
    assert done.request["messages"][0]["content"] == "<PERSON_1> pigeon"
    done = minimise(request, lambda text: find(text, sure))
    assert "carrier" not in str(done.request["tools"])
