"""What a plan comes to, row by row: what `firedoor check` shows a person and gives to scripts. Pure."""

from __future__ import annotations

from msgspec import Struct

from firedoor.core.minimise.handlings import Handlings
from firedoor.core.plan.jurisdictions import covered, expand
from firedoor.core.plan.lookup import JurisdictionTable
from firedoor.core.plan.model import (
    LABELS,
    MAY_OPEN,
    Fallback,
    Loaded,
    MessageFallback,
    PersonalDataRules,
    Plan,
    RefuseFallback,
    RulesFallback,
    SearchFallback,
)


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
    """A person. `may_open`: their signature counts towards opening a switch."""

    person: str
    name: str
    roles: tuple[str, ...]
    may_open: bool


class Overview(Struct, frozen=True):
    """The whole plan. `jurisdictions` maps each country or subdivision that is served to its region."""

    name: str
    digest: str
    regions: tuple[RegionRow, ...]
    surfaces: tuple[SurfaceRow, ...]
    people: tuple[PersonRow, ...]
    jurisdictions: dict[str, str]


def overview(loaded: Loaded) -> Overview:
    """The rows of a plan, in the order of the document."""
    plan = loaded.plan
    table = JurisdictionTable(plan)
    return Overview(
        plan.name,
        loaded.digest,
        tuple(_region(plan, name) for name in plan.regions),
        tuple(_surface(plan, *key) for key in _places(plan, table)),
        tuple(
            PersonRow(name, person.name, person.roles, bool(MAY_OPEN.intersection(person.roles)))
            for name, person in plan.people.items()
        ),
        {code: region for code, region in sorted(table.table.items()) if covered(code) == {code}},
    )


def _region(plan: Plan, name: str) -> RegionRow:
    region = plan.regions[name]
    models = tuple(instance for instance, model in plan.models.items() if model.region == name)
    return RegionRow(name, region.jurisdictions, region.address, region.listen, region.workers, models)


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
