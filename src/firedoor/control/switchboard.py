"""What people, findings and the SHUT file do to the switches of a region: the use cases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from firedoor.control.keeper import Keeper
from firedoor.core.evidence.leaf import Leaf
from firedoor.core.evidence.record import Fact
from firedoor.core.people import NOTE_CHARACTERS, SKEW, Act, Signature, Signed, check_time, verify, verify_two
from firedoor.core.plan.model import Loaded
from firedoor.core.switches import Scope, Table, absorb, check_scope, forget_slots, open_, scope_to_shut
from firedoor.core.switchstate import AUTOMATIC, PENDING, Entry, Pending, Stored, signed_facts
from firedoor.errors import ActRefused, FiredoorError, SetupError
from firedoor.ports import Journal, Journals, PageOutput, RequestStore, ShutFiles, SwitchStore

SPENT = 8192
"""Nonces remembered: six requests a second for 20 minutes. Above it only shutting goes on."""

DISK_WAIT = 2.0
"""Seconds a person who shuts a door waits for the disk to say that it is written; the door is shut meanwhile."""

BATCH = 1000
"""Records taken from the journals at a time."""

BATCHES = 4
"""Batches between two beats: reading a long backlog must not make the table stale."""


class Done(NamedTuple):
    """What became of an act. `changed` is False if the scope was shut before; `durable` and `recorded` say whether the
    table and the evidence are on the disk: a shut holds without them, and is written as soon as the disk takes it.
    """

    entry: Entry
    changed: bool = True
    durable: bool = True
    recorded: bool = True


class Switchboard:
    """The switches of one region. Used from one event loop; `keeper` is used by nobody else.

    `stored` is what `take_up` found, `now_ns` the wall clock. Nothing shows, and AI stays off, until `begin` is over.
    """

    def __init__(
        self,
        stored: Stored,
        loaded: Loaded,
        *,
        store: SwitchStore,
        requests: RequestStore,
        page: PageOutput,
        files: ShutFiles,
        journal: Journal,
        journals: Journals,
        now_ns: Callable[[], int],
    ) -> None:
        self.loaded = loaded
        self.keeper = Keeper(stored, store=store, requests=requests, page=page, journal=journal, now_ns=now_ns)
        self._files = files
        self._journals = journals
        self._notes: dict[str, str] = {}
        self._note_folded = False
        self._waiting: set[asyncio.Task[bool]] = set()
        self._settling: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    @property
    def region(self) -> str:
        """The region's name."""
        return self.keeper.table.region

    @property
    def table(self) -> Table:
        """The present table."""
        return self.keeper.table

    @property
    def shut_file(self) -> bool:
        """Whether the SHUT file is there now."""
        return self._files.shut()

    def requests(self) -> list[tuple[Pending, str | None]]:
        """What waits for a second person, oldest first, each with its note (None after a restart: it is sealed)."""
        self._drop([p for p in self.keeper.pending.values() if p.signed.act.expires_at < self.keeper.now])
        return [(p, self._notes.get(p.id)) for p in self.keeper.pending.values()]

    # Life

    async def begin(self) -> None:
        """Take in everything the journals say, then show the table, save it, record what a crash left unrecorded."""
        self.keeper.load_requests()
        gone = self._journals.open(self.keeper.cursors)
        self.keeper.take(forget_slots(self.table, gone))
        for slot in gone:
            del self.keeper.cursors[slot]
        while self._absorb(self._journals.read(BATCH)):  # noqa: ASYNC110  # lets others run, waits for nothing
            await asyncio.sleep(0)
        self._latch()
        self.keeper.show()
        self._settle_soon()
        await self.settled()

    def beat(self) -> None:
        """Take in what is new, then say that the table holds now. Call on every nudge and at least every 250 ms.

        Raises `EvidenceDamaged` if a journal cannot be read and OSError if the page cannot be written: stop then, so
        that AI goes off.
        """
        for _ in range(BATCHES):
            if not self._absorb(self._journals.read(BATCH)):
                break
        self._latch()
        self.keeper.beat()
        self._settle_soon()

    async def settled(self) -> None:
        """Wait until disk and evidence had their chance to catch up with the page."""
        if self._settling is not None:
            await self._settling

    async def aclose(self) -> None:
        """Wait for an opening under way and save once more. The page grows stale from here on."""
        async with self._opening:
            await self.settled()
            self.keeper.changed()
            await self.keeper.persist()

    # Shutting: it takes effect first

    async def shut(self, signed: Signed, note: str | None = None) -> Done:
        """Shut a scope for a person. Raises `ActRefused`; after that check it is shut, whatever the disk says."""
        act = signed.act
        self._verify(signed, "shut", note)
        scope = act.scope
        check_scope(self.loaded.plan, self.region, scope)
        if len(self.keeper.spent) < SPENT:  # a shut that is played again shuts; it must not be refused for room
            self.keeper.spent[act.nonce] = act.expires_at + SKEW
        self.keeper.changed()
        draft = Entry(
            state="shut", scope=scope, reason=act.args["reason"], cause="person",  # type: ignore[arg-type]  # verified
            at=self.keeper.now, by=(act.by,), signed=signed,
        )  # fmt: skip
        entry = self.keeper.shut(draft)
        self._withdraw(scope)
        facts: dict[str, Fact] = {"act": "shut", "state": "done", "scope": str(scope), "by": act.by}
        durable = await self._within(self.keeper.persist())
        recorded = await self._within(self._record_shut({**facts, **signed_facts(signed)}, note))
        return Done(entry or draft, entry is not None, durable, recorded)

    def _absorb(self, leaves: list[Leaf]) -> bool:
        """Shut for every confirmed leak among these records; whether there were any records at all.

        Taking the same records twice changes nothing: the table knows how far it has read each slot.
        """
        for leaf in leaves:
            if leaf.kind == "finding" and leaf.facts.get("verdict") == "shut":
                self._absorb_leak(leaf)
            self.keeper.cursors[leaf.slot] = max(leaf.seq, self.keeper.cursors.get(leaf.slot, 0))
        return bool(leaves)

    def _absorb_leak(self, leaf: Leaf) -> None:
        known = absorb(self.table, leaf.slot, leaf.seq)
        if known is self.table:
            return
        found = _found(leaf, self.region)
        draft = Entry(
            state="shut", scope=scope_to_shut(self.table, found), reason="leak", cause="finding", at=self.keeper.now,
            by=AUTOMATIC, exchange=leaf.exchange[:64], slot=leaf.slot, seq=leaf.seq, found=str(found),
        )  # fmt: skip
        self.keeper.shut(draft, known)
        self._withdraw(found)

    def _latch(self) -> None:
        """Fold a SHUT file, or a worker's note of one, into the table. Taking the file away opens nothing."""
        noted = self._files.noted()
        if noted or self._files.shut():
            self._note_folded = noted
            scope = Scope(self.region)
            entry = Entry(state="shut", scope=scope, reason="file", cause="file", at=self.keeper.now, by=AUTOMATIC)
            if self.keeper.shut(entry) is not None:
                self._withdraw(scope)

    # Opening: two people, and written down first

    async def propose(self, signed: Signed, note: str) -> Pending:
        """Take in a signed request to open; it waits for a second person. Raises `ActRefused`, `FiredoorError`."""
        act = signed.act
        self._verify(signed, "open", note)
        if len(signed.signatures) != 1:
            raise ActRefused("bad_act", "A request comes with one signature; the second person approves it.")
        open_(self.table, act.scope)
        self._check_file(act.scope)
        if len(self.requests()) >= PENDING or len(self.keeper.spent) >= SPENT:
            raise ActRefused("too_many_requests", "Too many requests wait.", remedy="They expire after 15 minutes.")
        pending = Pending(f"{self.region}-{act.digest[:12]}", signed, self.table.version)
        self.keeper.spent[act.nonce] = act.expires_at + SKEW
        self.keeper.changed()
        facts: dict[str, Fact] = {"act": "open", "state": "proposed", "scope": act.args["scope"], "by": act.by}
        await self.keeper.record("request", {**facts, **signed_facts(signed)}, body=note.encode())
        open_(self.table, act.scope)
        self.keeper.pending[pending.id] = pending
        self._notes[pending.id] = note
        self.keeper.changed()
        if not await self.keeper.persist():
            self._drop([pending])
            raise SetupError("The request cannot be made durable: the disk refuses.", remedy="Free the disk.")
        return pending

    async def approve(self, request_id: str, signature: Signature) -> Done:
        """Add the second signature and open. Raises `ActRefused`; `FiredoorError` if disk or evidence refuse."""
        async with self._opening:
            pending = self._pending_request(request_id)
            signed = Signed(pending.signed.act, (*pending.signed.signatures, signature))
            act, scope = signed.act, signed.act.scope
            try:
                verify_two(signed, self.loaded, region=self.region, now=self.keeper.now)
            except ActRefused as error:
                self._note_refused(act, error)
                raise

            def check() -> None:
                self._pending_request(request_id)
                check_time(act, self.keeper.now)
                open_(self.table, scope)
                self._check_file(scope)

            check()
            by = tuple(s.by for s in signed.signatures)
            draft = Entry(
                state="open", scope=scope, reason="operator", cause="person", at=self.keeper.now, by=by,
                version=self.table.version + 1, signed=signed,
            )  # fmt: skip
            facts: dict[str, Fact] = {"act": "open", "state": "approved", "scope": str(scope), "by": signature.by}
            await self.keeper.record("request", {**facts, **signed_facts(signed)})
            await self.keeper.record("switch", draft.facts())
            try:
                entry = await self.keeper.open(draft, check)
            except FiredoorError as error:
                code = error.code if isinstance(error, ActRefused) else "not_durable"
                self.keeper.note("switch", {**draft.facts(), "state": "kept_shut", "code": code})
                raise
            self._drop([pending])
            await self._within(self.keeper.persist())
            return Done(entry)

    # Helpers

    def _verify(self, signed: Signed, act: str, note: str | None) -> None:
        try:
            if signed.act.act != act:
                raise ActRefused("bad_act", f"This is a request to {signed.act.act}, not to {act}.")
            verify(
                signed, self.loaded, region=self.region, now=self.keeper.now, spent=self.keeper.spent.keys(), note=note
            )
        except ActRefused as error:
            self._note_refused(signed.act, error)
            raise

    def _note_refused(self, act: Act, error: ActRefused) -> None:
        self.keeper.note("request", {"act": act.act, "state": "refused", "code": error.code, "by": act.by})

    def _pending_request(self, request_id: str) -> Pending:
        pending = self.keeper.pending.get(request_id)
        if pending is None:
            raise ActRefused(
                "unknown_request",
                "No such request waits.",
                remedy="It was approved, it expired, or a new shut withdrew it: see `firedoor requests`.",
            )
        return pending

    def _check_file(self, scope: Scope) -> None:
        if scope == Scope(self.region) and (self._files.shut() or self._files.noted()):
            raise ActRefused(
                "shut_file_present", "The region's SHUT file is there.", remedy="Take the file away first, then open."
            )

    def _withdraw(self, scope: Scope) -> None:
        """A new reason to shut `scope` ends the requests that would open it: they were made without knowing."""
        self._drop([p for p in self.keeper.pending.values() if p.signed.act.scope.covers(scope)])

    def _drop(self, gone: list[Pending]) -> None:
        for pending in gone:
            self.keeper.pending.pop(pending.id, None)
            self._notes.pop(pending.id, None)
            self.keeper.changed()

    async def _record_shut(self, facts: dict[str, Fact], note: str | None) -> bool:
        try:
            await self.keeper.record("request", facts, body=note[:NOTE_CHARACTERS].encode() if note else None)
        except FiredoorError:
            self.keeper.record_failures += 1
            return False
        return await self.keeper.record_changes()

    def _settle_soon(self) -> None:
        """Let disk and evidence catch up with the page without keeping the next beat, or the next leak, waiting."""
        if self._settling is not None:
            if not self._settling.done():
                return
            self._settling.result()
        if not self.keeper.durable or self._note_folded or not self.keeper.recorded:
            self._settling = asyncio.create_task(self._settle(), name="settle switches")

    async def _settle(self) -> None:
        if await self.keeper.persist() and self._note_folded:
            self._note_folded = False
            self._files.clear_note()
        if self.keeper.evidence_works:
            await self.keeper.record_changes()

    async def _within(self, work: Coroutine[Any, Any, bool]) -> bool:
        """What `work` says, or False after `DISK_WAIT`; it goes on in the background."""
        task = asyncio.ensure_future(work)
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        done, _ = await asyncio.wait({task}, timeout=DISK_WAIT)
        return bool(done) and task.result()


def _found(leaf: Leaf, region: str) -> Scope:
    """Where a worker confirmed a leak. One that does not say so readably shuts the region: in doubt, AI is off."""
    try:
        scope = Scope.parse(str(leaf.facts.get("scope")))
    except ActRefused:
        return Scope(region)
    return scope if scope.region == region else Scope(region)
