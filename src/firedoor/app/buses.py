"""The switch bus of a region, as the plan declares it."""

from __future__ import annotations

from pathlib import Path

from firedoor.bus.local import LocalBus
from firedoor.bus.nats import NatsBus
from firedoor.bus.several import Several
from firedoor.config import Home
from firedoor.core.plan.model import Loaded


def region_bus(home: Home, loaded: Loaded, region: str, name: str, plan_folder: Path) -> Several:
    """The bus of `region` for the process that is called `name` on it, not opened yet.

    `name` is unique in the region on this machine: ``control``, or the name of a host. Files that the plan names are
    below `plan_folder`. Raises `SetupError`.
    """
    declared = loaded.plan.regions[region].bus
    here, everywhere = LocalBus(home.region(region).bus, name), LocalBus(home.bus, f"{region}.{name}")
    nats = None
    if declared is not None:
        nats = NatsBus(
            declared.servers,
            credentials_file=_below(plan_folder, declared.credentials_file),
            ca_file=_below(plan_folder, declared.ca_file),
            name=f"firedoor {region} {name}",
        )
    return Several(here, everywhere, nats)


def _below(folder: Path, named: str | None) -> Path | None:
    return None if named is None else folder / named
