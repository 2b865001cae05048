"""`firedoor incident verify`: proof that cases are whole."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from firedoor.app.caserecords import read_cases
from firedoor.app.incidentcheck import IncidentReport, verify_incidents
from firedoor.app.regionkeys import open_region
from firedoor.cli.incident_case import LAST, meant
from firedoor.cli.options import HomeOption, JsonOption, RegionOption, echo_json, printable, regions_on_disk
from firedoor.config import Home, RegionHome
from firedoor.core.plan.model import Loaded
from firedoor.errors import ActRefused, FiredoorError
from firedoor.ports.incidents import StoredCase
from firedoor.store import planfile


def verify(
    case: Annotated[
        str | None,
        typer.Argument(metavar="[CASE]", help="Its id, a part of it, or `last`; all cases, if none is named."),
    ] = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check that every entry is in the evidence exactly, signed by whom it names. Exit 0 if nothing is wrong, else 1.

    Shows nothing of what cases say. For the evidence itself: `firedoor evidence verify`.
    """
    where = Home.find(home)
    loaded = planfile.load(where.plan)
    places = [place for place in regions_on_disk(where, region) if place.name in loaded.plan.regions]
    only = None if case is None else _named(places, loaded, where, case)
    reports: list[IncidentReport] = []
    refused: ActRefused | None = None
    for place in places:
        try:
            reports.append(verify_incidents(place, loaded, where.plan.parent, only))
        except ActRefused as error:  # another region may have it
            refused = error
    if refused is not None and not reports:
        raise refused
    ok = all(report.ok for report in reports)
    if as_json:
        echo_json({"ok": ok, "regions": msgspec.to_builtins(reports)})
    else:
        for report in reports:
            _print(report)
        typer.echo("verified" if ok else "DAMAGED")
    raise typer.Exit(0 if ok else 1)


def _named(places: Sequence[RegionHome], loaded: Loaded, where: Home, case: str) -> str:
    """The full id that `case` means; as it is, where no store knows it: the evidence may. Raises `ActRefused`."""
    known: list[StoredCase] = []
    for place in places:
        with contextlib.suppress(FiredoorError, OSError):  # the report says of a store that nobody can read
            ring = open_region(place, loaded, where.plan.parent)
            with read_cases(place, loaded, ring.worker().protect) as reader:
                known += reader.cases()
    try:
        return meant(known, case)
    except ActRefused as error:
        if error.code != "unknown_case" or case == LAST:
            raise
        return case


def _print(report: IncidentReport) -> None:
    typer.echo(
        f"{report.region}: {report.cases} cases, {report.entries} entries, {report.proved} of them in the evidence, "
        f"{report.signed} signatures and {report.snapshots} snapshots hold"
    )
    if report.waiting:
        typer.echo(f"  {report.waiting} entries are not in the evidence yet: control records them while it runs")
    for what, count in report.unchecked.items():
        typer.echo(printable(f"  NOT CHECKED {count} x {what}"))
    for damage in report.damage:
        entry = f" entry {damage.number}" if damage.number else ""
        typer.echo(printable(f"  DAMAGED {damage.case}{entry}: {damage.problem}"))
    if report.more:
        typer.echo(f"  DAMAGED and {report.more} more")
