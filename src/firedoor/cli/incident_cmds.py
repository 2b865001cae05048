"""`firedoor incident`: the group of the commands about cases."""

from __future__ import annotations

import typer

from firedoor.cli.lazy import Lazy, lazy_group

_LOOK = "Look"
_WORK = "Work"
_LAW = "Answer for it in law"
_CASES = "Cases among each other"
_PROOF = "Prove it, mend it"

_COMMANDS = {
    "list": Lazy("incident_show", "list_", _LOOK),
    "show": Lazy("incident_show", "show", _LOOK),
    "affected": Lazy("incident_show", "affected", _LOOK),
    "clocks": Lazy("incident_show", "clocks", _LOOK),
    "severity": Lazy("incident_severity", "severity", _LOOK),
    "open": Lazy("incident_open", "open_", _WORK),
    "ack": Lazy("incident_work", "ack", _WORK),
    "assign": Lazy("incident_work", "assign", _WORK),
    "note": Lazy("incident_work", "note", _WORK),
    "task": Lazy("incident_work", "task", _WORK),
    "done": Lazy("incident_work", "done", _WORK),
    "correct": Lazy("incident_work", "correct", _WORK),
    "resolve": Lazy("incident_work", "resolve", _WORK),
    "close": Lazy("incident_work", "close", _WORK),
    "reopen": Lazy("incident_work", "reopen", _WORK),
    "aware": Lazy("incident_law", "aware", _LAW),
    "moment": Lazy("incident_law", "moment", _LAW),
    "decide": Lazy("incident_law", "decide", _LAW),
    "submitted": Lazy("incident_law", "submitted", _LAW),
    "waive": Lazy("incident_law", "waive", _LAW),
    "people": Lazy("incident_people", "people", _LAW),
    "link": Lazy("incident_open", "link", _CASES),
    "handover": Lazy("incident_open", "handover", _CASES),
    "merge": Lazy("incident_open", "merge", _CASES),
    "split": Lazy("incident_open", "split", _CASES),
    "restrict": Lazy("incident_open", "restrict", _CASES),
    "verify": Lazy("incident_verify", "verify", _PROOF),
    "restore": Lazy("incident_restore", "restore", _PROOF),
}

app = typer.Typer(
    cls=lazy_group(_COMMANDS),
    no_args_is_help=True,
    help="A case from its first minute to its end: what happened, who is affected, which clocks run, what was decided.",
)


@app.callback()
def _group() -> None:
    """Its commands are found by name."""
