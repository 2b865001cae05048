"""A worker's keys come over a pipe: at once or later, once, and nothing stays open."""

import os
from pathlib import Path

import pytest

from firedoor.app.handover import HandedKeys, Handover, bare_environment
from firedoor.errors import KeyUnusable

from .rings import make_ring


def open_descriptors():
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


@pytest.fixture
def ring(tmp_path):
    return make_ring(tmp_path / "keys")


def test_keys_that_are_there_and_keys_that_come_later(ring):
    before = open_descriptors()
    share = [ring.worker_bundle()]
    handover = Handover(lambda: share[0])
    for late in (False, True):
        if late:
            share[0] = None
        keys = HandedKeys(handover.pipe())
        if late:
            for _ in range(2):
                with pytest.raises(KeyUnusable, match="has no keys for this worker"):
                    keys.take()
            handover.hand_over()  # there are none yet
            share[0] = ring.worker_bundle()
            handover.hand_over()
        assert keys.take().epoch == ring.worker().epoch
        assert open_descriptors() == before
        handover.hand_over()  # nobody waits
        with pytest.raises(KeyUnusable):
            keys.take()


def test_each_start_has_a_pipe_of_its_own(ring):
    before = open_descriptors()
    share = [None]
    handover = Handover(lambda: share[0])
    died = handover.pipe()
    os.close(died)
    second = HandedKeys(handover.pipe())
    share[0] = ring.worker_bundle()
    handover.hand_over()
    assert second.take().region == "eu"
    gone = handover.pipe()
    os.close(gone)
    assert open_descriptors() == before
    share[0] = None
    os.close(handover.pipe())
    share[0] = ring.worker_bundle()
    handover.hand_over()  # to one that has died meanwhile
    assert open_descriptors() == before


@pytest.mark.parametrize("sent", [b"", b"\x93", b"x" * 5000])
def test_what_is_no_share_is_refused_for_good(sent):
    read, write = os.pipe()
    os.write(write, sent)
    os.close(write)
    keys = HandedKeys(read)
    for _ in range(2):
        with pytest.raises(KeyUnusable):
            keys.take()


def test_a_descriptor_that_is_none():
    keys = HandedKeys(9999)
    for _ in range(2):
        with pytest.raises(KeyUnusable):
            keys.take()


def test_what_leads_to_a_root_is_not_inherited():
    names = (
        "FIREDOOR_PASSPHRASE", "FIREDOOR_ROOT_PASSPHRASE", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN", "VAULT_TOKEN", "BAO_TOKEN", "PGPASSWORD", "PGPASSFILE",
    )  # fmt: skip
    secret = dict.fromkeys(names, "s")
    kept = {"PATH": "/bin", "FIREDOOR_HOME": "/h", "LANG": "C", "SOFTHSM2_CONF": "/c"}
    assert bare_environment(secret | kept) == kept
