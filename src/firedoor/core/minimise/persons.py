"""Who is who: the mentions of people in one conversation, each given to one person. Pure.

Mentions come in the order of the conversation and each is decided by those before it, so that a history sent again,
with more turns at its end, tells the same people apart in the same way. Never merged on a doubt: a first name that two
known people share, or a name with a title of the other sex, is a person of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from firedoor.core.minimise import inflection
from firedoor.core.minimise.inflection import folded
from firedoor.core.minimise.known import FEW
from firedoor.core.minimise.mentions import WORD, Mention, Person, fuller, mention
from firedoor.core.minimise.person_words import ORDINARY, SHORT_FORMS, gender_of

MAX_COMPARED = 16
"""People with one name that a mention is compared with; in a list of thousands it is nobody's in particular."""
MAX_FORMS = 32
"""Spellings of one person's name that are compared when the best is chosen."""
MIN_ANY_CASE = 4
"""Letters of a name that is recognised in lower case too; a shorter one must be written with a capital."""

_BETWEEN = re.compile(r"[ \t\u00a0]{1,2}|[-'\u2019]|\.? |, ?|\r?\n")


class Persons:
    """The people of one conversation."""

    def __init__(self) -> None:
        self.all: list[Person] = []
        self.version = 0  # grows with every word that can be recognised
        self._slavic = False
        self._by_word: dict[str, list[Person]] = {}
        self._by_form: dict[str, list[Person]] = {}  # words in other cases than were seen
        self._by_name: dict[tuple[str, ...], Person] = {}
        self._alone: dict[str, Person] = {}

    def read(self, text: str) -> None:
        """Note the language of a text, before its mentions."""
        if not self._slavic and not text.isascii() and inflection.SLAVIC_LETTERS.search(text):
            self._inflect()

    def who(self, found: Mention) -> Person:
        """Whom `found` is about: somebody known, or somebody new."""
        if not self._slavic and any(map(inflection.looks_slavic, found.words)):
            self._inflect()
        person = self._by_one_word(found) if len(found.words) == 1 else self._by_full_name(found)
        self._record(person, found)
        return person

    def roots(self) -> list[Person]:
        """Everybody, each once, in the order in which they appeared."""
        return [person for person in self.all if person.joined is None]

    def mentioned_in(self, text: str, *, later: bool) -> Iterator[tuple[int, int, Person]]:
        """Where `text` says names that are known by now, whether a detector saw them or not.

        With `later`, the people became known after this text: the first of them is meant. A word alone counts if it is
        no ordinary one; in lower case only from four letters on; and one of a first name alone only as it was written.
        """
        if not self._by_word or (text.isascii() and not self._may_name(text)):
            return
        run: list[tuple[int, int, str]] = []
        for piece in WORD.finditer(text):
            word = folded(piece[0])
            if word not in self._by_word and word not in self._by_form:
                continue
            if run and not _BETWEEN.fullmatch(text, run[-1][1], piece.start()):
                yield from self._named(run, text, later=later)
                run = []
            run.append((piece.start(), piece.end(), word))
        if run:
            yield from self._named(run, text, later=later)

    # --- who somebody is ----------------------------------------------------------------------------------------------

    def _by_one_word(self, found: Mention) -> Person:
        word = found.words[0]
        fitting = [p for p in self._with(word, self._by_word) if _may_be_called(p, found, word)]
        if not fitting:
            fitting = self._in_another_case(found, word)
        if not fitting and word in SHORT_FORMS and not found.titled:
            fitting = self._by_short_form(word)
        if len(fitting) == 1:
            return fitting[0]
        if not fitting:
            return self._add(found)
        alone = self._alone.get(word)
        if alone is None:
            alone = self._alone[word] = self._add(found, alone=True)
        return alone

    def _in_another_case(self, found: Mention, word: str) -> list[Person]:
        listed = self._with(word, self._by_form)
        fitting = [p for p in listed if any(word in inflection.declined(part) for part in _words_of(p, found))]
        if listed and not fitting:
            fitting = [p for p in listed if any(inflection.one_name(word, part) for part in _words_of(p, found))]
        genitive = inflection.genitive_of(word)
        if not fitting and genitive:
            fitting = [p for p in self._with(genitive, self._by_word) if _may_be_called(p, found, genitive)]
        return fitting

    def _by_short_form(self, short: str) -> list[Person]:
        roots = dict.fromkeys(p.root() for p in self.all[:MAX_COMPARED])
        return [p for p in roots if not p.alone and p.full and p.words[0].startswith(short)]

    def _by_full_name(self, found: Mention) -> Person:
        known = self._by_name.get(found.words)
        if known is not None and not _contradict(known.root(), found):
            return known.root()
        candidates = self._who_shares_a_word(found) or self._who_looks_alike(found)
        full = [
            p
            for p in candidates
            if p.full
            and _may_agree(p.words, found.words)
            and not _contradict(p, found)
            and self._one_full_name(p.words, found.words)
        ]
        if len(full) == 1:
            return full[0]
        if full:
            return self._add(found, alone=True)
        part = [p for p in candidates if not p.full and self._is_part(p, found)]
        if not part:
            return self._add(found)
        first = min(part, key=self.all.index)
        for other in part:
            if other is not first:
                other.joined = first
                first.written += other.written
        return first

    def _who_shares_a_word(self, found: Mention) -> list[Person]:
        first, family = found.words[0], found.words[-1]
        sources = [self._with(word, index) for word in (first, family) for index in (self._by_word, self._by_form)]
        if genitive := inflection.genitive_of(family):
            sources.append(self._with(genitive, self._by_word))
        return list(dict.fromkeys(person for source in sources for person in source))

    def _who_looks_alike(self, found: Mention) -> list[Person]:
        """People whose first and family name both begin as those of `found`: both may be inflected."""
        first, family = found.words[0][:2], found.words[-1][:2]
        some = dict.fromkeys(p.root() for p in self.all[-MAX_COMPARED:])
        return [p for p in some if p.full and p.words[0].startswith(first) and p.words[-1].startswith(family)]

    def _with(self, word: str, index: dict[str, list[Person]]) -> list[Person]:
        listed = index.get(word)
        return list(dict.fromkeys(person.root() for person in listed)) if listed else []

    def _add(self, found: Mention, *, alone: bool = False) -> Person:
        person = Person(found, alone=alone)
        self.all.append(person)
        return person

    # --- what goes together -------------------------------------------------------------------------------------------

    def _is_part(self, person: Person, found: Mention) -> bool:
        """Whether the one word that `person` is known by is a part of the full name `found`."""
        word = person.words[0]
        if person.alone or len(word) < 2 or _contradict(person, found):
            return False
        parts = found.words[-1:] if person.titled else found.words
        return any(word == part or self._one_word(word, part) for part in parts)

    def _one_full_name(self, known: tuple[str, ...], other: tuple[str, ...]) -> bool:
        """Whether two full names can be one person's: initials, second names, turned order, other cases."""
        if sorted(known) == sorted(other):
            return True
        if len(known) == len(other) == 2 and min(map(len, (*known, *other))) > 1 and self._agree(known, other[::-1]):
            return True
        longer, shorter = (known, other) if len(known) >= len(other) else (other, known)
        if len(longer) > len(shorter) and longer[0] == shorter[0] and set(shorter) < set(longer):
            return True
        middle, other_middle = {word[0] for word in known[1:-1]}, {word[0] for word in other[1:-1]}
        if middle and other_middle and middle.isdisjoint(other_middle):
            return False
        return self._agree((known[0], known[-1]), (other[0], other[-1]))

    def _agree(self, known: tuple[str, ...], other: tuple[str, ...]) -> bool:
        """Whether first and family name are the same words, in the same case of grammar, shortened or an initial."""
        (first, family), (other_first, other_family) = known, other
        if max(len(first), len(family)) == 1 or max(len(other_first), len(other_family)) == 1:
            return False
        if first == other_first or 1 in (len(first), len(other_first)) or _is_short(first, other_first):
            return first[0] == other_first[0] and self._same(family, other_family)
        if family == other_family:  # Anny Nowak is Anna Nowak; Jana Nowak is not Jan Nowak, who would be Jana Nowaka
            inflected = self._slavic and inflection.one_name(first, other_first)
            return inflected and (family[-1] in "aeiouy" or inflection.is_womans(first, other_first))
        return inflection.one_name(first, other_first) and inflection.one_name(family, other_family)

    def _same(self, one: str, other: str) -> bool:
        if len(one) == 1 or len(other) == 1:
            return one[0] == other[0]
        return one == other or self._one_word(one, other)

    def _one_word(self, one: str, other: str) -> bool:
        if inflection.genitive_of(one) == other or inflection.genitive_of(other) == one:
            return True
        return self._slavic and inflection.one_name(one, other)

    # --- what is known of them ----------------------------------------------------------------------------------------

    def _record(self, person: Person, found: Mention) -> None:
        if len(person.written) >= MAX_FORMS or any(found.text == seen.text for seen in person.written):
            return
        person.written.append(found)
        person.gender = person.gender or found.gender
        if fuller(found.words, person.words):
            person.words = found.words
        if len(found.words) > 1:
            self._by_name.setdefault(found.words, person)
        if person.alone and len(found.words) == 1:
            return
        for word in (*found.words, *person.words):
            self._enter(word, person)

    def _enter(self, word: str, person: Person) -> None:
        if len(word) < 2:
            return
        listed = self._by_word.setdefault(word, [])
        if len(listed) < MAX_COMPARED and person not in listed:
            listed.append(person)
            self.version += 1
            if self._slavic:
                self._enter_forms(word, person)

    def _enter_forms(self, word: str, person: Person) -> None:
        for form in inflection.family_forms(word):
            listed = self._by_form.setdefault(form, [])
            if len(listed) < MAX_COMPARED and person not in listed:
                listed.append(person)

    def _inflect(self) -> None:
        self._slavic = True
        self.version += 1
        for word, persons in self._by_word.items():
            for person in persons:
                self._enter_forms(word, person)

    # --- names in texts -----------------------------------------------------------------------------------------------

    def _may_name(self, text: str) -> bool:
        if len(self._by_word) + len(self._by_form) <= FEW:
            small = text.lower()
            if not any(word in small for words in (self._by_word, self._by_form) for word in words):
                return False
        words = WORD.findall(text.lower())
        return not (self._by_word.keys().isdisjoint(words) and self._by_form.keys().isdisjoint(words))

    def _named(self, run: list[tuple[int, int, str]], text: str, *, later: bool) -> Iterator[tuple[int, int, Person]]:
        """The people in a row of words that are parts of names: as many words to one person as belong to them."""
        at = 0
        while at < len(run):
            shared = self._meant(run[at][2])
            length = 1
            while at + length < len(run) and length < 6:
                more = [p for p in self._meant(run[at + length][2]) if p in shared and p.full]
                if not more or run[at + length][2] == run[at][2]:
                    break
                shared, length = more, length + 1
            start, end = run[at][0], run[at + length - 1][1]
            if shared and (length > 1 or self._stands_alone(run[at][2], text[start:end], shared)):
                yield start, end, self._one_of(shared, run[at][2], text[start:end], later=later)
            at += length

    def _meant(self, word: str) -> list[Person]:
        return self._with(word, self._by_word) or self._with(word, self._by_form)

    def _stands_alone(self, word: str, written: str, shared: list[Person]) -> bool:
        if word in ORDINARY or len(word) < 2:
            return False
        capital = written[:1].isupper()
        if word not in self._by_word:
            return capital
        if not any(p.full for p in shared):
            return any(written == seen.text for p in shared for seen in p.written)
        return capital or len(word) >= MIN_ANY_CASE

    def _one_of(self, shared: list[Person], word: str, written: str, *, later: bool) -> Person:
        if len(shared) == 1 or later:
            return shared[0]
        if word in self._alone and not written[0].isupper():  # said before, and better spelled
            return self._alone[word]
        return self.who(mention(written))


def _words_of(person: Person, found: Mention) -> tuple[str, ...]:
    return person.words[-1:] if found.titled and person.full else person.words


def _contradict(person: Person, found: Mention) -> bool:
    """Whether a title says that these are two people."""
    gender = person.gender or (gender_of(person.words[0]) if person.full else None)
    other = found.gender or (gender_of(found.words[0]) if len(found.words) > 1 else None)
    told = person.gender is not None or found.gender is not None
    return told and gender is not None and other is not None and gender != other


def _may_be_called(person: Person, found: Mention, word: str) -> bool:
    """Whether `word`, alone or behind a title, can mean `person`."""
    return not person.alone and not _contradict(person, found) and word in _words_of(person, found)


def _may_agree(known: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether it is worth looking closer: most people share a first name and nothing else."""
    family, other_family = known[-1], other[-1]
    if min(len(family), len(other_family)) > 1 and family[:2] != other_family[:2]:
        return family in other or other_family in known
    return family[:1] == other_family[:1]


def _is_short(one: str, other: str) -> bool:
    return (one in SHORT_FORMS and other.startswith(one)) or (other in SHORT_FORMS and one.startswith(other))
