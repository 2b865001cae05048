#!/usr/bin/env python3
"""Check an evidence bundle of Firedoor without Firedoor, without a network, without trusting who made it.

    python verify.py BUNDLE [--policy FILE] [--keys record-keys.json] [--show] [--json]

BUNDLE is the folder or the zip file. Needs Python 3.9 or newer and the package `cryptography`.
Exit status: 0 everything verifies; 1 something does not, and is named; 2 called wrongly.

 1. custody.json is the one that custody.sig.json names; persons' signatures are theirs (Ed25519, RFC 8032).
 2. Every file has the SHA-256 that custody.json says; none is missing, none is there besides.
 3. Checkpoints are signed by their log (C2SP signed-note, tlog-checkpoint), the region's is cosigned by a quorum of
    witnesses (C2SP tlog-cosignature, tlog-policy). ML-DSA-44 signatures are checked if the installed `cryptography`
    knows them (48 or newer does); if not, the report says that nobody looked at them.
 4. Every record -> leaf hash -> every hash tile -> the checkpoint's root (RFC 6962, 2.1; C2SP tlog-tiles). Every record
    holds the SHA-256 of the one before it, in JSON that can be written in one way only (as RFC 8785).
 5. Every checkpoint of a log that the region's log ever recorded is a state that the log went through, and the one in
    the bundle is the newest of them: so the region's witnesses vouch for it.
 6. Every body has the SHA-256 that its record says. For a body that is gone, a later record says why.
 7. With --keys, bodies open (C2SP XAES-256-GCM, by the derived key of that one message). --show prints them.

Which keys are right this script cannot know: without --policy it takes them from the bundle. Get the policy, or the
keys in it, from somebody you trust, and compare. A bundle may be hostile: nothing in it is executed or unpacked, and
every size is bounded before it is read.
"""
# ruff: noqa: D102, D103, EXE001, ICN001, PTH112, PTH118, PTH123, T201, UP031  one plain file, for any Python

from __future__ import annotations

import argparse
import base64
import datetime
import json
import os
import re
import stat
import sys
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

try:
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
except ImportError:  # an older cryptography
    MLDSA44PublicKey = None  # type: ignore[assignment,misc]

MIB = 1024 * 1024
LARGE = 64 * MIB  # custody.json (some 400,000 files) and record keys
SMALL = MIB  # policy, signatures, a checkpoint with 64 witnesses of 7 kB
TILE = 256 * 32  # tlog-tiles: a tile is up to 256 hashes
BUNDLE = 256 * (2 + 65535)  # tlog-tiles: a bundle is up to 256 entries, each behind its length in two bytes
BODY = 32 * MIB
FILES = 2_000_000
PROBLEMS = 1000  # named one by one; more are only counted
PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9][A-Za-z0-9._-]{0,99}){0,11}")


class Wrong(Exception):
    """Something does not verify: where, and what is wrong with it."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")
        self.where, self.what = where, what


class Report:
    """What was found: `wrong` decides about the exit status. Used as a context, it notes a `Wrong` and goes on."""

    def __init__(self) -> None:
        self.wrong: list[tuple[str, str]] = []
        self.more = 0
        self.notes: list[str] = []
        self.facts: dict[str, Any] = {}
        self.shown: list[dict[str, str]] = []

    def add(self, where: str, what: str) -> None:
        if len(self.wrong) < PROBLEMS:
            self.wrong.append((where, what))
        else:
            self.more += 1

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        if isinstance(error, Wrong):
            self.add(error.where, error.what)
        return isinstance(error, Wrong)


# ---- Reading: a folder, or a zip file that is never unpacked ---------------------------------------------------------


class Folder:
    """Files of a folder. Links and special files are refused, so that nothing outside of it is read."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.sizes: dict[str, int] = {}
        for place, folders, files in os.walk(path):
            for name in folders + files:
                full = os.path.join(place, name)
                info, below = os.lstat(full), os.path.relpath(full, path).replace(os.sep, "/")
                if not (stat.S_ISDIR(info.st_mode) or stat.S_ISREG(info.st_mode)) or not PATH.fullmatch(below):
                    raise Wrong(ascii(below), "is a link, a special file, or has a name that no bundle has")
                if stat.S_ISREG(info.st_mode):
                    self.sizes[below] = info.st_size
            if len(self.sizes) > FILES:
                raise Wrong(path, f"has more than {FILES} files")

    def open(self, name: str) -> IO[bytes]:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        return os.fdopen(os.open(os.path.join(self.path, *name.split("/")), flags), "rb")


class Zip:
    """Members of a zip file, stored or deflated, read up to a bound."""

    def __init__(self, path: str) -> None:
        self.zip = zipfile.ZipFile(path)
        self.infos: dict[str, zipfile.ZipInfo] = {}
        infos = [info for info in self.zip.infolist() if not info.is_dir()]
        tops = {info.filename.partition("/")[0] for info in infos}
        prefix = f"{tops.pop()}/" if len(tops) == 1 and len(infos) > 1 else ""  # zipped by hand, with its folder
        for info in infos:
            name = info.filename[len(prefix) :]
            if not PATH.fullmatch(name) or name in self.infos or len(infos) > FILES:
                raise Wrong(ascii(info.filename), "has a name that no bundle has, is there twice, or one of too many")
            if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise Wrong(name, "is encrypted, or packed in an unusual way")
            self.infos[name] = info
        self.sizes = {name: info.file_size for name, info in self.infos.items()}

    def open(self, name: str) -> IO[bytes]:
        return self.zip.open(self.infos[name])


