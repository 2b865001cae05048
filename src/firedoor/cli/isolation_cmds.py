"""`firedoor models isolate`, `isolated`: a model instance as evidence, and how far its isolation is."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from firedoor.api import shapes
from firedoor.cli.control_client import ControlClient
from firedoor.cli.options import (
    HomeOption,
    JsonOption,
    RegionOption,
    echo_json,
    moment,
    printable,
    read_plan,
    regions_on_disk,
)
from firedoor.cli.passphrase import PassphraseFileOption
from firedoor.cli.signing import AsOption, KeyOption, NoteHelp, Signer
from firedoor.cli.switch_cmds import How
from firedoor.config import Home, RegionHome
from firedoor.core.isolation import Halted, Isolated, replaces
from firedoor.core.plan.model import Model, Plan
from firedoor.core.switches import Scope
from firedoor.errors import FiredoorError, SetupError
from firedoor.store import planfile
from firedoor.store.isolated import IsolationFiles
from firedoor.upstream.procs import identity, process

Why = Literal["leak", "operator", "suspicion", "maintenance"]

WAIT = 30.0
"""Seconds to wait for the isolation to be on record: weights of some gigabytes are hashed meanwhile."""
LOOK = 0.1

REPLACE_KEY = (
    "Firedoor cannot revoke its API key. Revoke it at the provider and replace {file}: workers take the new one."
)
NO_KEY = "It has no API key here. Whoever reaches its address can ask it: shut it off there, too."


def isolate(
    model: Annotated[str, typer.Argument(help="The model instance, as the plan names it.")],
    as_: AsOption,
    how: Annotated[
        How, typer.Option("--how", help="Halt its process for forensics, end it, or only cut it off.")
    ] = "freeze",
    reason: Annotated[Why, typer.Option("--reason", help="Why.")] = "suspicion",
    note: Annotated[str | None, typer.Option("--note", help=NoteHelp)] = None,
    region: RegionOption = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shut a model instance for everybody, take its key away, keep its state as evidence."""
    where = Home.find(home)
    plan = read_plan(where)
    place = _place(where, plan, model, region)
    client = ControlClient(place)
    digest = client.switches().plan
    signer = Signer(where, as_, key, passphrase_file)
    args = {"scope": str(Scope(place.name, model=model)), "reason": reason, "isolate": how}
    act = signer.act(place, digest, "shut", args, note)
    result = client.shut(act, signer.sign(act), note)
    noted = _wait(IsolationFiles(place.isolated, place.run), model, how)
    if as_json:
        row = _row(place, noted, plan.models.get(model), where) if noted is not None else None
        echo_json({"scope": result.scope, "changed": result.changed, "version": result.version, "isolated": row})
        return
    _print(place, result, noted, plan.models[model], where)


