"""Looks at a model instance: what it says of itself, what it answers, and, if it is ours, its process and weights.

Reads only. Questions go to the instance's normal endpoint one after the other, each with a time limit, and the first
that is not answered in time is the last of a look: an instance that is busy has better things to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from firedoor.core.integrity import (
    NO_BASELINE,
    Baseline,
    Look,
    described,
    learnt,
    probe_answer,
    probe_item,
    probe_request,
    propertied,
)
from firedoor.core.plan.model import Probe
from firedoor.errors import ModelFailed, SetupError
from firedoor.upstream.http import HttpModelServer, ModelClient
from firedoor.upstream.ownprocess import FileDigests, OwnProcess, process_items

PAGE_SECONDS = 5.0
"""For a page that the server has ready."""
PROBE_SECONDS = 15.0
"""For the answer to a probe, at most 256 tokens. The connection is dropped then, and the server stops."""
PAUSE = 0.1
"""Seconds between two questions: shoppers' requests that came meanwhile are served first."""
ASKED = 3
"""How often a probe is asked for a baseline; and, when its answer differs from the baseline, before that counts."""
PAGE_LIMIT = 1_048_576
"""Bytes of an answer. A chat template has about 10 kB, a list of models 1 kB each."""
GONE = frozenset({404, 405, 501})
"""Statuses by which a server says that it has no such page."""


class Target(Struct, frozen=True):
    """A model instance to look at. `names` is what its server may call the model, the one to ask for first."""

    url: str
    key: str | None
    names: tuple[str, ...]
    probes: tuple[Probe, ...] = ()
    process: OwnProcess | None = None


