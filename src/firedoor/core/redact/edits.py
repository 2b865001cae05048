r"""What is put in place of personal data: numbered placeholders, or blocks of the same length; and the way back.

``<EMAIL_1>`` stands for the same value everywhere in a run. A placeholder that was in the text before is itself
replaced, by the next number of its kind, so that restoring gives the text back; a text redacted twice stays as it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b

from firedoor.core.detect.spans import Span
from firedoor.core.minimise.identity import identity
from firedoor.core.plan.model import LABELS
from firedoor.core.redact.cells import Cell, spans_of, spliced
from firedoor.errors import SetupError

MAX_VALUES = 999_999
"""Different values in one run: placeholders have six digits, and what is remembered takes about 150 MiB."""
BLOCK = "█"

PLACEHOLDER = re.compile(rf"<({'|'.join(LABELS)})_([1-9][0-9]{{0,5}})>")

Put = Callable[[str, str], str]
"""Label and value to what is written in its place."""


class Numbered:
    """Hands out placeholders in the order of first appearance. Keeps a hash of each value, never the value.

    `learn` is given every new placeholder with its value as first written.
    """

    def __init__(self, learn: Callable[[str, str], None]) -> None:
        self._learn = learn
        self._known: dict[bytes, int] = {}
        self.values: Counter[str] = Counter()

    def __call__(self, label: str, value: str) -> str:
        """The placeholder of `value`. Raises `SetupError` when there are too many."""
        name = f"{label}\0{identity(label, value)}".encode("utf-8", "surrogatepass")
        key = blake2b(name, digest_size=16).digest()
        number = self._known.get(key)
        if number is not None:
            return f"<{label}_{number}>"
        if len(self._known) >= MAX_VALUES:
            raise SetupError(f"There are more than {MAX_VALUES:,} different values.", remedy="Split the file.")
        self.values[label] += 1
        self._known[key] = number = self.values[label]
        placeholder = f"<{label}_{number}>"
        self._learn(placeholder, value)
        return placeholder


def masked(_: str, value: str) -> str:
    """`value` in blocks: as many code points, white space as it was."""
    return "".join(c if c.isspace() else BLOCK for c in value)


class Redaction:
    """The edit that takes personal data of `labels` out. `replaced` counts how often, by label."""

    def __init__(self, find: Callable[[str], list[Span]], labels: frozenset[str], put: Put) -> None:
        self._find = find
        self._labels = labels
        self._put = put
        self.replaced: Counter[str] = Counter()

    def __call__(self, cells: Sequence[Cell]) -> list[str]:
        """The values of `cells` without personal data."""
        found = spans_of(cells, self._find)
        return [self._edited(cell.value, spans) for cell, spans in zip(cells, found, strict=True)]

    def _edited(self, text: str, spans: Sequence[Span]) -> str:
        there = [m for m in PLACEHOLDER.finditer(text) if m[1] in self._labels] if "<" in text else []
        wanted = [(span.start, span.end, span.label) for span in spans if span.label in self._labels]
        wanted = [w for w in wanted if not any(m.start() < w[1] and w[0] < m.end() for m in there)]
        self.replaced.update(label for _, _, label in wanted)
        if self._put is not masked:  # blocks need no way back
            wanted = sorted([*wanted, *((m.start(), m.end(), m[1]) for m in there)])
        return spliced(text, ((start, end, self._put(label, text[start:end])) for start, end, label in wanted))


class Restoration:
    """The edit that puts `values` back. Counts what was `restored` by label, and placeholders that are `unknown`."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.restored: Counter[str] = Counter()
        self.unknown = 0

    def __call__(self, cells: Sequence[Cell]) -> list[str]:
        """The values of `cells` with values for placeholders."""
        return [PLACEHOLDER.sub(self._value, cell.value) if "<" in cell.value else cell.value for cell in cells]

    def _value(self, match: re.Match[str]) -> str:
        value = self._values.get(match[0])
        if value is None:
            self.unknown += 1
            return match[0]
        self.restored[match[1]] += 1
        return value
