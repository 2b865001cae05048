"""A throw-away installation for the bench: one region, one shop, one surface, full protection."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from firedoor.app.prepare import prepare
from firedoor.app.regionkeys import open_region
from firedoor.config import Home, RegionHome
from firedoor.core.plan.decode import decode
from firedoor.store.credentials import CredentialFile
from firedoor.store.protected import ProtectedFile, make_honeytoken

REGION = "bench"
MODEL = "standin"
SHOP = "alpenladen"
SURFACE = "support"
VALUES = 450
HONEYTOKENS = 50


class House(Struct, frozen=True):
    """The installation: its folder, the gateway's port and the shop's credential for it."""

    home: Home
    port: int
    credential: str

    @property
    def region(self) -> RegionHome:
        """The only region."""
        return self.home.region(REGION)

    def command(self, *arguments: str) -> list[str]:
        """Arguments of ``firedoor`` for a process of this installation's region."""
        return [*arguments, "--home", str(self.home.root), "--plan", str(self.home.plan), "--region", REGION]


def furnish(folder: Path, model_port: int, amend: Callable[[dict[str, Any]], None] | None = None) -> House:
    """Write plan, keys, a credential and `VALUES` + `HONEYTOKENS` protected values into `folder`.

    `amend` changes the plan's document before it is written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    home, port = Home(folder), _free_port()
    planned = _plan(port, model_port)
    if amend is not None:
        amend(planned)
    document = json.dumps(planned, indent=1).encode()
    home.plan.write_bytes(document)
    loaded = decode(document, home.plan.name)
    prepare(home, loaded, folder)
    place = home.region(REGION)
    protected = ProtectedFile(place.protected, open_region(place, loaded, folder).worker().protect)
    protected.add("prices", "value", (f"Supplier {_code(n)[:6]} price {_code(n)[6:14]}" for n in range(VALUES)))
    protected.add("prices", "honeytoken", (make_honeytoken(_digest(n)) for n in range(HONEYTOKENS)))
    credential, _ = CredentialFile(place.credentials, REGION).issue(SHOP, SURFACE, time.time())
    return House(home, port, credential)


def _plan(port: int, model_port: int) -> dict[str, Any]:
    return {
        "firedoor": 1,
        "name": "bench",
        "people": {
            "ana": _person("Ana Example", "incident_commander", "platform_engineer", "ai_engineer", "soc_analyst"),
            "cleo": _person("Cleo Example", "dpo", "communications", "legal"),
        },
        "regions": {
            REGION: {
                "jurisdictions": ["AT"],
                "address": f"http://127.0.0.1:{port}",
                "listen": f"127.0.0.1:{port}",
            }
        },
        "models": {
            MODEL: {"region": REGION, "engine": "openai", "name": MODEL, "url": f"http://127.0.0.1:{model_port}/v1"}
        },
        "shops": {SHOP: {"platform": "other", "home": "AT"}},
        "surfaces": {
            SURFACE: {
                "models": {REGION: MODEL},
                "deadline": "10s",
                "protect": ["prices"],
                "fallback": {"kind": "message", "text": {"en": "We are back soon."}},
            }
        },
        "protected": {"prices": {"description": "What suppliers charge"}},
    }


def _person(name: str, *roles: str) -> dict[str, object]:
    # Nobody opens a switch during a bench, so the private half is not kept.
    public = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    return {"name": name, "roles": list(roles), "key": f"ed25519:{base64.b64encode(public).decode()}"}


def _digest(number: int) -> bytes:
    return hashlib.sha256(b"bench value %d" % number).digest()


def _code(number: int) -> str:
    return base64.b32encode(_digest(number)).decode()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
