"""Key files: appended, found again, erased in place, and let go of when an epoch ends."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.evidence.subjects import CELL_BYTES, RANDOM_BYTES, mint
from firedoor.errors import EvidenceDamaged
from firedoor.store.cells import CellFile, SubjectKeys, cell_files, cells, erase, find_cell
from firedoor.store.segments import Disk

from .journals import ANN, BEN, Epochs, free


def minted(epochs, count, lookup=ANN):
    return [mint(epochs.current()[0], lookup, n, os.urandom(RANDOM_BYTES))[0] for n in range(count)]


@pytest.fixture
def epochs():
    return Epochs()


def test_cells_are_appended_and_found(tmp_path, epochs):
    file = CellFile(tmp_path, "w0", Disk())
    assert file.open(epochs) == epochs.current()[0]
    first, second = minted(epochs, 3), minted(epochs, 2, BEN)
    file.append(1, b"".join(cell.encode() for cell in first))
    file.append(1, b"".join(cell.encode() for cell in second))
    file.close()
    ((epoch, path),) = cell_files(tmp_path)
    assert (epoch, path.name, path.stat().st_mode & 0o777) == (1, "w0.cells", 0o600)
    assert list(cells(path)) == [(n * CELL_BYTES, cell) for n, cell in enumerate(first + second)]
    for cell in first + second:
        assert find_cell(tmp_path, cell.key) == (1, cell)
    assert find_cell(tmp_path, "ab" * 16) is None
    assert find_cell(tmp_path, ANN) is None  # a look-up pseudonym is not a key id


def test_a_torn_cell_is_cut_off_and_whole_ones_stay(tmp_path, epochs):
    (tmp_path / "1").mkdir()
    path = tmp_path / "1" / "w0.cells"
    one, other = minted(epochs, 2)
    for left in (1, 64, 127):
        path.write_bytes(one.encode() + other.encode()[:left])
        assert [cell for _, cell in cells(path)] == [one]
        file = CellFile(tmp_path, "w0", Disk())
        file.open(epochs)
        file.append(1, other.encode())
        file.close()
        assert [cell for _, cell in cells(path)] == [one, other]


def test_erasing_leaves_zeros_and_the_others(tmp_path, epochs):
    file = CellFile(tmp_path, "w0", Disk())
    file.open(epochs)
    made = minted(epochs, 4)
    file.append(1, b"".join(cell.encode() for cell in made))
    ((_, path),) = cell_files(tmp_path)
    erase(path, [0, 2 * CELL_BYTES])
    more = minted(epochs, 1, BEN)
    file.append(1, more[0].encode())  # while its writer lives
    file.close()
    assert [cell for _, cell in cells(path)] == [made[1], made[3], *more]
    assert made[0].key.encode() not in path.read_bytes()
    assert bytes.fromhex(made[0].key) not in path.read_bytes()
    assert find_cell(tmp_path, made[0].key) is None
    assert find_cell(tmp_path, made[3].key) == (1, made[3])
    with pytest.raises(EvidenceDamaged, match="byte 130 is not the start of a cell"):
        erase(path, [130])


@given(st.data())
def test_a_flipped_bit_in_a_key_file_is_told(tmp_path_factory, data):
    epochs, folder = Epochs(), tmp_path_factory.mktemp("keys")
    (folder / "1").mkdir()
    path = folder / "1" / "w0.cells"
    made = minted(epochs, 3)
    content = bytearray(b"".join(cell.encode() for cell in made))
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    with pytest.raises(EvidenceDamaged, match="key cell"):
        list(cells(path))
    hit = bit // 8 // CELL_BYTES
    for number, cell in enumerate(made):
        if number != hit:
            assert find_cell(folder, cell.key) == (1, cell)


def test_a_new_epoch_has_a_file_of_its_own_and_the_old_one_is_let_go(tmp_path, epochs):
    file = CellFile(tmp_path, "w0", Disk())
    file.open(epochs)
    old = minted(epochs, 1)[0]
    file.append(1, old.encode())
    path = tmp_path / "1" / "w0.cells"
    assert not free(path)
    epochs.next()
    new = minted(epochs, 1)[0]
    file.append(2, new.encode())
    assert free(path)
    assert not free(tmp_path / "2" / "w0.cells")
    assert [epoch for epoch, _ in cell_files(tmp_path)] == [1, 2]
    assert (find_cell(tmp_path, old.key), find_cell(tmp_path, new.key)) == ((1, old), (2, new))
    file.leave(2)
    assert not free(tmp_path / "2" / "w0.cells")
    file.leave(3)
    assert free(tmp_path / "2" / "w0.cells")
    file.close()


def test_an_epoch_that_changes_while_the_file_is_opened_is_followed(tmp_path, epochs):
    class Changing:
        def __init__(self):
            self.asked = 0

        def current(self):
            self.asked += 1
            if self.asked == 2:
                epochs.next()
            return epochs.current()

    file = CellFile(tmp_path, "w0", Disk())
    assert file.open(Changing()).epoch == 2
    assert free(tmp_path / "1" / "w0.cells")
    file.close()


def test_epochs_are_listed_as_numbers_and_other_names_are_passed_over(tmp_path):
    for name in ("10", "9", "notes", "1.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "w0.cells").touch()
    (tmp_path / "9" / "w0.cells~").touch()
    assert [(epoch, path.name) for epoch, path in cell_files(tmp_path)] == [(9, "w0.cells"), (10, "w0.cells")]
    assert list(cell_files(tmp_path / "absent")) == []


class TestSubjectKeys:
    def test_it_mints_once_and_remembers(self, epochs):
        keys = SubjectKeys(epochs)
        assert keys.key(ANN, 5) is keys.key(ANN, 6)
        assert keys.key(BEN, 5) is not keys.key(ANN, 5)
        assert [epoch for epoch, _ in keys.unwritten] == [1, 1]
        assert all(len(cell) == CELL_BYTES for _, cell in keys.unwritten)

    def test_it_forgets_when_the_region_says_so(self, epochs):
        keys = SubjectKeys(epochs)
        first = keys.key(ANN, 5)
        keys.refresh()
        assert keys.key(ANN, 5) is first
        epochs.erased += 1
        keys.refresh()
        assert keys.unwritten == []
        second = keys.key(ANN, 5)
        epochs.next()
        keys.refresh()
        third = keys.key(ANN, 5)
        assert len({first.id, second.id, third.id}) == 3
        assert [epoch for epoch, _ in keys.unwritten] == [2]
