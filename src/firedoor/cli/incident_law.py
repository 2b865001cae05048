"""What people answer for in law: `firedoor incident moment`, `aware`, `decide`, `submitted`, `waive`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any, Literal, cast, get_args

import typer
from msgspec import UNSET, to_builtins

from firedoor.api import incident_shapes as shapes
from firedoor.cli import incident_words as words
from firedoor.cli.incident_case import AfterOption, Asker, BecauseOption, CaseArgument, Visit, micro, told
from firedoor.cli.incident_tables import OURS
from firedoor.cli.options import HomeOption, JsonOption, RegionOption, printable
from firedoor.cli.passphrase import PassphraseFileOption
from firedoor.cli.signing import AsOption, KeyOption
from firedoor.core.incident import entries as kinds
from firedoor.core.incident.clocks import Clock
from firedoor.core.incident.entries import Outcome, Payload
from firedoor.core.plan.response import StartEvent

EVENTS: tuple[str, ...] = (*get_args(StartEvent), "occurred_from", "occurred_to", "processor_told")
Ground = Literal["unintelligible", "later_measures", "disproportionate"]

WhenOption = Annotated[str | None, typer.Option("--at", help="When: an age (20m) or a moment.  [now]")]
EvidenceOption = Annotated[
    list[str] | None, typer.Option("--evidence", help="An exchange or record on which that rests; repeat.")
]
EvenSoOption = Annotated[
    str | None, typer.Option("--even-so", help="It seems impossible, or not asked for, and is so: why; kept sealed.")
]
ClockArgument = Annotated[str, typer.Argument(metavar="CLOCK", help="Its id: eu.gdpr.33.1.")]


def moment(
    case: CaseArgument,
    event: Annotated[str, typer.Argument(metavar="EVENT", help=f"What happened: {', '.join(EVENTS)}.")],
    as_: AsOption,
    because: BecauseOption,
    at: WhenOption = None,
    evidence: EvidenceOption = None,
    even_so: EvenSoOption = None,
    after: AfterOption = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say when something happened that a clock may start at. Said again, the newest counts; what stood before stays."""
    if event not in EVENTS:
        raise typer.BadParameter(f"{event!r} is none of {', '.join(EVENTS)}.")
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    _moment(visit, event, because, at, evidence, even_so, after, as_json=as_json)


def aware(
    case: CaseArgument,
    as_: AsOption,
    because: BecauseOption,
    at: WhenOption = None,
    evidence: EvidenceOption = None,
    even_so: EvenSoOption = None,
    after: AfterOption = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say since when it is reasonably certain that personal data was concerned: the 72 hours of GDPR Art. 33 begin."""
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    _moment(visit, "aware", because, at, evidence, even_so, after, as_json=as_json)


def decide(
    case: CaseArgument,
    outcome: Annotated[Outcome, typer.Argument(help="What is told: nothing, to the register, the authority, people.")],
    as_: AsOption,
    because: BecauseOption,
    ground: Annotated[
        Ground | None, typer.Option("--ground", help="Why people are not told at high risk: GDPR Art. 34(3).")
    ] = None,
    after: AfterOption = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide about telling, and see what follows: which clocks ask for something, and which no more."""
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    _write(visit, kinds.Decided(outcome=outcome, because=because, ground=ground), after, as_json=as_json)


def submitted(
    case: CaseArgument,
    clock: ClockArgument,
    as_: AsOption,
    to: Annotated[str, typer.Option("--to", help="Who took it.")],
    at: WhenOption = None,
    ref: Annotated[str, typer.Option("--ref", help="The reference they gave.")] = "",
    delay: Annotated[
        str | None, typer.Option("--delay", help="Late: the reasons for the delay; kept sealed (GDPR Art. 33(1)).")
    ] = None,
    even_so: EvenSoOption = None,
    after: AfterOption = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that what a clock asks for was handed in."""
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    when = micro("--at", at, time.time()) or 0
    payload = kinds.Submitted(clock=clock, at=when, to=to, ref=ref, delay=delay, even_so=even_so or UNSET)
    _write(visit, payload, after, as_json=as_json)


def waive(
    case: CaseArgument,
    clock: ClockArgument,
    as_: AsOption,
    because: BecauseOption,
    halted: Annotated[bool, typer.Option("--halted", help="By law it stands still for now.")] = False,
    resumed: Annotated[bool, typer.Option("--resumed", help="It runs again.")] = False,
    after: AfterOption = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that a clock asks for nothing here, or was halted by law, and on what ground."""
    if halted and resumed:
        raise typer.BadParameter("Either --halted or --resumed.")
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    state: Literal["waived", "halted", "resumed"] = "halted" if halted else "resumed" if resumed else "waived"
    _write(visit, kinds.Waived(clock=clock, state=state, because=because), after, as_json=as_json)


def _moment(
    visit: Visit,
    event: str,
    because: str,
    at: str | None,
    evidence: list[str] | None,
    even_so: str | None,
    after: int | None,
    *,
    as_json: bool,
) -> None:
    when = micro("--at", at, time.time()) or 0
    payload = kinds.MomentSet(
        event=cast("Any", event), at=when, because=because, evidence=tuple(evidence or ()), even_so=even_so or UNSET
    )
    _write(visit, payload, after, as_json=as_json)


def _write(visit: Visit, payload: Payload, after: int | None, *, as_json: bool) -> None:
    """Write `payload`; say how the clocks stand after it, and what became of those that ask for nothing."""
    visit.details()
    before = {clock.id: clock for clock in visit.clocks().clocks}
    written = visit.write(payload, after)
    found = visit.clocks()
    if as_json:
        told(written, as_json=True, clocks=to_builtins([c for c in found.clocks if c.applies != "no"]))
        return
    told(written, as_json=False)
    if found.clocks_at != visit.name:
        typer.echo(f"The legal clocks are those of case {found.clocks_at}.")
    gone = [c for c in found.clocks if not _asks(c) and c.id in before and _moved(before[c.id], c)]
    for line in [*clock_lines(found), *(f"{c.id}: {c.state.replace('_', ' ')} now; {c.why}" for c in gone)]:
        typer.echo(printable(f"  {line}"))


def _moved(before: Clock, now: Clock) -> bool:
    return _asks(before) or before.state != now.state


def _asks(clock: Clock) -> bool:
    """Whether it asks for something, or will."""
    return clock.applies in ("yes", "likely") and clock.state in ("not_started", "running", "missed", "halted")


def clock_lines(found: shapes.Clocks) -> Iterator[str]:
    """What each clock asks for, the next to end first."""
    for clock in sorted(filter(_asks, found.clocks), key=lambda c: (c.due is None, c.due or 0, c.id)):
        if clock.state == "not_started":
            start = f"after {clock.depends_on}" if clock.depends_on else f"once {clock.start_event!r} is set"
            yield f"{clock.id}: not started, {start}; {clock.title}"
        else:
            yield f"{clock.id}: {_due(clock, found)}; {clock.title}"


def _due(clock: Clock, found: shapes.Clocks) -> str:
    if clock.due is None:
        return f"{clock.state}, without delay"
    seconds = (clock.due - found.at) / kinds.MICRO
    state = clock.state.upper() if clock.state == "missed" else clock.state
    mark = f" ({OURS})" if clock.target else ""
    left = f"{words.left(seconds)}{'' if seconds < 0 else ' left'}"
    return f"{state}, {left}, until {words.both(clock.due, clock.zone)}{mark}"
