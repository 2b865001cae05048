"""The tables of `firedoor bench quality`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from firedoor.bench.quality import QualityFigures
    from firedoor.bench.quality_figures import Group

_LIMITS = (
    "What it shows: placeholders survive a model, values come back, no placeholder is left for the shopper (left: 0).\n"
    "What it does not: whether answers are good. A model of 135 million parameters is no judge of that and writes\n"
    "poor ones. One seed does not make two prompts comparable: read (a) and (b) beside (a) and (c), which is how much\n"
    "the model differs from itself. Runs differ by a few answers; messages, persons and values are invented.\n"
    "A value is longer than its placeholder: an answer of so many tokens has room for more of the latter."
)


def show_quality(figures: QualityFigures, console: Console) -> None:
    """Print `figures`."""
    _show_likeness(figures, console)
    _show_ways(figures.groups, console)
    _show_placeholders(figures, console)
    _show_probes(figures, console)
    console.print(_LIMITS)
    console.print(f"{figures.model}, answers of at most {figures.tokens} tokens, {figures.seconds:.0f} s.")
    console.print(figures.machine.line())


def _show_likeness(figures: QualityFigures, console: Console) -> None:
    table = _table("How alike answers are: ROUGE-L / F1 of words, 1 is the same words", "messages")
    for name in ("n", "(a) and (b)", "(a) and (c)", "(a) and (a) to another", "a-b less a-c, ROUGE-L"):
        table.add_column(name, justify="right", no_wrap=True)
    for group in figures.groups:
        near = (group.minimised, group.warm, group.unrelated)
        alike = ["-" if one is None else f"{one.rouge_l:.2f} / {one.f1:.2f}" for one in near]
        error = "" if group.error is None else f" ± {group.error:.2f}"
        table.add_row(group.name, str(group.messages), *alike, f"{group.difference:+.2f}{error}")
    console.print(table)


def _show_ways(groups: list[Group], console: Console) -> None:
    table = _table("What answers are like; (c): another seed, temperature 0.7", "messages")
    table.add_column("answers", no_wrap=True)
    for name in ("words", "right language", "shopper's values", "of (a)'s, here too", "example's values"):
        table.add_column(name, justify="right", no_wrap=True)
    for group in groups:
        for number, way in enumerate(group.ways):
            share = "-" if not way.repeated else f"{way.too} of {way.repeated}"
            about = [f"{way.words:.1f}", f"{way.right_language:.2f}", str(way.own), share, str(way.example)]
            table.add_row("" if number else group.name, way.name, *about)
        table.add_section()
    console.print(table)


def _show_placeholders(figures: QualityFigures, console: Console) -> None:
    kept = figures.kept
    console.print(
        f"Placeholders in {len(figures.cases)} answers (b): {kept.restored} restored, {kept.invented} invented, "
        f"{kept.garbled} garbled, {kept.ended} cut in two by the answer's end, {kept.left} left; "
        f"{figures.placeholders} told to the model, {figures.in_clear} values told in clear."
    )
    console.print(f"In answers (a), whose model was told none, {figures.templates} look like one.")


def _show_probes(figures: QualityFigures, console: Console) -> None:
    table = _table("Requests with one right answer", "asked for")
    for name in ("n", "(a) right", "(b) right", "(a) values", "(b) values", "restored", "invented", "garbled", "left"):
        table.add_column(name, justify="right", no_wrap=True)
    for probe in figures.probes:
        kept = probe.kept
        right = (probe.probes, probe.written, probe.minimised)
        values = [f"{one} of {probe.values}" for one in (probe.written_values, probe.minimised_values)]
        counts = (kept.restored, kept.invented, kept.garbled, kept.left)
        table.add_row(probe.kind, *map(str, right), *values, *map(str, counts))
    console.print(table)


def _table(title: str, first: str) -> Table:
    table = Table(title=title)
    table.add_column(first, no_wrap=True)
    return table
