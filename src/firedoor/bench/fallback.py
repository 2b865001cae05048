"""What checkout waits for while AI fails: fraud and payment decisions at a steady rate, without model, without control.

Requests leave when they are due, whether the ones before are answered or not, and their time counts from then: a slow
answer does not hide the ones behind it. One gateway worker has the second core alone; all else is on the first.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from firedoor.bench.house import MODEL, REGION, SHOP, House, furnish
from firedoor.bench.load import percentile
from firedoor.bench.processes import Machine, Process, machine, running, two_cores, wait_until
from firedoor.errors import SetupError
from firedoor.store.credentials import CredentialFile

CHECKOUT = ("fraud_scoring", "payment_validation")
DEADLINE = 0.8
"""Seconds; that of the starter plan."""
PATIENCE = 10.0
"""Seconds after which an answer counts as lost."""
STALE = 3.0
"""Seconds until the lease of 2 s is surely over."""


class Row(Struct, frozen=True):
    """One state of the installation; times in milliseconds. `late` answers came after the surface's deadline.

    `reasons` counts the values of ``Firedoor-Reason``; an answer of the model has none and counts as ``none``.
    """

    what: str
    requests: int
    lost: int
    late: int
    p50: float
    p99: float
    worst: float
    reasons: dict[str, int]


class Figures(Struct, frozen=True):
    """The whole run; `deadline` in milliseconds, `rate` in requests a second."""

    machine: Machine
    rate: int
    deadline: float
    rows: list[Row]


class _Till:
    """Sends checkouts and keeps the connections that are free."""

    def __init__(self, port: int, credentials: list[str]) -> None:
        self._port = port
        self._credentials = credentials
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.waits: list[float] = []
        self.reasons: Counter[str] = Counter()
        self.lost = 0

    async def run(self, rate: int, seconds: float) -> None:
        """Send `rate` a second for `seconds`, and wait for the last answer."""
        start = time.perf_counter() + 0.05
        await asyncio.gather(*(self._checkout(n, start + n / rate) for n in range(int(rate * seconds))))
        for _, writer in self._free:
            writer.close()

    async def _checkout(self, number: int, due: float) -> None:
        await asyncio.sleep(due - time.perf_counter())
        try:
            async with asyncio.timeout(PATIENCE):
                reason = await self._ask(number)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            self.lost += 1
            return
        self.waits.append(time.perf_counter() - due)
        self.reasons[reason] += 1

    async def _ask(self, number: int) -> str:
        reader, writer = self._free.pop() if self._free else await asyncio.open_connection("127.0.0.1", self._port)
        message = {"role": "user", "content": json.dumps({"amount": number % 2000, "attempts": number % 4})}
        body = json.dumps({"model": MODEL, "messages": [message]}).encode()
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %b\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (self._credentials[number % 2].encode(), len(body), body)
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
        said = await reader.readexactly(int(fields["content-length"]))
        self._free.append((reader, writer))
        if not head.startswith("HTTP/1.1 200 ") or b"decision" not in said:
            raise SetupError(f"A checkout got no decision: {head[:15]}.")
        return fields.get("firedoor-reason", "none")


def run(rate: int, seconds: float, say: Callable[[str], None]) -> Figures:
    """The whole benchmark. Raises `SetupError` if a process does not start, or an answer is no decision."""
    here = machine()
    with _started() as stage:
        rows = list(stage.rows(rate, seconds, say))
    return Figures(here, rate, DEADLINE * 1e3, rows)


class _Stage:
    """The running processes, and what befalls them, row by row."""

    def __init__(self, house: House, credentials: list[str], model: Process, control: Process) -> None:
        self._house = house
        self._credentials = credentials
        self._model = model
        self._control = control

    def rows(self, rate: int, seconds: float, say: Callable[[str], None]) -> Iterator[Row]:
        """Each state worse than the one before."""
        happened: tuple[tuple[str, Callable[[], None]], ...] = (
            ("the model server hangs", lambda: os.kill(self._model.pid, signal.SIGSTOP)),
            ("its breaker is open", lambda: None),
            ("control killed, table stale", self._kill_control),
            ("and shut by the SHUT file", self._shut),
        )
        for what, happens in happened:
            say(what)
            happens()
            yield self._measure(what, rate, seconds)

    def _measure(self, what: str, rate: int, seconds: float) -> Row:
        till = _Till(self._house.port, self._credentials)
        asyncio.run(till.run(rate, seconds))
        waits = sorted(till.waits)
        p50, p99, worst = (percentile(waits, share) * 1e3 for share in (0.5, 0.99, 1))
        late = sum(wait > DEADLINE for wait in waits)
        return Row(what, int(rate * seconds), till.lost, late, p50, p99, worst, dict(till.reasons))

    def answered(self) -> bool:
        """Whether a model answers; what it says is no decision, and that does not matter here."""
        till = _Till(self._house.port, self._credentials)
        try:
            asyncio.run(till.run(1, 1))
        except SetupError:
            return True
        return False

    def _kill_control(self) -> None:
        self._control.kill()
        time.sleep(STALE)

    def _shut(self) -> None:
        self._house.region.shut_file.touch()
        time.sleep(0.5)


@contextmanager
def _started() -> Iterator[_Stage]:
    load_core, gateway_core = two_cores()
    cores = os.sched_getaffinity(0)
    with ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, cores)
        os.sched_setaffinity(0, {load_core})
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="firedoor-bench-")))
        standin = ["-m", "firedoor.bench.standin"]
        model = stack.enter_context(running(standin, core=load_core, log=folder / "standin.log"))
        house = furnish(folder / "home", int(model.first_line()["port"]), _with_checkout)
        issuer = CredentialFile(house.region.credentials, REGION)
        credentials = [issuer.issue(SHOP, surface, time.time())[0] for surface in CHECKOUT]
        arguments = ["-m", "firedoor", *house.command("control")]
        control = stack.enter_context(running(arguments, core=load_core, log=folder / "control.log"))
        arguments = ["-m", "firedoor", *house.command("gateway", "--slot", "worker-0")]
        gateway = stack.enter_context(running(arguments, core=gateway_core, log=folder / "gateway.log"))
        stage = _Stage(house, credentials, model, control)
        wait_until(stage.answered, control, gateway, what="AI")
        yield stage


def _with_checkout(plan: dict[str, Any]) -> None:
    """The bench's plan, and in it the surfaces that a checkout waits for."""
    fallback = {
        "kind": "rules",
        "review": 40,
        "block": 80,
        "rules": [
            {"field": "amount", "op": "missing", "points": 40, "reason": "amount_missing"},
            {"field": "amount", "op": "ge", "value": 500, "points": 30, "reason": "high_amount"},
            {"field": "attempts", "op": "ge", "value": 3, "points": 40, "reason": "many_attempts"},
        ],
    }
    for name in CHECKOUT:
        plan["surfaces"][name] = {
            "models": {REGION: MODEL},
            "deadline": f"{DEADLINE * 1e3:.0f}ms",
            "protect": ["prices"],
            "fallback": fallback,
        }
