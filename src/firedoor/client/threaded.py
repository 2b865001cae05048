"""The client for shops on threads: the asynchronous one on an event loop in a thread of its own.

Why not the synchronous OpenAI client: its time-outs count each read, so a server that drips bytes holds the caller for
ever, and a blocked thread cannot be stopped. A task can, so a late call here costs a cancelled task and no thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from firedoor.client.asynchronous import AsyncShopClient, decision_request, read_client_file
from firedoor.client.stream import CLOSING_TIME, AsyncShopStream
from firedoor.client.trouble import FiredoorInfo, Trouble
from firedoor.core.clientfile import SurfaceFallback
from firedoor.core.rules import Decision
from firedoor.errors import SetupError

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

    from firedoor.client.breaker import Breaker

T = TypeVar("T")


class LoopThread:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._gate = threading.Lock()
        self._closing = False
        self._thread = threading.Thread(target=self._loop.run_forever, name="firedoor-client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """The result of `work`, run on the loop. Raises `Trouble` when it takes longer or the loop is closed."""
        with self._gate:  # what passes here is on the loop before `close` looks for what still runs
            if self._closing:
                work.close()
                raise Trouble("closed", alive=True)
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(max(0.0, seconds))
        except concurrent.futures.CancelledError:
            raise Trouble("closed", alive=True) from None
        except TimeoutError:
            future.cancel()
            raise Trouble("timeout") from None

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Cancel what still runs, run `last`, stop."""
        with self._gate:
            self._closing = True
            ending = asyncio.run_coroutine_threadsafe(_wind_up(last), self._loop)
        concurrent.futures.wait([ending], CLOSING_TIME)  # what is left after that goes with the loop
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSING_TIME)
        if not self._thread.is_alive():
            self._loop.close()


class ShopClient:
    """One surface of one shop in one region, for any number of threads.

    Its event-loop thread starts with the first call, and again in a forked child. Raises `SetupError` as
    `AsyncShopClient` does, and after `close`.
    """

    def __init__(
        self, base_url: str, credential: str, *, surface: SurfaceFallback, breaker: Breaker | None = None
    ) -> None:
        self._make: Callable[[], AsyncShopClient] = lambda: AsyncShopClient(
            base_url, credential, surface=surface, breaker=breaker
        )
        self._inner = self._make()
        self._lock = threading.Lock()
        self._thread: LoopThread | None = None
        self._process = os.getpid()
        self._closed = False

    @classmethod
    def from_file(cls, path: Path, surface: str, *, credential: str | None = None) -> ShopClient:
        """For `surface` of a client file; see `firedoor.client.asynchronous.read_client_file`."""
        base_url, settings, secret = read_client_file(path, surface, credential)
        return cls(base_url, secret, surface=settings)

    @property
    def surface(self) -> SurfaceFallback:
        """The surface's settings."""
        return self._inner.surface

    @overload
    def chat(self, messages: Iterable[Any], *, stream: Literal[False] = False, **options: Any) -> ChatCompletion: ...

    @overload
    def chat(self, messages: Iterable[Any], *, stream: Literal[True], **options: Any) -> ShopStream: ...

    def chat(
        self, messages: Iterable[Any], *, stream: bool = False, language: str | None = None, **options: Any
    ) -> ChatCompletion | ShopStream:
        """Ask the surface, as `AsyncShopClient.chat` does; a stream is an iterator of ``ChatCompletionChunk``."""
        inner, thread = self._running()
        messages = list(messages)
        seconds = inner.surface.deadline
        try:
            if stream:
                opened = thread.run(inner.chat(messages, stream=True, language=language, **options), seconds)
                return ShopStream(opened, thread, seconds)
            whole: ChatCompletion = thread.run(inner.chat(messages, language=language, **options), seconds)
            return whole
        except Trouble as trouble:
            request = {"model": inner.surface.model, **options, "messages": messages}
            if stream:
                return ShopStream(inner.local_stream(request, language, trouble.reason), thread, seconds)
            return inner.local_completion(request, language, trouble)

    def decide(self, transaction: dict[str, Any], **headers: str | None) -> Decision:
        """Score a transaction, as `AsyncShopClient.decide` does; `headers` are subject, session and jurisdiction."""
        inner, thread = self._running()
        request = decision_request(inner.surface, transaction)
        try:
            return thread.run(inner.decide(transaction, **headers), inner.surface.deadline)
        except Trouble:
            return inner.local_decision(request)

    def close(self) -> None:
        """Close connections and stop the thread. Streams that are still read end with the fallback."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is not None and self._process == os.getpid():
            thread.close(self._inner.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _running(self) -> tuple[AsyncShopClient, LoopThread]:
        with self._lock:
            if self._closed:
                raise SetupError("This client is closed.", remedy="Make a new one.")
            if self._process != os.getpid():
                # The parent's thread and sockets do not work in a forked child.
                self._process, self._thread, self._inner = os.getpid(), None, self._make()
            if self._thread is None:
                self._thread = LoopThread()
            return self._inner, self._thread


class ShopStream:
    """An iterator of ``ChatCompletionChunk``. `firedoor` is final once the last chunk was seen.

    Close it (or leave a ``with``) when you stop reading early; a loop over it does that by itself.
    """

    def __init__(self, inner: AsyncShopStream, thread: LoopThread, deadline: float) -> None:
        self._inner = inner
        self._thread = thread
        self._longest = deadline + 2 * CLOSING_TIME  # the stream itself gives up after `deadline`, then closes
        self._ready: list[ChatCompletionChunk] = []
        self._ended = False

    @property
    def firedoor(self) -> FiredoorInfo:
        """Where the words came from, as far as is known by now."""
        return self._inner.firedoor

    def __next__(self) -> ChatCompletionChunk:
        if not self._ready and not self._ended:
            self._ready = self._more()
        if not self._ready:
            raise StopIteration
        return self._ready.pop(0)

    def __iter__(self) -> Iterator[ChatCompletionChunk]:
        try:
            while True:
                try:
                    chunk = self.__next__()
                except StopIteration:
                    return
                yield chunk
        finally:
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading and free the connection."""
        self._ended = True
        try:
            self._thread.run(self._inner.aclose(), CLOSING_TIME)
        except Trouble:
            pass  # the loop is closed, and the connection with it

    def _more(self) -> list[ChatCompletionChunk]:
        try:
            chunk = self._thread.run(self._inner.next_or_none(), self._longest)
        except Trouble as trouble:
            self._ended = True
            return self._inner.give_up(trouble.reason)
        self._ended = chunk is None
        return [] if chunk is None else [chunk]


async def _wind_up(last: Coroutine[Any, Any, None]) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await last
