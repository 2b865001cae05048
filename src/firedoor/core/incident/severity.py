"""How severe a personal data breach is, by ENISA's method, with a reason for every factor. Pure.

``SE = DPC x EI + CB``: the context of the data (1 to 4) times how easily people are identified (a quarter to one), plus
the circumstances. Every factor is a multiple of a quarter, so the sum is kept in whole quarters and is exact:
``quarters = DPC x (4 EI) + 4 CB``, from 1 (0.25) to 24 (6.00).

A score is what a person goes by who decides, never the decision: the law knows no score. `severity_suggest` makes
inputs from a case, `severity_advice` says what a score usually comes to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from firedoor.core.incident import severity_table as table
from firedoor.core.incident.severity_table import Band, Base, Ground
from firedoor.core.patterns import END

Why = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*" + END)]
"""A reason: one line. With the bounds below, inputs fit into an entry of a case."""
By = Literal["suggested", "person"]
"""Whether Firedoor suggested it or a person chose it."""
FactorName = Literal["context", "identification", "confidentiality", "integrity", "availability", "malice"]
Label = Annotated[str, Meta(max_length=20, pattern=r"^[A-Z_]+" + END)]
FlagName = Literal["many", "unintelligible"]

MAX_CATEGORIES, MAX_ADJUSTMENTS, MAX_UNKNOWN = 8, 3, 12
"""The tables of suggestions make seven kinds; of three grounds the third is a correction of the others."""
NEAR = 1
"""Quarters from a border at which a score is near it."""


class _Input(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every part: why it was chosen, and by whom."""

    why: Why
    by: By = "person"


class Adjustment(_Input, frozen=True, kw_only=True):
    """What moves a category up or down: how far stands in the table (`severity_table.GROUNDS`)."""

    ground: Ground


class Category(_Input, frozen=True, kw_only=True):
    """A kind of data that was concerned. `labels` are those of the plan that it stands for."""

    base: Base
    labels: Annotated[tuple[Label, ...], Meta(max_length=len(table.LABEL_MEANS))] = ()
    adjustments: Annotated[tuple[Adjustment, ...], Meta(max_length=MAX_ADJUSTMENTS)] = ()

    def __post_init__(self) -> None:
        for adjustment in self.adjustments:
            if not adjustment.ground.startswith(f"{self.base}."):
                raise ValueError(f"{adjustment.ground} is no ground for {self.base} data")

    @property
    def context(self) -> int:
        """Its data processing context, 1 to 4."""
        moved = table.BASES[self.base][0] + sum(table.GROUNDS[each.ground].steps for each in self.adjustments)
        return max(table.LEAST_CONTEXT, min(table.MOST_CONTEXT, moved))


class Identification(_Input, frozen=True, kw_only=True):
    """How easily people are identified by the best identifier in the set, in quarters."""

    quarters: Literal[1, 2, 3, 4]


class Circumstance(_Input, frozen=True, kw_only=True):
    """Loss of confidentiality, integrity or availability, in quarters."""

    quarters: Literal[0, 1, 2]


class Malice(_Input, frozen=True, kw_only=True):
    """Whether it was done with intent to harm, in quarters: nothing or a half."""

    quarters: Literal[0, 2]


class Flag(_Input, frozen=True, kw_only=True):
    """Something that is said beside the sum."""

    holds: bool


