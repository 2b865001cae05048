"""The ring: one file per region, every key wrapped, nothing that somebody without the root can put in."""

import base64
import json
import os
import stat

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from firedoor.core.evidence.subjects import RANDOM_BYTES, mint
from firedoor.errors import KeyUnusable, SetupError
from firedoor.keys.derive import SealingBox, WorkerBundle, WorkerKeys
from firedoor.keys.epochs import new_epoch
from firedoor.keys.ring import create_ring, open_ring
from firedoor.keys.ringfile import RingFile
from firedoor.keys.roots.file import FileRoot

from .rings import Recorded, make_ring, write_cells


@pytest.fixture
def keys(tmp_path):
    return tmp_path / "keys"


def reopen(keys, region="eu"):
    return open_ring(keys, region, FileRoot(keys / "root.json", region))


def test_a_ring_is_made_once_and_gives_the_same_keys_again(keys):
    made = make_ring(keys)
    again = reopen(keys)
    assert again.worker_bundle() == made.worker_bundle()
    assert (again.log_seeds(), again.witness_seeds()) == (made.log_seeds(), made.witness_seeds())
    assert again.epoch_private(1).public == made.worker().epoch
    assert stat.S_IMODE((keys / "ring.json").stat().st_mode) == 0o600
    before = (keys / "ring.json").read_bytes()
    with pytest.raises(KeyUnusable, match="already"):
        make_ring(keys)
    assert (keys / "ring.json").read_bytes() == before


def test_every_secret_is_another_one_and_none_lies_in_the_file(keys):
    ring = make_ring(keys)
    secrets = [
        *vars_of(ring.log_seeds()), *vars_of(ring.witness_seeds()), ring.epoch_secret(1),
        ring.file_key("model", "chat"), ring.file_key("model", "other"), ring.file_key("dataset", "chat"),
        *ring._secrets.values(),
    ]  # fmt: skip
    assert len({secret[:32] for secret in secrets}) == len(secrets) - 2  # the two signers are there twice
    stored = (keys / "ring.json").read_text()
    assert not [one for one in secrets if one.hex() in stored]
    for holder in (ring, ring.worker(), ring.worker().protect, ring.epoch_private(1)):
        public = [name for name in dir(holder) if not name.startswith("_")]
        assert not [name for name in public if isinstance(getattr(holder, name), bytes)]
    assert str(ring.log_seeds().ed25519) not in repr(ring.log_seeds())


def vars_of(seeds):
    return (seeds.ed25519, seeds.mldsa44)


def test_a_ring_of_another_region_is_refused(keys, tmp_path):
    make_ring(keys)
    (tmp_path / "us").mkdir()
    us_root = FileRoot(tmp_path / "us" / "root.json", "us")
    us_root.create("base")
    with pytest.raises(KeyUnusable, match="belongs to region eu, not us"):
        open_ring(keys, "us", us_root)
    with pytest.raises(KeyUnusable, match="belongs to region us, not eu"):
        open_ring(keys, "eu", us_root)
    with pytest.raises(KeyUnusable, match="belongs to region us, not eu"):
        create_ring(tmp_path / "new", "eu", us_root)


def test_no_second_ring_is_made_over_the_keys_of_a_lost_one(keys):
    ring = make_ring(keys)
    write_cells(ring, "w0", 1)
    (keys / "ring.json").unlink()
    with pytest.raises(SetupError, match="subjects' keys but no ring"):
        create_ring(keys, "eu", FileRoot(keys / "root.json", "eu"))
    with pytest.raises(KeyUnusable, match="no ring"):
        reopen(keys)


def test_a_ring_that_cannot_be_made_leaves_no_key_in_the_root(keys):
    class Refusing(FileRoot):
        def wrap(self, handle, data, context):
            raise KeyUnusable("refused")

    with pytest.raises(KeyUnusable, match="refused"):
        create_ring(keys, "eu", Refusing(keys / "root.json", "eu"))
    assert json.loads((keys / "root.json").read_text())["secrets"] == {}
    make_ring(keys)


