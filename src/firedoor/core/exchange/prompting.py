"""What an exchange makes of the attacks seen in its request, and of its session."""

from __future__ import annotations

import math
from collections.abc import Sequence

from firedoor.core import policy
from firedoor.core.plan.model import PromptRules
from firedoor.core.prompts.looking import PromptLook
from firedoor.core.sessions import RUNGS, Rung, Standing, Turn
from firedoor.core.switches import Scope
from firedoor.errors import CallerError


def turn(look: PromptLook, verdicts: Sequence[policy.Verdict]) -> Turn:
    """What the request adds to its session. Other people's texts are not the shopper's doing.

    Of each kind a turn counts once: one question in many words, or one odd attachment, makes no session. What an attack
    asks for is the attack's.
    """
    attack = any(verdict.reason == "prompt_attack" for verdict in verdicts)
    return Turn(
        weak=look.weak,
        asked=int(bool(look.asked) and not attack),
        hidden=int(look.refused > 0),
        compared=look.compared,
        attack=attack,
    )


def rung(standing: Standing, rules: PromptRules) -> Rung:
    """Where the session stands, as far as the surface's rules let it come."""
    if rules.mode == "shadow" or rules.sessions == "off":
        return "observe"
    return min(standing.rung, rules.sessions, key=RUNGS.index)


def refused(standing: Standing, scope: Scope) -> policy.Verdict:
    """The verdict on a session that is refused."""
    facts = {"key": str(standing.kind), "signal": str(standing.signal)}
    return policy.plain("session_refused", scope, "session", "refuse", **facts)


def limited(standing: Standing) -> CallerError:
    """What the caller of a refused session hears."""
    seconds = max(1, math.ceil(standing.retry_after))
    problem = f"This session asked for too much that it may not have. Try again in {seconds} s."
    return CallerError(429, "session_limited", problem, headers=(("retry-after", str(seconds)),))


def refusal() -> CallerError:
    """What the caller of a refused request hears: not which of their words it was."""
    problem = "This request was refused: it asks the model for what it must not do or tell."
    return CallerError(400, "prompt_refused", problem, param="messages")
