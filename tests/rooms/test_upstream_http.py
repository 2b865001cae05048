"""HttpModelServer against real sockets: a scripted model, and raw servers that say exactly what a test needs."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from firedoor.errors import ModelFailed, SetupError
from firedoor.upstream.http import MAX_CHUNK, HttpLimits, HttpModelServer, ModelClient
from firedoor.upstream.script import Answer, Pace, Script
from firedoor.upstream.scripted import serve_scripted

CHAT = "/chat/completions"
BODY = b'{"model":"m","messages":[{"role":"user","content":"Where is my parcel?"}]}'
STREAM = BODY[:-1] + b',"stream":true}'

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def raw_server(handler: Handler) -> AsyncIterator[str]:
    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return head, await reader.readexactly(length[0]) if length else b""


@contextlib.asynccontextmanager
async def model(url: str, key: str | None = None, limits: HttpLimits | None = None) -> AsyncIterator[HttpModelServer]:
    client = ModelClient(limits)
    try:
        yield HttpModelServer(url, key, client=client)
    finally:
        await client.aclose()


async def until(holds: Callable[[], object]) -> None:
    for _ in range(3000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never held")


async def reason_of(url: str, *, limits: HttpLimits | None = None, within: float = 5) -> str:
    """The reason code with which a whole call ends."""
    async with model(url, limits=limits) as server:
        with pytest.raises(ModelFailed) as failed:
            answer = await server.call(CHAT, STREAM, timeout=within)
            async for _ in answer.chunks():
                pass
        return failed.value.reason


async def read(server: HttpModelServer, body: bytes = STREAM) -> bytes:
    answer = await server.call(CHAT, body, timeout=5)
    data = b"".join([chunk async for chunk in answer.chunks()])
    await answer.aclose()
    return data


def says(response: bytes) -> Handler:
    """A server that answers one request with these bytes and closes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(response)
        await writer.drain()

    return handle


def test_sends_the_exact_body_with_key_and_nothing_that_was_not_asked_for():
    seen: list[tuple[bytes, bytes]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            seen.append(await read_request(reader))
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\n{}"
            )

    async def main() -> None:
        async with raw_server(handle) as url, model(url, "sk-test") as server:
            for path in (CHAT, "/embeddings"):
                answer = await server.call(path, BODY, timeout=5)
                assert (answer.status, answer.event_stream) == (200, False)
                assert [c async for c in answer.chunks()] == [b"{}"]
                await answer.aclose()

    asyncio.run(main())
    heads = [head.lower() for head, _ in seen]
    assert [body for _, body in seen] == [BODY, BODY]
    assert heads[0].startswith(b"post /v1/chat/completions http/1.1\r\n")
    assert heads[1].startswith(b"post /v1/embeddings http/1.1\r\n")
    for head in heads:
        assert b"\r\nauthorization: bearer sk-test\r\n" in head
        assert b"\r\naccept-encoding: identity\r\n" in head
        assert b"cookie" not in head
        assert b"aiohttp" not in head


@pytest.mark.parametrize(
    ("base", "called"),
    [
        ("http://127.0.0.1:9001/v1", "http://127.0.0.1:9001/v1/chat/completions"),
        ("http://127.0.0.1:9001/v1/", "http://127.0.0.1:9001/v1/chat/completions"),
        ("http://127.0.0.1:9001", "http://127.0.0.1:9001/v1/chat/completions"),
        ("http://127.0.0.1:9001/", "http://127.0.0.1:9001/v1/chat/completions"),
        ("https://models.example.eu/a%20b", "https://models.example.eu/a%20b/chat/completions"),
    ],
)
def test_paths_are_appended_to_the_base(base, called):
    assert str(HttpModelServer(base)._urls[CHAT]) == called


@pytest.mark.parametrize(
    "base",
    ["", "ftp://x/v1", "http://", "http://x:99999/v1", "http://u:pw@x/v1", "http://x/v1?key=1", "http://x/v1#f", "/v1"],
)
def test_a_url_that_cannot_be_a_base_is_refused_without_repeating_it(base):
    with pytest.raises(SetupError) as error:
        HttpModelServer(base)
    assert "pw" not in str(error.value)


