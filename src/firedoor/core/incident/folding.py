"""Which findings belong to one case, and which open one: a hundred findings make the cases a person would make. Pure.

A finding joins a case of the same family of rules (`FAMILIES`) if a scope of the case covers it, or if the shop is the
same and so is the surface, or the model instance, or a protected set; and if it lies less than `incidents.fold` from
the findings of the case. What the plan shows to few joins no case that everybody sees. What a resolved case hears
afterwards is new: it opens another one. When it was found decides, not when control hears of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from firedoor.core.evidence.leaf import Leaf
from firedoor.core.incident.case import Case
from firedoor.core.incident.entries import MICRO, FoundOne
from firedoor.core.plan.response import IncidentRules, OpensRule
from firedoor.core.switches import ANY, Scope, where_found
from firedoor.errors import ActRefused

LEAK: Final = "leak"
"""The rule of a confirmed leak of which only that much is known: a host says where it was, not what."""

FAMILIES: Final[dict[str, str]] = {
    **dict.fromkeys(
        (
            LEAK, "protected_value", "honeytoken", "protected_amount", "protected_document", "partial_value",
            "rounded_amount", "secret", "payment_card", "system_prompt", "poisoned_cache", "replayed_answer",
            "same_answer",
        ),
        "leak",
    ),
    "stranger_data": "personal",
    "model_drift": "model",
    **dict.fromkeys(("prompt_attack", "indirect_attack", "asked_attribute", "session_refused"), "attack"),
}  # fmt: skip
"""Kinds of findings that are about the same thing, by rule; any other rule is a family of its own."""

TITLES: Final[dict[str, str]] = {
    LEAK: "Leak in an answer",
    "protected_value": "Leak of protected values",
    "honeytoken": "Leak of a honeytoken",
    "protected_amount": "Leak of a protected amount",
    "protected_document": "Leak of a protected document",
    "partial_value": "Parts of a protected value in answers",
    "rounded_amount": "A rounded protected amount in answers",
    "secret": "Leak of a secret",
    "payment_card": "Leak of a payment card",
    "system_prompt": "Leak of a system prompt",
    "poisoned_cache": "Poisoned answer cache",
    "replayed_answer": "An answer given to somebody else",
    "same_answer": "The same answer to several shoppers",
    "stranger_data": "Personal data of others in answers",
    "model_drift": "A model instance changed",
    "prompt_attack": "Prompt attacks",
    "indirect_attack": "Attacks planted in documents",
    "asked_attribute": "Questions for attributes of persons",
    "session_refused": "Attacks in sessions",
}

REMEMBERED: Final = 20_000
"""Findings remembered for rules that count: two rules of the highest count."""
_MASKS: Final = tuple((shop, surface, model) for shop in (0, 1) for surface in (0, 1) for model in (0, 1))


class Standing:
    """What folding looks at of a case: where it is, what it is about, when it was found."""

    __slots__ = ("ended", "families", "first", "id", "last", "restricted", "scopes", "sets", "until")

    def __init__(self, name: str, first: int, *, restricted: bool = False) -> None:
        self.id = name
        self.restricted = restricted
        self.first = self.last = first
        self.until: int | None = None
        self.ended = False
        self.families: set[str] = set()
        self.scopes: set[Scope] = set()
        self.sets: set[str] = set()

    @classmethod
    def of(cls, case: Case, region: str) -> Standing:
        """Of a case. A resolved one takes nothing that was found later, one that ended nothing at all."""
        first = case.opened.detected if case.first_found is None else case.first_found
        self = cls(case.id, first, restricted=case.restricted is not None)
        self.until, self.ended = case.resolved_at, case.ended
        self.last = first if case.last_found is None else case.last_found
        self.families = {family(rule) for rule in case.rules}
        self.scopes = {where_found(scope, region) for scope in case.scopes}
        self.sets = set(case.sets)
        return self


class Opening(NamedTuple):
    """A case to be opened, by which rule of the plan, and for what."""

    rule: OpensRule
    found: tuple[FoundOne, ...]


def family(rule: str) -> str:
    """What findings of `rule` are about."""
    return FAMILIES.get(rule, rule)


def found_of(leaf: Leaf, region: str) -> FoundOne | None:
    """The finding that `leaf` records; None for one that says nothing we know. A confirmed leak is always one."""
    facts = leaf.facts
    leak = facts.get("verdict") == "shut"
    given: dict[str, Any] = {
        "slot": leaf.slot, "seq": leaf.seq, "at": leaf.at, "rule": facts.get("rule"), "verdict": facts.get("verdict"),
        "scope": facts.get("scope"), "exchange": leaf.exchange, "sets": facts.get("sets", ()),
    }  # fmt: skip
    try:
        found = msgspec.convert(given, FoundOne)
        Scope.parse(found.scope)
    except (msgspec.ValidationError, ActRefused):
        if not leak:
            return None
        return leak_of(leaf.slot, leaf.seq, leaf.at, str(facts.get("scope")), leaf.exchange, region)
    return msgspec.structs.replace(found, scope=str(where_found(found.scope, region)))


def leak_of(slot: str, seq: int, at: int, scope: str, exchange: str, region: str) -> FoundOne:
    """A confirmed leak of which no more is known. `at` is in microseconds."""
    plain = "".join(c for c in exchange if c.isascii() and c.isprintable())[:64]
    return FoundOne(
        slot=slot, seq=seq, at=at, rule=LEAK, verdict="shut", scope=str(where_found(scope, region)),
        exchange=plain,
    )  # fmt: skip


def title_of(found: FoundOne) -> str:
    """What a case that begins with `found` is called: from the rule and the scope, with no word of any shopper."""
    scope = Scope.parse(found.scope)
    where = [part for part in (scope.shop, scope.surface, scope.model) if part != ANY]
    what = TITLES.get(found.rule) or found.rule.replace("_", " ") or TITLES[LEAK]
    return f"{what}: {', '.join(where) or 'all of the region'}"[:300]


class Folding:
    """Sorts findings into the cases that are open. Made anew for a batch of findings; `Counts` outlives it."""

    def __init__(self, standing: Iterable[Standing], rules: IncidentRules, counts: Counts) -> None:
        self._near: dict[tuple[str, ...], dict[str, Standing]] = {}
        self._around: dict[tuple[str, Scope], dict[str, Standing]] = {}
        self._rules = rules
        self._fold = int(float(rules.fold) * MICRO)
        self._counts = counts
        for one in standing:
            self.know(one)

    def know(self, one: Standing) -> None:
        """There is this case, too."""
        for kind in one.families:
            for scope in one.scopes:
                self._put(one, kind, scope, one.sets)

    def joins(self, found: FoundOne) -> str | None:
        """The case that `found` joins; it is a part of it from then on."""
        fitting = [one for one in self._fitting(found) if _takes(one, found.at)]
        if fitting and self._kept_from_others(found):
            fitting = [one for one in fitting if one.restricted]
        if not fitting:
            return None
        best = max(fitting, key=lambda one: (one.last, one.id))
        self._grow(best, family(found.rule), Scope.parse(found.scope), found)
        return best.id

    def earlier(self, found: FoundOne) -> str | None:
        """The resolved or ended case that `found`, which joins none, would have belonged to."""
        best = max(self._fitting(found), key=lambda one: (one.last, one.id), default=None)
        return None if best is None else best.id

    def opens(self, found: FoundOne) -> Opening | None:
        """What `found`, which joins no case, opens by the plan; None if no rule asks for a case (yet)."""
        for number, rule in enumerate(self._rules.opens):
            if found.verdict in rule.verdicts and _names(rule, found.rule):
                together = (found,) if rule.count <= 1 else self._counts.enough(number, rule, found)
                if together:
                    return Opening(rule, together)
        return None

    def begin(self, name: str, found: Sequence[FoundOne], *, restricted: bool = False) -> None:
        """From now on there is the case `name` of these findings."""
        one = Standing(name, found[0].at, restricted=restricted)
        for each in found:
            self._grow(one, family(each.rule), Scope.parse(each.scope), each)

    def _kept_from_others(self, found: FoundOne) -> bool:
        """Whether the plan shows findings like `found` to few: then they join no case that everybody sees."""
        rule = next((r for r in self._rules.opens if found.verdict in r.verdicts and _names(r, found.rule)), None)
        return rule is not None and bool(rule.restricted)

    def _fitting(self, found: FoundOne) -> list[Standing]:
        """The cases of the same family, place and time."""
        scope, kind = Scope.parse(found.scope), family(found.rule)
        near = [self._near.get(key, {}) for key in _places(kind, scope, found.sets)]
        near += [self._around.get((kind, wider), {}) for wider in _wider(scope)]
        fitting = {one.id: one for known in near for one in known.values() if self._in_time(one, found.at)}
        return list(fitting.values())

    def _in_time(self, one: Standing, at: int) -> bool:
        return one.first - self._fold < at < one.last + self._fold

    def _grow(self, one: Standing, kind: str, scope: Scope, found: FoundOne) -> None:
        one.first, one.last = min(one.first, found.at), max(one.last, found.at)
        if kind in one.families and scope in one.scopes and one.sets.issuperset(found.sets):
            return
        one.families.add(kind)
        one.scopes.add(scope)
        one.sets.update(found.sets)
        self._put(one, kind, scope, found.sets)

    def _put(self, one: Standing, kind: str, scope: Scope, sets: Iterable[str]) -> None:
        for key in _places(kind, scope, sets):
            self._near.setdefault(key, {})[one.id] = one
        self._around.setdefault((kind, scope), {})[one.id] = one


class Counts:
    """Findings that no case took, for the rules that open one for several. Bounded: the oldest places go first.

    Counted together are those of one rule of the plan, one family and one shop.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[int, str, str], deque[FoundOne]] = {}
        self._size = 0

    def enough(self, number: int, rule: OpensRule, found: FoundOne) -> tuple[FoundOne, ...]:
        """`found` with those before it, oldest first, if they are as many as rule `number` asks for; else nothing."""
        key = (number, family(found.rule), Scope.parse(found.scope).shop)
        seen = self._seen.pop(key, None) or deque()
        self._size -= len(seen)
        seen.append(found)
        since = max(found.at, seen[0].at) - int(float(rule.within) * MICRO)
        while seen[0].at <= since:
            seen.popleft()
        if len(seen) >= rule.count:
            return tuple(sorted(seen, key=lambda one: one.at))
        self._seen[key] = seen
        self._size += len(seen)
        while self._size > REMEMBERED:
            self._size -= len(self._seen.pop(next(iter(self._seen))))
        return ()


def _takes(one: Standing, at: int) -> bool:
    return not one.ended and (one.until is None or at <= one.until)


def _names(rule: OpensRule, name: str) -> bool:
    """Whether `rule` is about findings of `name`. A leak of which no more is known may be any."""
    if "any" in rule.findings or name in rule.findings:
        return True
    return name == LEAK and any(family(one) == LEAK for one in rule.findings)


def _places(kind: str, scope: Scope, sets: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Where findings of one shop meet: at a surface, at a model instance, at a protected set."""
    if scope.surface != ANY:
        yield (kind, scope.shop, "surface", scope.surface)
    if scope.model != ANY:
        yield (kind, scope.shop, "model", scope.model)
    for name in sets:
        yield (kind, scope.shop, "set", name)


def _wider(scope: Scope) -> Iterator[Scope]:
    """The scopes that cover `scope`."""
    for shop, surface, model in _MASKS:
        yield Scope(
            scope.region,
            scope.shop if shop else ANY,
            scope.surface if surface else ANY,
            scope.model if model else ANY,
        )
