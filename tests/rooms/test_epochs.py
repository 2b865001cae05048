"""New epochs and new base keys: every living key carried over once, every old copy dead, whoever interrupts."""

import fcntl
import os
import shutil
import time

import pytest

from firedoor.core.evidence.subjects import decode_cell
from firedoor.errors import EvidenceDamaged, KeyUnusable
from firedoor.keys import rewrap
from firedoor.keys.audit import audit
from firedoor.keys.epochs import new_epoch, rotate
from firedoor.keys.ring import open_ring
from firedoor.keys.ringfile import RingFile
from firedoor.keys.roots.file import FileRoot

from .rings import Recorded, living, make_ring, names, write_cells


@pytest.fixture
def ring(tmp_path):
    return make_ring(tmp_path / "keys")


def erase(path, number):
    with path.open("r+b") as file:
        file.seek(128 * number)
        file.write(bytes(128))


def found(ring):
    return {key: clear for _, key, clear in living(ring)}


def test_a_new_epoch_carries_every_living_key_over_once(ring):
    minted = write_cells(ring, "w0", 30) | write_cells(ring, "control", 3)
    gone = list(minted)[7]
    erase(ring.subjects / "1" / "w0.cells", 7)
    with (ring.subjects / "1" / "w0.cells").open("ab") as file:
        file.write(b"FDK1 torn by a crash")
    cells = {(c.key, c.lookup, c.made_at) for c in map(decode_cell, cut(ring.subjects / "1" / "w0.cells")) if c}
    recorded = Recorded()
    change = new_epoch(ring, recorded)
    assert (change.epoch, change.made, change.moved.cells, change.held_by) == (2, True, 32, ())
    assert list(change.destroyed.values()) == ["now"]
    assert found(ring) == {key: clear for key, clear in minted.items() if key != gone}
    assert len(living(ring)) == 32  # nothing twice
    assert {epoch for epoch, _, _ in living(ring)} == {2}
    assert names(ring.subjects) == {"2"}
    assert names(ring.subjects / "2") == {"rewrapped-1.cells"}
    carried = {
        (c.key, c.lookup, c.made_at) for c in map(decode_cell, cut(ring.subjects / "2" / "rewrapped-1.cells")) if c
    }
    assert cells <= carried
    assert (ring.subjects / "2" / "rewrapped-1.cells").stat().st_mode & 0o777 == 0o600
    assert recorded == [
        {"act": "new_epoch", "epoch": 2},
        {"act": "destroy_epoch", "epoch": 1, "cells": 32},
        {"act": "destroyed", "handle": next(iter(change.destroyed)), "effective": "now"},
    ]
    with pytest.raises(KeyUnusable, match="destroyed"):
        ring.epoch_private(1)


def cut(path):
    data = path.read_bytes()
    return [data[at : at + 128] for at in range(0, len(data) - len(data) % 128, 128)]


def test_keys_go_from_epoch_to_epoch(ring):
    minted = write_cells(ring, "w0", 5)
    for number in (2, 3, 4):
        assert new_epoch(ring, Recorded()).epoch == number
        minted |= write_cells(ring, "w0", 2)
    assert found(ring) == minted
    assert [(e.name, e.state, bool(e.wrapped), e.gone) for e in ring.state.entries if e.purpose == "epoch"] == [
        ("1", "destroyed", False, "now"), ("2", "destroyed", False, "now"), ("3", "destroyed", False, "now"),
        ("4", "current", True, ""),
    ]  # fmt: skip
    assert audit(ring.folder, "eu", ring.root, now=time.time()).ok


def test_an_epoch_without_cells_ends_too(ring):
    assert new_epoch(ring, Recorded()).moved.cells == 0
    (ring.subjects / "2").mkdir(mode=0o700, parents=True)
    (ring.subjects / "2" / "w0.cells").touch()
    assert new_epoch(ring, Recorded()).moved.cells == 0
    assert [entry.name for entry in ring.state.epochs("destroyed")] == ["1", "2"]


def test_a_writer_keeps_its_epoch_alive_and_the_next_run_ends_it(ring):
    minted = write_cells(ring, "w0", 4) | write_cells(ring, "w1", 1)
    worker = RingFile(ring.folder, ring.worker())
    with (ring.subjects / "1" / "w0.cells").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        change = new_epoch(ring, Recorded())
        assert (change.epoch, change.made, change.held_by, change.destroyed) == (2, True, ("w0",), {})
        assert worker.current()[0].epoch == 2  # what is new goes there already
        assert found(ring) == minted
        minted |= write_cells(ring, "w0", 1, epoch=ring.epoch_private(1).public)  # a key minted just before
        change = new_epoch(ring, Recorded(), wait=0.1)
        assert (change.epoch, change.made, change.held_by) == (2, False, ("w0",))
    change = new_epoch(ring, recorded := Recorded())
    assert (change.epoch, change.made, change.moved.cells, change.held_by) == (2, False, 6, ())
    assert recorded.acts == ["destroy_epoch", "destroyed"]
    assert found(ring) == minted
    assert names(ring.subjects) == {"2"}


