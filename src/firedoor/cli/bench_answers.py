"""The tables of `firedoor bench answers`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from firedoor.bench.answers import AnswerFigures, Cell

_LIMITS = (
    "Invented content, made from lists of words: it shows that the disguises are undone, not every leak there is.\n"
    "Not measured because not covered: paraphrase, translation, what can be derived, acrostics."
)


def show_answers(figures: AnswerFigures, console: Console) -> None:
    """Print `figures`."""
    _show_recall(figures, console)
    _show_changed(figures.changed, console)
    _show_ways(figures, console)
    clean, stream, speed, index = figures.clean, figures.stream, figures.speed, figures.index
    console.print(
        f"Clean answers: {clean.answers:,}, of which {clean.alarms} with a false leak, {clean.doubts} with a doubt"
        + (f" ({', '.join(f'{kind} {count}' for kind, count in sorted(clean.kinds.items()))})" if clean.kinds else "")
        + "."
    )
    released = ", ".join(f"{what} {count}" for what, count in stream.released.items())
    console.print(f"Streamed four characters at a time, normalised characters that left before the stop: {released}.")
    console.print(
        f"Held back of clean answers: p50 {stream.held_p50:.0f} characters, most {stream.held_max} "
        f"({stream.held_max / 4:.0f} tokens, {stream.held_max_normalised} normalised characters)."
    )
    console.print(f"CPU us a character: {speed.whole:.2f} for whole answers, {speed.tokens:.2f} four at a time.")
    console.print(
        f"Index of {index.fingerprints:,} fingerprints: {index.mapped / 1e6:.0f} MB mapped, built in "
        f"{index.build_seconds:.1f} s, opened in {1000 * index.open_seconds:.0f} ms, "
        f"{index.lookup_us:.2f} us a look-up."
    )
    console.print(_LIMITS)
    console.print(figures.machine.line())


def _show_recall(figures: AnswerFigures, console: Console) -> None:
    table = _table("Found of what leaked, in %, inside an ordinary answer", "written")
    cells = {(cell.what, cell.how, cell.length): cell for cell in figures.recall}
    columns = sorted({(cell.what, cell.length) for cell in figures.recall}, key=_order)
    for what, length in columns:
        table.add_column(f"{what} {length}" if length else what, justify="right", no_wrap=True)
    for how in dict.fromkeys(cell.how for cell in figures.recall):
        table.add_row(how, *(_percent(cells.get((what, how, length))) for what, length in columns))
    console.print(table)


def _show_changed(changed: list[Cell], console: Console) -> None:
    table = _table("Found of stretches of documents, in %", "changed")
    lengths = sorted({cell.length for cell in changed})
    for length in lengths:
        table.add_column(f"{length} characters", justify="right", no_wrap=True)
    cells = {(cell.how, cell.length): cell for cell in changed}
    for how in dict.fromkeys(cell.how for cell in changed):
        table.add_row(how, *(_percent(cells.get((how, length))) for length in lengths))
    console.print(table)


def _show_ways(figures: AnswerFigures, console: Console) -> None:
    table = _table("Beside other ways: found, in %; documents of 120 characters", "way")
    for name in ("documents", "disguised", "values", "disguised", "characters before the first"):
        table.add_column(name, justify="right", no_wrap=True)
    for way in figures.ways:
        shares = (way.documents, way.disguised_documents, way.values, way.disguised_values)
        table.add_row(way.name, *(f"{100 * share:.1f}" for share in shares), f"{way.first_p50:.0f}")
    console.print(table)


def _order(column: tuple[str, int]) -> tuple[bool, str, int]:
    what, length = column
    return what != "document", what, length


def _percent(cell: Cell | None) -> str:
    return "" if cell is None else f"{100 * cell.share:.1f}"


def _table(title: str, first: str) -> Table:
    table = Table(title=title)
    table.add_column(first, no_wrap=True)
    return table
