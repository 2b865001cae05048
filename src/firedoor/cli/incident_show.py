"""`firedoor incident show`, `list`, `affected`, `clocks`: reading cases, now and as they were known then."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import typer
from msgspec import to_builtins

from firedoor.api import incident_shapes as shapes
from firedoor.api import shapes as switch_shapes
from firedoor.cli import incident_words as words
from firedoor.cli.control_client import ControlClient
from firedoor.cli.incident_case import Asker, AtOption, CaseArgument, PersonOption, Visit, rfc3339
from firedoor.cli.incident_client import IncidentClient
from firedoor.cli.incident_head import head
from firedoor.cli.incident_tables import clocks_table, is_open, list_table, open_lines, print_table
from firedoor.cli.options import (
    HomeOption,
    JsonOption,
    RegionOption,
    echo_json,
    given_moment,
    moment,
    printable,
    regions_on_disk,
)
from firedoor.cli.passphrase import PassphraseFileOption
from firedoor.cli.signing import KeyOption
from firedoor.config import Home
from firedoor.core.incident.affected import Affected, Range
from firedoor.core.incident.clocks import Clock
from firedoor.core.incident.entries import MICRO
from firedoor.errors import FiredoorError

Wanted = Literal["open", "ended", "new", "in_progress", "resolved", "closed", "merged"]


def list_(
    state: Annotated[Wanted | None, typer.Option("--state", help="Only these.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="Opened since: an age (7d) or a moment.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="The newest of each region.")] = 50,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """The cases, the newest first. A restricted one shows no more than its id, state, day and clocks."""
    opened = None if since is None else moment(given_moment("--since", since, time.time()))
    found = [
        IncidentClient(place).incidents(state=state, since=opened, limit=limit)
        for place in regions_on_disk(Home.find(home), region)
    ]
    if as_json:
        echo_json({"regions": to_builtins(found)})
        return
    lines = [line for listing in found for line in listing.incidents]
    if not lines:
        typer.echo("No cases.")
        return
    print_table(list_table(lines, time.time() * MICRO))
    if any(listing.more for listing in found):
        typer.echo("There are older ones: --limit.")


def show(
    case: CaseArgument,
    at: AtOption = None,
    since: Annotated[int, typer.Option("--since", min=0, help="Only entries after this number.")] = 0,
    as_: PersonOption = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """A case: how it stands, what is next, who is affected, and all that happened, with --at as it was known then."""
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    then = rfc3339(at)
    shown = visit.shown(then)
    if shown.details is None:
        _show_hidden(shown, as_json=as_json)
        return
    entries = visit.entries(since, then)
    clocks = _clocks(visit, then)
    if as_json:
        told = to_builtins(shown) | {"clocks": to_builtins(clocks), "entries": to_builtins(entries)}
        echo_json(told)
        return
    switches = _switches(visit) if then is None else None
    for line in head(shown, shown.details, clocks, switches):
        typer.echo(printable(line))
    zone = clocks.zone if clocks is not None else "UTC"
    typer.echo(f"\nWhat happened, in UTC{'' if zone == 'UTC' else f' and {zone}'}:")
    for entry in entries:
        typer.echo(words.entry_line(entry, zone, shown.details.corrected.get(entry.number)))


def affected(
    case: CaseArgument,
    at: AtOption = None,
    as_: PersonOption = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Who is affected, as counted last: ranges where nobody can know more, and why."""
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    visit.details()
    found = visit.affected(rfc3339(at))
    if as_json:
        echo_json(to_builtins(found))
        return
    if found.affected is None or found.counted_at is None:
        typer.echo("Not counted yet: it follows in the first minute.")
        return
    typer.echo(f"{visit.name}, counted {words.utc(found.counted_at)} in {found.affected.took:.1f} s")
    for line in affected_lines(found.affected):
        typer.echo(printable(f"  {line}"))


