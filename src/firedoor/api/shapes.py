"""What the control API reads and writes."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from firedoor.core.people import NOTE_CHARACTERS, Act, Signature
from firedoor.core.switches import Reason


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """A signed act. `note` is the free text whose salted SHA-256 the act holds; it is kept sealed."""

    act: Act
    signature: Signature
    note: Annotated[str, Meta(max_length=NOTE_CHARACTERS)] | None = None


class Approval(Struct, frozen=True, forbid_unknown_fields=True):
    """The second person's signature over the exact content of a waiting request."""

    signature: Signature


class ShutSwitch(Struct, frozen=True):
    """One switch that is shut. `since` is Unix seconds, `by` persons of the plan, or ids of keys it does not know now.

    `version` is that of the table that shut it: whoever opens it signs it.
    """

    scope: str
    reason: Reason
    since: float
    by: tuple[str, ...]
    exchange: str | None
    version: int
    incident: str | None
    drill: str | None


class Switches(Struct, frozen=True):
    """The table of the region. What no switch of `shut`, `drills` or `everywhere` covers is open, while it is fresh.

    `home` is the region that keeps the switches of all regions; `everywhere` are those, as this region knows them.
    """

    region: str
    version: int
    plan: str
    shut: tuple[ShutSwitch, ...]
    shut_file: bool
    absorbed: dict[str, int]
    cache_epoch: int
    drills: tuple[ShutSwitch, ...]
    home: str | None
    everywhere: tuple[ShutSwitch, ...]
    everywhere_version: int


class Host(Struct, frozen=True):
    """A host of the region, as its newest message told it. `seen_ago_s` is how long ago that came.

    `version` and `beat` are of the table it shows, -1 before the first, `age_ms` how old that was. `refused` is the
    code why it takes no newer one, empty if it does. `workers` live there; `latched` says that its SHUT file is or was
    there, `kept` how many switches it keeps shut without control's knowing.
    """

    name: str
    seen_ago_s: float
    version: int
    beat: int
    global_version: int
    age_ms: int
    refused: str
    workers: int
    latched: bool
    kept: int


class Hosts(Struct, frozen=True):
    """The hosts that control has heard of since it began, by name. None where it is the only host's agent itself."""

    region: str
    hosts: tuple[Host, ...]


class WaitingRequest(Struct, frozen=True):
    """A request that waits for its second person. `content` (base64) are the exact bytes to sign."""

    id: str
    act: Act
    digest: str
    content: str
    signed_by: tuple[str, ...]
    expires_at: int
    note: str | None


class Requests(Struct, frozen=True):
    """All requests that wait, oldest first."""

    requests: tuple[WaitingRequest, ...]


class Result(Struct, frozen=True):
    """What became of an act. A shut with `durable` or `recorded` false holds; the disk has not confirmed it yet."""

    state: Literal["shut", "open"]
    scope: str
    version: int
    by: tuple[str, ...]
    changed: bool
    durable: bool
    recorded: bool
    drill: str | None


class Health(Struct, frozen=True):
    """`degraded` if disk or evidence refuse: shutting still works, opening does not."""

    status: Literal["ok", "degraded"]
    region: str
    version: int
    disk: bool
    evidence: bool
    store_failures: int
    record_failures: int


class ErrorBody(Struct, frozen=True):
    """Why a request was refused: a stable code, one sentence, and what to do."""

    code: str
    message: str
    remedy: str


class Error(Struct, frozen=True):
    """Every answer that is not a success."""

    error: ErrorBody
