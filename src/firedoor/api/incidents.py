"""The control API's part about cases: reading them, now and as they were known then, and writing signed entries."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from firedoor.api import incident_shapes as shapes
from firedoor.api.bodies import BODY_LIMIT, answer, read
from firedoor.control.incident_looks import Looks
from firedoor.control.incidents import Incidents
from firedoor.control.switchboard import Switchboard
from firedoor.core.incident import severity
from firedoor.core.incident.case import Case, State
from firedoor.core.incident.clocks import Clock
from firedoor.core.incident.entries import MICRO, PAYLOAD_LIMIT, Entry, encode_entry
from firedoor.core.incident.rounds import needs_seal
from firedoor.core.incident.severity_advice import advice
from firedoor.core.incident.severity_suggest import suggest
from firedoor.core.people import Signed
from firedoor.core.switches import INCIDENT, Scope
from firedoor.errors import ActRefused, FiredoorError, StateUnavailable
from firedoor.ports.incidents import StoredCase

WRITE_LIMIT = PAYLOAD_LIMIT + BODY_LIMIT
"""Bytes of an entry handed in: what it says, and the act that signs it."""

ACT_HEADER = "firedoor-act"
"""Shows who asks to see a restricted case: base64 of the JSON of a `Signed` act `see_incident`."""
ACT_LIMIT = 4096
"""Characters of that header: an act with one signature has under 1,500."""

LIST_LIMIT, LIST_USUAL = 200, 50
"""Cases in one answer at most, and unless asked. Each is folded and its clocks counted while the table waits."""
LOOKED = 1000
"""Cases looked at for one answer, from the newest on: an ended one is read from the store."""
PAGE_LIMIT = 200
"""Entries in one answer."""
PAGE_BYTES = 512 * 1024
"""Bytes of entries in one answer, beside the first: a client reads a mebibyte."""

ALIVE = ("open", "ended")
ENDED = ("ended", "closed", "merged")
STATES: tuple[str, ...] = (*get_args(State), *ALIVE)
"""What may be asked of the list: a state, all that go on, all that do not."""

_Handler = Callable[[Request], Awaitable[Response]]

_NUMBER = re.compile(r"0|[1-9][0-9]{0,6}", re.ASCII)


def routes(board: Switchboard, incidents: Incidents | None) -> list[Route]:
    """The routes below ``/control/v1/incidents``. Without `incidents` all of them say that cases cannot be read."""
    api = _Api(board, incidents) if incidents is not None else _NoApi()

    def route(path: str, handler: _Handler, method: str) -> Route:
        return Route(f"/control/v1/incidents{path}", handler, methods=[method])

    return [
        route("", api.listing, "GET"),
        route("", api.open, "POST"),
        route("/unsealed", api.unsealed, "GET"),
        route("/{id}", api.case, "GET"),
        route("/{id}/entries", api.entries, "GET"),
        route("/{id}/entries", api.write, "POST"),
        route("/{id}/clocks", api.clocks, "GET"),
        route("/{id}/affected", api.affected, "GET"),
        route("/{id}/severity", api.severity, "GET"),
    ]


class _NoApi:
    """In the place of `_Api` where control could not open its cases."""

    async def unavailable(self, _: Request) -> Response:
        raise StateUnavailable("Control cannot open the cases of this region.", remedy="Its log says why.")

    listing = open = unsealed = case = entries = write = clocks = affected = severity = unavailable


class _Api:
    def __init__(self, board: Switchboard, incidents: Incidents) -> None:
        self._board = board
        self._incidents = incidents
        self._looks = Looks(board)

    # Reading

    async def listing(self, request: Request) -> Response:
        _known(request, "state", "since", "before", "named", "limit")
        wanted = _choice(request, "state", STATES)
        limit = _number(request, "limit", LIST_USUAL, most=LIST_LIMIT, least=1)
        chosen = _chosen(await self._incidents.listing(), request, wanted)
        lines: list[shapes.Line] = []
        for stored in chosen:
            case = await self._incidents.case(stored.id)
            if wanted in (None, *ALIVE, case.state):
                if len(lines) == limit:
                    return answer(shapes.Listing(self._board.region, tuple(lines), more=True))
                hidden = await self._looks.hidden(case, None)
                lines.append(shapes.line(case, self._dues(case, self._now), hidden=hidden))
            await asyncio.sleep(0)  # the next beat of the switches does not wait for a long list
        return answer(shapes.Listing(self._board.region, tuple(lines), more=False))

    async def unsealed(self, request: Request) -> Response:
        """For what deletes: where it must wait. Where a restricted case is, is not told: that is the whole region."""
        _known(request)
        waiting = [case for case in self._incidents.open_cases() if needs_seal(case)]
        everywhere = (str(Scope(self._board.region)),)
        cases = [
            shapes.UnsealedCase(case.id, everywhere if await self._looks.hidden(case, None) else case.scopes)
            for case in waiting
        ]
        return answer(shapes.Unsealed(self._board.region, tuple(cases)))

    async def case(self, request: Request) -> Response:
        _known(request, "at")
        case, at, hidden = await self._asked(request, hide=True)
        clocks = self._dues(case, at if at is not None else self._now)
        return answer(shapes.shown(self._board.region, case, clocks, at=at, hidden=hidden))

    async def entries(self, request: Request) -> Response:
        _known(request, "at", "after", "limit")
        after = _number(request, "after", 0)
        limit = _number(request, "limit", PAGE_LIMIT, most=PAGE_LIMIT, least=1)
        case, _, _ = await self._asked(request)
        page = _page(case.entries[after:], limit)
        return answer(shapes.Entries(case.id, page, after + len(page) < case.number))

    async def clocks(self, request: Request) -> Response:
        _known(request, "at")
        case, at, _ = await self._asked(request)
        at = at if at is not None else self._now
        return answer(shapes.clocks(case, self._incidents.clocks(case, at), self._board.loaded.plan, at))

    async def affected(self, request: Request) -> Response:
        _known(request, "at")
        case, _, _ = await self._asked(request)
        return answer(shapes.Affected(case.id, case.counted_at, case.counted))

    async def severity(self, request: Request) -> Response:
        _known(request, "at")
        case, _, _ = await self._asked(request)
        plan = self._board.loaded.plan
        inputs = suggest(case, plan)
        suggested = severity.score(inputs)
        scored = severity.decode(case.scored.inputs) if case.scored is not None else None
        return answer(
            shapes.Severity(
                id=case.id,
                inputs=inputs,
                suggested=suggested,
                advice=advice(suggested, inputs, plan),
                scored=severity.score(scored) if scored is not None else None,
                scored_inputs=scored,
                because=case.scored.because if case.scored is not None else None,
                decided=case.decided,
            )
        )

    # Writing

    async def open(self, request: Request) -> Response:
        asked = await read(request, shapes.Write, WRITE_LIMIT)
        return await self._write(asked, "new")

    async def write(self, request: Request) -> Response:
        asked = await read(request, shapes.Write, WRITE_LIMIT)
        return await self._write(asked, _id(request))

    async def _write(self, asked: shapes.Write, case: str) -> Response:
        if asked.act.args.get("incident") != case:
            raise ActRefused("other_case", "This act was signed for another case.", remedy="Sign one for it.")
        entry = await self._incidents.write(Signed(asked.act, (asked.signature,)), asked.payload)
        return answer(shapes.written(entry), 201)

    # Helpers

    @property
    def _now(self) -> int:
        return int(self._board.keeper.now * MICRO)

    def _dues(self, case: Case, now: int) -> Sequence[Clock] | None:
        """The clocks; None while nobody can reckon them: a case is shown all the same."""
        try:
            return self._incidents.clocks(case, now)
        except FiredoorError:
            return None

    async def _asked(self, request: Request, *, hide: bool = False) -> tuple[Case, int | None, bool]:
        """The case as it was at the moment asked for, that moment, and whether it is hidden from who asks.

        Who may see it is asked of the case as it is now. Raises `ActRefused`, also for a hidden one without `hide`.
        """
        at = _moment(request, "at")
        case = await self._incidents.case(_id(request))
        hidden = await self._looks.hidden(case, _act(request))
        if hidden and not hide:
            raise ActRefused(
                "restricted",
                f"Case {case.id} is restricted: it is shown to who signs that they look.",
                remedy="Name yourself: --as YOU.",
            )
        if at is not None:
            case = await self._incidents.case(case.id, at)
        return case, at, hidden


def _chosen(known: Sequence[StoredCase], request: Request, wanted: str | None) -> list[StoredCase]:
    """The cases that `request` may mean, the newest first."""
    since, before = _moment(request, "since"), request.query_params.get("before")
    named = request.query_params.get("named", "")
    ids = [stored.id for stored in known]
    if before is not None:
        if before not in ids:
            raise ActRefused("unknown_case", "There is no case of the name in `before`.")
        known = known[: ids.index(before)]
    return [
        stored
        for stored in reversed(known)
        if (since is None or stored.opened_at >= since)
        and named in stored.id
        and (wanted is None or stored.open == (wanted not in ENDED))
    ][:LOOKED]


def _page(entries: Sequence[Entry], limit: int) -> tuple[Entry, ...]:
    """The first of `entries` that go into one answer; always one, if there is one."""
    page: list[Entry] = []
    size = 0
    for entry in entries[:limit]:
        size += len(encode_entry(entry))
        if page and size > PAGE_BYTES:
            break
        page.append(entry)
    return tuple(page)


def _id(request: Request) -> str:
    name = str(request.path_params["id"])
    if INCIDENT.fullmatch(name) is None:
        raise ActRefused("unknown_case", "There is no such case.", remedy="See `firedoor incident list`.")
    return name


def _act(request: Request) -> Signed | None:
    text = request.headers.get(ACT_HEADER)
    if text is None:
        return None
    try:
        if len(text) > ACT_LIMIT:
            raise ValueError("too long")
        return msgspec.json.decode(base64.b64decode(text, validate=True), type=Signed)
    except (ValueError, binascii.Error, msgspec.DecodeError, RecursionError):
        raise ActRefused(
            "bad_act", f"{ACT_HEADER} is not base64 of a signed act.", remedy="Sign an act see_incident for this case."
        ) from None


# What stands behind the question mark


def _known(request: Request, *names: str) -> None:
    unknown = set(request.query_params.keys()) - set(names)
    if unknown or len(request.query_params.multi_items()) > len(request.query_params.keys()):
        raise ActRefused("bad_query", f"This takes {', '.join(names)}, each once.", remedy="See openapi.json.")


def _choice(request: Request, name: str, choices: tuple[str, ...]) -> str | None:
    text = request.query_params.get(name)
    if text is not None and text not in choices:
        raise ActRefused("bad_query", f"{name} is one of {', '.join(choices)}.")
    return text


def _number(request: Request, name: str, usual: int, *, most: int = 1_000_000, least: int = 0) -> int:
    text = request.query_params.get(name)
    if text is None:
        return usual
    if _NUMBER.fullmatch(text) is None or not least <= int(text) <= most:
        raise ActRefused("bad_query", f"{name} is a number from {least} to {most}.")
    return int(text)


def _moment(request: Request, name: str) -> int | None:
    """Unix microseconds of an RFC 3339 moment."""
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+")) if len(text) <= 40 else None
        since_1970 = None if moment is None or moment.tzinfo is None else moment - datetime.fromtimestamp(0, UTC)
    except (ValueError, OverflowError):
        since_1970 = None
    if since_1970 is None or since_1970.days < 0:
        raise ActRefused("bad_query", f"{name} is a moment with its zone: 2026-11-23T04:00:00Z.")
    return since_1970.days * 86_400 * MICRO + since_1970.seconds * MICRO + since_1970.microseconds
