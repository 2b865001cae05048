"""The shipped suite of red-team cases, read from the package, and what of it is asked in a run."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import NamedTuple

from firedoor.core.redteam.canaries import Canaries
from firedoor.core.redteam.cases import KINDS, LANGUAGES, Case, Language, Wording, chosen, decode
from firedoor.core.redteam.forms import Conversation, disguised, expand, quick


class Suite(NamedTuple):
    """All cases, and the wordings of their languages."""

    cases: tuple[Case, ...]
    wordings: Mapping[Language, Wording]


class Wanted(NamedTuple):
    """What of the suite is asked: of these kinds and languages (empty: all), `quick` a sample, `all_forms` in each."""

    kinds: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()
    quick: bool = False
    all_forms: bool = False

    def __str__(self) -> str:
        what = [("quick sample" if self.quick else "whole suite") + (", in all forms" if self.all_forms else "")]
        what += [kind for kind in KINDS if kind in self.kinds]
        return ", ".join([*what, *(lang for lang in LANGUAGES if lang in self.languages)])


def load() -> Suite:
    """The suite of this package. Raises `SetupError` if it is damaged."""
    cases: list[Case] = []
    wordings: dict[Language, Wording] = {}
    folder = files("firedoor") / "data" / "redteam"
    for lang in LANGUAGES:
        wording, found = decode((folder / f"{lang}.jsonl").read_bytes().splitlines())
        wordings[lang] = wording
        cases += found
    return Suite(tuple(cases), wordings)


def conversations(suite: Suite, wanted: Wanted, canaries: Canaries) -> list[Conversation]:
    """What is asked in a run, attacks beside their twins."""
    every = (*suite.cases, *disguised(suite.cases, suite.wordings, canaries))
    cases = list(chosen(every, wanted.kinds, wanted.languages))
    if not wanted.quick:
        return list(expand(cases, suite.wordings, canaries, all_forms=wanted.all_forms))
    picked: list[Conversation] = []
    for at, case in enumerate(quick(cases)):
        each = list(expand([case], suite.wordings, canaries, first=at))
        streams = {one.stream for one in each}
        picked += [one for one in each if one.stream == (at % 2 == 1) or len(streams) == 1]
    return picked
