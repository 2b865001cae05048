"""The copy of a host's switch tables on its disk, for its next start. See `firedoor.ports.switches.TableCopyPort`.

One JSON file: the newest signed tables exactly as they came (base64), the switches that this host keeps shut, the
highest version it showed, and the SHA-256 of all that. The signatures are looked at again by whoever loads it.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from firedoor.core.switches import Switch
from firedoor.errors import SetupError
from firedoor.ports.switches import Copied
from firedoor.store.files import read_bounded, write_atomic

log = logging.getLogger("firedoor.switches")

FORMAT: Final = "firedoor/table-copy/1"
COPY_LIMIT: Final = 640 * 1024
"""Bytes of the file: the largest table and global table in base64 (342 KiB) and 96 switches as long as a table's."""


class _Content(Struct, frozen=True, forbid_unknown_fields=True):
    table: bytes | None
    everywhere: bytes | None
    kept: tuple[Switch, ...]
    floor: int


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    """What is on the disk: the content as JSON, and the SHA-256 (hex) of exactly those bytes."""

    format: str
    sha256: str
    content: msgspec.Raw


_file_decoder = msgspec.json.Decoder(_File)
_content_decoder = msgspec.json.Decoder(_Content)
_encoder = msgspec.json.Encoder(order="deterministic")


class TableCopy:
    """The copy at `path`, written by one process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Copied:
        """See the port. A damaged file is renamed to ``NAME.damaged-…``, so that people can look at it."""
        try:
            data = read_bounded(self._path, COPY_LIMIT)
        except FileNotFoundError:
            return Copied()
        except OSError as error:
            log.warning("%s cannot be read: %s", self._path.name, error.strerror)
            return Copied()
        except SetupError:
            data = b""
        try:
            file = _file_decoder.decode(data)
            if file.format == FORMAT and hashlib.sha256(file.content).hexdigest() == file.sha256:
                content = _content_decoder.decode(file.content)
                return Copied(content.table, content.everywhere, content.kept, content.floor)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            pass
        log.warning("%s is damaged and is set aside; what the switch page shows stays shut", self._path.name)
        with contextlib.suppress(OSError):
            self._path.rename(self._path.with_name(f"{self._path.name}.damaged-{time.time_ns()}"))
        return Copied()

    def save(self, copied: Copied) -> None:
        """See the port."""
        content = _encoder.encode(_Content(*copied))
        file = _File(FORMAT, hashlib.sha256(content).hexdigest(), msgspec.Raw(content))
        write_atomic(self._path, _encoder.encode(file))
