"""All that may pass between regions: a closed list of message types, each with strict bytes. Pure.

Nothing leaves for another region except what `encode` gives, and nothing that comes from one is looked at before
`decode` took it. A message holds origins of logs, names and ids of keys, sizes, hashes, signatures, scopes of the plan
and reason codes. There is no place in it for a prompt, an answer, a subject or a person's name: every field is a number
below a bound, bytes of a fixed length, or a name in the characters of a URL. `decode` refuses what would not encode to
the same bytes again.

================ ======================================================= ==================================
type             bytes                                                   said by
================ ======================================================= ==================================
`AddCheckpoint`  request of C2SP tlog-witness ``add-checkpoint``         a log, to a witness
`Cosignatures`   its answer: signature lines                             a witness, to a log
`Conflict`       its other answer: the size that the witness knows       a witness, to a log
`GlobalSaid`     the switches that hold in all regions, signed           one region's control, to all hosts
================ ======================================================= ==================================
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar, get_args

from msgspec import Struct

from firedoor.core.evidence.checkpoint import Checkpoint, parse_checkpoint, parse_size
from firedoor.core.evidence.note import (
    ED25519,
    SIGNATURE_BYTES,
    Note,
    Signature,
    decode_base64,
    encode_base64,
    parse_note,
    parse_signatures,
)
from firedoor.core.evidence.tree import HASH_BYTES
from firedoor.core.switches import ANY, INCIDENT, KEY_ID, MAX_SWITCHES, GlobalTable, Reason, Scope, Switch
from firedoor.errors import EvidenceDamaged

MESSAGE_LIMIT: Final = 65_536
"""Bytes of a message: 63 hashes on lines of 45, a checkpoint, and 16 signatures of 3.5 kB at the most."""
PROOF_LIMIT: Final = 63
"""Hashes of a consistency proof (tlog-witness)."""
SIGNATURE_LIMIT: Final = 16
"""Signatures in a message: a log or a witness has two, four while it changes keys; signed-note asks for 16."""

GLOBAL_HEAD: Final = b"firedoor/global/1\n"
GLOBAL_DOMAIN: Final = b"firedoor/global/1\0"
"""What is signed of a `GlobalSaid` is this and its `content`."""

_PAYLOADS: Final = frozenset(SIGNATURE_BYTES.values())
_REASONS: Final = frozenset(get_args(Reason)) - {"drill"}
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}", re.ASCII)


class AddCheckpoint(Struct, frozen=True):
    """A log's checkpoint with its signatures, and the proof that it follows the one of `old` entries."""

    old: int
    proof: tuple[bytes, ...]
    checkpoint: Checkpoint
    signatures: tuple[Signature, ...]


class Cosignatures(Struct, frozen=True):
    """What a witness signed the checkpoint with."""

    signatures: tuple[Signature, ...]


class GlobalSaid(Struct, frozen=True):
    """One beat of the global switch table: `signature` (Ed25519) is of the key whose id is `key`, over `content`."""

    table: GlobalTable
    beat: int
    key: str
    signature: bytes

    @property
    def content(self) -> bytes:
        """The bytes that are signed, without the domain."""
        return _global_lines(self.table, self.beat)


class Conflict(Struct, frozen=True):
    """The witness has last cosigned a checkpoint of this `size`, and not the one that the request builds on."""

    size: int


Message: TypeAlias = AddCheckpoint | Cosignatures | Conflict | GlobalSaid
"""Everything that may pass between regions."""

_M = TypeVar("_M", bound=AddCheckpoint | Cosignatures | Conflict | GlobalSaid)


def encode(message: Message) -> bytes:
    """The bytes of a message. Raises TypeError for what is not one, `EvidenceDamaged` for one with a bad value.

    Being one of the types is not enough: the bytes are read back, so that nothing leaves that `decode` would refuse.
    """
    kind = type(message)
    codec = _CODECS.get(kind)
    if codec is None:
        raise TypeError(f"{kind.__name__} does not pass between regions")
    try:
        data: bytes = codec.write(message)
        same = decode(kind, data) == message
    except (AttributeError, TypeError, ValueError) as error:
        raise EvidenceDamaged("A message between regions holds a value of the wrong type.") from error
    if not same:
        raise EvidenceDamaged("A message between regions holds a value that it cannot carry.")
    return data


def decode(kind: type[_M], data: bytes) -> _M:
    """Read a message of type `kind`. Raises `EvidenceDamaged`, TypeError for a `kind` that is not on the list."""
    codec = _CODECS.get(kind)
    if codec is None:
        raise TypeError(f"{kind.__name__} does not pass between regions")
    if len(data) > MESSAGE_LIMIT:
        raise EvidenceDamaged(f"A message between regions is larger than {MESSAGE_LIMIT} bytes.")
    message: _M = codec.read(data)
    if codec.write(message) != data:
        raise EvidenceDamaged("A message between regions is not written the one way it can be.")
    return message


# AddCheckpoint


def _write_request(message: AddCheckpoint) -> bytes:
    proof = "".join(f"{encode_base64(step)}\n" for step in message.proof)
    note = Note(message.checkpoint.encode(), message.signatures)
    return f"old {message.old:d}\n{proof}\n".encode() + note.encode()


