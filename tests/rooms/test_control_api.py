"""The control API over a real Unix socket, served by a real uvicorn, on both event loops."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import tempfile
from pathlib import Path

import msgspec
import pytest
import uvloop

from firedoor.api import server as api_server
from firedoor.api.app import build
from firedoor.api.bodies import BODY_LIMIT
from firedoor.api.openapi import document
from firedoor.api.server import serve
from firedoor.control.hosts import Hosts
from firedoor.core.hosts import HostSaid, seal
from firedoor.core.people import key_id
from firedoor.core.switches import GlobalTable, Scope, Switch
from firedoor.errors import SetupError

from .region import NOTE, Region

ONE = "eu/alpen/support/m0"


@pytest.fixture
def folder():
    made = Path(tempfile.mkdtemp(prefix="fd"))  # a Unix socket's path is short
    yield made
    shutil.rmtree(made)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    def runner(coroutine):
        with asyncio.Runner(loop_factory=request.param) as loop:
            return loop.run(asyncio.wait_for(coroutine, 60))

    return runner


@contextlib.asynccontextmanager
async def served(region, heard=None, everywhere=lambda: None):
    async with region.control() as board:
        ready = asyncio.Event()
        app = build(board, heard(board) if heard is not None else None, everywhere)
        task = asyncio.create_task(serve(app, region.home.control_socket, ready.set))
        waiter = asyncio.create_task(ready.wait())
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            waiter.cancel()
            task.result()
        try:
            yield board
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    assert not region.home.control_socket.exists()


async def raw(region, data):
    reader, writer = await asyncio.open_unix_connection(str(region.home.control_socket))
    try:
        writer.write(data)
        await writer.drain()
        return await reader.read()
    finally:
        writer.close()


async def call(region, method, path, body=None):
    data = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
    head = f"{method} /control/v1/{path} HTTP/1.1\r\nHost: control\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    answer = await raw(region, head.encode() + data)
    top, _, content = answer.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(content)


def asked(signed, note=None):
    return {"act": signed.act, "signature": signed.signatures[0]} | ({"note": note} if note is not None else {})


def test_shut_and_open_by_http(folder, run):
    region = Region(folder / "eu")

    async def life():
        async with served(region):
            assert region.home.control_socket.stat().st_mode & 0o777 == 0o600
            status, before = await call(region, "GET", "switches")
            assert (status, before["shut"], before["plan"]) == (200, [], region.loaded.digest)
            status, done = await call(region, "POST", "switches/shut", asked(region.shut_by(ONE)))
            assert (status, done["state"], done["changed"], done["durable"], done["recorded"]) == (
                200,
                "shut",
                True,
                True,
                True,
            )
            assert region.shut_scopes() == [ONE]
            status, waiting = await call(region, "POST", "switches/open", asked(region.open_by(ONE), NOTE))
            assert (status, waiting["note"], waiting["signed_by"]) == (202, NOTE, ["ana"])
            status, listed = await call(region, "GET", "requests")
            assert (status, listed["requests"]) == (200, [waiting])
            act = msgspec.convert(waiting["act"], type(region.act("open", ONE, "ana")))
            assert act.digest == waiting["digest"]
            path = f"requests/{waiting['id']}/approve"
            status, refused = await call(region, "POST", path, {"signature": region.sign(act, "ana")})
            assert (status, refused["error"]["code"]) == (403, "same_person")
            assert refused["error"]["remedy"]
            status, done = await call(region, "POST", path, {"signature": region.sign(act, "ben")})
            assert (status, done["state"], done["by"]) == (200, "open", ["ana", "ben"])
            assert region.shut_scopes() == []
            status, health = await call(region, "GET", "health")
            assert (status, health["status"]) == (200, "ok")

    run(life())


def test_the_table_tells_persons_drills_and_what_holds_everywhere(folder):
    region = Region(folder / "eu", keeps_all="us")
    theirs = region.people.keys["ana"].public
    ana = next(p for p in region.loaded.plan.people.values() if p.key == theirs)
    switch = Switch(Scope("*", "alpen"), "leak", 5.0, (key_id(ana), "0" * 16), version=8)

    async def life():
        async with served(region, everywhere=lambda: GlobalTable("us", 9, (switch,))):
            act = asked(region.shut_by(ONE, arguments={"incident": "INC-7"}))
            assert (await call(region, "POST", "switches/shut", act))[0] == 200
            in_drill = asked(region.shut_by("eu/berg", reason="drill", arguments={"drill": "friday"}))
            status, done = await call(region, "POST", "switches/shut", in_drill)
            assert (status, done["drill"], done["scope"]) == (200, "friday", "eu/berg/*/*")
            await region.finding("eu/berg/faq/m0")
            region.board.beat()
            _, told = await call(region, "GET", "switches")
            by = {s["scope"]: (s["by"], s["incident"], s["version"]) for s in told["shut"]}
            versions = {str(s.scope): s.version for s in region.board.table.shut}
            assert by == {
                ONE: (["cem"], "INC-7", versions[ONE]),
                "eu/berg/faq/m0": (["firedoor"], None, versions["eu/berg/faq/m0"]),
            }
            assert [(s["scope"], s["drill"], s["by"]) for s in told["drills"]] == [("eu/berg/*/*", "friday", ["cem"])]
            assert (told["home"], told["everywhere_version"]) == ("us", 9)
            assert [(s["scope"], s["by"]) for s in told["everywhere"]] == [("*/alpen/*/*", ["ana", "0" * 16])]
            end = region.act("end_drill", None, "cem", arguments={"drill": "friday"})
            body = {"act": end, "signature": region.sign(end, "cem")}
            status, done = await call(region, "POST", "switches/end_drill", body)
            assert (status, done["state"], done["drill"]) == (200, "open", "friday")
            again = region.act("end_drill", None, "cem", arguments={"drill": "friday"})
            status, refused = await call(
                region, "POST", "switches/end_drill", {"act": again, "signature": region.sign(again, "cem")}
            )
            assert (status, refused["error"]["code"]) == (404, "no_drill")
            wrong = asked(region.open_by(ONE, arguments={"of": "999"}), NOTE)
            status, refused = await call(region, "POST", "switches/open", wrong)
            assert (status, refused["error"]["code"]) == (409, "other_shut")

    asyncio.run(life())


def test_the_hosts_of_the_region_are_listed(folder):
    region, clock, heard = Region(folder / "eu"), [100.0], []

    def hosts(board):
        heard.append(Hosts("eu", b"k" * 32, board, lambda: clock[0], ask=lambda: None, beat=lambda: 0))
        return heard[0]

    async def life():
        async with served(region, heard=hosts):
            assert await call(region, "GET", "hosts") == (200, {"region": "eu", "hosts": []})
            kept = Switch(Scope("eu", "berg"), "leak", 5.0, version=1)
            for name in ("h2", "h1"):
                one = HostSaid(
                    region="eu", host=name, count=1, workers=4, age_ms=12, latched=name == "h2", kept=(kept,)
                )
                heard[0].take(seal(one, b"k" * 32))
            clock[0] += 1.5
            status, told = await call(region, "GET", "hosts")
            assert status == 200
            assert told["hosts"] == [
                {
                    "name": name, "seen_ago_s": 1.5, "version": -1, "beat": -1, "global_version": -1, "age_ms": 12,
                    "refused": "", "workers": 4, "latched": name == "h2", "kept": 1,
                }
                for name in ("h1", "h2")
            ]  # fmt: skip
        async with served(region):
            assert (await call(region, "GET", "hosts"))[1]["hosts"] == []

    asyncio.run(life())


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "nothing", None, 404, "no_such_path"),
        ("GET", "switches/shut", None, 405, "wrong_method"),
        ("POST", "switches/shut", b"", 400, "bad_body"),
        ("POST", "switches/shut", b"{", 400, "bad_body"),
        ("POST", "switches/shut", b"[" * 9000, 400, "bad_body"),
        ("POST", "switches/shut", b"\xff\xfe", 400, "bad_body"),
        ("POST", "switches/shut", b"{}", 400, "bad_body"),
        ("POST", "switches/shut", b" " * (BODY_LIMIT + 1), 413, "body_too_large"),
        (
            "POST",
            "requests/eu-0123456789ab/approve",
            b'{"signature":{"by":"ana","value":"' + b"A" * 86 + b'=="}}',
            404,
            "unknown_request",
        ),
        ("POST", "requests/eu-0123456789ab/approve", b'{"signature":{"by":"ana","value":"AA=="}}', 400, "bad_body"),
    ],
)
def test_what_is_refused_says_why(folder, method, path, body, status, code):
    region = Region(folder / "eu")

    async def life():
        async with served(region):
            got, content = await call(region, method, path, body)
            assert (got, content["error"]["code"]) == (status, code)
            assert content["error"].keys() == {"code", "message", "remedy"}

    asyncio.run(life())


def test_more_than_was_asked_for_is_refused(folder):
    region = Region(folder / "eu")

    async def life():
        async with served(region):
            for change in ({"more": 1}, {"note": "x" * 501}, {"note": 7}):
                status, content = await call(region, "POST", "switches/shut", {**asked(region.shut_by(ONE)), **change})
                assert (status, content["error"]["code"]) == (400, "bad_body")
            assert region.shut_scopes() == []

    asyncio.run(life())


def test_an_endless_body_or_head_is_cut_off(folder, run):
    region = Region(folder / "eu")

    async def life():
        async with served(region):
            head = b"POST /control/v1/switches/shut HTTP/1.1\r\nHost: c\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            answer = await raw(region, head + (b"1000\r\n" + b" " * 4096 + b"\r\n") * 20)
            assert b" 413 " in answer.split(b"\r\n")[0]
            answer = b""
            with contextlib.suppress(ConnectionError):
                answer = await raw(region, b"GET /control/v1/switches HTTP/1.1\r\nX: " + b"y" * (1 << 20))
            assert answer == b""
            assert (await call(region, "GET", "health"))[0] == 200

    run(life())


def test_another_user_is_dropped_before_a_byte_is_read(folder, run, monkeypatch):
    region = Region(folder / "eu")

    async def life():
        async with served(region):
            monkeypatch.setattr(api_server, "peer_uid", lambda connection: os.geteuid() + 1)
            answer = b""
            with contextlib.suppress(ConnectionError, BrokenPipeError):
                answer = await raw(region, b"GET /control/v1/health HTTP/1.1\r\nHost: c\r\n\r\n")
            assert answer == b""
            monkeypatch.undo()
            assert (await call(region, "GET", "health"))[0] == 200

    run(life())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_kernel_tells_who_calls(folder):
    left, right = socket.socketpair(socket.AF_UNIX)
    with left, right:
        assert api_server.peer_uid(left) == 0
    path = str(folder / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        folder.chmod(0o755)
        Path(path).chmod(0o666)
        listener.listen()
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            with socket.socket(socket.AF_UNIX) as caller:
                caller.connect(path)
                caller.recv(1)
            os._exit(0)
        accepted, _ = listener.accept()
        with accepted:
            assert api_server.peer_uid(accepted) == 65534
        os.waitpid(child, 0)


def test_a_dead_socket_is_replaced_and_another_file_is_not(folder):
    region = Region(folder / "eu")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(region.home.control_socket))

    async def life():
        async with served(region):
            assert (await call(region, "GET", "health"))[0] == 200
        region.home.control_socket.write_text("mine")
        with pytest.raises(SetupError, match="not a socket"):
            await serve(None, region.home.control_socket, lambda: None)
        assert region.home.control_socket.read_text() == "mine"
        region.home.control_socket.unlink()
        with pytest.raises(SetupError, match="longer"):
            await serve(None, folder / ("x" * 120), lambda: None)

    asyncio.run(life())


def test_the_openapi_document_tells_all_routes_and_resolves(folder):
    region = Region(folder / "eu")

    async def life():
        async with served(region) as board:
            status, told = await call(region, "GET", "openapi.json")
            assert status == 200
            assert told == json.loads(json.dumps(document()))
            routes = {(m.lower(), r.path) for r in build(board).routes for m in r.methods if m != "HEAD"}
            described = {(m, p) for p, methods in told["paths"].items() for m in methods}
            assert routes - described == {("get", "/control/v1/openapi.json")}
            assert described <= routes
            text = json.dumps(told)
            for reference in set(text.split('"$ref": "#/components/schemas/')[1:]):
                assert reference.split('"')[0] in told["components"]["schemas"]

    asyncio.run(life())
