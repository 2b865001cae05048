"""From a finding in a worker's journal to a case that is contained, sealed, clocked and counted, in one process.

Control is the real one, with its switch table, its database, its journal and the law; no gateway runs, the finding is
written as a worker writes it, and no model server answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

from msgspec import Struct

from firedoor.app.buses import region_bus
from firedoor.app.control import SLOT, Control
from firedoor.app.incidents import RegionIncidents
from firedoor.app.regionkeys import epochs, open_region, places
from firedoor.app.switchkeys import SwitchSigner
from firedoor.bench.house import REGION, furnish
from firedoor.bench.incident_index import MODELS, SHOPS, SURFACES, Invented, fill
from firedoor.bus.nudge import NudgeSender
from firedoor.core.evidence.record import Fact, Kind, Record
from firedoor.core.incident.case import Case
from firedoor.core.incident.entries import Entry, kind_of
from firedoor.errors import SetupError
from firedoor.store.journal import FileJournal, open_journal
from firedoor.store.planfile import load

WORKER: Final = "w0"
STEPS: Final = ("opened", "contained", "sealed", "purged", "clocks_set", "counted")
"""Entries of a case that the first minute writes; each is in the database when it counts."""
PAUSE: Final = 2.0
"""Seconds between two leaks, so that the recount of one does not stand in the next one's way."""
_WAIT: Final = 120.0


class Step(Struct, frozen=True):
    """Milliseconds from before the finding was written until the entry was durable: the median, and the longest."""

    entry: str
    p50: float
    longest: float


class Chain(Struct, frozen=True):
    """All steps of `runs` leaks, each of another shop; `total_p50` is until the last step of a case was done."""

    exchanges: int
    runs: int
    steps: list[Step]
    total_p50: float
    total_longest: float


def chain(folder: Path, made: Invented, say: Callable[[str], None]) -> Chain:
    """Measure it, with `made` in the region's index. Raises `SetupError`, OSError."""
    return asyncio.run(_chain(folder, made, say))


async def _chain(folder: Path, made: Invented, say: Callable[[str], None]) -> Chain:
    house = furnish(folder, 9, _amend)
    fill(house.region.state, made)
    seen: dict[str, dict[str, float]] = {}

    def listen(case: Case, entry: Entry) -> None:
        seen.setdefault(case.opened.scope.split("/")[1], {}).setdefault(kind_of(entry.payload), time.perf_counter())

    runs: list[dict[str, float]] = []
    loaded = load(house.home.plan)
    ring = open_region(house.region, loaded, folder)
    keys, seed = ring.worker(), ring.switch_seed()
    signer = SwitchSigner(house.region, loaded, folder, keys, seed)
    bus = region_bus(house.home, loaded, REGION, SLOT, folder)
    journal = open_journal(
        places(house.region, WORKER), region=REGION, slot=WORKER, epochs=epochs(house.region, keys),
        clock_ns=time.time_ns,
    )  # fmt: skip
    nudge = NudgeSender(house.region.nudge_socket)
    try:
        async with _running(Control(house.home, loaded, house.region, keys, signer, bus, folder)) as cases:
            cases.incidents.listen(listen)
            for number, shop in enumerate(SHOPS):
                say(f"leak {number + 1} of {len(SHOPS)}")
                began = time.perf_counter()
                await _leak(journal, shop)
                nudge.send()
                done = await _done(seen, shop)
                runs.append({step: 1000 * (at - began) for step, at in done.items()})
                await asyncio.sleep(PAUSE)
    finally:
        nudge.close()
        await journal.aclose()
    runs = runs[1:]  # the first one loads what the others find loaded
    totals = [max(run.values()) for run in runs]
    steps = [Step(step, median(r[step] for r in runs), max(r[step] for r in runs)) for step in STEPS]
    return Chain(made.size, len(runs), steps, median(totals), max(totals))


@contextlib.asynccontextmanager
async def _running(control: Control) -> AsyncIterator[RegionIncidents]:
    """Control, and its cases, while the block runs."""
    async with control.open() as board, contextlib.AsyncExitStack() as stack:
        tasks = [asyncio.create_task(control.keep(board))]
        try:
            begun = asyncio.create_task(control.begun.wait())
            await asyncio.wait([*tasks, begun], return_when=asyncio.FIRST_COMPLETED)
            cases = await control.open_cases(stack, board)
            if cases is None:
                raise SetupError("The bench's region keeps no cases.", remedy="See its log.")
            tasks.append(asyncio.create_task(cases.run()))
            yield cases
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _leak(journal: FileJournal, shop: str) -> None:
    """What a worker writes of an exchange whose answer was cut for a leak; durable on return."""
    exchange = f"fx-{time.time_ns() // 1_000_000:011x}-{secrets.token_hex(8)}"
    facts: dict[str, Fact] = {
        "shop": shop, "surface": SURFACES[0], "model": MODELS[0], "jurisdiction": "DE", "credential": "c-0",
        "plan": "0" * 16,
    }  # fmt: skip
    found: dict[str, Fact] = {
        "rule": "protected_value", "verdict": "shut", "stage": "answer", "sets": ["prices"],
        "scope": f"{REGION}/{shop}/{SURFACES[0]}/{MODELS[0]}",
    }  # fmt: skip
    said: list[tuple[Kind, dict[str, Fact]]] = [("intent", {"minimised": {"EMAIL": 1}}), ("finding", found)]
    for kind, more in said:
        record = Record(kind=kind, exchange=exchange, at=time.time_ns(), facts={**facts, **more}, subject="ab" * 16)
        await journal.append(record)


async def _done(seen: dict[str, dict[str, float]], shop: str) -> dict[str, float]:
    """The moments of all steps of the shop's case."""
    deadline = time.monotonic() + _WAIT
    while not seen.get(shop, {}).keys() >= set(STEPS):
        if time.monotonic() > deadline:
            raise SetupError(f"The case of {shop} stopped after {', '.join(seen.get(shop, {})) or 'nothing'}.")
        await asyncio.sleep(0.005)
    return {step: seen[shop][step] for step in STEPS}


def _amend(plan: dict[str, Any]) -> None:
    """The shops, surfaces and models that the invented exchanges name."""
    model, surface = next(iter(plan["models"].values())), next(iter(plan["surfaces"].values()))
    shop = next(iter(plan["shops"].values()))
    plan["models"] |= {name: dict(model) for name in MODELS}
    plan["shops"] |= {name: dict(shop) for name in SHOPS}
    plan["surfaces"] |= {name: {**surface, "models": {REGION: MODELS[0]}} for name in SURFACES}
    plan["legal"] = {"controller": "Alpenladen GmbH", "main": "DE", "establishments": ["DE"]}
