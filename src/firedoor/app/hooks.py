"""Where other systems of the plan tell a region of cases: ``POST /hooks/NAME``, signed, and nothing else.

Whoever is not known, may not tell anything, or did not sign, gets the same answer.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from firedoor.api.hasty import HastyProtocol
from firedoor.api.server import GRACE, serve_until_cancelled
from firedoor.app.hooksecrets import read_secrets
from firedoor.control.hooks import Taken
from firedoor.core.incident.incoming import BODY_LIMIT, Incoming, decode
from firedoor.core.incident.webhook import verify
from firedoor.core.plan.response import OtherSystem
from firedoor.errors import ActRefused, FiredoorError, KeyUnusable, SetupError

log = logging.getLogger("firedoor.hooks")

CALLERS: Final = 32
"""Connections at a time: a few systems with a few workers each. With `BODY_LIMIT` that is 2 MB of bodies."""
HEAD_LIMIT: Final = 16 * 1024
"""Bytes of a request's head: tools of this kind send under 2 kB."""

_NOBODY: Final = (bytes(32),)
"""Whoever is not known is looked at as long as somebody who is; nothing verifies under it that is then let in."""
_STATUS: Final = {
    "not_signed": 401,
    "too_old": 401,
    "unknown_case": 404,
    "case_closed": 409,
    "case_merged": 409,
    "body_too_large": 413,
    "too_many_cases": 429,
    "too_many_entries": 429,
}
"""HTTP status by code; any other refusal is 400."""


class Desk(Protocol):
    """Who takes what was told: `firedoor.control.hooks.HookDesk`."""

    @property
    def now(self) -> float:
        """Unix seconds."""
        ...

    async def take(self, system: str, message: Incoming) -> Taken:
        """Take what `system` says. Raises `ActRefused`, `FiredoorError`, OSError."""
        ...


async def serve_hooks(
    listen: str, desk: Desk, systems: Mapping[str, OtherSystem], plan_folder: Path, on_ready: Callable[[], None]
) -> None:
    """Serve on `listen` (``host:port`` of the plan) until cancelled. Raises `SetupError` if it cannot listen."""
    host, _, port = listen.rpartition(":")
    await serve(build(desk, systems, plan_folder), bind(host, int(port)), on_ready)


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address. Raises `SetupError`."""
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise SetupError(
            f"Hooks cannot listen on {host}:{port}: {error.strerror}.",
            remedy="Give another `hooks.listen` in the plan, or stop what listens there.",
        ) from error
    # asyncio sets it only on sockets made with the protocol's number; without it an answer waits 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


async def serve(app: Any, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve the ASGI `app` on `listener` until cancelled; then finish what is under way and close it."""
    config = uvicorn.Config(
        app, http=HastyProtocol, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
        date_header=False, limit_concurrency=CALLERS, timeout_graceful_shutdown=GRACE,
        h11_max_incomplete_event_size=HEAD_LIMIT, proxy_headers=False,
    )  # fmt: skip
    await serve_until_cancelled(config, listener, on_ready, "hooks")


def build(desk: Desk, systems: Mapping[str, OtherSystem], plan_folder: Path) -> Starlette:
    """The application. `systems` are those of the plan."""
    said: dict[str, str] = {}

    async def hook(request: Request) -> Response:
        name = request.path_params["name"]
        try:
            body = await _body(request)
            await _verify(request, body, name)
            taken = await desk.take(name, decode(body))
        except ActRefused as error:
            _say(name, error.code)
            raise
        said.pop(name, None)
        return _json(taken._asdict(), 201 if taken.new else 200)

    async def _verify(request: Request, body: bytes, name: str) -> None:
        """Raises `ActRefused` with ``not_signed`` or ``too_old``."""
        known = name in systems and systems[name].opens
        secrets = await _secrets(name) if known else _NOBODY
        id_, at, signature = (_header(request, f"webhook-{part}") for part in ("id", "timestamp", "signature"))
        found = verify(secrets, id_, at, signature, body, desk.now)
        if not known or secrets is _NOBODY or found == "bad":
            raise ActRefused(
                "not_signed",
                "The signature is not one of a system that may tell anything here.",
                remedy="See docs/incident-systems.md.",
            )
        if found == "old":
            raise ActRefused(
                "too_old", "The timestamp is more than five minutes off.", remedy="Look at the system's clock."
            )

    async def _secrets(name: str) -> tuple[bytes, ...]:
        try:
            return await read_secrets(systems, name, plan_folder)
        except KeyUnusable as error:
            log.error("hooks of %s are refused: %s", name, error.message)
            return _NOBODY

    def _say(name: str, code: str) -> None:
        """Log a refusal, if it is a new one of a system of the plan; others name what they like."""
        if name in systems and said.get(name) != code:
            said[name] = code
            log.warning("a hook of %s is refused: %s", name, code)

    return Starlette(
        routes=[Route("/hooks/{name}", hook, methods=["POST"])],
        exception_handlers={
            ActRefused: _refused,
            FiredoorError: _unavailable,
            OSError: _unavailable,
            HTTPException: _http,
            ClientDisconnect: _gone,
            Exception: _crashed,
        },
    )


async def _body(request: Request) -> bytes:
    """The body, within its limit whatever its length header says. Raises `ActRefused`."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > BODY_LIMIT:
            raise ActRefused("body_too_large", f"The body is larger than {BODY_LIMIT} bytes.")
    return bytes(data)


def _header(request: Request, name: str) -> str:
    """The one header `name`; empty if it is missing or there are several: then nothing verifies."""
    found = request.headers.getlist(name)
    return found[0] if len(found) == 1 else ""


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _error(status: int, code: str, message: str, remedy: str = "") -> Response:
    return _json({"error": {"code": code, "message": message, "remedy": remedy}}, status)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, ActRefused)
    return _error(_STATUS.get(error.code, 400), error.code, error.message, error.remedy)


async def _unavailable(_: Request, __: Exception) -> Response:
    return _error(503, "unavailable", "The region cannot keep it now.", "Send it again.")


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "no_such_path", 405: "wrong_method"}.get(error.status_code, "bad_request")
    return _error(error.status_code, code, error.detail, "See docs/incident-systems.md.")


async def _gone(_: Request, __: Exception) -> Response:
    return _error(400, "bad_body", "The caller went away before the body was whole.")


async def _crashed(_: Request, __: Exception) -> Response:
    return _error(500, "internal", "Firedoor failed; its log says where.", "Send it again.")
