"""What people, findings and the SHUT file do to the switches of a region: the use cases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Any, NamedTuple

from msgspec import structs

from firedoor.control.findings import Findings
from firedoor.control.keeper import Keeper
from firedoor.control.waiting import Waiting
from firedoor.core.evidence.record import Fact
from firedoor.core.people import NOTE_CHARACTERS, SKEW, Act, Signature, Signed, check_time, key_id, verify, verify_two
from firedoor.core.plan.model import Loaded
from firedoor.core.switches import (
    ANY,
    Scope,
    Table,
    check_scope,
    end_drill,
    open_,
)
from firedoor.core.switchstate import PENDING, Entry, Pending, Stored, signed_facts
from firedoor.errors import ActRefused, FiredoorError, SetupError
from firedoor.ports.evidence import Journal, Journals
from firedoor.ports.models import Isolation
from firedoor.ports.switches import ControlStore, ShutFiles, TableOutput

SPENT = 8192
"""Nonces remembered: six requests a second for 20 minutes. Above it only shutting goes on."""

DISK_WAIT = 2.0
"""Seconds a person who shuts a door waits for the disk to say that it is written; the door is shut meanwhile."""

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
    """The switches of one region. Used from one event loop; `keeper` is used by this room only.

    `stored` is what `take_up` found, `now_ns` the wall clock. Nothing is said, and AI stays off, until `begin` is over.
    For `own_host` see `Findings`. `latched_hosts` names the other hosts whose SHUT file is there.
    """

    def __init__(
        self,
        stored: Stored,
        loaded: Loaded,
        *,
        store: ControlStore,
        output: TableOutput,
        files: ShutFiles,
        journal: Journal,
        journals: Journals,
        now_ns: Callable[[], int],
        isolation: Isolation | None = None,
        own_host: bool = True,
    ) -> None:
        self.loaded = loaded
        self.keeper = Keeper(stored, store=store, output=output, journal=journal, now_ns=now_ns)
        self.waiting = Waiting(self.keeper)
        self.findings = Findings(
            stored.table.region,
            self.keeper,
            files=files,
            journals=journals,
            waiting=self.waiting,
            own_host=own_host,
        )
        self.latched_hosts: Callable[[], Collection[str]] = tuple
        self._files = files
        self._isolation = isolation
        self._isolating: set[asyncio.Task[None]] = set()
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
        return self.waiting.all()

    # Life

    async def begin(self) -> None:
        """Take in everything the journals say, then say the table; record what a crash left unrecorded.

        It is said under a version that no earlier start said anything under: durable first, unless the disk refuses.
        """
        self.keeper.load_requests()
        self.findings.begin()
        while self.findings.read():  # noqa: ASYNC110  # lets others run, waits for nothing
            await asyncio.sleep(0)
        self.findings.look_at_files()
        self.keeper.take(structs.replace(self.table))
        await self._within(self.keeper.persist())
        self.keeper.show()
        self.settle_soon()
        await self.settled()

    def beat(self) -> None:
        """Take in what is new, then say that the table holds now. Call on every nudge and at least every 250 ms.

        Raises `EvidenceDamaged` if a journal cannot be read and OSError if not even this host can be told: stop then,
        so that AI goes off.
        """
        for _ in range(BATCHES):
            if not self.findings.read():
                break
        self.findings.look_at_files()
        self.keeper.beat()
        self.settle_soon()

    async def settled(self) -> None:
        """Wait until disk and evidence had their chance to catch up with what is said."""
        if self._settling is not None:
            await self._settling

    async def aclose(self) -> None:
        """Wait for an opening under way and save once more. The table grows stale from here on."""
        async with self._opening:
            await self.settled()
            self.keeper.changed()
            await self.keeper.persist()

    # Shutting: it takes effect first

    async def shut(self, signed: Signed, note: str | None = None) -> Done:
        """Shut a scope for a person. Raises `ActRefused`; after that check it is shut, whatever the disk says."""
        act = signed.act
        self._verify(signed, "shut", note)
        scope, drill = act.scope, act.args.get("drill")
        check_scope(self.loaded.plan, self.region, scope)
        if drill is not None and scope.region == ANY:
            raise ActRefused("other_region", "A drill lies in one region.", remedy=f"Begin with {self.region}/.")
        self._spend(act)
        draft = Entry(
            state="shut", scope=scope, reason=act.args["reason"], cause="person",  # type: ignore[arg-type]  # verified
            at=self.keeper.now, by=(act.by,), signed=signed, keys=self._keys(signed), drill=drill,
            incident=act.args.get("incident"),
        )  # fmt: skip
        if drill is None:
            entry = self.keeper.shut(draft)
            self.waiting.withdraw(scope)
        else:
            entry = self.keeper.shut_in_drill(draft)
        if "isolate" in act.args and self._isolation is not None:
            asked = entry or structs.replace(draft, version=self.table.version)  # shut before, isolated only now
            self._in_background(self._isolation.isolate(scope.model, act.args["isolate"], asked))
        facts: dict[str, Fact] = {"act": "shut", "state": "done", "scope": str(scope), "by": act.by}
        durable = await self._within(self.keeper.persist())
        recorded = await self._within(self._record_shut({**facts, **signed_facts(signed)}, note))
        return Done(entry or draft, entry is not None, durable, recorded)

    # Opening: two people, and written down first

    async def propose(self, signed: Signed, note: str) -> Pending:
        """Take in a signed request to open; it waits for a second person. Raises `ActRefused`, `FiredoorError`."""
        act = signed.act
        self._verify(signed, "open", note)
        if len(signed.signatures) != 1:
            raise ActRefused("bad_act", "A request comes with one signature; the second person approves it.")
        open_(self.table, act.scope, _of(act))
        self._check_file(act.scope)
        if len(self.requests()) >= PENDING or len(self.keeper.spent) >= SPENT:
            raise ActRefused("too_many_requests", "Too many requests wait.", remedy="They expire after 15 minutes.")
        pending = Pending(f"{self.region}-{act.digest[:12]}", signed, self.table.version)
        self.keeper.spent[act.nonce] = act.expires_at + SKEW
        self.keeper.changed()
        facts: dict[str, Fact] = {"act": "open", "state": "proposed", "scope": act.args["scope"], "by": act.by}
        await self.keeper.record("request", {**facts, **signed_facts(signed)}, body=note.encode())
        open_(self.table, act.scope, _of(act))
        self.waiting.add(pending, note)
        if not await self.keeper.persist():
            self.waiting.drop([pending])
            raise SetupError("The request cannot be made durable: the disk refuses.", remedy="Free the disk.")
        return pending

    async def approve(self, request_id: str, signature: Signature) -> Done:
        """Add the second signature and open. Raises `ActRefused`; `FiredoorError` if disk or evidence refuse."""
        async with self._opening:
            pending = self.waiting.find(request_id)
            signed = Signed(pending.signed.act, (*pending.signed.signatures, signature))
            act, scope, of = signed.act, signed.act.scope, _of(signed.act)
            try:
                verify_two(signed, self.loaded, region=self.region, now=self.keeper.now)
            except ActRefused as error:
                self._note_refused(act, error)
                raise

            def check() -> None:
                self.waiting.find(request_id)
                check_time(act, self.keeper.now)
                open_(self.table, scope, of)
                self._check_file(scope)

            check()
            by = tuple(s.by for s in signed.signatures)
            draft = Entry(
                state="open", scope=scope, reason="operator", cause="person", at=self.keeper.now, by=by,
                version=self.table.version + 1, signed=signed, keys=self._keys(signed),
            )  # fmt: skip
            facts: dict[str, Fact] = {"act": "open", "state": "approved", "scope": str(scope), "by": signature.by}
            await self.keeper.record("request", {**facts, **signed_facts(signed)})
            (entry,) = await self._open((draft,), lambda table: open_(table, scope, of), check)
            self.waiting.drop([pending])
            self._release(scope)
            await self._within(self.keeper.persist())
            return Done(entry)

    async def end_drill(self, signed: Signed, note: str | None = None) -> Done:
        """Open what a drill shut, for one person: no real switch is touched. Raises `ActRefused`, `FiredoorError`."""
        act = signed.act
        self._verify(signed, "end_drill", note)
        drill = act.args["drill"]
        async with self._opening:
            end_drill(self.table, drill)
            self._spend(act)
            facts: dict[str, Fact] = {"act": "end_drill", "state": "done", "drill": drill, "by": act.by}
            body = note.encode() if note else None
            await self.keeper.record("request", {**facts, **signed_facts(signed)}, body=body)
            draft = Entry(
                state="open", scope=Scope(self.region), reason="drill", cause="person", at=self.keeper.now,
                by=(act.by,), version=self.table.version + 1, signed=signed, keys=self._keys(signed), drill=drill,
            )  # fmt: skip
            drafts = tuple(structs.replace(draft, scope=s.scope) for s in self.table.drills if s.drill == drill)
            entries = await self._open(drafts, lambda table: end_drill(table, drill), lambda: None)
            await self._within(self.keeper.persist())
            return Done(entries[-1])

    async def _open(
        self, drafts: tuple[Entry, ...], step: Callable[[Table], Table], check: Callable[[], None]
    ) -> tuple[Entry, ...]:
        """Record, then open; what was recorded and did not come to be is recorded too."""
        for draft in drafts:
            await self.keeper.record("switch", draft.facts())
        try:
            return await self.keeper.open(drafts, step, check)
        except FiredoorError as error:
            code = error.code if isinstance(error, ActRefused) else "not_durable"
            for draft in drafts:
                self.keeper.note("switch", {**draft.facts(), "state": "kept_shut", "code": code})
            raise

    # Isolation of model instances

    def _release(self, opened: Scope) -> None:
        """Let the model instances run again that `opened` covered and no switch of their own, or a wider one, shuts."""
        if self._isolation is None:
            return
        for name, model in self.loaded.plan.models.items():
            alone = Scope(self.region, model=name)
            shut = any(s.scope.covers(alone) for s in self.table.shut)
            if model.region == self.region and opened.covers(alone) and not shut:
                self._in_background(self._isolation.release(name))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._isolating.add(task)
        task.add_done_callback(self._isolating.discard)

    # Helpers

    def _keys(self, signed: Signed) -> tuple[str, ...]:
        """The ids of the keys that signed, in their order."""
        return tuple(key_id(self.loaded.plan.people[s.by]) for s in signed.signatures)

    def _spend(self, act: Act) -> None:
        """Remember the nonce. Shutting is not refused for want of room: played again it shuts."""
        if len(self.keeper.spent) < SPENT:
            self.keeper.spent[act.nonce] = act.expires_at + SKEW
        self.keeper.changed()

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

    def _check_file(self, scope: Scope) -> None:
        if scope != Scope(self.region):
            return
        hosts = sorted(self.latched_hosts())
        if hosts or self.findings.file_there():
            where = f" on {', '.join(hosts[:8])}" if hosts else ""
            raise ActRefused(
                "shut_file_present",
                f"The region's SHUT file is there{where}.",
                remedy="Take the file away first, then open.",
            )

    async def _record_shut(self, facts: dict[str, Fact], note: str | None) -> bool:
        try:
            await self.keeper.record("request", facts, body=note[:NOTE_CHARACTERS].encode() if note else None)
        except FiredoorError:
            self.keeper.record_failures += 1
            return False
        return await self.keeper.record_changes()

    def settle_soon(self) -> None:
        """Let disk and evidence catch up with what is said; the next beat and the next leak do not wait for it."""
        if self._settling is not None:
            if not self._settling.done():
                return
            self._settling.result()
        if not self.keeper.durable or self.findings.note_folded or not self.keeper.recorded:
            self._settling = asyncio.create_task(self._settle(), name="settle switches")

    async def _settle(self) -> None:
        if await self.keeper.persist() and self.findings.note_folded:
            self.findings.clear_note()
        if self.keeper.evidence_works:
            await self.keeper.record_changes()

    async def _within(self, work: Coroutine[Any, Any, bool]) -> bool:
        """What `work` says, or False after `DISK_WAIT`; it goes on in the background."""
        task = asyncio.ensure_future(work)
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        done, _ = await asyncio.wait({task}, timeout=DISK_WAIT)
        return bool(done) and task.result()


def _of(act: Act) -> int:
    """Which shut an opening opens: the version of the table that shut it."""
    return int(act.args["of"])
