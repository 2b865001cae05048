"""`firedoor gateway --workers N`: a host of gateways for one region, whose control is elsewhere.

Its folder holds what the region's operator brought there: the plan, the ring, credentials and protected content. Its
journals, bodies and logs are its own.
"""

from __future__ import annotations

import os
from pathlib import Path

from firedoor.app.health import comes_true, last_line, serves
from firedoor.app.lock import take
from firedoor.app.regionhost import RegionHost, Say
from firedoor.config import Home
from firedoor.core.plan.model import Loaded
from firedoor.errors import SetupError


class GatewayHost:
    """Everything that runs for one region on this host."""

    def __init__(
        self, home: Home, loaded: Loaded, plan_path: Path, region: str, say: Say, *,
        workers: int, host: str | None = None, listen: str | None = None,
    ) -> None:  # fmt: skip
        """`host` is what this host is called on the bus, `listen` the address of its gateways instead of the plan's."""
        self._home = home
        self._say = say
        self._region = region
        self._address = listen or loaded.plan.regions[region].listen
        self._lock = -1
        self._host = RegionHost(
            home, loaded, plan_path.absolute(), region, say, workers=workers, host=host, listen=listen
        )

    @property
    def troubles(self) -> dict[str, str]:
        """What does not run, and why."""
        return self._host.troubles

    async def start(self) -> None:
        """Start all of it; returns when a gateway answers. Raises `SetupError` if none does; nothing runs then."""
        self._lock = await take(self._home.root, self._say)
        try:
            await self._host.start(self._lock)
            if not await comes_true(lambda: serves(self._address, self._region)):
                log = self._home.region(self._region).run / "worker-0.log"
                raise SetupError(f"No gateway answers on {self._address}.", remedy=last_line(log))
        except BaseException:
            await self.stop()
            raise
        fallbacks = "" if self._host.has_keys else " gives fallbacks only, until there are keys"
        self._say(f"{self._region}: gateway on {self._address}{fallbacks}")

    async def renew(self) -> None:
        """See `RegionHost.renew`."""
        await self._host.renew()

    async def stop(self) -> None:
        """End everything, the gateways first."""
        await self._host.stop()
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)
