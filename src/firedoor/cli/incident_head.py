"""The top of a case: what somebody needs who was woken, the most urgent first."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

from firedoor.api import incident_shapes as shapes
from firedoor.api import shapes as switch_shapes
from firedoor.cli import incident_words as words
from firedoor.cli.incident_tables import OURS, is_open
from firedoor.core.incident.case import Call
from firedoor.core.incident.clockwarnings import FOR_A_PART
from firedoor.core.incident.entries import MICRO
from firedoor.core.incident.rights import ALWAYS
from firedoor.core.switches import Scope
from firedoor.errors import ActRefused

NEWEST_CALLS: Final = 3
"""Calls that are told."""
NEWEST_SEALS: Final = 3
"""Seals after the first that are told; the timeline has all of them."""
_STEPS: Final = (
    ("contained_at", "contain"), ("sealed_at", "seal"), ("purged_at", "purge"), ("clocks_set_at", "clocks"),
    ("first_counted_at", "count"),
)  # fmt: skip


def head(
    shown: shapes.Shown, case: shapes.Details, clocks: shapes.Clocks | None, switches: switch_shapes.Switches | None
) -> Iterator[str]:
    """How a case stands, line by line, the most urgent first."""
    restricted = "  RESTRICTED" if shown.restricted else ""
    drill = f"  DRILL {case.opened.drill}" if case.opened.drill is not None else ""
    past = f"  AS KNOWN AT {words.utc(shown.at)}" if shown.at is not None else ""
    yield f"{shown.id}  {shown.state.replace('_', ' ')}{drill}{restricted}{past}  entry {case.entries}"
    yield f"  {words.shortened(case.opened.title)}"
    rows = [
        ("shut", _shut(shown.id, case, switches)),
        ("next", _next(clocks, shown.dues or ())),
        ("who", _who(shown.id, case)),
        ("affected", _affected(case)),
        ("first minute", [_first_minute(case)]),
        ("sealed again", list(_sealed_again(case))),
        ("found", [_found(case)]),
        ("severity", _severity(shown.id, case)),
        ("decided", _decided(shown.id, case)),
        ("tasks", list(_tasks(case))),
        ("elsewhere", list(_elsewhere(case))),
        ("may see", [_may_see(case)] if case.restricted is not None else []),
    ]
    for name, lines in rows:
        for number, line in enumerate(lines):
            yield f"  {name if number == 0 else '':<13}{line}"


def _shut(name: str, case: shapes.Details, switches: switch_shapes.Switches | None) -> list[str]:
    """The switches that shut the case's scopes now; for the past, and where nobody tells, what was contained."""
    if switches is None:
        done = case.contained
        if done is None or case.contained_at is None:
            return ["NOT CONTAINED YET"]
        return [f"{done.scope} since {words.utc(done.at)}"] if done.asked else ["nothing: the plan shuts nothing here"]
    lines = [
        f"{s.scope} since {words.utc(int(s.since * MICRO))} by {', '.join(s.by)} for {s.reason}"
        + (f", case {s.incident}" if s.incident not in {None, name} else "")
        for s in (*switches.shut, *switches.everywhere, *switches.drills)
        if s.incident == name or any(_touches(s.scope, scope) for scope in case.scopes)
    ]
    lines += ["the whole region, by its SHUT file"] if switches.shut_file else []
    if lines:
        return lines
    return ["NOTHING: AI is open there now"] if case.opened.shut else ["nothing"]


def _touches(shut: str, scope: str) -> bool:
    with contextlib.suppress(ActRefused):
        one, other = Scope.parse(shut), Scope.parse(scope)
        return one.covers(other) or other.covers(one)
    return False


