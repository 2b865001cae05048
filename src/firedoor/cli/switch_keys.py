"""`firedoor switches keys`, `new-key`: what hosts of other machines must know of the key that signs switch tables."""

from __future__ import annotations

import base64
import time

import typer

from firedoor.app.operator import as_operator
from firedoor.app.regionkeys import epochs, open_region
from firedoor.cli.options import HomeOption, JsonOption, RegionOption, echo_json, planned_region
from firedoor.config import Home, RegionHome
from firedoor.core.evidence.record import Record
from firedoor.core.people import KEY_PREFIX
from firedoor.keys.ring import Ring
from firedoor.keys.ringfile import switch_keys
from firedoor.store import planfile


def keys(home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """The public keys of the regions that have a ring here, for `switch_keys` in the plans of other machines."""
    found = Home.find(home)
    loaded = planfile.load(found.plan)
    if region is None:
        places = [found.region(name) for name in sorted(loaded.plan.regions) if found.region(name).ring.exists()]
    else:
        places = [planned_region(found, loaded.plan, region)]
    said: dict[str, list[str]] = {}
    for place in places:
        ring = open_region(place, loaded, found.plan.parent)
        ring.switch_seed()  # makes the first one, where there was none
        said[place.name] = _printed(ring)
    if as_json:
        echo_json(said)
        return
    for name, public in said.items():
        typer.echo(f"{name}: {', '.join(public)}")


def new_key(home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Sign switch tables with a new key from now on: no host that has the new ring.json takes the old one's any more.

    For a key that others may have. Control takes the new one within seconds, without a restart. Until a host has the
    new ring.json, it takes no table, and AI is off there.
    """
    found = Home.find(home)
    loaded = planfile.load(found.plan)
    where = planned_region(found, loaded.plan, region)
    ring = open_region(where, loaded, found.plan.parent)
    ring.switch_seed()
    _record(where, ring)
    ring.renew("switches")
    (public,) = _printed(ring)
    if as_json:
        echo_json({"region": where.name, "key": public})
        return
    typer.echo(f"Switch tables of {where.name} are signed with a new key: {public}")
    typer.echo("Copy ring.json to the region's other hosts, and write the key into the plans of other machines.")


def _record(where: RegionHome, ring: Ring) -> None:
    record = Record(kind="key", exchange="", at=time.time_ns(), facts={"act": "new_switch_key"})
    as_operator(where, epochs(where, ring.worker()), lambda write: write(record))


def _printed(ring: Ring) -> list[str]:
    return [KEY_PREFIX + base64.b64encode(public).decode() for public in switch_keys(ring.state).values()]
