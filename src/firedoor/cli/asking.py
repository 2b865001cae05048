"""What the commands about evidence for others share: what is asked for, and the region's desk where it is asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import msgspec
import typer

from firedoor.app.operator import as_operator
from firedoor.app.reading import Desk
from firedoor.app.regionkeys import epochs, open_region
from firedoor.cli.options import SUBJECT_LIMIT, microseconds, planned_region
from firedoor.config import Home, RegionHome
from firedoor.core.evidence.bundle import Selection
from firedoor.core.evidence.retention import Window
from firedoor.core.people import READ_REASONS
from firedoor.core.plan.model import Loaded
from firedoor.errors import ActRefused
from firedoor.keys.ring import Ring
from firedoor.store import planfile
from firedoor.store.holds import living, load

T = TypeVar("T")

ExchangeOption = Annotated[list[str] | None, typer.Option("--exchange", help="This exchange; repeat for several.")]
SubjectOption = Annotated[str | None, typer.Option("--subject", help="This shopper: the id the shop's server sends.")]
IncidentOption = Annotated[str | None, typer.Option("--incident", help="What the legal holds of this incident name.")]
SurfaceOption = Annotated[str | None, typer.Option("--surface", help="Only this surface.")]
SinceOption = Annotated[str | None, typer.Option("--since", help="From then on: an age (2h), a moment.")]
UntilOption = Annotated[str | None, typer.Option("--until", help="Up to then: an age or a moment.")]
ToOption = Annotated[str | None, typer.Option("--to", help="The receiver's age public key: age1….")]
ReasonOption = Annotated[str, typer.Option("--reason", help=f"One of {', '.join(READ_REASONS)}.")]


class Office(NamedTuple):
    """A region with its keys at hand."""

    home: Home
    place: RegionHome
    loaded: Loaded
    ring: Ring

    def work(self, work: Callable[[Desk], T]) -> T:
        """Do `work` at the region's desk, with its journal open."""
        return as_operator(
            self.place,
            epochs(self.place, self.ring.worker()),
            lambda write: work(Desk(self.place, self.loaded, self.ring, write)),
        )


class Asked(NamedTuple):
    """What the command line says is wanted."""

    exchanges: list[str]
    subject: str | None
    incident: str | None
    surface: str | None
    since: str | None
    until: str | None

    def selection(self, office: Office) -> Selection:
        """The exact selection: a shopper becomes the keys they have now. Raises `typer.BadParameter`, `ActRefused`."""
        now = time.time()
        place, exchanges, keys, windows = office.place, list(self.exchanges), list[str](), list[Window]()
        if self.subject is not None:
            if not 0 < len(self.subject) <= SUBJECT_LIMIT:
                raise typer.BadParameter(f"--subject has 1 to {SUBJECT_LIMIT} characters.")
            keys += _keys(place, office.ring.worker().pseudonym("subject", self.subject))
        if self.incident is not None:
            holds = [hold for hold in load(place.holds).holds if hold.incident == self.incident]
            if not holds:
                raise ActRefused(
                    "unknown_incident",
                    f"No legal hold of region {place.name} names incident {self.incident}.",
                    remedy="See `firedoor evidence hold list`.",
                )
            for hold in holds:
                exchanges += hold.exchanges
                windows += hold.windows
                keys += [key for lookup in hold.subjects for key in _keys(place, lookup, held=True)]
        selection = Selection(
            exchanges=tuple(sorted(set(exchanges))),
            keys=tuple(sorted(set(keys))),
            windows=tuple(windows),
            surface=self.surface,
            since=microseconds("--since", self.since, now),
            until=microseconds("--until", self.until, now),
            incident=self.incident,
        )
        try:
            return msgspec.convert(msgspec.to_builtins(selection), Selection)
        except msgspec.ValidationError as error:
            raise typer.BadParameter(f"This cannot be asked for: {error}.") from error


def _keys(place: RegionHome, lookup: str, *, held: bool = False) -> list[str]:
    keys = sorted({found.cell.key for found in living(place.subjects, lookup)})
    if not keys and not held:
        raise ActRefused(
            "unknown_subject", f"Region {place.name} has no key of this shopper.", remedy="Check the id and the region."
        )
    return keys


def open_office(home: Path | None, region: str | None) -> Office:
    installation = Home.find(home)
    loaded = planfile.load(installation.plan)
    place = planned_region(installation, loaded.plan, region)
    return Office(installation, place, loaded, open_region(place, loaded, installation.plan.parent))
