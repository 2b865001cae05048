"""The table of `firedoor bench incident`."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from firedoor.bench.incident import WHOLE, Counted, Figures
from firedoor.bench.incident_chain import Chain

BARS = {1_000_000: 1.0, 10_000_000: 10.0}
"""Seconds that counting may take, by exchanges in the index."""
CHAIN_BAR = 3000
"""Milliseconds from the finding until it is known who is affected."""


def show_incident(figures: Figures, console: Console) -> None:
    """Counts, and the steps of an incident."""
    table = Table(title="firedoor bench incident: who is affected, median of five")
    for name in ("engine", "exchanges", "question"):
        table.add_column(name, no_wrap=True)
    for name in ("in question", "s", "longest", "must reach", "figures"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in figures.counted:
        bar = BARS.get(one.exchanges) if one.question == WHOLE else None
        table.add_row(
            one.engine, f"{one.exchanges:,}", one.question, f"{one.in_question:,}", f"{one.p50:.2f}",
            f"{one.longest:.2f}", "" if bar is None else f"{bar:g}", _right(one),
        )  # fmt: skip
    console.print(table)
    if figures.chain is not None:
        console.print(_steps(figures.chain))
    console.print(figures.machine.line())


def _right(one: Counted) -> str:
    return f"WRONG: {', '.join(one.wrong[:3])}" if one.wrong else "true"


def _steps(chain: Chain) -> Table:
    table = Table(title=f"from the finding on, {chain.exchanges:,} exchanges in the index, {chain.runs} leaks, ms")
    table.add_column("durable", no_wrap=True)
    for name in ("p50", "longest", "must reach"):
        table.add_column(name, justify="right", no_wrap=True)
    for step in chain.steps:
        table.add_row(step.entry, f"{step.p50:,.0f}", f"{step.longest:,.0f}", "")
    table.add_row("all of it", f"{chain.total_p50:,.0f}", f"{chain.total_longest:,.0f}", f"{CHAIN_BAR:,}")
    return table
