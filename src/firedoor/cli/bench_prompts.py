"""The tables of `firedoor bench prompts`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from firedoor.bench.prompts import PromptFigures, Share


def show_prompts(figures: PromptFigures, console: Console) -> None:
    """Print `figures`."""
    for title, shares in (
        ("Attacks seen, by kind", figures.kinds),
        ("by source", figures.sources),
        ("by language", figures.languages),
        ("by disguise", figures.encoders),
        ("Harmless texts taken for attacks", figures.alarms),
    ):
        if shares:
            console.print(_table(title, shares))
    curve = Table(title="Above a score, in %; a verdict begins at 0.5")
    for name in ("score", "attacks", "harmless chat", "harmless, looks like an attack"):
        curve.add_column(name, justify="right", no_wrap=True)
    for point in figures.curve:
        parts = (point.attacks, point.chat, point.hard)
        curve.add_row(f"{point.score:g}", *("-" if part is None else f"{100 * part:.2f}" for part in parts))
    console.print(curve)
    speed = figures.speed
    console.print(
        f"CPU ms per 1,000 characters: p50 {_ms(speed.p50)}, p99 {_ms(speed.p99)} (texts of 200 or more); "
        f"a shorter text takes {_ms(speed.short)} in all."
    )
    if figures.data == "sample":
        console.print(
            "The sample is the red-team suite: attacks that we thought of, and a harmless twin of each.\n"
            "Give it labelled prompts of your own with --data."
        )
    console.print(figures.machine.line())


def _table(title: str, shares: list[Share]) -> Table:
    table = Table(title=title)
    table.add_column("", no_wrap=True)
    for name in ("texts", "seen", "%", "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in shares:
        interval = f"{100 * one.low:.1f} - {100 * one.high:.1f}"
        table.add_row(one.name, f"{one.texts:,}", f"{one.seen:,}", f"{100 * one.part:.1f}", interval)
    return table


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
