"""Under which name this host's part lies in a database that the hosts of a region share.

The name is chosen once and kept in a file: under another one the same journals would be read, and shoppers be counted,
twice.
"""

from __future__ import annotations

import os

from firedoor.config import HOST_VARIABLE, RegionHome, host_name
from firedoor.store.files import read_bounded, write_atomic

STANDS_BY = "the region has a control process already, this one stands by"
"""What a control process says in its log while another one writes the state of the region."""
SPEAKS = "the switches of the region are kept by this process"
"""What it says once its table is told."""
WAITS = "this host has a switch agent already, this one stands by"
FOLLOWS = "the switch page of the region is kept by this process"
"""What switch agents say, likewise."""
_LIMIT = 64
"""Bytes of the file: a name and a line feed."""


def host_part(place: RegionHome) -> str:
    """The name, made from ``FIREDOOR_HOST`` or the machine's if there is none yet. Raises `SetupError`, OSError."""
    known = known_host_part(place)
    if known is None:
        known = host_name(os.environ.get(HOST_VARIABLE) or None)
        write_atomic(place.host_part, f"{known}\n".encode())
    return known


def known_host_part(place: RegionHome) -> str | None:
    """The name, None if this host has none yet. Raises `SetupError` for what is no name, OSError."""
    try:
        return host_name(read_bounded(place.host_part, _LIMIT).decode("ascii", "replace").strip() or "?")
    except FileNotFoundError:
        return None