class ModelLooker:
    """Looks at the model instances of a region. Used from one event loop; `aclose` ends its connections."""

    def __init__(self) -> None:
        self._client = ModelClient()
        self._digests = FileDigests()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def look(self, target: Target, baseline: Baseline | None) -> Look:
        """What is to be seen now. Probes that `baseline` does not use are not asked; without one, none is. Never raises
        for what a server or a file does.
        """
        look = await self._outside(target)
        if baseline is None:
            return look
        for probe in target.probes:
            item = probe_item(probe)
            if item in baseline.items:
                await self._compare(target, probe, baseline, look)
                if item in look.unseen:
                    break
            elif item not in baseline.unused:
                look.unseen[item] = NO_BASELINE
        return look

    async def baseline(self, target: Target, at: int) -> Baseline:
        """What is to be seen now as a baseline; `at` is Unix seconds. Every probe is asked `ASKED` times.

        Raises `SetupError` if the server does not answer: a baseline without a word of it says nothing.
        """
        look = await self._outside(target)
        if "description.models" in look.unseen:
            raise SetupError(
                f"The model server does not answer ({look.unseen['description.models']}).",
                remedy="Start it, then take the baseline.",
            )
        unused: dict[str, str] = {}
        for probe in target.probes:
            item = probe_item(probe)
            answers = [await self._ask(target, probe) for _ in range(ASKED)]
            if all(answer == answers[0] for answer in answers) and isinstance(answers[0], dict):
                look.seen.update(answers[0])
            else:
                failed = next((answer for answer in answers if isinstance(answer, str)), "not_stable")
                unused[item] = failed
        return learnt(at, look, unused)

    async def pages(self, target: Target, seconds: float) -> dict[str, Page | Failed]:
        """What the server says of itself now, asked all at once: ``models``, ``props`` and ``version`` (vLLM's)."""
        server = self._server(target)
        try:
            models, props, version = await asyncio.gather(
                _document(server, "/models", b"", seconds),
                self._beside(target, "props", seconds),
                self._beside(target, "version", seconds),
            )
        finally:
            await server.aclose()
        return {"models": models, "props": props, "version": version}

    async def _outside(self, target: Target) -> Look:
        """All but the probes."""
        look = Look({}, {})
        server = self._server(target)
        try:
            listing = await _document(server, "/models", b"", PAGE_SECONDS)
            _put(look, "description.models", listing, lambda page: described(page, target.names))
            props = await self._beside(target, "props", PAGE_SECONDS)
            _put(look, "description.props", props, propertied)
        finally:
            await server.aclose()
        if target.process is not None:
            seen, unseen = await asyncio.to_thread(process_items, target.process, target.url, self._digests)
            look.seen.update(seen)
            look.unseen.update(unseen)
        return look

    async def _compare(self, target: Target, probe: Probe, baseline: Baseline, look: Look) -> None:
        """Ask a probe; again if its answer is another one: batches of a busy server round in other ways."""
        for _ in range(ASKED):
            answer = await self._ask(target, probe)
            if isinstance(answer, str):
                look.unseen[probe_item(probe)] = answer
                return
            look.seen.update(answer)
            if all(baseline.items.get(name) == digest for name, digest in answer.items()):
                return

    async def _ask(self, target: Target, probe: Probe) -> dict[str, str] | str:
        """The items of a probe's answer, or why there is none."""
        await asyncio.sleep(PAUSE)
        server = self._server(target)
        body = msgspec.json.encode(probe_request(probe, target.names[0]))
        try:
            page = await _document(server, "/chat/completions", body, PROBE_SECONDS)
        finally:
            await server.aclose()
        if isinstance(page, Failed):
            return page.reason
        return probe_answer(probe_item(probe), page.document) or "no_answer"

    def _server(self, target: Target) -> HttpModelServer:
        return HttpModelServer(target.url, target.key, client=self._client)

    async def _beside(self, target: Target, name: str, seconds: float) -> Page | Failed:
        """A page of the server about itself, beside the OpenAI base: ``props`` is llama.cpp's. Others have none."""
        base = URL(target.url)
        url = base.with_path(f"{base.raw_path.rstrip('/').removesuffix('/v1')}/{name}", encoded=True)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "firedoor"}
        if target.key is not None:
            headers["Authorization"] = f"Bearer {target.key}"
        try:
            async with asyncio.timeout(seconds):
                asked = self._client.session.get(
                    url, headers=headers, allow_redirects=False, trace_request_ctx=SimpleNamespace(reused=False)
                )
                async with asked as response:
                    if response.status != 200:
                        return _by_status(response.status)
                    data = await response.content.read(PAGE_LIMIT + 1)
                    while len(data) <= PAGE_LIMIT and (more := await response.content.read(PAGE_LIMIT)):
                        data += more
        except TimeoutError:
            return Failed("timeout")
        except aiohttp.ClientConnectorError:
            return Failed("refused")
        except (aiohttp.ClientError, OSError, ValueError):
            return Failed("died")
        return Page(_decoded(data)) if len(data) <= PAGE_LIMIT else Failed("too_large")


class Page(Struct, frozen=True):
    """What a server answered; None for a page that it does not have, or that is not JSON."""

    document: Any


class Failed(Struct, frozen=True):
    """Why there is no answer: a reason of `ModelFailed`, or the status."""

    reason: str


async def _document(server: HttpModelServer, path: str, body: bytes, seconds: float) -> Page | Failed:
    try:
        async with asyncio.timeout(seconds):
            answer = await server.call(path, body, timeout=seconds)
            try:
                if answer.status != 200:
                    return _by_status(answer.status)
                data = b""
                async for chunk in answer.chunks():
                    data += chunk
                    if len(data) > PAGE_LIMIT:
                        return Failed("too_large")
            finally:
                await answer.aclose()
    except TimeoutError:
        return Failed("timeout")
    except ModelFailed as failed:
        return Failed(failed.reason)
    return Page(_decoded(data))


def _by_status(status: int) -> Page | Failed:
    return Page(None) if status in GONE else Failed(f"status_{status}")


def _decoded(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None


def _put(look: Look, item: str, page: Page | Failed, digest: Callable[[Any], str]) -> None:
    if isinstance(page, Failed):
        look.unseen[item] = page.reason
    else:
        look.seen[item] = digest(page.document)


def seen_of(pages: Mapping[str, Page | Failed], names: tuple[str, ...]) -> Look:
    """What pages of `ModelLooker.pages` say, as items to compare with a baseline."""
    look = Look({}, {})
    _put(look, "description.models", pages["models"], lambda page: described(page, names))
    _put(look, "description.props", pages["props"], propertied)
    return look
