"""Files of weights that come with the package, checked against their SHA-256 before they are used.

A model's card (JSON) names its files and what the code must know about them. It comes in the same wheel: the check
notices damage and mixed versions, not somebody who can write to the installation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import TypeVar

import msgspec
from msgspec import Struct

from firedoor.errors import SetupError

C = TypeVar("C", bound=Struct)


def read_card(name: str, kind: type[C]) -> C:
    """The card in the package's file `name`. Raises `SetupError`."""
    try:
        return msgspec.json.decode(_read(name), type=kind)
    except msgspec.DecodeError:
        raise damaged(f"{name} cannot be read") from None


def checked(name: str, files: Mapping[str, str]) -> bytes:
    """The package's file `name`, which `files` gives the SHA-256 (hex) of. Raises `SetupError` if it is another one."""
    data = _read(name)
    if hashlib.sha256(data).hexdigest() != files.get(name):
        raise damaged(f"{name} is not the file that was shipped")
    return data


def damaged(why: str) -> SetupError:
    """The installation is not what was shipped."""
    return SetupError(f"This installation of Firedoor is damaged: {why}.", remedy="Install the package anew.")


def _read(name: str) -> bytes:
    try:
        return resources.files("firedoor.data").joinpath(name).read_bytes()
    except OSError:
        raise damaged(f"{name} is missing") from None
