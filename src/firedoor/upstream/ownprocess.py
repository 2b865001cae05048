"""What is to be seen of a model server of ours from outside: its process and files. Blocks; Linux only; reads only."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Container, Iterator
from pathlib import Path

from msgspec import Struct
from yarl import URL

from firedoor.core.integrity import ABSENT, commanded

COMMAND_LIMIT = 262_144
"""Bytes of a command line; the kernel allows more, nobody needs it."""
MAPS_LIMIT = 16_777_216
"""Bytes of a process's list of mappings, about 100 each; the kernel allows 65,530 mappings."""
FILES = 1024
"""Files whose digest is remembered: two for each model instance, more as they are replaced."""
FILES_OF_PROCESS = frozenset({"weights.file", "arguments.program"})
"""Items that take as long as reading a whole file; the others are there at once."""


class OwnProcess(Struct, frozen=True):
    """A model server that Firedoor started. `pid` is None while nobody knows it.

    `file` is what it loads: weights, sealed weights or a script. `mapped` says that the file itself is in its memory.
    """

    pid: int | None
    file: Path
    mapped: bool = False


class FileDigests:
    """SHA-256 of files, read again only when their stat changes."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], str] = {}

    def of(self, path: Path) -> str:
        """The digest (hex) of the file at `path`. Blocks. Raises OSError, also if it changes while it is read."""
        with path.open("rb") as file:
            stamp = _stamp(os.fstat(file.fileno()))
            if stamp in self._known:
                return self._known[stamp]
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if _stamp(os.fstat(file.fileno())) != stamp:
                raise OSError("the file changes")
        if len(self._known) >= FILES:
            self._known.clear()
        self._known[stamp] = digest
        return digest


def process_items(
    own: OwnProcess, url: str, digests: FileDigests, without: Container[str] = ()
) -> tuple[dict[str, str], dict[str, str]]:
    """What is to be seen of a model server on this machine, and what is not, with the reason. Blocks; Linux only.

    Items in `without` are not looked at.
    """
    looks: dict[str, Callable[[], str]] = {
        "weights.file": lambda: digests.of(own.file),
        "arguments.command": lambda: _command(own),
        "arguments.program": lambda: digests.of(_proc(own) / "exe"),
        "arguments.listens": lambda: _listens(own, URL(url).port),
    }
    if own.mapped:
        looks["weights.mapped"] = lambda: _maps(own)
    seen: dict[str, str] = {}
    unseen: dict[str, str] = {}
    for item, look in looks.items():
        if item in without:
            continue
        try:
            seen[item] = look()
        except PermissionError:
            unseen[item] = "not_permitted"
        except FileNotFoundError:
            unseen[item] = "not_there"
        except OSError:
            unseen[item] = "cannot_be_read"
    return seen, unseen


def _proc(own: OwnProcess) -> Path:
    if own.pid is None:
        raise FileNotFoundError("no process")
    return Path("/proc") / str(own.pid)


def _command(own: OwnProcess) -> str:
    data = read(_proc(own) / "cmdline", COMMAND_LIMIT)
    if not data:
        raise OSError("a process that has ended")
    return commanded(data.decode("utf-8", "backslashreplace").split("\0"))


def _maps(own: OwnProcess) -> str:
    """Whether the file that lies there now is in the process's memory, and not one that was replaced since."""
    wanted = os.fsencode(own.file.resolve())
    lines = read(_proc(own) / "maps", MAPS_LIMIT).splitlines()
    return "yes" if any(line.split(None, 5)[5:] == [wanted] for line in lines) else ABSENT


def _listens(own: OwnProcess, port: int | None) -> str:
    """Whether the socket that listens on `port` is the process's: the server that answers is the one looked at."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    for link in (_proc(own) / "fd").iterdir():
        try:
            if str(link.readlink()) in sockets:
                return "yes"
        except FileNotFoundError:
            continue  # closed while we looked
    return ABSENT


def _listening(port: int | None) -> Iterator[str]:
    """Inodes of the sockets that listen on `port` of any local address (proc(5), /proc/net/tcp)."""
    for table in ("tcp", "tcp6"):
        try:
            lines = read(Path("/proc/net") / table, MAPS_LIMIT).decode("ascii").splitlines()[1:]
        except FileNotFoundError:
            continue  # a kernel without IPv6
        for fields in map(str.split, lines):
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def read(path: Path, limit: int) -> bytes:
    """At most `limit` bytes of a file. Raises OSError."""
    with path.open("rb") as file:
        return file.read(limit)


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size