def clocks(
    case: CaseArgument,
    all_: Annotated[
        bool, typer.Option("--all", help="Each one: also those that nobody knows of, or that do not apply.")
    ] = False,
    at: AtOption = None,
    as_: PersonOption = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Time limits of law and contract: counted from the legal start, and, until there is one, from detection."""
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    visit.details()
    found = visit.clocks(rfc3339(at))
    chosen = [c for c in found.clocks if all_ or _wanted(c)]
    if as_json:
        echo_json(to_builtins(found) | {"clocks": to_builtins(chosen)})
        return
    if found.clocks_at != visit.name:
        typer.echo(f"The legal clocks are those of case {found.clocks_at}: there is one of each.")
    perhaps = [] if all_ else [c for c in chosen if is_open(c)]
    shown = [c for c in chosen if c not in perhaps]
    if shown:
        print_table(clocks_table(shown, found.at))
    else:
        typer.echo("No clock surely applies, as far as is known. --all shows those that were considered.")
    for clock in shown:
        for line in clock_notes(clock):
            typer.echo(printable(line))
    if perhaps:
        typer.echo(
            f"Nobody knows whether these apply, {len(perhaps)} clocks. --all shows each; `legal` of the plan answers:"
        )
        for line in open_lines(perhaps, found.at):
            typer.echo(printable(line))


def affected_lines(found: Affected) -> Iterator[str]:
    """The whole count."""
    yield f"exchanges      {words.count(found.exchanges, 'exchange', 'exchanges')} in question"
    yield f"exposed        {words.count(found.exposed, 'exchange', 'exchanges')}, an answer or a part may have gone out"
    yield f"confirmed      {words.count(found.confirmed, 'exchange', 'exchanges')} with a confirmed leak"
    yield f"shoppers       {words.count(found.subjects, 'shopper', 'shoppers')}"
    yield f"exposed to     {words.count(found.exposed_subjects, 'shopper', 'shoppers')}"
    groups: Sequence[tuple[str, dict[str, Range], str]] = (
        ("living in", found.jurisdictions, "shopper"),
        ("with data", found.categories, "exchange"),
        ("data of", found.subjects_by_category, "shopper"),
        *((f"to {kind}", names, "exchange") for kind, names in found.recipients.items()),
    )
    for title, counts, one in groups:
        for number, (name, range_) in enumerate(sorted(counts.items(), key=lambda each: (-each[1].least, each[0]))):
            yield f"{title if number == 0 else '':<14} {name}: {words.count(range_, one, f'{one}s')}"
    for number, doubt in enumerate(words.doubts(found)):
        yield f"{'not sure' if number == 0 else '':<14} {doubt}"


def clock_notes(clock: Clock) -> Iterator[str]:
    """What stands below the table about one clock."""
    yield f"{clock.id}: {clock.title}"
    if clock.target:
        yield f"  {clock.length}: no deadline of the law"
    yield f"  {clock.source}; to {', '.join(clock.recipients) or 'nobody named'}; {clock.why}"
    for other in clock.alternatives:
        yield f"  for counsel, not to act on: {other.reading} ends {words.utc(other.at)} ({other.local})"
    for warning in clock.warnings:
        yield f"  ! {warning}"


def _wanted(clock: Clock) -> bool:
    return clock.applies != "no" and clock.state != "not_applicable"


def _show_hidden(shown: shapes.Shown, *, as_json: bool) -> None:
    if as_json:
        echo_json(to_builtins(shown))
        return
    typer.echo(f"{shown.id}  {shown.state.replace('_', ' ')}, opened {shown.day}. It is restricted: --as YOU.")
    for due in shown.dues or ():
        when = "not started"
        if due.due is not None:
            when = words.utc(due.due)
        elif due.cautious is not None:
            when = f"{words.utc(due.cautious)}, counted from detection"
        typer.echo(f"  {due.id}: {when}")


def _clocks(visit: Visit, at: str | None) -> shapes.Clocks | None:
    """The clocks; None if nobody can reckon them now: all else is shown all the same."""
    with contextlib.suppress(FiredoorError):
        return visit.clocks(at)
    return None


def _switches(visit: Visit) -> switch_shapes.Switches | None:
    with contextlib.suppress(FiredoorError):
        return ControlClient(visit.place).switches()
    return None
