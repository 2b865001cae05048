"""What `firedoor protect` reads as text, and where it plants honeytokens: files keep their shape, or stay as they are."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.cli import protect_texts
from firedoor.cli.protect_plant import NEIGHBOURS, planted
from firedoor.cli.protect_texts import html_text, read_texts
from firedoor.errors import ActRefused, SetupError

CODE = "SUP-7Q4K-93XD-M2WF-8TJC"


@pytest.fixture
def file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# --- texts ---


def test_files_and_folders(file, tmp_path):
    file("wiki/b.md", "beta")
    file("wiki/deep/a.txt", "\ufeffalpha")
    file("wiki/.hidden.txt", "no")
    file("wiki/.git/config", "no")
    file("wiki/empty.txt", " \n")
    (tmp_path / "wiki" / "link.txt").symlink_to(file("elsewhere.txt", "no"))
    (tmp_path / "wiki" / "loop").symlink_to(tmp_path)
    sources = read_texts([tmp_path / "wiki", file("one.yaml", "a: gamma")])
    assert sources == [("wiki/b.md", "beta"), ("wiki/deep/a.txt", "alpha"), ("one.yaml", "a: gamma")]


def test_pages_without_their_tags():
    page = (
        "<!doctype html><html><head><title>Terms</title><style>p {color: red}</style></head><body>"
        "<p>We pay <b>N</b>ordkessel&nbsp;&amp; sons<br>41&euro;</p><script>var secret = '<p>no</p>'</script>"
        "<!-- no --><ul><li>net</li><li>30 days</li></ul>"
    )
    assert html_text(page).split() == ["Terms", "We", "pay", "Nordkessel", "&", "sons", "41€", "net", "30", "days"]


def test_a_page_that_is_broken_is_read_to_its_end(file):
    assert "end" in read_texts([file("a.html", "<p <b>start</p></div></script>the end")])[0].text


@pytest.mark.parametrize(
    ("name", "content", "says", "remedy"),
    [
        ("a.pdf", b"%PDF-1.7 x", "no text", "pdftotext"),
        ("a.docx", b"PK\x03\x04 x", "no text", "pandoc"),
        ("a.xlsx", b"anything", "no text", "convert-to csv"),
        ("a.txt", b"PK\x03\x04 x", "no text", "pandoc"),
        ("a.bin", b"ab\0c", "byte 2 is zero", "Convert"),
        ("a.txt", b"one\nM\xfcnchen", r"byte 5 \(line 2\) is not UTF-8", "iconv"),
        ("a.txt", b" \n", "no text in what was given", "Name"),
    ],
)
def test_what_is_no_text(file, name, content, says, remedy):
    with pytest.raises((SetupError, ActRefused), match=says) as refused:
        read_texts([file(name, content)])
    assert remedy in refused.value.remedy


def test_bounds_of_what_is_read(file, tmp_path, monkeypatch):
    with pytest.raises(SetupError, match="no file or folder"):
        read_texts([tmp_path / "none"])
    file("wiki/a.txt", "alpha")
    file("wiki/b.txt", "beta")
    monkeypatch.setattr(protect_texts, "MAX_FILES", 1)
    with pytest.raises(ActRefused, match="more than 1 files"):
        read_texts([tmp_path / "wiki"])
    monkeypatch.setattr(protect_texts, "FILE_LIMIT", 3)
    with pytest.raises(SetupError, match="larger than 3 bytes"):
        read_texts([tmp_path / "wiki" / "a.txt"])
    file("wiki/1/2/c.txt", "gamma")
    monkeypatch.setattr(protect_texts, "MAX_DEPTH", 1)
    monkeypatch.setattr(protect_texts, "FILE_LIMIT", 100)
    monkeypatch.setattr(protect_texts, "MAX_FILES", 100)
    with pytest.raises(SetupError, match="more than 1 deep"):
        read_texts([tmp_path / "wiki"])


# --- planting ---


def plant(path, *codes):
    before = path.read_bytes()
    change = planted(path, codes or (CODE,))
    assert path.read_bytes() == before
    change.write()
    after = path.read_bytes()
    assert after.startswith(before)
    return after[len(before) :].decode()


CSV = "sku,name,cost,supplier\nAL-1001,Kar Jacket,41.85,Nordkessel GmbH\nAL-1002,Firn Boot,52.10,Alp AG\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_a_row_of_a_table(file, delimiter, ending, last):
    content = CSV.replace(",", delimiter).replace("\n", ending)
    path = file("prices.csv", content if last else content.removesuffix(ending))
    added = plant(path)
    assert added.endswith(ending)
    rows = list(csv.reader(io.StringIO(path.read_text("utf-8"), newline=""), delimiter=delimiter))
    assert len(rows) == 4
    sku, name, cost, supplier = rows[-1]
    assert supplier == CODE
    assert cost in ("41.85", "52.10")
    assert name not in ("Kar Jacket", "Firn Boot")
    assert sku.startswith("AL-")
    assert sku not in ("AL-1001", "AL-1002")


@pytest.mark.parametrize(
    ("heading", "row", "at"),
    [
        ("sku,cost,notes,supplier", "A-1,3.50,spring,Alp AG", 2),
        ("name,cost,contract_no", "Kar,3.50,K-12", 2),
        ("cost,article", "3.50,A-1", 1),
        ("cost,city", "3.50,Gent", 1),
        ("cost,year", "3.50,2026", 0),
    ],
)
def test_the_column_in_which_a_code_is_no_surprise(file, heading, row, at):
    path = file("a.csv", f"{heading}\n{row}\n")
    assert plant(path).strip().split(",")[at] == CODE


def test_quotes_stay_as_they_are(file):
    path = file("a.csv", '"sku","note"\n"A-1","a ""good"" one"\n')
    assert plant(path).startswith('"A-')
    assert plant(path).strip().endswith(f'"{CODE}"')


def test_ids_without_digits_are_another_too(file):
    path = file("a.csv", "sku,note\nBOOT,x\n")
    assert plant(path).split(",")[0] != "BOOT"


def test_a_record_has_the_keys_of_its_neighbours(file):
    records = [
        {"sku": "A-1", "id": 7, "cost": 41.85, "supplier": "Nordkessel GmbH", "tags": ["x"], "deep": {"a": 1}},
        {"sku": "A-2", "id": 8, "cost": 52, "supplier": "Alp AG", "tags": [], "deep": {"a": 2}},
    ]
    path = file("a.jsonl", "\n".join(map(json.dumps, records)))
    plant(path, CODE, "ERP-2222-3333-4444-5555")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [list(line) for line in lines] == [list(records[0])] * 4
    assert [line["supplier"] for line in lines[2:]] == [CODE, "ERP-2222-3333-4444-5555"]
    assert lines[2]["cost"] in (41.85, 52)
    assert lines[2]["id"] not in (7, 8)
    assert isinstance(lines[2]["id"], int)


@pytest.mark.parametrize(
    ("name", "content", "begins"),
    [
        ("a.md", "# Prices\n\n| sku | supplier |\n|---|---|\n| A-1 | Alp AG |\n", "| A-"),
        ("a.md", "# Terms\n\n- one\n- two\n", "- "),
        ("a.md", "# Terms\n\n  * one\n", "  * "),
        ("a.txt", "Terms of delivery", "\n"),
        ("a.txt", "", ""),
        ("notes", "| not a table\n", ""),
    ],
)
def test_a_line_like_the_last(file, name, content, begins):
    added = plant(file(name, content))
    assert added.startswith(begins)
    assert CODE in added
    assert added.endswith("\n")
    assert len(added.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", "sku,cost\n", "no rows below a heading"),
        ("a.csv", "", "no rows below a heading"),
        ("a.csv", 'sku\n"open\n', "no rows below a heading"),
        ("a.jsonl", "[1]\n", "no JSON objects"),
        ("a.jsonl", "", "no JSON objects"),
        ("a.jsonl", '{"a": 1}\n', "field of text"),
        ("a.xml", "<a/>", "harm to its format"),
        ("a.json", "{}", "harm to its format"),
        ("a.txt", b"\xff", "not UTF-8"),
    ],
)
def test_files_without_a_model(file, name, content, says):
    with pytest.raises((ActRefused, SetupError), match=says):
        planted(file(name, content), [CODE])


def test_links_are_followed_and_modes_kept(file, tmp_path):
    path = file("real.txt", "a line\n")
    path.chmod(0o640)
    link = tmp_path / "link.txt"
    link.symlink_to(path)
    planted(link, [CODE]).write()
    assert link.is_symlink()
    assert CODE in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_file_that_changed_meanwhile_is_left_alone(file, tmp_path):
    path = file("a.txt", "a line\n")
    change = planted(path, [CODE])
    path.write_text("another line, which is longer\n")
    with pytest.raises(SetupError, match="was changed just now"):
        change.write()
    assert CODE not in path.read_text()
    with pytest.raises(SetupError, match="not a file"):
        planted(tmp_path, [CODE])
    with pytest.raises(SetupError, match="cannot be read"):
        planted(tmp_path / "none.txt", [CODE])


cells = st.text(max_size=8).filter(lambda cell: not cell or cell.strip())  # a row of nothing else looks like no row


@given(st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=5))
def test_any_table_can_still_be_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("any") / "a.csv"
    with path.open("w", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows([["sku", "cost", "note"], *(["A", *row[1:]] for row in rows)])
    before = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline=""), strict=True))
    if all(
        len(row) != 3 for row in [row for row in before[1:] if row][-NEIGHBOURS:]
    ):  # Python writes a lone carriage return so that it ends a row
        with pytest.raises(ActRefused, match="no rows"):
            planted(path, [CODE])
        return
    planted(path, [CODE]).write()
    after = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline=""), strict=True))
    assert after[:-1] == before
    assert after[-1].count(CODE) == 1 or CODE in after[-1][2]