def test_a_writer_that_lets_go_in_time_is_waited_for(ring):
    write_cells(ring, "w0", 1)
    held = os.open(ring.subjects / "1" / "w0.cells", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_SH)
    letting_go = iter([lambda: None, lambda: os.close(held)])
    original = time.sleep
    patch = pytest.MonkeyPatch()
    patch.setattr("firedoor.keys.epochs.time.sleep", lambda _: (next(letting_go)(), original(0)))
    try:
        assert new_epoch(ring, Recorded(), wait=60).held_by == ()
    finally:
        patch.undo()


def test_two_processes_do_what_one_does(ring, monkeypatch):
    monkeypatch.setattr(rewrap, "BLOCK_CELLS", 16)
    monkeypatch.setattr(rewrap, "ALONE_BYTES", 0)
    minted = write_cells(ring, "w0", 200) | write_cells(ring, "w1", 33)
    before = [cell for path in ("w0", "w1") for cell in cut(ring.subjects / "1" / f"{path}.cells")]
    assert new_epoch(ring, Recorded()).moved.cells == 233
    assert found(ring) == minted
    after = cut(ring.subjects / "2" / "rewrapped-1.cells")
    assert [decode_cell(cell).key for cell in after] == [decode_cell(cell).key for cell in before]  # in order


@pytest.mark.parametrize("damage", ["flip", "other epoch"])
def test_a_damaged_cell_stops_it_unless_it_is_to_be_left_behind(ring, damage, tmp_path):
    minted = write_cells(ring, "w0", 5)
    path = ring.subjects / "1" / "w0.cells"
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[128 * 2 + 50] ^= 1
    else:
        data[128 * 2 : 128 * 3] = cut_of_stranger(tmp_path)
    path.write_bytes(data)
    with pytest.raises(EvidenceDamaged, match=r"w0\.cells, byte 256"):
        new_epoch(ring, Recorded())
    assert ring.epoch_private(1).unwrap(decode_cell(bytes(data[:128])))  # nothing is lost yet
    assert not list((ring.subjects / "2").iterdir())
    change = new_epoch(ring, recorded := Recorded(), drop_damaged=True)
    assert (change.made, change.moved.cells, change.moved.dropped) == (False, 4, 1)
    assert recorded[0] == {"act": "destroy_epoch", "epoch": 1, "cells": 4, "dropped": 1}
    assert found(ring) == {key: clear for number, (key, clear) in enumerate(minted.items()) if number != 2}


def cut_of_stranger(tmp_path):
    stranger = make_ring(tmp_path / "stranger")
    write_cells(stranger, "w0", 1)
    return cut(stranger.subjects / "1" / "w0.cells")[0]


def test_a_full_disk_loses_nothing(ring, monkeypatch):
    minted = write_cells(ring, "w0", 5)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("firedoor.keys.rewrap.os.fsync", full)
        with pytest.raises(KeyUnusable, match="No space left"):
            new_epoch(ring, Recorded())
    assert found(ring) == minted
    assert new_epoch(ring, Recorded()).held_by == ()
    assert found(ring) == minted


def test_a_recorder_that_fails_stops_the_act_before_it_is_done(ring):
    minted = write_cells(ring, "w0", 2)
    for fails_at in ("new_epoch", "destroy_epoch"):

        def failing(kind, facts, fails_at=fails_at):
            if facts["act"] == fails_at:
                raise KeyUnusable("the journal takes nothing")

        with pytest.raises(KeyUnusable, match="takes nothing"):
            new_epoch(ring, failing)
        assert found(ring) == minted
        assert ring.epoch_private(1)
    with pytest.raises(KeyUnusable, match="takes nothing"):
        rotate(ring, lambda *_: (_ for _ in ()).throw(KeyUnusable("the journal takes nothing")))
    assert new_epoch(ring, Recorded()).epoch == 2


