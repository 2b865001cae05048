"""Witnesses that are down, slow, lying, forgetful or killed: each has a result, none is believed, none signs a fork."""

from __future__ import annotations

import asyncio
import errno
import shutil
from pathlib import Path

import pytest

from firedoor.bus.witness import Cosigned, Failed, Forked, RolledBack, WitnessClient, WitnessLimits
from firedoor.core.crossing import AddCheckpoint, Conflict, Cosignatures, encode
from firedoor.core.evidence.checkpoint import signature
from firedoor.core.evidence.note import Note, parse_note
from firedoor.core.evidence.policy import satisfied, write
from firedoor.errors import EvidenceDamaged, SetupError
from firedoor.ports.logs import Refusal

from ..core.logs import NOW, MemoryLog, witness_keys  # noqa: TID252  # tests are no installed package
from ..rooms.witnesses import KEYS, SIGNERS, again, process, raw_server, says, served, submit, witness  # noqa: TID252

LOG = MemoryLog()
FORK = MemoryLog(fork_at=3)
HOUR = 3600


def request(log: MemoryLog, old: int, size: int) -> AddCheckpoint:
    proof = log.proof(old, size) if old < size else ()
    return AddCheckpoint(old, proof, log.checkpoint(size), log.signatures(size))


def answer(*signatures) -> bytes:
    return encode(Cosignatures(signatures))


def by(signers, size=5, log=LOG, now=NOW):
    return [signature(log.checkpoint(size), signer, now) for signer in signers]


# Down and slow


def test_a_witness_that_is_down() -> None:
    async def run() -> None:
        async with raw_server(says(200)) as address:
            pass
        assert await submit(address, LOG, 5) == Failed("refused")

    asyncio.run(run())


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab"])
def test_a_witness_that_hangs(first) -> None:
    async def run() -> None:
        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(first)
            await reader.read()

        async with raw_server(hang) as address:
            assert await submit(address, LOG, 5, limits=WitnessLimits(seconds=0.2)) == Failed("timeout")

    asyncio.run(run())


def test_a_witness_that_drips_does_not_hold_us_longer_than_its_time() -> None:
    async def run() -> None:
        async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"1\r\nx\r\n")
                await writer.drain()
                await asyncio.sleep(0.02)

        async with raw_server(drip) as address:
            assert await submit(address, LOG, 5, limits=WitnessLimits(seconds=0.2)) == Failed("timeout")

    asyncio.run(run())


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab"])
def test_a_witness_that_dies(first) -> None:
    async def run() -> None:
        async def die(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(first)
            await writer.drain()

        async with raw_server(die) as address:
            assert await submit(address, LOG, 5) == Failed("died")

    asyncio.run(run())


# Lying

STRANGER = witness_keys("witness.stranger.example/x")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (answer(*by(SIGNERS, size=6)), "bad_signature"),
        (answer(*by(SIGNERS, log=MemoryLog("other.example/log"))), "bad_signature"),
        (answer(*by(SIGNERS, log=MemoryLog(fork_at=3))), "bad_signature"),
        (answer(*by(STRANGER)), "incomplete"),
        (answer(*by(SIGNERS[:1])), "incomplete"),
        (answer(*by(SIGNERS[1:]), *by(STRANGER[:1])), "incomplete"),
        (answer(*by(SIGNERS, now=NOW + HOUR)), "bad_time"),
        (answer(*by(SIGNERS, now=NOW - HOUR)), "bad_time"),
        (answer(*by(SIGNERS[:1]), *by(SIGNERS[1:], now=0)), "bad_time"),
        (answer(*by(SIGNERS[:1]), *by(SIGNERS[1:], now=NOW - HOUR)), "bad_time"),
    ],
)
def test_a_lie_is_not_believed(body, reason) -> None:
    async def run() -> None:
        async with raw_server(says(200, body)) as address:
            assert await submit(address, LOG, 5) == Failed(reason)

    asyncio.run(run())


def test_every_bit_of_a_cosignature_counts() -> None:
    good = by(SIGNERS)

    async def run() -> None:
        for number, line in enumerate(good):
            for place in range(0, len(line.payload), 97):
                flipped = bytearray(line.payload)
                flipped[place] ^= 1
                lines = list(good)
                lines[number] = type(line)(line.name, line.id, bytes(flipped))
                async with raw_server(says(200, answer(*lines))) as address:
                    assert await submit(address, LOG, 5) == Failed("bad_signature"), (number, place)

    asyncio.run(run())