def isolated(home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Which model instances are isolated, since when, what was done, and what their processes do now."""
    where = Home.find(home)
    models: dict[str, Model] = {}
    with contextlib.suppress(FiredoorError):  # without the plan it says all but what is to be done at a provider
        models = planfile.load(where.plan).plan.models
    rows: list[dict[str, Any]] = []
    for place in regions_on_disk(where, region):
        files = IsolationFiles(place.isolated, place.run)
        for model in files.models():
            try:
                note = files.note(model)
            except FiredoorError as error:
                rows.append({"region": place.name, "model": model, "problem": error.message})
                continue
            if note is not None:
                rows.append(_row(place, note, models.get(model), where))
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        _print_row(row)
    if not rows:
        typer.echo("No model instance is isolated.")


def _place(home: Home, plan: Plan, model: str, region: str | None) -> RegionHome:
    """The region of a model instance. Raises `SetupError`."""
    declared = plan.models.get(model)
    if declared is None:
        raise SetupError(f"The plan has no model instance {model}.", remedy=f"It has: {', '.join(plan.models)}.")
    if region not in {None, declared.region}:
        raise SetupError(f"Model instance {model} is not in region {region}.", remedy=f"It is in {declared.region}.")
    return home.region(declared.region)


def _wait(files: IsolationFiles, model: str, how: How) -> Isolated | None:
    """The note once all is on record, or what there is of it after `WAIT`; None if control has noted nothing."""
    deadline = time.monotonic() + WAIT
    while True:
        try:
            note = files.note(model)
        except FiredoorError:  # control is about to replace it
            note = None
        done = note is not None and note.next is None and not replaces(note, how)
        if done or time.monotonic() >= deadline:
            return note
        time.sleep(LOOK)


def _row(place: RegionHome, note: Isolated, declared: Model | None, home: Home) -> dict[str, Any]:
    said = _said(place, note)
    row: dict[str, Any] = {
        "region": place.name,
        "model": note.model,
        "how": note.how,
        "since": note.at,
        "reason": note.reason,
        "by": list(note.by),
        "version": note.version,
        "steps": list(note.steps),
        "next": note.next,
        "opened": note.releasing,
        "key": note.details.get("key", "unknown"),
        "evidence": note.id if note.record else None,
        "process": said.did if said is not None else "unconfirmed" if note.own else "not_ours",
        "pid": said.pid if said is not None else None,
        "processes": len(said.processes) if said is not None else 0,
        "state": _state(said),
        "woken": said.woken if said is not None else 0,
        "why": said.why if said is not None else "",
    }
    if not note.own and declared is not None:
        row["todo"] = _todo(declared, note, home)
    return row


def _said(place: RegionHome, note: Isolated) -> Halted | None:
    """What the process's parent says now, else what it said when it was recorded."""
    try:
        said = IsolationFiles(place.isolated, place.run).halted(note.model)
    except FiredoorError:
        said = None
    return said if said is not None and said.about(note) else note.halted


def _state(said: Halted | None) -> str | None:
    """The state of the process now, as proc(5) calls it: T is halted. None if it is gone."""
    if said is None or said.pid is None or not said.born or identity(said.pid) != said.born:
        return None
    found = process(said.pid)
    return found.state if found is not None else None


def _todo(declared: Model, note: Isolated, home: Home) -> str | None:
    """What a person has to do about the key of an instance that is not ours; None when it looks done."""
    if declared.api_key_file is None:
        return NO_KEY
    path = home.plan.parent / declared.api_key_file
    try:
        replaced = path.stat().st_mtime > note.at
    except OSError:
        replaced = False
    return None if replaced else REPLACE_KEY.format(file=Path(declared.api_key_file))


def _print(place: RegionHome, result: shapes.Result, note: Isolated | None, declared: Model, home: Home) -> None:
    typer.echo(f"{result.scope} {'is shut' if result.changed else 'was shut already'}.")
    if note is None:
        typer.echo("The isolation is not noted yet: see `firedoor models isolated`.", err=True)
        return
    _print_row(_row(place, note, declared, home))
    typer.echo("Two persons let a fresh process with a fresh key take its place:")
    typer.echo(f'  firedoor open "{result.scope}" --note "WHY" --as YOU')


def _print_row(row: dict[str, Any]) -> None:
    head = f"{row['region']}/{row['model']}"
    if "problem" in row:
        typer.echo(printable(f"{head}: {row['problem']}"))
        return
    pid = f" (process {row['pid']}, state {row['state'] or 'gone'})" if row["pid"] is not None else ""
    typer.echo(f"{head}: {row['how']} since {moment(row['since'])} by {', '.join(row['by'])} for {row['reason']}")
    typer.echo(f"  key: {row['key']}; process: {row['process']}{pid} {row['why']}".rstrip())
    if row["woken"]:
        typer.echo(f"  SOMEBODY CONTINUED IT {row['woken']} times; it was halted again")
    if row["next"] is not None:
        typer.echo(f"  NOT DONE YET: {row['next']} (done: {', '.join(row['steps']) or 'nothing'})")
    else:
        typer.echo(f"  recorded: firedoor evidence show {row['evidence']}")
    if row["opened"]:
        typer.echo("  two persons opened it: a fresh process is about to take its place")
    if row.get("todo"):
        typer.echo(f"  TO DO: {row['todo']}")
