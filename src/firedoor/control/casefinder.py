"""Finds what belongs into cases: reads the journals from cursors of its own, and takes what other hosts report.

What was found is held in memory until it is durable in its case; the cursors move in the same transaction, so that
after a crash nothing is lost and nothing is there twice. A flood on one case makes fewer and fewer entries.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from firedoor.control.caselog import CaseLog, Draft
from firedoor.core.incident.case import KEPT, LEAKED, PLACES, day_of
from firedoor.core.incident.entries import MICRO, NAMED, Findings, FoundOne, Linked, Opened, case_id
from firedoor.core.incident.folding import Counts, Folding, Opening, Standing, found_of, leak_of, title_of
from firedoor.core.plan.response import IncidentRules
from firedoor.core.switchstate import Entry as Change
from firedoor.errors import FiredoorError, StateBusy
from firedoor.ports.evidence import Journals

log = logging.getLogger("firedoor.control")

BATCH: Final = 1000
"""Records read at a time."""
BATCHES: Final = 4
"""Batches of one look: it is called again with the next beat."""
WAITING: Final = 20_000
"""Findings that may wait for the store before no more are read: they lie safe in the journals."""
OFFERED: Final = 10_000
"""Leaks of other hosts that may wait; more are counted. What shut something stands in the trail of the switches."""
KNOWN: Final = 50_000
"""Findings remembered as taken: a host tells a leak again after control or the host itself was started again."""
SAVE_SECONDS: Final = 30
"""How often cursors are saved when no case needs it: what is read again after a crash changes nothing."""
SLICE: Final = 0.002
"""Seconds of sorting before the switches have their turn."""
FEW: Final = 5
"""Findings named in an entry of a case that names `KEPT` already."""
SYSTEM: Final = "firedoor"
"""`system` of a link to another case of this region."""

_Key = tuple[str, int, str]


class _Gathered:
    """Findings for the next entries of a case: up to `most` are named, and of each place one, and a leak there; the
    others are counted.
    """

    __slots__ = ("again", "earlier", "found", "more", "most", "opened", "places", "since", "until")

    def __init__(self, opened: Opened | None = None, earlier: str | None = None, most: int = NAMED) -> None:
        self.most = most
        self.opened = opened
        self.earlier = earlier
        self.found: list[FoundOne] = []
        self.again: list[FoundOne] = []
        self.places: set[tuple[str, bool]] = set()
        self.more = self.since = self.until = 0

    def add(self, found: FoundOne) -> None:
        new = _place(found) not in self.places and len(self.places) < 2 * PLACES
        if len(self.found) >= self.most:
            if not new:
                self._count(found)
                return
            if self.again:
                spare = self.again.pop()
                self.found.remove(spare)
                self._count(spare)
        if not new:
            self.again.append(found)
        self.found.append(found)
        self.places.add(_place(found))

    def entries(self) -> list[Findings]:
        """One, unless they were found in more places than one entry names."""
        first, *others = [tuple(self.found[n : n + NAMED]) for n in range(0, len(self.found), NAMED)]
        told = Findings(found=first, more=self.more, since=self.since, until=self.until)
        return [told, *(Findings(found=part) for part in others)]

    def _count(self, found: FoundOne) -> None:
        self.since = min(self.since, found.at) if self.more else found.at
        self.until = max(self.until, found.at)
        self.more += 1


class CaseFinder:
    """Puts findings into cases. Used from one event loop. `host` is the name of this host in what hosts report.

    What hosts report of this host's own journals is left to the journals. Nothing here raises but `StateBusy`.
    """

    def __init__(self, region: str, rules: IncidentRules, cases: CaseLog, journals: Journals, host: str = "") -> None:
        self._region = region
        self._rules = rules
        self._cases = cases
        self._journals = journals
        self._host = f"{host}/" if host else ""
        self._counts = Counts()
        self._offered: deque[FoundOne] = deque()
        self._new: deque[FoundOne] = deque()
        self._known: dict[_Key, None] = {}
        self._waiting: dict[str, _Gathered] = {}
        self._urgent = False
        self._written: dict[str, int] = {}
        self._read: dict[str, int] = {}
        self._since = 0
        self._turn = 0.0
        self._saved_at = 0
        self._opened = False
        self._looking = asyncio.Lock()

    def offer(self, found: FoundOne) -> None:
        """Take a leak that another host reports. Quick, and never raises."""
        if "/" not in found.slot or (self._host and found.slot.startswith(self._host)):
            return  # the journal tells
        if len(self._offered) >= OFFERED:
            self._cases.counts["offers_dropped"] += 1
            return
        self._offered.append(found)

    async def begin(self, trail: Sequence[Change]) -> None:
        """Read the journals up to their end, and open cases for automatic shuts in `trail` that none knows of."""
        async with self._looking:
            for case in (*self._cases.open.values(), *self._cases.recent.values()):
                self._remember(case.found)
            if not self._opened:
                await self._open_journals()
            told = dict(self._cases.cursors)
            while await self._some():
                await self._settle()
            told |= {slot: seq for slot, seq in self._read.items() if "/" not in slot}
            for change in _untold(trail, told):
                self._offer_change(change)
            await self._settle()

    async def look(self) -> None:
        """Take in what is new, as much as is due. Cheap when there is nothing."""
        if self._looking.locked() or not self._opened:
            return
        async with self._looking:
            for _ in range(BATCHES):
                if not await self._some():
                    break
                await self._settle(write=False)  # a batch at a time: the switches go on in between
            await self._settle()
        if self._cases.behind:
            self._cases.record_soon()

    async def flush(self) -> None:
        """Write what waits, now. The lock of the cases is held. Raises as the store."""
        await self._cases.sure()
        await self._sort()  # the cursors are beyond it
        if not self._waiting:
            return
        drafts: list[Draft] = []
        for name, gathered in self._waiting.items():
            if gathered.opened is not None:
                drafts.append(Draft(name, gathered.opened))
                if gathered.earlier is not None:
                    drafts.append(Draft(name, Linked(system=SYSTEM, ref=gathered.earlier)))
            drafts += (Draft(name, each) for each in gathered.entries())
        await self._cases.append(drafts, cursors=self._moved(), then=self._flushed)

    def _offer_change(self, change: Change) -> None:
        """Take the leak behind an automatic shut, unless it is one of this host's journals, which told it."""
        if change.slot is None or change.seq is None or (self._host and change.slot.startswith(self._host)):
            return
        at = int(change.at * MICRO)
        where = change.found or str(change.scope)
        if at >= self._since:
            self._offered.append(leak_of(change.slot, change.seq, at, where, change.exchange, self._region))

    async def _open_journals(self) -> None:
        """Where the cases read them to. A region without any begins with the time in which findings belong together."""
        cases = self._cases
        own = {slot: seq for slot, seq in cases.cursors.items() if "/" not in slot}
        if not cases.cursors and not cases.open and not cases.recent:
            self._since = cases.now - int(float(self._rules.fold) * MICRO)
        for slot in await asyncio.to_thread(self._journals.open, own):
            cases.cursors.pop(slot, None)
        self._saved_at = cases.now
        self._opened = True

    async def _some(self) -> bool:
        """Read a batch; whether there was any, and room for more."""
        if len(self._new) + sum(len(g.found) for g in self._waiting.values()) >= WAITING:
            return False
        try:
            read, found, unreadable = await asyncio.to_thread(self._read_batch)
        except (FiredoorError, OSError) as error:
            self._failed("journals", error)
            return False
        self._read |= read
        self._new += (one for one in found if one.at >= self._since)
        if unreadable:
            self._cases.counts["findings_unreadable"] += unreadable
        return bool(read)

    def _read_batch(self) -> tuple[dict[str, int], list[FoundOne], int]:
        """In a thread: how far the slots were read, what was found, and how many records said nothing we know."""
        leaves = self._journals.read(BATCH)
        found = [found_of(leaf, self._region) for leaf in leaves if leaf.kind == "finding"]
        known = [one for one in found if one is not None]
        return {leaf.slot: leaf.seq for leaf in leaves}, known, len(found) - len(known)

    async def _settle(self, *, write: bool = True) -> None:
        """Sort what is new into cases, and write what is due."""
        cases = self._cases
        if not (self._offered or self._new or self._waiting) and not self._save_due():
            return
        try:
            async with cases.lock:
                await cases.sure()
                await self._sort()
                if not write:
                    return
                if self._due():
                    await self.flush()
                elif not self._waiting and self._save_due():
                    self._saved_at = cases.now
                    await cases.append((), cursors=self._moved())
        except StateBusy:
            raise
        except (FiredoorError, OSError) as error:
            self._failed("store", error)

    async def _sort(self) -> None:
        """Put all that is new into cases, in slices: the switches have their turn in between."""
        while self._offered:
            found = self._offered.popleft()
            self._read[found.slot] = found.seq
            self._new.append(found)
        if not self._new:
            return
        known = [c for c in (*self._cases.open.values(), *self._cases.recent.values()) if c.opened.drill is None]
        folding = Folding((), self._rules, self._counts)
        self._turn = asyncio.get_running_loop().time()
        for case in known:
            folding.know(Standing.of(case, self._region))
            await self._breathe()
        for name, gathered in self._waiting.items():
            if gathered.opened is not None:
                folding.begin(name, gathered.found, restricted=bool(gathered.opened.restricted))
        while self._new:
            await self._breathe()
            found = self._new.popleft()
            key = _key(found)
            if key not in self._known:
                self._remember((found,))
                self._put(folding, found)

    async def _breathe(self) -> None:
        clock = asyncio.get_running_loop().time
        if clock() - self._turn >= SLICE:
            await asyncio.sleep(0)
            self._turn = clock()

    def _put(self, folding: Folding, found: FoundOne) -> None:
        name = folding.joins(found)
        if name is not None:
            if name not in self._waiting:
                self._waiting[name] = _Gathered(most=self._most(name))
            self._waiting[name].add(found)
            self._urgent |= found.verdict == "shut"
            return
        opening = folding.opens(found)
        if opening is None:
            return
        first = opening.found[0]
        trigger = "\n".join(map(str, _key(first))).encode()
        name = case_id(self._region, day_of(first.at), trigger)
        if self._cases.named_like(name) is not None:  # taken before the cursors were lost
            return
        gathered = self._waiting[name] = _Gathered(_opened(opening), folding.earlier(found))
        for one in opening.found:
            gathered.add(one)
        folding.begin(name, opening.found, restricted=bool(opening.rule.restricted))
        self._urgent = True

    def _due(self) -> bool:
        """Whether something of what waits must be written now: all of it is, then."""
        now = self._cases.now
        return self._urgent or any(not 0 <= now - self._written.get(n, 0) < self._hold(n) for n in self._waiting)

    def _hold(self, name: str) -> int:
        """Microseconds between two entries that only add findings to a case: a hundredth of a second for each entry
        there is, so that a flood of a whole day makes some four thousand.
        """
        case = self._cases.open.get(name)
        return 0 if case is None else case.number * MICRO // 100

    def _most(self, name: str) -> int:
        """Findings that the next entry of a case names: few, once the case names as many as it keeps. Every entry of
        an open case is in memory, and a flood must not fill it.
        """
        case = self._cases.open.get(name)
        return NAMED if case is None or len(case.found) < KEPT else FEW

    def _flushed(self) -> None:
        now = self._cases.now
        self._written = {name: now for name in (*self._written, *self._waiting) if name in self._cases.open}
        self._waiting.clear()
        self._urgent = False
        self._saved_at = now

    def _save_due(self) -> bool:
        since = self._cases.now - self._saved_at
        return not 0 <= since < SAVE_SECONDS * MICRO and bool(self._moved())  # a clock that was put back waits for none

    def _moved(self) -> dict[str, int]:
        """The cursors that are not those of the store."""
        return {slot: seq for slot, seq in self._read.items() if self._cases.cursors.get(slot) != seq}

    def _remember(self, found: Iterable[FoundOne]) -> None:
        self._known.update(dict.fromkeys(map(_key, found)))
        while len(self._known) > KNOWN:
            del self._known[next(iter(self._known))]

    def _failed(self, what: str, error: BaseException) -> None:
        if not self._cases.counts[f"{what}_failed"]:
            log.error("cases: %s: %s", what, type(error).__name__)
        self._cases.counts[f"{what}_failed"] += 1