def test_strangers_beside_the_witness_are_left_out() -> None:
    async def run() -> None:
        async with raw_server(says(200, answer(*by(STRANGER), *by(SIGNERS)))) as address:
            result = await submit(address, LOG, 5)
            assert isinstance(result, Cosigned)
            assert len(result.signatures) == 2
            assert {s.name for s in result.signatures} == {KEYS[0].name}

    asyncio.run(run())


def test_a_witness_that_forgot_is_noticed_once_and_then_taken_up_again(tmp_path: Path) -> None:
    async def run() -> None:
        (tmp_path / "before").mkdir()
        judge = witness(tmp_path / "before", LOG)
        assert isinstance(judge.add(request(LOG, 0, 4)), Cosignatures)
        shutil.copytree(tmp_path / "before", tmp_path / "restored")
        current = [judge]

        class Restored:
            def add(self, asked: AddCheckpoint) -> Cosignatures | Conflict | Refusal:
                return current[0].add(asked)

        async with served(Restored()) as address:
            client = WitnessClient(address, KEYS, clock=lambda: NOW)
            assert isinstance(await again(client, LOG, 9), Cosigned)
            current[0] = witness(tmp_path / "restored", LOG)
            assert await again(client, LOG, 12) == Failed("forgot")
            assert isinstance(await again(client, LOG, 12), Cosigned)
            await client.aclose()

    asyncio.run(run())


def test_an_invented_size_stops_us_or_ends(tmp_path: Path) -> None:
    """A witness that names sizes at random costs a few requests, not a loop."""
    asked = []

    async def run() -> None:
        async def invent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(1)
            await says(409, b"%d\n" % (len(asked)), "Content-Type: text/x.tlog.size")(_reader, writer)

        async with raw_server(invent) as address:
            assert await submit(address, LOG, 20) == Failed("busy")
        async with raw_server(says(409, b"21\n", "Content-Type: text/x.tlog.size")) as address:
            assert await submit(address, LOG, 20) == RolledBack(21)
        async with raw_server(says(409)) as address:
            assert await submit(address, LOG, 0) == Forked(0)

    asyncio.run(run())
    assert len(asked) == 3


# Clocks


@pytest.mark.parametrize("off", [HOUR, -HOUR])
def test_a_witness_whose_clock_is_an_hour_off_is_not_counted(tmp_path: Path, off: int) -> None:
    async def run() -> None:
        async with served(witness(tmp_path, LOG, clock=lambda: NOW + off)) as address:
            assert await submit(address, LOG, 5) == Failed("bad_time")
            assert isinstance(await submit(address, LOG, 5, clock=lambda: NOW + off), Cosigned)

    asyncio.run(run())


def test_a_witness_set_back_an_hour_waits_until_its_time_has_come(tmp_path: Path) -> None:
    now = [NOW + HOUR]

    async def run() -> None:
        async with served(witness(tmp_path, LOG, clock=lambda: now[0])) as address:
            assert isinstance(await submit(address, LOG, 5, clock=lambda: now[0]), Cosigned)
            now[0] = NOW
            assert await submit(address, LOG, 6) == Failed("status_503")
            now[0] = NOW + HOUR + 1
            assert isinstance(await submit(address, LOG, 6, clock=lambda: now[0]), Cosigned)

    asyncio.run(run())


# The witness's disk


def damaged(path: Path, how: str) -> None:
    data = path.read_bytes()
    match how:
        case "gone":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "bit":
            place = data.index(b"\nlog ") + 8
            path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        case "size":
            path.write_bytes(data.replace(b" 9 ", b" 3 "))
        case "more":
            path.write_bytes(data + b"log x 1 y\n")
        case "line twice":
            line = next(one for one in data.split(b"\n") if one.startswith(b"log "))
            path.write_bytes(data.replace(line, line + b"\n" + line))
        case "huge":
            path.write_bytes(data + b"x" * 2_000_000)


HOWS = ["gone", "empty", "cut", "bit", "size", "more", "line twice", "huge"]


@pytest.mark.parametrize("how", HOWS)
def test_with_a_damaged_file_nothing_is_signed_and_nothing_begins_anew(tmp_path: Path, how: str) -> None:
    judge = witness(tmp_path, LOG)
    assert isinstance(judge.add(request(LOG, 0, 9)), Cosignatures)
    path = tmp_path / "cosigned"
    good = path.read_bytes()
    damaged(path, how)
    for asked in (request(LOG, 9, 12), request(LOG, 0, 12), request(FORK, 0, 12)):
        assert judge.add(asked) == Refusal.STATE_UNUSABLE
    with pytest.raises(SetupError) as raised:
        from firedoor.store.witness import Witness

        Witness(path, SIGNERS, {LOG.origin: LOG.keys}.get, lambda: NOW)
    assert "retire this witness" in str(raised.value)
    path.write_bytes(good)
    assert isinstance(judge.add(request(LOG, 9, 12)), Cosignatures)


