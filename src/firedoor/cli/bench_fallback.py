"""The tables of `firedoor bench fallback`."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from firedoor.bench.fallback import Figures


def show_fallback(figures: Figures, console: Console) -> None:
    """Print them."""
    table = Table(title=f"firedoor bench fallback: {figures.rate} checkouts a second, deadline {figures.deadline:g} ms")
    table.add_column("what", no_wrap=True)
    for name in ("checkouts", "lost", "late", "p50 ms", "p99 ms", "worst ms"):
        table.add_column(name, justify="right")
    table.add_column("reasons")
    for row in figures.rows:
        times = [f"{value:,.1f}" for value in (row.p50, row.p99, row.worst)]
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(row.reasons.items()))
        table.add_row(row.what, str(row.requests), str(row.lost), str(row.late), *times, reasons)
    console.print(table)
    console.print(figures.machine.line())
