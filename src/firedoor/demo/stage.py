"""What the demonstration is played on: an installation of its own, with people, credentials and protected values."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import time
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from string import Template

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from firedoor.app.prepare import prepare
from firedoor.app.regionkeys import open_region
from firedoor.app.sealed import What, seal
from firedoor.config import Home
from firedoor.core.clientfile import client_file
from firedoor.core.plan.model import Loaded
from firedoor.errors import EvidenceDamaged
from firedoor.keys import people as person_keys
from firedoor.keys.manifest import Signer
from firedoor.keys.ring import Ring
from firedoor.store import planfile
from firedoor.store.credentials import CredentialFile
from firedoor.store.journal_read import read
from firedoor.store.opening import BodyOpener
from firedoor.store.protected import ProtectedFile, make_honeytoken
from firedoor.store.segments import slots
from firedoor.upstream.embedded import find_weights

SHOP = "alpenladen"
SUPPLIER_PRICE = "ALP-BOOT-07 cost EUR 41.85"
"""The invented value that the scripted model instance gives away; data/demo-leak.yaml says it too."""

CAST: dict[str, tuple[str, tuple[str, ...]]] = {
    "ana": ("Ana Example", ("incident_commander", "platform_engineer")),
    "ben": ("Ben Example", ("dpo", "legal", "communications")),
    "cem": ("Cem Example", ("soc_analyst", "ai_engineer")),
}


class Stage:
    """The demonstration's folder and everything in it that exists before the curtain rises."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder.absolute())
        self.passphrase = secrets.token_urlsafe(12)  # nobody needs these keys after the demonstration

    def build(self) -> Loaded:
        """Write plan, people, catalogue and script; returns the checked plan."""
        folder = self.home.root
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = files("firedoor") / "data"
        names = ("eu_port", "us_port", "eu_witness_port", "us_witness_port")
        ports = dict(zip(names, _free_ports(len(names)), strict=True))
        plan = Template((data / "demo-plan.yaml").read_text("utf-8")).substitute({k: str(v) for k, v in ports.items()})
        self.home.plan.write_text(plan, "utf-8")
        for source, target in (
            ("plan.schema.json", "plan.schema.json"),
            ("sample-catalog.jsonl", "catalog.jsonl"),
            ("demo-leak.yaml", "leak.yaml"),
        ):
            (folder / target).write_bytes((data / source).read_bytes())
        self.home.keys.mkdir(mode=0o700, exist_ok=True)
        for person, (name, roles) in CAST.items():
            key = person_keys.create(self.home.keys / f"{person}.key", self.passphrase)
            planfile.add_person(self.home.plan, person, name, roles, key.public)
        return planfile.load(self.home.plan)

    def seal_weights(self, loaded: Loaded) -> int:
        """Give every region its keys, and its own sealed and signed copy of the model's weights; bytes sealed."""
        prepare(self.home, loaded, self.home.root)
        source, signer = find_weights(), Signer(ec.generate_private_key(ec.SECP256R1()))
        total = 0
        for name, model in loaded.plan.models.items():
            if model.weights is not None:
                keys = self.ring(loaded, model.region)
                target = self.home.root / model.weights
                total += seal({"": source}, target, What("model", name), keys, signer).clear
        return total

    def ring(self, loaded: Loaded, region: str) -> Ring:
        """The region's keys, opened."""
        return open_region(self.home.region(region), loaded, self.home.root)

    def protect(self, loaded: Loaded, region: str) -> None:
        """Seal the supplier price and a honeytoken in `region`."""
        values = ProtectedFile(self.home.region(region).protected, self.ring(loaded, region).worker().protect)
        values.add("supplier_prices", "value", [SUPPLIER_PRICE])
        values.add("supplier_prices", "honeytoken", [make_honeytoken(os.urandom(16))])

    def readable(self, loaded: Loaded, region: str, exchange: str) -> int:
        """How many bodies of an exchange the region's keys still open."""
        place, count = self.home.region(region), 0
        opener = BodyOpener(place.bodies, place.subjects, self.ring(loaded, region))
        for slot in slots(place.journals):
            for stored in read(place.journal(slot)):
                if stored.leaf.exchange == exchange and stored.leaf.body is not None:
                    with contextlib.suppress(EvidenceDamaged):
                        opener.open(stored.leaf)
                        count += 1
        opener.close()
        return count

    def credential(self, region: str, surface: str) -> str:
        """A fresh credential for the demo shop."""
        token, _ = CredentialFile(self.home.region(region).credentials, region).issue(SHOP, surface, time.time())
        return token

    def shop_folder(self, loaded: Loaded, region: str) -> Path:
        """What the shop's server gets: a client file and its own copy of the catalogue index."""
        folder = self.home.root / "shop" / region
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "firedoor-client.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(client_file(loaded.plan, SHOP, region))))
        shutil.copyfile(self.home.region(region).catalog(SHOP), folder / f"{SHOP}.sqlite")
        return path


def _free_ports(count: int) -> list[int]:
    """Ports nobody listens on now; held open together so that they differ."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
