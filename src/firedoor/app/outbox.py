"""Sends the messages that wait for other systems: of each system in order, one after the other, until it has them.

What waits is in control's database, so a restart loses none. Each system has a task of its own: one that is slow or
gone keeps neither the others waiting nor a case. `firedoor doctor` tells which has not taken anything for long.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final, Protocol

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from firedoor.app.hooksecrets import read_secrets
from firedoor.core.incident.hooks import Message
from firedoor.core.incident.webhook import sign
from firedoor.core.plan.response import OtherSystem
from firedoor.errors import FiredoorError, KeyUnusable, SetupError, StateBusy
from firedoor.store.files import read_bounded, write_atomic

log = logging.getLogger("firedoor.hooks")

SECONDS: Final = 10.0
"""For one delivery: a system answers that it has it, and works on it later."""
CONNECT_SECONDS: Final = 5.0
"""It may be on another continent."""
PAUSES: Final = (5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
"""Seconds until a delivery that failed is tried again; the last one from then on."""
LOOK_SECONDS: Final = 30.0
"""Longest time between two looks at what waits, if nobody says that something came."""
AT_ONCE: Final = 20
"""Messages read at a time."""
STATUS: Final = "hooks.json"
"""In the region's folder run: which systems do not take what they are told."""
STATUS_LIMIT: Final = 262_144

_USER_AGENT: Final = "firedoor"


class Waiting(Protocol):
    """What sending asks of `firedoor.ports.incidents.IncidentStore`."""

    def messages(self, system: str, limit: int) -> list[Message]:
        """The messages that wait for `system`, oldest first."""
        ...

    def tell_only(self, systems: Collection[str]) -> None:
        """Drop, and count, what waits for any other system."""
        ...

    def sent(self, message: Message) -> None:
        """The system has it."""
        ...

    def again(self, message: Message, not_before: float) -> None:
        """It did not take it: try again later."""
        ...


class Standing(Struct, frozen=True):
    """How sending to a system goes: why it fails (None: it does not) since when (Unix seconds), tries since then, and
    when a message was last taken.
    """

    reason: str | None = None
    since: int | None = None
    tries: int = 0
    taken: int | None = None


class Seen(Struct, frozen=True):
    """What the sender wrote last, `at` Unix seconds."""

    at: int
    systems: dict[str, Standing]


class Outbox:
    """Sends what `store` keeps for the systems of the plan. Used inside one event loop."""

    def __init__(
        self,
        store: Waiting,
        systems: Mapping[str, OtherSystem],
        plan_folder: Path,
        run: Path,
        *,
        clock: Callable[[], float] = time.time,
        pauses: tuple[float, ...] = PAUSES,
    ) -> None:
        """`run` is the region's folder for what lives as long as its processes."""
        self._store = store
        self._systems = {name: system for name, system in systems.items() if system.webhook is not None}
        self._plan_folder = plan_folder
        self._run = run
        self._clock = clock
        self._pauses = pauses
        self._new = {name: asyncio.Event() for name in self._systems}
        self.states = {name: Standing() for name in self._systems}

    def wake(self) -> None:
        """Something may wait now."""
        for event in self._new.values():
            event.set()

    async def run(self) -> None:
        """Until cancelled, or until another process took over the database. Raises `FiredoorError`, OSError before it
        begins.
        """
        await asyncio.to_thread(self._store.tell_only, self._systems.keys())
        if not self._systems:
            return
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=2 * len(self._systems)),
            timeout=aiohttp.ClientTimeout(total=SECONDS, sock_connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_headers=64,
        )
        self._go_on()
        async with session, asyncio.TaskGroup() as group:
            for name in self._systems:
                group.create_task(self._send_to(name, session), name=f"messages to {name}")

    async def _send_to(self, name: str, session: aiohttp.ClientSession) -> None:
        """Send to one system, again and again."""
        while True:
            self._new[name].clear()
            try:
                pause = await self._send_waiting(name, session)
            except StateBusy:
                return  # another control of the region sends them now
            except (FiredoorError, OSError) as error:
                log.warning("messages to %s cannot be read: %s", name, type(error).__name__)
                pause = PAUSES[0]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(pause, LOOK_SECONDS)):
                    await self._new[name].wait()

    async def _send_waiting(self, name: str, session: aiohttp.ClientSession) -> float:
        """Send what waits until nothing does, or one is not taken; seconds until the next may be tried."""
        while True:
            waiting = await asyncio.to_thread(self._store.messages, name, AT_ONCE)
            if not waiting:
                return LOOK_SECONDS
            for message in waiting:
                if (early := message.not_before - self._clock()) > 0:
                    return early
                reason = await self._deliver(name, message, session)
                if reason is None:
                    await asyncio.to_thread(self._store.sent, message)
                    self._note(name, None)
                    continue
                pause = self._pauses[min(message.tries, len(self._pauses) - 1)]
                await asyncio.to_thread(self._store.again, message, self._clock() + pause)
                self._note(name, reason)
                return pause

    async def _deliver(self, name: str, message: Message, session: aiohttp.ClientSession) -> str | None:
        """None once the system has it; else why not, as a code: ``refused``, ``tls``, ``timeout``, ``status_404`` …"""
        try:
            secrets = await read_secrets(self._systems, name, self._plan_folder)
        except KeyUnusable:
            return "no_secret"
        at = int(self._clock())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": _USER_AGENT,
            "webhook-id": message.id,
            "webhook-timestamp": str(at),
            "webhook-signature": sign(secrets, message.id, at, message.body),
        }
        try:
            url = URL(self._systems[name].webhook or "")
            async with session.post(url, data=message.body, headers=headers, allow_redirects=False) as response:
                return None if 200 <= response.status < 300 else f"status_{response.status}"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _reason(error)

    def _note(self, name: str, reason: str | None) -> None:
        """Keep how it goes, tell what is new of it, and write it down for `firedoor doctor`."""
        before, now = self.states[name], int(self._clock())
        if reason is None:
            self.states[name] = Standing(taken=now)
        else:
            since = before.since if before.since is not None else now
            self.states[name] = Standing(reason, since, before.tries + 1, before.taken)
        if reason != before.reason:
            log.warning("messages to %s: %s", name, reason or "taken again")
            self._write_status()

    def _go_on(self) -> None:
        """Take up how it went in the process before: who was away then is away since then."""
        with contextlib.suppress(SetupError):
            seen = read_standing(self._run)
            self.states |= {name: seen.systems[name] for name in self._systems if seen and name in seen.systems}
        self._write_status()

    def _write_status(self) -> None:
        with contextlib.suppress(OSError):  # for people: nothing depends on it
            write_atomic(self._run / STATUS, msgspec.json.encode(Seen(int(self._clock()), self.states)))


def read_standing(run: Path) -> Seen | None:
    """How sending goes, as was written last; None if nothing was ever sent from here. Raises `SetupError`."""
    try:
        return msgspec.json.decode(read_bounded(run / STATUS, STATUS_LIMIT), type=Seen)
    except FileNotFoundError:
        return None
    except (OSError, FiredoorError, msgspec.MsgspecError) as error:
        raise SetupError("What is known of other systems cannot be read.", remedy=f"Remove {STATUS}.") from error


def _reason(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "timeout"
        case aiohttp.ClientSSLError():
            return "tls"
        case aiohttp.ClientConnectorError():
            return "refused"
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError() | OSError():
            return "died"
        case _:
            return "garbage"