def _next(clocks: shapes.Clocks | None, dues: Sequence[shapes.DueLine]) -> list[str]:
    """The next clock to end, as it runs in law, and the next one counted from detection."""
    if clocks is None:
        return ["UNKNOWN: clocks cannot be reckoned now, see `firedoor incident clocks`"]
    by = {clock.id: clock for clock in clocks.clocks}
    lines: list[str] = []
    running = next((d for d in dues if d.due is not None), None)
    if running is not None and running.due is not None:
        lines.append(f"{running.id}: {_time_left(running.due, clocks)}{_mark(running)}; {by[running.id].title}")
    waiting = next((d for d in dues if d.due is None and d.cautious is not None), None)
    if waiting is not None and waiting.cautious is not None:
        start = f"from detection, {by[waiting.id].start_event!r} is not set"
        left = f"{_time_left(waiting.cautious, clocks)}{_mark(waiting)}"
        lines.append(f"{waiting.id}: {left}; {start}; {by[waiting.id].title}")
    if perhaps := sum(is_open(clock) for clock in clocks.clocks):
        lines.append(f"{perhaps} more may apply, if what is not known is so: firedoor incident clocks {clocks.id}")
    lines += (f"{c.id}: {w}" for c in clocks.clocks for w in c.warnings if w.startswith(FOR_A_PART))
    if clocks.clocks_at != clocks.id:
        lines.append(f"the legal clocks are those of case {clocks.clocks_at}")
    return lines or ["no clock runs"]


def _mark(due: shapes.DueLine) -> str:
    return f" ({OURS})" if due.target else ""


def _time_left(due: int, clocks: shapes.Clocks) -> str:
    seconds = (due - clocks.at) / MICRO
    said = f"{words.left(seconds)} left" if seconds >= 0 else f"OVER since {words.left(-seconds)}"
    return f"{said}, until {words.both(due, clocks.zone)}"


def _who(name: str, case: shapes.Details) -> list[str]:
    lines = []
    if case.acknowledged_by is not None and case.acknowledged_at is not None:
        lines.append(f"{case.acknowledged_by} is at it since {words.utc(case.acknowledged_at)}")
    else:
        lines.append(f"NOBODY HAS ACKNOWLEDGED IT: firedoor incident ack {name} --as YOU")
    if case.assigned:
        lines.append(", ".join(f"{role}: {person}" for role, person in sorted(case.assigned.items())))
    return lines + [_call(call) for call in case.calls[-NEWEST_CALLS:]]


def _call(call: Call) -> str:
    """Who was called, truly: where no system carries calls, nobody was reached, however long anybody waits."""
    who = f"{call.person} ({call.role})"
    when = f"{words.utc(call.at)} for {call.reason}"
    if call.told is None:
        return f"called {who} {when}"
    if not call.told:
        return f"NOT REACHED: {who} {when}; {words.NO_CARRIER}"
    return f"called {who} by {', '.join(call.told)} {when}"


def _affected(case: shapes.Details) -> list[str]:
    found = case.counted
    if found is None:
        return ["not counted yet"]
    exchanges = words.count(found.exposed, "exchange", "exchanges")
    shoppers = words.count(found.exposed_subjects, "shopper", "shoppers")
    return [f"{shoppers} exposed, in {exchanges}", *words.doubts(found)]


def _first_minute(case: shapes.Details) -> str:
    """Each step with how long after the case was opened it was done, or why it is not."""
    failed = {failure.step: failure.code for failure in case.failures}
    done: list[str] = []
    for field, step in _STEPS:
        at: int | None = getattr(case, field)
        if at is not None:
            done.append(f"{step} {words.took(case.opened_at, at)}")
        else:
            done.append(f"{step} NOT YET" + (f" ({failed[step]})" if step in failed else ""))
    return ", ".join(done)


