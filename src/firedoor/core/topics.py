"""What travels on the switch bus, by topic. Pure.

Only `GLOBAL` passes between regions, and on it only what `core.crossing` lists.
"""

from __future__ import annotations

from typing import Final

_SESSIONS: Final = ".sessions"

GLOBAL: Final = "firedoor.global"
"""`crossing.GlobalSaid`: from the control of the region that keeps the switches of all, to the hosts of all regions."""


def table(region: str) -> str:
    """`switchtable.Said`: from the region's control to its hosts."""
    return f"firedoor.{region}.table"


def hosts(region: str) -> str:
    """`hosts.HostSaid`: from the region's hosts to its control."""
    return f"firedoor.{region}.hosts"


def sessions(region: str) -> str:
    """`sessionnews.News`, sealed: sums of sessions, between the hosts of a region."""
    return f"firedoor.{region}{_SESSIONS}"


def is_local(topic: str) -> bool:
    """Whether processes of one machine have use for `topic`. Of the hosts of a region it is one."""
    return not topic.endswith(_SESSIONS)
