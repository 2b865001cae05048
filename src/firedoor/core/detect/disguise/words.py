"""Words for digits and signs, as people say them on the phone: en de fr es it nl pl pt.

Numbers are the standard cardinals of each language from 0 to 99 (to 900 in hundreds where people read numbers so), with
and without accents. Words are case-folded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

DOUBLE, TRIPLE = -2, -3
"""What is said before a digit that stands twice or three times."""
JOINED_BY = frozenset({"y", "et", "e", "und", "and", "en", "i"})
"""Between tens and units."""

_ACCENTS = str.maketrans("áàâéèêëíìîóòôöúùûüçñłąęśćżź", "aaaeeeeiiioooouuuucnlaesczz")


def _numbered(words: str, first: int, step: int = 1) -> dict[str, int]:
    """``a b/c d`` as values from `first` on; words with a slash have the same value."""
    return {word: first + step * n for n, alternatives in enumerate(words.split()) for word in alternatives.split("/")}


def _english() -> dict[str, int]:
    return {
        **_numbered("zero/oh/nought/naught/o one two three four five six seven eight nine ten", 0),
        **_numbered("eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen", 11),
        **_numbered("twenty thirty forty/fourty fifty sixty seventy eighty ninety", 20, 10),
        "double": DOUBLE,
        "triple": TRIPLE,
    }


def _german() -> dict[str, int]:
    tens = _numbered("zwanzig dreißig/dreissig vierzig fünfzig/fuenfzig sechzig siebzig achtzig neunzig", 20, 10)
    units = _numbered("ein/eins zwei/zwo drei vier fünf/fuenf sechs sieben acht neun", 1)
    return {
        **_numbered("null", 0),
        **units,
        **_numbered("zehn elf zwölf/zwoelf dreizehn vierzehn fünfzehn/fuenfzehn sechzehn", 10),
        **_numbered("siebzehn achtzehn neunzehn", 17),
        **tens,
        **{f"{unit}und{ten}": units[unit] + tens[ten] for unit in units for ten in tens},
        "doppel": DOUBLE,
        "doppelt": DOUBLE,
        "dreimal": TRIPLE,
    }


def _dutch() -> dict[str, int]:
    tens = _numbered("twintig dertig veertig vijftig zestig zeventig tachtig negentig", 20, 10)
    units = _numbered("een/één twee drie vier vijf zes zeven acht negen", 1)
    joined = {
        f"{unit}{link}{ten}": units[unit] + tens[ten]
        for unit in units
        for ten in tens
        for link in (("ën", "en") if unit.endswith("e") else ("en",))
    }
    return {
        **_numbered("nul", 0),
        **units,
        **_numbered("tien elf twaalf dertien veertien vijftien zestien zeventien achttien negentien", 10),
        **tens,
        **joined,
        "dubbel": DOUBLE,
        "driemaal": TRIPLE,
    }


def _french() -> dict[str, int]:
    return {
        **_numbered("zéro un/une deux trois quatre cinq six sept huit neuf", 0),
        **_numbered("dix onze douze treize quatorze quinze seize", 10),
        **_numbered("vingt/vingts trente quarante cinquante soixante septante huitante/octante nonante", 20, 10),
        "double": DOUBLE,
        "triple": TRIPLE,
    }


def _spanish() -> dict[str, int]:
    units = _numbered("uno/un/una dós/dos trés/tres cuatro cinco séis/seis siete ocho nueve", 1)
    return {
        **_numbered("cero", 0),
        **units,
        **_numbered("diez once doce trece catorce quince dieciséis diecisiete dieciocho diecinueve", 10),
        **_numbered("veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa", 20, 10),
        **{f"veinti{unit}": 20 + value for unit, value in units.items()},
        **_numbered(
            "cien/ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos "
            "novecientos",
            100,
            100,
        ),
        "doble": DOUBLE,
        "triple": TRIPLE,
    }


def _italian() -> dict[str, int]:
    tens = _numbered("venti trenta quaranta cinquanta sessanta settanta ottanta novanta", 20, 10)
    units = _numbered("uno/un due tre/tré quattro cinque sei sette otto nove", 1)
    joined = {
        (ten[:-1] if unit[0] in "uo" else ten) + unit: tens[ten] + value
        for ten in tens
        for unit, value in units.items()
    }
    hundreds = {"cento": 100} | {f"{unit}cento": 100 * value for unit, value in units.items() if value > 1}
    below = {
        **units,
        **_numbered("dieci undici dodici tredici quattordici quindici sedici diciassette diciotto diciannove", 10),
        **tens,
        **joined,
    }
    whole = {hundred + rest: hundreds[hundred] + value for hundred in hundreds for rest, value in below.items()}
    return {"zero": 0, **below, **hundreds, **whole, "doppio": DOUBLE, "triplo": TRIPLE}


def _polish() -> dict[str, int]:
    return {
        **_numbered("zero jeden/jedna dwa/dwie trzy cztery pięć sześć siedem osiem dziewięć", 0),
        **_numbered(
            "dziesięć jedenaście dwanaście trzynaście czternaście piętnaście szesnaście siedemnaście osiemnaście "
            "dziewiętnaście",
            10,
        ),
        **_numbered(
            "dwadzieścia trzydzieści czterdzieści pięćdziesiąt sześćdziesiąt siedemdziesiąt osiemdziesiąt "
            "dziewięćdziesiąt",
            20,
            10,
        ),
        **_numbered(
            "sto dwieście trzysta czterysta pięćset sześćset siedemset osiemset dziewięćset",
            100,
            100,
        ),
        "podwójne": DOUBLE,
        "potrójne": TRIPLE,
    }


def _portuguese() -> dict[str, int]:
    return {
        **_numbered("zero um/uma dois/duas três/tres quatro cinco seis/meia sete oito nove", 0),
        **_numbered(
            "dez onze doze treze catorze/quatorze quinze dezesseis/dezasseis dezessete/dezassete dezoito "
            "dezenove/dezanove",
            10,
        ),
        **_numbered("vinte trinta quarenta cinquenta sessenta setenta oitenta noventa", 20, 10),
        **_numbered(
            "cem/cento duzentos trezentos quatrocentos quinhentos seiscentos setecentos oitocentos novecentos", 100, 100
        ),
        "duplo": DOUBLE,
        "triplo": TRIPLE,
    }


_LANGUAGES = {
    "en": _english(),
    "de": _german(),
    "fr": _french(),
    "es": _spanish(),
    "it": _italian(),
    "nl": _dutch(),
    "pl": _polish(),
    "pt": _portuguese(),
}


def _by_word() -> dict[str, dict[str, int]]:
    words: dict[str, dict[str, int]] = {}
    for language, values in _LANGUAGES.items():
        for word, value in values.items():
            for spelling in (word.casefold(), word.casefold().translate(_ACCENTS)):
                words.setdefault(spelling, {})[language] = value
    return words


NUMBERS: dict[str, dict[str, int]] = _by_word()
"""What a word is worth in each language that has it."""

PLUS = frozenset({"plus", "piu", "più", "mas", "más", "mais"})

# --- signs of an address ---


def one_by_one(words: str) -> frozenset[str]:
    """The words of a table."""
    return frozenset(words.split())


def _phrases(phrases: str) -> frozenset[str]:
    return frozenset(" ".join(phrase.split()) for phrase in phrases.split(","))


AT_SURE = _phrases(
    "arroba, arrobas, arobas, arobase, chiocciola, chiocciolina, małpa, małpka, malpa, apenstaartje, "
    "klammeraffe, snabel-a"
)
"""Words that are the sign and nothing else."""
AT_MAYBE = _phrases("at, ät")
DOTS = _phrases("dot, punkt, punto, point, punt, kropka, ponto, tečka, tecka")
_MARKS = {
    "_": _phrases(
        "underscore, underline, unterstrich, tiret bas, guion bajo, guión bajo, subrayado, trattino basso, "
        "sottolineato, liggend streepje, laag streepje, podkreślenie, podkreślnik, podkreslnik, sublinhado"
    ),
    "-": _phrases(
        "dash, hyphen, minus, bindestrich, strich, tiret, trait d'union, guion, guión, trattino, streepje, "
        "koppelteken, myślnik, myslnik, hífen"
    ),
    "+": _phrases("plus"),
}
MARKS: dict[str, str] = {phrase: sign for sign, phrases in _MARKS.items() for phrase in phrases}
"""What is said for the other signs of a name."""


def one_of(phrases: Iterable[str]) -> str:
    """A pattern for any of `phrases`, the longest first."""
    return "|".join(re.escape(phrase) for phrase in sorted(phrases, key=lambda phrase: (-len(phrase), phrase)))


TLDS = one_by_one(
    """
    com org net info biz io co eu de fr es it nl pl pt at ch be uk us ca se dk no fi cz sk hu ro bg gr ie lu si hr lt lv
    ee ru ua tr br mx ar au nz in jp cn is mt cy li me tv ai app dev cc ws gov edu mil int shop store online site
    xyz email mail cloud tech name pro test example"""
)
"""What an address may end with when its signs are written as words."""
SAFE_TLDS = one_by_one("com org net info biz eu de fr nl pl pt ch uk se dk fi cz sk hu ro bg gr ie lu hr gov edu")
"""Those that are no word of a sentence: a gap before them may be closed."""

NOBODY = one_by_one(
    """
    me us you it them him her is are was be look looking looked find found buy bought see saw shop shopped shopping
    order ordered only available sold here there cheaper store now prices price mich uns ist chez moi aqui aquí ici qui
    hier tu tutaj"""
)
"""Words before "at" or a spaced @ that are no name of an address."""
