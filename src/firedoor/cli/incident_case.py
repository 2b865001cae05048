"""What the commands about a case share: finding it by a part of its name, looking at it, writing into it, signed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import typer
from msgspec import structs

from firedoor.api import incident_shapes as shapes
from firedoor.cli.incident_client import IncidentClient
from firedoor.cli.incident_words import entry_line
from firedoor.cli.options import echo_json, given_moment, moment, regions_on_disk
from firedoor.cli.signing import Signer
from firedoor.config import Home, RegionHome
from firedoor.core.incident.entries import (
    MICRO,
    Entry,
    Payload,
    decode_payload,
    encode_payload,
    kind_of,
    payload_digest,
)
from firedoor.core.people import Act, Signed
from firedoor.errors import ActRefused, ControlUnreachable
from firedoor.ports.incidents import StoredCase

LAST = "last"
LISTED = 10
"""Cases named where a name may mean several."""

CaseArgument = Annotated[
    str, typer.Argument(metavar="CASE", help="Its id, any part of it that no other has, or `last`.")
]
PersonOption = Annotated[
    str | None, typer.Option("--as", envvar="FIREDOOR_AS", help="Your id in the plan: for a restricted case.")
]
AtOption = Annotated[str | None, typer.Option("--at", help="As it was known then: an age (2h) or a moment.")]
AfterOption = Annotated[
    int | None,
    typer.Option("--after", min=1, help="The newest entry you have seen: refused if more came.  [as it is now]"),
]
BecauseOption = Annotated[str, typer.Option("--because", help="Why; kept sealed.")]


class Asker(NamedTuple):
    """Who asks, from where: what the options of a command said."""

    home: Path | None
    region: str | None
    person: str | None
    key: Path | None
    passphrase_file: Path | None

    def visit(self, case: str) -> Visit:
        """The case that is meant. Raises `ActRefused`, `ControlUnreachable`, `SetupError`."""
        where = Home.find(self.home)
        place, name = _find(regions_on_disk(where, self.region), case)
        return Visit(self, where, place, name)


class Visit:
    """A case at its region's control. The person's key is unlocked when it is needed first.

    Its methods raise `ActRefused`, `ControlUnreachable`, `FiredoorError`.
    """

    def __init__(self, asker: Asker, home: Home, place: RegionHome, name: str) -> None:
        self.place = place
        self.name = name
        self.client = IncidentClient(place)
        self._asker = asker
        self._home = home
        self._signer: Signer | None = None
        self._plan: str | None = None
        self._looking: Signed | None = None
        self._shown: shapes.Shown | None = None

    def shown(self, at: str | None = None) -> shapes.Shown:
        """The case. One that is restricted is asked for again, with a signed act, if the person is known."""
        shown = self.client.incident(self.name, at, self._looking)
        if shown.hidden and self._asker.person is not None and self._looking is None:
            self._looking = self._look()
            shown = self.client.incident(self.name, at, self._looking)
        return shown

    def details(self, at: str | None = None) -> shapes.Details:
        """The same, for what can be done with its content only."""
        details = self.shown(at).details
        if details is None:
            raise ActRefused(
                "restricted", f"Case {self.name} is restricted: it is shown to who signs that they look.",
                remedy="Name yourself: --as YOU.",
            )  # fmt: skip
        return details

    def entries(self, after: int = 0, at: str | None = None) -> tuple[Entry, ...]:
        """Its entries after number `after`."""
        return self.client.incident_entries(self.name, after, at, self._looking)

    def clocks(self, at: str | None = None) -> shapes.Clocks:
        """Its clocks."""
        return self.client.incident_clocks(self.name, at, self._looking)

    def affected(self, at: str | None = None) -> shapes.Affected:
        """Who is affected."""
        return self.client.incident_affected(self.name, at, self._looking)

    def severity(self, at: str | None = None) -> shapes.Severity:
        """How severe it is."""
        return self.client.incident_severity(self.name, at, self._looking)

    def write(self, payload: Payload, after: int | None = None) -> shapes.Written:
        """Write `payload`, signed. `after` is the newest entry that the person has seen; as it is now, unless named.

        When the case has moved on since, what came is shown before `ActRefused` is raised.
        """
        return self.write_as(lambda _: payload, after)

    def write_as(self, make: Callable[[Act], Payload], after: int | None = None) -> shapes.Written:
        """The same for a payload that is made from the act to be signed."""
        newest = self.details().entries
        seen = newest if after is None else after
        act, payload = signed_entry(self.signer, self.place, self.plan, self.name, seen, make)
        try:
            return self.client.write_incident(self.name, act, self.signer.sign(act), payload)
        except ActRefused as refused:
            if refused.code == "case_moved":
                typer.echo(f"Since entry {seen}:", err=True)
                for entry in self.entries(seen):
                    typer.echo(f"  {entry_line(entry)}", err=True)
            raise

    @property
    def signer(self) -> Signer:
        """The person, with their key unlocked."""
        if self._signer is None:
            if self._asker.person is None:
                raise typer.BadParameter("Name yourself: --as YOU.")
            self._signer = Signer(self._home, self._asker.person, self._asker.key, self._asker.passphrase_file)
        return self._signer

    @property
    def plan(self) -> str:
        """The digest of the plan that control runs."""
        if self._plan is None:
            self._plan = self.client.switches().plan
        return self._plan

    def _look(self) -> Signed:
        act = self.signer.act(self.place, self.plan, "see_incident", {"incident": self.name})
        return Signed(act, (self.signer.sign(act),))


def signed_entry(
    signer: Signer, place: RegionHome, plan: str, case: str, after: int, make: Callable[[Act], Payload]
) -> tuple[Act, Payload]:
    """The act that binds what `make` makes of it to `case`, for a person who has seen entries up to `after`."""
    draft = signer.act(place, plan, "incident", {})
    payload = make(draft)
    try:
        decode_payload(encode_payload(payload))
    except msgspec.ValidationError as error:
        raise typer.BadParameter(f"This cannot be said: {error}.") from error
    except UnicodeEncodeError as error:
        raise typer.BadParameter(
            "The terminal gave letters that are no UTF-8: try again with LC_ALL=C.UTF-8."
        ) from error
    args = {
        "incident": case,
        "entry": kind_of(payload),
        "after": str(after),
        "payload": payload_digest(draft.nonce, payload),
    }
    return structs.replace(draft, args=args), payload


def told(written: shapes.Written, *, as_json: bool, **more: object) -> None:
    """Say that an entry is written."""
    if as_json:
        echo_json({"case": written.case, "number": written.number, "at": written.at, "kind": written.kind, **more})
    else:
        typer.echo(f"{written.case}: entry {written.number} ({written.kind}).")


def micro(option: str, text: str | None, usual: float | None = None) -> int | None:
    """Unix microseconds of an age or a moment; `usual` (seconds) if none is given. Raises `typer.BadParameter`."""
    if text is None:
        return None if usual is None else int(usual * MICRO)
    return int(given_moment(option, text, time.time()) * MICRO)


def rfc3339(text: str | None) -> str | None:
    """The moment that `--at` names, as the API takes it. Raises `typer.BadParameter`."""
    return None if text is None else moment(given_moment("--at", text, time.time()))


def _find(places: list[RegionHome], wanted: str) -> tuple[RegionHome, str]:
    """The region and the full id of the case that is meant; a region that is down is missed only if no other has it.

    Raises `ActRefused` for none or several, `ControlUnreachable`.
    """
    down: ControlUnreachable | None = None
    found: list[tuple[RegionHome, shapes.Line]] = []
    for place in places:
        asked: dict[str, str | int] = {"limit": 1} if wanted == LAST else {"limit": LISTED, "named": wanted}
        try:
            found += [(place, line) for line in IncidentClient(place).incidents(**asked).incidents]
        except ControlUnreachable as error:
            down = error
    exact = [(place, line) for place, line in found if line.id == wanted]
    if down is not None and (wanted == LAST or not found):
        raise down
    if wanted == LAST:
        exact = sorted(found, key=lambda each: _when(each[1]))[-1:]
    chosen = exact or found
    if len(chosen) == 1:
        return chosen[0][0], chosen[0][1].id
    raise _not_one(wanted, [line.id for _, line in chosen])


def meant(known: Iterable[StoredCase], wanted: str) -> str:
    """The id of the one case among `known` that is meant: the same for who reads the store. Raises `ActRefused`."""
    cases = sorted(known, key=lambda case: case.opened_at)
    if wanted == LAST:
        found = [case.id for case in cases[-1:]]
    elif wanted in (ids := [case.id for case in cases]):
        found = [wanted]
    else:
        found = [name for name in ids if wanted in name]
    if len(found) == 1:
        return found[0]
    raise _not_one(wanted, found[-LISTED:])


def _not_one(wanted: str, found: Sequence[str]) -> ActRefused:
    if found:
        return ActRefused(
            "several_cases", f"{wanted} may be several cases.", remedy=f"Say more of: {', '.join(found)}."
        )
    if wanted == LAST:
        return ActRefused("unknown_case", "There is no case yet.", remedy="To open one: `firedoor incident open`.")
    return ActRefused("unknown_case", f"There is no case {wanted}.", remedy="See `firedoor incident list`.")


def _when(line: shapes.Line) -> tuple[str, int]:
    return line.day, line.summary.opened_at if line.summary is not None else 0
