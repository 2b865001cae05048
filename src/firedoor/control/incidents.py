"""The incidents of a region: what findings, people and other systems do to its cases."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable, Sequence
from typing import Final

from firedoor.control.casefinder import CaseFinder
from firedoor.control.caselog import CaseLog, Draft, Listener
from firedoor.core.evidence.record import Record
from firedoor.core.incident import entries as kinds
from firedoor.core.incident.case import Case, case_of, day_of, fold
from firedoor.core.incident.checks import check, check_merge, check_opening, check_seen
from firedoor.core.incident.clocks import Clock
from firedoor.core.incident.deadlines import clock_lines, moments_of, moved
from firedoor.core.incident.entries import (
    AUTOMATIC,
    MICRO,
    NAMED,
    Automatic,
    Entry,
    FoundOne,
    Opened,
    Payload,
    kind_of,
    payload_digest,
)
from firedoor.core.incident.folding import leak_of, title_of
from firedoor.core.incident.hooks import Message
from firedoor.core.incident.merging import handed_in, said_before
from firedoor.core.incident.rights import check_may_write, check_people, may_see
from firedoor.core.people import SKEW, Act, Signed, verify
from firedoor.core.plan.model import Loaded
from firedoor.core.switches import Scope, check_scope
from firedoor.core.switchstate import Entry as Change
from firedoor.errors import ActRefused
from firedoor.ports.evidence import Journal, Journals
from firedoor.ports.incidents import IncidentStore, StoredCase

log = logging.getLogger("firedoor.control")

NEW: Final = "new"
"""What an act names in the place of a case that it begins."""
SPENT: Final = 8192
"""Nonces remembered: six entries of people a second for 20 minutes."""

_MOVES: Final = (
    kinds.Counted, kinds.MomentSet, kinds.Scored, kinds.Decided, kinds.Submitted, kinds.Waived, kinds.Correction,
    kinds.TookIn, kinds.SplitFrom, kinds.Reopened,
)  # fmt: skip
"""Entries that may start or move a clock."""
_PAIRS: Final = (kinds.MergedInto, kinds.TookIn, kinds.SplitOff, kinds.SplitFrom)
"""Entries that stand in two cases, written together."""
_ENDING: Final = (kinds.Resolved, kinds.Closed, kinds.MergedInto, kinds.SplitOff)
"""Entries before which everything found so far is written."""
_TOLD: Final = frozenset({"detected", "occurred_from", "occurred_to", "processor_told"})
"""Moments that others may tell; those that the law looks at are signed."""


class Incidents:
    """The cases of one region. Used from one event loop. Nothing is written before `begin` is over.

    `clocks` reckons the clocks of a case at a moment (microseconds), `tell` makes the messages that other systems get
    of an entry: they are queued with it. `host` is the name of this host in what hosts report, if they do.
    """

    def __init__(
        self,
        region: str,
        loaded: Loaded,
        *,
        store: IncidentStore,
        journal: Journal,
        journals: Journals,
        now_ns: Callable[[], int],
        clocks: Callable[[Case, int], tuple[Clock, ...]],
        tell: Callable[[Case, Entry], Sequence[Message]],
        host: str = "",
    ) -> None:
        self.loaded = loaded
        self._region = region
        self._journal = journal
        self._now_ns = now_ns
        self._clocks = clocks
        self._cases = CaseLog(region, store=store, journal=journal, now_ns=now_ns, tell=tell)
        self._finder = CaseFinder(region, loaded.plan.incidents, self._cases, journals, host)
        self._spent: dict[str, int] = {}

    @property
    def counts(self) -> dict[str, int]:
        """What went wrong since this process began, by name: each was tried again, or skipped."""
        return dict(self._cases.counts)

    def listen(self, callback: Listener) -> None:
        """Have `callback(case, entry)` called after each durable entry, with the case as it is then. It must not wait;
        what it raises is counted.
        """
        self._cases.listen(callback)

    # Life

    async def begin(self, trail: Sequence[Change]) -> None:
        """Take up the cases, read the journals up to their end, and open cases for automatic shuts in `trail` that no
        case knows of. May be called again until it succeeds. Raises OSError, `FiredoorError` as the store.
        """
        await self._cases.load()
        now = self._now_ns() // 1_000_000_000
        for case in (*self._cases.open.values(), *self._cases.recent.values()):
            self._spent |= {e.signed.act.nonce: e.signed.act.expires_at + SKEW for e in case.entries if e.signed}
        self._forget_nonces(now)
        await self._finder.begin(trail)
        self._cases.record_soon()

    async def look(self) -> None:
        """Take in new findings: call with every beat and nudge. Cheap when there is nothing new; raises only
        `StateBusy`, when another process took over.
        """
        await self._finder.look()

    def offer(self, found: FoundOne) -> None:
        """Take a leak that another host reports; the next `look` puts it into a case. Never raises."""
        self._finder.offer(found)

    def leak(self, slot: str, seq: int, scope: str, exchange: str) -> None:
        """`offer` for `Findings.on_leak`: the leak that record `seq` of `slot` confirms was shut just now."""
        self._finder.offer(leak_of(slot, seq, self._cases.now, scope, exchange, self._region))

    async def aclose(self) -> None:
        """Let the evidence catch up. Nothing is written any more."""
        await self._cases.aclose()

    # Reading

    def open_cases(self) -> list[Case]:
        """The cases that have not ended, oldest first."""
        return sorted(self._cases.open.values(), key=lambda case: (case.opened_at, case.id))

    async def case(self, case_id: str, at: int | None = None) -> Case:
        """A case as it is, or as it was known at `at` (microseconds). Raises `ActRefused` if there is (was) none, and
        as the store.
        """
        case = await self._cases.case(case_id)
        if at is None:
            return case
        try:
            return fold(case.entries, at)
        except ValueError:
            raise ActRefused("unknown_case", "There was no such case by then.", remedy="Leave out --at.") from None

    async def entries(self, case_id: str) -> list[Entry]:
        """The entries of a case, in order. Raises `ActRefused` if there is none, and as the store."""
        return list((await self._cases.case(case_id)).entries)

    async def listing(self) -> list[StoredCase]:
        """All cases, oldest first. Raises as the store."""
        return await self._cases.listing()

    def clocks(self, case: Case, now: int) -> tuple[Clock, ...]:
        """The clocks of `case` at `now` (microseconds); none where another case has them (`Case.clocks_at`)."""
        return self._clocks(case, now) if case.has_clocks else ()

    # Writing

    async def write(self, signed: Signed, payload: Payload) -> Entry:
        """Write what a person says, as the next entry of the case that their act names, or as the first of a new one.

        Raises `ActRefused`, and OSError or `FiredoorError` if the store does not take it.
        """
        try:
            async with self._cases.lock:
                await self._cases.sure()
                self._verify(signed, payload)
                entry = await self._write(signed, payload)
        except ActRefused as error:
            self._note_refused(signed, error)
            raise
        await self._cases.recorded()
        return entry

    async def add(self, case_id: str, payload: Payload, by: str = AUTOMATIC) -> Entry:
        """Write what nobody signs: a step that was done, a count, what a signed call of another system says.

        Raises `ActRefused` if it cannot follow, and OSError or `FiredoorError` if the store does not take it.
        """
        legal = isinstance(payload, kinds.MomentSet) and payload.event not in _TOLD
        if legal or isinstance(payload, (*_PAIRS, Opened)) or not isinstance(payload, Automatic):
            raise ActRefused("not_signed", f"This entry ({kind_of(payload)}) takes the signature of a person.")
        async with self._cases.lock:
            await self._cases.sure()
            check(await self._cases.case(case_id), payload, now=self._cases.now)
            check_people(payload, self.loaded.plan)
            return await self._append([Draft(case_id, payload, by)])

    async def open_for(self, by: str, payload: Opened, trigger: bytes, found: Sequence[FoundOne] = ()) -> Case:
        """Open a case for another system (`by` is ``hook:NAME``); the one that `trigger` opened before, if it did.

        Raises `ActRefused`, and OSError or `FiredoorError` if the store does not take it.
        """
        async with self._cases.lock:
            await self._cases.sure()
            now = self._cases.now
            name = kinds.case_id(self._region, day_of(now), trigger)
            known = self._cases.named_like(name)
            if known is None:
                self._check_opening(payload, now)
                more = [kinds.Findings(found=tuple(found[n : n + NAMED])) for n in range(0, len(found), NAMED)]
                await self._append([Draft(name, payload, by), *(Draft(name, each) for each in more)])
            return await self._cases.case(known or name)

    # A person's entry

    def _verify(self, signed: Signed, payload: Payload) -> None:
        act, now = signed.act, self._now_ns() / 1e9
        if act.act != "incident":
            raise ActRefused("bad_act", f"This is a request to {act.act}, not to write into a case.")
        self._forget_nonces(int(now))
        verify(signed, self.loaded, region=self._region, now=now, spent=self._spent.keys())
        if len(signed.signatures) != 1:
            raise ActRefused("bad_act", "An entry of a case comes with one signature.")
        if not hmac.compare_digest(act.args["payload"], payload_digest(act.nonce, payload)):
            raise ActRefused("bad_payload", "This is not what was signed.")
        if act.args["entry"] != kind_of(payload):
            raise ActRefused("bad_act", f"Signed was an entry {act.args['entry']}, not {kind_of(payload)}.")
        if len(self._spent) >= SPENT:
            raise ActRefused("too_many_requests", "Too many entries came in.", remedy="Try again in some minutes.")

    async def _write(self, signed: Signed, payload: Payload) -> Entry:
        act, now = signed.act, self._cases.now
        if isinstance(payload, _ENDING):
            await self._finder.flush()
        case = None if act.args["incident"] == NEW else await self._cases.case(act.args["incident"])
        clocks: tuple[Clock, ...] = ()
        self._check_new(case, signed)
        if case is not None and not may_see(case, act.by, self.loaded.plan):
            raise ActRefused("may_not_see", f"Case {case.id} is restricted, and {act.by} may not see it.")
        if case is not None and isinstance(payload, kinds.Submitted | kinds.Waived | kinds.Closed | kinds.Correction):
            clocks = self.clocks(case, now)
        check(case, payload, clocks=clocks, now=_said_at(act, now))
        check_may_write(case, payload, self.loaded.plan.people[act.by].roles)
        check_people(payload, self.loaded.plan)
        if case is None:
            return await self._open(signed, payload)
        check_seen(case, kind_of(payload), int(act.args["after"]))
        drafts = [Draft(case.id, payload, act.by, signed)]
        if isinstance(payload, kinds.MergedInto):
            drafts += await self._taking_in(case, payload)
        elif isinstance(payload, kinds.SplitOff):
            drafts += self._beginning_of(case, payload, signed)
        elif isinstance(payload, kinds.TookIn | kinds.SplitFrom):
            raise ActRefused("bad_act", "Sign what becomes of the other case: merged_into, or split_off.")
        return await self._append(drafts, signed)

    def _check_new(self, case: Case | None, signed: Signed) -> None:
        """Whether this act made no entry yet: the cases themselves remember, also those of before a restart."""
        nonce = signed.act.nonce
        if case is None:
            before = self._cases.named_like(case_of(signed.act)) is not None
        else:
            before = any(entry.signed is not None and entry.signed.act.nonce == nonce for entry in case.entries)
        if before:
            raise ActRefused("nonce_spent", "This request was handed in before.", remedy="Sign a new one.")

    async def _open(self, signed: Signed, payload: Payload) -> Entry:
        assert isinstance(payload, Opened)
        if payload.cause != "person" or payload.system is not None or payload.ref:
            raise ActRefused("bad_payload", "A case that a person opens has the cause person, and names no system.")
        check_opening(payload, self._cases.now)
        self._check_opening(payload, _said_at(signed.act, self._cases.now))
        return await self._append([Draft(case_of(signed.act), payload, signed.act.by, signed)], signed)

    def _check_opening(self, payload: Opened, now: int) -> None:
        check(None, payload)
        check_scope(self.loaded.plan, self._region, Scope.parse(payload.scope))
        if payload.detected > now:
            raise ActRefused("in_the_future", "What was detected has a time in the past.", remedy="Look at --detected.")

    async def _taking_in(self, case: Case, merged: kinds.MergedInto) -> list[Draft]:
        """The case that takes `case` in gets all that it names: what leaked there is shut and counted here."""
        into = await self._cases.case(merged.case)
        check_merge(case, into)
        moments = dict(moments_of(case))
        found, *others = [case.found[n : n + NAMED] for n in range(0, len(case.found), NAMED)] or [()]
        took = kinds.TookIn(
            case=case.id, because=merged.because, detected=moments.pop("detected"), moments=moments, found=found,
            more=case.found_count - len(case.found), scopes=case.scopes, submitted=handed_in(case),
            before=said_before(case),
        )  # fmt: skip
        return [Draft(into.id, took), *(Draft(into.id, kinds.Findings(found=part)) for part in others)]

    def _beginning_of(self, case: Case, split: kinds.SplitOff, signed: Signed) -> list[Draft]:
        """The new case: where and what its findings are, its moments so far, and who may see it."""
        if split.case != case_of(signed.act):
            raise ActRefused("wrong_case", "The new case must have the id that follows from the act.")
        brought = [p for n in sorted(set(split.entries)) if isinstance(p := case.said(n), kinds.Findings)]
        found = sorted((one for each in brought for one in each.found), key=lambda one: one.at)
        first = found[0] if found else None
        restricted = case.restricted
        opened = Opened(
            cause=case.opened.cause,
            title=title_of(first) if first else case.opened.title,
            scope=first.scope if first else case.opened.scope,
            detected=first.at if first else case.moments["detected"],
            rule=first.rule if first else case.opened.rule,
            shut=case.opened.shut,
            restricted=restricted.roles if restricted else (),
            drill=case.opened.drill,
        )
        begun = kinds.SplitFrom(
            case=case.id, because=split.because, clocks="there" if split.clocks == "here" else "here",
            moments={event: at for event, at in moments_of(case).items() if event != "detected"},
        )  # fmt: skip
        payloads: list[Payload] = [opened, begun, *brought]
        if restricted is not None and restricted.people:
            payloads.append(restricted)
        return [Draft(split.case, payload) for payload in payloads]

    async def _append(self, drafts: list[Draft], signed: Signed | None = None) -> Entry:
        """Write `drafts`; the first of the entries. Clocks that they move follow."""

        def done() -> None:
            if signed is not None:
                self._spent[signed.act.nonce] = signed.act.expires_at + SKEW

        entries = await self._cases.append(drafts, then=done)
        for name in dict.fromkeys(d.case for d in drafts if isinstance(d.payload, _MOVES)):
            await self._set_clocks(name)
        return entries[0]

    async def _set_clocks(self, name: str) -> None:
        """What was written stands, whatever becomes of this: the next entry that moves a clock tells it again."""
        try:
            case = await self._cases.case(name)
            lines = clock_lines(self.clocks(case, self._cases.now))
            known = case.clocks_set.clocks if case.clocks_set is not None else ()
            if moved(lines, known) and not case.ended:
                await self._cases.append([Draft(name, kinds.ClocksSet(clocks=lines))])
        except (ActRefused, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001
            log.error("the clocks of case %s cannot be set: %s", name, type(error).__name__)
            self._cases.counts["clocks_failed"] += 1

    def _forget_nonces(self, now: int) -> None:
        self._spent = {nonce: until for nonce, until in self._spent.items() if until >= now}

    def _note_refused(self, signed: Signed, error: ActRefused) -> None:
        act = signed.act
        facts = {"act": act.act, "state": "refused", "code": error.code, "by": act.by}
        self._journal.note(Record(kind="request", exchange="", at=self._now_ns(), facts=dict(facts)))


def _said_at(act: Act, now: int) -> int:
    """The latest moment (microseconds) that can have happened: the person's clock may be ahead of the region's, as far
    as acts may be. To the second, as acts tell it.
    """
    return max(now, (act.made_at + 1) * MICRO)
