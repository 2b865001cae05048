"""Checks of what a plan says of law: who is responsible where, which contracts set limits, what a severity comes to."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import get_args

from firedoor.core.plan.checks_response import exists, unknown_country, unknown_zone
from firedoor.core.plan.faults import Fault, Path, nearest, one_of, shown
from firedoor.core.plan.jurisdictions import EEA, GROUPS, country, covered
from firedoor.core.plan.model import Plan
from firedoor.core.plan.response import COMMON_OUTCOMES, Telling
from firedoor.core.plan.words import DAY
from firedoor.core.plan.zones import ZONES

MIN_CONTRACT, MAX_CONTRACT = 600, 366 * DAY
"""Seconds. Nobody can promise to tell in less than ten minutes; after a year it is no longer about an incident."""
_TELLS = get_args(Telling)


def places_of_law_exist(plan: Plan) -> Iterator[Fault]:
    """Establishments and the representative are in countries that there are, each of them one country."""
    for path, code in _places(plan):
        if code in GROUPS:
            remedy = "The authority is that of a country: name it."
            yield Fault(path, f"{code} is no country", remedy)
        elif not exists(code):
            yield unknown_country(path, code)


def the_seat_is_in_one_place(plan: Plan) -> Iterator[Fault]:
    """The main establishment is one of them and in the EEA, where it decides which authority leads (GDPR Art. 56)."""
    legal = plan.legal
    path: Path = ("legal", "main")
    if legal.main is not None and exists(legal.main) and legal.main not in GROUPS:
        if country(legal.main) not in covered("EEA"):
            remedy = "Remove it: a body outside the EEA has no main establishment there; see `representative`."
            yield Fault(path, f"{legal.main} is not in the EEA (as of {EEA.since})", remedy)
        if legal.establishments and country(legal.main) not in {country(code) for code in legal.establishments}:
            remedy = "The main establishment is one of them: add it there, or correct it."
            yield Fault(path, f"{legal.main} is not among `legal.establishments`", remedy)
    if legal.main is None and len([code for code in legal.establishments if _in_eea(code)]) > 1:
        remedy = "Say which of them is the main one: its authority leads (GDPR Art. 56)."
        yield Fault(path, "is missing: there are several establishments in the EEA", remedy)


def representatives_are_for_strangers(plan: Plan) -> Iterator[Fault]:
    """A representative (GDPR Art. 27) is in the EEA, and only for a body that has no establishment there."""
    legal = plan.legal
    path: Path = ("legal", "representative")
    if legal.representative is None or not exists(legal.representative):
        return
    if not _in_eea(legal.representative):
        remedy = "A representative under GDPR Art. 27 is in a member state where people concerned are."
        yield Fault(path, f"{legal.representative} is not in the EEA", remedy)
    if any(_in_eea(code) for code in (*legal.establishments, *([legal.main] if legal.main else []))):
        remedy = "GDPR Art. 27 is for those without one: remove it, or the establishment."
        yield Fault(path, "stands beside an establishment in the EEA", remedy)


def the_zone_is_known(plan: Plan) -> Iterator[Fault]:
    """Dates end in a time zone that there is."""
    if plan.legal.zone not in ZONES:
        yield unknown_zone(("legal", "zone"), plan.legal.zone)


def contracts_can_be_kept(plan: Plan) -> Iterator[Fault]:
    """Limits of contracts are neither seconds nor years, and for shops of the plan."""
    for name, contract in plan.legal.contracts.items():
        path: Path = ("legal", "contracts", name)
        if not MIN_CONTRACT <= contract.within <= MAX_CONTRACT:
            yield Fault((*path, "within"), f"{contract.within} is out of bounds", "From 10m to 366d.")
        for position, shop in enumerate(contract.shops):
            if shop not in plan.shops:
                remedy = f"{nearest(shop, plan.shops)}{one_of(plan.shops)}"
                yield Fault((*path, "shops", position), f"unknown shop {shown(shop)}", remedy)


def worse_tells_no_less(plan: Plan) -> Iterator[Fault]:
    """At a higher severity nobody is told less than at a lower one; without a word, common practice holds."""
    told = {**COMMON_OUTCOMES, **plan.legal.outcomes}
    for lower, higher in pairwise(told):
        if _TELLS.index(told[higher]) < _TELLS.index(told[lower]):
            where = higher if higher in plan.legal.outcomes else lower
            problem = f"{higher} tells less ({told[higher]}) than {lower} ({told[lower]})"
            yield Fault(("legal", "outcomes", where), problem, f"In this order: {', '.join(_TELLS)}.")


def _places(plan: Plan) -> Iterator[tuple[Path, str]]:
    legal = plan.legal
    for key, code in (("main", legal.main), ("representative", legal.representative)):
        if code is not None:
            yield ("legal", key), code
    for position, code in enumerate(legal.establishments):
        yield ("legal", "establishments", position), code


def _in_eea(code: str) -> bool:
    return country(code) in covered("EEA")
