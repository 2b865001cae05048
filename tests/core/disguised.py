"""Structured values of invented people, valid by their checksums, and the ways in which people write them in disguise."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from stdnum import iban, luhn
from stdnum.at import uid
from stdnum.de import idnr, vat
from stdnum.es import cif, dni
from stdnum.fr import nir
from stdnum.it import codicefiscale
from stdnum.nl import bsn
from stdnum.pl import nip, pesel
from stdnum.pt import cc, nif

LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pl", "pt")


class Value(NamedTuple):
    """A value of a kind, as its language writes it."""

    kind: str
    language: str
    text: str


class Disguised(NamedTuple):
    """A text, and which of its characters are the value's."""

    text: str
    own: tuple[int, ...]
    kind: str


# --- values -----------------------------------------------------------------------------------------------------------


def digits(rng: random.Random, count: int, first: str = "123456789") -> str:
    return rng.choice(first) + "".join(rng.choice("0123456789") for _ in range(count - 1))


def until_valid(rng: random.Random, form: Callable[[random.Random], str], valid: Callable[[str], bool]) -> str:
    """Random numbers of a form until one has the right checksum."""
    while True:
        number = form(rng)
        if valid(number):
            return number


def grouped(text: str, *sizes: int) -> str:
    """`text` in groups; the last size counts for all that follow."""
    out, at = [], 0
    while at < len(text):
        size = sizes[min(len(out), len(sizes) - 1)]
        out.append(text[at : at + size])
        at += size
    return " ".join(out)


def card(rng: random.Random, language: str) -> Value:
    begin = rng.choice(("4", "51", "55", "2221", "37"))
    body = begin + digits(rng, (14 if begin == "37" else 15) - len(begin), "0123456789")
    number = body + luhn.calc_check_digit(body)
    return Value("card", language, grouped(number, *((4, 6, 5) if begin == "37" else (4,))))


_BBANS = {  # what stands behind the check digits: d a digit, letters as they are
    "en": ("GB", "NWBKdddddddddddddd"),
    "de": ("DE", "dddddddddddddddddd"),
    "nl": ("NL", "ABNAdddddddddd"),
    "pt": ("BE", "dddddddddddd"),
}


def account(rng: random.Random, language: str) -> Value:
    country, form = _BBANS.get(language, ("DE", "dddddddddddddddddd"))

    def made(rng: random.Random) -> str:
        bban = "".join(rng.choice("0123456789") if sign == "d" else sign for sign in form)
        return country + iban.calc_check_digits(f"{country}00{bban}") + bban

    return Value("iban", language, grouped(until_valid(rng, made, iban.is_valid), 4))


_HOSTS = {
    "en": ("gmail.com", "mailbox.org", "yahoo.co.uk"),
    "de": ("web.de", "gmx.de", "posteo.de"),
    "fr": ("orange.fr", "laposte.net", "free.fr"),
    "es": ("hotmail.es", "correo.es", "gmail.com"),
    "it": ("libero.it", "tiscali.it", "alice.it"),
    "nl": ("ziggo.nl", "kpnmail.nl", "hetnet.nl"),
    "pl": ("wp.pl", "onet.pl", "interia.pl"),
    "pt": ("sapo.pt", "mail.pt", "gmail.com"),
}
_GIVEN = ("mila", "jonas", "celia", "bruno", "wanda", "tomas", "irena", "pablo", "lotte", "hugo", "agnes", "rafael")
_FAMILY = ("brandvold", "kesselring", "marchand", "ortuno", "ferrante", "zwaan", "wawrzyniak", "quintela", "holloway")


def mail(rng: random.Random, language: str) -> Value:
    name = (
        f"{rng.choice(_GIVEN)}{rng.choice(('.', '_', '', '-'))}{rng.choice(_FAMILY)}{rng.choice(('', '', '7', '82'))}"
    )
    return Value("mail", language, f"{name}@{rng.choice(_HOSTS[language])}")


def phone(rng: random.Random, language: str) -> Value:
    rest = {
        "en": lambda: ("07", "+44 7", grouped(f"700{digits(rng, 6)}", 3)),
        "de": lambda: ("0", "+49 ", f"17{digits(rng, 1)} {digits(rng, 7)}"),
        "fr": lambda: ("0", "+33 ", f"6 {grouped(digits(rng, 8), 2)}"),
        "es": lambda: ("", "+34 ", f"6{grouped(digits(rng, 8), 2, 3)}"),
        "it": lambda: ("", "+39 ", f"34{digits(rng, 1)} {digits(rng, 7)}"),
        "nl": lambda: ("0", "+31 ", f"6 {digits(rng, 8)}"),
        "pl": lambda: ("", "+48 ", f"5{grouped(digits(rng, 8), 2, 3)}"),
        "pt": lambda: ("", "+351 ", f"91{grouped(digits(rng, 7), 1, 3)}"),
    }[language]()
    return Value("phone", language, rng.choice(rest[:2]) + rest[2])


