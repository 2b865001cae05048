"""How fast a shut reaches every worker, and what happens when what tells them is gone; beside what shops use today.

Everything is real: control asked over its API with signed acts, switch agents with a page each, NATS servers, gateway
workers under load with streams in flight. All of it shares the machine, readers and their clock are the same for all.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from firedoor.agent.page import PageReader, PageWriter
from firedoor.bench.house import REGION
from firedoor.bench.processes import Process, machine, running
from firedoor.bench.switch_crowd import Crowd, now
from firedoor.bench.switch_figures import Cost, Failure, Figures, Flip, Size, Work, flip_figures
from firedoor.bench.switch_house import HERE
from firedoor.bench.switch_peers import Peers
from firedoor.bench.switch_stage import Stage, datagrams, embedded, gateway_workers, go_on, halt, over_leaf, over_nats
from firedoor.bench.switch_work import STREAM_PACE_MS, Load, loaded
from firedoor.core.switches import MAX_SWITCHES, Lease, Scope, Shown, Switch, Table, standing
from firedoor.errors import SetupError

SYSTEM: Final = "Firedoor"
LEASE: Final = 2.0
BEAT: Final = 0.25
PAUSE: Final = 0.3
"""Seconds between an opening and the next shut at most: shuts come at any time between two beats."""
RUNS: Final = 15
SAFE_SECONDS: Final = 10.0
"""As long as readers are watched when what told them is gone: five leases."""

Say = Callable[[str], None]


class Bench:
    """The measurements, one after the other."""

    def __init__(self, folder: Path, size: Size, model_port: int, say: Say) -> None:
        self._folder = folder
        self._size = size
        self._model_port = model_port
        self._say = say
        self.flips: list[Flip] = []
        self.work: list[Work] = []
        self.failures: list[Failure] = []
        self.skipped: list[str] = []

    def one_host(self) -> None:
        """Control shows its table by itself."""
        with embedded(self._folder / "one", self._model_port) as stage:
            with gateway_workers(stage, stage.made.house.home, self._size.workers) as workers:
                self._under_load(stage, workers)
            self._without_control(stage)

    def several_hosts(self) -> None:
        """Datagrams on one machine, NATS, and a leaf of NATS; a way that is missing here is skipped with a reason."""
        hosts = self._size.hosts
        with datagrams(self._folder / "unix", self._model_port, hosts) as stage:
            self._flip_all(stage)
        try:
            with over_nats(self._folder / "nats", self._model_port, hosts) as stage:
                with gateway_workers(stage, stage.homes[0], self._size.workers) as workers:
                    self._under_load(stage, workers)
                self._without_control(stage)
                self._without_nats(stage)
            with over_leaf(self._folder / "leaf", self._model_port, hosts) as stage:
                self._flip_all(stage)
        except SetupError as error:
            self.skipped.append(f"{SYSTEM} over NATS: {error}")

    def _under_load(self, stage: Stage, workers: list[Process]) -> None:
        self._say(f"{stage.way}: {self._size.workers} gateway workers start")
        with loaded(stage, workers) as load:
            self._flip_all(stage, load)
            self.work.append(load.figures(stage.way))

    def _flip_all(self, stage: Stage, load: Load | None = None) -> None:
        for count in self._size.readers:
            self._say(f"{stage.way}: {count} readers")
            with stage.readers(count, LEASE) as crowd:
                times, said = [], []
                for _ in range(self._size.flips):
                    took, told = self._flip(stage, crowd, load)
                    times.append(took)
                    said.append(told)
            way = stage.way if load is None else f"{stage.way}, workers busy"
            self.flips.append(flip_figures(SYSTEM, way, min(count, len(stage.pages)), times, said))

    def _flip(self, stage: Stage, crowd: Crowd, load: Load | None) -> tuple[list[float], float]:
        """Seconds until each reader saw the shut, and until control had said it."""
        time.sleep(random.uniform(0, PAUSE))  # noqa: S311  a shut comes at any time
        if load is not None:
            load.need_ai()
        crowd.forget()
        asked = stage.operator.shut()
        stage.need(crowd, "shut")
        if load is not None:
            load.after_shut(asked.at)
        stage.operator.open(asked.version)
        stage.need(crowd, "open")
        return crowd.since(asked.at, "shut"), stage.said.after(asked.at, asked.version)

    def _without_control(self, stage: Stage) -> None:
        with stage.readers(self._size.readers[-1], LEASE) as crowd:
            for what in self._size.failures:
                self._say(f"{stage.way}: control {what}")
                start = now()
                if what == "hung":
                    halt(stage.control)
                else:
                    stage.control.kill()
                safe = _safe(crowd, start)
                again = now()
                if what == "hung":
                    go_on(stage.control)
                else:
                    stage.start_control()
                back = _back(crowd, again, "open")
                note = "" if what == "hung" else "with the start of the process"
                self.failures.append(_failure(stage, f"control {what}", crowd, safe, back, note))

    def _without_nats(self, stage: Stage) -> None:
        """Also a shut while it is gone: whoever comes back must hear of it."""
        with stage.readers(self._size.readers[-1], LEASE) as crowd:
            for what in self._size.failures:
                self._say(f"{stage.way}: NATS server {what}")
                start = now()
                if what == "hung":
                    halt(stage.nats)
                else:
                    stage.nats.kill()
                safe = _safe(crowd, start)
                asked = stage.operator.shut()
                if what == "hung":
                    again = now()
                    go_on(stage.nats)
                else:
                    stage.start_nats()
                    again = now()
                back = _back(crowd, again, "shut")
                stage.operator.open(asked.version)
                stage.need(crowd, "open")
                note = "shut meanwhile"
                self.failures.append(_failure(stage, f"NATS server {what}", crowd, safe, back, note))


def run(size: Size, say: Say) -> Figures:
    """The whole benchmark. Raises `SetupError` if something of ours does not start or do what it must."""
    here = machine()
    say("looks at the page")
    with tempfile.TemporaryDirectory(prefix="fd-bench-") as name:
        folder = Path(name)
        costs = [cost(folder / "page", switches, size.looks) for switches in (0, MAX_SWITCHES)]
        arguments = ["-m", "firedoor.bench.standin", "--pace-ms", str(STREAM_PACE_MS)]
        with running(arguments, core=None, log=folder / "standin.log") as standin:
            bench = Bench(folder, size, int(standin.first_line()["port"]), say)
            bench.one_host()
            if size.buses:
                bench.several_hosts()
        peers = Peers(folder / "peers", size, say)
        peers.run()
    return Figures(
        machine=here, lease=LEASE, beat=BEAT, flips=[*bench.flips, *peers.flips], work=bench.work,
        failures=[*bench.failures, *peers.failures], costs=costs, skipped=[*bench.skipped, *peers.skipped],
    )  # fmt: skip


def cost(path: Path, switches: int, looks: int) -> Cost:
    """What a worker does before every request and every released chunk; nothing in the table covers its scope."""
    writer, reader, lease = PageWriter(path), PageReader(path), Lease(3600.0)
    others = tuple(Switch(Scope(REGION, f"shop-{n}", "support"), "operator", 0.0) for n in range(switches))
    writer.publish(Shown(Table(REGION, 1, "", others)))
    writer.beat()

    def judge() -> None:
        standing(reader.look(), lease, HERE)

    figures = Cost(switches, _nanoseconds(reader.look, looks), _nanoseconds(judge, looks // 10))
    reader.close()
    writer.close()
    path.unlink()
    return figures


def _nanoseconds(call: Callable[[], object], times: int) -> float:
    """Of one call: the median of some runs of so many calls all together."""
    runs = []
    for _ in range(RUNS):
        start = time.perf_counter_ns()
        for _ in range(times // RUNS):
            call()
        runs.append((time.perf_counter_ns() - start) / (times // RUNS))
    return statistics.median(runs)


def _safe(crowd: Crowd, start: int) -> float | None:
    """Seconds until the last reader was fail-safe; None if one never was."""
    return max(crowd.since(start, "stale")) if crowd.wait("stale", within=SAFE_SECONDS) else None


def _back(crowd: Crowd, start: int, state: str) -> float | None:
    return max(crowd.since(start, state)) if crowd.wait(state) else None


def _failure(stage: Stage, what: str, crowd: Crowd, safe: float | None, back: float | None, note: str) -> Failure:
    over = None if safe is None else safe - LEASE
    return Failure(f"{SYSTEM}, {stage.way}", what, crowd.count, safe, over, back, SAFE_SECONDS, note)
