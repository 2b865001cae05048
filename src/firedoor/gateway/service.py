"""What a gateway worker is built of. `app.py` fills these in; routes and drivers only use them."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from firedoor.core.breaker import Breaker
from firedoor.core.detect.attack.signs import Reading, Role
from firedoor.core.detect.known import Known, texts_of
from firedoor.core.detect.leak.guard import Brought, LeakIndex
from firedoor.core.detect.own import OwnValues
from firedoor.core.detect.own.text import OwnFolding
from firedoor.core.detect.seen import Memory
from firedoor.core.detect.settle import settled
from firedoor.core.detect.spans import Span
from firedoor.core.detect.strangers import AnswerCheck
from firedoor.core.exchange import events as ev
from firedoor.core.exchange.call import Terms
from firedoor.core.fallback import FallbackAnswer, answer, query_of
from firedoor.core.minimise.handlings import Handlings
from firedoor.core.minimise.request import Minimised, minimise
from firedoor.core.plan.model import Attribute, PromptRules, SearchFallback
from firedoor.core.prompts.asking import not_theirs
from firedoor.core.prompts.context import Stretches, Withheld, stretches_of, withheld_context, withhold
from firedoor.core.prompts.looking import PromptLook, Read, look
from firedoor.core.subject import SubjectRecord
from firedoor.core.switches import Lease
from firedoor.gateway.doors import Doors
from firedoor.gateway.metrics import Metrics
from firedoor.ports.evidence import Journal
from firedoor.ports.exchange import Cache, Catalog, Sessions
from firedoor.ports.models import ModelServer

log = logging.getLogger("firedoor.gateway")

MAX_IN_FLIGHT = 256
"""Exchanges a worker answers with AI at a time. At the model's pace that is minutes of queue: more get the fallback."""


AT_ONCE = 4 * 1024
"""Weight of a request that is inspected on the event loop: some milliseconds, 30 for a hostile one. What is heavier
goes to a thread and makes nobody wait."""
KEPT_BACK = 1024
"""Texts of the shop (instructions, products) of which is remembered what was kept back."""
MAX_BESIDE = 256
"""Answers that wait to be kept. More wait only for a disk that hangs: those are not kept, and counted."""
PER_STRING = 32
"""Weight of a string or number of its own: each is a search, which takes as long as that many bytes of one text."""

Find = Callable[[str], list[Span]]