def _fiscal(rng: random.Random) -> str:
    letters = "".join(rng.choice("BCDFGLMNPRST") for _ in range(6))
    body = f"{letters}{digits(rng, 2, '456789')}{rng.choice('ABCDEHLMPRST')}{rng.randint(10, 28)}H501"
    return body + codicefiscale.calc_check_digit(body)


def _pesel(rng: random.Random) -> str:
    return f"{rng.randint(50, 99)}{rng.randint(1, 12):02}{rng.randint(1, 28):02}{digits(rng, 5)}"


def _nir(rng: random.Random) -> str:
    body = f"{rng.choice('12')}{rng.randint(50, 99)}{rng.randint(1, 12):02}75{digits(rng, 6)}"
    return body + nir.calc_check_digits(body)


def _citizen(rng: random.Random) -> str:
    body = f"{digits(rng, 9)}ZZ"
    return body + cc.calc_check_digit(body)


def national(rng: random.Random, language: str) -> Value:
    number = {
        "en": lambda: f"{rng.choice(('AB', 'JX', 'SN'))}{digits(rng, 6)}{rng.choice('ABCD')}",  # National Insurance
        "de": lambda: until_valid(rng, lambda r: digits(r, 11), idnr.is_valid),
        "fr": lambda: until_valid(rng, _nir, nir.is_valid),
        "es": lambda: until_valid(rng, lambda r: digits(r, 8) + r.choice("TRWAGMYFPDXBNJZSQVHLCKE"), dni.is_valid),
        "it": lambda: until_valid(rng, _fiscal, codicefiscale.is_valid),
        "nl": lambda: until_valid(rng, lambda r: digits(r, 9), bsn.is_valid),
        "pl": lambda: until_valid(rng, _pesel, pesel.is_valid),
        "pt": lambda: _citizen(rng),
    }[language]()
    return Value("national", language, number)


def tax(rng: random.Random, language: str) -> Value:
    number = {
        "en": lambda: "ATU" + until_valid(rng, lambda r: digits(r, 8), lambda n: uid.is_valid(f"U{n}")),
        "de": lambda: "DE" + until_valid(rng, lambda r: digits(r, 9), vat.is_valid),
        "es": lambda: until_valid(rng, lambda r: r.choice("AB") + digits(r, 8), cif.is_valid),
        "pl": lambda: until_valid(rng, lambda r: digits(r, 10), nip.is_valid),
        "pt": lambda: until_valid(rng, lambda r: digits(r, 9, "12"), nif.is_valid),
    }
    chosen = number.get(language, number["de"])
    return Value("tax", language, chosen())


MAKERS: dict[str, Callable[[random.Random, str], Value]] = {
    "card": card,
    "iban": account,
    "mail": mail,
    "phone": phone,
    "national": national,
    "tax": tax,
}

