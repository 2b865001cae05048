"""Where an installation keeps its files: one folder, one compartment per region.

::

    HOME/
    ├── plan.yaml               the plan, unless another is named
    ├── .up.lock                held by `firedoor up` and the processes it started
    ├── bus/                    datagrams: the global switch table, between the regions of one machine
    ├── keys/PERSON.key         private halves made by `firedoor people add`; people take theirs away
    └── regions/REGION/
        ├── SHUT                shuts every switch of the region while it is there; latches into the table
        ├── keys/ring.json      the region's keys, each wrapped by its root; public halves in clear
        ├── keys/root.json      the development root (`root: {kind: file}`): the file is the secret; never in a backup
        ├── keys/subjects/EPOCH/SLOT.cells   subjects' keys, sealed to the epoch: erasing one erases its bodies
        ├── control.sock        control API, peer credentials checked
        ├── control.nudge       datagrams: "look at the journals now"; switches.nudge the same, for the switch agent
        ├── control.sqlite      the durable switch table, requests that wait for a second person; or as state.sqlite
        ├── switches.page       what this host shows its workers, memory-mapped, with its beats
        ├── switches.table      the newest signed table that this host's agent took, for its next start
        ├── switches.cursors    how far that agent has read the journals of this host
        ├── bus/NAME.sock       datagrams: switch tables and messages of hosts, on one machine
        ├── nudges/SLOT.sock    datagrams: "look at the page now", one socket for each worker
        ├── isolated/MODEL.json model instances that were isolated, and how
        ├── credentials.json    hashes of the shops' credentials
        ├── protected.sealed    protected values and honeytokens, sealed
        ├── journal/SLOT/       evidence of one writing process: the leaves, in order
        ├── bodies/CLASS/HOUR/SLOT.SEQ   sealed bodies of records, by retention class and hour
        ├── log/SLOT/           the same leaves as a C2SP tlog-tiles log; log/checkpoints is the region's
        ├── log/identity, keys  what the logs are called, and the public keys of log and witness
        ├── log/status.json     how the agent does; log/halted says why it signs nothing more; log/timestamps/ RFC 3161
        ├── set-aside/          journals and logs that a repair or a new log replaced
        ├── witness/            what this region's witness has cosigned
        ├── holds.json          legal holds, and erasures that wait for their end
        ├── expiry.json         when bodies expired last, and which hours are being deleted
        ├── grants/             signed requests to read bodies
        ├── state.sqlite        the index of exchanges, unless the plan names a PostgreSQL database
        ├── host-part           under which name this host's part lies in a database that hosts share
        ├── catalog/SHOP.sqlite full-text index of a shop's catalogue
        └── run/                API keys of own model servers, pids, logs
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

from msgspec import Struct

from firedoor.errors import SetupError

HOME_VARIABLE = "FIREDOOR_HOME"
HOST_VARIABLE = "FIREDOOR_HOST"
DEFAULT_HOME = ".firedoor"
_HOST_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}", re.ASCII)


class RegionHome(Struct, frozen=True):
    """The files of one region. Nothing outside this folder belongs to it, and it reads no other region's."""

    name: str
    root: Path

    @property
    def shut_file(self) -> Path:
        return self.root / "SHUT"

    @property
    def latch_file(self) -> Path:
        return self.root / "run" / "latched"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def ring(self) -> Path:
        return self.keys / "ring.json"

    @property
    def subjects(self) -> Path:
        return self.keys / "subjects"

    @property
    def bodies(self) -> Path:
        return self.root / "bodies"

    @property
    def logs(self) -> Path:
        return self.root / "log"

    @property
    def agent_status(self) -> Path:
        return self.logs / "status.json"

    @property
    def witness(self) -> Path:
        return self.root / "witness"

    @property
    def holds(self) -> Path:
        return self.root / "holds.json"

    @property
    def expiry(self) -> Path:
        return self.root / "expiry.json"

    @property
    def grants(self) -> Path:
        return self.root / "grants"

    @property
    def state(self) -> Path:
        return self.root / "state.sqlite"

    @property
    def control_socket(self) -> Path:
        return self.root / "control.sock"

    @property
    def nudge_socket(self) -> Path:
        return self.root / "control.nudge"

    @property
    def host_part(self) -> Path:
        return self.root / "host-part"

    @property
    def control_state(self) -> Path:
        return self.root / "control.sqlite"

    @property
    def switches_nudge(self) -> Path:
        return self.root / "switches.nudge"

    @property
    def table_copy(self) -> Path:
        return self.root / "switches.table"

    @property
    def report_cursors(self) -> Path:
        return self.root / "switches.cursors"

    @property
    def bus(self) -> Path:
        return self.root / "bus"

    @property
    def nudges(self) -> Path:
        return self.root / "nudges"

    @property
    def isolated(self) -> Path:
        return self.root / "isolated"

    @property
    def page(self) -> Path:
        return self.root / "switches.page"

    @property
    def credentials(self) -> Path:
        return self.root / "credentials.json"

    @property
    def protected(self) -> Path:
        return self.root / "protected.sealed"

    @property
    def rows(self) -> Path:
        return self.root / "rows.sealed"

    @property
    def documents(self) -> Path:
        return self.root / "documents"

    @property
    def cache(self) -> Path:
        return self.root / "cache.sqlite"

    @property
    def sessions(self) -> Path:
        return self.root / "sessions.table"

    @property
    def baselines(self) -> Path:
        return self.root / "baselines.sealed"

    @property
    def journals(self) -> Path:
        return self.root / "journal"

    @property
    def run(self) -> Path:
        return self.root / "run"

    def journal(self, slot: str) -> Path:
        return self.journals / slot

    def catalog(self, shop: str) -> Path:
        return self.root / "catalog" / f"{shop}.sqlite"

    def model_key(self, model: str) -> Path:
        return self.run / f"{model}.key"

    def model_url(self, model: str) -> Path:
        return self.run / f"{model}.url"

    def make(self) -> None:
        """Create the folders, private to this user."""
        evidence = (self.journals, self.bodies, self.logs, self.witness, self.grants)
        switches = (self.bus, self.nudges, self.isolated)
        folders = (self.keys, self.subjects, *evidence, *switches, self.run)
        for folder in (self.root, *folders, self.root / "catalog"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


class Home(Struct, frozen=True):
    """The folder of an installation."""

    root: Path

    @classmethod
    def find(cls, named: Path | None = None) -> Home:
        """The folder named on the command line, else ``$FIREDOOR_HOME``, else ``.firedoor`` in this folder."""
        return cls((named or Path(os.environ.get(HOME_VARIABLE, DEFAULT_HOME))).absolute())

    @property
    def plan(self) -> Path:
        return self.root / "plan.yaml"

    @property
    def bus(self) -> Path:
        return self.root / "bus"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    def region(self, name: str) -> RegionHome:
        return RegionHome(name, self.root / "regions" / name)


def host_name(named: str | None = None) -> str:
    """What this host is called on the switch bus: as named, else after the machine, in the characters of a plan's name.

    Raises `SetupError` for a name that cannot be one.
    """
    name = named or re.sub(r"[^a-z0-9_-]+", "-", socket.gethostname().split(".")[0].lower())[:63].strip("-_")
    if named is None and (not name[:1].isalpha() or name == "control"):
        name = f"host-{name}"[:63].rstrip("-_")
    if _HOST_NAME.fullmatch(name) is None or name == "control":
        raise SetupError(
            f"{name!r} cannot be the name of a host.",
            remedy="A lower-case letter, then up to 62 lower-case letters, digits, - and _; and not `control`.",
        )
    return name
