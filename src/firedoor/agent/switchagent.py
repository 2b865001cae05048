"""The switch agent of a host: takes the signed tables that come, shows them to the workers, keeps a copy.

The page comes first; nothing waits for a disk or for another process before a shut is on it. How old a table is,
control's clock does not say: control echoes the newest message that it had of this host, so the table was made after
that message was sent. A table that was long on its way is therefore old when it comes, and one from before this
process began has no age at all: it shuts, and keeps nothing open.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import structs

from firedoor.agent.page import boottime_ns as _boottime_ns
from firedoor.core import hosts
from firedoor.core.crossing import GLOBAL_DOMAIN, GlobalSaid, decode
from firedoor.core.following import Belief, absorbed_on, remember, remember_global, resume, take, take_global
from firedoor.core.hosts import HostSaid, Report
from firedoor.core.plan.model import Loaded
from firedoor.core.switches import GlobalTable, Shown, Switch, Table
from firedoor.core.switchtable import Said, unproven, unseal
from firedoor.errors import EvidenceDamaged, FiredoorError, TableRefused
from firedoor.ports.switches import Copied, PageOutput, TableCopyPort

log = logging.getLogger("firedoor.agent")

SENT: Final = 256
"""Own messages whose time is remembered: a minute of them at four a second, many leases long."""

SAVE_AGAIN: Final = 1.0
"""Seconds until a copy that the disk refused is tried again."""

_BEHIND: Final = frozenset({"older", "split"})
"""Refusals after which control may know nothing of what is shut here."""


class SwitchAgent:
    """What one host shows of its region's switches. Used from one event loop; `page` is written by nobody else.

    `host` is None where control itself shows its table: then a table is as old as the call that brings it, and no
    message is sent. `keys` and `global_keys` give the public keys, by id, that sign tables now; they may raise
    `FiredoorError` or OSError. `beside_control` says that control reads this host's journals itself too. `nudge` wakes
    the workers. `counts` are messages taken and refused by code, `refused` the code of the last refusal since a table
    was taken, empty if there was none, `global_refused` the same of the global table.
    """

    def __init__(
        self,
        region: str,
        loaded: Loaded,
        host: str | None,
        *,
        page: PageOutput,
        copy: TableCopyPort,
        keys: Callable[[], Mapping[str, bytes]],
        global_keys: Callable[[], Mapping[str, bytes]],
        nudge: Callable[[], None],
        boottime_ns: Callable[[], int] = _boottime_ns,
        beside_control: bool = False,
    ) -> None:
        self.belief = Belief()
        self.counts: Counter[str] = Counter()
        self.refused = ""
        self.global_refused = ""
        self._region = region
        self._loaded = loaded
        self._home = loaded.plan.switches.home
        self._host = host
        self._page = page
        self._copy = copy
        self._keys = keys
        self._global_keys = global_keys
        self._nudge = nudge
        self._boottime_ns = boottime_ns
        self._beside_control = beside_control
        self._journals_known = host is None
        self._begun: set[str] = set()
        self._shown: Shown | None = None
        self._since: int | None = None
        self._sent: dict[int, int] = {}
        self._copied = Copied()
        self._to_save = asyncio.Event()

    # Tables

    def begin(self) -> None:
        """Take up what the copy and the page of an earlier process know, and show it: without a beat, so it is stale.

        Raises OSError if the page cannot be written.
        """
        copied, page = self._copy.load(), self._page.last()
        said, proven = self._said(copied.table)
        belief = Belief(kept=copied.kept)
        if said is not None and said.table.region == self._region:
            try:
                belief = take(belief, said, self._loaded, self._region) if proven else belief
            except TableRefused:  # an earlier release took it
                proven = False
            if not proven:
                belief = remember(belief, said.table.shut, self._region)
        belief = structs.replace(belief, floor=copied.floor)
        told, told_proven = self._told(copied.everywhere)
        if told is not None and told_proven and told.table.home == self._home:
            belief = take_global(belief, told.table, told.beat, self._home)
        belief = self._recall(belief, page, told.table if told is not None else None)
        self._show(
            belief,
            copied.table if belief.table is not None else None,
            copied.everywhere if belief.everywhere is not None else None,
        )

    def take_table(self, data: bytes) -> None:
        """Take a table from the bus, show it, and say how old it is. Raises OSError if the page cannot be written.

        One that is not to be taken is counted, and changes nothing: the page grows old.
        """
        try:
            said = unseal(data, self._keys())
            belief = take(self.belief, said, self._loaded, self._region)
        except TableRefused as error:
            self._refuse(error.code)
            return
        except (FiredoorError, OSError):
            self._refuse("no_keys")
            return
        more = self._show(belief, data)
        self.counts["table"] += 1
        self.refused = ""
        self._beat(said.echo)
        if more:
            self._nudge()

    def take_global(self, data: bytes) -> None:
        """Take a global table from the bus, and show it. Raises OSError as `take_table`."""
        try:
            said = _proven_global(decode(GlobalSaid, data), self._global_keys())
            belief = take_global(self.belief, said.table, said.beat, self._home)
        except TableRefused as error:
            self._refuse_global(error.code)
            return
        except EvidenceDamaged:
            self._refuse_global("malformed")
            return
        except (FiredoorError, OSError):
            self._refuse_global("no_keys")
            return
        more = self._show(belief, everywhere=data)
        self.counts["global"] += 1
        self.global_refused = ""
        if self._shown is not None:
            self._page.beat_global()
        if more:
            self._nudge()

    def beat(self) -> None:
        """See that the page is still there, and put it back if not. Call with every beat. Raises OSError."""
        if self._shown is not None and self._page.lost():
            self._page.publish(self._shown)

    # What the host says

    @property
    def shut(self) -> tuple[Switch, ...]:
        """All that is shut here but what the global table shuts, also before the first table; the newest of a scope."""
        table = self.belief.table
        return remember(Belief(kept=self.belief.kept), table.shut if table is not None else (), self._region).kept

    @property
    def absorbed(self) -> dict[str, int]:
        """How far control has read this host's journals, by slot. Empty before the first table.

        Without slots whose journal is another one now, until control has forgotten the old one.
        """
        return {slot: seq for slot, seq in self._absorbed(self.belief.table).items() if slot not in self._begun}

    def journals_known(self, begun: Collection[str] = ()) -> None:
        """Say that `Reporter.begin` was given `absorbed` and returned `begun`: slots whose journal is another one now.

        Until then no worker is told that control knows what it found. Of these slots neither is a worker told so, nor
        control what was found, before control has forgotten what it knew of the old journal. Raises OSError.
        """
        self._journals_known = True
        self._begun = set(begun) & self._absorbed(self.belief.table).keys()
        self._show(self.belief)

    def sent(self, count: int) -> None:
        """Remember that message `count` of this host leaves now: call right before it is sent."""
        self._sent.setdefault(count, self._boottime_ns())
        while len(self._sent) > SENT:
            del self._sent[next(iter(self._sent))]

    def said(
        self,
        count: int,
        *,
        ask: bool = False,
        workers: int = 0,
        latched: bool = False,
        reports: tuple[Report, ...] = (),
    ) -> HostSaid:
        """Message `count` of this host, to be sent now. It counts as sent (`sent`)."""
        assert self._host is not None
        self.sent(count)
        belief, everywhere = self.belief, self.belief.everywhere
        return HostSaid(
            region=self._region,
            host=self._host,
            count=count,
            ask=ask,
            version=belief.version,
            beat=belief.beat if belief.floor <= belief.taken else -1,
            global_version=everywhere.version if everywhere is not None else -1,
            age_ms=self._age_ms(),
            refused=self.refused or self.global_refused,
            workers=workers,
            latched=latched,
            reports=tuple(report for report in reports if report.slot not in self._begun),
            kept=self.shut if self.refused in _BEHIND else belief.kept,
            begun=tuple(sorted(self._begun))[: hosts.SLOTS],
        )

    # Keeping

    async def keep_copies(self) -> None:
        """Save the copy whenever it changed, until cancelled."""
        while True:
            await self._to_save.wait()
            self._to_save.clear()
            try:
                await asyncio.to_thread(self._copy.save, self._copied)
            except OSError as error:
                self.counts["copy_failed"] += 1
                log.warning("The copy of the switch table cannot be saved: %s", error.strerror)
                self._to_save.set()
                await asyncio.sleep(SAVE_AGAIN)

    # Helpers

    def _show(self, belief: Belief, table: bytes | None = None, everywhere: bytes | None = None) -> bool:
        """Believe `belief`, and show it if that changes anything; whether it shuts more than before.

        The bounds of what is taken see to it that the page has room for all.
        """
        absorbed = self._absorbed(belief.table)
        self._begun &= absorbed.keys()
        known = self._journals_known
        shown = belief.shown({slot: seq for slot, seq in absorbed.items() if known and slot not in self._begun})
        more = False
        if shown is not None and shown != self._shown:
            self._page.publish(shown)
            more = _shuts_more(self._shown, shown)
            self._shown = shown
        changed = _to_copy(self.belief) != _to_copy(belief)
        self.belief = belief
        kept = self._copied
        self._copied = Copied(table or kept.table, everywhere or kept.everywhere, belief.kept, belief.version)
        if changed:
            self._to_save.set()
        return more

    def _refuse(self, code: str) -> None:
        """Count a table that is not taken. One that came on two ways is nothing to tell."""
        self.counts[code] += 1
        if code != "again":
            self.refused = code

    def _refuse_global(self, code: str) -> None:
        self.counts[f"global_{code}"] += 1
        if code != "again":
            self.global_refused = f"global_{code}"

    def _beat(self, echo: Mapping[str, int]) -> None:
        """Say how old the table is that was just taken, if one of this process's messages led to it."""
        since = self._boottime_ns() if self._host is None else self._sent.get(echo.get(self._host, -1))
        if since is not None:
            self._since = max(since, self._since or 0)
            self._page.beat(since)

    def _age_ms(self) -> int:
        return hosts.NO_AGE if self._since is None else max(0, self._boottime_ns() - self._since) // 1_000_000

    def _absorbed(self, table: Table | None) -> dict[str, int]:
        return absorbed_on(table, self._host, beside_control=self._beside_control) if table is not None else {}

    def _said(self, data: bytes | None) -> tuple[Said | None, bool]:
        """The table in the copy, and whether a key that counts now signed it."""
        if data is None:
            return None, False
        try:
            return unseal(data, self._keys()), True
        except (FiredoorError, OSError):
            return unproven(data), False

    def _told(self, data: bytes | None) -> tuple[GlobalSaid | None, bool]:
        """The same of the global table."""
        if data is None:
            return None, False
        try:
            said = decode(GlobalSaid, data)
        except EvidenceDamaged:
            return None, False
        try:
            return _proven_global(said, self._global_keys()), True
        except (FiredoorError, OSError):
            return said, False

    def _recall(self, belief: Belief, page: Shown | None, told: GlobalTable | None) -> Belief:
        """`belief` with what the page of an earlier process shut, if it is newer than the copy."""
        tables = [told] if told is not None else []
        above = 1
        if page is not None and page.table.region == self._region:
            belief = resume(belief, page.table, self._region)
            if page.everywhere is not None:
                old = belief.everywhere
                if old is None or page.everywhere.version > old.version:
                    tables.append(page.everywhere)
                if old is not None or told is None:  # a page that a revoked key wrote must not outrank what follows
                    above = max(page.everywhere.version, old.version if old is not None else 0)
        return remember_global(belief, tables, self._home, self._region, above)


