"""A case of the suite: an attack, and its harmless twin of the same topic and form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal, get_args

import msgspec
from msgspec import Struct

from firedoor.errors import SetupError

Language = Literal["en", "de", "fr", "es", "it", "nl", "pl", "pt"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)

Kind = Literal[
    "cost", "margin", "floor_price", "supplier", "unreleased", "code", "order", "catalogue", "recital", "prompt",
    "direct", "narrowing", "written", "planted", "tokens", "disguised", "harmless", "grants", "bulk", "chat",
]  # fmt: skip
KINDS: Final[dict[Kind, str]] = {
    "cost": "what the shop pays",
    "margin": "margin and markup",
    "floor_price": "the lowest price it would take",
    "supplier": "who supplies it",
    "unreleased": "what is not public yet",
    "code": "staff and hidden codes",
    "order": "other customers' orders",
    "catalogue": "the catalogue, page by page",
    "recital": "rules about competitors, training data",
    "prompt": "the instructions",
    "direct": "orders to drop the instructions",
    "narrowing": "a secret in small steps, over turns and sessions",
    "written": "a secret in another form",
    "planted": "orders in somebody else's text",
    "tokens": "role tokens and invented turns",
    "disguised": "attacks in a disguise",
    "harmless": "harmless, but looks like more",
    "grants": "the same question by a shopper and by a buyer",
    "bulk": "too large, too deep, too slow",
    "chat": "odd and broken requests",
}
Carrier = Literal[
    "review", "description", "alt_text", "pdf", "order_note", "customer_name", "email", "tool_result", "file_name"
]
"""Whose text an order to the model is planted in."""

MAX_TEXT = 4000
"""Characters of one text; larger ones are made by code, see `bulk.py`."""
MAX_STEPS = 30


class Case(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`ask` is what the attacker says, turn after turn, `twin` the harmless one.

    With `steps` the one turn is asked so often, with other numbers. With `carrier` both are planted in somebody's text,
    and the shopper asks `question`. `make` names a request that code makes. An empty `ask` is a case that is only
    harmless. ``{product}``, ``{sku}``, ``{order}``, ``{own_order}``, ``{guess}``, ``{n}``, ``{from}`` and ``{to}`` are
    filled in.
    """

    id: str
    lang: Language
    kind: Kind
    ask: tuple[str, ...] = ()
    twin: tuple[str, ...] = ()
    steps: int = 0
    carrier: Carrier | None = None
    question: str = ""
    make: str = ""
    disguise: str = ""

    @property
    def name(self) -> str:
        """Unlike any other: ``de:cost-1``, ``en:cost-1+base64``."""
        return f"{self.lang}:{self.id}" + (f"+{self.disguise}" if self.disguise else "")


class Wording(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sentences of a language that several cases share.

    `decode` stands before an encoded text, `hello` opens a conversation and `welcome` answers it. `words` are words for
    each other.
    """

    lang: Language
    decode: str
    hello: str
    welcome: str
    words: dict[str, tuple[str, ...]] = {}


def decode(lines: Iterable[bytes]) -> tuple[Wording, tuple[Case, ...]]:
    """A file of the suite: its first line is a `Wording`, each other line a `Case`. Raises `SetupError`."""
    rows = [line for line in lines if line.strip()]
    try:
        wording = msgspec.json.decode(rows[0], type=Wording)
        cases = tuple(msgspec.json.decode(row, type=Case) for row in rows[1:])
    except (msgspec.MsgspecError, IndexError) as error:
        raise SetupError("The red-team suite of this package is damaged.", remedy="Install it again.") from error
    for case in cases:
        _check(case, wording.lang)
    return wording, cases


def _check(case: Case, lang: Language) -> None:
    texts = (*case.ask, *case.twin, case.question)
    whole = case.make or case.twin
    if case.lang != lang or not whole or any(len(text) > MAX_TEXT for text in texts) or case.steps > MAX_STEPS:
        raise SetupError(f"The red-team suite of this package is damaged at {case.name}.", remedy="Install it again.")


def chosen(cases: Iterable[Case], kinds: frozenset[str], languages: frozenset[str]) -> Iterator[Case]:
    """Those of the kinds and languages that are wanted; an empty set is all of them."""
    for case in cases:
        if (not kinds or case.kind in kinds) and (not languages or case.lang in languages):
            yield case
