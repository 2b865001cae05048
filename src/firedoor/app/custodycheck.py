"""Checks the signatures of persons in a bundle's custody: who made it, and the two who agreed that bodies leave."""

from __future__ import annotations

import base64

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from firedoor.core.evidence.bundle import Custody, SignedIn
from firedoor.core.people import DOMAIN, KEY_PREFIX, Act
from firedoor.errors import EvidenceDamaged


def check_persons(custody: Custody, signed: SignedIn | None, manifest: str) -> list[str]:
    """Whether those who made and allowed this bundle signed exactly that; notes for the reader.

    `signed` stands in ``custody.sig.json``, `manifest` is the SHA-256 of custody.json. Raises `EvidenceDamaged`.
    """
    notes: list[str] = []
    if custody.selection.digest != custody.selection_sha256:
        raise EvidenceDamaged("The selection in custody.json is not the one that was signed.")
    about = {"selection": custody.selection_sha256, "recipient": custody.recipient}
    if signed is None:
        notes.append("No person signed custody.json: who made this bundle is a claim.")
    else:
        by = _check_signed(signed, custody, {**about, "manifest": manifest, "reason": custody.reason}, "export", 1)
        if by != custody.by:
            raise EvidenceDamaged("Another person signed custody.json than it names.")
    if custody.approval is not None:
        _check_signed(custody.approval, custody, about, "read_bodies", 2)
    elif custody.bodies:
        raise EvidenceDamaged("There are bodies, but no approval by two persons.")
    return notes


def _check_signed(
    signed: SignedIn, custody: Custody, expected: dict[str, str | None], act_name: str, persons: int
) -> str:
    """Whether persons with different keys signed exactly this, and it is about this bundle; who made the request."""
    content = signed.content.encode()
    try:
        act = msgspec.json.decode(content.removeprefix(DOMAIN), type=Act)
    except msgspec.DecodeError as error:
        raise EvidenceDamaged("A signed request is not of the expected shape.") from error
    rows = signed.signatures
    if act.content != content or rows[0].by != act.by or (act.act, act.region) != (act_name, custody.region):
        raise EvidenceDamaged("What was signed is another kind of request, or another region's.")
    if len(rows) != persons or len({row.by for row in rows}) < persons or len({row.key for row in rows}) < persons:
        raise EvidenceDamaged(f"A request must be signed by {persons} person(s) with different keys.")
    for row in rows:
        try:
            public = Ed25519PublicKey.from_public_bytes(_bytes(row.key.removeprefix(KEY_PREFIX)))
            public.verify(_bytes(row.value), content)
        except (InvalidSignature, ValueError) as error:
            raise EvidenceDamaged("A person's signature does not verify.") from error
    for name, value in expected.items():
        if act.args.get(name) != value:
            raise EvidenceDamaged(f"What was signed is about another {name}.")
    return act.by


def _bytes(text: str) -> bytes:
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("base64 that is not written as it must be")
    return data
