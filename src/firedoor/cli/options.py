"""What several commands share: the folder of the installation, its plan, its regions, ages such as ``90d``."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from firedoor.config import Home, RegionHome
from firedoor.core.plan.model import Plan
from firedoor.errors import SetupError
from firedoor.store import planfile

HomeOption = Annotated[Path | None, typer.Option("--home", help="Folder of the installation.", show_default=False)]
RegionOption = Annotated[str | None, typer.Option("--region", help="Region; needed if there are several.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

SUBJECT_LIMIT = 1024
"""Characters of a shopper's id: the gateway takes no longer header either."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def read_plan(home: Home) -> Plan:
    """The installation's plan. Raises `SetupError` if there is none, `PlanInvalid` if it has problems."""
    return planfile.load(home.plan).plan


def planned_region(home: Home, plan: Plan, named: str | None) -> RegionHome:
    """The region named, or the only one of the plan. Raises `SetupError`."""
    return home.region(_one_of(sorted(plan.regions), named))


def regions_on_disk(home: Home, named: str | None = None) -> list[RegionHome]:
    """The region named, or every region that has files here. Works without a plan. Raises `SetupError`."""
    folder = home.root / "regions"
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if named is not None:
        names = [_one_of(names, named)]
    if not names:
        raise SetupError(f"There are no regions in {home.root}.", remedy="Start `firedoor up`, or name --home.")
    return [home.region(name) for name in names]


def parse_age(text: str) -> int:
    """Seconds in ``30m``, ``1h``, ``90d``. Raises `typer.BadParameter`."""
    match = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is not an age: write 30m, 1h or 90d.")
    return int(match[1]) * _UNITS[match[2]]


def given_moment(option: str, text: str, now: float) -> float:
    """Unix seconds of an age (``2h``) or a moment with its zone. Raises `typer.BadParameter`."""
    if re.fullmatch(r"\d+[smhd]", text.strip()):
        return now - parse_age(text)
    try:
        when = datetime.fromisoformat(text.strip())
        seconds = when.timestamp()
    except (ValueError, OverflowError):
        when, seconds = None, 0.0
    if when is None or when.tzinfo is None or seconds < 0:
        raise typer.BadParameter(
            f"{option} {text!r} is neither an age (30m, 2h, 7d) nor a moment with its zone (2026-11-23T04:00Z)."
        )
    return seconds


def microseconds(option: str, text: str | None, now: float) -> int | None:
    """Unix microseconds of an age or a moment, `now` in seconds. Raises `typer.BadParameter`."""
    return None if text is None else int(given_moment(option, text, now) * 1e6)


def moment(seconds: float) -> str:
    """Unix seconds as UTC in ISO 8601, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def echo_json(value: Any) -> None:
    """One line of JSON on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def printable(text: str) -> str:
    """`text` without control characters, which could drive the reader's terminal; line breaks and tabs stay."""
    return "".join(c if c in "\n\t" or c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def _one_of(known: list[str], named: str | None) -> str:
    if named is None and len(known) == 1:
        return known[0]
    if named not in known:
        asked = "Name a region with --region" if named is None else f"There is no region {named}"
        raise SetupError(f"{asked}.", remedy=f"Regions: {', '.join(known) or 'none'}.")
    return named
