"""The clocks of a case: which law and contract start, when each ends, and what became of it. Pure.

A function of the case, the plan, the law, calendars and now, and of nothing else: when a moment is corrected the clocks
are other ones, and what they were stands in earlier `ClocksSet` entries.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import structs

from firedoor.core.incident import reckoning
from firedoor.core.incident.applies import Facts, facts_of, judge
from firedoor.core.incident.breach import Verdict
from firedoor.core.incident.calendars import Calendars
from firedoor.core.incident.case import Case
from firedoor.core.incident.clocks import Clock, ClockState
from firedoor.core.incident.clockwarnings import warnings_of
from firedoor.core.incident.endings import Endings
from firedoor.core.incident.entries import ClockLine, Submitted
from firedoor.core.incident.law import ASAP, Condition, LawBook, Rule
from firedoor.core.incident.merging import standing_waivers
from firedoor.core.incident.recipients import recipients_of
from firedoor.core.incident.reckoning import MICRO
from firedoor.core.plan.model import Plan
from firedoor.core.plan.response import Contract

CONTRACT: Final = "contract."
_NOT_LAW: Final = {
    "proposed": "a proposal, not law: off unless legal.laws switches it on",
    "unknown": "whether it is in force is not established: off unless legal.laws switches it on",
}


def clocks_of(case: Case, plan: Plan, law: LawBook, calendars: Calendars, now: int) -> tuple[Clock, ...]:
    """Every clock that was considered at `now` (microseconds), the next due first; those that do not apply last.

    With `applies` ``no`` it says in `why` what rules it out. Raises nothing for any case: a zone that is not known is
    told as UTC, with a warning.
    """
    clocks = _Reckoner(case, plan, law, calendars, now).all()
    return tuple(sorted(clocks, key=_next_first))


def clock_lines(clocks: Iterable[Clock]) -> tuple[ClockLine, ...]:
    """The clocks as an entry keeps them, in the order of their ids: those that run, or may come to run."""
    return tuple(
        ClockLine(
            rule=one.id,
            version=one.rule_version,
            start=one.start_event,
            due=one.due,
            cautious=one.cautious,
            applies=one.applies,
        )
        for one in sorted(clocks, key=lambda one: one.id)
        if one.state != "not_applicable" and (one.due is not None or one.cautious is not None)
    )


def moved(lines: Iterable[ClockLine], known: Iterable[ClockLine]) -> bool:
    """Whether clocks stand otherwise than they are known to. Whether they surely apply may change with every count:
    that alone moves none.
    """
    return list(map(_ends, lines)) != list(map(_ends, known))


def _ends(line: ClockLine) -> tuple[object, ...]:
    return (line.rule, line.version, line.start, line.due, line.cautious)


def moments_of(case: Case) -> dict[str, int]:
    """The moments that clocks start at: those that were said, and the one that a decision to tell people is."""
    decided = case.decided
    if decided is None or decided.outcome != "authority_and_people" or case.decided_at is None:
        return case.moments
    return {"high_risk_decided": case.decided_at, **case.moments}


_GROUPS: Final[dict[ClockState, int]] = {
    "missed": 0, "running": 0, "not_started": 0, "halted": 2, "met_late": 4, "met": 4, "waived": 5, "not_applicable": 6,
}  # fmt: skip


def _next_first(clock: Clock) -> tuple[int, int, str]:
    at = clock.due if clock.due is not None else clock.cautious
    group = _GROUPS[clock.state]
    if group == 0 and at is None:
        group = 3
    elif group == 0 and clock.applies == "unknown":
        group = 1
    return group, at or 0, clock.id


def switched(clock: str, laws: dict[str, str]) -> str | None:
    """What the plan says of a clock: ``on``, ``off`` or nothing; of several beginnings of its id the longest counts."""
    name = clock
    while name:
        if name in laws:
            return laws[name]
        name = name.rpartition(".")[0]
    return None


class _Reckoner:
    """All clocks of one case."""

    def __init__(self, case: Case, plan: Plan, law: LawBook, calendars: Calendars, now: int) -> None:
        self.case = case
        self.moments = moments_of(case)
        self.plan = plan
        self.law = law
        self.calendars = calendars
        self.now = now
        self.laws: dict[str, str] = {str(name): said for name, said in plan.legal.laws.items()}
        self.ends = Endings(plan.legal, calendars)
        self.facts = facts_of(case, plan)
        self.submitted: dict[str, list[Submitted]] = {}
        for one in case.submitted:
            self.submitted.setdefault(one.clock, []).append(one)
        self.halts = {waiver.clock: waiver for waiver in standing_waivers(case)}
        self.done: dict[str, Clock] = {}
        self.rules: dict[str, Rule] = {}

    def all(self) -> list[Clock]:
        """Every rule of law on its day, and every contract."""
        for name in self.law.clocks:
            self.rules[name] = self._version(name)
        for name, contract in self.plan.legal.contracts.items():
            self.rules[CONTRACT + name] = _contract_rule(name, contract)
        return [self.clock(name) for name in self.rules]

    def clock(self, name: str) -> Clock:
        """The clock `name`, with those it waits for reckoned first."""
        if name not in self.done:
            self.done[name] = self._clock(self.rules[name])
        return self.done[name]

    def _version(self, clock: str) -> Rule:
        """The version that holds on the day the clock started, or today."""
        start = self._start(self.law.clocks[clock][-1])
        return self.law.on(clock, self.ends.day(self.now if start is None else start))

    def _clock(self, rule: Rule) -> Clock:
        said = switched(rule.id, self.laws)
        facts = self.facts._replace(switched=said == "on")
        verdict = self._ruled_out(rule, said) or self._judged(rule, facts)
        start = self._start(rule)
        name, zone = self.ends.zone(rule.zone or self.plan.legal.zone)
        limit = self.ends.limit(rule, facts, start, zone)
        handed_in = self.submitted.get(rule.id, [])
        clock = Clock(
            id=rule.id,
            title=rule.title if rule.status == "in_force" else f"Not law: {rule.title}",
            rule_version=rule.version or "",
            basis=rule.basis if rule.status == "in_force" else "internal",
            source=f"{rule.cited} ({rule.source})" if rule.source else rule.article,
            target=rule.length == ASAP,
            recipients=tuple(map(str, recipients_of(rule, facts, self.law))),
            start_event=rule.starts,
            start_at=start,
            length=_length_shown(rule),
            zone=name,
            due=limit.at,
            due_local=reckoning.written(limit.at, zone) if limit.at is not None else "",
            alternatives=limit.alternatives,
            cautious=self.ends.cautious(rule, facts, zone),
            applies=verdict.word,
            why=verdict.why,
            owner=rule.owner,
            depends_on=rule.needs,
            submitted=tuple(sorted(one.at for one in handed_in)),
        )
        clock = structs.replace(clock, state=self._state(rule, clock))
        if clock.state == "not_applicable":
            return structs.replace(clock, due=None, due_local="", alternatives=(), cautious=None)
        clock = structs.replace(clock, share=self._share(clock))
        return structs.replace(clock, warnings=tuple(self._warnings(rule, clock, name, handed_in)))

    # Whether it applies

    def _ruled_out(self, rule: Rule, said: str | None) -> Verdict | None:
        start = self._start(rule)
        day = self.ends.day(self.now if start is None else start)
        if not self.case.has_clocks:
            return Verdict("no", f"kept by case {self.case.clocks_at}")
        if said == "off":
            return Verdict("no", "switched off by the plan (legal.laws)")
        if rule.status != "in_force" and said != "on":
            return Verdict("no", _NOT_LAW[rule.status])
        if (rule.valid_from or "") > day:
            return Verdict("no", f"applies from {rule.valid_from} on")
        if rule.valid_to is not None and rule.valid_to < day:
            return Verdict("no", f"applied until {rule.valid_to}")
        return None

    def _judged(self, rule: Rule, facts: Facts) -> Verdict:
        if rule.id.startswith(CONTRACT):
            shops = self.plan.legal.contracts[rule.id.removeprefix(CONTRACT)].shops
            if shops and facts.shops is not None and facts.shops.isdisjoint(shops):
                return Verdict("no", f"is about {', '.join(shops)}")
            return Verdict("yes", "by contract")
        base = self.clock(rule.needs) if rule.needs is not None else None
        if base is not None and base.state in ("waived", "not_applicable"):
            return Verdict("no", f"{base.id}, which starts it: {base.state if base.state == 'waived' else base.why}")
        facts = facts._replace(still_on={name: self._still_on(name) for name in _ends_asked(rule.applies)})
        return judge(rule.applies, facts)

    def _still_on(self, name: str) -> Verdict:
        """Whether handling went on when the clock `name` ended."""
        due, handled = self.clock(name).due, self.case.moments.get("handled")
        if due is None or (handled is None and self.now <= due):
            return Verdict("unknown", f"{name} has not ended: handling may be over by then")
        if handled is None or handled > due:
            return Verdict("yes", f"handling went on when {name} ended")
        return Verdict("no", f"handling was over before {name} ended")

    # When it starts and ends

    def _start(self, rule: Rule) -> int | None:
        if rule.needs is not None:
            handed_in = [one.at for one in self.submitted.get(rule.needs, [])]
            return (max if rule.of == "latest" else min)(handed_in) if handed_in else None
        at = self.moments.get(rule.starts)
        if at is None and rule.starts == "told_people":  # they were told when the notice to them was handed in
            told = self.submitted.get(f"{rule.id.rpartition('.')[0]}.people", [])
            return min((one.at for one in told), default=None)
        return at

    # What became of it

    def _state(self, rule: Rule, clock: Clock) -> ClockState:
        if clock.submitted:
            late = clock.due is not None and clock.submitted[0] > clock.due and rule.length != ASAP
            return "met_late" if late else "met"
        if clock.applies == "no":
            return "not_applicable"
        said = self.halts.get(clock.id)
        if said is not None and said.state != "resumed":
            return said.state
        if clock.due is None:
            return "not_started"  # its start is not known, or it has no end
        return "missed" if self.now > clock.due and rule.length != ASAP else "running"

    def _share(self, clock: Clock) -> float:
        """How much of the time is over: until it was handed in, else until now."""
        since = clock.start_at if clock.due is not None else self.case.moments["detected"]
        until = clock.due if clock.due is not None else clock.cautious
        if since is None or until is None or clock.state == "waived":
            return 0.0
        over = (clock.submitted[0] if clock.submitted else self.now) - since
        return round(max(0.0, over / max(until - since, MICRO)), 4)

    def _warnings(self, rule: Rule, clock: Clock, zone: str, handed_in: list[Submitted]) -> Iterable[str]:
        yield from warnings_of(rule, clock, self.case, handed_in, self.now, self.ends.day(self.now))
        if zone != (rule.zone or self.plan.legal.zone):
            yield f"time zone {rule.zone or self.plan.legal.zone} is not known: reckoned in {zone}"
        ends = clock.due if clock.due is not None else clock.cautious
        if (
            ends is not None
            and rule.limit is not None
            and rule.limit.mode != "eh"
            and not rule.zone
            and self.plan.legal.zone == "UTC"
        ):
            yield "its last day ends in UTC: the plan names no other zone (legal.zone)"
        place = self.ends.place(rule)
        if rule.business is not None and (place is None or not self.calendars.knows(place)):
            yield f"holidays of {place or 'the seat (legal.main)'} are not known: only weekends are left out"


def _ends_asked(conditions: Iterable[Condition]) -> set[str]:
    asked: set[str] = set()
    for condition in conditions:
        if condition.still_on_at is not None:
            asked.add(condition.still_on_at)
        asked |= _ends_asked(condition.one_of)
    return asked


def _length_shown(rule: Rule) -> str:
    if rule.length == ASAP:
        return f"without undue delay (target of ours: {rule.limit})"
    return str(rule.limit or rule.length)


def _contract_rule(name: str, contract: Contract) -> Rule:
    """A contract's limit as a rule: elapsed time from the event on."""
    return Rule(
        id=CONTRACT + name,
        title=f"Contract: {contract.to}",
        law="contract",
        article=contract.source,
        starts=contract.starts,
        length=f"{max(1, int(contract.within))} s",
        to=(contract.to,),
        applies=(Condition(),),
        basis="contract",
        version="plan",
    )
