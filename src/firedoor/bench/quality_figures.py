"""The figures of `firedoor bench quality`, from the answers. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from msgspec import Struct

from firedoor.bench import quality_score as score
from firedoor.bench.quality_score import Kept
from firedoor.bench.quality_texts import EXAMPLE_VALUES


class Case(Struct, frozen=True):
    """One message, what the model was told instead, and the answers: `written`, `restored`, `warm` are (a), (b), (c).

    `raw` is (b) as the model wrote it, `values` are the shopper's, `in_clear` of them the model
    was told all the same.
    """

    language: str
    text: str
    told: str
    values: list[str]
    in_clear: int
    written: str
    raw: str
    restored: str
    warm: str
    placeholders: int
    kept: Kept
    templates: int
    """Of (a): what looks like a placeholder although the model was told none."""


class Likeness(Struct, frozen=True):
    """Of two answers each, in the mean; 1 is the same words."""

    rouge_l: float
    f1: float


class Way(Struct, frozen=True):
    """The answers of one way: words each, and the share in the message's language.

    `own` of the shopper's values it repeats, `too` of these and (a)'s `repeated` are the same. `example` values are of
    somebody else: the customer in the example that the model was shown.
    """

    name: str
    words: float
    right_language: float
    own: int
    repeated: int
    too: int
    example: int


class Group(Struct, frozen=True):
    """Messages of some languages. `unrelated`: (a) beside (a) of another message of its language.

    `difference` is the ROUGE-L of (a)-(b) less that of (a)-(c), `error` its standard error over messages.
    """

    name: str
    messages: int
    minimised: Likeness
    warm: Likeness
    unrelated: Likeness | None
    difference: float
    error: float | None
    ways: list[Way]


class ProbeFigures(Struct, frozen=True):
    """Requests with one right answer: values right and probes wholly right, as written and minimised.

    `in_clear` of the `values` were told to the model all the same.
    """

    kind: str
    probes: int
    values: int
    in_clear: int
    written_values: int
    minimised_values: int
    written: int
    minimised: int
    kept: Kept


def summed(kind: str, tried: Sequence[ProbeFigures]) -> ProbeFigures:
    """Those of `kind` together."""
    of = [one for one in tried if one.kind == kind]
    return ProbeFigures(
        kind,
        len(of),
        sum(one.values for one in of),
        sum(one.in_clear for one in of),
        sum(one.written_values for one in of),
        sum(one.minimised_values for one in of),
        sum(one.written for one in of),
        sum(one.minimised for one in of),
        sum((one.kept for one in of), Kept()),
    )


def groups(cases: Sequence[Case]) -> list[Group]:
    """English, the other languages together, and all, as far as there are any."""
    english = [case for case in cases if case.language == "en"]
    others = [case for case in cases if case.language != "en"]
    parts = (("English", english), ("other languages", others), ("all", list(cases)))
    return [_group(name, of) for name, of in parts if of]


def _group(name: str, cases: list[Case]) -> Group:
    near = [(score.rouge_l(case.written, case.restored), score.rouge_l(case.written, case.warm)) for case in cases]
    gaps = [minimised - warm for minimised, warm in near]
    neighbours = list(_neighbours(cases))
    ways = (
        _way("(a) as written", cases, [case.written for case in cases]),
        _way("(b) minimised, restored", cases, [case.restored for case in cases]),
        _way("(c) as written, warm", cases, [case.warm for case in cases]),
    )
    return Group(
        name,
        len(cases),
        _likeness([(case.written, case.restored) for case in cases]),
        _likeness([(case.written, case.warm) for case in cases]),
        _likeness(neighbours) if neighbours else None,
        statistics.fmean(gaps),
        statistics.stdev(gaps) / len(gaps) ** 0.5 if len(gaps) > 1 else None,
        list(ways),
    )


def _neighbours(cases: Sequence[Case]) -> list[tuple[str, str]]:
    """Each answer (a) with that to the next message of its language."""
    spoken: dict[str, list[str]] = {}
    for case in cases:
        spoken.setdefault(case.language, []).append(case.written)
    return [pair for of in spoken.values() if len(of) > 1 for pair in zip(of, of[1:] + of[:1], strict=True)]


def _likeness(pairs: Sequence[tuple[str, str]]) -> Likeness:
    return Likeness(
        statistics.fmean(score.rouge_l(*pair) for pair in pairs),
        statistics.fmean(score.token_f1(*pair) for pair in pairs),
    )


def _way(name: str, cases: Sequence[Case], answers: Sequence[str]) -> Way:
    by_written = [score.repeated(case.values, case.written) for case in cases]
    by_this = [score.repeated(values, answer) for values, answer in zip(by_written, answers, strict=True)]
    return Way(
        name,
        statistics.fmean(len(score.words_of(answer)) for answer in answers),
        statistics.fmean(score.in_language(answer, case.language) for case, answer in zip(cases, answers, strict=True)),
        sum(len(score.repeated(case.values, answer)) for case, answer in zip(cases, answers, strict=True)),
        sum(map(len, by_written)),
        sum(map(len, by_this)),
        sum(len(score.repeated(EXAMPLE_VALUES, answer)) for answer in answers),
    )
