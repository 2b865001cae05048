"""What the audience sees: a timeline with times, and tables."""

from __future__ import annotations

import time

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text


class Screen:
    """The demonstration's terminal. Times count from the curtain."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._began = time.monotonic()

    def chapter(self, title: str) -> None:
        """A new part of the play."""
        self.console.print()
        self.console.rule(f"[bold]{escape(title)}", align="left")

    def tell(self, text: str, style: str = "") -> None:
        """One line of the timeline."""
        passed = f"{time.monotonic() - self._began:6.2f} s "
        self.console.print(Text(passed, style="dim") + Text(text, style=style))

    def table(self, title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        """A table; cells are plain text."""
        table = Table(title=title, title_justify="left", show_lines=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self.console.print(table)

    def verdict(self, checks: list[tuple[str, bool, str]]) -> bool:
        """The final table; returns whether everything held."""
        table = Table(title="What had to hold", title_justify="left")
        for column in ("promise", "held", "seen"):
            table.add_column(column, overflow="fold")
        for promise, held, seen in checks:
            table.add_row(promise, "[green]yes[/]" if held else "[bold red]NO[/]", escape(seen))
        self.console.print(table)
        return all(held for _, held, _ in checks)
