"""The witness of a region over HTTP: ``POST /add-checkpoint`` of C2SP tlog-witness, and nothing else.

Other regions' agents call it, and whoever else reaches the address. What goes out is either a message of
`firedoor.core.crossing` or a bare status: an error has no text that could carry anything.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from firedoor.api.hasty import HastyProtocol
from firedoor.api.server import GRACE, serve_until_cancelled
from firedoor.core.crossing import MESSAGE_LIMIT, AddCheckpoint, Conflict, decode, encode
from firedoor.errors import EvidenceDamaged, SetupError
from firedoor.ports.logs import Cosigner, Refusal

log = logging.getLogger("firedoor.witness")

HEAD_LIMIT = 16 * 1024
"""Bytes of a request's head: our client sends under 300."""

CALLERS = 256
"""Connections at a time: each host of the other regions holds one."""

SIGNING = 2
"""Requests looked at at a time: whoever floods the witness takes no more of the agent's threads from its logs."""

SIZE_TYPE = "text/x.tlog.size"
"""Content type of a 409 answer (tlog-witness)."""

UNAVAILABLE = 503
_STATUS = {
    Refusal.BAD_REQUEST: 400,
    Refusal.NOT_SIGNED: 403,
    Refusal.UNKNOWN_LOG: 404,
    Refusal.NOT_CONSISTENT: 422,
    Refusal.CLOCK_WENT_BACK: UNAVAILABLE,
    Refusal.STATE_UNUSABLE: UNAVAILABLE,
}
"""As tlog-witness says; 503 for what it does not speak of."""


def build(cosigner: Cosigner) -> Starlette:
    """The application."""
    signing = asyncio.Semaphore(SIGNING)
    said: Refusal | None = None

    async def add_checkpoint(request: Request) -> Response:
        nonlocal said
        data = await _body(request)
        if data is None:
            return Response(status_code=413)
        try:
            asked = decode(AddCheckpoint, data)
        except EvidenceDamaged:
            return Response(status_code=400)
        async with signing:
            answer = await asyncio.to_thread(cosigner.add, asked)
        problem = answer if isinstance(answer, Refusal) and _STATUS[answer] == UNAVAILABLE else None
        if problem is not None and problem is not said:
            log.warning("the witness cannot sign: %s", problem.value)
        if problem is not None or not isinstance(answer, Refusal):
            said = problem
        if isinstance(answer, Refusal):
            return Response(status_code=_STATUS[answer])
        if isinstance(answer, Conflict):
            return Response(encode(answer), 409, headers={"Content-Type": SIZE_TYPE})
        return Response(encode(answer), media_type="text/plain")

    return Starlette(
        routes=[Route("/add-checkpoint", add_checkpoint, methods=["POST"])],
        exception_handlers={HTTPException: _bare, ClientDisconnect: _gone, Exception: _crashed},
    )


async def _body(request: Request) -> bytes | None:
    """The body, or None when it is too large, whatever its length header says."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MESSAGE_LIMIT:
            return None
    return bytes(data)


def _bare(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Response(status_code=error.status_code, headers=error.headers)


def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=400)


def _crashed(_: Request, __: Exception) -> Response:
    return Response(status_code=500)


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the witness's address. Raises `SetupError`."""
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        # asyncio sets it only on sockets made with the protocol's number; without it an answer waits 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise SetupError(
            f"The witness cannot listen on {host}:{port}: {error.strerror}.",
            remedy="Give another `witness.listen` in the plan, or stop what listens there.",
        ) from error


async def serve(app: Any, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve the ASGI `app` on `listener` until cancelled; then finish what is under way and close it."""
    config = uvicorn.Config(
        app, http=HastyProtocol, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
        date_header=False, limit_concurrency=CALLERS, timeout_graceful_shutdown=GRACE,
        h11_max_incomplete_event_size=HEAD_LIMIT, proxy_headers=False,
    )  # fmt: skip
    await serve_until_cancelled(config, listener, on_ready, "witness")
