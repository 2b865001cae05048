"""The shared words of reading an attack: who wrote a text, what speaks for an attack in it, and how it was hidden."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol

from firedoor.core.detect.disguise.views import View
from firedoor.core.plan.model import Attribute

Role = Literal["shopper", "document", "tool"]
"""Who wrote a text: the person who asks; somebody whose words were looked up (a review, a description, an order note, a
name); a tool that answered. Nobody but the shopper has anything to ask of the model."""
ROLES: tuple[Role, ...] = ("shopper", "document", "tool")

Source = Literal["rule", "model", "asked", "decoder"]


class Sign(NamedTuple):
    """Something that speaks for an attack: code points `start`..`end` of the text, as it read in `view`.

    `rule` is the rule's name, ``model.<role>``, ``asked.<attribute>`` or ``decoder.refused``. `score` (0 to 1) is at
    least 0.5 where it is enough for a verdict by itself.
    """

    rule: str
    start: int
    end: int
    view: str
    score: float
    source: Source


class Views(NamedTuple):
    """A text as it reads with its disguises undone; the first is ``plain``, and always there.

    `refused` counts decodings that would have gone beyond a bound: what they hide is not known.
    """

    views: tuple[View, ...]
    refused: int = 0


class RuleHit(NamedTuple):
    """A rule that matched code points `start`..`end` of the text it was given. `weight` is in log-odds (nats)."""

    rule: str
    start: int
    end: int
    weight: float


class Scores(NamedTuple):
    """What the model makes of one text: log-odds (nats) of an attack and of each attribute being asked for.

    `start`..`end` are the code points of the stretch that speaks most for an attack: the text, or a sentence of it.
    """

    attack: float
    asked: Mapping[Attribute, float]
    start: int
    end: int


class RuleSearch(Protocol):
    """The rules. Owes: time linear in the text."""

    def find(self, text: str, role: Role) -> list[RuleHit]:
        """Rules that match `text`, each once, in the order of the text; offsets count code points."""
        ...


class Model(Protocol):
    """The trained model. Owes: time linear in the text; the same scores for the same text."""

    def scores(self, text: str, role: Role) -> Scores:
        """What it makes of `text`, a normalised view, written by `role`."""
        ...

    def threshold(self, role: Role) -> float:
        """Log-odds from which a text of `role` is an attack: calibrated to one false alarm in some hundred."""
        ...

    def asked_threshold(self) -> float:
        """Log-odds from which an attribute is asked for."""
        ...


class Reading(NamedTuple):
    """What was read in one text.

    `score` (0 to 1) is 0.5 at the threshold of its role. `asked` are the attributes that are asked for, with their
    scores on the same scale: whether they may be asked for depends on the caller. `weak` is the log-odds against the
    threshold (nats, negative for most texts), `leaning` the same for each attribute: what sessions add up. `compared`
    are the numbers that a protected amount is guessed against ("above 40?"). `refused`: decodings beyond a bound.
    """

    score: float
    signs: tuple[Sign, ...]
    asked: Mapping[Attribute, float]
    weak: float
    leaning: Mapping[Attribute, float] = MappingProxyType({})
    compared: tuple[float, ...] = ()
    refused: int = 0
