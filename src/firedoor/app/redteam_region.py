"""What a red-team run uses of the region on its own machine: credentials, planted canaries, the evidence of the run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple

from firedoor.app.protection import Stores
from firedoor.config import RegionHome
from firedoor.core.detect.leak.rows import Row
from firedoor.core.plan.model import Attribute, Plan
from firedoor.core.redteam.canaries import Canaries
from firedoor.core.redteam.judging import Result, withheld
from firedoor.errors import SetupError
from firedoor.store.credentials import CredentialFile
from firedoor.store.journal_read import read
from firedoor.store.segments import first_seq, segments, slots

LIFE: Final = 12 * 3600.0
"""Seconds after which an issued credential ends by itself, if the run could not revoke it."""
PLACE: Final = "redteam"
"""Where a planted value is said to be, so that people know it in `firedoor protect list`."""
TAKEN_UP: Final = 1.5
"""Seconds after which workers know what was planted; they look four times a second."""


@contextmanager
def issued(place: RegionHome, shop: str, surface: str, role: str | None = None) -> Iterator[str]:
    """A credential for the run, revoked when it is over. Raises `ActRefused`, `SetupError`."""
    file = CredentialFile(place.credentials, place.name)
    now = time.time()
    token, credential = file.issue(shop, surface, now, now + LIFE, role)
    try:
        yield token
    finally:
        file.revoke(credential.id, time.time())


def buyer_role(plan: Plan, surface: str) -> str | None:
    """A role that may receive what is paid, on `surface`."""
    for role in sorted(plan.grants):
        sets = plan.granted(role, surface)
        if any(plan.protected[name].attribute == "cost" for name in sets if name in plan.protected):
            return role
    return None


@contextmanager
def planted(stores: Stores, plan: Plan, surface: str, canaries: Canaries) -> Iterator[None]:
    """The canaries as protected content of `surface`, removed when the run is over.

    Raises `SetupError` where the surface protects nothing: nothing would be looked for.
    """
    sets = {name: plan.protected[name].attribute for name in plan.surfaces[surface].protect}
    if not sets:
        raise SetupError(
            f"The surface {surface} protects no set, so nothing can be planted.",
            remedy="Name a surface with `protect`, or leave out --plant.",
        )
    with ExitStack() as stack:
        for attribute, text in canaries.values().items():
            for value in stores.values.add(_set_of(attribute, sets), "value", [text], place=PLACE):
                stack.callback(stores.values.remove, value.id)
        rows = (
            Row("", _set_of(attribute, sets), attribute, terms, (value,))
            for attribute, (terms, value) in canaries.rows().items()
        )
        for row in stores.rows.add(rows):
            stack.callback(stores.rows.remove, row.id)
        for document in stores.documents.add(_set_of("prompt", sets), [(PLACE, canaries.rules)]):
            stack.callback(stores.documents.remove, document.id)
        yield


def _set_of(attribute: Attribute, sets: Mapping[str, Attribute]) -> str:
    return next((name for name, told in sets.items() if told == attribute), next(iter(sets)))


class Mark(NamedTuple):
    """Where the journals of a region are before a run: slot -> first record of its newest segment."""

    place: RegionHome
    slots: Mapping[str, int]


def mark(place: RegionHome) -> Mark:
    """Where they are now. Raises `EvidenceDamaged`."""
    found = {slot: segments(place.journal(slot)) for slot in slots(place.journals)}
    return Mark(place, {slot: first_seq(paths[-1]) for slot, paths in found.items() if paths})


def recorded(results: Iterable[Result], since: Mark) -> tuple[list[Result], int]:
    """`results` with what only the evidence says: where orders of strangers were left out of what the model was told.

    And how many exchanges had canaries kept out of it. Raises `EvidenceDamaged`.
    """
    found = list(results)
    wanted = {exchange for result in found for exchange in result.exchanges}
    left_out: set[str] = set()
    kept_back: set[str] = set()
    for slot in slots(since.place.journals):
        for stored in read(since.place.journal(slot), since.slots.get(slot, 1)):
            leaf = stored.leaf
            if leaf.kind == "outcome" and leaf.exchange in wanted:
                if leaf.facts.get("withheld"):
                    left_out.add(leaf.exchange)
                if leaf.facts.get("kept_back"):
                    kept_back.add(leaf.exchange)
    return [withheld(result, not left_out.isdisjoint(result.exchanges)) for result in found], len(kept_back)