# What stands before a value, by kind and language.
CARRIERS: dict[str, dict[str, str]] = {
    "card": {
        "en": "Please charge my credit card {}, thanks.",
        "de": "Bitte meine Kreditkarte {} belasten.",
        "fr": "Ma carte bancaire est {}, merci.",
        "es": "Mi tarjeta de crédito es {}, gracias.",
        "it": "La mia carta di credito è {}, grazie.",
        "nl": "Mijn creditcard is {}, bedankt.",
        "pl": "Moja karta kredytowa to {}, dziękuję.",
        "pt": "O meu cartão de crédito é {}, obrigado.",
    },
    "iban": {
        "en": "Refund it to my IBAN {}, please.",
        "de": "Meine IBAN ist {}, bitte dorthin erstatten.",
        "fr": "Mon IBAN est {}, merci.",
        "es": "Mi IBAN es {}, gracias.",
        "it": "Il mio IBAN è {}, grazie.",
        "nl": "Mijn IBAN is {}, bedankt.",
        "pl": "Mój IBAN to {}, dziękuję.",
        "pt": "O meu IBAN é {}, obrigado.",
    },
    "mail": {
        "en": "You can write to {}, thanks.",
        "de": "Meine E-Mail ist {}, danke.",
        "fr": "Mon adresse mail est {}, merci.",
        "es": "Mi correo es {}, gracias.",
        "it": "La mia mail è {}, grazie.",
        "nl": "Mijn e-mail is {}, bedankt.",
        "pl": "Mój e-mail to {}, dziękuję.",
        "pt": "O meu email é {}, obrigado.",
    },
    "phone": {
        "en": "My phone number is {}, call me.",
        "de": "Meine Telefonnummer ist {}, ruft an.",
        "fr": "Mon numéro de téléphone est {}, merci.",
        "es": "Mi teléfono es {}, gracias.",
        "it": "Il mio telefono è {}, grazie.",
        "nl": "Mijn telefoonnummer is {}, bel me.",
        "pl": "Mój telefon to {}, proszę dzwonić.",
        "pt": "O meu telefone é {}, obrigado.",
    },
    "national": {
        "en": "My National Insurance number is {}, as you asked.",
        "de": "Meine Steuer-ID ist {}, wie gewünscht.",
        "fr": "Mon numéro de sécurité sociale est {}, merci.",
        "es": "Mi DNI es {}, gracias.",
        "it": "Il mio codice fiscale è {}, grazie.",
        "nl": "Mijn BSN is {}, bedankt.",
        "pl": "Mój PESEL to {}, dziękuję.",
        "pt": "O meu cartão de cidadão é {}, obrigado.",
    },
    "tax": {
        "en": "Our VAT number is {}, for the invoice.",
        "de": "Unsere USt-IdNr. ist {}, für die Rechnung.",
        "fr": "Notre numéro de TVA est {}, pour la facture.",
        "es": "Nuestro CIF es {}, para la factura.",
        "it": "La nostra partita IVA è {}, per la fattura.",
        "nl": "Ons btw-nummer is {}, voor de factuur.",
        "pl": "Nasz NIP to {}, do faktury.",
        "pt": "O nosso NIF é {}, para a fatura.",
    },
}


# --- disguises: pieces of a value, each with whether it is the value's own ---------------------------------------------

Pieces = list[tuple[str, bool]]
Disguise = Callable[[random.Random, Value], Pieces]

_ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff\u00ad"


def zero_width(rng: random.Random, value: Value) -> Pieces:
    return [(sign + (rng.choice(_ZERO_WIDTH) if rng.random() < 0.4 else ""), True) for sign in value.text]


_HOMOGLYPHS = str.maketrans("aceopxyiABCEHKMOPTX", "асеорхуіАВСЕНКМОРТХ")


def homoglyphs(rng: random.Random, value: Value) -> Pieces:
    return [(sign.translate(_HOMOGLYPHS) if rng.random() < 0.6 else sign, True) for sign in value.text]


def full_width(_: random.Random, value: Value) -> Pieces:
    return [(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign, True) for sign in value.text]


def spaced(_: random.Random, value: Value) -> Pieces:
    return [(" ".join(value.text.replace(" ", "")), True)]


def dotted(rng: random.Random, value: Value) -> Pieces:
    mark = rng.choice(".-_|/")
    return [(mark.join(value.text.replace(" ", "")), True)]


def _halves(rng: random.Random, text: str) -> list[str]:
    """Two pieces: at a gap where there is one, beside a sign of an address, else anywhere but near the ends."""
    gaps = [at for at, sign in enumerate(text) if sign == " "]
    if "@" in text:
        at = text.index("@") + rng.choice((0, 1))
    elif gaps:
        at = min(gaps, key=lambda gap: abs(gap - len(text) / 2))
    else:
        at = rng.randint(4, len(text) - 4)
    return [text[:at].strip(), text[at:].strip()]


def lines(rng: random.Random, value: Value) -> Pieces:
    first, second = _halves(rng, value.text)
    return [(first, True), ("\n", False), (second, True)]


_TURNS = {
    "en": ("Customer", "Agent", "go on"),
    "de": ("Kunde", "Mitarbeiter", "und weiter?"),
    "fr": ("Client", "Conseiller", "oui"),
    "es": ("Cliente", "Agente", "sí"),
    "it": ("Cliente", "Operatore", "sì"),
    "nl": ("Klant", "Medewerker", "ja"),
    "pl": ("Klient", "Konsultant", "tak"),
    "pt": ("Cliente", "Atendente", "sim"),
}


def turns(rng: random.Random, value: Value) -> Pieces:
    first, second = _halves(rng, value.text)
    shopper, other, word = _TURNS[value.language]
    between = f"\n{other}: {word}\n{shopper}: " if rng.random() < 0.5 else f"\n{shopper}: "
    return [(first, True), (between, False), (second, True)]


