"""A case in words: what entries say, counts that are ranges, moments in UTC and in the zone of the responsible body."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from msgspec import UnsetType

from firedoor.cli.options import printable
from firedoor.core.incident import entries as kinds
from firedoor.core.incident import severity
from firedoor.core.incident.affected import Affected, Range, Unknown, decode
from firedoor.core.incident.entries import MICRO, Entry, Payload, kind_of

LINE: Final = 160
"""Characters of free text in one line of a timeline; `--json` has all of it."""

_DOUBTS: Final[dict[Unknown, tuple[str, str]]] = {
    "open_or_unknown": ("exchange has no known end: exposed", "exchanges have no known end: exposed"),
    "no_subject": ("exchange names no shopper", "exchanges name no shopper"),
    "erased_subject": ("exchange is of an erased shopper", "exchanges are of erased shoppers"),
    "lost_subject": ("exchange is of a shopper whose key is lost", "exchanges are of shoppers whose keys are lost"),
    "not_indexed": ("record is not read yet", "records are not read yet"),
    "log_missing": ("record of the published log is missing", "records of the published log are missing"),
    "host_silent": ("host is silent", "hosts are silent"),
    "not_seen": ("exchange was not searched for personal data", "exchanges were not searched for personal data"),
}
_NOBODY: Final[dict[Unknown, str]] = {
    "log_missing": "records of the published log are missing, nobody can say how many",
    "host_silent": "a host is silent: nobody can say what it did",
    "not_indexed": "the index has not read all, nobody can say how much is left",
}

NO_CARRIER: Final = "no system of the plan carries calls of this region"
"""Why nobody was reached."""

AXIS: Final = {
    **dict.fromkeys(("moment_set", "clocks_set", "scored", "decided", "submitted", "waived"), "law"),
    **dict.fromkeys(
        ("opened", "findings", "contained", "sealed", "purged", "counted", "step_failed"), "system"
    ),
}  # fmt: skip
"""Which side of a case an entry is of; what is in neither is people's work."""


