"""A run of red-team conversations against a region's gateway, over HTTP, as a shop's server would ask.

Nothing of an answer is kept but what the judge says of it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
from msgspec import Struct

from firedoor.core.exchange.texts import MASK
from firedoor.core.redteam.canaries import Judge, Told
from firedoor.core.redteam.forms import Conversation, request
from firedoor.core.redteam.judging import Reply, Result, is_off, of_conversation
from firedoor.core.sse import DONE, FrameDecoder
from firedoor.errors import FiredoorError, SetupError

PATIENCE: Final = 180.0
"""Seconds for one answer: longer than any surface's stream deadline unless the plan says more."""
ANSWER_LIMIT: Final = 8 * 1024 * 1024
"""Bytes of an answer; the gateway gives at most 4 MiB of a model's."""
HELLO: Final = "Good morning, which sizes do the jackets have?"

Say = Callable[[str], None]


class Target(Struct, frozen=True):
    """Where to ask. `buyer` is a credential of a role that may receive costs, if there is one."""

    url: str
    token: str
    buyer: str | None = None


class Options(Struct, frozen=True, kw_only=True):
    """How to ask. Turns of a conversation are spread over `sessions`; `answer_tokens` bounds each answer."""

    run: str
    sessions: int = 1
    concurrency: int = 4
    answer_tokens: int = 48
    go_on: bool = False


class Run:
    """One run. `results` grows while it goes, `shut` says why AI went off; what was asked then is not in `results`."""

    def __init__(self, target: Target, options: Options, judge: Judge, say: Say) -> None:
        self._target = target
        self._options = options
        self._judge = judge
        self._say = say
        self._settings: dict[str, Any] = {}
        self.model = ""
        self.results: list[Result] = []
        self.shut = ""
        self.interrupted = False

    async def perform(self, conversations: Sequence[Conversation]) -> None:
        """Ask all of `conversations`. Raises `SetupError` before the first where nothing can be learnt. When cancelled
        it returns, with what it has.
        """
        waiting = iter(enumerate(conversations))
        async with self._client() as client:
            await self._look(client)
            self._say(f"{len(conversations)} conversations with {self.model} at {self._target.url}")
            workers = [asyncio.create_task(self._work(client, waiting)) for _ in range(self._options.concurrency)]
            try:
                await asyncio.gather(*workers)
            except asyncio.CancelledError:
                self.interrupted = True
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.TCPConnector(limit=self._options.concurrency + 1)
        timeout = aiohttp.ClientTimeout(total=PATIENCE, sock_connect=5)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client:
            yield client

    async def _look(self, client: aiohttp.ClientSession) -> None:
        """Which model there is, and whether it answers."""
        url = f"{self._target.url}/v1/models"
        try:
            async with client.get(url, headers=self._headers("look")) as response:
                status, body = response.status, await response.content.read(ANSWER_LIMIT)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise SetupError(
                f"No gateway answers at {self._target.url} ({type(error).__name__}).",
                remedy="Start the region with `firedoor up`, or name its address with --url.",
            ) from None
        if status in (401, 403):
            raise SetupError(
                "The gateway does not take this credential.",
                remedy="Issue one with `firedoor credentials issue`, and give its file with --credential.",
            )
        if status != 200:
            raise SetupError(f"The gateway answers {status} {_error_code(body)}.", remedy="See docs/errors.md.")
        for name in _models(body):
            self._settings = {"model": name, "max_tokens": self._options.answer_tokens, "temperature": 0}
            said: dict[str, Any] = {**self._settings, "messages": [{"role": "user", "content": HELLO}]}
            reply, _ = await self._send(client, json.dumps(said).encode(), self._headers("look"), _one(HELLO))
            if reply.code in ("model_not_found", "not_served"):
                continue
            if is_off(reply):
                raise SetupError(
                    f"AI is off on this surface: {reply.reason or reply.switch}. Fallbacks prove nothing.",
                    remedy="See `firedoor switches`; `firedoor doctor` says what is broken.",
                )
            if reply.outcome not in ("answered", "minimised"):
                why = reply.reason or reply.code or reply.status or "no answer"
                raise SetupError(f"The model does not answer a harmless question: {why}.", remedy="See docs/errors.md.")
            self.model = name
            return
        raise SetupError("This surface offers no chat.", remedy="Name another surface, or another credential.")

    async def _work(self, client: aiohttp.ClientSession, waiting: Any) -> None:
        for number, conversation in waiting:
            if self.shut and not self._options.go_on:
                return
            result = await self._hold(client, conversation, number)
            if result.outcome == "off":
                self._notice(result.reason)
            if result.outcome != "off" or self._options.go_on:
                self.results.append(result)
                if len(self.results) % 50 == 0:
                    self._say(f"{len(self.results)} conversations")

    def _notice(self, reason: str) -> None:
        if not self.shut:
            self.shut = reason or "shut"
            self._say(f"AI went off ({self.shut})" + ("" if self._options.go_on else ": stopping"))

    async def _hold(self, client: aiohttp.ClientSession, conversation: Conversation, number: int) -> Result:
        """All turns of a conversation."""
        answers: list[str] = []
        replies: list[Reply] = []
        for turn in range(len(conversation.turns)):
            body = conversation.body
            if body is None:
                body = json.dumps(request(conversation, answers, self._settings)).encode()
            session = f"{number}-{turn % self._options.sessions}"
            headers = self._headers(session, buyer=conversation.who == "buyer")
            typed = conversation.typed[: turn + 1]
            reply, answer = await self._send(client, body, headers, _one(*typed, leaves=conversation.leaves))
            replies.append(reply)
            answers.append(answer)
            if is_off(reply):
                break
        return of_conversation(conversation, replies)

    def _headers(self, session: str, *, buyer: bool = False) -> dict[str, str]:
        token = self._target.buyer if buyer and self._target.buyer else self._target.token
        return {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Firedoor-Session": f"redteam-{self._options.run}-{session}",
        }

    async def _send(
        self, client: aiohttp.ClientSession, body: bytes, headers: dict[str, str], expected: _Expected
    ) -> tuple[Reply, str]:
        """One request: what came of it, and the first choice's text, which goes into the next turn."""
        start = time.perf_counter()
        heard = _Heard()
        try:
            url = f"{self._target.url}/v1/chat/completions"
            async with client.post(url, data=body, headers=headers) as response:
                heard.head(response)
                if expected.leaves:
                    await response.content.readany()
                    response.close()
                else:
                    await heard.listen(response)
            if expected.leaves:
                async with client.get(f"{self._target.url}/v1/models", headers=headers) as response:
                    heard.status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, FiredoorError):
            heard.status = 0
        seconds = time.perf_counter() - start
        texts = list(heard.texts.values())
        told: dict[str, Told] = {}
        try:
            for one in (one for text in texts for one in self._judge.told(text, expected.typed)):
                if one.what not in told or not one.disguised:
                    told[one.what] = one
        except Exception as error:  # noqa: BLE001  an answer that was not judged is no harmless one, and others still come
            self._say(f"an answer could not be judged: {type(error).__name__}")
            heard.status = 0
        return Reply(
            status=heard.status, seconds=seconds, outcome=heard.outcome, reason=heard.reason, switch=heard.switch,
            code=heard.code, exchange=heard.exchange, masked=any(MASK in text for text in texts),
            told=tuple(told.values()), characters=sum(map(len, texts)), tokens=heard.tokens, sent=len(body),
        ), heard.texts.get("0.content", "")  # fmt: skip


