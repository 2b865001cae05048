"""Rows of a catalogue or another table, by the names of their columns: what is read, and what is wrong in plain words."""

import json
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.errors import ActRefused, SetupError
from firedoor.store import products
from firedoor.store.products import FieldsFile

SAMPLE = Path(str(files("firedoor") / "data" / "sample-catalog.jsonl"))


@pytest.fixture
def read(tmp_path):
    def rows(content, *fields, name="prices.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return [tuple(row) for row in FieldsFile(path).products(fields)]

    return rows


def values(rows):
    return [row[1] for row in rows]


def test_columns_in_the_order_they_are_asked_for(read):
    rows = read("sku,name,cost\nA-1, Kar Jacket ,41.85\nA-2,,\n", "cost", "name")
    assert rows == [("line 2", ("41.85", "Kar Jacket")), ("line 3", ("", ""))]


@pytest.mark.parametrize(
    "content",
    [
        "sku;cost\nA-1;41,85\n",
        "sku\tcost\r\nA-1\t41,85\r\n",
        'sku,cost\n"A-1","41,85"\n',
        "\ufeffsku|cost\nA-1|41,85",
        'sku,cost\n\n"A-1","41,85"\n,\n',
    ],
)
def test_the_ways_tables_are_exported(read, content):
    assert values(read(content, "sku", "cost")) == [("A-1", "41,85")]


def test_a_cell_of_several_lines(read):
    rows = read('sku,terms\nA-1,"thirty days,\nno ""discount"""\nA-2,net\n', "terms")
    assert rows == [("line 3", ('thirty days,\nno "discount"',)), ("line 4", ("net",))]


def test_objects_of_json_lines_keep_their_numbers_as_written(read):
    lines = [
        '{"sku": "A-1", "cost": 41.850, "attributes": {"supplier": "Nordkessel GmbH", "cost": 3}}',
        '{"sku": "A-2", "cost": 12345678901234567890, "attributes": {"vendor": {"id": 7}}, "on": true, "tags": ["a", 2]}',
    ]
    rows = read("\n".join(lines), "cost", "attributes.cost", "supplier", "id", "tags", name="a.jsonl")
    assert values(rows) == [("41.850", "3", "Nordkessel GmbH", "", ""), ("12345678901234567890", "", "", "7", "a, 2")]


def test_the_sample_catalogue():
    found = list(FieldsFile(SAMPLE).products(("sku", "name", "price", "material")))
    assert found[0].values == ("AL-1001", "Gratwind Rain Jacket", "149.9", "recycled nylon")
    assert len(found) == len(SAMPLE.read_bytes().splitlines())


@pytest.mark.parametrize(("name", "content"), [("a.csv", "sku,Cost\nA,1\n"), ("a.jsonl", '{"sku": "A", "Cost": 1}\n')])
def test_a_column_that_is_not_there_is_told_with_those_that_are(read, name, content):
    with pytest.raises(ActRefused, match="no column cost") as refused:
        read(content, "sku", "cost", name=name)
    assert refused.value.code == "unknown_column"
    assert refused.value.remedy == "It has: sku, Cost."


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"sku,cost\nA,M\xfcnchen\n", r"byte 12 \(line 2\) is not UTF-8"),
        ("sku,cost\nA,1,2\n", "line 2 has 3 columns, and the heading 2"),
        ("sku,cost\nA\n", "line 2 has 1 columns"),
        ("sku,sku\nA,1\n", "line 1 is no heading"),
        ("sku,\nA,1\n", "line 1 is no heading"),
        ('sku,cost\nA,"1\n', "is no CSV"),
        ("sku,cost\nA," + "1" * 70_000, "line 2 is longer"),
        ("sku," + ",".join(f"c{n}" for n in range(600)) + "\n" + "1," * 600 + "1\n", "more than 512 fields"),
    ],
)
def test_tables_that_are_wrong(read, content, says):
    with pytest.raises(SetupError, match=says):
        read(content, "sku")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"sku": "A"}\n{"sku": ', "line 2 is not JSON"),
        ("[1]", "line 1 is not a JSON object"),
        ("[" * 10_000, "line 1 is not JSON"),
        ('{"sku": "' + "a" * 70_000 + '"}', "line 1 is longer"),
    ],
)
def test_json_lines_that_are_wrong(read, content, says):
    with pytest.raises(SetupError, match=says):
        read(content, "sku", name="a.ndjson")


def test_files_that_are_not_there_or_too_large(tmp_path, monkeypatch):
    with pytest.raises(SetupError, match="cannot be read: No such file"):
        list(FieldsFile(tmp_path / "none.csv").products(("sku",)))
    (tmp_path / "large.csv").write_text("sku\nA\n")
    monkeypatch.setattr(products, "FILE_LIMIT", 4)
    with pytest.raises(SetupError, match="larger than 4 bytes"):
        list(FieldsFile(tmp_path / "large.csv").products(("sku",)))


def test_an_empty_table_has_no_columns(read):
    with pytest.raises(ActRefused, match="no column sku"):
        read("", "sku")


@given(
    st.lists(st.dictionaries(st.sampled_from(["sku", "name", "cost"]), st.text(max_size=20), min_size=1), max_size=6)
)
def test_any_texts_come_back_as_they_were(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("any") / "a.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in [{"sku": "S", "name": "N", "cost": "C"}, *records]))
    found = [row.values for row in FieldsFile(path).products(("sku", "cost"))]
    assert found[1:] == [(one.get("sku", "").strip(), one.get("cost", "").strip()) for one in records]
