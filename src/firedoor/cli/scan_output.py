"""`firedoor scan output`: answers of a model, judged as the gateway judges them, with the same parts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from firedoor.app.brands import surface_brands
from firedoor.app.detectors import Detectors
from firedoor.app.protection import Protection
from firedoor.app.regionkeys import open_region
from firedoor.cli.finding import served_shops, unknown
from firedoor.cli.options import planned_region
from firedoor.cli.scan_lines import BadLine, Line, told_verdict
from firedoor.config import HOME_VARIABLE, Home
from firedoor.core import policy
from firedoor.core.detect.known import Known, texts_of
from firedoor.core.detect.leak.guard import LeakIndex
from firedoor.core.detect.rules.tier import Rules
from firedoor.core.detect.spans import Hit, Span
from firedoor.core.detect.strangers import AnswerCheck, Find, StrangerWatch
from firedoor.core.exchange.texts import Text
from firedoor.core.minimise.handlings import Handlings
from firedoor.core.plan.model import AnswerRules, PersonalDataRules, Plan
from firedoor.core.policy import Action
from firedoor.core.subject import FIELD, SubjectRecord, take_subject
from firedoor.core.switches import Scope
from firedoor.core.taxonomy import ids_of
from firedoor.errors import CallerError
from firedoor.store import planfile

MAX_CHUNKS = 1_048_576
"""Pieces of a text: one a character."""

Finding = dict[str, Any]


class Answer(Line):
    """A line: an answer, in `chunks` as it arrived, the request that it answers, and what its reader may receive.

    `grants` and `role` are names of protected sets or of roles of the plan; a name that is neither grants nothing.
    """

    chunks: tuple[str, ...] | None = None
    grants: tuple[str, ...] = ()
    role: str | None = None
    request: dict[str, Any] = msgspec.field(default_factory=dict)


class _Reader(NamedTuple):
    """Who an answer is for, and what they asked."""

    request: dict[str, Any]
    subject: SubjectRecord | None
    granted: frozenset[str]


_NOBODY_ASKED = ("record", "stranger_data")
"""An answer to nobody knows: its order number may be the shopper's own. It is told, and does not make the verdict."""


class OutputScan:
    """Judges answers as `surface` does; without one, everything the plan declares is protected and rules are default.

    `find` is the rule tier for personal data; with `names`, full names are looked for as well.
    """

    def __init__(
        self, plan: Plan, surface: str | None, index: LeakIndex, find: Find, names: Find | None = None
    ) -> None:
        settings = plan.surfaces[surface] if surface is not None else None
        personal = settings.personal_data if settings is not None else PersonalDataRules()
        self._plan = plan
        self._surface = surface or ""
        self._index = index
        self._rules = settings.answers if settings is not None else AnswerRules()
        self._answers = Handlings(personal).answers
        self._not_personal = list(personal.not_personal)
        self._find = find
        self._names = names

    def judge(self, asked: Answer) -> dict[str, Any]:
        """The line that answers `asked`. Raises `BadLine`, ``not_scanned`` if the search itself fails."""
        pieces = _pieces(asked)
        reader = self._reader(asked)
        try:
            told = self._judged(pieces, reader, whole=asked.chunks is None)
        except Exception as error:  # noqa: BLE001  not knowing is not the same as finding nothing, and others still ask
            raise BadLine("not_scanned", f"The search failed: {type(error).__name__}.", asked.id) from None
        lacking = [name for name in asked.grants if name not in self._plan.protected and name not in self._plan.grants]
        return {"id": asked.id, **told, **({"unknown_grants": lacking} if lacking else {})}

    def _reader(self, asked: Answer) -> _Reader:
        messages = asked.request.get("messages", [])
        if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
            raise BadLine(
                "bad_request", '"request" is a chat request: {"messages": [{"role": …, "content": …}]}.', asked.id
            )
        body = asked.request if asked.own is None else {**asked.request, FIELD: {"subject": asked.own}}
        try:
            request, subject = take_subject(body)
        except CallerError as error:
            raise BadLine("bad_own", error.message.replace(f"{FIELD}.subject", "own"), asked.id) from None
        granted: set[str] = set()
        for name in (*asked.grants, asked.role or ""):
            granted |= self._plan.granted(name, self._surface)
            granted |= {name} & self._plan.protected.keys()
        return _Reader(request, subject, frozenset(granted))

    def _judged(self, pieces: Sequence[str], reader: _Reader, *, whole: bool) -> dict[str, Any]:
        guard = self._index.guard(self._index.read(*reader))
        known = Known(lambda: texts_of([reader.request, reader.subject, self._not_personal]))
        check = None
        if self._answers != "pass":
            check = AnswerCheck(self._find, known, cut=self._answers == "cut", names=self._names)
        strangers = check.watch() if check is not None else None
        text = _Released(Text(guard.watch(), None, as_json=False, strangers=strangers), self._rules)
        for piece in pieces:
            text.feed(piece)
        text.end()
        whose = text.findings + self._strangers(check, strangers)
        findings = [finding for _, finding in whose]
        findings.sort(key=lambda one: one["span"] or [1 << 30, 0])
        asked = bool(reader.request or reader.subject)
        counted = [action for action, finding in whose if asked or (action, finding["rule"]) != _NOBODY_ASKED]
        strictest: Action = max(counted, key=policy.ACTIONS.index, default="off")
        released = text.released if not whole or not policy.stops(strictest) else ""
        return {
            "verdict": told_verdict(strictest),
            "score": max((finding["score"] for finding in findings), default=0.0),
            "findings": findings,
            "released": released,
        }

    def _strangers(self, check: AnswerCheck | None, watch: StrangerWatch | None) -> list[tuple[Action, Finding]]:
        """What was found of other people's data. Names are only counted, so they have no place."""
        if check is None or watch is None:
            return []
        verdict = policy.judge_strangers(check.found, Scope("*"), self._answers)
        if verdict is None:
            return []
        found: list[tuple[Action, Finding]] = [(verdict.action, _of_stranger(span)) for span in watch.hits]
        if check.found.names:
            unplaced = _finding(
                "stranger_data", "PERSON", "", None, "plain", None, f"…({check.found.names} names)", 1.0
            )
            found.append(("record", unplaced))
        return found


