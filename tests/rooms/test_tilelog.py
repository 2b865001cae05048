"""The published log of a slot: layout, publication, going on after a restart, reading, repair."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.evidence.checkpoint import Checkpoint
from firedoor.core.evidence.note import NoteSeeds, Signature, parse_note, witness_signers
from firedoor.core.evidence.tree import Frontier, leaf_hash, verify_consistency, verify_inclusion
from firedoor.errors import EvidenceDamaged, JournalPoisoned, KeyUnusable, LogRefused, SetupError
from firedoor.store.tilelog import check, open_log, repair

from .logs import ORIGIN, entries, log_of, signer


def root_of(leaves):
    frontier = Frontier()
    frontier.extend(map(leaf_hash, leaves))
    return frontier.root()


def files(folder):
    """All files below a folder but the lock, by name."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_new_log_is_an_empty_signed_tree(tmp_path):
    log = open_log(tmp_path / "w0", signer())
    assert log.checkpoint == Checkpoint(ORIGIN, 0, root_of([]))
    assert files(tmp_path / "w0") == {"origin": f"{ORIGIN}\n".encode(), "checkpoint": log.note}
    log.close()
    assert check(tmp_path / "w0", signer()) == []


def test_files_of_a_log(tmp_path):
    names = files(log_of(tmp_path / "w0", 3, 260)).keys()
    assert names == {
        "origin",
        "checkpoint",
        "tile/entries/000",
        "tile/entries/001.p/4",
        "tile/0/000",
        "tile/0/001.p/4",
        "tile/1/000.p/1",
    }


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.booleans()), min_size=1, max_size=5))
def test_any_way_of_growing_leads_to_the_same_log(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("log") / "w0"
    log = open_log(folder, signer())
    for count, restart in steps:
        old = log.checkpoint
        log.append(entries(log.size, log.size + count))
        assert signer().open(log.publish()) == log.checkpoint
        leaves = entries(0, log.size)
        assert log.checkpoint == Checkpoint(ORIGIN, len(leaves), root_of(leaves))
        reader = log.reader()
        verify_consistency(old.size, old.root, log.size, log.checkpoint.root, reader.consistency(old.size))
        assert list(reader.entries()) == leaves
        if restart:
            log.close()
            log = open_log(folder, signer())
    log.close()
    assert check(folder, signer()) == []


def test_entries_and_proofs_of_a_large_log(tmp_path):
    size = 2 * 65_536 + 300
    log = open_log(tmp_path / "w0", signer())
    log.append(entries(0, size))
    log.publish()
    reader = log.reader()
    for start, end in ((0, 1), (255, 257), (65_535, 65_540), (size - 3, size), (size, size)):
        assert list(reader.entries(start, end)) == entries(start, end)
    for index in (0, 255, 256, 65_536, size - 1):
        (leaf,) = reader.entries(index, index + 1)
        verify_inclusion(index, size, leaf_hash(leaf), log.checkpoint.root, reader.inclusion(index))
    for start, end in ((0, size + 1), (2, 1), (-1, 1)):
        with pytest.raises(EvidenceDamaged, match="entries"):
            list(reader.entries(start, end))
    log.close()
    again = open_log(tmp_path / "w0", signer())
    assert again.size == size
    again.close()


def test_a_reader_stays_as_it_was_while_the_log_grows(tmp_path):
    log = open_log(tmp_path / "w0", signer())
    log.append(entries(0, 100))
    log.publish()
    reader = log.reader()
    log.append(entries(100, 700))
    assert log.checkpoint.size == 100
    log.publish()
    assert reader.size == 100
    old = log.checkpoint
    assert len(reader.inclusion(3)) == 7
    verify_consistency(100, root_of(entries(0, 100)), 700, old.root, log.reader().consistency(100, 700))
    with pytest.raises(EvidenceDamaged, match="cannot follow"):
        log.reader().consistency(100, 701)
    log.close()


def test_signing_the_same_tree_again(tmp_path):
    log = open_log(tmp_path / "w0", signer())
    log.append(entries(0, 5))
    log.publish()
    before = {name: (tmp_path / "w0" / name).stat().st_mtime_ns for name in files(tmp_path / "w0") if "tile" in name}
    log.publish()
    assert before == {name: (tmp_path / "w0" / name).stat().st_mtime_ns for name in before}
    assert log.checkpoint.size == 5
    log.close()


def test_partial_files_go_when_their_full_one_is_published(tmp_path):
    folder = log_of(tmp_path / "w0", 3, 200)
    assert {"tile/entries/000.p/3", "tile/entries/000.p/200"} <= files(folder).keys()
    log = open_log(folder, signer())
    log.append(entries(200, 300))
    assert "tile/entries/000.p/200" in files(folder)
    log.publish()
    log.close()
    assert not [name for name in files(folder) if name.startswith(("tile/entries/000.p", "tile/0/000.p"))]


def test_partial_files_left_by_a_crash_go_at_the_next_start(tmp_path):
    folder = log_of(tmp_path / "w0", 600)
    left = folder / "tile/entries/000.p/200"
    left.parent.mkdir()
    left.write_bytes(b"")
    open_log(folder, signer()).close()
    assert not left.parent.exists()
    assert "tile/entries/002.p/88" in files(folder)


def test_one_process_has_a_log(tmp_path):
    log = open_log(tmp_path / "w0", signer())
    for take in (lambda: open_log(tmp_path / "w0", signer()), lambda: repair(tmp_path / "w0", signer(), [])):
        with pytest.raises(SetupError, match="in use"):
            take()
    log.close()
    with pytest.raises(JournalPoisoned, match="closed"):
        log.append([b"x"])


@pytest.mark.parametrize("other", [ORIGIN + "x", "firedoor.evidence/acme/us/host1/w0"])
def test_a_changed_origin_is_refused(tmp_path, other):
    log_of(tmp_path / "w0", 3)
    before = files(tmp_path / "w0")
    with pytest.raises(LogRefused, match="belongs to") as refused:
        open_log(tmp_path / "w0", signer(other))
    assert refused.value.reason == "origin_changed"
    assert "aside" in refused.value.remedy
    assert files(tmp_path / "w0") == before
    assert [damage.file for damage in check(tmp_path / "w0", signer(other))] == ["origin"]


@pytest.mark.parametrize("sizes", [(3,), (300,)])
def test_a_log_that_lost_its_origin_does_not_begin_anew(tmp_path, sizes):
    folder = log_of(tmp_path / "w0", *sizes)
    (folder / "origin").unlink()
    with pytest.raises(LogRefused, match="does not say whose"):
        open_log(folder, signer())
    (folder / "tile").rename(tmp_path / "elsewhere")
    with pytest.raises(LogRefused, match="does not say whose"):
        open_log(folder, signer())


def test_another_key_is_refused(tmp_path):
    log_of(tmp_path / "w0", 3)
    other = signer(seeds=NoteSeeds(bytes(32), bytes(32)))
    with pytest.raises(LogRefused, match="cannot be trusted") as refused:
        open_log(tmp_path / "w0", other)
    assert refused.value.reason == "checkpoint_damaged"


def test_both_keys_must_have_signed_where_there_are_two(tmp_path):
    folder = log_of(tmp_path / "w0", 3, keys=signer(keys=2))
    open_log(folder, signer()).close()
    log_of(tmp_path / "w1", 3)
    with pytest.raises(LogRefused, match="missing"):
        open_log(tmp_path / "w1", signer(keys=2))


def test_a_signer_signs_for_its_own_log_alone():
    with pytest.raises(KeyUnusable, match="do not sign"):
        signer().sign(Checkpoint(ORIGIN + "x", 0, root_of([])))


class Absent:
    """Keys that are out of reach for a while."""

    origin = ORIGIN

    def __init__(self):
        self.there = True

    def sign(self, checkpoint):
        if not self.there:
            raise KeyUnusable("The root does not answer.")
        return signer().sign(checkpoint)

    def open(self, note):
        return signer().open(note)


def test_a_root_that_does_not_answer_is_asked_again(tmp_path):
    keys = Absent()
    log = open_log(tmp_path / "w0", keys)
    keys.there = False
    log.append(entries(0, 300))
    with pytest.raises(KeyUnusable):
        log.publish()
    assert log.checkpoint.size == 0
    keys.there = True
    log.append(entries(300, 301))
    log.publish()
    log.close()
    assert check(tmp_path / "w0", signer()) == []


@pytest.mark.parametrize("change", ["older", "gone", "huge"])
def test_a_checkpoint_changed_behind_the_log_stops_it(tmp_path, change):
    log = open_log(tmp_path / "w0", signer())
    old = log.note
    log.append(entries(0, 5))
    note = log.publish()
    path = tmp_path / "w0/checkpoint"
    path.unlink()
    if change != "gone":
        path.write_bytes(old if change == "older" else bytes(600_000))
    log.append(entries(5, 6))
    for call in (log.publish, lambda: log.cosign(note)):
        with pytest.raises(LogRefused) as refused:
            call()
        assert refused.value.reason == "checkpoint_changed"
    assert path.exists() == (change != "gone")
    assert log.checkpoint.size == 5
    log.close()


# Cosignatures

WITNESS = witness_signers("witness.example/us", NoteSeeds(bytes([7] * 32), bytes([8] * 32)))


def cosigned(note, extra=b""):
    signature = Signature(WITNESS[0].vkey.name, WITNESS[0].vkey.id, bytes(72))
    return note + signature.line().encode() + extra


def test_cosignatures_join_the_checkpoint(tmp_path):
    log = open_log(tmp_path / "w0", signer())
    log.append(entries(0, 5))
    note = log.publish()
    assert log.cosign(cosigned(note)) is True
    assert (tmp_path / "w0/checkpoint").read_bytes() == cosigned(note) == log.note
    assert (tmp_path / "w0/cosigned").read_bytes() == cosigned(note)
    assert log.cosign(note) is True, "signatures that are there already stay"
    assert (tmp_path / "w0/checkpoint").read_bytes() == cosigned(note)
    log.append(entries(5, 6))
    log.publish()
    log.close()
    again = open_log(tmp_path / "w0", signer())
    assert again.size == 6
    again.close()


def test_cosignatures_that_come_late_are_kept_beside_the_newer_checkpoint(tmp_path):
    log = open_log(tmp_path / "w0", signer())
    notes = []
    for size in (5, 6, 7):
        log.append(entries(log.size, size))
        notes.append(log.publish())
    assert log.cosign(cosigned(notes[1])) is False
    assert log.cosign(cosigned(notes[0])) is False
    assert (tmp_path / "w0/cosigned").read_bytes() == cosigned(notes[1]), "an older one does not replace a newer one"
    assert (tmp_path / "w0/checkpoint").read_bytes() == notes[2]
    log.close()


def test_too_few_cosignatures_do_not_replace_enough(tmp_path):
    log = open_log(tmp_path / "w0", signer())
    notes = []
    for size in (5, 6):
        log.append(entries(log.size, size))
        notes.append(log.publish())
        assert log.cosign(cosigned(notes[-1]), enough=size == 5) is True
    assert (tmp_path / "w0/cosigned").read_bytes() == cosigned(notes[0])
    assert (tmp_path / "w0/checkpoint").read_bytes() == cosigned(notes[1])
    log.close()


def test_only_signatures_may_be_added(tmp_path):
    log = open_log(tmp_path / "w0", signer())
    log.append(entries(0, 5))
    note = log.publish()
    larger = signer().sign(Checkpoint(ORIGIN, 6, root_of(entries(0, 6))))
    forged = note.replace(b"\n5\n", b"\n6\n")
    for wrong in (
        larger,
        forged,
        cosigned(note, b"free text\n"),
        cosigned(note, b"\n"),
        parse_note(note).text.encode(),
    ):
        with pytest.raises(EvidenceDamaged):
            log.cosign(wrong)
    fork = signer().sign(Checkpoint(ORIGIN, 5, root_of(entries(1, 6))))
    with pytest.raises(EvidenceDamaged):
        log.cosign(fork)
    assert files(tmp_path / "w0")["checkpoint"] == note
    assert not (tmp_path / "w0/cosigned").exists()
    log.append(entries(5, 6))
    log.publish()
    log.close()


# Repair


@pytest.mark.parametrize("gone", ["tile", "tile/0", "tile/entries", "tile/entries/001", "tile/1/000.p/2"])
def test_repair_from_the_journal(tmp_path, gone):
    folder = log_of(tmp_path / "w0", 520)
    whole = files(folder)
    (folder / gone).rename(tmp_path / "gone")
    aside = repair(folder, signer(), iter(entries(0, 900)))
    assert (aside is None) == (gone == "tile")
    assert check(folder, signer()) == []
    now = files(folder)
    assert {name: now[name] for name in whole} == whole
    log = open_log(folder, signer())
    assert list(log.reader().entries()) == entries(0, 520)
    log.close()


@pytest.mark.parametrize(
    ("leaves", "says"),
    [
        (entries(0, 519), "519 of the 520"),
        ([b"rewritten", *entries(1, 520)], "was changed"),
        ([*entries(0, 519), b"rewritten"], "was changed"),
        ([], "0 of the 520"),
    ],
)
def test_a_journal_that_says_something_else_repairs_nothing(tmp_path, leaves, says):
    folder = log_of(tmp_path / "w0", 520)
    (folder / "tile/0/000").unlink()
    before = files(folder)
    for _ in range(2):
        with pytest.raises(EvidenceDamaged, match=says):
            repair(folder, signer(), leaves)
    after = files(folder)
    assert {name: after[name] for name in before} == before
    assert all(name.startswith("rebuilt/") for name in after.keys() - before.keys())


def test_there_is_no_repair_without_a_checkpoint(tmp_path):
    folder = log_of(tmp_path / "w0", 5)
    (folder / "checkpoint").unlink()
    with pytest.raises(LogRefused, match="checkpoint is missing"):
        repair(folder, signer(), entries(0, 5))
    with pytest.raises(LogRefused, match="never begun"):
        repair(tmp_path / "w1", signer(), entries(0, 5))


@pytest.mark.parametrize("damaged", ["tile/0/000", "tile/0/001"])
def test_verified_entries_come_out_where_a_hash_tile_is_damaged(tmp_path, damaged):
    folder = log_of(tmp_path / "w0", 520)
    log = open_log(folder, signer())
    (folder / damaged).unlink()
    assert list(log.reader().entries()) == entries(0, 520)
    (folder / "tile/entries/001").write_bytes((folder / "tile/entries/000").read_bytes())
    assert list(log.reader().entries(0, 256)) == entries(0, 256)
    with pytest.raises(EvidenceDamaged, match="tile/entries/001 holds entries that are not in the log"):
        list(log.reader().entries(0, 300))
    log.close()
