"""The tables of ENISA's method for the severity of a personal data breach, as data. No rule of it stands elsewhere.

Source: ENISA, *Recommendations for a methodology of the assessment of severity of personal data breaches*, working
document v1.0, December 2013, https://www.enisa.europa.eu/publications/dbn-severity
What the labels and findings of Firedoor come to is our own reading of it, and says so.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from firedoor.core.incident.affected import Unknown
from firedoor.core.incident.entries import Outcome
from firedoor.core.plan.response import COMMON_OUTCOMES

METHOD: Final = "enisa-2013/1"
"""The method and the version of these tables."""

Base = Literal["simple", "behavioural", "financial", "sensitive"]
Ground = Literal[
    "simple.profile", "simple.beliefs", "simple.safety",
    "behavioural.no_insight", "behavioural.public", "behavioural.daily_life", "behavioural.sensitive_profile",
    "financial.no_insight", "financial.partial", "financial.fraud",
    "sensitive.no_insight", "sensitive.public", "sensitive.general", "sensitive.assumptions",
]  # fmt: skip
Quarters = Literal[1, 2, 3, 4]
Band = Literal["none", "low", "medium", "high", "very_high"]
"""`none`: no personal data is known to be concerned, so there is nothing to score."""

LEAST_CONTEXT, MOST_CONTEXT = 1, 4

BASES: Final[dict[Base, tuple[int, str]]] = {
    "simple": (1, "name, contact, education, profession, family life"),
    "behavioural": (2, "location, traffic, preferences, habits, purchases"),
    "financial": (3, "income, transactions, statements, cards, invoices, social benefits"),
    "sensitive": (4, "health, politics, religion, sex life"),
}
"""The data processing context that a category begins with (1 to 4), and what it is."""


class Step(NamedTuple):
    """How far a ground moves the context of a category, and what it says."""

    steps: int
    says: str


GROUNDS: Final[dict[Ground, Step]] = {
    "simple.profile": Step(1, "its volume or the controller tells of people's social or financial status"),
    "simple.beliefs": Step(2, "it leads to assumptions on health, sex life, politics or religion"),
    "simple.safety": Step(3, "critical for the safety of minors, vulnerable or protected people"),
    "behavioural.no_insight": Step(-1, "no real insight into somebody's behaviour"),
    "behavioural.public": Step(-1, "easily found in public"),
    "behavioural.daily_life": Step(1, "a detailed profile of daily life"),
    "behavioural.sensitive_profile": Step(2, "a profile made from sensitive data"),
    "financial.no_insight": Step(-2, "no insight into somebody's finances, or out of date"),
    "financial.partial": Step(-1, "a part of the data, no insight into the whole situation"),
    "financial.fraud": Step(1, "complete enough for fraud, or a detailed financial profile"),
    "sensitive.no_insight": Step(-3, "no real insight"),
    "sensitive.public": Step(-3, "easily found in public"),
    "sensitive.general": Step(-2, "general assumptions only"),
    "sensitive.assumptions": Step(-1, "assumptions on sensitive matters"),
}
"""By ground; the part before the dot is the base that it is for."""

IDENTIFICATION: Final[dict[int, tuple[str, str]]] = {
    1: ("negligible", "hardly anybody can tell who it is: a common name, an order number, a pseudonym"),
    2: ("limited", "with effort: a rare name, an account or an address on the network"),
    3: ("significant", "often: a name in a small place, a telephone number, a street address"),
    4: ("maximum", "at once: a name with a mail address or a date of birth"),
}
"""Ease of identification, by quarters: the best identifier in the whole set counts."""

CONFIDENTIALITY: Final[dict[int, str]] = {
    0: "nobody received it who should not have",
    1: "known recipients received it",
    2: "an unknown number of recipients, or unknown ones, received it",
}
INTEGRITY: Final[dict[int, str]] = {
    0: "nothing was altered",
    1: "altered and perhaps misused, can be restored",
    2: "altered and perhaps misused, cannot be restored",
}
AVAILABILITY: Final[dict[int, str]] = {0: "nothing was lost", 1: "out of reach for a time", 2: "lost for good"}
MALICE: Final[dict[int, str]] = {0: "no intent to harm is known", 2: "done with intent to harm"}
"""The circumstances of the breach, by quarters: they add up."""

BORDERS: Final[tuple[tuple[int, Band], ...]] = ((16, "very_high"), (12, "high"), (8, "medium"), (1, "low"), (0, "none"))
"""Quarters from which on a band holds, the highest first."""

MANY: Final = 100
"""People above whose number the method raises a flag outside the sum."""

BAND_OUTCOMES: Final[dict[Band, Outcome]] = {
    "none": "no_breach",
    "low": COMMON_OUTCOMES["low"],
    "medium": COMMON_OUTCOMES["medium"],
    "high": COMMON_OUTCOMES["high"],
    "very_high": COMMON_OUTCOMES["very_high"],
}
"""What a band comes to unless the plan says otherwise (`legal.outcomes`)."""


# Our reading of what Firedoor can see -------------------------------------------------------------------------------


class Meaning(NamedTuple):
    """What a kind of data comes to: its base, the grounds that hold at the worse end, and why."""

    base: Base
    why: str
    grounds: tuple[Ground, ...] = ()
    doubt: str = ""


LABEL_MEANS: Final[dict[str, Meaning]] = {
    "PERSON": Meaning("simple", "names"),
    "EMAIL": Meaning("simple", "mail addresses"),
    "PHONE": Meaning("simple", "telephone numbers"),
    "STREET_ADDRESS": Meaning("simple", "street addresses"),
    "POSTCODE": Meaning("simple", "postcodes"),
    "CITY": Meaning("simple", "towns"),
    "DATE_OF_BIRTH": Meaning("simple", "dates of birth"),
    "USERNAME": Meaning("simple", "user names"),
    "ACCOUNT_ID": Meaning("simple", "customer numbers"),
    "ORDER_ID": Meaning("behavioural", "orders: what somebody buys"),
    "IP": Meaning("behavioural", "addresses on the network: where and when somebody was", ("behavioural.no_insight",)),
    "URL": Meaning("behavioural", "addresses of pages: what somebody looks at", ("behavioural.no_insight",)),
    "NATIONAL_ID": Meaning(
        "financial", "identity numbers, which open contracts in somebody's name", ("financial.partial",)
    ),
    "TAX_ID": Meaning("financial", "tax numbers", ("financial.partial",)),
    "IBAN": Meaning("financial", "account numbers", (), "whether statements or amounts stood beside account numbers"),
    "CREDIT_CARD": Meaning(
        "financial",
        "numbers of payment cards",
        ("financial.fraud",),
        "whether expiry date and security code stood beside card numbers: taken as if they had",
    ),
    "SECRET": Meaning(
        "financial",
        "passwords and keys take the category of what they open: in a shop an account with orders and payments",
        (),
        "what the passwords and keys open: taken as a customer's account",
    ),
}
"""By label of the plan."""

ATTRIBUTE_MEANS: Final[dict[str, Meaning]] = {
    "order": Meaning("behavioural", "a protected set of orders"),
    "staff": Meaning("simple", "a protected set of staff"),
}
"""By `attribute` of a protected set whose content leaked: the others tell of no person."""

RULE_MEANS: Final[dict[str, Meaning]] = {
    "stranger_data": Meaning("simple", "an answer held data of somebody else"),
    "replayed_answer": Meaning("behavioural", "an answer was given that was made for somebody else"),
    "poisoned_cache": Meaning("behavioural", "an answer that was kept for one may have been given to others"),
    "same_answer": Meaning("behavioural", "an answer was given to several, and may have been made for one of them"),
    "payment_card": LABEL_MEANS["CREDIT_CARD"],
    "secret": LABEL_MEANS["SECRET"],
}
"""By rule of a finding: what it says of personal data even where no label was counted."""

RULE_LABELS: Final[dict[str, str]] = {"payment_card": "CREDIT_CARD", "secret": "SECRET"}
"""By rule of a finding: the label of what it found in an answer, which a count of labels may have missed."""

UNTOLD_SET: Final = Meaning(
    "simple", "a protected set whose attribute does not say what it tells: taken as if of people"
)
"""Of a protected set with the attribute `other`, or one that the plan no longer has."""

OPENED: Final = Meaning("behavioural", "passwords and keys open accounts with the orders of the shop")
"""Beside SECRET where the orders themselves are sensitive: they take the category of what they open."""

CATALOGUE_GROUNDS: Final[dict[str, dict[Base, tuple[Ground, str]]]] = {
    "ordinary": {},
    "luxury": {"simple": ("simple.profile", "the shop sells luxury goods (legal.catalogue)")},
    "sensitive": {
        "simple": ("simple.beliefs", "who buys in such a shop tells of health, sex life or beliefs (legal.catalogue)"),
        "behavioural": ("behavioural.sensitive_profile", "what the shop sells is sensitive (legal.catalogue)"),
    },
}
"""By `legal.catalogue`: what being a customer of the shop tells. It takes the place of other grounds of that base."""

BUSINESS: Final = frozenset(
    {
        "protected_value",
        "protected_amount",
        "protected_document",
        "honeytoken",
        "partial_value",
        "rounded_amount",
        "system_prompt",
    }
)
"""Rules of findings by which content of the shop leaked. What their sets tell says whether it is of people."""

ATTACKS: Final = frozenset({"prompt_attack", "indirect_attack", "asked_attribute", "session_refused"})
"""Rules of findings on what was asked: they say nothing of what got out."""

MALICIOUS: Final = frozenset({"prompt_attack", "indirect_attack", "session_refused", "poisoned_cache"})
"""Rules of findings that show intent, or may: who poisons a cache writes to its file, unless the disk is failing."""

ALTERED: Final = frozenset({"poisoned_cache"})
"""Rules of findings that show data to have been altered; a purge restores them."""

EXCHANGED: Final = frozenset({"model_drift"})
"""Rules of findings after which nobody knows who runs the model instance that was given requests."""

KEPT_FROM_MODELS: Final = frozenset({"mask", "drop", "refuse"})
"""Handlings of personal data after which a model instance was not given the value."""

LABEL_IDENTIFIES: Final[dict[str, Quarters]] = {
    "EMAIL": 4, "NATIONAL_ID": 4, "TAX_ID": 4, "SECRET": 4,
    "PERSON": 3, "PHONE": 3, "STREET_ADDRESS": 3, "CREDIT_CARD": 3, "IBAN": 3,
    "IP": 2, "USERNAME": 2, "ACCOUNT_ID": 2,
    "POSTCODE": 1, "CITY": 1, "DATE_OF_BIRTH": 1, "ORDER_ID": 1, "URL": 1,
}  # fmt: skip
"""Quarters of a label by itself. A name may be common or rare, and the worse end counts."""

PLACEHOLDER: Final[Quarters] = 1
"""Quarters of a label whose values were placeholders: only the region can tell whose they are."""

NAMES_WITH: Final = frozenset({"DATE_OF_BIRTH", "STREET_ADDRESS", "PHONE", "CREDIT_CARD", "IBAN"})
"""With one of these a name identifies at once."""

BORN_AT: Final = frozenset({"POSTCODE", "CITY"})
"""With one of these a date of birth identifies often, though neither does by itself."""
SIGNIFICANT: Final[Quarters] = 3

HIDDEN: Final[dict[Unknown, str]] = {
    "not_seen": "exchanges in which nobody looked for personal data",
    "log_missing": "records that the log covers and nobody has",
}
"""Doubts of a count behind which there may be personal data that nobody saw. The others pass, or do not hide any."""

KNOWN_RECIPIENTS: Final = 20
"""People up to whom recipients are known: so many can each be written to, asked to delete and counted off."""