class Inputs(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that a score is made of. No category means that no personal data is known to be concerned.

    `many`: more than 100 people. `unintelligible`: nobody who got it can read it (encrypted, and the key is safe).
    `unknown` says what was not known when it was made.
    """

    categories: Annotated[tuple[Category, ...], Meta(max_length=MAX_CATEGORIES)]
    identification: Identification
    confidentiality: Circumstance
    integrity: Circumstance
    availability: Circumstance
    malice: Malice
    many: Flag
    unintelligible: Flag
    unknown: Annotated[tuple[Why, ...], Meta(max_length=MAX_UNKNOWN)] = ()
    method: Literal["enisa-2013/1"] = table.METHOD


class Flip(Struct, frozen=True):
    """A change of one factor, from `now` to `then`, after which the band is another one, and none smaller does it.

    `context` counts 1 to 4 (0: no personal data), all other factors quarters.
    """

    factor: FactorName
    now: int
    then: int
    quarters: int
    band: Band
    says: str


class Score(Struct, frozen=True, kw_only=True):
    """The severity in `quarters` (4 is 1.00), with its factors (`identification`, `circumstances` in quarters too).

    `lines` gives the reason of every factor, `flips` what would change the band, the nearest first. `near_border`: a
    quarter more or less would, or just did. `unknown` is that of the inputs.
    """

    quarters: int
    band: Band
    context: int
    identification: int
    circumstances: int
    near_border: bool
    flags: tuple[FlagName, ...]
    lines: tuple[str, ...]
    flips: tuple[Flip, ...]
    unknown: tuple[str, ...]

    @property
    def applies(self) -> bool:
        """Whether there is anything to score: personal data."""
        return self.context > 0


_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(Inputs)


def encode(inputs: Inputs) -> str:
    """As a `Scored` entry holds it."""
    return _encoder.encode(inputs).decode()


def decode(text: str | bytes) -> Inputs:
    """Raises `msgspec.DecodeError` for anything else, also for a ground that is not one of its category."""
    return _decoder.decode(text)


def score(inputs: Inputs) -> Score:
    """The severity of a breach."""
    levels = _levels(inputs)
    quarters = _sum(levels)
    return Score(
        quarters=quarters,
        band=band_of(quarters),
        context=levels["context"],
        identification=levels["identification"],
        circumstances=sum(levels[name] for name in _CIRCUMSTANCES),
        near_border=_near(quarters) is not None,
        flags=_flags(inputs),
        lines=tuple(_lines(inputs, levels)),
        flips=_flips(levels),
        unknown=inputs.unknown,
    )


def band_of(quarters: int) -> Band:
    """The band of a score in quarters; 0 is `none`."""
    return next(band for least, band in table.BORDERS if quarters >= least)


def decimal(quarters: int) -> str:
    """Quarters as people write them: ``2.25``."""
    return f"{quarters // 4}.{quarters % 4 * 25:02d}"


def explain(result: Score) -> list[str]:
    """A score in lines for people: what it is; indented, why, what would change it, what was not known."""
    if result.applies:
        near = _near(result.quarters)
        border = [] if near is None else [f"within {decimal(NEAR)} of a border, {decimal(near)}"]
        head = ", ".join([f"{decimal(result.quarters)} {_said(result.band)}", *result.flags, *border])
    else:
        head = "not to be scored: no personal data is known to be concerned"
    return [
        head,
        *(f"  {line}" for line in result.lines),
        *(f"  would change it: {flip.says}" for flip in result.flips),
        *(f"  not known: {each}" for each in result.unknown),
    ]


# --- factors ----------------------------------------------------------------------------------------------------------

_Levels = dict[FactorName, int]
_CIRCUMSTANCES: tuple[FactorName, ...] = ("confidentiality", "integrity", "availability", "malice")
_ALLOWED: dict[FactorName, tuple[int, ...]] = {
    "context": tuple(range(table.LEAST_CONTEXT, table.MOST_CONTEXT + 1)),
    "identification": tuple(table.IDENTIFICATION),
    "confidentiality": tuple(table.CONFIDENTIALITY),
    "integrity": tuple(table.INTEGRITY),
    "availability": tuple(table.AVAILABILITY),
    "malice": tuple(table.MALICE),
}
_SAYS: dict[FactorName, dict[int, str]] = {
    "confidentiality": table.CONFIDENTIALITY,
    "integrity": table.INTEGRITY,
    "availability": table.AVAILABILITY,
    "malice": table.MALICE,
}


def _levels(inputs: Inputs) -> _Levels:
    return {
        "context": max((category.context for category in inputs.categories), default=0),
        "identification": inputs.identification.quarters,
        "confidentiality": inputs.confidentiality.quarters,
        "integrity": inputs.integrity.quarters,
        "availability": inputs.availability.quarters,
        "malice": inputs.malice.quarters,
    }


def _sum(levels: _Levels) -> int:
    """Quarters; without personal data nothing is scored."""
    if not levels["context"]:
        return 0
    return levels["context"] * levels["identification"] + sum(levels[name] for name in _CIRCUMSTANCES)


def _near(quarters: int) -> int | None:
    """The border between two bands that a score is near, if there is one."""
    borders = (least for least, band in table.BORDERS if band not in ("none", "low"))
    return next((border for border in borders if abs(quarters - border) <= NEAR), None)


def _flags(inputs: Inputs) -> tuple[FlagName, ...]:
    flags: tuple[tuple[FlagName, Flag], ...] = (("many", inputs.many), ("unintelligible", inputs.unintelligible))
    return tuple(name for name, flag in flags if flag.holds)


# --- reasons ----------------------------------------------------------------------------------------------------------


def _lines(inputs: Inputs, levels: _Levels) -> Iterator[str]:
    for category in inputs.categories:
        yield from _category_lines(category, decides=category.context == levels["context"])
    identified = inputs.identification
    level, _ = table.IDENTIFICATION[identified.quarters]
    yield f"identification {decimal(identified.quarters)} ({level}): {_because(identified)}"
    parts: tuple[Circumstance | Malice, ...] = (
        inputs.confidentiality,
        inputs.integrity,
        inputs.availability,
        inputs.malice,
    )
    for name, part in zip(_CIRCUMSTANCES, parts, strict=True):
        yield f"{name} {decimal(part.quarters)}: {_because(part)}"
    if inputs.many.holds:
        yield f"flag: more than {table.MANY} people: {_because(inputs.many)}"
    if inputs.unintelligible.holds:
        yield f"flag: unintelligible data: {_because(inputs.unintelligible)}"


def _category_lines(category: Category, *, decides: bool) -> Iterator[str]:
    begins, _ = table.BASES[category.base]
    note = ", the highest, which counts" if decides else ""
    yield f"context {category.context} ({category.base} data begin with {begins}{note}): {_because(category)}"
    for adjustment in category.adjustments:
        step = table.GROUNDS[adjustment.ground]
        yield f"  {step.steps:+d} {step.says}: {_because(adjustment)}"


def _because(part: _Input) -> str:
    return f"{part.why} [{'suggested' if part.by == 'suggested' else 'chosen by a person'}]"


# --- what would change the band ---------------------------------------------------------------------------------------


def _flips(levels: _Levels) -> tuple[Flip, ...]:
    """For each factor and direction the smallest change that moves the band; the nearest score first."""
    here = _sum(levels)
    found: list[Flip] = []
    for name, allowed in _ALLOWED.items():
        upwards = [value for value in allowed if value > levels[name]]
        downwards = [value for value in reversed(allowed) if value < levels[name]]
        for values in (upwards, downwards):
            flip = next((each for value in values if (each := _flip(levels, name, value)) is not None), None)
            if flip is not None:
                found.append(flip)
    order = list(_ALLOWED)
    return tuple(sorted(found, key=lambda flip: (abs(flip.quarters - here), order.index(flip.factor))))


def _flip(levels: _Levels, name: FactorName, value: int) -> Flip | None:
    quarters = _sum({**levels, name: value})
    band = band_of(quarters)
    if band == band_of(_sum(levels)):
        return None
    return Flip(name, levels[name], value, quarters, band, _flip_says(levels, name, value, quarters, band))


def _flip_says(levels: _Levels, name: FactorName, value: int, quarters: int, band: Band) -> str:
    after = f"severity {decimal(quarters)}, {_said(band)}"
    if name == "context" and not levels[name]:
        return f"any personal data: from {after} upwards"
    if name == "context" and value > levels[name]:
        return f"context {levels[name]} -> {value}, if any kind of data came to {value}: {after}"
    if name == "context":
        return f"context {levels[name]} -> {value}, if no kind of data came to more than {value}: {after}"
    meaning = table.IDENTIFICATION[value][1] if name == "identification" else _SAYS[name][value]
    return f"{name} {decimal(levels[name])} -> {decimal(value)} ({meaning}): {after}"


def _said(band: Band) -> str:
    return band.replace("_", " ")
