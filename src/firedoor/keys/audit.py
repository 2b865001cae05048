"""Looks over a region's keys: what each is, how old, wrapped by what, and everything that is not as it must be."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from firedoor.core.evidence.subjects import CELL_BYTES
from firedoor.errors import FiredoorError
from firedoor.keys.files import OTHERS
from firedoor.keys.rewrap import cell_files
from firedoor.keys.ring import SUBJECTS, Ring, open_ring
from firedoor.keys.ringfile import Entry
from firedoor.ports.keys import Root

DAY: Final = 86_400
EPOCH_DAYS: Final = 30
"""Days after which another epoch should begin: until then older backups still hold erased subjects' keys."""


class KeyLine(Struct, frozen=True):
    """One key. `age` is in seconds; `cells` counts those on the disk of an epoch, erased ones too."""

    id: str
    purpose: str
    epoch: int | None
    version: int
    state: str
    age: int
    handle: str
    wrapped_by: str
    gone: str
    cells: int | None


class Finding(Struct, frozen=True):
    """Something that is not as it must be (`error`) or should be (`warning`), and what to do."""

    level: Literal["error", "warning"]
    text: str
    remedy: str = ""


class Audit(Struct, frozen=True):
    """A region's keys, as they are. `keys` is empty if the ring does not open."""

    region: str
    root: str
    erasures: int
    keys: tuple[KeyLine, ...]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings do not count."""
        return all(finding.level != "error" for finding in self.findings)


def audit(folder: Path, region: str, root: Root, *, now: float) -> Audit:
    """Look at every key and file below `folder`. `now` is Unix seconds. Never raises for what it can report."""
    findings = [*_root(root), *_modes(folder)]
    try:
        ring = open_ring(folder, region, root)
        state = ring.state
        state.epoch  # noqa: B018  # raises unless there is exactly one
    except FiredoorError as error:
        return Audit(region, _describe(root), 0, (), (*findings, _error(error)))
    findings += [*_opens(ring), *_cells(ring), *_epochs(ring, now)]
    lines = tuple(_line(ring, entry, now) for entry in state.entries)
    return Audit(region, _describe(root), state.erasures, lines, tuple(findings))


def _root(root: Root) -> Iterator[Finding]:
    if root.kind == "file":
        yield Finding(
            "warning", "The root is a file, for development.", "Use an HSM or a key server: `root` in the plan."
        )
    try:
        root.check()
    except FiredoorError as error:
        yield _error(error)


def _modes(folder: Path) -> Iterator[Finding]:
    """Every file and folder of keys must be its owner's alone."""
    for path in (folder, *sorted(folder.rglob("*"))):
        try:
            mode = path.lstat().st_mode
        except OSError:
            continue  # replaced while we looked
        if stat.S_ISLNK(mode):
            yield Finding("error", f"{_name(folder, path)} is a link.", "Keys lie where their region lies.")
        elif stat.S_IMODE(mode) & OTHERS:
            wanted = "700" if stat.S_ISDIR(mode) else "600"
            yield Finding("error", f"Other users have access to {_name(folder, path)}.", f"Run chmod {wanted} on it.")


def _opens(ring: Ring) -> Iterator[Finding]:
    for entry in ring.state.entries:
        if entry.state == "destroyed":
            continue
        try:
            if entry.purpose == "epoch":
                ring.epoch_private(int(entry.name))
            else:
                ring.opens(entry)
        except FiredoorError as error:
            yield Finding("error", f"{entry.id}: {error.message}", error.remedy)
    for handle in ring.state.doomed:
        yield Finding(
            "warning", f"The root must still destroy {handle}.", "Run `firedoor keys new-epoch` when it can be reached."
        )


def _cells(ring: Ring) -> Iterator[Finding]:
    living = {entry.name for entry in ring.state.epochs("current", "retiring")}
    destroyed = {entry.name for entry in ring.state.epochs("destroyed")}
    folders = sorted(ring.subjects.iterdir()) if ring.subjects.is_dir() else []
    for folder in folders:
        if folder.name in living or not cell_files(folder):
            continue
        what = "was destroyed" if folder.name in destroyed else "is not in the ring"
        remedy = "Run `firedoor keys new-epoch`." if folder.name in destroyed else "Restore the ring of that epoch."
        yield Finding("error", f"There are subjects' keys of epoch {folder.name}, which {what}.", remedy)


def _epochs(ring: Ring, now: float) -> Iterator[Finding]:
    for entry in ring.state.epochs("retiring"):
        yield Finding("warning", f"Epoch {entry.name} is still retiring.", "Run `firedoor keys new-epoch` to end it.")
    age = int(now - ring.state.epoch.made_at) // DAY
    if age > EPOCH_DAYS:
        yield Finding(
            "warning",
            f"Epoch {ring.state.epoch.name} is {age} days old: backups of that time still hold erased subjects' keys.",
            "Run `firedoor keys new-epoch` at least every 30 days.",
        )


def _line(ring: Ring, entry: Entry, now: float) -> KeyLine:
    epoch = int(entry.name) if entry.purpose == "epoch" else None
    return KeyLine(
        id=entry.id,
        purpose=entry.purpose,
        epoch=epoch,
        version=entry.version,
        state=entry.state,
        age=max(0, int(now - entry.made_at)),
        handle=entry.handle,
        wrapped_by=f"{ring.root.kind} root, {'own' if epoch else 'base'} key",
        gone=entry.gone,
        cells=None if epoch is None else cell_count(ring.folder, epoch),
    )


def cell_count(folder: Path, epoch: int) -> int:
    """Cells of `epoch` on the disk, erased ones too."""
    count = 0
    for path in cell_files(folder / SUBJECTS / str(epoch)):
        with contextlib.suppress(OSError):  # its epoch ends while we look
            count += path.stat().st_size // CELL_BYTES
    return count


def _describe(root: Root) -> str:
    try:
        return root.describe()
    except FiredoorError as error:
        return error.message


def _name(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder.parent))


def _error(error: FiredoorError) -> Finding:
    return Finding("error", error.message, error.remedy)
