"""A region whose control keeps cases: real switches, journals, store and snapshots; who is affected is set by hand."""

import asyncio
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

from tests.rooms.incidentstores import BOX
from tests.rooms.region import Region

from firedoor.app.incidents import HostCache
from firedoor.app.isolation import ModelExaminer
from firedoor.app.snapshot import RegionSnapshots
from firedoor.control.firstminute import FirstMinute
from firedoor.control.incidents import Incidents
from firedoor.core.cache import Partition, Source
from firedoor.core.incident.affected import Affected, Range
from firedoor.core.incident.entries import kind_of
from firedoor.core.plan.model import CacheRules
from firedoor.core.plan.words import Duration
from firedoor.store import journal_read
from firedoor.store.cache import CacheFile
from firedoor.store.cache_rows import PURPOSE
from firedoor.store.incidents import IncidentStore
from firedoor.store.journal_tail import JournalTail
from firedoor.store.opening import BodyOpener

LEAK = "eu/alpen/support/m0"
STEPS = ["contained", "sealed", "purged", "clocks_set", "counted"]
RULES = CacheRules(scope="surface", ttl=Duration(86_400), entries=100_000)
NONE = Range(0, 0)


class Counts:
    """An `AffectedSource` that says what it is told to, and fails while `failing` is set."""

    def __init__(self):
        self.asked, self.failing, self.unknown, self.exchanges = [], None, {}, 1
        self.read_up_to = {"w0": 1 << 30, "w1": 1 << 30}

    def count(self, asked):
        self.asked.append(asked)
        if self.failing is not None:
            raise self.failing
        return Affected(
            asked=asked, as_of=1, took=0.01, exchanges=Range(self.exchanges, self.exchanges), exposed=NONE,
            confirmed=NONE, subjects=NONE, exposed_subjects=NONE, jurisdictions={}, categories={},
            subjects_by_category={}, recipients={}, findings={}, unknown=self.unknown, read_up_to=self.read_up_to,
        )  # fmt: skip


class CaseRegion:
    """The files of a region whose control is started again and again."""

    def __init__(self, folder):
        self.region = Region(folder / "eu")
        self.place = self.region.home
        self.counts = Counts()
        self.clocks = lambda case, now: ()

    @asynccontextmanager
    async def life(self, *, wrap=lambda part, real: real, begin=True, crash=False, **more):
        """Control with its cases. `wrap` can put faults around ``cases`` (the store), ``evidence``, ``snapshots``,
        ``caches``, ``counts`` and the parts of `Region.control`.
        """
        parts = {}

        def keep(part, real):
            parts[part] = real
            return wrap(part, real)

        async with self.region.control(wrap=keep, crash=crash, **more) as board:
            evidence = wrap("evidence", parts["journal"])
            tail = JournalTail(self.place.journals)
            incidents = Incidents(
                "eu", self.region.loaded, store=wrap("cases", IncidentStore(self.region.store.database, BOX)),
                journal=evidence, journals=tail, now_ns=self._now, clocks=self.clocks, tell=lambda case, entry: (),
            )  # fmt: skip
            snapshots = RegionSnapshots(
                self.place, self.region.loaded, board=board, box=BOX, epochs=self.region.epochs, now_ns=self._now,
                examiner=ModelExaminer(self.place, self.region.loaded, self.place.root, BOX, self._now),
            )  # fmt: skip
            first = FirstMinute(
                board, incidents, journal=evidence, snapshots=wrap("snapshots", snapshots),
                affected=wrap("counts", self.counts),
                caches=wrap("caches", HostCache(self.place.cache, BOX.subkey(PURPOSE))), now_ns=self._now,
            )  # fmt: skip
            try:
                if begin:
                    await incidents.begin(board.keeper.trail)
                    await first.resume()
                yield SimpleNamespace(board=board, incidents=incidents, first=first, snapshots=snapshots)
            finally:
                await first.aclose()
                await incidents.aclose()
                await snapshots.aclose()
                tail.close()

    def _now(self):
        return int(self.region.now * 1e9)

    def keep_answers(self, count, *, epoch=0, shop="alpen", surface="support", text="An answer."):
        """Put answers into the host's cache as a worker does."""
        cache = CacheFile(self.place.cache, BOX.subkey(PURPOSE), clock=lambda: self.region.now - 60)
        for number in range(count):
            part = Partition(
                region="eu", shop=shop, surface=surface, subject="", role="", granted=(), jurisdiction="DE",
                plan="ab" * 8, model="m0", remote_name="small", prompt="", in_force="r1", cache_epoch=epoch,
            )  # fmt: skip
            request = {"messages": [{"role": "user", "content": f"question {number}"}]}
            assert cache.keep(part, request, text, Source(exchange=f"fx-{number}"), RULES)
        cache.close()

    def snapshots(self):
        """The snapshots in the evidence: facts and the sealed document, opened."""
        opener = BodyOpener(self.place.bodies, self.place.subjects, self.region.epochs)
        leaves = [stored.leaf for stored in journal_read.read(self.place.journal("control"))]
        taken = [leaf for leaf in leaves if leaf.kind == "incident" and leaf.facts["entry"] == "snapshot"]
        return [(leaf, opener.open(leaf)) for leaf in taken]


def kinds_of(case):
    return [kind_of(entry.payload) for entry in case.entries]


async def until(holds, what="it", seconds=60.0):
    """Wait until `holds()` is true of the running control."""
    deadline = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < deadline, f"{what} never came true"
        await asyncio.sleep(0.01)
    return value
