"""What a severity usually comes to in law: a suggestion with its reasons. A person decides and signs. Pure."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from firedoor.core.incident import severity_table as table
from firedoor.core.incident.entries import Outcome
from firedoor.core.incident.severity import NEAR, Inputs, Score, band_of, decimal
from firedoor.core.incident.severity_table import Band
from firedoor.core.plan.model import Plan

OUTCOME_SAYS: dict[Outcome, str] = {
    "no_breach": "no personal data breach: nothing to notify (GDPR Art. 4(12))",
    "not_notified": "in the register only: a risk to people is unlikely (GDPR Art. 33(1), 33(5))",
    "authority": "the authority is told, within 72 hours of becoming aware (GDPR Art. 33(1))",
    "authority_and_people": "the authority and the people concerned are told (GDPR Art. 33(1), 34(1))",
}
A_PERSON_DECIDES = "a person decides: the data-protection officer signs the score and the decision"


class Advice(Struct, frozen=True, kw_only=True):
    """What is suggested, and why, line by line. `ground` is that of Art. 34(3) on which people need not be told.

    `otherwise` is the outcome on the other side of a border that the score is near; None if there is none, or if it
    comes to the same.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    ground: Literal["unintelligible"] | None = None
    otherwise: Outcome | None = None


def advice(score: Score, inputs: Inputs, plan: Plan) -> Advice:
    """What `score`, made of `inputs`, usually comes to under `plan`. The law knows no score: a person decides."""
    if not score.applies:
        return _no_breach(score)
    outcome = _outcome(score.band, plan)
    reasons = [f"severity {decimal(score.quarters)}, {score.band.replace('_', ' ')}: {OUTCOME_SAYS[outcome]}"]
    ground: Literal["unintelligible"] | None = None
    if inputs.unintelligible.holds and outcome == "authority_and_people":
        outcome, ground = "authority", "unintelligible"
        reasons.append(f"people need not be told: nobody can read it (Art. 34(3)(a)): {inputs.unintelligible.why}")
    otherwise = _otherwise(score, plan)
    if score.near_border:
        other = f"on its other side: {OUTCOME_SAYS[otherwise]}" if otherwise else "both sides come to the same"
        reasons.append(f"near a border of the bands; {other}")
    if inputs.many.holds:
        reasons.append(f"more than {table.MANY} people: outside the sum, and for the person to weigh")
    reasons += [f"not known: {each}" for each in score.unknown]
    reasons.append(A_PERSON_DECIDES)
    return Advice(outcome=outcome, reasons=tuple(reasons), ground=ground, otherwise=otherwise)


def _no_breach(score: Score) -> Advice:
    reasons = [
        f"no personal data seen: {OUTCOME_SAYS['no_breach']}",
        *(f"would change it: {flip.says}" for flip in score.flips),
        *(f"not known: {each}" for each in score.unknown),
        A_PERSON_DECIDES,
    ]
    return Advice(outcome="no_breach", reasons=tuple(reasons))


def _outcome(band: Band, plan: Plan) -> Outcome:
    usual = table.BAND_OUTCOMES[band]
    return usual if band == "none" else plan.legal.outcomes.get(band, usual)


def _otherwise(score: Score, plan: Plan) -> Outcome | None:
    """The outcome of the nearest other band, where a quarter or two decide between them."""
    if not score.near_border:
        return None
    around = (score.quarters + step for step in (NEAR, -NEAR, NEAR + 1, -NEAR - 1))
    bands = (band_of(quarters) for quarters in around if quarters > 0)
    other = next((band for band in bands if band != score.band), score.band)
    outcome = _outcome(other, plan)
    return outcome if outcome != _outcome(score.band, plan) else None
