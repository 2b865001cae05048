"""What may follow what in a case. Every refusal has a code for scripts, and says what is missing. Pure.

Contained: once for each scope, and again when it leaked behind a door that people had opened; sealed, and purged under
that seal: once for each round of that (`core.incident.rounds`). Closed: nothing but reopening. Merged: it goes on
elsewhere. No clock of law is stopped by closing: what it asks for is handed in, or a person decided or waived it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UnsetType

from firedoor.core.incident import affected, plausible, severity
from firedoor.core.incident import entries as kinds
from firedoor.core.incident.breach import TAKEN_IN, since_decided
from firedoor.core.incident.case import LEAKED, Case, by_person, said
from firedoor.core.incident.clocks import Clock
from firedoor.core.incident.entries import PAYLOAD_LIMIT, Entry, Payload, decode_payload, encode_payload, kind_of
from firedoor.core.incident.rounds import covered, needs_purge, needs_seal, rounds, unsealed
from firedoor.errors import ActRefused

DECIDING: Final = frozenset(
    {
        "moment_set", "scored", "decided", "submitted", "waived", "correction", "closed", "merged_into", "split_off",
        "restricted",
    }
)  # fmt: skip
"""Entries whose author must have seen what others wrote before; notes, tasks and the like contradict nothing."""

_AFTER_END = (kinds.Restricted, kinds.Contained, kinds.Sealed, kinds.Purged, kinds.StepFailed, kinds.Linked)
"""What may follow the end: who may see it, what was under way when it ended, and where else it is."""
_FIXED = (
    kinds.Opened, kinds.Correction, kinds.Contained, kinds.Sealed, kinds.Purged, kinds.MergedInto, kinds.TookIn,
    kinds.SplitOff, kinds.SplitFrom,
)  # fmt: skip
"""What no correction changes: what was carried out was carried out, and cases hang together as they do."""
_STATES = (kinds.Resolved, kinds.Closed, kinds.Reopened)
"""Their words may be corrected; undone they are by what follows them."""
_UNMET = ("running", "missed", "halted")
_TELLING = (kinds.Counted, kinds.ClocksSet, kinds.MomentSet, kinds.TookIn)
"""What nobody signed here and whoever decides must know: numbers, moments of other systems, what another case was."""


def check(case: Case | None, payload: Payload, *, clocks: Sequence[Clock] = (), now: int | None = None) -> None:
    """Whether `payload` may be the next entry of `case` (None: its first). Raises `ActRefused`.

    `clocks` are those of the case, for what is about them; `now` (microseconds) bounds moments that are told.
    """
    check_content(payload, now)
    if case is None:
        if not isinstance(payload, kinds.Opened):
            raise ActRefused("unknown_case", "There is no such case.", remedy="See `firedoor incident list`.")
        return
    _check_state(case, payload)
    _check_first_minute(case, payload)
    _check_work(case, payload)
    if isinstance(payload, kinds.MomentSet):
        _check_doubt(payload, plausible.doubt_about_moment(case, payload, now))
    elif isinstance(payload, kinds.Submitted | kinds.Waived):
        _check_clock(case, payload, clocks, now)
    elif isinstance(payload, kinds.Closed):
        _check_closing(case, clocks)
    elif isinstance(payload, kinds.Correction):
        _check_correction(case, payload, clocks, now)


def check_seen(case: Case, kind: str, after: int) -> None:
    """Whether the author of an entry, who had seen entries up to `after`, knew what it may contradict.

    Raises `ActRefused` with code ``case_moved``.
    """
    if after > case.number:
        raise ActRefused("bad_act", f"Case {case.id} has no entry {after} yet.")
    if kind not in DECIDING:
        return
    for entry in case.entries[after:]:
        if by_person(entry) or isinstance(entry.payload, _TELLING) or _leaked(entry.payload):
            raise ActRefused(
                "case_moved",
                f"Entry {entry.number} ({kind_of(entry.payload)}) came in since you looked at the case.",
                remedy="Look at it again, then sign again.",
            )


def check_merge(case: Case, into: Case) -> None:
    """Whether `case` may go on as `into`. Raises `ActRefused`."""
    if case.id == into.id:
        raise ActRefused("same_case", "A case cannot be merged into itself.")
    if into.state == "merged":
        raise ActRefused(
            "case_merged", f"Case {into.id} was merged into {into.merged_into}.", remedy="Merge into that one."
        )
    if into.state == "closed":
        raise ActRefused("case_closed", f"Case {into.id} is closed.", remedy="Reopen it first.")
    if case.opened.drill != into.opened.drill:
        raise ActRefused("drill", "A case of a drill and another one stay apart.")
    if case.restricted is not None and case.restricted != into.restricted:
        raise ActRefused(
            "other_audience",
            f"Fewer people may see case {case.id} than {into.id}.",
            remedy="Restrict both alike first: `firedoor incident restrict`.",
        )


def check_content(payload: Payload, now: int | None = None) -> None:
    """What an entry says must hold by itself. Raises `ActRefused`."""
    data = encode_payload(payload)
    try:
        if len(data) > PAYLOAD_LIMIT:
            raise ActRefused("bad_payload", f"An entry says at most {PAYLOAD_LIMIT} bytes.")
        decode_payload(data)
        if isinstance(payload, kinds.Counted):
            affected.decode(payload.affected)
        score = severity.score(severity.decode(payload.inputs)) if isinstance(payload, kinds.Scored) else None
    except msgspec.DecodeError as error:
        raise ActRefused("bad_payload", f"This is no {kind_of(payload)}: {error}.") from error
    if isinstance(payload, kinds.Scored) and score is not None and score.quarters != payload.quarters:
        raise ActRefused("bad_payload", f"These inputs come to {score.quarters} quarters, not {payload.quarters}.")
    if isinstance(payload, kinds.MomentSet | kinds.Submitted) and now is not None and payload.at > now:
        raise ActRefused("in_the_future", "What has happened has a time in the past.", remedy="Without --at it is now.")
    if isinstance(payload, kinds.Decided) and payload.ground is not None and payload.outcome != "authority":
        raise ActRefused(
            "bad_payload", "A ground for not telling people stands only where the authority is told and they are not."
        )


def open_clocks(case: Case, clocks: Sequence[Clock]) -> list[Clock]:
    """The clocks of law that closing would leave unanswered: none of a drill's, nor of a case that has none itself.

    Started ones count until they are met, waived or found not to apply; those that may still start, until a person
    decided about telling, of all that is in the case now.
    """
    if case.opened.drill is not None or not case.has_clocks:
        return []
    law = [c for c in clocks if c.basis == "law" and c.applies != "no"]
    unmet = [c for c in law if c.state in _UNMET]
    if case.decided is None or TAKEN_IN in since_decided(case):
        unmet += [c for c in law if c.state == "not_started" and c.applies != "unknown" and c.depends_on is None]
    return unmet


def _check_state(case: Case, payload: Payload) -> None:
    if isinstance(payload, kinds.Opened):
        raise ActRefused("case_begun", "The case is open already.")
    if isinstance(payload, kinds.Reopened):
        if case.state not in ("resolved", "closed"):
            raise ActRefused("not_ended", f"The case is {case.state}: only a resolved or closed one is reopened.")
    elif case.ended and not isinstance(payload, _AFTER_END):
        if case.state == "merged":
            raise ActRefused("case_merged", f"The case goes on as {case.merged_into}.", remedy="Write there.")
        raise ActRefused("case_closed", "The case is closed.", remedy="Reopen it first: `firedoor incident reopen`.")
    elif isinstance(payload, kinds.Resolved) and case.state == "resolved":
        raise ActRefused("done_before", "The case is resolved already.")


def _check_first_minute(case: Case, payload: Payload) -> None:
    before = False
    if isinstance(payload, kinds.Contained):
        told = [p for p in said(case.entries).values() if isinstance(p, kinds.Contained) and p.scope == payload.scope]
        before = any(p.at >= payload.at for p in told)
    elif isinstance(payload, kinds.Sealed):
        before = not needs_seal(case)
    elif isinstance(payload, kinds.Purged):
        before = not needs_purge(case) or (case.purged is not None and not payload.asked)
    if before:
        raise ActRefused("done_before", f"The case is {kind_of(payload)} already.")
    if isinstance(payload, kinds.Sealed):
        _check_seal(case, payload)
    elif isinstance(payload, kinds.Purged) and payload.asked:
        _check_purge(case, payload)


def _check_seal(case: Case, seal: kinds.Sealed) -> None:
    known = rounds(case.entries)
    covers = case.number if isinstance(seal.covers, UnsetType) else seal.covers
    number = len(known) + 1 if isinstance(seal.round, UnsetType) else seal.round
    if covers > case.number or number != len(known) + 1:
        raise ActRefused("bad_payload", f"Seal {len(known) + 1} comes next, of what the case holds.")
    if known and all(contained > covers for contained, _ in unsealed(case.entries)):
        raise ActRefused("done_before", "This seal covers nothing that an earlier one does not.")


def _check_purge(case: Case, purged: kinds.Purged) -> None:
    """What goes was sealed after everything had been contained that was when the purge began."""
    known = rounds(case.entries)
    if not known:
        raise ActRefused("not_sealed", "Nothing is purged before it is sealed.")
    seal = next((one for one in reversed(known) if one.sha256 == purged.seal), None)
    if seal is None:
        raise ActRefused("other_seal", "Purged is only under a seal of this case.")
    if seal.purge is not None:
        raise ActRefused("done_before", f"It was purged under seal {seal.round} already.")
    after = case.number if isinstance(purged.after, UnsetType) else purged.after
    if after > case.number or not covered(case.entries, purged, after):
        raise ActRefused("not_sealed", f"Seal {seal.round} does not cover all that was contained when it was purged.")


def _check_work(case: Case, payload: Payload) -> None:
    if isinstance(payload, kinds.TaskEnded):
        task = next((t for t in case.tasks if t.number == payload.task), None)
        if task is None:
            raise ActRefused("no_task", f"Entry {payload.task} is no task of this case.")
        if task.state != "open":
            raise ActRefused("task_ended", f"The task of entry {payload.task} is {task.state} already.")
    elif isinstance(payload, kinds.HandedOver):
        linked = any(link.system == payload.system for link in case.links)
        if payload.leads == "there" and not linked:
            raise ActRefused("no_link", f"The case is not linked to {payload.system}.", remedy="Link it first.")
    elif isinstance(payload, kinds.SplitOff):
        _check_split(case, payload)
    elif isinstance(payload, kinds.MomentSet):
        moments = {**case.moments, payload.event: payload.at}
        if moments.get("occurred_from", 0) > moments.get("occurred_to", 1 << 53):
            raise ActRefused("bad_payload", "It cannot have ended before it began.")


def _check_split(case: Case, payload: kinds.SplitOff) -> None:
    findings = {number for number, payload in said(case.entries).items() if isinstance(payload, kinds.Findings)}
    findings -= {n for e in case.entries if isinstance(e.payload, kinds.SplitOff) for n in e.payload.entries}
    if strange := sorted(set(payload.entries) - findings):
        raise ActRefused("no_findings", f"Entry {strange[0]} brought no findings that are still here.")
    if findings == set(payload.entries):
        raise ActRefused("nothing_left", "No findings would be left here.", remedy="Leave some, or go on with it.")


def check_opening(payload: kinds.Opened, now: int) -> None:
    """Whether a person may open a case with what was detected then. Raises `ActRefused`."""
    _check_doubt(payload, plausible.doubt_about_opening(payload, now))


def _check_doubt(payload: kinds.MomentSet | kinds.Submitted | kinds.Opened, doubt: str | None) -> None:
    if doubt is not None and isinstance(payload.even_so, UnsetType):
        raise ActRefused(
            "implausible",
            doubt,
            remedy="Look again. If it is so, say how that can be: --even-so (in a correction: --set even_so=).",
        )


def _check_clock(case: Case, payload: kinds.Submitted | kinds.Waived, clocks: Sequence[Clock], now: int | None) -> None:
    if not case.has_clocks:
        raise ActRefused("clocks_elsewhere", f"The legal clocks are those of case {case.clocks_at}.")
    clock = next((c for c in clocks if c.id == payload.clock), None)
    if clock is None:
        raise ActRefused(
            "no_clock", f"There is no clock {payload.clock}.", remedy="See `firedoor incident clocks --all`."
        )
    if isinstance(payload, kinds.Submitted):
        if clock.due is not None and payload.at > clock.due and payload.delay is None:
            raise ActRefused("delay_missing", "It is late: give the reasons for the delay.", remedy="Add --delay.")
        _check_doubt(payload, plausible.doubt_about_submission(case, payload, clock, now))
    elif payload.state == "resumed" and clock.state != "halted":
        raise ActRefused("not_halted", f"Clock {payload.clock} is not halted.")


def _check_closing(case: Case, clocks: Sequence[Clock]) -> None:
    unmet = open_clocks(case, clocks)
    if unmet:
        names = ", ".join(c.id for c in unmet[:8]) + (" …" if len(unmet) > 8 else "")
        raise ActRefused(
            "clock_running",
            f"Closing stops no clock, and {len(unmet)} {'is' if len(unmet) == 1 else 'are'} unanswered: {names}.",
            remedy="Say what was handed in (submitted), decide that nothing must be (decide), or waive them (waive).",
        )


def _leaked(payload: Payload) -> bool:
    """Whether it brings a confirmed leak. Others do not count: shoppers could keep people from deciding by typing."""
    return isinstance(payload, kinds.Findings) and any(one.verdict == LEAKED for one in payload.found)


def _check_correction(case: Case, payload: kinds.Correction, clocks: Sequence[Clock], now: int | None) -> None:
    target = _entry(case, payload.of)
    kind = kind_of(target.payload)
    if isinstance(target.payload, _FIXED):
        raise ActRefused("fixed_entry", f"Entry {payload.of} ({kind}) cannot be corrected.", remedy="Write a note.")
    if payload.instead is None:
        if isinstance(target.payload, _STATES):
            raise ActRefused("fixed_entry", f"Entry {payload.of} ({kind}) cannot be withdrawn: it happened.")
        return
    try:
        instead = decode_payload(payload.instead.encode())
    except msgspec.DecodeError as error:
        raise ActRefused("bad_payload", f"This is no {kind}: {error}.") from error
    if kind_of(instead) != kind:
        raise ActRefused("other_kind", f"Entry {payload.of} is {kind}, not {kind_of(instead)}.")
    check_content(instead, now)
    if isinstance(instead, kinds.Submitted | kinds.Waived) and not _same_clock(case.said(payload.of), instead):
        _check_clock(case, instead, clocks, now)
    elif isinstance(instead, kinds.MomentSet):
        _check_work(case, instead)
        before = case.said(payload.of)
        if not isinstance(before, kinds.MomentSet) or (before.event, before.at) != (instead.event, instead.at):
            _check_doubt(instead, plausible.doubt_about_moment(case, instead, now))


def _same_clock(before: Payload | None, instead: kinds.Submitted | kinds.Waived) -> bool:
    """Whether only words change, and nothing that `_check_clock` asks for."""
    if isinstance(before, kinds.Submitted) and isinstance(instead, kinds.Submitted):
        return (before.clock, before.at, before.delay is None) == (instead.clock, instead.at, instead.delay is None)
    return (
        isinstance(before, kinds.Waived)
        and isinstance(instead, kinds.Waived)
        and (before.clock, before.state) == (instead.clock, instead.state)
    )


def _entry(case: Case, number: int) -> Entry:
    if number > case.number:
        raise ActRefused("no_entry", f"The case has no entry {number}.")
    return case.entries[number - 1]
