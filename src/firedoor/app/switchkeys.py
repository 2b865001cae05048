"""Whose signature counts under a switch table: keys of this region from its ring, of another from the plan."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firedoor.app.regionkeys import open_region
from firedoor.config import Home, RegionHome
from firedoor.core.people import KEY_PREFIX
from firedoor.core.plan.model import Loaded, Plan
from firedoor.core.switchtable import key_id
from firedoor.errors import FiredoorError
from firedoor.keys.derive import WorkerKeys
from firedoor.keys.ringfile import RING_FILE, RingFile, file_stamp, need_ring, switch_keys

log = logging.getLogger("firedoor.control")

FOLLOW: Final = 1.0
"""Seconds between looks whether the region's key was renewed."""

Keys = Callable[[], Mapping[str, bytes]]
"""Public keys (32 bytes) by id, as they are now. Raises `KeyUnusable`, OSError."""


def region_keys(place: RegionHome, keys: WorkerKeys) -> Keys:
    """Who may sign the tables of this region: its ring says so, which the region's root vouches for."""
    return RingFile(place.keys, keys).switch_keys


def others_keys(home: Home, plan: Plan, region: str) -> Keys:
    """Who may sign the tables of another region: the plan's `switch_keys` alone if there are any.

    Else, where that region lives on this machine too, what its ring file says.
    """
    declared = plan.regions[region].switch_keys
    if declared:
        public = [base64.b64decode(key.removeprefix(KEY_PREFIX)) for key in declared]
        known = {key_id(one): one for one in public}
        return lambda: known
    return _RingOnDisk(home.region(region)).keys


def home_keys(home: Home, plan: Plan, place: RegionHome, keys: WorkerKeys) -> Keys:
    """Who may sign the switches of all regions; nobody without a `switches.home` in the plan."""
    keeper = plan.switches.home
    if keeper is None:
        return dict
    return region_keys(place, keys) if keeper == place.name else others_keys(home, plan, keeper)


class _RingOnDisk:
    """The switch keys in the ring file of a region whose keys are not ours: nobody can prove it here."""

    def __init__(self, place: RegionHome) -> None:
        self._place = place
        self._stamp: tuple[int, int, int] | None = None
        self._known: dict[str, bytes] = {}

    def keys(self) -> Mapping[str, bytes]:
        stamp = file_stamp(self._place.keys / RING_FILE)
        if stamp is None or stamp != self._stamp:
            self._known = switch_keys(need_ring(self._place.keys, self._place.name).state)
            self._stamp = stamp
        return self._known


class SwitchSigner:
    """The key that signs tables; see `firedoor.ports.switches.TableSigner`. `keys` are those that hosts accept."""

    def __init__(self, place: RegionHome, loaded: Loaded, plan_folder: Path, keys: WorkerKeys, seed: bytes) -> None:
        self._open = (place, loaded, plan_folder)
        self._keys = region_keys(place, keys)
        self._take(seed)

    @property
    def key(self) -> str:
        """See the port."""
        return self._id

    def sign(self, data: bytes) -> bytes:
        """See the port."""
        return self._private.sign(data)

    def accepted(self) -> Mapping[str, bytes]:
        """The keys that count on this host: the ring's, and the one that this process signs with until it notices."""
        return {**self._keys(), self._id: self._public}

    async def follow(self) -> None:
        """Sign with a renewed key soon after it is in the ring, until cancelled: with the old one nobody listens."""
        while True:
            await asyncio.sleep(FOLLOW)
            try:
                if self._id not in await asyncio.to_thread(self._keys):
                    self._take(await asyncio.to_thread(self._seed))
                    log.info("switch tables are signed with key %s now", self._id)
            except (FiredoorError, OSError) as error:
                log.error("the renewed key of the switch tables cannot be had: %s", type(error).__name__)

    def _seed(self) -> bytes:
        """The root is asked: this process keeps no other key of the ring."""
        return open_region(*self._open).switch_seed()

    def _take(self, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._private.public_key().public_bytes_raw()
        self._id = key_id(self._public)
