"""`firedoor shut`, `open`, `approve`, `requests`, `switches`: signed here, by a key that never leaves this process."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from firedoor.agent.page import PageReader
from firedoor.api import shapes
from firedoor.cli.control_client import ControlClient
from firedoor.cli.options import HomeOption, JsonOption, RegionOption, echo_json, moment, printable, regions_on_disk
from firedoor.cli.passphrase import PassphraseFileOption, passphrase
from firedoor.config import Home, RegionHome
from firedoor.core.people import NOTE_CHARACTERS, Act, Signature, note_digest
from firedoor.core.switches import ANY, Scope, Table
from firedoor.errors import ActRefused, ControlUnreachable, FiredoorError
from firedoor.keys import people as keys

FRESH = 2.0
"""Seconds: the lease of a surface unless its plan says more. An older table opens nothing."""

SOMETHING_SHUT = 3
STALE = 4

ScopeArgument = Annotated[
    str, typer.Argument(metavar="SCOPE", help="region/shop/surface/model; missing parts or * mean all. Quote the *.")
]
AsOption = Annotated[str, typer.Option("--as", envvar="FIREDOOR_AS", help="Your id in the plan.")]
KeyOption = Annotated[Path | None, typer.Option("--key", help="Your key file; keys/ID.key unless named.")]
NoteHelp = f"Why, in at most {NOTE_CHARACTERS} characters; kept sealed in the evidence."
Why = Literal["leak", "operator", "suspicion", "maintenance"]


def shut(
    scope: ScopeArgument,
    as_: AsOption,
    reason: Annotated[Why, typer.Option("--reason", help="Why it is shut.")] = "operator",
    note: Annotated[str | None, typer.Option("--note", help=NoteHelp)] = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shut AI in a scope, at once. The fallback serves; checkout goes on."""
    where = Home.find(home)
    wanted = Scope.parse(scope)
    signer: _Signer | None = None
    failed: FiredoorError | None = None
    for region in regions_on_disk(where, None if wanted.region == ANY else wanted.region):
        try:
            client = ControlClient(region)
            plan = client.switches().plan
            signer = signer or _Signer(where, as_, key, passphrase_file)
            here = Scope(region.name, wanted.shop, wanted.surface, wanted.model)
            act = signer.act(region, plan, "shut", {"scope": str(here), "reason": reason}, note)
            _print_shut(client.shut(act, signer.sign(act), note), as_json=as_json)
        except (ControlUnreachable, ActRefused) as error:  # the other regions must be shut all the same
            if wanted.region != ANY:
                raise
            typer.echo(f"{region.name}: {error}", err=True)
            failed = error
    if failed is not None:
        raise failed


