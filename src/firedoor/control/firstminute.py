"""The first minute of a case by itself: contain, seal, purge, start the clocks, count who is affected.

Which step comes next is asked of the case (`core.incident.steps`), so that whoever goes on after a crash does what is
left. What was cut off between doing and telling is done again: a door is shut once, a new cache epoch empties what is
empty. A second snapshot is taken: both are in the evidence, and the entry names the one under whose seal things go.
What is contained later is sealed and purged for itself, so often at most (`core.incident.rounds`).
A step that cannot be done is told once and tried again; those that do not need it go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

from msgspec import structs

from firedoor.control.containment import Containment
from firedoor.control.incidents import Incidents
from firedoor.control.switchboard import Switchboard
from firedoor.core.evidence.record import Fact, Record
from firedoor.core.incident import entries as kinds
from firedoor.core.incident.affected import Affected, encode
from firedoor.core.incident.case import Case
from firedoor.core.incident.deadlines import clock_lines
from firedoor.core.incident.entries import Payload
from firedoor.core.incident.rounds import needs_seal, rounds, seal_wait, valid_seal
from firedoor.core.incident.steps import (
    Region,
    Step,
    behind,
    left,
    next_step,
    same_count,
    to_count,
    unsettled,
    was_told,
)
from firedoor.errors import ActRefused, FiredoorError, StateBusy
from firedoor.ports.evidence import Journal
from firedoor.ports.incidents import AffectedSource, Snapshots

log = logging.getLogger("firedoor.control")

AGAIN: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds before a step that failed is tried again, the last from then on."""
SIDE_BY_SIDE: Final = 4
"""Cases whose slow steps (snapshot, purge, count) are done at a time; doors are shut and clocks started at once."""
INDEX_WAIT: Final = 1.0
"""Seconds that the first count waits for the index to have read the findings; it counts anyway, and again later."""
INDEX_LOOK: Final = 0.2
DEBOUNCE: Final = 1.0
"""Seconds between two counts of a case at least, and five times as long as one took."""
COUNT_LATER: Final = (2.0, 10.0, 60.0, 300.0, 1200.0)
"""Seconds until it is counted again while the index was behind or exchanges had no end: none lasts 15 minutes."""
PURGE_WAIT: Final = 0.5
"""Seconds that clocks and count wait for a purge: the new cache epoch holds at once, a large file may take long."""
LONGEST: Final = 60.0
"""Seconds of one step: what hangs for longer failed, and makes room for others."""

_T = TypeVar("_T")


class Caches(Protocol):
    """The answer cache of this host. Calls block."""

    def clear(self, *, before_epoch: int, until: int, sealed: bool) -> dict[str, int]:
        """Take entries of an epoch before `before_epoch`, kept before `until` (Unix seconds), out of the file; counts.

        They are given to nobody any more as it is. `sealed` says that a snapshot holds them; else they stay as
        evidence. Raises `FiredoorError`, OSError.
        """
        ...


