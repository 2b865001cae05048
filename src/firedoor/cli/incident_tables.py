"""The tables of `firedoor incident list` and `clocks`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from firedoor.api import incident_shapes as shapes
from firedoor.cli import incident_words as words
from firedoor.cli.options import printable
from firedoor.core.incident import severity
from firedoor.core.incident.clocks import Clock
from firedoor.core.incident.entries import MICRO

PIPED: Final = 180
"""Columns where nobody's terminal says how many there are: a table in a file must not be cut at 80."""
WIDE: Final = 120
"""Columns from which a table is one: in fewer it would break ids and moments in the middle."""
NEAR: Final = 24 * 3600
"""Seconds before its end from which a clock is shown in red."""

OURS: Final = "target of ours, the law says without undue delay"
"""Beside an end that is none of the law's."""

_NEVER: Final = 1 << 62

_STATES: Final = {"new": "bold red", "in_progress": "yellow", "resolved": "cyan"}
_CLOCKS: Final = {"missed": "bold red", "met": "green", "met_late": "yellow", "halted": "yellow"}


class Rows:
    """A table; where a terminal is too narrow for one, each row as lines of their own.

    The first two columns say which one it is and how it stands.
    """

    def __init__(self, *names: str) -> None:
        self.names = names
        self.rows: list[tuple[Text, ...]] = []

    def add_row(self, *cells: Text) -> None:
        """One cell for each name."""
        self.rows.append(cells)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if options.max_width < WIDE:
            for first, second, *others in self.rows:
                yield Text("  ").join((first, second))
                for name, cell in zip(self.names[2:], others, strict=True):
                    if cell.plain:
                        yield Text(f"  {name:<15}") + cell
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in self.names:
            table.add_column(name, overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        yield table


def print_table(table: Rows) -> None:
    """On stdout: as wide as the terminal, or wide enough for a file."""
    Console(width=None if sys.stdout.isatty() else PIPED, highlight=False).print(table)


def list_table(lines: Sequence[shapes.Line], now: float) -> Rows:
    """Cases, one a row. What was restricted leaves most cells empty."""
    table = Rows("case", "state", "opened", "what", "where", "who", "exposed", "severity", "next clock")
    for line in lines:
        cells = _summary(line.summary) if line.summary is not None else ("restricted", "", "", "", "")
        when = words.utc(line.summary.opened_at) if line.summary is not None else line.day
        state = Text(line.state.replace("_", " "), style=_STATES.get(line.state, ""))
        table.add_row(_cell(line.id), state, _cell(when), *map(_cell, cells), _due(line.dues, now))
    return table


def clocks_table(clocks: Sequence[Clock], now: int) -> Rows:
    """Both countdowns of each clock, the next to end first."""
    table = Rows("clock", "state", "applies", "legal start", "due", "left", "from detection", "left", "owner")
    for clock in sorted(clocks, key=lambda c: (c.due is None, _ends(c), c.id)):
        cautious = None if clock.due is not None else clock.cautious
        table.add_row(
            _cell(clock.id),
            Text(clock.state.replace("_", " "), style=_CLOCKS.get(clock.state, "")),
            _cell(clock.applies),
            _cell(clock.start_event if clock.start_at is None else f"{clock.start_event} {words.utc(clock.start_at)}"),
            _end(clock.due, clock),
            _left(clock.due, now, clock),
            _end(cautious, clock),
            _left(cautious, now, clock),
            _cell(clock.owner),
        )
    return table


def is_open(clock: Clock) -> bool:
    """Whether nobody knows if it applies, and nobody has dealt with it either."""
    return clock.applies == "unknown" and clock.state in ("not_started", "running", "missed")


def open_lines(clocks: Sequence[Clock], now: int) -> Iterator[str]:
    """Clocks that apply or not as something is that nobody knows: grouped by it, and when the first would end."""
    groups: dict[str, list[Clock]] = {}
    for clock in sorted(clocks, key=lambda c: (_ends(c), c.id)):
        groups.setdefault(clock.why.partition("; ")[0], []).append(clock)
    for question, of in groups.items():
        laws = dict.fromkeys(".".join(clock.id.split(".")[:2]) for clock in of)
        yield f"  {question}: {', '.join(laws)}"
        if (end := _ends(of[0])) < _NEVER:
            seconds = (end - now) / MICRO
            left = f"{words.left(seconds)}{'' if seconds < 0 else ' left'}"
            mark = ", our target" if of[0].target else ""
            mark += ", from detection" if of[0].due is None else ""
            yield f"    the first to end would be {of[0].id}: {left}, {words.local(end, of[0].zone)}{mark}"


def _ends(clock: Clock) -> int:
    return next((at for at in (clock.due, clock.cautious) if at is not None), _NEVER)


def _cell(text: str) -> Text:
    return Text(printable(text))


def _summary(one: shapes.Summary) -> tuple[str, ...]:
    where = one.scopes[0] if one.scopes else ""
    more = f" +{len(one.scopes) - 1}" if len(one.scopes) > 1 else ""
    who = one.acknowledged_by or "NOBODY YET"
    if one.drill is not None:
        who += f" (drill {one.drill})"
    exposed = "" if one.exposed_subjects is None else _range(one.exposed_subjects.least, one.exposed_subjects.most)
    scored = "" if one.quarters is None else severity.decimal(one.quarters)
    return words.shortened(one.title), f"{where}{more}", who, exposed, scored


def _range(least: int, most: int | None) -> str:
    if most is None:
        return f"{least} or more"
    return str(least) if least == most else f"{least} to {most}"


def _due(dues: Sequence[shapes.DueLine] | None, now: float) -> Text:
    if dues is None:
        return Text("unknown", style="yellow")
    for due in dues:
        at = due.due if due.due is not None else due.cautious
        if at is not None:
            seconds = (at - now) / MICRO
            how = "" if due.due is not None else " from detection"
            how += " (our target)" if due.target else ""
            said = f"{words.left(seconds)}{'' if seconds < 0 else ' left'}, {due.id}{how}"
            return Text(printable(said), style="red" if seconds < NEAR else "")
    return Text("")


def _end(at: int | None, clock: Clock) -> Text:
    """An end at its place. What the law does not set is marked as ours."""
    if at is None:
        return Text("")
    local = clock.due_local if at == clock.due and clock.due_local else words.local(at, clock.zone)
    return Text(printable(f"our target: {local}"), style="dim") if clock.target else _cell(local)


def _left(at: int | None, now: int, clock: Clock) -> Text:
    if at is None or clock.state not in ("running", "not_started", "missed"):
        return Text("")
    seconds = (at - now) / MICRO
    return Text(words.left(seconds), style="red" if seconds < NEAR else "")
