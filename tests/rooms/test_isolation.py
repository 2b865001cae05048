"""Isolation of model instances with real processes, files and a real journal; only the model server is a tiny one."""

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.rooms.journals import Epochs

from firedoor.app.isolating import Isolating
from firedoor.app.isolation import ModelExaminer
from firedoor.app.latemodel import LateModel, address_mark, model_address
from firedoor.app.recent import recent_exchanges
from firedoor.app.regionkeys import places
from firedoor.config import RegionHome
from firedoor.control.isolation import Isolations
from firedoor.core.evidence.record import Record
from firedoor.core.integrity import Baseline
from firedoor.core.isolation import STEPS, Halted, isolated
from firedoor.core.plan.model import Loaded, Model
from firedoor.core.switches import Scope, Table
from firedoor.core.switchstate import Entry
from firedoor.errors import ModelFailed, SetupError
from firedoor.keys.derive import SealingBox
from firedoor.store.baselines import BaselineFile
from firedoor.store.isolated import IsolationFiles
from firedoor.store.journal import open_journal
from firedoor.store.journal_read import read
from firedoor.store.opening import BodyOpener
from firedoor.upstream import procs
from firedoor.upstream.http import HttpModelServer, ModelClient
from firedoor.upstream.process import Backoff, ModelProcess

SERVER = """
import os, socket, sys, time
server = os.getpid()
if os.fork() == 0:  # a helper of the server, which must stand still with it
    os.close(0), os.close(1)
    while os.getppid() == server: time.sleep(0.05)
    sys.exit()
listener = socket.create_server(("127.0.0.1", 0))
print('{"ready": true, "port": %d}' % listener.getsockname()[1], flush=True)
answer = b"HTTP/1.1 404 Not Found\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n"
while True:
    caller, _ = listener.accept()
    if sys.argv[1] == "hangs": time.sleep(600)
    caller.recv(4096)
    caller.sendall(answer)
    caller.close()
"""
MODELS = {
    "chat": Model(region="eu", engine="scripted", name="small", script="script.yaml"),
    "outside": Model(region="eu", engine="openai", name="big", url="http://127.0.0.1:9/v1", api_key_file="outside.key"),
}
ANY_ENTRY = {"state": "shut", "reason": "leak", "cause": "person", "at": 1_800_000_000.0, "by": ("ana",)}


def entry(version=5, model="chat", **more):
    return Entry(**{**ANY_ENTRY, "scope": Scope("eu", model=model), "version": version, **more})


async def until(holds, what="it", seconds=20.0):
    deadline = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < deadline, f"{what} never came true"
        await asyncio.sleep(0.01)
    return value


def state(pid):
    found = procs.process(pid)
    return found.state if found is not None else None


