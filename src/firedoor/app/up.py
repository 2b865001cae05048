"""`firedoor up`: all processes of an installation on this machine, started in order, kept alive, ended together.

Per region a compartment: gateway workers, model servers, one control process, one agent. Each child holds the read end
of a pipe to this process and ends when it does, so that none is left behind however the parent goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from firedoor.app.compartment import Compartment
from firedoor.app.health import comes_true, last_line, serves
from firedoor.app.hostpart import STANDS_BY
from firedoor.app.lock import take
from firedoor.app.regionhost import Say
from firedoor.config import Home
from firedoor.core.plan.model import Loaded
from firedoor.errors import FiredoorError, SetupError


class Installation:
    """Everything that runs for one plan on this machine: all its regions, or only the one that is named."""

    def __init__(
        self,
        home: Home,
        loaded: Loaded,
        plan_path: Path,
        say: Say = print,
        *,
        only: str | None = None,
        host: str | None = None,
    ) -> None:
        self._home = home
        self._loaded = loaded
        self._say = say
        self._lock = -1
        self._compartments = {
            region: Compartment(home, loaded, plan_path.absolute(), region, say, host=host)
            for region in loaded.plan.regions
            if only in {None, region}
        }

    async def start(self) -> None:
        """Start all of it; returns when the gateways answer. Raises `SetupError` if none does; nothing runs then.

        What is broken in one region does not stop the others, nor its own fallbacks: it is said, and in `troubles`.
        """
        self._lock = await take(self._home.root, self._say)
        try:
            answering = await asyncio.gather(*map(self._start, self._compartments.values()))
            if not any(answering):
                raise SetupError("No gateway answers.", remedy=f"See the logs in {self._home.root}/regions/*/run.")
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End everything, in each region its gateways first."""
        await asyncio.gather(*(compartment.stop() for compartment in self._compartments.values()))
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    async def renew(self) -> None:
        """Put new processes in the places of the running ones, of all regions; see `RegionHost.renew`."""
        await asyncio.gather(*(compartment.renew() for compartment in self._compartments.values()))

    @property
    def troubles(self) -> dict[str, str]:
        """What does not run, as ``REGION/keys`` or ``REGION/MODEL``, and why."""
        return {f"{c.region}/{what}": why for c in self._compartments.values() for what, why in c.troubles.items()}

    def pids(self, region: str) -> dict[str, int]:
        """Process ids by name: ``control``, ``worker-0`` …, ``model:NAME``."""
        return self._compartments[region].pids()

    async def _start(self, compartment: Compartment) -> bool:
        """Whether a gateway of this region answers."""
        try:
            await compartment.start(self._lock)
        except (FiredoorError, OSError) as error:
            self._say(f"{compartment.region}: DOES NOT START: {error}")
            await compartment.stop()
            return False
        return await self._answers(compartment)

    async def _answers(self, compartment: Compartment) -> bool:
        """Wait for a region's gateway, then for its control; say what answers and what does not."""
        region, place = compartment.region, self._home.region(compartment.region)
        address = self._loaded.plan.regions[region].listen
        if not await comes_true(lambda: serves(address, region)):
            self._say(f"{region}: NO GATEWAY answers on {address}: {last_line(place.run / 'worker-0.log')}")
            return False
        if not compartment.has_keys:
            self._say(f"{region}: gateway on {address} gives fallbacks only, until there are keys")
        elif await comes_true(lambda: _connects(asyncio.open_unix_connection(place.control_socket))):
            self._say(f"{region}: gateway on {address}, control answers")
        elif STANDS_BY in last_line(place.run / "control.log"):
            self._say(f"{region}: gateway on {address}, control stands by for another one")
        else:
            self._say(f"{region}: gateway on {address} gives fallbacks only, AI IS OFF: control does not start: ")
            self._say(f"{region}: {last_line(place.run / 'control.log')}")
        return True


async def _connects(opening: Coroutine[Any, Any, tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> bool:
    """Whether somebody takes the connection: the file of a dead process's socket is there, and takes none."""
    try:
        _, writer = await opening
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
