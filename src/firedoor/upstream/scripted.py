"""A scripted model instance: an OpenAI-compatible server that plays a script. For drills, demonstrations and tests.

``python -m firedoor.upstream.scripted --script FILE --port P --key-file F`` runs it as a process of its own;
`serve_scripted` runs it inside a test and shows which requests it received and which of them were cancelled.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import hmac
import math
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
from aiohttp import web
from msgspec import Struct

from firedoor.errors import SetupError
from firedoor.upstream import lifeline, play
from firedoor.upstream.script import Answer, Script, load, placed, resembles, spoken

MAX_BODY_BYTES = 16_777_216
"""The largest body a plan lets the gateway send."""

MAX_CHOICES = 16
MAX_INPUTS = 2048
MAX_CACHED = 10_000
"""Answers in the cache of a script with `cache: soft`; it starts anew when full."""


class Received(Struct):
    """One request as the scripted model saw it, and how it ended."""

    path: str
    headers: dict[str, str]
    body: Any
    rule: str | None = None
    end: Literal["running", "answered", "cancelled"] = "running"
    events: int = 0

    def last_user(self) -> str:
        """The text of the last user message."""
        return last_user(self.body)


class Said(NamedTuple):
    """An answer as it was given: by which rule, in which words, under which id."""

    rule: str | None
    answer: Answer
    text: str
    id: str


class Instance:
    """One running scripted model: its script, its key, and what it received (the newest `keep` requests)."""

    def __init__(self, script: Script, *, key: str | None = None, keep: int = 1000) -> None:
        self.script = script
        self.key = key
        self.received: list[Received] = []
        self._keep = keep
        self._cached: dict[str, Said] = {}
        self._over = asyncio.Event()

    def app(self) -> web.Application:
        """The aiohttp application; run it with ``handler_cancellation=True``, or a caller who leaves is not seen."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/v1/chat/completions", self._played(self._chat))
        app.router.add_post("/v1/embeddings", self._played(self._embeddings))
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/health", self._health)
        return app

    async def ended(self, index: int = -1) -> Received:
        """Wait until the request at `index` of `received` is over, and return it."""
        received = self.received[index]
        while received.end == "running":
            self._over.clear()
            await self._over.wait()
        return received

    def _played(self, handler: Callable[[web.Request, Received], Any]) -> Callable[[web.Request], Any]:
        async def run(request: web.Request) -> web.StreamResponse:
            if not self._allowed(request):
                return _error(401, "invalid_api_key", "Wrong API key.")
            try:
                body = msgspec.json.decode(await request.read())
            except msgspec.DecodeError:
                return _error(400, "bad_json", "The body is not JSON.")
            if not isinstance(body, dict):
                return _error(400, "bad_json", "The body is not a JSON object.")
            received = Received(request.path, dict(request.headers), body)
            self.received.append(received)
            del self.received[: -self._keep]
            try:
                response: web.StreamResponse = await handler(request, received)
            except (asyncio.CancelledError, ConnectionError):
                self._end(received, "cancelled")
                raise
            self._end(received, "answered")
            return response

        return run

    def _end(self, received: Received, how: Literal["answered", "cancelled"]) -> None:
        received.end = how
        self._over.set()

    def _allowed(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return self.key is None or hmac.compare_digest(given.encode(), self.key.encode())

    async def _chat(self, request: web.Request, received: Received) -> web.StreamResponse:
        said = self._say(last_user(received.body))
        received.rule, answer = said.rule, said.answer
        wanted = received.body.get("n", 1)
        count = wanted if isinstance(wanted, int) and 1 <= wanted <= MAX_CHOICES else 1
        turn = play.Turn(answer, said.text, count, self.script.model, received.body, said.id)
        broken = await _break_before_headers(request, answer)
        if broken is not None:
            return broken
        await asyncio.sleep(answer.pace.first_ms / 1000)
        if received.body.get("stream") is True:
            return await _stream(request, received, turn)
        return await _whole(request, turn)

    def _say(self, user: str) -> Said:
        """The answer to `user`; with a soft cache the one to an earlier question that resembles it, id and all."""
        key = resembles(user)
        if key in self._cached:
            return self._cached[key]
        rule, answer, match = self.script.answer_to(user)
        answer = placed(answer)
        soft = self.script.cache == "soft"
        said = Said(
            rule, answer, spoken(answer, user, match), f"chatcmpl-{secrets.token_hex(16)}" if soft else play.ANSWER_ID
        )
        if soft:
            if len(self._cached) >= MAX_CACHED:
                self._cached.clear()
            self._cached[key] = said
        return said

    async def _embeddings(self, _request: web.Request, received: Received) -> web.Response:
        given = received.body.get("input")
        inputs = given if isinstance(given, list) else [given]
        if not 1 <= len(inputs) <= MAX_INPUTS or not all(isinstance(text, str) for text in inputs):
            return _error(400, "bad_input", f"input must be a text or 1 to {MAX_INPUTS} texts.")
        words = sum(len(text.split()) for text in inputs)
        data = [
            {"object": "embedding", "index": i, "embedding": embed(text, self.script.embedding_size)}
            for i, text in enumerate(inputs)
        ]
        usage = {"prompt_tokens": words, "total_tokens": words}
        return _json({"object": "list", "model": self.script.model, "data": data, "usage": usage})

    async def _models(self, request: web.Request) -> web.Response:
        if not self._allowed(request):
            return _error(401, "invalid_api_key", "Wrong API key.")
        model = {"id": self.script.model, "object": "model", "created": 0, "owned_by": "firedoor"}
        return _json({"object": "list", "data": [model]})

    async def _health(self, _request: web.Request) -> web.Response:
        return _json({"status": "ok"})


async def _break_before_headers(request: web.Request, answer: Answer) -> web.StreamResponse | None:
    """Play the faults that come before any answer; None when there is none."""
    transport = request.transport
    match answer.fault:
        case "hang":
            await asyncio.Event().wait()
        case "die" if transport is not None:
            transport.abort()
            raise ConnectionResetError
        case "garbage" if transport is not None:
            transport.write(b"\x00\xff\xfeSMTP 220 not a model\r\n\r\n")
            transport.close()
            raise ConnectionResetError
        case "redirect":
            return web.Response(status=307, headers={"Location": "http://127.0.0.1:9/v1/chat/completions"})
        case "status_500":
            return _error(500, "server_error", "The model server has an internal error.")
        case "status_429":
            return _error(429, "rate_limit_exceeded", "Too many requests.", {"Retry-After": "1"})
        case "wrong_type":
            return web.Response(text="<html><body>It works!</body></html>", content_type="text/html")
    return None


async def _whole(request: web.Request, turn: play.Turn) -> web.StreamResponse:
    answer = turn.answer
    body = msgspec.json.encode(turn.completion())
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    match answer.fault:
        case "die_midway" | "hang_midway":
            response.content_length = len(body)
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            await _stop_midway(request, answer.fault)
        case "garbage_event":
            body = b'{"choices": [{"message": nonsense'
        case "long_line":
            body = msgspec.json.encode(turn.completion(play.LONG_TEXT))
        case "cut_utf8":
            body = play.cut_inside_character(body)
        case "huge":
            await response.prepare(request)
            while True:
                await response.write(play.HUGE_PIECE)
        case _:
            pass
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body)
    await response.write_eof()
    return response


