"""Bodies beside the journal: their places, files that come and go, and telling erased, expired, lost and changed apart."""

import pytest

from firedoor.core.evidence.leaf import body_file
from firedoor.core.evidence.scribe import Placed
from firedoor.core.evidence.subjects import body_context
from firedoor.core.evidence.xaes import open_message
from firedoor.errors import EvidenceDamaged, KeyUnusable
from firedoor.store import bodies as bodies_module
from firedoor.store.bodies import BodyFiles, BodyReader, blank
from firedoor.store.cells import cell_files, cells, erase
from firedoor.store.journal_verify import verify
from firedoor.store.opening import BodyOpener
from firedoor.store.segments import Disk

from .journals import ANN, BEN, HOUR, Evidence, record

PATH = "support/2026-11-23T04/w0.00000000000000000003"


@pytest.fixture
def region(tmp_path):
    return Evidence(tmp_path)


class TestFiles:
    def files(self, folder):
        return BodyFiles(folder, Disk())

    def test_bodies_lie_one_after_another(self, tmp_path):
        files = self.files(tmp_path)
        other = PATH.replace("support", "search")
        files.append([Placed(PATH, 0, b"one"), Placed(other, 0, b"theirs"), Placed(PATH, 3, b"two")])
        files.append([Placed(PATH, 6, b"three")])
        files.close()
        assert (tmp_path / PATH).read_bytes() == b"onetwothree"
        assert (tmp_path / other).read_bytes() == b"theirs"

    def test_what_a_crash_left_is_cut_off_before_the_name_is_used_again(self, tmp_path):
        first = self.files(tmp_path)
        first.append([Placed(PATH, 0, b"never acknowledged, and longer")])
        first.close()
        again = self.files(tmp_path)
        again.append([Placed(PATH, 0, b"new")])
        again.append([Placed(PATH, 3, b"er")])
        again.close()
        assert (tmp_path / PATH).read_bytes() == b"newer"

    def test_a_file_that_was_closed_for_others_goes_on_where_it_ended(self, tmp_path, monkeypatch):
        monkeypatch.setattr(bodies_module, "OPEN_FILES", 2)
        files = self.files(tmp_path)
        names = [PATH.replace("support", name) for name in ("a", "b", "c")]
        for turn in range(4):
            files.append([Placed(name, 2 * turn, b"%d," % turn) for name in names])
        files.close()
        assert [(tmp_path / name).read_bytes() for name in names] == [b"0,1,2,3,"] * 3

    @pytest.mark.parametrize("change", ["shorten", "remove"])
    def test_a_file_that_was_shortened_or_removed_meanwhile_is_refused(self, tmp_path, monkeypatch, change):
        monkeypatch.setattr(bodies_module, "OPEN_FILES", 1)
        files = self.files(tmp_path)
        files.append([Placed(PATH, 0, b"one")])
        files.append([Placed(PATH.replace("support", "a"), 0, b"x")])
        (tmp_path / PATH).write_bytes(b"o") if change == "shorten" else (tmp_path / PATH).unlink()
        with pytest.raises(OSError, match=r"shortened|No such file"):
            files.append([Placed(PATH, 3, b"two")])
        files.close()

    def test_folders_and_files_are_the_owners_alone(self, tmp_path):
        files = self.files(tmp_path)
        files.append([Placed(PATH, 0, b"x")])
        files.close()
        modes = [(tmp_path / PATH).parents[1], (tmp_path / PATH).parent, tmp_path / PATH]
        assert [path.stat().st_mode & 0o777 for path in modes] == [0o700, 0o700, 0o600]


class TestReader:
    @pytest.mark.parametrize("ahead", [0, 7, 4096])
    def test_any_order_and_any_read_ahead_give_the_same(self, region, monkeypatch, ahead):
        monkeypatch.setattr(bodies_module, "OPEN_FILES", 2)
        start = 500_000 * HOUR
        region.write([record(body=b"%d" % n * n, at=start + n % 5 * HOUR, subject=ANN) for n in range(30)])
        leaves = [leaf for leaf in region.leaves() if leaf.body]
        reader = BodyReader(region.bodies, ahead)
        found = {}
        for leaf in [*leaves[::-1], *leaves, *leaves[::3]]:
            assert found.setdefault(leaf.seq, reader.read(leaf)) == reader.read(leaf)
        assert len(found) == 30
        reader.close()

    def test_what_is_not_there_is_told_apart(self, region):
        region.write([record(body=b"x" * 9, subject=ANN) for _ in range(3)])
        first, second, third = (leaf for leaf in region.leaves() if leaf.body)
        (path,) = region.body_files()
        blank(path, [(first.body.offset, first.body.length)])
        changed = bytearray(path.read_bytes())
        changed[second.body.offset] ^= 1
        path.write_bytes(changed)
        reader = BodyReader(region.bodies)
        assert [reader.look(leaf)[0] for leaf in (first, second, third)] == ["blank", "changed", "whole"]
        with pytest.raises(EvidenceDamaged, match="was erased or has expired"):
            reader.read(first)
        with pytest.raises(EvidenceDamaged, match="is not the one its leaf names"):
            reader.read(second)
        reader.close()
        path.unlink()
        reader = BodyReader(region.bodies)
        with pytest.raises(EvidenceDamaged, match="its file was deleted"):
            reader.read(third)
        with pytest.raises(EvidenceDamaged, match="has no body"):
            reader.read(region.leaves()[0])

    def test_a_file_that_ends_early_is_changed(self, region):
        region.write([record(body=b"x" * 90)])
        (path,) = region.body_files()
        path.write_bytes(path.read_bytes()[:-1])
        assert BodyReader(region.bodies).look(region.leaves()[1]) == ("changed", b"")


