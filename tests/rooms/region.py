"""One region's control, of real parts: files, page, journals, keys; only the clock is set by hand."""

import asyncio
import secrets
from contextlib import asynccontextmanager

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.rooms.controlstates import open_control_state
from tests.rooms.journals import Epochs

from firedoor.agent.page import PageReader, PageWriter
from firedoor.agent.switchagent import SwitchAgent
from firedoor.app.regionkeys import places
from firedoor.bus.local import LocalBus
from firedoor.config import RegionHome
from firedoor.control.announcer import Announcer
from firedoor.control.begin import take_up
from firedoor.control.switchboard import Switchboard
from firedoor.core.evidence.record import Record
from firedoor.core.people import Act, Signed, note_digest
from firedoor.core.plan.model import Loaded, MessageFallback, Model, Person, Plan, Shop, Surface, SwitchRules
from firedoor.core.plan.model import Region as PlanRegion
from firedoor.core.plan.words import Duration
from firedoor.core.switches import Scope
from firedoor.core.switchtable import key_id
from firedoor.keys.people import PersonKey
from firedoor.store import journal_read
from firedoor.store.journal import open_journal
from firedoor.store.journal_tail import JournalTail
from firedoor.store.shutfile import ShutFileWatch
from firedoor.store.tablecopy import TableCopy

NOTE = "leak understood, prompt changed"
ROLES = {
    "ana": ("incident_commander",),
    "ben": ("dpo",),
    "cem": ("soc_analyst",),
    "ana2": ("platform_engineer",),  # Ana's key under another name
}


class Signer:
    """The region's key of switch tables; see `firedoor.ports.switches.TableSigner`."""

    def __init__(self):
        self.renew()

    def renew(self):
        self._private = Ed25519PrivateKey.generate()
        self.public = self._private.public_key().public_bytes_raw()
        self.key = key_id(self.public)

    def sign(self, data):
        return self._private.sign(data)

    def keys(self):
        return {self.key: self.public}


class People:
    def __init__(self):
        self.keys = {name: PersonKey(Ed25519PrivateKey.generate()) for name in ROLES}
        self.keys["ana2"] = self.keys["ana"]

    def plan(self, home=None):
        fallback = MessageFallback(text={"en": "Our team will answer."})
        models = [f"m{i}" for i in range(120)]
        return Plan(
            firedoor=1,
            name="tests",
            switches=SwitchRules(home=home),
            people={n: Person(name=n.title(), roles=r, key=self.keys[n].public) for n, r in ROLES.items()},
            regions={"eu": PlanRegion(jurisdictions=("EU",), address="http://127.0.0.1:1", listen="127.0.0.1:1")},
            models={m: Model(region="eu", engine="scripted", name="small") for m in models},
            shops={s: Shop(platform="other", home="DE") for s in ("alpen", "berg")},
            surfaces={
                s: Surface(models={"eu": "m0"}, deadline=Duration(2), fallback=fallback)
                for s in ("support", "search", "faq")
            },
        )


