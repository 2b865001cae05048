"""The control task of a region: take up the switches, then look at the journals and beat until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from firedoor.control.switchboard import Switchboard


async def serve_control(
    board: Switchboard,
    nudged: asyncio.Event,
    on_ready: Callable[[], None],
    *,
    beat: float,
    after_beat: Callable[[], None] = lambda: None,
) -> None:
    """Run `board` until cancelled, with a beat every `beat` seconds and after each nudge.

    `on_ready` is called once its table is said, `after_beat` then and after every beat. An error ends it: a switchboard
    that cannot read a journal or say its table must not go on beating.
    """
    await board.begin()
    after_beat()
    on_ready()
    try:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(beat):
                    await nudged.wait()
            nudged.clear()
            board.beat()
            after_beat()
    finally:
        await board.aclose()
