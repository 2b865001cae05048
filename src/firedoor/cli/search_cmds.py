"""`firedoor evidence search`: which exchanges, and who is affected, answered by the region's index."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any

import msgspec
import typer

from firedoor.agent.follower import bring_up_to_date
from firedoor.app.indexplace import known_index_place, read_index
from firedoor.app.regionkeys import open_region
from firedoor.cli.options import (
    SUBJECT_LIMIT,
    HomeOption,
    JsonOption,
    RegionOption,
    echo_json,
    microseconds,
    moment,
    printable,
    regions_on_disk,
)
from firedoor.config import Home, RegionHome
from firedoor.core.evidence.questions import OPEN, Found, Question, Summary
from firedoor.core.plan.model import LABELS, Loaded
from firedoor.errors import SetupError, StateBusy, StateUnavailable
from firedoor.store import planfile
from firedoor.store.index_read import MOST, IndexReader
from firedoor.store.index_tables import OTHER
from firedoor.store.journal_slots import JournalSlots

OUTCOMES = ("answered", "minimised", "fallback", "refused", "cut", "unknown", OPEN)
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_COUNTRY = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")


def search(
    home: HomeOption = None,
    region: RegionOption = None,
    since: Annotated[str | None, typer.Option(help="From then on: an age (2h), a moment (2026-11-23T04:00Z).")] = None,
    until: Annotated[str | None, typer.Option(help="Up to then: an age or a moment.")] = None,
    shop: Annotated[str | None, typer.Option(help="Only this shop.")] = None,
    surface: Annotated[str | None, typer.Option(help="Only this surface.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model instance.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only this shopper: the id the shop's server sends.")] = None,
    jurisdiction: Annotated[str | None, typer.Option(help="Only this jurisdiction: DE, US-CA.")] = None,
    category: Annotated[str | None, typer.Option(help="Only with this personal data: EMAIL, IBAN …")] = None,
    outcome: Annotated[str | None, typer.Option(help=f"Only this outcome: {', '.join(OUTCOMES)}.")] = None,
    finding: Annotated[str | None, typer.Option(help="Only with a finding of this rule.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="At most so many exchanges, the newest.")] = 50,
    summary: Annotated[bool, typer.Option("--summary", help="Count instead: subjects, categories, outcomes …")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="First make the index again from the log.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Exchanges by scope, time, subject and finding, newest first; or who is affected, in numbers."""
    now = time.time()
    question = Question(
        since=microseconds("--since", since, now),
        until=microseconds("--until", until, now),
        shop=_matching("--shop", shop, _NAME, "the name of a shop"),
        surface=_matching("--surface", surface, _NAME, "the name of a surface"),
        model=_matching("--model", model, _NAME, "the name of a model instance"),
        jurisdiction=_matching("--jurisdiction", jurisdiction, _COUNTRY, "an ISO 3166 code such as DE or US-CA"),
        category=_one_of("--category", category, (*LABELS, OTHER)),
        outcome=_one_of("--outcome", outcome, OUTCOMES),
        finding=_matching("--finding", finding, re.compile(r"[a-z][a-z0-9_.-]{0,119}"), "a rule such as honeytoken"),
    )
    if question.since is not None and question.until is not None and question.since >= question.until:
        raise typer.BadParameter("--since is not before --until.")
    if subject is not None and not 0 < len(subject) <= SUBJECT_LIMIT:
        raise typer.BadParameter(f"--subject has 1 to {SUBJECT_LIMIT} characters.")
    installation = Home.find(home)
    loaded = planfile.load(installation.plan) if installation.plan.exists() else None
    for place in regions_on_disk(installation, region):
        asked = question
        if subject is not None:
            asked = msgspec.structs.replace(question, subject=_pseudonym(place, loaded, installation, subject))
        index = _open(place, loaded, rebuild=rebuild)
        try:
            if summary:
                _print_summary(place.name, index.summary(asked), index.read_up_to(), as_json=as_json)
            else:
                for found in index.find(asked, limit):
                    _print(place.name, found, as_json=as_json)
        finally:
            index.close()


