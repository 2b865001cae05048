"""The NATS servers of a bench's regions, configured as `firedoor switches nats` renders it, one for each region."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from firedoor.bench import switch_servers as servers
from firedoor.bench.processes import Process
from firedoor.core import natsconfig
from firedoor.core.nkeys import Credentials
from firedoor.core.plan.model import Loaded
from firedoor.errors import SetupError
from firedoor.store.files import write_atomic

TRIES: Final = 100
"""Ports tried: one for hosts must be free, and the one above it for other servers."""


class Nats:
    """Addresses and keys of the servers; each is started with `start`."""

    def __init__(self, folder: Path, regions: Sequence[str]) -> None:
        folder.mkdir(mode=0o700)
        self._folder = folder
        self._ports = {region: _port_with_leaf() for region in regions}
        self._clients = {region: Credentials(os.urandom(32)) for region in regions}
        self._leaves = {region: Credentials(os.urandom(32)) for region in regions}
        for region, credentials in self._clients.items():
            write_atomic(self._file(region), credentials.file())

    def planned(self) -> dict[str, dict[str, Any]]:
        """What the plan says of each region's bus."""
        return {
            region: {
                "kind": "nats",
                "servers": [f"nats://127.0.0.1:{port}"],
                "credentials_file": str(self._file(region)),
            }
            for region, port in self._ports.items()
        }

    def start(self, loaded: Loaded, region: str) -> contextlib.AbstractContextManager[Process]:
        """The server of `region`, for the length of the block; it listens. Raises `SetupError`."""
        known = {natsconfig.leaf_variable(name): leaf.public for name, leaf in self._leaves.items()}
        variables = known | {
            natsconfig.CLIENT: self._clients[region].public,
            natsconfig.LEAF_SEED: self._leaves[region].seed_text,
        }
        config, port = natsconfig.render(loaded, region), self._ports[region]
        return servers.nats_server(port, config, self._folder / f"server-{region}", variables)

    def _file(self, region: str) -> Path:
        return self._folder / f"{region}.creds"


def _port_with_leaf() -> int:
    for _ in range(TRIES):
        (port,) = servers.free_ports(1)
        if port + natsconfig.LEAF_PORT < 65_536 and not servers.listens(port + natsconfig.LEAF_PORT):
            return port
    raise SetupError("No two ports are free on this machine.", remedy="Run the bench elsewhere.")
