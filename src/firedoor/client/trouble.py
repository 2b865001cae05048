"""What can go wrong between a shop's server and the gateway, and where an answer came from."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Coroutine, Mapping
from typing import Any, Literal, TypeVar

from firedoor.core.fallback import FallbackAnswer
from firedoor.errors import CallerError, SetupError

T = TypeVar("T")

CALLERS_FAULT = frozenset({400, 401, 404, 405, 411, 413, 415, 422})
"""Statuses that say the shop's own code or credential is wrong: these are raised, so that somebody sees them."""
OUTCOMES = frozenset({"answered", "minimised", "fallback", "refused", "cut"})
MAX_HEADER = 256
"""Characters of one Firedoor header; ids and country codes are far shorter."""


@dataclasses.dataclass(frozen=True)
class FiredoorInfo:
    """Where an answer came from.

    `outcome` is the gateway's word for the exchange (``answered``, ``minimised``, ``fallback``, ``refused``, ``cut``);
    `source` is ``local`` when the words were made here, and `reason` then says why: ``unreachable``, ``timeout``,
    ``http_503``, ``garbage``, ``broken``, ``cut_short``, ``too_large``, ``unsendable``, ``not_a_gateway``,
    ``breaker``, ``closed``.
    """

    outcome: str
    exchange: str | None
    source: Literal["gateway", "local"]
    reason: str | None = None


class Trouble(Exception):
    """The gateway gave no usable answer. Never leaves the client.

    `alive`: the gateway is there and answered on purpose, so the breaker does not count it. `exchange` is the id it
    gave, if it gave one.
    """

    def __init__(self, reason: str, *, alive: bool = False, exchange: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.alive = alive
        self.exchange = exchange


def load_openai() -> Any:
    """The `openai` package. Raises `SetupError` when it is not installed."""
    try:
        import openai  # noqa: PLC0415 -- an optional extra that takes most of a second to load
    except ImportError:
        raise SetupError(
            "The package `openai` is not installed.", remedy="Install it with: pip install 'firedoor[client]'"
        ) from None
    return openai


def request_headers(subject: str | None, session: str | None, jurisdiction: str | None) -> dict[str, str]:
    """The optional headers of a request. Raises `CallerError` for a value that cannot be a header."""
    given = {"Firedoor-Subject": subject, "Firedoor-Session": session, "Firedoor-Jurisdiction": jurisdiction}
    headers = {name: value for name, value in given.items() if value is not None}
    for name, value in headers.items():
        if not 0 < len(value) <= MAX_HEADER or not value.isascii() or not value.isprintable():
            raise CallerError(400, "bad_header", f"{name} must be 1 to {MAX_HEADER} printable ASCII characters.")
    return headers


def answered_by(headers: Mapping[str, str]) -> FiredoorInfo:
    """What a gateway's response headers say. Raises `Trouble` when they are not a gateway's."""
    outcome = headers.get("firedoor-outcome", "")
    if outcome not in OUTCOMES:
        raise Trouble("not_a_gateway")
    return FiredoorInfo(outcome, _exchange(headers), "gateway")


def local_info(given: FallbackAnswer, reason: str, exchange: str | None = None) -> FiredoorInfo:
    """What is said of an answer made here."""
    return FiredoorInfo("refused" if given.refused else "fallback", exchange, "local", reason)


def trouble_of(problem: Exception) -> Trouble:
    """The trouble behind an exception of a call. Raises it again when it is the caller's own fault."""
    openai = load_openai()
    if isinstance(problem, Trouble):
        return problem
    if isinstance(problem, TypeError):
        raise problem  # the request holds what cannot be written as JSON
    if isinstance(problem, openai.APIStatusError):
        status = problem.status_code
        if status in CALLERS_FAULT:
            raise problem
        headers = problem.response.headers
        alive = status == 403 or "firedoor-outcome" in headers
        return Trouble(f"http_{status}", alive=alive, exchange=_exchange(headers))
    if isinstance(problem, openai.APITimeoutError):
        return Trouble("timeout")
    if isinstance(problem, openai.APIConnectionError):
        # A shopper can type what has no UTF-8 form; that says nothing about the gateway.
        unsendable = isinstance(problem.__cause__, UnicodeEncodeError)
        return Trouble("unsendable", alive=True) if unsendable else Trouble("unreachable")
    if isinstance(problem, UnicodeEncodeError):
        return Trouble("unsendable", alive=True)
    return Trouble("broken")


def _exchange(headers: Mapping[str, str]) -> str | None:
    exchange = headers.get("firedoor-exchange")
    return exchange[:MAX_HEADER] if exchange else None


async def within(work: Coroutine[Any, Any, T], seconds: float, dropped: set[asyncio.Task[Any]]) -> T:
    """The result of `work`, or `Trouble` after `seconds`, even when `work` is slow to clean up after itself.

    What is given up finishes on its own in `dropped`; its result is for nobody.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=max(0.0, seconds))
    finally:
        if not task.done():
            dropped.add(task)
            task.add_done_callback(lambda late: _forget(late, dropped))
            task.cancel()
    if not task.done():
        raise Trouble("timeout")
    return task.result()


def _forget(task: asyncio.Task[Any], dropped: set[asyncio.Task[Any]]) -> None:
    dropped.discard(task)
    if not task.cancelled():
        task.exception()  # looked at, so that nothing is logged about it
