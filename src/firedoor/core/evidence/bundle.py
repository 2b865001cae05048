"""An evidence bundle: what is chosen, what is in it, who handed it out and why. Pure.

A bundle is a folder (or a zip of one) with ``custody.json`` and the files that it names, each with its SHA-256::

    custody.json            who, when, why, what was chosen, what does not verify, SHA-256 of every file below
    custody.sig.json        SHA-256 of custody.json, and the signature of the person who made the bundle, if one signed
    README.md, verify.py    for the receiver
    policy                  C2SP tlog-policy: keys of the logs and witnesses, and the quorum
    log/SLOT/checkpoint     a slot's log, C2SP tlog-tiles: whole, so that nothing can be left out
    log/SLOT/cosigned       the newest checkpoint that came back from witnesses, if it is another
    log/SLOT/tile/…         its hash tiles and entry bundles
    timestamps/…            RFC 3161 tokens over checkpoints of the region's log
    bodies/SLOT/SEQ         chosen bodies, sealed as they lie in the region
    record-keys.age         for each of these bodies the one key that opens it alone, sealed to the receiver (age)
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from firedoor.core.evidence.leaf import Leaf
from firedoor.core.evidence.record import OPERATIONS
from firedoor.core.evidence.retention import Window
from firedoor.core.patterns import END
from firedoor.core.people import KEY_PREFIX, Signed, raw_key
from firedoor.core.plan.model import Loaded
from firedoor.errors import EvidenceDamaged

FORMAT: Final = "firedoor/custody/1"
KEYS_FORMAT: Final = "firedoor/record-keys/1"
CUSTODY: Final = "custody.json"
CUSTODY_SIGNATURE: Final = "custody.sig.json"
POLICY: Final = "policy"
RECORD_KEYS: Final = "record-keys.age"
README: Final = "README.md"
SCRIPT: Final = "verify.py"

CUSTODY_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of custody.json: about 400,000 files, a tenth of a billion records or as many bodies as anybody can read."""
SIGNATURE_LIMIT: Final = 16 * 1024
CHOSEN: Final = 100_000
"""Exchanges or keys of one selection."""

_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9][A-Za-z0-9._-]{0,99}){0,11}", re.ASCII)

Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}" + END)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Exchange = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,120}" + END)]
KeyId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}" + END)]
Text = Annotated[str, Meta(max_length=4000)]


class Selection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What people asked for: any of these exchanges, records under any of these keys of subjects, any of these windows.

    `surface`, `since` and `until` (excluded; Unix microseconds) narrow all of it; alone they are about every exchange.
    `incident` says where the rest came from.
    """

    exchanges: Annotated[tuple[Exchange, ...], Meta(max_length=CHOSEN)] = ()
    keys: Annotated[tuple[KeyId, ...], Meta(max_length=CHOSEN)] = ()
    windows: Annotated[tuple[Window, ...], Meta(max_length=100)] = ()
    surface: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,62}" + END)] | None = None
    since: Count | None = None
    until: Count | None = None
    incident: Annotated[str, Meta(max_length=200)] | None = None

    @property
    def content(self) -> bytes:
        """The bytes that are hashed: a line that says what this is, and canonical JSON."""
        return b"firedoor/selection/1\n" + msgspec.json.encode(self, order="sorted")

    @property
    def digest(self) -> str:
        """What people sign: SHA-256 (hex) of the content."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def named(self) -> bool:
        """Whether it names exchanges, keys or windows."""
        return bool(self.exchanges or self.keys or self.windows)

    @property
    def empty(self) -> bool:
        """Whether nothing was asked for: that is never taken for everything."""
        return not self.named and self.surface is None and self.since is None and self.until is None


class Chooser:
    """Tells which records a selection is about."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self._exchanges = frozenset(selection.exchanges)
        self._keys = frozenset(selection.keys)

    def record(self, leaf: Leaf) -> bool:
        """Whether this record is chosen."""
        chosen = self.selection
        if not _within(leaf, chosen.since, chosen.until) or not _on(leaf, chosen.surface):
            return False
        if not chosen.named:
            return bool(leaf.exchange)
        if leaf.exchange in self._exchanges or leaf.key in self._keys:
            return True
        return bool(leaf.exchange) and any(
            _within(leaf, window.since, window.until) and _on(leaf, window.surface) for window in chosen.windows
        )

    def body(self, leaf: Leaf, *, notes: bool = False) -> bool:
        """Whether the body of this record is chosen: what was said, and with `notes` what people wrote about it."""
        if leaf.body is None or not self.record(leaf):
            return False
        return leaf.body.retention != OPERATIONS or (notes and leaf.exchange in self._exchanges)


def _within(leaf: Leaf, since: int | None, until: int | None) -> bool:
    return (since is None or leaf.at >= since) and (until is None or leaf.at < until)


def _on(leaf: Leaf, surface: str | None) -> bool:
    if surface is None:
        return True
    return leaf.facts.get("surface") == surface or (leaf.body is not None and leaf.body.retention == surface)


class LogIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A log of the bundle: journal slot, and the checkpoint's origin, size and root (hex)."""

    slot: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_.-]{0,62}" + END)]
    origin: Text
    size: Count
    root: Hash


class BodyIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A chosen body: in the bundle, or why it is not."""

    slot: Text
    seq: Count
    state: Literal["included", "erased", "expired", "missing"]


class Problem(Struct, frozen=True, forbid_unknown_fields=True):
    """Something that did not verify when the bundle was made."""

    file: Text
    problem: Text


class SignatureIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A person's signature (base64) and the public key (``ed25519:`` and base64) that the plan had for them."""

    by: Text
    key: Text
    value: Text


class SignedIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A signed request: the exact text that was signed, and by whom. `approved_at` is Unix seconds."""

    content: Text
    signatures: Annotated[tuple[SignatureIn, ...], Meta(min_length=1, max_length=2)]
    approved_at: Count | None = None


class Custody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The manifest. `made_at` is Unix seconds, `plan` the SHA-256 of the plan, `region_log` the region log's slot.

    `by` is a person's id, or ``uid:N`` where nobody signed. `files` gives the SHA-256 (hex) of every other file but
    ``custody.sig.json``, by path.
    """

    format: Literal["firedoor/custody/1"] = FORMAT
    region: Text
    made_at: Count
    by: Text
    reason: Text
    tool: Text
    plan: Hash
    selection: Selection
    selection_sha256: Hash
    recipient: Text | None
    approval: SignedIn | None
    region_log: Text
    logs: tuple[LogIn, ...]
    bodies: tuple[BodyIn, ...]
    problems: tuple[Problem, ...]
    files: dict[str, Hash]

    def encode(self) -> bytes:
        """The file: sorted keys, one thing a line."""
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=1) + b"\n"


class CustodySignature(Struct, frozen=True, forbid_unknown_fields=True):
    """What binds custody.json: its SHA-256, and the signed `export` act that names it, if a person signed."""

    custody: Hash
    signed: SignedIn | None = None

    def encode(self) -> bytes:
        """The file: canonical JSON, so that there is one way to write it."""
        return msgspec.json.encode(self, order="sorted")


class RecordKey(Struct, frozen=True, forbid_unknown_fields=True):
    """The AES-256-GCM key (32 bytes, hex) that opens one body and nothing else."""

    slot: str
    seq: int
    key: Hash


class RecordKeys(Struct, frozen=True, forbid_unknown_fields=True):
    """What is sealed to the receiver."""

    region: str
    keys: tuple[RecordKey, ...]
    format: Literal["firedoor/record-keys/1"] = KEYS_FORMAT

    def encode(self) -> bytes:
        """The clear text of ``record-keys.age``."""
        return msgspec.json.encode(self, order="sorted")


def signed_in(signed: Signed, loaded: Loaded, approved_at: int | None = None) -> SignedIn:
    """A signed act as custody carries it, with the plan's keys of those who signed."""
    keys = {s.by: base64.b64encode(raw_key(loaded.plan.people[s.by])).decode() for s in signed.signatures}
    signatures = tuple(SignatureIn(s.by, KEY_PREFIX + keys[s.by], s.value) for s in signed.signatures)
    return SignedIn(signed.act.content.decode(), signatures, approved_at)


def check_path(path: str) -> str:
    """`path` if a bundle may hold a file of that name. Raises `EvidenceDamaged`."""
    if _PATH.fullmatch(path) is None:
        raise EvidenceDamaged("A bundle names a file outside of itself, or with characters that no file of one has.")
    return path


def decode_custody(data: bytes) -> Custody:
    """Read custody.json. Raises `EvidenceDamaged`."""
    try:
        custody = msgspec.json.decode(data, type=Custody)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EvidenceDamaged(f"{CUSTODY} is not of the expected shape.") from error
    for path in custody.files:
        check_path(path)
    if custody.encode() != data:
        raise EvidenceDamaged(f"{CUSTODY} is not written the one way it can be.")
    return custody


def decode_signature(data: bytes) -> CustodySignature:
    """Read custody.sig.json. Raises `EvidenceDamaged`."""
    try:
        signature = msgspec.json.decode(data, type=CustodySignature)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EvidenceDamaged(f"{CUSTODY_SIGNATURE} is not of the expected shape.") from error
    if signature.encode() != data:
        raise EvidenceDamaged(f"{CUSTODY_SIGNATURE} is not written the one way it can be.")
    return signature
