"""What a person asks for and signs: exact bytes, who signed them, and whether that is enough. Pure.

The exact content of an act is a domain line and the canonical JSON (RFC 8785 for the values allowed here: text and
whole numbers, sorted keys, no spaces) of the act. A person signs that content with Ed25519 (RFC 8032). Everybody who
signs the same act signs the same bytes. Free text is not part of them: a note is bound by its SHA-256, salted with the
act's nonce, so that the content can be kept in the open as long as the log.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Collection
from typing import Annotated, Literal, NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Meta, Struct, structs

from firedoor.core.patterns import END
from firedoor.core.plan.model import MAY_OPEN, Loaded, Person
from firedoor.core.plan.words import Name
from firedoor.core.switches import ANY, INCIDENT, Reason, Scope
from firedoor.errors import ActRefused

DOMAIN = b"firedoor/act/1\n"
"""First line of every signed content: a signature made for this can be taken for nothing else."""

LIFETIME = 15 * 60
"""Seconds an act may wait for its second person; a longer wait means that the situation is another one."""

SKEW = 5 * 60
"""Seconds a person's clock may be ahead of the region's."""

NOTE_CHARACTERS = 500
"""Length of a note: room for a reason, not for a case file."""

KEY_PREFIX = "ed25519:"

SHUT_REASONS: tuple[Reason, ...] = ("operator", "leak", "suspicion", "maintenance", "drill")
"""Reasons a person may give, `drill` only in one; `file` is the SHUT file's."""

READ_REASONS = ("incident", "authority_request", "subject_request", "legal_claim", "audit", "drill")
"""Reasons for which people may read bodies or hand evidence out."""

MAY_READ: frozenset[str] = frozenset({"incident_commander", "dpo", "legal", "soc_analyst"})
"""Roles that may ask to read bodies, and hand out evidence."""

MAY_APPROVE_READING: frozenset[str] = frozenset({"incident_commander", "dpo", "legal"})
"""Roles whose second signature lets bodies be read."""

GRANT_LIFETIME = 60 * 60
"""Seconds that bodies may be read after the second person approved."""


class Rules(NamedTuple):
    """What an act must be: the arguments it needs and those it may have, the reasons it may give, who may sign.

    `makers` None means that every person of the plan may; `approvers` are the roles of the second person, None for an
    act that needs no second. `doing` says what it is, for errors.
    """

    needed: frozenset[str]
    allowed: frozenset[str]
    reasons: tuple[str, ...]
    makers: frozenset[str] | None
    approvers: frozenset[str] | None
    doing: str
    approve: str = ""


RULES: dict[str, Rules] = {
    "shut": Rules(
        frozenset({"scope", "reason"}),
        frozenset({"note_sha256", "drill", "isolate", "incident"}),
        SHUT_REASONS,
        None,
        None,
        "shut a switch",
    ),
    "open": Rules(
        frozenset({"scope", "of", "note_sha256"}),
        frozenset(),
        (),
        MAY_OPEN,
        MAY_OPEN,
        "open a switch",
        "firedoor approve",
    ),
    "end_drill": Rules(frozenset({"drill"}), frozenset({"note_sha256"}), (), None, None, "end a drill"),
    "read_bodies": Rules(
        frozenset({"selection", "reason", "note_sha256"}),
        frozenset({"recipient"}),
        READ_REASONS,
        MAY_READ,
        MAY_APPROVE_READING,
        "read bodies",
        "firedoor evidence approve",
    ),
    "export": Rules(
        frozenset({"manifest", "selection", "reason"}),
        frozenset({"recipient"}),
        READ_REASONS,
        MAY_READ,
        None,
        "hand out evidence",
    ),
    "incident": Rules(
        frozenset({"incident", "entry", "after", "payload"}),
        frozenset(),
        (),
        None,
        None,
        "write into a case",
    ),
    "see_incident": Rules(frozenset({"incident"}), frozenset(), (), None, None, "see a case"),
}
"""What each act needs. `selection` and `manifest` are SHA-256 (hex); `recipient` is an age X25519 public key.

`of` is the version of the shut that an opening opens, so that it opens no later one. `drill` names a drill: the shut is
part of it and ends with it. `isolate` says what becomes of the process of a model instance that is shut. `incident`
is the id of the case that it belongs to (``new`` for one that begins), `entry` the kind of entry that is written,
`after` the number of the newest entry that its author had seen, and `payload` binds what it says
(`core.incident.entries.payload_digest`). Which role may write what is asked by `core.incident.rights`.
"""

ISOLATE = ("cut", "freeze", "stop")
"""What becomes of an isolated model instance's process: nothing but new keys, halted for forensics, or ended."""

_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)
_DRILL = re.compile(r"[a-z][a-z0-9_-]{0,62}", re.ASCII)
_ENTRY = re.compile(r"[a-z][a-z_]{0,39}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_RECIPIENT = re.compile(r"age1[02-9ac-hj-np-z]{58}", re.ASCII)

Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}" + END)]
Nonce = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}" + END)]
Argument = Annotated[str, Meta(max_length=300, description="four names of 63 characters and three slashes fit")]