class Bundle:
    """A bundle's files, each compared with its SHA-256 in custody.json when it is first read."""

    def __init__(self, path: str, report: Report) -> None:
        self.place = Folder(path) if os.path.isdir(path) else Zip(path)
        self.report = report
        self.names = self.place.sizes.keys()
        self.hashes: dict[str, str] = {}
        self.checked: set[str] = set()

    def read(self, name: str, limit: int) -> bytes:
        """The whole of a file, at most `limit` bytes."""
        if name not in self.names:
            raise Wrong(name, "is missing")
        size = self.place.sizes[name]
        if size > limit:
            raise Wrong(name, f"has more than {limit} bytes")
        try:
            with self.place.open(name) as file:
                data = file.read(size + 1)
        except Exception as error:  # zipfile and zlib raise a dozen kinds for damaged input
            raise Wrong(name, f"cannot be read ({type(error).__name__})") from error
        if name in self.hashes and name not in self.checked:
            self.checked.add(name)
            if sha256(data).hexdigest() != self.hashes[name]:
                self.report.add(name, "its SHA-256 is not the one in custody.json: it was changed")
        return data

    def read_rest(self) -> None:
        """What nothing else had to read."""
        for name in sorted(self.names - {"custody.json", "custody.sig.json"} - self.hashes.keys()):
            self.report.add(name, "is not named in custody.json")
        for name in sorted(self.hashes.keys() - self.checked):
            with self.report:
                self.read(name, LARGE)


# ---- JSON and base64, in the one way they can be written -------------------------------------------------------------


def refuse(text: str) -> Any:
    raise ValueError(text)


def whole(text: str) -> int:
    """A number of up to 20 digits; converting longer ones takes time."""
    return int(text) if len(text) <= 20 else refuse(text)


def fraction(text: str) -> float:
    """RFC 8785 writes 1.0 as 1; exponents and longer fractions, which it writes in its own way, are in no record."""
    value = float(text)
    return refuse(text) if value.is_integer() or "e" in text.lower() else value


DECODER = json.JSONDecoder(parse_constant=refuse, parse_int=whole, parse_float=fraction)
ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def parse_json(data: bytes, where: str) -> Any:
    try:
        return DECODER.decode(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Wrong(where, "is not JSON") from error


def canonical(value: Any) -> bytes:
    """Sorted keys, no spaces. For what a bundle may hold this is RFC 8785: text, whole numbers, short fractions."""
    return ENCODER.encode(value).encode("utf-8", "surrogatepass")


def unbase64(text: str, where: str) -> bytes:
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, AttributeError) as error:
        raise Wrong(where, "has something that is not base64") from error
    if not data or base64.b64encode(data).decode() != text:
        raise Wrong(where, "has base64 that is not written as it must be")
    return data


# ---- Signed notes, checkpoints and trust policies (C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-policy) -

ED25519, COSIGNER_ED25519, COSIGNER_MLDSA44 = 1, 4, 6
KEY_LENGTHS = {ED25519: 32, COSIGNER_ED25519: 32, COSIGNER_MLDSA44: 1312}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:/-]{0,199}")


class Checkpoint:
    """A signed note of three lines: origin, size, root. `signatures`: (name, id, payload), none of them verified."""

    def __init__(self, data: bytes, where: str) -> None:
        text, _, lines = data.rpartition(b"\n\n")
        self.where, self.text = where, text + b"\n"
        try:
            self.origin, size, root = text.decode("ascii").split("\n")
            *signatures, end = lines.decode("utf-8").split("\n")
        except ValueError as error:
            raise Wrong(where, "is not a checkpoint of three lines and signatures") from error
        if not NAME.fullmatch(self.origin) or not re.fullmatch("(0|[1-9][0-9]{0,18})", size) or end:
            raise Wrong(where, "is not a checkpoint")
        self.size, self.root = int(size), unbase64(root, where)
        self.signatures = [self._signature(line) for line in signatures]
        if self.size >= 2**63 or len(self.root) != 32 or not 1 <= len({s[:2] for s in self.signatures}) <= 132:
            raise Wrong(where, "has an impossible size or root, no signatures or too many")

    def _signature(self, line: str) -> tuple[str, str, bytes]:
        _, name, encoded = [*line.split(" "), "", ""][:3]
        data = unbase64(encoded, self.where)
        if line != f"\u2014 {name} {encoded}" or not NAME.fullmatch(name) or not 4 < len(data) <= 8196:
            raise Wrong(self.where, "has a line that is not a signature")
        return name, data[:4].hex(), data[4:]


class Vkey:
    """A verifier key: name, kind (one byte), public key. Its id is the first four bytes of a hash of all three."""

    def __init__(self, name: str, kind: int, key: bytes) -> None:
        self.name, self.kind, self.key = name, kind, key
        self.id = sha256(b"%s\n%c%s" % (name.encode(), kind, key)).hexdigest()[:8]

    def verify(self, checkpoint: Checkpoint, payload: bytes) -> bool:
        """Whether somebody could look (ML-DSA-44 needs a new `cryptography`). Raises Wrong if it does not verify."""
        time, signature = (b"", payload) if self.kind == ED25519 else (payload[:8], payload[8:])
        message = checkpoint.text
        if self.kind == COSIGNER_ED25519:
            message = b"cosignature/v1\ntime %d\n%s" % (int.from_bytes(time, "big"), checkpoint.text)
        elif self.kind == COSIGNER_MLDSA44:
            name, origin = self.name.encode(), checkpoint.origin.encode()
            parts = (b"subtree/v1\n\0", bytes([len(name)]), name, time, bytes([len(origin)]), origin, bytes(8))
            message = b"".join((*parts, checkpoint.size.to_bytes(8, "big"), checkpoint.root))
        try:
            if time[:1] > b"\x7f":
                raise ValueError("a time beyond 2^63")
            if self.kind != COSIGNER_MLDSA44:
                Ed25519PublicKey.from_public_bytes(self.key).verify(signature, message)
            elif MLDSA44PublicKey is None:
                return False
            else:
                MLDSA44PublicKey.from_public_bytes(self.key).verify(signature, message)
        except (InvalidSignature, ValueError) as error:
            raise Wrong(checkpoint.where, f"a signature by {self.name} does not verify") from error
        return True


