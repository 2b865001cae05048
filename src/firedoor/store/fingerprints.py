"""The index of protected documents' grams: one file, written whole, mapped by every worker and asked in place.

Layout, little-endian: `MAGIC`; a header (`_HEADER`); the documents as MessagePack; a keyed BLAKE2b of all that; zeros
up to a whole page; then slots of 8 bytes. A slot is 0, or from the highest bit on: 8 bits of a gram's hash, 32 of its
identity, 24 of its document's number + 1. A gram stands at the slot ``hash % size`` or in the unbroken row of used
slots from there on; the row never goes round the end, more slots follow instead.
"""

from __future__ import annotations

import hmac
import mmap
import struct
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest, xxh3_128_digest

from firedoor.core.detect.leak.grams import GRAM, DocumentRef, GramKey
from firedoor.errors import KeyUnusable

MAGIC: Final = b"firedoor fingerprints 1\n"
SLOTS_PER_GRAM: Final = 2.4
"""Slots for each fingerprint: 10 million are 192 MB, and six of ten look-ups end at the first slot."""
PAGE: Final = 4096
MAX_TABLE: Final = 64 * 1024 * 1024
"""Bytes of the documents' table; 10,000 documents in all mixtures of sets that occur are far less."""

_HEADER: Final = struct.Struct("<QQQQ16s16s")  # size, slots, fingerprints, bytes of the table, generation, XXH3-128
_MAC_BYTES: Final = 16
_TAG: Final = 1 << 56  # hashes that differ by less have the same highest 8 bits
_NUMBER_BITS: Final = 24
_NUMBERS: Final = (1 << _NUMBER_BITS) - 1
_IDENTITIES: Final = (1 << 32) - 1

Hashes = npt.NDArray[np.uint64]
Identities = npt.NDArray[np.uint32]
Numbers = npt.NDArray[np.uint32]


class Printed(NamedTuple):
    """The fingerprints of a text: sorted hashes without doubles, and their identities."""

    hashes: Hashes
    identities: Identities


def fingerprint(folded: str, key: GramKey) -> Printed:
    """The fingerprints of a folded text; about 1.5 us a character."""
    quick, first = np.unique(_all_hashes(folded, key), return_index=True)
    sure = (key.identity(folded[at : at + GRAM].encode()) for at in first.tolist())
    return Printed(quick, np.fromiter(sure, np.uint32, len(quick)))


def hashes(folded: str, key: GramKey) -> Hashes:
    """Only the hashes, sorted and without doubles."""
    return np.unique(_all_hashes(folded, key))


def _all_hashes(folded: str, key: GramKey) -> Hashes:
    seed, places = key.seed, range(max(0, len(folded) - GRAM + 1))
    if folded.isascii():
        data = folded.encode()
        return np.fromiter((xxh3_64_intdigest(data[at : at + GRAM], seed) for at in places), np.uint64, len(places))
    texts = (folded[at : at + GRAM].encode() for at in places)
    return np.fromiter((xxh3_64_intdigest(text, seed) for text in texts), np.uint64, len(places))


class Index(NamedTuple):
    """What is written to the file: fingerprints, each with a number that stands for one of `documents`."""

    printed: Printed
    numbers: Numbers
    documents: list[DocumentRef]


def encode(index: Index, secret: bytes, generation: bytes) -> bytes:
    """The file. `generation` (16 bytes) names the state that it belongs to."""
    slots, size = _slots(index)
    content = slots.tobytes()
    table = msgspec.msgpack.encode(index.documents)
    header = MAGIC + _HEADER.pack(
        size, len(slots), len(index.numbers), len(table), generation, xxh3_128_digest(content)
    )
    head = header + table + _mac(secret, header + table)
    return head + bytes(-len(head) % PAGE) + content


def _slots(index: Index) -> tuple[Hashes, int]:
    """All slots, the last of which is empty, and how many of them are slots that a hash may lead to."""
    hashes, identities = index.printed
    size = max(64, int(len(hashes) * SLOTS_PER_GRAM)) | 1
    homes = (hashes % np.uint64(size)).astype(np.int64)
    order = np.argsort(homes, kind="stable")
    row = np.arange(len(homes))
    # In the order of their homes, each stands at its home or right behind the one before.
    places = np.maximum.accumulate(homes[order] - row) + row
    slots = np.zeros(max(size, int(places[-1]) + 1 if len(places) else 0) + 1, dtype="<u8")
    entries = hashes >> np.uint64(56) << np.uint64(56)
    entries |= identities.astype(np.uint64) << np.uint64(_NUMBER_BITS)
    entries |= index.numbers.astype(np.uint64) + np.uint64(1)
    slots[places] = entries[order]
    return slots, size


class MappedFingerprints:
    """`Fingerprints` in a file. Its pages are shared by all that map it; the file may be replaced meanwhile.

    Raises `KeyUnusable` for a file that is not whole, was changed, or belongs to another key or `generation`; OSError.
    """

    __slots__ = ("_count", "_documents", "_key", "_map", "_seed", "_size", "_slots")

    def __init__(self, path: Path, secret: bytes, generation: bytes) -> None:
        with path.open("rb") as file:
            try:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError as error:  # an empty file
                raise _damaged(path) from error
        view = memoryview(self._map)
        start = len(MAGIC) + _HEADER.size
        if len(view) < start or bytes(view[: len(MAGIC)]) != MAGIC:
            raise _damaged(path)
        header: tuple[int, int, int, int, bytes, bytes] = _HEADER.unpack(view[len(MAGIC) : start])
        self._size, slots, self._count, table, named, digest = header
        end = start + table
        if table > MAX_TABLE or not hmac.compare_digest(view[end : end + _MAC_BYTES], _mac(secret, view[:end])):
            raise _damaged(path)
        first = -(-(end + _MAC_BYTES) // PAGE) * PAGE
        content = view[first:]
        if named != generation or len(content) != slots * 8 or xxh3_128_digest(content) != digest:
            raise _damaged(path)
        self._documents = msgspec.msgpack.decode(view[start:end], type=list[DocumentRef])
        self._slots = content.cast("Q")
        self._key = GramKey.derive(secret)
        self._seed = self._key.seed

    def __len__(self) -> int:
        return self._count

    def number(self, gram: bytes) -> int:
        """See `Fingerprints.number`."""
        found = self.find((gram,))
        return found[0][1] if found else -1

    def find(self, grams: Iterable[bytes]) -> list[tuple[int, int]]:
        """See `Fingerprints.find`."""
        slots, size, seed = self._slots, self._size, self._seed
        found: list[tuple[int, int]] = []
        for at, gram in enumerate(grams):
            hashed = xxh3_64_intdigest(gram, seed)
            slot = hashed % size
            while entry := slots[slot]:
                if (entry ^ hashed) < _TAG and entry >> _NUMBER_BITS & _IDENTITIES == self._key.identity(gram):
                    found.append((at, (entry & _NUMBERS) - 1))
                    break
                slot += 1
        return found

    def document(self, number: int) -> DocumentRef:
        """See `Fingerprints.document`."""
        return self._documents[number]


def _mac(secret: bytes, data: bytes | memoryview) -> bytes:
    return blake2b(data, key=secret, digest_size=_MAC_BYTES, person=b"gram index").digest()


def _damaged(path: Path) -> KeyUnusable:
    return KeyUnusable(
        f"The index of protected documents ({path.name}) is damaged or was made with another key.",
        remedy="Make it again with `firedoor protect rebuild`.",
    )
