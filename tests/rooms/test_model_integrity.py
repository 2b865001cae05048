"""Is it still the same model? Real model servers, real processes, a real switchboard; and a cache that asks nobody."""

import asyncio
import contextlib
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from aiohttp import web
from msgspec import structs

from firedoor.app.hostcheck import Finding
from firedoor.app.modelwatch import RegionLooker, model_findings, write_status
from firedoor.config import RegionHome
from firedoor.control.modelwatch import ModelWatch
from firedoor.core.integrity import Baseline, Look, Verified, compare
from firedoor.core.plan.model import Integrity, Model, Probe
from firedoor.core.replays import TRUST, Replays
from firedoor.errors import KeyUnusable, SetupError
from firedoor.keys.derive import SealingBox
from firedoor.store.baselines import BaselineFile
from firedoor.store.files import write_atomic
from firedoor.upstream.http import HttpModelServer
from firedoor.upstream.integrity import ASKED, ModelLooker, Target
from firedoor.upstream.ownprocess import FileDigests, OwnProcess, process_items
from firedoor.upstream.process import ModelProcess, scripted_argv
from firedoor.upstream.script import Answer, Rule, Script, When, decode
from firedoor.upstream.scripted import serve_scripted

from .region import NOTE, Region

CAPITAL = Probe(ask="What is the capital of Austria?")
SEA = Probe(ask="Say something about the sea.")
SCRIPT = Script(
    model="shop",
    rules=(Rule(name="capital", when=When(contains="Austria"), answer=Answer(text="The capital is Vienna.")),),
)


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 60))


@contextlib.asynccontextmanager
async def looking():
    looker = ModelLooker()
    try:
        yield looker
    finally:
        await looker.aclose()


def at(url, *probes, process=None):
    return Target(url, None, ("shop",), probes, process)


# --- over HTTP --------------------------------------------------------------------------------------------------------


def test_another_model_behind_the_same_address_is_seen():
    async def life():
        async with looking() as looker:
            async with serve_scripted(SCRIPT) as served:
                port = int(served.base_url.rsplit(":", 1)[1].removesuffix("/v1"))
                baseline = await looker.baseline(at(served.base_url, CAPITAL), 1)
                assert len(served.received) == ASKED
                assert compare(baseline, await looker.look(at(served.base_url, CAPITAL), baseline)).state == "same"
                assert len(served.received) == ASKED + 1  # asked once while it answers as it should
                assert served.received[-1].body["temperature"] == 0
            changed = structs.replace(SCRIPT, rules=(), default=Answer(text="The capital is Berlin."))
            async with serve_scripted(changed, port=port) as served:
                found = compare(baseline, await looker.look(at(served.base_url, CAPITAL), baseline))
                assert (found.state, found.what) == ("drift", ["probe"])
                assert len(served.received) == ASKED
            async with serve_scripted(structs.replace(SCRIPT, model="other"), port=port) as served:
                found = compare(baseline, await looker.look(at(served.base_url, CAPITAL), baseline))
                assert (found.state, found.what) == ("drift", ["description"])
            found = compare(baseline, await looker.look(at(served.base_url, CAPITAL), baseline))
            assert found.state == "not_verified"
            assert found.unseen["description.models"] == "refused"

    run(life())


def test_an_unstable_probe_is_not_used_and_a_missing_server_gives_no_baseline():
    async def life():
        async with looking() as looker:
            said = iter(range(1000))

            async def chat(request):
                body = await request.json()
                steady = "Austria" in body["messages"][0]["content"]
                text = "Vienna" if steady else f"Wave {next(said)}"
                return web.json_response({"choices": [{"message": {"content": text}}]})

            async with serving({"/v1/chat/completions": chat}) as url:
                baseline = await looker.baseline(at(url, CAPITAL, SEA), 1)
                (unstable,) = [item for item, why in baseline.unused.items() if why == "not_stable"]
                assert unstable.startswith("probe.")
                before = next(said)
                assert compare(baseline, await looker.look(at(url, CAPITAL, SEA), baseline)).state == "same"
                assert next(said) == before + 1  # not asked again
                other = Probe(ask="Is this a new one?")
                found = compare(baseline, await looker.look(at(url, CAPITAL, other), baseline))
                assert (found.state, list(found.unseen.values())) == ("not_verified", ["no_baseline"])
            with pytest.raises(SetupError, match="does not answer"):
                await looker.baseline(at(url, CAPITAL), 1)

    run(life())


