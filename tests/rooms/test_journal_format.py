"""A journal read by nothing but docs/formats.md: the standard library, and primitives of `cryptography` for bodies."""

import asyncio
import hashlib
import hmac
import itertools
import json
import struct
import zlib
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from firedoor.core.evidence.record import Record
from firedoor.core.evidence.subjects import EpochPrivate
from firedoor.store.journal import Places, open_journal

PRIVATE = bytes(range(32))
LOOKUP, SESSION = "c0" * 16, "5e" * 16
AT = 1_795_406_400_123_456_789


class OneEpoch:
    def current(self):
        return EpochPrivate("eu", 3, PRIVATE).public, 0


def written(root):
    subjects = root / "keys" / "subjects"
    subjects.mkdir(parents=True)

    async def go():
        places = Places(root / "journal" / "w0", root / "bodies", subjects)
        clock = itertools.count(AT).__next__
        journal = open_journal(places, region="eu", slot="w0", epochs=OneEpoch(), clock_ns=clock, segment_bytes=1000)
        await journal.append(Record(kind="intent", exchange="fx-open", at=AT, facts={"surface": "support"}))
        for n in range(6):
            one = Record(
                kind="finding",
                exchange="fx-open",
                at=AT + n * 1_800_000_000_000,
                facts={"n": n, "ms": 0.25},
                body=f"Größe {n}?".encode(),
                retention="support",
                subject=LOOKUP if n % 2 else None,
                session=SESSION,
            )
            await journal.append(one)
        await journal.aclose()

    asyncio.run(go())
    return sorted((root / "journal" / "w0").glob("*.journal"))


def frames(path):
    data = path.read_bytes()
    assert data[:19] == b"firedoor journal 2\n"
    offset, first = 19, True
    while offset < len(data):
        length, crc, head_crc = struct.unpack_from("<III", data, offset)
        assert head_crc == zlib.crc32(data[offset : offset + 8])
        assert length >> 31 or not first  # what follows the name of the format is a new write
        length, first = length & 0x7FFFFFFF, False
        leaf = data[offset + 12 : offset + 12 + length]
        assert crc == zlib.crc32(leaf)
        yield leaf
        offset += 12 + length
    assert offset == len(data)


def subject_keys(root):
    """Key id -> (key, look-up pseudonym), from the cells and the private half of the epoch."""
    private = X25519PrivateKey.from_private_bytes(PRIVATE)
    public = private.public_key().public_bytes_raw()
    keys = {}
    data = (root / "keys" / "subjects" / "3" / "w0.cells").read_bytes()
    for start in range(0, len(data), 128):
        cell = data[start : start + 128]
        assert cell[:4] == b"FDK1"
        assert int.from_bytes(cell[4:8], "little") == zlib.crc32(cell[8:])
        key_id, lookup, wrapped = cell[8:24].hex(), cell[24:40].hex(), cell[48:]
        shared = private.exchange(X25519PublicKey.from_public_bytes(wrapped[:32]))
        info = f"firedoor/subject-key/1\0eu\0{3}\0{key_id}\0{lookup}\0".encode() + wrapped[:32] + public
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(shared)
        keys[key_id] = AESGCM(key).decrypt(bytes(12), wrapped[32:], None), lookup
    return keys


def opened(key, sealed, context):
    """XAES-256-GCM from its definition: a key by NIST SP 800-108 with CMAC, then AES-256-GCM."""
    message_key = b""
    for counter in (1, 2):
        mac = CMAC(AES(key))
        mac.update(struct.pack(">H", counter) + b"X\0" + sealed[:12])
        message_key += mac.finalize()
    return AESGCM(message_key).decrypt(sealed[12:24], sealed[24:], context)


def test_a_stranger_can_read_and_check_a_journal(tmp_path):
    paths = written(tmp_path)
    assert len(paths) > 2
    keys, seq, prev, bodies, subjects = subject_keys(tmp_path), 0, "0" * 64, [], set()
    for path in paths:
        for number, data in enumerate(frames(path)):
            leaf = json.loads(data)
            seq += 1
            assert (leaf["v"], leaf["region"], leaf["slot"], leaf["seq"], leaf["prev"]) == (2, "eu", "w0", seq, prev)
            assert data.decode() == json.dumps(leaf, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            prev = hashlib.sha256(data).hexdigest()
            if number == 0:
                assert int(path.stem) == seq
                assert leaf["kind"] == "begin"
            if leaf["key"] is None:
                assert leaf["body"] is leaf["subject"] is leaf["session"] is None
                continue
            key, lookup = keys[leaf["key"]]
            pseudonyms = [
                hmac.digest(key, f"{kind}\0{value}".encode(), "sha256").hex()[:32]
                for kind, value in (("subject", lookup), ("session", SESSION))
            ]
            assert leaf["session"] == pseudonyms[1]
            assert leaf["subject"] == (None if lookup == "0" * 32 else pseudonyms[0])
            subjects.add(leaf["subject"])
            body = leaf["body"]
            hour = datetime.fromtimestamp(leaf["at"] // 1_000_000, UTC).strftime("%Y-%m-%dT%H")
            file = tmp_path / "bodies" / body["retention"] / hour / f"w0.{body['file']:020d}"
            sealed = file.read_bytes()[body["offset"] :][: body["length"]]
            assert hashlib.sha256(sealed).hexdigest() == body["sha256"]
            parts = ("firedoor/body/2", "eu", "w0", leaf["key"], str(seq), leaf["kind"], leaf["exchange"])
            bodies.append(opened(key, sealed, "\0".join(parts).encode()).decode())
    assert bodies == [f"Größe {n}?" for n in range(6)]
    assert len(subjects) == 2
    assert len(list((tmp_path / "bodies" / "support").iterdir())) == 3