def _pseudonym(place: RegionHome, loaded: Loaded | None, home: Home, subject: str) -> str:
    """The region's look-up pseudonym of a shopper, as its gateway makes it. Raises `KeyUnusable`, `SetupError`."""
    if loaded is None or place.name not in loaded.plan.regions:
        raise SetupError(
            f"The keys of region {place.name} cannot be opened: no plan here names it.", remedy="Restore plan.yaml."
        )
    return open_region(place, loaded, home.plan.parent).worker().pseudonym("subject", subject)


def _open(place: RegionHome, loaded: Loaded | None, *, rebuild: bool) -> IndexReader:
    """The index, brought up to date first unless the agent does so. Raises `FiredoorError`."""
    declared = loaded.plan.regions.get(place.name) if loaded is not None else None
    home = known_index_place(place, declared)
    if home is None:
        _say(f"{place.name}: this host has no part of the index, its agent never ran: the other hosts' are asked.")
        return read_index(place, declared)
    try:
        damaged = bring_up_to_date(home, JournalSlots(place.journals), place.name, rebuild=rebuild)
        for slot in damaged:
            _say(f"{place.name}/{slot} cannot be read to its end: run `firedoor evidence verify`.")
    except StateBusy:
        if rebuild:
            home.ask_rebuild()
            _say(f"{place.name}: the agent makes the index again; until then the present one answers.")
    except StateUnavailable as error:  # a disk that is full or mounted read-only can still be asked
        _say(f"{place.name}: the index may be behind. {error.message}")
    return read_index(place, declared)


def _say(text: str) -> None:
    typer.echo(f"firedoor: {printable(text)}", err=True)


def _matching(option: str, text: str | None, pattern: re.Pattern[str], what: str) -> str | None:
    if text is not None and not pattern.fullmatch(text):
        raise typer.BadParameter(f"{option} {text!r} is not {what}.")
    return text


def _one_of(option: str, text: str | None, known: tuple[str, ...]) -> str | None:
    if text is not None and text not in known:
        raise typer.BadParameter(f"{option} {text!r} is none of {', '.join(known)}.")
    return text


def _print(region: str, found: Found, *, as_json: bool) -> None:
    began = moment(found.began / 1e6)
    if as_json:
        times = {"began": began, "last": moment(found.last / 1e6)}
        echo_json({"region": region, **msgspec.to_builtins(found), **times})
        return
    subject = found.subject or ("(erased)" if found.erased else "-")
    categories = ",".join(sorted({*found.present, *found.restored})) or "-"
    findings = f"  findings={','.join(found.findings)}" if found.findings else ""
    place = f"{region}/{found.shop}/{found.surface}/{found.model}"
    outcome = f"{found.outcome}{f' ({found.reason})' if found.reason else ''}"
    parts = (began, found.exchange, place, found.jurisdiction or "-", subject, categories, outcome)
    typer.echo(printable("  ".join(parts) + findings))


def _print_summary(region: str, counts: Summary, up_to: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        echo_json({"region": region, **msgspec.to_builtins(counts), "read_up_to": up_to})
        return
    lines: list[tuple[str, Any]] = [
        ("exchanges", counts.exchanges),
        ("  that reached a model instance", counts.called),
        ("distinct subjects", counts.subjects),
        ("exchanges without a subject", counts.no_subject),
        ("exchanges of erased subjects", counts.erased),
        ("exchanges of unknown subjects", counts.unknown_subject),
        ("jurisdictions", counts.jurisdictions),
        ("personal data in requests", counts.categories),
        ("personal data restored in answers", counts.restored),
        ("outcomes", counts.outcomes),
        ("findings", counts.findings),
    ]
    typer.echo(f"region {region}")
    for name, value in lines:
        text = ", ".join(f"{key} {n}" for key, n in value.items()) or "none" if isinstance(value, dict) else str(value)
        typer.echo(printable(f"  {name:<36}{text}"))
