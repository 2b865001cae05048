"""`firedoor evidence expire`, `firedoor evidence hold …`, `firedoor keys erase-subject`: how long evidence stays."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from firedoor.app.housekeeping import archive
from firedoor.app.operator import as_operator
from firedoor.app.regionkeys import epochs, open_region
from firedoor.cli.options import (
    SUBJECT_LIMIT,
    HomeOption,
    JsonOption,
    RegionOption,
    echo_json,
    given_moment,
    moment,
    planned_region,
    printable,
    regions_on_disk,
)
from firedoor.config import Home, RegionHome
from firedoor.core.evidence.record import OPERATIONS
from firedoor.core.evidence.retention import Hold, Periods, Window
from firedoor.core.plan.model import Loaded
from firedoor.errors import ActRefused
from firedoor.keys.ring import Ring
from firedoor.store import planfile
from firedoor.store.erasure import Eraser
from firedoor.store.expiry import expire as expire_bodies
from firedoor.store.holds import EXCHANGES, Erasure, add_hold, end_hold, load
from firedoor.store.journal_read import read
from firedoor.store.segments import slots

REASON_LIMIT: Final = 1000
"""Characters of a reason: room for a sentence or two, not for a case file."""
LOOKUP_CHARACTERS: Final = 32

_CODE = re.compile(r"[a-z][a-z0-9_-]{0,59}\Z")
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/#-]{0,79}\Z")
_LOOKUP = re.compile(r"[0-9a-f]{32}\Z")

PseudonymOption = Annotated[
    list[str] | None, typer.Option("--pseudonym", help="A look-up pseudonym, where only that is known.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, in your own words; sealed, and only in the record.")]

hold_app = typer.Typer(no_args_is_help=True, help="Legal holds: evidence that is neither deleted nor erased.")


def erase_subject(
    subject: Annotated[str | None, typer.Argument(help="The shopper's id, as the shop's server sends it.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="A code such as request or objection.")] = "request",
    pseudonym: Annotated[
        str | None, typer.Option("--pseudonym", help="Their look-up pseudonym, where only that is known.")
    ] = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Destroy a shopper's keys in one region: their bodies can never be read again. Cannot be undone.

    Exit 1 if the region knows no such shopper, or a legal hold keeps any of it: then the erasure waits, and is listed
    by `firedoor evidence hold list`.
    """
    if (subject is None) == (pseudonym is None):
        raise typer.BadParameter("Name a shopper's id, or --pseudonym.")
    _check(_CODE, reason, "--reason", "a code: lower-case letters, digits, - and _; no words about the shopper")
    place, ring, _ = _region(Home.find(home), region)
    lookup = _lookups(ring, [subject] if subject else [], [pseudonym] if pseudonym else [])[0]
    erased = as_operator(
        place,
        epochs(place, ring.worker()),
        lambda write: Eraser(archive(place), ring, write).erase(lookup, by=_who(), reason=reason),
    )
    age = max(0, int(time.time()) - ring.state.epoch.made_at) // 86_400
    if as_json:
        facts = {"keys": erased.keys, "bodies": erased.bodies, "epoch": int(ring.state.epoch.name), "epoch_days": age}
        echo_json({"region": place.name, **facts})
        return
    typer.echo(f"Erased in {place.name}. Keys destroyed: {erased.keys}, bodies blanked: {erased.bodies}.")
    typer.echo(
        f"Backups of the keys that are younger than this epoch (begun {age} days ago) still hold them. They die with"
        f" the next one: firedoor keys new-epoch --region {place.name}"
    )