def test_one_odd_answer_of_a_busy_server_is_not_a_drift():
    async def life():
        async with looking() as looker:
            odd = iter([False] * ASKED + [True, True, False] + [True] * 100)

            async def chat(_):
                return web.json_response({"choices": [{"message": {"content": "Graz" if next(odd) else "Vienna"}}]})

            async with serving({"/v1/chat/completions": chat}) as url:
                baseline = await looker.baseline(at(url, CAPITAL), 1)
                assert compare(baseline, await looker.look(at(url, CAPITAL), baseline)).state == "same"
                assert compare(baseline, await looker.look(at(url, CAPITAL), baseline)).what == ["probe"]

    run(life())


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [
        (200, b'{"model_path": "/srv/shop.gguf", "build_info": "b1", "chat_template": "{{ messages }}"}', "same"),
        (200, b'{"model_path": "/srv/evil.gguf", "build_info": "b1", "chat_template": "{{ messages }}"}', "drift"),
        (200, b"<html>", "drift"),
        (404, b"", "drift"),
        (401, b"", "not_verified"),
        (500, b"", "not_verified"),
        (302, b"", "not_verified"),
        (200, b" " * 1_200_000, "not_verified"),
    ],
)
def test_llama_cpps_own_page(status, body, state):
    async def life():
        first = True

        async def props(request):
            assert request.headers["Authorization"] == "Bearer k"
            if first:
                data = b'{"model_path": "/srv/shop.gguf", "build_info": "b1", "chat_template": "{{ messages }}"}'
                return web.Response(body=data)
            return web.Response(status=status, body=body, headers={"Location": "/v1/models"} if status == 302 else {})

        async with looking() as looker, serving({}, {"/props": props}) as url:
            target = structs.replace(at(url), key="k")
            baseline = await looker.baseline(target, 1)
            first = False
            assert compare(baseline, await looker.look(target, baseline)).state == state

    run(life())


def test_a_server_that_hangs_costs_one_probe(monkeypatch):
    monkeypatch.setattr("firedoor.upstream.integrity.PROBE_SECONDS", 0.2)

    async def life():
        hangs, asked = False, []

        async def chat(request):
            asked.append(await request.json())
            await asyncio.sleep(60 if hangs else 0)
            return web.json_response({"choices": [{"message": {"content": "Vienna"}}]})

        async with looking() as looker, serving({"/v1/chat/completions": chat}) as url:
            baseline = await looker.baseline(at(url, CAPITAL, SEA), 1)
            hangs = True
            asked.clear()
            found = compare(baseline, await looker.look(at(url, CAPITAL, SEA), baseline))
            assert found.state == "not_verified"
            assert "timeout" in found.unseen.values()
            assert len(asked) == 1

    run(life())


@contextlib.asynccontextmanager
async def serving(posts, gets=None):
    async def models(_):
        return web.json_response({"data": [{"id": "shop", "owned_by": "tests"}]})

    app = web.Application()
    for path, handler in posts.items():
        app.router.add_post(path, handler)
    for path, handler in {"/v1/models": models, **(gets or {})}.items():
        app.router.add_get(path, handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


# --- our own processes ------------------------------------------------------------------------------------------------


def test_our_own_process_its_file_and_its_port(tmp_path):
    script = tmp_path / "script.yaml"
    script.write_text("firedoor_script: 1\nmodel: shop\n")

    async def life():
        server = ModelProcess(
            scripted_argv(script), name="shop", key_file=tmp_path / "k", log_path=tmp_path / "l"
        )  # fmt: skip
        await server.start()
        try:
            key = (tmp_path / "k").read_text()
            async with looking() as looker:

                def target(pid):
                    return structs.replace(at(server.base_url, process=OwnProcess(pid, script)), key=key)

                baseline = await looker.baseline(target(server.pid), 1)
                assert baseline.items["arguments.listens"] == "yes"
                assert compare(baseline, await looker.look(target(server.pid), baseline)).state == "same"
                # another process than the one that answers
                stranger = await looker.look(target(os.getpid()), baseline)
                assert compare(baseline, stranger).changed == ("arguments.command", "arguments.listens")
                found = compare(baseline, await looker.look(target(None), baseline))
                assert found.state == "not_verified"
                script.write_text("firedoor_script: 1\nmodel: shop\ndefault: {text: evil}\n")
                found = compare(baseline, await looker.look(target(server.pid), baseline))
                assert (found.changed, found.what) == (("weights.file",), ["weights"])
        finally:
            await server.stop()

    run(life())


def test_weights_that_were_replaced_after_the_start_are_not_the_mapped_ones(tmp_path):
    weights = tmp_path / "w of a shop.gguf"
    weights.write_bytes(b"GGUF" + bytes(8192))
    code = (
        "import mmap, sys, time\nf = open(sys.argv[1], 'rb')\n"
        "m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)\nprint('ready', flush=True)\ntime.sleep(60)"
    )

    async def life():
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, str(weights), stdout=asyncio.subprocess.PIPE
        )
        try:
            await child.stdout.readline()
            own = OwnProcess(child.pid, weights, mapped=True)
            seen, unseen = process_items(own, "http://127.0.0.1:9", FileDigests())
            assert (seen["weights.mapped"], unseen) == ("yes", {})
            copy = weights.with_suffix(".copy")
            shutil.copy(weights, copy)
            copy.replace(weights)  # the same content, and not the file that the server reads
            later, _ = process_items(own, "http://127.0.0.1:9", FileDigests())
            assert later["weights.file"] == seen["weights.file"]
            assert later["weights.mapped"] == ""
        finally:
            child.kill()
            await child.wait()
        seen, unseen = process_items(own, "http://127.0.0.1:9", FileDigests())
        assert set(seen) == {"weights.file"}
        assert set(unseen.values()) == {"not_there"}

    run(life())


