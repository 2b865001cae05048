"""The rule file: read line by line, with the line in every complaint. What it may hold is said at its top."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple, get_args

from firedoor.core.detect.attack.rulesyntax import PatternInvalid, patterns, word_list
from firedoor.core.detect.attack.rulewords import Pattern, Piece
from firedoor.core.detect.attack.signs import ROLES, Role

MAX_LINES = 5_000
"""Lines of a rule file: ten times what is shipped; each one makes the automaton larger."""
MAX_WEIGHT = 8.0
"""Log-odds of one rule, in nats: no evidence here is stronger than one honest text in 3,000."""
ANY = "any"
"""In the place of a language: the pattern is matched as it stands, not only as whole words."""

_RULE = re.compile(r"rule ([a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+)")
_WORDS = re.compile(r"words ([a-z][a-z0-9_.-]*) = (.+)")
_ROLE = re.compile(r"([a-z]+) (-?[0-9]+(?:\.[0-9]+)?)")
_LANGUAGE = re.compile(r"(any|[a-z]{2,3}) (.+)")
# Letters beyond ASCII once folded: bytes do not tell the edges of words, and a word takes more of them.
_NOT_LATIN = frozenset(("ar", "bg", "bn", "el", "fa", "he", "hi", "ja", "ko", "ru", "sr", "th", "uk", "ur", "zh"))


class Rule(NamedTuple):
    """What speaks for an attack: its name, its weight in log-odds (nats) for each role that it counts for."""

    name: str
    weights: Mapping[Role, float]
    patterns: tuple[Pattern, ...]


class RuleFileInvalid(ValueError):
    """The rule file cannot be used; the text names the line and what is wrong with it."""


def read_rules(text: str) -> tuple[Rule, ...]:
    """The rules of a rule file, in its order. Raises `RuleFileInvalid`."""
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        raise RuleFileInvalid(f"it has more than {MAX_LINES} lines")
    reader = _RuleReader()
    for number, line in enumerate(lines, 1):
        try:
            reader.take(line)
        except PatternInvalid as error:
            raise RuleFileInvalid(f"line {number}: {error}") from None
    try:
        return reader.end()
    except PatternInvalid as error:
        raise RuleFileInvalid(f"at its end: {error}") from None


class _RuleReader:
    def __init__(self) -> None:
        self._words: dict[str, Piece] = {}
        self._rules: dict[str, Rule] = {}
        self._name = ""
        self._weights: dict[Role, float] = {}
        self._patterns: list[Pattern] = []

    def take(self, line: str) -> None:
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            return
        if not line.startswith(" "):
            self._heading(stripped)
        elif not self._name:
            raise PatternInvalid("it belongs to no rule")
        elif stripped.startswith("roles "):
            self._roles(stripped[6:])
        elif (found := _LANGUAGE.fullmatch(stripped)) is not None:
            self._patterns += patterns(found[2], self._words, latin=_is_latin(found[1]))
        else:
            raise PatternInvalid("it is neither 'roles …' nor a language and a pattern")

    def end(self) -> tuple[Rule, ...]:
        self._close()
        if not self._rules:
            raise PatternInvalid("it has no rule")
        return tuple(self._rules.values())

    def _heading(self, line: str) -> None:
        self._close()
        if (found := _RULE.fullmatch(line)) is not None:
            if found[1] in self._rules:
                raise PatternInvalid(f"there is a rule {found[1]} already")
            self._name = found[1]
        elif (found := _WORDS.fullmatch(line)) is not None:
            if found[1] in self._words:
                raise PatternInvalid(f"there is a word list {found[1]} already")
            self._words[found[1]] = word_list(found[2], self._words)
        else:
            raise PatternInvalid("it is neither 'rule NAME.NAME' nor 'words NAME = …'")

    def _close(self) -> None:
        if not self._name:
            return
        if not self._weights or not self._patterns:
            raise PatternInvalid(f"the rule {self._name} before it lacks its roles or its patterns")
        self._rules[self._name] = Rule(self._name, self._weights, tuple(self._patterns))
        self._name, self._weights, self._patterns = "", {}, []

    def _roles(self, written: str) -> None:
        for part in written.split(","):
            found = _ROLE.fullmatch(part.strip())
            if found is None or found[1] not in ROLES:
                raise PatternInvalid(f"a role is one of {', '.join(get_args(Role))}, with a weight: shopper 2.5")
            if not -MAX_WEIGHT <= float(found[2]) <= MAX_WEIGHT:
                raise PatternInvalid(f"a weight is at most {MAX_WEIGHT:g}")
            self._weights[found[1]] = float(found[2])


def _is_latin(language: str) -> bool:
    return language != ANY and language not in _NOT_LATIN