def test_only_the_closed_set_of_paths_can_be_called():
    async def main() -> None:
        async with model("http://127.0.0.1:9/v1") as server:
            with pytest.raises(KeyError):
                await server.call("/../admin", b"{}", timeout=1)

    asyncio.run(main())


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n", "redirect"),
        (b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /v1/chat/completions\r\nContent-Length: 0\r\n\r\n", "redirect"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", "redirect"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "garbage"),
        (b"\x00\xff\xfe\r\n\r\n", "garbage"),
        (b"", "died"),
        (b"HTTP/1.1 200 OK\r\nContent-Ty", "died"),
        (OK + b"Content-Length: 10\r\n\r\n12345", "died"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", "died"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nnot-a-length\r\n12345\r\n", "garbage"),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\n12345", "garbage"),
        (OK + b"X: " + b"x" * 9000 + b"\r\nContent-Length: 0\r\n\r\n", "too_large"),
        (OK + b"X: y\r\n" * 100 + b"Content-Length: 0\r\n\r\n", "garbage"),
        (OK + b"Content-Length: 99999999\r\n\r\n", "too_large"),
    ],
)
def test_what_a_bad_server_says_becomes_a_reason_code(response, reason):
    async def main() -> str:
        async with raw_server(says(response)) as url:
            return await reason_of(url)

    assert asyncio.run(main()) == reason


def test_an_endless_body_is_cut_at_the_limit():
    async def main() -> str:
        body = OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + b"x" * 1024 + b"\r\n"
        async with raw_server(says(body + (b"400\r\n" + b"x" * 1024 + b"\r\n") * 20)) as url:
            return await reason_of(url, limits=HttpLimits(answer_bytes=8192))

    assert asyncio.run(main()) == "too_large"


def test_nobody_listens():
    async def main() -> str:
        async with raw_server(says(b"")) as url:
            pass
        return await reason_of(url)

    assert asyncio.run(main()) == "refused"


def test_silence_before_the_headers_and_between_chunks_is_a_timeout():
    async def main() -> list[str]:
        reasons = []
        for fault in ("hang", "hang_midway"):
            async with serve_scripted(Script(default=Answer(text="some words", fault=fault))) as served:
                limits = HttpLimits(idle_seconds=0.05)
                reasons.append(await reason_of(served.base_url, limits=limits, within=0.05 if fault == "hang" else 5))
                assert (await served.instance.ended()).end == "cancelled"
        return reasons

    assert asyncio.run(main()) == ["timeout", "timeout"]


def test_an_answer_left_halfway_closes_the_connection_and_the_server_sees_it():
    async def main() -> None:
        endless = Answer(text="x", fault="huge")
        async with serve_scripted(Script(default=endless)) as served, model(served.base_url) as server:
            answer = await server.call(CHAT, STREAM, timeout=5)
            chunks = answer.chunks()
            assert await anext(chunks)
            await answer.aclose()
            assert (await served.instance.ended()).end == "cancelled"
            await answer.aclose()

    asyncio.run(main())


def test_cancelling_a_reader_closes_the_connection():
    async def main() -> None:
        quiet = Answer(text="x", fault="hang_midway")
        async with serve_scripted(Script(default=quiet)) as served, model(served.base_url) as server:
            task = asyncio.create_task(read(server))
            await until(lambda: served.received and served.received[0].events)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await served.instance.ended()).end == "cancelled"

    asyncio.run(main())


def test_a_server_that_writes_without_end_is_stopped_while_nobody_reads():
    written = 0
    stalled = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await read_request(reader)
        writer.write(OK + b"\r\n")
        writer.transport.set_write_buffer_limits(high=65_536)
        while True:
            writer.write(b"x" * 65_536)
            try:
                async with asyncio.timeout(0.5):
                    await writer.drain()
            except TimeoutError:
                stalled.set()
                await writer.drain()
            written += 65_536

    async def main() -> None:
        async with raw_server(handle) as url, model(url, limits=HttpLimits(answer_bytes=1 << 30)) as server:
            answer = await server.call(CHAT, STREAM, timeout=5)
            async with asyncio.timeout(20):
                await stalled.wait()
            # What was written lies in the kernel's socket buffers (tcp_wmem + tcp_rmem, some MB), not in this process.
            held = written
            assert held < 32 * 1024 * 1024
            assert answer._response.content._size <= 4 * 65_536
            got = 0
            async for chunk in answer.chunks():
                assert len(chunk) <= MAX_CHUNK
                got += len(chunk)
                if got > held + 2**20:
                    break
            await answer.aclose()

    asyncio.run(main())