def test_a_worker_gets_its_share_over_a_pipe(keys):
    ring = make_ring(keys)
    worker, handed = ring.worker(), WorkerKeys.from_bundle(ring.worker_bundle())
    assert handed.epoch == worker.epoch == ring.epoch_private(1).public
    assert handed.pseudonym("subject", "shopper-1") == worker.pseudonym("subject", "shopper-1")
    assert handed.protect.open(worker.protect.seal(b"values", "protected"), "protected") == b"values"
    bundle = ring.worker_bundle()
    secrets = (ring.epoch_secret(1), *vars_of(ring.log_seeds()), *vars_of(ring.witness_seeds()), ring._secrets["ring"])
    assert not [secret for secret in secrets if secret in bundle]
    share = WorkerBundle("eu", b"p" * 32, b"q" * 32, b"r" * 32, 1, b"s" * 32)
    assert "ppp" not in repr(share)
    for damaged in (b"", bundle[:-1], bundle + b"x", b"\xc1", bundle + bytes(5000)):
        with pytest.raises(KeyUnusable, match="not whole"):
            WorkerKeys.from_bundle(damaged)
    with pytest.raises(KeyUnusable, match="32 bytes"):
        WorkerKeys.from_bundle(WorkerBundle("eu", b"p" * 31, b"q" * 32, b"r" * 32, 1, b"s" * 32).encode())


def test_pseudonyms_are_keyed_by_region_and_kind():
    def keys(region, key=bytes(32)):
        return WorkerKeys(WorkerBundle(region, key, bytes(32), bytes(32), 1, bytes(32)))

    eu, us = keys("eu"), keys("us", bytes(31) + b"1")
    same = eu.pseudonym("subject", "shopper-1")
    assert len(same) == 32
    assert same == keys("eu").pseudonym("subject", "shopper-1")
    others = {
        us.pseudonym("subject", "shopper-1"), eu.pseudonym("session", "shopper-1"), eu.pseudonym("subject", "shopper-2"),
        eu.pseudonym("subject", ""), eu.pseudonym("subject", "\ud800"),
    }  # fmt: skip
    assert same not in others
    assert len(others) == 5


def test_a_box_opens_only_what_was_sealed_for_its_region_and_purpose():
    eu, us = SealingBox("eu", bytes(32)), SealingBox("us", bytes(32))
    sealed = eu.seal(b"values", "protected")
    assert eu.open(sealed, "protected") == b"values"
    assert eu.seal(b"values", "protected") != sealed
    for box, data, purpose in [
        (us, sealed, "protected"),
        (eu, sealed, "other"),
        (eu, sealed[:-1], "protected"),
        (eu, b"", "protected"),
        (eu, bytes([sealed[0] ^ 1]) + sealed[1:], "protected"),
    ]:
        with pytest.raises(KeyUnusable):
            box.open(data, purpose)


def test_file_keys_are_made_once_and_kept(keys):
    ring, other = make_ring(keys), reopen(keys)
    key = ring.file_key("model", "chat")
    assert other.file_key("model", "chat") == key  # made by another process meanwhile
    assert reopen(keys).file_key("model", "chat") == key
    assert [entry.id for entry in ring.state.entries if entry.purpose == "model"] == ["model/chat"]
    for purpose, name in [("log", ""), ("epoch", "1"), ("model", ""), ("model", "a|b"), ("model", "A")]:
        with pytest.raises(ValueError):
            ring.file_key(purpose, name)


