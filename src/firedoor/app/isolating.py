"""What the parent of the model servers does about isolation: hold, halt or end a process, and start a fresh one.

Control says in `REGION/isolated/MODEL.json` what is wanted. It is looked at again and again, and what is found is
compared with what is wanted: so nothing is lost when this process or control is ended in the middle, and a halted
process that somebody continues is halted again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from firedoor.app.regionhost import Say
from firedoor.config import RegionHome
from firedoor.core.isolation import Did, Halted, Isolated
from firedoor.errors import FiredoorError
from firedoor.store.isolated import IsolationFiles
from firedoor.upstream.process import ModelProcess
from firedoor.upstream.procs import end, halt, identity

LOOK: Final = 0.1
"""Seconds between two looks at the notes: one look at a small folder."""
WATCH: Final = 1.0
"""Seconds between two looks whether what was halted still is: that reads the process table."""
PATIENCE: Final = 3.0
"""Seconds for control to read what only a living process tells. Without control it is halted all the same."""
AGAIN: Final = 2.0
"""Seconds before what failed is tried again."""


class Isolating:
    """The isolated model instances of one region whose processes are ours."""

    def __init__(
        self,
        place: RegionHome,
        names: Iterable[str],
        processes: dict[str, ModelProcess],
        start: Callable[[str], Awaitable[bool]],
        say: Say,
    ) -> None:
        """`processes` are those that run, and are taken out of it when they end here; `start` starts a fresh one."""
        self._place = place
        self._names = tuple(names)
        self._processes = processes
        self._start = start
        self._say = say
        self._files = IsolationFiles(place.isolated, place.run)
        self._said: dict[str, Halted] = {}
        self._noticed: dict[str, tuple[str, float]] = {}
        self._watched: dict[str, float] = {}
        self._later: dict[str, float] = {}
        for name in self._names:
            with contextlib.suppress(FiredoorError):
                if (said := self._files.halted(name)) is not None:
                    self._said[name] = said

    def holds(self, name: str) -> bool:
        """Whether `name` must not be started: it is isolated, or nobody can read whether it is."""
        try:
            note = self._files.note(name)
        except FiredoorError:
            return True
        return note is not None and not note.may_return

    def frozen(self, name: str) -> bool:
        """Whether its process is halted as evidence."""
        said = self._said.get(name)
        return said is not None and said.did == "frozen"

    async def run(self) -> None:
        """Look for ever. Ends only when cancelled: what fails is said and tried again."""
        clock = asyncio.get_running_loop().time
        while True:
            for name in self._names:
                if self._later.get(name, 0.0) > clock():
                    continue
                try:
                    await self._look(name, clock())
                except (FiredoorError, OSError) as error:
                    self._later[name] = clock() + AGAIN
                    self._say(f"{self._place.name}: isolation of {name}: {error}")
            await asyncio.sleep(LOOK)

    async def _look(self, name: str, now: float) -> None:
        note = self._files.note(name)
        if note is None:
            self._noticed.pop(name, None)
            if self._said.pop(name, None) is not None:
                self._files.forget(name)
        elif note.may_return:
            await self._let_back(note)
        else:
            await self._isolate(note, now)

    async def _isolate(self, note: Isolated, now: float) -> None:
        """Bring the process into the state that `note` wants."""
        name, said = note.model, self._answer(note)
        if self._noticed.get(name, (None, 0.0))[0] != note.id + note.how:
            self._noticed[name] = (note.id + note.how, now)
        process = self._processes.get(name)
        if process is not None and not process.held:
            await process.hold()
        self._place.model_key(name).unlink(missing_ok=True)
        if note.how != "cut" and "seen" not in note.steps and now - self._noticed[name][1] < PATIENCE:
            return
        pid, born = self._process(name)
        if pid is None:
            if said is None or said.did not in ("stopped", "gone"):
                self._tell(name, self._found(note, "gone"))
        elif note.how == "cut":
            self._tell(name, self._found(note, "held", pid, born, processes=(pid,)))
        elif note.how == "stop":
            members = (await asyncio.to_thread(halt, pid)).pids
            ended = await self._end(name, pid)
            did: Did = "stopped" if ended else "failed"
            why = "" if ended else "not_ended"
            self._tell(name, self._found(note, did, pid, born, processes=members, why=why))
        elif said is None or said.did != "frozen" or now - self._watched.get(name, 0.0) >= WATCH:
            self._watched[name] = now
            await self._freeze(note, said, pid, born)

    async def _freeze(self, note: Isolated, said: Halted | None, pid: int, born: str) -> None:
        """Halt the whole family; count it when somebody had continued what was halted."""
        halted = await asyncio.to_thread(halt, pid)
        woken = said.woken + halted.ran if said is not None and said.did == "frozen" else 0
        did: Did = "frozen" if halted.still else "failed"
        why = "" if halted.still else "not_halted"
        self._tell(note.model, self._found(note, did, pid, born, processes=halted.pids, woken=woken, why=why))

    async def _let_back(self, note: Isolated) -> None:
        """End what was isolated, never to be continued, and start another with another key."""
        name, said = note.model, self._answer(note)
        if said is not None and said.did == "fresh":
            return  # control puts it on record, and takes the note away
        process, key = self._processes.get(name), self._place.model_key(name)
        if process is None or process.held or not key.exists():  # without a key it is the old one
            pid, born = self._process(name)
            if pid is not None and not await self._end(name, pid):
                self._tell(name, self._found(note, "failed", pid, born, why="not_ended"))
                self._later[name] = asyncio.get_running_loop().time() + AGAIN
                return
            if process is not None:
                await process.stop()
                self._processes.pop(name, None)
            key.unlink(missing_ok=True)
        if await self._start(name) and (fresh := self._processes[name].pid) is not None:
            self._tell(name, self._found(note, "fresh", fresh, identity(fresh)))
        else:
            self._later[name] = asyncio.get_running_loop().time() + AGAIN

    def _answer(self, note: Isolated) -> Halted | None:
        """What was said about this isolation."""
        said = self._said.get(note.model)
        return said if said is not None and said.about(note) else None

    def _process(self, name: str) -> tuple[int | None, str]:
        """The process, and what tells it from others: our child, or one that an earlier parent left halted."""
        process = self._processes.get(name)
        if process is not None and process.pid is not None:
            return process.pid, identity(process.pid)
        said = self._said.get(name)
        if said is not None and said.pid is not None and said.born and identity(said.pid) == said.born:
            return said.pid, said.born
        return None, ""

    async def _end(self, name: str, pid: int) -> bool:
        """Kill the process and its family. Our own child is a zombie until we ask, which does not count."""
        ended = await asyncio.to_thread(end, pid)
        process = self._processes.get(name)
        if ended and process is not None:
            await process.stop()
        return ended

    def _found(
        self, note: Isolated, did: Did, pid: int | None = None, born: str = "", *,
        processes: tuple[int, ...] = (), woken: int = 0, why: str = "",
    ) -> Halted:  # fmt: skip
        """What is to be said; of a process that went by itself, what was known of it."""
        said = self._said.get(note.model)
        if did == "gone" and said is not None and said.did != "fresh":
            pid, born = said.pid, said.born
        return Halted(
            version=note.version, how=note.how, did=did, pid=pid, born=born, processes=processes, woken=woken,
            why=why,
        )  # fmt: skip

    def _tell(self, name: str, found: Halted) -> None:
        """Say it, once. Raises OSError."""
        if self._said.get(name) == found:
            return
        self._files.tell(name, found)
        self._said[name] = found
        whose = f" (process {found.pid})" if found.pid is not None else ""
        self._say(f"{self._place.name}: isolated model instance {name}: {found.did}{whose} {found.why}".rstrip())
