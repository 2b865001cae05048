"""From a detection to a verdict. Decides, does nothing."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from firedoor.core.detect.spans import Hit
from firedoor.core.detect.strangers import Strangers
from firedoor.core.evidence.record import Fact
from firedoor.core.switches import Scope

MAX_NAMED = 50
"""Ids in one finding: a record has its bound, and a leak of more is as bad."""


class Verdict(Struct, frozen=True):
    """What a detection in an answer leads to: `cut` stops this answer for `reason`, `shut` also shuts its scope.

    `record` makes a finding of it, once for an exchange, and the answer goes on.
    """

    action: Literal["record", "cut", "shut"]
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


def judge_strangers(found: Strangers, scope: Scope, answers: Literal["pass", "record", "cut"]) -> Verdict | None:
    """The verdict on personal data in an answer that nobody brought; None for none, or where answers pass.

    It may be another customer's, or made up: that is for people to find out, so nothing is shut. Names alone are never
    sure enough to cut an answer.
    """
    if answers == "pass" or not found:
        return None
    action: Literal["record", "cut"] = "cut" if answers == "cut" and found.labels else "record"
    facts: dict[str, Fact] = {"scope": str(scope), "stage": "answer", "verdict": action, "rule": "stranger_data"}
    if found.labels:
        facts["labels"] = dict(sorted(found.labels.items()))
    if found.names:
        facts["names"] = found.names
    return Verdict(action, "stranger_data", facts)
