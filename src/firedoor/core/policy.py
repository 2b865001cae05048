"""From a detection to a verdict. Decides, does nothing."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from firedoor.core.detect.spans import Hit
from firedoor.core.evidence.record import Fact
from firedoor.core.switches import Scope

MAX_NAMED = 50
"""Ids in one finding: a record has its bound, and a leak of more is as bad."""


class Verdict(Struct, frozen=True):
    """What a detection in an answer leads to: `cut` stops this answer, `shut` also shuts `scope`."""

    action: Literal["cut", "shut"]
    scope: Scope
    facts: dict[str, Fact]


def on_protected_value(hits: list[Hit], scope: Scope) -> Verdict:
    """A protected value or honeytoken the caller did not type is a confirmed leak: its narrowest scope is shut."""
    return Verdict(
        "shut",
        scope,
        {
            "verdict": "shut",
            "scope": str(scope),
            "rule": "honeytoken" if any(h.kind == "honeytoken" for h in hits) else "protected_value",
            "values": sorted({h.value_id for h in hits})[:MAX_NAMED],
            "sets": sorted({h.set for h in hits})[:MAX_NAMED],
            "hits": len(hits),
            "stage": "answer",
        },
    )


def on_partial_value(scope: Scope) -> Verdict:
    """An answer that ends in most of a protected value is withheld. It may be chance, so it shuts nothing."""
    return Verdict("cut", scope, {"verdict": "cut", "scope": str(scope), "rule": "partial_value", "stage": "answer"})
