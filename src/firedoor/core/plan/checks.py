"""What must hold in a plan beyond the shape of its values. One small function per rule, all of them in `CHECKS`.

Each yields the faults that it finds; none raises, whatever names and numbers the plan holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from firedoor.core.plan import (
    checks_answers,
    checks_data,
    checks_fallback,
    checks_legal,
    checks_models,
    checks_people,
    checks_personal,
    checks_response,
)
from firedoor.core.plan.faults import Fault, Path, nearest, one_of, shown
from firedoor.core.plan.jurisdictions import COMMON_MISTAKES, COUNTRIES, GROUPS, country, expand
from firedoor.core.plan.lookup import JurisdictionTable
from firedoor.core.plan.model import Plan

MIN_DEADLINE, MAX_DEADLINE = 0.05, 120.0
"""Seconds. Below 50 ms no model answers; above two minutes no shopper waits, and proxies have hung up."""
MAX_STREAM = 600.0
"""Seconds. A stream may outlive the deadline of its first byte, but not by more than anybody reads."""
MIN_LEASE, MAX_LEASE = 0.5, 60.0
"""Seconds. The switch table is refreshed several times a second, so a shorter lease would end in a garbage collection;
a longer one would let AI run for more than a minute with nobody able to shut it."""


GLOBAL_LEASE = 10.0, 86_400.0
"""Seconds. The link between regions may be slow and short of messages; a day without it means that it is gone."""
MIN_BEAT, MAX_BEAT = 0.05, 5.0
"""Seconds. Each beat costs every host a signature to check; a slower one would make the shortest lease impossible."""
BEATS = 4
"""Beats in a lease: three may be lost or late, and AI still runs."""


class Check(NamedTuple):
    """A rule, and the sections of the plan that it reads."""

    reads: frozenset[str]
    run: Callable[[Plan], Iterator[Fault]]


def sections_are_filled(plan: Plan) -> Iterator[Fault]:
    """A plan without a region, a shop or a surface protects nothing."""
    for section in ("regions", "shops", "surfaces"):
        if not getattr(plan, section):
            yield Fault((section,), "holds nothing", "A plan has at least one region, one shop and one surface.")


def countries_exist(plan: Plan) -> Iterator[Fault]:
    """A code that ISO 3166-1 does not have would never match a shopper."""
    for path, code in _jurisdictions(plan):
        if code not in GROUPS and country(code) not in COUNTRIES:
            mistake = COMMON_MISTAKES.get(country(code))
            remedy = f"Did you mean {mistake}?" if mistake else "Use the two letters of ISO 3166-1, EU or EEA."
            yield Fault(path, f"{code} is no country of ISO 3166-1", remedy)


def jurisdictions_have_one_region(plan: Plan) -> Iterator[Fault]:
    """A jurisdiction is listed once, and no two regions reach a country through groups."""
    listed: dict[str, str] = {}
    for name, region in plan.regions.items():
        if not region.jurisdictions:
            yield Fault(("regions", name, "jurisdictions"), "is empty", "A region serves at least one jurisdiction.")
        for position, code in enumerate(region.jurisdictions):
            path: Path = ("regions", name, "jurisdictions", position)
            if code in listed:
                yield Fault(
                    path, f"{code} is already listed by region {listed[code]}", "A jurisdiction has one region."
                )
            listed.setdefault(code, name)
            for group in GROUPS:
                if code in GROUPS and group != code and listed.get(group, name) != name:
                    problem = f"{code} and {group} share members, and region {listed[group]} lists {group}"
                    yield Fault(path, problem, "List both in one region, or name the countries.")


def ports_differ(plan: Plan) -> Iterator[Fault]:
    """Two regions never bind one port of one address; a wildcard address is every address."""
    bound: dict[int, list[tuple[str, str]]] = {}
    for name, region in plan.regions.items():
        path: Path = ("regions", name, "listen")
        host, _, digits = region.listen.rpartition(":")
        port = int(digits)
        if not 1 <= port <= 65_535:
            yield Fault(path, f"{port} is no port", "Ports go from 1 to 65535.")
        for rival, rival_host in bound.get(port, ()):
            if host == rival_host or {host, rival_host} & {"0.0.0.0", "*"}:
                yield Fault(path, f"port {port} is already bound by region {rival}", "Give each region its own port.")
        bound.setdefault(port, []).append((name, host))


def shops_are_served(plan: Plan) -> Iterator[Fault]:
    """Wherever a shop is at home or sells, some region serves."""
    table = JurisdictionTable(plan)
    remedy = "Add the jurisdiction to a region, or take it from the shop."
    for path, code in _shop_jurisdictions(plan):
        if table.region_of(code) is not None:
            continue
        missing = sorted(member for member in expand(code) if table.region_of(member) is None)
        if missing == [code]:
            yield Fault(path, f"no region serves {code}", remedy)
        elif missing:
            yield Fault(path, f"no region serves {', '.join(missing)} of {code}", remedy)
        elif path[-1] == "home":
            yield Fault(path, f"several regions share {code}", "Name one country as the shop's home.")


def models_live_in_known_regions(plan: Plan) -> Iterator[Fault]:
    """A model instance is in a region of this plan."""
    for name, model in plan.models.items():
        if model.region not in plan.regions:
            yield _unknown(("models", name, "region"), "region", model.region, plan.regions)


def engines_are_complete(plan: Plan) -> Iterator[Fault]:
    """Each engine has what it needs and nothing that it would ignore."""
    for name, model in plan.models.items():
        path: Path = ("models", name)
        if model.engine == "openai" and model.url is None:
            yield Fault(
                (*path, "url"),
                "is missing: engine openai calls a URL",
                "Write for example `url: http://127.0.0.1:8000`.",
            )
        if model.engine == "scripted" and model.script is None:
            yield Fault((*path, "script"), "is missing: engine scripted plays a file", "Write `script: FILE`.")
        if model.engine != "openai" and model.url is not None:
            problem = f"engine {model.engine} has no URL: Firedoor starts that server itself"
            yield Fault((*path, "url"), problem, "Remove it, or write `engine: openai`.")
        if not model.serves:
            yield Fault((*path, "serves"), "is empty", "Write chat, embeddings or both.")


def urls_hold_no_passwords(plan: Plan) -> Iterator[Fault]:
    """The plan crosses between regions and stands in evidence, so it holds no secret."""
    urls: list[tuple[Path, str | None]] = [(("models", name, "url"), model.url) for name, model in plan.models.items()]
    urls += [(("regions", name, "address"), region.address) for name, region in plan.regions.items()]
    for path, url in urls:
        if url is not None and "@" in url.partition("://")[2].partition("/")[0]:
            yield Fault(
                path,
                "holds a user name or password",
                "Remove them; a model server's key goes in a file that `api_key_file` names.",
            )


def surfaces_have_models(plan: Plan) -> Iterator[Fault]:
    """Each surface has a model instance somewhere, in the region it says, that does what the surface asks of it."""
    for name, surface in plan.surfaces.items():
        if not surface.models and not surface.embeddings:
            remedy = "Name one: `models: {eu: eu-chat}`."
            yield Fault(("surfaces", name, "models"), "has no model instance in any region", remedy)
        for key, use, chosen in (("models", "chat", surface.models), ("embeddings", "embeddings", surface.embeddings)):
            for region, instance in chosen.items():
                yield from _instance(plan, ("surfaces", name, key, region), use, region, instance)


def _instance(plan: Plan, path: Path, use: str, region: str, instance: str) -> Iterator[Fault]:
    if region not in plan.regions:
        yield _unknown(path, "region", region, plan.regions)
    model = plan.models.get(instance)
    if model is None:
        yield _unknown(path, "model instance", instance, plan.models)
        return
    if model.region != region:
        problem = f"model instance {instance} is in region {model.region}, not {region}"
        yield Fault(path, problem, "Content stays in its region: name a model instance of this one.")
    if model.serves and use not in model.serves:
        problem = f"model instance {instance} does not serve {use}"
        yield Fault(path, problem, f"Add `{use}` to its `serves` if the server can do it.")


def surfaces_name_known_things(plan: Plan) -> Iterator[Fault]:
    """Shops and protected sets that a surface names are declared."""
    for name, surface in plan.surfaces.items():
        for position, shop in enumerate(surface.shops):
            if shop not in plan.shops:
                yield _unknown(("surfaces", name, "shops", position), "shop", shop, plan.shops)
        for position, protected in enumerate(surface.protect):
            if protected not in plan.protected:
                yield _unknown(("surfaces", name, "protect", position), "protected set", protected, plan.protected)


def times_are_sane(plan: Plan) -> Iterator[Fault]:
    """Deadlines and leases lie where they can be kept and still mean something."""
    for name, surface in plan.surfaces.items():
        bounds = (
            ("deadline", surface.deadline, MIN_DEADLINE, MAX_DEADLINE),
            ("stream_deadline", surface.stream_deadline, min(surface.deadline, MAX_DEADLINE), MAX_STREAM),
            ("lease", surface.lease, MIN_LEASE, MAX_LEASE),
            *([] if surface.global_lease is None else [("global_lease", surface.global_lease, *GLOBAL_LEASE)]),
        )
        for key, value, least, most in bounds:
            if not least <= value <= most:
                problem = f"{value} is out of bounds"
                span = f"From {_seconds(least)} to {_seconds(most)}"
                remedy = f"{span}; not less than the deadline." if key == "stream_deadline" else f"{span}."
                yield Fault(("surfaces", name, key), problem, remedy)


def switches_are_told_in_time(plan: Plan) -> Iterator[Fault]:
    """Several beats fit into each lease; the region that keeps the switches of all is one of the plan's."""
    rules = plan.switches
    if not MIN_BEAT <= rules.beat <= MAX_BEAT:
        span = f"From {_seconds(MIN_BEAT)} to {_seconds(MAX_BEAT)}."
        yield Fault(("switches", "beat"), f"{rules.beat} is out of bounds", span)
    for name, surface in plan.surfaces.items():
        if MIN_LEASE <= surface.lease < BEATS * rules.beat:  # else it is out of bounds anyway
            least = f"A lease is at least {BEATS} beats ({rules.beat} each): a lost message must not stop AI."
            yield Fault(("surfaces", name, "lease"), f"{surface.lease} is too short", least)
        if surface.global_lease is not None and rules.home is None:
            nobody = "Name the region that keeps the switches of all regions: switches.home."
            yield Fault(("surfaces", name, "global_lease"), "waits for a table that nobody says", nobody)
    if rules.home is not None and rules.home not in plan.regions:
        yield _unknown(("switches", "home"), "region", rules.home, plan.regions)


