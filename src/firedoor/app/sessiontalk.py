"""A host's talk with the other hosts of its region about sessions, so that who is balanced over them adds up.

Part of the switch agent's process, which has the bus; its workers have none. All work on the file is done in a thread:
the switches wait for no disk. What goes wrong here costs sums of other hosts, and nothing else.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from firedoor.core.sessionnews import News, decode, encode, unwrap, wrap
from firedoor.errors import FiredoorError, KeyUnusable
from firedoor.keys.derive import SealingBox
from firedoor.store.sessionnews import SessionNews

log = logging.getLogger("firedoor.switches")

EVERY: Final = 0.25
"""Seconds between looks for news: half of the delay until another host knows."""
MESSAGES: Final = 2
"""At most with each look, so that no message of the switches waits for a flood of sessions: all of a full table is told
in minutes, a change of every bucket in 16 s."""
INBOX: Final = 256
"""Messages that wait to be taken; then the oldest are dropped. Four looks of 32 hosts."""
AGAIN: Final = 5.0
"""Seconds between attempts to open a table that cannot be used."""
_TOLD: Final = {
    "other_clock": "the clock of another host is off by more than five minutes: its sessions do not count here",
    "no_room": "there are more hosts than can be heard: sessions of some do not count here",
}
_PURPOSE: Final = "session news"


class SessionTalk:
    """That of `host`, about the table at `path`. `publish` sends a message to the other hosts of the region.

    `counts` says what became of messages that were not what they should be: ``malformed``, ``unproved``, ``own_name``.
    """

    def __init__(self, host: str, box: SealingBox, path: Path, publish: Callable[[bytes], None]) -> None:
        self._host = host
        self._region = box.region
        self._secret = box.subkey(_PURPOSE)
        self._table_key = box.subkey("sessions")
        self._path = path
        self._publish = publish
        self._box = self._box_of(host)
        self._table: SessionNews | None = None
        self._using = threading.Lock()
        self._inbox: deque[bytes] = deque(maxlen=INBOX)
        self._woken = asyncio.Event()
        self._all = False
        self._count = 0
        self._told = ""
        self._warned: set[str] = set()
        self.counts: Counter[str] = Counter()

    def take(self, data: bytes) -> None:
        """A message from the bus. Looked at soon, in the thread."""
        self._inbox.append(data)
        self._woken.set()

    def say_all(self) -> None:
        """Tell everything anew: what was said before may be lost."""
        self._all = True

    async def run(self) -> None:
        """Tell and listen until cancelled."""
        loop = asyncio.get_running_loop()
        due = again = loop.time()
        while True:
            if loop.time() >= again:
                look = loop.time() >= due
                due = loop.time() + EVERY if look else due
                try:
                    for message in await asyncio.to_thread(self.turn, look=look):
                        self._publish(message)
                    self._told = ""
                except (FiredoorError, OSError) as error:
                    self._tell(error)
                    again = loop.time() + AGAIN
            await self._wait(max(due, again) - loop.time())

    def close(self) -> None:
        """Let go of the table, unless a disk that hangs has it."""
        if self._using.acquire(timeout=1.0):
            self._let_go()
            self._using.release()

    def turn(self, *, look: bool) -> list[bytes]:
        """Take what has come; with `look`, the messages to send. Raises `SetupError`, OSError."""
        with self._using:
            if self._table is None:
                self._table = SessionNews(self._path, self._table_key)
            try:
                while self._inbox:
                    self._take(self._table, self._inbox.popleft())
                return self._messages(self._table) if look else []
            except OSError:
                self._let_go()  # opened anew, a file that somebody shortened is whole again
                raise

    def _let_go(self) -> None:
        if self._table is not None:
            self._table.close()
        self._table = None

    def _take(self, table: SessionNews, data: bytes) -> None:
        try:
            host, sealed = unwrap(data)
            if host == self._host:
                self.counts["own_name"] += 1
                return
            news = decode(self._box_of(host).open(sealed, _PURPOSE))
        except ValueError:
            self.counts["malformed"] += 1
        except KeyUnusable:
            self.counts["unproved"] += 1
        else:
            table.take(host, news, time.time())
            for why in table.counts.keys() & (_TOLD.keys() - self._warned):
                self._warned.add(why)
                log.warning(_TOLD[why])

    def _messages(self, table: SessionNews) -> list[bytes]:
        if self._all:
            self._all = False
            table.say_all()
        table.look(time.time())
        messages: list[bytes] = []
        while len(messages) < MESSAGES and (found := table.said(time.time())):
            self._count = max(self._count + 1, time.time_ns())
            sealed = self._box.seal(encode(News(self._count, found)), _PURPOSE)
            messages.append(wrap(self._host, sealed))
        return messages

    def _box_of(self, host: str) -> SealingBox:
        """Each host seals with a key of its own, which all of the region can make: nonces are drawn at random."""
        return SealingBox(self._region, hmac.digest(self._secret, host.encode(), "sha256"))

    async def _wait(self, seconds: float) -> None:
        """Until something comes, but not for longer."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

    def _tell(self, error: Exception) -> None:
        """Say once why other hosts' sessions do not count here."""
        lack = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        if lack != self._told:
            self._told = lack
            log.error("sessions are not exchanged with other hosts: %s", lack)
