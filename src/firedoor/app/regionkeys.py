"""A region's keys from its root: for the processes that may read its evidence. Workers get theirs by `handover`."""

from __future__ import annotations

from pathlib import Path

from firedoor.app.identity import has_identity, make_identity, name_logs
from firedoor.config import RegionHome
from firedoor.core.plan.model import Loaded
from firedoor.errors import KeyUnusable
from firedoor.keys.derive import WorkerKeys
from firedoor.keys.ring import Ring, create_ring, open_ring
from firedoor.keys.ringfile import RING_FILE, RingFile
from firedoor.keys.roots import open_root
from firedoor.store.journal import Places


def open_region(place: RegionHome, loaded: Loaded, plan_folder: Path) -> Ring:
    """The region's ring, opened with the root that the plan declares. Raises `KeyUnusable`, `SetupError`."""
    declared = loaded.plan.regions[place.name].root
    return open_ring(place.keys, place.name, open_root(declared, place.name, place.keys, plan_folder))


def make_region(place: RegionHome, loaded: Loaded, plan_folder: Path) -> Ring:
    """As `open_region`; a region that has neither keys nor evidence gets its first keys."""
    if (place.keys / RING_FILE).exists():
        ring = open_region(place, loaded, plan_folder)
        if not any(place.journals.iterdir()) and not has_identity(place):  # a crash came between the two
            make_identity(place, loaded.plan, ring)
        return ring
    if any(place.journals.iterdir()):
        raise KeyUnusable(
            f"Region {place.name} has evidence but no keys: new ones could not read it.",
            remedy="Restore its folder `keys` from the newest backup.",
        )
    declared = loaded.plan.regions[place.name].root
    ring = create_ring(place.keys, place.name, open_root(declared, place.name, place.keys, plan_folder))
    make_identity(place, loaded.plan, ring)
    return ring


def join_region(place: RegionHome, loaded: Loaded, plan_folder: Path) -> Ring:
    """As `open_region`, for a host of gateways: without evidence it gets names for its logs. It makes no keys.

    Raises `KeyUnusable`, `SetupError`.
    """
    if not place.ring.exists():
        raise KeyUnusable(
            f"This host has no keys of region {place.name}.",
            remedy="Bring keys/ring.json here from the host of the region's control.",
        )
    ring = open_region(place, loaded, plan_folder)
    if not any(place.journals.iterdir()) and not has_identity(place):
        name_logs(place, loaded.plan, ring)
    return ring


def epochs(place: RegionHome, keys: WorkerKeys) -> RingFile:
    """The region's epoch and erasures, as its writers follow them."""
    return RingFile(place.keys, keys)


def places(place: RegionHome, slot: str) -> Places:
    """Where the journal of `slot` writes."""
    return Places(place.journal(slot), place.bodies, place.subjects)
