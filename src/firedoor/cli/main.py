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
    doctor_cmds,
    evidence_cmds,
    keys_cmds,
    people_cmds,
    plan_cmds,
    protect_cmds,
    repair_cmds,
    retention_cmds,
    seal_cmds,
    search_cmds,
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
app.command(rich_help_panel=_FIRST)(doctor_cmds.doctor)
app.add_typer(people_cmds.people_app, name="people", rich_help_panel=_FIRST)
app.add_typer(credential_cmds.app, name="credentials", rich_help_panel=_FIRST)
app.add_typer(protect_cmds.app, name="protect", rich_help_panel=_FIRST)
app.command("client-file", rich_help_panel=_FIRST)(client_cmds.export)
app.command(rich_help_panel=_RUN)(serve_cmds.up)
app.command(rich_help_panel=_RUN)(serve_cmds.gateway)
app.command(rich_help_panel=_RUN)(serve_cmds.control)
app.command(rich_help_panel=_RUN)(serve_cmds.agent)
app.add_typer(bench_cmds.app, name="bench", rich_help_panel=_RUN)
app.command(rich_help_panel=_NIGHT)(switch_cmds.shut)
app.command("open", rich_help_panel=_NIGHT)(switch_cmds.open_)
app.command(rich_help_panel=_NIGHT)(switch_cmds.approve)
app.command(rich_help_panel=_NIGHT)(switch_cmds.requests)
app.command(rich_help_panel=_NIGHT)(switch_cmds.switches)
app.add_typer(evidence_cmds.app, name="evidence", rich_help_panel=_NIGHT)
app.add_typer(keys_cmds.app, name="keys", rich_help_panel=_RUN)
keys_cmds.app.command("erase-subject")(retention_cmds.erase_subject)
keys_cmds.app.command("seal")(seal_cmds.seal)
keys_cmds.app.command("open")(seal_cmds.open_)
evidence_cmds.app.command("search")(search_cmds.search)
evidence_cmds.app.command("repair")(repair_cmds.repair)
evidence_cmds.app.command("new-log")(repair_cmds.new_log)
evidence_cmds.app.command("expire")(retention_cmds.expire)
evidence_cmds.app.add_typer(retention_cmds.hold_app, name="hold")


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
