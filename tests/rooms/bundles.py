"""A region with evidence, published and cosigned, and bundles of it: real keys, journals, logs, witness."""

import asyncio
import importlib.util
import json
import secrets
import subprocess
import sys
from pathlib import Path

import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firedoor.agent.logkeeper import LogKeeper
from firedoor.agent.logsigner import LogSigner
from firedoor.app.export import Order, export
from firedoor.app.identity import REGION_SLOT, has_identity, make_identity, read_identity
from firedoor.app.operator import as_operator
from firedoor.app.reading import Desk
from firedoor.app.regionkeys import epochs, make_region, places
from firedoor.config import Home
from firedoor.core.crossing import AddCheckpoint
from firedoor.core.evidence.bundle import Selection
from firedoor.core.evidence.checkpoint import parse_checkpoint
from firedoor.core.evidence.note import Note, NoteSeeds, log_signers, parse_note, witness_signers
from firedoor.core.evidence.record import Record
from firedoor.core.people import Act, Signed, note_digest
from firedoor.core.plan.model import (
    Evidence,
    ExternalWitness,
    Loaded,
    MessageFallback,
    Model,
    Person,
    Plan,
    Shop,
    Surface,
)
from firedoor.core.plan.model import Region as PlanRegion
from firedoor.core.plan.words import Duration
from firedoor.keys.people import PersonKey
from firedoor.store.journal import open_journal
from firedoor.store.slotlog import HostLogs
from firedoor.store.witness import Witness, create_witness

SCRIPT = Path(__file__).parents[2] / "src/firedoor/data/verify.py"
PLAN = "ab" * 32
WITNESS = "witness.example/regulator"
WITNESS_SEEDS = NoteSeeds(bytes([7]) * 32, bytes([8]) * 32)
NOTE = "asked by the authority, file 12"
ROLES = {
    "ana": ("incident_commander",),
    "ben": ("dpo",),
    "cem": ("soc_analyst",),
    "dora": ("platform_engineer",),
}
EPOCH = 1_790_000_000


def outside_witness():
    """The keys of a witness that is no region of the plan."""
    return witness_signers(WITNESS, WITNESS_SEEDS)


