"""A region's switches as its control says them, with real keys: for the tests of what hosts make of that."""

import base64
import itertools

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import structs

from firedoor.core import crossing
from firedoor.core.people import Act, Signature, Signed, note_digest
from firedoor.core.plan.model import Loaded, Person, Plan, SwitchRules
from firedoor.core.switches import Switch, Table, global_part, join, open_, shut
from firedoor.core.switchtable import Said, key_id, seal

PLAN = "ab" * 32
KEYS = {
    name: Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32)
    for i, name in enumerate(["ana", "ben", "cem", "eu", "old eu", "us"], 1)
}
KEYS["twin"] = KEYS["ana"]
PUBLIC = {name: key.public_key().public_bytes_raw() for name, key in KEYS.items()}


def person(name, *roles, key=None):
    text = base64.b64encode(PUBLIC[key or name]).decode()
    return Person(name=name, roles=roles, key=f"ed25519:{text}")


def loaded(home="eu"):
    people = {
        "ana": person("ana", "incident_commander"),
        "ben": person("ben", "dpo"),
        "cem": person("cem", "soc_analyst"),
        "twin": person("twin", "dpo", key="ana"),
    }
    rules = SwitchRules(home=home)
    plan = Plan(firedoor=1, name="t", people=people, regions={}, models={}, shops={}, surfaces={}, switches=rules)
    return Loaded(plan, PLAN, "plan.yaml")


LOADED = loaded()
_nonces = itertools.count()


def signature(who, act, key=None):
    return Signature(who, base64.b64encode(KEYS[key or who].sign(act.content)).decode())


def opening(scope, of, *, by=("ana", "ben"), kind="open", region="eu", keys=None):
    """The request to open the shut of version `of` at `scope`, signed by `by`."""
    nonce = f"{next(_nonces):032x}"
    args = {"scope": str(scope), "of": str(of), "note_sha256": note_digest(nonce, "why")}
    if kind == "shut":
        args = {"scope": str(scope), "reason": "operator"}
    act = Act(region=region, act=kind, args=args, plan=PLAN, by=by[0], made_at=1_800_000_000, nonce=nonce)
    return Signed(act, tuple(signature(who, act, key) for who, key in zip(by, keys or by, strict=True)))


def sealed(said, key="eu"):
    return seal(said, KEYS[key].sign, key_id(PUBLIC[key]))


def sealed_global(table, beat, key="eu"):
    said = crossing.GlobalSaid(table, beat, key_id(PUBLIC[key]), b"")
    return crossing.encode(structs.replace(said, signature=KEYS[key].sign(crossing.GLOBAL_DOMAIN + said.content)))


def public(*names):
    """Public keys by id, as an agent looks them up."""
    return {key_id(PUBLIC[name]): PUBLIC[name] for name in names}


class Control:
    """What the control of a region says, and how it meets what a host says; `openings` are all that two people made."""

    def __init__(self, region="eu", key="eu"):
        self.table = Table(region, 1, "p")
        self.beat = -1
        self.key = key
        self.proofs = ()
        self.echo = {}
        self.openings = []

    def _next(self, table, version=None):
        self.table, self.beat = structs.replace(table, version=version or self.table.version + 1), -1

    def shut(self, scope, reason="operator", **more):
        switch = Switch(scope, reason, 1.0, version=self.table.version + 1, **more)
        after = shut(self.table, switch)
        if after is not self.table:
            self._next(after)

    def open(self, scope):
        switch = next(s for s in self.table.shut if s.scope == scope)
        proof = opening(scope, switch.version)
        self.openings.append((scope, switch.version))
        self.proofs = (*self.proofs, proof)[-32:]
        self._next(open_(self.table, scope, switch.version))

    def set(self, **changes):
        """A new version with these fields."""
        self._next(structs.replace(self.table, **changes))

    def snapshot(self):
        return self.table, self.proofs

    def restore(self, snapshot):
        """Go on from an older copy of the state, as after a restart: under a version above that copy's."""
        self.table, self.proofs = snapshot
        self._next(self.table)

    def restart(self):
        self._next(self.table)

    def hear(self, version, refused, kept):
        """Meet a host: first shut what it keeps shut, then go above what it saw."""
        behind = version > self.table.version or (refused == "split" and version == self.table.version)
        behind = behind or (refused == "older" and version >= self.table.version)
        lacking = tuple(s for s in kept if not self._knows(s))
        if lacking:
            joined = join(self.table, Table(self.table.region, 0, "p", lacking))
            self._next(joined, joined.version)
        if behind:
            self._next(self.table, max(self.table.version, version) + 1)

    def _knows(self, kept):
        if any(s.scope == kept.scope and s.version >= kept.version for s in self.table.shut):
            return True
        proven = [p for p in self.proofs if p.act.scope == kept.scope and int(p.act.args["of"]) >= kept.version]
        if proven:
            self._next(self.table)  # a new version, so that the host looks at the proof
        return bool(proven)

    def said(self):
        self.beat += 1
        return Said(self.table, self.beat, self.proofs, dict(self.echo))

    def say(self):
        return sealed(self.said(), self.key)

    def say_global(self):
        self.beat += 1
        return sealed_global(global_part(self.table), self.beat, self.key)