def _sealed_again(case: shapes.Details) -> Iterator[str]:
    """What was contained later: the newest seals after the first, and what none covers yet."""
    purges = case.purged is not None and case.purged.asked
    for one in case.rounds[1:][-NEWEST_SEALS:]:
        purged = f"purged {words.utc(one.purged_at)}" if one.purged_at is not None else "PURGE NOT YET"
        yield f"{one.round}: {words.utc(one.at)} {_some(one.scopes)}" + (f", {purged}" if purges else "")
    if case.rounds and case.unsealed:
        yield f"{len(case.rounds) + 1}: NOT YET: {_some(case.unsealed)}"


def _some(scopes: Sequence[str]) -> str:
    return ", ".join(scopes[:2]) + (f" and {len(scopes) - 2} more" if len(scopes) > 2 else "")


def _found(case: shapes.Details) -> str:
    detected = case.moments.get("detected", case.opened.detected)
    rules = f"{', '.join(case.rules)}: {case.findings}" if case.rules else "no finding"
    last = f", the last {words.utc(case.last_found)}" if case.last_found is not None else ""
    return f"{rules}{last}; detected {words.utc(detected)}; opened by {case.opened_by}"


def _severity(name: str, case: shapes.Details) -> list[str]:
    there = [words.before(one) for one in case.before if one.quarters is not None]
    again = [f"SCORE AGAIN: firedoor incident severity {name} --score"] if there or "scored" in case.lapsed else []
    if case.scored is None:
        return [f"not scored: firedoor incident severity {name}", *there, *again]
    old = f", before {case.took_in[-1]} was taken in" if "scored" in case.lapsed else ""
    return [f"{words.band(case.scored.quarters)}{old}", *there, *again]


def _decided(name: str, case: shapes.Details) -> list[str]:
    handed = [f"handed in: {s.clock} to {s.to} {words.utc(s.at)}" for s in case.submitted]
    there = [words.before(one) for one in case.before if one.outcome is not None]
    again = [f"DECIDE AGAIN: firedoor incident decide {name} OUTCOME"] if there or "decided" in case.lapsed else []
    waived = [words.before(one) for one in case.before if one.waived]
    waived += [f"{one.clock} was {one.state}, before {case.took_in[-1]} was taken in" for one in case.lapsed_waivers]
    again += [f"SAY AGAIN what is waived: firedoor incident waive {name} CLOCK"] if waived else []
    own = "nothing yet"
    if case.decided is not None:
        old = f", before {case.took_in[-1]} was taken in" if "decided" in case.lapsed else ""
        own = f"{case.decided.outcome}{old}: {words.shortened(case.decided.because)}"
    return [own, *there, *waived, *again, *handed]


def to_say_again(name: str, case: shapes.Details) -> Iterator[str]:
    """What was decided, scored and waived before a case was taken in, and how it is said again; nothing, if all was."""
    if case.before or case.lapsed or case.lapsed_waivers:
        yield from (line for line in _decided(name, case) if not line.startswith("handed in"))
        if "scored" in case.lapsed or any(one.quarters is not None for one in case.before):
            yield from _severity(name, case)


def _tasks(case: shapes.Details) -> Iterator[str]:
    for task in case.tasks:
        if task.state == "open":
            who = " ".join(x for x in (task.person, task.role) if x)
            due = f", by {words.utc(task.due)}" if task.due is not None else ""
            yield f"{task.number}: {words.shortened(task.text)}{f', {who}' if who else ''}{due}"


def _elsewhere(case: shapes.Details) -> Iterator[str]:
    for link in case.links:
        yield f"{link.system} {link.ref} {link.url}".rstrip() + (" LEADS" if case.leads == link.system else "")
    named: dict[str, str | None] = {
        "goes on as": case.merged_into, "took in": ", ".join(case.took_in), "split from": case.split_from,
        "split off": ", ".join(case.split_off),
    }  # fmt: skip
    yield from (f"{what} {name}" for what, name in named.items() if name)


def _may_see(case: shapes.Details) -> str:
    assert case.restricted is not None
    return ", ".join([*sorted(ALWAYS), *case.restricted.roles, *case.restricted.people])
