"""`firedoor scan prompt`: what shoppers, documents and tools say to a model, judged as the gateway judges it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from firedoor.app.attacks import AttackReaders
from firedoor.cli.finding import unknown
from firedoor.cli.scan_lines import BadLine, Line, told_verdict
from firedoor.config import Home
from firedoor.core import policy
from firedoor.core.detect.attack.signs import Role, Sign
from firedoor.core.plan.model import Attribute, Plan, PromptRules
from firedoor.core.prompts.asking import not_theirs
from firedoor.core.prompts.looking import PromptLook, Read, Seen, look_at
from firedoor.core.switches import Scope
from firedoor.core.taxonomy import ids_of
from firedoor.store import planfile

ATTRIBUTES: tuple[Attribute, ...] = get_args(Attribute)
Finding = dict[str, Any]


class Prompt(Line):
    """A line: a text, who wrote it, and what the caller may receive.

    `grants` are attributes (``cost``), or protected sets or roles of the plan; a name that is none grants nothing.
    """

    role: Role = "shopper"
    grants: tuple[str, ...] = ()


class PromptScan:
    """Judges texts as `surface` does; without one with the rules that hold where a plan says nothing."""

    def __init__(self, read: Read, plan: Plan | None = None, surface: str | None = None) -> None:
        self._read = read
        self._plan = plan
        self._surface = surface or ""
        self._rules = plan.surfaces[surface].prompts if plan is not None and surface is not None else PromptRules()

    def judge(self, asked: Prompt) -> dict[str, Any]:
        """The line that answers `asked`. Raises `BadLine`, ``not_scanned`` if the reading itself fails."""
        granted, lacking = self._granted(asked.grants)
        try:
            look = look_at(asked.text, asked.role, self._read, self._rules, not_theirs(granted))
            verdicts = policy.judge_prompt(look, self._rules, Scope("*"))
        except Exception as error:  # noqa: BLE001  not knowing is not the same as finding nothing, and others still ask
            raise BadLine("not_scanned", f"The search failed: {type(error).__name__}.", asked.id) from None
        strictest = verdicts[0].action if verdicts else "off"
        told = {
            "id": asked.id,
            "verdict": told_verdict(strictest),
            "score": round(look.score, 4),
            "findings": _findings(look, {verdict.reason for verdict in verdicts}),
        }
        return {**told, "unknown_grants": lacking} if lacking else told

    def _granted(self, names: tuple[str, ...]) -> tuple[set[Attribute], list[str]]:
        """The attributes that `names` stand for, and the names that stand for none."""
        granted: set[Attribute] = set()
        lacking = []
        protected = self._plan.protected if self._plan is not None else {}
        for name in names:
            sets = self._plan.granted(name, self._surface) if self._plan is not None else frozenset[str]()
            told = {protected[one].attribute for one in (*sets, name) if one in protected}
            told |= {attribute for attribute in ATTRIBUTES if attribute == name}
            granted |= told
            if not told and (self._plan is None or name not in self._plan.grants):
                lacking.append(name)
        return granted, lacking


def open_scan(plan: Path | None, surface: str | None) -> PromptScan:
    """The scan with the settings of `plan`; of the installation's, where only a surface is named.

    Raises `SetupError`, `PlanInvalid`.
    """
    read = AttackReaders().detector().read
    if plan is None and surface is None:
        return PromptScan(read)
    declared = planfile.load(plan or Home.find().plan).plan
    if surface is not None and surface not in declared.surfaces:
        raise unknown("surface", surface, list(declared.surfaces))
    return PromptScan(read, declared, surface)


def _findings(look: PromptLook, rules: set[str]) -> list[Finding]:
    found: list[Finding] = []
    for rule, seen in (("prompt_attack", look.attacks), ("indirect_attack", look.indirect)):
        if rule in rules:
            found += [_finding(rule, one, sign) for one in seen for sign in one.reading.signs if sign.source != "asked"]
    if "asked_attribute" in rules:
        for attribute, one in look.asked:
            signs = [sign for sign in one.reading.signs if sign.rule == f"asked.{attribute}"]
            found += [{**_finding("asked_attribute", one, sign), "attribute": attribute} for sign in signs]
    return found


def _finding(rule: str, seen: Seen, sign: Sign) -> Finding:
    ids = ids_of(rule)
    start = seen.passage.start
    return {
        "rule": rule, "sign": sign.rule, "source": sign.source, "view": sign.view, "role": seen.passage.role,
        "span": None if seen.passage.inside else [start + sign.start, start + sign.end],
        "score": round(sign.score, 3), "stage": "prompt", "atlas": list(ids.atlas), "owasp": list(ids.owasp),
    }  # fmt: skip
