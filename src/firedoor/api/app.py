"""The control API of one region: a thin skin over the switchboard. Every refusal is JSON with a code and a remedy."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from firedoor.api import incidents, shapes, views
from firedoor.api.bodies import answer, read
from firedoor.api.openapi import document
from firedoor.control.hosts import Hosts
from firedoor.control.incidents import Incidents
from firedoor.control.switchboard import Done, Switchboard
from firedoor.core.people import Signed
from firedoor.core.switches import GlobalTable
from firedoor.core.switchstate import Pending
from firedoor.errors import ActRefused, FiredoorError

_STATUS = {
    "unknown_person": 403,
    "bad_signature": 403,
    "role_missing": 403,
    "same_person": 403,
    "same_key": 403,
    "unknown_request": 404,
    "not_shut": 409,
    "other_shut": 409,
    "no_drill": 404,
    "drills_full": 409,
    "nonce_spent": 409,
    "other_plan": 409,
    "may_not_see": 403,
    "restricted": 403,
    "unknown_case": 404,
    "no_clock": 404,
    "no_entry": 404,
    "no_task": 404,
    **dict.fromkeys(
        (
            "case_begun", "case_closed", "case_merged", "case_moved", "clock_running", "clocks_elsewhere",
            "done_before", "drill", "fixed_entry", "no_findings", "no_link", "not_ended", "not_halted", "not_sealed",
            "nothing_left", "other_audience", "other_seal", "same_case", "task_ended",
        ),
        409,
    ),
    "shut_file_present": 409,
    "expired": 410,
    "body_too_large": 413,
    "too_many_requests": 429,
}  # fmt: skip
"""HTTP status of a refused act by its code; any other code is 400."""

_Handler = Callable[[Request], Awaitable[Response]]


def build(
    board: Switchboard,
    heard: Hosts | None = None,
    everywhere: Callable[[], GlobalTable | None] = lambda: None,
    cases: Incidents | None = None,
) -> Starlette:
    """The application. It trusts the socket to let in nobody but this user, and every act to its signatures.

    `heard` are the hosts of a region that has several, `everywhere` gives the switches of all regions, `cases` are the
    region's.
    """

    async def switches(_: Request) -> Response:
        return answer(views.switches(board, everywhere()))

    async def hosts(_: Request) -> Response:
        return answer(views.hosts(board, heard))

    async def health(_: Request) -> Response:
        state = views.health(board)
        return answer(state, 200 if state.status == "ok" else 503)

    async def openapi(_: Request) -> Response:
        return answer(document())

    async def requests(_: Request) -> Response:
        return answer(shapes.Requests(tuple(_request(p, note) for p, note in board.requests())))

    async def shut(request: Request) -> Response:
        asked = await read(request, shapes.Asked)
        return answer(_done(await board.shut(Signed(asked.act, (asked.signature,)), asked.note)))

    async def open_(request: Request) -> Response:
        asked = await read(request, shapes.Asked)
        pending = await board.propose(Signed(asked.act, (asked.signature,)), asked.note or "")
        return answer(_request(pending, asked.note), 202)

    async def end_drill(request: Request) -> Response:
        asked = await read(request, shapes.Asked)
        return answer(_done(await board.end_drill(Signed(asked.act, (asked.signature,)), asked.note)))

    async def approve(request: Request) -> Response:
        approval = await read(request, shapes.Approval)
        return answer(_done(await board.approve(request.path_params["id"], approval.signature)))

    def route(path: str, handler: _Handler, method: str) -> Route:
        return Route(f"/control/v1/{path}", handler, methods=[method])

    return Starlette(
        routes=[
            route("switches", switches, "GET"),
            route("switches/shut", shut, "POST"),
            route("switches/open", open_, "POST"),
            route("switches/end_drill", end_drill, "POST"),
            route("hosts", hosts, "GET"),
            route("requests", requests, "GET"),
            route("requests/{id}/approve", approve, "POST"),
            route("health", health, "GET"),
            route("openapi.json", openapi, "GET"),
            *incidents.routes(board, cases),
        ],
        exception_handlers={
            ActRefused: _refused,
            FiredoorError: _failed,
            OSError: _no_disk,
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
        entry.state, str(entry.scope), entry.version, entry.by, done.changed, done.durable, done.recorded,
        entry.drill,
    )  # fmt: skip


def _error(status: int, code: str, message: str, remedy: str = "") -> Response:
    return answer({"error": {"code": code, "message": message, "remedy": remedy}}, status)


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, ActRefused)
    return _error(_STATUS.get(error.code, 400), error.code, error.message, error.remedy)


def _failed(_: Request, error: Exception) -> Response:
    assert isinstance(error, FiredoorError)
    return _error(503, "unavailable", error.message, error.remedy)


def _no_disk(_: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    return _error(503, "unavailable", "The disk or the database refuses.", "Look at it, and try again.")


def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "no_such_path", 405: "wrong_method"}.get(error.status_code, "bad_request")
    return _error(error.status_code, code, error.detail, "See /control/v1/openapi.json.")


def _gone(_: Request, __: Exception) -> Response:
    return _error(400, "bad_body", "The caller went away before the body was whole.")


def _crashed(_: Request, __: Exception) -> Response:
    return _error(500, "internal", "Firedoor failed; its log says where.", "Look at `firedoor switches`.")
