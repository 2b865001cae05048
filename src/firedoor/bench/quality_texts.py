"""What `firedoor bench quality` asks: the shop messages that come with Firedoor, and requests with one right answer."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from itertools import chain, pairwise, zip_longest

import msgspec
from msgspec import Struct

from firedoor.bench.pii import SAMPLE, Row
from firedoor.bench.pii_score import NEUTRAL

_DEMO = "demo-messages.jsonl"


class Message(Struct, frozen=True):
    """A shopper's message; `marked` are the values in it that a person marked as personal."""

    language: str
    text: str
    marked: tuple[str, ...] = msgspec.field(name="personal", default=())


class Example(Struct, frozen=True):
    """A question and its answer, given to the model before the real question: so small a model needs to be shown."""

    asked: str
    answered: str


class Probe(Struct, frozen=True):
    """A request whose answer must hold all of `right` and none of `wrong`."""

    kind: str
    text: str
    right: tuple[str, ...]
    wrong: tuple[str, ...] = ()
    example: Example | None = None


_ADA, _ORDER, _MAIL = EXAMPLE_VALUES = ("Ada Lund", "ORD-100007", "ada.lund@example.se")
"""Of the invented customer in the examples. An answer to somebody else should hold none of them."""

EXAMPLES = {
    "en": Example(
        f"Hello, my order {_ORDER} is late. Please write to {_MAIL}. {_ADA}",
        f"Dear {_ADA}, thank you for your message. We look into order {_ORDER} and write to {_MAIL}.",
    ),
    "de": Example(
        f"Guten Tag, meine Bestellung {_ORDER} ist noch nicht da. Bitte schreiben Sie an {_MAIL}. {_ADA}",
        f"Guten Tag {_ADA}, danke für Ihre Nachricht. Wir prüfen die Bestellung {_ORDER} und schreiben an {_MAIL}.",
    ),
    "fr": Example(
        f"Bonjour, ma commande {_ORDER} n'est pas arrivée. Écrivez-moi à {_MAIL}. {_ADA}",
        f"Bonjour {_ADA}, merci pour votre message. Nous vérifions la commande {_ORDER} et écrivons à {_MAIL}.",
    ),
    "es": Example(
        f"Hola, mi pedido {_ORDER} no ha llegado. Escríbanme a {_MAIL}. {_ADA}",
        f"Hola {_ADA}, gracias por su mensaje. Revisamos el pedido {_ORDER} y le escribimos a {_MAIL}.",
    ),
    "it": Example(
        f"Buongiorno, il mio ordine {_ORDER} non è arrivato. Scrivetemi a {_MAIL}. {_ADA}",
        f"Buongiorno {_ADA}, grazie per il messaggio. Controlliamo l'ordine {_ORDER} e scriviamo a {_MAIL}.",
    ),
    "nl": Example(
        f"Hallo, mijn bestelling {_ORDER} is er nog niet. Mail naar {_MAIL}. {_ADA}",
        f"Hallo {_ADA}, bedankt voor uw bericht. We bekijken bestelling {_ORDER} en mailen naar {_MAIL}.",
    ),
    "pl": Example(
        f"Dzień dobry, moje zamówienie {_ORDER} jeszcze nie dotarło. Proszę pisać na {_MAIL}. {_ADA}",
        f"Dzień dobry {_ADA}, dziękujemy za wiadomość. Sprawdzamy zamówienie {_ORDER} i napiszemy na {_MAIL}.",
    ),
}
"""One for each language that an answer's can be told of."""


def messages() -> list[Message]:
    """English ones first, then one of each other language in turn. Only languages that an answer's can be told of."""
    spoken: dict[str, list[Message]] = {language: [] for language in EXAMPLES}
    for message in chain(_demo(), _sample()):
        if message.language in spoken:
            spoken[message.language].append(message)
    english = spoken.pop("en")
    return english + [one for turn in zip_longest(*spoken.values()) for one in turn if one is not None]


def _demo() -> Iterator[Message]:
    for line in _lines(_DEMO):
        yield msgspec.json.decode(line, type=Message)


def _sample() -> Iterator[Message]:
    """Of the labelled texts, those of shops."""
    for line in _lines(SAMPLE):
        row = msgspec.json.decode(line, type=Row)
        if row.source == "shop":
            marked = (row.text[start:end] for start, end, label in row.spans if label not in NEUTRAL)
            yield Message(row.language, row.text, tuple(marked))


def _lines(name: str) -> list[bytes]:
    return resources.files("firedoor.data").joinpath(name).read_bytes().splitlines()


# Invented; mail addresses under example.* (RFC 2606).
_CUSTOMERS = (
    ("Nora Field", "ORD-100482", "nora.field@example.com"),
    ("Tom Ashby", "ORD-100519", "t.ashby@example.org"),
    ("Harriet Lowe", "ORD-101201", "harriet.lowe@example.net"),
    ("Jonas Wieland", "ORD-100377", "jonas.wieland@example.de"),
    ("Camille Roux", "ORD-100610", "camille.roux@example.fr"),
    ("Marta Gallo", "ORD-100902", "marta.gallo@example.it"),
    ("Priya Raman", "ORD-101174", "priya.raman@example.com"),
    ("Sanne Bakker", "ORD-100954", "sanne.bakker@example.nl"),
)


def probes() -> list[Probe]:
    """Four kinds for each of a few invented customers."""
    return [*_repeat(), *_repeat_shown(), *_address(), *_which()]


def _card(name: str, order: str, mail: str) -> str:
    return f"Customer: {name}\nOrder: {order}\nE-mail: {mail}\n"


def _repeat() -> Iterator[Probe]:
    for customer in _CUSTOMERS:
        text = _card(*customer) + "Repeat the customer's name and order number."
        yield Probe("name and order, no example", text, customer[:2])


def _repeat_shown() -> Iterator[Probe]:
    ask = "Repeat the name and the order number."
    example = Example(_card(*EXAMPLE_VALUES) + ask, f"{_ADA}, {_ORDER}")
    for customer in _CUSTOMERS:
        yield Probe("name and order", _card(*customer) + ask, customer[:2], EXAMPLE_VALUES, example)


def _address() -> Iterator[Probe]:
    ask = "Repeat the e-mail address."
    example = Example(_card(*EXAMPLE_VALUES) + ask, _MAIL)
    for customer in _CUSTOMERS:
        yield Probe("e-mail address", _card(*customer) + ask, customer[2:], EXAMPLE_VALUES, example)


def _which() -> Iterator[Probe]:
    """Whose order it is; the first of two is asked for as often as the second."""
    example = Example(_two(_ADA, _ORDER, "Ben Marsh", "ORD-100011", _ADA), _ORDER)
    for number, (one, other) in enumerate(pairwise((*_CUSTOMERS, _CUSTOMERS[0]))):
        meant, unmeant = (one, other) if number % 2 else (other, one)
        text = _two(one[0], one[1], other[0], other[1], meant[0])
        yield Probe("order of one of two", text, (meant[1],), (unmeant[1], _ORDER), example)


def _two(first: str, one: str, second: str, other: str, meant: str) -> str:
    return f"{first} has order {one}. {second} has order {other}. What is the order number of {meant}?"
