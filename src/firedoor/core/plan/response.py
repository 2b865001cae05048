"""The sections of the plan for an incident: who is called, which findings open a case, which law and contracts hold."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from firedoor.core.patterns import END
from firedoor.core.plan.words import DAY, CountryCode, Duration, Name, Part, Role, Text, Url

Zone = Annotated[
    str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{1,63}" + END, description="IANA time zone, such as Europe/Berlin")
]
Day = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}" + END, description="date: 2026-11-23")]
Hours = Annotated[
    str,
    Meta(pattern=r"^\d{2}:\d{2}-\d{2}:\d{2}" + END, description="hours: 08:00-20:00; 20:00-08:00 goes over midnight"),
]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
RuleId = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9_.]{1,62}" + END, description="id of a clock, such as eu.gdpr.33.1 or eu.gdpr")
]

StartEvent = Literal[
    "detected", "triaged", "processor_aware", "aware", "significant_aware", "high_risk_decided", "handled",
    "fix_available", "classified_major", "noticed", "discovered", "determined", "told_people", "knew", "suspected",
    "assessed_notifiable",
]  # fmt: skip
"""Moments that a clock may start at. Each is a signed entry of the case; `detected` is the finding's own."""


class Contacts(Part, frozen=True, kw_only=True):
    """How a person is reached. `chat` is a name in the chat of the team."""

    mail: Annotated[str, Meta(pattern=r"^[^\s@]+@[^\s@]+" + END, max_length=254, description="mail address")] | None = (
        None
    )
    phone: Annotated[str, Meta(pattern=r"^\+[0-9 ]{6,20}" + END, description="phone number: +49 30 123456")] | None = (
        None
    )
    chat: Text | None = None


class Shift(Part, frozen=True, kw_only=True):
    """Who is on call in turns: each of `people` for `every`, the first from `first` on at the start of `hours`.

    Hours and days are those of `zone`. Out of its hours a shift calls nobody: the next one of the duty does, then
    `primary` and `deputy`.
    """

    people: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=64)]
    first: Day
    zone: Zone = "UTC"
    every: Duration = msgspec.field(default_factory=lambda: Duration(7 * DAY))
    hours: Hours = "00:00-00:00"
    days: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Duty(Part, frozen=True, kw_only=True):
    """Who answers for a role. Without it, the people who hold the role in the order of the plan."""

    primary: Name | None = None
    deputy: Name | None = None
    shifts: Annotated[tuple[Shift, ...], Meta(max_length=24)] = ()


class OpensRule(Part, frozen=True, kw_only=True):
    """Findings that open a case: by rule (`any` for all) and verdict, `count` of them `within` a time.

    `shut` also shuts, where the finding did not: the scope it was found in. `purge` is what goes once it is sealed.
    `restricted` names the roles that may see the case; everybody of the plan, if it is empty.
    """

    findings: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=64)]
    verdicts: tuple[Literal["record", "mask", "withhold", "fallback", "refuse", "cut", "shut"], ...] = ("shut",)
    count: Annotated[int, Meta(ge=1, le=10_000)] = 1
    within: Duration = msgspec.field(default_factory=lambda: Duration(600))
    shut: bool = False
    purge: tuple[Literal["cache"], ...] = ()
    restricted: tuple[Role, ...] = ()


class OtherSystem(Part, frozen=True, kw_only=True):
    """A case system or pager of yours. `url` has ``{id}`` for the case's id there.

    It is told of cases at `webhook` (ids, codes, moments; no personal data); with `opens` it may open cases and send
    moments to a `hooks` address. It stands in `jurisdiction`, and only the region that serves it tells it anything, or
    hears it. Both sides sign with HMAC-SHA-256 and the secret in `secret_file`.
    """

    url: Annotated[str, Meta(pattern=r"^https?://[^\s]+" + END, max_length=500, description="URL with {id}")] | None = (
        None
    )
    webhook: Url | None = None
    jurisdiction: CountryCode | None = None
    secret_file: Text | None = None
    opens: bool = False
    events: Literal["all", "calls"] = "all"


def _leaks() -> tuple[OpensRule, ...]:
    return (OpensRule(findings=("any",), verdicts=("shut",), purge=("cache",)),)


class IncidentRules(Part, frozen=True, kw_only=True):
    """How cases come to be. Findings of one kind at one place join the case that is open for `fold` after the last.

    A person who is called has `acknowledge` to answer before the next one is. `lookback` is how far before its first
    finding a case counts who may be affected.
    """

    opens: tuple[OpensRule, ...] = msgspec.field(default_factory=_leaks)
    fold: Duration = msgspec.field(default_factory=lambda: Duration(DAY))
    acknowledge: Duration = msgspec.field(default_factory=lambda: Duration(15 * 60))
    lookback: Duration = msgspec.field(default_factory=lambda: Duration(DAY))
    systems: dict[Name, OtherSystem] = {}


class Contract(Part, frozen=True, kw_only=True):
    """A time limit that a contract sets. `to` is whom it is owed, `source` where it stands; `shops`: only theirs."""

    to: Text
    starts: StartEvent
    within: Duration
    source: Text
    shops: tuple[Name, ...] = ()


Severity = Literal["low", "medium", "high", "very_high"]
"""Bands of ENISA's method for the severity of a personal data breach."""
Telling = Literal["not_notified", "authority", "authority_and_people"]
"""Whom a breach is told to, the fewest first: nobody (register only), the authority, the people concerned as well."""

COMMON_OUTCOMES: Final[dict[Severity, Telling]] = {
    "low": "not_notified",
    "medium": "authority",
    "high": "authority_and_people",
    "very_high": "authority_and_people",
}
"""What a severity comes to unless the plan says otherwise. Common practice, not ENISA's: the method gives no duties,
and the law knows no score."""


class Legal(Part, frozen=True, kw_only=True):
    """Who is responsible in law, and which laws hold besides those of the people affected.

    `main` is the country of the main establishment in the EEA, `establishments` all of them; `representative` is the
    country of one under GDPR Art. 27. `processor_for` says that the shop's data is processed for others. `zone` is that
    of the responsible body's seat: in it dates end and hours are shown. `laws` switches clocks by id or its beginning.
    `outcomes` is what a severity comes to here, where that differs from common practice: a suggestion, people decide.
    """

    controller: Text | None = None
    main: CountryCode | None = None
    establishments: tuple[CountryCode, ...] = ()
    representative: CountryCode | None = None
    processor_for: tuple[Text, ...] = ()
    nis2: Literal[
        "none", "online_marketplace", "cloud", "data_centre", "cdn", "msp_mssp", "other_important", "other_essential"
    ] = "none"
    manufacturer: bool = False
    payments: bool = False
    small: bool = False
    catalogue: Literal["ordinary", "luxury", "sensitive"] = "ordinary"
    zone: Zone = "UTC"
    laws: dict[RuleId, Literal["on", "off"]] = {}
    outcomes: dict[Severity, Telling] = {}
    contracts: dict[Name, Contract] = {}


class Hooks(Part, frozen=True, kw_only=True):
    """Where the region takes signed calls of `incidents.systems`: `POST /hooks/NAME`."""

    listen: Annotated[str, Meta(pattern=r"^[^\s:]+:\d{1,5}" + END, description="host:port")]