def expire(
    home: HomeOption = None,
    region: RegionOption = None,
    confirm_clock: Annotated[
        bool, typer.Option("--confirm-clock", help="You have looked: this machine's clock is right.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete the bodies whose retention is over, now. The agent does so every ten minutes.

    Exit 1 if the clock went more than a day ahead of the last run and nobody confirmed it, or evidence is damaged.
    """
    place, ring, loaded = _region(Home.find(home), region)
    periods = Periods(loaded.plan, place.name)
    done = as_operator(
        place,
        epochs(place, ring.worker()),
        lambda write: expire_bodies(
            archive(place), periods, write, now=time.time_ns() // 1000, confirmed=confirm_clock
        ),
    )
    if as_json:
        echo_json({"region": place.name, **msgspec.to_builtins(done), "refused": done.refused})
    else:
        typer.echo(f"{place.name}: expired hours: {done.hours}, files: {done.files}, bytes: {done.bytes:,}.")
        if done.kept:
            typer.echo(f"Hours whose time is over and of which a legal hold keeps bodies: {done.kept}.")
        for hour in done.damaged:
            typer.echo(f"{hour} stays whole: it cannot be told what a hold keeps. Run `firedoor evidence verify`.")
        if done.clock == "back" and not confirm_clock:
            typer.echo("The clock is behind the last run: nothing expired this time.")
        if done.refused:
            typer.echo("The clock is more than a day ahead of the last run: nothing expired.", err=True)
            typer.echo("Look at it. If it is right, run this again with --confirm-clock.", err=True)
    raise typer.Exit(1 if done.refused or done.damaged else 0)


@hold_app.command("add")
def add(
    incident: Annotated[str, typer.Option("--incident", help="Reference of the case: an id, no words.")],
    reason: ReasonOption,
    exchange: Annotated[list[str] | None, typer.Option("--exchange", help="Keep this exchange.")] = None,
    subject: Annotated[list[str] | None, typer.Option("--subject", help="Keep all of this shopper.")] = None,
    pseudonym: PseudonymOption = None,
    surface: Annotated[
        list[str] | None, typer.Option("--surface", help="Keep all of this surface from --since until --until.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="With --surface: an age (2h), a moment (2026-11-23T04:00Z).")
    ] = None,
    until: Annotated[str | None, typer.Option(help="With --surface: an age or a moment; now unless given.")] = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep evidence whatever its retention says and whoever asks for its erasure. Counts at once."""
    _check(_REFERENCE, incident, "--incident", "a reference: letters, digits and _.:/#-, at most 80")
    place, ring, loaded = _region(Home.find(home), region)
    at = time.time_ns() // 1000
    hold = Hold(
        id=f"hold-{secrets.token_hex(4)}",
        incident=incident,
        by=_who(),
        at=at,
        exchanges=tuple(dict.fromkeys(exchange or ())),
        subjects=_lookups(ring, subject or (), pseudonym or ()),
        windows=_windows(place, loaded, surface or (), since, until, at),
    )
    known = _known(place, hold.exchanges) if len(hold.exchanges) <= EXCHANGES else set()
    words = _words(reason)
    hold = as_operator(
        place,
        epochs(place, ring.worker()),
        lambda write: add_hold(archive(place), hold, words, write, known=known.__contains__),
    )
    _print_hold(place.name, hold, as_json=as_json)


@hold_app.command("list")
def list_(home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """All holds, and the erasures that wait for one to end."""
    for place in regions_on_disk(Home.find(home), region):
        custody = load(place.holds)
        for hold in custody.holds:
            _print_hold(place.name, hold, as_json=as_json)
        for erasure in custody.erasures_pending:
            _print_erasure(place.name, erasure, as_json=as_json)


@hold_app.command("end")
def end(
    hold_id: Annotated[str, typer.Argument(help="As `firedoor evidence hold list` has it.", metavar="HOLD")],
    reason: ReasonOption,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a hold: what is past its retention goes with the next run. Erasures that waited are listed, not done."""
    place, ring, _ = _region(Home.find(home), region)
    words = _words(reason)
    waiting = as_operator(
        place,
        epochs(place, ring.worker()),
        lambda write: end_hold(archive(place), hold_id, _who(), time.time_ns() // 1000, words, write),
    )
    if as_json:
        echo_json({"region": place.name, "ended": hold_id, "waiting": [erasure.lookup for erasure in waiting]})
        return
    typer.echo(f"{hold_id} has ended in {place.name}.")
    for erasure in waiting:
        _print_erasure(place.name, erasure, as_json=False)


def _region(home: Home, region: str | None) -> tuple[RegionHome, Ring, Loaded]:
    """The region asked for, its keys, the plan. Raises `SetupError`, `KeyUnusable`, `PlanInvalid`."""
    loaded = planfile.load(home.plan)
    place = planned_region(home, loaded.plan, region)
    return place, open_region(place, loaded, home.plan.parent), loaded


def _who() -> str:
    return f"uid:{os.getuid()}"


def _check(pattern: re.Pattern[str], text: str, option: str, what: str) -> None:
    if not pattern.match(text):
        raise typer.BadParameter(f"{option} is {what}.")


def _words(reason: str) -> bytes:
    if not reason.strip() or len(reason) > REASON_LIMIT:
        raise ActRefused("no_reason", f"Say why, in at most {REASON_LIMIT} characters.", remedy="Add --reason TEXT.")
    return reason.encode("utf-8", "surrogatepass")


def _lookups(ring: Ring, subjects: Sequence[str], pseudonyms: Sequence[str]) -> tuple[str, ...]:
    """The look-up pseudonyms of these shoppers, each once."""
    for subject in subjects:
        if not 0 < len(subject) <= SUBJECT_LIMIT:
            raise typer.BadParameter(f"A shopper's id has 1 to {SUBJECT_LIMIT} characters.")
    for pseudonym in pseudonyms:
        _check(_LOOKUP, pseudonym, "--pseudonym", f"{LOOKUP_CHARACTERS} hex digits in lower case")
    worker = ring.worker()
    return tuple(dict.fromkeys([*(worker.pseudonym("subject", subject) for subject in subjects), *pseudonyms]))


def _windows(
    place: RegionHome, loaded: Loaded, surfaces: Sequence[str], since: str | None, until: str | None, now: int
) -> tuple[Window, ...]:
    if not surfaces:
        if since is not None or until is not None:
            raise typer.BadParameter("--since and --until belong to --surface.")
        return ()
    if since is None:
        raise typer.BadParameter("--surface needs --since.")
    first = int(given_moment("--since", since, now / 1e6) * 1e6)
    last = int(given_moment("--until", until, now / 1e6) * 1e6) if until is not None else now
    if first >= last:
        raise typer.BadParameter("--since is not before --until.")
    for surface in surfaces:
        if surface not in {*loaded.plan.surfaces, OPERATIONS} and not (place.bodies / Path(surface).name).is_dir():
            raise ActRefused(
                "unknown_surface",
                f"There is no evidence of surface {surface}: a hold would keep nothing.",
                remedy=f"Surfaces: {', '.join(sorted(loaded.plan.surfaces))}.",
            )
    return tuple(Window(surface, first, last) for surface in dict.fromkeys(surfaces))


def _known(place: RegionHome, exchanges: Sequence[str]) -> set[str]:
    """Which of these exchanges are on record."""
    if not exchanges:
        return set()
    wanted = set(exchanges)
    return {
        stored.leaf.exchange
        for slot in slots(place.journals)
        for stored in read(place.journal(slot))
        if stored.leaf.exchange in wanted
    }


def _print_hold(region: str, hold: Hold, *, as_json: bool) -> None:
    if as_json:
        echo_json({"region": region, **msgspec.to_builtins(hold)})
        return
    scope = [f"exchange {exchange}" for exchange in hold.exchanges]
    scope += [f"subject {subject}" for subject in hold.subjects]
    scope += [f"{w.surface} {moment(w.since / 1e6)} to {moment(w.until / 1e6)}" for w in hold.windows]
    line = f"{region}  {hold.id}  {moment(hold.at / 1e6)}  {hold.incident}  by {hold.by}"
    typer.echo(printable(line if hold.recorded else f"{line}  (NOT ON RECORD: end it and put it again)"))
    for part in scope:
        typer.echo(printable(f"  {part}"))


def _print_erasure(region: str, erasure: Erasure, *, as_json: bool) -> None:
    if as_json:
        facts = msgspec.to_builtins(erasure)
        echo_json({"region": region, "erasure": facts | {"keys": len(erasure.keys)}})
        return
    asked = f"{region}  erasure asked {moment(erasure.at / 1e6)} by {erasure.by} ({erasure.reason})"
    if erasure.state == "held":
        typer.echo(f"{asked}: WAITS for {erasure.hold}. When it is over, run")
        typer.echo(f"  firedoor keys erase-subject --pseudonym {erasure.lookup} --region {region}")
    elif erasure.state == "done":
        typer.echo(f"{asked}: done, one last look is due.")
    else:
        typer.echo(f"{asked}: cut short. The agent finishes it, or run")
        typer.echo(f"  firedoor keys erase-subject --pseudonym {erasure.lookup} --region {region}")