async def _stream(request: web.Request, received: Received, turn: play.Turn) -> web.StreamResponse:
    answer = turn.answer
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    for number, event in enumerate(turn.events()):
        if number == answer.fault_after and answer.fault in {"hang_midway", "die_midway"}:
            await _stop_midway(request, answer.fault)
        if number:
            await asyncio.sleep(answer.pace.delay_ms / 1000)
        for piece in play.on_the_wire(event, answer.wire):
            await response.write(piece)
        received.events += 1
    await response.write_eof()
    return response


async def _stop_midway(request: web.Request, fault: str) -> None:
    if fault == "hang_midway":
        await asyncio.Event().wait()
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError


def last_user(body: Any) -> str:
    """The text of the last user message of a chat request; empty when there is none."""
    messages = body.get("messages") if isinstance(body, dict) else None
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, list):
                return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
            return content if isinstance(content, str) else ""
    return ""


def embed(text: str, size: int) -> list[float]:
    """A vector of length 1 that depends on the text alone: equal texts are equal, others are far apart."""
    raw = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(size)
    vector = [byte - 127.5 for byte in raw]
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector]


def _json(value: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value), status=status, headers=headers, content_type="application/json"
    )


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return _json({"error": {"message": message, "type": kind, "code": code, "param": None}}, status, headers)


class Served(Struct):
    """A scripted model that is listening. `base_url` ends in ``/v1``."""

    base_url: str
    instance: Instance

    @property
    def received(self) -> list[Received]:
        """The requests so far, oldest first."""
        return self.instance.received


@contextlib.asynccontextmanager
async def serve_scripted(script: Script, *, key: str | None = None, port: int = 0) -> AsyncIterator[Served]:
    """Serve `script` on 127.0.0.1 for the length of the block; port 0 takes a free one."""
    instance = Instance(script, key=key)
    # A caller who leaves cancels the handler; a reset connection is part of the play, not an error to log.
    runner = web.AppRunner(instance.app(), handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        bound = runner.addresses[0][1]
        yield Served(f"http://127.0.0.1:{bound}/v1", instance)
    finally:
        await runner.cleanup()


async def _serve_until_told(script: Script, key: str | None, port: int) -> None:
    try:
        async with serve_scripted(script, key=key, port=port) as served:
            lifeline.tell_ready(int(served.base_url.rsplit(":", 1)[1].removesuffix("/v1")))
            await asyncio.Event().wait()
    except OSError as error:
        raise SetupError(f"Port {port} cannot be used: {error.strerror}.", remedy="Choose another port.") from None


def main(arguments: list[str] | None = None) -> int:
    """Run as a process; see the module's text. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m firedoor.upstream.scripted", description="Play a scripted model.")
    parser.add_argument("--script", type=Path, required=True, help="YAML or JSON, see docs/models.md")
    lifeline.add_arguments(parser)
    options = parser.parse_args(arguments)
    try:
        lifeline.hold(options)
        asyncio.run(_serve_until_told(load(options.script), lifeline.read_key(options.key_file), options.port))
    except SetupError as error:
        lifeline.tell_failed(error)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
