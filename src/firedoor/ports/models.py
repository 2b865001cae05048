"""Model servers, and their isolation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from firedoor.core.switchstate import Entry


class ModelAnswer(Protocol):
    """One answer of a model server, while it arrives."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def event_stream(self) -> bool:
        """Whether the body is ``text/event-stream``."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Raw bytes as they come, at most 64 KiB each. Reads only when asked. Raises `ModelFailed`."""
        ...

    async def aclose(self) -> None:
        """Stop reading; an unfinished answer's connection is dropped, so that the server stops generating."""
        ...


class ModelServer(Protocol):
    """One model instance.

    Owes: only the plan's URL is ever called, redirects and proxies are not followed, errors leave only as
    `ModelFailed` with a reason code.
    """

    async def call(self, path: str, body: bytes, *, timeout: float) -> ModelAnswer:  # noqa: ASYNC109  # to the headers
        """Send `body` (JSON) to `path` below the instance's OpenAI base URL; return when the headers are there.

        `path` is ``/chat/completions``, ``/embeddings`` (POST) or ``/models`` (GET, `body` ignored). `timeout`
        (seconds) bounds all up to the headers. Any status but a redirect is an answer. Raises `ModelFailed`.
        """
        ...

    async def aclose(self) -> None:
        """Close what is the instance's own."""
        ...


class Isolation(Protocol):
    """What becomes of the process of a model instance that people isolate.

    Owes: nothing raises but for a mistake in the program; what was done, or could not be, is on record.
    """

    async def isolate(self, model: str, how: str, entry: Entry) -> None:
        """Isolate the model instance `model`: `how` is one of `core.people.ISOLATE`, `entry` the shut that asked it."""
        ...

    async def release(self, model: str) -> None:
        """Let it run again after no switch of its own shuts it any more. Harmless if it is not isolated."""
        ...