def test_a_file_is_hashed_again_only_when_it_changed(tmp_path, monkeypatch):
    path = tmp_path / "w"
    path.write_bytes(b"one")
    digests = FileDigests()
    first = digests.of(path)
    with monkeypatch.context() as patch:
        patch.setattr("hashlib.file_digest", None)
        assert digests.of(path) == first
    write_atomic(path, b"two")
    assert digests.of(path) != first
    with pytest.raises(OSError, match="No such file"):
        digests.of(tmp_path / "none")


# --- the file of baselines --------------------------------------------------------------------------------------------


def test_baselines_are_sealed_for_their_region(tmp_path):
    path = tmp_path / "baselines.sealed"
    kept = BaselineFile(path, SealingBox("eu", bytes(32)))
    assert (kept.load(), kept.baseline("m"), kept.told("m")) == ({}, None, "")
    taken = _baseline({"weights.file": "abc"})
    kept.take({"m": taken})
    kept.tell("m", "print")
    kept.take({"n": taken})
    assert (kept.load(), kept.told("m")) == ({"m": taken, "n": taken}, "print")
    kept.take({"m": taken})
    assert kept.told("m") == ""  # a new baseline: what was told is no matter any more
    assert b"abc" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    for box in (SealingBox("us", bytes(32)), SealingBox("eu", bytes(31) + b"x")):
        with pytest.raises(KeyUnusable):
            BaselineFile(path, box).load()
    path.write_bytes(b"something else")
    with pytest.raises(KeyUnusable):
        kept.load()


def _baseline(items):
    return Baseline(1, items)


# --- in control -------------------------------------------------------------------------------------------------------


class Eyes:
    """A looker that sees what the test says."""

    def __init__(self, **items):
        self.next = Look(items)

    async def look(self, model, baseline):
        if isinstance(self.next, Exception):
            raise self.next
        return self.next


class Watched:
    """Control of a region with one watched model instance."""

    def __init__(self, folder, on_drift):
        self.region = Region(folder)
        self.kept = BaselineFile(self.region.home.baselines, SealingBox("eu", bytes(32)))
        self.kept.take({"m0": _baseline({"weights.file": "right", "probe.a": "yes"})})
        self.eyes = Eyes(**{"weights.file": "right", "probe.a": "yes"})
        self.integrity = Integrity(on_drift=on_drift)
        self.shown = []

    def watch(self, board):
        models = {"m0": self.integrity}
        return ModelWatch(models, looker=self.eyes, baselines=self.kept, board=board, show=self.shown.append)

    def findings(self):
        return [leaf.facts for leaf in self.region.records() if leaf.kind == "finding"]

    def wrong(self, digest="wrong"):
        self.eyes.next = Look({"weights.file": digest, "probe.a": "yes"})

    def right(self):
        self.eyes.next = Look({"weights.file": "right", "probe.a": "yes"})


async def settle(board):
    board.beat()
    await board.settled()
    board.beat()
    await board.settled()


def test_a_drift_is_one_finding_and_shuts_nothing_unless_planned(tmp_path):
    watched = Watched(tmp_path / "eu", "record")

    async def life():
        async with watched.region.control() as board:
            watch = watched.watch(board)
            assert (await watch.look("m0")).state == "same"
            watched.wrong()
            for _ in range(3):
                assert (await watch.look("m0")).state == "drift"
            await settle(board)
            assert watched.region.shut_scopes() == []
            watched.wrong("again another")
            await watch.look("m0")
            watched.right()
            await watch.look("m0")
            watched.wrong()
            await watch.look("m0")
        async with watched.region.control() as board:
            await watched.watch(board).look("m0")  # told before the restart

    run(life())
    assert len(watched.findings()) == 3
    assert watched.findings()[0] == {
        "rule": "model_drift", "stage": "model", "scope": "eu/*/*/m0", "model": "m0", "what": ["weights"],
        "verdict": "record",
    }  # fmt: skip


