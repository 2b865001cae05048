"""Tables of `firedoor bench switch`."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from firedoor.bench.switch_figures import Failure, Figures, Flip, Spread, Work


def show_switch(figures: Figures, console: Console) -> None:
    """All of them, and what is missing."""
    console.print(_flips(figures.flips))
    for work in figures.work:
        _show_work(work, console)
    console.print(_failures(figures.failures))
    for cost in figures.costs:
        console.print(
            f"One look at the page: {cost.look:,.0f} ns; with what holds for a scope, {cost.switches} switches shut "
            f"elsewhere: {cost.standing:,.0f} ns."
        )
    if any(flip.system.startswith("poller") for flip in figures.flips):
        console.print("A poller with the SDKs' default of 15 s takes 7.5 s in the middle and 15 s at most.")
    console.print(f"Readers look every millisecond. Lease {figures.lease:g} s, beat {figures.beat:g} s.")
    for line in figures.skipped:
        console.print(f"Skipped: {line}", markup=False)
    console.print(figures.machine.line())


def _flips(flips: list[Flip]) -> Table:
    table = Table(title="firedoor bench switch: from asking to shut until readers see it, ms")
    for name in ("system", "way"):
        table.add_column(name, no_wrap=True)
    for name in ("readers", "hosts", "p50", "p99", "max", "last p50", "last p99", "last max", "since said p50", "max"):
        table.add_column(name, justify="right")
    for flip in flips:
        hosts = str(flip.pages) if flip.pages else ""
        table.add_row(
            flip.system, flip.way, str(flip.readers), hosts, *_three(flip.each), *_three(flip.last), *_said(flip.said)
        )
    return table


def _show_work(work: Work, console: Console) -> None:
    console.print(
        f"{work.way}, {work.workers} gateway workers, {work.per_second:,.0f} requests/s: last worker refuses after "
        f"{_line(work.refused)}; newest request let through came {_line(work.let_through)} after the shut."
    )
    if work.text is not None and work.closed is not None:
        console.print(
            f"  {work.streams} streams in flight: last byte of the model's text after {_line(work.text)}; "
            f"closed after {_line(work.closed)}."
        )


def _failures(failures: list[Failure]) -> Table:
    table = Table(title="what tells them is gone, and back: seconds until the last reader")
    for name in ("system", "what"):
        table.add_column(name, no_wrap=True)
    for name in ("readers", "fail-safe", "over the lease, ms", "sees the truth again"):
        table.add_column(name, justify="right")
    table.add_column("note")
    for one in failures:
        table.add_row(
            one.system,
            one.what,
            str(one.readers),
            "never: goes on" if one.safe is None else f"{one.safe:.2f}",
            "" if one.over is None else f"{1e3 * one.over:+,.0f}",
            f"not in {one.watched:g}" if one.back is None else f"{one.back:.2f}",
            one.note,
        )
    return table


def _three(spread: Spread) -> tuple[str, str, str]:
    return f"{spread.p50:,.1f}", f"{spread.p99:,.1f}", f"{spread.most:,.1f}"


def _said(spread: Spread | None) -> tuple[str, str]:
    return ("", "") if spread is None else (f"{spread.p50:,.1f}", f"{spread.most:,.1f}")


def _line(spread: Spread) -> str:
    return f"{spread.p50:,.1f} ms (p99 {spread.p99:,.1f}, max {spread.most:,.1f})"
