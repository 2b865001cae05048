"""What hosts of a region tell each other of sessions: for some buckets of the table, all that their workers have there.

A message says what is, not what changed: taken twice it changes nothing, and what a lost one said comes with the next
about the same bucket. A key belongs to the bucket that its hash names, on every host the same. Pure.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from firedoor.core.sessions import KINDS, Kind
from firedoor.core.sums import SUMS_BYTES, unpack

HEAD: Final = b"firedoor/sessions/1\n"
BUCKETS: Final = 16_384
WAYS: Final = 4
"""Places of a bucket: 65,536 keys that one worker, or one host of others, remembers something bad of."""
HASH: Final = 16
PART: Final = 4 + HASH + SUMS_BYTES
"""Bytes of a part: the number of its kind in `KINDS` and one, the key's hash, its sums."""
SAID: Final = 128
"""Buckets of one message: it is at most 92 KB, half of what a bus carries."""
SEALED: Final = 28
"""Bytes that sealing adds: a nonce and a tag."""

_COUNTS = struct.Struct("<QHH")
_HOST = re.compile(rb"[a-z][a-z0-9_-]{0,62}")
MESSAGE_LIMIT: Final = len(HEAD) + 64 + SEALED + _COUNTS.size + SAID * (2 + WAYS * PART)


class News(Struct, frozen=True):
    """The parts in each bucket of `found`: other keys have none there. `count` grows with each message of a host.

    It is the sender's time in nanoseconds, or one more than that of its message before.
    """

    count: int
    found: Mapping[int, tuple[bytes, ...]]


def bucket_of(digest: bytes) -> int:
    """The bucket of the key with this hash."""
    return int.from_bytes(digest[:4], "little") % BUCKETS


def digest_of(part: bytes) -> bytes:
    """The key's hash."""
    return part[4 : 4 + HASH]


def kind_of(part: bytes) -> Kind:
    """What kind of key it is. Raises ValueError if there is no such kind."""
    number = int.from_bytes(part[:4], "little")
    if not 1 <= number <= len(KINDS):
        raise ValueError("not a kind of key")
    return KINDS[number - 1]


def sums_of(part: bytes) -> bytes:
    """The sums, packed."""
    return part[4 + HASH :]


def encode(news: News) -> bytes:
    """What is sealed."""
    parts = [part for found in news.found.values() for part in found]
    numbers = struct.pack(f"<{len(news.found)}H", *news.found)
    return _COUNTS.pack(news.count, len(news.found), len(parts)) + numbers + b"".join(parts)


def decode(data: bytes) -> News:
    """The reverse. Raises ValueError for anything that `encode` does not make."""
    if len(data) < _COUNTS.size:
        raise ValueError("not whole")
    count, buckets, parts = _COUNTS.unpack_from(data)
    start = _COUNTS.size + 2 * buckets
    if buckets > SAID or len(data) != start + parts * PART:
        raise ValueError("not whole")
    numbers = struct.unpack_from(f"<{buckets}H", data, _COUNTS.size)
    found: dict[int, tuple[bytes, ...]] = dict.fromkeys(numbers, ())
    if len(found) < buckets or any(number >= BUCKETS for number in numbers):
        raise ValueError("not a set of buckets")
    for at in range(start, len(data), PART):
        part = data[at : at + PART]
        kind_of(part)
        unpack(sums_of(part))
        digest, bucket = digest_of(part), bucket_of(digest_of(part))
        here = found.get(bucket)
        if here is None or len(here) == WAYS or any(digest_of(other) == digest for other in here):
            raise ValueError("a part out of place")
        found[bucket] = (*here, part)
    return News(count, found)


def wrap(host: str, sealed: bytes) -> bytes:
    """The message of `host`: whose key opens it stands before it in clear."""
    return HEAD + host.encode() + b"\n" + sealed


def unwrap(data: bytes) -> tuple[str, bytes]:
    """Who says it has sent this, and what is sealed. Raises ValueError if it is no such message."""
    host, line, sealed = data[len(HEAD) :].partition(b"\n")
    if len(data) > MESSAGE_LIMIT or not data.startswith(HEAD) or not line or _HOST.fullmatch(host) is None:
        raise ValueError("no message of a host")
    return host.decode(), sealed
