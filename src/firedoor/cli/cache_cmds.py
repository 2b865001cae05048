"""`firedoor cache`: what the answer cache of this host holds; purge it, or put entries in quarantine as evidence."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from firedoor.agent.page import PageReader
from firedoor.app.operator import as_operator
from firedoor.app.regionkeys import epochs, open_region
from firedoor.cli.incident_client import IncidentClient
from firedoor.cli.options import (
    HomeOption,
    JsonOption,
    RegionOption,
    echo_json,
    given_moment,
    printable,
    regions_on_disk,
)
from firedoor.config import Home, RegionHome
from firedoor.core.cache import Chosen
from firedoor.core.evidence.record import Fact, Record
from firedoor.core.residency import MAX_HEADER
from firedoor.core.switches import ANY, Scope
from firedoor.errors import ActRefused, ControlUnreachable, FiredoorError, SetupError, StateDamaged
from firedoor.keys.derive import WorkerKeys
from firedoor.store import cache_care, planfile
from firedoor.store.cache_rows import PURPOSE

MOST: Final = 1000
"""Ids of one kind that one command takes; name a time or a surface for more."""
NAMED: Final = 50
"""Exchanges named in the record of a command: a leaf has its bound."""

_PSEUDONYM = re.compile(r"[0-9a-f]{32}")
_EXCHANGE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")

SubjectOption = Annotated[
    list[str] | None, typer.Option("--subject", help="Only what this shopper's exchanges left: the shop's id.")
]
SessionOption = Annotated[list[str] | None, typer.Option("--session", help="Only what this session's exchanges left.")]
PseudonymOption = Annotated[
    list[str] | None, typer.Option("--pseudonym", help="A shopper's look-up pseudonym, where only that is known.")
]
ExchangeOption = Annotated[list[str] | None, typer.Option("--exchange", help="Only what this exchange left.")]
ShopOption = Annotated[str | None, typer.Option("--shop", help="Only of this shop.")]
SurfaceOption = Annotated[str | None, typer.Option("--surface", help="Only of this surface.")]
SinceOption = Annotated[
    str | None, typer.Option("--since", help="Kept from then on: an age (2h), a moment (2026-11-23T04:00Z).")
]
UntilOption = Annotated[str | None, typer.Option("--until", help="Kept before then: an age or a moment.")]
OldOption = Annotated[bool, typer.Option("--old", help="Only from before the switch table's present cache epoch.")]
AllOption = Annotated[bool, typer.Option("--all", help="All of them.")]

app = typer.Typer(no_args_is_help=True, help="Answers that are given again, on this host.")


@app.command()
def status(home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """How many answers there are, by shop and surface. Exit status 1 if a cache cannot be read."""
    damaged = False
    for place in regions_on_disk(Home.find(home), region):
        epoch = _epoch(place)
        told: dict[str, Any] = {"region": place.name, "cache_epoch": epoch, "bytes": _size(place.cache)}
        try:
            held = cache_care.status(place.cache, epoch=epoch, now=time.time())
        except FiredoorError as error:
            damaged = True
            if as_json:
                echo_json({**told, "damaged": True})
            typer.echo(f"firedoor: {place.name}: {error}", err=True)
            continue
        if as_json:
            echo_json({**told, "damaged": False, "surfaces": [msgspec.to_builtins(one) for one in held]})
            continue
        typer.echo(f"{place.name}: {told['bytes']:,} bytes, cache epoch {epoch}")
        for one in held:
            line = f"  {one.shop}/{one.surface}: {one.served} may be given, {one.over} are over"
            typer.echo(printable(f"{line}, {one.quarantined} in quarantine"))
    raise typer.Exit(1 if damaged else 0)


@app.command()
def purge(
    subject: SubjectOption = None,
    session: SessionOption = None,
    pseudonym: PseudonymOption = None,
    exchange: ExchangeOption = None,
    shop: ShopOption = None,
    surface: SurfaceOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    old: OldOption = False,
    everything: AllOption = False,
    quarantined: Annotated[
        bool, typer.Option("--quarantined", help="Of those in quarantine: evidence, gone for good.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Also while control cannot say whether a case must be sealed first.")
    ] = False,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete answers; workers give none of them from that moment on. Works without keys where no shopper is named.

    Refused while a case about them is not sealed. Exit status 1 if it is done but could not be put on record. What is
    in quarantine stays, unless --quarantined.
    """
    host = _Host(Home.find(home), region)
    chosen = _chosen(host, subject, session, pseudonym, exchange, shop, surface, since, until, old)
    _refuse_nothing(chosen, everything=everything)
    _refuse_unsealed(host.place, chosen, anyway=yes)
    facts = _facts("cache_purge", chosen)
    if quarantined:
        purged = host.recorded_first({**facts, "quarantined": True}, lambda: _purge(host.place, chosen, "quarantined"))
        _tell(host, "purged", purged, recorded=True, as_json=as_json)
        return
    try:
        purged = _purge(host.place, chosen, "served")
    except StateDamaged:
        if not everything:
            raise
        cache_care.discard(host.place.cache)
        purged = 0
    _tell(host, "purged", purged, recorded=host.record(facts, purged), as_json=as_json)


