"""How many attacks are seen in prompts, how many harmless texts are taken for one, and what reading costs.

Each text is read by itself, as `firedoor scan prompt` does, by a caller to whom nothing is granted.
"""

from __future__ import annotations

import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from firedoor.app import redteam_suite
from firedoor.app.attacks import AttackReaders
from firedoor.bench.processes import Machine, machine
from firedoor.core.detect.attack.signs import Role
from firedoor.core.plan.model import PromptRules
from firedoor.core.prompts.asking import not_theirs
from firedoor.core.prompts.looking import ENOUGH, Read, look_at
from firedoor.core.redteam.canaries import Canaries, invent
from firedoor.core.redteam.cases import Case
from firedoor.core.redteam.forms import disguised, fill
from firedoor.errors import SetupError

MAX_LINE = 4 * 1_048_576
"""Bytes of a text with its labels: a prompt of a megabyte in escapes."""
MAX_TEXTS = 200_000
"""Texts of one run: some minutes of reading."""
WARM_UP = 50
"""Texts read before the clock starts: first words make tables."""
TIMED = 200
"""Characters from which the time of a single text is scaled to 1,000: shorter ones measure the call."""
_NO_TEXT = frozenset({"bulk", "chat", "narrowing", "catalogue"})
"""Kinds of the suite that are requests, or many turns of which none need be an attack by itself."""
CURVE = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Scores at which the curve is told."""


class Row(Struct, frozen=True):
    """A line of a set. Without a `role`, texts of the kind ``indirect`` and reviews are documents."""

    text: str
    label: Literal["attack", "benign"]
    kind: str = ""
    source: str = ""
    language: str = msgspec.field(name="lang", default="")
    encoder: str = msgspec.field(name="enc", default="")
    role: Role | None = None

    @property
    def read_as(self) -> Role:
        """Whose words it is."""
        return self.role or ("document" if self.kind == "indirect" or "review" in self.source else "shopper")


class Share(Struct, frozen=True):
    """Of `texts`, the part that had a verdict, with its 95 % interval (Wilson)."""

    name: str
    texts: int
    seen: int
    part: float
    low: float
    high: float


class Point(Struct, frozen=True):
    """At a `score`: the parts of attacks, of harmless chat and of harmless texts that look like attacks above it.

    None where there are no such texts.
    """

    score: float
    attacks: float | None
    chat: float | None
    hard: float | None


class Speed(Struct, frozen=True):
    """CPU ms per 1,000 characters: half and 99 % of single texts; `short` is the median of a whole short text."""

    p50: float | None
    p99: float | None
    short: float | None


class PromptFigures(Struct, frozen=True):
    """The whole run. `kinds`, `sources`, `languages` and `encoders` are of attacks, `alarms` of harmless texts."""

    machine: Machine
    data: str
    kinds: list[Share]
    sources: list[Share]
    languages: list[Share]
    encoders: list[Share]
    alarms: list[Share]
    curve: list[Point]
    speed: Speed


def run(rows: Sequence[Row], data: str, say: Callable[[str], None]) -> PromptFigures:
    """Read all of `rows`. Raises `SetupError`."""
    here = machine()
    read = AttackReaders().detector().read
    rules = PromptRules()
    for row in rows[:WARM_UP]:
        look_at(row.text, row.read_as, read, rules, not_theirs(()))
    tally = _Tally()
    for number, row in enumerate(rows):
        if number % 500 == 0:
            say(f"{number:,} of {len(rows):,} texts")
        tally.add(row, read, rules)
    return tally.figures(here, data)


class _Tally:
    def __init__(self) -> None:
        self._attacks: list[tuple[Row, float]] = []
        self._harmless: list[tuple[Row, float]] = []
        self._scaled: list[float] = []
        self._short: list[float] = []

    def add(self, row: Row, read: Read, rules: PromptRules) -> None:
        begun = time.process_time()
        found = look_at(row.text, row.read_as, read, rules, not_theirs(()))
        spent = 1000 * (time.process_time() - begun)
        (self._attacks if row.label == "attack" else self._harmless).append((row, found.score))
        if len(row.text) >= TIMED:
            self._scaled.append(1000 * spent / len(row.text))
        else:
            self._short.append(spent)

    def figures(self, here: Machine, data: str) -> PromptFigures:
        attacks, harmless = self._attacks, self._harmless
        return PromptFigures(
            here,
            data,
            kinds=_shares(attacks, lambda row: row.kind or "attack"),
            sources=_shares(attacks, lambda row: row.source or "?"),
            languages=_shares(attacks, lambda row: row.language or "?"),
            encoders=_shares([one for one in attacks if one[0].encoder], lambda row: row.encoder),
            alarms=_shares(harmless, lambda row: f"{row.kind or 'benign'}: {row.source or '?'}"),
            curve=[_point(score, attacks, harmless) for score in CURVE],
            speed=Speed(_quantile(self._scaled, 0.5), _quantile(self._scaled, 0.99), _quantile(self._short, 0.5)),
        )


def sample() -> list[Row]:
    """The texts of the red-team suite, plain and in disguise, and their harmless twins. Raises `SetupError`."""
    suite = redteam_suite.load()
    chance = random.Random(0)  # noqa: S311  names of products, the same in every run
    canaries = invent(chance, chance)
    cases = (*suite.cases, *disguised(suite.cases, suite.wordings, canaries))
    return [row for case in cases if case.kind not in _NO_TEXT for row in _pair(case, canaries)]


def _pair(case: Case, canaries: Canaries) -> Iterator[Row]:
    """The attack, where the case has one, and its twin: the same words by a buyer are no twin here."""
    role: Role = "shopper" if case.carrier is None else "tool" if case.carrier == "tool_result" else "document"
    common = {"source": "redteam", "language": case.lang, "encoder": case.disguise}
    for text in case.ask[:1]:
        yield Row(fill(text, canaries), "attack", case.kind, role=role, **common)
    for text in case.twin[:1]:
        if case.kind != "grants":
            yield Row(fill(text, canaries), "benign", "benign_hard", role=role, **common)


def rows_in(path: Path) -> list[Row]:
    """The texts of a file or of all ``.jsonl`` files of a folder. Raises `SetupError`."""
    paths = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not paths:
        raise SetupError(f"There are no .jsonl files in {path}.", remedy="Name a file or folder of labelled prompts.")
    return [row for one in paths for row in _rows(one)]


def _rows(path: Path) -> Iterator[Row]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE or number > MAX_TEXTS:
                    limit = f"a set has at most {MAX_TEXTS:,} lines of {MAX_LINE:,} bytes"
                    raise SetupError(f"{path.name}, line {number}: {limit}.")
                yield _row(line, f"{path.name}, line {number}")
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}.") from None


def _row(line: bytes, where: str) -> Row:
    try:
        return msgspec.json.decode(line, type=Row)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        wanted = '{"text", "label": "attack" or "benign", "kind", "source", "lang", "enc", "role"}'
        raise SetupError(f"{where} is not a labelled prompt.", remedy=wanted) from None


def share(name: str, scores: Sequence[float]) -> Share:
    """How many of `scores` are a verdict, with the interval of E. B. Wilson (1927) at 95 %."""
    texts, seen = len(scores), sum(score >= ENOUGH for score in scores)
    if not texts:
        return Share(name, 0, 0, 0.0, 0.0, 1.0)
    z, part = 1.959964, seen / texts
    middle = (part + z * z / (2 * texts)) / (1 + z * z / texts)
    half = z * math.sqrt(part * (1 - part) / texts + z * z / (4 * texts * texts)) / (1 + z * z / texts)
    return Share(name, texts, seen, part, max(0.0, middle - half), min(1.0, middle + half))


def _shares(rows: Iterable[tuple[Row, float]], name: Callable[[Row], str]) -> list[Share]:
    groups: dict[str, list[float]] = defaultdict(list)
    for row, score in rows:
        groups[name(row)].append(score)
    return [share(group, scores) for group, scores in sorted(groups.items())]


def _point(score: float, attacks: list[tuple[Row, float]], harmless: list[tuple[Row, float]]) -> Point:
    hard = [one for row, one in harmless if row.kind == "benign_hard"]
    chat = [one for row, one in harmless if row.kind != "benign_hard"]
    return Point(score, *(_above(score, scores) for scores in ([one for _, one in attacks], chat, hard)))


def _above(score: float, scores: Sequence[float]) -> float | None:
    return sum(one >= score for one in scores) / len(scores) if scores else None


def _quantile(times: list[float], part: float) -> float | None:
    return sorted(times)[min(len(times) - 1, int(len(times) * part))] if times else None
