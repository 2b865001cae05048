"""`firedoor evidence export | show | request | approve | requests`: evidence for others, bodies for two."""

from __future__ import annotations

import base64
import secrets
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from firedoor.app.export import Order, check_recipient
from firedoor.app.export import export as make_bundle
from firedoor.app.reading import Desk, Shown
from firedoor.cli.asking import (
    Asked,
    ExchangeOption,
    IncidentOption,
    Office,
    ReasonOption,
    SinceOption,
    SubjectOption,
    SurfaceOption,
    ToOption,
    UntilOption,
    open_office,
)
from firedoor.cli.evidence_cmds import print_leaf
from firedoor.cli.options import (
    HomeOption,
    JsonOption,
    RegionOption,
    echo_json,
    moment,
    printable,
    regions_on_disk,
)
from firedoor.cli.passphrase import PassphraseFileOption
from firedoor.cli.signing import AsOption, KeyOption, Signer
from firedoor.config import Home, RegionHome
from firedoor.core.evidence.bundle import CUSTODY
from firedoor.core.evidence.note import NOTE_LIMIT
from firedoor.core.people import NOTE_CHARACTERS, Act, Signed, note_digest
from firedoor.errors import ActRefused, EvidenceDamaged
from firedoor.store.grants import Grant, how_to_agree, is_about_letters
from firedoor.store.journal_read import Stored, read
from firedoor.store.segments import slots