class Region:
    """The files of a region and what it takes to run control on them, again and again."""

    def __init__(self, folder, people=None, keeps_all=None):
        self.home = RegionHome("eu", folder)
        self.home.make()
        self.people = people or People()
        self.loaded = Loaded(self.people.plan(keeps_all), "ab" * 32, "plan.yaml")
        self.signer = Signer()
        self.announcer = self.agent = self.board = None
        self.epochs = Epochs()
        self.now = 1_800_000_000.0
        self.store = self.files = None
        self.state = None  # a PostgreSQL database in the place of the file

    def journal(self, slot):
        return open_journal(
            places(self.home, slot), region="eu", slot=slot, epochs=self.epochs, clock_ns=lambda: int(self.now * 1e9)
        )

    @asynccontextmanager
    async def control(self, *, begin=True, crash=False, wrap=lambda part, real: real, own_host=True, **more):
        """A running switchboard; with `crash` it is dropped as kill -9 would. `wrap` can put faults around a part.

        On its own host it writes the page through a switch agent; without, it only speaks on the bus of the region.
        """
        self.store = open_control_state(self.state or self.home.control_state, "eu")
        journal = self.journal("control")
        page = PageWriter(self.home.page)
        files = ShutFileWatch(self.home.shut_file, self.home.latch_file)
        tail = JournalTail(self.home.journals, only=None if own_host else "control")
        self.agent = SwitchAgent(
            "eu", self.loaded, None, page=wrap("page", page), copy=TableCopy(self.home.table_copy),
            keys=self.signer.keys, global_keys=self.signer.keys, nudge=lambda: None,
        )  # fmt: skip

        def show(data):
            self.agent.take_table(data)
            self.agent.beat()

        self.announcer = Announcer(
            signer=self.signer, bus=more.pop("bus", None) or LocalBus(self.home.bus, "control"), home=self.loaded.plan.switches.home == "eu",
            local=show if own_host else None, local_global=self.agent.take_global if own_host else None,
            echo=more.pop("echo", dict),
        )  # fmt: skip
        try:
            state = take_up("eu", self.loaded.digest, store=self.store, page=page, files=files, now=self.now)
            board = Switchboard(
                state,
                self.loaded,
                store=wrap("store", self.store),
                output=self.announcer,
                files=files,
                journal=wrap("journal", journal),
                journals=tail,
                now_ns=lambda: int(self.now * 1e9),
                own_host=own_host,
                **more,
            )
            if own_host:
                self.agent.begin()
                board.keeper.raise_above(self.agent.belief.version)
            self.board = board
            if begin:
                await board.begin()
            yield board
            if not crash:
                await board.aclose()
        finally:
            await asyncio.gather(*board_tasks(), return_exceptions=True)
            tail.close()
            await journal.aclose()
            self.store.close()
            page.close()

    def seen(self):
        """What a gateway worker that starts now sees."""
        reader = PageReader(self.home.page)
        look = reader.look()
        reader.close()
        return look.shown.table if look.shown is not None else None, look.age

    def shut_scopes(self):
        return sorted(str(s.scope) for s in self.seen()[0].shut)

    async def finding(self, scope, *, slot="w0", verdict="shut"):
        """A worker's journal gets a finding; returns its sequence number."""
        journal = self.journal(slot)
        facts = {"verdict": verdict, "scope": scope, "rule": "protected_value"}
        seq = await journal.append(Record(kind="finding", exchange="fx-1", at=int(self.now * 1e9), facts=facts))
        await journal.aclose()
        return seq

    def act(self, act, scope, by, *, note=None, reason="operator", arguments=None, **changes):
        nonce = secrets.token_hex(16)
        args = {"scope": scope} if scope is not None else {}
        args |= ({"reason": reason} if act == "shut" else {}) | (arguments or {})
        if act == "open" and "of" not in args:
            args["of"] = str(self.version_of(scope))
        if note is not None:
            args["note_sha256"] = note_digest(nonce, note)
        values = {
            "region": "eu",
            "act": act,
            "args": args,
            "plan": self.loaded.digest,
            "by": by,
            "made_at": int(self.now),
            "nonce": nonce,
        }
        return Act(**{**values, **changes})

    def version_of(self, scope):
        """The version of the shut at `scope`, 0 if it is open: what a person sees who looks at the switches."""
        table = self.board.table if self.board is not None else self.seen()[0]
        return next((s.version for s in table.shut if s.scope == Scope.parse(scope)), 0)

    def sign(self, act, who):
        return self.people.keys[who].sign(who, act)

    def shut_by(self, scope, who="cem", **more):
        act = self.act("shut", scope, who, **more)
        return Signed(act, (self.sign(act, who),))

    def open_by(self, scope, who="ana", **more):
        act = self.act("open", scope, who, **{"note": NOTE, **more})
        return Signed(act, (self.sign(act, who),))

    def records(self, slot="control"):
        return [stored.leaf for stored in journal_read.read(self.home.journal(slot))]

    def switch_records(self):
        return [(leaf.facts["state"], leaf.facts["scope"]) for leaf in self.records() if leaf.kind == "switch"]


def board_tasks():
    return [t for t in asyncio.all_tasks() if t is not asyncio.current_task() and t.get_name() == "settle switches"]