@app.command()
def quarantine(
    subject: SubjectOption = None,
    session: SessionOption = None,
    pseudonym: PseudonymOption = None,
    exchange: ExchangeOption = None,
    shop: ShopOption = None,
    surface: SurfaceOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    old: OldOption = False,
    everything: AllOption = False,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give answers to nobody any more, and keep them sealed as evidence until they are purged.

    Exit status 1 if it is done but could not be put on record.
    """
    host = _Host(Home.find(home), region)
    chosen = _chosen(host, subject, session, pseudonym, exchange, shop, surface, since, until, old)
    _refuse_nothing(chosen, everything=everything)
    secret = host.keys().protect.subkey(PURPOSE)
    moved = cache_care.quarantine(host.place.cache, chosen, secret)
    recorded = host.record(_facts("cache_quarantine", chosen), moved)
    _tell(host, "quarantined", moved, recorded=recorded, as_json=as_json)


class _Host:
    """One region's files on this host. Its keys are opened when they are needed: a purge at night may do without."""

    def __init__(self, home: Home, region: str | None) -> None:
        self._home = home
        places = regions_on_disk(home, region)
        if len(places) > 1:
            raise typer.BadParameter(f"Name one with --region: {', '.join(place.name for place in places)}.")
        self.place = places[0]
        self._keys: WorkerKeys | None = None

    def keys(self) -> WorkerKeys:
        """A worker's share of the region's keys. Raises `KeyUnusable`, `SetupError`, `PlanInvalid`."""
        if self._keys is None:
            loaded = planfile.load(self._home.plan)
            if self.place.name not in loaded.plan.regions:
                raise SetupError(
                    f"The keys of region {self.place.name} cannot be opened: no plan here names it.",
                    remedy="Restore plan.yaml.",
                )
            self._keys = open_region(self.place, loaded, self._home.plan.parent).worker()
        return self._keys

    def record(self, facts: dict[str, Fact], entries: int) -> bool:
        """Put what was done on record; whether that could be done. It has taken effect either way."""
        record = _record({**facts, "state": "done", "entries": entries})
        try:
            as_operator(self.place, epochs(self.place, self.keys()), lambda write: write(record))
        except (FiredoorError, OSError) as error:
            why = error.message if isinstance(error, FiredoorError) else type(error).__name__
            typer.echo(f"firedoor: it is done, but not on record: {printable(why)}", err=True)
            return False
        return True

    def recorded_first(self, facts: dict[str, Fact], act: Callable[[], int]) -> int:
        """Evidence goes only when its going is on record."""

        def work(write: Callable[[Record], object]) -> int:
            write(_record({**facts, "state": "begun"}))
            done = act()
            write(_record({**facts, "state": "done", "entries": done}))
            return done

        return as_operator(self.place, epochs(self.place, self.keys()), work)


def _purge(place: RegionHome, chosen: Chosen, where: cache_care.Where) -> int:
    return cache_care.purge(place.cache, chosen, where)


def _chosen(
    host: _Host,
    subjects: Sequence[str] | None,
    sessions: Sequence[str] | None,
    pseudonyms: Sequence[str] | None,
    exchanges: Sequence[str] | None,
    shop: str | None,
    surface: str | None,
    since: str | None,
    until: str | None,
    old: bool,
) -> Chosen:
    """What the options name. Raises `typer.BadParameter`; `KeyUnusable`, `SetupError` where ids need keys."""
    now = time.time()
    for option, given in (("--subject", subjects), ("--session", sessions), ("--pseudonym", pseudonyms),
                          ("--exchange", exchanges)):  # fmt: skip
        if len(given or ()) > MOST:
            raise typer.BadParameter(f"At most {MOST} of {option} at a time.")
    known = tuple(
        _matching("--pseudonym", text, _PSEUDONYM, "32 hex digits in lower case") for text in pseudonyms or ()
    )
    chosen = Chosen(
        exchanges=tuple(_matching("--exchange", text, _EXCHANGE, "the id of an exchange") for text in exchanges or ()),
        subjects=(*_pseudonyms(host, "subject", subjects or ()), *known),
        sessions=_pseudonyms(host, "session", sessions or ()),
        shop=None if shop is None else _matching("--shop", shop, _NAME, "the name of a shop"),
        surface=None if surface is None else _matching("--surface", surface, _NAME, "the name of a surface"),
        since=None if since is None else given_moment("--since", since, now),
        until=None if until is None else given_moment("--until", until, now),
        before_epoch=_epoch(host.place) if old else None,
    )
    if chosen.since is not None and chosen.until is not None and chosen.since >= chosen.until:
        raise typer.BadParameter("--since is not before --until.")
    return chosen


def _refuse_nothing(chosen: Chosen, *, everything: bool) -> None:
    if (chosen == Chosen()) is not everything:
        raise typer.BadParameter("Say which answers, or --all; not both.")


def _refuse_unsealed(place: RegionHome, chosen: Chosen, *, anyway: bool) -> None:
    """What a case is about goes only when it is sealed. Raises `ActRefused`, `ControlUnreachable`, `FiredoorError`."""
    try:
        cases = IncidentClient(place).unsealed().cases
    except FiredoorError as error:
        if anyway:
            return
        raise ControlUnreachable(
            "Nobody can say whether a case must be sealed before these answers go: control does not answer for it.",
            remedy=f"Start control. Or add --yes, and they go unsealed. ({error.message})",
        ) from error
    for case in cases:
        if any(_covers(Scope.parse(text), chosen) for text in case.scopes):
            raise ActRefused(
                "not_sealed",
                f"Case {case.id} is about these answers, and its snapshot is not in the evidence yet.",
                remedy="That takes a second. What holds it up: `firedoor incident show`.",
            )


def _covers(scope: Scope, chosen: Chosen) -> bool:
    """Whether some of the chosen answers may lie in `scope`."""
    pairs = ((scope.shop, chosen.shop), (scope.surface, chosen.surface))
    return all(part == ANY or named in (None, part) for part, named in pairs)


def _pseudonyms(host: _Host, kind: str, ids: Sequence[str]) -> tuple[str, ...]:
    for one in ids:
        if not 0 < len(one) <= MAX_HEADER:  # the gateway takes no longer one either
            raise typer.BadParameter(f"The id of a {kind} has 1 to {MAX_HEADER} characters.")
    return tuple(host.keys().pseudonym(kind, one) for one in ids)


def _matching(option: str, text: str, pattern: re.Pattern[str], what: str) -> str:
    if not pattern.fullmatch(text):
        raise typer.BadParameter(f"{option} {text!r} is not {what}.")
    return text


def _epoch(place: RegionHome) -> int:
    """The cache epoch of the newest switch table; 0 if there is none."""
    reader = PageReader(place.page)
    try:
        shown = reader.look().shown
    finally:
        reader.close()
    return shown.table.cache_epoch if shown is not None else 0


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _facts(act: str, chosen: Chosen) -> dict[str, Fact]:
    """What the record says of the choice. Shoppers and sessions are counted, never named."""
    facts: dict[str, Fact] = {"act": act, "by": f"uid:{os.getuid()}"}
    named: dict[str, Fact] = {
        "exchanges": list(chosen.exchanges[:NAMED]),
        "subjects": len(chosen.subjects),
        "sessions": len(chosen.sessions),
        "shop": chosen.shop,
        "surface": chosen.surface,
        "since": chosen.since,
        "until": chosen.until,
        "before_epoch": chosen.before_epoch,
    }
    return facts | {name: value for name, value in named.items() if value}


def _record(facts: dict[str, Fact]) -> Record:
    return Record(kind="access", exchange="", at=time.time_ns(), facts=facts)


def _tell(host: _Host, done: str, entries: int, *, recorded: bool, as_json: bool) -> None:
    if as_json:
        echo_json({"region": host.place.name, done: entries, "recorded": recorded})
    else:
        typer.echo(f"{host.place.name}: {done}: {entries}.")
    raise typer.Exit(0 if recorded else 1)
