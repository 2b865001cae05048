"""What a case looks like to ENISA's method: inputs for a score, each with its reason, and what is not known. Pure.

Where a count is a range or something was not looked at, the worse end counts, and that is said. A person goes through
it, changes what they know better, and signs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from firedoor.core.incident import severity_table as table
from firedoor.core.incident.affected import Affected, Range
from firedoor.core.incident.case import Case
from firedoor.core.incident.folding import LEAK
from firedoor.core.incident.severity import (
    MAX_UNKNOWN,
    Adjustment,
    Category,
    Circumstance,
    Flag,
    Identification,
    Inputs,
    Malice,
)
from firedoor.core.incident.severity_table import Base, Ground, Meaning, Quarters
from firedoor.core.minimise.handlings import Handlings
from firedoor.core.plan.model import Plan, Surface

_LONGEST = 200
"""Characters of a reason (`severity.Why`); names in it are cut."""
UNKNOWN_KIND = "OTHER"
"""Label of what a newer index counted and the table does not know."""
_Kinds = dict[tuple[Base, tuple[Ground, ...]], list[tuple[str, str]]]
"""Labels (or nothing) and reasons, by what they come to."""


def suggest(case: Case, plan: Plan) -> Inputs:
    """Inputs for the severity of `case`, all of them `suggested`."""
    seen = _Seen(case, plan)
    categories = tuple(_categories(seen))
    unknown = tuple(_cut(each) for each in _unknown(seen, categories))
    return Inputs(
        categories=categories,
        identification=_identification(seen, categories),
        confidentiality=_confidentiality(seen),
        integrity=_integrity(seen),
        availability=Circumstance(
            quarters=0, why="shutting AI loses no personal data; Firedoor does not see the shop's own", by="suggested"
        ),
        malice=_malice(seen),
        many=_many(seen.counted),
        unintelligible=Flag(holds=False, why="answers are given in clear; a person may know better", by="suggested"),
        unknown=unknown[:MAX_UNKNOWN],
    )


class _Seen:
    """What a case tells, sorted."""

    def __init__(self, case: Case, plan: Plan) -> None:
        self.case = case
        self.plan = plan
        self.counted: Affected | None = case.counted
        named = frozenset(case.rules) - {LEAK}
        self.rules = named if named & table.BUSINESS else frozenset(case.rules)
        attributes = {name: plan.protected[name].attribute for name in case.sets if name in plan.protected}
        self.of_people = {
            name: table.ATTRIBUTE_MEANS[tells] for name, tells in attributes.items() if tells in table.ATTRIBUTE_MEANS
        }
        self.untold = sorted(name for name in case.sets if attributes.get(name, "other") == "other")
        counts = self.counted.categories if self.counted is not None else {}
        known = {label if label in table.LABEL_MEANS else UNKNOWN_KIND: count for label, count in counts.items()}
        self.labels = [label for label, count in known.items() if count.most != 0]
        self.perhaps = [label for label in self.labels if not known[label].least]

    @property
    def only_business(self) -> bool:
        """Only content of the shop that tells of nobody leaked, as far as findings tell."""
        leaked = self.rules & table.BUSINESS
        return bool(leaked) and self.rules <= table.BUSINESS | table.ATTACKS and not self.of_people

    def doubts(self) -> Iterator[str]:
        """Why personal data may be concerned though none was seen."""
        if self.counted is None:
            yield "who is affected is not counted yet"
            return
        for reason, says in table.HIDDEN.items():
            if self.counted.unknown.get(reason, 0) != 0:
                yield f"{_number(self.counted.unknown[reason])} {says}"


# --- data -------------------------------------------------------------------------------------------------------------


def _categories(seen: _Seen) -> Iterator[Category]:
    kinds: _Kinds = {}
    for label, meaning in _meanings(seen):
        key = (meaning.base, _grounds(meaning, seen.plan))
        kinds.setdefault(key, []).append((label, meaning.why))
    for (base, grounds), members in kinds.items():
        yield Category(
            base=base,
            labels=tuple(label for label, _ in members if label),
            adjustments=tuple(_adjustment(ground, seen.plan, base) for ground in grounds),
            why=_cut("; ".join(dict.fromkeys(why for _, why in members))),
            by="suggested",
        )


def _meanings(seen: _Seen) -> Iterator[tuple[str, Meaning]]:
    """Label (empty where none was counted) and meaning of everything that is known to be personal."""
    yield from (("", meaning) for meaning in seen.of_people.values())
    if seen.untold:
        yield "", table.UNTOLD_SET
    if seen.only_business:
        return
    yield from (("", table.RULE_MEANS[rule]) for rule in sorted(seen.rules & table.RULE_MEANS.keys()))
    for label in seen.labels:
        yield (
            label,
            table.LABEL_MEANS.get(label, Meaning("sensitive", "a kind of data that this version does not know")),
        )
    if seen.plan.legal.catalogue == "sensitive" and ("SECRET" in seen.labels or "secret" in seen.rules):
        yield "", table.OPENED
    if not seen.labels and not seen.rules & table.RULE_MEANS.keys():
        for doubt in seen.doubts():
            yield "", Meaning("simple", f"{doubt}: taken as if names had been in it")


def _grounds(meaning: Meaning, plan: Plan) -> tuple[Ground, ...]:
    of_catalogue = table.CATALOGUE_GROUNDS[plan.legal.catalogue].get(meaning.base)
    return meaning.grounds if of_catalogue is None else (of_catalogue[0],)


def _adjustment(ground: Ground, plan: Plan, base: Base) -> Adjustment:
    of_catalogue = table.CATALOGUE_GROUNDS[plan.legal.catalogue].get(base)
    why = of_catalogue[1] if of_catalogue is not None else "as a rule for this kind of data"
    return Adjustment(ground=ground, why=why, by="suggested")


def _identification(seen: _Seen, categories: tuple[Category, ...]) -> Identification:
    if not categories:
        return Identification(quarters=1, why="no personal data seen", by="suggested")
    labels = {label for category in categories for label in category.labels}
    if not labels or seen.of_people or seen.untold:
        return Identification(
            quarters=4, why="which identifiers were in it is not known: the worse end", by="suggested"
        )
    labels |= {label for rule, label in table.RULE_LABELS.items() if rule in seen.rules}
    levels = {label: _identifies(label, seen) for label in sorted(labels)}
    beside = sorted(label for label in labels & table.NAMES_WITH if levels[label] > table.PLACEHOLDER)
    if levels.get("PERSON", table.PLACEHOLDER) > table.PLACEHOLDER and beside:
        return Identification(quarters=4, why=f"names, with {', '.join(beside)} in the same set", by="suggested")
    best = max(levels, key=lambda label: levels[label])
    beside = sorted(labels & table.BORN_AT)
    if levels[best] < table.SIGNIFICANT and "DATE_OF_BIRTH" in labels and beside and not _kept("DATE_OF_BIRTH", seen):
        why = f"DATE_OF_BIRTH, with {', '.join(beside)} in the same set"
        return Identification(quarters=table.SIGNIFICANT, why=why, by="suggested")
    masked = ", as placeholders only" if levels[best] < table.LABEL_IDENTIFIES.get(best, 4) else ""
    return Identification(quarters=levels[best], why=_cut(f"best identifier: {best}{masked}"), by="suggested")


def _identifies(label: str, seen: _Seen) -> Quarters:
    return table.PLACEHOLDER if _kept(label, seen) else table.LABEL_IDENTIFIES.get(label, 4)


def _kept(label: str, seen: _Seen) -> bool:
    """Whether whoever got it saw placeholders only."""
    surfaces = _surfaces_of_models(seen)
    return bool(surfaces) and all(
        handlings.done(label, handlings.of(label)) in table.KEPT_FROM_MODELS for handlings in surfaces
    )


def _surfaces_of_models(seen: _Seen) -> list[Handlings]:
    """How surfaces handle personal data, where a case is only about what model instances were given; else none."""
    if not seen.rules or not seen.rules <= table.EXCHANGED:
        return []
    models = {scope.split("/")[3] for scope in seen.case.scopes if scope.count("/") == 3} - {"*"}
    surfaces = seen.plan.surfaces.values()
    return [Handlings(surface.personal_data) for surface in surfaces if models & _instances(surface)]


def _instances(surface: Surface) -> set[str]:
    return {*surface.models.values(), *surface.embeddings.values()}


# --- circumstances ----------------------------------------------------------------------------------------------------


def _confidentiality(seen: _Seen) -> Circumstance:
    if seen.rules & table.EXCHANGED:
        return Circumstance(
            quarters=2, why="who runs the exchanged model instance is not known: the worse end", by="suggested"
        )
    if seen.counted is None:
        return Circumstance(quarters=2, why="who received it is not counted yet: the worse end", by="suggested")
    people = seen.counted.exposed_subjects
    if people.most == 0 and seen.counted.exposed.most == 0:
        return Circumstance(quarters=0, why="no answer went out", by="suggested")
    if people.exact and people.least <= table.KNOWN_RECIPIENTS:
        return Circumstance(quarters=1, why=f"{_people(people)} may have received it, all known", by="suggested")
    end = "" if people.exact else ": the worse end"
    return Circumstance(quarters=2, why=f"{_people(people)} may have received it{end}", by="suggested")


def _integrity(seen: _Seen) -> Circumstance:
    altered = sorted(seen.rules & table.ALTERED)
    if altered:
        why = f"{', '.join(altered)} found: a purge restores it"
        return Circumstance(quarters=1, why=why, by="suggested")
    return Circumstance(quarters=0, why="no finding of altered data", by="suggested")


def _malice(seen: _Seen) -> Malice:
    found = sorted(seen.rules & table.MALICIOUS)
    if found:
        return Malice(quarters=2, why=f"{', '.join(found)} in the case", by="suggested")
    return Malice(quarters=0, why="no finding of an attack in the case", by="suggested")


def _many(counted: Affected | None) -> Flag:
    if counted is None:
        return Flag(holds=True, why="not counted yet: the worse end", by="suggested")
    people = counted.subjects
    many = people.most is None or people.most > table.MANY
    end = ": the worse end" if many and people.least <= table.MANY else ""
    return Flag(holds=many, why=f"{_people(people)} are concerned{end}", by="suggested")


# --- what is not known ------------------------------------------------------------------------------------------------


def _unknown(seen: _Seen, categories: tuple[Category, ...]) -> Iterator[str]:
    yield from seen.doubts()
    if LEAK in seen.rules:
        yield "what leaked: a host said where it was, not what"
    if seen.only_business:
        if seen.labels:
            yield (
                f"{', '.join(seen.labels)} in exchanges in question: the callers' own, as far as findings tell; "
                "if any of it went to others, add its category"
            )
        if seen.untold:
            yield f"whether {', '.join(seen.untold)} hold data of people: their attribute does not say"
    elif seen.labels:
        yield "labels are counted in requests and answers alike: some may be the callers' own words, given to nobody"
        if seen.perhaps:
            yield f"whether {', '.join(seen.perhaps)} were in it at all: the worse end"
    yield from _of_categories(categories)
    if categories and max(category.context for category in categories) < table.MOST_CONTEXT:
        yield "whether children, vulnerable or protected people are among them: then the context is 4 (simple.safety)"
    attacks = seen.counted.findings if seen.counted is not None else {}
    count = sum(attacks.get(rule, 0) for rule in table.MALICIOUS)
    if count and not seen.rules & table.MALICIOUS:
        yield f"whether one of {count} attacks in the exchanges in question led to it: then malice is 0.50"


def _of_categories(categories: Iterable[Category]) -> Iterator[str]:
    labels = [label for category in categories for label in category.labels]
    for doubt in dict.fromkeys(table.LABEL_MEANS[label].doubt for label in labels if label in table.LABEL_MEANS):
        if doubt:
            yield doubt
    if any(category.base == "behavioural" and category.context == 2 for category in categories):
        yield "how long a time the data of one person spans: about a year raises the context by 1"


def _people(count: Range) -> str:
    if count.exact:
        return f"{count.least} {'person' if count.least == 1 else 'people'}"
    return f"{count.least} to {count.most} people" if count.most is not None else f"at least {count.least} people"


def _number(count: int | None) -> str:
    return "an unknown number of" if count is None else str(count)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
