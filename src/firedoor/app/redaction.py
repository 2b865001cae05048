"""Files that are redacted or restored: read and written in pieces, replaced whole or not at all."""

from __future__ import annotations

import codecs
import contextlib
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec
from msgspec import Struct

from firedoor.core.redact.cells import Edit, untouched
from firedoor.core.redact.csvtext import edited_csv
from firedoor.core.redact.edits import MAX_VALUES, PLACEHOLDER
from firedoor.core.redact.jsontext import edited_json, edited_json_lines
from firedoor.core.redact.text import edited_text
from firedoor.errors import SetupError
from firedoor.store.files import sync_folder, write_all

Format = Literal["text", "csv", "tsv", "json", "jsonl"]
_BY_ENDING: dict[str, Format] = {
    ".csv": "csv", ".tsv": "tsv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl",
}  # fmt: skip
_READERS: dict[Format, Callable[[Iterable[str], Edit], Iterator[str]]] = {
    "text": edited_text,
    "csv": edited_csv,
    "tsv": partial(edited_csv, delimiter="\t"),
    "json": edited_json,
    "jsonl": edited_json_lines,
}
CHUNK = 65_536
"""Bytes read at a time."""
MAX_MAP_LINE = 8_388_608
"""Bytes of one line of a map: a value of a megabyte with every character escaped."""


def format_of(path: Path) -> Format:
    """What a file is by the end of its name; ``text`` for all others."""
    return _BY_ENDING.get(path.suffix.lower(), "text")


def edited(source: BinaryIO, name: str, kind: Format, edit: Edit) -> Iterator[bytes]:
    """`source`, edited, in pieces of UTF-8. Raises `SetupError` naming `name` and what in it is wrong."""
    try:
        for piece in _READERS[kind](_decoded(source), edit):
            yield piece.encode()
    except SetupError as error:
        raise SetupError(f"{name}: {error.message}", remedy=error.remedy) from None


def check(path: Path, kind: Format) -> None:
    """Read all of `path` as it will be read. Raises `SetupError` for what would stop its edit half-way."""
    with opened(path) as source:
        for _ in edited(source, str(path), kind, untouched):
            pass


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file to read. Raises `SetupError`."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise SetupError(
            f"{path} cannot be read: {error.strerror}.", remedy="See to its name and permissions."
        ) from None


def check_replaceable(path: Path) -> None:
    """Raises `SetupError` for what `replace` must not touch: no file, a symbolic link, a file with another name."""
    try:
        found = path.lstat()
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}.", remedy="See to its name.") from None
    if stat.S_ISLNK(found.st_mode):
        raise SetupError(f"{path} is a symbolic link.", remedy="Name the file it points to.")
    if not stat.S_ISREG(found.st_mode):
        raise SetupError(f"{path} is not a file.", remedy="Name files only.")
    if found.st_nlink > 1:
        raise SetupError(
            f"{path} has another name (a hard link), which would keep the old content.", remedy="Unlink that one first."
        )


def replace(path: Path, pieces: Iterable[bytes], before: Callable[[], None]) -> None:
    """Put `pieces` in the place of the file `path`: whole or not at all, mode and owner kept.

    `before` is called when the new content is durable and the old still there. Raises `SetupError`.
    """
    try:
        _replace(path, pieces, before)
    except OSError as error:
        raise SetupError(
            f"{path} cannot be replaced: {error.strerror}.", remedy="See to its folder and disk."
        ) from None


def _replace(path: Path, pieces: Iterable[bytes], before: Callable[[], None]) -> None:
    old = path.lstat()
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            for piece in pieces:
                write_all(descriptor, piece)
            with contextlib.suppress(PermissionError):  # only root gives files away
                os.fchown(descriptor, old.st_uid, old.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        before()
        draft.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    sync_folder(path.parent)


def _decoded(source: BinaryIO) -> Iterator[str]:
    """The text of `source`. Raises `SetupError` naming the first byte that is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    read = 0
    while True:
        data = source.read(CHUNK)
        kept = len(decoder.getstate()[0])
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise SetupError(
                f"byte {read - kept + error.start} is not UTF-8.", remedy="Convert it first: iconv -f … -t UTF-8."
            ) from None
        read += len(data)
        if text:
            yield text
        if not data:
            return


class MapEntry(Struct, frozen=True):
    """A line of a map."""

    placeholder: str
    value: str


class MapFile:
    """What placeholders stand for, in clear: a line of JSON each, in a new file for this user alone."""

    def __init__(self, path: Path) -> None:
        """Raises `SetupError` if the file is there already."""
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise SetupError(f"{path} is there already.", remedy="Name a new file for the map.") from None
        except OSError as error:
            raise SetupError(f"{path} cannot be made: {error.strerror}.", remedy="See to its folder.") from None

    def add(self, placeholder: str, value: str) -> None:
        """Write one more. Raises `SetupError`."""
        try:
            write_all(self._descriptor, msgspec.json.encode(MapEntry(placeholder, value)) + b"\n")
        except OSError as error:
            raise SetupError(f"{self.path} cannot be written: {error.strerror}.", remedy="See to the disk.") from None

    def sync(self) -> None:
        """Make durable what was added. Raises OSError."""
        os.fsync(self._descriptor)

    def close(self, *, keep: bool) -> None:
        """Close it; if nothing was made that needs it, remove it."""
        os.close(self._descriptor)
        if not keep:
            self.path.unlink(missing_ok=True)


def read_map(path: Path) -> dict[str, str]:
    """Placeholders and values of a map. Raises `SetupError` naming the line that is wrong."""
    values: dict[str, str] = {}
    with opened(path) as file:
        number = 0
        while line := file.readline(MAX_MAP_LINE + 1):
            number += 1
            if number > MAX_VALUES or len(line) > MAX_MAP_LINE:
                raise SetupError(f"{path} is larger than a map can be.", remedy="Name the file that --map wrote.")
            try:
                entry = msgspec.json.decode(line, type=MapEntry)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                raise SetupError(
                    f"{path}, line {number} is not of a map.", remedy="Name the file that --map wrote."
                ) from None
            if PLACEHOLDER.fullmatch(entry.placeholder) is None:
                raise SetupError(f"{path}, line {number} has no placeholder.", remedy="Name the file that --map wrote.")
            values[entry.placeholder] = entry.value
    return values
