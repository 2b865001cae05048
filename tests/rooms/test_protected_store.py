"""The sealed file of protected values: nothing in clear on the disk, one region's only, never half written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.detect.leak.values import ValueIndex, check_value
from firedoor.core.policy import masked
from firedoor.errors import ActRefused, KeyUnusable
from firedoor.keys.derive import SealingBox
from firedoor.store import protected
from firedoor.store.files import read_bounded, write_atomic
from firedoor.store.protected import ProtectedFile, make_honeytoken

BOX = SealingBox("eu", bytes(range(32)))


@pytest.fixture
def file(tmp_path):
    return ProtectedFile(tmp_path / "protected.sealed", BOX)


def test_values_are_kept_sealed(file):
    assert file.load() == ()
    added = file.add("supplier_prices", "value", ["Alpen AG 12,40 EUR", "Nordkessel GmbH"])
    assert file.load() == tuple(added)
    assert [(value.set, value.kind, value.text) for value in added] == [
        ("supplier_prices", "value", "Alpen AG 12,40 EUR"),
        ("supplier_prices", "value", "Nordkessel GmbH"),
    ]
    content = file.path.read_bytes()
    assert b"Nordkessel" not in content
    assert b"supplier_prices" not in content
    assert file.path.stat().st_mode & 0o077 == 0


def test_a_value_is_kept_once_for_each_set(file):
    (first,) = file.add("prices", "value", ["Alpen AG 12,40 EUR"])
    assert file.add("prices", "value", [" Alpen AG 12,40 EUR ", "Alpen AG 12,40 EUR"]) == [first]
    (other,) = file.add("staff", "value", ["Alpen AG 12,40 EUR"])
    assert other.id != first.id
    assert len(file.load()) == 2


def test_one_bad_value_refuses_all_and_is_not_repeated(file):
    with pytest.raises(ActRefused) as refused:
        file.add("prices", "value", ["Nordkessel GmbH", "12,40"])
    assert "12,40" not in str(refused.value)
    assert file.load() == ()


def test_removing(file):
    first, second = file.add("prices", "value", ["Alpen AG 12,40 EUR", "Nordkessel GmbH"])
    assert file.remove(first.id) == first
    assert file.load() == (second,)
    with pytest.raises(ActRefused, match="no protected value"):
        file.remove(first.id)


def test_a_reader_sees_each_change_once(file):
    reader = ProtectedFile(file.path, BOX)
    assert not reader.changed()
    (value,) = file.add("prices", "value", ["Nordkessel GmbH"])
    assert reader.changed()
    assert reader.load() == (value,)
    assert not reader.changed()
    file.remove(value.id)
    assert reader.changed()
    assert reader.load() == ()
    assert not reader.changed()


def test_another_regions_file_and_a_changed_one_do_not_open(file, tmp_path):
    file.add("prices", "value", ["Nordkessel GmbH"])
    stranger = ProtectedFile(file.path, SealingBox("us", bytes(range(32))))
    with pytest.raises(KeyUnusable, match="region us"):
        stranger.load()
    whole = file.path.read_bytes()
    for place in range(len(whole)):
        file.path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(KeyUnusable):
            file.load()
    file.path.write_bytes(b"")
    with pytest.raises(KeyUnusable):
        file.load()
    assert file.changed()  # what could not be read counts as not yet seen


def test_there_is_a_bound(file, monkeypatch):
    monkeypatch.setattr(protected, "MAX_VALUES", 2)
    file.add("prices", "value", ["Nordkessel GmbH"])
    with pytest.raises(ActRefused, match="at most 2"):
        file.add("prices", "value", ["Suedkessel GmbH", "Westkessel GmbH"])
    assert len(file.load()) == 1


@given(st.binary(min_size=32, max_size=32))
def test_a_honeytoken_looks_like_a_reference_and_can_be_protected(random):
    token = make_honeytoken(random)
    check_value(token)
    prefix, *groups = token.split("-")
    assert prefix in protected.CODE_PREFIXES
    assert [len(group) for group in groups] == [4, 4, 4, 4]
    assert set("".join(groups)) <= set(protected.CODE_ALPHABET)


def test_honeytokens_carry_more_than_60_bits():
    made = {make_honeytoken(number.to_bytes(32, "big")) for number in range(5000)}
    assert len(made) == 5000
    assert len(protected.CODE_ALPHABET) ** 16 > 2**60
    with pytest.raises(ValueError, match="16 random bytes"):
        make_honeytoken(b"short")


def test_a_planted_honeytoken_is_found_however_it_is_written(file):
    token = make_honeytoken(bytes(range(32)))
    (value,) = file.add("prices", "honeytoken", [token])
    hits = ValueIndex.build(file.load()).find(f"Ref. {token.lower().replace('-', ' ')}, thanks")
    assert [(hit.value_id, hit.kind) for hit in hits] == [(value.id, "honeytoken")]


@pytest.mark.parametrize(("text", "shown"), [("Alpenkessel 85", "Al…85"), ("Kessel GmbH", "…"), ("", "…")])
def test_masking_shows_the_ends_of_long_values_only(text, shown):
    assert masked(text) == shown


def test_a_failed_replacement_leaves_the_old_file(tmp_path):
    path = tmp_path / "small"
    write_atomic(path, b"old")
    path.parent.chmod(0o700)
    with pytest.raises(TypeError):
        write_atomic(path, "not bytes")
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["small"]
    write_atomic(path, b"new", mode=0o644)
    assert path.read_bytes() == b"new"
    assert read_bounded(path, 3) == b"new"
    with pytest.raises(Exception, match="larger than 2 bytes"):
        read_bounded(path, 2)


def test_values_of_another_release_are_not_none(tmp_path):
    path = tmp_path / "protected"
    write_atomic(path, protected.MAGIC + BOX.seal(b'[{"name": "of another release"}]', protected.PURPOSE))
    with pytest.raises(KeyUnusable, match="another release"):
        ProtectedFile(path, BOX).load()
