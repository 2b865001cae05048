"""A model server that costs next to nothing, for benchmarks: ready-made answers, one thread, plain epoll.

``python -m firedoor.bench.standin --port P [--core N] [--pace-ms 2]``

It answers 600 characters as JSON, or as an event stream of 50 chunks, and repeats the shopper's e-mail address as it
received it, so that a gateway in front has something to restore. It is not an HTTP server: it understands the requests
that the bench and the gateway send, one at a time per connection, and drops what it does not understand.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import select
import socket
import sys
import time

MARK_BEFORE, MARK_AFTER = b"write to ", b" about order"
"""The loader's shopper says where to write; what stands there is the address or what a gateway made of it."""

CHUNKS = 50
ANSWER_CHARACTERS = 600
MAX_REQUEST = 1_048_576
CREATED = 1_700_000_000

_SENTENCE = (
    "Thank you for your patience, your parcel has left our warehouse and the carrier expects to bring it on Thursday. "
)


class Answers:
    """Ready-made responses with a hole for the address."""

    def __init__(self) -> None:
        text = (_SENTENCE * 6)[: ANSWER_CHARACTERS - 40]
        message = {"role": "assistant", "content": text + " We will write to \0 then."}
        usage = {"prompt_tokens": 200, "completion_tokens": 130, "total_tokens": 330}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = self._encode({**self._envelope("chat.completion"), "choices": [choice], "usage": usage})
        self._before, self._after = body.split(b"\\u0000")
        self._fixed = len(self._before) + len(self._after)
        self._stream_head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        size = -(-len(text) // (CHUNKS - 3))
        pieces = [text[i : i + size] for i in range(0, len(text), size)][: CHUNKS - 3]
        self._pieces = [self._event(piece) for piece in pieces]
        self._end = self._framed(self._encode_choice({}, "stop")) + self._chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"

    def whole(self, address: bytes) -> bytes:
        """The JSON response."""
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b%b%b" % (
            self._fixed + len(address),
            self._before,
            address,
            self._after,
        )

    def stream(self, address: bytes) -> list[bytes]:
        """The streamed response, piece by piece; the address is cut in two, as tokens would cut it."""
        half = len(address) // 2
        first, second = (self._event(part) for part in (" We will write to \0", "\0 then."))
        parts = [first.replace(b"\\u0000", b"%b"), second.replace(b"\\u0000", b"%b")]
        filled = [self._refit(part, piece) for part, piece in zip(parts, (address[:half], address[half:]), strict=True)]
        pieces = [*self._pieces, *filled]
        pieces[0] = self._stream_head + pieces[0]
        return [*pieces, self._end]

    @staticmethod
    def _refit(framed: bytes, piece: bytes) -> bytes:
        payload = framed.split(b"\r\n", 1)[1][:-2].replace(b"%b", piece)
        return Answers._chunk(payload)

    def _event(self, text: str) -> bytes:
        return self._framed(self._encode_choice({"content": text}, None))

    def _encode_choice(self, delta: dict[str, str], finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return self._encode({**self._envelope("chat.completion.chunk"), "choices": [choice]})

    @staticmethod
    def _envelope(kind: str) -> dict[str, object]:
        return {"id": "chatcmpl-standin-0001", "object": kind, "created": CREATED, "model": "standin"}

    @staticmethod
    def _encode(value: object) -> bytes:
        return json.dumps(value, separators=(",", ":")).encode()

    @staticmethod
    def _chunk(payload: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(payload), payload)

    @classmethod
    def _framed(cls, payload: bytes) -> bytes:
        return cls._chunk(b"data: " + payload + b"\n\n")


class Standin:
    """The server: one epoll loop, a buffer per connection, a heap of stream pieces that are due later."""

    def __init__(self, listener: socket.socket, *, pace: float) -> None:
        self._answers = Answers()
        self._pace = pace
        self._listener = listener
        self._poll = select.epoll()
        self._poll.register(listener, select.EPOLLIN)
        self._connections: dict[int, socket.socket] = {}
        self._partial: dict[socket.socket, bytes] = {}
        self._due: list[tuple[float, int, socket.socket, list[bytes], int]] = []
        self._order = 0

    def run(self) -> None:
        """Serve for ever."""
        while True:
            wait = None if not self._due else max(0.0, self._due[0][0] - time.monotonic())
            for number, _ in self._poll.poll(wait):
                connection = self._connections.get(number)
                if connection is None:
                    self._accept()
                else:
                    self._read(connection)
            if self._due:
                self._send_due()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll.register(connection, select.EPOLLIN)
        self._connections[connection.fileno()] = connection

    def _read(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(65_536)
        except ConnectionError:
            data = b""
        if self._partial:
            data = self._partial.pop(connection, b"") + data if data else data
        if not data or len(data) > MAX_REQUEST:
            self._drop(connection)
            return
        end = data.find(b"\r\n\r\n") + 4
        if end < 4 or len(data) < end + _content_length(data, end):
            self._partial[connection] = data
            return
        self._answer(connection, data, end)

    def _answer(self, connection: socket.socket, data: bytes, body: int) -> None:
        found = data.rfind(MARK_BEFORE)
        start = found + len(MARK_BEFORE)
        address = data[start : data.find(MARK_AFTER, start)] if found >= 0 else b""
        streamed = data.find(b'"stream":true', body) >= 0 or data.find(b'"stream": true', body) >= 0
        if not streamed:
            self._send(connection, self._answers.whole(address))
        elif self._pace == 0:
            self._send(connection, b"".join(self._answers.stream(address)))
        else:
            self._play(connection, self._answers.stream(address), 0, time.monotonic())

    def _play(self, connection: socket.socket, pieces: list[bytes], at: int, now: float) -> None:
        if self._send(connection, pieces[at]) and at + 1 < len(pieces):
            self._order += 1
            heapq.heappush(self._due, (now + self._pace, self._order, connection, pieces, at + 1))

    def _send_due(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            due, _, connection, pieces, at = heapq.heappop(self._due)
            self._play(connection, pieces, at, due)

    def _send(self, connection: socket.socket, data: bytes) -> bool:
        try:
            connection.sendall(data)
        except OSError:
            self._drop(connection)
            return False
        return True

    def _drop(self, connection: socket.socket) -> None:
        self._partial.pop(connection, None)
        if connection.fileno() >= 0:
            del self._connections[connection.fileno()]
            connection.close()


def _content_length(data: bytes, end: int) -> int:
    at = data.find(b"Content-Length:", 0, end)
    if at < 0:
        at = data.lower().find(b"content-length:", 0, end)
    return int(data[at + 15 : data.find(b"\r", at)]) if at >= 0 else 0


def main(arguments: list[str] | None = None) -> int:
    """Listen on 127.0.0.1, print ``{"ready": true, "port": …}``, serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m firedoor.bench.standin")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--core", type=int, default=None, help="run on this core only")
    parser.add_argument(
        "--pace-ms", type=float, default=2.0, help="between two chunks of a stream; 0 sends all at once"
    )
    options = parser.parse_args(arguments)
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    with socket.create_server(("127.0.0.1", options.port), backlog=512) as listener:
        print(json.dumps({"ready": True, "port": listener.getsockname()[1]}), flush=True)  # noqa: T201 (the protocol)
        Standin(listener, pace=options.pace_ms / 1000).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
