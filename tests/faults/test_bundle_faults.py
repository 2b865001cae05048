"""An export that is cut short, or that the disk refuses: no half bundle, and none that is not on record."""

import errno
import os
import resource
import signal

import pytest

from firedoor.app.bundlecheck import verify_bundle
from firedoor.core.evidence.bundle import Selection
from firedoor.store import bundlefiles, files
from firedoor.store.grants import Grants
from firedoor.store.journal_read import read
from tests.rooms.bundles import agreed, filled, load_script, receiver

SELECTION = Selection(exchanges=("ex_1",))
script = load_script()


@pytest.fixture
def house(tmp_path):
    return filled(tmp_path, exchanges=2)


def in_child(work):
    """Run `work` in a process of its own; the signal that ended it, or its exit status."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001
            os._exit(3)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def killed_at(step, call):
    """`os.fsync` that ends the process, kill -9, at its call number `step`."""
    count = 0

    def fsync(descriptor):
        nonlocal count
        count += 1
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(descriptor)

    return fsync


def hand_overs(house):
    operator = house.place.journal("operator")
    if not operator.exists():
        return []
    return [one.leaf for one in read(operator) if one.leaf.kind == "access" and one.leaf.facts["state"] == "done"]


def visible(folder):
    return [path for path in folder.iterdir() if path.name.startswith("bundle")]


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_killed_anywhere_there_is_a_whole_recorded_bundle_or_none(house, tmp_path, suffix):
    seen = set()
    for step in (*range(1, 40, 3), *range(40, 90, 7)):
        out = tmp_path / f"bundle-{step}{suffix}"
        before = len(hand_overs(house))

        def work(step=step, out=out):
            os.fsync = killed_at(step, os.fsync)
            house.export(out, SELECTION)

        status = in_child(work)
        seen.add(status)
        assert status in (signal.SIGKILL, 0)
        if out.exists():
            assert verify_bundle(out).ok
            assert script.verify(str(out)).wrong == []
            assert len(hand_overs(house)) == before + 1
        if status == 0:
            break
    assert seen == {signal.SIGKILL, 0}


def test_a_full_disk_leaves_nothing_behind(house, tmp_path):
    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))  # verify.py is larger
        try:
            house.export(tmp_path / "bundle", SELECTION)
        except OSError as error:
            assert error.errno == errno.EFBIG
            os._exit(7)

    assert in_child(work) == 7
    assert not [path for path in tmp_path.iterdir() if "bundle" in path.name]
    assert hand_overs(house) == []


@pytest.mark.parametrize("step", range(1, 30, 4))
def test_a_disk_that_fails_to_sync_leaves_nothing_behind(house, tmp_path, monkeypatch, step):
    count, real = 0, os.fsync

    def failing(descriptor):
        nonlocal count
        count += 1
        if count == step:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor)

    monkeypatch.setattr(bundlefiles.os, "fsync", failing)
    monkeypatch.setattr(files.os, "fsync", failing)
    try:
        house.export(tmp_path / "bundle", SELECTION)
    except Exception as error:  # noqa: BLE001  which of ours it is depends on whose sync failed
        assert type(error).__name__ in {"OSError", "JournalPoisoned", "SetupError"}
    monkeypatch.undo()
    left = [path.name for path in tmp_path.iterdir() if "bundle" in path.name]
    assert left in ([], ["bundle"])
    if left:
        assert verify_bundle(tmp_path / "bundle").ok
        assert len(hand_overs(house)) == 1


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 6])
def test_a_grant_that_was_cut_short_is_there_or_not(house, step):
    def work():
        os.fsync = killed_at(step, os.fsync)
        os.fdatasync = killed_at(step, os.fdatasync)
        house.request(SELECTION)

    in_child(work)
    grants = Grants(house.place.grants, "eu", house.loaded, house.ring.worker().protect)
    waiting = grants.newest()
    assert len(waiting) <= 1
    recorded = [one.leaf for one in read(house.place.journal("operator")) if one.leaf.kind == "request"]
    assert len(recorded) >= len(waiting)  # recorded before it counts
    assert house.approve(house.request(SELECTION)).approved_at == house.now


def test_a_bundle_with_bodies_survives_an_agent_at_work(house, tmp_path):
    _, recipient = receiver()
    grant = agreed(house, SELECTION, recipient)
    for number in range(3):
        house.write("w1", house.exchange(f"more_{number}", "ab" * 16))
        house.publish()
        house.export(tmp_path / f"bundle-{number}", SELECTION, bodies_to=recipient, grant=grant)
        assert verify_bundle(tmp_path / f"bundle-{number}").ok
