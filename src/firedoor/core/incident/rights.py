"""Who may write what into a case, and who may see it. What is not allowed here is forbidden. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from firedoor.core.incident import entries as kinds
from firedoor.core.incident.case import Case
from firedoor.core.incident.entries import Payload, kind_of
from firedoor.core.plan.model import Plan
from firedoor.core.plan.words import ROLES
from firedoor.errors import ActRefused

_ALL: Final = frozenset(ROLES)
_LEAD: Final = frozenset({"incident_commander", "dpo"})
_LAW: Final = frozenset({"dpo", "legal"})

ALWAYS: Final = _LEAD
"""Roles that see every case: somebody must be able to say who may see it."""

MAY_WRITE: Final[dict[str, frozenset[str]]] = {
    **dict.fromkeys(("opened", "noted", "acknowledged", "tasked", "task_ended"), _ALL),
    **dict.fromkeys(
        ("assigned", "merged_into", "split_off", "handed_over", "resolved", "closed", "reopened", "restricted"), _LEAD
    ),
    "linked": _LEAD | {"soc_analyst", "platform_engineer"},
    "moment_set": _LEAD | _LAW | {"soc_analyst"},
    "scored": frozenset({"dpo"}),
    "decided": frozenset({"dpo"}),
    "submitted": _LAW,
    "waived": _LAW,
    "correction": _ALL,
}
"""By kind of entry. A correction takes a role that may write what is corrected (`MAY_CORRECT`)."""

MAY_CORRECT: Final[dict[str, frozenset[str]]] = {
    "findings": _LEAD | {"soc_analyst"},
    "counted": _LEAD,
}
"""Automatic entries that people may correct: a false alarm, a count that a person knows better."""

_SEEN_BY_ANALYSTS: Final = frozenset({"detected", "triaged", "occurred_from", "occurred_to"})
"""Moments that the log shows; all others are for whoever answers for the law."""


def may_write(kind: str, roles: Collection[str], event: str | None = None) -> bool:
    """Whether one of `roles` may write an entry of `kind`; of ``moment_set``, for `event`."""
    return not _allowed(kind, event).isdisjoint(roles)


def check_may_write(case: Case | None, payload: Payload, roles: Collection[str]) -> None:
    """Whether a person with `roles` may write `payload` into `case`. Raises `ActRefused` with ``role_missing``."""
    if not may_write(kind_of(payload), roles, _event(payload)):
        raise _missing(kind_of(payload), _event(payload))
    if not isinstance(payload, kinds.Correction) or case is None or payload.of > case.number:
        return
    target = case.entries[payload.of - 1].payload
    both = [target, case.said(payload.of)]
    if payload.instead is not None:
        both.append(kinds.decode_payload(payload.instead.encode()))
    for said in both:
        if said is not None and not _may_correct(said, roles):
            raise _missing(f"correction of {kind_of(said)}")


def may_see(case: Case, person: str | None, plan: Plan) -> bool:
    """Whether `person` of `plan` may see `case`; None is somebody who did not say who they are."""
    if case.restricted is None:
        return True
    known = plan.people.get(person) if person is not None else None
    if known is None:
        return False
    allowed = {*case.restricted.roles, *ALWAYS}
    return person in case.restricted.people or not allowed.isdisjoint(known.roles)


def check_people(payload: Payload, plan: Plan) -> None:
    """Whether the persons that an entry names are people of the plan, with the role it gives them.

    Raises `ActRefused`.
    """
    if isinstance(payload, kinds.Correction) and payload.instead is not None:
        check_people(kinds.decode_payload(payload.instead.encode()), plan)
    named: list[tuple[str, str | None]] = []
    if isinstance(payload, kinds.Assigned | kinds.Tasked) and payload.person is not None:
        named.append((payload.person, payload.role))
    elif isinstance(payload, kinds.Called):  # at last, somebody else than who holds the role is called for it
        named.append((payload.person, None))
    elif isinstance(payload, kinds.Restricted):
        named += [(person, None) for person in payload.people]
    for name, role in named:
        person = plan.people.get(name)
        if person is None:
            raise ActRefused("unknown_person", f"The plan this region runs has no person {name!r}.")
        if role is not None and role not in person.roles:
            raise ActRefused("role_missing", f"{name} is not {role} in the plan.")


def _may_correct(said: Payload, roles: Collection[str]) -> bool:
    kind = kind_of(said)
    if kind in MAY_CORRECT:
        return not MAY_CORRECT[kind].isdisjoint(roles)
    return kind != "correction" and may_write(kind, roles, _event(said))


def _event(payload: Payload) -> str | None:
    return payload.event if isinstance(payload, kinds.MomentSet) else None


def _allowed(kind: str, event: str | None) -> frozenset[str]:
    if kind == "moment_set" and event is not None and event not in _SEEN_BY_ANALYSTS:
        return _LEAD | _LAW
    return MAY_WRITE.get(kind, frozenset())


def _missing(what: str, event: str | None = None) -> ActRefused:
    allowed = _allowed(what, event)
    what = what if event is None else f"{what} {event}"
    remedy = f"It takes one of: {', '.join(sorted(allowed))}." if allowed and allowed != _ALL else ""
    return ActRefused("role_missing", f"No role of yours may write this into a case: {what}.", remedy=remedy)
