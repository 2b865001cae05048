"""Harmless texts in eleven languages, from the sentences that were written for the classifier of personal data."""

from __future__ import annotations

import random

from training.personal_data import fill
from training.personal_data.check_templates import GENRES
from training.prompt_attacks.corpora import CHAT, HARD, PAPER, Example, example

LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pl", "pt", "cs", "sv", "da")
_ANSWERS = {"shop": CHAT, "prompts": HARD}
SOURCE = "personal_templates"


def sentences(rng: random.Random) -> list[Example]:
    """Each template once, filled with invented people."""
    found = []
    for lang in LANGUAGES:
        for genre in GENRES:
            for template in fill.templates(lang).get(genre, ()):
                text = fill.filled(template, lang, genre, rng).text
                answer = _ANSWERS.get(genre, PAPER)
                role = "shopper" if answer is not PAPER else "document"
                kind = "benign_hard" if answer is HARD else "benign_chat" if answer is CHAT else "benign_document"
                found.append(example(text, answer, SOURCE, kind, lang, group=f"{lang} {template}", role=role))
    return found
