"""Keys under attack and accident: moved ciphertext, swapped public keys, kills at every step, old backups."""

import base64
import json
import os
import shutil

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from firedoor.core.evidence.subjects import EpochPrivate, decode_cell
from firedoor.errors import EvidenceDamaged, KeyUnusable, SealBroken
from firedoor.keys import epochs
from firedoor.keys.manifest import load_signer, load_verifying_key, read_bundle
from firedoor.keys.ring import open_ring
from firedoor.keys.ringfile import RingFile, encode_document, encode_state, read_ring, signed_content
from firedoor.keys.roots.file import FileRoot

from ..rooms.rings import Recorded, living, make_ring, names, write_cells  # noqa: TID252  # tests are no installed package


@pytest.fixture
def keys(tmp_path):
    return tmp_path / "keys"


def reopen(keys, region="eu"):
    return open_ring(keys, region, FileRoot(keys / "root.json", region))


def rewrite(keys, change, sign_with=None):
    """Change the ring's state as somebody who can write files does; the signature is theirs or the old one."""
    signed = read_ring(keys, "eu")
    ring = encode_state(change(signed.state))
    signature = sign_with.sign(signed_content(ring)) if sign_with else signed.signature
    (keys / "ring.json").write_bytes(encode_document(ring, signature))


def with_entry(state, entry_id, **change):
    entries = [msgspec.structs.replace(e, **change) if e.id == entry_id else e for e in state.entries]
    return msgspec.structs.replace(state, entries=tuple(entries), serial=state.serial + 1)


def own_epoch(state):
    public = X25519PrivateKey.generate().public_key().public_bytes_raw()
    return with_entry(state, "epoch/1", public={"x25519": base64.b64encode(public).decode()})


def roll_back(state):
    return msgspec.structs.replace(state, erasures=state.erasures - 1, serial=state.serial + 1)


@pytest.mark.parametrize("change", [own_epoch, roll_back], ids=["epoch of my own", "an erasure forgotten"])
@pytest.mark.parametrize("signer", [None, Ed25519PrivateKey.generate()], ids=["old signature", "my signature"])
def test_who_can_only_write_files_cannot_put_a_key_in(keys, change, signer):
    ring = make_ring(keys)
    ring.note_erasure()
    file, worker = RingFile(keys, ring.worker()), ring.worker()
    file.current()
    rewrite(keys, change, signer)
    for look in (file.current, RingFile(keys, worker).current, lambda: ring.state, lambda: reopen(keys)):
        with pytest.raises(KeyUnusable, match="changed by somebody else"):
            look()


def test_who_swaps_the_signing_key_too_fails_at_the_root(keys, tmp_path):
    ring = make_ring(keys)
    stranger = make_ring(tmp_path / "stranger")
    entry = stranger.state.find("ring")
    rewrite(
        keys,
        lambda state: with_entry(state, "ring", wrapped=entry.wrapped),
        Ed25519PrivateKey.from_private_bytes(stranger._secrets["ring"]),
    )
    with pytest.raises(KeyUnusable, match="does not open with the root"):
        reopen(keys)
    with pytest.raises(KeyUnusable, match="changed by somebody else"):
        RingFile(keys, ring._worker).current()


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("pseudonym", "protect"),
        ("protect", "ring"),
        ("log", "witness"),
        ("model/a", "model/b"),
        ("model/a", "dataset/a"),
    ],
)
def test_a_wrapped_key_opens_only_where_it_belongs(keys, source, target):
    ring = make_ring(keys)
    for purpose, name in (("model", "a"), ("model", "b"), ("dataset", "a")):
        ring.file_key(purpose, name)
    by_id = {entry.id: entry for entry in ring.state.entries}
    moved = msgspec.structs.replace(by_id[target], wrapped=by_id[source].wrapped)
    with pytest.raises(KeyUnusable, match="does not open"):
        ring.opens(moved)
    with pytest.raises(KeyUnusable, match="does not open"):  # nor in an earlier version of its own place
        ring.opens(msgspec.structs.replace(by_id[source], version=2))
    ring.opens(by_id[source])


def test_a_wrapped_epoch_does_not_open_as_another_nor_in_another_region(keys, tmp_path):
    ring = make_ring(keys)
    first = ring.state.epoch
    with pytest.raises(KeyUnusable, match="does not open"):
        ring.opens(msgspec.structs.replace(first, name="2"))
    shutil.copytree(keys, tmp_path / "us")
    for name in ("ring.json", "root.json"):  # even if the thief renames the region in both files
        text = (tmp_path / "us" / name).read_text().replace('"region":"eu"', '"region":"us"').replace("/eu/", "/us/")
        (tmp_path / "us" / name).write_text(text)
    with pytest.raises(KeyUnusable, match="does not open with the root of region us"):
        reopen(tmp_path / "us", "us")


