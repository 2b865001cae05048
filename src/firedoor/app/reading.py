"""Break-glass: bodies are read in clear by two persons with a reason, and on record before anything is shown.

What people do here is recorded in the slot `operator`, refusals too. `write` in all of this returns when its record is
durable, and raises if it cannot be.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from firedoor.config import RegionHome
from firedoor.core.evidence.bundle import Chooser, Selection
from firedoor.core.evidence.leaf import Leaf
from firedoor.core.evidence.record import Fact, Kind, Record
from firedoor.core.people import Signature, Signed
from firedoor.core.plan.model import Loaded
from firedoor.core.switchstate import signed_facts
from firedoor.errors import ActRefused, EvidenceDamaged
from firedoor.keys.ring import Ring
from firedoor.store.grants import Grant, Grants
from firedoor.store.holds import Write
from firedoor.store.journal_read import Stored
from firedoor.store.opening import BodyOpener

Clock = Callable[[], int]
"""Unix nanoseconds."""

SECOND = 1_000_000_000

_CODE = re.compile(r"[a-z][a-z0-9_-]{0,79}", re.ASCII)


class Shown(NamedTuple):
    """A record and its body in clear; None and the reason if it cannot be shown."""

    leaf: Leaf
    body: bytes | None
    reason: str = ""


class Desk:
    """Where people ask for bodies, agree, and read them: one region. Every call blocks; see `ActRefused` for refusals.

    Raises besides it `JournalPoisoned`, `JournalFull`, `KeyUnusable`, `EvidenceDamaged`, OSError.
    """

    def __init__(
        self, place: RegionHome, loaded: Loaded, ring: Ring, write: Write, clock_ns: Clock = time.time_ns
    ) -> None:
        self.place = place
        self.loaded = loaded
        self.ring = ring
        self.grants = Grants(place.grants, place.name, loaded, ring.worker().protect)
        self._write = write
        self._clock_ns = clock_ns

    @property
    def now(self) -> float:
        """Unix seconds."""
        return self._clock_ns() / SECOND

    def request(self, signed: Signed, selection: Selection, note: str) -> Grant:
        """Take in a signed request to read bodies; a second person has to approve it within 15 minutes."""
        with _Refusals(self, signed.act.act, {"by": code_or_unknown(signed.act.by)}):
            grant = self.grants.propose(signed, selection, note, self.now)
        facts: dict[str, Fact] = {"act": signed.act.act, "state": "proposed", "grant": grant.id, "by": signed.act.by}
        self.record("request", {**facts, **signed_facts(signed)}, note)
        self.grants.keep(grant)
        return grant

    def approve(self, grant_id: str, signature: Signature) -> Grant:
        """Add the second person's signature; from now on bodies may be read for an hour."""
        with _Refusals(self, "read_bodies", {"by": code_or_unknown(signature.by), "grant": code_or_unknown(grant_id)}):
            grant = self.grants.approve(self.grants.load(grant_id), signature, self.now)
        facts: dict[str, Fact] = {"act": "read_bodies", "state": "approved", "grant": grant.id, "by": signature.by}
        self.record("request", {**facts, **signed_facts(grant.signed)})
        self.grants.keep(grant)
        return grant

    def show(self, exchange: str, records: list[Stored], grant_id: str | None) -> list[Shown]:
        """The bodies of an exchange in clear. The reading of them is on record before this returns."""
        with _Refusals(self, "read_bodies", {"grant": code_or_unknown(grant_id)}, exchange):
            grant = self.allowed(grant_id, exchange)
            chooser = Chooser(grant.selection)
            wanted = [stored.leaf for stored in records if chooser.body(stored.leaf, notes=True)]
            if not wanted:
                raise ActRefused(
                    "not_in_grant",
                    f"Request {grant.id} is not about bodies of exchange {exchange}.",
                    remedy=how_to_ask(exchange),
                )
        self.record_reading(grant, {"bodies": len(wanted)}, exchange)
        return list(self._open(wanted))

    def allowed(self, grant_id: str | None, exchange: str = "EXCHANGE", recipient: str | None = None) -> Grant:
        """The grant, if it lets bodies be read now (and be sealed to `recipient`)."""
        if grant_id is None:
            raise ActRefused(
                "no_grant", "Bodies are read by two persons with a reason.", remedy=how_to_ask(exchange, recipient)
            )
        grant = self.grants.load(grant_id)
        self.grants.check(grant, self.now, recipient)
        return grant

    def record_reading(self, grant: Grant, facts: dict[str, Fact], exchange: str = "") -> None:
        """Put on record that bodies are read under this grant: both signatures in clear, the note sealed."""
        signed = grant.signed
        said: dict[str, Fact] = {"act": signed.act.act, "state": "done", "grant": grant.id, "reason": grant.reason}
        said |= {"by": [s.by for s in signed.signatures], "user": user()}
        self.record("access", {**said, **facts, **signed_facts(signed)}, self.grants.note(grant), exchange)

    def record(self, kind: Kind, facts: dict[str, Fact], note: str | None = None, exchange: str = "") -> None:
        """A record in the slot of people; durable on return."""
        body = None if note is None else note.encode()
        self._write(Record(kind=kind, exchange=exchange, at=self._clock_ns(), facts=facts, body=body))

    def refused(self, act: str, code: str, facts: dict[str, Fact], exchange: str = "") -> None:
        """Put a refusal on record."""
        self.record("access", {"act": act, "state": "refused", "code": code, "user": user(), **facts}, None, exchange)

    def _open(self, leaves: list[Leaf]) -> Iterator[Shown]:
        opener = BodyOpener(self.place.bodies, self.place.subjects, self.ring)
        try:
            for leaf in leaves:
                try:
                    yield Shown(leaf, opener.open(leaf))
                except EvidenceDamaged as error:
                    yield Shown(leaf, None, error.message)
        finally:
            opener.close()


class _Refusals:
    """Puts a refusal that leaves the block on record before it goes on."""

    def __init__(self, desk: Desk, act: str, facts: dict[str, Fact], exchange: str = "") -> None:
        self._desk = desk
        self._act = act
        self._facts = facts
        self._exchange = exchange

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Record an `ActRefused`."""
        if isinstance(error, ActRefused):
            self._desk.refused(self._act, error.code, self._facts, self._exchange)


def how_to_ask(exchange: str, recipient: str | None = None) -> str:
    """The commands that lead to a grant."""
    to = f" --to {recipient}" if recipient else ""
    return (
        f'Run: firedoor evidence request --exchange {exchange}{to} --reason incident --note "WHY" --as YOU; then a '
        "second person runs: firedoor evidence approve ID --as THEIR_ID --key THEIR_KEY_FILE"
    )


def code_or_unknown(text: str | None) -> str | None:
    """A name or id as it may stand in a record for ever: what somebody typed in its place may be anything."""
    return text if text is None or _CODE.fullmatch(text) else "?"


def user() -> str:
    """Who is at the terminal, as the operating system knows them."""
    return f"uid:{os.getuid()}"
