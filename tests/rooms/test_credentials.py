"""Credentials: shown once, kept as hashes, one region's only."""

import json
import re

import pytest

from firedoor.errors import ActRefused, SetupError
from firedoor.store import credentials
from firedoor.store.credentials import CredentialFile, KnownCredentials, token_digest


@pytest.fixture
def file(tmp_path):
    return CredentialFile(tmp_path / "credentials.json", "eu-west_1")


def test_a_token_leads_to_its_credential_and_is_not_kept(file):
    token, credential = file.issue("alpenladen", "support", 1000.0, 2000.0)
    assert re.fullmatch(r"fd_eu-west_1_[0-9a-z]{12}_[0-9a-f]{48}", token)
    assert file.load()[token_digest(token)] == credential
    content = file.path.read_text()
    assert token not in content
    assert token.rsplit("_", 1)[1] not in content
    assert file.path.stat().st_mode & 0o077 == 0
    assert (credential.shop, credential.surface, credential.created) == ("alpenladen", "support", 1000.0)


def test_no_two_tokens_are_alike(file):
    tokens = {file.issue("alpenladen", "support", 0.0)[0] for _ in range(50)}
    assert len(tokens) == len(file.load()) == 50


@pytest.mark.parametrize(
    "token", ["", "fd_", "Bearer x", "fd_eu_x_é", "fd_" + "x" * 300, "sk-123", "fd_eu-west_1_000000000000_" + "0" * 48]
)
def test_a_wrong_token_leads_nowhere(file, token):
    file.issue("alpenladen", "support", 0.0)
    assert file.load().get(token_digest(token) or "") is None


def test_every_changed_character_leads_nowhere(file):
    token, _ = file.issue("alpenladen", "support", 0.0)
    known = file.load()
    for place in range(len(token)):
        changed = token[:place] + ("1" if token[place] == "0" else "0") + token[place + 1 :]
        assert known.get(token_digest(changed) or "") is None


@pytest.mark.parametrize(
    ("expires", "now", "usable"),
    [(None, 1e12, True), (100.0, 99.9, True), (100.0, 100.0, False), (100.0, 101.0, False)],
)
def test_expiry(file, expires, now, usable):
    _, credential = file.issue("alpenladen", "support", 0.0, expires)
    assert credential.usable(now) is usable


def test_revoking_lasts(file):
    token, credential = file.issue("alpenladen", "support", 0.0)
    other, _ = file.issue("alpenladen", "support", 0.0)
    revoked = file.revoke(credential.id, 50.0)
    assert not revoked.usable(50.0)
    assert file.revoke(credential.id, 99.0).revoked == 50.0
    assert file.load()[token_digest(token)] == revoked
    assert file.load()[token_digest(other)].usable(50.0)
    with pytest.raises(ActRefused, match="no credential"):
        file.revoke("000000000000", 1.0)


def test_a_reader_sees_each_change_once(file):
    reader = CredentialFile(file.path, "eu-west_1")
    assert reader.load() == {}
    assert not reader.changed()
    _, credential = file.issue("alpenladen", "support", 0.0)
    assert reader.changed()
    assert list(reader.load().values()) == [credential]
    assert not reader.changed()


def test_another_regions_file_and_a_damaged_one_are_refused(file):
    file.issue("alpenladen", "support", 0.0)
    with pytest.raises(SetupError, match="belongs to region"):
        CredentialFile(file.path, "us").load()
    document = json.loads(file.path.read_text())
    for content in ["", "{}", json.dumps({**document, "more": 1}), json.dumps({**document, "firedoor_credentials": 2})]:
        file.path.write_text(content)
        with pytest.raises(SetupError, match="damaged"):
            file.load()


def test_there_is_a_bound(file, monkeypatch):
    monkeypatch.setattr(credentials, "CREDENTIAL_LIMIT", 1)
    file.issue("alpenladen", "support", 0.0)
    with pytest.raises(ActRefused, match="at most 1"):
        file.issue("alpenladen", "support", 0.0)


def test_one_that_was_issued_while_the_file_was_read_beside_is_found(file):
    """A worker reads the file in a thread; until it takes the result it must not believe that it has read it."""
    known = KnownCredentials(file.path, "eu-west_1")
    assert known.newer() is None
    token, credential = file.issue("alpenladen", "support", 0.0)
    in_a_thread = known.newer()  # not taken yet
    assert known.get(token_digest(token)) is None
    found = known.newer()
    assert found is not None
    assert found.get(token_digest(token)) == in_a_thread.get(token_digest(token)) == credential
    assert found.newer() is None
    file.revoke(credential.id, 5.0)
    assert found.newer().get(token_digest(token)).revoked == 5.0
