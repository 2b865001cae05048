"""Sealed files on disk: made and opened batch by batch in bounded memory, read anywhere, written whole or not at all.

While one thread enciphers a batch, others hash the one before and write it: SHA-256 and writing let go of the
interpreter's lock, AES-GCM on 16 KiB does not.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol, Self

from firedoor.core.sealedfile import (
    CHUNK,
    HEAD_BYTES,
    SEALED_CHUNK,
    TAG_BYTES,
    ChunkCipher,
    chunk_at,
    clear_size,
)
from firedoor.errors import SetupError
from firedoor.store.files import sync_folder, write_all

BATCH = 64
"""Chunks at a time: 1 MiB. Fewer cost hand-overs between threads, more fall out of the processor's caches: measured."""
MAX_PARTS = 10_000
"""Files of one sealed folder: their signature is one JSON document, read whole."""
MAX_READ = 64 * 1024 * 1024
"""Bytes of one random access: a reader that wants more wants `open_stream`."""

_COPIES = 2
"""Batches in memory: one that is enciphered, one that is hashed and written."""

Sink = Callable[[memoryview], object]
"""Takes each batch in order, in a thread of its own. Raises OSError."""


class Hash(Protocol):
    """What `hashlib` and `hmac` make."""

    def update(self, data: memoryview, /) -> None:
        """Take more."""
        ...


class Sizes(NamedTuple):
    """Bytes of a file in clear and sealed."""

    clear: int
    sealed: int


