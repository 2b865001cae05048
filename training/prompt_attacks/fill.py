"""Our own sentences: templates/LANG/GENRE.txt with their slots filled. The format is told in training/README.md."""

from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from firedoor.core.plan.model import Attribute
from training.prompt_attacks.corpora import CHAT, HARD, NATURAL, PAPER, PLANTED, TYPED, Answer, Example, example

TEMPLATES = Path(__file__).parent / "templates"
_SLOT = re.compile(r"\{([a-z_0-9]+)\}")
_CHOICE = re.compile(r"\[([^\[\]|]*(?:\|[^\[\]|]*)+)\]")


class Genre(NamedTuple):
    """What the texts of one file are."""

    answer: Answer
    kind: str
    asked: tuple[Attribute, ...] = ()
    role: str = "shopper"


GENRES = {
    "direct": Genre(TYPED, "direct_injection"),
    "extraction": Genre(TYPED, "prompt_extraction", ("prompt",)),
    "jailbreak": Genre(TYPED, "jailbreak"),
    "asked_cost": Genre(NATURAL, "asked", ("cost",)),
    "asked_margin": Genre(NATURAL, "asked", ("margin",)),
    "asked_floor_price": Genre(NATURAL, "asked", ("floor_price",)),
    "asked_supplier": Genre(NATURAL, "asked", ("supplier",)),
    "asked_discount_code": Genre(NATURAL, "asked", ("discount_code",)),
    "asked_unreleased": Genre(NATURAL, "asked", ("unreleased",)),
    "asked_order": Genre(NATURAL, "asked", ("order",)),
    "asked_staff": Genre(NATURAL, "asked", ("staff",)),
    "indirect": Genre(PLANTED, "indirect", (), "document"),
    "benign_shop": Genre(CHAT, "benign_chat"),
    "benign_ask": Genre(CHAT, "benign_ask"),
    "benign_hard": Genre(HARD, "benign_hard"),
    "benign_document": Genre(PAPER, "benign_document", (), "document"),
    "benign_tool": Genre(PAPER, "benign_tool", (), "tool"),
}


def languages() -> list[str]:
    """The languages that there are templates in."""
    return sorted(path.name for path in TEMPLATES.iterdir() if path.is_dir())


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


@cache
def slots(lang: str) -> dict[str, list[str]]:
    """What may stand in each slot of a language."""
    found = {}
    for line in _lines(TEMPLATES / lang / "slots.txt"):
        name, _, values = line.partition(":")
        found[name.strip()] = [value.strip() for value in values.split("|")]
    return found


@cache
def templates(lang: str) -> dict[str, list[str]]:
    """The lines of each genre of a language."""
    return {genre: _lines(TEMPLATES / lang / f"{genre}.txt") for genre in GENRES}


_HOST = re.compile(r"(?:[a-z0-9-]+\.)*(?:[a-z0-9-]+\.example|example\.(?:com|org|net))\b")
_SYLLABLES = "nor lin mar tel vor ka sol wen dal rim ost fel gra bo ti ra mun ver".split()
_ENDINGS = ("com", "net", "org", "de", "fr", "it", "es", "nl", "eu", "shop", "io", "co.uk", "pl", "com.br")


def hosts(text: str, rng: random.Random) -> str:
    """`text` with made-up names for hosts under ``example``: they are no mark of an attack, but of a text that was written to be shown."""
    return _HOST.sub(lambda _: "".join(rng.sample(_SYLLABLES, 3)) + "." + rng.choice(_ENDINGS), text)


def filled(template: str, lang: str, rng: random.Random) -> str:
    """`template` with a value in each slot and one of each choice. Raises `ValueError` for a slot that is not defined."""
    values = slots(lang)

    def value(match: re.Match[str]) -> str:
        if match[1] in values:
            return rng.choice(values[match[1]])
        if lang != "en":
            raise ValueError(f"{lang}: no slot {match[0]}: {template[:60]}")
        return match[0]

    text = _CHOICE.sub(lambda match: rng.choice(match[1].split("|")), template)
    text = _SLOT.sub(value, text)
    return re.sub(r"  +", " ", text.replace("\\n", "\n")).strip()


def made(template: str, genre: str, lang: str, rng: random.Random) -> Example:
    """An example from a template."""
    is_ = GENRES[genre]
    return example(
        filled(template, lang, rng), is_.answer, f"templates-{lang}", is_.kind, lang,
        asked=is_.asked, group=f"{lang}/{genre}/{template}", role=is_.role,
    )  # fmt: skip


def all_made(rng: random.Random, times: int = 1) -> list[Example]:
    """Every template filled `times` times, as far as slots make a difference."""
    found = []
    for lang in languages():
        for genre, lines in templates(lang).items():
            for template in lines:
                many = times if "{" in template or "[" in template else 1
                found += [made(template, genre, lang, rng) for _ in range(many)]
    return found
