"""A crowd of readers in a few processes, and when each of them saw what."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final

from firedoor.bench.processes import running
from firedoor.errors import SetupError

PROCESSES: Final = 4
"""Reader processes for a crowd of ten or more: each looks with its readers one after the other."""
SEEN_SECONDS: Final = 30.0


class Crowd:
    """Readers by number, in the order of what they were given."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._changed = threading.Condition()
        self._states: dict[int, str] = {}
        self._seen: list[tuple[int, int, str]] = []

    def follow(self, pipe: IO[bytes], numbers: Sequence[int]) -> None:
        """Take what one process prints, from a thread; `numbers` are those of its readers."""
        threading.Thread(target=self._read, args=(pipe, numbers), daemon=True).start()

    def wait(self, state: str, *, within: float = SEEN_SECONDS) -> bool:
        """Whether all see `state` within that time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._all(state), within)

    def need(self, state: str, what: str, *, within: float = SEEN_SECONDS) -> None:
        """Wait until all see `state`. Raises `SetupError` naming `what`."""
        if not self.wait(state, within=within):
            with self._changed:
                odd = sum(self._states.get(n) != state for n in range(self.count))
            raise SetupError(f"{what}: {odd} of {self.count} readers do not see {state!r}.")

    def since(self, start: int, state: str) -> list[float]:
        """Seconds from `start` (ns, CLOCK_MONOTONIC) until each reader that saw `state` after it saw it first."""
        first: dict[int, int] = {}
        with self._changed:
            for number, at, seen in self._seen:
                if seen == state and at >= start:
                    first.setdefault(number, at)
        return [(at - start) / 1e9 for at in first.values()]

    def forget(self) -> None:
        """Drop what was seen; the states stay."""
        with self._changed:
            self._seen.clear()

    def _all(self, state: str) -> bool:
        return len(self._states) == self.count and all(seen == state for seen in self._states.values())

    def _read(self, pipe: IO[bytes], numbers: Sequence[int]) -> None:
        for line in pipe:
            local, at, state = line.split()
            number = numbers[int(local)]
            with self._changed:
                self._states[number] = state.decode()
                self._seen.append((number, int(at), state.decode()))
                self._changed.notify_all()


@contextlib.contextmanager
def page_readers(pages: Sequence[Path], count: int, scope: str, lease: float, log: Path) -> Iterator[Crowd]:
    """`count` readers on `pages`, in turns."""
    given = [str(pages[number % len(pages)]) for number in range(count)]
    options = ["--scope", scope, "--lease", str(lease)]
    with _crowd(count, lambda numbers: ["page", *(given[n] for n in numbers), *options], log) as crowd:
        yield crowd


@contextlib.contextmanager
def client_readers(kind: str, port: int, count: int, every: float, log: Path) -> Iterator[Crowd]:
    """`count` readers, each with a client of another product's; a poller asks every `every` seconds."""
    options = [kind, "--port", str(port), "--every", str(every)]
    with _crowd(count, lambda numbers: [*options, "--count", str(len(numbers))], log) as crowd:
        yield crowd


@contextlib.contextmanager
def _crowd(count: int, arguments: Callable[[Sequence[int]], list[str]], log: Path) -> Iterator[Crowd]:
    crowd = Crowd(count)
    shares = [range(first, count, PROCESSES) for first in range(min(count, PROCESSES))]
    with contextlib.ExitStack() as stack:
        for numbers in shares:
            module = ["-m", "firedoor.bench.switch_readers", *arguments(numbers)]
            process = stack.enter_context(running(module, core=None, log=log))
            crowd.follow(process.output, numbers)
        yield crowd


def now() -> int:
    """The clock of all figures: CLOCK_MONOTONIC in nanoseconds."""
    return time.monotonic_ns()
