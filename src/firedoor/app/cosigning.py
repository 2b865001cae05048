"""Gets the region's checkpoints cosigned: by the witnesses of other regions, and those that the plan names."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct

from firedoor.agent.logkeeper import Proof
from firedoor.bus.witness import Cosigned, Failed, Forked, Result, RolledBack, WitnessClient
from firedoor.core.evidence.checkpoint import Checkpoint, parse_checkpoint
from firedoor.core.evidence.note import Note, Signature, parse_note

log = logging.getLogger("firedoor.agent")

RETRY: Final = 10.0
"""Seconds until a witness that failed is asked again, if nothing new is to be cosigned before."""


class WitnessState(Struct, frozen=True):
    """How a witness does: the size it cosigned last and when (Unix seconds), or why it did not."""

    name: str
    size: int = 0
    at: int = 0
    reason: str | None = None


class Cosigning:
    """Hands each new checkpoint of the region to every witness. Made and used inside one event loop.

    `keep` takes the checkpoint with the signatures that came back; `halt` is called when a witness has seen a history
    that ours does not go on from: a restored backup, or somebody else with our key.
    """

    def __init__(
        self,
        witnesses: dict[str, WitnessClient],
        keep: Callable[[bytes], Awaitable[bool]],
        halt: Callable[[], Awaitable[None]],
    ) -> None:
        self._witnesses = witnesses
        self._keep = keep
        self._halt = halt
        self._newest: tuple[bytes, Proof] | None = None
        self._new = asyncio.Event()
        self.states = {name: WitnessState(name) for name in witnesses}

    def offer(self, note: bytes, old: int, proof: Proof) -> None:
        """Take the newest checkpoint; one that nobody asked about yet is forgotten. See `OnCheckpoint`."""
        del old  # each witness says which size it knows
        self._newest = note, proof
        asyncio.get_running_loop().call_soon_threadsafe(self._new.set)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                try:
                    async with asyncio.timeout(RETRY if self._failing() else None):
                        await self._new.wait()
                except TimeoutError:
                    pass
                self._new.clear()
                if self._newest is not None and self._witnesses:
                    await self._collect(*self._newest)
        finally:
            await asyncio.gather(*(witness.aclose() for witness in self._witnesses.values()))

    async def _collect(self, note: bytes, proof: Proof) -> None:
        parsed = parse_note(note)
        checkpoint = parse_checkpoint(parsed.text)
        asked = [self._ask(name, checkpoint, parsed.signatures, proof) for name in self._witnesses]
        found = [signature for signatures in await asyncio.gather(*asked) for signature in signatures]
        if found:
            await self._keep(Note(parsed.text, (*parsed.signatures, *found)).encode())

    async def _ask(
        self, name: str, checkpoint: Checkpoint, signatures: tuple[Signature, ...], proof: Proof
    ) -> tuple[Signature, ...]:
        result: Result = await self._witnesses[name].submit(checkpoint, signatures, proof)
        before = self.states[name]
        match result:
            case Cosigned():
                self.states[name] = WitnessState(name, checkpoint.size, int(time.time()))
                return result.signatures
            case RolledBack(known=known) | Forked(known=known):
                reason = "rolled_back" if isinstance(result, RolledBack) else "forked"
                log.critical("witness %s has seen %d records that are not here: nothing more is signed", name, known)
                self.states[name] = WitnessState(name, before.size, before.at, reason)
                await self._halt()
            case Failed(reason=reason):
                if before.reason != reason:
                    log.warning("witness %s does not cosign: %s", name, reason)
                self.states[name] = WitnessState(name, before.size, before.at, reason)
        return ()

    def _failing(self) -> bool:
        return any(state.reason is not None for state in self.states.values())
