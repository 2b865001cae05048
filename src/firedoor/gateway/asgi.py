"""The data plane's routes, as a raw ASGI application: the request head is judged before any of the body is read."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from firedoor.core.evidence.record import Record
from firedoor.core.exchange.call import Call
from firedoor.core.exchange.shapes import JSON, error_body
from firedoor.core.residency import MAX_HEADER, Admitted, Grant, Head, Residency
from firedoor.core.switches import Lease, Scope
from firedoor.errors import CallerError
from firedoor.gateway.caller import Receive, Send, too_large
from firedoor.gateway.driver import Driver
from firedoor.gateway.service import Service

ROUTES: dict[str, Literal["chat", "embeddings"]] = {
    "/v1/chat/completions": "chat",
    "/v1/embeddings": "embeddings",
}
PROMETHEUS = ("content-type", "text/plain; version=0.0.4")
REFUSED_EVERY = 1.0
"""Seconds between two records of calls that never became an exchange; each counts all since the one before."""

_HEADERS = {
    b"authorization": "authorization",
    b"firedoor-jurisdiction": "jurisdiction",
    b"firedoor-subject": "subject",
    b"firedoor-session": "session",
    b"firedoor-role": "role",
    b"firedoor-client-address": "address",
}


class Gateway:
    """The ASGI application of one gateway worker."""

    def __init__(self, service: Service, residency: Residency, find_credential: Callable[[str], Grant | None]) -> None:
        self._service = service
        self._residency = residency
        self._find = find_credential
        self._refusals = _Refusals(service)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one HTTP request. Other ASGI scopes are refused by the server's configuration."""
        path, method = scope["path"], scope["method"]
        try:
            route = ROUTES.get(path)
            if route is not None:
                _only(method, "POST")
                await self._exchange(route, scope, receive, send)
            elif path == "/v1/models":
                _only(method, "GET")
                await _json(send, self._models(_head(scope)))
            elif path == "/healthz":
                _only(method, "GET")
                await _json(send, self._health())
            elif path == "/metrics":
                _only(method, "GET")
                service = self._service
                now = asyncio.get_running_loop().time()
                text = service.metrics.render(len(service.running), service.sessions.counts, service.breakers(), now)
                await _reply(send, 200, (PROMETHEUS,), text)
            else:
                raise CallerError(404, "not_found", "There is nothing at this path.")
        except CallerError as error:
            self._refusals.record(error)
            await _reply(send, error.status, (JSON, *error.headers), error_body(error))

    def close(self) -> None:
        """Tell the evidence what has not been told yet. Call before the journal is closed."""
        self._refusals.tell()

    async def _exchange(
        self, route: Literal["chat", "embeddings"], scope: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        service = self._service
        head = _head(scope)
        admitted = self._residency.admit(head, self._find)
        grant = admitted.grant
        surface = service.serving(route).get((grant.shop, grant.surface))
        if surface is None:
            raise CallerError(404, "not_served", f"This surface does not offer {route} in this region.")
        length = _content_length(scope)
        limit = surface.terms.limits.body_bytes
        if length is not None and length > limit:
            raise too_large(limit)
        call = self._call(route, head, admitted, surface.terms.model_id)
        driver = Driver(service, surface, call, receive, send)
        service.running.add(driver)
        try:
            await driver.run()
        finally:
            service.running.discard(driver)

    def _call(self, route: Literal["chat", "embeddings"], head: Head, admitted: Admitted, model: str) -> Call:
        grant, service = admitted.grant, self._service
        began = time.time()
        return Call(
            exchange=f"fx-{int(began * 1000):011x}-{secrets.token_hex(8)}",
            route=route,
            scope=Scope(service.region, grant.shop, grant.surface, model),
            credential=grant.id,
            plan=service.plan_digest,
            began=int(began),
            jurisdiction=admitted.jurisdiction,
            role=grant.role,
            granted=admitted.granted,
            subject=service.pseudonym("subject", head.subject) if head.subject else None,
            session=service.pseudonym("session", head.session) if head.session else None,
            address=service.pseudonym("address", admitted.network) if admitted.network else None,
        )

    def _models(self, head: Head) -> dict[str, Any]:
        grant = self._residency.admit(head, self._find).grant
        found = [table.get((grant.shop, grant.surface)) for table in (self._service.surfaces, self._service.embeddings)]
        names = sorted({surface.terms.model_name for surface in found if surface is not None})
        return {
            "object": "list",
            "data": [{"id": name, "object": "model", "created": 0, "owned_by": "firedoor"} for name in names],
        }

    def _health(self) -> dict[str, Any]:
        service = self._service
        state = service.doors.standing(Scope(service.region), Lease(2.0))
        now = asyncio.get_running_loop().time()
        breakers = {f"{surface}/{model}": one.state(now) for (surface, model), one in service.breakers().items()}
        return {
            "status": "ok",
            "region": service.region,
            "switch": state.state,
            "table": state.version,
            "journal": "poisoned" if service.journal.poisoned else "ok",
            "breakers": {name: state for name, state in breakers.items() if state != "closed"},
        }


class _Refusals:
    """Evidence of calls that never became an exchange: counts by code, so that a stranger cannot fill the disk."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._codes: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def record(self, error: CallerError) -> None:
        """Count it. The first is told at once, what follows within `REFUSED_EVERY` in one record at its end."""
        self._service.metrics.count(f"refused_{error.code}")
        self._codes[error.code] = self._codes.get(error.code, 0) + 1
        if self._timer is None:
            self.tell()

    def tell(self) -> None:
        self._timer = None
        if not self._codes:
            return
        codes, self._codes = self._codes, {}
        self._timer = asyncio.get_running_loop().call_later(REFUSED_EVERY, self.tell)
        self._service.journal.note(Record(kind="refused", exchange="", at=time.time_ns(), facts={"codes": codes}))


def _head(scope: dict[str, Any]) -> Head:
    """The headers that matter. Raises `CallerError` for one given twice or too long."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = _HEADERS.get(name)
        if key is None:
            continue
        if key in found:
            raise CallerError(400, "duplicate_header", f"The header {name.decode()} is given twice.")
        if len(value) > MAX_HEADER:
            raise CallerError(400, "header_too_long", f"The header {name.decode()} is longer than {MAX_HEADER} bytes.")
        found[key] = value.decode("latin-1")
    return Head(**found)


def _content_length(scope: dict[str, Any]) -> int | None:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else None
    return None


def _only(method: str, allowed: str) -> None:
    if method != allowed:
        raise CallerError(405, "method_not_allowed", f"Use {allowed}.", headers=(("allow", allowed),))


async def _json(send: Send, document: dict[str, Any]) -> None:
    await _reply(send, 200, (JSON,), msgspec.json.encode(document))


async def _reply(send: Send, status: int, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
    raw = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in (*headers, ("content-length", str(len(body))))]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
