"""Files of an evidence bundle: a folder or a zip, read within bounds and never unpacked; written durably."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Protocol

from firedoor.core.evidence.bundle import CUSTODY, CUSTODY_SIGNATURE, check_path
from firedoor.errors import EvidenceDamaged, SetupError
from firedoor.store.files import sync_folder

FILES: Final = 2_000_000
"""Files of a bundle: half a billion records."""
CHUNK: Final = 1024 * 1024
ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""Of every member, so that one bundle has one zip. The earliest that the format knows."""
ZIP_MODE: Final = 0o100600
BROKEN: Final = (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError)
"""What reading a damaged zip raises."""


class BundleFiles(Protocol):
    """The files of a bundle. Both methods raise `EvidenceDamaged`; OSError if the disk does not give them."""

    def names(self) -> list[str]:
        """Paths of all files."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """The file, for reading once."""
        ...


class FolderFiles:
    """A folder. Links and special files are refused, so that nothing outside of it is read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """See `BundleFiles`."""
        found: list[str] = []
        for place, folders, files in os.walk(self._folder):
            for name in (*folders, *files):
                path = Path(place, name)
                mode = path.lstat().st_mode
                below = check_path(path.relative_to(self._folder).as_posix())
                if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                    raise EvidenceDamaged(f"{below} is a link or a special file.")
                if stat.S_ISREG(mode):
                    found.append(below)
            if len(found) > FILES:
                raise EvidenceDamaged(f"A bundle has more than {FILES} files.")
        return found

    def open(self, name: str) -> IO[bytes]:
        """See `BundleFiles`."""
        return os.fdopen(os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")


class ZipFiles:
    """A zip file; members are stored or deflated. Raises `EvidenceDamaged`, OSError."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise EvidenceDamaged(f"{path.name} is not a zip file.") from error
        infos = [info for info in self._zip.infolist() if not info.is_dir()]
        if len(infos) > FILES:
            raise EvidenceDamaged(f"A bundle has more than {FILES} files.")
        tops = {info.filename.partition("/")[0] for info in infos}
        # Zipped by hand, a bundle may lie in a folder inside of the file.
        prefix = f"{tops.pop()}/" if len(tops) == 1 and len(infos) > 1 else ""
        self._infos: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            name = check_path(info.filename[len(prefix) :])
            if name in self._infos or info.flag_bits & 1:
                raise EvidenceDamaged(f"{name} is there twice, or encrypted.")
            if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise EvidenceDamaged(f"{name} is packed in an unusual way.")
            self._infos[name] = info

    def names(self) -> list[str]:
        """See `BundleFiles`."""
        return list(self._infos)

    def open(self, name: str) -> IO[bytes]:
        """See `BundleFiles`."""
        return self._zip.open(self._infos[name])


def open_bundle(path: Path) -> BundleFiles:
    """The bundle at `path`. Raises `EvidenceDamaged`, OSError."""
    return FolderFiles(path) if path.is_dir() else ZipFiles(path)


class BundleReader:
    """Files of a bundle, each compared with its SHA-256 in custody.json (`hashes`) when it is read for the first time.

    What differs goes to `damage` (file, problem).
    """

    def __init__(self, files: BundleFiles, names: set[str], damage: Callable[[str, str], None]) -> None:
        self._files = files
        self._damage = damage
        self.names = names
        self.hashes: dict[str, str] = {}
        self._seen: set[str] = set()

    def read(self, name: str, limit: int) -> bytes:
        """The whole of a file. Raises `EvidenceDamaged` if it is missing, larger than `limit` or cannot be read."""
        with self._open(name) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise EvidenceDamaged(f"It has more than {limit} bytes.")
        self._compare(name, hashlib.sha256(data).hexdigest())
        return data

    def read_rest(self) -> None:
        """Compare the files that nothing else had to read."""
        for name in sorted(self.names - self.hashes.keys() - {CUSTODY, CUSTODY_SIGNATURE}):
            self._damage(name, "It is not named in custody.json.")
        for name in sorted(self.hashes.keys() - self._seen):
            digest = hashlib.sha256()
            try:
                with self._open(name) as file:
                    while part := file.read(CHUNK):
                        digest.update(part)
            except EvidenceDamaged as error:
                self._damage(name, error.message)
            else:
                self._compare(name, digest.hexdigest())

    @contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        if name not in self.names:
            raise EvidenceDamaged("It is missing.")
        try:
            with self._files.open(name) as file:
                yield file
        except BROKEN as error:
            raise EvidenceDamaged(f"It cannot be read ({type(error).__name__}).") from error

    def _compare(self, name: str, digest: str) -> None:
        if name in self.hashes and name not in self._seen:
            self._seen.add(name)
            if self.hashes[name] != digest:
                self._damage(name, "Its SHA-256 is not the one in custody.json: it was changed.")


class Target:
    """Where a bundle is made: a hidden folder beside its final name, which it gets as the last step.

    `out` is a new folder, or a new file that ends in ``.zip``. Raises `SetupError` if it cannot be made.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        if out.exists() or out.is_symlink():
            raise SetupError(f"{out} exists.", remedy="Name a folder or file that is not there yet.")
        self.folder = out.parent / f".{out.name}.{os.urandom(4).hex()}"
        try:
            self.folder.mkdir(mode=0o700)
        except OSError as error:
            raise SetupError(
                f"The bundle cannot be written to {out.parent}: {error.strerror}.", remedy="Name another place."
            ) from error

    def write(self, name: str, data: bytes) -> None:
        """A file of the bundle, durable after `finish`. Raises OSError."""
        path = self.folder / check_path(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def finish(self) -> Path:
        """Make all of it durable under its hidden name; what `publish` will rename. Raises OSError."""
        for place, _, _ in os.walk(self.folder):
            sync_folder(Path(place))
        if self.out.suffix != ".zip":
            return self.folder
        packed = self.folder.with_name(f"{self.folder.name}.zip")
        write_zip(self.folder, packed)
        shutil.rmtree(self.folder)
        return packed

    def publish(self, finished: Path) -> None:
        """Give it its name. Raises `SetupError` if somebody took the name meanwhile, OSError."""
        if self.out.exists():
            raise SetupError(f"{self.out} exists.", remedy="Name a folder or file that is not there yet.")
        finished.rename(self.out)
        sync_folder(self.out.parent)

    def discard(self) -> None:
        """Remove what was made and not published."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.with_name(f"{self.folder.name}.zip").unlink(missing_ok=True)


def write_zip(folder: Path, target: Path) -> None:
    """`folder` as a zip: sorted, stored, one time for all: the same files give the same bytes. Raises OSError."""
    names = sorted(FolderFiles(folder).names())
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w+b") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed:
            for name in names:
                info = zipfile.ZipInfo(name, ZIP_TIME)
                info.external_attr = ZIP_MODE << 16
                info.create_system = 3
                with (folder / name).open("rb") as source, packed.open(info, "w") as member:
                    shutil.copyfileobj(source, member, CHUNK)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(target.parent)