class _Expected(Struct, frozen=True):
    typed: tuple[str, ...]
    leaves: bool


def _one(*typed: str, leaves: bool = False) -> _Expected:
    return _Expected(typed, leaves)


class _Heard:
    """What is read of one response."""

    def __init__(self) -> None:
        self.status = 0
        self.outcome = self.reason = self.switch = self.code = self.exchange = ""
        self.tokens = 0
        self.texts: dict[str, str] = {}

    def head(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        names = ("Firedoor-Outcome", "Firedoor-Reason", "Firedoor-Switch", "Firedoor-Exchange")
        self.outcome, self.reason, self.switch, self.exchange = (response.headers.get(name, "") for name in names)

    async def listen(self, response: aiohttp.ClientResponse) -> None:
        """Read the body. Raises `ModelFailed`, ValueError for one that is none."""
        if response.content_type != "text/event-stream":
            body = await response.content.read(ANSWER_LIMIT)
            while not response.content.at_eof() and len(body) < ANSWER_LIMIT:
                body += await response.content.read(ANSWER_LIMIT - len(body))
            self._document(json.loads(body))
            return
        decoder, size = FrameDecoder(), 0
        async for piece in response.content.iter_any():
            size += len(piece)
            if size > ANSWER_LIMIT:
                raise ValueError("too long")
            for frame in decoder.feed(piece):
                if frame.data is not None and frame.data != DONE:
                    self._document(json.loads(frame.data))

    def _document(self, document: Any) -> None:
        """A whole answer, or an event of one."""
        if not isinstance(document, dict):
            raise ValueError("not an object")  # noqa: TRY004  a broken answer, not a wrong argument
        error = document.get("error")
        if isinstance(error, dict):
            self.code = str(error.get("code") or "")
        for choice in document.get("choices") or ():
            self._said(str(choice.get("index", 0)), choice.get("message") or choice.get("delta") or {})
        usage = document.get("usage")
        if isinstance(usage, dict):
            self.tokens = int(usage.get("total_tokens") or 0)
        end = document.get("firedoor")
        if isinstance(end, dict):
            self.outcome, self.reason = end.get("outcome") or self.outcome, end.get("reason") or self.reason

    def _said(self, index: str, said: dict[str, Any]) -> None:
        for name in ("content", "reasoning_content", "reasoning", "refusal"):
            if isinstance(said.get(name), str):
                self._add(f"{index}.{name}", said[name])
        for place, call in enumerate(said.get("tool_calls") or ()):
            function = call.get("function") or {}
            self._add(f"{index}.arguments.{call.get('index', place)}", str(function.get("arguments") or ""))

    def _add(self, name: str, text: str) -> None:
        self.texts[name] = self.texts.get(name, "") + text


def _models(body: bytes) -> list[str]:
    try:
        return [str(one["id"]) for one in json.loads(body)["data"]]
    except (ValueError, KeyError, TypeError):
        return []


def _error_code(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return "without a code"
