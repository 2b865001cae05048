"""The control API of one region: a thin skin over the switchboard. Every refusal is JSON with a code and a remedy."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from firedoor.api import shapes
from firedoor.api.openapi import document
from firedoor.control.switchboard import Done, Switchboard
from firedoor.core.people import Signed
from firedoor.core.switchstate import Pending
from firedoor.errors import ActRefused, FiredoorError

BODY_LIMIT = 16 * 1024
"""Bytes of a request body: an act with a signature and a note of 500 characters is under 5 kB."""

_STATUS = {
    "unknown_person": 403,
    "bad_signature": 403,
    "role_missing": 403,
    "same_person": 403,
    "same_key": 403,
    "unknown_request": 404,
    "not_shut": 409,
    "nonce_spent": 409,
    "other_plan": 409,
    "shut_file_present": 409,
    "expired": 410,
    "body_too_large": 413,
    "too_many_requests": 429,
}
"""HTTP status of a refused act by its code; any other code is 400."""

_Body = TypeVar("_Body", bound=Struct)
_Handler = Callable[[Request], Awaitable[Response]]


def build(board: Switchboard) -> Starlette:
    """The application. It trusts the socket to let in nobody but this user, and every act to its signatures."""

    async def switches(_: Request) -> Response:
        return _json(shapes.switches(board))

    async def health(_: Request) -> Response:
        state = shapes.health(board)
        return _json(state, 200 if state.status == "ok" else 503)

    async def openapi(_: Request) -> Response:
        return _json(document())

    async def requests(_: Request) -> Response:
        return _json(shapes.Requests(tuple(_request(p, note) for p, note in board.requests())))

    async def shut(request: Request) -> Response:
        asked = await _read(request, shapes.Asked)
        return _json(_done(await board.shut(Signed(asked.act, (asked.signature,)), asked.note)))

    async def open_(request: Request) -> Response:
        asked = await _read(request, shapes.Asked)
        pending = await board.propose(Signed(asked.act, (asked.signature,)), asked.note or "")
        return _json(_request(pending, asked.note), 202)

    async def approve(request: Request) -> Response:
        approval = await _read(request, shapes.Approval)
        return _json(_done(await board.approve(request.path_params["id"], approval.signature)))

    def route(path: str, handler: _Handler, method: str) -> Route:
        return Route(f"/control/v1/{path}", handler, methods=[method])

    return Starlette(
        routes=[
            route("switches", switches, "GET"),
            route("switches/shut", shut, "POST"),
            route("switches/open", open_, "POST"),
            route("requests", requests, "GET"),
            route("requests/{id}/approve", approve, "POST"),
            route("health", health, "GET"),
            route("openapi.json", openapi, "GET"),
        ],
        exception_handlers={
            ActRefused: _refused,
            FiredoorError: _failed,
            HTTPException: _http,
            ClientDisconnect: _gone,
            Exception: _crashed,
        },
    )


def _request(pending: Pending, note: str | None) -> shapes.WaitingRequest:
    act = pending.signed.act
    content = base64.b64encode(act.content).decode()
    return shapes.WaitingRequest(
        pending.id, act, act.digest, content, tuple(s.by for s in pending.signed.signatures), act.expires_at, note
    )


def _done(done: Done) -> shapes.Result:
    entry = done.entry
    return shapes.Result(
        entry.state, str(entry.scope), entry.version, entry.by, done.changed, done.durable, done.recorded
    )


async def _read(request: Request, shape: type[_Body]) -> _Body:
    """The body, decoded strictly, within the limit whatever its length header says. Raises `ActRefused`."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > BODY_LIMIT:
            raise ActRefused("body_too_large", f"The body is larger than {BODY_LIMIT} bytes.")
    try:
        return msgspec.json.decode(bytes(data), type=shape)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        reason = str(error) if isinstance(error, msgspec.ValidationError) else "it is not JSON"
        raise ActRefused(
            "bad_body", f"The body is not as it must be: {reason}.", remedy="See /control/v1/openapi.json."
        ) from None


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _error(status: int, code: str, message: str, remedy: str = "") -> Response:
    return _json({"error": {"code": code, "message": message, "remedy": remedy}}, status)


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, ActRefused)
    return _error(_STATUS.get(error.code, 400), error.code, error.message, error.remedy)


def _failed(_: Request, error: Exception) -> Response:
    assert isinstance(error, FiredoorError)
    return _error(503, "unavailable", error.message, error.remedy)


def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "no_such_path", 405: "wrong_method"}.get(error.status_code, "bad_request")
    return _error(error.status_code, code, error.detail, "See /control/v1/openapi.json.")


def _gone(_: Request, __: Exception) -> Response:
    return _error(400, "bad_body", "The caller went away before the body was whole.")


def _crashed(_: Request, __: Exception) -> Response:
    return _error(500, "internal", "Firedoor failed; its log says where.", "Look at `firedoor switches`.")