def weight_of(body: bytes) -> int:
    """How long the inspection of `body` takes, in bytes of running text: its length, and its strings and numbers."""
    return len(body) + PER_STRING * (body.count(b'"') // 2 + body.count(b","))


class Searches(Struct, frozen=True):
    """Searches for personal data. None of them may be used by two threads at once.

    `find` remembers texts it has seen and belongs to the event loop, `find_beside` does the same and belongs to
    `beside`, a thread for large requests; with `slow`, for all. `rules` is the rule tier alone, for answers; with
    `names`, full names are looked for in them as well.
    """

    find: Find
    find_beside: Find
    rules: Find
    folding: OwnFolding
    beside: Executor
    slow: bool = False
    names: Find | None = None


class Guarded(Struct, frozen=True):
    """What the answers of a surface must not hold: for the event loop, and, made when asked, for the thread beside."""

    here: LeakIndex
    beside: Callable[[], LeakIndex]


class PromptReads(Struct, frozen=True):
    """How the prompts of a surface are read for attacks, on the event loop and in the thread beside it; None for not.

    `attributes` says what each protected set tells.
    """

    rules: PromptRules
    read: Read | None
    read_beside: Read | None
    attributes: dict[str, Attribute] = {}


class _Side(Struct, frozen=True):
    """What one thread inspects with: the event loop, or the thread beside it."""

    find: Find
    read: Read | None
    index: LeakIndex
    memory: Memory[Stretches]


class _Looked(NamedTuple):
    """A request on its way through the inspection."""

    look: PromptLook | None
    brought: Brought
    done: Minimised
    kept_back: int


class _GivenUp(Exception):  # named after what happened; ends the work of a thread that nobody waits for
    """The exchange is over."""


class Inspector:
    """Prompt inspection of one surface: personal data handled, and what the answer must not hold.

    `year` gives the current year: dates of birth may become age bands.
    """

    def __init__(
        self,
        searches: Searches,
        handlings: Handlings,
        guarded: Guarded,
        year: Callable[[], int],
        prompts: PromptReads | None = None,
    ) -> None:
        self._searches = searches
        self._prompts = prompts
        self._memory: Memory[Stretches] = Memory(os.urandom(32), KEPT_BACK)
        self._memory_beside: Memory[Stretches] = Memory(os.urandom(32), KEPT_BACK)
        self._handlings = handlings
        self._index = guarded.here
        self._index_beside = guarded.beside
        self._year = year
        self.slow = searches.slow

    async def inspect(
        self, request: dict[str, Any], subject: SubjectRecord | None, granted: frozenset[str]
    ) -> ev.Inspected | ev.InspectionRefused:
        """The minimised request and what is needed to restore and check the answer.

        `granted` are the protected sets that the caller may receive.
        """
        searches, prompts = self._searches, self._prompts
        own = OwnValues(subject, searches.folding) if subject else None
        side = _Side(searches.find, prompts.read if prompts is not None else None, self._index, self._memory)
        seen = self._looked(request, subject, granted, own, side)
        return self._inspected(seen, request, subject)

    async def inspect_in_thread(
        self, request: dict[str, Any], subject: SubjectRecord | None, granted: frozenset[str]
    ) -> ev.Inspected | ev.InspectionRefused:
        """The same beside the event loop. When it is cancelled the thread soon stops too, and is free for the next."""
        loop = asyncio.get_running_loop()
        own = OwnValues(subject) if subject else None  # the shared folding belongs to the event loop
        given_up = threading.Event()

        def find(text: str) -> list[Span]:
            if given_up.is_set():
                raise _GivenUp
            return self._searches.find_beside(text)

        reader = self._prompts.read_beside if self._prompts is not None else None

        def read(text: str, role: Role) -> Reading:
            if given_up.is_set() or reader is None:
                raise _GivenUp
            return reader(text, role)

        def look() -> _Looked:
            side = _Side(find, reader and read, self._index_beside(), self._memory_beside)
            return self._looked(request, subject, granted, own, side)

        try:
            seen = await loop.run_in_executor(self._searches.beside, look)
        except asyncio.CancelledError:
            given_up.set()
            raise
        return self._inspected(seen, request, subject)

    def _looked(
        self,
        request: dict[str, Any],
        subject: SubjectRecord | None,
        granted: frozenset[str],
        own: OwnValues | None,
        side: _Side,
    ) -> _Looked:
        """Attacks first: what is withheld is in nothing that comes behind. Then what others may know, then persons."""
        seen, prompts = None, self._prompts
        if side.read is not None and prompts is not None and "messages" in request:
            theirs = (prompts.attributes[name] for name in granted if name in prompts.attributes)
            seen = look(request, side.read, prompts.rules, not_theirs(theirs))
            request = seen.request
        brought = side.index.read(request, subject, granted)
        kept_back = 0
        if prompts is not None and prompts.rules.context == "withhold" and prompts.rules.mode == "enforce":
            request, kept_back = self._kept_back(request, subject, brought, side)
        search = side.find if own is None else partial(_with_own, own, side.find)
        return _Looked(seen, brought, minimise(request, search, self._handlings, self._year()), kept_back)

    def _kept_back(
        self, request: dict[str, Any], subject: SubjectRecord | None, brought: Brought, side: _Side
    ) -> tuple[dict[str, Any], int]:
        """`request` without protected content that its caller may not receive, and how many stretches are gone."""
        told = brought.rows.told() if brought.rows is not None else ""
        whose = repr((sorted(brought.granted), sorted(brought.typed), subject, told))

        def found(text: str) -> Stretches:
            watch = side.index.context_watch(brought)
            return () if watch is None else stretches_of(text, watch)

        def kept_back(text: str) -> Withheld:
            return withhold(text, found(text) if brought.grams else side.memory.of(text, lambda: found(text), whose))

        return withheld_context(request, kept_back)

    def _inspected(
        self, seen: _Looked, request: dict[str, Any], subject: SubjectRecord | None
    ) -> ev.Inspected | ev.InspectionRefused:
        done = seen.done
        if done.refused is not None:
            return ev.InspectionRefused(done.refused)
        shadow: Counter[str] = Counter()
        if self._handlings.shadow:
            for handling, counts in done.found.items():
                shadow.update(counts if handling != "pass" else {})
        return ev.Inspected(
            done.request, done.placeholders, done.counts, self._index.guard(seen.brought),
            done.found.get("pass", {}), dict(shadow), self._check(request, subject),
            subject is not None, seen.look, seen.kept_back,
        )  # fmt: skip

    def _check(self, request: dict[str, Any], subject: SubjectRecord | None) -> AnswerCheck | None:
        answers = self._handlings.answers
        if answers == "pass":
            return None
        known = Known(lambda: texts_of([request, subject, list(self._handlings.rules.not_personal)]))
        return AnswerCheck(self._searches.rules, known, cut=answers == "cut", names=self._searches.names)


def _with_own(own: OwnValues, find: Find, text: str) -> list[Span]:
    mine = own.find(text)
    return settled([*mine, *find(text)]) if mine else find(text)


class SurfaceService:
    """One surface of one shop in this region.

    `breaker` is the surface's for this model instance, shared by all shops; None where there is none to be asked.
    """

    def __init__(
        self,
        terms: Terms,
        *,
        lease: Lease,
        deadline: float,
        stream_deadline: float,
        inspector: Inspector,
        model: ModelServer,
        catalog: Catalog | None,
        cache: Cache | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        self.terms = terms
        self.lease = lease
        self.stream_deadline = stream_deadline
        self.inspector = inspector
        self.model = model
        self.cache = cache
        self.breaker = breaker
        self._catalog = catalog
        # The fallback needs its share of the deadline, and the answer a moment to travel.
        self.model_time = deadline - min(0.25, 0.25 * deadline)
        self.deadline = deadline - min(0.05, 0.05 * deadline)

    def fallback(self, request: dict[str, Any]) -> FallbackAnswer:
        """The surface's deterministic answer to `request`."""
        spec = self.terms.fallback
        hits: list[dict[str, object]] = []
        if isinstance(spec, SearchFallback) and self._catalog is not None:
            hits = self._catalog.search(query_of(request), limit=spec.hits)
        return answer(spec, request, hits=hits)


class Running(Protocol):
    """An exchange under way."""

    def give_up_if_stuck(self, now: float) -> None:
        """End a write that has waited too long for the caller; `now` is the loop's time."""
        ...


class Service:
    """One gateway worker."""

    def __init__(
        self,
        *,
        region: str,
        plan_digest: str,
        doors: Doors,
        journal: Journal,
        surfaces: dict[tuple[str, str], SurfaceService],
        embeddings: dict[tuple[str, str], SurfaceService],
        nudge: Callable[[], None],
        pseudonym: Callable[[str, str], str | None],
        sessions: Sessions,
    ) -> None:
        self.region = region
        self.plan_digest = plan_digest
        self.doors = doors
        self.journal = journal
        self.surfaces = surfaces
        self.embeddings = embeddings
        self.nudge = nudge
        self.pseudonym = pseudonym
        self.sessions = sessions
        self.metrics = Metrics()
        self.running: set[Running] = set()
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="cache")
        self._waiting = 0
        self._closed = False

    async def watch_callers(self) -> None:
        """Give up callers who take nothing any more, once a second, until cancelled."""
        while True:
            await asyncio.sleep(1)
            now = asyncio.get_running_loop().time()
            for exchange in tuple(self.running):
                exchange.give_up_if_stuck(now)

    def beside(self, work: Callable[[], object]) -> None:
        """Have `work` done in a thread; nobody waits for it. Not done behind too much other work, nor after `close`."""
        if self._waiting >= MAX_BESIDE or self._closed:
            self.metrics.count("not_kept")
            return
        self._waiting += 1
        loop = asyncio.get_running_loop()
        loop.run_in_executor(self._beside, work).add_done_callback(self._is_done)

    def _is_done(self, done: asyncio.Future[object]) -> None:
        self._waiting -= 1
        if not done.cancelled() and (error := done.exception()) is not None:
            log.error("work beside an exchange failed: %s", type(error).__name__)

    def close(self) -> None:
        """Stop that thread; what waits is given up."""
        self._closed = True
        self._beside.shutdown(wait=False, cancel_futures=True)

    def ai_off(self) -> str | None:
        """A reason of this worker's own to keep the models out of it."""
        if self.journal.poisoned:
            return "journal_poisoned"
        return "overloaded" if len(self.running) > MAX_IN_FLIGHT else None

    def breakers(self) -> dict[tuple[str, str], Breaker]:
        """The breakers of the surfaces here, by surface and the model instance that it asks."""
        served = (*self.surfaces.items(), *self.embeddings.items())
        return {(name, one.terms.model_id): one.breaker for (_, name), one in served if one.breaker is not None}

    def serving(self, route: str) -> dict[tuple[str, str], SurfaceService]:
        """The surfaces that answer `route` (``chat`` or ``embeddings``), by shop and surface."""
        return self.surfaces if route == "chat" else self.embeddings
