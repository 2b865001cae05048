"""Signed requests to read bodies, and their approvals: one file each, ``grants/ID.json``, replaced whole.

A file says what is asked for and who signed. It grants nothing by itself: whoever uses it verifies both signatures
against the plan. The note is sealed for the region; only its digest is part of what was signed.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Annotated, Final, Literal, Protocol

import msgspec
from msgspec import Meta, Struct

from firedoor.core.evidence.bundle import Selection
from firedoor.core.people import (
    GRANT_LIFETIME,
    SKEW,
    Act,
    Signature,
    Signed,
    check_time,
    note_digest,
    verify,
    verify_two,
)
from firedoor.core.plan.model import Loaded
from firedoor.errors import ActRefused, FiredoorError
from firedoor.store.files import locked, read_bounded, write_atomic

GRANT_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of one file: a selection of 100,000 exchange ids is about 12 MB."""
LISTED: Final = 1000
"""Grants that a list shows: they live 75 minutes, and are kept."""

_ASK: Final = "Make a new one: firedoor evidence request."
_ID = re.compile(r"[a-z][a-z0-9_-]{0,62}-[0-9a-f]{12}", re.ASCII)


class Grant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request to read bodies. `note` is the sealed note (base64), `approved_at` Unix seconds, None while it waits."""

    format: Literal["firedoor/grant/1"] = "firedoor/grant/1"
    id: str
    selection: Selection
    signed: Signed
    note: str
    approved_at: Annotated[int, Meta(ge=0, le=1 << 53)] | None = None

    @property
    def reason(self) -> str:
        """The reason's code."""
        return self.signed.act.args["reason"]

    @property
    def recipient(self) -> str | None:
        """Whom bodies may be sealed to; None: they may be shown here, and not leave."""
        return self.signed.act.args.get("recipient")

    @property
    def until(self) -> int:
        """Unix seconds after which it is of no use: the end of the approval window, or of the reading."""
        return self.signed.act.expires_at if self.approved_at is None else self.approved_at + GRANT_LIFETIME


