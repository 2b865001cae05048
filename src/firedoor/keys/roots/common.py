"""What the kinds of root have in common: bounds, names of wrapping keys, refusals, optional packages."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from firedoor.errors import KeyUnusable, SetupError
from firedoor.keys.files import read_private

WRAP_LIMIT: Final = 64
"""Bytes wrapped at once: the two 32-byte seeds of a log are the most we have. Bulk data has no place in a root."""
WRAPPED_LIMIT: Final = 4096
"""Bytes of a wrapped key; a key server's envelope of 64 bytes has about 250."""
SECRET_LIMIT: Final = 4096
"""Bytes of a PIN or token file."""
NONCE_BYTES: Final = 12
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")


def optional(module: str, extra: str) -> Any:
    """Import a package that only this kind of root needs. Raises `SetupError` that says how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SetupError(
            f"The package {module.partition('.')[0]} is not installed.", remedy=f'Run pip install "firedoor[{extra}]".'
        ) from error


def fresh_label(separator: str, region: str, name: str) -> str:
    """A label no other wrapping key has: firedoor, region, name, 64 random bits. Raises ValueError for odd names."""
    if not _NAME.match(name):
        raise ValueError(f"a wrapping key is named by lower-case letters, digits and '-', at most 32: {name!r}")
    return separator.join(("firedoor", region, f"{name}-{os.urandom(8).hex()}"))


def check_label(separator: str, region: str, handle: str) -> str:
    """`handle`, if it is one that `fresh_label` made for this region. Raises `KeyUnusable`."""
    parts = handle.split(separator)
    if len(parts) != 3 or parts[:2] != ["firedoor", region] or not re.fullmatch(r"[a-z0-9-]{1,64}", parts[2]):
        raise KeyUnusable(f"A wrapping key is not one of region {region}.", remedy="Keys never change their region.")
    return handle


def check_endpoint(url: str, who: str, where: str) -> None:
    """Raises `SetupError` unless `url` is https, or on this machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in LOOPBACK):
        raise SetupError(
            f"{who} is not reached by https.",
            remedy=f"Keys and tokens would cross the network in clear: use https:// in `{where}`.",
        )


def check_size(data: bytes) -> bytes:
    """`data`, if a root may wrap it. Raises ValueError."""
    if not 1 <= len(data) <= WRAP_LIMIT:
        raise ValueError(f"a root wraps 1 to {WRAP_LIMIT} bytes")
    return data


def check_wrapped(wrapped: bytes, region: str) -> bytes:
    """`wrapped`, if its size is possible. Raises `KeyUnusable`."""
    if not NONCE_BYTES + 16 < len(wrapped) <= WRAPPED_LIMIT:
        raise does_not_open(region)
    return wrapped


def does_not_open(region: str) -> KeyUnusable:
    """The refusal for what was changed, or wrapped under another key or in another context."""
    return KeyUnusable(
        f"A wrapped key does not open with the root of region {region}.",
        remedy="It was changed, moved, or wrapped by another root: restore ring.json from the newest backup.",
    )


def no_key(region: str) -> KeyUnusable:
    """The refusal for a handle that the root does not know (any more)."""
    return KeyUnusable(
        f"The root of region {region} has no such wrapping key.",
        remedy="It was destroyed, or this is not the root that made it: what it wrapped cannot be read any more.",
    )


def read_secret(path: Path, what: str) -> str:
    """The first line of a file that holds a PIN or a token. Raises `KeyUnusable` unless it is private and has one."""
    data = read_private(path, SECRET_LIMIT, what)
    if data is None:
        raise KeyUnusable(f"The {what} is missing: {path}.", remedy="Correct its path in the plan.")
    try:
        secret = data.decode().split("\n", 1)[0].strip()
    except UnicodeDecodeError as error:
        raise KeyUnusable(f"The {what} is not text.") from error
    if not secret:
        raise KeyUnusable(f"The {what} is empty.")
    return secret