class TestOpener:
    def test_an_erased_key_ends_all_its_bodies(self, region):
        region.write([record(body=b"hers", subject=ANN), record(body=b"his", subject=BEN)])
        ((_, path),) = cell_files(region.subjects)
        erase(path, [offset for offset, cell in cells(path) if cell.lookup == ANN])
        opener = BodyOpener(region.bodies, region.subjects, region.epochs)
        leaves = region.leaves()
        with pytest.raises(EvidenceDamaged, match="The key of record 2 of slot w0 was erased"):
            opener.open(leaves[1])
        assert opener.open(leaves[2]) == b"his"
        with pytest.raises(EvidenceDamaged, match="has no key"):
            opener.open(leaves[0])
        opener.close()

    def test_a_destroyed_epoch_ends_all_its_keys(self, region):
        region.write([record(body=b"hers", subject=ANN)])

        class Later:
            def epoch_private(self, number):
                raise KeyUnusable(f"Epoch {number} was destroyed.")

        with pytest.raises(KeyUnusable, match="Epoch 1 was destroyed"):
            region.bodies_in_clear(ring=Later())

    def test_a_single_body_can_be_given_away_with_a_key_for_it_alone(self, region):
        region.write([record(body=b"given", subject=ANN), record(body=b"kept", subject=ANN)])
        first, second = region.leaves()[1:]
        opener = BodyOpener(region.bodies, region.subjects, region.epochs)
        sealed, key = opener.sealed(first)
        assert open_message(key, sealed, body_context(first)) == b"given"
        assert opener.sealed(second)[1] != key
        opener.close()


class TestVerify:
    """What a report says of bodies that are not whole."""

    def written(self, region, extra=()):
        at = 500_000 * HOUR
        region.write(
            [
                record(body=b"hers", subject=ANN, at=at),
                record(body=b"his", subject=BEN, at=at),
                record(body=b"later", subject=BEN, at=at + HOUR),
                *extra,
            ]
        )
        hers, his, later = (leaf for leaf in region.leaves() if leaf.body)
        return hers, his, later

    def told(self, region):
        report = verify(region.journals, region.bodies)
        sums = [sum(getattr(slot, name) for slot in report.slots) for name in ("bodies", "erased", "expired")]
        return (*sums, [(one.file, one.record) for one in report.damage])

    def path(self, leaf):
        return f"bodies/{body_file(leaf.slot, leaf.at, leaf.body)}"

    def test_whole_bodies_are_counted(self, region):
        self.written(region)
        assert self.told(region) == (3, 0, 0, [])

    def test_a_blank_body_is_erased_if_a_record_says_so(self, region):
        hers, _, _ = self.written(region)
        blank(region.body_files()[0], [(hers.body.offset, hers.body.length)])
        assert self.told(region) == (2, 0, 0, [(self.path(hers), hers.seq)])
        region.write([record("erasure", keys=[hers.key])], slot="control")
        assert self.told(region) == (2, 1, 0, [])

    def test_a_deleted_file_has_expired_if_a_record_says_so(self, region):
        _, _, later = self.written(region)
        (region.root / self.path(later)).unlink()
        assert self.told(region) == (2, 0, 0, [(self.path(later), later.seq)])
        region.write([record("expiry", hours=[self.path(later).split("/", 1)[1].rpartition("/")[0]])], slot="control")
        assert self.told(region) == (2, 0, 1, [])

    def test_expiry_of_another_hour_or_class_and_erasure_of_another_key_do_not_excuse(self, region):
        hers, _, later = self.written(region)
        (region.root / self.path(later)).unlink()
        blank(region.root / self.path(hers), [(hers.body.offset, hers.body.length)])
        wrong = [
            "support/1970-01-01T00",
            self.path(later).split("/", 1)[1].rpartition("/")[0].replace("support", "search"),
        ]
        region.write([record("expiry", hours=wrong), record("erasure", keys=["0" * 32])], slot="control")
        assert self.told(region) == (1, 0, 0, [(self.path(hers), hers.seq), (self.path(later), later.seq)])

    def test_a_changed_body_is_damage_unless_it_was_being_erased(self, region):
        hers, his, _ = self.written(region)
        path = region.body_files()[0]
        data = bytearray(path.read_bytes())
        data[hers.body.offset + 3] ^= 1
        path.write_bytes(data[:-1])
        assert self.told(region) == (1, 0, 0, [(self.path(hers), hers.seq), (self.path(his), his.seq)])
        region.write([record("erasure", keys=[hers.key])], slot="control")
        assert self.told(region) == (1, 1, 0, [(self.path(his), his.seq)])

    def test_without_bodies_only_leaves_are_checked(self, region):
        self.written(region)
        for path in region.body_files():
            path.unlink()
        assert verify(region.journals).ok
        assert not verify(region.journals, region.bodies).ok

    def test_many_lost_bodies_of_a_file_are_one_damage(self, region):
        at = 500_000 * HOUR
        region.write([record(body=b"x", subject=ANN, at=at) for _ in range(50)])
        region.body_files()[0].unlink()
        (damage,) = region.damage()
        assert damage.record == 2
        assert damage.problem.startswith("50 bodies are not there")
