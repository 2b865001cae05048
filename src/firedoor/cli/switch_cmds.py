"""`firedoor shut`, `open`, `approve`, `requests`: signed here, by a key that never leaves this process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Annotated, Literal

import typer
from msgspec import structs

from firedoor.api import shapes
from firedoor.cli.control_client import ControlClient
from firedoor.cli.options import HomeOption, JsonOption, RegionOption, echo_json, moment, printable, regions_on_disk
from firedoor.cli.passphrase import PassphraseFileOption
from firedoor.cli.signing import AsOption, KeyOption, NoteHelp, Signer
from firedoor.config import Home, RegionHome
from firedoor.core.people import Act, note_digest
from firedoor.core.switches import ANY, Scope
from firedoor.errors import ActRefused, FiredoorError, KeyUnusable, SetupError

ScopeArgument = Annotated[
    str, typer.Argument(metavar="SCOPE", help="region/shop/surface/model; missing parts or * mean all. Quote the *.")
]
Why = Literal["leak", "operator", "suspicion", "maintenance", "drill"]
How = Literal["cut", "freeze", "stop"]


def shut(
    scope: ScopeArgument,
    as_: AsOption,
    reason: Annotated[Why | None, typer.Option("--reason", help="Why it is shut.  [operator, or drill]")] = None,
    note: Annotated[str | None, typer.Option("--note", help=NoteHelp)] = None,
    drill: Annotated[str | None, typer.Option("--drill", help="Shut as part of this drill: it ends with it.")] = None,
    isolate: Annotated[
        How | None,
        typer.Option("--isolate", help="For REGION/*/*/MODEL: give it a new key only, halt its process, or end it."),
    ] = None,
    incident: Annotated[str | None, typer.Option("--incident", help="The case that it belongs to.")] = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shut AI in a scope, at once. The fallback serves; checkout goes on."""
    where = Home.find(home)
    wanted = Scope.parse(scope)
    named = {"drill": drill, "isolate": isolate, "incident": incident}
    args = {name: value for name, value in named.items() if value is not None}
    args["reason"] = reason or ("operator" if drill is None else "drill")
    signer: Signer | None = None
    failed = False
    for region, here in _places(where, wanted, alone=drill is not None):
        try:
            client = ControlClient(region)
            plan = client.switches().plan
            signer = signer or Signer(where, as_, key, passphrase_file)
            act = signer.act(region, plan, "shut", {"scope": str(here), **args}, note)
            _print_shut(client.shut(act, signer.sign(act), note), as_json=as_json)
        except (KeyUnusable, SetupError):  # the key's: it would be the same everywhere
            raise
        except FiredoorError as error:  # the other regions must be shut all the same
            if wanted.region != ANY:
                raise
            typer.echo(f"{region.name}: {error}", err=True)
            failed = True
    if failed:
        raise typer.Exit(1)


