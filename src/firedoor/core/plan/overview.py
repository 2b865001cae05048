"""What a plan comes to, row by row: what `firedoor check` shows a person and gives to scripts. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from msgspec import Struct, structs

from firedoor.core.incident.hooks import carriers
from firedoor.core.minimise.handlings import Handlings
from firedoor.core.plan.jurisdictions import covered, expand
from firedoor.core.plan.lookup import JurisdictionTable
from firedoor.core.plan.model import (
    LABELS,
    MAY_OPEN,
    Fallback,
    Loaded,
    MessageFallback,
    Person,
    PersonalDataRules,
    Plan,
    RefuseFallback,
    RulesFallback,
    SearchFallback,
)
from firedoor.core.plan.response import Duty, Legal, OpensRule, OtherSystem, Shift, Weekday
from firedoor.core.plan.words import ROLES, Role


class RegionRow(Struct, frozen=True):
    """A region and the model instances in it."""

    region: str
    jurisdictions: tuple[str, ...]
    address: str
    listen: str
    workers: int
    models: tuple[str, ...]


class SurfaceRow(Struct, frozen=True):
    """A surface of a shop in a region. No `model`: the fallback always answers there. Times are in seconds."""

    shop: str
    surface: str
    region: str
    model: str | None
    embeddings: str | None
    deadline: float
    stream_deadline: float
    lease: float
    fallback: str
    personal_data: str
    protect: tuple[str, ...]


class PersonRow(Struct, frozen=True):
    """A person. `may_open`: their signature counts towards opening a switch. `reached_by`: mail, phone, chat."""

    person: str
    name: str
    roles: tuple[str, ...]
    may_open: bool
    reached_by: tuple[str, ...]


class DutyRow(Struct, frozen=True):
    """Who is called for a role: `shifts` in turns, then the others in their order."""

    role: str
    shifts: tuple[str, ...]
    then: tuple[str, ...]


class OpensRow(Struct, frozen=True):
    """Findings that open a case, and what then happens by itself."""

    findings: tuple[str, ...]
    verdicts: tuple[str, ...]
    often: str
    then: tuple[str, ...]
    seen_by: tuple[str, ...]


class SystemRow(Struct, frozen=True):
    """Another system: what it is told of, where it stands, whether it may open cases."""

    system: str
    told: str
    jurisdiction: str | None
    opens: bool


class LegalRow(Struct, frozen=True):
    """A fact of law and its value, where the plan gives one."""

    what: str
    value: str


class Overview(Struct, frozen=True):
    """The whole plan. `jurisdictions` maps each country or subdivision that is served to its region, `not_called` are
    regions in which nobody is reached when called: no system is told of calls there.
    """

    name: str
    digest: str
    regions: tuple[RegionRow, ...]
    surfaces: tuple[SurfaceRow, ...]
    people: tuple[PersonRow, ...]
    duties: tuple[DutyRow, ...]
    opens: tuple[OpensRow, ...]
    systems: tuple[SystemRow, ...]
    legal: tuple[LegalRow, ...]
    jurisdictions: dict[str, str]
    not_called: tuple[str, ...]


def overview(loaded: Loaded) -> Overview:
    """The rows of a plan, in the order of the document."""
    plan = loaded.plan
    table = JurisdictionTable(plan)
    return Overview(
        plan.name,
        loaded.digest,
        tuple(_region(plan, name) for name in plan.regions),
        tuple(_surface(plan, *key) for key in _places(plan, table)),
        tuple(_person(name, person) for name, person in plan.people.items()),
        tuple(_duty(plan, role) for role in ROLES),
        tuple(_opens(rule) for rule in plan.incidents.opens),
        tuple(_system(name, system) for name, system in plan.incidents.systems.items()),
        tuple(_legal(plan.legal)),
        {code: region for code, region in sorted(table.table.items()) if covered(code) == {code}},
        tuple(name for name in plan.regions if not carriers(plan, name)),
    )


def _region(plan: Plan, name: str) -> RegionRow:
    region = plan.regions[name]
    models = tuple(instance for instance, model in plan.models.items() if model.region == name)
    return RegionRow(name, region.jurisdictions, region.address, region.listen, region.workers, models)


def _person(name: str, person: Person) -> PersonRow:
    contacts = person.contacts
    ways = {"mail": contacts.mail, "phone": contacts.phone, "chat": contacts.chat}
    reached_by = tuple(way for way, there in ways.items() if there is not None)
    return PersonRow(name, person.name, person.roles, bool(MAY_OPEN.intersection(person.roles)), reached_by)


def _duty(plan: Plan, role: Role) -> DutyRow:
    """As `core.incident.oncall` calls them: shifts, primary, deputy, everybody with the role."""
    duty = plan.duties.get(role, Duty())
    named = [name for name in (duty.primary, duty.deputy) if name is not None]
    holders = [name for name, person in plan.people.items() if role in person.roles]
    return DutyRow(role, tuple(_shift(shift) for shift in duty.shifts), tuple(dict.fromkeys([*named, *holders])))


def _shift(shift: Shift) -> str:
    first, last = shift.hours.split("-")
    hours = "all day" if first == last else shift.hours
    days = "" if len(shift.days) == len(get_args(Weekday)) else f" {' '.join(shift.days)}"
    return f"{', '.join(shift.people)} for {shift.every} each{days} {hours} {shift.zone}"


def _opens(rule: OpensRule) -> OpensRow:
    often = f"{rule.count} within {rule.within}" if rule.count > 1 else "one"
    then = (*(("shut",) if rule.shut else ()), *(f"purge {what}" for what in rule.purge))
    return OpensRow(rule.findings, rule.verdicts, often, then, rule.restricted)


def _system(name: str, system: OtherSystem) -> SystemRow:
    told = "nothing" if system.webhook is None else "calls" if system.events == "calls" else "all"
    return SystemRow(name, told, system.jurisdiction, system.opens)


def _legal(legal: Legal) -> Iterator[LegalRow]:
    """What differs from its default, and the zone."""
    for field in structs.fields(legal):
        value = getattr(legal, field.name)
        if field.name == "contracts":
            for name, contract in legal.contracts.items():
                yield LegalRow(f"contract {name}", f"{contract.to}: within {contract.within} of {contract.starts}")
        elif field.name == "zone" or value not in (field.default, {}):
            yield LegalRow(field.name, _said(value))


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _places(plan: Plan, table: JurisdictionTable) -> list[tuple[str, str, str]]:
    """Shop, surface and region, for every region that a shop's shoppers can come to."""
    places = []
    for shop_name, shop in plan.shops.items():
        countries = {member for code in (shop.home, *shop.sells_to) for member in expand(code)}
        reached = {table.region_of(code) for code in countries}
        for surface in plan.surfaces:
            if plan.serves(surface, shop_name):
                places += [(shop_name, surface, region) for region in plan.regions if region in reached]
    return places