class NoteBox(Protocol):
    """Seals small things for the region: see `firedoor.keys.derive.SealingBox`."""

    def seal(self, data: bytes, purpose: str) -> bytes:
        """Sealed for this purpose."""
        ...

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Raises `KeyUnusable`."""
        ...


def is_about_letters(grant: Grant) -> bool:
    """Whether the two persons of `grant` agreed on a list, and not on bodies."""
    return len(grant.selection.exchanges) == 1 and grant.selection.exchanges[0].startswith("letters:")


def how_to_agree(grant: Grant) -> str:
    """What the second person of a request runs."""
    who = "--as THEIR_ID --key THEIR_KEY_FILE"
    if is_about_letters(grant):
        return f"firedoor incident people {grant.selection.incident} --approve {grant.id} {who}"
    return f"firedoor evidence approve {grant.id} {who}"


class Grants:
    """The grants of one region. `loaded` is the plan that says who may; times are Unix seconds.

    Every method raises `ActRefused`; those that write also OSError.
    """

    def __init__(self, folder: Path, region: str, loaded: Loaded, box: NoteBox) -> None:
        self._folder = folder
        self._region = region
        self._loaded = loaded
        self._box = box

    def propose(self, signed: Signed, selection: Selection, note: str, now: float) -> Grant:
        """The grant of a signed request, all of it checked; `keep` makes it durable."""
        verify(signed, self._loaded, region=self._region, now=now, spent=(), note=note)
        _check_act(signed.act, selection)
        if len(signed.signatures) != 1:
            raise ActRefused("bad_act", "A request comes with one signature; the second person approves it.")
        id_ = f"{self._region}-{signed.act.digest[:12]}"
        if self._path(id_).exists():
            raise ActRefused("nonce_spent", "This request was handed in before.", remedy="Sign a new one.")
        sealed = self._box.seal(note.encode(), f"grant/{id_}")
        return Grant(id=id_, selection=selection, signed=signed, note=base64.b64encode(sealed).decode())

    def keep(self, grant: Grant) -> None:
        """Write the file; durable on return. An approval is never replaced."""
        path = self._path(grant.id)
        with locked(path):
            if path.exists() and self.load(grant.id).approved_at is not None:
                raise ActRefused("approved_already", f"Request {grant.id} was approved before.", remedy="Use it.")
            write_atomic(path, msgspec.json.encode(grant))

    def load(self, id_: str) -> Grant:
        """The grant of this id, as it lies there; its signatures are not looked at."""
        path = self._path(id_)
        try:
            grant = msgspec.json.decode(read_bounded(path, GRANT_LIMIT), type=Grant)
        except FileNotFoundError:
            raise ActRefused(
                "unknown_grant", f"There is no request {id_} in region {self._region}.", remedy=_ASK
            ) from None
        except (OSError, FiredoorError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ActRefused(
                "altered", f"Request {id_} cannot be read: {type(error).__name__}.", remedy=_ASK
            ) from error
        if grant.id != id_ or id_ != f"{self._region}-{grant.signed.act.digest[:12]}":
            raise ActRefused("altered", "The request is not the one that was signed.", remedy=_ASK)
        _check_act(grant.signed.act, grant.selection)
        return grant

    def approve(self, grant: Grant, signature: Signature, now: float) -> Grant:
        """The grant with the second person's signature, all of it checked; `keep` makes it durable."""
        if grant.approved_at is not None:
            raise ActRefused("approved_already", f"Request {grant.id} was approved before.", remedy="Use it.")
        signed = Signed(grant.signed.act, (*grant.signed.signatures, signature))
        verify_two(signed, self._loaded, region=self._region, now=now)
        return msgspec.structs.replace(grant, signed=signed, approved_at=int(now))

    def check(self, grant: Grant, now: float, recipient: str | None = None) -> None:
        """Whether bodies may be read now: two signed, in time, for this `recipient` (None: to show them)."""
        if grant.approved_at is None:
            check_time(grant.signed.act, now)
            raise ActRefused(
                "second_person_missing",
                f"Request {grant.id} waits for a second person.",
                remedy=f"Have one run: {how_to_agree(grant)}",
            )
        # The time of approval is no part of what was signed; the act's own lifetime bounds it.
        verify_two(grant.signed, self._loaded, region=self._region, now=grant.approved_at)
        if not grant.approved_at - SKEW <= now <= grant.until:
            raise ActRefused(
                "expired", f"Request {grant.id} was for {GRANT_LIFETIME // 60} minutes after its approval.", remedy=_ASK
            )
        if grant.recipient != recipient:
            asked = "be shown here" if recipient is None else "go to this receiver"
            raise ActRefused("other_recipient", f"The two persons did not agree that bodies {asked}.", remedy=_ASK)

    def note(self, grant: Grant) -> str:
        """The note in clear. Raises `KeyUnusable` too."""
        try:
            note = self._box.open(base64.b64decode(grant.note, validate=True), f"grant/{grant.id}").decode()
        except ValueError as error:
            raise ActRefused("altered", "The note of the request is damaged.", remedy=_ASK) from error
        if grant.signed.act.args["note_sha256"] != note_digest(grant.signed.act.nonce, note):
            raise ActRefused("altered", "The note is not the one that was signed.", remedy=_ASK)
        return note

    def newest(self) -> list[Grant]:
        """What waits or may be used, newest first; damaged files are passed over."""
        paths = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        found: list[Grant] = []
        for path in paths[:LISTED]:
            try:
                found.append(self.load(path.stem))
            except ActRefused:
                continue
        return found

    def _path(self, id_: str) -> Path:
        if _ID.fullmatch(id_) is None:
            raise ActRefused("unknown_grant", f"{id_!r} is no request id.", remedy=_ASK)
        return self._folder / f"{id_}.json"


def _check_act(act: Act, selection: Selection) -> None:
    if act.act != "read_bodies":
        raise ActRefused("bad_act", f"This is a request to {act.act}, not to read bodies.")
    if selection.empty or act.args.get("selection") != selection.digest:
        raise ActRefused("altered", "What was signed is another selection.", remedy=_ASK)
