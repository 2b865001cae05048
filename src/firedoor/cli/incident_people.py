"""`firedoor incident people`: who of a shop's list is to be written to, once two persons agreed."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from firedoor.app import letters
from firedoor.app.affected import affected_source
from firedoor.app.caserecords import read_cases
from firedoor.cli.asking import Office, ReasonOption, open_office
from firedoor.cli.incident_case import CaseArgument, meant
from firedoor.cli.options import HomeOption, JsonOption, RegionOption, echo_json, moment, printable
from firedoor.cli.passphrase import PassphraseFileOption
from firedoor.cli.signing import KeyOption, NoteHelp, Signer
from firedoor.core.incident.case import Case, fold
from firedoor.core.people import Act, Signed, note_digest
from firedoor.errors import ActRefused
from firedoor.store.grants import Grant, how_to_agree, is_about_letters

_MODES = "Give --note to ask, --approve REQUEST to agree, or --grant REQUEST and --out to write the file."


def people(
    case: CaseArgument,
    customers: Annotated[
        Path | None, typer.Option("--customers", help="The shop's list: one shopper id a line, UTF-8; or CSV.")
    ] = None,
    column: Annotated[str | None, typer.Option("--column", help="The column of a CSV list with the ids.")] = None,
    reason: ReasonOption = "incident",
    note: Annotated[str | None, typer.Option("--note", help=NoteHelp)] = None,
    approve: Annotated[
        str | None, typer.Option("--approve", help="Agree to this request, as the second person.")
    ] = None,
    grant: Annotated[str | None, typer.Option("--grant", help="The request that two persons signed.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="A new file for those to be written to (CSV).")] = None,
    as_: Annotated[str | None, typer.Option("--as", envvar="FIREDOOR_AS", help="Your id in the plan.")] = None,
    key: KeyOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find who of a shop's own list is affected, for letters to them (GDPR Art. 34). Two persons agree first.

    Firedoor knows shoppers by keyed pseudonyms only. Ask with --customers and --note; a second person agrees with
    --approve; then --grant and --out write the file. Nothing is printed but counts.
    """
    if [note is not None, approve is not None, grant is not None].count(True) != 1:
        raise typer.BadParameter(_MODES)
    office = open_office(home, region)
    folded = _case(office, case)
    if grant is not None:
        _write(office, _wanted(office, folded, customers, column), grant, out, as_json=as_json)
        return
    if as_ is None:
        raise typer.BadParameter("Say who you are: --as YOUR_ID.")
    if approve is not None:
        office.work(lambda desk: letters.check_person(desk, folded, as_))  # before anything of the case is shown
        _agree(
            office, folded, approve, lambda: Signer(office.home, as_, key, passphrase_file), yes=yes, as_json=as_json
        )
        return
    assert note is not None
    what = _wanted(office, folded, customers, column)
    _ask(office, folded, what, Signer(office.home, as_, key, passphrase_file), reason, note, as_json=as_json)


def _case(office: Office, case: str) -> Case:
    with read_cases(office.place, office.loaded, office.ring.worker().protect) as reader:
        return fold(reader.entries(meant(reader.cases(), case)))


def _wanted(office: Office, case: Case, customers: Path | None, column: str | None) -> letters.Wanted:
    if customers is None:
        raise typer.BadParameter("Name the shop's list: --customers FILE.")
    return letters.wanted(case, office.place.name, office.loaded.plan, customers, column)


def _ask(
    office: Office, case: Case, what: letters.Wanted, signer: Signer, reason: str, note: str, *, as_json: bool
) -> None:
    nonce = secrets.token_hex(16)
    args = {"selection": what.selection.digest, "reason": reason, "note_sha256": note_digest(nonce, note)}
    act = Act(
        region=office.place.name, act="read_bodies", args=args, plan=office.loaded.digest, by=signer.person,
        made_at=int(time.time()), nonce=nonce,
    )  # fmt: skip
    asked = office.work(lambda desk: letters.ask(desk, case, what, Signed(act, (signer.sign(act),)), note))
    if as_json:
        echo_json({"id": asked.id, "selection": what.selection.digest, "expires_at": asked.until})
        return
    typer.echo(f"Request {asked.id}: nobody is looked up until a second person, with another key, runs")
    typer.echo(f"  {how_to_agree(asked)}")
    typer.echo(f"by {moment(asked.until)}.")


def _agree(office: Office, case: Case, request: str, signer: Callable[[], Signer], *, yes: bool, as_json: bool) -> None:
    waiting, note = office.work(lambda desk: (found := desk.grants.load(request), desk.grants.note(found)))
    _print_request(waiting, case, note)
    if not yes and not typer.confirm("Sign and agree?", err=True):
        raise typer.Exit(1)
    signature = signer().sign(waiting.signed.act)
    agreed = office.work(lambda desk: letters.agree(desk, case, desk.grants.load(request), signature))
    if as_json:
        echo_json({"id": agreed.id, "until": agreed.until, "by": [s.by for s in agreed.signed.signatures]})
        return
    typer.echo(f"{agreed.id} may be used until {moment(agreed.until)}, with the same list:")
    typer.echo(f"  firedoor incident people {case.id} --customers FILE --grant {agreed.id} --out NEW_FILE")


def _write(office: Office, what: letters.Wanted, grant: str, out: Path | None, *, as_json: bool) -> None:
    if out is None:
        raise typer.BadParameter("Name a new file: --out FILE.")
    declared = office.loaded.plan.regions[office.place.name]
    source = affected_source(office.place, declared)
    done = office.work(lambda desk: letters.write_people(desk, source, what, grant, out))
    if as_json:
        echo_json({"out": str(out), **msgspec.to_builtins(done)})
        return
    typer.echo(
        f"{out}: {done.written} of {done.listed} ids are affected, {done.exposed} of them may have been exposed,"
    )
    typer.echo(f"  {done.confirmed} with a confirmed leak. The file names people: delete it once the letters are out.")
    if done.not_listed:
        typer.echo(f"  {done.not_listed} of {done.affected} affected shoppers are not in this list: is it all of them?")
    for why, number in done.never.items():
        count = "nobody knows how many" if number is None else str(number)
        typer.echo(f"  no list can tell: {why}: {count}")


def _print_request(grant: Grant, case: Case, note: str) -> None:
    if not is_about_letters(grant):
        raise ActRefused(
            "other_request",
            f"Request {grant.id} is not about letters.",
            remedy=f"For bodies: firedoor evidence approve {grant.id} --as YOU",
        )
    typer.echo(
        f"{grant.signed.act.by} asks who of a shop's list is affected by case {grant.selection.incident}", err=True
    )
    typer.echo(printable(f"reason: {grant.reason}\nnote: {note}"), err=True)
    typer.echo(printable(f"The case is about {', '.join(case.scopes[:10])}."), err=True)
    typer.echo(f"You sign exactly this:\n{grant.signed.act.content.decode()}", err=True)