def test_rotate_wraps_every_base_key_anew(ring):
    model = ring.file_key("model", "chat")
    bundle, seeds, before = ring.worker_bundle(), ring.log_seeds(), ring.state
    old = shutil.copytree(ring.folder, ring.folder.with_name("backup"))
    change = rotate(ring, recorded := Recorded())
    assert (change.made, change.destroyed) == (True, {before.base: "now"})
    assert recorded.acts == ["rotate", "destroyed"]
    again = open_ring(ring.folder, "eu", FileRoot(ring.folder / "root.json", "eu"))
    assert (again.worker_bundle(), again.log_seeds(), again.file_key("model", "chat")) == (bundle, seeds, model)
    assert again.state.base != before.base
    for entry, earlier in zip(again.state.entries, before.entries, strict=True):
        moved = entry.purpose != "epoch"
        assert (entry.version, entry.handle == again.state.base) == (earlier.version + moved, moved)
    with pytest.raises(KeyUnusable, match="no such wrapping key"):  # an older ring is dead with its base key
        open_ring(old, "eu", FileRoot(ring.folder / "root.json", "eu"))


def test_a_base_key_that_does_not_wrap_is_not_taken(ring, monkeypatch):
    before = ring.state
    with monkeypatch.context() as patch:
        patch.setattr(ring.root, "wrap", lambda *_: (_ for _ in ()).throw(KeyUnusable("the HSM is full")))
        with pytest.raises(KeyUnusable, match="full"):
            rotate(ring, Recorded())
    assert ring.state == before
    assert rotate(ring, Recorded()).made


def test_what_the_root_could_not_destroy_is_destroyed_by_the_next_run(ring, monkeypatch):
    write_cells(ring, "w0", 2)
    for act, made in ((rotate, False), (new_epoch, False)):
        with monkeypatch.context() as patch:
            patch.setattr(ring.root, "destroy", lambda _: (_ for _ in ()).throw(KeyUnusable("unreachable")))
            with pytest.raises(KeyUnusable, match="unreachable"):
                act(ring, Recorded())
        assert len(ring.state.doomed) == 1
        assert [f.level for f in audit(ring.folder, "eu", ring.root, now=0).findings if "still destroy" in f.text] == [
            "warning"
        ]
        change = act(ring, Recorded())
        assert (change.made, list(change.destroyed.values())) == (made, ["now"])
        assert ring.state.doomed == ()
    assert len(living(ring)) == 2


def test_the_audit_names_every_key_and_what_is_wrong(ring):
    write_cells(ring, "w0", 3)
    ring.file_key("dataset", "reviews")
    now = ring.state.epoch.made_at + 31 * 86_400
    seen = audit(ring.folder, "eu", ring.root, now=now)
    assert seen.ok
    assert [line.id for line in seen.keys] == [
        "pseudonym", "protect", "ring", "log", "witness", "epoch/1", "dataset/reviews",
    ]  # fmt: skip
    line = next(line for line in seen.keys if line.id == "epoch/1")
    assert (line.epoch, line.state, line.age, line.cells, line.wrapped_by) == (
        1, "current", 31 * 86_400, 3, "file root, own key",
    )  # fmt: skip
    assert [finding.text for finding in seen.findings] == [
        "The root is a file, for development.",
        "Epoch 1 is 31 days old: backups of that time still hold erased subjects' keys.",
    ]


def spoil_mode(ring):
    (ring.subjects / "1" / "w0.cells").chmod(0o644)
    return "Other users have access to keys/subjects/1/w0.cells."


def spoil_link(ring):
    (ring.folder / "elsewhere").symlink_to("/nowhere")
    return "keys/elsewhere is a link."


def spoil_unknown(ring):
    shutil.copytree(ring.subjects / "1", ring.subjects / "7")
    return "There are subjects' keys of epoch 7, which is not in the ring."


def spoil_destroyed(ring):
    copy = shutil.copytree(ring.subjects / "1", ring.folder.with_name("copy"))
    new_epoch(ring, Recorded())
    shutil.copytree(copy, ring.subjects / "1")
    return "There are subjects' keys of epoch 1, which was destroyed."


def spoil_root(ring):
    ring.root.destroy(ring.state.epoch.handle)
    return "epoch/1: The root of region eu has no such wrapping key."


def spoil_ring(ring):
    data = (ring.folder / "ring.json").read_bytes()
    (ring.folder / "ring.json").write_bytes(data.replace(b'"erasures":0', b'"erasures":1'))
    return "The ring file of region eu was changed by somebody else."


def spoil_all(ring):
    (ring.folder / "root.json").unlink()
    return "Region eu has no root file."


@pytest.mark.parametrize(
    "spoil", [spoil_mode, spoil_link, spoil_unknown, spoil_destroyed, spoil_root, spoil_ring, spoil_all]
)
def test_the_audit_finds_an_error(ring, spoil):
    write_cells(ring, "w0", 1)
    assert audit(ring.folder, "eu", ring.root, now=0).ok
    expected = spoil(ring)
    seen = audit(ring.folder, "eu", ring.root, now=0)
    assert not seen.ok
    assert expected in [finding.text for finding in seen.findings if finding.level == "error"]
