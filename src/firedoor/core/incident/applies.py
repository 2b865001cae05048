"""Whether a rule of law applies to a case, as far as is known, and why. Pure.

Nobody is told "no" for lack of knowledge: a count that may lie on either side of a threshold makes it `likely`, nothing
known makes it `unknown`, and `no` always names what rules it out.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple, get_args

import msgspec

from firedoor.core.incident import severity
from firedoor.core.incident.affected import Affected, Range
from firedoor.core.incident.breach import BREACH, Applies, Verdict, since_decided
from firedoor.core.incident.case import Case
from firedoor.core.incident.law import Condition, LegalRole, People
from firedoor.core.incident.merging import brought, lapsed
from firedoor.core.plan.jurisdictions import GROUPS, country, covered, expand
from firedoor.core.plan.model import Plan
from firedoor.core.plan.response import Legal
from firedoor.core.switches import ANY

_RANK: Final[dict[Applies, int]] = {"no": 0, "unknown": 1, "likely": 2, "yes": 3}
ATTACKS: Final = frozenset({"prompt_attack", "indirect_attack", "session_refused", "honeytoken", "poisoned_cache"})
"""Rules of findings that speak for somebody's intent."""


class Facts(NamedTuple):
    """What conditions ask about. `served` are jurisdictions of the regions in question, `homes` where their shops
    are, `market` where these sell to, too, `shops` the shops in question (None: any). `since` are events that
    were signed after the decision, and `breach.TAKEN_IN`. `switched`: the plan says that the law holds.
    """

    case: Case
    legal: Legal
    served: frozenset[str]
    homes: frozenset[str]
    market: frozenset[str]
    shops: frozenset[str] | None
    since: frozenset[str]
    still_on: dict[str, Verdict]
    switched: bool = False


def facts_of(case: Case, plan: Plan) -> Facts:
    """What the case and the plan say."""
    parts = [(*scope.split("/"), ANY, ANY)[:2] for scope in case.scopes]
    regions = {name for name, _ in parts}
    all_regions = ANY in regions or not regions
    shops = None if any(shop == ANY for _, shop in parts) else frozenset(shop for _, shop in parts)
    serving = [region for name, region in plan.regions.items() if all_regions or name in regions]
    selling = [shop for name, shop in plan.shops.items() if shops is None or name in shops]
    return Facts(
        case,
        plan.legal,
        served=frozenset(code for region in serving for code in region.jurisdictions),
        homes=frozenset(shop.home for shop in selling),
        market=frozenset(code for shop in selling for code in (shop.home, *shop.sells_to)),
        shops=shops,
        since=since_decided(case),
        still_on={},
    )


def judge(conditions: Iterable[Condition], facts: Facts) -> Verdict:
    """All of `conditions`: the least sure of them decides."""
    said = [_judge(condition, facts) for condition in conditions]
    word = min((one.word for one in said), key=_RANK.__getitem__)
    return Verdict(word, "; ".join(dict.fromkeys(one.why for one in said if one.word == word)))


def _judge(condition: Condition, facts: Facts) -> Verdict:
    if condition.one_of:
        said = [_judge(inner, facts) for inner in condition.one_of]
        word = max((one.word for one in said), key=_RANK.__getitem__)
        return Verdict(word, "; or ".join(dict.fromkeys(one.why for one in said if one.word == word)))
    if condition.people is not None:
        return _people(condition.people, facts)
    if condition.seat:
        return _seat(condition.seat, facts)
    if condition.data:
        return _data(condition.data, facts)
    if condition.role is not None:
        return _role(condition.role, facts)
    if condition.breach is not None:
        return BREACH[condition.breach](facts.case, facts.since)
    if condition.moment is not None:
        known = condition.moment in facts.case.moments
        return Verdict("yes" if known else "unknown", f"`{condition.moment}` is {'' if known else 'not '}decided")
    if condition.ask is not None:
        if facts.switched:
            return Verdict("yes", "switched on by the plan (legal.laws)")
        return Verdict(condition.ask.otherwise, f"{_ASKED[condition.ask.otherwise]} {condition.ask.about}")
    if condition.still_on_at is not None:
        return facts.still_on[condition.still_on_at]
    return malicious(facts.case)


