"""A journal read by nothing but docs/formats.md: the standard library, and primitives of `cryptography` for bodies."""

import asyncio
import hashlib
import itertools
import json
import struct
import zlib

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from firedoor.core.evidence.record import Record
from firedoor.core.evidence.seal import EvidenceOpener
from firedoor.store.journal import open_journal

PRIVATE = bytes(range(32))


def written(folder):
    async def go():
        seal = EvidenceOpener("eu", PRIVATE).seal
        clock = itertools.count(1).__next__
        journal = open_journal(folder, region="eu", slot="w0", seal=seal, clock_ns=clock, segment_bytes=1000)
        await journal.append(Record(kind="intent", exchange="fx-open", at=2**60 + 1, facts={"surface": "support"}))
        for n in range(6):
            body = f"Größe {n}?".encode()
            await journal.append(
                Record(kind="finding", exchange="fx-open", at=n, facts={"n": n, "ms": 0.25}, body=body)
            )
        await journal.aclose()

    asyncio.run(go())
    return sorted(folder.glob("*.journal"))


def frames(path):
    data = path.read_bytes()
    assert data[:19] == b"firedoor journal 1\n"
    offset = 19
    while offset < len(data):
        length, crc, leaf_length, head_crc = struct.unpack_from("<IIII", data, offset)
        assert head_crc == zlib.crc32(data[offset : offset + 12])
        payload = data[offset + 16 : offset + 16 + length]
        assert crc == zlib.crc32(payload)
        yield payload[:leaf_length], payload[leaf_length:]
        offset += 16 + length
    assert offset == len(data)


def data_key(sealed, region, slot):
    private = X25519PrivateKey.from_private_bytes(PRIVATE)
    public = private.public_key().public_bytes_raw()
    shared = private.exchange(X25519PublicKey.from_public_bytes(sealed[:32]))
    info = b"firedoor/evidence-key/1" + sealed[:32] + public
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(shared)
    context = f"firedoor/evidence-key/1\0{region}\0{slot}".encode()
    return AESGCM(key).decrypt(bytes(12), sealed[32:], context)


def test_a_stranger_can_read_and_check_a_journal(tmp_path):
    paths = written(tmp_path / "w0")
    assert len(paths) > 2
    seq, prev, keys, bodies = 0, "0" * 64, {}, []
    for path in paths:
        for number, (data, sealed) in enumerate(frames(path)):
            leaf = json.loads(data)
            seq += 1
            assert (leaf["v"], leaf["region"], leaf["slot"], leaf["seq"], leaf["prev"]) == (1, "eu", "w0", seq, prev)
            assert data.decode() == json.dumps(leaf, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            prev = hashlib.sha256(data).hexdigest()
            if number == 0:
                assert int(path.stem) == seq
                assert leaf["kind"] == "key"
            body = leaf["body"]
            if body is None:
                assert sealed == b""
                continue
            assert (body["length"], body["sha256"]) == (len(sealed), hashlib.sha256(sealed).hexdigest())
            if leaf["kind"] == "key":
                keys[hashlib.sha256(sealed).hexdigest()[:32]] = data_key(sealed, "eu", "w0")
                continue
            parts = ("firedoor/body/1", "eu", "w0", body["key"], str(seq), leaf["kind"], leaf["exchange"])
            cipher = AESGCM(keys[body["key"]])
            bodies.append(cipher.decrypt(seq.to_bytes(12, "big"), sealed, "\0".join(parts).encode()).decode())
    assert bodies == [f"Größe {n}?" for n in range(6)]
