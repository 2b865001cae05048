"""What a gateway host is called, what it must have been brought, and that two of them do not run in one folder."""

import asyncio
import os
import socket

import pytest
from tests.rooms.region import People

from firedoor.app import lock
from firedoor.app.identity import published_keys, read_identity
from firedoor.app.prepare import prepare_files, prepare_region
from firedoor.app.regionkeys import join_region
from firedoor.config import Home, host_name
from firedoor.core.plan.model import Loaded
from firedoor.errors import KeyUnusable, SetupError


@pytest.mark.parametrize(
    ("machine", "name"),
    [("web-3.shop.example", "web-3"), ("WEB_4", "web_4"), ("3com", "host-3com"), ("Büro 1", "b-ro-1"), ("", "host"),
     ("control", "host-control"), ("-x-", "x"), ("a" * 64, "a" * 63), ("9" * 64, "host-" + "9" * 58)],
)  # fmt: skip
def test_a_host_is_called_after_its_machine(monkeypatch, machine, name):
    monkeypatch.setattr(socket, "gethostname", lambda: machine)
    assert host_name() == name
    assert host_name("given") == "given"


@pytest.mark.parametrize("named", ["control", "Web", "9web", "a/b", "a b", "a" * 64, "é", "../x"])
def test_names_that_would_clash_or_cannot_be_told_are_refused(named):
    with pytest.raises(SetupError, match="cannot be the name of a host"):
        host_name(named)


def test_a_host_takes_the_keys_it_was_brought_and_makes_none(tmp_path):
    loaded = Loaded(People().plan(), "ab" * 32, "plan.yaml")
    first, second = Home(tmp_path / "one").region("eu"), Home(tmp_path / "two").region("eu")
    prepare_region(first, loaded, tmp_path)
    prepare_files(second, loaded, tmp_path)
    with pytest.raises(KeyUnusable, match="no keys of region eu"):
        join_region(second, loaded, tmp_path)
    assert not any(second.keys.glob("*.json"))
    for source in (first.ring, first.keys / "root.json"):
        (second.keys / source.name).write_bytes(source.read_bytes())
        (second.keys / source.name).chmod(0o600)
    ring = join_region(second, loaded, tmp_path)
    named = (second.logs / "identity").read_text()
    assert named != (first.logs / "identity").read_text()  # the same keys, another history
    assert read_identity(first).witness
    assert not read_identity(second).witness
    assert not any(second.witness.iterdir())  # two witnesses with one key could cosign two histories
    assert len(published_keys(second).log) == len(published_keys(first).log) > 0
    assert published_keys(second).witness == ()
    assert ring.worker_bundle() == join_region(first, loaded, tmp_path).worker_bundle()
    join_region(second, loaded, tmp_path)
    assert (second.logs / "identity").read_text() == named


def test_one_supervisor_in_a_folder(tmp_path):
    async def life():
        held = await lock.take(tmp_path, print)
        with pytest.raises(SetupError, match="gateway --workers"):
            await lock.take(tmp_path, print)
        os.close(held)
        os.close(await lock.take(tmp_path, print))

    asyncio.run(life())
