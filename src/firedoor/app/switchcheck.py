"""What `firedoor doctor` looks at of a region's switches: page, keys, bus, hosts. Changes nothing, shuts nothing."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from firedoor.agent.page import PageReader
from firedoor.api import shapes
from firedoor.app.health import ANSWER_SECONDS
from firedoor.app.hostcheck import Finding
from firedoor.app.switchkeys import others_keys
from firedoor.bus.nats import NatsBus
from firedoor.config import Home, RegionHome
from firedoor.core import topics
from firedoor.core.people import KEY_PREFIX
from firedoor.core.plan.model import Loaded
from firedoor.core.plan.model import NatsBus as Declared
from firedoor.core.switchtable import MESSAGE_LIMIT
from firedoor.errors import FiredoorError
from firedoor.keys.ringfile import need_ring, switch_keys

SILENT: Final = 2.0
"""Seconds without a word after which a host is missing: the lease of a surface unless its plan says more."""
ANSWER_LIMIT: Final = 1 << 20
"""Bytes of control's answer: 256 hosts at 300 bytes each are under 100 kB."""
GREETING_LIMIT: Final = 64 * 1024
"""Bytes of the line with which a NATS server greets."""
NATS_PORT: Final = 4222
SETTLE: Final = 0.3
"""Seconds in which a server refuses a subscription, if it does."""
_TROUBLES: Final = {
    "authorization": "refuses the credentials",
    "permissions": "does not let these credentials hear the region's switches",
    "credentials": "was given no usable credentials",
    "tls": "cannot be spoken to over TLS",
}


class _Greeting(Struct, frozen=True):
    """What of a NATS server's INFO is looked at."""

    max_payload: int = 0


async def switch_findings(home: Home, place: RegionHome, loaded: Loaded, plan_folder: Path) -> list[Finding]:
    """All of it for one region."""
    found = [*_page(place, loaded), *_keys(home, place, loaded)]
    bus = loaded.plan.regions[place.name].bus
    if bus is not None:
        bad = list(_files(bus, plan_folder))
        asked = () if bad else (_server(place.name, bus, server, plan_folder) for server in bus.servers)
        found += [*bad, *await asyncio.gather(*asked)]
        found += await _hosts(place)
    return found


def _page(place: RegionHome, loaded: Loaded) -> Iterator[Finding]:
    """How old the tables are that workers look at. Without a page here there are none, which is told already."""
    if not place.page.exists():
        return
    reader = PageReader(place.page)
    try:
        look = reader.look()
    finally:
        reader.close()
    if look.shown is None:
        yield Finding("warn", "switches: no table that can be read", "Control or the switch agent writes it.")
        return
    if look.age > ANSWER_SECONDS:
        old = f"{look.age:.0f} s old" if look.age < float("inf") else "without a beat"
        yield Finding("warn", f"switches: the table is {old}, so AI is off", "Do control, the bus and the agent run?")
    else:
        count = len(look.shown.table.shut) + len(look.shown.table.drills)
        yield Finding("ok", f"switches: fresh, {f'{count} shut' if count else 'all open'}")
    leases = [float(s.global_lease) for s in loaded.plan.surfaces.values() if s.global_lease is not None]
    if leases and look.global_age > min(leases):
        what = "switches of all regions: their table is too old, so surfaces with a global_lease are off"
        yield Finding("warn", what, f"See to control of region {loaded.plan.switches.home}, and to the link to it.")


def _keys(home: Home, place: RegionHome, loaded: Loaded) -> Iterator[Finding]:
    """Whether the key that signs tables is there, and those who must know it do."""
    plan = loaded.plan
    declared = plan.regions[place.name].switch_keys
    with contextlib.suppress(FiredoorError, OSError):  # a ring that is none is told with the keys
        own = switch_keys(need_ring(place.keys, place.name).state)
        if not own:
            yield Finding("warn", "switch key: none yet", "Control makes it when it starts.")
        elif declared and not {KEY_PREFIX + base64.b64encode(key).decode() for key in own.values()} <= set(declared):
            remedy = f"Write what `firedoor switches keys` prints into regions.{place.name}.switch_keys, everywhere."
            yield Finding("FAIL", "switch key: the plan names another one, so other machines take no table", remedy)
        else:
            yield Finding("ok", f"switch key: {', '.join(own)}")
    keeper = plan.switches.home
    if keeper is not None and keeper != place.name:
        try:
            known = others_keys(home, plan, keeper)()
        except (FiredoorError, OSError):
            known = {}
        if not known:
            remedy = f"Write what `firedoor switches keys` prints there into regions.{keeper}.switch_keys of this plan."
            yield Finding("FAIL", f"switches of all regions: the key of region {keeper} is not known here", remedy)


