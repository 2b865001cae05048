"""Where the index of a region's exchanges lies: in this host's file, or in the database that the hosts share."""

from __future__ import annotations

from pathlib import Path

from firedoor.app.hostpart import host_part, known_host_part
from firedoor.config import RegionHome
from firedoor.core.plan.model import Region
from firedoor.store.index import IndexPlace
from firedoor.store.index_read import IndexReader, open_index


def index_place(place: RegionHome, declared: Region | None) -> IndexPlace:
    """What this host writes of it; `declared` is the region in the plan. Raises `SetupError`, OSError."""
    return _place(place, declared, host_part(place) if _shared(declared) else None)


def known_index_place(place: RegionHome, declared: Region | None) -> IndexPlace | None:
    """The same, without giving this host a name: None if it never wrote any. Raises `SetupError`, OSError."""
    if not _shared(declared):
        return _place(place, declared, None)
    host = known_host_part(place)
    return None if host is None else _place(place, declared, host)


def read_index(place: RegionHome, declared: Region | None) -> IndexReader:
    """All of it, what other hosts wrote as well. Raises like `open_index`."""
    return open_index(_where(place, declared), place.name, of_hosts=_shared(declared))


def _place(place: RegionHome, declared: Region | None, host: str | None) -> IndexPlace:
    request = place.run / "rebuild-index"
    return IndexPlace(_where(place, declared), place.name, subjects=place.subjects, request=request, host=host)


def _where(place: RegionHome, declared: Region | None) -> Path | str:
    return declared.state if declared is not None and declared.state else place.state


def _shared(declared: Region | None) -> bool:
    """A region with a bus has several hosts."""
    return declared is not None and declared.state is not None and declared.bus is not None