class World:
    """The files of a region, the parent of its model servers, and its control; each can be started anew."""

    def __init__(self, folder, server="answers"):
        self.folder = folder
        self.place = RegionHome("eu", folder / "eu")
        self.place.make()
        (folder / "script.yaml").write_text("firedoor_script: 1\n")
        (folder / "outside.key").write_text("sk-old\n")
        plan = SimpleNamespace(models=MODELS, regions={"eu": SimpleNamespace(state=None)})
        self.loaded = Loaded(plan, "ab" * 32, "plan.yaml")
        self.box = SealingBox("eu", b"k" * 32)
        self.files = IsolationFiles(self.place.isolated, self.place.run)
        self.epochs = Epochs()
        self.argv = [sys.executable, "-S", "-E", "-c", SERVER, server]
        self.processes = {}
        self.every = set()
        self.said = []
        self.starts = 0

    async def start(self, name):
        """As the compartment does: unless it runs, or is isolated."""
        if name in self.processes or self.parent.holds(name):
            return name in self.processes
        process = ModelProcess(
            self.argv, name=name, key_file=self.place.model_key(name), log_path=self.folder / "log",
            backoff=Backoff(first=0.01, most=0.05), ready_seconds=30,
        )  # fmt: skip
        await process.start()
        self.starts += 1
        self.processes[name] = process
        self.place.model_url(name).write_text(process.base_url)
        self.pids()
        return True

    def pids(self):
        self.every |= {process.pid for process in self.processes.values()} - {None}
        found = {f"model:{name}": process.pid for name, process in self.processes.items()}
        (self.place.run / "pids.json").write_text(json.dumps(found))

    @asynccontextmanager
    async def parenting(self):
        """The parent; in the end it leaves what is halted, and ends the rest."""
        self.processes = {}
        self.parent = Isolating(self.place, ["chat"], self.processes, self.start, self.said.append)
        task = asyncio.create_task(self.parent.run())
        try:
            await self.start("chat")
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            for name, process in self.processes.items():
                await (process.leave() if self.parent.frozen(name) else process.stop())

    @asynccontextmanager
    async def controlling(self, *, kind=Isolations, trail=(), shut=(), halt_wait=20.0, **more):
        journal = open_journal(
            places(self.place, "control"), region="eu", slot="control", epochs=self.epochs, clock_ns=time.time_ns
        )
        examiner = ModelExaminer(self.place, self.loaded, self.folder, self.box, time.time_ns)
        files = more.pop("files", self.files)
        isolations = kind(
            "eu", notes=files, examiner=examiner, journal=journal, now_ns=time.time_ns, halt_wait=halt_wait, **more
        )
        try:
            await isolations.resume(trail, Table("eu", 9, "ab" * 32, tuple(shut)))
            yield isolations
        finally:
            await isolations.aclose()
            await examiner.aclose()
            await journal.aclose()

    @property
    def pid(self):
        return self.processes["chat"].pid

    def records(self):
        """Facts and body of each record about isolation."""
        opener = BodyOpener(self.place.bodies, self.place.subjects, self.epochs)
        leaves = [stored.leaf for stored in read(self.place.journal("control")) if stored.leaf.kind == "isolation"]
        found = [(leaf.facts, json.loads(opener.open(leaf)) if leaf.body else None) for leaf in leaves]
        opener.close()
        return found

    def kill_rest(self):
        """No process of a test outlives it."""
        said = self.files.halted("chat")
        for pid in {self.first, *self.every, *(said.processes if said is not None else ())}:
            with suppress(TypeError, OSError):  # never known, or gone
                if b"getppid" in Path("/proc", str(pid), "cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)

    first = None


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.kill_rest()


def lives(work):
    asyncio.run(asyncio.wait_for(work, 60))


def test_a_frozen_instance_stands_still_with_its_children_and_all_of_it_is_on_record(world):
    async def life():
        async with world.parenting(), world.controlling() as control:
            pid = world.first = world.pid
            key = world.place.model_key("chat").read_text()
            await control.isolate("chat", "freeze", entry())
            await control.settled("chat")
            note = world.files.note("chat")
            assert note.steps == STEPS
            assert note.halted.did == "frozen"
            assert note.halted.pid == pid
            assert len(note.halted.processes) == 2
            assert {state(member) for member in note.halted.processes} == {"T"}
            assert not world.place.model_key("chat").exists()
            assert world.parent.frozen("chat")

            for member in note.halted.processes:  # somebody continues it
                os.kill(member, signal.SIGCONT)
            await until(lambda: world.files.halted("chat").woken == 1)
            assert {state(member) for member in note.halted.processes} == {"T"}
            return key, pid

    async def all_of_it():
        key, pid = await life()
        assert state(pid) == "T"  # the parent has gone; the evidence stays
        ((facts, body),) = world.records()
        assert facts["key"] == "revoked"
        assert (facts["process"], facts["processes"], facts["how"]) == ("frozen", 2, "freeze")
        assert len(facts["weights_sha256"]) == len(facts["program_sha256"]) == len(facts["command_sha256"]) == 64
        assert facts["baseline"] == "not_verified"
        process = body["process"]
        assert process["pid"] == pid
        assert process["descriptors"]["sockets"] >= 1
        assert process["maps"]["mappings"] > 10
        assert process["maps"]["files"]
        assert process["command"][0] == sys.executable
        assert process["command"][-3:] == ["--key-file", str(world.place.model_key("chat")), "--lifeline"]
        assert abs(process["started_at"] - time.time()) < 120
        assert key not in json.dumps(body)
        assert key not in json.dumps(facts)

    lives(all_of_it())


def test_stop_ends_it_cut_leaves_it_and_nobody_starts_either_again(world):
    async def life():
        async with world.parenting(), world.controlling() as control:
            pid = world.first = world.pid
            await control.isolate("chat", "cut", entry())
            await control.settled("chat")
            assert state(pid) in "SR"
            assert world.records()[0][0]["process"] == "held"
            assert not world.place.model_key("chat").exists()
            await control.isolate("chat", "stop", entry(6))
            await control.settled("chat")
            assert state(pid) in {None, "Z"}
            assert not procs.family(pid, procs.processes())
            ((_, _), (facts, body)) = world.records()
            assert (facts["process"], facts["switches"]) == ("stopped", 6)
            assert facts["program_sha256"] == world.records()[0][0]["program_sha256"]  # read before it ended
            assert body["process"]["pid"] == pid
            await control.isolate("chat", "freeze", entry(7))  # milder: nothing is done anew
            await control.settled("chat")
            assert len(world.records()) == 2
            assert world.pid is None
            assert world.starts == 1
        async with world.parenting():
            assert world.processes == {}

    lives(life())


def test_two_persons_bring_a_fresh_process_with_another_key(world):
    async def life():
        async with world.parenting(), world.controlling() as control:
            old, key = world.pid, world.place.model_key("chat").read_text()
            world.first = old
            await control.release("chat")  # nothing is isolated: nothing happens
            await control.isolate("chat", "freeze", entry())
            await control.release("chat")  # at once: what is not on record yet is recorded first
            await control.settled("chat")
            assert world.pid not in {None, old}
            assert state(old) in {None, "Z"}
            assert world.place.model_key("chat").read_text() != key
            assert world.files.models() == []
            assert control.notes == {}
            await until(lambda: world.files.halted("chat") is None)
            assert not world.parent.holds("chat")
        (first, _), (second, none) = world.records()
        assert (first["act"], first["process"]) == ("isolate", "frozen")
        assert (second["act"], second["key"], second["old_pid"]) == ("release", "rotated", old)
        assert second["new_pid"] not in {None, old}
        assert none is None

    lives(life())


def test_what_an_earlier_parent_left_halted_stays_so_until_it_is_opened(world):
    async def life():
        async with world.controlling() as control:
            async with world.parenting():
                old = world.first = world.pid
                await control.isolate("chat", "freeze", entry())
                await control.settled("chat")
            assert state(old) == "T"
            async with world.parenting():
                assert world.processes == {}  # not started again
                os.kill(old, signal.SIGCONT)
                await until(lambda: world.files.halted("chat").woken == 1)
                assert state(old) == "T"
                await control.release("chat")
                await control.settled("chat")
                assert state(old) is None
                assert world.pid not in {None, old}

    lives(life())


class Stopping(Isolations):
    """Dies before the step `at`, as by kill -9."""

    at = None

    async def _step(self, note, step):
        if step == self.at:
            await asyncio.Event().wait()
        await super()._step(note, step)


def test_a_crash_before_any_step_loses_none_and_repeats_no_record(world):
    async def life():
        async with world.parenting():
            pid = world.first = world.pid
            for step in STEPS:
                Stopping.at = step
                async with world.controlling(kind=Stopping) as control:
                    if step == STEPS[0]:
                        await control.isolate("chat", "freeze", entry())
                    await until(lambda step=step: control.notes["chat"].next == step, step)
                    await until(lambda step=step: world.files.note("chat").next == step, f"the note of {step}")
            async with world.controlling() as control:
                await control.settled("chat")
            async with world.controlling() as control:
                await control.settled("chat")
            assert world.files.note("chat").steps == STEPS
            assert world.files.note("chat").halted.did == "frozen"
            assert state(pid) == "T"
            ((facts, body),) = world.records()
            assert facts["process"] == "frozen"
            assert body["process"]["pid"] == pid
            assert "program_sha256" in facts

    lives(life())


class Refusing(IsolationFiles):
    """A disk that takes nothing for a while."""

    left = 0

    def save(self, note):
        if self.left > 0:
            self.left -= 1
            raise OSError(28, "No space left on device")
        super().save(note)


class Unreadable(IsolationFiles):
    def models(self):
        raise OSError(5, "Input/output error")


def test_notes_that_cannot_be_read_are_told_and_keep_nothing_from_being_isolated(world, caplog):
    async def life():
        async with world.controlling(files=Unreadable(world.place.isolated, world.place.run), halt_wait=0) as control:
            await control.isolate("chat", "cut", entry())
            assert world.files.note("chat").how == "cut"
            assert "Input/output error" in caplog.text

    lives(life())


def test_a_disk_that_refuses_delays_and_a_kill_between_shut_and_note_is_made_up_for(world):
    async def life():
        files = Refusing(world.place.isolated, world.place.run)
        files.left = 1
        async with world.parenting():
            pid = world.first = world.pid
            async with world.controlling(files=files) as control:
                await control.isolate("chat", "freeze", entry())
                assert world.files.note("chat") is None
                await control.settled("chat")
                assert world.files.note("chat").steps == STEPS
                assert state(pid) == "T"
        opened = entry(8, state="open")
        async with world.controlling(trail=[entry(), opened]) as control, world.parenting():
            await control.settled("chat")  # opened, and killed before anybody was told
            assert world.files.models() == []
            assert world.pid not in {None, pid}

    lives(life())


def test_a_server_that_hangs_keeps_nobody_waiting(tmp_path):
    world = World(tmp_path, server="hangs")

    async def life():
        async with world.parenting(), world.controlling() as control:
            world.first = world.pid
            examiner = control._examiner
            await examiner.revoke("chat")
            details = await asyncio.wait_for(examiner.alive("chat"), 10)
            assert {page["not_seen"] for page in details["server"].values()} == {"timeout"}
            assert details["process"]["pid"] == world.pid

    try:
        lives(life())
    finally:
        world.kill_rest()


def test_without_the_parent_the_record_says_so_and_a_parent_that_comes_does_it(world):
    async def life():
        async with world.controlling(halt_wait=0.2) as control:
            await control.isolate("chat", "freeze", entry())
            await control.settled("chat")
            ((facts, _),) = world.records()
            assert facts["process"] == "unconfirmed"
            async with world.parenting():
                assert world.processes == {}
                await until(lambda: world.files.halted("chat") is not None)
                assert world.files.halted("chat").did == "gone"

    lives(life())


def test_a_note_that_cannot_be_read_starts_nothing_and_ends_nothing(world):
    async def life():
        async with world.parenting(), world.controlling() as control:
            pid = world.first = world.pid
            (world.place.isolated / "chat.json").write_text("{")
            await until(lambda: any("cannot be read" in line for line in world.said))
            assert world.parent.holds("chat")
            assert state(pid) in "SR"
            await control.isolate("chat", "freeze", entry())  # isolating it again mends the note
            await control.settled("chat")
            assert state(pid) == "T"

    lives(life())


def test_of_an_instance_that_is_not_ours_what_can_be_known_is_recorded(world):
    async def life():
        async with world.controlling() as control:
            await control.isolate("outside", "freeze", entry(model="outside"))
            await control.settled("outside")
            assert world.files.note("outside").steps == STEPS
            assert (world.folder / "outside.key").exists()  # it is the shop's file
            await control.release("outside")
            await control.settled("outside")
            assert world.files.models() == []
        (first, body), (second, _) = world.records()
        assert (first["key"], first["process"]) == ("at_provider", "not_ours")
        assert "weights_sha256" not in first
        assert body["server"]["models"] == {"not_seen": "refused"}
        assert body["weights"] == {"not_seen": "not_ours"}
        assert second["key"] == "at_provider"

    lives(life())


def test_the_record_compares_with_the_baseline_and_names_recent_exchanges(world):
    async def life():
        journal = open_journal(
            places(world.place, "w0"), region="eu", slot="w0", epochs=world.epochs, clock_ns=time.time_ns
        )
        now = time.time_ns()
        hour = 3600 * 1_000_000_000
        for number, (model, at) in enumerate([("chat", now), ("other", now), ("chat", now - 2 * hour), ("chat", now)]):
            facts = {"model": model, "shop": "s", "surface": "t"}
            await journal.append(Record(kind="intent", exchange=f"x{number}", at=at, facts=facts))
        await journal.aclose()
        items = {"weights.file": "another", "description.models": ""}
        BaselineFile(world.place.baselines, world.box).take({"chat": Baseline(1, items)})
        async with world.parenting(), world.controlling() as control:
            world.first = world.pid
            await control.isolate("chat", "stop", entry())
            await control.settled("chat")
        ((facts, body),) = world.records()
        assert facts["baseline"] == "drift"
        assert body["baseline"]["changed"] == ["weights.file"]
        assert facts["exchanges"] == 2
        assert sorted(body["exchanges"]["ids"]) == ["x0", "x3"]
        assert body["exchanges"]["whole"] is False  # there is no index yet

    lives(life())
    found = recent_exchanges(world.place, None, "none", since=0, until=int(time.time()) + 5)
    assert found["ids"] == []


def test_a_worker_follows_keys_that_are_replaced_or_taken_away(world):
    sent = []

    async def answer(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        sent.append(next(line.split()[-1] for line in head.decode().splitlines() if line.startswith("Authorization")))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    async def life():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        outside = Model(region="eu", engine="openai", name="big", url=url, api_key_file="outside.key")
        client = ModelClient()
        models = {}
        for name, model in {"outside": outside, "chat": MODELS["chat"]}.items():
            where = (world.place, name, model, world.folder)
            models[name] = LateModel(
                lambda where=where: HttpModelServer(*model_address(*where), client=client),
                lambda where=where: address_mark(*where),
            )

        async def ask(name):
            await (await models[name].call("/models", b"", timeout=5)).aclose()

        key = world.place.model_key("chat")
        world.place.model_url("chat").write_text(url)
        key.write_text("one")
        for name in models:
            await ask(name)
        (world.folder / "outside.key").write_text("sk-replaced\n")
        key.unlink()
        await ask("outside")
        with pytest.raises(ModelFailed):
            await ask("chat")
        key.write_text("two")
        await ask("chat")
        assert sent == ["sk-old", "one", "sk-replaced", "two"]
        await client.aclose()
        server.close()

    lives(life())


def test_what_is_said_of_an_isolated_instance_without_a_key(world):
    world.place.model_url("chat").write_text("http://127.0.0.1:9/v1")
    with pytest.raises(SetupError, match="never started"):
        model_address(world.place, "chat", MODELS["chat"], world.folder)
    world.files.save(isolated("chat", "cut", entry(), own=True))
    with pytest.raises(SetupError, match="is isolated"):
        model_address(world.place, "chat", MODELS["chat"], world.folder)


def row(pid, parent, group=0, session=0, at="S"):
    return procs.Proc(pid, at, parent, group, session, 1)


def test_a_family_is_descendants_group_and_session_and_never_us():
    table = [
        row(10, 1, 10, 10), row(11, 10, 10, 10), row(12, 11, 12, 12), row(13, 1, 10, 7), row(14, 1, 14, 10),
        row(15, 10, 10, 10, "Z"), row(20, 1, 20, 20), row(21, 20, 20, 20), row(os.getpid(), 10, 10, 10), row(1, 0, 10, 10),
    ]  # fmt: skip
    assert procs.family(10, table) == {10, 11, 12, 13, 14}
    assert procs.family(99, table) == frozenset()


def test_notes_are_read_back_and_halted_is_about_one_isolation(world):
    note = isolated("chat", "freeze", entry(), own=True)
    world.files.save(note)
    assert world.files.note("chat") == note
    assert world.files.models() == ["chat"]
    halted = Halted(version=5, how="freeze", did="frozen", pid=1)
    world.files.tell("chat", halted)
    assert world.files.halted("chat").about(note)
    assert not halted.about(isolated("chat", "stop", entry(), own=True))
    assert not halted.about(isolated("chat", "freeze", entry(6), own=True))
    world.files.remove("chat")
    world.files.remove("chat")
    world.files.forget("chat")
    assert world.files.note("chat") is None
    assert world.files.halted("chat") is None
