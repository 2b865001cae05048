"""The sealed file of protected rows: nothing in clear on the disk, one region's only, all or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from firedoor.core.detect.leak.rows import Row, RowIndex
from firedoor.errors import ActRefused, KeyUnusable
from firedoor.keys.derive import SealingBox
from firedoor.store import rows as rows_module
from firedoor.store.rows import RowFile, masked

BOX = SealingBox("eu", bytes(range(32)))
HOODIE = Row("", "costs", "cost", ("MH01-XS", "Kestrel Ridge Hoodie"), ("41.85",))
PARKA = Row("", "costs", "cost", (" PK-7001 ", "Nordlicht Down Parka", "PK-7001"), ("120", " "), ("c-77",))
SUPPLIER = Row("", "suppliers", "supplier", ("PK-7001",), ("Meier & Sohn",))


@pytest.fixture
def file(tmp_path: Path) -> RowFile:
    return RowFile(tmp_path / "rows.sealed", BOX)


def test_rows_are_kept_sealed(file: RowFile) -> None:
    assert file.load() == ()
    added = file.add([HOODIE, PARKA])
    assert file.load() == tuple(added)
    assert added[1].terms == ("PK-7001", "Nordlicht Down Parka")
    assert added[1].values == ("120",)
    assert added[1].owners == ("c-77",)
    assert all(row.id.startswith("pr-") and len(row.id) == 15 for row in added)
    content = file.path.read_bytes()
    assert b"Kestrel" not in content
    assert b"41.85" not in content
    assert file.path.stat().st_mode & 0o077 == 0


def test_a_row_of_the_same_set_terms_and_attribute_is_replaced_and_keeps_its_id(file: RowFile) -> None:
    [first] = file.add([HOODIE])
    [again] = file.add([Row("pr-mine", "costs", "cost", HOODIE.terms, ("43.10",))])
    assert (again.id, again.values) == (first.id, ("43.10",))
    [margin] = file.add([Row("", "costs", "margin", HOODIE.terms, ("37 %",))])
    assert margin.id not in {first.id, "pr-mine", ""}
    assert file.load() == (again, margin)
    last = file.add([HOODIE, Row("", "costs", "cost", HOODIE.terms, ("44.00",))])
    assert [row.values for row in last] == [("44.00",)]


def test_one_bad_row_refuses_all_and_is_not_repeated(file: RowFile) -> None:
    with pytest.raises(ActRefused) as refused:
        file.add([HOODIE, Row("", "costs", "cost", ("Qz7",), ("41.85",))])
    assert "Qz7" not in str(refused.value)
    assert file.load() == ()
    assert not file.path.exists()


def test_removing_one_or_a_set(file: RowFile) -> None:
    hoodie, parka, supplier = file.add([HOODIE, PARKA, SUPPLIER])
    assert file.remove(hoodie.id) == [hoodie]
    assert file.remove("costs") == [parka]
    assert file.load() == (supplier,)
    with pytest.raises(ActRefused, match="no protected row"):
        file.remove("costs")


def test_a_reader_sees_each_change_once(file: RowFile) -> None:
    reader = RowFile(file.path, BOX)
    assert not reader.changed()
    file.add([HOODIE])
    assert reader.changed()
    assert len(reader.load()) == 1
    assert not reader.changed()


def test_another_regions_file_and_a_changed_one_do_not_open(file: RowFile) -> None:
    file.add([HOODIE])
    with pytest.raises(KeyUnusable, match="region us"):
        RowFile(file.path, SealingBox("us", bytes(range(32)))).load()
    whole = file.path.read_bytes()
    for place in (0, len(whole) // 2, len(whole) - 1):
        file.path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(KeyUnusable):
            file.load()
    assert file.changed()  # what could not be read counts as not yet seen


def test_there_is_a_bound(file: RowFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "MAX_ROWS", 2)
    file.add([HOODIE, PARKA])
    with pytest.raises(ActRefused, match="at most 2"):
        file.add([SUPPLIER])
    monkeypatch.setattr(rows_module, "FILE_LIMIT", 100)
    with pytest.raises(ActRefused, match="at most 100 bytes"):
        RowFile(file.path.with_name("other"), BOX).add([HOODIE])


def test_what_is_kept_is_found(file: RowFile) -> None:
    hoodie, _, supplier = file.add([HOODIE, PARKA, SUPPLIER])
    index = RowIndex.build(file.load())
    watch = index.watch(index.context())
    hits = watch.feed("MH01-XS is 41,85 € and PK-7001 comes from Meier & Sohn.") + watch.end()
    assert [hit.value_id for hit in hits] == [hoodie.id, supplier.id]


def test_masking_shows_the_beginning_of_long_terms_only() -> None:
    assert masked(SUPPLIER) == "… 1 value"
    assert masked(Row("", "costs", "cost", ("Kestrel Ridge Hoodie",), ("41.85",))) == "Ke… 1 value"


def test_rows_of_another_release_are_not_none(file: RowFile) -> None:
    sealed = BOX.seal(b'[{"name": "of another release"}]', rows_module.PURPOSE)
    file.path.write_bytes(rows_module.MAGIC + sealed)
    with pytest.raises(KeyUnusable, match="another release"):
        file.load()