def test_interleaved_streams_never_mix():
    """A connection given back before its answer is read would hand one caller's bytes to another."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            _, body = await read_request(reader)
            writer.write(OK + b"Transfer-Encoding: chunked\r\n\r\n")
            for i in range(20):
                piece = b"data: %s %d\n\n" % (body, i)
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                if i % 3 == 0:
                    await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")
            await writer.drain()

    async def one(server: HttpModelServer, number: int) -> None:
        body = hashlib.sha256(b"%d" % number).hexdigest().encode()
        answer = await server.call(CHAT, body, timeout=10)
        got = b""
        async for chunk in answer.chunks():
            got += chunk
            if number % 5 == 0 and len(got) > 300:
                break  # leaves halfway
            await asyncio.sleep(0)
        await answer.aclose()
        whole = b"".join(b"data: %s %d\n\n" % (body, i) for i in range(20))
        assert whole.startswith(got) if number % 5 == 0 else got == whole

    async def main() -> None:
        async with raw_server(handle) as url, model(url, limits=HttpLimits(connections=7)) as server:
            await asyncio.gather(*(one(server, n) for n in range(200)))

    asyncio.run(main())


@pytest.mark.parametrize("status", [400, 429, 500, 503])
def test_error_statuses_are_answers_for_the_caller_to_judge(status):
    async def main() -> None:
        line = f"HTTP/1.1 {status} Oh\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}".encode()
        async with raw_server(says(line)) as url, model(url) as server:
            answer = await server.call(CHAT, BODY, timeout=5)
            assert answer.status == status
            await answer.aclose()

    asyncio.run(main())


def test_a_kept_connection_that_was_closed_is_replaced_but_a_fresh_one_is_not_asked_twice():
    asked: list[int] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers the first request of each connection; drops the connection on the second."""
        await read_request(reader)
        asked.append(1)
        if len(asked) < 3:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            await read_request(reader)
            asked.append(2)

    async def main() -> None:
        async with raw_server(handle) as url, model(url) as server:
            assert await read(server) == b"{}"
            # The kept connection is dropped in the moment of use: asked again on a fresh one, which dies: that is all.
            with pytest.raises(ModelFailed, match="died"):
                await server.call(CHAT, BODY, timeout=5)

    asyncio.run(main())
    assert asked == [1, 2, 1]


def test_pace_is_the_models_chunks_come_one_by_one():
    async def main() -> None:
        answer = Answer(text="abcdefgh", pace=Pace(characters=1, delay_ms=5))
        async with serve_scripted(Script(default=answer)) as served, model(served.base_url) as server:
            got = await server.call(CHAT, STREAM, timeout=5)
            assert got.event_stream
            first = await anext(got.chunks())
            assert b"[DONE]" not in first
            assert served.received[0].end == "running"
            await got.aclose()

    asyncio.run(main())


def test_models_is_asked_with_get():
    async def main() -> None:
        async with serve_scripted(Script(model="m1"), key="k") as served, model(served.base_url, "k") as server:
            answer = await server.call("/models", b"", timeout=5)
            assert b'"m1"' in b"".join([c async for c in answer.chunks()])
            await answer.aclose()

    asyncio.run(main())


def test_two_instances_share_the_connections_of_one_client_and_leave_it_open():
    async def main() -> None:
        async with serve_scripted(Script(), key="a") as one, serve_scripted(Script(), key="b") as two:
            client = ModelClient()
            servers = [
                HttpModelServer(one.base_url, "a", client=client),
                HttpModelServer(two.base_url, "b", client=client),
            ]
            for server in servers:
                assert b"You said" in await read(server, BODY)
                await server.aclose()
            assert b"You said" in await read(servers[0], BODY)
            await client.aclose()

    asyncio.run(main())


def test_an_instance_of_its_own_closes_its_connections():
    async def main() -> None:
        async with serve_scripted(Script()) as served:
            server = HttpModelServer(served.base_url)
            assert b"You said" in await read(server, BODY)
            await server.aclose()
            assert server._client._session is None

    asyncio.run(main())
