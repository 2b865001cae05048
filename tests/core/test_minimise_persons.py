"""One person, one placeholder: however they are written, and nobody else's."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.detect.spans import Span
from firedoor.core.minimise.handlings import Handlings
from firedoor.core.minimise.inflection import folded, genitive_of, one_name
from firedoor.core.minimise.mentions import mention
from firedoor.core.minimise.persons import Persons
from firedoor.core.minimise.request import Minimised, minimise
from firedoor.core.plan.model import PersonalDataRules


def who_is_who(*names: str, text: str = "") -> tuple[list[int], list[str]]:
    """The number of each mention's person, and what the placeholders of all are restored to. `|` ends a text before."""
    persons = Persons()
    persons.read(text)
    found = []
    for name in names:
        before, _, written = name.rpartition("|")
        persons.read(before + written)
        found.append(persons.who(mention(before + written, len(before))))
    numbers: dict[int, int] = {}
    return [numbers.setdefault(id(p.root()), len(numbers) + 1) for p in found], [p.name() for p in persons.roots()]


SAME = [
    ("Anna Kowalska", "Anna", "Kowalska", "anna", "ANNA KOWALSKA", "Kowalska, Anna", "A. Kowalska", "Kowalska Anna"),
    ("Anna", "Anna Kowalska"),
    ("Kowalska", "Anna Kowalska", "Anna"),
    ("Anna", "Kowalska", "Anna Kowalska"),  # two bare names, which the full one brings together
    ("John Smith", "Mr |Smith", "Mr Smith", "Smith's", "Smith\u2019s", "J. Smith", "J Smith", "SMITH"),
    ("Mr Smith", "John Smith", "Smith"),
    ("J. Smith", "John Smith"),
    ("Karen T. Wade", "Karen Wade", "Ms |Wade", "Karen"),
    ("Anna Maria Kowalska", "Anna Kowalska", "Kowalska"),
    ("Mar\u00eda Garc\u00eda L\u00f3pez", "Mar\u00eda Garc\u00eda", "Maria Garcia", "Garc\u00eda"),
    ("Vincent van Gogh", "van Gogh", "Gogh"),
    ("Sean O'Brien", "O'Brien", "Se\u00e1n O\u2019Brien\u2019s"),
    ("Dr. Kimberly Allen", "Kimberly", "Dr Allen"),
    ("Hans M\u00fcller", "Herr |M\u00fcller", "M\u00fcllers", "Hans'", "Muller"),
    ("Anny Kowalskiej", "Anna Kowalska", "Ann\u0105 Kowalsk\u0105", "Kowalskiej", "Annie", "pani |Anno"),
    ("Piotr Wi\u015bniewski", "Piotra Wi\u015bniewskiego", "Wi\u015bniewskiemu", "Piotrze"),
    ("Marka Nowaka", "Marek Nowak"),
    ("Jana Nov\u00e1kov\u00e1", "Jany Nov\u00e1kov\u00e9", "Nov\u00e1kov\u00e9"),
    ("Petr Dvo\u0159\u00e1k", "Petra Dvo\u0159\u00e1ka", "Petrovi"),
    ("Alexander Brown", "Alex", "Alex Brown"),
    ("MarekNowak", "Marek Nowak"),
    ("Joanna\nLis", "Joanna Lis"),
]


@pytest.mark.parametrize("names", SAME, ids=lambda names: names[0])
def test_all_of_these_are_one(names: tuple[str, ...]) -> None:
    assert who_is_who(*names)[0] == [1] * len(names)


APART = [
    (("Anna Kowalska", "Anna Nowak", "Anna", "Anna", "Nowak"), [1, 2, 3, 3, 2]),  # whose first name? its own
    (("Anna", "Anna Kowalska", "Anna Nowak", "Anna"), [1, 1, 2, 3]),
    (("John Smith", "Mrs |Smith"), [1, 2]),
    (("Mr Smith", "Mrs Smith", "Smith"), [1, 2, 3]),
    (("Mr Smith", "Mary Smith", "John Smith"), [1, 2, 1]),
    (("Jane Smith", "John Smith", "J. Smith", "J. Smith", "Smith"), [1, 2, 3, 3, 4]),
    (("Anna Kowalska", "Jan Kowalski", "Kowalskiego", "Kowalskiej", "Jana Kowalskiego"), [1, 2, 2, 1, 2]),
    (("Jan Nowak", "Jana Nowak"), [1, 2]),
    (("Anna Brown", "Anne Brown"), [1, 2]),  # English does not inflect
    (("Anna Peters", "Anna Peter"), [1, 2]),
    (("Peter Schmidt", "Herr |Peters"), [1, 2]),
    (("Anna Maria Kowalska", "Anna Ewa Kowalska"), [1, 2]),
    (("Janusz Kowalski", "Jan"), [1, 2]),  # the beginning of a name, and a name of its own
    (("Han Solo", "Hans"), [1, 2]),
    (("J. S.", "John Smith"), [1, 2]),
    (("Martin Novotn\u00fd", "Martina"), [1, 2]),
]


