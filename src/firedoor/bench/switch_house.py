"""Installations for the bench of switches: one where control runs, and copies of it for more hosts of a region."""

from __future__ import annotations

import http.client
import secrets
import shutil
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firedoor.api import shapes
from firedoor.app.regionkeys import open_region
from firedoor.bench.house import MODEL, REGION, SHOP, SURFACE, House, furnish
from firedoor.bench.switch_crowd import now
from firedoor.config import Home
from firedoor.core.people import Act, note_digest
from firedoor.core.plan.model import Loaded
from firedoor.core.switches import Scope
from firedoor.errors import SetupError
from firedoor.keys.people import PersonKey
from firedoor.store.planfile import load

FAR: Final = "far"
"""The other region, beyond a leaf node: what is shut in all regions must come to its hosts."""
FIRST: Final = "ana"
SECOND: Final = "cleo"
HERE: Final = Scope(REGION, SHOP, SURFACE, MODEL)
"""What is shut and opened in one region."""
EVERYWHERE: Final = Scope("*", SHOP, SURFACE)
"""What is shut and opened in all regions."""
_NOTE: Final = "bench"
_WAIT: Final = 10.0


class Asked(NamedTuple):
    """When control was asked to shut (ns, CLOCK_MONOTONIC), and the version of the table that shut it."""

    at: int
    version: int


class SwitchHouse(NamedTuple):
    """An installation, its people's keys, and its plan as control has it."""

    house: House
    keys: dict[str, PersonKey]
    loaded: Loaded


def furnish_switches(folder: Path, model_port: int, buses: Mapping[str, Mapping[str, Any]]) -> SwitchHouse:
    """An installation with region `REGION`, and `FAR` if `buses` names it: what the plan says of each one's bus."""
    keys = {name: PersonKey(Ed25519PrivateKey.generate()) for name in (FIRST, SECOND)}

    def amend(plan: dict[str, Any]) -> None:
        for name, key in keys.items():
            plan["people"][name]["key"] = key.public
        if FAR in buses:
            _add_far(plan)
        for region, bus in buses.items():
            plan["regions"][region]["bus"] = bus

    house = furnish(folder, model_port, amend)
    loaded = load(house.home.plan)
    for region in loaded.plan.regions:  # made now, so that every host knows who signs
        open_region(house.home.region(region), loaded, folder).switch_seed()
    return SwitchHouse(house, keys, loaded)


def copy_host(made: SwitchHouse, folder: Path, region: str, *, share_bus: bool) -> Home:
    """The folder of one more host: plan, keys, credentials. With `share_bus` it hears the datagrams of the first."""
    first, home = made.house.home, Home(folder)
    for known in made.loaded.plan.regions:
        place, given = home.region(known), first.region(known)
        place.make()
        shutil.copytree(given.keys, place.keys, dirs_exist_ok=True)
        for file in (given.credentials, given.protected):
            if file.exists():
                shutil.copy2(file, place.root / file.name)
    shutil.copy2(first.plan, home.plan)
    if share_bus:
        for ours, theirs in ((home.region(region).bus, first.region(region).bus), (home.bus, first.bus)):
            shutil.rmtree(ours, ignore_errors=True)
            theirs.mkdir(mode=0o700, exist_ok=True)
            ours.symlink_to(theirs)
    return home


def _add_far(plan: dict[str, Any]) -> None:
    near = plan["regions"][REGION]
    plan["regions"][FAR] = {**near, "jurisdictions": ["US"], "listen": "127.0.0.1:9", "address": "http://127.0.0.1:9"}
    plan["models"]["distant"] = {**plan["models"][MODEL], "region": FAR}
    plan["surfaces"][SURFACE]["models"][FAR] = "distant"
    plan["switches"] = {"home": REGION}


class Operator:
    """The two persons of a bench at control's API: each act is signed as the command line does it."""

    def __init__(self, made: SwitchHouse, scope: Scope) -> None:
        self._made = made
        self._scope = scope
        self._socket = str(made.house.home.region(REGION).control_socket)

    def shut(self) -> Asked:
        """Shut the scope. The time is that of the moment before control is asked."""
        act = self._act("shut", {"scope": str(self._scope), "reason": "operator"})
        body = shapes.Asked(act, self._made.keys[FIRST].sign(FIRST, act), _NOTE)
        start = now()
        return Asked(start, self._call("POST", "switches/shut", body, shapes.Result).version)

    def open(self, version: int) -> None:
        """Open what was shut by the table of `version`."""
        act = self._act("open", {"scope": str(self._scope), "of": str(version)})
        body = shapes.Asked(act, self._made.keys[FIRST].sign(FIRST, act), _NOTE)
        waiting = self._call("POST", "switches/open", body, shapes.WaitingRequest)
        approval = shapes.Approval(self._made.keys[SECOND].sign(SECOND, act))
        self._call("POST", f"requests/{waiting.id}/approve", approval, shapes.Result)

    def answers(self) -> bool:
        """Whether control does."""
        try:
            self._call("GET", "health", None, shapes.Health)
        except (OSError, SetupError):
            return False
        return True

    def _act(self, kind: Any, args: dict[str, str]) -> Act:
        nonce = secrets.token_hex(16)
        bound = {**args, "note_sha256": note_digest(nonce, _NOTE)}
        return Act(
            region=REGION, act=kind, args=bound, plan=self._made.loaded.digest, by=FIRST, made_at=int(time.time()),
            nonce=nonce,
        )  # fmt: skip

    def _call(self, method: str, path: str, body: Any, answer: Any) -> Any:
        connection = http.client.HTTPConnection("control", timeout=_WAIT)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.sock.settimeout(_WAIT)
            connection.sock.connect(self._socket)
            data = None if body is None else msgspec.json.encode(body)
            connection.request(method, f"/control/v1/{path}", data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status >= 300:
            raise SetupError(f"Control refuses the bench's request: {content[:300]!r}.")
        return msgspec.json.decode(content, type=answer)
