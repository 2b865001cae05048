"""Checks an evidence bundle with this installation's own code. `verify.py` in the bundle does the same without it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from firedoor.app.custodycheck import check_persons
from firedoor.core.evidence.bundle import (
    CUSTODY,
    CUSTODY_LIMIT,
    CUSTODY_SIGNATURE,
    POLICY,
    SIGNATURE_LIMIT,
    Custody,
    LogIn,
    decode_custody,
    decode_signature,
)
from firedoor.core.evidence.chain import Chain
from firedoor.core.evidence.checkpoint import Checkpoint, parse_checkpoint, verify_signatures
from firedoor.core.evidence.leaf import Leaf
from firedoor.core.evidence.note import NOTE_LIMIT, Note, Vkey, parse_note
from firedoor.core.evidence.policy import POLICY_LIMIT, Policy, parse_policy, satisfied
from firedoor.core.evidence.scribe import BODY_LIMIT
from firedoor.core.evidence.tree import (
    TILE_BYTES,
    TILE_WIDTH,
    Frontier,
    decode_bundle,
    entries_path,
    leaf_hash,
    levels,
    perfect_root,
    tile_path,
)
from firedoor.errors import EvidenceDamaged, FiredoorError
from firedoor.store.bundlefiles import BundleFiles, BundleReader, open_bundle
from firedoor.store.journal_verify import Destroyed
from firedoor.store.tilelog_read import BUNDLE_LIMIT, leaf_hashes


class Damage(Struct, frozen=True):
    """A file or record of a bundle, and what is wrong with it."""

    file: str
    problem: str


class BundleReport(Struct):
    """What was found. `manifest` is the SHA-256 of custody.json, `cosigned` the witnesses of the quorum."""

    manifest: str = ""
    region: str = ""
    records: int = 0
    bodies: int = 0
    gone: int = 0
    cosigned: tuple[str, ...] = ()
    notes: list[str] = []
    damage: list[Damage] = []

    @property
    def ok(self) -> bool:
        """Whether everything verified."""
        return not self.damage


def verify_bundle(path: Path, policy: bytes | None = None) -> BundleReport:
    """Check a bundle (folder or zip) by `policy`, else by the one in it. Raises OSError if it cannot be opened."""
    report = BundleReport()
    check = _Check(report)
    with check.naming(path.name):
        check.run(open_bundle(path), policy)
    return report


class _Check:
    def __init__(self, report: BundleReport) -> None:
        self.report = report

    def damage(self, file: str, problem: str) -> None:
        self.report.damage.append(Damage(file, problem))

    @contextmanager
    def naming(self, file: str) -> Iterator[None]:
        try:
            yield
        except (FiredoorError, UnicodeDecodeError, RecursionError) as error:
            self.damage(file, error.message if isinstance(error, FiredoorError) else "It is not JSON of any record.")

    def run(self, files: BundleFiles, policy_data: bytes | None) -> None:
        report = self.report
        reader = BundleReader(files, set(files.names()), self.damage)
        data, sealed = reader.read(CUSTODY, CUSTODY_LIMIT), reader.read(CUSTODY_SIGNATURE, SIGNATURE_LIMIT)
        signature, report.manifest = decode_signature(sealed), hashlib.sha256(data).hexdigest()
        if signature.custody != report.manifest:
            raise EvidenceDamaged(
                "custody.json is not the one that custody.sig.json names: one of the two was changed."
            )
        custody = decode_custody(data)
        report.region, reader.hashes = custody.region, custody.files
        report.notes += [f"known when the bundle was made: {p.file}: {p.problem}" for p in custody.problems]
        with self.naming(CUSTODY_SIGNATURE):
            report.notes += check_persons(custody, signature.signed, report.manifest)
        with self.naming(POLICY):
            if policy_data is None:
                policy_data = reader.read(POLICY, POLICY_LIMIT)
                report.notes.append("The keys are those in the bundle itself: compare its policy with one you trust.")
            self._logs(reader, custody, parse_policy(policy_data))
        reader.read_rest()

    def _logs(self, reader: BundleReader, custody: Custody, policy: Policy) -> None:
        bodies = _Bodies(reader, custody, self.damage)
        history: dict[str, dict[int, bytes]] = {log.origin: {} for log in custody.logs}
        listed = sorted(custody.logs, key=lambda log: log.slot != custody.region_log)
        if not listed or listed[0].slot != custody.region_log:
            self.damage(
                f"log/{custody.region_log}", "The region's log is missing: no witness vouches for anything here."
            )
        for listed_log in listed:
            is_region = listed_log.slot == custody.region_log
            name = f"log/{listed_log.slot}/checkpoint"
            with self.naming(name):
                note = parse_note(reader.read(name, NOTE_LIMIT))
                checkpoint = _signed_checkpoint(note, policy, every=is_region)
                _check_listed(listed_log, checkpoint)
                expected = {} if is_region else dict(history.get(checkpoint.origin, {}))
                if is_region:
                    cosigned = self._witnesses(reader, name, note, policy)
                    expected[cosigned.size] = cosigned.root
                log = _Log(reader, listed_log.slot, custody.region, checkpoint, self.damage)
                log.run(bodies.see, history if is_region else {}, expected)
                self.report.records += log.size
                if not is_region and checkpoint.size not in expected:
                    self.damage(name, "It is not in the region's log: no witness vouches for it.")
        bodies.settle(self.report)

    def _witnesses(self, reader: BundleReader, name: str, note: Note, policy: Policy) -> Checkpoint:
        """The newest checkpoint of the region's log that a quorum cosigned."""
        checkpoint = parse_checkpoint(note.text)
        older = name.removesuffix("checkpoint") + "cosigned"
        verify_signatures(checkpoint, note.signatures, [witness.vkey for witness in policy.witnesses])
        try:
            self.report.cosigned = satisfied(note, policy, _log_keys(policy, checkpoint.origin)[0])
        except EvidenceDamaged:
            if older not in reader.names:
                self.damage(name, "It has no quorum of witnesses.")
                return checkpoint
            note = parse_note(reader.read(older, NOTE_LIMIT))
            cosigned = _signed_checkpoint(note, policy, every=True)
            if cosigned.origin != checkpoint.origin or cosigned.size > checkpoint.size:
                raise EvidenceDamaged(f"{older} is of another log, or of a larger one.") from None
            self.report.cosigned = satisfied(note, policy, _log_keys(policy, cosigned.origin)[0])
            self.report.notes.append(
                f"Witnesses cosigned {cosigned.size} of the {checkpoint.size} records of the region's log."
            )
            checkpoint = cosigned
        return checkpoint