@pytest.mark.parametrize(("names", "numbers"), APART, ids=lambda value: str(value[0]))
def test_these_are_told_apart(names: tuple[str, ...], numbers: list[int]) -> None:
    assert who_is_who(*names)[0] == numbers


@pytest.mark.parametrize(
    ("names", "best"),
    [
        (("Anna", "anna kowalska", "Kowalska, Anna", "Anna Kowalska"), "Anna Kowalska"),
        (("Anny Kowalskiej", "Anna Kowalska", "Ann\u0105 Kowalsk\u0105"), "Anna Kowalska"),
        (("J. Smith", "JOHN SMITH", "John Smith", "Mr Smith"), "John Smith"),
        (("Anny Kowalskiej",), "Anny Kowalskiej"),
        (("Joanna\nLis",), "Joanna Lis"),
        (("anna kowalska",), "anna kowalska"),
    ],
)
def test_the_best_form_comes_back(names: tuple[str, ...], best: str) -> None:
    assert who_is_who(*names)[1] == [best]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Katarzyna", "Katarzynie", True),
        ("Olga", "Oldze", True),
        ("Marta", "Marcie", True),
        ("Kowalski", "Kowalska", False),
        ("Nov\u00e1k", "Nov\u00e1kov\u00e1", False),
        ("Nowak", "Nowaczyk", False),
        ("Marcin", "Martin", False),
        ("Anna", "Hanna", False),
    ],
)
def test_cases_of_slavic_names(one: str, other: str, same: bool) -> None:
    assert one_name(folded(one), folded(other)) is same
    assert one_name(folded(other), folded(one)) is same


def test_genitives() -> None:
    assert [genitive_of(word) for word in ("annas", "hans", "peters", "jess", "marks")] == [
        "anna",
        None,
        None,
        None,
        "mark",
    ]


# --- in requests -------------------------------------------------------------------------------------------------------

FULL = ("Anna Kowalska", "Anny Kowalskiej", "Anna Nowak", "John Smith", "Mary Smith", "Mark Brown", "Bo Ngo")
SEEN = re.compile(
    "|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in (*FULL, "J. Smith", "Mr Smith", "Kowalska, Anna"))
)


def find(text: str) -> list[Span]:
    """A detector that knows full names only."""
    return [Span(*found.span(), "PERSON", "test") for found in SEEN.finditer(text)]


def find_all(text: str) -> list[Span]:
    """One that misses nothing."""
    names = sorted((*FULL, "J. Smith", "Anna", "Smith", "Bo"), key=len, reverse=True)
    found = re.finditer("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in names), text)
    return [Span(*one.span(), "PERSON", "test") for one in found]


def chat(*texts: str) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]}


def said(done: Minimised) -> list[str]:
    return [message["content"] for message in done.request["messages"]]


def test_what_the_detector_missed_is_found_by_the_known_name() -> None:
    texts = ["hi, anna here", "Anna Kowalska, yes", "KOWALSKA! kowalska's parcel", "anna kowalska", "Annabelle annas"]
    assert said(minimise(chat(*texts), find)) == [
        "hi, <PERSON_1> here",  # before the full name was known
        "<PERSON_1>, yes",
        "<PERSON_1>! <PERSON_1>'s parcel",
        "<PERSON_1>",
        "Annabelle annas",
    ]


def test_ordinary_words_and_short_names_are_left_alone() -> None:
    texts = ["Mark Brown and Bo Ngo", "a brown jacket, mark it. Brown or Mark?", "ngo and bo? Bo? Ngo!", "mark brown"]
    assert said(minimise(chat(*texts), find)) == [
        "<PERSON_1> and <PERSON_2>",
        "a brown jacket, mark it. Brown or Mark?",
        "ngo and bo? <PERSON_2>? <PERSON_2>!",
        "<PERSON_1>",  # both words together are no chance
    ]


def test_a_name_known_alone_is_found_only_as_it_was_written() -> None:
    def bare(text: str) -> list[Span]:
        return [Span(5, 12, "PERSON", "test")] if text.startswith("I am ") else []

    assert said(minimise(chat("I am Rosalie", "rosalie? Rosalie?"), bare)) == [
        "I am <PERSON_1>",
        "rosalie? <PERSON_1>?",
    ]


def test_an_ambiguous_name_gets_a_placeholder_of_its_own() -> None:
    done = minimise(chat("Anna Kowalska and Anna Nowak", "anna? Anna? Nowak?"), find)
    assert said(done) == ["<PERSON_1> and <PERSON_2>", "<PERSON_3>? <PERSON_3>? <PERSON_2>?"]
    assert done.placeholders.restore(said(done)[1]) == "Anna? Anna? Anna Nowak?"
    assert done.counts == {"PERSON": 3}


