"""A closed-loop loader that costs little: plain sockets, epoll, ready-made requests, one thread.

``python -m firedoor.bench.load --port P --model M --shape short --concurrency 16 --seconds 3 [--stream] [--core 0]``

The credential comes in the environment variable `CREDENTIAL_VARIABLE`, so that it is in no process list. Prints one
JSON line: see `Result`. Every connection sends its next request when the answer to the last one is complete.
"""

from __future__ import annotations

import argparse
import os
import re
import select
import socket
import sys
import time
from array import array
from collections import Counter
from typing import get_args

import msgspec
from msgspec import Struct

from firedoor.bench.processes import cpu_seconds
from firedoor.bench.shapes import Shape, ShapeName, address

CREDENTIAL_VARIABLE = "FIREDOOR_BENCH_CREDENTIAL"
MAX_RESPONSE = 1_048_576
STALLED_SECONDS = 10.0

_CONTENT = re.compile(rb'"content": ?"([^"]*)"')
_OUTCOME = re.compile(rb"\r\nfiredoor-outcome: ?([^\r]*)\r\n", re.IGNORECASE)


class Result(Struct):
    """What one run measured; times in milliseconds.

    `restored` counts the answers that hold the shopper's own address, `outcomes` the values of ``Firedoor-Outcome``.
    """

    requests: int
    failed: int
    restored: int
    outcomes: dict[str, int]
    seconds: float
    per_second: float
    p50: float
    p95: float
    p99: float
    first_p50: float
    first_p99: float
    own_cpu_us: float
    """Processor time of this loader per request."""
    watched_cpu_us: float
    """Processor time of the watched process per request, with what it does between requests; 0 if none is watched."""


class Connection:
    """One connection of the loader and the exchange on it."""

    __slots__ = ("data", "end", "first", "number", "sent", "socket", "turn")

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.data = b""
        self.end = -1
        """Where the whole response ends; -1 until known, -2 when the last chunk tells."""
        self.first = 0.0
        self.number = 0
        self.sent = 0.0
        self.turn = -1


