"""Checks of what a plan says of an incident: who is called, what opens a case, which other systems are told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from firedoor.core.plan.checks_data import address_of
from firedoor.core.plan.faults import Fault, Path, nearest, one_of, shown
from firedoor.core.plan.jurisdictions import COMMON_MISTAKES, COUNTRIES, GROUPS, country
from firedoor.core.plan.lookup import JurisdictionTable
from firedoor.core.plan.model import Plan
from firedoor.core.plan.response import Contacts, Duty, Hours, OtherSystem, Shift
from firedoor.core.plan.words import DAY, ROLES, Role
from firedoor.core.plan.zones import ZONES
from firedoor.core.taxonomy import IDS

ANY_RULE = "any"
INPUT_RULES = frozenset({"prompt_attack", "indirect_attack", "asked_attribute", "session_refused"})
"""Findings on what somebody typed or planted. They shut nothing: else anybody could shut a shop's AI by typing."""
INPUT_VERDICTS = frozenset({"record", "withhold", "fallback", "refuse"})
"""Verdicts that a finding on an input may have."""
SHORT_TURN, LONG_TURN = 3600, 92 * DAY
"""Seconds. Turns shorter than the hour that clocks are moved by are no turns; who has a quarter is primary."""
FIRST_YEAR, LAST_YEAR = 2000, 2100
MIN_ANSWER, MAX_ANSWER = 60, DAY
"""Seconds to answer a call: in less nobody finds a screen; after a day a third of the 72 hours of the GDPR is over."""
MIN_FOLD, MAX_FOLD = 60, 30 * DAY
"""Seconds. Findings a minute apart are one incident; what comes a month later is looked at anew."""
MIN_LOOKBACK, MAX_LOOKBACK = 60, 366 * DAY
"""Seconds. A leak was there before it was seen; further back than a year there are no exchanges to count."""
MIN_WITHIN, MAX_WITHIN = 1, 7 * DAY
"""Seconds in which findings are counted together: they are kept in memory until then."""


# --- who is called ----------------------------------------------------------------------------------------------------


def duties_name_holders(plan: Plan) -> Iterator[Fault]:
    """Who is on duty for a role holds it: rights follow roles, and who is called must be able to act."""
    for role, duty in plan.duties.items():
        for path, name in _on_duty(role, duty):
            person = plan.people.get(name)
            if person is None:
                yield Fault(path, f"unknown person {shown(name)}", f"{nearest(name, plan.people)}{one_of(plan.people)}")
            elif role not in person.roles:
                holders = [other for other, one in plan.people.items() if role in one.roles]
                remedy = f"Add {role} to the `roles` of {name}, or name who holds it. {one_of(holders)}"
                yield Fault(path, f"{name} does not hold the role {role}", remedy)
        if duty.primary is not None and duty.primary == duty.deputy:
            remedy = "A deputy is called when the primary does not answer: name somebody else, or nobody."
            yield Fault(("duties", role, "deputy"), f"{duty.deputy} is the primary, too", remedy)


def roles_can_be_called(plan: Plan) -> Iterator[Fault]:
    """Once contacts are written down, they reach somebody for every role; or a pager that is told of calls does."""
    if not any(_reachable(person.contacts) for person in plan.people.values()):
        return
    if any(system.webhook is not None for system in plan.incidents.systems.values()):
        return
    for role in ROLES:
        holders = [name for name, person in plan.people.items() if role in person.roles]
        if holders and not any(_reachable(plan.people[name].contacts) for name in holders):
            remedy = f"Write `contacts` of one of them ({', '.join(holders)}), or a pager: incidents.systems."
            yield Fault(("people",), f"nobody who holds the role {role} can be called", remedy)


def shifts_are_sane(plan: Plan) -> Iterator[Fault]:
    """Dates and hours exist, zones are known, turns are neither minutes nor years."""
    for role, duty in plan.duties.items():
        for position, shift in enumerate(duty.shifts):
            path: Path = ("duties", role, "shifts", position)
            yield from _shift(path, shift)


def _shift(path: Path, shift: Shift) -> Iterator[Fault]:
    if not _is_date(shift.first):
        remedy = f"Write a day of the years {FIRST_YEAR} to {LAST_YEAR}: 2026-11-23."
        yield Fault((*path, "first"), f"{shown(shift.first)} is no day of the calendar", remedy)
    if not _are_hours(shift.hours):
        remedy = "From 00:00 to 23:59: 08:00-20:00. The same time twice is the whole day."
        yield Fault((*path, "hours"), f"{shown(shift.hours)} are no hours of a day", remedy)
    if shift.zone not in ZONES:
        yield unknown_zone((*path, "zone"), shift.zone)
    if not SHORT_TURN <= shift.every <= LONG_TURN:
        yield Fault((*path, "every"), f"{shift.every} is out of bounds", "From 1h to 92d.")
    if not shift.days:
        yield Fault((*path, "days"), "is empty: nobody is ever on call", "Write days, or remove the key for all seven.")
    for day in sorted({day for day in shift.days if shift.days.count(day) > 1}):
        yield Fault((*path, "days"), f"{day} stands there twice", "Write each day once.")