class _Log:
    """One log: every record, every tile, the root, and the roots at the sizes that others vouch for."""

    def __init__(
        self, reader: BundleReader, slot: str, region: str, checkpoint: Checkpoint, damage: Callable[[str, str], None]
    ) -> None:
        self._reader = reader
        self._folder = f"log/{slot}"
        self._checkpoint = checkpoint
        self._chain = Chain(region, slot)
        self._damage = damage
        self.size = checkpoint.size

    def run(
        self, see: Callable[[Leaf], None], history: dict[str, dict[int, bytes]], expected: dict[int, bytes]
    ) -> None:
        """Read it all. `history` takes the checkpoints recorded in it, `expected` are roots by size."""
        frontier, below = Frontier(), list[bytes]()
        for index in range(-(-self.size // TILE_WIDTH)):
            entries = self._entries(index)
            for data in entries:
                leaf = self._chain.follow(data)
                see(leaf)
                _remember(leaf, history)
            hashes = leaf_hashes(entries)
            self._compare_tile(0, index, hashes)
            if len(entries) == TILE_WIDTH:
                below.append(perfect_root(hashes))
            for data in entries:
                frontier.append(leaf_hash(data))
                root = expected.get(frontier.size)
                if root is not None and root != frontier.root():
                    raise EvidenceDamaged("The region or its witnesses saw another history: records were rewritten.")
        for level in range(1, levels(self.size)):
            below = self._level(level, below)
        if frontier.root() != self._checkpoint.root:
            self._damage(
                f"{self._folder}/checkpoint", "Its root is not the one of the records: they are other records."
            )

    def _entries(self, index: int) -> list[bytes]:
        width = min(TILE_WIDTH, self.size - index * TILE_WIDTH)
        name = entries_path(index, width)
        try:
            entries = decode_bundle(self._reader.read(f"{self._folder}/{name}", BUNDLE_LIMIT))
        except EvidenceDamaged as error:
            raise EvidenceDamaged(f"{name}: {error.message}") from error
        if len(entries) != width:
            raise EvidenceDamaged(f"{name} has {len(entries)} records instead of {width}.")
        return entries

    def _level(self, level: int, hashes: list[bytes]) -> list[bytes]:
        above: list[bytes] = []
        for index in range(0, len(hashes), TILE_WIDTH):
            part = b"".join(hashes[index : index + TILE_WIDTH])
            self._compare_tile(level, index // TILE_WIDTH, part)
            if len(part) == TILE_BYTES:
                above.append(perfect_root(part))
        return above

    def _compare_tile(self, level: int, index: int, made: bytes) -> None:
        name = f"{self._folder}/{tile_path(level, index, len(made) >> 5)}"
        try:
            if self._reader.read(name, TILE_BYTES) != made:
                self._damage(name, "Its hashes are not those of what lies below it.")
        except EvidenceDamaged as error:
            self._damage(name, error.message)


class _Bodies:
    """The chosen bodies against their records."""

    def __init__(self, reader: BundleReader, custody: Custody, damage: Callable[[str, str], None]) -> None:
        self._reader = reader
        self._damage = damage
        self._states = {(body.slot, body.seq): body.state for body in custody.bodies}
        self._destroyed = Destroyed()
        self._gone: list[Leaf] = []
        self._whole = 0
        inside = {f"bodies/{slot}/{seq}" for (slot, seq), state in self._states.items() if state == "included"}
        for name in sorted(inside ^ {name for name in reader.names if name.startswith("bodies/")}):
            damage(name, "It is missing." if name in inside else "It is a body that custody.json does not list.")

    def see(self, leaf: Leaf) -> None:
        self._destroyed.learn(leaf)
        state = self._states.pop((leaf.slot, leaf.seq), None)
        if state is None:
            return
        name = f"bodies/{leaf.slot}/{leaf.seq}"
        if leaf.body is None:
            self._damage(name, f"Record {leaf.slot}#{leaf.seq} has no body.")
        elif state != "included":
            self._gone.append(leaf)
        else:
            try:
                sealed = self._reader.read(name, BODY_LIMIT)
            except EvidenceDamaged as error:
                self._damage(name, error.message)
                return
            if len(sealed) != leaf.body.length or hashlib.sha256(sealed).hexdigest() != leaf.body.sha256:
                self._damage(name, f"It is not the body that record {leaf.slot}#{leaf.seq} names.")
            self._whole += 1

    def settle(self, report: BundleReport) -> None:
        for leaf in self._gone:
            if self._destroyed.why(leaf) is not None:
                continue
            problem = "Its body is not there, and no record says that it was destroyed."
            self._damage(f"record {leaf.slot}#{leaf.seq}", problem)
        for slot, seq in self._states:
            self._damage(f"record {slot}#{seq}", "custody.json lists its body, but there is no such record.")
        report.bodies, report.gone = self._whole, len(self._gone)


def _remember(leaf: Leaf, history: dict[str, dict[int, bytes]]) -> None:
    """A checkpoint that the region's log recorded, by origin and size."""
    origin, note = leaf.facts.get("log"), leaf.facts.get("note")
    if leaf.kind == "checkpoint" and isinstance(note, str) and isinstance(origin, str) and origin in history:
        checkpoint = parse_checkpoint(parse_note(note.encode()).text)
        known = history[origin]
        if checkpoint.origin != origin or checkpoint.size < next(reversed(known), 0):
            raise EvidenceDamaged("The region recorded a checkpoint of another log, or an older one after a newer.")
        if known.setdefault(checkpoint.size, checkpoint.root) != checkpoint.root:
            raise EvidenceDamaged(f"The region recorded two histories of {origin}: records were rewritten.")


def _log_keys(policy: Policy, origin: str) -> tuple[Vkey, ...]:
    """The keys of a log: those the policy names, else those of a log beside it. The logs of one host share their keys.

    Raises `EvidenceDamaged` if there are none.
    """
    parent = origin.rpartition("/")[0]
    keys = policy.log_keys(origin) or tuple(
        Vkey(origin, log.vkey.kind, log.vkey.key)
        for log in policy.logs
        if parent and log.vkey.name.rpartition("/")[0] == parent
    )
    if not keys:
        raise EvidenceDamaged(f"The trust policy has no key of {origin}.")
    return keys


def _signed_checkpoint(note: Note, policy: Policy, *, every: bool) -> Checkpoint:
    """The checkpoint in a note that its log signed, with `every` one of its keys or at least with one."""
    checkpoint = parse_checkpoint(note.text)
    keys = _log_keys(policy, checkpoint.origin)
    signed = verify_signatures(checkpoint, note.signatures, keys)
    if len(signed) < (len(keys) if every else 1):
        raise EvidenceDamaged(f"It is not signed by the keys of {checkpoint.origin}.")
    return checkpoint


def _check_listed(listed: LogIn, checkpoint: Checkpoint) -> None:
    if (listed.origin, listed.size, listed.root) != (checkpoint.origin, checkpoint.size, checkpoint.root.hex()):
        raise EvidenceDamaged("It is not the checkpoint that custody.json names.")
