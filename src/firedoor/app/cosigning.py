"""Gets the region's checkpoints cosigned: by the witnesses of other regions, and those that the plan names.

Each witness has a task of its own, so that a slow one holds nobody back. One that answers late answers for the
checkpoint it was asked about; what was gathered for that is kept together, and stays once there is a quorum.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from firedoor.agent.logkeeper import Proof
from firedoor.bus.witness import Cosigned, Failed, Forked, Result, RolledBack, WitnessClient
from firedoor.core.evidence.checkpoint import Checkpoint, parse_checkpoint
from firedoor.core.evidence.note import Note, Signature, Vkey, parse_note
from firedoor.errors import FiredoorError, LogRefused

log = logging.getLogger("firedoor.agent")

RETRY: Final = 10.0
"""Seconds until a witness that failed is asked again, if nothing new is to be cosigned before."""
MEET: Final = 10.0
"""Seconds from one look at who the witnesses are to the next: another region may have come to life."""

Find = Callable[[], Mapping[str, tuple[str, tuple[Vkey, ...]] | None]]
"""The witnesses by name: address and keys, or None where the keys are not known here. Blocks for the disk."""


class WitnessState(Struct, frozen=True):
    """How a witness does: the size it cosigned last and when (Unix seconds), or why it did not."""

    name: str
    size: int = 0
    at: int = 0
    reason: str | None = None


class Keeper(Protocol):
    """What becomes of the answers. See `firedoor.agent.logkeeper.LogKeeper`."""

    async def cosigned(self, note: bytes, *, enough: bool) -> bool:
        """Keep a checkpoint with the signatures that came back; `enough` of them are a quorum."""
        ...

    async def halt(self, why: str) -> None:
        """A witness has seen a history that ours does not go on from: sign nothing more."""
        ...


class _Round:
    """One checkpoint on its way to the witnesses, and the signatures that came back."""

    def __init__(self, note: bytes, proof: Proof) -> None:
        parsed = parse_note(note)
        self.checkpoint: Checkpoint = parse_checkpoint(parsed.text)
        # What witnesses added before is not theirs to look at: a request holds no more than 16 signatures.
        self.signatures = tuple(one for one in parsed.signatures if one.name == self.checkpoint.origin)
        self.proof = proof
        self.found: dict[str, tuple[Signature, ...]] = {}

    def note(self) -> bytes:
        """The checkpoint with all signatures so far."""
        more = [signature for signatures in self.found.values() for signature in signatures]
        return Note(self.checkpoint.encode(), (*self.signatures, *more)).encode()


class _Party(NamedTuple):
    """A witness, and the task that asks it."""

    where: tuple[str, tuple[Vkey, ...]]
    client: WitnessClient
    new: asyncio.Event
    task: asyncio.Task[None]


class Cosigning:
    """Hands each new checkpoint of the region to every witness. Used inside one event loop.

    A witness that has seen a history that ours does not go on from halts all signing: a backup was restored, or
    somebody else has our keys. `quorum` is the plan's.
    """

    def __init__(self, find: Find, quorum: int, keeper: Keeper) -> None:
        self._find = find
        self._needed = max(1, quorum)
        self._keeper = keeper
        self._parties: dict[str, _Party] = {}
        self._round: _Round | None = None
        self.states: dict[str, WitnessState] = {}

    def offer(self, note: bytes, old: int, proof: Proof) -> None:
        """Take the newest checkpoint; one that nobody asked about yet is forgotten. See `OnCheckpoint`."""
        del old  # each witness says which size it knows
        self._round = _Round(note, proof)
        for party in self._parties.values():
            party.new.set()

    async def ask_first(self, note: bytes, proof: Proof) -> None:
        """Ask every witness about a checkpoint that is signed already, before anything more is: see `Cosigning`."""
        await self._meet()
        first = _Round(note, proof)
        await asyncio.gather(*(self._ask(name, party.client, first) for name, party in self._parties.items()))

    async def run(self) -> None:
        """Until cancelled. Raises what finding the witnesses raises; may be run again."""
        while True:
            await self._meet()
            await asyncio.sleep(MEET)

    async def aclose(self) -> None:
        """Stop asking, and close the connections."""
        await self._part(list(self._parties))

    async def _meet(self) -> None:
        """Follow who the witnesses are: regions come and go, and get new keys."""
        found = await asyncio.to_thread(self._find)
        await self._part([name for name, party in self._parties.items() if found.get(name) != party.where])
        for name in set(self.states) - set(found):
            del self.states[name]
        for name, where in found.items():
            if where is None:
                self._say(name, "no_keys")
            elif name not in self._parties:
                self.states[name] = WitnessState(name)
                client, new = WitnessClient(*where), asyncio.Event()
                if self._round is not None:
                    new.set()
                task = asyncio.create_task(self._follow(name, client, new), name=f"witness {name}")
                self._parties[name] = _Party(where, client, new, task)

    async def _part(self, names: list[str]) -> None:
        for party in [self._parties.pop(name) for name in names]:
            party.task.cancel()
            await asyncio.gather(party.task, return_exceptions=True)
            await party.client.aclose()

    async def _follow(self, name: str, client: WitnessClient, new: asyncio.Event) -> None:
        """Ask one witness about the newest checkpoint, again and again."""
        while True:
            try:
                async with asyncio.timeout(RETRY if self.states[name].reason is not None else None):
                    await new.wait()
            except TimeoutError:
                pass
            new.clear()
            if self._round is not None:
                await self._ask(name, client, self._round)

    async def _ask(self, name: str, client: WitnessClient, asked: _Round) -> None:
        try:
            result = await client.submit(asked.checkpoint, asked.signatures, asked.proof)
            await self._take(name, asked, result)
        except LogRefused as error:
            self._say(name, error.reason)
        except FiredoorError:
            self._say(name, "log_damaged")  # no proof could be made, or what came back could not be kept
        except OSError:
            self._say(name, "disk")
        except Exception as error:  # noqa: BLE001  the task goes on, and its state says so
            self._say(name, type(error).__name__)

    async def _take(self, name: str, asked: _Round, result: Result) -> None:
        match result:
            case Cosigned(signatures=signatures):
                asked.found[name] = signatures
                await self._keeper.cosigned(asked.note(), enough=len(asked.found) >= self._needed)
                self.states[name] = WitnessState(name, asked.checkpoint.size, int(time.time()))
            case RolledBack(known=known) | Forked(known=known):
                reason = "rolled_back" if isinstance(result, RolledBack) else "forked"
                if self._say(name, reason):
                    log.critical("witness %s has cosigned %d records that do not go on as ours: all signing stops",
                                 name, known)  # fmt: skip
                await self._keeper.halt(f"{reason}: witness {name} knows {known}, here are {asked.checkpoint.size}")
            case Failed(reason=reason):
                self._say(name, reason)

    def _say(self, name: str, reason: str) -> bool:
        """Note why a witness does not cosign; whether that is new."""
        before = self.states.get(name) or WitnessState(name)
        self.states[name] = WitnessState(name, before.size, before.at, reason)
        if before.reason != reason:
            log.warning("witness %s does not cosign: %s", name, reason)
        return before.reason != reason
