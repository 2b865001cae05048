"""Who is affected by a case: counts that are sure, and how far what nobody can know may move them. Pure values.

Why the truth lies in each range is shown in `core.incident.counting`.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import Struct, structs

Unknown = Literal[
    "open_or_unknown", "no_subject", "erased_subject", "lost_subject", "not_indexed", "log_missing", "host_silent",
    "not_seen",
]  # fmt: skip
"""Why a count is a range: exchanges whose end nobody recorded (they may be exposed); that name no shopper; whose
shopper was erased; whose key is not to be found; records that nobody has counted yet; records that the published log
covers and nobody has; a host that does not speak; exchanges that may be exposed and of which no record says what
personal data was looked for.
"""

NOBODY_KNOWS: Final = None
"""`most` of a range that has no bound: a log is missing and nothing says how long it was, or a host is silent."""
UNTOLD: Final = "unknown"
"""The jurisdiction of those whose exchange told none. They may be of any: every other one's `most` counts them too."""
OTHERS: Final = "(others)"
"""Stands for what an entry of a case has no room for."""
ENTRY_LIMIT: Final = 32_768
"""Characters of it in an entry of a case, whose payload has 64 KiB."""
NAMED: Final = (100, 50, 25, 10)
"""Names of one kind that an entry tells: as many as it has room for. There are 250 countries, thousands of credentials.
"""


class Range(Struct, frozen=True):
    """A count: at least `least`, at most `most` (None: nobody can say)."""

    least: int
    most: int | None

    @property
    def exact(self) -> bool:
        """Whether both ends are the same."""
        return self.least == self.most


class AskedFor(Struct, frozen=True, kw_only=True):
    """Which exchanges count: in any of `scopes` (``REGION/SHOP/SURFACE/MODEL``), under way between `since` and `until`
    (microseconds; None: still going on), and those of `exchanges` whatever their time and place: a leak was confirmed
    in them.
    """

    region: str
    scopes: tuple[str, ...]
    since: int
    until: int | None
    exchanges: tuple[str, ...] = ()


class Affected(Struct, frozen=True, kw_only=True):
    """The answer, as of `as_of` (microseconds). `took` is in seconds.

    `exchanges` are all in question; `exposed` those whose answer, or a part of it, may have gone out; `confirmed` those
    in which a leak was confirmed. `subjects` are distinct shoppers of `exchanges`, `exposed_subjects` those to whom an
    answer may have gone: *exposed to whom*. `jurisdictions` count distinct subjects (one may count in several),
    `categories` exchanges in which that kind of personal data was found (in the request or the answer),
    `subjects_by_category` distinct subjects. `recipients` have ``credentials`` (servers of shops: exchanges whose
    answer they may have been given) and ``models`` (model instances: exchanges that were put to them, or answered with
    what they said before). `findings` counts, per rule, exchanges in which it found something. `unknown` says how many
    exchanges or records are behind each doubt, None for nobody knows; `read_up_to` per journal slot how far was read.
    """

    asked: AskedFor
    as_of: int
    took: float
    exchanges: Range
    exposed: Range
    confirmed: Range
    subjects: Range
    exposed_subjects: Range
    jurisdictions: dict[str, Range]
    categories: dict[str, Range]
    subjects_by_category: dict[str, Range]
    recipients: dict[str, dict[str, Range]]
    findings: dict[str, int]
    unknown: dict[Unknown, int | None]
    read_up_to: dict[str, int] = {}


_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(Affected)


def encode(affected: Affected) -> str:
    """As an entry of a case holds it, in `ENTRY_LIMIT`: of long lists the largest, the rest summed up as `OTHERS`.

    What was asked is told whole; it must leave room.
    """
    text = ""
    for named in NAMED:
        text = _encoder.encode(_shortened(affected, named)).decode()
        if len(text) <= ENTRY_LIMIT:
            return text
    slots = dict(list(affected.read_up_to.items())[: NAMED[-1]])
    return _encoder.encode(structs.replace(_shortened(affected, NAMED[-1]), read_up_to=slots)).decode()


def _shortened(affected: Affected, named: int) -> Affected:
    return structs.replace(
        affected,
        jurisdictions=_largest(affected.jurisdictions, named),
        categories=_largest(affected.categories, named),
        subjects_by_category=_largest(affected.subjects_by_category, named),
        recipients={kind: _largest(ranges, named) for kind, ranges in affected.recipients.items()},
        findings=dict(list(affected.findings.items())[:named]),
    )


def _largest(ranges: dict[str, Range], named: int) -> dict[str, Range]:
    """Those of most; all others together. A subject may be in several of those, so that their sum is an upper bound."""
    if len(ranges) <= named:
        return ranges
    items = sorted(ranges.items(), key=lambda item: (-item[1].least, item[0]))
    rest = [found for _, found in items[named - 1 :]]
    bounds = [found.most for found in rest if found.most is not None]
    most = sum(bounds) if len(bounds) == len(rest) else NOBODY_KNOWS
    return dict(items[: named - 1]) | {OTHERS: Range(max(found.least for found in rest), most)}


def decode(text: str) -> Affected:
    """Raises `msgspec.DecodeError` for anything else."""
    return _decoder.decode(text)
