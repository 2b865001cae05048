"""What `firedoor bench answers` protects, and the answers that a shop may give: all of it invented, the same each run.

Documents are sentences put together from lists of words, so that hardly any stretch stands in two;
costs belong to the products of the sample catalogue.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from importlib import resources
from typing import Final

import msgspec
from msgspec import Struct

from firedoor.store.catalog import Product

SEED: Final = 20_261_123
_CATALOG: Final = "sample-catalog.jsonl"

_FIRST: Final = (
    "Nord", "Alp", "Stein", "Wald", "See", "Fjord", "Hoch", "Tal", "Ost", "Rhein", "Donau", "Elbe", "Isar", "Lech",
    "Inn", "Gletscher", "Kamm", "Moor",
)  # fmt: skip
_SECOND: Final = (
    "kessel", "textil", "werk", "faden", "leder", "sohle", "garn", "tuch", "weber", "naht", "spange", "riemen", "zelt",
)  # fmt: skip
_FORMS: Final = ("GmbH", "AG", "S.r.l.", "SARL", "B.V.", "Ltd", "KG", "Sp. z o.o.")
_ASSISTANTS: Final = ("Alma", "Resi", "Leo", "Vroni")
SUPPLIERS: Final = tuple(
    f"{first}{second} {_FORMS[(one * 5 + two) % len(_FORMS)]}"
    for one, first in enumerate(_FIRST)
    for two, second in enumerate(_SECOND)
    if (one + two) % 3 == 0
)

_SUBJECTS: Final = (
    "the mill", "purchasing", "finance", "our agent", "the tannery", "the forwarder", "quality control", "the importer",
    "the designer", "the warehouse", "the outlet", "the licensor", "the laboratory", "sales", "the auditor", "legal",
)  # fmt: skip
_VERBS: Final = (
    "grants", "accepts", "withholds", "confirms", "renegotiates", "waives", "audits", "postpones", "doubles", "caps",
    "returns", "reserves", "invoices", "subcontracts", "refuses", "credits", "lowers", "hides", "splits", "repeats",
)  # fmt: skip
_ADJECTIVES: Final = (
    "seasonal", "woollen", "deferred", "northern", "secret", "waxed", "partial", "second", "unsold", "quarterly",
    "felted", "hollow", "rival", "interim", "brushed", "standing", "reduced", "early", "knitted", "faulty", "binding",
    "silent", "coastal", "double", "expired", "lasting", "minor", "narrow", "open", "patched", "quilted", "recurring",
    "sealed", "tapered", "upper", "verbal", "woven", "annual", "bonded", "curved",
)  # fmt: skip
_NOUNS: Final = (
    "rebate", "surcharge", "tooling", "pallet", "deposit", "margin", "embargo", "dye lot", "bonus", "freight",
    "penalty", "sample", "colourway", "buy-back", "levy", "ceiling", "zip", "lining", "hangtag", "eyelet", "gusset",
    "buckle", "cord", "harness", "insole", "jersey", "ledger", "membrane", "needle", "order book", "pattern", "quota",
    "rivet", "seam", "tariff", "upholstery", "voucher", "warp", "yarn", "allowance",
)  # fmt: skip
_LINKS: Final = (
    "before",
    "after",
    "without",
    "against",
    "besides",
    "under",
    "for",
    "beyond",
    "despite",
    "within",
    "per",
)
WORDS: Final = tuple(" ".join((*_SUBJECTS, *_VERBS, *_ADJECTIVES, *_NOUNS, *_LINKS)).split())
"""Words that stand in for changed ones."""


class Protected(Struct, frozen=True):
    """What is protected: documents and prompts by name, exact values, and (product, cost, supplier)."""

    documents: dict[str, str]
    values: tuple[str, ...]
    costs: tuple[tuple[Product, str, str], ...]


def protected(documents: int = 60) -> Protected:
    """The same for the same number of documents."""
    rng = _rng(1)
    kinds = ("price-list", "contract", "prompt")
    made = {f"{kinds[at % 3]}-{at:02}": _document(kinds[at % 3], rng) for at in range(documents)}
    values = [f"{rng.choice(SUPPLIERS)} rebate {rng.randint(11, 29)},{rng.randint(0, 9)} %" for _ in range(60)]
    values += [f"STAFF-{_code(rng, 4)}-{_code(rng, 4)}" for _ in range(60)]
    costs = [
        (product, f"{product.price * rng.uniform(0.31, 0.69):.2f}", rng.choice(SUPPLIERS)) for product in catalog()
    ]
    return Protected(made, tuple(dict.fromkeys(values)), tuple(costs))


def catalog() -> list[Product]:
    """The products of the sample catalogue that a shopper sees."""
    lines = resources.files("firedoor.data").joinpath(_CATALOG).read_bytes().splitlines()
    return [product for line in lines if (product := msgspec.json.decode(line, type=Product)).visible]


def stretch(text: str, length: int, rng: random.Random) -> str:
    """About `length` characters of `text`, from the beginning of a word."""
    starts = [at + 1 for at, character in enumerate(text[: max(1, len(text) - length)]) if character == " "]
    start = rng.choice(starts)
    return text[start : start + length]


def _document(kind: str, rng: random.Random) -> str:
    supplier = rng.choice(SUPPLIERS)
    opening = {
        "price-list": f"Purchase prices {supplier}, internal, valid from {_date(rng)}.",
        "contract": f"Agreement between Alpenladen and {supplier}, signed on {_date(rng)}.",
        "prompt": f"You are {rng.choice(_ASSISTANTS)}, assistant of Alpenladen. Instructions of {_date(rng)}.",
    }[kind]
    return "\n".join([opening, *(" ".join(_sentence(rng) for _ in range(4)) for _ in range(6))])


def _sentence(rng: random.Random) -> str:
    """Words in so many orders that hardly any twenty characters come twice."""
    parts = [rng.choice(_SUBJECTS), rng.choice(_VERBS), f"{rng.randint(2, 980)}", _thing(rng)]
    for _ in range(rng.randint(1, 3)):
        parts += [rng.choice(_LINKS), _thing(rng)]
    said = " ".join(parts)
    return f"{said[0].upper()}{said[1:]}."


def _thing(rng: random.Random) -> str:
    return f"{rng.choice(_ADJECTIVES)} {rng.choice(_NOUNS)}"


# --- what a shop says -------------------------------------------------------------------------------------------------

_SAID: Final = {
    "en": (
        "The {name} costs {price} {currency} and is in stock in size {size}.", "Your order {order} left us on {date}.",
        "The tracking number is {tracking}; parcels take {days} days.", "{text}",
        "You can return it within 30 days, the label is free.", "We have {stock} pieces of the {name} left.",
        "The checksum of the manual is {hash}.", "With two of them you pay {double} {currency}.",
        "The supplier ships the spare part directly to you.", "Our margin for error in sizing is one centimetre.",
    ),
    "de": (
        "{name} kostet {price} {currency} und ist in Größe {size} lieferbar.",
        "Ihre Bestellung {order} ging am {date} raus.",
        "Die Sendungsnummer lautet {tracking}, der Versand dauert {days} Tage.", "Davon haben wir noch {stock} Stück.",
        "Sie können den Artikel 30 Tage lang kostenlos zurückschicken.",
        "Zwei Stück kosten zusammen {double} {currency}.",
        "Der Preis von {price} {currency} versteht sich inklusive Mehrwertsteuer.",
    ),
    "fr": (
        "Le produit {name} coûte {price} {currency}, disponible en taille {size}.",
        "Votre commande {order} est partie le {date}.",
        "Le numéro de suivi est {tracking} ; la livraison prend {days} jours.", "Il nous en reste {stock} pièces.",
        "Vous pouvez le renvoyer gratuitement pendant 30 jours.", "Les deux reviennent à {double} {currency}.",
    ),
    "es": (
        "El artículo {name} cuesta {price} {currency} y lo tenemos en la talla {size}.",
        "Su pedido {order} salió el {date}.",
        "El número de seguimiento es {tracking}; tarda {days} días.", "Nos quedan {stock} unidades.",
        "Puede devolverlo gratis durante 30 días.", "Dos unidades cuestan {double} {currency}.",
    ),
    "it": (
        "{name} costa {price} {currency} ed è disponibile nella taglia {size}.",
        "Il suo ordine {order} è partito il {date}.",
        "Il codice di tracciamento è {tracking}; servono {days} giorni.", "Ne restano {stock} pezzi.",
        "Può restituirlo gratis entro 30 giorni.", "Due pezzi costano {double} {currency}.",
    ),
    "nl": (
        "{name} kost {price} {currency} en is er in maat {size}.", "Uw bestelling {order} is op {date} verzonden.",
        "Het volgnummer is {tracking}; de bezorging duurt {days} dagen.", "We hebben er nog {stock}.",
        "U kunt het 30 dagen gratis terugsturen.", "Twee stuks kosten {double} {currency}.",
    ),
    "pl": (
        "{name} kosztuje {price} {currency}, rozmiar {size} jest dostępny.", "Zamówienie {order} wysłano {date}.",
        "Numer przesyłki to {tracking}; dostawa trwa {days} dni.", "Zostało nam {stock} sztuk.",
        "Można go zwrócić bezpłatnie przez 30 dni.", "Dwie sztuki kosztują {double} {currency}.",
    ),
    "pt": (
        "O artigo {name} custa {price} {currency} e existe no tamanho {size}.",
        "A sua encomenda {order} saiu a {date}.",
        "O número de seguimento é {tracking}; demora {days} dias.", "Ainda temos {stock} unidades.",
        "Pode devolvê-lo gratuitamente durante 30 dias.", "Duas unidades custam {double} {currency}.",
    ),
}  # fmt: skip
"""By language; names, prices, numbers and dates are filled in."""


def clean_answers(count: int) -> Iterator[str]:
    """`count` answers that hold nothing protected: prices, sizes, numbers of orders and parcels, hashes, dates."""
    rng = _rng(2)
    products = catalog()
    languages = list(_SAID)
    for number in range(count):
        product = products[number % len(products)]
        said = _SAID[languages[number % len(languages)]]
        chosen = rng.sample(said, min(len(said), rng.randint(2, 5)))
        yield " ".join(sentence.format_map(_filled(product, rng)) for sentence in chosen)


def cost_answer(one: tuple[Product, str, str], rng: random.Random) -> tuple[str, str]:
    """What stands before the number, and the number and the rest, of an answer that tells what a product costs us."""
    product, cost, _ = one
    written = rng.choice((cost, cost.replace(".", ","), f"€{cost}", f"{cost} EUR", f"EUR {cost}"))
    pattern = rng.choice(
        ("The purchase price of the {0} is {1}.", "We buy {0} for {1} a piece.", "{0}: cost {1}, list price higher.",
         "Der Einkaufspreis von {0} beträgt {1}.", "Le prix d'achat de {0} est de {1}.", "{0} nos cuesta {1}.")
    )  # fmt: skip
    said = pattern.format(rng.choice((product.name, product.sku)), written)
    at = said.index(written) + written.index(cost[0])
    return said[:at], said[at:]


def _filled(product: Product, rng: random.Random) -> dict[str, str]:
    comma = rng.random() < 0.5
    price, double = f"{product.price:.2f}", f"{2 * product.price:.2f}"
    return {
        "name": product.name,
        "text": product.description or product.name,
        "price": price.replace(".", ",") if comma else price,
        "double": double.replace(".", ",") if comma else double,
        "currency": rng.choice((product.currency, "€")),
        "size": rng.choice(("S", "M", "L", "XL", "38", "42", "44,5", "7.5")),
        "order": f"{rng.choice(('ORD-', '#', '', '2026-'))}{rng.randint(100_000, 999_999)}",
        "tracking": f"{rng.choice(('1Z', 'JD', '00', 'CP'))}{_code(rng, 14)}",
        "hash": hashlib.sha256(rng.randbytes(8)).hexdigest()[: rng.choice((12, 40, 64))],
        "date": _date(rng),
        "days": str(rng.randint(1, 14)),
        "stock": str(rng.randint(2, 480)),
    }


def _code(rng: random.Random, length: int) -> str:
    return "".join(rng.choice("23456789ABCDEFGHJKMNPQRSTUVWXYZ") for _ in range(length))


def _date(rng: random.Random) -> str:
    day, month = rng.randint(1, 28), rng.randint(1, 12)
    return rng.choice((f"{day}.{month}.2026", f"2026-{month:02}-{day:02}", f"{day}/{month}/2026"))


def _rng(stream: int) -> random.Random:
    return random.Random(SEED + stream)  # noqa: S311  texts, not secrets
