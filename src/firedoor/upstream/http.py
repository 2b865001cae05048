"""Model servers over HTTP: anything that speaks the OpenAI API.

One `ModelClient` per worker process holds the connections; every `HttpModelServer` is one model instance on it. What a
model server says is never trusted: redirects are not followed, cookies are not kept, proxies named in the environment
are not used, and whatever goes wrong leaves as `ModelFailed` with one of these reasons:

========== =====================================================================================
refused    no connection: nobody listens, the name does not resolve, TLS failed
timeout    no response headers within the call's time-out, or no byte within the idle time-out
died       the connection ended before the answer did
redirect   the server answered with a redirect
garbage    not HTTP, or a body coding that was not asked for
too_large  headers or body beyond the limits
========== =====================================================================================
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Self

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from msgspec import Struct
from yarl import URL

from firedoor.errors import ModelFailed, SetupError

METHODS = {"/chat/completions": "POST", "/embeddings": "POST", "/models": "GET"}
"""The only paths ever called, below the plan's URL, and how."""

MAX_CHUNK = 65_536
"""Bytes per chunk: the port's bound."""


class HttpLimits(Struct, frozen=True, kw_only=True):
    """Bounds on one model server's behaviour, each with its reason."""

    connections: int = 256
    """Per host; as many as the gateway's most exchanges in flight. Further calls wait, within their time-out."""
    connect_seconds: float = 1.0
    """Model servers are near; what does not accept within this is down."""
    idle_seconds: float = 30.0
    """Between two chunks. A long prompt is read before the first one; a queue in the server is waited for there too."""
    keep_alive_seconds: float = 4.0
    """Shorter than the 5 s after which uvicorn (vLLM) and llama.cpp close an idle one, so that we close first."""
    answer_bytes: int = 33_554_432
    """More than 8 choices of 32 k tokens with log-probabilities; an endless answer is cut here."""
    header_bytes: int = 8_190
    """Each header line; aiohttp's own default and Apache's. Not more than 64 lines."""


class ModelClient:
    """The connections of one worker process to all its model servers. Made and closed inside a running event loop."""

    def __init__(self, limits: HttpLimits | None = None) -> None:
        self.limits = limits or HttpLimits()
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The one session; opened by the first call."""
        if self._session is None:
            self._session = self._open()
        return self._session

    def _open(self) -> aiohttp.ClientSession:
        limits = self.limits
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_mark_reused)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, limit_per_host=limits.connections, keepalive_timeout=limits.keep_alive_seconds
            ),
            # Only connecting is timed here: headers and chunks have clocks of their own in `call` and `chunks`.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            # aiohttp stops reading the socket at twice this: a slow shopper slows the model server.
            read_bufsize=MAX_CHUNK // 4,
            max_line_size=limits.header_bytes,
            max_field_size=limits.header_bytes,
            max_headers=64,
            trace_configs=[trace],
        )

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class HttpModelServer:
    """One model instance: `base_url` is its OpenAI base, for example ``http://127.0.0.1:9001/v1``.

    A URL without a path is the server's address, and its base is ``/v1`` there, as with vLLM, llama.cpp and Ollama.
    With `client` the connections are shared and closed by their owner; without, the instance has its own.
    Raises `SetupError` for a URL that cannot be one.
    """

    def __init__(self, base_url: str, api_key: str | None = None, *, client: ModelClient | None = None) -> None:
        base = _base(base_url)
        below = base.raw_path.rstrip("/") or "/v1"
        self._urls = {path: base.with_path(below + path, encoded=True) for path in METHODS}
        self._client = client or ModelClient()
        self._owned = client is None
        self._headers = {
            "Accept": "application/json, text/event-stream",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": "firedoor",
        }
        if api_key is not None:
            self._headers["Authorization"] = f"Bearer {api_key}"

    async def call(self, path: str, body: bytes, *, timeout: float) -> HttpModelAnswer:  # noqa: ASYNC109 (the port's)
        """Send `body` (JSON; ignored for ``/models``) and return when the response headers are there.

        `timeout` (seconds) bounds connecting, sending and the wait for the headers together. Raises `ModelFailed`;
        `KeyError` for a path outside `METHODS`.
        """
        method, url = METHODS[path], self._urls[path]
        data = body if method == "POST" else None
        try:
            async with asyncio.timeout(timeout):
                response = await self._send(method, url, data)
        except (TimeoutError, aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            raise _failed(error) from None
        answer = HttpModelAnswer(response, self._client.limits)
        reason = _refused(response, self._client.limits)
        if reason is not None:
            await answer.aclose()
            raise ModelFailed(reason)
        return answer

    async def _send(self, method: str, url: URL, data: bytes | None) -> aiohttp.ClientResponse:
        """Send once; a second time only when a kept connection turned out to be closed before any answer.

        A server may close an idle connection in the moment we use it. On a fresh connection the same error means that
        the server died of this request, and it is not asked again.
        """
        seen = SimpleNamespace(reused=False)
        try:
            return await self._request(method, url, data, seen)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if not seen.reused:
                raise
        return await self._request(method, url, data, seen)

    async def _request(
        self, method: str, url: URL, data: bytes | None, seen: SimpleNamespace
    ) -> aiohttp.ClientResponse:
        return await self._client.session.request(
            method, url, data=data, headers=self._headers, allow_redirects=False, trace_request_ctx=seen
        )

    async def aclose(self) -> None:
        """Close the connections if they are this instance's own."""
        if self._owned:
            await self._client.aclose()