def open_(
    scope: ScopeArgument,
    as_: AsOption,
    note: Annotated[str, typer.Option("--note", help=NoteHelp)],
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask to open exactly the scope that is shut; a second person has to approve within 15 minutes."""
    where = Home.find(home)
    wanted = Scope.parse(scope)
    (region,) = regions_on_disk(where, wanted.region)
    client = ControlClient(region)
    plan = client.switches().plan
    signer = _Signer(where, as_, key, passphrase_file)
    act = signer.act(region, plan, "open", {"scope": str(wanted)}, note)
    request = client.propose(act, signer.sign(act), note)
    if as_json:
        echo_json({"id": request.id, "scope": str(wanted), "expires_at": request.expires_at})
        return
    typer.echo(f"Request {request.id}: {wanted} stays shut until a second person, with another key, runs")
    typer.echo(f"  firedoor approve {request.id} --as THEIR_ID --key THEIR_KEY_FILE")
    typer.echo(f"by {moment(request.expires_at)}.")


def approve(
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID")],
    as_: AsOption,
    key: KeyOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open as another person asked: shows exactly what you sign."""
    where = Home.find(home)
    name, dash, _ = request_id.rpartition("-")
    if not dash:
        raise ActRefused("unknown_request", f"{request_id!r} is no request id.", remedy="See `firedoor requests`.")
    (region,) = regions_on_disk(where, name)
    client = ControlClient(region)
    request = _find(client.requests(), region, request_id)
    typer.echo(f"{request.act.by} asks to open {request.act.scope}", err=True)
    typer.echo(f"note: {printable(request.note) if request.note is not None else '(sealed in the evidence)'}", err=True)
    typer.echo(f"You sign exactly this:\n{request.act.content.decode()}", err=True)
    if not yes and not typer.confirm("Sign and open?", err=True):
        raise typer.Exit(1)
    signer = _Signer(where, as_, key, passphrase_file)
    result = client.approve(request.id, signer.sign(request.act))
    if as_json:
        echo_json(_plain(result))
        return
    typer.echo(f"{result.scope} is open (table version {result.version}), by {' and '.join(result.by)}.")


def requests(home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Requests that wait for a second person."""
    waiting = [
        r for where in regions_on_disk(Home.find(home), region) for r in ControlClient(where).requests().requests
    ]
    if as_json:
        echo_json(
            [{"id": r.id, "scope": str(r.act.scope), "by": r.act.by, "expires_at": r.expires_at} for r in waiting]
        )
        return
    for r in waiting:
        note = printable(r.note) if r.note is not None else "(note sealed)"
        typer.echo(f"{r.id}  open {r.act.scope}  by {r.act.by}  until {moment(r.expires_at)}  {note}")
    if not waiting:
        typer.echo("No requests wait.")


def switches(home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """What is shut, as gateway workers see it. Exit code 0: all open; 3: something is shut; 4: stale, AI is off."""
    regions = [_state(where) for where in regions_on_disk(Home.find(home), region)]
    if as_json:
        echo_json({"regions": regions})
    else:
        for state in regions:
            _print_region(state)
    if any(state["state"] == "stale" for state in regions):
        raise typer.Exit(STALE)
    if any(state["state"] == "shut" for state in regions):
        raise typer.Exit(SOMETHING_SHUT)


class _Signer:
    """The person at this terminal, with their key unlocked."""

    def __init__(self, home: Home, person: str, key: Path | None, passphrase_file: Path | None) -> None:
        path = key or home.keys / f"{person}.key"
        self._person = person
        self._key = keys.load(path, passphrase(passphrase_file, whose=person))

    def act(
        self, region: RegionHome, plan: str, act: Literal["shut", "open"], args: dict[str, str], note: str | None
    ) -> Act:
        nonce = secrets.token_hex(16)
        bound = {} if note is None else {"note_sha256": note_digest(nonce, note)}
        return Act(
            region=region.name, act=act, args={**args, **bound}, plan=plan, by=self._person, made_at=int(time.time()),
            nonce=nonce,
        )  # fmt: skip

    def sign(self, act: Act) -> Signature:
        return self._key.sign(self._person, act)


def _find(waiting: shapes.Requests, region: RegionHome, request_id: str) -> shapes.WaitingRequest:
    """The request, checked here: what is shown is what will be signed, and the note is the one that was signed."""
    for request in waiting.requests:
        if request.id != request_id:
            continue
        act = request.act
        note_fits = request.note is None or act.args.get("note_sha256") == note_digest(act.nonce, request.note)
        if not note_fits or request_id != f"{region.name}-{act.digest[:12]}":
            raise ActRefused(
                "altered", "The request is not the one that was signed.", remedy="Do not sign; ask who sent it."
            )
        return request
    raise ActRefused("unknown_request", f"No request {request_id} waits.", remedy="See `firedoor requests`.")


def _plain(result: shapes.Result) -> dict[str, object]:
    return {name: getattr(result, name) for name in result.__struct_fields__}


def _print_shut(result: shapes.Result, *, as_json: bool) -> None:
    if as_json:
        echo_json(_plain(result))
        return
    typer.echo(f"{result.scope} {'is shut' if result.changed else 'was shut already'}.")
    if not result.durable or not result.recorded:
        typer.echo(
            "It holds, but the disk has not confirmed it: look at the disk, and at `firedoor switches`.", err=True
        )


def _state(where: RegionHome) -> dict[str, object]:
    """One region from its page and its files alone, so that this works when control does not."""
    reader = PageReader(where.page)
    table, age = reader.look()
    reader.close()
    file = where.shut_file.exists() or where.latch_file.exists()
    stale = age > FRESH
    rows = _rows(table)
    return {
        "region": where.name,
        "state": "stale" if stale else "shut" if rows or file else "open",
        "version": table.version if table else 0,
        "age_s": round(age, 3) if table and age != float("inf") else None,
        "shut_file": file,
        "shut": rows,
    }


def _rows(table: Table | None) -> list[dict[str, object]]:
    shut = sorted(table.shut, key=lambda s: s.scope) if table else []
    return [
        {"scope": str(s.scope), "since": s.since, "by": list(s.by), "reason": s.reason, "exchange": s.exchange}
        for s in shut
    ]


def _print_region(state: dict[str, object]) -> None:
    age = f"{state['age_s']} s old" if state["age_s"] is not None else "no beat"
    said = {"stale": "STALE: AI is off until control is back", "shut": "something is shut", "open": "all open"}
    typer.echo(f"{state['region']}: {said[str(state['state'])]} (table version {state['version']}, {age})")
    if state["shut_file"]:
        typer.echo(f"  SHUT file: all of {state['region']} is shut")
    rows = state["shut"]
    assert isinstance(rows, list)
    for row in rows:
        typer.echo(f"  {row['scope']}  shut  since {moment(row['since'])}  by {', '.join(row['by'])}  {row['reason']}")