def _files(bus: Declared, plan_folder: Path) -> Iterator[Finding]:
    """Files that the plan names for the bus: there, readable, and the secret one nobody else's."""
    for name, secret in ((bus.credentials_file, True), (bus.ca_file, False)):
        if name is None:
            continue
        path = plan_folder / name
        try:
            with path.open("rb") as file:
                file.read(1)
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError as error:
            yield Finding("FAIL", f"bus: {path.name} cannot be read: {error.strerror}", "See to its place and owner.")
            continue
        if secret and mode & 0o077:
            yield Finding("FAIL", f"bus: other users have access to {path.name}", f"Run chmod 600 {path}.")


async def _server(region: str, bus: Declared, server: str, plan_folder: Path) -> Finding:
    """Whether a NATS server can be reached, takes whole tables, and lets us hear them."""
    at = urlsplit(server)
    called = f"bus: {at.hostname}:{at.port or NATS_PORT}"
    greeting = await _greeting(at.hostname or "", at.port or NATS_PORT)
    if greeting is None:
        return Finding("warn", f"{called} does not answer as a NATS server", "Without any server, AI goes off.")
    if greeting.max_payload < MESSAGE_LIMIT:
        remedy = f"Set max_payload to 256KB there: a full table has {MESSAGE_LIMIT // 1024} kB."
        return Finding("FAIL", f"{called} takes only {greeting.max_payload} bytes at a time", remedy)
    try:
        trouble = await _hears(region, bus, server, plan_folder)
    except FiredoorError as error:
        return Finding("FAIL", f"{called}: {error.message}", error.remedy)
    if trouble:
        what = _TROUBLES.get(trouble, f"cannot be used: {trouble}")
        return Finding("FAIL", f"{called} {what}", "See to `credentials_file`, and to the server's configuration.")
    return Finding("ok", f"{called} answers, and lets us hear the switches")


async def _greeting(host: str, port: int) -> _Greeting | None:
    """What the server says first, before TLS and credentials; None if that is no NATS server."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host, port, limit=GREETING_LIMIT)
            try:
                line = await reader.readline()
            finally:
                writer.close()
        head, _, said = line.partition(b" ")
        return msgspec.json.decode(said, type=_Greeting) if head == b"INFO" else None
    except (OSError, TimeoutError, ValueError, msgspec.MsgspecError):
        return None


async def _hears(region: str, bus: Declared, server: str, plan_folder: Path) -> str:
    """Listen for tables as a host does, for a moment. The code of what went wrong, empty if nothing did."""
    files = [None if name is None else plan_folder / name for name in (bus.credentials_file, bus.ca_file)]
    listener = NatsBus([server], credentials_file=files[0], ca_file=files[1], name=f"firedoor {region} doctor")
    connected = asyncio.Event()
    listener.on_connect = connected.set
    listener.subscribe(topics.table(region), lambda _: None)
    await listener.open()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await connected.wait()
        await asyncio.sleep(SETTLE)
    except TimeoutError:
        return listener.status.trouble or "timeout"
    else:
        return listener.status.trouble
    finally:
        await listener.aclose()


async def _hosts(place: RegionHome) -> list[Finding]:
    """What control, if it runs on this machine, hears of the region's hosts."""
    said = await _ask_hosts(place)
    if said is None:
        return []
    found = []
    for host in said.hosts:
        if host.seen_ago_s > SILENT:
            what = f"host {host.name}: not heard of for {host.seen_ago_s:.0f} s"
            found.append(Finding("warn", what, "Is it up, and can it reach the bus? Without tables AI is off there."))
        elif host.refused:
            what = f"host {host.name}: takes no newer table: {host.refused}"
            found.append(Finding("FAIL", what, "docs/switches.md says what the code means; AI goes off there."))
        elif host.kept:
            what = f"host {host.name}: keeps {host.kept} shut that control does not know of"
            found.append(Finding("warn", what, "Control takes them over within a beat: look again."))
    if not found and said.hosts:
        found.append(Finding("ok", f"hosts: {len(said.hosts)}, all heard of"))
    return found or [Finding("warn", "hosts: control has heard of none", "Start them: `firedoor gateway --workers N`.")]


async def _ask_hosts(place: RegionHome) -> shapes.Hosts | None:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(str(place.control_socket), limit=ANSWER_LIMIT)
            try:
                writer.write(b"GET /control/v1/hosts HTTP/1.1\r\nhost: control\r\nconnection: close\r\n\r\n")
                answer = await reader.read(ANSWER_LIMIT)
                while len(answer) < ANSWER_LIMIT and (more := await reader.read(ANSWER_LIMIT)):
                    answer += more
            finally:
                writer.close()
        return msgspec.json.decode(answer.partition(b"\r\n\r\n")[2], type=shapes.Hosts)
    except (OSError, TimeoutError, msgspec.MsgspecError):
        return None
