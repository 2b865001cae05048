"""Make the small labelled set that ``firedoor bench pii`` ships with: ``python -m training.personal_data.sample_set OUT``.

Invented texts in all languages of the templates, a few of every kind, some written as people do in a hurry. Another
seed than in training, but the same templates: it shows that detection works, not how well it does on unseen texts.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from training.personal_data.check_templates import GENRES
from training.personal_data.fill import Labelled, filled, templates
from training.personal_data.noise import noisy
from training.personal_data.train import SHARES

SEED = 20261201
EACH = 4
"""Texts of each kind in each language."""
LONGEST = 360
"""Characters of a text, so that the set stays small."""


def texts(rng: random.Random) -> list[Labelled]:
    """The texts, by language and kind."""
    found = []
    for language in SHARES:
        for genre in GENRES:
            wanted = rng.sample(templates(language).get(genre, []), k=len(templates(language).get(genre, [])))
            made = (filled(template, language, genre, rng) for template in wanted)
            fitting = [text for text in made if len(text.text) <= LONGEST][:EACH]
            found += [noisy(text, rng) for text in fitting]
    return found


def main() -> None:
    """Write the set to the path given."""
    lines = []
    for number, text in enumerate(texts(random.Random(SEED)), 1):
        spans = [{"start": start, "end": end, "label": label} for start, end, label in text.spans]
        row = {"id": f"s{number:03}", "lang": text.language, "source": text.source, "text": text.text, "spans": spans}
        lines.append(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
    Path(sys.argv[1]).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