class _Progress:
    """Of one case: until when a step rests (seconds of the loop's clock), how often it failed, when to count again."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.rest: dict[Step, float] = {}
        self.tries: Counter[Step] = Counter()
        self.sealed: kinds.Sealed | None = None
        self.purging: asyncio.Task[None] | None = None
        self.recount: float | None = None
        self.recounts = 0


class FirstMinute:
    """Does it for every case of `incidents` that is open, from when it is made; `resume` first. One event loop."""

    def __init__(
        self,
        board: Switchboard,
        incidents: Incidents,
        *,
        journal: Journal,
        snapshots: Snapshots,
        affected: AffectedSource,
        caches: Caches,
        now_ns: Callable[[], int],
    ) -> None:
        self._region = Region(board.region, int(board.loaded.plan.incidents.lookback))
        self._containment = Containment(board, self._region)
        self._incidents = incidents
        self._journal = journal
        self._snapshots = snapshots
        self._affected = affected
        self._caches = caches
        self._now_ns = now_ns
        self._slow = asyncio.Semaphore(SIDE_BY_SIDE)
        self._threads = ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="first minute")
        self._progress: dict[str, _Progress] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._over = False
        incidents.listen(lambda case, _: self._go_on(case))

    async def resume(self) -> None:
        """Go on with every open case where an earlier process stopped."""
        for case in self._incidents.open_cases():
            self._go_on(case)

    async def settled(self, case: str) -> None:
        """Wait until nothing more is to be done about `case` for now."""
        while (task := self._tasks.get(case)) is not None and not task.done():
            await asyncio.wait({task})

    async def aclose(self) -> None:
        """Stop; the next process goes on."""
        self._over = True
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    # --- one case -----------------------------------------------------------------------------------------------------

    def _go_on(self, case: Case) -> None:
        if self._over:
            return
        task = self._tasks.get(case.id)
        if task is not None and not task.done():
            self._progress[case.id].wake.set()
        elif left(case, self._region) or (case.counted is not None and unsettled(case, case.counted)):
            self._progress[case.id] = progress = _Progress()
            if not left(case, self._region):  # an earlier process counted it last
                self._count_later(case, case.counted, progress)
            self._tasks[case.id] = task = asyncio.create_task(self._work(case.id, progress), name=f"case {case.id}")
            task.add_done_callback(lambda _: self._forget(case.id, progress))

    def _forget(self, case: str, progress: _Progress) -> None:
        if self._progress.get(case) is progress:
            del self._progress[case], self._tasks[case]

    async def _work(self, name: str, progress: _Progress) -> None:
        """Do what is left of a case, and wait for what rests; ends when nothing is left."""
        try:
            while not self._over and await self._next(await self._incidents.case(name), progress):
                pass
        finally:
            if progress.purging is not None:
                progress.purging.cancel()

    async def _next(self, case: Case, progress: _Progress) -> bool:
        """Do the next step, or wait for one; whether anything is left."""
        clock = asyncio.get_running_loop().time
        progress.wake.clear()
        now, purging = clock(), progress.purging is not None and not progress.purging.done()
        if wait := seal_wait(case, self._now_ns() // 1000):
            progress.rest["seal"] = max(now + wait / kinds.MICRO, progress.rest.get("seal", 0.0))
        resting = {s for s, until in progress.rest.items() if until > now} | ({"purge"} if purging else set())
        step = next_step(case, self._region, resting)
        if step is None and not case.ended and progress.recount is not None and progress.recount <= now:
            step = "count"
        if step == "purge":
            progress.purging = asyncio.create_task(self._try(case, step, progress))
            progress.purging.add_done_callback(lambda _: progress.wake.set())
            await asyncio.wait({progress.purging}, timeout=PURGE_WAIT)
        elif step is not None:
            await self._try(case, step, progress)
        if step is not None:
            return True
        steps = left(case, self._region)
        due = [until for s, until in progress.rest.items() if s in steps and until > now]
        due += [progress.recount] if progress.recount is not None and not case.ended else []
        if not due and not purging:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(min(due, default=None)):
                await progress.wake.wait()
        return True

    async def _try(self, case: Case, step: Step, progress: _Progress) -> None:
        """Do one step and tell it. What fails is told once for each reason, and rests."""
        try:
            async with asyncio.timeout(LONGEST):
                payloads = await self._do(case, step, progress)
        except StateBusy:
            self._give_up()
            return
        except Exception as error:  # noqa: BLE001  # of whatever kind: the others go on
            log.error("case %s: %s waits: %s", case.id, step, type(error).__name__)
            self._rest(step, progress)
            await self._tell_failure(case, step, _code(error))
            return
        try:
            for payload in payloads:
                await self._incidents.add(case.id, payload)
        except StateBusy:
            self._give_up()
        except ActRefused as error:  # done before: somebody else told it meanwhile
            if error.code != "done_before":
                log.error("case %s: %s is not told: %s", case.id, step, error.code)
            self._rest(step, progress)
            progress.sealed = None if step == "seal" else progress.sealed
        except (FiredoorError, OSError) as error:
            log.error("case %s: %s is not told yet: %s", case.id, step, type(error).__name__)
            self._rest(step, progress)
        else:
            progress.tries.pop(step, None)
            progress.sealed = None if step == "seal" else progress.sealed

    def _rest(self, step: Step, progress: _Progress) -> None:
        pause = AGAIN[min(progress.tries[step], len(AGAIN) - 1)]
        progress.tries[step] += 1
        progress.rest[step] = asyncio.get_running_loop().time() + pause

    def _give_up(self) -> None:
        """Another control took over: it goes on with the cases."""
        log.error("cases go on with the control that took over")
        self._over = True

    async def _tell_failure(self, case: Case, step: Step, code: str) -> None:
        failed = kinds.StepFailed(step=step, code=code)
        if was_told(case, failed):
            return
        try:
            await self._incidents.add(case.id, failed)
        except (FiredoorError, OSError) as error:  # the next try tells it
            log.error("case %s: that %s failed is not told yet: %s", case.id, step, type(error).__name__)

    # --- the steps ----------------------------------------------------------------------------------------------------

    async def _do(self, case: Case, step: Step, progress: _Progress) -> list[Payload]:
        match step:
            case "contain":
                return list(self._containment.contain(case))
            case "clocks":
                now = self._now_ns() // 1000
                return [kinds.ClocksSet(clocks=clock_lines(self._incidents.clocks(case, now)))]
        async with self._slow:
            match step:
                case "seal":
                    progress.sealed = progress.sealed or await self._seal(await self._incidents.case(case.id))
                    return [progress.sealed]
                case "purge":  # what was contained while it waited for its turn is sealed first
                    case = await self._incidents.case(case.id)
                    return [] if needs_seal(case) else [await self.purge(case)]
                case _:
                    return await self._count(case, progress)

    async def _seal(self, case: Case) -> kinds.Sealed:
        """Put a snapshot on record: it covers what is contained by now. Raises `FiredoorError`."""
        number = len(rounds(case.entries)) + 1
        exchanges = tuple(dict.fromkeys(one.exchange for one in case.found if one.exchange))
        taken = await self._snapshots.take(case.id, case.scopes, exchanges)
        digest = await self._in_thread(lambda: hashlib.sha256(taken.data).hexdigest())
        facts: dict[str, Fact] = {
            "case": case.id, "entry": "snapshot", "round": number, "covers": case.number, "sha256": digest,
            "items": taken.items,
        }  # fmt: skip
        seq = await self._journal.append(
            Record(kind="incident", exchange="", at=self._now_ns(), facts=facts, body=taken.data)
        )
        return kinds.Sealed(
            slot=self._journal.slot, seq=seq, sha256=digest, bytes=len(taken.data), items=taken.items,
            missing=taken.missing, round=number, covers=case.number,
        )  # fmt: skip

    async def purge(self, case: Case) -> kinds.Purged:
        """Purge what the plan says, under the newest seal of `case`. Raises `ActRefused` (``not_sealed``) if there is
        none, or if it does not cover all that is contained.

        Only what was kept before the snapshot was begun leaves the file. What a drill shows is purged nowhere: it must
        cost the shop no answer.
        """
        if not case.opened.purge or case.opened.drill is not None:
            return kinds.Purged(asked=False)
        under, sealed = valid_seal(case), case.sealed
        if under is None or sealed is None:
            raise ActRefused("not_sealed", "Nothing is purged before all that is contained is sealed.")
        epoch = self._containment.cache_epoch(case)
        until, whole = case.entries[under.covers - 1].at // kinds.MICRO, "cache" not in sealed.missing
        try:
            items = await self._in_thread(lambda: self._caches.clear(before_epoch=epoch, until=until, sealed=whole))
        except (FiredoorError, OSError) as error:  # nothing of it is given to anybody: the epoch is what counts
            log.error("case %s: entries stay in the cache's file: %s", case.id, type(error).__name__)
            items = {"cache_file_left": 1}
        return kinds.Purged(seal=under.sha256, cache_epoch=epoch, items=items, after=case.number)

    async def _count(self, case: Case, progress: _Progress) -> list[Payload]:
        """Who is affected, unless that is known already. Raises `FiredoorError`, OSError."""
        clock = asyncio.get_running_loop().time
        asked, began = to_count(case, self._region), clock()
        while True:
            counted = await self._in_thread(lambda: self._affected.count(asked))
            counted = structs.replace(counted, asked=asked)
            if case.counted is not None or not behind(case, counted) or clock() - began >= INDEX_WAIT:
                break
            await asyncio.sleep(INDEX_LOOK)
        progress.rest["count"] = clock() + max(DEBOUNCE, 5 * counted.took)
        self._count_later(case, counted, progress)
        if case.counted is not None and same_count(case.counted, counted):
            return []
        return [kinds.Counted(affected=encode(counted))]

    def _count_later(self, case: Case, counted: Affected | None, progress: _Progress) -> None:
        """Look again while the index does not know all, or exchanges have no end yet; not for ever."""
        progress.recount = None
        if counted is not None and unsettled(case, counted) and progress.recounts < len(COUNT_LATER):
            progress.recount = asyncio.get_running_loop().time() + COUNT_LATER[progress.recounts]
            progress.recounts += 1

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        """In threads of our own: those that make the switch table durable never wait for a case."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _code(error: Exception) -> str:
    """What an entry says of a failure: a code, never the text."""
    match error:
        case ActRefused():
            return error.code
        case FiredoorError():
            return "".join("_" + c.lower() if c.isupper() else c for c in type(error).__name__).lstrip("_")
        case TimeoutError():
            return "took_too_long"
        case OSError():
            return "disk_refuses"
        case _:
            return "failed"