def parse_vkey(text: str, where: str) -> Vkey:
    """``name+id+base64`` (signed-note)."""
    name, id_, encoded = ([*text.split("+", 2), "", ""])[:3]
    data = unbase64(encoded, where)
    key = Vkey(name, data[0], data[1:])
    if not NAME.fullmatch(name) or KEY_LENGTHS.get(key.kind) != len(key.key) or key.id != id_:
        raise Wrong(where, "has a verifier key of an unknown kind or length, or with an id that is not its own")
    return key


class Policy:
    """Which logs and witnesses are known, and how many witnesses make a quorum (C2SP tlog-policy)."""

    def __init__(self, data: bytes, where: str) -> None:
        self.logs: list[Vkey] = []
        self.witnesses: dict[str, Vkey] = {}
        self.groups: dict[str, tuple[int, set[str]]] = {}
        self.quorum = ""
        try:
            lines = data.decode("ascii").split("\n")
        except ValueError as error:
            raise Wrong(where, "is not ASCII") from error
        for number, line in enumerate(lines, 1):
            items = line.split()
            if items and not items[0].startswith("#"):
                self._line(items, f"{where}, line {number}")
        if not self.quorum or len(lines) > 2000:
            raise Wrong(where, "has no quorum, or too many lines")

    def _line(self, items: list[str], where: str) -> None:
        names = {"none", *self.witnesses, *self.groups}
        word, count = items[0], len(items)
        if word == "log" and count in (2, 3):
            self.logs.append(parse_vkey(items[1], where))
        elif word == "witness" and count in (3, 4) and items[1] not in names:
            self.witnesses[items[1]] = parse_vkey(items[2], where)
        elif word == "group" and count > 3 and items[1] not in names and names.issuperset(items[3:]):
            members = set(items[3:]) - {"none"}
            needs = {"any": 1, "all": len(members)}.get(items[2]) or int(items[2] if items[2].isdecimal() else 0)
            if not 1 <= needs <= len(members) == count - 3:
                raise Wrong(where, "is a group that cannot be")
            self.groups[items[1]] = needs, members
        elif word == "quorum" and count == 2 and not self.quorum and items[1] in names:
            self.quorum = items[1]
        else:
            raise Wrong(where, "is not a log, witness, group or (one) quorum line")

    def check_log(self, checkpoint: Checkpoint, report: Report, *, every: bool) -> None:
        """The log must have signed: with `every` one of its keys, or with one of them (as its region recorded it).

        The logs NAME/SLOT of one host share the keys of the region's log, NAME/checkpoints.
        """
        parent = checkpoint.origin.rpartition("/")[0] + "/"
        keys = [key for key in self.logs if key.name == checkpoint.origin] or [
            Vkey(checkpoint.origin, key.kind, key.key)
            for key in self.logs
            if key.name.rpartition("/")[0] + "/" == parent != "/"
        ]
        signed, unseen = _signers(checkpoint, keys)
        if not signed or (every and len(signed) + len(unseen) < len(keys)):
            raise Wrong(checkpoint.where, "is not signed by this log's keys in the policy")
        if unseen:
            report.notes.append(f"{checkpoint.where}: nobody looked at its ML-DSA-44 signature (old cryptography)")

    def cosigners(self, checkpoint: Checkpoint) -> tuple[list[str], bool, bool]:
        """Names of the witnesses that cosigned, whether they are a quorum, whether some could not be looked at."""
        signed, unseen = _signers(checkpoint, list(self.witnesses.values()))
        # What could not be looked at counts only beside a good signature of the same witness's other key.
        unseen = [key for key in unseen if key.name in {one.name for one in signed}]
        names = {"none"} | {name for name, key in self.witnesses.items() if key in signed + unseen}
        for name, (needs, members) in self.groups.items():
            if len(names & members) >= needs:
                names.add(name)
        return sorted({key.name for key in signed}), self.quorum in names, bool(unseen)


def _signers(checkpoint: Checkpoint, keys: list[Vkey]) -> tuple[list[Vkey], list[Vkey]]:
    """Which of `keys` signed, and which of those could not be looked at."""
    found: tuple[list[Vkey], list[Vkey]] = [], []
    for name, id_, payload in checkpoint.signatures:
        for key in keys:
            if (key.name, key.id) == (name, id_):
                found[0 if key.verify(checkpoint, payload) else 1].append(key)
    return found


# ---- Records: one line of JSON each ----------------------------------------------------------------------------------