def _seconds(value: float) -> str:
    return f"{value:g}s" if value >= 1 else f"{value * 1000:g}ms"


def _jurisdictions(plan: Plan) -> Iterator[tuple[Path, str]]:
    for name, region in plan.regions.items():
        for position, code in enumerate(region.jurisdictions):
            yield ("regions", name, "jurisdictions", position), code
    yield from _shop_jurisdictions(plan)


def _shop_jurisdictions(plan: Plan) -> Iterator[tuple[Path, str]]:
    for name, shop in plan.shops.items():
        yield ("shops", name, "home"), shop.home
        for position, code in enumerate(shop.sells_to):
            yield ("shops", name, "sells_to", position), code


def _unknown(path: Path, kind: str, name: str, known: Mapping[str, object]) -> Fault:
    return Fault(path, f"unknown {kind} {shown(name)}", f"{nearest(name, known)}{one_of(known)}")


def _check(run: Callable[[Plan], Iterator[Fault]], *reads: str) -> Check:
    return Check(frozenset(reads), run)


CHECKS: tuple[Check, ...] = (
    _check(sections_are_filled, "regions", "shops", "surfaces"),
    _check(countries_exist, "regions", "shops"),
    _check(jurisdictions_have_one_region, "regions"),
    _check(ports_differ, "regions"),
    _check(shops_are_served, "regions", "shops"),
    _check(models_live_in_known_regions, "models", "regions"),
    _check(engines_are_complete, "models"),
    _check(urls_hold_no_passwords, "models", "regions"),
    _check(surfaces_have_models, "surfaces", "models", "regions"),
    _check(surfaces_name_known_things, "surfaces", "shops", "protected"),
    _check(times_are_sane, "surfaces"),
    _check(switches_are_told_in_time, "switches", "surfaces", "regions"),
    _check(checks_fallback.checkout_decides_by_rules, "surfaces"),
    _check(checks_fallback.search_has_a_catalogue, "surfaces", "shops"),
    _check(checks_fallback.languages_have_texts, "surfaces"),
    _check(checks_fallback.rules_can_be_computed, "surfaces"),
    _check(checks_personal.cards_never_pass, "surfaces"),
    _check(checks_personal.field_rules_can_be_looked_up, "surfaces"),
    _check(checks_personal.field_rules_say_something, "surfaces"),
    _check(checks_answers.decisions_are_never_cached, "surfaces"),
    _check(checks_answers.cached_answers_grow_old, "surfaces"),
    _check(checks_answers.slowed_sessions_are_answered, "surfaces"),
    _check(checks_answers.decisions_have_no_holes, "surfaces"),
    _check(checks_answers.embeddings_are_no_texts, "surfaces"),
    _check(checks_answers.grants_name_known_things, "grants", "protected", "surfaces"),
    _check(checks_answers.models_can_be_watched, "models"),
    _check(checks_models.breakers_can_work, "models"),
    _check(checks_people.roles_are_held, "people"),
    _check(checks_people.two_can_open, "people"),
    _check(checks_people.keys_differ, "people"),
    _check(checks_data.datasets_live_in_known_regions, "datasets", "regions"),
    _check(checks_data.datasets_are_sealed, "datasets"),
    _check(checks_data.datasets_lie_in_one_place, "datasets"),
    _check(checks_data.data_and_keys_stay_home, "datasets", "regions"),
    _check(checks_data.places_exist, "datasets", "regions", "evidence"),
    _check(checks_data.sealed_weights_can_be_opened, "models"),
    _check(checks_data.witnesses_have_their_ports, "regions"),
    _check(checks_data.quorums_can_be_met, "evidence", "regions"),
    _check(checks_data.times_at_rest_are_sane, "regions", "surfaces", "evidence"),
    _check(checks_data.servers_hold_no_passwords, "regions", "datasets", "evidence"),
    _check(checks_response.duties_name_holders, "duties", "people"),
    _check(checks_response.roles_can_be_called, "people", "incidents"),
    _check(checks_response.shifts_are_sane, "duties"),
    _check(checks_response.opens_name_known_findings, "incidents"),
    _check(checks_response.nobody_shuts_by_typing, "incidents"),
    _check(checks_response.incident_times_are_sane, "incidents"),
    _check(checks_response.systems_are_complete, "incidents", "regions"),
    _check(checks_response.systems_stand_in_served_places, "incidents", "regions"),
    _check(checks_response.hooks_have_their_ports, "regions", "incidents"),
    _check(checks_legal.places_of_law_exist, "legal"),
    _check(checks_legal.the_seat_is_in_one_place, "legal"),
    _check(checks_legal.representatives_are_for_strangers, "legal"),
    _check(checks_legal.the_zone_is_known, "legal"),
    _check(checks_legal.contracts_can_be_kept, "legal", "shops"),
    _check(checks_legal.worse_tells_no_less, "legal"),
)
"""Every check, in the order of the sections of a plan."""
