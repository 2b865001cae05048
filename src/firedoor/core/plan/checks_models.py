"""Checks of how model instances are called."""

from __future__ import annotations

from collections.abc import Iterator

from firedoor.core.plan.faults import Fault
from firedoor.core.plan.model import Plan

MIN_WINDOW, MAX_WINDOW = 1.0, 300.0
"""Seconds. In less there are too few calls to speak of a share; what failed longer ago says nothing of now."""
MIN_REST, MAX_REST = 0.1, 300.0
"""Seconds. A shorter rest spares the server nothing; after a longer one AI stays off long after the server is back."""


def breakers_can_work(plan: Plan) -> Iterator[Fault]:
    """Windows and rests mean something, and the longest rest is not shorter than the first."""
    for name, model in plan.models.items():
        rules = model.breaker
        bounds = (
            ("window", rules.window, MIN_WINDOW, MAX_WINDOW),
            ("rest", rules.rest, MIN_REST, MAX_REST),
            ("longest_rest", rules.longest_rest, max(MIN_REST, min(rules.rest, MAX_REST)), MAX_REST),
        )
        for key, value, least, most in bounds:
            if not least <= value <= most:
                remedy = f"From {least:g}s to {most:g}s{'; not less than rest' if key == 'longest_rest' else ''}."
                yield Fault(("models", name, "breaker", key), f"{value} is out of bounds", remedy)
