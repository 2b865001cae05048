"""A log in memory for tests: entries, checkpoints signed with its own keys, proofs; and fixed seeds for signers."""

from __future__ import annotations

from hashlib import sha256

from firedoor.core.evidence import tree
from firedoor.core.evidence.checkpoint import Checkpoint, sign, signature
from firedoor.core.evidence.note import NoteSeeds, Signature, Signer, Vkey, log_signers, vkeys, witness_signers

ORIGIN = "evidence.alpenladen.example/eu/host-1"
NOW = 1_790_000_000


def seeds(word: str) -> NoteSeeds:
    return NoteSeeds(sha256(f"{word} 1".encode()).digest(), sha256(f"{word} 2".encode()).digest())


def witness_keys(name: str) -> tuple[Signer, Signer]:
    return witness_signers(name, seeds(name))


class MemoryLog:
    """Entry `i` is its number, or `fork` in front of it from entry `fork_at` on: another history under the same keys."""

    def __init__(self, origin: str = ORIGIN, *, fork_at: int | None = None) -> None:
        self.origin = origin
        self.signers = log_signers(origin, seeds(origin))
        self._fork_at = fork_at

    @property
    def keys(self) -> tuple[Vkey, ...]:
        return vkeys(self.signers)

    def _node(self, level: int, index: int) -> bytes:
        if level:
            return tree.node_hash(self._node(level - 1, 2 * index), self._node(level - 1, 2 * index + 1))
        forked = self._fork_at is not None and index >= self._fork_at
        return tree.leaf_hash(b"%s%d" % (b"fork" if forked else b"", index))

    def checkpoint(self, size: int) -> Checkpoint:
        frontier = tree.Frontier()
        frontier.extend(self._node(0, index) for index in range(size))
        return Checkpoint(self.origin, size, frontier.root())

    def signatures(self, size: int, now: int = NOW) -> tuple[Signature, ...]:
        return tuple(signature(self.checkpoint(size), signer, now) for signer in self.signers)

    def note(self, size: int, *others: Signer, now: int = NOW) -> bytes:
        return sign(self.checkpoint(size), (*self.signers, *others), now)

    def proof(self, old: int, size: int) -> tuple[bytes, ...]:
        return tuple(tree.consistency_proof(old, size, self._node))
