#!/usr/bin/env python3
"""Check an evidence bundle of Firedoor without Firedoor, without a network, without trusting who made it.

    python verify.py BUNDLE [--policy FILE] [--keys record-keys.json] [--show] [--json]

BUNDLE is the folder or the zip file. It needs Python 3.9 or newer and the package `cryptography`.
Exit status: 0 everything verifies; 1 something does not, and is named; 2 called wrongly.

What is checked, in this order:

 1. custody.json is the one that custody.sig.json names, and persons' signatures in both are theirs (Ed25519, RFC 8032).
 2. Every file of the bundle has the SHA-256 that custody.json says. No file is missing, none is there besides.
 3. Every log's checkpoint is signed by the log (C2SP signed-note, tlog-checkpoint), and the region's log is cosigned by
    a quorum of witnesses (C2SP tlog-cosignature, tlog-policy). ML-DSA-44 signatures are checked if the installed
    `cryptography` knows them (version 48 or newer); if not, the report says that nobody looked at them.
 4. Every record -> leaf hash -> every hash tile -> the checkpoint's root (RFC 6962, 2.1; C2SP tlog-tiles), and every
    record holds the SHA-256 of the one before it, in JSON that can be written in one way only (as RFC 8785).
 5. Every checkpoint of these logs that the region's log ever recorded is a state that the log really went through, and
    the checkpoint in the bundle is one of them: so the region's witnesses vouch for it.
 6. Every body in the bundle has the SHA-256 that its record says. For a body that is gone a later record says why.
 7. With --keys, bodies open (C2SP XAES-256-GCM, by the key of that one message). --show prints them.

Which keys are right, this script cannot know: without --policy it takes them from the bundle. Get the policy file, or
the keys in it, from somebody you trust, and compare. A bundle that is wrong can be wrong on purpose: nothing in it is
ever executed or unpacked, and every size is bounded before it is read.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import stat
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

try:
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
except ImportError:  # an older cryptography
    MLDSA44PublicKey = None

KIB, MIB = 1024, 1024 * 1024
CUSTODY_LIMIT = 64 * MIB  # some 400,000 files
SMALL_LIMIT = MIB  # policy, signature, key of a person, checkpoint (64 witnesses of 7 kB)
KEYS_LIMIT = 64 * MIB
TILE_LIMIT = 256 * 32  # tlog-tiles: 256 hashes of SHA-256
BUNDLE_LIMIT = 256 * (2 + 65535)  # tlog-tiles: 256 entries, each behind its length in two bytes
BODY_LIMIT = 32 * MIB
FILES_LIMIT = 2_000_000
PROBLEMS_LIMIT = 1000  # named one by one; more are only counted
SHAPES_LIMIT = 8  # see Records

REGION_KIND = b"checkpoint"  # kind of the records in a region's log that hold a slot's signed checkpoint
HEX64 = re.compile(r"[0-9a-f]{64}")
PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9][A-Za-z0-9._-]{0,99}){0,11}")


class Wrong(Exception):
    """Something does not verify: a file (or record) and what is wrong with it."""

    def __init__(self, where, what):
        super().__init__(f"{where}: {what}")
        self.where, self.what = where, what


class Report:
    """What was found. `wrong` decides about the exit status; `notes` are for the reader."""

    def __init__(self):
        self.wrong, self.more, self.notes, self.facts, self.shown = [], 0, [], {}, []

    def add(self, where, what):
        if len(self.wrong) < PROBLEMS_LIMIT:
            self.wrong.append((where, what))
        else:
            self.more += 1

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, Wrong):
            self.add(error.where, error.what)
            return True
        return False


# ---- Reading a bundle: a folder, or a zip file that is never unpacked ------------------------------------------------


class Folder:
    """Files of a folder. Links and special files are refused, so that nothing outside of it is read."""

    def __init__(self, path):
        self.path = path

    def names(self):
        found = []
        for place, folders, files in os.walk(self.path):
            for name in folders + files:
                full = os.path.join(place, name)
                mode = os.lstat(full).st_mode
                path = os.path.relpath(full, self.path).replace(os.sep, "/")
                if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)) or not PATH.fullmatch(path):
                    raise Wrong(ascii(path), "a link, a special file or a name that no bundle has")
                if stat.S_ISREG(mode):
                    found.append(path)
            if len(found) > FILES_LIMIT:
                raise Wrong(str(self.path), f"more than {FILES_LIMIT} files")
        return found

    def size(self, name):
        return os.lstat(os.path.join(self.path, name)).st_size

    def open(self, name):
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        return os.fdopen(os.open(os.path.join(self.path, *name.split("/")), flags), "rb")


class Zip:
    """Members of a zip file, stored or deflated; read up to a bound, never written anywhere."""

    def __init__(self, path):
        self.zip = zipfile.ZipFile(path)
        infos = [info for info in self.zip.infolist() if not info.is_dir()]
        roots = {info.filename.partition("/")[0] for info in infos}
        # Zipped by hand, a bundle may lie in a folder inside of the file.
        prefix = f"{roots.pop()}/" if len(roots) == 1 and len(infos) > 1 else ""
        self.infos = {}
        for info in infos:
            name = info.filename[len(prefix) :]
            if not PATH.fullmatch(name) or name in self.infos or info.flag_bits & 1:
                raise Wrong(ascii(info.filename), "a name that no bundle has, one that is there twice, or encrypted")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or len(infos) > FILES_LIMIT:
                raise Wrong(ascii(info.filename), f"packed in an unusual way, or one of more than {FILES_LIMIT} files")
            self.infos[name] = info

    def names(self):
        return list(self.infos)

    def size(self, name):
        return self.infos[name].file_size

    def open(self, name):
        return self.zip.open(self.infos[name])


class Bundle:
    """A bundle's files, each compared with its SHA-256 in custody.json when it is first read."""

    def __init__(self, path, report):
        self.place = Folder(path) if os.path.isdir(path) else Zip(path)
        self.report = report
        self.names = set(self.place.names())
        self.hashes, self.checked = {}, set()

    def _open(self, name):
        if name not in self.names:
            raise Wrong(name, "is missing")
        try:
            return self.place.open(name)
        except (OSError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
            raise Wrong(name, f"cannot be read ({type(error).__name__})") from error

    def read(self, name, limit):
        """The whole of a file, at most `limit` bytes."""
        with self._open(name) as file:
            try:
                data = file.read(min(self.place.size(name), limit) + 1)  # not the limit alone: memory is taken first
            except Exception as error:  # zipfile and zlib raise a dozen kinds for damaged input
                raise Wrong(name, f"cannot be read ({type(error).__name__})") from error
        if len(data) > limit:
            raise Wrong(name, f"has more than {limit} bytes")
        self._compare(name, sha256(data).hexdigest())
        return data

    def _compare(self, name, digest):
        if name not in self.checked and name in self.hashes:
            self.checked.add(name)
            if self.hashes[name] != digest:
                self.report.add(name, "its SHA-256 is not the one in custody.json: it was changed")

    def check_rest(self):
        """Files that nothing else had to read."""
        for name in sorted(self.names - {"custody.json", "custody.sig.json"} - self.hashes.keys()):
            self.report.add(name, "is not named in custody.json")
        for name in sorted(self.hashes.keys() - self.checked):
            with self.report, self._open(name) as file:
                digest = hashlib.sha256()
                try:
                    for part in iter(lambda: file.read(MIB), b""):
                        digest.update(part)
                except Exception as error:
                    raise Wrong(name, f"cannot be read ({type(error).__name__})") from error
                self._compare(name, digest.hexdigest())


# ---- JSON and base64, in the one way they can be written -------------------------------------------------------------


def no_constant(text):
    raise ValueError(text)


def whole_number(text):
    if len(text) > 20:
        raise ValueError("a number of more than 20 digits")
    return int(text)


DECODER = json.JSONDecoder(parse_constant=no_constant, parse_int=whole_number)
ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def parse_json(data, where):
    try:
        return DECODER.decode(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Wrong(where, "is not JSON") from error


def canonical(value):
    """Sorted keys, no spaces. For what a bundle may hold this is RFC 8785: text, whole numbers, short fractions."""
    return ENCODER.encode(value).encode("utf-8", "surrogatepass")


def unbase64(text, where):
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


class Vkey:
    """A verifier key ``name+id+base64``: kind (one byte) and public key. The id is the hash's first four bytes."""

    def __init__(self, name, kind, key):
        self.name, self.kind, self.key = name, kind, key
        self.id = sha256(b"%s\n%c%s" % (name.encode(), kind, key)).hexdigest()[:8]

    @classmethod
    def parse(cls, text, where):
        name, _, rest = text.partition("+")
        id_, _, encoded = rest.partition("+")
        data = unbase64(encoded, where)
        if not NAME.fullmatch(name) or KEY_LENGTHS.get(data[0]) != len(data) - 1:
            raise Wrong(where, "has a verifier key of an unknown kind or length")
        key = cls(name, data[0], data[1:])
        if key.id != id_:
            raise Wrong(where, f"has a key of {name} whose id is not its own")
        return key

    def verify(self, checkpoint, payload, where):
        """True: it signed. None: nobody looked, for lack of ML-DSA-44. Raises Wrong."""
        try:
            if self.kind == ED25519:
                Ed25519PublicKey.from_public_bytes(self.key).verify(payload, checkpoint.text)
                return True
            time, signature = payload[:8], payload[8:]
            if len(time) < 8 or time[0] > 127:
                raise InvalidSignature
            if self.kind == COSIGNER_ED25519:
                message = b"cosignature/v1\ntime %d\n%s" % (int.from_bytes(time, "big"), checkpoint.text)
                Ed25519PublicKey.from_public_bytes(self.key).verify(signature, message)
                return True
            if MLDSA44PublicKey is None:
                return None
            name, origin = self.name.encode(), checkpoint.origin.encode()
            message = b"".join(
                (b"subtree/v1\n\0", bytes([len(name)]), name, time, bytes([len(origin)]), origin)
                + (bytes(8), checkpoint.size.to_bytes(8, "big"), checkpoint.root)
            )
            MLDSA44PublicKey.from_public_bytes(self.key).verify(signature, message)
        except (InvalidSignature, ValueError) as error:
            raise Wrong(where, f"a signature by {self.name} does not verify") from error
        return True


class Checkpoint:
    """A signed note of three lines: origin, size, root. `signatures` are (name, id in hex, payload), not verified."""

    def __init__(self, data, where):
        self.where = where
        text, empty, lines = data.rpartition(b"\n\n")
        self.text = text + b"\n"
        try:
            self.origin, size, root = text.decode("ascii").split("\n")
            lines = lines.decode("utf-8").split("\n")
        except ValueError as error:
            raise Wrong(where, "is not a checkpoint of three lines") from error
        if not empty or not NAME.fullmatch(self.origin) or not re.fullmatch("0|[1-9][0-9]{0,18}", size) or lines.pop():
            raise Wrong(where, "is not a checkpoint")
        self.size, self.root = int(size), unbase64(root, where)
        if self.size >= 2**63 or len(self.root) != 32:
            raise Wrong(where, "has an impossible size or root")
        self.signatures = [self._signature(line) for line in lines]
        if not lines or len(lines) > 132 or len({one[:2] for one in self.signatures}) < len(lines):
            raise Wrong(where, "has no signatures, too many, or two by one key")

    def _signature(self, line):
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        data = unbase64(encoded, self.where)
        if dash != "\u2014" or not NAME.fullmatch(name) or not 4 < len(data) <= 8196:
            raise Wrong(self.where, "has a line that is not a signature")
        return name, data[:4].hex(), data[4:]

    def signed_by(self, keys):
        """Which of `keys` signed, and which of those nobody could look at."""
        signed, unseen = set(), set()
        for name, id_, payload in self.signatures:
            for key in keys:
                if (key.name, key.id) == (name, id_):
                    (signed if key.verify(self, payload, self.where) else unseen).add(key)
        return signed, unseen


class Policy:
    """Which logs and witnesses are known, and how many witnesses make a quorum (C2SP tlog-policy)."""

    def __init__(self, data, where):
        self.where, self.logs, self.witnesses, self.groups, self.quorum = where, [], {}, {}, None
        try:
            lines = data.decode("ascii").split("\n")
        except ValueError as error:
            raise Wrong(where, "is not ASCII") from error
        for number, line in enumerate(lines, 1):
            items = line.split()
            if items and not items[0].startswith("#"):
                self._line(items, f"{where}, line {number}")
        if self.quorum is None or len(lines) > 2000:
            raise Wrong(where, "has no quorum, or too many lines")

    def _line(self, items, where):
        names = self.witnesses.keys() | self.groups.keys()
        word, count = items[0], len(items)
        if word == "log" and count in (2, 3):
            self.logs.append(Vkey.parse(items[1], where))
        elif word == "witness" and count in (3, 4) and items[1] not in names | {"none"}:
            self.witnesses[items[1]] = Vkey.parse(items[2], where)
        elif word == "group" and count > 3 and items[1] not in names | {"none"} and names.issuperset(items[3:]):
            members = set(items[3:])
            needs = {"any": 1, "all": len(members)}.get(items[2]) or (int(items[2]) if items[2].isdecimal() else 0)
            if not 1 <= needs <= len(members) or len(members) < count - 3:
                raise Wrong(where, "a group that cannot be")
            self.groups[items[1]] = needs, members
        elif word == "quorum" and count == 2 and self.quorum is None and items[1] in names | {"none"}:
            self.quorum = items[1]
        else:
            raise Wrong(where, "not a log, witness, group or (one) quorum line")

    def check_log(self, checkpoint, report, every):
        """The log must have signed: with `every` one of its keys, or with one of them (a slot's, as its region kept it).

        The logs NAME/SLOT of one host share the keys of its region's log, NAME/checkpoints.
        """
        parent = checkpoint.origin.rpartition("/")[0]
        keys = [key for key in self.logs if key.name == checkpoint.origin] or [
            Vkey(checkpoint.origin, key.kind, key.key)
            for key in self.logs
            if parent and key.name.rpartition("/")[0] == parent
        ]
        signed, unseen = checkpoint.signed_by(keys)
        if not signed or (every and len(signed) + len(unseen) < len(keys)):
            raise Wrong(checkpoint.where, "is not signed by this log's keys in the policy")
        if unseen:
            report.notes.append(f"{checkpoint.where}: nobody looked at its ML-DSA-44 signature (cryptography is too old)")

    def cosigners(self, checkpoint):
        """(names of the witnesses that cosigned, whether they are a quorum, whether some could not be looked at)."""
        signed, unseen = checkpoint.signed_by(self.witnesses.values())
        # What could not be looked at counts only beside a good signature of the same witness's other key.
        unseen = {key for key in unseen if key.name in {one.name for one in signed}}
        names = {"none"} | {name for name, key in self.witnesses.items() if key in signed | unseen}
        for name, (needs, members) in self.groups.items():
            if len(names & members) >= needs:
                names.add(name)
        return sorted({key.name for key in signed}), self.quorum in names, bool(unseen)


# ---- Records: one line of JSON each ----------------------------------------------------------------------------------

FIELDS = "at body exchange facts key kind prev region seq session slot subject v".split()
BODY_FIELDS = "file length offset retention sha256".split()
PLAIN = bytes(byte for byte in range(32, 127) if byte != 92)  # printable ASCII without the backslash
TEXT, INT, ID = '"[^"]*"', "(?:0|-?[1-9][0-9]{0,14})", '(?:null|"[^"]{32}")'
BODY = r'(?:null|\{"file":[0-9]{1,15},"length":[0-9]{1,15},"offset":[0-9]{1,15},"retention":"[^"]*","sha256":"[^"]{64}"\})'
BODY = BODY.replace("[0-9]{1,15}", "(?:0|[1-9][0-9]{0,14})")


class Records:
    """Checks the records of one slot, one after another: shape, chain, canonical form.

    Reading JSON takes far longer than all hashes together. So when a record was read and found good, a pattern is made
    of its shape: the names of its facts as they are, in order, and the kind of each value. A later record that is of a
    known shape has been checked by that alone, and is read only if somebody needs what it says. In plain text (printable
    ASCII, no backslash) a quote ends a text and nothing else, so a pattern accepts nothing that reading would refuse.
    """

    def __init__(self, region, slot, kinds, wanted):
        self.region, self.slot, self.seq, self.prev = region, slot, 0, b"0" * 64
        self.kinds, self.wanted, self.shapes = kinds, wanted, {}

    def follow(self, entries, see):
        """Check the next records. What those say that are of `kinds`, or whose number is `wanted`, goes to `see`."""
        shapes, wanted, prev, seq = self.shapes, self.wanted, self.prev, self.seq
        plain = not b"".join(entries).translate(None, PLAIN)
        for data in entries:
            seq += 1
            start = data.rfind(b'"kind":"')
            key = data[start : start + 16]
            needed, known = shapes.get(key, (True, ()))
            good = False
            if plain or not data.translate(None, PLAIN):
                for shape in known:
                    match = shape(data)
                    if match is not None:
                        good = match[1] == prev and int(match[2]) == seq
                        break
            if needed or not good or seq in wanted:
                self.prev, self.seq = prev, seq
                leaf = self._read(data)
                see(leaf)
                if not good:
                    self._learn(key, leaf)
            prev = sha256(data).hexdigest().encode()
        self.prev, self.seq = prev, seq

    def _read(self, data):
        where = f"record {self.slot}#{self.seq}"
        leaf = parse_json(data, where)
        if type(leaf) is not dict or sorted(leaf) != FIELDS or canonical(leaf) != data:
            raise Wrong(where, "is not a record, or not written the one way it can be")
        body, texts = leaf["body"], (leaf["exchange"], leaf["kind"], leaf["prev"], leaf["region"], leaf["slot"])
        good = all(type(text) is str for text in texts) and type(leaf["facts"]) is dict and leaf["v"] == 2
        good = good and all(type(number) is int and 0 <= number < 2**53 for number in (leaf["at"], leaf["seq"]))
        for text in (leaf["key"], leaf["subject"], leaf["session"]):
            good = good and (text is None or (type(text) is str and len(text) == 32))
        if body is not None:
            good = good and type(body) is dict and sorted(body) == BODY_FIELDS and leaf["key"] is not None
            good = good and all(type(body[name]) is int and 0 <= body[name] < 2**53 for name in BODY_FIELDS[:3])
            good = good and type(body["retention"]) is str and type(body["sha256"]) is str and len(body["sha256"]) == 64
        if not good:
            raise Wrong(where, "is not a record of this version")
        if (leaf["region"], leaf["slot"]) != (self.region, self.slot):
            raise Wrong(where, "belongs to another region or slot")
        if leaf["seq"] != self.seq:
            raise Wrong(where, f"has number {leaf['seq']}: one is missing or moved")
        if leaf["prev"] != self.prev.decode():
            raise Wrong(where, "does not follow from the record before it: one of the two was changed")
        return leaf

    def _learn(self, key, leaf):
        """Make the pattern of a good record's shape, if all of it is simple. `key` is how it will be looked up."""
        _, known = self.shapes.setdefault(key, (leaf["kind"].encode() in self.kinds, []))
        facts = self._object({name: self._pattern(value) for name, value in leaf["facts"].items()})
        if facts is None or len(known) >= SHAPES_LIMIT or len(self.shapes) > SHAPES_LIMIT**2:
            return
        kind, region, slot = (re.escape(leaf[name]) for name in ("kind", "region", "slot"))
        head = rf'\{{"at":(?:[1-8][0-9]{{15}}|[1-9][0-9]{{0,14}}),"body":{BODY},"exchange":{TEXT},"facts":{facts},"key":{ID}'
        tail = rf'"session":{ID},"slot":"{slot}","subject":{ID},"v":2\}}'
        chain = rf'"kind":"{kind}","prev":"([^"]{{64}})","region":"{region}","seq":([1-9][0-9]{{0,14}})'
        known.append(re.compile(f"{head},{chain},{tail}".encode()).fullmatch)

    def _pattern(self, value):
        """The pattern of a simple value; None for any other."""
        if type(value) in (str, int):
            return TEXT if type(value) is str else INT
        if type(value) is bool or value is None:
            return "(?:true|false|null)"
        return self._object({name: INT if type(one) is int else None for name, one in value.items()}) if type(value) is dict else None

    def _object(self, patterns):
        simple = all(pattern and re.fullmatch("[A-Za-z0-9_]{1,63}", name) for name, pattern in patterns.items())
        return r"\{%s\}" % ",".join(map('"{}":{}'.format, patterns.keys(), patterns.values())) if simple else None


# ---- A log: records in entry bundles, their hashes in tiles (RFC 6962, 2.1; C2SP tlog-tiles) -------------------------


def parents(row):
    """Hashes side by side -> the row above them."""
    return b"".join([sha256(b"\1" + row[at : at + 64]).digest() for at in range(0, len(row), 64)])


def tile_name(index, width):
    name = f"{index % 1000:03d}"
    while index := index // 1000:
        name = f"x{index % 1000:03d}/{name}"
    return name if width == 256 else f"{name}.p/{width}"


class Log:
    """One slot's log, read once from its first record to its last, in bounded memory."""

    def __init__(self, bundle, slot, custody, policy, see):
        self.bundle, self.folder, self.slot, self.report = bundle, f"log/{slot}", slot, bundle.report
        self.checkpoint = Checkpoint(bundle.read(f"{self.folder}/checkpoint", SMALL_LIMIT), f"{self.folder}/checkpoint")
        policy.check_log(self.checkpoint, self.report, every=slot == custody["region_log"])
        self.size, self.see = self.checkpoint.size, see
        kinds = {b"erasure", b"expiry"} | ({REGION_KIND} if slot == custody["region_log"] else set())
        self.records = Records(custody["region"], slot, kinds, {one["seq"] for one in custody["bodies"] if one["slot"] == slot})
        self.done, self.read, self.waiting = 0, 0, []
        self.peaks, self.rows = [], {}  # roots of perfect subtrees; hashes gathered for the tiles of each level

    def advance(self, size):
        """The root over the first `size` records, after checking each of them."""
        while self.read < size:
            self._bundle()
            if size >= self.read and self.read - self.done == 256 and self.done % 256 == 0:
                row = b"".join(self.waiting)  # a whole bundle at once: the same hashes, made faster
                while len(row) > 32:
                    row = parents(row)
                self.waiting = []
                self._push(row, 8)
        for hash_ in self.waiting[: size - self.done]:
            self._push(hash_, 0)
        self.waiting = self.waiting[len(self.waiting) - (self.read - self.done) :] if self.read > self.done else []
        if not self.peaks:
            return sha256(b"").digest()
        root = self.peaks[-1]
        for peak in self.peaks[-2::-1]:
            root = sha256(b"\1" + peak + root).digest()
        return root

    def finish(self):
        """The rest of the log, its tiles at the right edge, and the root that the checkpoint signs."""
        root = self.advance(self.size)
        for level in range(1, 9):
            count = self.size >> (8 * level)
            if count % 256:
                self._tile(level, count // 256, b"".join(self.rows.get(level, ())))
        if root != self.checkpoint.root:
            self.report.add(f"{self.folder}/checkpoint", "its root is not the one of the records: they are other records")

    def _push(self, hash_, height):
        """A subtree of 2**height records joins the tree (RFC 6962, 2.1: the largest power of two goes left)."""
        self.done += 1 << height
        above = (self.done >> height) - 1
        while True:
            if height % 8 == 0 and height:
                self._gather(height // 8, hash_)
            if not above & 1:
                break
            hash_ = sha256(b"\1" + self.peaks.pop() + hash_).digest()
            above, height = above >> 1, height + 1
        self.peaks.append(hash_)

    def _gather(self, level, hash_):
        row = self.rows.setdefault(level, [])
        row.append(hash_)
        if len(row) == 256:
            self._tile(level, (self.done >> (8 * (level + 1))) - 1, b"".join(row))
            row.clear()

    def _tile(self, level, index, made):
        name = f"{self.folder}/tile/{level}/{tile_name(index, len(made) // 32)}"
        with self.report:
            if self.bundle.read(name, TILE_LIMIT) != made:
                raise Wrong(name, "its hashes are not those of what lies below it")

    def _bundle(self):
        """Read the next entry bundle: check every record in it, and the tile of their hashes."""
        index, width = self.read // 256, min(256, self.size - self.read)
        name = f"{self.folder}/tile/entries/{tile_name(index, width)}"
        data = self.bundle.read(name, BUNDLE_LIMIT)
        entries, at = [], 0
        for _ in range(width):
            start = at + 2
            at = start + int.from_bytes(data[at:start], "big")
            entries.append(data[start:at])
        if at != len(data) or not all(entries):
            raise Wrong(name, "does not hold exactly the records that the checkpoint says")
        self.records.follow(entries, self.see)
        hashes = [sha256(b"\0" + entry).digest() for entry in entries]
        self._tile(0, index, b"".join(hashes))
        self.waiting += hashes
        self.read += width


# ---- Bodies: sealed content beside the records -----------------------------------------------------------------------


class Bodies:
    """The bodies that were chosen: compared with their records, opened if there are keys, explained if they are gone."""

    def __init__(self, bundle, custody, keys, show):
        self.bundle, self.report, self.keys, self.show = bundle, bundle.report, keys, show
        self.states = {(one["slot"], one["seq"]): one["state"] for one in custody["bodies"]}
        self.gone, self.erased, self.expired, self.counts = {}, {}, {}, dict.fromkeys(("whole", "opened", "gone"), 0)
        inside = {f"bodies/{slot}/{seq}" for (slot, seq), state in self.states.items() if state == "included"}
        for name in sorted(inside ^ {name for name in bundle.names if name.startswith("bodies/")}):
            self.report.add(name, "is missing" if name in inside else "is a body that custody.json does not list")

    def see(self, leaf):
        """Take note of a record that has a body, or says that bodies were destroyed."""
        number, facts = f"{leaf['slot']}#{leaf['seq']}", leaf["facts"]
        for kind, fact, found in (("erasure", "keys", self.erased), ("expiry", "hours", self.expired)):
            if leaf["kind"] == kind and type(facts.get(fact)) is list:
                for one in facts[fact]:
                    found.setdefault(one if type(one) is str else "", number)
        state = self.states.pop((leaf["slot"], leaf["seq"]), None)
        if state == "included":
            with self.report:
                self._body(leaf, f"bodies/{leaf['slot']}/{leaf['seq']}")
        elif state is not None and leaf["body"] is not None:
            self.gone[number] = leaf["key"], f"{leaf['body']['retention']}/{hour(leaf['at'])}"
        elif state is not None:
            self.report.add(f"record {number}", "has no body, but custody.json lists one")

    def _body(self, leaf, name):
        sealed = self.bundle.read(name, BODY_LIMIT)
        body = leaf["body"]
        if body is None or len(sealed) != body["length"] or sha256(sealed).hexdigest() != body["sha256"]:
            raise Wrong(name, f"is not the body that record {leaf['slot']}#{leaf['seq']} names")
        self.counts["whole"] += 1
        if self.keys is None:
            return
        key = self.keys.pop((leaf["slot"], leaf["seq"]), None)
        if key is None:
            raise Wrong(name, "there is no key for it")
        # XAES-256-GCM: the first 12 bytes of the nonce went into this key, the other 12 are AES-256-GCM's nonce.
        parts = [leaf["region"], leaf["slot"], leaf["key"], str(leaf["seq"]), leaf["kind"], leaf["exchange"]]
        try:
            clear = AESGCM(key).decrypt(sealed[12:24], sealed[24:], "\0".join(["firedoor/body/2", *parts]).encode())
        except (InvalidTag, ValueError) as error:
            raise Wrong(name, "does not open with its key: body, key or record is another's") from error
        self.counts["opened"] += 1
        if self.show:
            text = "".join(c if c.isprintable() or c in "\n\t" else f"\\u{ord(c):04x}" for c in clear.decode("utf-8", "replace"))
            self.report.shown.append({"record": f"{leaf['slot']}#{leaf['seq']}", "exchange": leaf["exchange"], "body": text})

    def settle(self):
        """When all records are read: say why bodies are gone, and what was never found."""
        for number, (key, hour_) in self.gone.items():
            if key in self.erased:
                self.report.notes.append(f"record {number}: body erased, erasure record {self.erased[key]}")
            elif hour_ in self.expired:
                self.report.notes.append(f"record {number}: body expired, expiry record {self.expired[hour_]}")
            else:
                self.report.add(f"record {number}", "its body is not there, and no record says that it was destroyed")
        self.counts["gone"] = len(self.gone)
        for slot, seq in self.states:
            self.report.add(f"record {slot}#{seq}", "custody.json lists its body, but there is no such record")
        for slot, seq in self.keys or ():
            self.report.add(f"record {slot}#{seq}", "there is a key for it, but no body")


def hour(at):
    """Unix microseconds -> the hour (UTC) as body folders are named: 2026-11-23T04."""
    days, hours = divmod(at // 3_600_000_000, 24)
    import datetime

    try:
        return f"{datetime.date.fromordinal(719163 + days).isoformat()}T{hours:02d}"
    except (ValueError, OverflowError):
        return ""


def read_keys(path):
    data = parse_json(Path(path).read_bytes()[: KEYS_LIMIT + 1], "the file of record keys")
    try:
        if data["format"] != "firedoor/record-keys/1":
            raise ValueError
        return {(one["slot"], one["seq"]): bytes.fromhex(one["key"]) for one in data["keys"]}
    except (KeyError, TypeError, ValueError) as error:
        raise Wrong("the file of record keys", "is not one: decrypt record-keys.age with `age -d` first") from error


# ---- Custody: who handed this out, and who agreed --------------------------------------------------------------------

CUSTODY_SHAPE = {
    "region": str, "made_at": int, "by": str, "reason": str, "tool": str, "plan": str, "selection": dict,
    "selection_sha256": str, "region_log": str, "logs": list, "bodies": list, "problems": list, "files": dict,
}  # fmt: skip


def read_custody(bundle):
    """custody.json, after checking it against custody.sig.json."""
    data, sig = bundle.read("custody.json", CUSTODY_LIMIT), bundle.read("custody.sig.json", SMALL_LIMIT)
    custody, signature = parse_json(data, "custody.json"), parse_json(sig, "custody.sig.json")
    pretty = json.dumps(custody, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if type(signature) is not dict or canonical(signature) != sig or set(signature) != {"custody", "signed"}:
        raise Wrong("custody.sig.json", "is not what it must be")
    if signature["custody"] != sha256(data).hexdigest():
        raise Wrong("custody.json", "its SHA-256 is not the one in custody.sig.json: one of the two was changed")
    if type(custody) is not dict or custody.get("format") != "firedoor/custody/1":
        raise Wrong("custody.json", "is not one of this version")
    if any(type(custody.get(name)) is not kind for name, kind in CUSTODY_SHAPE.items()) or pretty.encode() != data:
        raise Wrong("custody.json", "is not of the expected shape")
    rows = [(custody["logs"], ("slot", str)), (custody["bodies"], ("slot", str)), (custody["bodies"], ("seq", int))]
    rows += [(custody["bodies"], ("state", str)), (custody["problems"], ("file", str)), (custody["problems"], ("problem", str))]
    if any(type(row) is not dict or type(row.get(name)) is not kind for table, (name, kind) in rows for row in table):
        raise Wrong("custody.json", "is not of the expected shape")
    for path, digest in custody["files"].items():
        if not PATH.fullmatch(path) or not HEX64.fullmatch(str(digest)):
            raise Wrong("custody.json", f"names a file that no bundle has: {path!a}")
    return custody, signature["signed"], sha256(data).hexdigest()


def check_signed(signed, where, custody, expected, persons):
    """The signatures of an act: each over exactly its text, by different keys; and that it is about this bundle."""
    try:
        content, signatures = signed["content"].encode(), signed["signatures"]
        act = json.loads(content.partition(b"\n")[2])
        rows = [(one["by"], one["key"], one["value"]) for one in signatures]
        args = act["args"]
        good = content == b"firedoor/act/1\n" + canonical(act) and rows[0][0] == act["by"] and len(rows) == persons
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise Wrong(where, "a signed request is not of the expected shape") from error
    if not good or len({row[0] for row in rows}) < persons or len({row[1] for row in rows}) < persons:
        raise Wrong(where, f"a request must be signed by {persons} different person(s) with different keys")
    for by, key, value in rows:
        try:
            public = Ed25519PublicKey.from_public_bytes(unbase64(key.replace("ed25519:", "", 1), where))
            public.verify(unbase64(value, where), content)
        except (AttributeError, InvalidSignature, ValueError) as error:
            raise Wrong(where, f"the signature of {ascii(by)} does not verify") from error
    for name, value in {"selection": custody["selection_sha256"], "recipient": custody.get("recipient"), **expected}.items():
        if args.get(name) != value:
            raise Wrong(where, f"what was signed is about another {name}")
    if (act.get("region"), act.get("act")) != (custody["region"], "read_bodies" if persons == 2 else "export"):
        raise Wrong(where, "what was signed is another kind of request, or another region's")
    return [row[0] for row in rows]


def check_persons(custody, signed, digest, report):
    chosen = sha256(b"firedoor/selection/1\n" + canonical(custody["selection"])).hexdigest()
    if chosen != custody["selection_sha256"]:
        report.add("custody.json", "its selection is not the one that was signed")
    if signed is None:
        report.notes.append("no person signed custody.json: who made this bundle is a claim")
    else:
        with report:
            names = check_signed(signed, "custody.sig.json", custody, {"manifest": digest, "reason": custody["reason"]}, 1)
            if names != [custody["by"]]:
                raise Wrong("custody.sig.json", "was signed by another person than custody.json names")
    approval = custody.get("approval")
    if approval is not None:
        with report:
            report.facts["approved_by"] = check_signed(approval, "custody.json", custody, {}, 2)
    elif custody["bodies"]:
        report.add("custody.json", "there are bodies, but no approval by two persons")


# ---- All of it -------------------------------------------------------------------------------------------------------


class Region:
    """The region's log, read side by side with the logs whose checkpoints it recorded."""

    def __init__(self, log, logs, policy, report):
        self.log, self.policy, self.report, self.others = log, policy, report, log.see
        self.by_origin = {one.checkpoint.origin: one for one in logs}
        self.newest = dict.fromkeys(logs, 0)  # size at the newest recorded checkpoint; None once the log is broken
        log.see = self.see

    def check(self):
        """All of it, and the cosignatures of a quorum on its checkpoint or on the newest that came back from witnesses."""
        bundle, found, older = self.log.bundle, self.log.checkpoint, f"{self.log.folder}/cosigned"
        names, quorum, unseen = self.policy.cosigners(found)
        if not quorum and older in bundle.names:
            cosigned = Checkpoint(bundle.read(older, SMALL_LIMIT), older)
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
        if found.size < self.log.size:
            self.report.notes.append(f"witnesses cosigned {found.size} of {self.log.size} records of the region's log")
        if unseen:
            self.report.notes.append(f"{found.where}: nobody looked at its ML-DSA-44 cosignatures (old cryptography)")
        self.log.finish()

    def see(self, leaf):
        """A checkpoint that the region recorded must be a state that its log went through."""
        self.others(leaf)
        log = self.by_origin.get(leaf["facts"].get("log"))
        if leaf["kind"] != REGION_KIND.decode() or log is None or self.newest[log] is None:
            return
        where = f"record {leaf['slot']}#{leaf['seq']}"
        with self.report:
            recorded = Checkpoint(str(leaf["facts"].get("note")).encode(), where)
            if recorded.origin != log.checkpoint.origin or recorded.size < self.newest[log]:
                raise Wrong(where, "holds a checkpoint of another log, or an older one after a newer")
            if recorded.size <= log.size:
                self.newest[log] = None
                if log.advance(recorded.size) != recorded.root:
                    raise Wrong(where, f"the region recorded another history of {log.folder}: records were rewritten")
                self.newest[log] = recorded.size

    def check_slot(self, log):
        """The rest of a log, and that its checkpoint is one that the region recorded."""
        if self.newest[log] is not None:
            log.finish()
            if self.newest[log] != log.size:
                raise Wrong(f"{log.folder}/checkpoint", "is not in the region's log: no witness vouches for it")


def check_logs(bundle, custody, policy, bodies):
    """Every log that custody.json names; how many records they have."""
    report, logs, region = bundle.report, [], None
    for one in custody["logs"]:
        with report:
            log = Log(bundle, one["slot"], custody, policy, bodies.see)
            known = log.checkpoint.origin, log.checkpoint.size, log.checkpoint.root.hex()
            if known != (one.get("origin"), one.get("size"), one.get("root")):
                raise Wrong(log.checkpoint.where, "is not the checkpoint that custody.json names")
            logs.append(log)
            region = log if one["slot"] == custody["region_log"] else region
    slots = [log for log in logs if log is not region]
    if region is None:
        report.add(f"log/{custody['region_log']}", "the region's log is missing: no witness vouches for anything here")
    else:
        region = Region(region, slots, policy, report)
        with report:
            region.check()
    for log in slots:
        with report:
            region.check_slot(log) if region else log.finish()
    return sum(log.read for log in logs)


def verify(path, policy_path=None, keys_path=None, show=False):
    """Check the bundle at `path`; the `Report` says what was found. Raises OSError if it cannot be opened."""
    report = Report()
    with report:
        try:
            bundle = Bundle(path, report)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise Wrong(str(path), "is not a folder or a zip file") from error
        keys = read_keys(keys_path) if keys_path else None
        custody, signed, digest = read_custody(bundle)
        bundle.hashes = custody["files"]
        report.facts.update(manifest=digest, region=custody["region"], by=custody["by"], reason=custody["reason"])
        check_persons(custody, signed, digest, report)
        for problem in custody["problems"]:
            report.notes.append(f"known when the bundle was made: {problem['file']}: {problem['problem']}")
        if policy_path:
            policy = Policy(Path(policy_path).read_bytes()[: SMALL_LIMIT + 1], "the policy given")
        else:
            policy = Policy(bundle.read("policy", SMALL_LIMIT), "policy")
            report.notes.append("keys are those in the bundle itself: compare the file `policy` with one you trust")
        bodies = Bodies(bundle, custody, keys, show)
        report.facts["records"] = check_logs(bundle, custody, policy, bodies)
        bodies.settle()
        bundle.check_rest()
        report.facts["bodies"] = bodies.counts
        report.facts["timestamps"] = len([name for name in bundle.names if name.startswith("timestamps/")])
    return report


def main():
    parser = argparse.ArgumentParser(description="Check an evidence bundle. Exit status: 0 it verifies, 1 it does not.")
    parser.add_argument("bundle", help="folder or zip file")
    parser.add_argument("--policy", help="the trust policy to go by, instead of the one in the bundle")
    parser.add_argument("--keys", help="record keys: age -d -i key.txt BUNDLE/record-keys.age > record-keys.json")
    parser.add_argument("--show", action="store_true", help="print the bodies that --keys opens")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    args = parser.parse_args()
    try:
        report = verify(args.bundle, args.policy, args.keys, args.show)
    except OSError as error:
        parser.error(f"cannot be read: {error}")
    ok = not report.wrong
    if args.json:
        wrong = [{"file": where, "problem": what} for where, what in report.wrong]
        print(json.dumps({"ok": ok, "wrong": wrong, "more": report.more, "notes": report.notes, **report.facts, "shown": report.shown}))
        return 0 if ok else 1
    for one in report.shown:
        print(f"--- {one['record']} exchange {one['exchange']}\n{one['body']}")
    for name, value in report.facts.items():
        print(f"{name}: {json.dumps(value)}")
    for note in report.notes:
        print(f"note: {note}")
    for where, what in report.wrong:
        print(f"WRONG {where}: {what}")
    if report.more:
        print(f"WRONG and {report.more} more")
    print("everything verifies" if ok else "DOES NOT VERIFY")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
