"""The command line: one file per topic, put together here. Errors of ours become one sentence and what to do next."""

from __future__ import annotations

import contextlib
import sys

import typer

from firedoor.cli.lazy import Lazy, lazy_group
from firedoor.errors import FiredoorError, PlanInvalid

_FIRST = "First steps"
_RUN = "Run"
_NIGHT = "At 3 a.m."
_DATA = "Personal data"

_COMMANDS = {
    "init": Lazy("plan_cmds", "init", _FIRST),
    "check": Lazy("plan_cmds", "check", _FIRST),
    "schema": Lazy("plan_cmds", "schema", _FIRST),
    "demo": Lazy("demo_cmds", "demo", _FIRST),
    "doctor": Lazy("doctor_cmds", "doctor", _FIRST),
    "people": Lazy("people_cmds", "people_app", _FIRST),
    "credentials": Lazy("credential_cmds", panel=_FIRST),
    "protect": Lazy("protect_cmds", panel=_FIRST),
    "client-file": Lazy("client_cmds", "export", _FIRST),
    "up": Lazy("serve_cmds", "up", _RUN),
    "gateway": Lazy("serve_cmds", "gateway", _RUN),
    "control": Lazy("serve_cmds", "control", _RUN),
    "agent": Lazy("serve_cmds", "agent", _RUN),
    "keys": Lazy("main", "keys", _RUN),
    "models": Lazy("models_cmds", panel=_RUN),
    "bench": Lazy("bench_cmds", panel=_RUN),
    "redteam": Lazy("redteam_cmds", "redteam", _RUN),
    "scan": Lazy("scan_cmds", panel=_DATA),
    "redact": Lazy("redact_cmds", "redact", _DATA),
    "shut": Lazy("switch_cmds", "shut", _NIGHT),
    "open": Lazy("switch_cmds", "open_", _NIGHT),
    "approve": Lazy("switch_cmds", "approve", _NIGHT),
    "requests": Lazy("switch_cmds", "requests", _NIGHT),
    "switches": Lazy("switches_show", panel=_NIGHT),
    "incident": Lazy("incident_cmds", panel=_NIGHT),
    "cache": Lazy("cache_cmds", panel=_NIGHT),
    "law": Lazy("law_cmds", panel=_NIGHT),
    "evidence": Lazy("main", "evidence", _NIGHT),
}

_KEYS = {
    "status": Lazy("keys_cmds", "status"),
    "audit": Lazy("keys_cmds", "audit_"),
    "rotate": Lazy("keys_cmds", "rotate"),
    "new-epoch": Lazy("keys_cmds", "new_epoch"),
    "erase-subject": Lazy("retention_cmds", "erase_subject"),
    "seal": Lazy("seal_cmds", "seal"),
    "open": Lazy("seal_cmds", "open_"),
}

_EVIDENCE = {
    "list": Lazy("evidence_cmds", "list_records"),
    "show": Lazy("bundle_cmds", "show"),
    "search": Lazy("search_cmds", "search"),
    "status": Lazy("evidence_cmds", "status"),
    "verify": Lazy("bundle_verify", "verify"),
    "export": Lazy("bundle_cmds", "export"),
    "request": Lazy("bundle_cmds", "request"),
    "approve": Lazy("bundle_cmds", "approve"),
    "requests": Lazy("bundle_cmds", "requests"),
    "hold": Lazy("retention_cmds", "hold_app"),
    "expire": Lazy("retention_cmds", "expire"),
    "keys": Lazy("evidence_cmds", "keys"),
    "repair": Lazy("repair_cmds", "repair"),
    "new-log": Lazy("repair_cmds", "new_log"),
    "witness-clock": Lazy("repair_cmds", "witness_clock"),
}

app = typer.Typer(
    name="firedoor",
    cls=lazy_group(_COMMANDS),
    help="The emergency plan of an online shop for leaks through its language models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
keys = typer.Typer(
    cls=lazy_group(_KEYS), no_args_is_help=True, help="The keys of a region, and the root that wraps them."
)
evidence = typer.Typer(
    cls=lazy_group(_EVIDENCE), no_args_is_help=True, help="What happened, and proof that the record was not changed."
)


@keys.callback()
@evidence.callback()
def _group() -> None:
    """Its commands are found by name."""


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata  # noqa: PLC0415  loads all that reads mail, for this line alone

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
        from firedoor.cli.plan_cmds import problems_text  # noqa: PLC0415  needed only now

        typer.echo(problems_text(error.source, error), err=True)
        sys.exit(1)
    except FiredoorError as error:
        typer.echo(f"firedoor: {error.message}", err=True)
        if error.remedy:
            typer.echo(f"  {error.remedy}", err=True)
        sys.exit(1)
