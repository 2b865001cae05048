"""From a detection to a verdict. Decides, does nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from msgspec import Struct

from firedoor.core.detect.spans import Hit, HitKind
from firedoor.core.detect.strangers import Strangers
from firedoor.core.evidence.record import Fact
from firedoor.core.plan.model import AnswerRules, PromptRules
from firedoor.core.prompts.looking import PromptLook, Seen
from firedoor.core.switches import Scope
from firedoor.core.taxonomy import ids_of

MAX_NAMED = 50
"""Ids in one finding: a record has its bound, and a leak of more is as bad."""

Action = Literal["off", "record", "mask", "withhold", "fallback", "refuse", "cut", "shut"]
Stage = Literal["prompt", "session", "answer", "cache", "model"]
"""Where something was found: in what the model is asked, in all that a session asked, in an answer, in the answer
cache, in how a model instance answers.
"""
ACTIONS: tuple[Action, ...] = ("off", "record", "mask", "withhold", "fallback", "refuse", "cut", "shut")
"""From the mildest to the strictest: where there are several things, the strictest counts."""

RULES: dict[HitKind, str] = {
    "value": "protected_value",
    "honeytoken": "honeytoken",
    "amount": "protected_amount",
    "document": "protected_document",
    "partial": "partial_value",
    "rounded": "rounded_amount",
    "secret": "secret",
    "card": "payment_card",
    "prompt": "system_prompt",
}
"""The rule that a finding names for each kind of hit."""


PROMPT_RULES = ("prompt_attack", "indirect_attack", "asked_attribute")
"""What findings about a request are called, which is the reason as well: by the shopper, planted, a question."""
SHOWN = 16
"""Rules and places in a finding about a prompt: enough to see why."""


class Sighting(NamedTuple):
    """A hit, the text of the answer that it is in, what may be shown of it, and what becomes of it there."""

    hit: Hit
    channel: str
    masked: str
    action: Action

    def place(self) -> str:
        """Where it is, in code points of the model's text."""
        return f"{self.channel}:{self.hit.start}-{self.hit.end}"


class Verdict(Struct, frozen=True):
    """What a detection leads to.

    `refuse` and `fallback` end an exchange whose model was not asked yet, `withhold` took something out of what it is
    told. `shut` shuts the scope and, like `cut`, ends the answer for `reason`; with `fallback` the fallback goes on in
    its place. With `mask` the answer goes on without it, with `record` as it is; both make a finding of it.
    """

    action: Action
    reason: str
    facts: dict[str, Fact]

    @property
    def stops(self) -> bool:
        """Whether the answer must not go on."""
        return stops(self.action)


def stops(action: Action) -> bool:
    """Whether `action` ends an answer, or the exchange before there is one."""
    return action in ("fallback", "refuse", "cut", "shut")


def action_on(hit: Hit, rules: AnswerRules) -> Action:
    """What the surface does about `hit`. Only what is a leak for certain can shut anything."""
    if hit.kind == "prompt":
        return rules.system_prompt
    if hit.kind in ("secret", "card"):
        return rules.secrets
    return rules.leak if hit.confirmed else rules.doubtful


def judge(seen: Sequence[Sighting], scope: Scope) -> Verdict | None:
    """The verdict on an answer in which all of this was seen; None for nothing.

    A value that the caller did not type is a confirmed leak: its narrowest scope, `scope`, is shut where the surface
    says so. An end in most of a value may be chance: it is withheld, and shuts nothing.
    """
    if not seen:
        return None
    action = max((one.action for one in seen), key=ACTIONS.index)
    worst = [one for one in seen if one.action == action]
    first = max(worst, key=lambda one: (one.hit.kind == "honeytoken", one.hit.confirmed))  # what says most
    rule = RULES[first.hit.kind]
    ids = ids_of(rule)
    facts: dict[str, Fact] = {
        "scope": str(scope),
        "stage": "answer",
        "verdict": action,
        "rule": rule,
        "views": sorted({one.hit.view for one in seen}),
        "values": sorted({one.hit.value_id for one in seen})[:MAX_NAMED],
        "sets": sorted({one.hit.set for one in seen if one.hit.set})[:MAX_NAMED],
        "spans": [one.place() for one in seen[:MAX_NAMED]],
        "masked": [one.masked for one in seen[:MAX_NAMED]],
        "score": max(one.hit.score for one in worst),
        "hits": len(seen),
        "atlas": list(ids.atlas),
        "owasp": list(ids.owasp),
    }
    return Verdict(action, "leak" if first.hit.confirmed else rule, facts)


