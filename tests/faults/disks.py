"""Disks for the fault tests: one that fails, and one that remembers what was synced and can lose the rest.

The model of a power cut is POSIX at its worst: bytes that were written and not synced may be there or not, block by
block, as a prefix, or as a longer file with zeros in it; a name that was made or removed may be there or not until its
folder is synced; and none of it happens in any order.
"""

import errno
import fcntl
import os
import shutil
from pathlib import Path

from firedoor.store.segments import Disk

BLOCKS = (512, 4096)
"""Bytes that a disk or a file system writes whole or not at all."""
CALLS = ("write", "fdatasync", "fsync", "open", "truncate", "make", "unlink", "sync_folder")


class Failing:
    """A disk that fails at one call and counts what is asked of it afterwards; `partly` bytes of a write are kept."""

    def __init__(self, call, number, error, partly=0, when=lambda _target: True):
        self.call, self.number, self.error, self.partly, self.when = call, number, error, partly, when
        self.real = Disk()
        self.count = self.after = 0
        self.paths = {}
        self.disk = Disk(**{name: self._step(name) for name in CALLS})

    def _step(self, name):
        real = getattr(self.real, name)

        def step(target, *more):
            self.after += self.count >= self.number
            if name == self.call and self.when(self.paths.get(target, target)):
                self.count += 1
                if self.count == self.number:
                    if self.partly:
                        os.write(target, bytes(more[0])[: self.partly])
                    raise OSError(self.error, os.strerror(self.error))
            result = real(target, *more)
            if name == "open":
                self.paths[result] = target
            return result

        return step


class _File:
    """What a file holds, what of that is synced, and the changes since."""

    def __init__(self):
        self.now = bytearray()
        self.synced = b""
        self.states = []  # what it held after each change that was not synced

    def changed(self):
        self.states.append(bytes(self.now))

    def sync(self):
        self.synced, self.states = bytes(self.now), []

    def after_power_loss(self, rng):
        """Any state that a power cut may leave: nothing, all, or a part of what was not synced."""
        if not self.states:
            return self.synced
        kind = rng.randrange(6)
        if kind == 0:
            return self.synced
        if kind == 1:
            return rng.choice(self.states)
        size = rng.choice([len(self.synced), len(self.now), rng.randint(*sorted((len(self.synced), len(self.now))))])
        if kind == 2 and self.now.startswith(self.synced):  # a prefix of what was appended, the rest not even zeros
            return bytes(self.now[: max(size, len(self.synced))])
        left = bytearray(self.synced.ljust(size, b"\0")[:size])
        block = rng.choice(BLOCKS)
        for start in range(0, size, block):
            if rng.random() < 0.5:
                kept = bytes(self.now[start : min(start + block, size)])
                left[start : start + len(kept)] = kept
        return bytes(left)


class _Folder:
    """Names in a folder -> file or folder; None in a change stands for an unlinked name."""

    def __init__(self):
        self.now = {}
        self.synced = {}
        self.changes = []

    def set(self, name, node):
        self.changes.append((name, node))
        if node is None:
            del self.now[name]
        else:
            self.now[name] = node

    def sync(self):
        self.synced, self.changes = dict(self.now), []

    def after_power_loss(self, rng):
        """The synced names with any of the changes since."""
        names = self.synced | {name: node for name, node in self.changes if rng.random() < 0.5}
        return {name: node for name, node in names.items() if node is not None}


class Never:
    """A choice that keeps nothing that was not synced."""

    def randrange(self, _end):
        return 0

    def random(self):
        return 1.0


class Hole:
    """A choice that keeps all of what was not synced but one small block of each file."""

    def __init__(self, block):
        self.block = block
        self.seen = -1

    def randrange(self, end):
        return end - 1

    def choice(self, options):
        if options is BLOCKS:
            self.seen = -1
            return min(options)
        return max(options)

    def randint(self, _least, most):
        return most

    def random(self):
        self.seen += 1
        return float(self.seen == self.block)