def _surface(plan: Plan, shop: str, name: str, region: str) -> SurfaceRow:
    surface = plan.surfaces[name]
    return SurfaceRow(
        shop,
        name,
        region,
        surface.models.get(region),
        surface.embeddings.get(region),
        float(surface.deadline),
        float(surface.stream_deadline),
        float(surface.lease),
        _fallback(surface.fallback),
        _personal_data(surface.personal_data),
        surface.protect,
    )


def _fallback(fallback: Fallback) -> str:
    match fallback:
        case MessageFallback():
            return f"message ({', '.join(fallback.text)})"
        case SearchFallback():
            return f"search ({', '.join(fallback.text)}; {fallback.hits} hits)"
        case RulesFallback():
            return f"rules ({len(fallback.rules)}; review {fallback.review:g}, block {fallback.block:g})"
        case RefuseFallback():
            return "refuse"


def _personal_data(rules: PersonalDataRules) -> str:
    """What becomes of most kinds of data, then those that are handled otherwise: ``pass; mask EMAIL, IBAN``."""
    handlings = Handlings(rules)
    by_handling: dict[str, list[str]] = {}
    for label in LABELS:
        by_handling.setdefault(handlings.of(label), []).append(label)
    words: list[str] = [rules.default]
    words += [
        f"{handling} {', '.join(labels)}" for handling, labels in by_handling.items() if handling != rules.default
    ]
    if rules.fields:
        words.append(f"{len(rules.fields)} rules for fields")
    if rules.deep != "off":
        words.append(f"deep {rules.deep}")
    if rules.answers != "record":
        words.append(f"answers {rules.answers}")
    if rules.mode == "shadow":
        words.append("shadow: only recorded")
    return "; ".join(words)
