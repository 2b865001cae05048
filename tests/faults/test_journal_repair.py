"""A slot's journal and its published log hold the same leaves: each mends the other, and neither lies."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firedoor.agent.logsigner import LogSigner
from firedoor.core.evidence.leaf import BEGIN, carried_after, decode
from firedoor.core.evidence.note import NoteSeeds, log_signers
from firedoor.core.evidence.record import Record
from firedoor.core.evidence.subjects import EpochPrivate
from firedoor.errors import EvidenceDamaged
from firedoor.store import tilelog
from firedoor.store.journal import Places, open_journal
from firedoor.store.journal_read import read
from firedoor.store.journal_repair import repair_journal
from firedoor.store.journal_verify import verify
from firedoor.store.segments import first_seq, segments

SIGNER = LogSigner(
    log_signers("example.org/eu/host/worker-0", NoteSeeds(b"1" * 32, b"2" * 32)), lambda: 1_800_000_000_000_000_000
)


class Epochs:
    def __init__(self):
        self._epoch = EpochPrivate("eu", 1, b"7" * 32).public

    def current(self):
        return self._epoch, 0


def place(folder):
    for name in ("bodies", "subjects"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Places(folder / "journal" / "worker-0", folder / "bodies", folder / "subjects")


async def write(places, count, start=0):
    clock = iter(range(1_800_000_000_000_000_000, 2**62, 1000)).__next__
    journal = open_journal(places, region="eu", slot="worker-0", epochs=Epochs(), clock_ns=clock, segment_bytes=4096)
    for n in range(start, start + count):
        kind = "intent" if n % 2 == 0 else "outcome"
        await journal.append(
            Record(kind=kind, exchange=f"x{n // 2}", at=clock(), facts={"outcome": "answered", "n": n}, body=b"said")
        )
    await journal.aclose()


def published(folder, places, size=None):
    log = tilelog.open_log(folder / "log" / "worker-0", SIGNER)
    leaves = [stored.data for stored in read(places.slot)][:size]
    log.append(leaves)
    log.publish()
    log.close()
    return leaves


def whole_heads(leaves):
    """How many of the leaves a log may have that follows the journal: it never ends within a segment's head."""
    ends, missing = [], 0
    for number, leaf in enumerate(map(decode, leaves), 1):
        missing = carried_after(leaf) if leaf.kind == BEGIN else max(0, missing - 1)
        if not missing:
            ends.append(number)
    return ends


def mend(folder, places):
    log = tilelog.open_log(folder / "log" / "worker-0", SIGNER)
    try:
        size = log.checkpoint.size
        return repair_journal(places.slot, "eu", log.reader().entries(0, size), size, folder / "aside")
    finally:
        log.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_signed_record_comes_back_byte_for_byte(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("repair")
    places = place(folder)
    asyncio.run(write(places, 40))
    before = [stored.data for stored in read(places.slot)]
    signed = published(folder, places, data.draw(st.sampled_from(whole_heads(before)), label="signed"))
    paths = segments(places.slot)
    path = data.draw(st.sampled_from(paths), label="segment")
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1), label="byte")
    content[at] ^= data.draw(st.integers(1, 255), label="flip")
    path.write_bytes(content)
    done = mend(folder, places)
    after = [stored.data for stored in read(places.slot)]
    assert after[: len(signed)] == signed == before[: len(signed)]
    assert after == before[: len(after)]  # of the newer ones as many as could be read, none made up
    assert done.signed == len(signed)
    assert done.unsigned == len(after) - len(signed)
    assert done.lost or after == before
    assert verify(places.slot, places.bodies).ok
    assert sha256((done.aside / path.name).read_bytes()).digest() == sha256(bytes(content)).digest()
    asyncio.run(write(places, 4, start=40))  # the slot goes on
    assert verify(places.slot, places.bodies).ok


def test_a_journal_that_is_gone_comes_back(tmp_path):
    places = place(tmp_path)
    asyncio.run(write(places, 20))
    leaves = published(tmp_path, places)
    for path in segments(places.slot):
        path.unlink()
    assert mend(tmp_path, places).unsigned == 0
    assert [stored.data for stored in read(places.slot)] == leaves


def test_a_log_that_ends_within_a_head_is_mended_only_with_the_rest_of_it(tmp_path):
    places = place(tmp_path)
    asyncio.run(write(places, 40))
    before = [stored.data for stored in read(places.slot)]
    second = segments(places.slot)[1]
    begin = first_seq(second)
    assert carried_after(decode(before[begin - 1])) == 1
    published(tmp_path, places, begin)
    whole = second.read_bytes()
    second.write_bytes(whole[:40])
    with pytest.raises(EvidenceDamaged, match="within the head"):
        mend(tmp_path, places)
    assert second.read_bytes() == whole[:40]
    second.write_bytes(whole)
    assert not mend(tmp_path, places).lost
    assert [stored.data for stored in read(places.slot)] == before


def test_another_slots_log_is_refused_and_nothing_moves(tmp_path):
    places = place(tmp_path)
    asyncio.run(write(places, 6))
    leaves = published(tmp_path, places)
    other = places.slot.parent / "worker-1"
    places.slot.rename(other)
    before = {path.name: path.read_bytes() for path in segments(other)}
    with pytest.raises(EvidenceDamaged):
        repair_journal(other, "eu", iter(leaves), len(leaves), tmp_path / "aside")
    assert {path.name: path.read_bytes() for path in segments(other)} == before
    assert not (tmp_path / "aside").exists()