def test_a_drift_shuts_the_instance_for_suspicion_and_does_not_shut_again_what_two_people_opened(tmp_path):
    watched = Watched(tmp_path / "eu", "shut")
    region = watched.region

    async def life():
        async with region.control() as board:
            watch = watched.watch(board)
            watched.wrong()
            await watch.look("m0")
            assert region.shut_scopes() == ["eu/*/*/m0"]  # at once, before any beat
            await settle(board)
            (switch,) = board.table.shut
            assert (switch.reason, switch.keys) == ("suspicion", ())
            pending = await board.propose(region.open_by("eu/*/*/m0"), NOTE)
            await board.approve(pending.id, region.sign(pending.signed.act, "ben"))
            assert region.shut_scopes() == []
            await watch.look("m0")
            await settle(board)
            assert region.shut_scopes() == []
            watched.wrong("a third")
            await watch.look("m0")
            assert region.shut_scopes() == ["eu/*/*/m0"]
        async with region.control() as board:
            await watched.watch(board).look("m0")
            await settle(board)
            assert region.shut_scopes() == ["eu/*/*/m0"]

    run(life())
    assert [facts["verdict"] for facts in watched.findings()] == ["shut", "shut"]
    assert region.switch_records() == [("shut", "eu/*/*/m0"), ("open", "eu/*/*/m0"), ("shut", "eu/*/*/m0")]


def test_a_request_to_open_ends_with_a_new_drift(tmp_path):
    watched = Watched(tmp_path / "eu", "shut")
    region = watched.region

    async def life():
        async with region.control() as board:
            watch = watched.watch(board)
            watched.wrong()
            await watch.look("m0")
            await settle(board)
            await board.propose(region.open_by("eu/*/*/m0"), NOTE)
            assert len(board.requests()) == 1
            watched.wrong("another")
            await watch.look("m0")
            await settle(board)
            assert board.requests() == []

    run(life())


@pytest.mark.parametrize(
    "trouble",
    [
        SetupError("The server was never started."),
        OSError(5, "Input/output error"),
        ValueError("a fault of ours"),
        Look({"probe.a": "yes"}, {"weights.file": "not_permitted"}),
        Look(),
    ],
)
def test_what_cannot_be_looked_at_is_shown_and_is_no_finding(tmp_path, trouble):
    watched = Watched(tmp_path / "eu", "shut")

    async def life():
        async with watched.region.control() as board:
            watch = watched.watch(board)
            watched.eyes.next = trouble
            assert (await watch.look("m0")).state == "not_verified"
            assert watched.shown[-1]["m0"].state == "not_verified"
            watched.right()
            assert (await watch.look("m0")).state == "same"
            await settle(board)
            assert watched.region.shut_scopes() == []

    run(life())
    assert watched.findings() == []


def test_a_drift_that_cannot_be_recorded_shuts_and_is_told_again(tmp_path):
    watched = Watched(tmp_path / "eu", "shut")
    broken = True

    class Refusing:
        def __init__(self, real):
            self._real = real

        def __getattr__(self, name):
            return getattr(self._real, name)

        async def append(self, record):
            if broken and record.kind == "finding":
                raise SetupError("The disk is full.")
            return await self._real.append(record)

    async def life():
        nonlocal broken
        async with watched.region.control(wrap=lambda p, real: Refusing(real) if p == "journal" else real) as board:
            watch = watched.watch(board)
            watched.wrong()
            await watch.look("m0")
            assert watched.region.shut_scopes() == ["eu/*/*/m0"]
            broken = False
            await watch.look("m0")
            await watch.look("m0")

    run(life())
    assert len(watched.findings()) == 1


def test_the_watch_goes_on_after_every_kind_of_look(tmp_path, monkeypatch):
    monkeypatch.setattr("firedoor.control.modelwatch.LEAST", 0.01)
    watched = Watched(tmp_path / "eu", "record")
    watched.integrity = structs.replace(watched.integrity, every=type(watched.integrity.every)(0.01))

    async def life():
        async with watched.region.control() as board:
            watching = asyncio.create_task(watched.watch(board).run())
            for trouble in (SetupError("gone"), Look({"weights.file": "wrong", "probe.a": "yes"})):
                watched.eyes.next = trouble
                count = len(watched.shown)
                while len(watched.shown) < count + 2:  # noqa: ASYNC110  the watch tells nobody else
                    await asyncio.sleep(0.005)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    run(life())
    assert len(watched.findings()) == 1


