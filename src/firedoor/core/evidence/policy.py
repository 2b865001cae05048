"""Trust policies (C2SP tlog-policy): which logs are known, which witnesses, and how many of them make a quorum. Pure.

One small text file tells any verifier, ours or another's, what a checkpoint needs to be believed. The whole format is
read, with names and URLs in ASCII and at least the limits that the specification asks for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from firedoor.core.evidence.checkpoint import parse_checkpoint, verify_signatures
from firedoor.core.evidence.note import COSIGNER_ED25519, COSIGNER_MLDSA44, ED25519, Note, Vkey
from firedoor.errors import EvidenceDamaged

POLICY_LIMIT: Final = 1024 * 1024
"""Bytes of a policy file: 256 keys of 2.3 kB and their groups."""
ENTRY_LIMIT: Final = 256
"""Logs, witness keys and groups, each: a region has up to 64 witnesses of two keys; the specification asks for 32."""
NONE: Final = "none"
"""The quorum that needs nobody."""

_LOG_KINDS: Final = (ED25519, COSIGNER_MLDSA44)
_WITNESS_KINDS: Final = (COSIGNER_ED25519, COSIGNER_MLDSA44)
_NAME = re.compile(r"[!-~]{1,220}", re.ASCII)
_COUNT = re.compile(r"[1-9][0-9]{0,2}", re.ASCII)
_BLANKS = re.compile(r"[ \t]+")


class Log(Struct, frozen=True):
    """A log by one of its keys, whose name is its origin. `url` is empty where none is given."""

    vkey: Vkey
    url: str = ""


class Witness(Struct, frozen=True):
    """One key of a witness. `name` has no meaning outside of the file."""

    name: str
    vkey: Vkey
    url: str = ""


class Group(Struct, frozen=True):
    """Counts as having cosigned when at least `needs` of its `members`, witnesses or groups before it, have."""

    name: str
    needs: int
    members: tuple[str, ...]


class Policy(Struct, frozen=True):
    """A whole policy. `quorum` names a witness or a group, or is ``none``."""

    logs: tuple[Log, ...]
    witnesses: tuple[Witness, ...]
    groups: tuple[Group, ...]
    quorum: str

    def encode(self) -> bytes:
        """The file."""
        lines = [_line("log", str(log.vkey), log.url) for log in self.logs]
        lines += [_line("witness", w.name, str(w.vkey), w.url) for w in self.witnesses]
        lines += [_line("group", group.name, str(group.needs), *group.members) for group in self.groups]
        lines.append(_line("quorum", self.quorum))
        return "".join(lines).encode()

    def log_keys(self, origin: str) -> tuple[Vkey, ...]:
        """The keys of the log with that origin."""
        return tuple(log.vkey for log in self.logs if log.vkey.name == origin)


def write(logs: Sequence[Vkey], witnesses: Mapping[str, Sequence[Vkey]], quorum: int) -> Policy:
    """A policy under which `quorum` of the named witnesses must have cosigned, each with every key it has.

    A witness with an Ed25519 and an ML-DSA-44 key signs with both, so asking for both costs nothing and holds for as
    long as one of the two kinds does. Raises `EvidenceDamaged` if the parts do not make a policy.
    """
    keys: list[Witness] = []
    groups: list[Group] = []
    for name, vkeys in witnesses.items():
        if len(vkeys) == 1:
            keys.append(Witness(name, vkeys[0]))
            continue
        parts = [Witness(f"{name}.{number}", vkey) for number, vkey in enumerate(vkeys, 1)]
        keys += parts
        groups.append(Group(name, len(parts), tuple(part.name for part in parts)))
    if quorum:
        groups.append(Group("quorum", quorum, tuple(witnesses)))
    policy = Policy(tuple(map(Log, logs)), tuple(keys), tuple(groups), "quorum" if quorum else NONE)
    return parse_policy(policy.encode())


def parse_policy(data: bytes) -> Policy:
    """Read a policy file. Raises `EvidenceDamaged` with the line that is wrong."""
    if len(data) > POLICY_LIMIT:
        raise EvidenceDamaged(f"A trust policy is larger than {POLICY_LIMIT} bytes.")
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise EvidenceDamaged("A trust policy is not ASCII.") from error
    if text and not text.endswith("\n"):
        raise EvidenceDamaged("The last line of a trust policy does not end in a newline.")
    reader = _Reader()
    for number, line in enumerate(text.split("\n"), 1):
        try:
            reader.line(_items(line))
        except EvidenceDamaged as error:
            raise EvidenceDamaged(f"Line {number} of the trust policy: {error.message}") from error
    return reader.policy()


def satisfied(note: Note, policy: Policy, log: Vkey) -> tuple[str, ...]:
    """Check a checkpoint: signed with the `log`'s key, and cosigned by a quorum of the policy's witnesses.

    `log` is one of the policy's; a policy without logs takes it from the caller's own knowledge. Gives the names, as in
    their keys, of the witnesses that cosigned with all keys the policy has of them. Raises `EvidenceDamaged`.
    """
    checkpoint = parse_checkpoint(note.text)
    if policy.logs and log not in policy.log_keys(checkpoint.origin):
        raise EvidenceDamaged(f"{checkpoint.origin} is not a log of this trust policy, or not with that key.")
    if log.name != checkpoint.origin or not verify_signatures(checkpoint, note.signatures, [log]):
        raise EvidenceDamaged(f"The checkpoint of {checkpoint.origin} is not signed with the key asked for.")
    keys = [witness.vkey for witness in policy.witnesses]
    signed = {verified.vkey for verified in verify_signatures(checkpoint, note.signatures, keys)}
    witnesses = {key.name for key in keys} - {key.name for key in keys if key not in signed}
    if not _quorum(policy, signed):
        raise EvidenceDamaged(
            f"The checkpoint of {checkpoint.origin} has no quorum: {len(witnesses)} of "
            f"{len({key.name for key in keys})} witnesses cosigned it.",
            remedy="Ask the region for a checkpoint with more cosignatures.",
        )
    return tuple(sorted(witnesses))


def _quorum(policy: Policy, signed: set[Vkey]) -> bool:
    names = {NONE, *(witness.name for witness in policy.witnesses if witness.vkey in signed)}
    for group in policy.groups:
        if len(names.intersection(group.members)) >= group.needs:
            names.add(group.name)
    return policy.quorum in names


def _line(*items: str) -> str:
    return " ".join(item for item in items if item) + "\n"


def _items(line: str) -> list[str]:
    """The items of a line; none for an empty one or a comment."""
    if any(character < " " and character != "\t" for character in line) or "\x7f" in line:
        raise EvidenceDamaged("it has a control character.")
    stripped = line.strip(" \t")
    return [] if not stripped or stripped.startswith("#") else _BLANKS.split(stripped)


class _Reader:
    """Takes a policy's lines one by one."""

    def __init__(self) -> None:
        self._logs: list[Log] = []
        self._witnesses: list[Witness] = []
        self._groups: list[Group] = []
        self._quorum: str | None = None
        self._names: set[str] = set()
        self._used: set[str] = set()

    def line(self, items: list[str]) -> None:
        match items:
            case []:
                pass
            case ["log", vkey, *url] if len(url) <= 1:
                known = [log.vkey.key for log in self._logs]
                self._logs.append(Log(_vkey(vkey, _LOG_KINDS, known), _url(url)))
            case ["witness", name, vkey, *url] if len(url) <= 1:
                known = [witness.vkey.key for witness in self._witnesses]
                key = _vkey(vkey, _WITNESS_KINDS, known)
                self._witnesses.append(Witness(self._define(name), key, _url(url)))
            case ["group", name, needs, *members] if members:
                self._group(name, needs, members)
            case ["quorum", name] if self._quorum is None:
                if name != NONE and name not in self._names:
                    raise EvidenceDamaged("the quorum is not a witness or group named before it.")
                self._quorum = name
            case _:
                raise EvidenceDamaged("it is not a log, witness, group or (one) quorum line.")
        if max(len(self._logs), len(self._witnesses), len(self._groups)) > ENTRY_LIMIT:
            raise EvidenceDamaged(f"there are more than {ENTRY_LIMIT} of these.")

    def policy(self) -> Policy:
        if self._quorum is None:
            raise EvidenceDamaged("A trust policy has no quorum line.")
        return Policy(tuple(self._logs), tuple(self._witnesses), tuple(self._groups), self._quorum)

    def _group(self, name: str, needs: str, members: list[str]) -> None:
        if not self._names.issuperset(members):
            raise EvidenceDamaged("a member is not a witness or group named before it.")
        if len(set(members)) != len(members) or self._used.intersection(members):
            raise EvidenceDamaged("a member is in a group already.")
        words = {"all": len(members), "any": 1}
        if needs not in words and _COUNT.fullmatch(needs) is None:
            raise EvidenceDamaged("a group needs all, any or a number of its members.")
        count = words.get(needs) or int(needs)
        if count > len(members):
            raise EvidenceDamaged("a group needs more members than it has.")
        self._used.update(members)
        self._groups.append(Group(self._define(name), count, tuple(members)))

    def _define(self, name: str) -> str:
        if name == NONE or name in self._names or _NAME.fullmatch(name) is None:
            raise EvidenceDamaged("a name is taken, reserved or too long.")
        self._names.add(name)
        return name


def _vkey(text: str, kinds: tuple[int, ...], known: list[bytes]) -> Vkey:
    vkey = Vkey.parse(text)
    if vkey.kind not in kinds:
        raise EvidenceDamaged("a key is of a kind that does not sign here.")
    if vkey.key in known:
        raise EvidenceDamaged("a key is there twice.")
    return vkey


def _url(url: list[str]) -> str:
    return url[0] if url else ""