def test_a_worker_follows_epochs_and_erasures_without_the_root(keys):
    ring = make_ring(keys)
    file = RingFile(keys, ring.worker())
    (keys / "root.json").rename(keys / "away.json")
    first = file.current()
    assert first == (ring.worker().epoch, 0)
    (keys / "away.json").rename(keys / "root.json")
    assert reopen(keys).note_erasure() == 1
    assert file.current() == (first[0], 1)
    new_epoch(ring, Recorded())
    assert ring.note_erasure() == 2  # also after another process changed the ring
    epoch, erasures = file.current()
    assert (epoch.epoch, erasures) == (2, 2)
    assert epoch == ring.epoch_private(2).public
    assert epoch.public != first[0].public


def test_looking_costs_nothing_while_nothing_changes(keys, monkeypatch):
    file = RingFile(keys, make_ring(keys).worker())
    first = file.current()
    monkeypatch.setattr("firedoor.keys.ringfile.need_ring", lambda *_: pytest.fail("the file was read again"))
    assert file.current() is first


def test_an_older_ring_is_refused_while_somebody_knows_better(keys):
    ring = make_ring(keys)
    file, older = RingFile(keys, ring.worker()), (keys / "ring.json").read_bytes()
    ring.note_erasure()
    file.current()
    (keys / "ring.json").write_bytes(older)
    for look in (file.current, lambda: ring.state):
        with pytest.raises(KeyUnusable, match="older one"):
            look()
    with pytest.raises(KeyUnusable, match="older one"):
        ring.note_erasure()


def test_a_missing_or_readable_ring_is_refused(keys):
    ring = make_ring(keys)
    file = RingFile(keys, ring.worker())
    (keys / "ring.json").chmod(0o640)
    with pytest.raises(KeyUnusable, match="chmod 600"):
        reopen(keys)
    (keys / "ring.json").unlink()
    for look in (file.current, lambda: ring.state, lambda: reopen(keys)):
        with pytest.raises(KeyUnusable, match="no ring"):
            look()


def test_a_ring_is_changed_only_while_it_is_held(keys):
    ring = make_ring(keys)
    with pytest.raises(RuntimeError, match="held"):
        ring.write(ring.state)
    with ring.alone(), ring.alone():
        ring.write(ring.state)
    with pytest.raises(RuntimeError, match="held"):
        ring.write(ring.state)


def test_epochs_that_never_were_are_refused(keys):
    ring = make_ring(keys)
    for number in (0, 2, -1):
        with pytest.raises(KeyUnusable, match="never was"):
            ring.epoch_private(number)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ring") / "keys"
    ring = make_ring(folder)
    return folder, ring.worker(), (folder / "ring.json").read_bytes()


def said(document: bytes) -> object:
    """What a ring file says: the last letter of base64 has bits that say nothing."""

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {name: plain(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [plain(inner) for inner in value]
        return base64.b64decode(value) if isinstance(value, str) and value.endswith("=") else value

    return plain(json.loads(document))


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
@example(at=117, bit=3)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_anywhere_is_seen(written, at, bit):
    """Without the root by workers, except in white space and in spellings of the same JSON, which change nothing."""
    folder, worker, whole = written
    data = bytearray(whole)
    data[at % len(data)] ^= 1 << bit
    (folder / "ring.json").write_bytes(data)
    try:
        assert RingFile(folder, worker).current()[0] == worker.epoch
        assert said(bytes(data)) == said(whole)
    except KeyUnusable:
        pass
    finally:
        (folder / "ring.json").write_bytes(whole)


@given(length=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_ring_cut_short_is_seen(written, length):
    folder, worker, whole = written
    (folder / "ring.json").write_bytes(whole[: length % (len(whole) - 1)])
    try:
        with pytest.raises(KeyUnusable, match="damaged"):
            RingFile(folder, worker).current()
    finally:
        (folder / "ring.json").write_bytes(whole)


def test_what_a_worker_mints_only_the_epochs_private_half_opens(keys):
    ring = make_ring(keys)
    cell, key = mint(ring.worker().epoch, "a" * 32, 1, random := os.urandom(RANDOM_BYTES))
    assert ring.epoch_private(1).unwrap(cell) == random[16:48]
    assert key.id == cell.key
