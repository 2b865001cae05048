"""The clocks of law as dated data: the shape of a law file, and the book of all of them. Pure. `lawfile` reads them.

A law file is YAML. Its head says what law it is, when it was read and when it must be read again; each rule is one
clock. What a rule leaves out stands in the head. A proposal is a rule too, but off until a plan switches it on.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from firedoor.core.incident.reckoning import HOUR, Length, Mode
from firedoor.core.patterns import END
from firedoor.core.plan.model import Label
from firedoor.core.plan.response import Day, RuleId, StartEvent, Zone
from firedoor.core.plan.words import CountryCode, Part, Role, Text, Url

STARTS: Final = re.compile(r"submitted\(([a-z][a-z0-9_.]{1,62})\)")
ASAP: Final = "asap"
_LENGTH = re.compile(r"([1-9][0-9]{0,8}) (s|h|d|bd|months?)")
_MODES: dict[str, Mode] = {"s": "eh", "h": "eh", "d": "cd", "bd": "bd", "month": "cm", "months": "cm"}

Starts = Annotated[
    str,
    Meta(pattern=r"^([a-z_]+|submitted\([a-z][a-z0-9_.]{1,62}\))" + END, description="event, or submitted(CLOCK)"),
]
Written = Annotated[
    str,
    Meta(
        pattern=r"^([1-9][0-9]{0,2} (h|d|bd|months?)|asap|on request|not established)" + END,
        description="length: 72 h, 30 d, 3 bd, 1 month, asap, on request, not established",
    ),
]
Business = Annotated[
    str, Meta(pattern=r"^([A-Z]{2}(-[A-Z0-9]{1,3})?|seat)" + END, description="ISO 3166 code, or seat for the plan's")
]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Status = Literal["in_force", "proposed", "unknown"]
Confidence = Literal["R", "K", "?"]
"""R: the passage was read, often in a secondary page; K: settled text, restated; ?: not established."""
Reading = Literal["hours_1182", "two_working_days", "next_working_day", "noon_of_next_working_day"]
LegalRole = Literal["controller", "processor", "nis2", "manufacturer", "payments", "small"]
Recipient = Literal[
    "@gdpr_authority", "@nis2_authority", "@financial_authority", "@market_authority", "@controllers", "@people"
]
"""Recipients that depend on the plan and on who is affected. Every other name is taken as it stands."""
RESOLVED: Final[tuple[str, ...]] = get_args(Recipient)
EVENTS: Final[tuple[str, ...]] = get_args(StartEvent)


class People(Part, frozen=True, kw_only=True):
    """At least so many people affected in `places` (ISO 3166, EU, EEA; none: anywhere), those in `but_not` left out."""

    places: tuple[CountryCode, ...] = msgspec.field(default=(), name="in")
    but_not: tuple[CountryCode, ...] = ()
    at_least: Count = 1


class Ask(Part, frozen=True, kw_only=True):
    """Something that no record tells: it is `otherwise` until the plan switches the rule on or off."""

    about: Text
    otherwise: Literal["likely", "unknown", "no"]


class Condition(Part, frozen=True, kw_only=True):
    """One thing that must hold; exactly one key.

    `people`: how many where. `seat`: the responsible body is established there. `data`: personal data of one of these
    kinds is concerned. `role`: what the plan says the responsible body is. `breach`: what was decided (`personal_data`:
    it is a breach of personal data; `risk`: the authority is told; `high_risk`: people are told). `malicious`: it was
    done on purpose. `moment`: somebody said when this was. `still_on_at`: handling went on when that clock ended.
    `one_of`: any of these.
    """

    people: People | None = None
    seat: tuple[CountryCode, ...] = ()
    data: tuple[Label, ...] = ()
    role: LegalRole | None = None
    breach: Literal["personal_data", "risk", "high_risk"] | None = None
    malicious: bool | None = None
    moment: StartEvent | None = None
    ask: Ask | None = None
    still_on_at: RuleId | None = None
    one_of: tuple[Condition, ...] = ()

    @property
    def said(self) -> list[str]:
        """The keys that are there: one, in a sound file."""
        return [name for name in self.__struct_fields__ if getattr(self, name) not in (None, ())]

    def __str__(self) -> str:
        if self.one_of:
            return "; or ".join(map(str, self.one_of))
        if self.people is not None:
            where = f" in {', '.join(self.people.places)}" if self.people.places else ""
            where += f" outside {', '.join(self.people.but_not)}" if self.people.but_not else ""
            return f"{self.people.at_least} or more people{where}"
        if self.seat:
            return f"established in {', '.join(self.seat)}"
        if self.data:
            return f"data such as {', '.join(self.data)}"
        if self.ask is not None:
            return f"{self.ask.about} ({self.ask.otherwise}, until the plan says)"
        said: dict[str, str | None] = {"role": self.role, "breach decided": self.breach, "moment": self.moment}
        said |= {"handling went on at": self.still_on_at, "done on purpose": "yes" if self.malicious else None}
        return "; ".join(f"{name}: {value}" for name, value in said.items() if value is not None)


class Also(Part, frozen=True, kw_only=True):
    """A second limb: `length` from `starts` holds too, if the first start came `within` that long after this one."""

    starts: StartEvent
    length: Written
    within: Written


class Variant(Part, frozen=True, kw_only=True):
    """Another length, once `when` surely holds; as long as it may, it is shown under the name `reading`."""

    when: Condition
    length: Written
    reading: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}" + END, description="name of the reading")]


class Rule(Part, frozen=True, kw_only=True):
    """One clock. From `law` on, what is left out is the head's.

    `of` says which submission starts a clock that another one's submission starts. `target` is our own, where the law
    gives no number. `business` is the place whose holidays count: a place, or ``seat``.
    """

    id: RuleId
    title: Text
    article: Text
    starts: Starts
    length: Written
    to: Annotated[tuple[Text, ...], Meta(min_length=1)]
    applies: Annotated[tuple[Condition, ...], Meta(min_length=1)]
    of: Literal["first", "latest"] = "first"
    target: Written | None = None
    also: Also | None = None
    variants: tuple[Variant, ...] = ()
    readings: tuple[Reading, ...] = ()
    business: Business | None = None
    owner: Role = "dpo"
    basis: Literal["law", "contract"] = "law"
    valid_to: Day | None = None
    notes: tuple[Text, ...] = ()
    confidence: Confidence = "K"
    status: Status = "in_force"
    law: Text | None = None
    valid_from: Day | None = None
    zone: Zone | None = None
    source: Url | None = None
    reviewed_on: Day | None = None
    review_by: Day | None = None
    version: Day | None = None

    @property
    def needs(self) -> str | None:
        """The clock whose submission starts it."""
        match = STARTS.fullmatch(self.starts)
        return match[1] if match else None

    @property
    def limit(self) -> Length | None:
        """Its length, or our target; None where there is neither."""
        return length(self.target or self.length)

    @property
    def cited(self) -> str:
        """Law and article."""
        return f"{self.law}, {self.article}"

    def holds_on(self, day: str) -> bool:
        """Whether it is in application on `day` (ISO date)."""
        return (self.valid_from or "") <= day and (self.valid_to is None or day <= self.valid_to)


class Authority(Part, frozen=True, kw_only=True):
    """The authorities of a state. `territories` are codes of their own that belong to it."""

    gdpr: Text
    nis2: Text | None = None
    territories: tuple[CountryCode, ...] = ()


class LawBook(Struct, frozen=True):
    """The versions of every clock, oldest first, in the order of ids; and the authorities of states."""

    clocks: dict[str, tuple[Rule, ...]]
    authorities: dict[str, Authority] = {}

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All versions of all clocks."""
        return tuple(rule for versions in self.clocks.values() for rule in versions)

    def on(self, clock: str, day: str) -> Rule:
        """The version of a clock that is in application on `day` (ISO date), else the next one, else the last one.

        Raises KeyError for a clock that is not there.
        """
        versions = self.clocks[clock]
        later = [rule for rule in versions if (rule.valid_from or "") > day]
        return next((rule for rule in versions if rule.holds_on(day)), later[0] if later else versions[-1])


def length(text: str) -> Length | None:
    """``72 h``, ``30 d``, ``3 bd``, ``1 month`` (a contract's: ``172800 s``); None for a text that names no number."""
    match = _LENGTH.fullmatch(text)
    if match is None:
        return None
    return Length(_MODES[match[2]], int(match[1]) * (HOUR if match[2] == "h" else 1))