FIELDS = ["at", "body", "exchange", "facts", "key", "kind", "prev", "region", "seq", "session", "slot", "subject", "v"]
BODY_FIELDS = ["file", "length", "offset", "retention", "sha256"]
PLAIN = bytes(byte for byte in range(32, 127) if byte != 92)  # printable ASCII without the backslash
TEXT, NUMBER, ID_TEXT = '"[^"]*"', "(?:0|[1-9][0-9]{0,14})", '(?:null|"[^"]{32}")'
BODY_TEXT = (
    rf'(?:null|\{{"file":{NUMBER},"length":{NUMBER},"offset":{NUMBER},"retention":{TEXT},"sha256":"[^"]{{64}}"\}})'
)
SHAPES = 8  # remembered for each kind of record


class Records:
    """Checks the records of one slot, one after another: shape, chain, canonical form.

    Reading JSON takes far longer than all hashes together. So when a record was read and found good, a pattern is made
    of its shape: the names of its facts as they are, in order, and the kind of each value. A later record of a known
    shape has been checked by that alone, and is read only if somebody needs what it says. In plain text (printable
    ASCII, no backslash) a quote ends a text and nothing else, so a pattern accepts nothing that reading would refuse.
    """

    def __init__(self, region: str, slot: str, kinds: set[str], wanted: set[int]) -> None:
        self.region, self.slot, self.seq, self.prev = region, slot, 0, b"0" * 64
        self.kinds, self.wanted = kinds, wanted
        self.shapes: dict[bytes, tuple[bool, list[Any]]] = {}

    def follow(self, entries: list[bytes], see: Callable[[Any], None]) -> None:
        """Check the next records. What those say that are of `kinds`, or whose number is `wanted`, goes to `see`."""
        shapes, wanted, prev, seq = self.shapes, self.wanted, self.prev, self.seq
        plain = not b"".join(entries).translate(None, PLAIN)
        for data in entries:
            seq += 1
            start = data.rfind(b'"kind":"')
            key = data[start : start + 16]
            needed, known = shapes.get(key, (True, []))
            good = False
            if plain or not data.translate(None, PLAIN):
                for place, shape in enumerate(known):
                    match = shape(data)
                    if match is not None:
                        good = match[1] == prev and int(match[2]) == seq
                        if place:  # what is found more often is tried earlier
                            known[place - 1], known[place] = shape, known[place - 1]
                        break
            if needed or not good or seq in wanted:
                self.prev, self.seq = prev, seq
                leaf = self._read(data)
                see(leaf)
                if not good:
                    self._learn(key, leaf)
            prev = sha256(data).hexdigest().encode()
        self.prev, self.seq = prev, seq

    def _read(self, data: bytes) -> Any:
        where = f"record {self.slot}#{self.seq}"
        leaf = parse_json(data, where)
        if type(leaf) is not dict or sorted(leaf) != FIELDS or canonical(leaf) != data:
            raise Wrong(where, "is not a record, or not written the one way it can be")
        body, optional = leaf["body"], (leaf["key"], leaf["subject"], leaf["session"])
        good = all(type(leaf[name]) is str for name in ("exchange", "kind", "prev", "region", "slot"))
        good = good and all(type(leaf[name]) is int and 0 <= leaf[name] < 2**53 for name in ("at", "seq"))
        good = good and type(leaf["facts"]) is dict and leaf["v"] == 2
        good = good and all(text is None or (type(text) is str and len(text) == 32) for text in optional)
        if body is not None:
            good = good and type(body) is dict and sorted(body) == BODY_FIELDS and leaf["key"] is not None
            good = good and all(type(body[name]) is int and 0 <= body[name] < 2**53 for name in BODY_FIELDS[:3])
            good = good and type(body["retention"]) is str and type(body["sha256"]) is str and len(body["sha256"]) == 64
        if not good:
            raise Wrong(where, "is not a record of this version")
        if (leaf["region"], leaf["slot"], leaf["seq"]) != (self.region, self.slot, self.seq):
            raise Wrong(where, "belongs to another region or slot, or has another number: one is missing or moved")
        if leaf["prev"] != self.prev.decode():
            raise Wrong(where, "does not follow from the record before it: one of the two was changed")
        return leaf

    def _learn(self, key: bytes, leaf: Any) -> None:
        """Make the pattern of a good record's shape, if all of it is simple. `key` is how it will be looked up."""
        _, known = self.shapes.setdefault(key, (leaf["kind"] in self.kinds, []))
        facts = self._object({name: self._pattern(value) for name, value in leaf["facts"].items()})
        if facts is None or len(known) >= SHAPES or len(self.shapes) > SHAPES**2:
            return
        kind, region, slot = (re.escape(leaf[name]) for name in ("kind", "region", "slot"))
        time = "(?:[1-8][0-9]{15}|[1-9][0-9]{0,14})"
        head = rf'\{{"at":{time},"body":{BODY_TEXT},"exchange":{TEXT},"facts":{facts},"key":{ID_TEXT}'
        chain = rf'"kind":"{kind}","prev":"([^"]{{64}})","region":"{region}","seq":([1-9][0-9]{{0,14}})'
        tail = rf'"session":{ID_TEXT},"slot":"{slot}","subject":{ID_TEXT},"v":2\}}'
        known.append(re.compile(f"{head},{chain},{tail}".encode()).fullmatch)

    def _pattern(self, value: Any) -> str | None:
        """The pattern of a simple value; None for any other."""
        if type(value) is dict:
            return self._object({name: NUMBER if type(one) is int else None for name, one in value.items()})
        simple = {str: TEXT, int: NUMBER, bool: "(?:true|false)", type(None): "null"}
        return simple.get(type(value))

    def _object(self, patterns: dict[str, str | None]) -> str | None:
        if not all(pattern and re.fullmatch("[A-Za-z0-9_]{1,63}", name) for name, pattern in patterns.items()):
            return None
        return r"\{%s\}" % ",".join(f'"{name}":{pattern}' for name, pattern in patterns.items())


