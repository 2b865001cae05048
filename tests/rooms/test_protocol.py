"""What callers may do to a connection, over real sockets: a real uvicorn, on both event loops, and a tiny application."""

import asyncio
import contextlib
import json
import re
import socket

import aiohttp
import openai
import pytest
import uvicorn
import uvloop

from firedoor.agent.page import PageReader
from firedoor.core.plan.lookup import JurisdictionTable
from firedoor.core.residency import Residency
from firedoor.gateway import asgi, protocol
from firedoor.gateway.asgi import Gateway
from firedoor.gateway.doors import Doors
from firedoor.gateway.protocol import MAX_HEAD, BoundedProtocol
from firedoor.gateway.service import Service
from firedoor.store.journal_read import read
from firedoor.store.nosessions import NoSessions
from firedoor.store.shutfile import ShutFileWatch

from .region import Region

CHAT = {
    "id": "c",
    "object": "chat.completion",
    "created": 0,
    "model": "small",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
}
INNER = b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"


class App:
    """`/echo` tells what it was sent; `/slow` streams until `finish` is set; all else is refused with the body unread."""

    def __init__(self):
        self.seen = []
        self.finish = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, scope, receive, send):
        self.seen.append(scope)
        await getattr(self, scope["path"].rpartition("/")[2], self.refuse)(scope, receive, send)

    async def refuse(self, scope, receive, send):
        await reply(send, 401, b"no")

    async def echo(self, scope, receive, send):
        body = await whole(receive)
        if body is not None:
            names = [name.decode() for name, _ in scope["headers"]]
            await reply(send, 200, json.dumps({"size": len(body), "headers": names}).encode())

    async def completions(self, scope, receive, send):
        await whole(receive)
        await reply(send, 200, json.dumps(CHAT).encode(), (b"content-type", b"application/json"))

    async def slow(self, scope, receive, send):
        await whole(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        leaving = asyncio.ensure_future(receive())
        finishing = asyncio.ensure_future(self.finish.wait())
        await asyncio.wait({leaving, finishing}, return_when=asyncio.FIRST_COMPLETED)
        if leaving.done():
            self.left.set()
        leaving.cancel()
        finishing.cancel()
        await send({"type": "http.response.body", "body": b"ended"})


async def whole(receive):
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        if not message["more_body"]:
            return body


async def reply(send, status, body, *headers):
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    def runner(coroutine):
        with asyncio.Runner(loop_factory=request.param) as loop:
            return loop.run(asyncio.wait_for(coroutine, 60))

    return runner


@contextlib.asynccontextmanager
async def served(app, keep_alive=75):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=keep_alive,
            timeout_graceful_shutdown=1,
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[bound])
        try:
            yield bound.getsockname()[1]
        finally:
            await server.shutdown(sockets=[bound])


class Caller:
    """One raw connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def send(self, *pieces):
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0.005)  # so that the server mostly reads each piece by itself

    async def answer(self):
        """Status and body of one whole response with a length."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        size = int(re.search(rb"content-length: (\d+)", head)[1])
        return int(head.split(b" ")[1]), await self.reader.readexactly(size)

    async def rest(self):
        """All that comes until the server has closed."""
        data = b""
        with contextlib.suppress(ConnectionError):
            while more := await self.reader.read(65536):
                data += more
        return data

    async def flood(self, blob, most=64 * 2**20):
        """Send `blob` until the server has had enough; whether it had."""
        try:
            for _ in range(0, most, len(blob)):
                self.writer.write(blob)
                await self.writer.drain()
        except ConnectionError:
            return True
        return False


