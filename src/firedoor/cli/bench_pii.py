"""The tables of `firedoor bench pii`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from firedoor.bench.pii import LabelQuality, PiiFigures, Quality, Tool

_QUALITY = ("texts", "char F1", "precision", "recall", "values", "values left", "false alarms / 1,000")
_LABEL = ("values", "values left", "recall", "precision", "char F1", "false spans")


def show_pii(figures: PiiFigures, console: Console) -> None:
    """Print `figures`."""
    for tool in figures.tools:
        _show(tool, console)
    if not figures.peer_installed:
        console.print("Presidio is not installed here (presidio-analyzer): nothing to compare with.")
    if figures.data == "sample":
        console.print(
            "The sample is made from the templates that the classifier learnt from: it shows that detection works,\n"
            "not how well it does on texts it has never seen. Give it labelled texts of your own with --data."
        )
    console.print(figures.machine.line())


def _show(tool: Tool, console: Console) -> None:
    table = _table(tool.name, "set", _QUALITY)
    for one in tool.sets:
        table.add_row(*_quality(one))
    table.add_section()
    table.add_row(*_quality(tool.mean))
    table.add_section()
    for one in tool.languages:
        table.add_row(*_quality(one))
    console.print(table)
    labels = _table(f"{tool.name}, by label", "label", _LABEL)
    for label in tool.labels:
        labels.add_row(*_label(label))
    console.print(labels)
    speed = tool.speed
    console.print(
        f"CPU ms per 500 characters: p50 {_number(speed.p50, 2)}, p99 {_number(speed.p99, 2)} (texts of 200 or more), "
        f"mean {speed.mean:.2f} (all). A process of its own: {tool.cost.load_seconds:.2f} s to the first answer, "
        f"{tool.cost.rss_mib:.0f} MiB resident."
    )


def _table(title: str, first: str, columns: tuple[str, ...]) -> Table:
    table = Table(title=title)
    table.add_column(first, no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _quality(one: Quality) -> list[str]:
    parts = (one.f1, one.precision, one.recall)
    return [
        one.name,
        f"{one.texts:,}",
        *(_number(part, 3) for part in parts),
        f"{one.values:,}",
        _number(one.left, 3),
        f"{one.alarms:.1f}",
    ]


def _label(one: LabelQuality) -> list[str]:
    parts = (one.left, one.recall, one.precision, one.f1)
    return [one.label, f"{one.values:,}", *(_number(part, 3) for part in parts), str(one.false)]


def _number(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:.{places}f}"
