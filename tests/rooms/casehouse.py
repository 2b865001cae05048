"""A region with cases, written by the parts that write them in earnest: store, case log, journal; people really sign."""

import asyncio
import contextlib
import hashlib
import secrets

from tests.rooms.bundles import PLAN, House
from tests.rooms.controlstates import open_control_state

from firedoor.app.regionkeys import places
from firedoor.control.caselog import CaseLog, Draft
from firedoor.core.evidence.record import Record
from firedoor.core.incident.case import case_of
from firedoor.core.incident.entries import Acknowledged, Noted, Opened, Sealed, kind_of, payload_digest
from firedoor.core.people import Act, Signed
from firedoor.store.incidents import IncidentStore
from firedoor.store.journal import open_journal

CASE = "eu-20260921-aaaaaaaaaa"
SNAPSHOT = b'{"switches":[],"sessions":["invented"]}'
SECRET = "Ms Quisling called about her card"


class CaseHouse(House):
    """`where` is control's database, else the region's SQLite file."""

    where = None

    @property
    def box(self):
        return self.ring.worker().protect

    @contextlib.contextmanager
    def store(self):
        state = open_control_state(self.where or self.place.control_state, "eu")
        try:
            yield IncidentStore(state.database, self.box)
        finally:
            state.close()

    def write_case(self, *drafts, record=True, snapshot_of=None):
        """Write entries into store and, with `record`, evidence; the entries. `snapshot_of` a case is sealed first."""

        async def run():
            journal = open_journal(
                places(self.place, "control"), region="eu", slot="control", epochs=self.epochs, clock_ns=self.clock
            )
            with self.store() as store:
                log = CaseLog("eu", store=store, journal=journal, now_ns=self.clock, tell=lambda _case, _entry: ())
                await log.load()
                if not record:
                    log.record_soon = lambda: None
                more = [await self._seal(journal, snapshot_of)] if snapshot_of else []
                entries = await log.append([*drafts, *more])
                if record:
                    assert await log.recorded()
            await journal.aclose()
            return entries

        return asyncio.run(run())

    def opened(self, case=CASE, **more):
        return Draft(case, Opened(cause="finding", title="A leak", scope="eu/alpen/support/m0", detected=1, **more))

    def signed(self, person, payload, case=CASE, after=1, **changes):
        """What `person` says in `case`; a case that begins is named after the act."""
        nonce = secrets.token_hex(16)
        args = {"incident": case or "new", "entry": kind_of(payload), "after": str(after)}
        act = Act(
            region="eu", act="incident", args={**args, "payload": payload_digest(nonce, payload)},
            plan=changes.get("plan", PLAN), by=person, made_at=self.now, nonce=nonce,
        )  # fmt: skip
        signed = Signed(act, (self.keys[changes.get("key_of", person)].sign(person, act),))
        return Draft(case or case_of(act), changes.get("instead", payload), person, signed)

    async def _seal(self, journal, case):
        digest = hashlib.sha256(SNAPSHOT).hexdigest()
        facts = {"case": case, "entry": "snapshot", "sha256": digest, "items": {"sessions": 1}}
        seq = await journal.append(Record(kind="incident", exchange="", at=self.clock(), facts=facts, body=SNAPSHOT))
        sealed = Sealed(slot="control", seq=seq, sha256=digest, bytes=len(SNAPSHOT), items={"sessions": 1})
        return Draft(case, sealed)


def handled(folder):
    """A house with two cases: one that a finding opened and people work on, and one that a person opened."""
    house = CaseHouse(folder)
    house.write_case(house.opened(), snapshot_of=CASE)
    house.write_case(
        house.signed("ana", Acknowledged(), after=2), house.signed("cem", Noted(text=SECRET), after=3)
    )  # fmt: skip
    by_person = Opened(cause="person", title="A call", scope="eu/alpen/support/m0", detected=1)
    house.write_case(house.signed("ben", by_person, case=None, after=0))
    return house
