"""Sealing and opening when the disk, the process or somebody else interferes: whole or not at all, and the source stays."""

from __future__ import annotations

import errno
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from firedoor.app.sealed import Unlocked, What, beside, collect, seal
from firedoor.core.sealedfile import CHUNK
from firedoor.errors import FiredoorError, SetupError
from firedoor.keys.manifest import Signer
from firedoor.keys.ring import create_ring
from firedoor.keys.roots.file import FileRoot
from firedoor.store import sealedfile
from firedoor.store.sealedfile import BATCH, open_stream, reading, seal_file

WHOLE = BATCH * CHUNK
KEY, CONTEXT = bytes(range(32)), b"context"
MARK = b"a clear line that must never be on the disk\n"
SIGNER = Signer(ec.generate_private_key(ec.SECP256R1()))
MODEL = What("model", "eu-chat")


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in" / "source"
    path.parent.mkdir()
    path.write_bytes(MARK * (3 * WHOLE // len(MARK)))
    return path


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def ring(tmp_path):
    return create_ring(tmp_path / "keys", "eu", FileRoot(tmp_path / "keys" / "root.json", "eu"))


def opened(path: Path) -> bytes:
    found = bytearray()
    with reading(path) as source:
        open_stream(source, found.extend, KEY, CONTEXT)
    return bytes(found)


def test_killed_anywhere_there_is_a_whole_file_or_none(source, out):
    """`kill -9` at random moments of sealing: what has the name of the target opens, and nothing clear was written."""
    program = f"""
import sys
import time
from pathlib import Path
from firedoor.store.sealedfile import seal_file
print(flush=True)
for number in range(10_000):
    seal_file(Path({str(source)!r}), Path({str(out)!r}) / str(number), bytes(range(32)), b"context")
    print(number, flush=True)
"""
    clear = source.read_bytes()
    draw = random.Random(7)
    for _ in range(6):
        for path in out.iterdir():
            path.unlink()
        child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        assert child.stdout is not None
        for _ in range(draw.randint(1, 4)):
            child.stdout.readline()
        time.sleep(draw.random() * 0.02)  # somewhere in the next file
        child.kill()
        child.wait()
        done = [int(line) for line in child.stdout.read().split()]
        child.stdout.close()
        named = sorted(path for path in out.iterdir() if not path.name.startswith("."))
        assert {int(path.name) for path in named} >= set(done)
        for path in named:
            assert opened(path) == clear
        assert not any(MARK in path.read_bytes() for path in out.iterdir())
    assert source.read_bytes() == clear


def test_a_full_disk_leaves_nothing_and_says_so(source, out):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (WHOLE + 100, limits[1]))
    try:
        with pytest.raises(SetupError, match="cannot be written"):
            seal_file(source, out / "target", KEY, CONTEXT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(out.iterdir()) == []
    assert source.exists()


@pytest.mark.parametrize("call", ["fsync", "link"])
def test_a_disk_that_fails_late_leaves_nothing(source, out, monkeypatch, call):
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(sealedfile.os, call, fail)
    with pytest.raises(SetupError, match="Input/output error"):
        seal_file(source, out / "target", KEY, CONTEXT)
    monkeypatch.undo()
    assert list(out.iterdir()) == []


def test_short_reads_and_writes_change_nothing(source, out, monkeypatch):
    """A pipe, a network file system or a signal may hand over any part of what was asked for."""
    draw = random.Random(3)
    read, write = os.readv, os.write
    monkeypatch.setattr(
        sealedfile.os, "readv", lambda fd, views: read(fd, [views[0][: draw.randint(1, len(views[0]))]])
    )
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: draw.randint(1, len(data))]))
    seal_file(source, out / "target", KEY, CONTEXT)
    assert opened(out / "target") == source.read_bytes()


def test_a_read_error_leaves_nothing(source, out, monkeypatch):
    read, calls = os.readv, []

    def fail(descriptor: int, views: list[memoryview]) -> int:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        return read(descriptor, views)

    monkeypatch.setattr(sealedfile.os, "readv", fail)
    with pytest.raises(SetupError, match="Input/output error"):
        seal_file(source, out / "target", KEY, CONTEXT)
    monkeypatch.undo()
    assert list(out.iterdir()) == []


def test_every_byte_of_a_signature_counts(tmp_path, ring):
    """One changed byte in any of the files that weights consist of: nothing opens, or it is the same as before."""
    (tmp_path / "w").write_bytes(b"GGUF weights")
    target = tmp_path / "w.sealed"
    seal(collect([tmp_path / "w"]), target, MODEL, ring, SIGNER)
    place = beside(target)
    draw = random.Random(5)
    for path in (target, place.signature, place.public):
        whole = path.read_bytes()
        places = range(len(whole)) if path == target else draw.sample(range(len(whole)), 60)
        for at in places:
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << draw.randrange(8)]) + whole[at + 1 :])
            if path == target:
                with pytest.raises(FiredoorError):
                    Unlocked(target, MODEL, ring)
                continue
            try:
                found = memory(Unlocked(target, MODEL, ring))
            except FiredoorError:
                continue
            assert found == b"GGUF weights"  # white space, or a member that says nothing
        path.write_bytes(whole)
    assert memory(Unlocked(target, MODEL, ring)) == b"GGUF weights"


def memory(unlocked: Unlocked) -> bytes:
    descriptor = os.memfd_create("test")
    try:
        unlocked.open_into(descriptor)
        return os.pread(descriptor, 1 << 20, 0)
    finally:
        os.close(descriptor)


def test_a_signature_that_cannot_be_written_takes_the_sealed_file_with_it(tmp_path, ring, monkeypatch):
    from firedoor.app import sealed as module

    (tmp_path / "w").write_bytes(b"GGUF weights")
    (tmp_path / "out").mkdir()

    def fail(path: Path, *_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "write_atomic", fail)
    with pytest.raises(SetupError, match="No space left"):
        seal(collect([tmp_path / "w"]), tmp_path / "out" / "w.sealed", MODEL, ring, SIGNER)
    assert list((tmp_path / "out").iterdir()) == []
    assert (tmp_path / "w").exists()


def test_killed_while_a_folder_is_sealed_it_is_not_there(tmp_path, out):
    """A crash leaves a folder with a dot and a random name, never half a dataset under the name that the plan has."""
    folder = tmp_path / "rows"
    folder.mkdir()
    for number in range(40):
        (folder / str(number)).write_bytes(MARK * 20_000)
    program = f"""
from pathlib import Path
from firedoor.app.sealed import What, collect, seal
class Keys:
    region = "eu"
    def file_key(self, purpose, name):
        return bytes(range(32))
print(flush=True)
seal(collect([Path({str(folder)!r})]), Path({str(out)!r}) / "rows.sealed", What("dataset", "rows"), Keys(), None)
"""
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    while child.poll() is None and not any(out.rglob("*.sealed")):
        pass
    child.kill()
    child.wait()
    child.stdout.close()
    there = [path.name for path in out.iterdir() if not path.name.startswith(".")]
    assert there in ([], ["rows.sealed"])
    if there:  # it was faster than we were
        assert len(list((out / "rows.sealed").iterdir())) == 40
    assert not any(MARK in path.read_bytes() for path in out.rglob("*") if path.is_file())
