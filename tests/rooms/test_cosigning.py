"""Cosigning with witnesses that are slow, lying or late, and with a log that cannot go on."""

import asyncio
import contextlib

import pytest

from firedoor.app import cosigning
from firedoor.app.cosigning import Cosigning
from firedoor.core.evidence.checkpoint import sign
from firedoor.core.evidence.note import Note, parse_note, vkeys
from firedoor.core.evidence.policy import satisfied, write
from firedoor.errors import EvidenceDamaged, LogRefused
from firedoor.store.witness import Witness, create_witness

from ..core.logs import MemoryLog, witness_keys  # noqa: TID252  # tests are no installed package
from .agents import until
from .witnesses import raw_server, says, served

LOG = MemoryLog()


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(cosigning, "RETRY", 0.1)
    monkeypatch.setattr(cosigning, "MEET", 0.1)


class Kept:
    """What a keeper is given."""

    def __init__(self):
        self.notes, self.halts, self.error = [], [], None

    async def cosigned(self, note, *, enough):
        parse_note(note)
        if self.error is not None:
            raise self.error
        self.notes.append((parse_note(note), enough))
        return True

    async def halt(self, why):
        self.halts.append(why)

    def enough(self):
        """Sizes of the checkpoints that had enough cosignatures."""
        return [int(note.text.split("\n")[1]) for note, enough in self.notes if enough]


class Slow:
    """A witness that takes its time."""

    def __init__(self, witness):
        self.witness, self.go = witness, asyncio.Event()
        self.loop = asyncio.get_running_loop()

    def add(self, request):
        asyncio.run_coroutine_threadsafe(self.go.wait(), self.loop).result()
        return self.witness.add(request)


def witness_of(folder, name):
    """A witness, and its keys."""
    signers = witness_keys(f"witness.nordlicht.example/{name}")
    create_witness(folder / name, signers)
    return Witness(folder / name, signers, {LOG.origin: LOG.keys}.get), vkeys(signers)


def offer(running, size):
    running.offer(
        Note(LOG.checkpoint(size).encode(), LOG.signatures(size)).encode(), 0, lambda old: LOG.proof(old, size)
    )


@contextlib.asynccontextmanager
async def asking(found, kept, quorum=1):
    made = Cosigning(lambda: found, quorum, kept)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await made.aclose()


def test_a_slow_witness_holds_no_other_back_and_what_it_signs_late_counts(tmp_path):
    async def go():
        fast, fast_keys = witness_of(tmp_path, "fast")
        slow, slow_keys = witness_of(tmp_path, "slow")
        waits, kept = Slow(slow), Kept()
        async with served(fast) as one, served(waits) as two:
            found = {"fast": (one, fast_keys), "slow": (two, slow_keys)}
            async with asking(found, kept, quorum=2) as running:
                for size in (5, 6, 7):
                    offer(running, size)
                    await until(lambda size=size: running.states.get("fast") and running.states["fast"].size == size)
                assert kept.enough() == []
                waits.go.set()
                await until(lambda: kept.enough()[:1] == [5])
                await until(lambda: 7 in kept.enough())
        policy = write(LOG.keys, {"fast": fast_keys, "slow": slow_keys}, 2)
        for note, enough in kept.notes:
            if enough:
                assert satisfied(note, policy, LOG.keys[0])
        return kept

    kept = asyncio.run(go())
    assert kept.halts == []


def test_one_of_a_quorum_of_one_is_enough(tmp_path):
    async def go():
        fast, keys = witness_of(tmp_path, "fast")
        kept = Kept()
        async with (
            served(fast) as one,
            raw_server(says(500)) as two,
            asking({"fast": (one, keys), "other": (two, keys)}, kept) as running,
        ):
            offer(running, 5)
            await until(kept.enough)
            await until(lambda: running.states["other"].reason == "status_500")
        return kept.enough()

    assert asyncio.run(go()) == [5]


@pytest.mark.parametrize(
    ("handler", "why"),
    [
        (says(409, b"9\n", "Content-Type: text/x.tlog.size"), "rolled_back: witness us knows 9, here are 5"),
        (says(422), "forked: witness us knows 0, here are 5"),
    ],
)
def test_a_witness_that_knows_another_history_halts_and_is_said_once(tmp_path, caplog, handler, why):
    async def go():
        _, keys = witness_of(tmp_path, "us")
        kept = Kept()
        async with raw_server(handler) as address, asking({"us": (address, keys)}, kept) as running:
            offer(running, 5)
            await until(lambda: len(kept.halts) > 2)
        return kept

    assert set(asyncio.run(go()).halts) == {why}
    assert caplog.text.count("all signing stops") == 1


@pytest.mark.parametrize("first", [True, False])
def test_a_restored_log_is_noticed_before_it_signs(tmp_path, first):
    async def go():
        us, keys = witness_of(tmp_path, "us")
        kept = Kept()
        async with served(us) as address, asking({"us": (address, keys)}, kept) as running:
            offer(running, 9)
            await until(kept.enough)
        async with served(us) as address:
            made = Cosigning(lambda: {"us": (address, keys), "mars": None}, 1, kept)
            size = 5 if first else 9
            note = LOG.note(size, *witness_keys("witness.nordlicht.example/us"))  # cosigned before the restart
            await made.ask_first(note, lambda old: LOG.proof(old, size))
            await made.aclose()
        return kept.halts, made.states

    halts, states = asyncio.run(go())
    assert len(halts) == int(first)
    assert states["us"].reason == ("rolled_back" if first else None)
    assert states["mars"].reason == "no_keys"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (EvidenceDamaged("a tile is gone"), "log_damaged"),
        (LogRefused("checkpoint_changed", "somebody changed it"), "checkpoint_changed"),
        (OSError(5, "Input/output error"), "disk"),
        (RuntimeError("secret text"), "RuntimeError"),
    ],
)
@pytest.mark.parametrize("where", ["proof", "keep"])
def test_whatever_goes_wrong_is_said_and_tried_again(tmp_path, error, reason, where, caplog):
    async def go():
        us, keys = witness_of(tmp_path, "us")
        kept = Kept()

        def broken(old):
            raise error

        async with served(us) as address, asking({"us": (address, keys)}, kept) as running:
            offer(running, 5)
            await until(kept.enough)
            if where == "proof":
                running.offer(sign(LOG.checkpoint(6), LOG.signers, 0), 0, broken)
            else:
                kept.error = error
                offer(running, 6)
            await until(lambda: running.states["us"].reason == reason)
            kept.error = None
            offer(running, 7)
            await until(lambda: running.states["us"].size == 7)
            assert running.states["us"].reason is None

    asyncio.run(go())
    assert "secret" not in caplog.text


def test_a_witness_that_gets_other_keys_or_goes_is_followed(tmp_path):
    async def go():
        us, keys = witness_of(tmp_path, "us")
        _, wrong = witness_of(tmp_path, "old")
        kept, found = Kept(), {}
        async with served(us) as address, asking(found, kept) as running:
            offer(running, 5)
            found["us"] = address, wrong
            await until(lambda: running.states.get("us") and running.states["us"].reason == "incomplete")
            found["us"] = address, keys
            await until(lambda: kept.enough() == [5])
            del found["us"]
            await until(lambda: running.states == {})

    asyncio.run(go())
