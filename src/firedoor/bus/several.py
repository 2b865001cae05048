"""Several buses as one: what is published goes out on all that carry its topic, what comes in is given on once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from firedoor.bus.local import LocalBus
from firedoor.bus.nats import NatsBus, NatsStatus
from firedoor.core.topics import GLOBAL, is_local

REMEMBERED: Final = 512
"""Messages that are known again: those of more than a second, of 32 hosts."""


class BusStatus(Struct, frozen=True):
    """How the buses do. `failed` counts messages that somebody on this machine did not get, `ignored` what was none.

    `nats` is None without a NATS server in the plan.
    """

    failed: int
    ignored: int
    nats: NatsStatus | None


class Several:
    """A `ports.Bus`: a region's topics on `here`, the global one on `everywhere`, and all of them on `nats`.

    What is between hosts goes over `nats` alone: a machine is one of a region's hosts. Without it nobody hears of it.
    A message that comes on two ways is given on once. `on_connect` is called in the event loop after each connect to
    the NATS server, also the first: what was said before is lost, so ask again.
    """

    def __init__(self, here: LocalBus, everywhere: LocalBus, nats: NatsBus | None) -> None:
        self._here = here
        self._everywhere = everywhere
        self._nats = nats
        self._recent: deque[int] = deque(maxlen=REMEMBERED)

    @property
    def on_connect(self) -> Callable[[], None]:
        """What is called after each connect. Set it before `open`."""
        return _nothing if self._nats is None else self._nats.on_connect

    @on_connect.setter
    def on_connect(self, call: Callable[[], None]) -> None:
        if self._nats is not None:
            self._nats.on_connect = call

    @property
    def status(self) -> BusStatus:
        """How they do now."""
        here, everywhere, nats = self._here, self._everywhere, self._nats
        failed, ignored = here.failed + everywhere.failed, here.ignored + everywhere.ignored
        return BusStatus(failed, ignored, None if nats is None else nats.status)

    async def open(self) -> None:
        """Listen on all. Returns before NATS is connected. Raises `SetupError`; then nothing is open."""
        try:
            await self._here.open()
            await self._everywhere.open()
            if self._nats is not None:
                await self._nats.open()
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close all, within a second."""
        self._here.close()
        self._everywhere.close()
        if self._nats is not None:
            await self._nats.aclose()

    def publish(self, topic: str, message: bytes) -> None:
        """Send `message` on every bus that carries `topic`."""
        if is_local(topic):
            (self._everywhere if topic == GLOBAL else self._here).publish(topic, message)
        if self._nats is not None:
            self._nats.publish(topic, message)

    def subscribe(self, topic: str, take: Callable[[bytes], None]) -> None:
        """Have `take` called with every message of `topic`, once. Before `open`."""

        def once(message: bytes) -> None:
            known = hash((topic, message))  # keyed anew in every process
            if known not in self._recent:
                self._recent.append(known)
                take(message)

        (self._everywhere if topic == GLOBAL else self._here).subscribe(topic, once)
        if self._nats is not None:
            self._nats.subscribe(topic, once)


def _nothing() -> None:
    """Without NATS nothing connects."""
