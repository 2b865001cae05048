"""Texts in characters that nobody sees: tag characters, bytes in variation selectors, bits in zero-width characters."""

from __future__ import annotations

import re

from firedoor.core.detect.attack import likeness
from firedoor.core.detect.attack.budget import Budget
from firedoor.core.detect.disguise.views import Edit

MAY_HIDE = re.compile("[\ufe00-\ufe0f\u200b-\u200d\u2060-\u2064\ufeff\U000e0020-\U000e007e\U000e0100-\U000e01ef]{3}")
_TAGS = re.compile("[\U000e0020-\U000e007f]{3,}")
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{3,}")
_BITS = re.compile("[\u200b-\u200d\u2060-\u2064\ufeff]{32,}")
_TAG_BASE, _SELECTOR_BASE, _MORE_SELECTORS = 0xE0000, 0xFE00, 0xE0100
_BYTE = 8


def hidden(text: str, budget: Budget) -> list[Edit]:
    """What is hidden, where it stands, between spaces."""
    edits = []
    for pattern, read in ((_TAGS, _tags), (_SELECTORS, _selectors), (_BITS, _bits)):
        for match in pattern.finditer(text):
            written = read(match[0])
            if written and budget.takes(len(match[0]), len(written)):
                edits.append(Edit(*match.span(), f" {written} "))
    return sorted(edits, key=lambda edit: edit.start)


def _tags(run: str) -> str:
    """Behind a flag they name a region of a country: that is not hidden."""
    written = "".join(chr(ord(tag) - _TAG_BASE) for tag in run if tag < "\U000e007f")
    return written if run[-1] != "\U000e007f" or len(written) > _REGION else ""


_REGION = 6


def _selectors(run: str) -> str:
    codes = [ord(selector) for selector in run]
    data = bytes(
        code - _SELECTOR_BASE if code < _TAG_BASE else code - _MORE_SELECTORS + 16 for code in codes
    )  # fmt: skip
    written = data.decode("utf-8", "ignore")
    return written if written.isprintable() else ""


def _bits(run: str) -> str:
    kinds = sorted(set(run))
    if len(kinds) < 2:
        return ""
    for zero, one in ((kinds[0], kinds[1]), (kinds[1], kinds[0])):
        bits = "".join("0" if kind == zero else "1" for kind in run if kind in (zero, one))
        written = bytes(int(bits[at : at + _BYTE], 2) for at in range(0, len(bits) - 7, _BYTE)).decode(
            "utf-8", "ignore"
        )
        if written.isprintable() and likeness.reads(written):
            return written
    return ""
