"""Prints the table of letter pairs of `firedoor.core.detect.attack.likeness`.

Source: the letter pairs that the package langdetect (Apache-2.0) counts in seven languages. Run with langdetect
installed: ``python -m training.prompt_attacks.bigrams``.
"""

from __future__ import annotations

import importlib.resources
import json
import math
import string
import unicodedata

LANGUAGES = {"en": 2.0, "de": 1.0, "es": 1.0, "fr": 1.0, "it": 1.0, "nl": 1.0, "pt": 1.0}
"""With their weights: attacks are written in English everywhere."""
_LETTERS = " abcdefghijklmnopqrstuvwxyz"
_STEPS_A_NAT = 4
_STEPS = string.ascii_uppercase + string.ascii_lowercase


def _letters(pair: str) -> str:
    """A pair in lower case and without accents; other characters are ends of words."""
    plain = "".join(unicodedata.normalize("NFD", character)[0] for character in pair.casefold()[:2])
    return "".join(character if character in _LETTERS else " " for character in plain)


def _shares(language: str) -> dict[str, float]:
    profile = importlib.resources.files("langdetect") / "profiles" / language
    counts: dict[str, float] = {}
    for pair, count in json.loads(profile.read_text("utf-8"))["freq"].items():
        if len(pair) == 2:
            written = _letters(pair)
            counts[written] = counts.get(written, 0) + count
    total = sum(counts.values())
    return {pair: count / total for pair, count in counts.items()}


def table() -> str:
    """27 rows of 27 characters: how rare (``A`` to ``z``, quarters of a nat) each pair of letters is among all."""
    joint: dict[str, float] = {}
    for language, weight in LANGUAGES.items():
        for pair, share in _shares(language).items():
            joint[pair] = joint.get(pair, 0) + weight * share
    total = sum(joint.values())
    steps = {pair: round(-_STEPS_A_NAT * math.log(share / total)) for pair, share in joint.items()}
    most = min(steps.values())
    return "\n".join(
        "".join(_STEPS[min(len(_STEPS) - 1, steps.get(first + second, 99) - most)] for second in _LETTERS)
        for first in _LETTERS
    )


if __name__ == "__main__":
    print(table())