@contextlib.asynccontextmanager
async def calling(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def call(**more):
    app = App()
    async with served(app, **more) as port, calling(port) as caller:
        yield app, caller


def post(path, body=b"", *headers):
    lines = [f"POST {path} HTTP/1.1", "host: x", *headers, f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(path, *headers):
    return "\r\n".join([f"POST {path} HTTP/1.1", "host: x", *headers, "transfer-encoding: chunked", "", ""]).encode()


def code(body):
    return json.loads(body)["error"]["code"]


class TestKeptConnections:
    @pytest.mark.parametrize("size", [1, 3, 17, 1000])
    def test_requests_in_any_pieces_one_after_another(self, run, size):
        async def go():
            async with call() as (app, caller):
                for body in (b"", b"x", b"y" * 300):
                    for raw in (post("/echo", body), chunked("/echo") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)):
                        if not body and b"chunked" in raw:
                            continue
                        for start in range(0, len(raw), size):
                            caller.writer.write(raw[start : start + size])
                            await asyncio.sleep(0)
                        status, answer = await caller.answer()
                        assert (status, json.loads(answer)["size"]) == (200, len(body))
                assert len(app.seen) == 5

        run(go())

    def test_aiohttp_and_openai_keep_theirs(self, run):
        async def go():
            app = App()
            async with served(app) as port:
                url = f"http://127.0.0.1:{port}"
                async with aiohttp.ClientSession() as session:
                    for _ in range(5):
                        async with session.post(f"{url}/echo", data=b"x" * 100_000) as response:
                            assert (await response.json(content_type=None))["size"] == 100_000
                        async with session.post(f"{url}/nowhere", data=b"x" * 1000) as response:
                            assert (response.status, await response.read()) == (401, b"no")
                assert len({scope["client"] for scope in app.seen}) == 1
                app.seen.clear()
                async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
                    for _ in range(5):
                        answer = await client.chat.completions.create(
                            model="small", messages=[{"role": "user", "content": "x"}]
                        )
                        assert answer.choices[0].message.content == "hello"
                assert len({scope["client"] for scope in app.seen}) == 1

        run(go())

    def test_a_body_that_comes_after_its_refusal_is_dropped_and_the_next_request_is_served(self, run):
        async def go():
            async with call() as (_, caller):
                body = b"x" * 300_000
                await caller.send(post("/nowhere", body)[: -len(body)])
                assert (await caller.answer())[0] == 401
                await caller.send(body, post("/echo", b"12"))
                status, answer = await caller.answer()
                assert (status, json.loads(answer)["size"]) == (200, 2)

        run(go())

    def test_a_connection_is_idle_after_a_dropped_body_too(self, run):
        async def go():
            async with call(keep_alive=0.3) as (_, caller):
                await caller.send(post("/nowhere", b"x" * 100)[:-100])
                assert (await caller.answer())[0] == 401
                await caller.send(b"x" * 100)
                assert await caller.rest() == b""

        run(go())

    def test_a_long_answer_outlives_the_idle_time_of_what_was_dropped_before_it(self, run):
        async def go():
            async with call(keep_alive=0.2) as (app, caller):
                await caller.send(post("/nowhere", b"x" * 100)[:-100])
                assert (await caller.answer())[0] == 401
                await caller.send(b"x" * 100 + post("/slow"))
                asyncio.get_running_loop().call_later(0.6, app.finish.set)
                assert (await caller.rest()).endswith(b"ended\r\n0\r\n\r\n")

        run(go())

    def test_a_body_beyond_what_is_dropped_ends_the_connection(self, run, monkeypatch):
        monkeypatch.setattr(protocol, "MAX_DISCARD", 100_000)

        async def go():
            async with call() as (_, caller):
                await caller.send(b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n")
                assert (await caller.answer())[0] == 401
                assert await caller.flood(b"x" * 65536)

        run(go())


class TestHeads:
    @pytest.mark.parametrize("pieces", [1, 2, 5])
    @pytest.mark.parametrize(("over", "status"), [(0, 200), (1, 431)])
    def test_the_bound_is_exact_however_it_arrives(self, run, pieces, over, status):
        fixed = len("/echo") + len("host: x\r\n") + len("content-length: 0\r\n") + len("x: \r\n")
        raw = post("/echo", b"", "x: " + "y" * (MAX_HEAD - fixed + over))
        step = -(-len(raw) // pieces)

        async def go():
            async with call() as (_, caller):
                await caller.send(*(raw[i : i + step] for i in range(0, len(raw), step)))
                got, body = await caller.answer()
                assert got == status
                assert status == 200 or code(body) == "headers_too_large"

        run(go())

    @pytest.mark.parametrize(
        "raw",
        [
            b"GET /" + b"a" * 100_000,
            b"GET / HTTP/1.1\r\n" + b"a" * 100_000,
            b"GET / HTTP/1.1\r\na: " + b"a" * 100_000,
            b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000,
            b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
        ],
        ids=["target", "name", "value", "many", "whole"],
    )
    def test_what_is_larger_is_refused_before_it_ends(self, run, raw):
        async def go():
            async with call() as (app, caller):
                await caller.send(*(raw[i : i + 9000] for i in range(0, 27_000, 9000)))
                status, body = await caller.answer()
                assert (status, code(body)) == (431, "headers_too_large")
                assert not app.seen

        run(go())

    def test_the_line_that_ends_a_head_may_come_with_a_large_body(self, run):
        body = b"x" * 200_000
        raw = post("/echo", body)
        cut = len(raw) - len(body) - 2

        async def go():
            async with call() as (_, caller):
                await caller.send(raw[:cut], raw[cut:])
                status, answer = await caller.answer()
                assert (status, json.loads(answer)["size"]) == (200, len(body))

        run(go())

    @pytest.mark.parametrize(
        ("begun", "kept"), [(b"", False), (b"POST /echo HTTP/1.1\r\nx: ", False), (b"P", True)], ids=repr
    )
    def test_one_that_does_not_come_is_given_up(self, run, monkeypatch, begun, kept):
        monkeypatch.setattr(protocol, "HEAD_TIME", 0.2)

        async def go():
            async with call() as (_, caller):
                if kept:
                    await caller.send(post("/echo"))
                    assert (await caller.answer())[0] == 200
                if begun:
                    await caller.send(begun)
                status, body = await caller.answer()
                assert (status, code(body)) == (408, "request_timeout")
                assert await caller.rest() == b""

        run(go())

    def test_a_body_that_is_only_dropped_has_its_time_too(self, run, monkeypatch):
        monkeypatch.setattr(protocol, "DISCARD_TIME", 0.2)

        async def go():
            async with call() as (_, caller):
                await caller.send(b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n")
                assert (await caller.answer())[0] == 401
                await caller.send(b"x")
                assert await caller.rest() == b""  # the request has its answer

        run(go())


ENDLESS = {
    "many": (b"0\r\n", b"a: b\r\n" * 10_000),
    "value": (b"0\r\nx: ", b"a" * 65536),
    "name": (b"0\r\n", b"a" * 65536),
    "extension": (b"1;", b"a" * 65536),
}


class TestTrailers:
    @pytest.mark.parametrize(
        "trailers",
        [
            b"Authorization: Bearer fd_x\r\nfiredoor-jurisdiction: US\r\n",
            b"Connection: upgrade\r\nUpgrade: h2c\r\nExpect: 100-continue\r\n",
        ],
    )
    def test_they_are_not_headers(self, run, trailers):
        async def go():
            async with call() as (app, caller):
                for _ in range(2):
                    await caller.send(chunked("/echo"), b"2\r\nhi\r\n", b"0\r\n" + trailers, b"\r\n")
                    status, body = await caller.answer()
                    assert (status, json.loads(body)) == (200, {"size": 2, "headers": ["host", "transfer-encoding"]})
                    assert len(app.seen[-1]["headers"]) == 2  # nor later

        run(go())

    @pytest.mark.parametrize("name", ENDLESS)
    @pytest.mark.parametrize("path", ["/nowhere", "/echo"])
    def test_endless_ones_end_the_connection(self, run, name, path):
        begin, blob = ENDLESS[name]

        async def go():
            async with call() as (_, caller):
                await caller.send(chunked(path))
                if path == "/nowhere":
                    assert (await caller.answer())[0] == 401
                await caller.send(begin)
                assert await caller.flood(blob)

        run(go())


class TestOneRequestAtATime:
    @pytest.mark.parametrize("extra", [post("/echo"), b"G", b"GARBAGE\r\n\r\n", b"\x00", b"\r\n\r\nGET / HTTP/1.1\r\n"])
    def test_what_follows_a_request_under_way_ends_it_with_nothing_written_into_its_answer(self, run, extra):
        async def go():
            async with call() as (app, caller):
                await caller.send(post("/slow", b"hi"))
                begun = await caller.reader.readuntil(b"begun\r\n")
                assert begun.startswith(b"HTTP/1.1 200")
                await caller.send(extra)
                assert await caller.rest() == b""
                await app.left.wait()
                assert len(app.seen) == 1

        run(go())

    def test_endless_ones_are_not_kept(self, run):
        async def go():
            async with call() as (app, caller):
                assert await caller.flood(b"GET /x HTTP/1.1\r\n\r\n" * 5000)
                assert len(app.seen) <= 1

        run(go())

    def test_a_caller_who_goes_is_noticed(self, run):
        async def go():
            async with call() as (app, caller):
                await caller.send(post("/slow", b"hi"), b"\r\n")
                await caller.reader.readuntil(b"begun\r\n")
                caller.writer.transport.abort()
                await app.left.wait()

        run(go())

    def test_line_breaks_between_requests_mean_nothing(self, run, monkeypatch):
        monkeypatch.setattr(protocol, "HEAD_TIME", 0.2)

        async def go():
            async with call() as (app, caller):
                await caller.send(b"\r\n", b"\n" + post("/echo", b"a") + b"\r\n")
                assert (await caller.answer())[0] == 200
                await caller.send(b"\r\n")
                await asyncio.sleep(0.4)  # the time of a head, were this one
                await caller.send(post("/slow", b"hi"), b"\r\n", b"\r")
                asyncio.get_running_loop().call_later(0.4, app.finish.set)
                answer = await caller.reader.readuntil(b"0\r\n\r\n")
                assert answer.endswith(b"begun\r\n5\r\nended\r\n0\r\n\r\n")
                assert answer.count(b"HTTP/1.1") == 1
                await caller.send(b"\n" + post("/echo", b"a"))
                assert (await caller.answer())[0] == 200

        run(go())


class TestUpgrades:
    @pytest.mark.parametrize("together", [True, False])
    @pytest.mark.parametrize("to", ["h2c", "websocket", "anything"])
    def test_they_are_refused_and_their_body_is_no_request(self, run, to, together):
        raw = post("/echo", INNER, "connection: keep-alive, Upgrade", f"upgrade: {to}")
        head, body = raw[: -len(INNER)], INNER

        async def go():
            async with call() as (app, caller):
                await caller.send(*([raw] if together else [head, body]))
                status, answer = await caller.answer()
                assert (status, code(answer)) == (400, "invalid_http")
                assert await caller.rest() == b""
                assert not app.seen

        run(go())

    def test_a_tunnel_is_refused(self, run):
        async def go():
            async with call() as (app, caller):
                await caller.send(b"CONNECT example.org:80 HTTP/1.1\r\nhost: x\r\n\r\n" + INNER)
                assert (await caller.answer())[0] == 400
                assert await caller.rest() == b""
                assert not app.seen

        run(go())

    @pytest.mark.parametrize("header", ["connection: upgrade", "upgrade: h2c"])
    def test_half_an_upgrade_is_none(self, run, header):
        async def go():
            async with call() as (app, caller):
                await caller.send(post("/echo", INNER, header))
                status, answer = await caller.answer()
                assert (status, json.loads(answer)["size"]) == (200, len(INNER))
                await caller.send(post("/echo", b"a"))
                assert (await caller.answer())[0] == 200
                assert [scope["path"] for scope in app.seen] == ["/echo", "/echo"]

        run(go())


class TestMalformed:
    @pytest.mark.parametrize(
        "raw",
        [
            b"GARBAGE\r\n\r\n",
            b"GET http://[ HTTP/1.1\r\nhost: x\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
            post("/echo", b"", "a: b\r\n c"),
            post("/echo", b"abc", "content-length: 4"),
            chunked("/echo", "content-length: 3") + b"abc",
            chunked("/echo") + b"zz\r\n",
            chunked("/echo") + b"0\r\nContent-Length: 5\r\n\r\nabcde",
        ],
    )
    def test_a_request_without_an_answer_gets_one(self, run, raw):
        async def go():
            async with call() as (_, caller):
                await caller.send(raw)
                status, body = await caller.answer()
                assert (status, code(body)) == (400, "invalid_http")
                assert await caller.rest() == b""

        run(go())

    def test_a_body_that_breaks_after_its_answer_gets_no_second_one(self, run):
        async def go():
            async with call() as (_, caller):
                await caller.send(chunked("/nowhere"))
                assert (await caller.answer())[0] == 401
                await caller.send(b"zz\r\n")
                assert await caller.rest() == b""

        run(go())


def test_refusals_are_recorded_as_counts_once_in_a_while(run, tmp_path, monkeypatch):
    monkeypatch.setattr(asgi, "REFUSED_EVERY", 0.3)
    region = Region(tmp_path)
    folder = region.home.journal("w0")

    def records():
        return [stored.leaf.facts for stored in read(folder) if stored.leaf.kind == "refused"]

    async def go():
        journal = region.journal("w0")
        page = PageReader(region.home.page)
        doors = Doors(page, ShutFileWatch(region.home.shut_file, region.home.latch_file), slot="w0")
        plan = region.loaded.plan
        service = Service(
            region="eu",
            plan_digest=region.loaded.digest,
            doors=doors,
            journal=journal,
            surfaces={},
            embeddings={},
            nudge=list,
            pseudonym=lambda _, text: text,
            sessions=NoSessions(),
        )
        gateway = Gateway(service, Residency(plan, "eu", JurisdictionTable(plan)), {}.get)
        async with served(gateway) as port, calling(port) as caller:
            for path, times in (("/v1/chat/completions", 7), ("/nowhere", 5)):
                for _ in range(times):
                    await caller.send(post(path))
                    assert (await caller.answer())[0] in (401, 404)
            await asyncio.sleep(0.5)  # the last counts are told without another refusal
        await journal.aclose()
        page.close()

    run(go())
    told = [facts["codes"] for facts in records()]
    assert told[0] == {"invalid_credential": 1}  # at once
    assert len(told) < 12
    assert sum(codes.get("invalid_credential", 0) for codes in told) == 7
    assert sum(codes.get("not_found", 0) for codes in told) == 5
