"""Labelled texts that are not made from templates: the development sets, and plain sentences labelled by a teacher."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from training.personal_data.fill import Labelled

SOURCES = ("multidogo", "presidio_synth", "pl_pii_bench", "restaurant8k", "synth_ecom")
"""The sets with complete labels; `banking77` has none on purpose, `ambientmeta` is for measuring recall only."""


def development(folder: Path, source: str) -> list[Labelled]:
    """The texts of ``SOURCE.dev.jsonl``."""
    found = []
    with (folder / f"{source}.dev.jsonl").open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            spans = sorted((s["start"], s["end"], s["label"]) for s in row["spans"])
            found.append(Labelled(row["text"], spans, row["lang"], source))
    return found


def halves(folder: Path, source: str) -> tuple[list[Labelled], list[Labelled]]:
    """Two halves that share no conversation, template or document."""
    one, other = [], []
    with (folder / f"{source}.dev.jsonl").open(encoding="utf-8") as file:
        groups = [json.loads(line)["group"] for line in file]
    for group, text in zip(groups, development(folder, source), strict=True):
        (one if hashlib.sha256(str(group).encode()).digest()[0] & 1 else other).append(text)
    return one, other


def taught(path: Path) -> list[Labelled]:
    """Sentences labelled by the teacher: ``{"text", "lang", "spans": [[start, end, label]]}`` a line."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [Labelled(r["text"], [(a, b, c) for a, b, c in r["spans"]], r["lang"], "taught") for r in rows]
