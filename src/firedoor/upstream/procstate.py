"""What only a living process tells: its command, files, sockets and memory maps, from proc(5). Blocks; reads only.

Environment and memory are not looked at: they may hold keys and shoppers' words. What cannot be seen is said, with why.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from firedoor.core.isolation import bare_command
from firedoor.upstream.ownprocess import COMMAND_LIMIT, MAPS_LIMIT, read
from firedoor.upstream.procs import PROC, family, identity, process, processes

ARGUMENTS: Final = 256
ARGUMENT: Final = 500
"""Arguments kept, and characters of each: a model server has some twenty."""
MAPPED: Final = 200
"""Mapped files that are named: a Python process with its extensions has about a hundred."""
FILES: Final = 65_536
"""Descriptors that are looked at; a model server has one for each connection."""
FAMILY: Final = 256


def process_state(pid: int) -> dict[str, Any]:
    """The process `pid` as it is now, in words and counts that JSON can hold; ``not_seen`` names what could not be."""
    found = process(pid)
    if found is None:
        return {"pid": pid, "not_seen": {"process": "gone"}}
    state: dict[str, Any] = {
        "pid": pid,
        "born": identity(pid),
        "state": found.state,
        "parent": found.parent,
        "processes": sorted(family(pid, processes()))[:FAMILY],
    }
    unseen: dict[str, str] = {}
    folder = PROC / str(pid)
    parts: dict[str, Callable[[], Any]] = {
        "started_at": lambda: _started(found.began),
        "program": lambda: str((folder / "exe").readlink()),
        "works_in": lambda: str((folder / "cwd").readlink()),
        "command": lambda: command(pid),
        "memory_kb": lambda: _status(folder, "VmRSS"),
        "threads": lambda: _status(folder, "Threads"),
        "descriptors": lambda: _descriptors(folder),
        "maps": lambda: _maps(folder),
    }
    for name, look in parts.items():
        try:
            state[name] = look()
        except PermissionError:
            unseen[name] = "not_permitted"
        except FileNotFoundError:
            unseen[name] = "not_there"
        except (OSError, ValueError):
            unseen[name] = "cannot_be_read"
    return {**state, "not_seen": unseen} if unseen else state


def command(pid: int) -> list[str]:
    """Its command line, without secrets. Raises OSError."""
    data = read(PROC / str(pid) / "cmdline", COMMAND_LIMIT)
    words = data.decode("utf-8", "backslashreplace").rstrip("\0").split("\0")
    return [word[:ARGUMENT] for word in bare_command(words)[:ARGUMENTS]]


def _started(began: int) -> int:
    """Unix seconds."""
    up = float((PROC / "uptime").read_text("ascii").split()[0])
    return round(time.time() - up + began / os.sysconf("SC_CLK_TCK"))


def _status(folder: Path, name: str) -> int:
    for line in (folder / "status").read_text("utf-8", "replace").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise ValueError(name)


def _descriptors(folder: Path) -> dict[str, int]:
    """How many it has open, by kind."""
    counts = {"all": 0, "sockets": 0, "pipes": 0, "files": 0, "others": 0}
    for link, _ in zip((folder / "fd").iterdir(), range(FILES), strict=False):
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            continue  # closed while we looked
        counts["all"] += 1
        kind = "files" if target.startswith("/") else target.partition(":")[0] + "s"
        counts[kind if kind in counts else "others"] += 1
    return counts


def _maps(folder: Path) -> dict[str, Any]:
    """Its mappings in short: which files, and code that comes from no file, or that can be written.

    Mappings that can be written and run are what injected code needs; some compilers at run time make them, too.
    """
    lines = read(folder / "maps", MAPS_LIMIT).decode("utf-8", "replace").splitlines()
    files: dict[str, None] = {}
    counts = {"mappings": 0, "writable_code": 0, "code_of_no_file": 0, "deleted_files": 0}
    for fields in (line.split(None, 5) for line in lines):
        if len(fields) < 5:
            continue
        path = fields[5] if len(fields) == 6 else ""
        counts["mappings"] += 1
        runs = "x" in fields[1]
        counts["writable_code"] += runs and "w" in fields[1]
        counts["code_of_no_file"] += runs and not path.startswith(("/", "[v"))  # but [vdso], [vsyscall]: the kernel's
        counts["deleted_files"] += path.endswith(" (deleted)")
        if path.startswith("/"):
            files[path[:ARGUMENT]] = None
    return {**counts, "files": list(files)[:MAPPED], "files_in_all": len(files)}
