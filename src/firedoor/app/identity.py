"""The names and public keys of a region's evidence: what its logs are called, and whom it believes about others.

``log/identity`` holds the name of this host's logs, made once: an origin must never name two histories. ``log/keys``
are the public keys, for the other regions of this machine; regions elsewhere have them in the plan (`log_keys`).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import socket
from pathlib import Path
from typing import Final, NamedTuple

from firedoor.config import Home, RegionHome
from firedoor.core.evidence.note import COSIGNER_ED25519, ED25519, Vkey, log_signers, vkeys, witness_signers
from firedoor.core.evidence.policy import Policy, write
from firedoor.core.plan.model import Plan
from firedoor.errors import EvidenceDamaged, FiredoorError, SetupError
from firedoor.keys.ring import Ring
from firedoor.store.files import read_bounded, write_atomic
from firedoor.store.witness import STATE_LIMIT, create_witness

REGION_SLOT: Final = "checkpoints"
"""The agent's journal slot; its log is the region's."""
SET_ASIDE: Final = "set-aside"
WITNESS_NAME: Final = "witness"
IDENTITY, KEYS, WITNESS_STATE = "identity", "keys", "cosigned"
KEYS_LIMIT: Final = 16 * 1024
"""Bytes of a file of public keys: four keys of at most 2,300 characters."""


class Keys(NamedTuple):
    """Public keys of a region: of its log of checkpoints, and of its witness."""

    log: tuple[Vkey, ...]
    witness: tuple[Vkey, ...]


class Identity(NamedTuple):
    """What the evidence of this host is called: the log of a slot is ``LOGS/SLOT``; the witness keeps its name.

    `witness` is empty on a host of gateways only: two witnesses with one key could cosign two histories.
    """

    logs: str
    witness: str

    def origin(self, slot: str) -> str:
        """The name of one slot's log."""
        return f"{self.logs}/{slot}"


def make_identity(place: RegionHome, plan: Plan, ring: Ring) -> Identity:
    """Name the logs of a region on this host, begin its witness, publish its keys. For a region that has no log yet."""
    (place.witness / WITNESS_STATE).unlink(missing_ok=True)  # of an attempt that a crash cut short
    return _with_witness(place, _fresh_name(place, plan), ring, place.logs)


def name_logs(place: RegionHome, plan: Plan, ring: Ring) -> Identity:
    """Name the logs of one more host of a region, on a host that has none yet. The region's witness is elsewhere."""
    return _publish(place.logs, Identity(_fresh_name(place, plan), ""), ring)


def make_anew(place: RegionHome, plan: Plan, ring: Ring, folder: Path) -> Identity:
    """New keys and names for the logs and the witness of this host, in `folder`; what it cosigned is set aside.

    Raises `SetupError`, `KeyUnusable`, OSError.
    """
    ring.renew("log")
    ring.renew("witness")
    state, aside = place.witness / WITNESS_STATE, place.root / SET_ASIDE
    if state.exists():
        aside.mkdir(mode=0o700, exist_ok=True)
        state.rename(next(path for n in itertools.count(1) if not (path := aside / f"cosigned-{n}").exists()))
    return _with_witness(place, _fresh_name(place, plan), ring, folder)


def _with_witness(place: RegionHome, name: str, ring: Ring, folder: Path) -> Identity:
    identity = Identity(name, f"{name}/{WITNESS_NAME}")
    create_witness(place.witness / WITNESS_STATE, witness_signers(identity.witness, ring.witness_seeds()))
    return _publish(folder, identity, ring)


def renew_identity(place: RegionHome, plan: Plan, ring: Ring, folder: Path) -> Identity:
    """A new name for the logs of this host, in `folder`; its witness goes on under its own. Raises `SetupError`."""
    witness = read_identity(place).witness if has_identity(place) else _witness_name(place)
    return _publish(folder, Identity(_fresh_name(place, plan), witness), ring)


def _witness_name(place: RegionHome) -> str:
    """What the witness is called, from the file of what it cosigned, where the folder `log` is lost."""
    try:
        lines = read_bounded(place.witness / WITNESS_STATE, STATE_LIMIT).decode("ascii").splitlines()
        return next(Vkey.parse(line.removeprefix("key ")).name for line in lines if line.startswith("key "))
    except (OSError, UnicodeDecodeError, FiredoorError, StopIteration) as error:
        raise SetupError(
            f"Nothing says what the witness of region {place.name} is called.",
            remedy="Restore its folder `log` from a backup, or `witness` as it was last.",
        ) from error


def _fresh_name(place: RegionHome, plan: Plan) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", plan.name.lower()).strip("-")[:40] or "shop"
    host = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower()).strip("-")[:40] or "host"
    return f"firedoor.evidence/{slug}-{os.urandom(4).hex()}/{place.name}/{host}"


