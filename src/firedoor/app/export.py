"""Makes an evidence bundle: whole logs, the trust policy, time stamps, and, where two persons agreed, chosen bodies.

All of it is written and synced under a hidden name, then the hand-over is put on record, and only then the bundle gets
its name: a bundle that somebody has was recorded before. What does not verify now is exported all the same, and named.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from importlib import metadata, resources
from pathlib import Path
from typing import Final, Literal

import pyrage
from msgspec import Struct

from firedoor.app.identity import REGION_SLOT, policy_of
from firedoor.app.logexport import ExportedLog, LogExporter
from firedoor.app.reading import Desk, code_or_unknown, user
from firedoor.app.stamping import FOLDER as STAMPS
from firedoor.app.stamping import MESSAGE, TOKEN
from firedoor.config import Home
from firedoor.core.evidence.bundle import (
    CUSTODY,
    CUSTODY_LIMIT,
    CUSTODY_SIGNATURE,
    POLICY,
    README,
    RECORD_KEYS,
    SCRIPT,
    BodyIn,
    Chooser,
    Custody,
    CustodySignature,
    LogIn,
    Problem,
    RecordKey,
    RecordKeys,
    Selection,
    SignedIn,
    signed_in,
)
from firedoor.core.evidence.leaf import Leaf
from firedoor.core.evidence.note import NOTE_LIMIT
from firedoor.core.evidence.record import Fact
from firedoor.core.people import READ_REASONS, Act, Signature, Signed, verify
from firedoor.errors import ActRefused, EvidenceDamaged, KeyUnusable, SetupError
from firedoor.store.bodies import BodyReader
from firedoor.store.bundlefiles import FolderFiles, Target
from firedoor.store.files import read_bounded
from firedoor.store.grants import Grant
from firedoor.store.journal_verify import Destroyed
from firedoor.store.opening import BodyOpener

TOKEN_LIMIT: Final = 64 * 1024
PROBLEMS: Final = 1000
"""Problems named one by one in custody."""
CHUNK: Final = 1024 * 1024


class Order(Struct, frozen=True, kw_only=True):
    """What is asked for. `recipient` is an age X25519 public key; with `grant_id` bodies go along, sealed to it.

    `person` and `sign` are of the one who makes the bundle and signs for it; None: the system's user, unsigned.
    """

    selection: Selection
    reason: str
    out: Path
    recipient: str | None = None
    bodies: bool = False
    grant_id: str | None = None
    person: str | None = None
    sign: Callable[[Act], Signature] | None = None


class Made(Struct, frozen=True):
    """What was made: where, SHA-256 of custody.json, how many logs, records and bodies, and what did not verify."""

    out: Path
    manifest: str
    logs: int
    records: int
    bodies: int
    problems: tuple[Problem, ...]


def export(home: Home, desk: Desk, order: Order) -> Made:
    """Make the bundle at `order.out` (a new folder, or a new file that ends in ``.zip``); durable on return.

    Raises `ActRefused`, `SetupError`, `KeyUnusable`, `JournalPoisoned`, OSError; then nothing is left behind.
    """
    try:
        grant = _check(desk, order)
    except ActRefused as error:
        desk.refused("export", error.code, {"grant": code_or_unknown(order.grant_id)})
        raise
    target = Target(order.out)
    try:
        bundle = _Bundle(home, desk, order, target, grant)
        made = bundle.make()
        finished = target.finish()
        desk.record("access", bundle.facts(made), desk.grants.note(grant) if grant else None)
        target.publish(finished)
    except BaseException:
        target.discard()
        raise
    return made


def check_recipient(recipient: str) -> pyrage.x25519.Recipient:
    """Raises `ActRefused` if this is not an age X25519 public key."""
    try:
        return pyrage.x25519.Recipient.from_str(recipient)
    except pyrage.RecipientError:
        raise ActRefused(
            "bad_recipient", "The receiver's key is not an age public key.", remedy="It looks like age1… : age-keygen."
        ) from None


def _check(desk: Desk, order: Order) -> Grant | None:
    """Everything that can be refused before anything is written."""
    if order.selection.empty:
        raise ActRefused(
            "empty_selection",
            "Nothing is chosen.",
            remedy="Name --exchange, --subject, --incident, --surface, --since or --until.",
        )
    if order.reason not in READ_REASONS:
        raise ActRefused("bad_act", f"The reason must be one of {', '.join(READ_REASONS)}.")
    if order.recipient is not None:
        check_recipient(order.recipient)
    if not order.bodies:
        return None
    if order.recipient is None:
        raise ActRefused("no_recipient", "Bodies leave only sealed to a receiver.", remedy="Add --to age1….")
    example = order.selection.exchanges[0] if order.selection.exchanges else "EXCHANGE"
    grant = desk.allowed(order.grant_id, example, order.recipient)
    if grant.selection != order.selection:
        raise ActRefused(
            "other_selection",
            "The two persons agreed to another selection.",
            remedy="Give the export exactly the selection of the request, or make a new request.",
        )
    return grant


class _Bundle:
    """One bundle while it is made."""

    def __init__(self, home: Home, desk: Desk, order: Order, target: Target, grant: Grant | None) -> None:
        self._home = home
        self._desk = desk
        self._order = order
        self._target = target
        self._grant = grant
        self._chooser = Chooser(order.selection)
        self._problems: list[Problem] = []
        self._bodies: list[BodyIn] = []

    def make(self) -> Made:
        """Write everything."""
        logs, found = self._logs()
        if self._grant is not None:
            self._write_bodies(*found)
        self._write_policy()
        self._write_stamps()
        self._target.write(SCRIPT, _data("verify.py"))
        self._target.write(README, self._readme(logs))
        custody = self._custody(logs)
        data = custody.encode()
        if len(data) > CUSTODY_LIMIT:
            raise SetupError("The bundle would have too many files.", remedy="Export fewer bodies at a time.")
        manifest = hashlib.sha256(data).hexdigest()
        self._target.write(CUSTODY, data)
        self._target.write(CUSTODY_SIGNATURE, CustodySignature(manifest, self._signed(manifest)).encode())
        included = sum(body.state == "included" for body in self._bodies)
        records = sum(log.checkpoint.size for log in logs)
        return Made(self._order.out, manifest, len(logs), records, included, custody.problems)

    def facts(self, made: Made) -> dict[str, Fact]:
        """What goes on record about the hand-over."""
        order, grant = self._order, self._grant
        facts: dict[str, Fact] = {
            "act": "export",
            "state": "done",
            "manifest": made.manifest,
            "selection": order.selection.digest,
            "reason": order.reason,
            "by": order.person or user(),
            "user": user(),
            "recipient": order.recipient,
            "bodies": made.bodies,
            "logs": made.logs,
        }
        if grant is not None:
            signatures = [f"{s.by}:{s.value}" for s in grant.signed.signatures]
            facts |= {"grant": grant.id, "content": grant.signed.act.content.decode(), "signatures": signatures}
        return facts

    def _logs(self) -> tuple[list[ExportedLog], tuple[list[Leaf], Destroyed]]:
        exporter = LogExporter(self._desk.place, self._target, self._chooser)
        logs = exporter.run()
        self._problems += exporter.problems
        return logs, (exporter.wanted, exporter.destroyed)

    def _write_bodies(self, leaves: list[Leaf], destroyed: Destroyed) -> None:
        place, recipient = self._desk.place, self._order.recipient
        assert recipient is not None
        opener, reader = BodyOpener(place.bodies, place.subjects, self._desk.ring), BodyReader(place.bodies)
        keys: list[RecordKey] = []
        try:
            for leaf in leaves:
                state = _state(reader, leaf, destroyed)
                if state == "included":
                    try:
                        sealed, key = opener.sealed(leaf)
                    except (EvidenceDamaged, KeyUnusable):  # erased this moment, or its epoch is gone
                        state = "erased" if leaf.key in destroyed.keys else "missing"
                    else:
                        self._target.write(f"bodies/{leaf.slot}/{leaf.seq}", sealed)
                        keys.append(RecordKey(leaf.slot, leaf.seq, key.hex()))
                if state == "missing":
                    self._problems.append(Problem(f"record {leaf.slot}#{leaf.seq}", "Its body cannot be had."))
                self._bodies.append(BodyIn(leaf.slot, leaf.seq, state))
        finally:
            opener.close()
            reader.close()
        clear = RecordKeys(place.name, tuple(keys)).encode()
        self._target.write(RECORD_KEYS, pyrage.encrypt(clear, [check_recipient(recipient)]))

    def _write_policy(self) -> None:
        policy = policy_of(self._home, self._desk.loaded.plan, self._desk.place.name)
        self._target.write(POLICY, policy.encode())

    def _write_stamps(self) -> None:
        """Each token with the checkpoint that it is over."""
        folder = self._desk.place.logs / STAMPS
        for path in sorted(folder.glob(f"*{TOKEN}")) if folder.is_dir() else []:
            message = path.with_suffix(MESSAGE)
            try:
                token, over = read_bounded(path, TOKEN_LIMIT), read_bounded(message, NOTE_LIMIT)
            except (OSError, SetupError):
                self._problems.append(Problem(f"{STAMPS}/{path.name}", "The token or its checkpoint cannot be read."))
                continue
            self._target.write(f"{STAMPS}/{path.name}", token)
            self._target.write(f"{STAMPS}/{message.name}", over)

    def _custody(self, logs: list[ExportedLog]) -> Custody:
        order, desk, grant = self._order, self._desk, self._grant
        listed = (
            LogIn(log.slot, log.checkpoint.origin, log.checkpoint.size, log.checkpoint.root.hex()) for log in logs
        )
        return Custody(
            region=desk.place.name,
            made_at=int(desk.now),
            by=order.person or user(),
            reason=order.reason,
            tool=_tool(),
            plan=desk.loaded.digest,
            selection=order.selection,
            selection_sha256=order.selection.digest,
            recipient=order.recipient,
            approval=signed_in(grant.signed, desk.loaded, grant.approved_at) if grant else None,
            region_log=REGION_SLOT,
            logs=tuple(listed),
            bodies=tuple(self._bodies),
            problems=tuple(self._problems[:PROBLEMS]),
            files=dict(_hashes(self._target.folder)),
        )

    def _signed(self, manifest: str) -> SignedIn | None:
        order, desk = self._order, self._desk
        if order.sign is None or order.person is None:
            return None
        args = {"manifest": manifest, "selection": order.selection.digest, "reason": order.reason}
        if order.recipient is not None:
            args["recipient"] = order.recipient
        act = Act(
            region=desk.place.name, act="export", args=args, plan=desk.loaded.digest, by=order.person,
            made_at=int(desk.now), nonce=secrets.token_hex(16),
        )  # fmt: skip
        signed = Signed(act, (order.sign(act),))
        verify(signed, desk.loaded, region=desk.place.name, now=desk.now, spent=())
        return signed_in(signed, desk.loaded)

    def _readme(self, logs: list[ExportedLog]) -> bytes:
        problems = "\n".join(f"- `{p.file}`: {p.problem}" for p in self._problems[:PROBLEMS])
        text = _data("bundle-readme.md").decode()
        for name, value in {
            "region": self._desk.place.name,
            "logs": "\n".join(f"- `log/{log.slot}`: {log.checkpoint.size} records" for log in logs),
            "bodies": str(sum(body.state == "included" for body in self._bodies)),
            "problems": problems or "Nothing: all of it verified.",
        }.items():
            text = text.replace(f"{{{name}}}", value)
        return text.encode()


def _state(reader: BodyReader, leaf: Leaf, destroyed: Destroyed) -> Literal["included", "erased", "expired", "missing"]:
    """What is to be said of a chosen body."""
    assert leaf.body is not None
    state, _ = reader.look(leaf)
    if state == "whole":
        return "included"
    return destroyed.why(leaf) or "missing"


def _hashes(folder: Path) -> Iterator[tuple[str, str]]:
    for name in sorted(FolderFiles(folder).names()):
        with (folder / name).open("rb") as file:
            yield name, hashlib.file_digest(file, "sha256").hexdigest()


def _data(name: str) -> bytes:
    return resources.files("firedoor").joinpath("data", name).read_bytes()


def _tool() -> str:
    try:
        return f"firedoor {metadata.version('firedoor')}"
    except metadata.PackageNotFoundError:  # run from a checkout
        return "firedoor"