def test_an_inflected_name_that_two_share_is_not_left() -> None:
    done = minimise(chat("zam\u00f3wienie \u0142: Anna Kowalska, Anna Nowak", "dla Anny i Nowaka"), find)
    assert said(done)[1] == "dla <PERSON_3> i <PERSON_2>"


def test_titles_and_possessives_stay_in_the_text() -> None:
    done = minimise(chat("Dear Mr Smith, it is John Smith's order"), find)
    assert said(done) == ["Dear Mr <PERSON_1>, it is <PERSON_1>'s order"]
    assert done.placeholders.restore("Hello Mr <PERSON_1>") == "Hello Mr John Smith"


def test_first_and_family_name_found_apart_are_one() -> None:
    def apart(text: str) -> list[Span]:
        return [Span(m.start(), m.end(), "PERSON", "test") for m in re.finditer("Zelda|Ortiz", text)]

    assert said(minimise(chat("for Zelda Ortiz, Zelda, Ortiz"), apart)) == ["for <PERSON_1>, <PERSON_1>, <PERSON_1>"]


def test_people_are_found_in_documents_keys_and_names() -> None:
    request = {
        "messages": [
            {"role": "user", "name": "Anna Kowalska", "content": '{"to": "kowalska", "Anna Kowalska": 1}'},
            {"role": "user", "content": "hi", "Anna Kowalska": 1},
        ]
    }
    done = minimise(request, find).request["messages"]
    assert done[0] == {"role": "user", "name": "PERSON_1", "content": '{"to": "<PERSON_1>", "<PERSON_1>": 1}'}
    assert done[1] == {"role": "user", "content": "hi", "<PERSON_1>": 1}


def test_where_persons_pass_nobody_is_looked_for() -> None:
    rules = Handlings(PersonalDataRules(labels={"PERSON": "pass"}))
    done = minimise(chat("Anna Kowalska", "kowalska"), find, rules)
    assert said(done) == ["Anna Kowalska", "kowalska"]
    assert (done.counts, done.found, done.changed) == ({}, {"pass": {"PERSON": 1}}, False)


def test_dropped_persons_are_dropped_everywhere() -> None:
    rules = Handlings(PersonalDataRules(labels={"PERSON": "drop"}))
    done = minimise(chat("Anna Kowalska", "kowalska"), find, rules)
    assert said(done) == ["[removed]", "[removed]"]
    assert (done.counts, done.found) == ({"PERSON": 1}, {"drop": {"PERSON": 1}})
    assert not done.placeholders


WORDS = st.sampled_from(
    [*FULL, "J. Smith", "Anna", "Smith", "Bo", "the order", "zam\u00f3wienie", "Mr", "and", ",", "\n"]
)
TALK = st.lists(st.lists(WORDS, min_size=1, max_size=5).map(" ".join), min_size=1, max_size=5)


@given(TALK)
@settings(max_examples=80)
def test_a_longer_conversation_keeps_the_numbers_of_a_shorter_one(texts: list[str]) -> None:
    """Of names that the detector sees. (Two bare names that a full one joins are an exception; "Smith" is one half.)"""
    texts = [text.replace("John Smith", "J. Smith") if "Smith" in texts[0] else text for text in texts]
    whole = said(minimise(chat(*texts), find_all))
    for length in range(1, len(texts)):
        assert said(minimise(chat(*texts[:length]), find_all)) == whole[:length]


@given(TALK)
@settings(max_examples=80)
def test_no_name_that_was_found_is_left(texts: list[str]) -> None:
    done = minimise(chat(*texts), find_all)
    assert not any(find_all(text) for text in said(done))
    again = minimise(done.request, find_all)
    assert said(again) == said(done)


@given(
    st.lists(st.sampled_from(["Anna Kowalska", "Anna Nowak", "John Smith", "Bo Ngo", "and", "for", "\n"])).map(" ".join)
)
@settings(max_examples=100)
def test_full_names_come_back_as_they_were(text: str) -> None:
    done = minimise(chat(text), find)
    assert done.placeholders.restore(said(done)[0]) == text


def test_a_name_without_any_letter_or_with_hundreds_of_spellings_does_no_harm() -> None:
    spans = {
        "\U0001f600": [Span(0, 1, "PERSON", "test")],
        "'": [Span(0, 1, "PERSON", "test")],
        "7": [Span(0, 1, "PERSON", "t")],
    }
    assert said(minimise(chat(*spans), lambda text: spans.get(text, []))) == ["<PERSON_1>", "<PERSON_2>", "<PERSON_3>"]
    spelled = ["Anna" + " " * n + "Kowalska" for n in range(1, 300)]
    done = minimise(chat(*spelled), lambda text: [Span(0, len(text), "PERSON", "test")])
    assert set(said(done)) == {"<PERSON_1>"}
