"""The control task of a region: take up the switches, then look at the journals and beat until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from firedoor.control.switchboard import Switchboard

BEAT = 0.25
"""Seconds between beats: eight of them fit into the shortest lease a surface has unless its plan says more."""


async def serve_control(board: Switchboard, nudged: asyncio.Event, on_ready: Callable[[], None]) -> None:
    """Run `board` until cancelled; `on_ready` is called once its table shows.

    An error ends it: a switchboard that cannot read a journal or write the page must not go on beating.
    """
    await board.begin()
    on_ready()
    try:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT):
                    await nudged.wait()
            nudged.clear()
            board.beat()
    finally:
        await board.aclose()
