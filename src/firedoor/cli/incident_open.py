"""How cases hang together: `firedoor incident open`, `merge`, `split`, `link`, `handover`, `restrict`."""

from __future__ import annotations

import time
from typing import Annotated, Literal

import msgspec
import typer

from firedoor.api import shapes
from firedoor.cli.incident_case import (
    AfterOption,
    Asker,
    BecauseOption,
    CaseArgument,
    micro,
    signed_entry,
    told,
)
from firedoor.cli.incident_client import IncidentClient
from firedoor.cli.incident_head import to_say_again
from firedoor.cli.options import HomeOption, JsonOption, RegionOption, printable, regions_on_disk
from firedoor.cli.passphrase import PassphraseFileOption
from firedoor.cli.signing import AsOption, KeyOption, Signer
from firedoor.config import Home, RegionHome
from firedoor.core.incident import entries as kinds
from firedoor.core.incident.case import case_of
from firedoor.core.people import Act
from firedoor.core.plan.words import ROLES, Role
from firedoor.core.switches import ANY, Scope
from firedoor.errors import ActRefused, ControlUnreachable

Keep = Literal["here", "there"]
NEW = "new"
"""What an act names that begins a case."""


def open_(
    title: Annotated[str, typer.Argument(help="What it is about, in a line.")],
    as_: AsOption,
    shut: Annotated[
        str | None, typer.Option("--shut", metavar="SCOPE", help="Shut this scope at once, then open the case.")
    ] = None,
    scope: Annotated[
        str | None, typer.Option("--scope", metavar="SCOPE", help="Where it is, if nothing is to be shut.")
    ] = None,
    rule: Annotated[str, typer.Option("--rule", help="The kind of findings that belong to it.")] = "",
    detected: Annotated[str | None, typer.Option("--detected", help="First seen: an age or a moment.  [now]")] = None,
    purge: Annotated[bool, typer.Option("--purge", help="Purge the answer cache, once it is sealed.")] = False,
    role: Annotated[list[str] | None, typer.Option("--role", help="Only this role may see it; repeat.")] = None,
    drill: Annotated[str | None, typer.Option("--drill", help="A part of this drill.")] = None,
    even_so: Annotated[
        str | None,
        typer.Option("--even-so", help="It was detected more than a year ago: how that can be; kept sealed."),
    ] = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open a case. What a finding opens by itself needs no command; this is for what a person saw or was told."""
    if (shut is None) == (scope is None):
        raise typer.BadParameter("Say where: --shut SCOPE to shut it at once, or --scope SCOPE.")
    wanted = Scope.parse(shut or scope or "")
    if wanted.region == ANY:
        raise typer.BadParameter("A case lies in one region: begin the scope with its name.")
    where = Home.find(home)
    (place,) = regions_on_disk(where, wanted.region)
    client = IncidentClient(place)
    plan = client.switches().plan
    signer = Signer(where, as_, key, passphrase_file)

    def opened(act: Act) -> kinds.Opened:
        del act
        return kinds.Opened(
            cause="person", title=title, scope=str(wanted), rule=rule, shut=shut is not None, drill=drill,
            detected=micro("--detected", detected, time.time()) or 0, purge=("cache",) if purge else (),
            restricted=_roles(role), even_so=even_so or msgspec.UNSET,
        )  # fmt: skip

    act, payload = signed_entry(signer, place, plan, NEW, 0, opened)
    closed = _shut(client, signer, place, plan, wanted, case_of(act), drill) if shut is not None else None
    if closed is not None and not as_json:
        typer.echo(f"{closed.scope} {'is shut' if closed.changed else 'was shut already'}.")
    try:
        written = client.open_incident(act, signer.sign(act), payload)
    except (ActRefused, ControlUnreachable):
        if closed is not None:
            typer.echo("It is shut, but the case is NOT open:", err=True)
        raise
    told(written, as_json=as_json, **({"shut": closed.scope, "changed": closed.changed} if closed is not None else {}))
    if not as_json:
        typer.echo(f"  firedoor incident show {written.case}")


def merge(
    case: CaseArgument,
    into: Annotated[str, typer.Argument(metavar="INTO", help="The case it goes on as.")],
    as_: AsOption,
    because: BecauseOption,
    after: AfterOption = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a case go on as another: its findings and moments go there, and of two moments the earlier starts a clock.

    What was decided, scored and waived in either is shown there, and is to be said again: it is a wider case now.
    """
    asker = Asker(home, region, as_, key, passphrase_file)
    visit, other = asker.visit(case), asker.visit(into)
    if visit.place.name != other.place.name:
        raise ActRefused("other_region", "Cases of two regions stay apart.", remedy="Link them to one of your systems.")
    written = visit.write(kinds.MergedInto(case=other.name, because=because), after)
    told(written, as_json=as_json, into=other.name)
    if not as_json:
        typer.echo(f"It goes on as {other.name}.")
        for line in to_say_again(other.name, other.details()):
            typer.echo(printable(f"  {line}"))


def split(
    case: CaseArgument,
    entries: Annotated[list[int], typer.Argument(metavar="ENTRY…", min=1, help="Entries with findings that go.")],
    as_: AsOption,
    because: BecauseOption,
    clocks: Annotated[Keep, typer.Option("--clocks", help="Where the legal clocks of the new case are.")] = "there",
    after: AfterOption = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let findings go on as a case of their own: there with clocks of its own, or here, where they were started."""
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    new: list[str] = []

    def off(act: Act) -> kinds.SplitOff:
        new.append(case_of(act))
        return kinds.SplitOff(case=new[0], because=because, entries=tuple(entries), clocks=clocks)

    written = visit.write_as(off, after)
    told(written, as_json=as_json, new=new[0])
    if not as_json:
        typer.echo(f"They go on as {new[0]}.")


def link(
    case: CaseArgument,
    system: Annotated[str, typer.Argument(help="The other system, by a name such as jira.")],
    ref: Annotated[str, typer.Argument(help="What the case is called there.")],
    as_: AsOption,
    url: Annotated[str, typer.Option("--url", help="Where it is.")] = "",
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what the case is called in another system."""
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    told(visit.write(kinds.Linked(system=system, ref=ref, url=url)), as_json=as_json)


def handover(
    case: CaseArgument,
    system: Annotated[str, typer.Argument(help="The linked system.")],
    as_: AsOption,
    because: BecauseOption,
    back: Annotated[bool, typer.Option("--back", help="It is led here again.")] = False,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that another system leads from now on, or that it is led here again. The clocks stay here: there is one."""
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    payload = kinds.HandedOver(leads="here" if back else "there", system=system, because=because)
    told(visit.write(payload), as_json=as_json)


def restrict(
    case: CaseArgument,
    as_: AsOption,
    role: Annotated[list[str] | None, typer.Option("--role", help="This role may see it; repeat.")] = None,
    person: Annotated[list[str] | None, typer.Option("--person", help="This person may see it; repeat.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="All people of the plan may see it again.")] = False,
    after: AfterOption = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say who may see the case. Its incident commander and the data-protection officer always may."""
    if all_ == bool(role or person):
        raise typer.BadParameter("Say who may see it, with --role and --person, or --all.")
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    payload = kinds.Restricted(roles=_roles(role), people=tuple(person or ()))
    told(visit.write(payload, after), as_json=as_json)


def _roles(named: list[str] | None) -> tuple[Role, ...]:
    """Roles of the plan. Raises `typer.BadParameter`."""
    try:
        return msgspec.convert(tuple(named or ()), tuple[Role, ...])
    except msgspec.ValidationError as error:
        raise typer.BadParameter(f"A role is one of {', '.join(ROLES)}.") from error


def _shut(
    client: IncidentClient, signer: Signer, place: RegionHome, plan: str, scope: Scope, case: str, drill: str | None
) -> shapes.Result:
    """Shut `scope` for `case`, before anything else."""
    args = {"scope": str(scope), "reason": "leak", "incident": case}
    if drill is not None:
        args |= {"reason": "drill", "drill": drill}
    act = signer.act(place, plan, "shut", args)
    return client.shut(act, signer.sign(act), None)