class HttpModelAnswer:
    """One answer while it arrives. Read by one task; whoever got it owes it an `aclose`."""

    def __init__(self, response: aiohttp.ClientResponse, limits: HttpLimits) -> None:
        self._response = response
        self._limits = limits
        self._got = 0

    @property
    def status(self) -> int:
        """The HTTP status; never a redirect."""
        return self._response.status

    @property
    def event_stream(self) -> bool:
        """Whether the body is server-sent events. An answer of any other type is not a stream."""
        return self._response.content_type == "text/event-stream"

    def chunks(self) -> AsyncIterator[bytes]:
        """Raw bytes as they come, at most 64 KiB each, read only when asked. Raises `ModelFailed`.

        A body without length and without chunked coding ends where the connection ends: whether such an answer is
        whole, only its content can tell.
        """
        return _Chunks(self)

    async def next_chunk(self) -> bytes:
        """The next bytes, empty at the end."""
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                data = await self._response.content.read(MAX_CHUNK)
        except (TimeoutError, aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            self._response.close()
            raise _failed(error) from None
        except asyncio.CancelledError:
            self._response.close()
            raise
        self._got += len(data)
        if self._got > self._limits.answer_bytes:
            self._response.close()
            raise ModelFailed("too_large")
        return data

    async def aclose(self) -> None:
        """Give the connection back if the answer is complete, else drop it: the server sees that and stops."""
        # A response read to its end has given its connection back already, and close() then does nothing.
        self._response.close()


class _Chunks:
    """Iterator over an answer. Not a generator: a generator left halfway is finished by nobody in particular."""

    __slots__ = ("_answer",)

    def __init__(self, answer: HttpModelAnswer) -> None:
        self._answer = answer

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        data = await self._answer.next_chunk()
        if not data:
            raise StopAsyncIteration
        return data


async def _mark_reused(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    context.trace_request_ctx.reused = True


def _refused(response: aiohttp.ClientResponse, limits: HttpLimits) -> str | None:
    """Why the answer is not taken, from its headers alone."""
    if 300 <= response.status < 400:
        return "redirect"
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        return "garbage"
    if response.content_length is not None and response.content_length > limits.answer_bytes:
        return "too_large"
    return None


def _failed(error: Exception) -> ModelFailed:
    """The reason code of what aiohttp or the system raised; its text may hold the server's words and stays inside."""
    match error:
        case TimeoutError():  # ours, and aiohttp's ServerTimeoutError
            return ModelFailed("timeout")
        case aiohttp.ClientConnectorError():
            return ModelFailed("refused")
        case aiohttp.ClientResponseError() if _caused_by_a_long_line(error):
            return ModelFailed("too_large")
        case aiohttp.ClientConnectionError() | OSError():
            return ModelFailed("died")
        case aiohttp.ClientPayloadError():
            return ModelFailed("died")
        case _:
            return ModelFailed("garbage")


def _caused_by_a_long_line(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, LineTooLong):
        error = error.__cause__
    return error is not None


def _base(text: str) -> URL:
    remedy = "Write the OpenAI base URL, for example http://127.0.0.1:9001/v1."
    try:
        url = URL(text)
        usable = url.scheme in {"http", "https"} and bool(url.host) and url.port is not None
    except ValueError:
        usable = False
    if not usable:
        raise SetupError("A model's url is not an http or https URL.", remedy=remedy)
    if url.user is not None or url.password is not None or url.query_string or url.fragment:
        raise SetupError(
            "A model's url holds a user, a query or a fragment.", remedy=f"{remedy} A key goes in api_key_file."
        )
    return url