class SealedReader:
    """A sealed file read in any place, without opening the rest. A context manager; safe in several threads."""

    def __init__(self, path: Path, key: bytes, context: bytes) -> None:
        """Checks the commitment, the length and the last chunk. Raises `SealBroken`, `KeyUnusable`, OSError."""
        self._source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._sealed = os.fstat(self._source).st_size
            self._cipher = ChunkCipher.of_head(key, context, os.pread(self._source, HEAD_BYTES, 0))
            self.size = clear_size(self._sealed)
            self._chunk_range(self.size // CHUNK, self.size // CHUNK)
        except BaseException:
            os.close(self._source)
            raise

    def read(self, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset`: fewer at the end of the file. Raises `SealBroken`, OSError."""
        if offset < 0 or not 0 <= length <= MAX_READ:
            raise ValueError(f"read 0 to {MAX_READ} bytes from 0 on")
        end = min(offset + length, self.size)
        if end <= offset:
            return b""
        first = offset // CHUNK
        opened = self._chunk_range(first, (end - 1) // CHUNK)
        return bytes(opened[offset - first * CHUNK : end - first * CHUNK])

    def _chunk_range(self, first: int, final: int) -> memoryview:
        """Chunks `first` to `final` in clear."""
        last = final == self.size // CHUNK
        wanted = (self._sealed if last else chunk_at(final + 1)) - chunk_at(first)
        sealed = os.pread(self._source, wanted, chunk_at(first))
        out = memoryview(bytearray((final - first + 1) * CHUNK))
        return out[: self._cipher.open(first, memoryview(sealed), out, last=last)]

    def close(self) -> None:
        """Close the file."""
        os.close(self._source)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def seal_stream(
    source: int,
    sink: Sink,
    key: bytes,
    context: bytes,
    *,
    clear_hash: Hash | None = None,
    sealed_hash: Hash | None = None,
) -> Sizes:
    """Seal what the descriptor `source` holds, from where it stands to its end. Raises OSError.

    The hashes take in the clear and the sealed bytes on the way.
    """
    cipher = ChunkCipher(key, context, os.urandom(24))
    head = memoryview(cipher.head)
    if sealed_hash is not None:
        sealed_hash.update(head)
    sink(head)
    after: list[Sink] = [sink, *([sealed_hash.update] if sealed_hash else [])]
    before: list[Sink] = [clear_hash.update] if clear_hash else []
    clear, sealed = _pump(source, BATCH * CHUNK, BATCH * SEALED_CHUNK + TAG_BYTES, cipher.seal, before, after)
    return Sizes(clear, sealed + HEAD_BYTES)


def open_stream(
    source: int,
    sink: Sink,
    key: bytes,
    context: bytes,
    *,
    clear_hash: Hash | None = None,
    sealed_hash: Hash | None = None,
) -> Sizes:
    """Open the sealed file behind the descriptor `source`, from its beginning.

    What `sink` gets was sealed like this; that it is all of it is known only when this returns. Raises `KeyUnusable`,
    `SealBroken`, OSError.
    """
    os.lseek(source, 0, os.SEEK_SET)
    buffer = memoryview(bytearray(HEAD_BYTES))
    head = buffer[: _fill(source, buffer)]
    cipher = ChunkCipher.of_head(key, context, bytes(head))
    if sealed_hash is not None:
        sealed_hash.update(head)
    after: list[Sink] = [sink, *([clear_hash.update] if clear_hash else [])]
    before: list[Sink] = [sealed_hash.update] if sealed_hash else []
    sealed, clear = _pump(source, BATCH * SEALED_CHUNK, BATCH * CHUNK, cipher.open, before, after)
    return Sizes(clear, sealed + HEAD_BYTES)


def seal_file(
    source: Path,
    target: Path,
    key: bytes,
    context: bytes,
    *,
    clear_hash: Hash | None = None,
    sealed_hash: Hash | None = None,
) -> Sizes:
    """Seal `source` into a new file `target`, which is there whole and synced, or not at all. Raises `SetupError`.

    An existing `target` is never replaced, and `source` is left as it is.
    """
    with reading(source) as descriptor, fresh_file(target) as out:
        before = _state(descriptor)
        sizes = seal_stream(descriptor, writer(out), key, context, clear_hash=clear_hash, sealed_hash=sealed_hash)
        if _state(descriptor) != before:
            raise SetupError(f"{source.name} changed while it was sealed.", remedy="Seal it again when nobody writes.")
    return sizes


def writer(descriptor: int) -> Sink:
    """Write every batch to `descriptor`."""
    return lambda batch: write_all(descriptor, batch)


@contextlib.contextmanager
def fresh_file(target: Path) -> Iterator[int]:
    """A descriptor to write a new file; `target` is there, whole and synced, when the block ends without an error.

    Raises `SetupError` if `target` exists or cannot be written.
    """
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor
            os.fsync(descriptor)
            os.link(temporary, target)  # unlike rename, fails if the name is taken
        finally:
            os.close(descriptor)
            temporary.unlink()
        sync_folder(target.parent)
    except FileExistsError:
        raise SetupError(f"{target} is there already.", remedy="Choose another name, or move it away.") from None
    except OSError as error:
        raise SetupError(
            f"{target} cannot be written: {error.strerror}.", remedy="Check the folder and disk."
        ) from None


@contextlib.contextmanager
def fresh_folder(target: Path) -> Iterator[Path]:
    """An empty folder to fill; it is `target` when the block ends without an error, and gone otherwise.

    Raises `SetupError` if `target` exists or cannot be written.
    """
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        if target.exists():
            raise SetupError(f"{target} is there already.", remedy="Choose another name, or move it away.")
        temporary.mkdir(mode=0o700)
        try:
            yield temporary
            for folder in (temporary, *(path for path in temporary.rglob("*") if path.is_dir())):
                sync_folder(folder)
            temporary.rename(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_folder(target.parent)
    except OSError as error:
        raise SetupError(
            f"{target} cannot be written: {error.strerror}.", remedy="Check the folder and disk."
        ) from None


def parts(path: Path) -> dict[str, Path]:
    """The files to seal or open at `path`: itself as ``""``, or those of a folder by their path in it, sorted.

    Raises `SetupError` for what is neither file nor folder, for links and special files, and for too many files.
    """
    if _kind(path) == "file":
        return {"": path}
    found: dict[str, Path] = {}
    for entry in sorted(path.rglob("*")):
        if _kind(entry) == "folder":
            continue
        found[_name(entry.relative_to(path))] = entry
        if len(found) > MAX_PARTS:
            raise SetupError(
                f"{path} holds more than {MAX_PARTS} files.", remedy="Put them into archives, or seal several folders."
            )
    if not found:
        raise SetupError(f"{path} holds no file.", remedy="Name a file, or a folder with files.")
    return found


def _name(part: Path) -> str:
    """The name a part is bound to and signed under: valid UTF-8 on every system. Raises `SetupError`."""
    name = part.as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        raise SetupError(f"The file name {name!a} is not UTF-8.", remedy="Rename the file.") from None
    return name


def _kind(path: Path) -> str:
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}.", remedy="Check the name and its owner.") from None
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    raise SetupError(f"{path} is a link or a special file.", remedy="Name the file itself.")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[int]:
    """A descriptor of the file `path`, which is no link. Raises `SetupError`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}.", remedy="Check the name and its owner.") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _state(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns


def _pump(
    source: int,
    in_bytes: int,
    out_bytes: int,
    transform: Callable[..., int],
    before: Sequence[Sink],
    after: Sequence[Sink],
) -> tuple[int, int]:
    """Bytes read and made. Every consumer sees each batch in order, in a thread of its own.

    Raises what `transform` or a consumer raises; a batch that did not open reaches no consumer of clear bytes.
    """
    lanes = [ThreadPoolExecutor(1, thread_name_prefix="sealedfile") for _ in (*before, *after)]
    buffers = [(memoryview(bytearray(in_bytes)), memoryview(bytearray(out_bytes))) for _ in range(_COPIES)]
    busy: list[list[Future[object]]] = [[] for _ in range(_COPIES)]
    read = made = batch = 0
    try:
        while True:
            turn = batch % _COPIES
            _finish(busy[turn])
            raw, out = buffers[turn]
            length = _fill(source, raw)
            size = transform(batch * BATCH, raw[:length], out, last=length < in_bytes)
            views = (*(raw[:length] for _ in before), *(out[:size] for _ in after))
            consumers = zip(lanes, (*before, *after), views, strict=True)
            busy[turn] = [lane.submit(consumer, view) for lane, consumer, view in consumers]
            read, made, batch = read + length, made + size, batch + 1
            if length < in_bytes:
                break
        for waiting in busy:
            _finish(waiting)
    finally:
        for lane in lanes:
            lane.shutdown(wait=True, cancel_futures=True)
    return read, made


def _finish(waiting: list[Future[object]]) -> None:
    for future in waiting:
        future.result()


def _fill(source: int, buffer: memoryview) -> int:
    """Read until `buffer` is full or the file ends: `os.readv` may give less."""
    filled = 0
    while filled < len(buffer):
        got = os.readv(source, [buffer[filled:]])
        if not got:
            break
        filled += got
    return filled