class PowerCut(OSError):
    """The machine is dead: no call does anything any more."""


class RecordingDisk:
    """Real files below `root`, and beside them the record of what was synced.

    `die_at`: the number of the call at which everything stops; a write is then done in part. `forgets` says of which
    paths a sync only pretends. `log` has (call, path) of all that was done.
    """

    def __init__(self, root, forgets=lambda _path: False):
        self.root = root
        self.forgets = forgets
        self.log = []
        self.calls = 0
        self.die_at = None
        self.part = 0.5
        self._folders = {root: _Folder()}
        self._files = {}
        self._paths = {}
        for path in sorted(root.rglob("*")):
            self._know(path)
        self._all_synced()
        self.disk = Disk(**{name: getattr(self, name) for name in CALLS})

    # The calls.

    def open(self, path, flags):
        self._step("open", path)
        new = not path.exists()
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        if new:
            self._files[path] = _File()
            self._folders[path.parent].set(path.name, self._files[path])
        self._paths[descriptor] = path
        return descriptor

    def write(self, descriptor, data):
        path = self._paths[descriptor]
        if self._dying():
            if self.calls >= self.die_at:
                self._step("write", path)
            data = data[: int(len(data) * self.part)]
        written = os.write(descriptor, data)
        file = self._files[path]
        appends = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
        at = len(file.now) if appends else os.lseek(descriptor, 0, os.SEEK_CUR) - written
        file.now[at : at + written] = data[:written]
        file.changed()
        self._step("write", path)
        return written

    def truncate(self, descriptor, length):
        path = self._paths[descriptor]
        self._step("truncate", path)
        os.ftruncate(descriptor, length)
        file = self._files[path]
        file.now = file.now[:length].ljust(length, b"\0")
        file.changed()

    def fdatasync(self, descriptor):
        path = self._paths[descriptor]
        self._step("sync", path)
        if not self.forgets(path):
            self._files[path].sync()

    fsync = fdatasync

    def make(self, folder):
        self._step("make", folder)
        if not folder.is_dir():
            folder.mkdir()
            self._folders[folder] = _Folder()
            self._folders[folder.parent].set(folder.name, self._folders[folder])

    def unlink(self, path):
        self._step("unlink", path)
        path.unlink()
        self._folders[path.parent].set(path.name, None)
        del self._files[path]

    def sync_folder(self, folder):
        self._step("sync_folder", folder)
        if not self.forgets(folder) and folder in self._folders:
            self._folders[folder].sync()

    # What may happen to the machine.

    def restart(self):
        """The process is gone, the machine runs on: what was written is still there, synced or not."""
        self.die_at, self.calls = None, 0

    def power_loss(self, rng):
        """Leave on the disk what `rng` keeps of what was not synced."""
        self.restart()
        tree = dict(self._survivors(self.root, self._folders[self.root], rng))
        for path in self.root.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._folders, self._files, self._paths = {self.root: _Folder()}, {}, {}
        for path, content in tree.items():
            path.mkdir() if content is None else path.write_bytes(content)
            self._know(path)
        self._all_synced()

    def _survivors(self, path, folder, rng):
        for name, node in folder.after_power_loss(rng).items():
            if isinstance(node, _Folder):
                yield path / name, None
                yield from self._survivors(path / name, node, rng)
            else:
                yield path / name, node.after_power_loss(rng)

    def _dying(self):
        return self.die_at is not None and self.calls + 1 >= self.die_at

    def _step(self, name, path):
        dying = self._dying()
        self.calls += 1
        if dying:
            raise PowerCut(errno.EIO, "the power is gone")
        self.log.append((name, path))

    def _know(self, path):
        if path.name == "lock":
            return
        if path.is_dir():
            node = self._folders[path] = _Folder()
        else:
            node = self._files[path] = _File()
            node.now = bytearray(path.read_bytes())
        self._folders[path.parent].set(path.name, node)

    def _all_synced(self):
        for node in [*self._folders.values(), *self._files.values()]:
            node.sync()


def flipped(path: Path, bit: int):
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
