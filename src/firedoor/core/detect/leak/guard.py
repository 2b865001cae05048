"""What the answers of a surface must not hold, and the guard of one exchange.

The index is a surface's and changes with the protected sets; the guard is made from it for one request, because what
the caller typed, or may receive, is no leak.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from firedoor.core.chat import MAX_DEPTH
from firedoor.core.detect.leak.documents import DocumentWatch, typed_grams
from firedoor.core.detect.leak.grams import Fingerprints, GramFolding, PromptGrams
from firedoor.core.detect.leak.leakwatch import LeakParts, LeakWatch
from firedoor.core.detect.leak.rowdata import RowContext
from firedoor.core.detect.leak.rows import RowIndex
from firedoor.core.detect.leak.secrets import SecretWatch
from firedoor.core.detect.leak.values import ValueIndex
from firedoor.core.detect.leak.watch import Watch
from firedoor.core.detect.spans import Hit
from firedoor.core.subject import SubjectRecord

INSTRUCTIONS = frozenset({"system", "developer"})
"""Roles whose messages are the shop's own instructions to the model."""
MAX_PROMPTS = 262_144
"""Characters of instructions whose grams are remembered, some 28 MiB: those of two dozen surfaces."""


class Brought(Struct, frozen=True):
    """What a request brings that its answer may hold.

    `typed` are ids of protected values and `grams` stretches of protected documents that the shopper wrote, `texts` all
    that they wrote; `rows` is what the request says of protected rows, `prompt` the shop's instructions where these are
    protected. `granted` are the sets that the caller may receive.
    """

    typed: frozenset[str] = frozenset()
    granted: frozenset[str] = frozenset()
    grams: frozenset[bytes] = frozenset()
    texts: tuple[str, ...] = ()
    rows: RowContext | None = None
    prompt: PromptGrams | None = None


class LeakIndex:
    """All that the answers of a surface must not hold. Not for use from several threads at once.

    `documents` may hold more than is protected here: what belongs to the sets in `elsewhere` only is not looked for.
    With `prompts` the instructions in each request are protected, with `secrets` keys, tokens and payment cards are
    looked for.
    """

    def __init__(
        self,
        values: ValueIndex,
        *,
        rows: RowIndex | None = None,
        documents: Sequence[Fingerprints] = (),
        elsewhere: frozenset[str] = frozenset(),
        prompts: bool = False,
        secrets: bool = True,
        folding: GramFolding | None = None,
    ) -> None:
        self._values = values
        self._rows = rows if rows is not None and len(rows) else None
        self._documents = tuple(documents)
        self._elsewhere = elsewhere
        self._prompts = prompts
        self._secrets = secrets
        self._folding = GramFolding() if folding is None else folding
        self._known: dict[tuple[str, ...], PromptGrams] = {}

    def read(
        self, request: dict[str, Any], subject: SubjectRecord | None = None, granted: frozenset[str] = frozenset()
    ) -> Brought:
        """What `request`, of a caller who may receive the sets in `granted`, brings."""
        texts = tuple(typed_by_the_shopper(request))
        typed: frozenset[str] = frozenset()
        for text in texts:
            typed |= self._values.ids_in(text)
        prompt = self._prompt(request) if self._prompts else None
        sources = self._documents if prompt is None else (*self._documents, prompt)
        grams: frozenset[bytes] = frozenset()
        for text in texts if sources else ():
            grams |= typed_grams(sources, self._folding, text)
        rows = self._rows
        return Brought(
            typed,
            granted,
            grams,
            texts,
            None if rows is None else rows.context(texts, said_by_others(request), subject, granted),
            prompt,
        )

    def guard(self, brought: Brought) -> LeakGuard:
        """The guard of one answer."""
        return LeakGuard(self._parts(brought, prompt=True, secrets=self._secrets), brought)

    def context_watch(self, brought: Brought) -> Watch | None:
        """A watch of what the shop tells the model, for what its caller may not receive; None for nothing."""
        if not (len(self._values) or self._rows is not None or self._documents):
            return None
        rows = brought.rows.anew() if brought.rows is not None else None
        return LeakWatch(self._parts(replace(brought, rows=rows), prompt=False, secrets=False))

    def _parts(self, brought: Brought, *, prompt: bool, secrets: bool) -> LeakParts:
        values, rows, context = self._values, self._rows, brought.rows
        documents = instructions = None
        if self._documents:
            documents = partial(
                DocumentWatch, self._documents, self._folding,
                typed=brought.grams, granted=brought.granted, elsewhere=self._elsewhere,
            )  # fmt: skip
        if prompt and brought.prompt is not None:
            instructions = partial(DocumentWatch, (brought.prompt,), self._folding, typed=brought.grams, kind="prompt")
        return LeakParts(
            values=partial(values.watch, brought.typed, brought.granted) if len(values) else None,
            documents=documents,
            prompt=instructions,
            rows=None if rows is None or context is None else partial(rows.watch, context),
            secrets=partial(SecretWatch, brought.texts) if secrets else None,
        )

    def _prompt(self, request: dict[str, Any]) -> PromptGrams | None:
        """The grams of the shop's instructions, remembered: they are the same in each request."""
        texts = tuple(_said_by(request, INSTRUCTIONS))
        if not texts:
            return None
        known = self._known.get(texts)
        if known is None:
            size = sum(len(text) for kept in self._known for text in kept)
            if size + sum(map(len, texts)) > MAX_PROMPTS:
                self._known.clear()
            known = self._known[texts] = PromptGrams(texts, self._folding)
        return known


class LeakGuard:
    """What the answer of one exchange must not hold."""

    def __init__(self, parts: LeakParts, brought: Brought) -> None:
        self._parts = parts
        self._brought = brought

    @property
    def brings_something(self) -> bool:
        """Whether the caller typed protected content, or may receive some."""
        return bool(self._brought.typed or self._brought.grams or self._brought.granted)

    def touched(self) -> tuple[int, ...]:
        """Hashes of the protected rows that the shopper or the answer named so far, and may not receive."""
        return () if self._brought.rows is None else self._brought.rows.touched()

    def watch(self) -> Watch:
        """The watch of one growing text of the answer."""
        return LeakWatch(self._parts)

    def look(self, text: str) -> list[Hit]:
        """What is found in a text that stands for itself."""
        watch = self.watch()
        return watch.feed(text) + watch.end()


def typed_by_the_shopper(request: dict[str, Any]) -> Iterator[str]:
    """What the shopper wrote, in any turn. Other roles' texts come from the shop or the model and excuse no leak."""
    return _said_by(request, frozenset({"user"}))


def said_by_others(request: dict[str, Any]) -> Iterator[str]:
    """What the rest of the request says: instructions, documents, results of tools, earlier answers."""
    for message in request.get("messages", ()):
        if message.get("role") != "user":
            yield from _texts(message.get("content"), MAX_DEPTH)


def _said_by(request: dict[str, Any], roles: frozenset[str]) -> Iterator[str]:
    for message in request.get("messages", ()):
        if message.get("role") in roles:
            yield from _texts(message.get("content"), MAX_DEPTH)


def _texts(value: Any, depth: int) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif depth and isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner, depth - 1)
    elif depth and isinstance(value, list):
        for inner in value:
            yield from _texts(inner, depth - 1)
