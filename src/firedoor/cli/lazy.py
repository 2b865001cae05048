"""Groups of commands that import a command's file when it is called: `firedoor shut` must not wait for a database layer."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import NamedTuple

import click
import typer
from typer.core import TyperGroup


class Lazy(NamedTuple):
    """Where a command is: file in `firedoor.cli`, and the function or `typer.Typer` in it. `panel` groups it in help."""

    file: str
    name: str = "app"
    panel: str | None = None


def lazy_group(table: Mapping[str, Lazy]) -> type[TyperGroup]:
    """A group of the commands in `table`, in that order."""

    class Group(TyperGroup):
        """Knows its commands by name only, until one is asked for."""

        def list_commands(self, ctx: click.Context) -> list[str]:
            """All names, in the order of the table."""
            del ctx
            return list(table)

        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            """Import the command's file; None for a name that is not in the table."""
            del ctx
            return _load(cmd_name, table[cmd_name]) if cmd_name in table else None

    return Group


def _load(called: str, lazy: Lazy) -> click.Command:
    found = getattr(import_module(f"firedoor.cli.{lazy.file}"), lazy.name)
    if isinstance(found, typer.Typer):
        command: click.Command = typer.main.get_group(found)
    else:
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(called)(found)
        command = typer.main.get_command(alone)
    command.name = called
    command.rich_help_panel = lazy.panel  # type: ignore[attr-defined]  # what typer's help looks at
    return command