def test_a_cell_moved_to_another_subject_epoch_or_region_does_not_open(keys):
    ring = make_ring(keys)
    write_cells(ring, "w0", 1)
    cell = decode_cell((ring.subjects / "1" / "w0.cells").read_bytes())
    private, secret = ring.epoch_private(1), ring.epoch_secret(1)
    assert private.unwrap(cell)
    for thief, moved in [
        (private, cell._replace(lookup="b" * 32)),
        (private, cell._replace(key="b" * 32)),
        (EpochPrivate("eu", 2, secret), cell),
        (EpochPrivate("us", 1, secret), cell),
    ]:
        with pytest.raises(EvidenceDamaged):
            thief.unwrap(moved)


def in_a_child(work):
    """Run `work` in a forked child that ends without any clean-up; its exit status (0 when it came to the end)."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


STEPS = ("fsync", "rename", "unlink", "rmdir", "mkdir", "link")


def killed_at(step, act, keys):
    """`act` in a process that dies right before its `step`-th change of the disk; whether it got that far."""

    def work():
        left = [step]

        def dying(original):
            def call(*arguments, **named):
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)
                return original(*arguments, **named)

            return call

        for name in STEPS:
            setattr(os, name, dying(getattr(os, name)))
        act(reopen(keys), Recorded())

    return in_a_child(work) == 9


@pytest.mark.parametrize("act", [epochs.new_epoch, epochs.rotate])
def test_killed_at_every_step_it_goes_on_and_loses_nothing(tmp_path, act):
    origin = make_ring(tmp_path / "origin" / "keys")
    minted = write_cells(origin, "w0", 6) | write_cells(origin, "w1", 2)
    erased = list(minted)[3]
    with (origin.subjects / "1" / "w0.cells").open("r+b") as file:
        file.seek(3 * 128)
        file.write(bytes(128))
    alive = {key: clear for key, clear in minted.items() if key != erased}
    bundle, model = origin.worker_bundle(), origin.file_key("model", "chat")
    step, reached = 0, True
    while reached:
        keys = tmp_path / str(step) / "keys"
        shutil.copytree(origin.folder, keys)
        reached = killed_at(step, act, keys)
        ring = reopen(keys)
        worker = RingFile(keys, ring.worker())
        assert {key: clear for _, key, clear in living(ring)} == alive  # nobody is locked out in between
        change = act(ring, Recorded())
        assert change.held_by == ()
        assert not ring.state.doomed
        assert not ring.state.epochs("retiring")
        assert sorted((key, clear) for _, key, clear in living(ring)) == sorted(alive.items())  # nothing twice
        assert worker.current()[0] == ring.epoch_private(worker.current()[0].epoch).public
        assert ring.file_key("model", "chat") == model
        if act is epochs.rotate:
            assert ring.worker_bundle() == bundle
        else:
            assert names(ring.subjects) == {str(change.epoch)}
            assert {path.name[0] for path in (ring.subjects / str(change.epoch)).iterdir()} == {"r"}
        secrets = json.loads((keys / "root.json").read_text())["secrets"]
        assert {entry.handle for entry in ring.state.entries if entry.state != "destroyed"} <= set(secrets)
        step += 1
    assert step > 10  # the kills were real


def test_an_older_copy_of_ring_and_cells_is_dead_after_a_new_epoch(keys, tmp_path):
    ring = make_ring(keys)
    minted = write_cells(ring, "w0", 3)
    backup = tmp_path / "backup"
    backup.mkdir(mode=0o700)
    shutil.copy2(keys / "ring.json", backup)  # what a backup may hold: all but the root
    shutil.copytree(ring.subjects, backup / "subjects")
    with (ring.subjects / "1" / "w0.cells").open("r+b") as file:
        file.write(bytes(128))
    ring.note_erasure()
    epochs.new_epoch(ring, Recorded())
    assert len(living(ring)) == 2
    shutil.rmtree(keys / "subjects")
    shutil.copytree(backup / "subjects", keys / "subjects")
    shutil.copy2(backup / "ring.json", keys)
    restored = reopen(keys)  # the base key still opens it: nobody is locked out of the rest
    assert restored.state.epoch.name == "1"
    cell = decode_cell((restored.subjects / "1" / "w0.cells").read_bytes()[:128])
    assert cell.key in minted
    # What a writer would mint under it could never be read: none gets keys, whatever else the ring is good for.
    for use in (lambda: restored.epoch_private(1), restored.worker, restored.worker_bundle):
        with pytest.raises(KeyUnusable, match="no such wrapping key"):
            use()
    assert len(restored.file_key("model", "chat")) == 32


def test_a_pipe_in_place_of_a_file_holds_nobody_up(keys):
    """Opening a pipe waits for its other end: a gateway that did so would give no fallback either."""
    ring = make_ring(keys)
    follower = RingFile(keys, ring.worker())
    follower.current()
    (keys / "ring.json").unlink()
    os.mkfifo(keys / "ring.json", 0o600)
    with pytest.raises(KeyUnusable, match="Not a file"):
        follower.current()
    (keys / "root.json").unlink()
    os.mkfifo(keys / "root.json", 0o600)
    with pytest.raises(KeyUnusable, match="Not a file"):
        FileRoot(keys / "root.json", "eu").check()
    for read in (load_signer, load_verifying_key):
        with pytest.raises(KeyUnusable, match="Not a file"):
            read(keys / "root.json")
    with pytest.raises(SealBroken):
        read_bundle(keys / "root.json")