def _on_duty(role: Role, duty: Duty) -> Iterator[tuple[Path, str]]:
    if duty.primary is not None:
        yield ("duties", role, "primary"), duty.primary
    if duty.deputy is not None:
        yield ("duties", role, "deputy"), duty.deputy
    for position, shift in enumerate(duty.shifts):
        for turn, name in enumerate(shift.people):
            yield ("duties", role, "shifts", position, "people", turn), name


def _reachable(contacts: Contacts) -> bool:
    return contacts.mail is not None or contacts.phone is not None or contacts.chat is not None


def _is_date(text: str) -> bool:
    try:
        return FIRST_YEAR <= date.fromisoformat(text).year <= LAST_YEAR
    except ValueError:
        return False


def _are_hours(hours: Hours) -> bool:
    times = [moment.split(":") for moment in hours.split("-")]
    return all(int(hour) < 24 and int(minute) < 60 for hour, minute in times)


# --- what opens a case ------------------------------------------------------------------------------------------------


def opens_name_known_findings(plan: Plan) -> Iterator[Fault]:
    """A rule with a misspelt finding, or without a verdict, would never open a case."""
    for number, rule in enumerate(plan.incidents.opens):
        path: Path = ("incidents", "opens", number)
        for position, name in enumerate(rule.findings):
            if name != ANY_RULE and name not in IDS:
                known = [ANY_RULE, *IDS]
                remedy = f"{nearest(name, known)}One of: {', '.join(known)}."
                yield Fault((*path, "findings", position), f"unknown finding {shown(name)}", remedy)
        if not rule.verdicts:
            remedy = "Write verdicts, or remove the key for `[shut]`."
            yield Fault((*path, "verdicts"), "is empty: nothing would open a case", remedy)


def nobody_shuts_by_typing(plan: Plan) -> Iterator[Fault]:
    """Findings on what was asked open cases and shut nothing."""
    for number, rule in enumerate(plan.incidents.opens):
        if not rule.shut:
            continue
        path: Path = ("incidents", "opens", number)
        of_inputs = next((name for name in rule.findings if name in INPUT_RULES), None)
        verdict = next((verdict for verdict in rule.verdicts if verdict in INPUT_VERDICTS), None)
        if of_inputs is not None:
            problem = f"with the finding {of_inputs} anybody could shut AI by typing"
            yield Fault((*path, "shut"), problem, "Remove it: the case opens all the same, and a person may shut.")
        elif ANY_RULE in rule.findings and verdict is not None:
            problem = f"with any finding of verdict {verdict} anybody could shut AI by typing"
            yield Fault((*path, "shut"), problem, "Name findings on answers, or only verdicts mask, cut and shut.")


def incident_times_are_sane(plan: Plan) -> Iterator[Fault]:
    """Durations lie where they mean something."""
    rules = plan.incidents
    bounds: list[tuple[Path, float, float, float, str]] = [
        (("incidents", "fold"), rules.fold, MIN_FOLD, MAX_FOLD, "From 1m to 30d."),
        (("incidents", "acknowledge"), rules.acknowledge, MIN_ANSWER, MAX_ANSWER, "From 1m to 1d."),
        (("incidents", "lookback"), rules.lookback, MIN_LOOKBACK, MAX_LOOKBACK, "From 1m to 366d."),
    ]
    for number, rule in enumerate(rules.opens):
        bounds.append((("incidents", "opens", number, "within"), rule.within, MIN_WITHIN, MAX_WITHIN, "From 1s to 7d."))
    for path, value, least, most, remedy in bounds:
        if not least <= value <= most:
            yield Fault(path, f"{value} is out of bounds", remedy)


# --- other systems ----------------------------------------------------------------------------------------------------