def utc(moment: int) -> str:
    """Unix microseconds as ``2026-11-23 03:12:04Z``."""
    return datetime.fromtimestamp(moment // MICRO, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def local(moment: int, zone: str) -> str:
    """The same in `zone`: ``Mon 2026-11-23 04:12 CET``."""
    return _in(moment, zone).strftime("%a %Y-%m-%d %H:%M %Z")


def clock(moment: int, zone: str) -> str:
    """What a clock in `zone` shows: ``Mon 04:12 CET``."""
    return _in(moment, zone).strftime("%a %H:%M %Z")


def _in(moment: int, zone: str) -> datetime:
    try:
        return datetime.fromtimestamp(moment // MICRO, ZoneInfo(zone))
    except (KeyError, OSError, ValueError):  # a zone that this machine does not know
        return datetime.fromtimestamp(moment // MICRO, UTC)


def both(moment: int, zone: str) -> str:
    """In UTC and, if that is another, in `zone`."""
    return utc(moment) if zone == "UTC" else f"{utc(moment)} ({local(moment, zone)})"


def left(seconds: float) -> str:
    """Time to go or, below zero, gone by: ``2 d 14 h``, ``47 min``, ``3 h 05 min ago``."""
    ago = " ago" if seconds < 0 else ""
    whole = int(abs(seconds))
    days, hours, minutes = whole // 86_400, whole % 86_400 // 3600, whole % 3600 // 60
    if days:
        return f"{days} d {hours} h{ago}"
    if hours:
        return f"{hours} h {minutes:02d} min{ago}"
    return f"{minutes} min{ago}" if minutes else f"{whole} s{ago}"


def took(start: int, end: int) -> str:
    """How long after `start` something was done."""
    seconds = (end - start) / MICRO
    return f"{seconds:.1f} s" if 0 <= seconds < 120 else left(seconds)


def count(number: Range, one: str, many: str) -> str:
    """``12 shoppers``, ``at least 12, at most 14 shoppers``, ``at least 12 shoppers, nobody can say how many more``."""
    if number.most is None:
        return f"at least {number.least} {one if number.least == 1 else many}, nobody can say how many more"
    if number.exact:
        return f"{number.least} {one if number.least == 1 else many}"
    return f"at least {number.least}, at most {number.most} {many}"


def doubts(affected: Affected) -> list[str]:
    """Why counts are ranges, one for each doubt."""
    said = []
    for doubt, number in affected.unknown.items():
        if number is None:
            said.append(_NOBODY.get(doubt, f"{doubt}: nobody can say how many"))
        elif number:
            said.append(f"{number} {_DOUBTS[doubt][number != 1]}")
    return said


def shortened(text: str) -> str:
    """The first line of free text, made harmless, and cut."""
    line = " ".join(printable(text).split())
    return line if len(line) <= LINE else line[: LINE - 1] + "…"


def band(quarters: int) -> str:
    """A score of severity: ``3.25 high``."""
    return f"{severity.decimal(quarters)} {severity.band_of(quarters).replace('_', ' ')}"


def before(one: kinds.Before) -> str:
    """What was said in a case before it was taken in."""
    if one.outcome is not None:
        said = f"decided {one.outcome}" + (f" ({one.ground})" if one.ground else "")
    else:
        said = f"scored {band(one.quarters)}" if one.quarters is not None else f"waived {one.waived}"
    said = f"in {one.case}, before it was taken in, {one.by} {said} {utc(one.at)} (entry {one.number} there)"
    return _because(said, one.because)


def entry_line(entry: Entry, zone: str = "UTC", corrected_by: int | None = None) -> str:
    """An entry in one line of the timeline."""
    kind = kind_of(entry.payload)
    mark = f" [corrected by {corrected_by}]" if corrected_by is not None else ""
    when = utc(entry.at) if zone == "UTC" else f"{utc(entry.at)} {clock(entry.at, zone)}"
    told = (
        f"{entry.number:>4} {when}  {AXIS.get(kind, 'people'):<6} {entry.by}: {kind}{mark}  {says(entry.payload, zone)}"
    )
    return printable(told).rstrip()


def says(payload: Payload, zone: str = "UTC") -> str:
    """What an entry says, in one line."""
    teller: Callable[[Any, str], str] = _SAYS[kind_of(payload)]
    return teller(payload, zone)


def _because(said: str, because: str | None) -> str:
    return f"{said}: {shortened(because)}" if because else said


def _opened(p: kinds.Opened, _: str) -> str:
    by = {"finding": f"by findings of {p.rule}", "person": "by a person", "hook": f"by {p.system}"}[p.cause]
    return f"{shortened(p.title)}; {p.scope}, {by}" + (f", drill {p.drill}" if p.drill else "") + _even_so(p.even_so)


def _even_so(said: str | UnsetType) -> str:
    return "" if isinstance(said, UnsetType) else f"; even so: {shortened(said)}"


def _findings(p: kinds.Findings, _: str) -> str:
    rules = ", ".join(sorted({f.rule for f in p.found}))
    places = sorted({f.scope for f in p.found})
    more = f" and {len(places) - 2} more places" if len(places) > 2 else ""
    return f"{len(p.found) + p.more} of {rules or 'several rules'} in {', '.join(places[:2])}{more}"


def _contained(p: kinds.Contained, _: str) -> str:
    shut = f"{p.scope} is shut since {utc(p.at)} (table version {p.version})" if p.scope else ""
    return shut if p.asked else f"nothing is to be shut{_more(shut)}"


def _sealed(p: kinds.Sealed, _: str) -> str:
    missing = "".join(f"; {name} missing: {why}" for name, why in sorted(p.missing.items()))
    old = isinstance(p.round, UnsetType) or isinstance(p.covers, UnsetType)
    what = "" if old else f"{p.round}, of what is shut by entry {p.covers}: "
    return f"{what}record {p.slot}/{p.seq}, SHA-256 {p.sha256[:12]}, {p.bytes} bytes, {_items(p.items)}{missing}"


def _purged(p: kinds.Purged, _: str) -> str:
    if not p.asked:
        return "nothing is to be purged"
    return f"cache epoch {p.cache_epoch}{_more(_items(p.items))}, under seal {(p.seal or '')[:12]}"


def _clocks_set(p: kinds.ClocksSet, _: str) -> str:
    said = [_clock_line(line) for line in sorted(p.clocks, key=_next_first)[:2]]
    return f"{len(p.clocks)} clocks{_more('; '.join(said))}"


def _next_first(line: kinds.ClockLine) -> tuple[int, bool, int, str]:
    """What applies first, then what likely does, then what nobody knows of; of each, what runs, and ends first."""
    applies = ("yes", "likely").index(line.applies) if line.applies in ("yes", "likely") else 2
    ends = line.due if line.due is not None else line.cautious
    return applies, line.due is None, ends or 0, line.rule


def _clock_line(line: kinds.ClockLine) -> str:
    doubt = {"likely": "likely ", "unknown": "perhaps "}.get(str(line.applies or ""), "")
    if line.due is not None:
        return f"{doubt}{line.rule} due {utc(line.due)}"
    return f"{doubt}{line.rule} from detection {utc(line.cautious or 0)}"


def _counted(p: kinds.Counted, _: str) -> str:
    found = decode(p.affected)
    exchanges = count(found.exposed, "exchange", "exchanges")
    return f"{count(found.exposed_subjects, 'shopper', 'shoppers')} exposed, in {exchanges}"


def _called(p: kinds.Called, _: str) -> str:
    said = f"{p.person} as {p.role}, for {p.reason}" + (f", try {p.rung + 1}" if p.rung else "")
    if isinstance(p.told, UnsetType):
        return said
    return f"{said}, by {', '.join(p.told)}" if p.told else f"{said}: REACHED NOBODY, {NO_CARRIER}"


def _tasked(p: kinds.Tasked, _: str) -> str:
    who = " ".join(x for x in (p.person, p.role) if x)
    due = f", by {utc(p.due)}" if p.due is not None else ""
    return f"{shortened(p.text)}{_more(who)}{due}"


def _moment_set(p: kinds.MomentSet, zone: str) -> str:
    return _because(f"{p.event} at {both(p.at, zone)}", p.because) + _even_so(p.even_so)


def _submitted(p: kinds.Submitted, zone: str) -> str:
    ref = f" as {p.ref}" if p.ref else ""
    late = f", late: {shortened(p.delay)}" if p.delay else ""
    return f"{p.clock} to {p.to}{ref} at {both(p.at, zone)}{late}{_even_so(p.even_so)}"


def _handed_over(p: kinds.HandedOver, _: str) -> str:
    to = f"{p.system} leads; the clocks stay here" if p.leads == "there" else f"led here again, not in {p.system}"
    return _because(to, p.because)


def _restricted(p: kinds.Restricted, _: str) -> str:
    who = ", ".join([*p.roles, *p.people])
    return f"to {who}" if who else "to nobody in particular: all people of the plan may see it"


def _correction(p: kinds.Correction, zone: str) -> str:
    what = f"entry {p.of} is withdrawn"
    if p.instead is not None:
        what = f"entry {p.of} should say: {says(kinds.decode_payload(p.instead.encode()), zone)}"
    return _because(what, p.because)


def _took_in(p: kinds.TookIn, _: str) -> str:
    there = [one.outcome or (band(one.quarters) if one.quarters is not None else f"{one.waived} waived")
             for one in p.before or ()]  # fmt: skip
    again = f", where it was said: {', '.join(there)}; to be said again" if there else ""
    return _because(f"{p.case} goes on here{again}", p.because)


def _split_off(p: kinds.SplitOff, _: str) -> str:
    clocks = "its clocks stay here" if p.clocks == "here" else "with clocks of its own"
    return _because(f"entries {', '.join(map(str, p.entries))} go on as {p.case}, {clocks}", p.because)


def _items(items: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(items.items()))


def _more(text: str) -> str:
    return f", {text}" if text else ""


_SAYS: Final[dict[str, Callable[[Any, str], str]]] = {
    "opened": _opened,
    "findings": _findings,
    "contained": _contained,
    "sealed": _sealed,
    "purged": _purged,
    "clocks_set": _clocks_set,
    "counted": _counted,
    "step_failed": lambda p, _: f"{p.step}: {p.code}; it is tried again",
    "called": _called,
    "acknowledged": lambda p, _: shortened(p.note or ""),
    "assigned": lambda p, _: f"{p.person} is {p.role}",
    "noted": lambda p, _: shortened(p.text) + _more(", ".join(p.exchanges)),
    "tasked": _tasked,
    "task_ended": lambda p, _: _because(f"task {p.task} {p.state}", p.text),
    "moment_set": _moment_set,
    "scored": lambda p, _: _because(f"severity {band(p.quarters)}", p.because),
    "decided": lambda p, _: _because(p.outcome + (f" ({p.ground})" if p.ground else ""), p.because),
    "submitted": _submitted,
    "waived": lambda p, _: _because(f"{p.clock} {p.state}", p.because),
    "linked": lambda p, _: f"{p.system} {p.ref}" + (f" {p.url}" if p.url else ""),
    "handed_over": _handed_over,
    "merged_into": lambda p, _: _because(f"goes on as {p.case}", p.because),
    "took_in": _took_in,
    "split_off": _split_off,
    "split_from": lambda p, _: _because(f"from {p.case}, legal clocks {p.clocks}", p.because),
    "restricted": _restricted,
    "resolved": lambda p, _: shortened(p.because),
    "closed": lambda p, _: shortened(p.because) + (f"; learned: {shortened(p.lessons)}" if p.lessons else ""),
    "reopened": lambda p, _: shortened(p.because),
    "correction": _correction,
}
"""How each kind of entry is told."""