_ASKED: Final[dict[str, str]] = {
    "likely": "if, as may be,",
    "unknown": "nothing says whether",
    "no": "the plan does not say that",
}


# Where people are


def within(code: str, places: Iterable[str]) -> bool:
    """Whether everything in `code` lies in one of `places`: ``US-CA`` in ``US``, ``DE`` in ``EU``."""
    return any(_inside(code, place) for place in places)


def touches(code: str, places: Iterable[str]) -> bool:
    """Whether `code` and one of `places` have something in common: ``US`` and ``US-CA`` do, too."""
    return any(_meet(code, place) for place in places)


@lru_cache(maxsize=4096)  # of a few hundred codes each pair is asked for again and again
def _inside(code: str, place: str) -> bool:
    return code == place or country(code) in covered(place) or expand(code) <= covered(place)


@lru_cache(maxsize=4096)
def _meet(code: str, place: str) -> bool:
    both_groups = code in GROUPS and not covered(code).isdisjoint(covered(place))
    return both_groups or _inside(code, place) or _inside(place, code)


def people_in(places: tuple[str, ...], but_not: tuple[str, ...], counted: Affected) -> tuple[Range, bool]:
    """How many people in `places` may be affected, and whether any place there was counted.

    A person may be counted in two places: what is sure is the most of one place. People counted for a whole country
    may be in any part of it, and people whose place is not known anywhere.
    """
    sure = maybe = loose = 0
    endless = seen = False
    named = 0
    for code, number in counted.jurisdictions.items():
        if not _is_place(code):  # nobody told, or it stands for others
            endless = endless or number.most is None
            loose += number.most or 0
            continue
        named += number.least
        if within(code, but_not) or (places and not touches(code, places)):
            continue
        seen = seen or number.most != 0
        endless = endless or number.most is None
        maybe += number.most or 0
        if (not places or within(code, places)) and not any(touches(code, (part,)) for part in but_not):
            sure = max(sure, number.least)
    if not places and not but_not:
        return Range(max(sure, counted.subjects.least), counted.subjects.most), True
    if endless or counted.subjects.most is None:
        return Range(sure, None), seen
    nowhere = max(loose, counted.subjects.most - named)  # a person named in two places hides nobody who told none
    return Range(sure, max(sure, min(counted.subjects.most, maybe + nowhere))), seen


def unplaced(counted: Affected) -> bool:
    """Whether the place of some people is not known."""
    if any(number.most != 0 for code, number in counted.jurisdictions.items() if not _is_place(code)):
        return True
    placed = sum(number.least for number in counted.jurisdictions.values())
    return counted.subjects.most is None or placed < counted.subjects.most


def _is_place(code: str) -> bool:
    return code in GROUPS or (len(country(code)) == 2 and code.isupper())


def _people(wanted: People, facts: Facts) -> Verdict:
    where = f" in {', '.join(wanted.places)}" if wanted.places else ""
    if wanted.but_not:
        where += f" outside {', '.join(wanted.but_not)}"
    if facts.switched and wanted.at_least == 1:
        return Verdict("yes", "switched on by the plan (legal.laws)")
    counted = facts.case.counted
    sold = not wanted.places or any(touches(code, wanted.places) for code in facts.market)
    possible = facts.switched or sold or any(touches(code, wanted.places) for code in facts.served)
    if counted is None:
        if not possible:
            return Verdict("no", f"nothing in question is served or sold{where}")
        word: Applies = "likely" if sold and wanted.at_least == 1 else "unknown"
        return Verdict(word, f"people{where} may be affected, and are not counted yet")
    number, seen = people_in(wanted.places, wanted.but_not, counted)
    told = f"{_shown(number)} people{where} are affected"
    if number.least >= wanted.at_least:
        return Verdict("yes", told)
    if number.most is not None and number.most < wanted.at_least:
        return Verdict("no", f"{told}, fewer than {wanted.at_least}")
    if seen:
        return Verdict("likely", f"{told}: {wanted.at_least} may be reached")
    if any(touches(home, wanted.places) for home in facts.homes):
        return Verdict("likely", f"the place of some is not known, and a shop in question is at home{where}")
    if possible:
        return Verdict("unknown", f"nobody{where} was counted, and the place of some is not known")
    return Verdict("no", f"nobody{where} was counted, and nothing in question is served or sold there")


