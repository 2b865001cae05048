"""Small private files of keys: read only if private, replaced so that a crash leaves the old or the new one."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from firedoor.errors import KeyUnusable

OTHERS = 0o077
"""Mode bits that let anybody but the owner at a file."""


def read_private(path: Path, limit: int, what: str) -> bytes | None:
    """The whole of `path`, at most `limit` bytes; None if there is no such file.

    Raises `KeyUnusable` if others may read or write it, it is larger, no file, or it cannot be read.
    """
    try:
        with open_plain(path) as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(limit + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyUnusable(f"The {what} cannot be read: {error.strerror}.") from error
    if stat.S_IMODE(mode) & OTHERS:
        raise KeyUnusable(f"Other users have access to the {what}.", remedy=f"Run chmod 600 on {path.name}.")
    if len(data) > limit:
        raise KeyUnusable(f"The {what} is larger than {limit} bytes.", remedy=f"Restore {path.name} from a backup.")
    return data


def open_plain(path: Path) -> BinaryIO:
    """Open a file to read. Raises OSError, also if it is a pipe or another thing that would hold the reader up."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "Not a file")
    return os.fdopen(descriptor, "rb")


def replace(path: Path, data: bytes) -> None:
    """Replace `path` (0600) by `data`, durable on return: readers see the old content or the new. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        write_new(temporary, data)
        temporary.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def write_new(path: Path, data: bytes) -> None:
    """Write a new file (0600) and sync it. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make a create, rename or unlink in `folder` durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the writers' lock of `path` (a file `.NAME.lock` beside it). Raises OSError."""
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
