"""What the gateway costs: the same load once straight to a stand-in model server and once through one gateway worker.

Load, stand-in and control share the first core; the gateway worker has the second one alone. Everything that protects
is on: personal data out of prompts and back into answers, 500 protected values watched for, evidence durable.
"""

from __future__ import annotations

import http.client
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from firedoor.bench.house import MODEL, House, furnish
from firedoor.bench.load import CREDENTIAL_VARIABLE, Result
from firedoor.bench.processes import Machine, Process, machine, running, two_cores, wait_until
from firedoor.bench.shapes import Shape, ShapeName
from firedoor.errors import SetupError

PACE_MS = 2.0
"""Between the 50 chunks of a stream, which so lasts 100 ms: more than 500 tokens a second, faster than models are."""

NUMBERS_PER_CELL = 5_000_000
"""Message numbers of one cell: no text is sent twice in a run."""

ROWS: tuple[tuple[ShapeName, bool, str], ...] = (
    ("short", False, "300 new characters, JSON"),
    ("short", True, "300 new characters, stream"),
    ("kilobyte", False, "1,000 new characters, JSON"),
    ("history", False, "10 turns re-sent, JSON"),
)


class Cell(Struct, frozen=True):
    """One measurement. `added_*` in milliseconds against the direct run, at concurrency 1 only."""

    row: str
    shape: str
    stream: bool
    through: str
    concurrency: int
    result: Result
    added_p50: float | None = None
    added_p99: float | None = None
    added_first_p50: float | None = None


class Figures(Struct, frozen=True):
    """The whole run. Memory is the gateway worker's own (private pages), in MiB."""

    machine: Machine
    cells: list[Cell]
    memory_idle_mib: float
    memory_after_mib: float


class Bench:
    """The running processes and a counter that keeps every text new."""

    def __init__(self, folder: Path, model_port: int, house: House, gateway: Process, core: int) -> None:
        self._folder = folder
        self._model_port = model_port
        self._house = house
        self._gateway = gateway
        self._core = core
        self._cells = 0

    def measure(self, shape: ShapeName, stream: bool, concurrency: int, seconds: float, *, direct: bool) -> Cell:
        """One cell."""
        arguments = ["-m", "firedoor.bench.load", "--model", MODEL, "--shape", shape]
        arguments += ["--port", str(self._model_port if direct else self._house.port)]
        arguments += ["--concurrency", str(concurrency), "--seconds", str(seconds)]
        arguments += ["--first-number", str(self._cells * NUMBERS_PER_CELL), *(["--stream"] if stream else [])]
        arguments += [] if direct else ["--watch", str(self._gateway.pid)]
        self._cells += 1
        secret = {CREDENTIAL_VARIABLE: "direct" if direct else self._house.credential}
        with running(arguments, core=self._core, log=self._folder / "load.log", environment=secret) as load:
            result = msgspec.convert(load.first_line(), Result)
        row = next(text for s, streamed, text in ROWS if (s, streamed) == (shape, stream))
        return Cell(
            row=row,
            shape=shape,
            stream=stream,
            through="direct" if direct else "gateway",
            concurrency=concurrency,
            result=result,
        )

    def rows(self, concurrencies: list[int], seconds: float, say: Callable[[str], None]) -> Iterator[Cell]:
        """Every cell, direct before gateway; `say` hears what is being measured."""
        for shape, stream, text in ROWS:
            base: Cell | None = None
            for direct in (True, False):
                for concurrency in concurrencies:
                    say(f"{text}, {'direct' if direct else 'gateway'}, c={concurrency}")
                    cell = self.measure(shape, stream, concurrency, seconds, direct=direct)
                    if concurrency == 1 and direct:
                        base = cell
                    elif concurrency == 1 and base is not None:
                        cell = _compared(cell, base)
                    yield cell


def run(concurrencies: list[int], seconds: float, say: Callable[[str], None]) -> Figures:
    """The whole benchmark. Raises `SetupError` if a process does not start or AI does not answer."""
    here = machine()
    with _started() as (bench, gateway):
        idle = gateway.private_mib()
        cells = list(bench.rows(concurrencies, seconds, say))
        return Figures(here, cells, idle, gateway.private_mib())


@contextmanager
def _started() -> Iterator[tuple[Bench, Process]]:
    load_core, gateway_core = two_cores()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="firedoor-bench-")))
        arguments = ["-m", "firedoor.bench.standin", "--pace-ms", str(PACE_MS)]
        standin = stack.enter_context(running(arguments, core=load_core, log=folder / "standin.log"))
        model_port = int(standin.first_line()["port"])
        house = furnish(folder / "home", model_port)
        # Nothing reads what these two print, and it is little.
        control = stack.enter_context(
            running(["-m", "firedoor", *house.command("control")], core=load_core, log=folder / "control.log")
        )
        arguments = ["-m", "firedoor", *house.command("gateway", "--slot", "worker-0")]
        gateway = stack.enter_context(running(arguments, core=gateway_core, log=folder / "gateway.log"))
        wait_until(lambda: _answers(house) is not None, control, gateway, what="The gateway")
        wait_until(lambda: _answers(house) in {"answered", "minimised"}, control, gateway, what="AI")
        yield Bench(folder, model_port, house, gateway, load_core), gateway


def _answers(house: House) -> str | None:
    """The outcome of one request through the gateway; None while nobody listens. Raises `SetupError` if refused."""
    shape = Shape("short", "127.0.0.1", house.credential, stream=False, model=MODEL)
    head, _, body = shape.request(999_999_999, 0).partition(b"\r\n\r\n")
    names = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=5)
    try:
        connection.request("POST", "/v1/chat/completions", body, names)
        response = connection.getresponse()
        said = response.read()
    except OSError:
        return None
    finally:
        connection.close()
    if response.status != 200:
        raise SetupError(f"The gateway refuses the bench's request: {response.status} {_code(said)}.")
    return response.getheader("Firedoor-Outcome", "none")


def _code(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return "no code"


def _compared(cell: Cell, base: Cell) -> Cell:
    mine, theirs = cell.result, base.result
    return msgspec.structs.replace(
        cell,
        added_p50=mine.p50 - theirs.p50,
        added_p99=mine.p99 - theirs.p99,
        added_first_p50=mine.first_p50 - theirs.first_p50,
    )