def export(
    out: Annotated[Path, typer.Option("--out", help="A new folder, or a new file that ends in .zip.")],
    exchange: ExchangeOption = None,
    subject: SubjectOption = None,
    incident: IncidentOption = None,
    surface: SurfaceOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    to: ToOption = None,
    reason: ReasonOption = "authority_request",
    bodies: Annotated[bool, typer.Option("--bodies", help="Also the chosen sealed bodies; needs --grant.")] = False,
    grant: Annotated[str | None, typer.Option("--grant", help="The request that two persons signed.")] = None,
    as_: Annotated[
        str | None, typer.Option("--as", envvar="FIREDOOR_AS", help="Your id in the plan: you sign for the bundle.")
    ] = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """A bundle that somebody else can check: whole logs, signatures, verifier. Without --bodies it holds no content."""
    office = open_office(home, region)
    asked = Asked(exchange or [], subject, incident, surface, since, until)
    signer = Signer(office.home, as_, key, passphrase_file) if as_ is not None else None

    def work(desk: Desk) -> None:
        selection, recipient = asked.selection(office), to
        if bodies and grant is not None and selection.empty:  # as it was agreed; ages would name another time by now
            agreed = desk.grants.load(grant)
            selection, recipient = agreed.selection, to or agreed.recipient
        order = Order(
            selection=selection,
            reason=reason,
            out=out.absolute(),
            recipient=recipient,
            bodies=bodies,
            grant_id=grant,
            person=as_,
            sign=signer.sign if signer is not None else None,
        )
        made = make_bundle(office.home, desk, order)
        if as_json:
            echo_json({**msgspec.to_builtins(made, enc_hook=str), "region": office.place.name})
            return
        typer.echo(f"{made.out}: {made.logs} logs, {made.records} records, {made.bodies} bodies.")
        typer.echo(f"SHA-256 of {CUSTODY}, as it is on record: {made.manifest}")
        for problem in made.problems:
            typer.echo(printable(f"  DOES NOT VERIFY {problem.file}: {problem.problem}"), err=True)

    office.work(work)


def show(
    exchange: str,
    body: Annotated[bool, typer.Option("--body", help="Decrypt the minimised bodies; needs --grant.")] = False,
    grant: Annotated[str | None, typer.Option("--grant", help="The request that two persons signed.")] = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """All records of one exchange, in order; with --body what was said, under a grant of two persons."""
    found = [(place, _records_of(place, exchange)) for place in regions_on_disk(Home.find(home), region)]
    found = [(place, records) for place, records in found if records]
    if not found:
        raise ActRefused(
            "unknown_exchange", f"No record of exchange {exchange}.", remedy="See `firedoor evidence list`."
        )
    for place, records in found:
        shown: dict[tuple[str, int], Shown] = {}
        if body:
            opened = _read_bodies(open_office(home, place.name), exchange, records, grant)
            shown = {(one.leaf.slot, one.leaf.seq): one for one in opened}
        for stored in records:
            _print_record(stored, shown.get((stored.leaf.slot, stored.leaf.seq)), as_json=as_json)


def request(
    as_: AsOption,
    reason: ReasonOption,
    note: Annotated[str, typer.Option("--note", help=f"Why, in at most {NOTE_CHARACTERS} characters; kept sealed.")],
    exchange: ExchangeOption = None,
    subject: SubjectOption = None,
    incident: IncidentOption = None,
    surface: SurfaceOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    to: ToOption = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask to read bodies, here or (--to) sealed to a receiver; a second person has to approve within 15 minutes."""
    office = open_office(home, region)
    selection = Asked(exchange or [], subject, incident, surface, since, until).selection(office)
    if to is not None:
        check_recipient(to)
    signer = Signer(office.home, as_, key, passphrase_file)
    nonce = secrets.token_hex(16)
    args = {"selection": selection.digest, "reason": reason, "note_sha256": note_digest(nonce, note)}
    args |= {"recipient": to} if to is not None else {}
    act = Act(
        region=office.place.name, act="read_bodies", args=args, plan=office.loaded.digest, by=as_,
        made_at=int(time.time()), nonce=nonce,
    )  # fmt: skip
    grant = office.work(lambda desk: desk.request(Signed(act, (signer.sign(act),)), selection, note))
    if as_json:
        echo_json({"id": grant.id, "selection": selection.digest, "expires_at": grant.until})
        return
    typer.echo(f"Request {grant.id}: nothing is shown until a second person, with another key, runs")
    typer.echo(f"  {how_to_agree(grant)}")
    typer.echo(f"by {moment(grant.until)}.")


def approve(
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID")],
    as_: AsOption,
    key: KeyOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Agree that bodies are read, as another person asked: shows exactly what you sign."""
    name, dash, _ = request_id.rpartition("-")
    if not dash:
        raise ActRefused(
            "unknown_grant", f"{request_id!r} is no request id.", remedy="See `firedoor evidence requests`."
        )
    office = open_office(home, name)
    waiting = office.work(lambda desk: (grant := desk.grants.load(request_id), desk.grants.note(grant)))
    if is_about_letters(waiting[0]):
        raise ActRefused(
            "other_request",
            f"Request {request_id} asks who of a shop's list is affected, and for no bodies.",
            remedy=how_to_agree(waiting[0]),
        )
    _print_request(*waiting)
    if not yes and not typer.confirm("Sign and agree?", err=True):
        raise typer.Exit(1)
    signature = Signer(office.home, as_, key, passphrase_file).sign(waiting[0].signed.act)
    grant = office.work(lambda desk: desk.approve(request_id, signature))
    if as_json:
        echo_json({"id": grant.id, "until": grant.until, "by": [s.by for s in grant.signed.signatures]})
        return
    typer.echo(f"{grant.id} may be used until {moment(grant.until)}:")
    if grant.recipient is not None:
        typer.echo(f"  firedoor evidence export --bodies --grant {grant.id} --to {grant.recipient} --out BUNDLE")
    for one in grant.selection.exchanges[:1] if grant.recipient is None else ():
        typer.echo(f"  firedoor evidence show {one} --body --grant {grant.id}")


def requests(home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Requests to read bodies that wait or may be used now."""
    now = time.time()
    office = open_office(home, region)
    living_grants = [grant for grant in office.work(lambda desk: desk.grants.newest()) if grant.until >= now]
    if as_json:
        echo_json([_summary(grant) for grant in living_grants])
        return
    for g in living_grants:
        state = "waits for a second person" if g.approved_at is None else "may be used"
        typer.echo(
            f"{g.id}  {state} until {moment(g.until)}  by {', '.join(s.by for s in g.signed.signatures)}  {g.reason}"
        )
    if not living_grants:
        typer.echo("No requests wait.")


def _records_of(place: RegionHome, exchange: str) -> list[Stored]:
    """All records of an exchange. A damaged slot gives what comes before the damage."""
    found: list[Stored] = []
    for slot in slots(place.journals):
        try:
            found += [one for one in read(place.journal(slot)) if one.leaf.exchange == exchange]
        except EvidenceDamaged as error:
            typer.echo(f"{place.name}/{slot} cannot be read to its end: {error.message}", err=True)
    return sorted(found, key=lambda one: (one.leaf.at, one.leaf.slot, one.leaf.seq))


def _read_bodies(office: Office, exchange: str, records: list[Stored], grant: str | None) -> list[Shown]:
    return office.work(lambda desk: desk.show(exchange, records, grant))


def _summary(grant: Grant) -> dict[str, Any]:
    return {
        "id": grant.id,
        "by": [s.by for s in grant.signed.signatures],
        "reason": grant.reason,
        "until": grant.until,
        "approved": grant.approved_at is not None,
        "recipient": grant.recipient,
    }


def _print_request(grant: Grant, note: str) -> None:
    receiver = (
        f", sealed to {grant.recipient}" if grant.recipient is not None else ", shown at a terminal of the region"
    )
    typer.echo(f"{grant.signed.act.by} asks to read bodies{receiver}", err=True)
    typer.echo(printable(f"reason: {grant.reason}\nnote: {note}"), err=True)
    typer.echo(f"of exactly this selection:\n{grant.selection.content.decode()[:NOTE_LIMIT]}", err=True)
    typer.echo(f"You sign exactly this:\n{grant.signed.act.content.decode()}", err=True)


def _print_record(stored: Stored, shown: Shown | None, *, as_json: bool) -> None:
    if as_json and shown is not None:
        clear = {"clear": _clear(shown.body)} if shown.body is not None else {"not_shown": shown.reason}
        record: dict[str, Any] = {**msgspec.to_builtins(stored.leaf), **clear}
        echo_json(record)
        return
    print_leaf(stored.leaf, as_json=as_json)
    if shown is not None:
        typer.echo(printable(_clear(shown.body)) if shown.body is not None else f"  ({shown.reason})")


def _clear(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(body).decode()