def _publish(folder: Path, identity: Identity, ring: Ring) -> Identity:
    witness = witness_signers(identity.witness, ring.witness_seeds()) if identity.witness else ()
    signers = (*log_signers(identity.origin(REGION_SLOT), ring.log_seeds()), *witness)
    write_atomic(folder / KEYS, "".join(f"{vkey}\n" for vkey in vkeys(signers)).encode(), 0o644)
    write_atomic(folder / IDENTITY, f"{identity.logs}\n{identity.witness}\n".encode(), 0o644)
    return identity


def has_identity(place: RegionHome) -> bool:
    """Whether `make_identity` came to its end here."""
    return _exists(place.logs / IDENTITY)


def read_identity(place: RegionHome, folder: Path | None = None) -> Identity:
    """What the evidence of this host is called, by the logs in `folder`, or the present ones. Raises `SetupError`."""
    try:
        logs, witness = read_bounded((folder or place.logs) / IDENTITY, 1000).decode("ascii").splitlines()
    except (OSError, ValueError) as error:
        raise SetupError(
            f"The evidence of region {place.name} has no name.",
            remedy="Restore its folder `log` from a backup; if there is none, `firedoor evidence new-log`.",
        ) from error
    return Identity(logs, witness)


def published_keys(place: RegionHome) -> Keys:
    """The public keys of a region of this machine. Raises `SetupError`."""
    try:
        lines = read_bounded(place.logs / KEYS, KEYS_LIMIT).decode("ascii").splitlines()
        return _sorted(tuple(Vkey.parse(line) for line in lines), place.name)
    except (OSError, UnicodeDecodeError, EvidenceDamaged) as error:
        raise SetupError(
            f"The public keys of the evidence of region {place.name} cannot be read.",
            remedy="Restore its folder `log` from a backup, or write `log_keys` into the plan.",
        ) from error


def known_keys(home: Home, plan: Plan, region: str) -> Keys | None:
    """The keys of a region's log and witness as this machine believes them; None if it knows none.

    The plan's `log_keys` count alone if there are any: then nobody who can write files here changes who is believed.
    """
    declared = plan.regions[region].log_keys
    if declared:
        return _sorted(tuple(Vkey.parse(text) for text in declared), region)
    place = home.region(region)
    return published_keys(place) if _exists(place.logs / KEYS) else None


def others_keys(home: Home, plan: Plan, region: str) -> dict[str, Keys | None]:
    """The keys of every region but `region`; None for one that never ran, or whose damage is not ours to stop for."""
    found: dict[str, Keys | None] = {}
    for name in plan.regions:
        if name != region:
            found[name] = None
            with contextlib.suppress(SetupError):
                found[name] = known_keys(home, plan, name)
    return found


def witnesses(home: Home, plan: Plan, region: str) -> dict[str, tuple[str, tuple[Vkey, ...]] | None]:
    """Who cosigns for `region`: by name, the address and keys of other regions' witnesses and of the plan's others.

    None for a region whose keys are not known here: it never ran, or its keys are not in the plan.
    """
    found: dict[str, tuple[str, tuple[Vkey, ...]] | None] = {}
    for name, keys in others_keys(home, plan, region).items():
        witness = plan.regions[name].witness
        if witness is not None:
            found[name] = (witness.address, keys.witness) if keys is not None and keys.witness else None
    for name, external in plan.evidence.witnesses.items():
        found[name] = (external.address, tuple(Vkey.parse(text) for text in external.keys))
    return found


def policy_of(home: Home, plan: Plan, region: str) -> Policy:
    """What makes a checkpoint of the region's log trusted, as a tlog-policy. Raises `SetupError`, `EvidenceDamaged`."""
    keys = known_keys(home, plan, region)
    if keys is None:
        raise SetupError(f"Region {region} has published no keys.", remedy="Run `firedoor up` once.")
    vouching = {name: found[1] for name, found in witnesses(home, plan, region).items() if found is not None}
    if len(vouching) < plan.evidence.quorum:
        raise SetupError(
            f"The plan asks for {plan.evidence.quorum} witnesses, and the keys of {len(vouching)} are known here.",
            remedy="Write the others' keys into the plan (`log_keys`): `firedoor evidence keys` prints them there.",
        )
    return write(keys.log, vouching, plan.evidence.quorum)


def _sorted(keys: tuple[Vkey, ...], region: str) -> Keys:
    """By what they sign. Only names of the region's own count: it cannot speak for another's log, or as its witness."""
    keys = tuple(key for key in keys if key.name.split("/")[-3:-2] == [region])
    witness = tuple(key for key in keys if key.name.endswith(f"/{WITNESS_NAME}") and key.kind != ED25519)
    log = tuple(key for key in keys if key.name.endswith(f"/{REGION_SLOT}") and key.kind != COSIGNER_ED25519)
    return Keys(log, witness)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
