"""Sealed files on disk: of any size in bounded memory, read anywhere, there whole or not at all."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.sealedfile import CHUNK, SEALED_CHUNK, chunk_at, file_context, sealed_size
from firedoor.errors import KeyUnusable, SealBroken, SetupError
from firedoor.store import sealedfile
from firedoor.store.sealedfile import (
    BATCH,
    SealedReader,
    Sizes,
    fresh_file,
    fresh_folder,
    open_stream,
    parts,
    reading,
    seal_file,
    seal_stream,
    writer,
)

KEY, CONTEXT = bytes(range(32)), file_context("eu", "dataset", "orders")
WHOLE = BATCH * CHUNK
EDGES = [0, 1, CHUNK, WHOLE - 1, WHOLE, WHOLE + 1, 2 * WHOLE, 3 * WHOLE + 17]


def content(size: int) -> bytes:
    return (os.urandom(65_521) * (size // 65_521 + 1))[:size]


def sealed(folder: Path, clear: bytes, name: str = "a") -> Path:
    (folder / name).write_bytes(clear)
    target = folder / f"{name}.sealed"
    seal_file(folder / name, target, KEY, CONTEXT)
    return target


def opened(path: Path, **more: object) -> bytes:
    found = bytearray()
    with reading(path) as source:
        open_stream(source, found.extend, KEY, CONTEXT, **more)  # type: ignore[arg-type]
    return bytes(found)


@pytest.mark.parametrize("size", EDGES)
def test_every_size_comes_back_with_the_right_hashes(tmp_path, size):
    clear = content(size)
    (tmp_path / "a").write_bytes(clear)
    hashes = [hashlib.sha256() for _ in range(4)]
    target = tmp_path / "b"
    made = seal_file(tmp_path / "a", target, KEY, CONTEXT, clear_hash=hashes[0], sealed_hash=hashes[1])
    assert made == Sizes(size, sealed_size(size))
    assert target.stat().st_size == sealed_size(size)
    assert target.stat().st_mode & 0o777 == 0o600
    assert opened(target, clear_hash=hashes[2], sealed_hash=hashes[3]) == clear
    right = [hashlib.sha256(clear).digest(), hashlib.sha256(target.read_bytes()).digest()]
    assert [h.digest() for h in hashes] == right + right
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_from_a_pipe(tmp_path):
    clear = content(WHOLE + 5)
    child = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.stdout.buffer.write(b'x' * {len(clear)})"], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    with fresh_file(tmp_path / "b") as out:
        assert seal_stream(child.stdout.fileno(), writer(out), KEY, CONTEXT).clear == len(clear)
    child.stdout.close()
    assert child.wait() == 0
    assert opened(tmp_path / "b") == b"x" * len(clear)


@pytest.fixture(scope="module")
def three_chunks(tmp_path_factory):
    clear = content(3 * CHUNK + 100)
    return sealed(tmp_path_factory.mktemp("random"), clear), clear


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_random_access_is_the_slice(three_chunks, data):
    path, clear = three_chunks
    near = [k * CHUNK + d for k in range(4) for d in (-1, 0, 1) if k or d >= 0]
    offset = data.draw(st.sampled_from(near) | st.integers(0, len(clear) + 10))
    length = data.draw(st.sampled_from([0, 1, CHUNK, CHUNK + 1]) | st.integers(0, len(clear) + 10))
    with SealedReader(path, KEY, CONTEXT) as reader:
        assert reader.size == len(clear)
        assert reader.read(offset, length) == clear[offset : offset + length]


def test_random_access_opens_only_what_it_reads(three_chunks, tmp_path):
    path, clear = three_chunks
    damaged = bytearray(path.read_bytes())
    damaged[chunk_at(1) + 7] ^= 1
    (tmp_path / "d").write_bytes(damaged)
    with SealedReader(tmp_path / "d", KEY, CONTEXT) as reader:
        assert reader.read(0, CHUNK) == clear[:CHUNK]
        assert reader.read(2 * CHUNK, 9) == clear[2 * CHUNK : 2 * CHUNK + 9]
        with pytest.raises(SealBroken):
            reader.read(CHUNK - 1, 2)
        for offset, length in ((-1, 1), (0, -1), (0, sealedfile.MAX_READ + 1)):
            with pytest.raises(ValueError, match="read 0 to"):
                reader.read(offset, length)


def test_a_reader_notices_a_cut_at_once(three_chunks, tmp_path):
    path, _ = three_chunks
    for cut in (0, 20, 56, chunk_at(1), chunk_at(1) + 30, chunk_at(3), chunk_at(3) + 60):
        (tmp_path / "c").write_bytes(path.read_bytes()[:cut])
        with pytest.raises(SealBroken):
            SealedReader(tmp_path / "c", KEY, CONTEXT)
    with pytest.raises(KeyUnusable):
        SealedReader(path, KEY, file_context("us", "dataset", "orders"))


@pytest.mark.parametrize("at", [0, BATCH + 3, 2 * BATCH])
def test_what_does_not_open_reaches_nobody(tmp_path, at):
    path = sealed(tmp_path, content(2 * WHOLE + 9))
    damaged = bytearray(path.read_bytes())
    damaged[chunk_at(at) + 1] ^= 128
    path.write_bytes(damaged)
    seen = bytearray()
    with reading(path) as source, pytest.raises(SealBroken):
        open_stream(source, seen.extend, KEY, CONTEXT)
    assert len(seen) <= at * CHUNK
    assert len(seen) % WHOLE == 0


def test_batches_do_not_change_places(tmp_path):
    path = sealed(tmp_path, content(3 * WHOLE))
    data = path.read_bytes()
    size = BATCH * SEALED_CHUNK
    head, one, two, rest = data[:56], data[56 : 56 + size], data[56 + size : 56 + 2 * size], data[56 + 2 * size :]
    for mixed in (head + two + one + rest, head + one + rest, head + one + one + two + rest):
        path.write_bytes(mixed)
        with pytest.raises(SealBroken):
            opened(path)


def test_an_existing_file_is_never_replaced_and_nothing_is_left(tmp_path):
    (tmp_path / "a").write_bytes(b"clear")
    (tmp_path / "b").write_bytes(b"mine")
    with pytest.raises(SetupError, match="there already"):
        seal_file(tmp_path / "a", tmp_path / "b", KEY, CONTEXT)
    with pytest.raises(SetupError, match="cannot be read"):
        seal_file(tmp_path / "none", tmp_path / "c", KEY, CONTEXT)
    with pytest.raises(SetupError, match="cannot be written"):
        seal_file(tmp_path / "a", tmp_path / "no" / "c", KEY, CONTEXT)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(SetupError, match="cannot be read"):
        seal_file(tmp_path / "link", tmp_path / "c", KEY, CONTEXT)
    (tmp_path / "link").unlink()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"clear", "b": b"mine"}


def test_a_file_that_changes_while_it_is_sealed_is_refused(tmp_path):
    source = tmp_path / "a"
    source.write_bytes(content(2 * WHOLE))

    class Busy:
        def update(self, _: memoryview) -> None:
            os.truncate(source, WHOLE)

    with pytest.raises(SetupError, match="changed while"):
        seal_file(source, tmp_path / "b", KEY, CONTEXT, clear_hash=Busy())
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_is_there_whole_or_not_at_all(tmp_path):
    target = tmp_path / "set"
    with pytest.raises(ZeroDivisionError), fresh_folder(target) as folder:
        (folder / "x").write_bytes(b"1")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with fresh_folder(target) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "x").write_bytes(b"1")
        assert not target.exists()
    assert (target / "deep" / "x").read_bytes() == b"1"
    with pytest.raises(SetupError, match="there already"), fresh_folder(target):
        pass
    assert list(tmp_path.iterdir()) == [target]


def test_parts_are_regular_files_within_bounds(tmp_path, monkeypatch):
    (tmp_path / "b" / "deep").mkdir(parents=True)
    (tmp_path / "b" / "deep" / "2").write_bytes(b"")
    (tmp_path / "b" / "1").write_bytes(b"")
    assert list(parts(tmp_path / "b")) == ["1", "deep/2"]
    assert parts(tmp_path / "b" / "1") == {"": tmp_path / "b" / "1"}
    monkeypatch.setattr(sealedfile, "MAX_PARTS", 1)
    with pytest.raises(SetupError, match="more than 1 files"):
        parts(tmp_path / "b")
    monkeypatch.undo()
    (tmp_path / "b" / "link").symlink_to("/etc/hostname")
    with pytest.raises(SetupError, match="link or a special"):
        parts(tmp_path / "b")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SetupError, match="no file"):
        parts(tmp_path / "empty")
    with pytest.raises(SetupError, match="cannot be read"):
        parts(tmp_path / "none")
    Path(os.fsdecode(os.fsencode(tmp_path / "empty") + b"/\xff")).write_bytes(b"")
    with pytest.raises(SetupError, match="UTF-8"):
        parts(tmp_path / "empty")


def test_memory_is_bounded(tmp_path):
    """A file of 96 MiB is sealed and opened within 48 MiB on top of the interpreter."""
    size = 96 << 20
    with (tmp_path / "a").open("wb") as file:
        file.truncate(size)
    program = f"""
import resource, sys
from pathlib import Path
from firedoor.store.sealedfile import seal_file, open_stream, reading
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
folder = Path({str(tmp_path)!r})
seal_file(folder / "a", folder / "b", bytes(32), b"")
with reading(folder / "b") as source:
    assert open_stream(source, lambda batch: None, bytes(32), b"").clear == {size}
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    grown = int(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)
    assert grown < 48 * 1024
