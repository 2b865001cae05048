"""Templates into labelled sentences: every slot gets an invented value, every personal one a span."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from training.personal_data.check_templates import GENRES, HARMLESS, SLOT, lines
from training.personal_data.harmless import harmless
from training.personal_data.inflect import inflected
from training.personal_data.people import Person
from training.personal_data.places import address, city, postcode, street
from training.personal_data.values import value

TEMPLATES = Path(__file__).parents[1] / "templates"

LABEL_OF = {
    "street": "STREET_ADDRESS", "city": "CITY", "postcode": "POSTCODE", "email": "EMAIL", "phone": "PHONE", "card": "CREDIT_CARD",
    "iban": "IBAN", "national_id": "NATIONAL_ID", "tax_id": "TAX_ID", "ip": "IP", "username": "USERNAME", "secret": "SECRET",
    "order": "ORDER_ID", "account": "ACCOUNT_ID", "dob": "DATE_OF_BIRTH", "url": "URL", "org": "ORG", "country": "LOCATION",
    "region": "LOCATION", "date": "DATE",
}  # fmt: skip
_CASES = ("gen", "dat", "acc", "ins", "loc", "voc")
_TITLE = {
    "en": ("Mr ", "Mrs ", "Ms ", "Mr. ", "Dr. ", "Miss ", "Prof. "), "de": ("Herr ", "Frau ", "Herrn ", "Dr. ", "Fr. ", "Hr. "),
    "fr": ("M. ", "Mme ", "Monsieur ", "Madame ", "Mlle ", "Me ", "Dr "), "es": ("Sr. ", "Sra. ", "señor ", "señora ", "Don ", "Doña ", "Dr. "),
    "it": ("Sig. ", "Sig.ra ", "signor ", "signora ", "dott. ", "avv. "), "nl": ("meneer ", "mevrouw ", "dhr. ", "mevr. ", "de heer "),
    "pl": ("Pan ", "Pani ", "pan ", "pani ", "dr ", "mgr ", "inż. "), "pt": ("Sr. ", "Sra. ", "Dra. ", "Dr. ", "senhor ", "senhora "),
    "cs": ("pan ", "paní ", "Ing. ", "Mgr. ", "MUDr. "), "sv": ("herr ", "fru ", "dr ", "Doktor "), "da": ("hr. ", "fru ", "dr. "),
}  # fmt: skip


Put = Callable[..., None]
"""Appends a piece of text, and its label if it has one."""


class Labelled(NamedTuple):
    """A text and its spans (start, end, label), in order, not overlapping."""

    text: str
    spans: list[tuple[int, int, str]]
    language: str
    source: str


@cache
def templates(language: str) -> dict[str, list[str]]:
    """The templates of a language by genre."""
    found = {}
    for genre in GENRES:
        path = TEMPLATES / language / f"{genre}.txt"
        if path.exists():
            found[genre] = [line for _, line in lines(path)]
    return found


def filled(template: str, language: str, source: str, rng: random.Random) -> Labelled:
    """`template` with values of `language`."""
    people = {"": Person(language, rng), "second": Person(language, rng), "third": Person(language, rng)}
    text: list[str] = []
    spans: list[tuple[int, int, str]] = []
    size = 0

    def put(piece: str, label: str = "") -> None:
        nonlocal size
        if label and piece:
            spans.append((size, size + len(piece), label))
        text.append(piece)
        size += len(piece)

    at = 0
    for match in SLOT.finditer(template):
        put(template[at : match.start()].replace("\\n", "\n"))
        at = match.end()
        _slot(match[1], match[2] or "", language, people, put, rng)
    put(template[at:].replace("\\n", "\n"))
    return Labelled("".join(text), spans, language, source)


def _slot(name: str, modifier: str, language: str, people: dict[str, Person], put: Put, rng: random.Random) -> None:
    if name in ("address", "address_ml"):
        for label, part in address(language, rng):
            piece = "\n" if name == "address_ml" and not label and "," in part else part
            put(_cased(piece, modifier), label)
        return
    if name == "city":
        town = city(language, rng)
        put(
            _cased(
                inflected(town, modifier, language, female=town.endswith("a")) if modifier in _CASES else town, modifier
            ),
            "CITY",
        )
    elif name == "postcode":
        put(postcode(language, rng), "POSTCODE")
    elif name == "street":
        put(_cased(street(language, rng), modifier), "STREET_ADDRESS")
    elif name in LABEL_OF and name not in HARMLESS:
        put(_cased(value(name, language, people[""], rng), modifier), LABEL_OF[name])
    elif name in HARMLESS:
        put(_cased(harmless(name, language, rng), modifier), LABEL_OF.get(name, ""))
    else:
        _name(name, modifier, language, people, put, rng)


def _name(name: str, modifier: str, language: str, people: dict[str, Person], put: Put, rng: random.Random) -> None:
    which = name.split("_", 1)[0] if name.startswith(("second", "third")) else ""
    person = people[which]
    form = name.removeprefix(which).strip("_") or "full"

    def bent(word: str) -> str:
        if modifier in _CASES:
            return inflected(word, modifier, language, female=person.female)
        if modifier == "nick":
            return word[: max(3, len(word) // 2)]
        return _cased(word, modifier)

    if form == "title_last":
        put(rng.choice(_TITLE[language]))
        put(bent(person.last), "PERSON")
    elif form == "last_first":
        put(f"{bent(person.last)}, {bent(person.first)}", "PERSON")
    elif form == "first":
        put(bent(person.first), "PERSON")
    elif form == "last":
        put(bent(person.last), "PERSON")
    elif modifier == "initial":
        put(
            f"{person.first[0]}. {person.last}" if rng.random() < 0.8 else f"{person.first} {person.last[0]}.", "PERSON"
        )
    elif modifier == "gen" and language not in ("pl", "cs"):
        put(f"{person.first} {bent(person.last)}", "PERSON")
    else:
        put(f"{bent(person.first)} {bent(person.last)}", "PERSON")


def _cased(text: str, modifier: str) -> str:
    if modifier == "lower":
        return text.lower()
    if modifier == "upper":
        return text.upper()
    return text


_BREAKS = ("\n", "\n", " ", " ", "\n\n")


def joined(parts: list[Labelled], rng: random.Random) -> Labelled:
    """Several sentences as one text."""
    text, spans = parts[0].text, list(parts[0].spans)
    for part in parts[1:]:
        text += rng.choice(_BREAKS)
        spans += [(start + len(text), end + len(text), label) for start, end, label in part.spans]
        text += part.text
    return Labelled(text, spans, parts[0].language, parts[0].source)


def sample(language: str, rng: random.Random, weights: dict[str, float]) -> Labelled:
    """One training text of `language`: a template or several of one kind, filled."""
    by_genre = templates(language)
    genres = [g for g in by_genre if by_genre[g]]
    genre = rng.choices(genres, [weights.get(g, 1.0) for g in genres])[0]
    count = (
        rng.choices((1, 2, 3, 5), (0.62, 0.2, 0.12, 0.06))[0]
        if genre in ("shop", "trades", "nothing", "prose", "prompts")
        else 1
    )
    parts = []
    for _ in range(count):
        kind = "nothing" if genre in ("shop", "trades") and rng.random() < 0.25 else genre
        parts.append(filled(rng.choice(by_genre.get(kind) or by_genre[genre]), language, genre, rng))
    return joined(parts, rng)
