"""A real HTTP server on loopback that does to a client what a dying gateway would."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

GATEWAY = {"Firedoor-Outcome": "answered", "Firedoor-Exchange": "x-1", "Firedoor-Switch": "open; v=1"}

Behaviour = Callable[["Server", socket.socket], None]


class Server:
    """Reads each request whole, keeps it, and lets `behaviour` do the rest with the socket. `over` ends all hanging."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.requests: list[tuple[dict[str, str], dict]] = []
        self.over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self.over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            raw = b""
            while b"\r\n\r\n" not in raw:
                data = connection.recv(65536)
                if not data:
                    return
                raw += data
            head, _, body = raw.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")[1:]
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
            while len(body) < int(headers.get("content-length", 0)):
                body += connection.recv(65536)
            self.requests.append((headers, json.loads(body)))
            self.behaviour(self, connection)


def head(status: int = 200, content: str = "application/json", **more: str) -> bytes:
    lines = {"Content-Type": content, "Connection": "close", **GATEWAY}
    lines.update({name.replace("_", "-"): value for name, value in more.items()})  # "" leaves the header out
    fields = (f"{name}: {value}" for name, value in lines.items() if value)
    return "\r\n".join((f"HTTP/1.1 {status} X", *fields, "", "")).encode()


def completion(text: str, **more: object) -> dict:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **more}


def event(delta: dict | None, finish: str | None = None, index: int = 0, **more: object) -> bytes:
    choices = [] if delta is None else [{"index": index, "delta": delta, "finish_reason": finish}]
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


ROLE = event({"role": "assistant", "content": ""})
DONE = b"data: [DONE]\n\n"


def says(*parts: bytes, then: Behaviour | None = None) -> Behaviour:
    """Send the parts, then close, or do `then`."""

    def behave(server: Server, connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)
        if then is not None:
            then(server, connection)

    return behave


def hang(server: Server, connection: socket.socket) -> None:
    server.over.wait()


def drip(data: bytes) -> Behaviour:
    """One byte of `data` at a time, over and over, always sooner than any read would time out."""

    def behave(server: Server, connection: socket.socket) -> None:
        while True:
            for byte in data:
                connection.sendall(bytes([byte]))
                if server.over.wait(0.01):
                    return

    return behave


def reset(server: Server, connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()


def stream(*events: bytes, then: Behaviour | None = None, **more: str) -> Behaviour:
    return says(head(content="text/event-stream", **more), *events, then=then)


def answer(document: object, status: int = 200, **more: str) -> Behaviour:
    return says(head(status, **more), json.dumps(document).encode())
