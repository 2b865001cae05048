"""Exporting evidence: what goes into a bundle, what never does, and what is on record of it."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from itertools import islice

import pyrage
import pytest
from msgspec import json as fast

from firedoor.app.bundlecheck import verify_bundle
from firedoor.app.logexport import _readable
from firedoor.core.evidence.bundle import RecordKeys, Selection, decode_custody
from firedoor.core.evidence.checkpoint import parse_checkpoint
from firedoor.core.evidence.note import ED25519, Note, log_signers, parse_note
from firedoor.core.evidence.tree import leaf_hash
from firedoor.core.people import READ_REASONS
from firedoor.errors import ActRefused, JournalPoisoned, SetupError
from firedoor.store.bundlefiles import write_zip
from firedoor.store.journal_read import read
from firedoor.store.tilelog_read import LogReader, read_rows

from .bundles import agreed, filled, load_script, lookup, receiver

script = load_script()


@pytest.fixture
def house(tmp_path):
    return filled(tmp_path, exchanges=4)


def files(bundle):
    return {p.relative_to(bundle).as_posix(): p.read_bytes() for p in bundle.rglob("*") if p.is_file()}


def last_record(house):
    return list(read(house.place.journal("operator")))[-1].leaf


def left_behind(folder):
    return [path.name for path in folder.iterdir() if path.name not in {"home", "witness-state", ".witness-state.lock"}]


def test_leaves_only_unless_bodies_are_asked_for(house, tmp_path):
    made = house.export(tmp_path / "bundle", Selection(exchanges=("ex_1",)))
    found = files(tmp_path / "bundle")
    assert not any(name.startswith("bodies/") or name == "record-keys.age" for name in found)
    assert {"custody.json", "custody.sig.json", "policy", "README.md", "verify.py"} <= found.keys()
    assert (made.bodies, made.logs, made.problems) == (0, 2, ())
    for data in found.values():  # no content, sealed or not
        assert b"question" not in data.replace(b"a question", b"") or data == found["README.md"]
    assert verify_bundle(tmp_path / "bundle").ok


def test_only_the_logs_concerned_and_whole(house, tmp_path):
    house.export(tmp_path / "bundle", Selection(exchanges=("ex_1",)))
    found = files(tmp_path / "bundle")
    assert {name.split("/")[1] for name in found if name.startswith("log/")} == {"checkpoints", "w1"}
    # The other exchange of that slot is there too: that is what makes completeness provable.
    assert any(b"ex_3" in data for data in found.values())
    assert not any(b"ex_0" in data for name, data in found.items() if name.startswith("log/"))


def test_custody_says_who_when_why_and_every_file(house, tmp_path):
    selection = Selection(exchanges=("ex_1",), since=5)
    house.export(tmp_path / "bundle", selection, reason="audit")
    found = files(tmp_path / "bundle")
    custody = decode_custody(found["custody.json"])
    assert (custody.by, custody.reason, custody.made_at, custody.plan) == (
        "ben",
        "audit",
        house.now,
        house.loaded.digest,
    )
    assert (custody.selection, custody.selection_sha256) == (selection, selection.digest)
    assert custody.tool.startswith("firedoor")
    named = {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}
    assert custody.files == {name: value for name, value in named.items() if not name.startswith("custody.")}


def test_the_hand_over_is_on_record(house, tmp_path):
    made = house.export(tmp_path / "bundle", Selection(exchanges=("ex_1",)))
    leaf = last_record(house)
    assert made.manifest == hashlib.sha256((tmp_path / "bundle" / "custody.json").read_bytes()).hexdigest()
    assert leaf.kind == "access"
    assert {k: leaf.facts[k] for k in ("act", "state", "manifest", "by", "bodies")} == {
        "act": "export", "state": "done", "manifest": made.manifest, "by": "ben", "bodies": 0,
    }  # fmt: skip


def test_bodies_are_sealed_to_the_receiver_and_open_one_each(house, tmp_path):
    selection = Selection(exchanges=("ex_1",))
    identity, recipient = receiver()
    stranger, _ = receiver()
    house.export(tmp_path / "bundle", selection, bodies_to=recipient, grant=agreed(house, selection, recipient))
    sealed = (tmp_path / "bundle" / "record-keys.age").read_bytes()
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(sealed, [stranger])
    keys = fast.decode(pyrage.decrypt(sealed, [identity]), type=RecordKeys)
    assert [(one.slot, one.seq) for one in keys.keys] == [("w1", 2), ("w1", 3)]
    assert len({one.key for one in keys.keys}) == 2
    leaf = last_record(house)
    assert leaf.facts["recipient"] == recipient
    assert leaf.body is not None  # the note, sealed
    assert len(leaf.facts["signatures"]) == 2


REFUSED = [
    ({"grant": None}, "no_grant"),
    ({"other": Selection(exchanges=("ex_0",))}, "other_selection"),
    ({"to": True}, "other_recipient"),
    ({"one": True}, "second_person_missing"),
    ({"shown": True}, "other_recipient"),
]


@pytest.mark.parametrize(("how", "expected"), REFUSED)
def test_bodies_leave_only_as_two_persons_agreed(house, tmp_path, how, expected):
    selection = Selection(exchanges=("ex_1",))
    _, recipient = receiver()
    request = house.request(selection, **({} if how.get("shown") else {"recipient": recipient}))
    grant = request if how.get("one") else house.approve(request)
    with pytest.raises(ActRefused) as refused:
        house.export(
            tmp_path / "bundle",
            how.get("other", selection),
            bodies_to=receiver()[1] if how.get("to") else recipient,
            grant=how.get("grant", grant),
        )
    assert refused.value.code == expected
    assert left_behind(tmp_path) == []
    assert (last_record(house).facts["state"], last_record(house).facts["code"]) == ("refused", expected)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"selection": Selection()}, ActRefused),
        ({"selection": Selection(incident="INC-1")}, ActRefused),
        ({"reason": "because"}, ActRefused),
        ({"bodies_to": "age1" + "q" * 58}, ActRefused),  # no key: its checksum is wrong
        ({"signed_by": "dora"}, ActRefused),  # an engineer hands no evidence out
    ],
)
def test_bad_orders_leave_nothing_behind(house, tmp_path, changes, error):
    values = {"selection": Selection(exchanges=("ex_1",)), **changes}
    with pytest.raises(error):
        house.export(tmp_path / "bundle", values.pop("selection"), **values)
    assert left_behind(tmp_path) == []


def test_what_is_there_is_never_replaced(house, tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for out in (tmp_path / "bundle", tmp_path / "link", tmp_path / "absent" / "bundle"):
        with pytest.raises(SetupError):
            house.export(out)
    assert list((tmp_path / "bundle").iterdir()) == []


def test_one_bundle_has_one_zip(house, tmp_path):
    house.export(tmp_path / "bundle")
    os.utime(tmp_path / "bundle" / "policy", (1, 1))
    write_zip(tmp_path / "bundle", tmp_path / "one.zip")
    shutil.copytree(tmp_path / "bundle", tmp_path / "copy")
    write_zip(tmp_path / "copy", tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    house.export(tmp_path / "three.zip")
    with zipfile.ZipFile(tmp_path / "three.zip") as packed:
        assert packed.namelist() == sorted(packed.namelist())
        assert {info.date_time for info in packed.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert verify_bundle(tmp_path / "three.zip").ok
    assert script.verify(str(tmp_path / "three.zip")).wrong == []
    assert not any(path.name.startswith(".three") for path in tmp_path.iterdir())


@pytest.mark.parametrize("reason", READ_REASONS)
def test_every_reason_may_be_given(house, tmp_path, reason):
    house.export(tmp_path / "bundle", reason=reason)
    assert decode_custody((tmp_path / "bundle" / "custody.json").read_bytes()).reason == reason


def test_nobody_has_to_sign_and_then_custody_says_so(house, tmp_path):
    house.export(tmp_path / "bundle", signed_by=None)
    assert decode_custody((tmp_path / "bundle" / "custody.json").read_bytes()).by == f"uid:{os.getuid()}"
    report = script.verify(str(tmp_path / "bundle"))
    assert report.wrong == []
    assert any("a claim" in note for note in report.notes)


# Damage, and logs on the move


def damage(house, name):
    path = house.place.root / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\xff" * 99])
def test_a_regions_checkpoint_that_is_none_is_replaced_by_the_cosigned_one(house, tmp_path, content):
    (house.place.logs / "checkpoints/checkpoint").write_bytes(content)
    made = house.export(tmp_path / "bundle", Selection(exchanges=("ex_1",)))
    assert "log/checkpoints/checkpoint" in {problem.file for problem in made.problems}
    cosigned = (house.place.logs / "checkpoints/cosigned").read_bytes()
    assert (tmp_path / "bundle/log/checkpoints/checkpoint").read_bytes() == cosigned


@pytest.mark.parametrize(
    "name",
    [
        "log/w1/tile/entries/000.p/6",
        "log/w1/tile/0/000.p/6",
        "log/checkpoints/tile/0/000.p/3",
        "log/w1/checkpoint",
        "log/checkpoints/checkpoint",
    ],
)
def test_a_log_that_does_not_verify_is_exported_and_named(house, tmp_path, name):
    damage(house, name)
    made = house.export(tmp_path / "bundle", Selection(exchanges=("ex_1",)))
    assert name in {problem.file for problem in made.problems}
    if name == "log/w1/checkpoint":  # the region's log has a good copy of it, which is in the bundle
        assert script.verify(str(tmp_path / "bundle")).wrong == []
        return
    if name == "log/checkpoints/checkpoint" and not _readable((house.place.root / name).read_bytes()):
        return  # the flipped bit made it no checkpoint at all: see the test before this one
    assert name in (tmp_path / "bundle" / "README.md").read_text()
    report = script.verify(str(tmp_path / "bundle"))
    assert report.wrong
    assert not verify_bundle(tmp_path / "bundle").ok
    assert any(f"known when the bundle was made: {name}" in note for note in report.notes)


def test_a_missing_tile_is_named(house, tmp_path):
    (house.place.logs / "w1" / "tile" / "0" / "000.p" / "6").unlink()
    made = house.export(tmp_path / "bundle", Selection(exchanges=("ex_1",)))
    assert "log/w1/tile/0/000.p/6" in {problem.file for problem in made.problems}
    assert "log/w1/tile/0/000.p/6" in {where for where, _ in script.verify(str(tmp_path / "bundle")).wrong}


def test_a_log_that_grew_since_is_exported_as_it_was_witnessed(house, tmp_path):
    house.write("w1", [r for n in range(200) for r in house.exchange(f"new_{n}", lookup("late"))])
    recorded = (house.place.logs / "checkpoints").with_name("saved")
    shutil.copytree(house.place.logs / "checkpoints", recorded)
    house.publish()  # the partial tiles of the older checkpoint are gone now
    shutil.rmtree(house.place.logs / "checkpoints")
    recorded.rename(house.place.logs / "checkpoints")
    made = house.export(tmp_path / "bundle", Selection(exchanges=("ex_1",)))
    assert made.problems == ()
    assert script.verify(str(tmp_path / "bundle")).wrong == []
    late = house.export(tmp_path / "late", Selection(exchanges=("new_7",)))
    assert any("not published yet" in problem.problem for problem in late.problems)


def test_without_a_published_log_there_is_nothing_to_hand_out(house, tmp_path):
    shutil.rmtree(house.place.logs / "checkpoints")
    with pytest.raises(SetupError, match="no published log"):
        house.export(tmp_path / "bundle")
    assert left_behind(tmp_path) == []


def test_a_damaged_journal_is_named(house, tmp_path):
    segment = next(house.place.journal("w0").glob("*.journal"))
    data = bytearray(segment.read_bytes())
    data[60] ^= 1
    segment.write_bytes(data)
    made = house.export(tmp_path / "bundle", Selection(exchanges=("ex_1",)))
    assert any(problem.file == "journal/w0" for problem in made.problems)


def test_nothing_appears_that_is_not_on_record(house, tmp_path):
    def work(desk):
        from firedoor.app.export import Order, export

        def fail(record):
            raise JournalPoisoned("the disk is full")

        desk._write = fail
        order = Order(selection=Selection(exchanges=("ex_1",)), reason="audit", out=tmp_path / "bundle")
        return export(house.home, desk, order)

    with pytest.raises(JournalPoisoned):
        house.desk(work)
    assert left_behind(tmp_path) == []


# Somebody else's verifiers

needs_tlog_scales = pytest.mark.skipif(
    find_spec("tlog_scales") is None, reason="not installed: pip install tlog-scales"
)
needs_witness_log = pytest.mark.skipif(
    find_spec("witness_log") is None, reason="not installed: pip install witness-log"
)


def keys_of(house, slot):
    return [one.vkey for one in log_signers(f"{house.name}/{slot}", house.ring.log_seeds())]


@needs_tlog_scales
@pytest.mark.parametrize("slot", ["w1", "checkpoints"])
def test_tlog_scales_verifies_an_exported_log(house, tmp_path, slot):
    from tlog_scales.backend import LocalBackend
    from tlog_scales.reader import TilesReader
    from tlog_scales.signing import Vkey, VkeySet

    house.export(tmp_path / "bundle", Selection(exchanges=("ex_1",)))
    folder = tmp_path / "bundle" / "log" / slot
    reader = TilesReader(LocalBackend(folder))
    checkpoint = reader.get_checkpoint()
    assert reader.calculate_root_hash() == checkpoint.root_hash
    keys = VkeySet(*(Vkey.from_string(str(key)) for key in keys_of(house, slot)))
    assert len(keys.verify(checkpoint.signatures, checkpoint)) == 2
    command = [sys.executable, "-m", "tlog_scales.cli", "get-leaf", "-c", str(folder), "1"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, next(islice(read(house.place.journal(slot)), 1, None)).data), (
        done.stderr
    )


@needs_tlog_scales
def test_tlog_scales_refuses_a_changed_bundle(house, tmp_path):
    house.export(tmp_path / "bundle", Selection(exchanges=("ex_1",)))
    folder = tmp_path / "bundle" / "log" / "w1"
    path = folder / "tile" / "entries" / "000.p" / "6"
    path.write_bytes(path.read_bytes().replace(b"ex_1", b"ex_9", 1))
    command = [sys.executable, "-m", "tlog_scales.cli", "get-leaf", "-c", str(folder), "1"]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode != 0


@needs_witness_log
def test_witness_log_cosigns_and_proves_from_a_bundle_alone(house, tmp_path):
    import witness_log

    house.export(tmp_path / "bundle", Selection(exchanges=("ex_1",)))
    folder = tmp_path / "bundle" / "log" / "checkpoints"
    note = (folder / "checkpoint").read_bytes()
    key = next(key for key in keys_of(house, "checkpoints") if key.kind == ED25519)
    witness = witness_log.WitnessService.new("witness.example/eu", bytes([9] * 32))
    assert witness.add_log(f"{house.name}/checkpoints", str(key))
    own = Note(parse_note(note).text, tuple(s for s in parse_note(note).signatures if s.by(key))).encode()
    assert witness.handle_add_checkpoint("old 0\n\n" + own.decode())[0] == 200
    assert witness.handle_add_checkpoint("old 0\n\n" + own.decode().replace("\n3\n", "\n4\n"))[0] != 200

    checkpoint = parse_checkpoint(parse_note(note).text)
    log = LogReader(folder, checkpoint, read_rows(folder, checkpoint.size))
    for index, entry in enumerate(log.entries()):
        proof = [step.hex() for step in log.inclusion(index)]
        hashes = leaf_hash(entry).hex(), leaf_hash(entry + b" ").hex()
        good = [witness_log.verify_inclusion(h, index, log.size, proof, checkpoint.root.hex()) for h in hashes]
        assert good == [True, False]
