"""How a problem in a plan is spoken of: where it is, what it is, what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from firedoor.errors import Problem

Path = tuple[str | int, ...]
"""Keys and list positions from the top of the document, for example ``("regions", "eu", "jurisdictions", 0)``."""

MAX_SHOWN = 40
"""Characters of somebody else's text in a message: enough to find it, too few to flood a terminal."""

MAX_COMPARED = 200
"""Names compared with a misspelt one; each comparison costs some 20 microseconds."""
MAX_LISTED = 20
"""Names listed in a remedy: a screen's width or two."""
NO_REMEDY = "docs/plan.md explains this key."

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")


class Fault(NamedTuple):
    """One thing wrong with a plan. `line` is only given where it is not the one of `path`."""

    path: Path
    message: str
    remedy: str = ""
    line: int | None = None


def dotted(path: Path) -> str:
    """``regions.eu.jurisdictions[0]``; keys that are no plain words are quoted. The whole document is ``plan``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part if _PLAIN_KEY.match(part) and len(part) <= MAX_SHOWN else shown(part)}"
    return text.removeprefix(".") or "plan"


def shown(text: str) -> str:
    """`text` in quotes, cut and with control characters escaped."""
    return repr(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…")


def nearest(word: str, known: Iterable[str]) -> str:
    """``Did you mean 'x'?`` with a following space, or nothing."""
    close = difflib.get_close_matches(word[: 2 * MAX_SHOWN], list(islice(known, MAX_COMPARED)), n=1)
    return f"Did you mean {close[0]!r}? " if close else ""


def one_of(known: Iterable[str]) -> str:
    """The names one may write here, as a sentence."""
    names = list(islice(known, MAX_LISTED + 1))
    if not names:
        return "There is none yet."
    return f"Known here: {', '.join(names[:MAX_LISTED])}{' …' if len(names) > MAX_LISTED else ''}."


def located(fault: Fault, lines: Mapping[Path, int]) -> Problem:
    """`fault` with its line, or that of the nearest part of its path that the document has."""
    path = fault.path
    while path and path not in lines:
        path = path[:-1]
    return Problem(fault.line or lines.get(path, 1), dotted(fault.path), fault.message, fault.remedy or NO_REMEDY)
