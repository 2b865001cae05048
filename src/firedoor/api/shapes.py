"""What the control API reads and writes."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from firedoor.control.switchboard import Switchboard
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
    """One switch that is shut. `since` is Unix seconds."""

    scope: str
    reason: Reason
    since: float
    by: tuple[str, ...]
    exchange: str | None


class Switches(Struct, frozen=True):
    """The table of the region. What no switch of `shut` covers is open, while the table is fresh."""

    region: str
    version: int
    plan: str
    shut: tuple[ShutSwitch, ...]
    shut_file: bool
    absorbed: dict[str, int]
    cache_epoch: int


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


def switches(board: Switchboard) -> Switches:
    """The table as the API shows it."""
    table = board.table
    shut = tuple(ShutSwitch(str(s.scope), s.reason, s.since, s.by, s.exchange) for s in table.shut)
    return Switches(table.region, table.version, table.plan, shut, board.shut_file, table.absorbed, table.cache_epoch)


def health(board: Switchboard) -> Health:
    """How the switchboard is."""
    keeper = board.keeper
    works = keeper.disk_works and keeper.evidence_works
    return Health(
        "ok" if works else "degraded", board.region, board.table.version, keeper.disk_works, keeper.evidence_works,
        keeper.store_failures, keeper.record_failures,
    )  # fmt: skip
