"""Whether it is a breach of personal data, with what risk: what was decided, and what speaks against it since. Pure.

A decision rules out only what was known when it was made. Who signs afterwards that personal data was compromised, or
takes in another case, has to decide again; until then clocks run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from firedoor.core.incident.case import Case, said
from firedoor.core.incident.entries import Before, Decided, MomentSet, TookIn
from firedoor.core.incident.merging import brought

Applies = Literal["yes", "likely", "no", "unknown"]
COMPROMISED: Final = ("aware", "knew", "processor_aware")
"""Events that say that personal data was compromised."""
TAKEN_IN: Final = "taken in"
"""Stands among what came after a decision for another case that was taken in."""
HIGH_RISK: Final = 12
"""Quarters of the severity score from which it speaks for high risk: 3.00 (ENISA 2013: high)."""


class Verdict(NamedTuple):
    """The answer, and by what."""

    word: Applies
    why: str


def since_decided(case: Case) -> frozenset[str]:
    """The events that were signed after the decision, and `TAKEN_IN`; nothing without a decision."""
    if case.decided is None:
        return frozenset()
    says = [(case.corrected.get(number, number), payload) for number, payload in said(case.entries).items()]
    decided = max((number for number, payload in says if isinstance(payload, Decided)), default=0)
    later = [payload for number, payload in says if number > decided]
    taken_in = {TAKEN_IN for payload in later if isinstance(payload, TookIn)}
    return frozenset({payload.event for payload in later if isinstance(payload, MomentSet)} | taken_in)


def _again(since: frozenset[str], *events: str) -> str | None:
    """What came after the decision and speaks against it: it no longer rules anything out."""
    if TAKEN_IN in since:
        return "another case was taken in after the decision: decide again"
    later = next((event for event in events if event in since), None)
    return f"`{later}` was signed after the decision: decide again" if later is not None else None


def _elsewhere(case: Case, *outcomes: str) -> Before | None:
    """What was decided in a case that was taken in, and not again here since, if it is one of `outcomes`."""
    return next((one for one in brought(case) if one.outcome in outcomes), None)


def _personal_data(case: Case, since: frozenset[str]) -> Verdict:
    decided = case.decided
    again = _again(since, *COMPROMISED, "high_risk_decided")
    if decided is not None and decided.outcome != "no_breach":
        return Verdict("yes", "decided: a breach of personal data")
    if decided is not None and again is None:
        return Verdict("no", "decided: no breach of personal data")
    breach = _elsewhere(case, "not_notified", "authority", "authority_and_people")
    if breach is not None:
        return Verdict(
            "yes", f"decided in {breach.case}, before it was taken in: a breach of personal data; decide again"
        )
    known = [event for event in COMPROMISED if event in case.moments]
    if known:
        return Verdict("yes", again or f"personal data was compromised (`{known[0]}`)")
    return Verdict("likely", again or "not decided yet whether personal data was compromised")


def _risk(case: Case, since: frozenset[str]) -> Verdict:
    decided = case.decided
    again = _again(since, "high_risk_decided")
    spared = decided is not None and decided.outcome == "not_notified"
    if spared and again is None:
        return Verdict("no", "decided: risk is unlikely, register only")
    said = _personal_data(case, since)
    if said.word != "yes":
        return said
    if spared and again is not None:
        return Verdict("yes", again)
    if decided is None:
        there = _elsewhere(case, "not_notified")
        whose = "nobody decided" if there is None else f"was decided for {there.case} alone: decide again"
        return Verdict("yes", f"due unless risk is unlikely, which {whose}")
    if decided.outcome == "no_breach":
        return said
    return Verdict("yes", "decided: the authority is told")


def _against(decided: Decided) -> tuple[str, ...]:
    """Events that speak against not telling people, if they are signed after `decided`."""
    if decided.ground is not None:  # not told though risk is high
        return ()
    return (*COMPROMISED, "high_risk_decided") if decided.outcome == "no_breach" else ("high_risk_decided",)


def _high_risk(case: Case, since: frozenset[str]) -> Verdict:
    decided = case.decided
    if decided is not None and decided.outcome == "authority_and_people":
        return Verdict("yes", "decided: people are told")
    open_still = "high_risk_decided" in case.moments and decided is not None and decided.outcome == "authority"
    if decided is not None and _again(since, *_against(decided)) is None and (decided.ground or not open_still):
        ground = f" ({decided.ground})" if decided.ground else ""
        return Verdict("no", f"decided: people are not told{ground}")
    if "high_risk_decided" in case.moments:
        return Verdict("yes", "high risk was decided")
    scores = [one.quarters for one in brought(case) if one.quarters is not None]
    quarters = max([*scores, case.scored.quarters if case.scored is not None else 0])
    if quarters >= HIGH_RISK:
        return Verdict("likely", f"scored {quarters / 4:.2f}, which speaks for high risk; nobody decided it")
    if TAKEN_IN in since:
        return Verdict("unknown", "another case was taken in after the decision: decide again")
    return Verdict("unknown", "nobody decided whether risk is high")


BREACH: Final[dict[str, Callable[[Case, frozenset[str]], Verdict]]] = {
    "personal_data": _personal_data,
    "risk": _risk,
    "high_risk": _high_risk,
}
"""By the word of a condition; asked with what `since_decided` told."""
