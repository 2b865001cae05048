"""The command line: one file per topic, put together here. Errors of ours become one sentence and what to do next."""

from __future__ import annotations

import contextlib
import sys
from importlib import metadata

import typer

from firedoor.cli import (
    bench_cmds,
    client_cmds,
    credential_cmds,
    demo_cmds,
    evidence_cmds,
    people_cmds,
    plan_cmds,
    protect_cmds,
    serve_cmds,
    switch_cmds,
)
from firedoor.errors import FiredoorError, PlanInvalid

app = typer.Typer(
    name="firedoor",
    help="The emergency plan of an online shop for leaks through its language models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

_FIRST = "First steps"
_RUN = "Run"
_NIGHT = "At 3 a.m."

app.command(rich_help_panel=_FIRST)(plan_cmds.init)
app.command(rich_help_panel=_FIRST)(plan_cmds.check)
app.command(rich_help_panel=_FIRST)(plan_cmds.schema)
app.command(rich_help_panel=_FIRST)(demo_cmds.demo)
app.add_typer(people_cmds.people_app, name="people", rich_help_panel=_FIRST)
app.add_typer(credential_cmds.app, name="credentials", rich_help_panel=_FIRST)
app.add_typer(protect_cmds.app, name="protect", rich_help_panel=_FIRST)
app.command("client-file", rich_help_panel=_FIRST)(client_cmds.export)
app.command(rich_help_panel=_RUN)(serve_cmds.up)
app.command(rich_help_panel=_RUN)(serve_cmds.gateway)
app.command(rich_help_panel=_RUN)(serve_cmds.control)
app.add_typer(bench_cmds.app, name="bench", rich_help_panel=_RUN)
app.command(rich_help_panel=_NIGHT)(switch_cmds.shut)
app.command("open", rich_help_panel=_NIGHT)(switch_cmds.open_)
app.command(rich_help_panel=_NIGHT)(switch_cmds.approve)
app.command(rich_help_panel=_NIGHT)(switch_cmds.requests)
app.command(rich_help_panel=_NIGHT)(switch_cmds.switches)
app.add_typer(evidence_cmds.app, name="evidence", rich_help_panel=_NIGHT)


def _show_version(wanted: bool) -> None:
    if wanted:
        with contextlib.suppress(metadata.PackageNotFoundError):  # run from a checkout
            typer.echo(f"firedoor {metadata.version('firedoor')}")
        raise typer.Exit


@app.callback()
def _root(
    _: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Print the version."),
) -> None:
    """The options before the command."""


def main() -> None:
    """Run a command. Exit status 1: it was refused or could not be done; 2: it was called wrongly."""
    try:
        app()
    except PlanInvalid as error:
        typer.echo(plan_cmds.problems_text(error.source, error), err=True)
        sys.exit(1)
    except FiredoorError as error:
        typer.echo(f"firedoor: {error.message}", err=True)
        if error.remedy:
            typer.echo(f"  {error.remedy}", err=True)
        sys.exit(1)
