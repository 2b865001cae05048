"""A stream that always ends well: the gateway's chunks, and the fallback's words where they stop coming."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Self

from firedoor.client.trouble import OUTCOMES, FiredoorInfo, Trouble, local_info, within
from firedoor.core.fallback import FallbackAnswer, as_chunks, tail_chunks

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionChunk

    from firedoor.client.breaker import Breaker

MAX_STREAM = 4_194_304
"""Code points of one stream; the longest answer the plan allows is about a million tokens."""
CLOSING_TIME = 1.0
"""Seconds a connection may take to close."""


class Guard:
    """Decides what a shopper sees of a stream: chunks in, chunks out. No I/O.

    Nothing is shown before the first chunk that says something, so that a stream which dies before it is replaced
    whole. One that dies later gets the fallback's text as a new paragraph and a ``finish_reason``.
    """

    def __init__(
        self,
        info: FiredoorInfo,
        request: dict[str, Any],
        fallback: Callable[[], FallbackAnswer],
        chunk_type: type[ChatCompletionChunk],
        head: dict[str, Any],
    ) -> None:
        self.info = info
        self.begun = False
        self.ended = False
        self._request = request
        self._fallback = fallback
        self._type = chunk_type
        self._head = head
        self._held: list[ChatCompletionChunk] = []
        self._open = set(range(request.get("n") or 1))
        self._size = 0

    def feed(self, chunk: ChatCompletionChunk) -> list[ChatCompletionChunk]:
        """Take a chunk of the gateway; return what may be shown now. Raises `Trouble` for what is no chunk."""
        said = False
        for choice in _choices(chunk):
            said = said or _says_something(choice)
            self._size += len(choice.delta.content or "")
            if choice.finish_reason:
                self._open.discard(choice.index)
        if self._size > MAX_STREAM:
            raise Trouble("too_large")
        self._note_outcome(chunk)
        self._head = {"model": chunk.model, "created": chunk.created, "completion_id": chunk.id}
        self._held.append(chunk)
        if not (self.begun or said):
            return []
        self.begun = True
        shown, self._held = self._held, []
        return shown

    def finish(self) -> list[ChatCompletionChunk]:
        """The gateway's stream is over; return what is still to be shown. Raises `Trouble` if it was cut short."""
        if self._open:
            raise Trouble("cut_short")
        self.ended = True
        return []

    def fail(self, reason: str) -> list[ChatCompletionChunk]:
        """No more chunks will come; return what ends the stream."""
        self.ended = True
        if self.begun and not self._open:
            return []  # every choice had its end; only the stream's own last bytes are missing
        given = self._fallback()
        if not self.begun:
            self.info = local_info(given, reason, self.info.exchange)
            chunks = as_chunks(given, self._request, **self._head)
        else:
            self.info = dataclasses.replace(self.info, outcome="cut", reason=reason)
            chunks = tail_chunks(given, sorted(self._open), after="\n\n", **self._head)
        return [self._type.construct(**chunk) for chunk in chunks]

    def _note_outcome(self, chunk: ChatCompletionChunk) -> None:
        last = (chunk.model_extra or {}).get("firedoor")
        if isinstance(last, dict) and last.get("outcome") in OUTCOMES:
            reason = last.get("reason")
            reason = reason[:64] if isinstance(reason, str) else None
            self.info = dataclasses.replace(self.info, outcome=last["outcome"], reason=reason)


class AsyncShopStream:
    """An asynchronous iterator of ``ChatCompletionChunk``. `firedoor` is final once the last chunk was seen.

    Close it (or leave an ``async with``) when you stop reading early; a loop over it does that by itself.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        source: AsyncIterator[ChatCompletionChunk] | None,
        manager: AbstractAsyncContextManager[Any] | None,
        patience: Callable[[bool], float],
        breaker: Breaker,
        dropped: set[asyncio.Task[Any]],
    ) -> None:
        self.guard = guard
        self._source = source
        self._manager = manager
        self._patience = patience
        self._breaker = breaker
        self._dropped = dropped
        self._ready: list[ChatCompletionChunk] = []

    @property
    def firedoor(self) -> FiredoorInfo:
        """Where the words came from, as far as is known by now."""
        return self.guard.info

    def give_up(self, reason: str) -> list[ChatCompletionChunk]:
        """All that is still to be shown when nobody can wait for the gateway any longer."""
        ready, self._ready = self._ready, []
        return ready if self.guard.ended else [*ready, *self.guard.fail(reason)]

    async def next_or_none(self) -> ChatCompletionChunk | None:
        """The next chunk; None when the stream is over."""
        while not self._ready and not self.guard.ended:
            self._ready = await self._more()
        if self._ready:
            return self._ready.pop(0)
        await self.aclose()
        return None

    async def __anext__(self) -> ChatCompletionChunk:
        chunk = await self.next_or_none()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        try:
            while (chunk := await self.next_or_none()) is not None:
                yield chunk
        finally:
            await self.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop reading and free the connection."""
        self.guard.ended = True
        manager, self._manager = self._manager, None
        if manager is not None:
            try:
                await within(_leave(manager), CLOSING_TIME, self._dropped)
            except Exception:  # noqa: BLE001, S110 -- a connection that cannot be closed is of no more use to anybody
                pass

    async def _more(self) -> list[ChatCompletionChunk]:
        try:
            if self._source is None:
                raise Trouble(self.guard.info.reason or "broken", alive=True)
            chunk = await within(_next(self._source), self._patience(self.guard.begun), self._dropped)
            if chunk is not None:
                return self.guard.feed(chunk)
            last = self.guard.finish()
        except Exception as problem:  # noqa: BLE001 -- whatever a dying stream raises, the shopper's ends well
            trouble = problem if isinstance(problem, Trouble) else Trouble("broken")
            if not trouble.alive:
                self._breaker.failed()
            return self.guard.fail(trouble.reason)
        self._breaker.succeeded()
        return last


def _choices(chunk: ChatCompletionChunk) -> list[Any]:
    choices = getattr(chunk, "choices", None)
    if not isinstance(choices, list) or any(getattr(choice, "delta", None) is None for choice in choices):
        raise Trouble("garbage")
    return choices


def _says_something(choice: Any) -> bool:
    said = choice.delta.model_dump(exclude={"role"}, exclude_none=True)
    return bool(choice.finish_reason) or any(said.values())


async def _next(source: AsyncIterator[ChatCompletionChunk]) -> ChatCompletionChunk | None:
    return await anext(source, None)


async def _leave(manager: AbstractAsyncContextManager[Any]) -> None:
    await manager.__aexit__(None, None, None)
