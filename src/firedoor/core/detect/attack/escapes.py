r"""Characters written as escapes, and texts put together from strings in the source of a program.

Percent signs, entities, ``\\u0069``, ``\\x69`` and octal ones are those of the leak watch; beside them line breaks and
quotes of JSON, quoted-printable, ``'ig' + 'nore'``, and ``a='ig'; b='nore'; a+b``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from firedoor.core.detect.attack.budget import Budget
from firedoor.core.detect.disguise.views import Edit
from firedoor.core.detect.leak.escapes import Escapes

_SPELLING = Escapes()
_BACKSLASHED = re.compile(r"\\([ntr\"'\\/])")
_MEANT = {"n": "\n", "t": "\t", "r": "\n"}
_QUOTED = re.compile(r"(?:=[0-9A-F]{2}|=\r?\n){1,200}")
_LEAST_QUOTED = 2
_PLUS = re.compile(r"(?<=[A-Za-z0-9.,!?])\+(?=[A-Za-z0-9%])")
MAX_ESCAPES = 16_384
"""Of one text: as many as its decoded text may have characters, less those that nobody writes singly."""

MAX_TEXT = 1 << 18
"""Code points in which escapes are looked for."""


def escaped(text: str, budget: Budget) -> list[Edit]:
    """What each escape stands for."""
    if len(text) > MAX_TEXT:
        budget.refused += 1
        text = text[:MAX_TEXT]
    edits = _quoted(text) if "=" in text else []
    if not edits:
        respelt, _ = _SPELLING.read(text, 0, final=True)
        edits = [Edit(each.start, each.end, each.written) for each in respelt]
    if "\\" in text:
        edits = merged(
            edits, [Edit(*found.span(), _MEANT.get(found[1], found[1])) for found in _BACKSLASHED.finditer(text)]
        )
    if all(_ordinary(text, edit) for edit in edits):
        return []
    if len(edits) > MAX_ESCAPES:
        budget.refused += 1
        del edits[MAX_ESCAPES:]
    if not budget.takes(sum(edit.end - edit.start for edit in edits), sum(len(edit.written) for edit in edits)):
        return []
    if "+" in text and "%" in text:  # a form: its spaces are plus signs
        edits = merged(edits, [Edit(*found.span(), " ") for found in _PLUS.finditer(text)])
    return edits


def _ordinary(text: str, edit: Edit) -> bool:
    """Whether it is an entity as texts from web pages are full of: a quote, an ampersand, a trade mark."""
    if text[edit.start] != "&" or edit.written in _TELLING:
        return False
    return not edit.written.isalnum() and (edit.written != "&" or not _ENTITY.match(text, edit.end))


_TELLING = frozenset("<>|[]{}%\\ \n=+/:;.-_*")
_ENTITY = re.compile(r"#|[A-Za-z]{2,8};")


def _quoted(text: str) -> list[Edit]:
    """Quoted-printable (RFC 2045), if there are some of its bytes."""
    found = list(_QUOTED.finditer(text))
    if sum(len(match[0]) for match in found) < _LEAST_QUOTED * 3:
        return []
    edits = []
    for match in found:
        data = bytes.fromhex(re.sub(r"=\r?\n|=", "", match[0]))
        edits.append(Edit(*match.span(), data.decode("utf-8", "replace")))
    return edits


def merged(edits: list[Edit], more: list[Edit]) -> list[Edit]:
    """Both, in the order of the text; the first come where they overlap."""
    merged = sorted([*edits, *more], key=lambda edit: (edit.start, -edit.end))
    kept: list[Edit] = []
    for edit in merged:
        if not kept or edit.start >= kept[-1].end:
            kept.append(edit)
    return kept


_STRING = r"(?:\"[^\"\n]{0,300}\"|(?<![^\W_])'[^'\n]{0,300}'(?![^\W_]))"
_GLUE = r"[ \t]{0,4}(?:\+|\.|&|\|\|)[ \t\n]{0,4}|[ ](?=[\"'])"
_CHAIN = re.compile(rf"{_STRING}(?:(?:{_GLUE}){_STRING}){{1,200}}")
_ITEMS = rf"\[[ ]?{_STRING}(?:,[ ]?{_STRING}){{1,200}}[ ]?\]"
_LIST = re.compile(rf"{_ITEMS}(?=.{{0,12}}join)|join\({_ITEMS}")
_EACH = re.compile(_STRING)
_ASSIGNED = re.compile(
    rf"(?<![\w$])\$?(?P<name>[A-Za-z_]\w{{0,15}})[ \t]{{0,3}}(?::=|=|:)[ \t]{{0,3}}(?P<value>{_STRING})"
)
_NAMES = re.compile(
    r"[{(\[$]{0,3}\b[A-Za-z_]\w{0,15}[)}\]]{0,2}"
    r"(?:[ \t]{0,3}[+.&,~|]?[ \t]{0,3}[{($]{0,3}\b[A-Za-z_]\w{0,15}[)}\]]{0,2}){1,60}"
)
_NAME = re.compile(r"[A-Za-z_]\w*")
_MOST_NAMES = 60


def literals(text: str, budget: Budget) -> list[Edit]:
    """Strings that a program would put together, put together."""
    edits = list(_assigned(text)) or [*_chains(text)]
    if not budget.takes(len(text), sum(len(edit.written) for edit in edits)):
        return []
    return edits


def _chains(text: str) -> Iterator[Edit]:
    taken = 0
    for match in sorted([*_CHAIN.finditer(text), *_LIST.finditer(text)], key=re.Match.start):
        if match.start() >= taken:
            taken = match.end()
            yield Edit(*match.span(), "".join(string[1:-1] for string in _EACH.findall(match[0])))


def _assigned(text: str) -> Iterator[Edit]:
    """Names with strings: the first sum of them, or all that were said one after the other."""
    found = list(_ASSIGNED.finditer(text))[:_MOST_NAMES]
    if len(found) < 2 or all(len(match["value"]) > 80 for match in found):
        return
    values = {match["name"]: match["value"][1:-1] for match in found}
    for names in _NAMES.finditer(text):
        said = _NAME.findall(names[0])
        runs = _known(said, values)
        if len(runs) >= 2 and not any(match.start() < names.end() and names.start() < match.end() for match in found):
            yield Edit(
                min(names.start(), found[0].start()),
                max(names.end(), found[-1].end()),
                "".join(values[name] for name in runs),
            )
            return
    if all(after.start() - before.end() < 12 for before, after in pairwise(found)):
        yield Edit(found[0].start(), found[-1].end(), "".join(match["value"][1:-1] for match in found))


def _known(said: list[str], values: dict[str, str]) -> list[str]:
    return [name for name in said if name in values]