def judge_strangers(found: Strangers, scope: Scope, answers: Literal["pass", "record", "cut"]) -> Verdict | None:
    """The verdict on personal data in an answer that nobody brought; None for none, or where answers pass.

    It may be another customer's, or made up: that is for people to find out, so nothing is shut. Names alone are never
    sure enough to cut an answer.
    """
    if answers == "pass" or not found:
        return None
    action: Action = "cut" if answers == "cut" and found.labels else "record"
    facts = {**_plain("stranger_data", scope, "answer"), "verdict": action}
    if found.labels:
        facts["labels"] = dict(sorted(found.labels.items()))
    if found.names:
        facts["names"] = found.names
    return Verdict(action, "stranger_data", facts)


def judge_prompt(look: PromptLook, rules: PromptRules, scope: Scope) -> list[Verdict]:
    """The verdicts on what a request asks of the model, the strictest first; none for nothing.

    What somebody types limits this exchange and their session, never a surface.
    """
    attack, indirect, asked = PROMPT_RULES
    found: list[Verdict] = []
    if look.attacks and rules.attack != "off":
        found.append(_of_prompt(attack, look.attacks, rules.attack, rules, scope))
    if look.indirect and rules.indirect != "off":
        found.append(_of_prompt(indirect, look.indirect, rules.indirect, rules, scope))
    if look.asked and rules.asked != "off":
        what: dict[str, Fact] = {
            "attributes": sorted(attribute for attribute, _ in look.asked),
            "score": round(max(one.reading.asked[attribute] for attribute, one in look.asked), 3),
        }
        found.append(_of_prompt(asked, [one for _, one in look.asked], rules.asked, rules, scope, what))
    return sorted(found, key=lambda verdict: -ACTIONS.index(verdict.action))


def _of_prompt(
    rule: str,
    seen: Sequence[Seen],
    action: Action,
    rules: PromptRules,
    scope: Scope,
    asked: Mapping[str, Fact] | None = None,
) -> Verdict:
    """In shadow mode the verdict records, and says what it would have been. `asked` tells of a question."""
    wanted = asked is not None
    signs = [(one, sign) for one in seen for sign in one.reading.signs if (sign.source == "asked") is wanted]
    shadow = rules.mode == "shadow"
    facts: dict[str, Fact] = {
        **_plain(rule, scope, "prompt"),
        "verdict": "record" if shadow else action,
        "signs": sorted({sign.rule for _, sign in signs})[:SHOWN],
        "views": sorted({sign.view for _, sign in signs})[:SHOWN],
        "roles": sorted({one.passage.role for one in seen}),
        "spans": list(dict.fromkeys(one.place(sign) for one, sign in signs))[:SHOWN],
        "score": round(max(one.reading.score for one in seen), 3),
        **(asked or {}),
    }
    if shadow:
        facts["would"] = action
    return Verdict("record" if shadow else action, rule, facts)


def plain(rule: str, scope: Scope, stage: Stage, action: Action, **facts: str) -> Verdict:
    """The verdict on what is no stretch of a text: a check that failed, a poisoned entry, a replayed answer."""
    return Verdict(action, rule, {**_plain(rule, scope, stage), "verdict": action, **facts})


def masked_hit(hit: Hit, text: str) -> str:
    """What a finding shows of `hit`, whose text is `text`: ends of a code, the length of anything else."""
    return masked(text) if hit.kind in ("value", "honeytoken") else f"…({hit.end - hit.start})"


def masked(text: str) -> str:
    """What may be shown of protected text: two characters of each end, enough for its owner; nothing of a short one."""
    return f"{text[:2]}…{text[-2:]}" if len(text) >= 12 else "…"


def _plain(rule: str, scope: Scope, stage: Stage) -> dict[str, Fact]:
    ids = ids_of(rule)
    return {"scope": str(scope), "stage": stage, "rule": rule, "atlas": list(ids.atlas), "owasp": list(ids.owasp)}
