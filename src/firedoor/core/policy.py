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
    """What a detection in an answer leads to: `cut` stops this answer for `reason`, `shut` also shuts its scope."""

    action: Literal["cut", "shut"]
    reason: str
    facts: dict[str, Fact]


def judge(hits: list[Hit], telling: bool, scope: Scope) -> Verdict | None:
    """The verdict on an answer with these protected values in it, or that ends in most of one; None for neither.

    A value or honeytoken that the caller did not type is a confirmed leak: its narrowest scope, `scope`, is shut. An
    end in most of a value may be chance: it is withheld, and shuts nothing.
    """
    facts: dict[str, Fact] = {"scope": str(scope), "stage": "answer"}
    if hits:
        named = {
            "rule": "honeytoken" if any(hit.kind == "honeytoken" for hit in hits) else "protected_value",
            "values": sorted({hit.value_id for hit in hits})[:MAX_NAMED],
            "sets": sorted({hit.set for hit in hits})[:MAX_NAMED],
            "hits": len(hits),
        }
        return Verdict("shut", "leak", {**facts, "verdict": "shut", **named})
    if telling:
        return Verdict("cut", "partial_value", {**facts, "verdict": "cut", "rule": "partial_value"})
    return None