def _read_request(data: bytes) -> AddCheckpoint:
    head, empty_line, rest = data.partition(b"\n\n")
    if not empty_line:
        raise EvidenceDamaged("A request to a witness has no empty line before its checkpoint.")
    try:
        old, *proof = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise EvidenceDamaged("A request to a witness is not ASCII before its checkpoint.") from error
    if not old.startswith("old "):
        raise EvidenceDamaged("A request to a witness does not begin with the old size.")
    if len(proof) > PROOF_LIMIT:
        raise EvidenceDamaged(f"A request to a witness has more than {PROOF_LIMIT} hashes of proof.")
    note = parse_note(rest)
    return AddCheckpoint(
        parse_size(old.removeprefix("old ")),
        tuple(_hash(line) for line in proof),
        parse_checkpoint(note.text),
        _signatures(note.signatures),
    )


def _hash(line: str) -> bytes:
    data = decode_base64(line)
    if len(data) != HASH_BYTES:
        raise EvidenceDamaged("A proof holds something that is not a hash.")
    return data


def _signatures(signatures: tuple[Signature, ...]) -> tuple[Signature, ...]:
    if len(signatures) > SIGNATURE_LIMIT:
        raise EvidenceDamaged(f"A message between regions has more than {SIGNATURE_LIMIT} signatures.")
    if any(len(signature.payload) not in _PAYLOADS for signature in signatures):
        raise EvidenceDamaged("A message between regions has a signature that is not as long as any known kind's.")
    return signatures


# Cosignatures and Conflict


def _write_cosignatures(message: Cosignatures) -> bytes:
    return "".join(signature.line() for signature in message.signatures).encode()


def _read_cosignatures(data: bytes) -> Cosignatures:
    return Cosignatures(_signatures(parse_signatures(data)))


def _write_conflict(message: Conflict) -> bytes:
    return b"%d\n" % message.size


def _read_conflict(data: bytes) -> Conflict:
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise EvidenceDamaged("A witness's size is not ASCII.") from error
    if not text.endswith("\n"):
        raise EvidenceDamaged("A witness's size does not end in a newline.")
    return Conflict(parse_size(text[:-1]))


# GlobalSaid


def _global_lines(table: GlobalTable, beat: int) -> bytes:
    lines = [f"home {table.home}", f"version {table.version:d}", f"beat {beat:d}"]
    for switch in table.shut:
        told = (switch.exchange, switch.drill)
        if told != (None, None) or switch.since != int(switch.since):
            raise ValueError("a switch of all regions tells no exchange, no drill and whole seconds")
        keys, incident = ",".join(switch.keys) or "-", switch.incident or "-"
        lines.append(f"shut {switch.scope} {switch.reason} {int(switch.since):d} {switch.version:d} {keys} {incident}")
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def _write_global(message: GlobalSaid) -> bytes:
    return GLOBAL_HEAD + f"{message.key}\n{encode_base64(message.signature)}\n\n".encode("ascii") + message.content


def _read_global(data: bytes) -> GlobalSaid:
    try:
        head, key, signature, empty, home, version, beat, *shut, end = data.decode("ascii").split("\n")
    except ValueError as error:  # too few lines, or not ASCII
        raise EvidenceDamaged("A global switch table is not of the form it must have.") from error
    if (f"{head}\n".encode(), empty, end) != (GLOBAL_HEAD, "", "") or KEY_ID.fullmatch(key) is None:
        raise EvidenceDamaged("A global switch table is not of the form it must have.")
    table = GlobalTable(
        _name(_field(home, "home")), parse_size(_field(version, "version")), tuple(_switch(line) for line in shut)
    )
    if len(table.shut) > MAX_SWITCHES:
        raise EvidenceDamaged(f"A global switch table holds more than {MAX_SWITCHES} switches.")
    signed = decode_base64(signature)
    if len(signed) != SIGNATURE_BYTES[ED25519]:
        raise EvidenceDamaged("A global switch table has a signature that is not as long as one.")
    return GlobalSaid(table, parse_size(_field(beat, "beat")), key, signed)


def _switch(line: str) -> Switch:
    fields = _field(line, "shut").split(" ")
    parts = fields[0].split("/")
    if len(fields) != 6 or len(parts) != 4 or fields[1] not in _REASONS:
        raise EvidenceDamaged("A global switch table holds something that is not a switch.")
    scope = Scope(*(part if part == ANY else _name(part) for part in parts))
    keys = () if fields[4] == "-" else tuple(fields[4].split(","))
    incident = None if fields[5] == "-" else fields[5]
    if scope.region != ANY or len(keys) > 2 or any(KEY_ID.fullmatch(key) is None for key in keys):
        raise EvidenceDamaged("A global switch table holds something that is not a switch of all regions.")
    if incident is not None and INCIDENT.fullmatch(incident) is None:
        raise EvidenceDamaged("A global switch table names an incident that cannot be one.")
    reason, since, version = fields[1], float(parse_size(fields[2])), parse_size(fields[3])
    return Switch(scope, reason, since, keys, incident=incident, version=version)  # type: ignore[arg-type]  # known


def _field(line: str, name: str) -> str:
    found, space, value = line.partition(" ")
    if found != name or not space:
        raise EvidenceDamaged(f"A global switch table has no {name} where it must be.")
    return value


def _name(text: str) -> str:
    if _NAME.fullmatch(text) is None:
        raise EvidenceDamaged("A global switch table holds something that is not a name.")
    return text


class _Codec(NamedTuple):
    write: Callable[[Any], bytes]
    read: Callable[[bytes], Any]


_CODECS: Final[dict[type, _Codec]] = {
    AddCheckpoint: _Codec(_write_request, _read_request),
    Cosignatures: _Codec(_write_cosignatures, _read_cosignatures),
    Conflict: _Codec(_write_conflict, _read_conflict),
    GlobalSaid: _Codec(_write_global, _read_global),
}
"""The closed list. A type that is not here cannot leave."""
