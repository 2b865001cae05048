"""Isolates model instances, and lets them back: the order of steps, each of them noted, so that a crash loses none.

The switch is shut before any of this begins. Then the API key goes; what only a living process can tell is read, within
a second; its parent halts or ends it; files are hashed; and all of it becomes one record of the evidence. Only what is
on record is ever ended: a fresh process with a fresh key takes its place once two persons opened the switch.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec
from msgspec import structs

from firedoor.core.evidence.record import Fact, Record
from firedoor.core.isolation import (
    Halted,
    Isolated,
    Step,
    as_how,
    isolate_facts,
    isolated,
    left_over,
    release_facts,
    replaces,
    wanted,
)
from firedoor.core.switches import Table
from firedoor.core.switchstate import Entry
from firedoor.errors import FiredoorError
from firedoor.ports.evidence import Journal

log = logging.getLogger("firedoor.control")

HALT_WAIT = 15.0
"""Seconds for the parent to say what became of the process: it looks ten times a second, and halts within two seconds.
After that the record says ``unconfirmed``; the parent, when it is there again, does what the note says all the same."""
LOOK = 0.1
"""Seconds between two looks at what the parent said."""
AGAIN = (0.5, 1.0, 2.0, 5.0)
"""Seconds before a step that failed is tried again, the last from then on."""


class Notes(Protocol):
    """The notes on the disk. Owes: what is saved is durable on return. Every call blocks."""

    def models(self) -> list[str]:
        """The model instances that have a note. Raises OSError."""
        ...

    def note(self, model: str) -> Isolated | None:
        """Raises `SetupError`."""
        ...

    def save(self, note: Isolated) -> None:
        """Raises OSError."""
        ...

    def remove(self, model: str) -> None:
        """Raises OSError."""
        ...

    def halted(self, model: str) -> Halted | None:
        """What the process's parent said. Raises `SetupError`."""
        ...


class Examiner(Protocol):
    """Sees a model instance for the evidence. Owes: an error of ours or OSError for what may work another time; what
    cannot be seen is among the details, with the reason.
    """

    def knows(self, model: str) -> bool:
        """Whether the plan has such a model instance, still."""
        ...

    def own(self, model: str) -> bool:
        """Whether Firedoor starts its process."""
        ...

    async def revoke(self, model: str) -> dict[str, Any]:
        """Take its API key away from the workers. Details: what that was worth."""
        ...

    async def alive(self, model: str) -> dict[str, Any]:
        """Details that only a living process tells, within about a second whatever it does."""
        ...

    async def sealed(self, model: str, details: dict[str, Any]) -> dict[str, Any]:
        """Details that are there afterwards, too: files, exchanges. May take as long as files are large."""
        ...

    def body(self, model: str, details: dict[str, Any]) -> dict[str, Any]:
        """All details for the sealed body, with what is kept on no disk before."""
        ...