def _shown(number: Range) -> str:
    if number.exact:
        return str(number.least)
    return f"{number.least} or more" if number.most is None else f"{number.least} to {number.most}"


def _seat(places: tuple[str, ...], facts: Facts) -> Verdict:
    legal = facts.legal
    seats = dict.fromkeys([*([legal.main] if legal.main else []), *legal.establishments])
    here = [seat for seat in seats if within(seat, places)]
    if here:
        return Verdict("yes", f"established in {', '.join(here)}")
    if facts.switched:
        return Verdict("yes", "switched on by the plan (legal.laws)")
    part = [seat for seat in seats if touches(seat, places)]
    if part:
        return Verdict(
            "unknown", f"established in {', '.join(part)}: whether in {', '.join(places)}, the plan does not say"
        )
    represented = legal.representative is not None and all(within(place, ("EEA",)) for place in places)
    if not seats and not represented:  # a representative says: not in the EEA, and nothing of the rest of the world
        return Verdict("unknown", "the plan does not say where the responsible body is established (legal.main)")
    return Verdict("no", f"not established in {', '.join(places)}")


# What the responsible body is

_ROLES: Final[dict[LegalRole, str]] = {
    "controller": "responsible for the data",
    "processor": "a processor for others (legal.processor_for)",
    "nis2": "an entity under NIS2 (legal.nis2)",
    "manufacturer": "a manufacturer under the CRA (legal.manufacturer)",
    "payments": "licensed for payments (legal.payments)",
    "small": "a small agent (legal.small)",
}
assert set(_ROLES) == set(get_args(LegalRole))


def _role(role: LegalRole, facts: Facts) -> Verdict:
    legal = facts.legal
    holds = {
        "controller": legal.controller is not None or not legal.processor_for,
        "processor": bool(legal.processor_for),
        "nis2": legal.nis2 != "none",
        "manufacturer": legal.manufacturer,
        "payments": legal.payments,
        "small": legal.small,
    }[role]
    if holds:
        return Verdict("yes", _ROLES[role])
    if facts.switched:
        return Verdict("yes", "switched on by the plan (legal.laws)")
    if role == "controller":
        return Verdict("unknown", "a processor's controllers notify; nothing says whether the data is also its own")
    if _silent(legal):
        return Verdict("unknown", f"the plan says nothing of law: it may be {_ROLES[role]}")
    return Verdict("no", f"not {_ROLES[role]}")


def _silent(legal: Legal) -> bool:
    """Whether nothing is said of who is responsible: a zone, a switch or a contract alone say nothing of it."""
    return legal == Legal(
        catalogue=legal.catalogue, zone=legal.zone, laws=legal.laws, outcomes=legal.outcomes, contracts=legal.contracts
    )


# What happened, and what was decided


def _data(labels: tuple[str, ...], facts: Facts) -> Verdict:
    counted = facts.case.counted
    found = [
        label for label in labels if counted and (number := counted.categories.get(label)) and number.most != 0
    ]  # fmt: skip
    if "CREDIT_CARD" in labels and "payment_card" in facts.case.rules:
        found.append("a payment card in an answer")
    if found:
        return Verdict("likely", f"concerned: {', '.join(found)}")
    return Verdict("unknown", "data of the kinds that count was not seen, which rules none out")


def malicious(case: Case) -> Verdict:
    """Whether it was done on purpose: what a person scored, else what was found."""
    attacks = [rule for rule in case.rules if rule in ATTACKS]
    there = next((one.case for one in brought(case) if one.malicious), None)
    if there is not None:
        return Verdict("yes", f"scored as malicious in {there}, which was taken in")
    malice = _malice(case)
    if malice is not None and malice.by == "person" and (malice.quarters or "scored" not in lapsed(case)):
        return Verdict("yes" if malice.quarters else "no", f"scored as {'' if malice.quarters else 'not '}malicious")
    if attacks:
        return Verdict("likely", f"found: {', '.join(attacks)}")
    return Verdict("unknown", "nobody scored whether it was done on purpose")


def _malice(case: Case) -> severity.Malice | None:
    if case.scored is None:
        return None
    try:
        return severity.decode(case.scored.inputs).malice
    except msgspec.DecodeError:
        return None
