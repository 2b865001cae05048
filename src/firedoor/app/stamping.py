"""RFC 3161 time stamps over the region's checkpoints, where the plan names an authority.

A stamp is over the signed checkpoint as it was then; both lie in ``log/timestamps``, named by the checkpoint's size.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from firedoor.app.identity import REGION_SLOT
from firedoor.core.evidence.checkpoint import parse_checkpoint
from firedoor.core.evidence.note import NOTE_LIMIT, parse_note
from firedoor.core.plan.model import Timestamps
from firedoor.errors import SetupError, TimestampFailed
from firedoor.store.files import read_bounded, sync_folder, write_atomic

if TYPE_CHECKING:
    from firedoor.bus.timestamp import TimestampAuthority

log = logging.getLogger("firedoor.agent")

FOLDER: Final = "timestamps"
TOKEN, MESSAGE = ".tsr", ".checkpoint"
RETRY: Final = 60.0
"""Seconds until an authority that gave no stamp is asked again."""
PEM_LIMIT: Final = 1024 * 1024
"""Bytes of a file of certificates: an authority's chain is a few kilobytes."""


class StampState(Struct, frozen=True):
    """The last stamp: the checkpoint's size and the time it vouches for (Unix seconds), or why there is none."""

    size: int = 0
    at: int = 0
    reason: str | None = None


class Stamping:
    """Stamps the newest checkpoint of the region every so often. `declared` None: it has nothing to do."""

    def __init__(self, logs: Path, declared: Timestamps | None, plan_folder: Path) -> None:
        self._logs = logs
        self._declared = declared
        self._plan_folder = plan_folder
        self.state: StampState | None = None if declared is None else StampState()

    async def run(self) -> None:
        """Until cancelled; ends at once without an authority. Raises `SetupError` if it cannot be used at all."""
        if self._declared is None:
            return
        from firedoor.bus.timestamp import TimestampAuthority  # noqa: PLC0415  an HTTP client, and few have an authority

        authority = TimestampAuthority(self._declared.url, self._certificates(self._declared))
        while True:  # noqa: ASYNC110  the authority tells nobody when it is there again
            await asyncio.sleep(await self._stamp(authority, float(self._declared.every)))

    async def _stamp(self, authority: TimestampAuthority, every: float) -> float:
        """Stamp what is new; seconds until the next time."""
        state = self.state or StampState()
        path = self._logs / REGION_SLOT / "checkpoint"
        try:
            note = read_bounded(path, NOTE_LIMIT)
        except FileNotFoundError:
            return 1.0
        size = parse_checkpoint(parse_note(note).text).size
        if size == state.size or (self._logs / FOLDER / f"{size}{TOKEN}").exists():
            return min(every, RETRY)  # nothing new, or stamped before a restart: a stamp is never replaced
        try:
            token = await authority.stamp(note)
        except TimestampFailed as error:
            log.warning("%s", error)
            self.state = StampState(state.size, state.at, error.reason)
            return RETRY
        await asyncio.to_thread(self._keep, size, note, token.data)
        self.state = StampState(size, token.time)
        return max(1.0, every - (time.time() - token.time) % every)

    def _keep(self, size: int, note: bytes, token: bytes) -> None:
        folder = self._logs / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(self._logs)
        write_atomic(folder / f"{size}{MESSAGE}", note)
        write_atomic(folder / f"{size}{TOKEN}", token)

    def _certificates(self, declared: Timestamps) -> bytes:
        try:
            return read_bounded(self._plan_folder / declared.certificates, PEM_LIMIT)
        except OSError as error:
            raise SetupError(
                "The certificates of the time-stamp authority cannot be read.",
                remedy="Correct `evidence.timestamps.certificates` in the plan.",
            ) from error