class Isolations:
    """See `firedoor.ports.models.Isolation`, for one region. Used from one event loop; `resume` comes first."""

    def __init__(
        self,
        region: str,
        *,
        notes: Notes,
        examiner: Examiner,
        journal: Journal,
        now_ns: Callable[[], int],
        halt_wait: float = HALT_WAIT,
    ) -> None:
        self._region = region
        self._files = notes
        self._examiner = examiner
        self._journal = journal
        self._now_ns = now_ns
        self._halt_wait = halt_wait
        self._notes: dict[str, Isolated] = {}
        self._saved: dict[str, Isolated] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._saving = asyncio.Lock()
        self._resumed = asyncio.Event()

    @property
    def notes(self) -> dict[str, Isolated]:
        """What is isolated now, by model instance."""
        return dict(self._notes)

    async def resume(self, trail: Iterable[Entry], table: Table) -> None:
        """Go on where an earlier process stopped; `trail` is what changed the present `table`, oldest first.

        A note that cannot be read, or of an instance that the plan has no more, is left alone, and so is its process.
        """
        try:
            await self._load()
        finally:
            self._resumed.set()
        missing, release = left_over(self._notes, trail, table)
        for model in release:
            await self.release(model)
        for entry in missing:
            if (found := wanted(entry)) is not None and self._examiner.knows(found[0]):
                await self.isolate(*found, entry)
        for model in self._notes:
            self._go_on(model)

    async def isolate(self, model: str, how: str, entry: Entry) -> None:
        """See the port. Returns once it is noted, or the disk has refused once; the rest goes on by itself."""
        await self._resumed.wait()
        if replaces(self._notes.get(model), as_how(how)):
            self._notes[model] = isolated(model, as_how(how), entry, own=self._examiner.own(model))
            await self._save(model)
        self._go_on(model)

    async def release(self, model: str) -> None:
        """See the port. What is not on record yet is put there first."""
        await self._resumed.wait()
        note = self._notes.get(model)
        if note is not None and not note.releasing:
            self._notes[model] = structs.replace(note, releasing=True)
            await self._save(model)
            self._go_on(model)

    async def settled(self, model: str) -> None:
        """Wait until nothing is left to be done for `model`."""
        while (task := self._tasks.get(model)) is not None and not task.done():
            await asyncio.wait({task})

    async def aclose(self) -> None:
        """Stop; the next process goes on."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    # --- one model instance -------------------------------------------------------------------------------------------

    async def _load(self) -> None:
        try:
            models = await asyncio.to_thread(self._files.models)
        except OSError as error:
            log.error("nobody can read which model instances are isolated: %s", error.strerror)
            return
        for model in models:
            try:
                note = await asyncio.to_thread(self._files.note, model)
            except FiredoorError as error:
                log.error("isolation of %s: %s", model, error.message)
                continue
            if note is not None and self._examiner.knows(model):
                self._notes[model] = self._saved[model] = note

    def _go_on(self, model: str) -> None:
        task = self._tasks.get(model)
        if task is None or task.done():
            self._tasks[model] = asyncio.create_task(self._work(model), name=f"isolate {model}")

    async def _work(self, model: str) -> None:
        failures = 0
        while (note := self._notes.get(model)) is not None:
            try:
                if not await self._save(model):
                    raise OSError("the disk refuses")
                if note.next is not None:
                    await self._step(note, note.next)
                elif note.releasing:
                    await self._let_back(note)
                elif self._notes.get(model) is note:
                    return
                failures = 0
            except (FiredoorError, OSError) as error:
                log.error("isolation of %s waits: %s", model, type(error).__name__)
                await asyncio.sleep(AGAIN[min(failures, len(AGAIN) - 1)])
                failures += 1
            except Exception as error:
                log.error("isolation of %s failed and goes on with the next start: %s", model, type(error).__name__)
                raise

    async def _step(self, note: Isolated, step: Step) -> None:
        """Do one step of `note`; what it gave counts only if the note is still the same wish."""
        examiner, model = self._examiner, note.model
        changes: dict[str, Any] = {}
        match step:
            case "revoked":
                changes["details"] = {**note.details, **await examiner.revoke(model)}
            case "seen":
                changes["details"] = {**note.details, **await examiner.alive(model)}
            case "halted":
                changes["halted"] = await self._halted(note) if note.own else None
            case "sealed":
                changes["details"] = {**note.details, **await examiner.sealed(model, note.details)}
            case "recorded":
                body = msgspec.json.encode(examiner.body(model, note.details))
                changes["record"] = await self._record(note, isolate_facts(note, self._region), body)
        now = self._notes.get(model)
        if now is not None and (now.version, now.how, now.steps) == (note.version, note.how, note.steps):
            self._notes[model] = now.done(step, **changes)
            await self._save(model)

    async def _halted(self, note: Isolated) -> Halted | None:
        """What the parent says of this isolation; None if it says nothing in time."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._halt_wait
        while clock() < deadline:
            said = await self._said(note.model)
            if said is not None and said.about(note) and said.did != "failed":
                return said
            await asyncio.sleep(LOOK)
        said = await self._said(note.model)
        return said if said is not None and said.about(note) else None

    async def _let_back(self, note: Isolated) -> None:
        """Wait for the fresh process, put it on record, and forget the isolation."""
        fresh: Halted | None = None
        while note.own and not (fresh is not None and fresh.did == "fresh" and fresh.about(note)):
            await asyncio.sleep(LOOK)
            if self._notes.get(note.model) is not note:
                return  # shut and isolated again meanwhile
            fresh = await self._said(note.model)
        await self._record(note, release_facts(note, self._region, fresh), None)
        if self._notes.get(note.model) is note:
            async with self._saving:
                await asyncio.to_thread(self._files.remove, note.model)
                self._saved.pop(note.model, None)
                if self._notes.get(note.model) is note:
                    del self._notes[note.model]

    async def _said(self, model: str) -> Halted | None:
        try:
            return await asyncio.to_thread(self._files.halted, model)
        except FiredoorError:
            return None

    async def _record(self, note: Isolated, facts: dict[str, Fact], body: bytes | None) -> int:
        """Raises `FiredoorError`. A crash right after it makes it appear twice, with the same version."""
        at = self._now_ns()
        return await self._journal.append(
            Record(kind="isolation", exchange=note.id, at=at, facts=facts, body=body)
        )  # fmt: skip

    async def _save(self, model: str) -> bool:
        """Make the present note durable; False if the disk refuses."""
        async with self._saving:
            note = self._notes.get(model)
            if note is None or self._saved.get(model) is note:
                return True
            try:
                await asyncio.to_thread(self._files.save, note)
            except OSError as error:
                log.error("isolation of %s is not noted: %s", model, type(error).__name__)
                return False
            self._saved[model] = note
        return True