def test_an_old_copy_of_the_file_put_back_while_it_runs_is_refused(tmp_path: Path) -> None:
    judge = witness(tmp_path, LOG)
    judge.add(request(LOG, 0, 5))
    old = (tmp_path / "cosigned").read_bytes()
    judge.add(request(LOG, 5, 9))
    (tmp_path / "cosigned").write_bytes(old)
    assert judge.add(request(FORK, 5, 9)) == Refusal.STATE_UNUSABLE
    assert judge.add(request(LOG, 5, 9)) == Refusal.STATE_UNUSABLE


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("call", ["os.write", "os.fsync"])
def test_no_signature_leaves_that_is_not_on_the_disk(tmp_path: Path, monkeypatch, error: int, call: str) -> None:
    judge = witness(tmp_path, LOG)
    assert isinstance(judge.add(request(LOG, 0, 5)), Cosignatures)
    before = (tmp_path / "cosigned").read_bytes()

    def fail(*_arguments):
        raise OSError(error, "the disk says no")

    with monkeypatch.context() as patch:
        patch.setattr(call, fail)
        assert judge.add(request(LOG, 5, 9)) == Refusal.STATE_UNUSABLE
    assert (tmp_path / "cosigned").read_bytes() == before
    assert isinstance(judge.add(request(LOG, 5, 9)), Cosignatures)


def test_the_file_is_synced_before_the_signature_is_made(tmp_path: Path, monkeypatch) -> None:
    import os

    from firedoor.store import witness as store

    done: list[str] = []
    fsync, sign = os.fsync, store.signature
    judge = witness(tmp_path, LOG)
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append("sync"), fsync(fd))[1])
    monkeypatch.setattr(store, "signature", lambda *a: (done.append("sign"), sign(*a))[1])
    judge.add(request(LOG, 0, 5))
    assert done == ["sync", "sync", "sign", "sign"], "the file, its folder, then both keys"


def test_killed_between_the_write_and_the_answer_it_has_signed_nothing_else(tmp_path: Path) -> None:
    """The log asks again and gets its cosignature; a fork of the same size does not."""
    import time

    async def run() -> None:
        with process(tmp_path, LOG, die_after_write=True) as address:
            assert await submit(address, LOG, 5, clock=time.time) == Failed("died")
        with process(tmp_path, LOG) as address:
            assert await submit(address, FORK, 5, clock=time.time) == Forked(5)
            assert await submit(address, FORK, 9, clock=time.time) == Forked(5)
            assert await submit(address, LOG, 4, clock=time.time) == RolledBack(5)
            assert isinstance(await submit(address, LOG, 5, clock=time.time), Cosigned)
            assert isinstance(await submit(address, LOG, 9, clock=time.time), Cosigned)

    asyncio.run(run())


# An insider


def test_two_forks_shown_to_two_witnesses_never_both_have_a_quorum(tmp_path: Path) -> None:
    """Each witness alone sees one history. With a majority as quorum only one of them can get it."""
    signers = {name: witness_keys(f"witness.nordlicht.example/{name}") for name in ("eu", "us", "ch")}
    keys = {name: tuple(s.vkey for s in both) for name, both in signers.items()}
    policy = write(LOG.keys, keys, 2)

    async def run() -> dict[MemoryLog, Note]:
        notes = {log: parse_note(log.note(9)) for log in (LOG, FORK)}
        for name, first in (("eu", LOG), ("us", FORK), ("ch", LOG)):
            folder = tmp_path / name
            folder.mkdir()
            async with served(witness(folder, LOG, signers=signers[name])) as address:
                for log in (first, FORK if first is LOG else LOG):
                    result = await submit(address, log, 9, keys=keys[name])
                    assert isinstance(result, Cosigned if log is first else Forked)
                    if isinstance(result, Cosigned):
                        notes[log] = Note(notes[log].text, notes[log].signatures + result.signatures)
        return notes

    notes = asyncio.run(run())
    assert len(satisfied(notes[LOG], policy, LOG.keys[0])) == 2
    with pytest.raises(EvidenceDamaged, match="1 of 3"):
        satisfied(notes[FORK], policy, LOG.keys[0])
    stolen = notes[LOG].signatures[2:]
    with pytest.raises(EvidenceDamaged):
        satisfied(Note(notes[FORK].text, notes[FORK].signatures + stolen), policy, LOG.keys[0])
