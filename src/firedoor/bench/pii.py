"""How much personal data is found, how much else, and what it costs: on a small set of ours, or on sets of yours.

Texts are searched one after the other in this process; load time and memory are those of a fresh one.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path

import msgspec
from msgspec import Struct

from firedoor.bench.pii_score import Score, Spans
from firedoor.bench.pii_tools import PEER, Cost, Find, ours, peer
from firedoor.bench.processes import Machine, machine
from firedoor.errors import SetupError

SAMPLE = "pii-sample.jsonl"
MAX_LINE = 1_048_576
"""Bytes of a text with its spans; texts of shops have a few hundred."""
MAX_TEXTS = 100_000
"""Texts of one set: they are held in memory, some 100 MiB."""
TIMED = 200
"""Characters from which the time of a single text is scaled to 500: shorter ones measure the call, not the search."""
PER = 500
WARM_UP = 20
"""Texts searched before the clock starts: first calls make tables."""


class Mark(Struct, frozen=True):
    """A span of a set's line."""

    start: int
    end: int
    label: str


class Row(Struct, frozen=True):
    """A line of a set."""

    text: str
    marks: tuple[Mark, ...] = msgspec.field(name="spans", default=())
    language: str = msgspec.field(name="lang", default="")
    source: str = ""

    @property
    def spans(self) -> Spans:
        """As the score wants them."""
        return [(mark.start, mark.end, mark.label) for mark in self.marks]


class Quality(Struct, frozen=True):
    """Of characters: `f1`, `precision`, `recall`; `left` of `values` in clear; None where the texts hold none.

    `alarms` is characters hit of 1,000 that are nobody's.
    """

    name: str
    texts: int
    characters: int
    values: int
    alarms: float
    f1: float | None = None
    precision: float | None = None
    recall: float | None = None
    left: float | None = None


class LabelQuality(Struct, frozen=True):
    """One label: `recall` of its characters under any label, `precision` of what was found under this label."""

    label: str
    values: int
    left: float | None
    recall: float | None
    precision: float | None
    f1: float | None
    false: int


class Speed(Struct, frozen=True):
    """CPU ms per 500 characters: half and 99 % of single texts, and all time over all characters."""

    p50: float | None
    p99: float | None
    mean: float


class Tool(Struct, frozen=True):
    """One tool on all sets. `mean` is over the sets that hold personal data, each counting the same."""

    name: str
    cost: Cost
    speed: Speed
    sets: list[Quality]
    mean: Quality
    languages: list[Quality]
    labels: list[LabelQuality]


class PiiFigures(Struct, frozen=True):
    """The whole run."""

    machine: Machine
    data: str
    tools: list[Tool]
    peer_installed: bool


def run(folder: Path | None, tiers: Sequence[str], say: Callable[[str], None]) -> PiiFigures:
    """Measure `tiers` of ours, and the peer where it is installed. Raises `SetupError`."""
    here = machine()
    sets = sets_in(folder) if folder is not None else _sample()
    tools = [_measure("firedoor " + "+".join(tiers), ours(tiers), _cost(*tiers), sets, say)]
    other = peer()
    if other is not None:
        tools.append(_measure(other.name, other.find, _cost(PEER), sets, say))
    return PiiFigures(here, folder.name if folder is not None else "sample", tools, other is not None)


def sets_in(folder: Path) -> dict[str, list[Row]]:
    """The sets of a folder: one for each ``NAME.jsonl`` or ``NAME.dev.jsonl``. Raises `SetupError`."""
    paths = sorted(folder.glob("*.jsonl"))
    if not paths:
        raise SetupError(f"There are no .jsonl files in {folder}.", remedy="Name a folder of labelled texts.")
    return {path.name.removesuffix(".jsonl").removesuffix(".dev"): list(_rows(path)) for path in paths}


def _rows(path: Path) -> Iterator[Row]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE or number > MAX_TEXTS:
                    raise SetupError(
                        f"{path.name}, line {number}: a set has at most {MAX_TEXTS:,} lines of {MAX_LINE:,} bytes."
                    )
                yield _row(line, f"{path.name}, line {number}")
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}.") from None


