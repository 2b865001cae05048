"""The process ends at every step of an expiry and of an erasure: all verifies then, and the next run finishes it."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from firedoor.core.evidence.retention import DAY, HOUR, Hold, Window
from firedoor.errors import ActRefused
from firedoor.keys.epochs import new_epoch
from firedoor.store.holds import add_hold, end_hold, living, load
from tests.rooms.archives import ALICE, BO, DAY_TWO, NO_SYNC, NOON, Archive, Steps, Stop
from tests.rooms.rings import Recorded


def region_of(folder):
    """Alice and Bo in two hours, two slots and two epochs; one exchange of Bo is held."""
    region = Archive(folder / "home", NO_SYNC)
    region.write(region.record("fx-1", ALICE), region.record("fx-2", BO), region.record("fx-3", ALICE))
    region.write(region.record("fx-4", ALICE, NOON + HOUR), region.record("fx-5", BO, NOON + HOUR), slot="w1")
    new_epoch(region.ring, Recorded())
    region.write(region.record("fx-6", ALICE, NOON + HOUR, "account_chat"))
    region.expire(3000, now=NOON + 2 * HOUR)
    region.hold(exchanges=("fx-2",))
    region.now = DAY_TWO
    return region


def erase(region, write=None):
    return region.erase(ALICE, write)


def expire(region, write=None):
    return region.expire(1, write=write)


def all_steps(act, folder, monkeypatch):
    """How many steps `act` takes on a fresh region."""
    region = region_of(folder)
    with monkeypatch.context() as patch:
        steps = Steps(patch)
        act(region, steps.write)
    return steps.count


def cut(region, act, last, monkeypatch):
    """Run `act` and end the process before step `last`; whether it got that far."""
    with monkeypatch.context() as patch:
        steps = Steps(patch, last)
        with pytest.raises(Stop):
            act(region, steps.write)


def test_an_erasure_cut_short_at_any_step_is_whole_after_the_next_run(tmp_path, monkeypatch):
    steps = all_steps(erase, tmp_path / "dry", monkeypatch)
    assert steps > 20
    fresh = region_of(tmp_path / "fresh")
    for last in range(1, steps + 1):
        region = fresh.copy(tmp_path / f"cut-{last}")
        keys = {found.cell.key for found in living(region.place.subjects, ALICE)}
        cut(region, erase, last, monkeypatch)
        region.verify()
        assert {"fx-2", "fx-5"} <= region.readable()
        if last % 2:
            region.resume()  # the agent
        if load(region.place.holds).erasure(ALICE) is None or not last % 2:
            with contextlib.suppress(ActRefused):  # the person again
                erase(region)
        assert region.readable() == {"fx-2", "fx-5"}, f"step {last}"
        assert living(region.place.subjects, ALICE) == []
        assert not any(living_bytes(region, keys))
        assert any(leaf.facts["state"] == "done" for leaf in region.records("erasure"))
        region.verify()


def living_bytes(region, keys):
    """For each body under these keys that is still on the disk: whether anything of it is not zero."""
    for stored in region.leaves():
        body = stored.leaf.body
        if body is None or stored.leaf.key not in keys:
            continue
        name = f"{stored.leaf.slot}.{body.file:020d}"
        for path in (region.place.bodies / body.retention).glob(f"*/{name}"):
            yield bool(path.read_bytes()[body.offset : body.offset + body.length].strip(b"\0"))


def test_an_expiry_cut_short_at_any_step_is_whole_after_the_next_run(tmp_path, monkeypatch):
    steps = all_steps(expire, tmp_path / "dry", monkeypatch)
    assert steps > 10
    fresh = region_of(tmp_path / "fresh")
    for last in range(1, steps + 1):
        region = fresh.copy(tmp_path / f"cut-{last}")
        cut(region, expire, last, monkeypatch)
        region.verify()
        assert "fx-2" in region.readable()
        expire(region)
        assert region.readable() == {"fx-2"}, f"step {last}"
        assert len(region.files()) == 1
        region.verify()
        before = len(region.records("expiry"))
        expire(region)
        assert len(region.records("expiry")) == before


def test_a_hold_cut_short_at_any_step_counts_or_never_was(tmp_path, monkeypatch):
    def hold(region, write=None):
        new = Hold(
            id="hold-2", incident="INC-8", by="uid:1", at=region.now, windows=(Window("support", 0, NOON + DAY),)
        )
        region.act(lambda w: add_hold(region.archive, new, b"why", w, known=lambda _: True), write)

    steps = all_steps(hold, tmp_path / "dry", monkeypatch)
    fresh = region_of(tmp_path / "fresh")
    for last in range(1, steps + 1):
        region = fresh.copy(tmp_path / f"cut-{last}")
        cut(region, hold, last, monkeypatch)
        standing = any(found.id == "hold-2" for found in load(region.place.holds).holds)
        expire(region)
        there = {"fx-1", "fx-2", "fx-3", "fx-4", "fx-5"} if standing else {"fx-2"}
        assert region.readable() == there, f"step {last}"
        if any(leaf.facts["hold"] == "hold-2" for leaf in region.records("hold")):
            assert standing
        region.verify()


def test_the_end_of_a_hold_cut_short_at_any_step_is_recorded_before_it_counts(tmp_path, monkeypatch):
    def end(region, write=None):
        region.act(lambda w: end_hold(region.archive, "hold-1", "uid:1", region.now, b"closed", w), write)

    steps = all_steps(end, tmp_path / "dry", monkeypatch)
    fresh = region_of(tmp_path / "fresh")
    for last in range(1, steps + 1):
        region = fresh.copy(tmp_path / f"cut-{last}")
        cut(region, end, last, monkeypatch)
        if not load(region.place.holds).holds:
            assert region.records("hold")[-1].facts["state"] == "ended"
        expire(region)
        assert region.readable() == ({"fx-2"} if load(region.place.holds).holds else set())


KILLED = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
from tests.faults.test_erasure_faults import erase, expire
from tests.rooms.archives import DAY_TWO, Archive, Steps

class Kill(Steps):
    def step(self):
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

region = Archive(Path(sys.argv[1]))
region.now = DAY_TWO
act = {"erase": erase, "expire": expire}[sys.argv[2]]
act(region, Kill(SimpleNamespace(setattr=setattr), int(sys.argv[3])).write)
"""


@pytest.mark.parametrize(("act", "step"), [("erase", 5), ("erase", 14), ("expire", 5), ("expire", 8)])
def test_a_real_kill_is_survived(tmp_path, act, step):
    region = region_of(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(region.home.root), act, str(step)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    region.verify()
    if act == "erase":
        with contextlib.suppress(ActRefused):
            erase(region)
        assert region.readable() == {"fx-2", "fx-5"}
    else:
        expire(region)
        assert region.readable() == {"fx-2"}
    region.verify()
