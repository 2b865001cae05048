"""Cases of one region on real journals, with a store in memory that can fail or die at any call, and people who sign."""

import asyncio
import secrets
from contextlib import asynccontextmanager

from msgspec import structs
from tests.rooms.journals import Evidence
from tests.rooms.region import People

from firedoor.control.incidents import Incidents
from firedoor.core.evidence.record import Record
from firedoor.core.incident.entries import decode_entry, encode_entry, kind_of, payload_digest
from firedoor.core.people import Act, Signed
from firedoor.core.plan.model import Loaded
from firedoor.errors import JournalPoisoned
from firedoor.ports.incidents import StoredCase
from firedoor.store import journal_read
from firedoor.store.journal_tail import JournalTail

SCOPE = "eu/alpen/support/m0"


class MemoryStore:
    """See `firedoor.ports.incidents.IncidentStore`: what a disk would hold is `kept`, so it can be opened again after a death.

    `fail_at` is the call that fails, `done` whether it had done its work by then, `dead` whether all later ones fail.
    """

    def __init__(self, kept=None):
        self.kept = kept or {"entries": {}, "ended": {}, "cursors": {}, "unrecorded": [], "messages": []}
        self.calls = 0
        self.fail_at, self.done, self.dies = None, False, False

    def _call(self, work):
        self.calls += 1
        failing = self.fail_at is not None and (self.calls == self.fail_at or (self.dies and self.calls > self.fail_at))
        if failing and (not self.done or self.calls > self.fail_at):
            raise OSError("the disk refuses")
        result = work()
        if failing:
            raise OSError("the disk did not confirm")
        return result

    def cases(self):
        def work():
            found = [
                StoredCase(name, self._decoded(name)[0].at, not self.kept["ended"].get(name, False), len(entries))
                for name, entries in self.kept["entries"].items()
            ]
            return sorted(found, key=lambda one: (one.opened_at, one.id))

        return self._call(work)

    def entries(self, case):
        return self._call(lambda: self._decoded(case))

    def cursors(self):
        return self._call(lambda: dict(self.kept["cursors"]))

    def append(self, entries, *, cursors, ended, messages=()):
        def work():
            for entry in entries:
                known = self.kept["entries"].setdefault(entry.case, [])
                assert entry.number <= len(known) + 1, "a gap"
                if entry.number <= len(known):
                    assert known[entry.number - 1] == encode_entry(entry), "another entry of this number"
                    continue
                known.append(encode_entry(entry))
                self.kept["unrecorded"].append((entry.case, entry.number))
            self.kept["cursors"] |= cursors
            self.kept["ended"] |= ended
            self.kept["messages"] += messages

        self._call(work)

    def unrecorded(self, limit):
        return self._call(lambda: [self._decoded(c)[n - 1] for c, n in self.kept["unrecorded"][:limit]])

    def recorded(self, entries):
        gone = {(e.case, e.number) for e in entries}
        self._call(lambda: self.kept.update(unrecorded=[u for u in self.kept["unrecorded"] if u not in gone]))

    def _decoded(self, case):
        return [decode_entry(data) for data in self.kept["entries"].get(case, ())]


class FailingJournal:
    """Control's journal, whose `fail_at`-th record and all after it are not taken."""

    def __init__(self, journal, fail_at=None):
        self._journal = journal
        self.fail_at = fail_at
        self.calls = 0

    @property
    def poisoned(self):
        return self._journal.poisoned

    def append(self, record):
        self.calls += 1
        if self.fail_at is not None and self.calls >= self.fail_at:
            failed = asyncio.get_running_loop().create_future()
            failed.set_exception(JournalPoisoned("the disk has failed"))
            return failed
        return self._journal.append(record)

    def note(self, record):
        self._journal.note(record)


class Desk:
    """The cases of region eu under `root`, started again and again; the clock is set by hand."""

    def __init__(self, root, rules=None):
        self.evidence = Evidence(root)
        self.people = People()
        self.rules = rules
        self.now = 1_800_000_000.0
        self.store = MemoryStore()
        self.journal = None
        self.clocks = lambda case, now: ()
        self.told = []

    @property
    def loaded(self):
        plan = self.people.plan()
        if self.rules is not None:
            plan = structs.replace(plan, incidents=self.rules)
        return Loaded(plan, "ab" * 32, "plan.yaml")

    def micro(self):
        return int(self.now * 1e6)

    @asynccontextmanager
    async def running(self, *, begin=True, trail=(), store=None, journal_fails_at=None, tell=None, host=""):
        """The incidents, begun; what another process would find is what the store and the journals hold."""
        self.store = store or MemoryStore(self.store.kept)
        journal = self.evidence.open("control", clock_ns=lambda: int(self.now * 1e9))
        self.journal = FailingJournal(journal, journal_fails_at)
        tail = JournalTail(self.evidence.journals)
        incidents = Incidents(
            "eu",
            self.loaded,
            store=self.store,
            journal=self.journal,
            journals=tail,
            now_ns=lambda: int(self.now * 1e9),
            clocks=self.clocks,
            tell=tell or (lambda case, entry: ()),
            host=host,
        )
        incidents.listen(lambda case, entry: self.told.append((case.id, entry.number, case.number)))
        try:
            if begin:
                await incidents.begin(trail)
            yield incidents
        finally:
            await incidents.aclose()
            tail.close()
            await journal.aclose()

    async def finds(self, *facts, slot="w0"):
        """A worker's journal gets findings; a text is the scope of a confirmed leak."""
        journal = self.evidence.open(slot, clock_ns=lambda: int(self.now * 1e9))
        base = {"verdict": "shut", "scope": SCOPE, "rule": "protected_value"}
        for n, one in enumerate(facts):
            more = {"scope": one} if isinstance(one, str) else one
            exchange = f"fx-{secrets.token_hex(4)}-{n}"
            record = Record(kind="finding", exchange=exchange, at=int(self.now * 1e9), facts=base | more)
            await journal.append(record)
        await journal.aclose()

    def signed(self, case, payload, by="ana", *, nonce=None, after=None, **changes):
        """`payload` as `by` signs it, having seen all of `case` (None: a new one)."""
        nonce = nonce or secrets.token_hex(16)
        args = {
            "incident": case.id if case else "new",
            "entry": kind_of(payload),
            "after": str((case.number if case else 0) if after is None else after),
            "payload": payload_digest(nonce, payload),
        }
        values = {"args": args, "by": by, "made_at": int(self.now), "nonce": nonce, "plan": self.loaded.digest}
        act = Act(**{"region": "eu", "act": "incident", **values, **changes})
        return Signed(act, (self.people.keys[by].sign(by, act),))

    async def write(self, incidents, case_id, payload, by="ana", **more):
        case = await incidents.case(case_id) if case_id else None
        return await incidents.write(self.signed(case, payload, by, **more), payload)

    def records(self):
        """What the evidence holds of cases: the facts of each record."""
        leaves = [stored.leaf for stored in journal_read.read(self.evidence.journals / "control")]
        return [leaf.facts for leaf in leaves if leaf.kind == "incident"]
