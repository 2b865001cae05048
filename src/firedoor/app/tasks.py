"""Tasks that live and end together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any


@contextlib.asynccontextmanager
async def meanwhile(work: Coroutine[Any, Any, None] | None) -> AsyncIterator[None]:
    """Have `work` done meanwhile; nothing waits for it."""
    task = asyncio.create_task(work, name="meanwhile") if work is not None else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def work_while(watch: Coroutine[Any, Any, None], work: Coroutine[Any, Any, None]) -> None:
    """Do `work` while `watch` goes on; the first that fails ends both."""
    tasks = [asyncio.create_task(work, name="beats"), asyncio.create_task(watch, name="the only one")]
    try:
        await first(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def first(tasks: list[asyncio.Task[None]]) -> None:
    """Wait until one of `tasks` ends; its error, if it had one, is ours."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def wait(event: asyncio.Event) -> None:
    """Until `event` is set."""
    await event.wait()
