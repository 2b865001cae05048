"""To whom a clock's notice goes: resolved from the plan and from where people are affected. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from firedoor.core.incident.applies import Facts, unplaced, within
from firedoor.core.incident.law import LawBook, Rule
from firedoor.core.plan.jurisdictions import EEA, country, covered
from firedoor.core.plan.response import Legal


class To(NamedTuple):
    """A recipient in `place` (None: no one country's), and the rule that makes it one."""

    name: str
    place: str | None = None
    rule: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.rule})" if self.rule else self.name


def recipients_of(rule: Rule, facts: Facts, book: LawBook) -> tuple[To, ...]:
    """All recipients of what `rule` asks for, each once."""
    return tuple(dict.fromkeys(to for word in rule.to for to in _resolved(word, facts, book)))


def _resolved(word: str, facts: Facts, book: LawBook) -> Iterator[To]:
    match word:
        case "@people":
            yield To("the people affected")
        case "@controllers":
            names = facts.legal.processor_for or ("the controller",)
            yield from (To(name, None, "controller, GDPR 33(2)") for name in names)
        case "@gdpr_authority":
            yield from _gdpr(facts, book)
        case _ if word in _AT_SEAT:
            yield from _at_seat(word, facts.legal, book)
        case _:
            yield To(word)


def described(word: str, legal: Legal | None, book: LawBook) -> tuple[str, ...]:
    """To whom a notice goes, as far as it can be said without a case: by name where `legal` of the plan settles it,
    else in words. None: there is no plan.
    """
    legal = legal if legal is not None else Legal()
    match word:
        case "@people":
            return ("the people affected",)
        case "@controllers":
            return legal.processor_for or ("each controller for whom the data is processed (legal.processor_for)",)
        case "@gdpr_authority":
            here = tuple(map(str, _gdpr_seats(legal, book)))
            return here or (_NO_SEAT,)
        case _ if word in _AT_SEAT:
            seats = tuple(_at_seat(word, legal, book))
            if seats[0].place is not None:
                return tuple(map(str, seats))
            return (
                f"the {_AT_SEAT[word][0]} of the state of the main establishment (legal.main), {_AT_SEAT[word][1]}",
            )
    return (word,)


_NO_SEAT: Final = (
    "the supervisory authority of the main establishment in the EEA (legal.main); without one there, that of every EEA"
    " state with people affected, GDPR 55, 56"
)
_AT_SEAT: Final[dict[str, tuple[str, str]]] = {
    "@nis2_authority": ("CSIRT or competent authority", "NIS2 23(1), 26"),
    "@financial_authority": ("competent financial authority", "DORA 19(1), 46"),
    "@market_authority": ("market surveillance authority", "of the place of the incident, AI Act 73(1)"),
}
"""Authorities at the seat: what they are called where none is known by name, and by what rule they are asked."""


def _gdpr(facts: Facts, book: LawBook) -> Iterator[To]:
    """GDPR 55, 56 and EDPB Guidelines 9/2022 v2.0, paragraph 73."""
    legal = facts.legal
    if seats := tuple(_gdpr_seats(legal, book)):
        yield from seats
        return
    because = "no establishment in the EU, GDPR 55(1)"
    if legal.representative is not None:
        because += f"; a representative ({legal.representative}) is no one-stop shop, EDPB 9/2022 73"
    counted = facts.case.counted
    for state in _states(facts, book):
        yield _authority(state, f"people in {state}{'' if counted else ' may be affected'}: {because}", book)
    if counted is None or unplaced(counted) or not list(_states(facts, book)):
        yield To("the authority of every EEA state with people affected", None, because)


def _gdpr_seats(legal: Legal, book: LawBook) -> Iterator[To]:
    """The authorities where the responsible body is established in the EEA; none, if it is not."""
    if legal.main is not None and within(legal.main, ("EEA",)):
        yield _authority(legal.main, f"lead: main establishment in {legal.main}, GDPR 56(1)", book)
        return
    seats = [seat for seat in legal.establishments if within(seat, ("EEA",))]
    alone = "the only establishment" if len(seats) == 1 else "legal.main names no main establishment"
    for seat in seats:
        yield _authority(seat, f"established in {seat}, {alone}, GDPR 55(1)", book)


def _states(facts: Facts, book: LawBook) -> list[str]:
    """The EEA states where people are affected; of people whose place is not known, the homes of the shops in
    question. Before they are counted, where these are and sell to.
    """
    counted = facts.case.counted
    if counted is not None:
        codes = [code for code, number in counted.jurisdictions.items() if number.most != 0]
        codes += facts.homes if unplaced(counted) else ()
    else:
        codes = list(facts.market)
    places = {place for code in codes for place in ((code,) if code not in ("EU", "EEA") else covered(code))}
    return sorted({_state(place, book) for place in places if within(place, ("EEA",))})


def _state(place: str, book: LawBook) -> str:
    """The state that a territory with a code of its own belongs to."""
    owner = (name for name, authority in book.authorities.items() if country(place) in authority.territories)
    return next(owner, country(place))


def _authority(seat: str, rule: str, book: LawBook) -> To:
    state = _state(seat, book)
    known = book.authorities.get(state)
    return To(f"{state}: {known.gdpr if known else 'supervisory authority'}", state, rule)


def _at_seat(word: str, legal: Legal, book: LawBook) -> Iterator[To]:
    (what, rule), nis2 = _AT_SEAT[word], word == "@nis2_authority"
    seats = [seat for seat in ([legal.main] if legal.main else legal.establishments) if country(seat) in EEA.members]
    if not seats and legal.representative is not None and nis2:
        seats = [legal.representative]
    for seat in seats:
        state = _state(seat, book)
        known = book.authorities.get(state)
        yield To(f"{state}: {(known and nis2 and known.nis2) or what}", state, rule)
    if not seats:
        yield To(what, None, rule)
