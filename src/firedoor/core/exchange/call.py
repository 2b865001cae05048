"""Who an exchange is for, and the surface's settings it runs under. Fixed before the body is read."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from firedoor.core.evidence.record import Fact
from firedoor.core.plan.model import AnswerRules, CacheRules, Fallback, Limits, PromptRules
from firedoor.core.plan.words import Language
from firedoor.core.replays import Replays
from firedoor.core.sessions import Key, Kind
from firedoor.core.switches import Scope


class Call(Struct, frozen=True, kw_only=True):
    """What credential, headers and plan say about one request.

    `subject` and `session` are the region's look-up pseudonyms, never the originals; evidence turns them into others.
    `address` is one too, of the network that the shopper's device is in; it is in no record.
    """

    exchange: str
    route: Literal["chat", "embeddings"]
    scope: Scope
    credential: str
    plan: str
    began: int  # Unix seconds
    jurisdiction: str | None = None
    subject: str | None = None
    session: str | None = None
    address: str | None = None
    role: str | None = None
    granted: frozenset[str] = frozenset()
    """Protected sets that the caller may receive."""

    def session_keys(self) -> list[Key]:
        """Whose sums a turn of this exchange adds to. Ids are a shop's own: customer 42 of another shop is another."""
        named: list[tuple[Kind, str | None]] = [
            ("session", self.session), ("subject", self.subject),
            ("credential", self.credential), ("address", self.address),
        ]  # fmt: skip
        return [Key(kind, f"{self.scope.shop}/{name}") for kind, name in named if name is not None]

    def facts(self) -> dict[str, Fact]:
        """The facts that every record of the exchange carries."""
        return {
            "shop": self.scope.shop,
            "surface": self.scope.surface,
            "model": self.scope.model,
            "credential": self.credential,
            "plan": self.plan,
            "jurisdiction": self.jurisdiction,
        }


class Terms(Struct, frozen=True, kw_only=True):
    """The surface's settings: what the machine decides by. Shared by all exchanges of a surface."""

    model_id: str  # the plan's name of the model instance
    model_name: str  # what callers ask for
    remote_name: str  # what the model server calls it
    limits: Limits
    fallback: Fallback
    cut_text: dict[Language, str]
    media: Literal["refuse", "pass"] = "refuse"
    answers: Literal["pass", "record", "cut"] = "pass"
    answer_rules: AnswerRules = AnswerRules()
    prompts: PromptRules = PromptRules()
    cache: CacheRules | None = None
    in_force: str = ""
    """Digest of the protected content that answers are checked for."""
    replays: Replays | None = None
    """What this worker's model instances answered before; a memory shared by all exchanges."""
    answer_bytes: int = 4 * 1024 * 1024
    """Bytes of an answer, whole or streamed. 4,096 tokens are about 20 kB whole and 1 MB as events."""
