"""What a caller may ask for: an attribute that no set granted to them tells is not theirs to ask."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from firedoor.core.plan.model import Attribute

ASKABLE: frozenset[Attribute] = frozenset(get_args(Attribute)) - {"other"}
"""What there are words for."""
_PRICES: frozenset[Attribute] = frozenset({"cost", "margin", "floor_price"})
"""With the public price, each tells the others."""


def not_theirs(granted: Iterable[Attribute]) -> frozenset[Attribute]:
    """What the caller may not ask for, who receives sets that tell `granted`."""
    theirs = set(granted)
    return ASKABLE - theirs - (_PRICES if theirs & _PRICES else set())