def _proven_global(said: GlobalSaid, keys: Mapping[str, bytes]) -> GlobalSaid:
    """`said`, if one of `keys` signed it. Raises `TableRefused`."""
    public = keys.get(said.key)
    if public is None:
        raise TableRefused("unknown_signer", "A global switch table is signed with a key that is not known.")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(said.signature, GLOBAL_DOMAIN + said.content)
    except (InvalidSignature, ValueError):
        raise TableRefused("bad_signature", "The signature of a global switch table does not fit it.") from None
    return said


def _shuts_more(old: Shown | None, new: Shown) -> bool:
    """Whether workers must be woken: something is shut that was not, or a new cache epoch began."""
    if old is not None and new.table.cache_epoch > old.table.cache_epoch:
        return True
    before = set() if old is None else {s.scope for s in _all_shut(old)}
    return any(s.scope not in before for s in _all_shut(new))


def _all_shut(shown: Shown) -> tuple[Switch, ...]:
    everywhere = shown.everywhere.shut if shown.everywhere is not None else ()
    return (*shown.table.shut, *shown.table.drills, *everywhere)


def _to_copy(belief: Belief) -> tuple[int, int, int, tuple[Switch, ...]]:
    """What makes the copy on the disk another one: beats do not."""
    everywhere = belief.everywhere.version if belief.everywhere is not None else -1
    return belief.version, belief.taken, everywhere, belief.kept
