"""The load on the gateway workers while switches are shut and opened, and what became of it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import IO, Final, NamedTuple

from firedoor.bench.house import MODEL
from firedoor.bench.load import CREDENTIAL_VARIABLE
from firedoor.bench.processes import Process, running, wait_until
from firedoor.bench.switch_crowd import now
from firedoor.bench.switch_figures import Work, spread
from firedoor.bench.switch_servers import listens
from firedoor.bench.switch_stage import Stage
from firedoor.errors import SetupError

STREAM_PACE_MS: Final = 40.0
"""Between the chunks of the stand-in model: 50 of them last two seconds, so that every shut meets streams in flight."""
AI: Final = frozenset({"answered", "minimised"})
SETTLED: Final = 0.4
"""Seconds after which every stream that was cut has told so, or has begun anew."""
WORKER_SECONDS: Final = 120.0
"""Until several workers that start at once on two cores all answer."""


class _Request(NamedTuple):
    worker: int
    sent: int
    done: int
    outcome: str
    switch: str


class _Stream(NamedTuple):
    first: int
    last: int
    closed: int


class Load:
    """What the loader tells, taken in by a thread."""

    def __init__(self, pipe: IO[bytes], workers: int) -> None:
        self._workers = workers
        self._changed = threading.Condition()
        self._requests: list[_Request] = []
        self._streams: list[_Stream] = []
        self._begun = now()
        self._shuts: list[dict[str, float]] = []
        self._cut = 0
        self._count = 0
        threading.Thread(target=self._read, args=(pipe,), daemon=True).start()

    def need_ai(self) -> None:
        """Wait until every worker answers with AI. Raises `SetupError`."""
        since = now()
        self._need(lambda: {r.worker for r in self._requests if r.outcome in AI and r.sent > since}, "answers with AI")

    def after_shut(self, at: int) -> None:
        """Wait until every worker has refused a request after `at` (ns), and note what became of the others."""
        self._need(lambda: self._refused(at).keys(), "refuses")
        time.sleep(SETTLED)
        with self._changed:
            through = [r.sent for r in self._requests if r.sent > at and r.outcome in AI]
            cut = [s for s in self._streams if 0 < s.first < at < s.closed]
            told = {
                "refused": max(self._refused(at).values()) - at,
                "through": max(through, default=at) - at,
            }
            if cut:
                told["text"] = max(0, *(s.last - at for s in cut))
                told["closed"] = max(s.closed for s in cut) - at
            self._cut += len(cut)
            self._shuts.append({name: value / 1e9 for name, value in told.items()})
            self._requests = [r for r in self._requests if r.sent > at]
            self._streams.clear()

    def figures(self, way: str) -> Work:
        """Of all shuts so far."""
        rate = self._count / (now() - self._begun) * 1e9
        refused, through = (spread(told[name] for told in self._shuts) for name in ("refused", "through"))
        text, closed = (spread(t[name] for t in self._shuts if name in t) for name in ("text", "closed"))
        assert refused is not None
        assert through is not None
        return Work(way, self._workers, self._count, rate, self._cut, refused, through, text, closed)

    def _refused(self, at: int) -> dict[int, int]:
        """When each worker had refused its first request after `at`."""
        first: dict[int, int] = {}
        for one in self._requests:
            if one.done > at and one.switch == "shut":
                first[one.worker] = min(one.done, first.get(one.worker, one.done))
        return first

    def _need(self, workers: Callable[[], Collection[int]], what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: len(workers()) == self._workers, WORKER_SECONDS):
                raise SetupError(f"Not every gateway worker {what}.")

    def _read(self, pipe: IO[bytes]) -> None:
        for line in pipe:
            kind, worker, *rest = line.decode().split()
            with self._changed:
                if kind == "request":
                    sent, done, outcome, switch = rest
                    self._count += 1
                    self._requests.append(_Request(int(worker), int(sent), int(done), outcome, switch))
                else:
                    self._streams.append(_Stream(*(int(value) for value in rest)))
                self._changed.notify_all()


@contextlib.contextmanager
def loaded(stage: Stage, workers: list[Process]) -> Iterator[Load]:
    """Requests and streams at all of `workers`, which answer with AI."""
    house = stage.made.house
    wait_until(lambda: listens(house.port), *workers, what="The gateway", seconds=WORKER_SECONDS)
    pids = ",".join(str(worker.pid) for worker in workers)
    arguments = ["-m", "firedoor.bench.switch_load", "--port", str(house.port), "--model", MODEL, "--workers", pids]
    secret = {CREDENTIAL_VARIABLE: house.credential}
    with running(arguments, core=None, log=stage.folder / "load.log", environment=secret) as loader:
        loader.first_line()
        load = Load(loader.output, len(workers))
        load.need_ai()
        yield load
