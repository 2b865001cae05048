"""The long-running processes: `up` for all of them on one machine, `gateway --workers` for those of a gateway host, and
`gateway`, `control`, `agent` and `switches follow` each by itself.

Each loads only its own part of the program: a gateway worker needs no database layer.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
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
from firedoor.app.signals import on_hangup, on_stop
from firedoor.config import HOST_VARIABLE, Home, RegionHome, host_name
from firedoor.core.evidence.leaf import check_name
from firedoor.core.plan.model import Loaded
from firedoor.errors import SetupError
from firedoor.store.planfile import load
from firedoor.upstream.embedded import keep_memory_private

if TYPE_CHECKING:
    from firedoor.app.host import GatewayHost
    from firedoor.app.up import Installation

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="folder of the installation [$FIREDOOR_HOME, .firedoor]")
]
PlanOption = Annotated[Path | None, typer.Option("--plan", help="the emergency plan [HOME/plan.yaml]")]
RegionOption = Annotated[str, typer.Option("--region", help="the region this process belongs to")]
HostOption = Annotated[
    str | None, typer.Option("--host", envvar=HOST_VARIABLE, help="what this host is called  [its host name]")
]
LifelineOption = Annotated[bool, typer.Option("--lifeline", hidden=True)]
KeysFromOption = Annotated[int | None, typer.Option("--keys-from", hidden=True)]
MOST_WORKERS = 64
"""Workers of a host, as many as a plan may ask for."""
LISTEN = re.compile(r"[^\s:]+:\d{1,5}", re.ASCII)
ORPHAN_SECONDS = 10
"""Seconds a process may take to end when its parent is gone; a hung one must not keep its port and journal slot."""


def up(
    home: HomeOption = None,
    plan: PlanOption = None,
    region: Annotated[str | None, typer.Option("--region", help="only this region of the plan")] = None,
    host: HostOption = None,
) -> None:
    """Run the whole plan on this machine: models, control and gateways of every region. Ctrl-C ends it."""
    from firedoor.app.up import Installation  # noqa: PLC0415

    place = Home.find(home)
    path = plan or place.plan
    loaded = load(path)
    if region is not None:
        _check_region(loaded, region)
    called = host_name(host)
    keep_memory_private()
    asyncio.run(_up(Installation(place, loaded, path, typer.echo, only=region, host=called)))


def gateway(
    region: RegionOption,
    home: HomeOption = None,
    plan: PlanOption = None,
    slot: Annotated[str | None, typer.Option("--slot", help="journal slot of one worker  [worker-0]")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, max=MOST_WORKERS, help="run a host with so many workers")
    ] = None,
    host: HostOption = None,
    listen: Annotated[str | None, typer.Option("--listen", help="host:port to bind instead of the plan's")] = None,
    lifeline: LifelineOption = False,
    keys_from: KeysFromOption = None,
) -> None:
    """Run one gateway worker of one region, or with --workers all that a gateway host runs.

    It makes no keys: without them it gives fallbacks until there are some.
    """
    if listen is not None and LISTEN.fullmatch(listen) is None:
        raise typer.BadParameter(f"--listen {listen!r} is not host:port.")
    if workers is not None:
        if slot is not None:
            raise typer.BadParameter("--workers runs several slots, --slot one: name one of them.")
        return _gateway_host(region, home, plan, workers, host, listen)
    from firedoor.app.gateway import serve_gateway  # noqa: PLC0415

    slot = slot or "worker-0"
    try:
        check_name("slot", slot)
    except ValueError as error:
        raise typer.BadParameter(f"{error}.") from error
    place, path, loaded = _region(home, plan, region, prepare_files)
    serving = serve_gateway(place.region(region), loaded, slot, path.parent.absolute(), keys_from, listen)
    return _run(serving, lifeline=lifeline)


def _gateway_host(
    region: str, home: Path | None, plan: Path | None, workers: int, host: str | None, listen: str | None
) -> None:
    from firedoor.app.host import GatewayHost  # noqa: PLC0415

    place, path, loaded = _region(home, plan, region, prepare_files)
    called = host_name(host)
    keep_memory_private()
    asyncio.run(_up(GatewayHost(place, loaded, path, region, typer.echo, workers=workers, host=called, listen=listen)))


def follow(
    region: RegionOption,
    home: HomeOption = None,
    plan: PlanOption = None,
    host: HostOption = None,
    beside_control: Annotated[bool, typer.Option("--beside-control", hidden=True)] = False,
    lifeline: LifelineOption = False,
    keys_from: KeysFromOption = None,
) -> None:
    """Run the switch agent of one region's host: it takes the switch tables from the bus and shows them to workers."""
    from firedoor.app.switchagent import serve_switches  # noqa: PLC0415

    place, path, loaded = _region(home, plan, region, prepare_files)
    serving = serve_switches(
        place, loaded, region, host_name(host), path.parent.absolute(), keys_from, beside_control=beside_control
    )
    _run(serving, lifeline=lifeline)


def control(
    region: RegionOption, home: HomeOption = None, plan: PlanOption = None, lifeline: LifelineOption = False
) -> None:
    """Run the control process of one region: switch table, control API."""
    from firedoor.app.control import serve_control  # noqa: PLC0415

    place, path, loaded = _region(home, plan, region)
    _run(serve_control(place, loaded, region, path.parent.absolute()), lifeline=lifeline)


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
    _check_region(loaded, region)
    prepare(place.region(region), loaded, path.parent)
    return place, path, loaded


def _check_region(loaded: Loaded, region: str) -> None:
    if region not in loaded.plan.regions:
        raise SetupError(f"The plan has no region {region}.", remedy=f"It has: {', '.join(loaded.plan.regions)}.")


def _run(main: Coroutine[Any, Any, None], *, lifeline: bool) -> None:
    keep_memory_private()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    if lifeline:
        for number in (signal.SIGINT, signal.SIGHUP):  # what comes from the terminal is the parent's to handle
            signal.signal(number, signal.SIG_IGN)
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


async def _up(installation: Installation | GatewayHost) -> None:
    ended, renewed = asyncio.Event(), asyncio.Event()
    on_stop(ended.set)
    on_hangup(renewed.set, ended.set)
    starting, ending = asyncio.create_task(installation.start()), asyncio.create_task(ended.wait())
    await asyncio.wait([starting, ending], return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        starting.result()
        but = ", but NOT ALL OF IT: see above" if installation.troubles else ""
        typer.echo(f"Firedoor is up{but}. Ctrl-C ends it.")
        renewing = asyncio.create_task(_renew(installation, renewed))
        await ending
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
    else:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    typer.echo("Ending …")
    await installation.stop()


async def _renew(installation: Installation | GatewayHost, asked: asyncio.Event) -> None:
    """New processes whenever it is asked for."""
    while True:
        await asked.wait()
        asked.clear()
        typer.echo("New processes take over, one after another …")
        await installation.renew()
