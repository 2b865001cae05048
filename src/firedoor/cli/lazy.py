"""Groups that import a command's file when it is called: `firedoor shut` must not wait for a database layer."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup


class Lazy(NamedTuple):
    """Where a command is: file in `firedoor.cli`, function or `typer.Typer` in it. `panel` groups it in help."""

    file: str
    name: str = "app"
    panel: str | None = None


def lazy_group(table: Mapping[str, Lazy]) -> type[TyperGroup]:
    """A group of the commands in `table`, in that order."""

    class Group(TyperGroup):
        """Knows its commands by name only, until one is asked for. Contexts and commands are of typer's own types."""

        def list_commands(self, ctx: Any) -> list[str]:
            """All names, in the order of the table."""
            del ctx
            return list(table)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            """Import the command's file; None for a name that is not in the table."""
            del ctx
            return _load(cmd_name, table[cmd_name]) if cmd_name in table else None

    return Group


def _load(called: str, lazy: Lazy) -> Any:
    found = getattr(import_module(f"firedoor.cli.{lazy.file}"), lazy.name)
    if isinstance(found, typer.Typer):
        command: Any = typer.main.get_group(found)
    else:
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(called)(found)
        command = typer.main.get_command(alone)
    command.name = called
    command.rich_help_panel = lazy.panel
    return command