def _row(line: bytes, where: str) -> Row:
    try:
        row = msgspec.json.decode(line, type=Row)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise SetupError(
            f"{where} is not a labelled text.", remedy='{"text", "lang", "spans": [{"start", "end", "label"}]}'
        ) from None
    ends = 0
    for start, end, _ in sorted(row.spans):
        if not ends <= start < end <= len(row.text):
            raise SetupError(f"{where}: a span is outside the text or overlaps another.")
        ends = end
    return row


def _sample() -> dict[str, list[Row]]:
    sets: dict[str, list[Row]] = {}
    lines = resources.files("firedoor.data").joinpath(SAMPLE).read_bytes().splitlines()
    for number, line in enumerate(lines, 1):
        row = _row(line, f"{SAMPLE}, line {number}")
        sets.setdefault(row.source, []).append(row)
    return sets


def _measure(name: str, find: Find, cost: Cost, sets: dict[str, list[Row]], say: Callable[[str], None]) -> Tool:
    for row in next(iter(sets.values()))[:WARM_UP]:
        find(row.text)
    total, by_language = _Tally("all"), dict[str, _Tally]()
    qualities: list[Quality] = []
    clock = _Clock(find)
    for set_name, rows in sets.items():
        say(f"{name}: {set_name}")
        tally = _Tally(set_name)
        for row in rows:
            spans = clock.find(row.text)
            for one in (tally, total, by_language.setdefault(row.language or "?", _Tally(row.language or "?"))):
                one.add(row, spans)
        qualities.append(tally.quality())
    languages = [tally.quality() for _, tally in sorted(by_language.items())]
    return Tool(name, cost, clock.speed(), qualities, _mean(qualities), languages, _labels(total.score))


class _Clock:
    """Measures CPU time of this process, so that others' work on the machine counts little."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._scaled: list[float] = []
        self._characters = 0
        self._seconds = 0.0

    def find(self, text: str) -> Spans:
        begun = time.process_time()
        spans = self._find(text)
        spent = time.process_time() - begun
        self._seconds += spent
        self._characters += len(text)
        if len(text) >= TIMED:
            self._scaled.append(spent * PER / len(text))
        return spans

    def speed(self) -> Speed:
        times = sorted(self._scaled)
        p50, p99 = (1000 * times[int(len(times) * part)] if times else None for part in (0.5, 0.99))
        return Speed(p50, p99, 1000 * PER * self._seconds / max(1, self._characters))


class _Tally:
    def __init__(self, name: str) -> None:
        self._name = name
        self._texts = 0
        self._characters = 0
        self.score = Score()

    def add(self, row: Row, spans: Spans) -> None:
        self._texts += 1
        self._characters += len(row.text)
        self.score.add(row, spans)

    def quality(self) -> Quality:
        score = self.score
        counts = (self._name, self._texts, self._characters, score.values, score.alarms)
        if not score.gold:
            return Quality(*counts)
        return Quality(*counts, score.f1, score.precision, score.recall, score.values_left)


def _mean(sets: list[Quality]) -> Quality:
    told = [one for one in sets if one.f1 is not None]

    def mean(name: str) -> float | None:
        return sum(getattr(one, name) for one in told) / len(told) if told else None

    return Quality(
        "mean of sets",
        sum(one.texts for one in sets),
        sum(one.characters for one in sets),
        sum(one.values for one in sets),
        sum(one.alarms for one in sets) / max(1, len(sets)),
        *map(mean, ("f1", "precision", "recall", "left")),
    )


def _labels(score: Score) -> list[LabelQuality]:
    return [_label(label, score) for label in sorted({*score.asked, *score.found_of})]


def _label(label: str, score: Score) -> LabelQuality:
    values = score.asked[label]
    recall = score.masked_of[label] / score.gold_of[label] if score.gold_of[label] else None
    precision = score.right_of[label] / score.found_of[label] if score.found_of[label] else None
    both = None if recall is None or precision is None else 2 * recall * precision / max(1e-9, recall + precision)
    left = score.missed[label] / values if values else None
    return LabelQuality(label, values, left, recall, precision, both, score.false[label])


def _cost(*what: str) -> Cost:
    command = [sys.executable, "-m", "firedoor.bench.pii_tools", *what]
    ran = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 (our own interpreter and module)
    try:
        return msgspec.json.decode(ran.stdout, type=Cost)
    except msgspec.DecodeError:
        said = ran.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise SetupError(f"A process of the bench ended with status {ran.returncode}: {said}") from None
