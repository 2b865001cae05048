"""The labels of a sentence whose persons are decided: streets, cities, postcodes, addresses by their form."""

from __future__ import annotations

import re

from training.personal_data.sentence import HINT, SURE, UNSURE, Sentence, Word

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_LINK = re.compile(r"(?:https?://|www\.)\S+")
_PARTICLES = frozenset(
    "von van der den de di da do dos del della la le du des d ten ter zu af av bin ibn al el".split()
)
_MASKED = frozenset({"pl", "cs", "sv"})
"""Languages in which the teacher overlooks so many names that an unknown capitalised word counts for nothing."""


class LabelledSentence(Sentence):
    """A sentence and every span in it. ``OTHER`` marks words whose label nobody knows."""

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
