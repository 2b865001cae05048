"""The full-text index of a shop's catalogue: any query, one good file or a clear error."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.errors import SetupError
from firedoor.store.catalog import MAX_TERMS, FtsCatalog, build, match_expression

SAMPLE = Path(str(files("firedoor") / "data" / "sample-catalog.jsonl"))


def product(sku="A", **more):
    return {"sku": sku, "parent_sku": None, "type": "simple", "name": "Thing", "price": 1.5, "currency": "EUR", **more}


@pytest.fixture
def index(tmp_path):
    def make(*rows):
        source = tmp_path / "catalog.jsonl"
        source.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
        count = build(source, tmp_path / "index" / "shop.sqlite")
        return count, FtsCatalog(tmp_path / "index" / "shop.sqlite")

    return make


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    database = tmp_path_factory.mktemp("sample") / "shop.sqlite"
    build(SAMPLE, database)
    return FtsCatalog(database)


def names(catalog, query, limit=3):
    return [hit["name"] for hit in catalog.search(query, limit=limit)]


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("I'm looking for a warm jacket for winter", "Firnlicht Down Jacket"),
        ("Do you sell hiking boots?", "Geröll Hiking Boots"),
        ("tents", "Murmelbau 2 Tent"),
        ("GEROLL", "Geröll Hiking Boots"),
        ("Haben Sie Zelte für zwei Personen?", "Murmelbau 2 Tent"),
        ("Ich suche eine wasserdichte Jacke", "Gratwind Rain Jacket"),
        ("je cherche une tente pour deux personnes", "Murmelbau 2 Tent"),
        ("busco botas de montaña impermeables", "Geröll Hiking Boots"),
        ("bruj", "Nordstern Compass"),
    ],
)
def test_the_sample_catalogue_is_found_in_four_languages(sample, query, best):
    assert names(sample, query)[0] == best


@pytest.mark.parametrize(
    "query", ["", "   ", "\x00", "\ud800", "😀🎉", "the and of", "zzzzzz", "a" * 100_000, "?!*\"'()"]
)
def test_queries_that_find_nothing(sample, query):
    assert sample.search(query, limit=3) == []


@pytest.mark.parametrize(
    "query",
    [
        'name:"tent"',
        "tent OR",
        "NEAR(tent boots)",
        "tent*",
        "^tent",
        "-tent",
        "{name} : tent",
        'tent" OR sku:"',
        "tent\x00",
    ],
)
def test_no_query_is_syntax(sample, query):
    assert "Murmelbau 2 Tent" in names(sample, query, 20)


@given(st.text(alphabet=st.characters(codec=None), max_size=300))
def test_any_text_is_a_query(sample, query):
    hits = sample.search(query, limit=3)
    assert len(hits) <= 3
    assert all(set(hit) == {"sku", "name", "price", "currency"} for hit in hits)


def test_terms_are_bounded_and_bare():
    many = match_expression(" ".join(f"wort{i}" for i in range(100)))
    assert many.count('"') == 2 * MAX_TERMS
    assert match_expression("tent? nora.field@example.com https://shop.example/compass") == '"tent"*'
    assert match_expression('Jackets "or" x NEAR/2 ab c') == '"jacket"* OR "near"* OR "ab"'


@pytest.mark.parametrize(("limit", "count"), [(-5, 1), (0, 1), (2, 2), (10_000, 20)])
def test_the_limit_is_bounded(index, limit, count):
    _, catalog = index(*(product(f"S{i}") for i in range(30)))
    assert len(catalog.search("thing", limit=limit)) == count


def test_only_what_a_shopper_sees_is_indexed(index):
    count, catalog = index(
        product("P", type="configurable", name="Coat"),
        product("P-1", parent_sku="P", name="Coat red"),
        product("D", type="downloadable", name="Coat pattern"),
        "",
        product("S", name="Coat hanger", unknown="kept out", orders=7),
    )
    assert count == 2
    assert sorted(hit["sku"] for hit in catalog.search("coat", limit=9)) == ["P", "S"]


def test_the_name_weighs_more_than_the_description(index):
    _, catalog = index(
        product("1", name="Bag", description="A bag for a tent, tent pegs and a tent pole. " * 3),
        product("2", name="Tent", description="Sleeps two."),
        product("3", name="Peg", attributes={"use": ["tent"], "number": 7, "new": True, "none": None}),
    )
    assert [hit["sku"] for hit in catalog.search("tent", limit=3)] == ["2", "3", "1"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "not JSON"),
        ("[1]", "Expected `object`"),
        ("\xff", "not JSON"),
        (json.dumps(product(price="9.99")), "price"),
        (json.dumps(product(price=-1)), "price"),
        (json.dumps(product(currency="euro")), "currency"),
        (json.dumps(product(sku="")), "sku"),
        (json.dumps({"sku": "x"}), "missing required field"),
        (json.dumps(product(description="x" * 70_000)), "longer than"),
        ('{"a":' * 10_000, "is "),
    ],
)
def test_a_bad_line_is_named_and_the_old_index_stays(tmp_path, line, what):
    source, database = tmp_path / "c.jsonl", tmp_path / "c.sqlite"
    source.write_text(json.dumps(product(name="Secretword")))
    build(source, database)
    before = database.read_bytes()
    source.write_text(json.dumps(product(name="Secretword")) + "\n" + line, encoding="latin-1")
    with pytest.raises(SetupError, match=what) as caught:
        build(source, database)
    assert "line 2" in str(caught.value)
    assert "Secretword" not in str(caught.value)
    assert database.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.jsonl", "c.sqlite"]


def test_a_rebuilt_index_does_not_disturb_one_in_use(tmp_path):
    source, database = tmp_path / "c.jsonl", tmp_path / "c.sqlite"
    source.write_text(json.dumps(product(name="Old tent")))
    build(source, database)
    old = FtsCatalog(database)
    source.write_text(json.dumps(product(name="New tent")))
    build(source, database)
    assert (names(old, "tent"), names(FtsCatalog(database), "tent")) == (["Old tent"], ["New tent"])


def test_files_that_cannot_be_used(tmp_path):
    with pytest.raises(SetupError, match="cannot be read"):
        build(tmp_path / "none.jsonl", tmp_path / "c.sqlite")
    with pytest.raises(SetupError, match="not a catalogue index"):
        FtsCatalog(tmp_path / "none.sqlite")
    (tmp_path / "junk.sqlite").write_bytes(b"junk" * 5000)
    with pytest.raises(SetupError, match="not a catalogue index"):
        FtsCatalog(tmp_path / "junk.sqlite")


def test_paths_with_odd_characters(tmp_path):
    folder = tmp_path / "50% ?mode=rwc #1"
    build(SAMPLE, folder / "shop.sqlite")
    assert names(FtsCatalog(folder / "shop.sqlite"), "compass") == ["Nordstern Compass"]


def test_a_damaged_or_closed_index_finds_nothing(tmp_path):
    database = tmp_path / "c.sqlite"
    build(SAMPLE, database)
    catalog = FtsCatalog(database)
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (database.stat().st_size - 4096))
    assert isinstance(catalog.search("compass", limit=3), list)
    catalog.close()
    assert catalog.search("compass", limit=3) == []


def test_threads_share_thousands_of_products(index):
    rng = random.Random(7)
    words = ["".join(rng.choices("abcdefghij", k=6)) for _ in range(800)]
    rows = [product(f"S{i}", name=f"item{i}x", description=" ".join(rng.choices(words, k=30))) for i in range(4000)]
    count, catalog = index(*rows)
    assert count == 4000
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: names(catalog, f"the item{i}x", 1), range(0, 4000, 50)))
    assert found == [[f"item{i}x"] for i in range(0, 4000, 50)]