# ---- A log: records in entry bundles, their hashes in tiles (RFC 6962, 2.1; C2SP tlog-tiles) -------------------------


def parents(row: bytes) -> bytes:
    """Hashes side by side -> the row above them."""
    return b"".join([sha256(b"\1" + row[at : at + 64]).digest() for at in range(0, len(row), 64)])


def tile_name(index: int, width: int) -> str:
    high, low = divmod(index, 1000)
    name = f"{low:03d}"
    while high:
        high, low = divmod(high, 1000)
        name = f"x{low:03d}/{name}"
    return name if width == 256 else f"{name}.p/{width}"


class Log:
    """One slot's log, read once from its first record to its last, in bounded memory."""

    def __init__(self, bundle: Bundle, slot: str, custody: Any, policy: Policy, see: Callable[[Any], None]) -> None:
        self.bundle, self.folder, self.report, self.see = bundle, f"log/{slot}", bundle.report, see
        self.checkpoint = Checkpoint(bundle.read(f"{self.folder}/checkpoint", SMALL), f"{self.folder}/checkpoint")
        policy.check_log(self.checkpoint, self.report, every=slot == custody["region_log"])
        kinds = {"erasure", "expiry"} | ({"checkpoint"} if slot == custody["region_log"] else set())
        wanted = {one["seq"] for one in custody["bodies"] if one["slot"] == slot}
        self.records = Records(custody["region"], slot, kinds, wanted)
        self.size, self.done, self.read = self.checkpoint.size, 0, 0
        self.waiting: list[bytes] = []  # hashes of records that are read and not yet in the tree
        self.peaks: list[bytes] = []  # roots of perfect subtrees, the largest first
        self.rows: dict[int, list[bytes]] = {}  # hashes gathered for the tiles of each level

    def advance(self, size: int) -> bytes:
        """The root over the first `size` records, after checking each of them."""
        while self.read < size:
            self._read_bundle()
            if size >= self.read and len(self.waiting) == 256 and self.done % 256 == 0:
                row, self.waiting = b"".join(self.waiting), []  # a whole bundle at once: the same hashes, made faster
                while len(row) > 32:
                    row = parents(row)
                self._push(row, 8)
        count = size - self.done
        for hash_ in self.waiting[:count]:
            self._push(hash_, 0)
        self.waiting = self.waiting[max(count, 0) :]
        if not self.peaks:
            return sha256(b"").digest()
        root = self.peaks[-1]
        for peak in self.peaks[-2::-1]:
            root = sha256(b"\1" + peak + root).digest()
        return root

    def finish(self) -> None:
        """The rest of the log, the tiles at its right edge, and the root that the checkpoint signs."""
        root = self.advance(self.size)
        for level in range(1, 9):
            if self.rows.get(level):
                self._compare_tile(level, (self.size >> 8 * level) // 256, b"".join(self.rows[level]))
        if root != self.checkpoint.root:
            self.report.add(f"{self.folder}/checkpoint", "its root is not that of the records: they are other records")

    def _push(self, hash_: bytes, height: int) -> None:
        """A subtree of 2**height records joins the tree on its right (RFC 6962, 2.1)."""
        above = self.done >> height
        self.done += 1 << height
        while True:
            if height and height % 8 == 0:
                row = self.rows.setdefault(height // 8, [])
                row.append(hash_)
                if len(row) == 256:
                    self._compare_tile(height // 8, above // 256, b"".join(row))
                    row.clear()
            if not above & 1:
                break
            hash_, above, height = sha256(b"\1" + self.peaks.pop() + hash_).digest(), above >> 1, height + 1
        self.peaks.append(hash_)

    def _compare_tile(self, level: int, index: int, made: bytes) -> None:
        name = f"{self.folder}/tile/{level}/{tile_name(index, len(made) // 32)}"
        with self.report:
            if self.bundle.read(name, TILE) != made:
                raise Wrong(name, "its hashes are not those of what lies below it")

    def _read_bundle(self) -> None:
        """The next entry bundle: check every record in it, and the tile of their hashes."""
        index, width = self.read // 256, min(256, self.size - self.read)
        name = f"{self.folder}/tile/entries/{tile_name(index, width)}"
        data = self.bundle.read(name, BUNDLE)
        entries, at = [], 0
        for _ in range(width):
            start = at + 2
            at = start + int.from_bytes(data[at:start], "big")
            entries.append(data[start:at])
        if at != len(data) or not all(entries):
            raise Wrong(name, "does not hold exactly the records that the checkpoint says")
        self.records.follow(entries, self.see)
        self.waiting += [sha256(b"\0" + entry).digest() for entry in entries]
        self.read += width
        self._compare_tile(0, index, b"".join(self.waiting[-width:]))


class Region:
    """The region's log, read side by side with the logs whose checkpoints it recorded."""

    def __init__(self, log: Log, slots: list[Log], policy: Policy) -> None:
        self.log, self.policy, self.report, self.others = log, policy, log.report, log.see
        self.by_origin = {one.checkpoint.origin: one for one in slots}
        self.newest: dict[Log, int] = dict.fromkeys(slots, 0)  # size recorded last; -1 once the log is broken
        log.see = self.see

    def check(self) -> None:
        """All of it."""
        with self.report:
            self._check_quorum()
        self.log.finish()

    def _check_quorum(self) -> None:
        """A quorum's cosignatures on its checkpoint, or on the newest one that came back from witnesses."""
        bundle, found, older = self.log.bundle, self.log.checkpoint, f"{self.log.folder}/cosigned"
        names, quorum, unseen = self.policy.cosigners(found)
        if not quorum and older in bundle.names:
            cosigned = Checkpoint(bundle.read(older, SMALL), older)
            self.policy.check_log(cosigned, self.report, every=True)
            if cosigned.origin != found.origin or cosigned.size > found.size:
                raise Wrong(older, "is of another log, or of a larger one")
            if self.log.advance(cosigned.size) != cosigned.root:
                raise Wrong(older, "witnesses cosigned another history: records were rewritten")
            names, quorum, unseen = self.policy.cosigners(cosigned)
            found = cosigned
        if not quorum:
            self.report.add(found.where, f"has no quorum of witnesses: {', '.join(names) or 'none'} cosigned")
        self.report.facts["cosigned"] = {"by": names, "size": found.size, "of": self.log.size}
        if unseen:
            self.report.notes.append(f"{found.where}: nobody looked at ML-DSA-44 cosignatures (old cryptography)")

    def see(self, leaf: Any) -> None:
        """A checkpoint that the region recorded must be a state that its log went through."""
        self.others(leaf)
        origin = leaf["facts"].get("log")
        log = self.by_origin.get(origin) if type(origin) is str and leaf["kind"] == "checkpoint" else None
        if log is None or self.newest[log] < 0:
            return
        where = f"record {leaf['slot']}#{leaf['seq']}"
        with self.report:
            recorded = Checkpoint(str(leaf["facts"].get("note")).encode("utf-8", "replace"), where)
            if recorded.origin != origin or recorded.size < self.newest[log]:
                raise Wrong(where, "holds a checkpoint of another log, or an older one after a newer")
            if recorded.size <= log.size:
                self.newest[log] = -1
                if log.advance(recorded.size) != recorded.root:
                    raise Wrong(where, f"the region recorded another history of {log.folder}: records were rewritten")
                self.newest[log] = recorded.size

    def check_slot(self, log: Log) -> None:
        """The rest of a slot's log, and that its checkpoint is one that the region recorded."""
        if self.newest[log] >= 0:
            log.finish()
            if self.newest[log] != log.size:
                raise Wrong(f"{log.folder}/checkpoint", "is not in the region's log: no witness vouches for it")


# ---- Bodies: sealed content beside the records -----------------------------------------------------------------------


class Bodies:
    """The chosen bodies: compared with their records, opened if there are keys, explained if they are gone."""

    def __init__(self, bundle: Bundle, custody: Any, keys: dict[tuple[str, int], bytes] | None, *, show: bool) -> None:
        self.bundle, self.report, self.keys, self.show = bundle, bundle.report, keys, show
        self.states = {(one["slot"], one["seq"]): one["state"] for one in custody["bodies"]}
        self.gone: list[tuple[str, int, str, str]] = []  # slot, number, key, class and hour of bodies not included
        self.erased: dict[str, str] = {}  # key -> the record that says so
        self.expired: dict[str, list[tuple[str, list[Any]]]] = {}  # class and hour -> records, and what each kept
        self.counts = {"whole": 0, "opened": 0, "gone": 0}
        inside = {f"bodies/{slot}/{seq}" for (slot, seq), state in self.states.items() if state == "included"}
        for name in sorted(inside ^ {name for name in bundle.names if name.startswith("bodies/")}):
            self.report.add(name, "is missing" if name in inside else "is a body that custody.json does not list")

    def see(self, leaf: Any) -> None:
        """Take note of a record whose body was chosen, or that says what was destroyed."""
        number = f"{leaf['slot']}#{leaf['seq']}"
        facts = {name: value if type(value) is list else [] for name, value in leaf["facts"].items()}
        if leaf["kind"] == "erasure":
            for key in facts.get("keys", []):
                self.erased.setdefault(str(key), number)
        elif leaf["kind"] == "expiry":
            for hour_ in facts.get("hours", []):
                self.expired.setdefault(str(hour_), []).append((number, facts.get("kept", [])))
        state = self.states.pop((leaf["slot"], leaf["seq"]), None)
        if state is not None and leaf["body"] is None:
            self.report.add(f"record {number}", "has no body, but custody.json lists one")
        elif state == "included":
            with self.report:
                self._check(leaf, f"bodies/{leaf['slot']}/{leaf['seq']}", number)
        elif state is not None:
            hour_ = f"{leaf['body']['retention']}/{hour(leaf['at'])}"
            self.gone.append((leaf["slot"], leaf["seq"], leaf["key"], hour_))

    def _check(self, leaf: Any, name: str, number: str) -> None:
        sealed, body = self.bundle.read(name, BODY), leaf["body"]
        if len(sealed) != body["length"] or sha256(sealed).hexdigest() != body["sha256"]:
            raise Wrong(name, f"is not the body that record {number} names")
        self.counts["whole"] += 1
        if self.keys is None:
            return
        key = self.keys.pop((leaf["slot"], leaf["seq"]), b"")
        # XAES-256-GCM: the first 12 bytes of the nonce went into this key, the other 12 are AES-256-GCM's nonce.
        parts = (leaf["region"], leaf["slot"], leaf["key"], str(leaf["seq"]), leaf["kind"], leaf["exchange"])
        try:
            clear = AESGCM(key).decrypt(sealed[12:24], sealed[24:], "\0".join(("firedoor/body/2", *parts)).encode())
        except (InvalidTag, ValueError) as error:
            raise Wrong(name, "does not open: there is no key for it, or body, key or record is another's") from error
        self.counts["opened"] += 1
        if self.show:
            text = clear.decode("utf-8", "replace")
            text = "".join(c if c.isprintable() or c in "\n\t" else f"\\u{ord(c):04x}" for c in text)
            self.report.shown.append({"record": number, "exchange": leaf["exchange"], "body": text})

    def settle(self) -> None:
        """When all records are read: say why bodies are gone, and what was never found."""
        for slot, seq, key, hour_ in self.gone:
            expired = [
                number for number, kept in self.expired.get(hour_, ()) if not keeps(kept, f"{hour_}/{slot}", seq)
            ]
            if key in self.erased:
                self.report.notes.append(f"record {slot}#{seq}: body erased, erasure record {self.erased[key]}")
            elif expired:
                self.report.notes.append(f"record {slot}#{seq}: body expired, expiry record {expired[0]}")
            else:
                problem = "its body is not there, and no record says that it was destroyed"
                self.report.add(f"record {slot}#{seq}", problem)
        self.counts["gone"] = len(self.gone)
        for slot, seq in self.states:
            self.report.add(f"record {slot}#{seq}", "custody.json lists its body, but there is no such record")
        for slot, seq in self.keys or ():
            self.report.add(f"record {slot}#{seq}", "there is a key for it, but no body")
        self.report.facts["bodies"] = self.counts


def keeps(kept: list[Any], where: str, seq: int) -> bool:
    """Whether an expiry record's fact `kept` (CLASS/HOUR/SLOT:17-42,45) leaves the body of this record alone."""
    for text in kept:
        path, _, runs = str(text).partition(":")
        for run in runs.split(",") if path == where else ():
            first, _, last = run.partition("-")
            if first.isdecimal() and (last or first).isdecimal() and int(first) <= seq <= int(last or first):
                return True
    return False


def hour(at: int) -> str:
    """Unix microseconds -> the hour (UTC) as body folders are named: 2026-11-23T04."""
    days, hours = divmod(at // 3_600_000_000, 24)
    try:
        return f"{datetime.date.fromordinal(719163 + days).isoformat()}T{hours:02d}"
    except (ValueError, OverflowError):
        return ""


def read_keys(path: str) -> dict[tuple[str, int], bytes]:
    where = "the file of record keys"
    with open(path, "rb") as file:
        document = parse_json(file.read(LARGE), where)
    try:
        if document["format"] != "firedoor/record-keys/1":
            refuse("another format")
        return {(one["slot"], one["seq"]): bytes.fromhex(one["key"]) for one in document["keys"]}
    except (KeyError, TypeError, ValueError) as error:
        raise Wrong(where, "is not one: decrypt record-keys.age first, with `age -d`") from error


# ---- Custody: who handed this out, and who agreed --------------------------------------------------------------------

SHAPE = {"region": str, "by": str, "reason": str, "selection": dict, "selection_sha256": str, "region_log": str}
TABLES: dict[str, dict[str, type]] = {
    "logs": {"slot": str, "origin": str, "size": int, "root": str},
    "bodies": {"slot": str, "seq": int, "state": str},
    "problems": {"file": str, "problem": str},
}


def fits(value: Any, shape: dict[str, type]) -> bool:
    return type(value) is dict and all(type(value.get(name)) is kind for name, kind in shape.items())


def read_custody(bundle: Bundle) -> tuple[Any, Any, str]:
    """custody.json, what a person signed about it (None: nobody did), and its SHA-256."""
    data, seal = bundle.read("custody.json", LARGE), bundle.read("custody.sig.json", SMALL)
    custody, signature = parse_json(data, "custody.json"), parse_json(seal, "custody.sig.json")
    digest = sha256(data).hexdigest()
    if not fits(signature, {"custody": str}) or set(signature) != {"custody", "signed"} or canonical(signature) != seal:
        raise Wrong("custody.sig.json", "is not of the expected shape")
    if signature["custody"] != digest:
        raise Wrong("custody.json", "its SHA-256 is not the one in custody.sig.json: one of the two was changed")
    good = fits(custody, {**SHAPE, "files": dict, **dict.fromkeys(TABLES, list)})
    good = good and custody.get("format") == "firedoor/custody/1"
    good = good and all(fits(row, shape) for name, shape in TABLES.items() for row in custody[name])
    good = good and all(PATH.fullmatch(name) and type(value) is str for name, value in custody["files"].items())
    written = json.dumps(custody, indent=1, sort_keys=True, ensure_ascii=False) + "\n" if good else ""
    if written.encode("utf-8", "surrogatepass") != data:
        raise Wrong("custody.json", "is not of the expected shape, or not written the one way it can be")
    return custody, signature["signed"], digest


def check_signed(signed: Any, where: str, custody: Any, kind: str, persons: int, about: dict[str, Any]) -> list[str]:
    """Persons with different keys signed exactly this text (RFC 8032), and it is about this bundle; who they are."""
    try:
        content = signed["content"].encode()
        rows = [(str(one["by"]), one["key"], one["value"]) for one in signed["signatures"]]
        known = set(signed) == {"approved_at", "content", "signatures"}
        known = known and all(set(one) == {"by", "key", "value"} for one in signed["signatures"])
        act = parse_json(content.partition(b"\n")[2], where)
        people, args = [row[0] for row in rows], act["args"]
        good = known and content == b"firedoor/act/1\n" + canonical(act) and people[0] == act["by"]
        good = good and type(signed["approved_at"]) in (int, type(None))
        good = good and (act["region"], act["act"]) == (custody["region"], kind)
        good = good and len(rows) == len(set(people)) == len({row[1] for row in rows}) == persons
        for by, key, value in rows:
            public = Ed25519PublicKey.from_public_bytes(unbase64(key.replace("ed25519:", "", 1), where))
            try:
                public.verify(unbase64(value, where), content)
            except InvalidSignature as error:
                raise Wrong(where, f"the signature of {by!a} does not verify") from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise Wrong(where, "a signed request is not of the expected shape") from error
    if not good:
        raise Wrong(where, f"what was signed is not such a request, or not by {persons} with keys of their own")
    for name, wanted in {
        "selection": custody["selection_sha256"],
        "recipient": custody.get("recipient"),
        **about,
    }.items():
        if args.get(name) != wanted:
            raise Wrong(where, f"what was signed is about another {name}")
    return people


def check_persons(custody: Any, signed: Any, digest: str, report: Report) -> None:
    if sha256(b"firedoor/selection/1\n" + canonical(custody["selection"])).hexdigest() != custody["selection_sha256"]:
        report.add("custody.json", "its selection is not the one that was signed")
    if signed is None:
        report.notes.append("no person signed custody.json: who made this bundle is a claim")
    else:
        with report:
            about = {"manifest": digest, "reason": custody["reason"]}
            if check_signed(signed, "custody.sig.json", custody, "export", 1, about) != [custody["by"]]:
                raise Wrong("custody.sig.json", "was signed by another person than custody.json names")
    if custody.get("approval") is not None:
        with report:
            people = check_signed(custody["approval"], "custody.json", custody, "read_bodies", 2, {})
            report.facts["approved_by"] = people
    elif custody["bodies"]:
        report.add("custody.json", "there are bodies, but no approval by two persons")


# ---- All of it -------------------------------------------------------------------------------------------------------


def check_logs(bundle: Bundle, custody: Any, policy: Policy, see: Callable[[Any], None]) -> None:
    """Every log that custody.json names."""
    report, logs = bundle.report, dict[str, Log]()
    for one in custody["logs"]:
        with report:
            log = Log(bundle, one["slot"], custody, policy, see)
            if (log.checkpoint.origin, log.size, log.checkpoint.root.hex()) != (
                one["origin"],
                one["size"],
                one["root"],
            ):
                raise Wrong(log.checkpoint.where, "is not the checkpoint that custody.json names")
            logs[one["slot"]] = log
    region_log = logs.pop(custody["region_log"], None)
    region = Region(region_log, list(logs.values()), policy) if region_log is not None else None
    if region is None:
        report.add(f"log/{custody['region_log']}", "the region's log is missing: no witness vouches for anything here")
    else:
        with report:
            region.check()
    for log in logs.values():
        with report:
            region.check_slot(log) if region is not None else log.finish()
    every = [*logs.values(), *([region_log] if region_log is not None else [])]
    report.facts["records"] = sum(log.read for log in every)


def verify(path: str, policy_path: str | None = None, keys_path: str | None = None, *, show: bool = False) -> Report:
    """Check the bundle at `path`; the report says what was found. Raises OSError if it cannot be opened."""
    report = Report()
    with report:
        try:
            bundle = Bundle(path, report)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise Wrong(path, "is not a folder or a zip file") from error
        keys = read_keys(keys_path) if keys_path else None
        custody, signed, digest = read_custody(bundle)
        bundle.hashes = custody["files"]
        report.facts.update(manifest=digest, region=custody["region"], by=custody["by"], reason=custody["reason"])
        check_persons(custody, signed, digest, report)
        for one in custody["problems"]:
            report.notes.append(f"known when the bundle was made: {one['file']}: {one['problem']}")
        if policy_path:
            policy = Policy(Path(policy_path).read_bytes()[:SMALL], "the policy given")
        else:
            policy = Policy(bundle.read("policy", SMALL), "policy")
            report.notes.append("keys are those in the bundle itself: compare the file `policy` with one you trust")
        bodies = Bodies(bundle, custody, keys, show=show)
        check_logs(bundle, custody, policy, bodies.see)
        bodies.settle()
        bundle.read_rest()
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description="Check an evidence bundle. Exit status: 0 it verifies, 1 it does not.")
    parser.add_argument("bundle", help="folder or zip file")
    parser.add_argument("--policy", help="the trust policy to go by, instead of the one in the bundle")
    parser.add_argument("--keys", help="record keys: age -d -i key.txt BUNDLE/record-keys.age > record-keys.json")
    parser.add_argument("--show", action="store_true", help="print the bodies that --keys opens")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    args = parser.parse_args()
    try:
        report = verify(args.bundle, args.policy, args.keys, show=args.show)
    except OSError as error:
        parser.error(f"cannot be read: {error}")
    ok = not report.wrong
    if args.json:
        wrong = [{"file": where, "problem": what} for where, what in report.wrong]
        result = {"ok": ok, "wrong": wrong, "more": report.more, "notes": report.notes, **report.facts}
        print(json.dumps({**result, "shown": report.shown}))
        return 0 if ok else 1
    for one in report.shown:
        print(f"--- record {one['record']}, exchange {one['exchange']}\n{one['body']}")
    for name, value in report.facts.items():
        print(f"{name}: {json.dumps(value)}")
    for note in report.notes:
        print(f"note: {note!a}"[:2000])
    for where, what in report.wrong:
        print(f"WRONG {where}: {what}")
    print(f"and {report.more} more" if report.more else "", end="\n" if report.more else "")
    print("everything verifies" if ok else "DOES NOT VERIFY")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
