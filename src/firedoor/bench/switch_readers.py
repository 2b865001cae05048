"""Readers of switches: the same loop and clock for a switch page and for what other products give their callers.

``python -m firedoor.bench.switch_readers page PATH… --lease 2 --scope eu/shop/support/chat`` (one reader for each path)

``python -m firedoor.bench.switch_readers redis|kv|poll --port P --count N --every 1``

Every reader looks at its switch each millisecond, as a worker does before a request, and what it sees is printed when
it changes: ``NUMBER NANOSECONDS STATE``, the time of CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from firedoor.agent.page import PageReader
from firedoor.core.switches import Lease, Scope, standing

ROUND: Final = 0.001
"""Seconds between two looks of a reader."""
ORPHANED: Final = 1000
"""Rounds between looks whether the bench still lives: a reader that spins on costs others their figures."""

Look = Callable[[], str]


def page_look(path: Path, scope: Scope, lease: float) -> Look:
    """What a worker of ours does before a request."""
    reader, allowed = PageReader(path), Lease(lease)

    def look() -> str:
        return standing(reader.look(), allowed, scope).state

    return look


def read_on(looks: Sequence[Look]) -> None:
    """Look with all of them, for as long as the parent lives."""
    parent = os.getppid()
    last = [""] * len(looks)
    out = sys.stdout
    rounds = 0
    while rounds % ORPHANED or os.getppid() == parent:
        rounds += 1
        for number, look in enumerate(looks):
            state = look()
            if state != last[number]:
                last[number] = state
                out.write(f"{number} {time.monotonic_ns()} {state}\n")
                out.flush()
        time.sleep(ROUND)


def main(arguments: list[str] | None = None) -> int:
    """Read until killed."""
    parser = argparse.ArgumentParser(prog="python -m firedoor.bench.switch_readers")
    parser.add_argument("kind", choices=("page", "redis", "kv", "poll"))
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--scope", default="*")
    parser.add_argument("--lease", type=float, default=2.0)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two questions of a poller")
    options = parser.parse_args(arguments)
    if options.kind == "page":
        scope = Scope.parse(options.scope)
        read_on([page_look(path, scope, options.lease) for path in options.paths])
    else:
        from firedoor.bench import switch_clients  # noqa: PLC0415  clients of other products, where installed

        cells = ["open"] * options.count
        watch = {"redis": switch_clients.redis, "kv": switch_clients.kv, "poll": switch_clients.poll}[options.kind]
        threading.Thread(target=watch, args=(options.port, cells, options.every), daemon=True).start()
        read_on([lambda at=at: cells[at] for at in range(options.count)])  # type: ignore[misc]
    return 0


if __name__ == "__main__":
    sys.exit(main())