def _place(found: FoundOne) -> tuple[str, bool]:
    """Where it was, and whether it leaked there: one of each is named."""
    return (found.scope, found.verdict == LEAKED)


def _key(found: FoundOne) -> _Key:
    """What tells a finding from all others. A slot may hold another journal one day: the exchange is another then."""
    return (found.slot, found.seq, found.exchange or str(found.at))


def _opened(opening: Opening) -> Opened:
    first, rule = opening.found[0], opening.rule
    return Opened(
        cause="finding",
        title=title_of(first),
        scope=first.scope,
        detected=first.at,
        rule=first.rule,
        shut=rule.shut or any(one.verdict == "shut" for one in opening.found),
        purge=rule.purge,
        restricted=rule.restricted,
    )


def _untold(trail: Sequence[Change], read: dict[str, int]) -> list[Change]:
    """The leaks behind automatic shuts that come after what was read, or heard of their slot last."""
    untold: dict[str, list[Change]] = {}
    for change in trail:
        if change.cause != "finding" or change.state != "shut" or change.drill is not None or change.slot is None:
            continue
        if change.seq == read.get(change.slot):
            untold[change.slot] = []
        elif change.seq is not None and change.seq > read.get(change.slot, -1):
            untold.setdefault(change.slot, []).append(change)
    return [change for changes in untold.values() for change in changes]
