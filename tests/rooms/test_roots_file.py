"""The development root: one file, one region, a secret for each wrapping key, nothing to take away."""

import base64
import json
import stat

import pytest

from firedoor.core.plan.model import AwsKmsRoot, Pkcs11Root, VaultRoot
from firedoor.core.plan.model import FileRoot as DeclaredFile
from firedoor.errors import KeyUnusable
from firedoor.keys.roots import open_root
from firedoor.keys.roots.file import FileRoot

from .rings import CONTEXT, check_root, exports


@pytest.fixture(autouse=True)
def _no_passphrase(monkeypatch):
    monkeypatch.delenv("FIREDOOR_ROOT_PASSPHRASE", raising=False)


@pytest.mark.parametrize("phrase", [None, "correct horse"])
def test_it_does_what_a_root_owes(tmp_path, phrase):
    FileRoot(tmp_path / "us" / "root.json", "us", phrase).create("base")
    root = FileRoot(tmp_path / "eu" / "root.json", "eu", phrase)
    root.create("first")
    check_root(root, FileRoot(tmp_path / "us" / "root.json", "us", phrase))
    assert not exports(root)


def test_the_file_is_private_and_made_with_the_first_key(tmp_path):
    path = tmp_path / "keys" / "root.json"
    root = FileRoot(path, "eu")
    with pytest.raises(KeyUnusable, match="no root file"):
        root.check()
    handle = root.create("base")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {one.name for one in path.parent.iterdir()} == {"root.json", ".root.json.lock"}
    wrapped = FileRoot(path, "eu").wrap(handle, b"data", CONTEXT)
    assert root.unwrap(handle, wrapped, CONTEXT) == b"data"


def test_destroying_takes_the_secret_out_of_the_file(tmp_path):
    root = FileRoot(tmp_path / "root.json", "eu")
    kept, doomed = root.create("base"), root.create("epoch-1")
    secret = json.loads((tmp_path / "root.json").read_text())["secrets"][doomed]
    assert root.destroy(doomed) == "now"
    left = (tmp_path / "root.json").read_text()
    assert secret not in left
    assert list(json.loads(left)["secrets"]) == [kept]


def test_a_root_belongs_to_one_region(tmp_path):
    path = tmp_path / "root.json"
    root = FileRoot(path, "eu")
    handle = root.create("base")
    wrapped = root.wrap(handle, b"data", CONTEXT)
    with pytest.raises(KeyUnusable, match="belongs to region eu, not us"):
        FileRoot(path, "us").check()
    path.write_text(json.dumps({**json.loads(path.read_text()), "region": "us"}))
    with pytest.raises(KeyUnusable, match="not one of region us"):
        FileRoot(path, "us").unwrap(handle, wrapped, CONTEXT)


def test_a_passphrase_seals_the_root(tmp_path, monkeypatch):
    path = tmp_path / "root.json"
    root = FileRoot(path, "eu", "correct horse")
    handle = root.create("base")
    wrapped = root.wrap(handle, b"data", CONTEXT)
    assert "sealed with a passphrase" in FileRoot(path, "eu").describe()
    with pytest.raises(KeyUnusable, match="does not open"):
        FileRoot(path, "eu", "wrong horse").check()
    with pytest.raises(KeyUnusable, match="does not open"):  # one file never has two passphrases
        FileRoot(path, "eu", "wrong horse").create("base")
    with pytest.raises(KeyUnusable, match="FIREDOOR_ROOT_PASSPHRASE"):
        FileRoot(path, "eu").check()
    monkeypatch.setenv("FIREDOOR_ROOT_PASSPHRASE", "correct horse")
    assert FileRoot(path, "eu").unwrap(handle, wrapped, CONTEXT) == b"data"
    document = json.loads(path.read_text())
    other = root.create("base")
    secrets = json.loads(path.read_text())["secrets"]
    document["secrets"] = {handle: secrets[other], other: secrets[handle]}
    path.write_text(json.dumps(document))
    with pytest.raises(KeyUnusable, match="does not open"):
        FileRoot(path, "eu").unwrap(handle, wrapped, CONTEXT)


def test_it_says_that_it_is_for_development(tmp_path):
    root = FileRoot(tmp_path / "root.json", "eu")
    root.create("base")
    assert root.describe() == (
        "development root in root.json, not sealed: the file is the secret; not for production, must not be in backups"
    )


SECRET = base64.b64encode(bytes(31)).decode()


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"\xff", b"x" * 300_000,
     b'{"firedoor_root":1,"region":"eu","sealed":"none","secret":"AAAA"}',
     json.dumps({"firedoor_root": 2, "region": "eu", "sealed": "none", "salt": "", "secrets": {"firedoor/eu/a-1": SECRET}}).encode(),
     json.dumps({"firedoor_root": 2, "region": "eu", "sealed": "none", "salt": "", "secrets": {"firedoor/eu/a-1": "!!"}}).encode(),
     json.dumps({"firedoor_root": 2, "region": "eu", "sealed": "scrypt", "salt": "AAAA", "secrets": {"firedoor/eu/a-1": "AA=="}}).encode(),
     json.dumps({"firedoor_root": 2, "region": "eu", "sealed": "scrypt", "salt": "!", "secrets": {}}).encode(),
     json.dumps({"firedoor_root": 2, "region": "eu", "sealed": "rot13", "salt": "", "secrets": {}}).encode()],
)  # fmt: skip
def test_other_files_are_not_a_root(tmp_path, content):
    path = tmp_path / "root.json"
    path.write_bytes(content)
    path.chmod(0o600)
    for act in (FileRoot.check, lambda root: root.create("base")):
        with pytest.raises(KeyUnusable):
            act(FileRoot(path, "eu", "phrase"))
    assert path.read_bytes() == content


def test_one_that_others_can_read_is_refused(tmp_path):
    root = FileRoot(tmp_path / "root.json", "eu")
    root.create("base")
    (tmp_path / "root.json").chmod(0o640)
    with pytest.raises(KeyUnusable, match="chmod 600"):
        root.check()


@pytest.mark.parametrize(
    "handle", ["", "base", "firedoor/us/base-1", "firedoor/eu/../x", "firedoor/eu/a/b", "firedoor/eu/A"]
)
def test_handles_of_others_are_refused(tmp_path, handle):
    root = FileRoot(tmp_path / "root.json", "eu")
    root.create("base")
    for call in (
        lambda: root.wrap(handle, b"x", ""),
        lambda: root.unwrap(handle, bytes(40), ""),
        lambda: root.destroy(handle),
    ):
        with pytest.raises(KeyUnusable, match="not one of region eu"):
            call()


def test_the_plan_says_which_root(tmp_path):
    declared = [
        DeclaredFile(),
        Pkcs11Root(module="/usr/lib/hsm.so", token="eu-root", pin_file="pin"),
        VaultRoot(url="https://keys.example:8200", token_file="token", jurisdiction="DE", ca_file="ca.pem"),
        AwsKmsRoot(aws_region="eu-central-1", jurisdiction="DE"),
    ]
    roots = [open_root(one, "eu", tmp_path / "keys", tmp_path) for one in declared]
    assert [(root.kind, root.region) for root in roots] == [
        ("file", "eu"), ("pkcs11", "eu"), ("vault", "eu"), ("aws_kms", "eu"),
    ]  # fmt: skip
    assert [root.describe() for root in roots[1:]] == [
        "PKCS#11 token 'eu-root' through hsm.so",
        "transit engine 'transit' of the key server keys.example:8200",
        "AWS KMS in eu-central-1, single-Region keys",
    ]