class Loader:
    """Keeps `concurrency` requests in flight."""

    def __init__(self, port: int, shape: Shape, concurrency: int, first_number: int) -> None:
        self._shape = shape
        self._next = first_number
        self._poll = select.epoll()
        self._connections: dict[int, Connection] = {}
        for _ in range(concurrency):
            connected = socket.create_connection(("127.0.0.1", port), timeout=STALLED_SECONDS)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._poll.register(connected, select.EPOLLIN)
            self._connections[connected.fileno()] = Connection(connected)
        self._clear()

    def _clear(self) -> None:
        self.latencies = array("d")
        self.firsts = array("d")
        self.outcomes: Counter[str] = Counter()
        self.failed = 0
        self.restored = 0

    def run(self, warm_up: float, seconds: float, watched: int | None = None) -> Result:
        """Load for `warm_up` seconds unmeasured, then `seconds` measured; `watched` is a process id."""
        for connection in self._connections.values():
            self._send(connection)
        self._loop(time.perf_counter() + warm_up)
        self._clear()
        theirs, mine = cpu_seconds(watched) if watched else 0.0, time.process_time()
        start = time.perf_counter()
        self._loop(start + seconds)
        took = time.perf_counter() - start
        mine, theirs = time.process_time() - mine, (cpu_seconds(watched) if watched else 0.0) - theirs
        return self._result(took, mine, theirs)

    def _loop(self, until: float) -> None:
        poll, clock, connections = self._poll.poll, time.perf_counter, self._connections
        while clock() < until:
            ready = poll(STALLED_SECONDS)
            if not ready:
                raise SystemExit(f"bench: no answer within {STALLED_SECONDS:g} s")
            for number, _ in ready:
                self._read(connections[number])

    def _send(self, connection: Connection) -> None:
        if connection.turn < 0 or connection.turn + 1 == self._shape.turns:
            connection.turn = 0
            # A conversation's messages have numbers of their own, so that no two conversations share a text.
            connection.number = self._next
            self._next += self._shape.turns
        else:
            connection.turn += 1
            connection.number += 1
        request = self._shape.request(connection.number, connection.turn)
        connection.sent = time.perf_counter()
        connection.socket.sendall(request)

    def _read(self, connection: Connection) -> None:
        data = connection.socket.recv(65_536)
        now = time.perf_counter()
        if not data:
            raise SystemExit("bench: the connection was closed")
        if connection.data:
            data = connection.data + data
        if connection.end == -1:
            connection.end, body = _where_it_ends(data)
            if connection.end != -1 and len(data) > body:
                connection.first = now
        elif not connection.first:
            connection.first = now
        whole = data.endswith(b"0\r\n\r\n") if connection.end == -2 else 0 <= connection.end <= len(data)
        if not whole:
            connection.data = data
            return
        self._count(connection, data, now)
        connection.data, connection.end, connection.first = b"", -1, 0.0
        self._send(connection)

    def _count(self, connection: Connection, data: bytes, now: float) -> None:
        self.latencies.append(now - connection.sent)
        self.firsts.append(connection.first - connection.sent)
        if not data.startswith(b"HTTP/1.1 200 "):
            self.failed += 1
        said = data if connection.end >= 0 else b"".join(_CONTENT.findall(data))
        if address(connection.number) in said:
            self.restored += 1
        outcome = _OUTCOME.search(data, 0, 2048)
        if outcome is not None:
            self.outcomes[outcome[1].decode("latin-1")] += 1

    def _result(self, took: float, mine: float, theirs: float) -> Result:
        count = len(self.latencies)
        latencies, firsts = sorted(self.latencies), sorted(self.firsts)
        return Result(
            requests=count,
            failed=self.failed,
            restored=self.restored,
            outcomes=dict(self.outcomes),
            seconds=took,
            per_second=count / took,
            p50=percentile(latencies, 0.50) * 1e3,
            p95=percentile(latencies, 0.95) * 1e3,
            p99=percentile(latencies, 0.99) * 1e3,
            first_p50=percentile(firsts, 0.50) * 1e3,
            first_p99=percentile(firsts, 0.99) * 1e3,
            own_cpu_us=mine / max(1, count) * 1e6,
            watched_cpu_us=theirs / max(1, count) * 1e6,
        )


def percentile(ordered: list[float], share: float) -> float:
    """The smallest value that `share` of the values do not exceed; 0 for none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def _where_it_ends(data: bytes) -> tuple[int, int]:
    """(end of the response, start of its body); end -1 while the head is not whole, -2 for chunked coding."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return (-1, 0) if len(data) < MAX_RESPONSE else (0, 0)
    lowered = data[:head].lower()
    at = lowered.find(b"content-length:")
    if at >= 0:
        stop = lowered.find(b"\r", at)
        length = lowered[at + 15 : stop if stop >= 0 else head]
        return head + 4 + int(length), head + 4
    return -2, head + 4


def main(arguments: list[str] | None = None) -> int:
    """Run once and print the result as one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m firedoor.bench.load")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--shape", choices=get_args(ShapeName), default="short")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--warm-up", type=float, default=1.0)
    parser.add_argument("--first-number", type=int, default=0, help="texts from here on are new to the gateway")
    parser.add_argument("--watch", type=int, default=None, help="process whose processor time is measured too")
    parser.add_argument("--core", type=int, default=None, help="run on this core only")
    options = parser.parse_args(arguments)
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    credential = os.environ.get(CREDENTIAL_VARIABLE, "none")
    shape = Shape(options.shape, f"127.0.0.1:{options.port}", credential, stream=options.stream, model=options.model)
    loader = Loader(options.port, shape, options.concurrency, options.first_number)
    result = loader.run(options.warm_up, options.seconds, options.watch)
    print(msgspec.json.encode(result).decode(), flush=True)  # noqa: T201 (the protocol)
    return 0


if __name__ == "__main__":
    sys.exit(main())