class _Released:
    """One answer on its way to its reader: what is found in it, and what they get of it."""

    def __init__(self, text: Text, rules: AnswerRules) -> None:
        self._text = text
        self._rules = rules
        self._parts: list[str] = []
        self._stopped = False
        self.findings: list[tuple[Action, Finding]] = []

    @property
    def released(self) -> str:
        return "".join(self._parts)

    def feed(self, piece: str) -> None:
        self._take(self._text.feed(piece))

    def end(self) -> None:
        self._take(self._text.end())

    def _take(self, hits: Iterable[Hit]) -> None:
        """What the gateway does about `hits`: behind one that stops the answer nothing leaves any more."""
        for hit in hits:
            action = policy.action_on(hit, self._rules)
            if action == "off":
                continue
            masked = policy.masked_hit(hit, self._text.excerpt(hit))
            rule = policy.RULES[hit.kind]
            told = _finding(rule, hit.kind, hit.set, hit.value_id, hit.view, (hit.start, hit.end), masked, hit.score)
            self.findings.append((action, told))
            if action == "mask":
                self._text.mask(hit)
            self._stopped = self._stopped or policy.stops(action)
        if not self._stopped:
            self._parts.append(self._text.take(self._text.fed))


def open_scan(
    plan: Path | None, surface: str | None, shop: str | None, home: Path | None, region: str | None
) -> OutputScan:
    """The scan with the plan's settings and all that the region protects. Raises `SetupError`, `KeyUnusable`, …"""
    found = _home(plan, home)
    path = plan or found.plan
    loaded = planfile.load(path)
    declared = loaded.plan
    if surface is not None and surface not in declared.surfaces:
        raise unknown("surface", surface, list(declared.surfaces))
    place = planned_region(found, declared, region)
    protection = Protection.load(place, open_region(place, loaded, path.parent).worker().protect)
    settings = declared.surfaces[surface] if surface is not None else None
    sets, rules = (settings.protect, settings.answers) if settings is not None else (declared.protected, AnswerRules())
    index = protection.index(frozenset(sets), rules)
    shops = served_shops(declared, surface, shop) if surface is not None else []
    if settings is None or not settings.personal_data.answer_names:
        return OutputScan(declared, surface, index, Rules().find)
    detectors = Detectors()
    brands = surface_brands(declared, surface or "", shops, path.parent)
    names = detectors.pipeline(settings.personal_data, brands, deep="off").find
    return OutputScan(declared, surface, index, detectors.rules.find, names)


def _home(plan: Path | None, home: Path | None) -> Home:
    """The installation: the one named, else the one that the plan lies in, else the usual one."""
    if home is None and HOME_VARIABLE not in os.environ and plan is not None and (plan.parent / "regions").is_dir():
        return Home.find(plan.parent)
    return Home.find(home)


def _pieces(asked: Answer) -> Sequence[str]:
    if asked.chunks is None:
        return (asked.text,)
    if len(asked.chunks) > MAX_CHUNKS or "".join(asked.chunks) != asked.text:
        raise BadLine("bad_chunks", '"chunks" are "text" in pieces: joined, they must be the same.', asked.id)
    return asked.chunks


def _of_stranger(span: Span) -> Finding:
    masked = f"…({span.end - span.start})"
    return _finding("stranger_data", span.label, "", None, "plain", (span.start, span.end), masked, span.score)


def _finding(
    rule: str,
    kind: str,
    set_: str,
    value_id: str | None,
    view: str,
    span: tuple[int, int] | None,
    masked: str,
    score: float,
) -> Finding:
    ids = ids_of(rule)
    return {
        "rule": rule, "kind": kind, "set": set_, "id": value_id, "view": view,
        "span": list(span) if span is not None else None, "masked": masked, "score": round(score, 3),
        "stage": "answer", "atlas": list(ids.atlas), "owasp": list(ids.owasp),
    }  # fmt: skip
