"""Sealed files: exactly the published format, any part at a time, and nothing that was moved, cut, added or changed."""

import os

import pytest
from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.sealedfile import (
    CHUNK,
    HEAD_BYTES,
    MAX_CHUNKS,
    SEALED_CHUNK,
    TAG_BYTES,
    ChunkCipher,
    chunk_at,
    clear_size,
    file_context,
    sealed_size,
)
from firedoor.errors import KeyUnusable, SealBroken

KEY = bytes(range(32))
CONTEXT = file_context("eu", "model", "eu-chat")
EDGES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 3 * CHUNK + 5]
sizes = st.sampled_from(EDGES) | st.integers(0, 3 * CHUNK)


def content(size: int) -> bytes:
    return (os.urandom(509) * (size // 509 + 1))[:size]


def seal(clear: bytes, key: bytes = KEY, context: bytes = CONTEXT) -> bytes:
    cipher = ChunkCipher(key, context, os.urandom(24))
    out = bytearray(sealed_size(len(clear)))
    out[:HEAD_BYTES] = cipher.head
    assert cipher.seal(0, memoryview(clear), memoryview(out)[HEAD_BYTES:], last=True) == len(out) - HEAD_BYTES
    return bytes(out)


def open_(sealed: bytes, key: bytes = KEY, context: bytes = CONTEXT) -> bytes:
    cipher = ChunkCipher.of_head(key, context, sealed[:HEAD_BYTES])
    body = memoryview(sealed)[HEAD_BYTES:]
    out = bytearray(len(body))
    return bytes(out[: cipher.open(0, body, memoryview(out), last=True)])


@given(sizes)
@settings(max_examples=25, deadline=None)
def test_another_implementation_opens_what_we_seal_and_the_reverse(size):
    clear = content(size)
    theirs = Cobblestone256Decryptor(KEY, context=CONTEXT)
    assert theirs.update(seal(clear)) + theirs.finalize() == clear
    made = Cobblestone256Encryptor(KEY, context=CONTEXT)
    assert open_(made.update(clear) + made.finalize()) == clear


@given(sizes, st.data())
@settings(max_examples=25, deadline=None)
def test_any_run_of_chunks_opens_by_itself(size, data):
    clear = content(size)
    sealed = seal(clear)
    assert clear_size(len(sealed)) == size
    cipher = ChunkCipher.of_head(KEY, CONTEXT, sealed[:HEAD_BYTES])
    final = size // CHUNK
    first = data.draw(st.integers(0, final))
    end = data.draw(st.integers(first, final))
    part = memoryview(sealed)[chunk_at(first) : chunk_at(end + 1)]
    out = bytearray(len(part))
    length = cipher.open(first, part, memoryview(out), last=end == final)
    assert bytes(out[:length]) == clear[first * CHUNK : (end + 1) * CHUNK]


@given(sizes, st.data())
@settings(max_examples=40, deadline=None)
def test_one_changed_bit_anywhere_is_refused(size, data):
    sealed = bytearray(seal(content(size)))
    at = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[at // 8] ^= 1 << at % 8
    with pytest.raises(KeyUnusable if at // 8 < HEAD_BYTES else SealBroken):
        open_(bytes(sealed))


@given(sizes, st.data())
@settings(max_examples=40, deadline=None)
def test_every_cut_is_refused(size, data):
    sealed = seal(content(size))
    cut = data.draw(st.integers(0, len(sealed) - 1) | st.sampled_from([chunk_at(k) for k in range(size // CHUNK + 1)]))
    with pytest.raises(SealBroken):
        open_(sealed[:cut])


@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize("more", [1, TAG_BYTES, SEALED_CHUNK])
def test_an_extension_is_refused(size, more):
    sealed = seal(content(size))
    with pytest.raises(SealBroken):
        open_(sealed + sealed[HEAD_BYTES : HEAD_BYTES + more].ljust(more, b"\0"))


def test_chunks_do_not_change_places_or_files():
    clear = content(4 * CHUNK)
    sealed, other = seal(clear), seal(clear)
    chunks = [sealed[chunk_at(k) : chunk_at(k + 1)] for k in range(5)]
    for one in range(4):
        for two in range(one):
            mixed = list(chunks)
            mixed[one], mixed[two] = mixed[two], mixed[one]
            with pytest.raises(SealBroken):
                open_(sealed[:HEAD_BYTES] + b"".join(mixed))
        swapped = [*chunks[:one], other[chunk_at(one) : chunk_at(one + 1)], *chunks[one + 1 :]]
        with pytest.raises(SealBroken):
            open_(sealed[:HEAD_BYTES] + b"".join(swapped))
        with pytest.raises(SealBroken):  # left out
            open_(sealed[:HEAD_BYTES] + b"".join(chunks[:one] + chunks[one + 1 :]))
    with pytest.raises(SealBroken):  # the same file without its last, empty chunk
        open_(sealed[:HEAD_BYTES] + b"".join(chunks[:4]))


@pytest.mark.parametrize(
    "context",
    [
        file_context("us", "model", "eu-chat"),
        file_context("eu", "dataset", "eu-chat"),
        file_context("eu", "model", "eu-chat2"),
        file_context("eu", "model", "eu-chat", "part"),
        file_context("eu", "model", "eu-chat", "", "part"),
        b"",
    ],
)
def test_another_context_or_key_opens_nothing(context):
    sealed = seal(b"weights")
    with pytest.raises(KeyUnusable):
        open_(sealed, context=context)
    with pytest.raises(KeyUnusable):
        open_(sealed, key=bytes(32))
    theirs = Cobblestone256Decryptor(KEY, context=context)
    with pytest.raises(InvalidTag):
        theirs.update(sealed)
        theirs.finalize()


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3), min_size=5, max_size=5
    )
)
def test_contexts_are_as_different_as_what_they_name(parts):
    assert file_context(*parts).decode().split("\0")[1:] == parts


def test_a_nul_in_a_name_is_refused():
    with pytest.raises(ValueError, match="NUL"):
        file_context("eu", "model", "a\0b")


@given(st.integers(0, 1 << 45))
def test_sizes_go_both_ways(size):
    sealed = sealed_size(size)
    assert clear_size(sealed) == size
    assert sealed == HEAD_BYTES + size + TAG_BYTES * (size // CHUNK + 1)


@pytest.mark.parametrize(
    "size", [0, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 15, chunk_at(1), chunk_at(1) + 15, chunk_at(7)]
)
def test_lengths_that_no_sealed_file_has(size):
    with pytest.raises(SealBroken):
        clear_size(size)


def test_misuse_is_refused():
    cipher = ChunkCipher(KEY, b"", bytes(24))
    out = memoryview(bytearray(3 * SEALED_CHUNK))
    with pytest.raises(ValueError, match="inside a chunk"):
        cipher.seal(0, memoryview(b"x"), out, last=False)
    with pytest.raises(SealBroken, match="4 PiB"):
        cipher.seal(MAX_CHUNKS, memoryview(b"x"), out, last=True)
    with pytest.raises(SealBroken, match="4 PiB"):
        cipher.open(MAX_CHUNKS, memoryview(bytes(TAG_BYTES)), out, last=True)
    for key, salt in ((KEY[:31], bytes(24)), (KEY, bytes(23))):
        with pytest.raises(ValueError, match="bytes"):
            ChunkCipher(key, b"", salt)
    with pytest.raises(SealBroken, match="not a sealed file"):
        ChunkCipher.of_head(KEY, b"", bytes(HEAD_BYTES - 1))
