"""What is true of invented exchanges, counted with sets from the arrays alone: nothing of what is measured is used."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from firedoor.bench.incident_index import COUNTRIES, LABELS, REGION, SHOPS, SURFACES, Invented
from firedoor.core.incident.affected import Affected, AskedFor

LONGEST = 900 * 1_000_000


class Asked(NamedTuple):
    """A question of the bench: by name, by shop and surface (None: all), and when."""

    name: str
    shop: str | None
    surface: str | None
    since: int
    until: int | None

    def asked_for(self) -> AskedFor:
        """As it is put."""
        scope = f"{REGION}/{self.shop or '*'}/{self.surface or '*'}/*"
        return AskedFor(region=REGION, scopes=(scope,), since=self.since, until=self.until)


def wrong(made: Invented, asked: Asked, found: Affected) -> list[str]:
    """The names of figures that are not what is true, or not in their range."""
    truth = _truth(made, asked)
    told = {
        "exchanges": found.exchanges,
        "exposed": found.exposed,
        "confirmed": found.confirmed,
        "subjects": found.subjects,
        **{f"in {name}": value for name, value in found.jurisdictions.items()},
        **{f"data {name}": value for name, value in found.categories.items()},
        **{f"whose {name}": value for name, value in found.subjects_by_category.items()},
    }
    return [name for name, value in truth.items() if (told[name].least, told[name].most) != value] + [
        name for name in told if name not in truth
    ]


def _truth(made: Invented, asked: Asked) -> dict[str, tuple[int, int]]:
    """By figure the least and the most that can be true."""
    asked_in = np.ones(made.size, bool)
    if asked.shop is not None:
        asked_in &= made.shop == SHOPS.index(asked.shop)
    if asked.surface is not None:
        asked_in &= made.surface == SURFACES.index(asked.surface)
    if asked.until is not None:
        asked_in &= made.began < asked.until
    no_end = made.outcome >= 5
    before = (made.began < asked.since) & (made.began >= asked.since - LONGEST)
    sure = asked_in & ((made.began >= asked.since) | (before & ~no_end & (made.last >= asked.since)))
    maybe = asked_in & before & no_end
    given = np.isin(made.outcome, (0, 1)) | (made.released > 0)
    every = sure | maybe
    leak = np.isin(made.rule, (1, 2))
    found = {
        "exchanges": (_count(sure), _count(every)),
        "exposed": (_count(sure & given), _count(every & (given | (no_end & (made.called > 0))))),
        "confirmed": (_count(sure & leak), _count(every & leak)),
        "subjects": _people(made, sure, every),
    }
    for number, name in enumerate(COUNTRIES):
        here = made.country == number
        if (every & here).any():
            found[f"in {name}"] = _people(made, sure & here, every & here)
    data = made.present | made.restored
    for number, name in enumerate(LABELS):
        has = data >> number & 1 == 1
        if (every & has).any():
            found[f"data {name}"] = _count(sure & has), _count(every & has)
            found[f"whose {name}"] = _people(made, sure & has, every & has)
    return found


def _count(some: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int:
    return int(some.sum())


def _people(
    made: Invented,
    sure: np.ndarray[tuple[int], np.dtype[np.bool_]],
    every: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> tuple[int, int]:
    """Distinct shoppers; each exchange that names none may be one more."""
    named = made.key >= 0
    known = set(made.subject_of_key[made.key[sure & named]].tolist())
    possible = set(made.subject_of_key[made.key[every & named]].tolist())
    return len(known), len(possible) + _count(every & ~named)
