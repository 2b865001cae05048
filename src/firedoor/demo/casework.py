"""The case that the leak left behind, as two people find it: contained, sealed, clocked, and who is affected."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from firedoor.demo.screen import Screen

Command = Callable[..., Awaitable[tuple[int, str]]]

PATIENCE: Final = 20
"""Looks at the case, a quarter of a second apart: the first minute takes well under one."""
ARTICLE_33: Final = "eu.gdpr.33.1"
HOURS_72: Final = 72 * 3600 * 1_000_000
STEPS: Final = 5
"""Of the first minute."""


class Truth(Struct, frozen=True):
    """What the audience knows, because it was there: exchanges that reached the leaking instance, distinct shoppers."""

    confirmed: int
    exposed: int
    exposed_subjects: int


class Seen(Struct, frozen=True):
    """What the case says. `steps` are those of the first minute that are over; `running` are microseconds."""

    steps: tuple[str, ...]
    counted: Truth
    exact: bool
    took_ms: float
    running: int | None


class CaseWork:
    """Asks for the case as people do, with commands."""

    def __init__(self, screen: Screen, command: Command) -> None:
        self._screen = screen
        self._command = command

    async def visit(self) -> Seen:
        """Look at the case; then the data-protection officer signs since when the shop is aware of it."""
        case = await self._first_minute()
        await self._command("incident", "list")
        name = case["id"]
        because = "demonstration: until it is known that nobody's data went out with it, the clock runs"
        await self._command("incident", "ack", name, "--as", "ana")
        _, said = await self._command(
            "incident", "aware", name, "--because", because, "--as", "ben", "--json", show=False
        )
        clocks = {clock["id"]: clock for clock in msgspec.json.decode(said).get("clocks", ())}
        clock = clocks.get(ARTICLE_33, {})
        await self._command("incident", "show", name)
        return self._seen(case, clock)

    async def _first_minute(self) -> dict[str, Any]:
        """The newest case, once it is counted after it was contained."""
        case: dict[str, Any] = {}
        for _ in range(PATIENCE):
            _, said = await self._command("incident", "show", "last", "--region", "eu", "--json", show=False)
            case = _decoded(said)
            counted = (case.get("details") or {}).get("counted")
            if counted is not None and counted["asked"]["until"] is not None:
                break
            await asyncio.sleep(0.25)
        return case

    def _seen(self, case: dict[str, Any], clock: dict[str, Any]) -> Seen:
        details = case["details"]
        steps = ("contained", "sealed", "purged", "counted")
        over = tuple(step for step in steps if details[step] is not None)
        if details["clocks_set_at"] is not None:
            over += ("clocks",)
        counted = details["counted"]
        figures = [counted[name] for name in ("confirmed", "exposed", "exposed_subjects")]
        last = max(details[f"{step}_at"] for step in over if step != "clocks")
        due, start = clock.get("due"), clock.get("start_at")
        return Seen(
            over,
            Truth(*(figure["least"] for figure in figures)),
            all(figure["least"] == figure["most"] for figure in figures),
            (last - details["opened"]["detected"]) / 1000,
            due - start if due is not None and start is not None and clock.get("state") == "running" else None,
        )


def _decoded(said: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.json.decode(said)
    except msgspec.DecodeError:
        return {}
    return found