class Act(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked for. `plan` is the SHA-256 of the plan it was made under, `made_at` Unix seconds."""

    region: Name
    act: Literal["shut", "open", "end_drill", "read_bodies", "export", "incident", "see_incident"]
    args: Annotated[dict[Name, Argument], Meta(max_length=8)]
    plan: Digest
    by: Name
    made_at: Annotated[int, Meta(ge=0, le=1 << 53)]
    nonce: Nonce

    @property
    def scope(self) -> Scope:
        """The scope it is about. Raises `ActRefused`."""
        return Scope.parse(self.args.get("scope", ""))

    @property
    def content(self) -> bytes:
        """The exact bytes a person signs."""
        return DOMAIN + msgspec.json.encode(self, order="sorted")

    @property
    def digest(self) -> str:
        """SHA-256 of the content, hex."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def expires_at(self) -> int:
        """Unix seconds after which it no longer counts."""
        return self.made_at + LIFETIME


class Signature(Struct, frozen=True, forbid_unknown_fields=True):
    """One person's Ed25519 signature (base64) over an act's content."""

    by: Name
    value: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{86}==" + END)]


class Signed(Struct, frozen=True, forbid_unknown_fields=True):
    """An act and all signatures it has so far, its maker's first."""

    act: Act
    signatures: Annotated[tuple[Signature, ...], Meta(min_length=1, max_length=2)]


def key_id(person: Person) -> str:
    """What a person's public key is called in switch tables: 16 hex digits of its SHA-256. Raises `ActRefused`."""
    return hashlib.sha256(raw_key(person)).hexdigest()[:16]


def note_digest(nonce: str, note: str) -> str:
    """What binds a note to an act: SHA-256 (hex) of nonce, line feed and note. The nonce keeps it unguessable."""
    return hashlib.sha256(f"{nonce}\n{note}".encode()).hexdigest()


def raw_key(person: Person) -> bytes:
    """The 32 bytes of a person's public key. Raises `ActRefused`.

    Compare keys by these: the last character of the base64 form has two spare bits, so one key has four spellings.
    """
    try:
        return base64.b64decode(person.key.removeprefix(KEY_PREFIX), validate=True)
    except binascii.Error:
        raise ActRefused(
            "bad_key", "A person's key in the plan is not base64.", remedy="Add the person again."
        ) from None


def verify(
    signed: Signed, loaded: Loaded, *, region: str, now: float, spent: Collection[str], note: str | None = None
) -> None:
    """Everything that must hold before an act counts, except the second person. Raises `ActRefused`.

    0. It has the arguments its kind needs and no others (`RULES`); a scope, a digest or a recipient is one.
    1. It was made for this region, under this plan.
    2. It was made at most `SKEW` seconds in the future and `LIFETIME` seconds in the past.
    3. Its nonce was never used.
    4. A note that comes with it is the one it was signed with.
    5. Its maker signed it, and nobody signed twice.
    6. Every signer is a person of the plan, with a role that may make this request, or approve it.
    7. Every signature is that person's over exactly this content.
    """
    act = signed.act
    # 0
    rules = RULES[act.act]
    _check_arguments(act, rules)
    # 1
    if act.region != region:
        raise ActRefused("wrong_region", f"This was signed for region {act.region}, not {region}.")
    if act.plan != loaded.digest:
        raise ActRefused("other_plan", "This was signed under another version of the plan.", remedy="Sign it again.")
    # 2
    check_time(act, now)
    # 3
    if act.nonce in spent:
        raise ActRefused("nonce_spent", "This request was handed in before.", remedy="Sign a new one.")
    # 4
    if note is not None:
        _check_note(act, note)
    # 5
    signers = [s.by for s in signed.signatures]
    if signers[0] != act.by:
        raise ActRefused("not_the_maker", f"The first signature must be that of {act.by}, who made the request.")
    if len(set(signers)) != len(signers):
        raise ActRefused(
            "same_person", f"{signers[0]} has signed already.", remedy="It needs a second person with another key."
        )
    for signature, roles in zip(signed.signatures, (rules.makers, rules.approvers), strict=False):
        # 6
        person = loaded.plan.people.get(signature.by)
        if person is None:
            raise ActRefused(
                "unknown_person",
                f"The plan this region runs has no person {signature.by!r}.",
                remedy="Add them with `firedoor people add`, and restart firedoor: it reads the plan at start.",
            )
        if roles is not None and roles.isdisjoint(person.roles):
            asked = rules.doing if roles is rules.makers else f"approve a request to {rules.doing}"
            raise ActRefused(
                "role_missing",
                f"No role of {signature.by} may {asked}.",
                remedy=f"It takes one of: {', '.join(sorted(roles))}.",
            )
        # 7
        _check_signature(act, signature, person)


def verify_two(signed: Signed, loaded: Loaded, *, region: str, now: float) -> None:
    """`verify`, and: 8. two different persons with two different keys signed. Raises `ActRefused`.

    The nonce is not looked at: it was spent when the first signature came in.
    """
    verify(signed, loaded, region=region, now=now, spent=())
    # 8
    rules = RULES[signed.act.act]
    if len(signed.signatures) != 2:
        raise ActRefused(
            "second_person_missing",
            f"To {rules.doing} needs two persons.",
            remedy=f"Have a second person run `{rules.approve}`.",
        )
    first, second = (raw_key(loaded.plan.people[s.by]) for s in signed.signatures)
    if first == second:
        raise ActRefused(
            "same_key",
            "Both signatures are of the same key, under two names.",
            remedy="Each person needs a key of their own: `firedoor people add`.",
        )


def verify_opening(signed: Signed, loaded: Loaded, *, region: str) -> tuple[Scope, int]:
    """What two persons opened: the scope, and the version of its shut. Raises `ActRefused`.

    For who was not there: the nonce and the time are not looked at, nor under which plan they signed.
    """
    act = signed.act
    if act.act != "open":
        raise ActRefused("bad_act", f"This is a request to {act.act}, not to open.")
    as_then = structs.replace(loaded, digest=act.plan)
    verify_two(signed, as_then, region=region, now=act.made_at)
    return act.scope, int(act.args["of"])


def check_time(act: Act, now: float) -> None:
    """Raises `ActRefused` if `act` was made in the future or waited too long."""
    if act.made_at > now + SKEW:
        raise ActRefused("from_the_future", "This was signed in the future.", remedy="Set the clock of that computer.")
    if now > act.expires_at:
        raise ActRefused("expired", f"This was signed more than {LIFETIME // 60} minutes ago.", remedy="Sign it again.")


def _check_arguments(act: Act, rules: Rules) -> None:
    args, every = act.args, rules.needed | rules.allowed
    if not rules.needed <= args.keys() or not args.keys() <= every:
        raise ActRefused("bad_act", f"Arguments of {act.act!r} must be {', '.join(sorted(every))}.")
    if "reason" in args and args["reason"] not in rules.reasons:
        raise ActRefused("bad_act", f"The reason must be one of {', '.join(rules.reasons)}.")
    if "scope" in args:
        _ = act.scope
    if "of" in args and _NUMBER.fullmatch(args["of"]) is None:
        raise ActRefused("bad_act", "The version of the shut to be opened must be a number.")
    if "drill" in args and _DRILL.fullmatch(args["drill"]) is None:
        raise ActRefused("bad_act", "A drill is named with lower-case letters, digits, - and _.")
    if "incident" in args and INCIDENT.fullmatch(args["incident"]) is None:
        raise ActRefused("bad_act", "An incident is named with at most 64 letters, digits, - . _ and ~.")
    if args.get("reason") == "drill" and act.act == "shut" and "drill" not in args:
        raise ActRefused("bad_act", "A shut for a drill must name the drill.")
    if "isolate" in args:
        _check_isolation(act)
    if "entry" in args and _ENTRY.fullmatch(args["entry"]) is None:
        raise ActRefused("bad_act", "The kind of an entry is lower-case letters and _.")
    if "after" in args and _NUMBER.fullmatch(args["after"]) is None:
        raise ActRefused("bad_act", "The number of the newest entry seen must be a number.")
    for name in ("selection", "manifest", "payload"):
        if name in args and _DIGEST.fullmatch(args[name]) is None:
            raise ActRefused("bad_act", f"The {name} must be a SHA-256 in hex.")
    if "recipient" in args and _RECIPIENT.fullmatch(args["recipient"]) is None:
        raise ActRefused("bad_act", "The recipient must be an age public key: age1 and 58 letters or digits.")


def _check_isolation(act: Act) -> None:
    scope = act.scope
    if act.args["isolate"] not in ISOLATE:
        raise ActRefused("bad_act", f"To isolate a model instance means one of {', '.join(ISOLATE)}.")
    if "drill" in act.args:
        raise ActRefused("bad_act", "A drill isolates nothing: the model instance would really be halted.")
    if (scope.region, scope.shop, scope.surface) != (act.region, ANY, ANY) or scope.model == ANY:
        raise ActRefused("bad_act", f"Isolated is one model instance of the region: {act.region}/*/*/MODEL.")


def _check_note(act: Act, note: str) -> None:
    if len(note) > NOTE_CHARACTERS:
        raise ActRefused("bad_note", f"A note has at most {NOTE_CHARACTERS} characters.")
    if act.args.get("note_sha256") != note_digest(act.nonce, note):
        raise ActRefused("bad_note", "The note is not the one that was signed.")


def _check_signature(act: Act, signature: Signature, person: Person) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(raw_key(person)).verify(base64.b64decode(signature.value), act.content)
    except (InvalidSignature, ValueError):
        raise ActRefused(
            "bad_signature",
            f"The signature of {signature.by} does not fit this request and the key in the plan.",
            remedy="Sign with the key file that `firedoor people add` made for this person.",
        ) from None
