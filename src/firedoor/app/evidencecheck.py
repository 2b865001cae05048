"""Checks the evidence of an installation: journals, bodies, published logs, the region's log, cosignatures."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Final

from msgspec import Struct

from firedoor.app.identity import REGION_SLOT, policy_of, published_keys, read_identity
from firedoor.config import Home, RegionHome
from firedoor.core.evidence.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from firedoor.core.evidence.note import NOTE_LIMIT, Vkey, parse_note
from firedoor.core.evidence.policy import satisfied
from firedoor.core.evidence.tree import Frontier, leaf_hash
from firedoor.core.plan.model import Loaded
from firedoor.errors import EvidenceDamaged, FiredoorError, KeyUnusable
from firedoor.store.files import read_bounded
from firedoor.store.journal_read import read
from firedoor.store.journal_verify import SlotReport, verify
from firedoor.store.segments import slots
from firedoor.store.tilelog import check
from firedoor.store.tilelog_read import CHECKPOINT, COSIGNED

AGAIN: Final = 3
"""Times a log is looked at anew because its agent published in the middle."""


class Found(Struct, frozen=True):
    """A file (path below the region's folder) and what is wrong with it."""

    file: str
    problem: str


class RegionReport(Struct):
    """What a region's evidence is like. `logs` are published logs with their sizes, `cosigned` the quorum."""

    region: str
    slots: list[SlotReport] = []
    logs: dict[str, int] = {}
    cosigned: tuple[str, ...] = ()
    notes: list[str] = []
    damage: list[Found] = []

    @property
    def ok(self) -> bool:
        """Whether everything verified."""
        return not self.damage


def verify_journals(folder: Path) -> RegionReport:
    """A journals folder alone, without bodies and logs. Raises `EvidenceDamaged` if there is none."""
    report = RegionReport(folder.name)
    _journals(report, folder, None)
    return report


def verify_region(home: Home, place: RegionHome, loaded: Loaded | None) -> RegionReport:
    """Everything of one region. `loaded` (the plan) says which witnesses are believed; without it nobody looks."""
    report = RegionReport(place.name)
    try:
        _journals(report, place.journals, place.bodies)
    except EvidenceDamaged as error:
        report.damage.append(Found("journal", error.message))
    names = (
        sorted(path.name for path in place.logs.iterdir() if (path / CHECKPOINT).exists())
        if place.logs.is_dir()
        else []
    )
    if not names:
        report.notes.append("There are no published logs: nothing but the chains vouches for these records.")
        return report
    try:
        keys, identity = published_keys(place).log, read_identity(place)
    except FiredoorError as error:
        report.damage.append(Found("log", error.message))
        return report
    for slot in names:
        verifier = _Verifier(identity.origin(slot), keys)
        report.damage += _log(place, slot, verifier)
        with_journal = slot in slots(place.journals)
        if with_journal:
            report.damage += _journal_is_signed(place, slot, verifier, report)
    for slot in sorted(set(slots(place.journals)) - set(names)):
        report.notes.append(f"Slot {slot} has no published log yet.")
    if REGION_SLOT in names and loaded is not None and place.name in loaded.plan.regions:
        _witnesses(report, home, place, loaded)
    return report


class _Verifier:
    """A log's keys as far as checking goes. See `firedoor.ports.logs.CheckpointSigner`."""

    def __init__(self, origin: str, keys: tuple[Vkey, ...]) -> None:
        self.origin = origin
        self._keys = tuple(Vkey(origin, key.kind, key.key) for key in keys)

    def sign(self, checkpoint: Checkpoint) -> bytes:
        """Nobody signs here."""
        raise KeyUnusable(f"Nobody signs {checkpoint.origin} here.")

    def open(self, note: bytes) -> Checkpoint:
        """The checkpoint in a note that every key of the log signed. Raises `EvidenceDamaged`."""
        checkpoint, verified = open_checkpoint(note, self._keys)
        if len(verified) < len(self._keys):
            raise EvidenceDamaged(f"A signature of {self.origin} is missing.")
        return checkpoint


def _journals(report: RegionReport, folder: Path, bodies: Path | None) -> None:
    found = verify(folder, bodies)
    report.slots = found.slots
    report.damage += [
        Found(damage.file if damage.file.startswith("bodies/") else f"journal/{damage.file}", problem)
        for damage in found.damage
        for problem in [f"record {damage.record}: {damage.problem}"]
    ]


def _log(place: RegionHome, slot: str, verifier: _Verifier) -> list[Found]:
    """What is damaged in a published log; looked at again where its agent published meanwhile."""
    path = place.logs / slot / CHECKPOINT
    found: list[Found] = []
    for _ in range(AGAIN):
        try:
            before = read_bounded(path, NOTE_LIMIT)
            found = [
                Found(f"log/{slot}/{damage.file}", damage.problem) for damage in check(place.logs / slot, verifier)
            ]
            if not found or read_bounded(path, NOTE_LIMIT) == before:
                break
        except (OSError, FiredoorError) as error:
            found = [Found(f"log/{slot}", f"It cannot be read: {_said(error)}")]
    return found


def _journal_is_signed(place: RegionHome, slot: str, verifier: _Verifier, report: RegionReport) -> list[Found]:
    """Whether the journal holds the records that were signed: a rewritten one has good CRCs and another root."""
    try:
        checkpoint = verifier.open(read_bounded(place.logs / slot / CHECKPOINT, NOTE_LIMIT))
    except (OSError, FiredoorError):
        return []  # named already
    report.logs[slot] = checkpoint.size
    frontier = Frontier()
    try:
        frontier.extend(leaf_hash(stored.data) for stored in islice(read(place.journal(slot)), checkpoint.size))
    except (EvidenceDamaged, OSError):
        return []  # named already
    if frontier.size < checkpoint.size:
        return [Found(f"journal/{slot}", f"Only {frontier.size} of {checkpoint.size} signed records are there.")]
    if frontier.root() != checkpoint.root:
        return [Found(f"journal/{slot}", f"Its first {checkpoint.size} records are not those that were signed.")]
    return []


def _witnesses(report: RegionReport, home: Home, place: RegionHome, loaded: Loaded) -> None:
    """The quorum on the newest cosigned checkpoint of the region's log."""
    folder = place.logs / REGION_SLOT
    try:
        policy = policy_of(home, loaded.plan, place.name)
        path = folder / COSIGNED if (folder / COSIGNED).exists() else folder / CHECKPOINT
        note = parse_note(read_bounded(path, NOTE_LIMIT))
        report.cosigned = satisfied(note, policy, policy.logs[0].vkey)
        size = parse_checkpoint(note.text).size
        if report.cosigned and size < report.logs.get(REGION_SLOT, 0):
            report.notes.append(f"Witnesses cosigned {size} of {report.logs[REGION_SLOT]} records of the region's log.")
    except (OSError, FiredoorError) as error:
        report.damage.append(Found(f"log/{REGION_SLOT}", _said(error)))


def _said(error: Exception) -> str:
    if isinstance(error, FiredoorError):
        return error.message
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