def open_(
    as_: AsOption,
    scope: Annotated[
        str | None,
        typer.Argument(metavar="[SCOPE]", help="Exactly what is shut. With --drill none, or a region.  Quote the *."),
    ] = None,
    note: Annotated[str | None, typer.Option("--note", help=NoteHelp)] = None,
    drill: Annotated[
        str | None, typer.Option("--drill", help="Open all that this drill shut, at once and without a second person.")
    ] = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask to open exactly the scope that is shut; a second person has to approve within 15 minutes."""
    where = Home.find(home)
    if drill is not None:
        _end_drill(where, scope, drill, note, lambda: Signer(where, as_, key, passphrase_file), as_json=as_json)
        return
    if scope is None or note is None:
        raise typer.BadParameter("To open takes a SCOPE and a --note; what a drill shut takes --drill.")
    wanted = Scope.parse(scope)
    region = _keeper(where, wanted)
    client = ControlClient(region)
    table = client.switches()
    of = next((s.version for s in table.shut if s.scope == str(wanted)), 0)
    signer = Signer(where, as_, key, passphrase_file)
    act = signer.act(region, table.plan, "open", {"scope": str(wanted), "of": str(of)}, note)
    request = client.propose(act, signer.sign(act), note)
    if as_json:
        echo_json({"id": request.id, "scope": str(wanted), "of": of, "expires_at": request.expires_at})
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
    typer.echo(_what_is_shut(client.switches(), request.act), err=True)
    typer.echo(f"note: {printable(request.note) if request.note is not None else '(sealed in the evidence)'}", err=True)
    typer.echo(f"You sign exactly this:\n{request.act.content.decode()}", err=True)
    if not yes and not typer.confirm("Sign and open?", err=True):
        raise typer.Exit(1)
    signer = Signer(where, as_, key, passphrase_file)
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


def _places(home: Home, wanted: Scope, *, alone: bool) -> list[tuple[RegionHome, Scope]]:
    """Where to ask for `wanted`: its region; for all regions the one that keeps their switches, else each one here.

    `alone` asks each region by itself: a drill lies in one.
    """
    if wanted.region != ANY:
        return [(region, wanted) for region in regions_on_disk(home, wanted.region)]
    keeper = None if alone else _keeper_of_all(home)
    if keeper is not None:
        return [(keeper, wanted)]
    return [(region, structs.replace(wanted, region=region.name)) for region in regions_on_disk(home, None)]


def _keeper_of_all(home: Home) -> RegionHome | None:
    """The region that keeps the switches of all regions, if its control answers on this machine."""
    for region in regions_on_disk(home, None):
        with contextlib.suppress(FiredoorError):
            if ControlClient(region).switches().home == region.name:
                return region
    return None


def _keeper(home: Home, wanted: Scope) -> RegionHome:
    """The region whose table holds the switch at `wanted`. Raises `ActRefused`.

    One of all regions may still stand in the table of a region that kept them under an earlier plan.
    """
    if wanted.region != ANY:
        (region,) = regions_on_disk(home, wanted.region)
        return region
    keeper = _keeper_of_all(home)
    for region in (*([keeper] if keeper is not None else []), *regions_on_disk(home, None)):
        with contextlib.suppress(FiredoorError):
            if any(switch.scope == str(wanted) for switch in ControlClient(region).switches().shut):
                return region
    if keeper is None:
        raise ActRefused(
            "other_region",
            "No region on this machine keeps the switches of all regions.",
            remedy="Open it where the plan's switches.home lives, or open each region by itself.",
        )
    return keeper


def _end_drill(
    home: Home, scope: str | None, drill: str, note: str | None, signer: Callable[[], Signer], *, as_json: bool
) -> None:
    """End `drill` in every region here where it shut something, or in the one named."""
    where = Scope.parse(scope or ANY)
    if where != Scope(where.region):
        raise typer.BadParameter("A drill ends as a whole: with --drill name a region, or none for all.")
    scope = None if where.region == ANY else scope
    who: Signer | None = None
    ended = []
    for region in regions_on_disk(home, None if scope is None else where.region):
        client = ControlClient(region)
        table = client.switches()
        if scope is None and all(s.drill != drill for s in table.drills):
            continue
        who = who or signer()
        act = who.act(region, table.plan, "end_drill", {"drill": drill}, note)
        result = client.end_drill(act, who.sign(act), note)
        ended.append({"region": region.name, "drill": drill, "version": result.version})
    if not ended:
        raise ActRefused("no_drill", f"No drill {drill!r} has shut anything here.", remedy="See `firedoor switches`.")
    if as_json:
        echo_json(ended)
        return
    for one in ended:
        typer.echo(f"{one['region']}: drill {drill} has ended (table version {one['version']}); real switches stay.")


def _what_is_shut(table: shapes.Switches, act: Act) -> str:
    """The shut that would be opened, for who approves."""
    of = act.args.get("of", "")
    for switch in table.shut:
        if switch.scope == str(act.scope) and str(switch.version) == of:
            by = ", ".join(switch.by)
            return printable(f"shut since {moment(switch.since)} by {by} for: {switch.reason} (table version {of})")
    return "That scope was shut again since, or opened: control will refuse."


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
    drill = f" in drill {result.drill}" if result.drill is not None else ""
    typer.echo(f"{result.scope} {'is shut' if result.changed else 'was shut already'}{drill}.")
    if not result.durable or not result.recorded:
        typer.echo(
            "It holds, but the disk has not confirmed it: look at the disk, and at `firedoor switches`.", err=True
        )
