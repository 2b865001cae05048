"""Checks of the people of a plan: every role is held, two can open a switch, nobody uses another's key."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

from firedoor.core.plan.faults import Fault
from firedoor.core.plan.model import MAY_OPEN, Plan
from firedoor.core.plan.words import ROLES, Role

STARTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ana": ("Ana Example", ("incident_commander", "platform_engineer")),
    "ben": ("Ben Example", ("ai_engineer", "soc_analyst")),
    "cleo": ("Cleo Example", ("dpo", "communications", "legal")),
}
"""Three invented people who together hold every role: remedies, the starter plan and `firedoor init` name them."""


def command(person: str, name: str, *roles: str) -> str:
    """The command that adds a person: what a remedy tells its reader to run."""
    return " ".join(["firedoor people add", person, f'--name "{name}"', *(f"--role {role}" for role in roles)])


def roles_are_held(plan: Plan) -> Iterator[Fault]:
    """In an incident each role is asked for by name; one person may hold several."""
    held = {role for person in plan.people.values() for role in person.roles}
    for role in ROLES:
        if role not in held:
            yield Fault(("people",), f"nobody holds the role {role}", _who_could(plan, role, held))
    for name, person in plan.people.items():
        if not person.roles:
            yield Fault(("people", name, "roles"), "is empty", f"Roles are {', '.join(ROLES)}.")


def _who_could(plan: Plan, role: str, held: set[Role]) -> str:
    person_id, (name, roles) = next((key, person) for key, person in STARTERS.items() if role in person[1])
    if person_id in plan.people:
        return f"Add {role} to the `roles` of somebody here, or a person with that role by `firedoor people add`."
    return f"Run: {command(person_id, name, *(other for other in roles if other not in held))}"


def two_can_open(plan: Plan) -> Iterator[Fault]:
    """Opening a switch needs two people with different keys; with fewer, what is shut stays shut."""
    keys = {key_bytes(person.key) for person in plan.people.values() if MAY_OPEN.intersection(person.roles)}
    if len(keys) < 2:
        remedy = f"Two people, each with a key of their own, hold one of {', '.join(sorted(MAY_OPEN))}."
        yield Fault(("people",), "fewer than two people may open a switch", remedy)


def keys_differ(plan: Plan) -> Iterator[Fault]:
    """A key is one person's: a signature must say who signed."""
    owners: dict[bytes, str] = {}
    for name, person in plan.people.items():
        key = key_bytes(person.key)
        rival = owners.setdefault(key, name)
        if rival != name:
            yield Fault(
                ("people", name, "key"), f"is the key of {rival}", f"Run `firedoor people add` for {name} anew."
            )


def key_bytes(key: str) -> bytes:
    """The 32 bytes behind ``ed25519:…``: two spellings of one key are one key."""
    encoded = key.partition(":")[2]
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return encoded.encode()