# --- what people see --------------------------------------------------------------------------------------------------


def test_doctor_says_what_control_saw_last(tmp_path):
    region = Region(tmp_path / "eu")
    plan = region.loaded.plan
    models = {**plan.models, "m0": structs.replace(plan.models["m0"], integrity=Integrity())}
    loaded = structs.replace(region.loaded, plan=structs.replace(plan, models=models))
    assert list(model_findings(region.home, region.loaded)) == []

    def said() -> Finding:
        (finding,) = model_findings(region.home, loaded)
        return finding

    assert (said().level, "NOT VERIFIED" in said().what) == ("warn", True)
    for found, level, words in (
        (Verified("same"), "ok", "the same"),
        (Verified("drift", ("weights.file",)), "FAIL", "NOT THE SAME as its baseline: weights"),
        (Verified("not_verified", unseen={"baseline": "no_baseline"}), "warn", "baseline (no_baseline)"),
    ):
        write_status(region.home, {"m0": found})
        assert said().level == level
        assert words in said().what
    status = region.home.run / "models.json"
    status.write_text(json.dumps({**json.loads(status.read_text()), "at": 1}))
    assert "NOT VERIFIED" in said().what  # too old to count
    status.write_text("nonsense")
    assert said().level == "FAIL"


def test_a_model_that_was_never_started_here_cannot_be_looked_at(tmp_path):
    place = RegionHome("eu", tmp_path / "eu")
    place.make()
    loaded = Region(tmp_path / "other").loaded
    model = Model(region="eu", engine="scripted", name="shop", script="s.yaml", integrity=Integrity())
    loaded = structs.replace(loaded, plan=structs.replace(loaded.plan, models={"m": model}))

    async def life():
        looker = RegionLooker(place, loaded, Path(tmp_path))
        try:
            found = await looker.verify("m", None)
            assert (found.state, found.unseen) == (
                "not_verified", {"instance": "Model instance m was never started here."},
            )  # fmt: skip
        finally:
            await looker.aclose()

    run(life())


# --- a cache behind the model server ----------------------------------------------------------------------------------

ECHO = "firedoor_script: 1\nmodel: shop\ncache: soft\ndefault: {text: 'You said: {user}'}\n"


async def say(server, text):
    body = json.dumps({"model": "shop", "messages": [{"role": "user", "content": text}]}).encode()
    answer = await server.call("/chat/completions", body, timeout=5)
    whole = json.loads(b"".join([chunk async for chunk in answer.chunks()]))
    return body, whole["id"], whole["choices"][0]["message"]["content"]


def test_a_soft_cache_gives_one_customer_the_others_answer_and_is_known_by_the_id():
    async def life():
        replays = Replays(bytes(32))
        async with serve_scripted(decode(ECHO.encode())) as served:
            server = HttpModelServer(served.base_url)
            try:

                async def exchange(who, text):
                    body, answer_id, said = await say(server, text)
                    asker = replays.asker("alpen", "support", who, None, body)
                    if replays.seen_id("m", answer_id, asker):
                        return "replayed"
                    replays.seen_text("m", answer_id, said, asker)
                    return said

                for n in range(TRUST + 1):
                    assert await exchange(f"s{n}", f"Question {n} of mine") == f"You said: Question {n} of mine"
                ana = "You said: Where is my parcel 4711 to Graz?"
                assert await exchange("ana", "Where is my parcel 4711 to Graz?") == ana
                assert (await say(server, "where is MY order 4712?"))[2] == ana  # what the cache does to Ben
                assert await exchange("ben", "where is MY order 4712?") == "replayed"
                assert await exchange("ana", "Where is my parcel 4711 to Graz?") == ana
                assert (await exchange("ben", "Is there a voucher?")).endswith("voucher?")
            finally:
                await server.aclose()

    run(life())


def test_without_a_cache_the_scripted_instance_answers_as_before():
    async def life():
        async with serve_scripted(decode(ECHO.replace("cache: soft\n", "").encode())) as served:
            server = HttpModelServer(served.base_url)
            try:
                first, second = await say(server, "Where is my parcel?"), await say(server, "Where is my coat?")
                assert first[1] == second[1] == "chatcmpl-scripted"
                assert (first[2], second[2]) == ("You said: Where is my parcel?", "You said: Where is my coat?")
            finally:
                await server.aclose()

    run(life())
    with pytest.raises(SetupError, match="cache"):
        decode(b"firedoor_script: 1\ncache: hard\n")
