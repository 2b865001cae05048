"""A control process with a case that is ended with SIGKILL at its n-th call of a port, and one that goes on after it.

    python -m tests.faults.incident_kills FOLDER ROUND N...

With ROUND 2 the first round is over, people opened the door again, and it leaks once more. Each process is forked from this one, which has no threads. Prints a line of JSON for each N.
"""

import asyncio
import json
import os
import signal
import sys
import traceback
from pathlib import Path

from firedoor.control import firstminute
from firedoor.core.incident.entries import Purged
from firedoor.core.incident.rounds import rounds as seals
from firedoor.core.incident.rounds import unsealed, wrong_purges
from firedoor.core.incident.steps import left
from firedoor.store import cache_care
from firedoor.store.journal_read import read
from tests.rooms.firstminutes import LEAK, STEPS, CaseRegion, kinds_of, until

ANSWERS = 3
LATER = 600
"""Seconds between the two rounds."""
METHODS = {
    "cases": ("append", "recorded"), "store": ("save",), "evidence": ("append",), "journal": ("append",),
    "snapshots": ("take",), "caches": ("clear",), "counts": ("count",),
}  # fmt: skip


class Fuse:
    """Kills this process at the `left`-th moment."""

    def __init__(self, left):
        self.left = left

    def burn(self):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Deadly:
    """A port whose `methods` end the process, before or after they have done their work."""

    def __init__(self, real, methods, fuse):
        self._real, self._methods, self._fuse = real, methods, fuse

    def __getattr__(self, name):
        value = getattr(self._real, name)
        if name not in self._methods:
            return value

        def call(*arguments, **named):
            self._fuse.burn()
            result = value(*arguments, **named)
            if asyncio.isfuture(result):
                result.add_done_callback(lambda _: self._fuse.burn())
            elif asyncio.iscoroutine(result):
                return self._awaited(result)
            else:
                self._fuse.burn()
            return result

        return call

    async def _awaited(self, work):
        result = await work
        self._fuse.burn()
        return result


def child(work):
    """Run `work` in a process of its own; how it ended: 0, or minus a signal."""
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(asyncio.wait_for(work(), 120))
        except BaseException:  # noqa: BLE001  # told by its exit status
            traceback.print_exc()
            os._exit(3)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def told(life, rounds=1):
    """Whether everything that the case of the leak needs is there."""
    cases = life.incidents.open_cases()
    said = kinds_of(cases[0]) if len(cases) == 1 else []
    return set(STEPS) <= set(said) and said.count("purged") >= rounds and not left(cases[0], life.first._region)


async def prepare(house, rounds):
    house.keep_answers(ANSWERS)
    await house.region.finding(LEAK)
    if rounds == 2:
        async with house.life() as life:
            await until(lambda: told(life), "the first round")
            pending = await life.board.propose(house.region.open_by(LEAK), "leak understood, prompt changed")
            await life.board.approve(pending.id, house.region.sign(pending.signed.act, "ben"))
        house.region.now += LATER
        house.keep_answers(ANSWERS, epoch=1)
        await house.region.finding(LEAK)


async def once(house, fuse, rounds):
    """One control process, from its start to the end of the first minute."""

    def wrap(part, real):
        methods = METHODS.get(part)
        return real if methods is None or fuse is None else Deadly(real, methods, fuse)

    async with house.life(wrap=wrap) as life:
        await until(lambda: told(life, rounds), "the first minute")
        await life.board.settled()


def held(house):
    return sum(one.served for one in cache_care.status(house.place.cache, epoch=0, now=0))


async def go_on(house, out, rounds):
    """The next process; what is there afterwards."""
    before = {"answers": held(house), "snapshots": len(house.snapshots())}
    await once(house, None, rounds)
    async with house.life() as again:  # a third start finds nothing to do
        (case,) = again.incidents.open_cases()
        entries = [f"{case.id}/{entry.number}" for entry in case.entries]
        table = again.board.table
    leaves = [stored.leaf for stored in read(house.place.journal("control"))]
    records = [leaf.facts for leaf in leaves if leaf.kind == "incident"]
    out.write_text(
        json.dumps(
            {
                "before": before,
                "kinds": kinds_of(case),
                "entries": entries,
                "on_record": sorted({f"{f['case']}/{f['number']}" for f in records if f["entry"] != "snapshot"}),
                "order": [f["entry"] for f in records],
                "snapshots": [leaf.facts["sha256"] for leaf, _ in house.snapshots()],
                "sealed": [one.sha256 for one in seals(case.entries)],
                "purged_under": [e.payload.seal for e in case.entries if isinstance(e.payload, Purged)],
                "uncovered": [*unsealed(case.entries), *wrong_purges(case.entries)],
                "epochs": [case.purged.cache_epoch, table.cache_epoch],
                "answers": held(house),
                "shut": [str(s.scope) for s in table.shut],
                "contained": case.contained.scope,
                "found": case.found_count,
            }
        )
    )


def main(folder, rounds, numbers):
    firstminute.AGAIN = (0.05,)
    for number in numbers:
        house = CaseRegion(folder / str(number))
        out = folder / f"{number}.json"
        codes = [child(lambda: prepare(house, rounds))]  # noqa: B023
        house.region.now += LATER * (rounds - 1)  # as it was for the one before
        codes.append(child(lambda: once(house, Fuse(number), rounds)))  # noqa: B023
        codes.append(child(lambda: go_on(house, out, rounds)))  # noqa: B023
        after = json.loads(out.read_text()) if out.exists() else {}
        sys.stdout.write(json.dumps({"n": number, "codes": codes, **after}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), map(int, sys.argv[3:]))
