"""The long-running processes: `up` for all of them on one machine, `gateway`, `control` and `agent` each by itself.

Each loads only its own part of the program: a gateway worker needs no database layer.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import uvloop

from firedoor.app.prepare import prepare_files, prepare_region
from firedoor.app.signals import on_stop
from firedoor.config import Home, RegionHome
from firedoor.core.evidence.leaf import check_name
from firedoor.core.plan.model import Loaded
from firedoor.errors import SetupError
from firedoor.store.planfile import load
from firedoor.upstream.embedded import keep_memory_private

if TYPE_CHECKING:
    from firedoor.app.up import Installation

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="folder of the installation [$FIREDOOR_HOME, .firedoor]")
]
PlanOption = Annotated[Path | None, typer.Option("--plan", help="the emergency plan [HOME/plan.yaml]")]
RegionOption = Annotated[str, typer.Option("--region", help="the region this process belongs to")]
LifelineOption = Annotated[bool, typer.Option("--lifeline", hidden=True)]
ORPHAN_SECONDS = 10
"""Seconds a process may take to end when its parent is gone; a hung one must not keep its port and journal slot."""


def up(home: HomeOption = None, plan: PlanOption = None) -> None:
    """Run the whole plan on this machine: models, control and gateways of every region. Ctrl-C ends it."""
    from firedoor.app.up import Installation  # noqa: PLC0415

    place = Home.find(home)
    path = plan or place.plan
    keep_memory_private()
    asyncio.run(_up(Installation(place, load(path), path, typer.echo)))


def gateway(
    region: RegionOption,
    home: HomeOption = None,
    plan: PlanOption = None,
    slot: Annotated[str, typer.Option("--slot", help="journal slot of this worker")] = "worker-0",
    lifeline: LifelineOption = False,
    keys_from: Annotated[int | None, typer.Option("--keys-from", hidden=True)] = None,
) -> None:
    """Run one gateway worker of one region. It makes no keys: without them it gives fallbacks until there are some."""
    from firedoor.app.gateway import serve_gateway  # noqa: PLC0415

    try:
        check_name("slot", slot)
    except ValueError as error:
        raise typer.BadParameter(f"{error}.") from error
    place, path, loaded = _region(home, plan, region, prepare_files)
    _run(serve_gateway(place.region(region), loaded, slot, path.parent.absolute(), keys_from), lifeline=lifeline)


def control(
    region: RegionOption, home: HomeOption = None, plan: PlanOption = None, lifeline: LifelineOption = False
) -> None:
    """Run the control process of one region: switch table, control API."""
    from firedoor.app.control import serve_control  # noqa: PLC0415

    place, path, loaded = _region(home, plan, region)
    _run(serve_control(place.region(region), loaded, path.parent.absolute()), lifeline=lifeline)


def agent(
    region: RegionOption, home: HomeOption = None, plan: PlanOption = None, lifeline: LifelineOption = False
) -> None:
    """Run the agent of one region's host: tree and checkpoints of the evidence, witness, index, retention."""
    from firedoor.app.agent import serve_agent  # noqa: PLC0415

    place, path, loaded = _region(home, plan, region)
    _run(serve_agent(place, loaded, region, path.parent.absolute()), lifeline=lifeline)


def _region(
    home: Path | None,
    plan: Path | None,
    region: str,
    prepare: Callable[[RegionHome, Loaded, Path], None] = prepare_region,
) -> tuple[Home, Path, Loaded]:
    place = Home.find(home)
    path = plan or place.plan
    loaded = load(path)
    if region not in loaded.plan.regions:
        raise SetupError(f"The plan has no region {region}.", remedy=f"It has: {', '.join(loaded.plan.regions)}.")
    prepare(place.region(region), loaded, path.parent)
    return place, path, loaded


def _run(main: Coroutine[Any, Any, None], *, lifeline: bool) -> None:
    keep_memory_private()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    if lifeline:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at the terminal is the parent's to handle
        threading.Thread(target=_end_with_parent, name="lifeline", daemon=True).start()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def _end_with_parent() -> None:
    # Not through sys.stdin: its lock, held by this thread, would be fatal when the interpreter ends.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHAN_SECONDS)
    os._exit(1)


async def _up(installation: Installation) -> None:
    ended = asyncio.Event()
    on_stop(ended.set)
    starting, ending = asyncio.create_task(installation.start()), asyncio.create_task(ended.wait())
    await asyncio.wait([starting, ending], return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        starting.result()
        but = ", but NOT ALL OF IT: see above" if installation.troubles else ""
        typer.echo(f"Firedoor is up{but}. Ctrl-C ends it.")
        await ending
    else:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    typer.echo("Ending …")
    await installation.stop()
