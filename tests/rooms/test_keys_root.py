"""The development root: one file, one region, purposes that do not mix, nothing to take away."""

import base64
import json
import stat

import pytest

from firedoor.core.evidence.leaf import GENESIS, Leaf
from firedoor.core.evidence.seal import BodyKey
from firedoor.errors import EvidenceDamaged, KeyUnusable
from firedoor.keys.derive import RegionKeys, WorkerKeys
from firedoor.keys.root import create_root, load_root, status

ROOT = bytes(range(32))


@pytest.fixture(autouse=True)
def _no_passphrase(monkeypatch):
    monkeypatch.delenv("FIREDOOR_ROOT_PASSPHRASE", raising=False)


def test_a_root_is_made_once_and_gives_the_same_keys_again(tmp_path):
    path = tmp_path / "eu" / "root.json"
    made = create_root(path, "eu")
    loaded = load_root(path, "eu")
    assert loaded.seal == made.seal
    assert loaded.worker.pseudonym("subject", "shopper-1") == made.worker.pseudonym("subject", "shopper-1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["root.json"]
    before = path.read_bytes()
    with pytest.raises(KeyUnusable, match="already"):
        create_root(path, "eu")
    assert path.read_bytes() == before


def test_a_root_belongs_to_one_region(tmp_path):
    create_root(tmp_path / "root.json", "eu")
    with pytest.raises(KeyUnusable, match="belongs to region eu, not us"):
        load_root(tmp_path / "root.json", "us")
    document = json.loads((tmp_path / "root.json").read_text())
    (tmp_path / "root.json").write_text(json.dumps({**document, "region": "us"}))
    stolen, own = load_root(tmp_path / "root.json", "us"), RegionKeys("eu", base64.b64decode(document["secret"]))
    assert stolen.seal.public != own.seal.public  # even a rewritten name gives other keys


def test_a_passphrase_seals_the_root(tmp_path, monkeypatch):
    path = tmp_path / "root.json"
    made = create_root(path, "eu", "correct horse")
    assert load_root(path, "eu", "correct horse").seal == made.seal
    assert "sealed with a passphrase" in status(path, "eu")
    with pytest.raises(KeyUnusable, match="does not open"):
        load_root(path, "eu", "wrong horse")
    with pytest.raises(KeyUnusable, match="FIREDOOR_ROOT_PASSPHRASE"):
        load_root(path, "eu")
    monkeypatch.setenv("FIREDOOR_ROOT_PASSPHRASE", "correct horse")
    assert load_root(path, "eu").seal == made.seal
    moved = json.loads(path.read_text()) | {"region": "us"}
    path.write_text(json.dumps(moved))
    with pytest.raises(KeyUnusable, match="does not open"):
        load_root(path, "us")


def test_status_says_that_it_is_for_development(tmp_path):
    create_root(tmp_path / "root.json", "eu")
    assert status(tmp_path / "root.json", "eu") == "region eu: development root, not sealed: the file is the secret"


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"\xff", b"x" * 5000, b'{"firedoor_root":1,"region":"eu","sealed":"none","secret":"AAAA"}',
     b'{"firedoor_root":1,"region":"eu","sealed":"none","secret":"!!"}',
     b'{"firedoor_root":1,"region":"eu","sealed":"scrypt","secret":"AAAA","salt":"AAAA"}',
     b'{"firedoor_root":2,"region":"eu","sealed":"none","secret":""}'],
)  # fmt: skip
def test_other_files_are_not_a_root(tmp_path, content):
    path = tmp_path / "root.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyUnusable):
        load_root(path, "eu", "phrase")


def test_a_missing_root_and_one_that_others_can_read_are_refused(tmp_path):
    with pytest.raises(KeyUnusable, match="no root"):
        load_root(tmp_path / "root.json", "eu")
    create_root(tmp_path / "root.json", "eu")
    (tmp_path / "root.json").chmod(0o640)
    with pytest.raises(KeyUnusable, match="chmod 600"):
        load_root(tmp_path / "root.json", "eu")


def test_pseudonyms_are_keyed_by_region_and_kind():
    eu, us = RegionKeys("eu", ROOT).worker, RegionKeys("us", ROOT).worker
    same = eu.pseudonym("subject", "shopper-1")
    assert len(same) == 32
    assert same == RegionKeys("eu", ROOT).worker.pseudonym("subject", "shopper-1")
    others = {
        us.pseudonym("subject", "shopper-1"),
        eu.pseudonym("session", "shopper-1"),
        eu.pseudonym("subject", "shopper-2"),
        eu.pseudonym("subject", ""),
        eu.pseudonym("subject", "\ud800"),
    }
    assert same not in others
    assert len(others) == 5


def test_a_box_opens_only_what_was_sealed_for_its_region_and_purpose():
    eu, us = RegionKeys("eu", ROOT).worker.protect, RegionKeys("us", ROOT).worker.protect
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


def test_what_a_worker_holds_seals_evidence_and_cannot_open_it():
    keys = RegionKeys("eu", ROOT)
    worker = keys.worker
    wrapped = worker.seal.wrap(bytes(32), bytes(range(1, 33)), "w0")
    sealed = BodyKey("eu", "w0", wrapped, bytes(32)).seal(1, "intent", "fx-1", b"body")
    leaf = Leaf(1, "eu", "w0", 1, GENESIS, "intent", "fx-1", 0, {}, None)
    assert BodyKey("eu", "w0", wrapped, keys.opener.unwrap(wrapped, "w0")).open(leaf, sealed) == b"body"
    assert not hasattr(worker, "opener")
    reachable = [value for value in vars(worker).values() if isinstance(value, bytes)]
    for secret in reachable:  # none of the worker's own keys is the private half
        with pytest.raises(EvidenceDamaged):
            type(keys.opener)("eu", secret).unwrap(wrapped, "w0")


def test_no_key_is_a_public_attribute():
    keys = RegionKeys("eu", ROOT)
    for holder in (keys, keys.worker, keys.opener, keys.worker.protect):
        names = [name for name in dir(holder) if not name.startswith("_")]
        assert not [name for name in names if isinstance(getattr(holder, name), bytes)]
    assert isinstance(keys.worker, WorkerKeys)