_SIGNS = {
    "en": ((" at ", " dot "), ("[at]", "[dot]"), (" (at) ", " (dot) ")),
    "de": ((" at ", " punkt "), (" ät ", " punkt "), ("(at)", "(punkt)")),
    "fr": ((" arobase ", " point "), (" at ", " point ")),
    "es": ((" arroba ", " punto "), ("(arroba)", "(punto)")),
    "it": ((" chiocciola ", " punto "),),
    "nl": ((" apenstaartje ", " punt "), (" at ", " punt ")),
    "pl": ((" małpa ", " kropka "), ("(małpa)", "(kropka)")),
    "pt": ((" arroba ", " ponto "),),
}


def at_and_dot(rng: random.Random, value: Value) -> Pieces:
    at, dot = rng.choice(_SIGNS[value.language])
    return [({"@": at, ".": dot}.get(sign, sign), sign not in "@.") for sign in value.text]


_WORDS = {
    "en": "zero one two three four five six seven eight nine",
    "de": "null eins zwei drei vier fünf sechs sieben acht neun",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "it": "zero uno due tre quattro cinque sei sette otto nove",
    "nl": "nul een twee drie vier vijf zes zeven acht negen",
    "pl": "zero jeden dwa trzy cztery pięć sześć siedem osiem dziewięć",
    "pt": "zero um dois três quatro cinco seis sete oito nove",
}


def spelled(rng: random.Random, value: Value) -> Pieces:
    words = _WORDS[value.language].split()
    said = [words[int(sign)] if sign.isdigit() else sign for sign in value.text if sign.isalnum()]
    return [(rng.choice((" ", " ", ", ", "-")).join(said), True)]


def _has_letters_within(value: Value) -> bool:
    return any(map(str.isalpha, value.text[2:]))


def only_digits_spelled(rng: random.Random, value: Value) -> Pieces:
    return [] if _has_letters_within(value) else spelled(rng, value)


def letters_and_digits_spelled(rng: random.Random, value: Value) -> Pieces:
    return spelled(rng, value) if _has_letters_within(value) else []


def misread(rng: random.Random, value: Value) -> Pieces:
    at = value.text.index("@") if "@" in value.text else len(value.text)
    out = []
    for position, sign in enumerate(value.text):
        odd = {"0": "O", "1": rng.choice("lI")}.get(sign, sign)
        out.append((odd if position < at and rng.random() < 0.6 else sign, True))
    return out


NUMBERS = ("card", "iban", "phone", "national", "tax")
DISGUISES: dict[str, tuple[Disguise, tuple[str, ...]]] = {
    "zero-width": (zero_width, (*NUMBERS, "mail")),
    "homoglyphs": (homoglyphs, ("mail", "iban", "national", "tax")),
    "full-width": (full_width, (*NUMBERS, "mail")),
    "spaced": (spaced, (*NUMBERS, "mail")),
    "dotted": (dotted, (*NUMBERS, "mail")),
    "lines": (lines, (*NUMBERS, "mail")),
    "turns": (turns, (*NUMBERS, "mail")),
    "at and dot": (at_and_dot, ("mail",)),
    "spelled digits": (only_digits_spelled, NUMBERS),
    "letters among spelled digits": (letters_and_digits_spelled, ("iban", "national")),
    "O and 0": (misread, NUMBERS),
}
"""Each disguise, and the kinds of values that it makes sense for."""


def samples(disguise: str, count: int, seed: int = 20) -> Iterator[Disguised]:
    """`count` texts with a value in `disguise`, the same ones for the same seed; kinds and languages in turn."""
    rng = random.Random(f"{disguise} {seed}")  # not for secrets
    hide, kinds = DISGUISES[disguise]
    turns = itertools.cycle(itertools.product(LANGUAGES, kinds))
    made = 0
    while made < count:
        language, kind = next(turns)
        value = MAKERS[kind](rng, language)
        pieces = hide(rng, value)
        if "".join(text for text, _ in pieces) not in ("", value.text):  # else it is no value for this disguise
            yield _carried(CARRIERS[kind][language], pieces, kind)
            made += 1


def _carried(carrier: str, pieces: Pieces, kind: str) -> Disguised:
    before, after = carrier.split("{}")
    own, text = [], before
    for piece, is_own in pieces:
        if is_own:
            own += [len(text) + at for at, sign in enumerate(piece) if sign.isalnum()]
        text += piece
    return Disguised(text + after, tuple(own), kind)