class House:
    """One region, `eu`, whose checkpoints an outside witness cosigns. `now` is Unix seconds, set by hand."""

    def __init__(self, folder, *, quorum=1, loaded=None, now=EPOCH):
        self.home = Home(folder / "home")
        self.place = self.home.region("eu")
        self.now = now
        self.keys = {name: PersonKey(Ed25519PrivateKey.generate()) for name in ROLES}
        self.loaded = loaded or Loaded(self._plan(quorum), PLAN, "plan.yaml")
        self.place.make()
        self.ring = make_region(self.place, self.loaded, folder)
        if not has_identity(self.place):
            make_identity(self.place, self.loaded.plan, self.ring)
        self.name = read_identity(self.place).logs
        self.epochs = epochs(self.place, self.ring.worker())
        self._witness_file = folder / "witness-state"
        create_witness(self._witness_file, outside_witness())
        self.cosigned = 0

    def _plan(self, quorum):
        fallback = MessageFallback(text={"en": "Our team will answer."})
        witness = ExternalWitness(
            address="http://127.0.0.1:1", jurisdiction="DE", keys=tuple(str(s.vkey) for s in outside_witness())
        )
        return Plan(
            firedoor=1,
            name="tests",
            people={n: Person(name=n.title(), roles=r, key=self.keys[n].public) for n, r in ROLES.items()},
            regions={"eu": PlanRegion(jurisdictions=("EU",), address="http://127.0.0.1:1", listen="127.0.0.1:1")},
            models={"m0": Model(region="eu", engine="scripted", name="small")},
            shops={"alpen": Shop(platform="other", home="DE")},
            surfaces={"support": Surface(models={"eu": "m0"}, deadline=Duration(2), fallback=fallback)},
            evidence=Evidence(quorum=quorum, witnesses={"regulator": witness}),
        )

    def clock(self):
        return self.now * 1_000_000_000

    # What workers and the agent do

    def write(self, slot, records):
        async def run():
            journal = open_journal(
                places(self.place, slot), region="eu", slot=slot, epochs=self.epochs, clock_ns=self.clock
            )
            await asyncio.gather(*(journal.append(record) for record in records))
            await journal.aclose()

        asyncio.run(run())

    def exchange(self, exchange, subject, *, body=b"a question", surface="support"):
        facts = {"shop": "alpen", "surface": surface, "model": "m0", "credential": "c1", "plan": PLAN}
        shared = {"exchange": exchange, "subject": subject, "retention": surface}
        return [
            Record(kind="intent", at=self.clock(), facts={**facts, "tokens": 12}, body=body, **shared),
            Record(
                kind="outcome", at=self.clock(), facts={**facts, "outcome": "answered"}, body=b"an answer", **shared
            ),
        ]

    def publish(self, *, cosign=True, ticks=1):
        async def run():
            journal = open_journal(
                places(self.place, REGION_SLOT), region="eu", slot=REGION_SLOT, epochs=self.epochs, clock_ns=self.clock
            )
            seeds = self.ring.log_seeds()
            offered = []
            keeper = LogKeeper(
                HostLogs(self.place.journals, self.place.logs),
                journal,
                lambda slot: LogSigner(log_signers(f"{self.name}/{slot}", seeds), self.clock),
                clock_ns=self.clock,
                on_checkpoint=lambda note, old, proof: offered.append((note, proof)),
            )
            for _ in range(ticks):
                while await keeper.tick():
                    pass
            if cosign and offered:
                await keeper.cosigned(await asyncio.to_thread(self._cosign, *offered[-1]), enough=True)
            states = {state.slot: state.state for state in keeper.status()}
            await keeper.aclose()
            await journal.aclose()
            return states

        return asyncio.run(run())

    def _cosign(self, note, proof):
        parsed = parse_note(note)
        checkpoint = parse_checkpoint(parsed.text)
        origin = f"{self.name}/{REGION_SLOT}"
        logs = {origin: [s.vkey for s in log_signers(origin, self.ring.log_seeds())]}
        witness = Witness(self._witness_file, outside_witness(), logs.get, lambda: self.now)
        answer = witness.add(AddCheckpoint(self.cosigned, tuple(proof(self.cosigned)), checkpoint, parsed.signatures))
        self.cosigned = checkpoint.size
        return Note(parsed.text, (*parsed.signatures, *answer.signatures)).encode()

    # What people do

    def desk(self, work):
        """Run `work` with a desk, as a command does."""

        def at_desk(write):
            return work(Desk(self.place, self.loaded, self.ring, write, self.clock))

        return as_operator(self.place, self.epochs, at_desk)

    def act(self, selection, *, by="ben", kind="read_bodies", note=NOTE, **args):
        nonce = secrets.token_hex(16)
        wanted = {"selection": selection.digest, "reason": "authority_request"}
        wanted |= {"note_sha256": note_digest(nonce, note)} if kind == "read_bodies" else {}
        return Act(region="eu", act=kind, args={**wanted, **args}, plan=PLAN, by=by, made_at=self.now, nonce=nonce)

    def request(self, selection, *, by="ben", note=NOTE, **args):
        act = self.act(selection, by=by, note=note, **args)
        return self.desk(lambda desk: desk.request(Signed(act, (self.keys[by].sign(by, act),)), selection, note))

    def approve(self, grant, by="ana"):
        return self.desk(lambda desk: desk.approve(grant.id, self.keys[by].sign(by, grant.signed.act)))

    def export(self, out, selection=None, *, signed_by="ben", bodies_to=None, grant=None, **changes):
        order = Order(
            selection=selection or Selection(exchanges=("ex_1",)),
            reason=changes.pop("reason", "authority_request"),
            out=out,
            recipient=bodies_to,
            bodies=bodies_to is not None,
            grant_id=grant.id if grant else None,
            person=signed_by,
            sign=(lambda act: self.keys[signed_by].sign(signed_by, act)) if signed_by else None,
        )
        return self.desk(lambda desk: export(self.home, desk, order))


def lookup(person):
    """A look-up pseudonym."""
    return person.encode().ljust(16, b".")[:16].hex()


def filled(folder, exchanges=3, **options):
    """A house with two slots of evidence, published and cosigned."""
    house = House(folder, **options)
    for number in range(exchanges):
        slot = f"w{number % 2}"
        house.write(slot, house.exchange(f"ex_{number}", lookup(f"shopper {number}"), body=b"question %d" % number))
    house.publish(ticks=2)
    return house


def agreed(house, selection, recipient):
    """A grant to export the bodies of `selection`."""
    return house.approve(house.request(selection, recipient=str(recipient)))


def receiver():
    """An age key pair."""
    identity = pyrage.x25519.Identity.generate()
    return identity, str(identity.to_public())


def run_script(bundle, *options, script=SCRIPT):
    """Exit status and result of verify.py, run as a receiver does: its own process, no Firedoor."""
    done = subprocess.run(
        [sys.executable, "-I", str(script), str(bundle), "--json", *options],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def load_script():
    """verify.py as a module, for tests that run it hundreds of times."""
    spec = importlib.util.spec_from_file_location("bundle_verify_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
