"""A region whose control keeps cases: in its SQLite database, in its evidence, with the clocks of the shipped law."""

import base64
import secrets
from contextlib import asynccontextmanager

import msgspec
from msgspec import structs
from tests.rooms.incidentstores import BOX
from tests.rooms.region import Region

from firedoor.app.lawbook import calendars, law_book
from firedoor.control.incidents import Incidents
from firedoor.core.incident.affected import Affected, AskedFor, Range, encode
from firedoor.core.incident.deadlines import clocks_of
from firedoor.core.incident.entries import MICRO, Counted, Opened, kind_of, payload_digest
from firedoor.core.people import Act, Signed
from firedoor.core.plan.response import Legal
from firedoor.errors import StateUnavailable
from firedoor.store.incidents import IncidentStore
from firedoor.store.journal_tail import JournalTail

ONE = "eu/alpen/support/m0"


class CaseRegion(Region):
    """`incidents` while `cases()` runs. `law` False: nobody can reckon clocks."""

    def __init__(self, folder, people=None, keeps_all=None):
        super().__init__(folder, people, keeps_all)
        legal = Legal(controller="Alpenladen GmbH", main="DE", establishments=("DE",), zone="Europe/Berlin")
        self.loaded = structs.replace(self.loaded, plan=structs.replace(self.loaded.plan, legal=legal))
        self.incidents = None
        self.law = True

    @property
    def micro(self):
        return int(self.now * MICRO)

    @asynccontextmanager
    async def cases(self, **more):
        """A running switchboard, and the cases beside it."""
        async with self.control(**more) as board:
            tail = JournalTail(self.home.journals)
            self.incidents = Incidents(
                "eu", self.loaded, store=IncidentStore(self.store.database, BOX), journal=board.keeper._journal,
                journals=tail, now_ns=lambda: int(self.now * 1e9), clocks=self.clocks, tell=lambda case, entry: (),
            )  # fmt: skip
            await self.incidents.begin(board.keeper.trail)
            try:
                yield board
            finally:
                await self.incidents.aclose()
                tail.close()

    def clocks(self, case, now):
        if not self.law:
            raise StateUnavailable("The law of this installation is not read.")
        return clocks_of(case, self.loaded.plan, law_book(), calendars(), now)

    def entry(self, case, payload, by="ana", after=0, **changes):
        """The body that hands in `payload` as `by` signs it; a case None begins one."""
        nonce = secrets.token_hex(16)
        args = {
            "incident": case or "new", "entry": kind_of(payload), "after": str(after),
            "payload": payload_digest(nonce, payload),
        }  # fmt: skip
        values = {"args": args, "by": by, "made_at": int(self.now), "nonce": nonce, "plan": self.loaded.digest}
        act = Act(**{"region": "eu", "act": "incident", **values, **changes})
        return {"act": act, "signature": self.sign(act, by), "payload": payload}

    def opened(self, title="A customer called", **more):
        values = {"cause": "person", "title": title, "scope": ONE, "detected": self.micro - 60 * MICRO, "shut": False}
        return Opened(**{**values, **more})

    def looking(self, case, by="ana", **changes):
        """The header that says that `by` looks at `case`."""
        values = {"args": {"incident": case}, "by": by, "made_at": int(self.now), "plan": self.loaded.digest}
        act = Act(**{"region": "eu", "act": "see_incident", "nonce": secrets.token_hex(16), **values, **changes})
        signed = Signed(act, (self.sign(act, by),))
        return {"Firedoor-Act": base64.b64encode(msgspec.json.encode(signed)).decode()}

    def accesses(self):
        """What the evidence holds of looks at restricted cases."""
        return [leaf.facts for leaf in self.records() if leaf.kind == "access"]


def counted(**more):
    """A count: twelve to fourteen shoppers of Austria and Germany."""
    some = Range(12, 14)
    values = {
        "asked": AskedFor(region="eu", scopes=(ONE,), since=1, until=None), "as_of": 5, "took": 0.25,
        "exchanges": Range(40, 40), "exposed": Range(16, 16), "confirmed": Range(1, 1), "subjects": Range(20, 22),
        "exposed_subjects": some, "jurisdictions": {"DE": Range(10, 12), "AT": Range(2, 4)},
        "categories": {"EMAIL": Range(9, 9), "PERSON": Range(3, 16)}, "subjects_by_category": {"EMAIL": Range(8, 10)},
        "recipients": {"credentials": {"fd_eu_a": Range(16, 16)}}, "findings": {"protected_value": 1},
        "unknown": {"no_subject": 2},
    }  # fmt: skip
    return Counted(affected=encode(Affected(**{**values, **more})))