def systems_are_complete(plan: Plan) -> Iterator[Fault]:
    """A system has what its use needs: a secret to sign with, a place it stands in, an address to be called at."""
    hooked = {name for name, region in plan.regions.items() if region.hooks is not None}
    table = JurisdictionTable(plan)
    for name, system in plan.incidents.systems.items():
        path: Path = ("incidents", "systems", name)
        if system.webhook is None and system.url is None and not system.opens:
            remedy = "Write `webhook:` to tell it of cases, `opens: true` to hear from it, or `url:` to link to it."
            yield Fault(path, "says nothing of what it is for", remedy)
        if (system.webhook is not None or system.opens) and system.jurisdiction is None:
            problem = "is missing: what is told of cases goes somewhere, and comes from somewhere"
            yield Fault((*path, "jurisdiction"), problem, "Write where the server stands: `jurisdiction: DE`.")
        if (system.webhook is not None or system.opens) and system.secret_file is None:
            problem = "is missing: both sides sign what they say"
            yield Fault((*path, "secret_file"), problem, "Name a file with the secret that the system signs with.")
        serving = table.region_of(system.jurisdiction) if system.jurisdiction is not None else None
        if system.opens and not (hooked & {serving} if serving is not None else hooked):
            remedy = "Write for example `hooks: { listen: 127.0.0.1:8090 }` under that region, or remove `opens`."
            yield Fault((*path, "opens"), "is true, and the region it stands in has no `hooks` to hear it", remedy)
        yield from _urls(path, system)


def _urls(path: Path, system: OtherSystem) -> Iterator[Fault]:
    if system.url is not None and "{id}" not in system.url:
        yield Fault((*path, "url"), "has no {id}: it would show no case", "Write {id} where the case's id stands.")
    for key, url in (("url", system.url), ("webhook", system.webhook)):
        if url is not None and "@" in url.partition("://")[2].partition("/")[0]:
            remedy = "Remove them; what is told is signed with the secret in `secret_file`."
            yield Fault((*path, key), "holds a user name or password", remedy)


def systems_stand_in_served_places(plan: Plan) -> Iterator[Fault]:
    """What is told of cases goes to jurisdictions that a region of the plan serves, like any other flow."""
    table = JurisdictionTable(plan)
    for name, system in plan.incidents.systems.items():
        code = system.jurisdiction
        path: Path = ("incidents", "systems", name, "jurisdiction")
        if code is None:
            continue
        if not exists(code):
            yield unknown_country(path, code)
        elif (system.webhook is not None or system.opens) and table.region_of(code) is None:
            remedy = "Use a system that stands where a region serves, or add the jurisdiction to a region."
            yield Fault(path, f"no region serves {code}, and only that region tells it of cases, or hears it", remedy)


def hooks_have_their_ports(plan: Plan) -> Iterator[Fault]:
    """Hooks listen where no gateway, witness or other hooks do; a wildcard address is every address."""
    bound = [(address_of(region.listen), f"the gateway of region {name}") for name, region in plan.regions.items()]
    for name, region in plan.regions.items():
        if region.witness is not None:
            bound.append((address_of(region.witness.listen), f"the witness of region {name}"))
    for name, region in plan.regions.items():
        if region.hooks is None:
            continue
        path: Path = ("regions", name, "hooks", "listen")
        host, port = address_of(region.hooks.listen)
        if not 1 <= port <= 65_535:
            yield Fault(path, f"{port} is no port", "Ports go from 1 to 65535.")
        for (rival_host, rival_port), rival in bound:
            if port == rival_port and (host == rival_host or {host, rival_host} & {"0.0.0.0", "*"}):
                yield Fault(path, f"port {port} is already bound by {rival}", "Give each its own port.")
        bound.append(((host, port), f"the hooks of region {name}"))
        if not any(system.opens for system in plan.incidents.systems.values()):
            remedy = "Write `opens: true` at a system of `incidents.systems`, or remove `hooks`."
            yield Fault(("regions", name, "hooks"), "listens, and no system may open a case", remedy)


# --- words that several checks need -----------------------------------------------------------------------------------


def exists(code: str) -> bool:
    """Whether there is such a country, subdivision of one, or union."""
    return code in GROUPS or country(code) in COUNTRIES


def unknown_country(path: Path, code: str) -> Fault:
    """`code` is no country, and perhaps a common mistake for one."""
    mistake = COMMON_MISTAKES.get(country(code))
    remedy = f"Did you mean {mistake}?" if mistake else "Use the two letters of ISO 3166-1."
    return Fault(path, f"{code} is no country of ISO 3166-1", remedy)


def unknown_zone(path: Path, zone: str) -> Fault:
    """`zone` is no IANA time zone, and perhaps a misspelt one."""
    near = nearest(zone, sorted(ZONES, key=lambda known: known.rpartition("/")[2][:1] != zone.rpartition("/")[2][:1]))
    return Fault(path, f"unknown time zone {shown(zone)}", f"{near}Use an IANA name such as Europe/Berlin.")
