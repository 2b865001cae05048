"""Redacting and restoring text, CSV and JSON: what is not personal stays as it was, sign by sign, and all comes back."""

import csv
import io
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.detect.spans import Span
from firedoor.core.plan.model import LABELS
from firedoor.core.redact import csvtext, edits, jsontext, lines, text
from firedoor.core.redact.cells import Cell, spans_of, untouched
from firedoor.core.redact.csvtext import edited_csv
from firedoor.core.redact.edits import PLACEHOLDER, Numbered, Redaction, Restoration, masked
from firedoor.core.redact.jsontext import edited_json, edited_json_lines
from firedoor.core.redact.text import BLOCK, blocks, edited_text
from firedoor.errors import SetupError

ALL = frozenset(LABELS)
PERSONAL = re.compile(
    r"(?P<EMAIL>[a-z]+@[a-z]+\.example)|(?P<PERSON>(?<=name: )[^\r\n]+|Nora Field)|(?P<ORDER_ID>(?<!\d)10\d{4}(?!\d))"
)
READERS = {"text": edited_text, "csv": edited_csv, "json": edited_json, "jsonl": edited_json_lines}


def find(text):
    """A detector of a few things, the same for the same text."""
    return [Span(m.start(), m.end(), m.lastgroup, "test.form") for m in PERSONAL.finditer(text)]


def redacted(kind, content, labels=ALL, chunk=7):
    """The text without personal data, the map, and the edit with its counts."""
    learnt = {}
    edit = Redaction(find, labels, Numbered(learnt.__setitem__))
    return "".join(READERS[kind](chunked(content, chunk), edit)), learnt, edit


def restored(kind, content, learnt):
    return "".join(READERS[kind](chunked(content, 5), Restoration(learnt)))


def chunked(content, size):
    return [content[i : i + size] for i in range(0, len(content), size)]


TEXT = "I am Nora Field, nora@shop.example.\n\nOrder 100482 (nora@shop.example), not 7.\r\n"
CSV = 'id,name,mail\r\n1,"Field, Nora ""N""",nora@shop.example\r\n2,Ben,"a, b"\r\n'
JSON = (
    '{ "name" : "Nora\\u00e9", "order":100482, "total": 100482.50, "mails": ["nora@shop.example",\n "\\/x"], "n": 12 }'
)


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("text", TEXT, "I am <PERSON_1>, <EMAIL_1>.\n\nOrder <ORDER_ID_1> (<EMAIL_1>), not 7.\r\n"),
        ("csv", CSV, 'id,name,mail\r\n1,"<PERSON_1>",<EMAIL_1>\r\n2,<PERSON_2>,"a, b"\r\n'),
        (
            "json",
            JSON,
            '{ "name" : "<PERSON_1>", "order":"<ORDER_ID_1>", "total": 100482.50, "mails": ["<EMAIL_1>",\n "\\/x"], "n": 12 }',
        ),
        (
            "jsonl",
            '{"name": "Ben"}\n\n["x"]\r\n{"name":"Ben"}',
            '{"name": "<PERSON_1>"}\n\n["x"]\r\n{"name":"<PERSON_1>"}',
        ),
    ],
)
@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_personal_data_goes_and_the_rest_stays(kind, content, expected, chunk):
    assert redacted(kind, content, chunk=chunk)[0] == expected


def test_a_value_has_one_placeholder_however_it_is_written():
    out, learnt, edit = redacted("text", "nora@shop.example ben@shop.example nora@shop.example")
    assert out == "<EMAIL_1> <EMAIL_2> <EMAIL_1>"
    assert learnt == {"<EMAIL_1>": "nora@shop.example", "<EMAIL_2>": "ben@shop.example"}
    assert edit.replaced == {"EMAIL": 3}
    put = Numbered(lambda *_: None)
    assert put("EMAIL", "Nora@shop.example") == put("EMAIL", "nora@SHOP.example") == "<EMAIL_1>"
    assert put("PERSON", "Nora@shop.example") == "<PERSON_1>"


def test_only_the_labels_that_are_wanted():
    out, _, _ = redacted("text", TEXT, frozenset({"EMAIL"}))
    assert "Nora Field" in out
    assert "<EMAIL_1>" in out
    assert "PERSON" not in out


def test_placeholders_that_were_there_are_told_from_new_ones():
    content = "<EMAIL_1> and <EMAIL_2> wrote to nora@shop.example and <EMAIL_2>; <email_1> and <EMAIL_0> are none"
    out, learnt, edit = redacted("text", content)
    assert out == "<EMAIL_1> and <EMAIL_2> wrote to <EMAIL_3> and <EMAIL_2>; <email_1> and <EMAIL_0> are none"
    assert edit.replaced == {"EMAIL": 1}
    assert restored("text", out, learnt) == content
    swapped, learnt, _ = redacted("text", "nora@shop.example <EMAIL_1>")
    assert swapped == "<EMAIL_1> <EMAIL_2>"
    assert restored("text", swapped, learnt) == "nora@shop.example <EMAIL_1>"


def test_blocks_are_as_long_as_what_they_hide():
    edit = Redaction(find, ALL, masked)
    assert "".join(edited_text(["I am Nora Field <EMAIL_1>"], edit)) == "I am ████ █████ <EMAIL_1>"


def test_too_many_values_are_refused(monkeypatch):
    monkeypatch.setattr(edits, "MAX_VALUES", 2)
    with pytest.raises(SetupError, match="more than 2 different"):
        redacted("text", "a@b.example c@d.example a@b.example e@f.example")


def test_what_the_map_does_not_have_is_counted_and_left():
    edit = Restoration({"<EMAIL_1>": "nora@shop.example"})
    assert "".join(edited_text(["<EMAIL_1>, <EMAIL_2>"], edit)) == "nora@shop.example, <EMAIL_2>"
    assert (edit.restored, edit.unknown) == ({"EMAIL": 1}, 1)


# --- CSV ---


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("name;mail\nBen;b@c.example\n", "name;mail\n<PERSON_1>;<EMAIL_1>\n"),
        ("name\tmail\nBen\tb@c.example", "name\tmail\n<PERSON_1>\t<EMAIL_1>"),
        ("name|a,b|c\nBen|,|x\n", "name|a,b|c\n<PERSON_1>|,|x\n"),
        ("a@b.example,Ben\nc@d.example,Eva\n", "<EMAIL_1>,Ben\n<EMAIL_2>,Eva\n"),  # no heading: no names of columns
        ('name,x\n"Ben\r\nBerg",1\n"Eva",2', 'name,x\n"<PERSON_1>\r\nBerg",1\n"<PERSON_2>",2'),
        ('name,x\nBen,"5"" disk"\nEva,5" disk\n', 'name,x\n<PERSON_1>,"5"" disk"\n<PERSON_2>,5" disk\n'),
        ("name,x\nBen,1,extra,b@c.example\n\nEva\n", "name,x\n<PERSON_1>,1,extra,<EMAIL_1>\n\n<PERSON_2>\n"),
        ("\ufeffid,name\n1,Ben\n", "\ufeffid,name\n1,<PERSON_1>\n"),
    ],
)
def test_dialects_of_csv(content, expected):
    out, learnt, _ = redacted("csv", content)
    assert out == expected
    assert restored("csv", out, learnt) == content


def test_what_comes_back_is_quoted_where_it_must_be():
    assert restored("csv", "a,b\n<PERSON_1>,2\n", {"<PERSON_1>": 'Field, "N"\nJr'}) == 'a,b\n"Field, ""N""\nJr",2\n'


def test_a_quotation_mark_that_nobody_closes_is_named(monkeypatch):
    monkeypatch.setattr(csvtext, "MAX_ROW", 50)
    with pytest.raises(SetupError, match=r"Line 2: the row has more than 50"):
        redacted("csv", 'a,b\n"' + "x,y\n" * 20)


CELLS = st.text(st.sampled_from('ab @,;"\r\n10<_>éĄ\U0001f600'), max_size=8)


@given(
    st.lists(st.lists(CELLS, min_size=2, max_size=4), min_size=1, max_size=6),
    st.sampled_from(",;\t|"),
    st.integers(1, 9),
)
@settings(max_examples=150, deadline=None)
def test_csv_that_nothing_is_found_in_stays_as_it_was(rows, delimiter, chunk):
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows(rows)
    content = out.getvalue()
    assert "".join(edited_csv(chunked(content, chunk), untouched, delimiter)) == content

    def double(cells):
        return [cell.value * 2 for cell in cells]

    changed = "".join(edited_csv(chunked(content, chunk), double, delimiter))
    read = list(csv.reader(io.StringIO(changed, newline=""), delimiter=delimiter))
    assert read == [
        [value * 2 for value in row] for row in csv.reader(io.StringIO(content, newline=""), delimiter=delimiter)
    ]


@given(st.text(st.sampled_from('a",;\n\r x'), max_size=60), st.integers(1, 9))
@settings(max_examples=200, deadline=None)
def test_no_csv_however_broken_is_changed(content, chunk):
    assert "".join(edited_csv(chunked(content, chunk), untouched)) == content


# --- JSON ---


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"nora@shop.example" : 1, "order_100482": 2}', '{"<EMAIL_1>" : 1, "order_<ORDER_ID_1>": 2}'),
        ('{"name": ["Ben", {"x": "Eva"}]}', '{"name": ["<PERSON_1>", {"x": "Eva"}]}'),
        ('"nora@shop.example"', '"<EMAIL_1>"'),
        ("-100482", '"-<ORDER_ID_1>"'),
        (
            '{"raw": "{\\"name\\": \\"Ben\\", \\"n\\": 100482}"}',
            '{"raw": "{\\"name\\": \\"<PERSON_1>\\", \\"n\\": \\"<ORDER_ID_1>\\"}"}',
        ),
        ('{"name": "q\\"\\n"}', '{"name": "<PERSON_1>\\n"}'),
        ('\ufeff{"name":"Ben"}', '\ufeff{"name":"<PERSON_1>"}'),
        ('{"true": true, "x": null, "y": 1e5, "z": 10.5}', '{"true": true, "x": null, "y": 1e5, "z": 10.5}'),
    ],
)
def test_places_in_json(content, expected):
    assert redacted("json", content)[0] == expected


@pytest.mark.parametrize(
    "content", ["", "{", "[1,]", "01", "{'a': 1}", '{"a": "\\ud800"}', "[" * 100_000, '"a" "b"', "NaN"]
)
def test_what_is_no_json_is_refused_and_not_repeated(content):
    with pytest.raises(SetupError, match="is not JSON") as caught:
        redacted("json", content)
    assert len(str(caught.value)) < 120


def test_the_line_that_is_no_json_is_named():
    with pytest.raises(SetupError, match="Line 3 is not JSON"):
        redacted("jsonl", '{"a": 1}\n\n{"a": \n')


def test_bounds_of_documents_and_lines(monkeypatch):
    monkeypatch.setattr(jsontext, "MAX_DOCUMENT", 20)
    monkeypatch.setattr(jsontext, "MAX_LINE", 20)
    with pytest.raises(SetupError, match="more than 20 characters"):
        redacted("json", '"' + "x" * 30 + '"')
    with pytest.raises(SetupError, match="Line 2: the document has more than 20 characters"):
        redacted("jsonl", '"a"\n"' + "x" * 30 + '"')


def test_values_far_apart_are_searched_in_more_than_one_record(monkeypatch):
    monkeypatch.setattr(jsontext, "RECORD", 40)
    document = {f"key{i}": f"text {i} of nora@shop.example" for i in range(20)}
    out, _, edit = redacted("json", json.dumps(document))
    assert json.loads(out) == {f"key{i}": f"text {i} of <EMAIL_1>" for i in range(20)}
    assert edit.replaced == {"EMAIL": 20}


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12) | st.sampled_from(["nora@shop.example", "<EMAIL_1>", "Nora Field", '{"name": "Ben"}']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.just("name"), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(DOCUMENTS, st.booleans(), st.integers(1, 30))
@settings(max_examples=150, deadline=None)
def test_json_stays_json_and_what_is_redacted_stays(document, ascii_only, chunk):
    content = json.dumps(document, ensure_ascii=ascii_only)
    assert "".join(edited_json(chunked(content, chunk), untouched)) == content
    out, _, _ = redacted("json", content, chunk=chunk)
    json.loads(out)
    again, _, _ = redacted("json", out)
    assert again == out  # what was redacted stays as it is


# --- plain text ---


@given(st.text(st.sampled_from("ab \n\r\t<>,é"), max_size=300), st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_blocks_are_the_text_and_none_is_too_long(content, chunk):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "BLOCK", 32)
        found = list(blocks(chunked(content, chunk)))
    assert "".join(found) == content
    assert all(0 < len(block) <= 32 for block in found)


def test_blocks_end_where_a_value_does_not():
    words = "word " * 10_000
    assert all(block.endswith(" ") for block in blocks([words]))
    paragraphs = "some words\nof a letter\n\n" * 2_000
    assert all(block.endswith("\n\n") for block in blocks([paragraphs]))
    minified = "a@b.example," * 4_000
    assert all(block.endswith(",") for block in blocks([minified]))
    assert [len(block) for block in blocks(["x" * (BLOCK + 1)])] == [BLOCK, 1]


def test_placeholders_are_the_same_over_all_blocks():
    content = "Nora Field and nora@shop.example met.\n\n" * 2_000
    out, learnt, edit = redacted("text", content, chunk=1_000)
    assert out == "<PERSON_1> and <EMAIL_1> met.\n\n" * 2_000
    assert edit.replaced == {"PERSON": 2_000, "EMAIL": 2_000}
    assert restored("text", out, learnt) == content


PIECES = st.lists(
    st.sampled_from(["Nora Field", "nora@shop.example", "<EMAIL_1>", "<PERSON_2>", " ", "\n", "x", "100482", "é"])
)


@given(PIECES)
@settings(max_examples=150, deadline=None)
def test_what_is_redacted_stays_and_what_is_restored_is_what_was(pieces):
    content = "".join(pieces)
    out, learnt, _ = redacted("text", content)
    assert not find(PLACEHOLDER.sub("|", out))
    assert redacted("text", out)[0] == out
    assert restored("text", out, learnt) == content


# --- cells and lines ---


def test_a_span_over_cells_is_one_in_each_and_names_are_left_out():
    cells = [Cell("Nora", "first_name"), Cell("Field", "last"), Cell(""), Cell("x", "n" * 100)]

    def all_of_it(record):
        assert record == "first name: Nora\nlast: Field\n\nx"
        return [Span(0, len(record), "PERSON", "test.form")]

    found = spans_of(cells, all_of_it)
    assert [[(s.start, s.end) for s in spans] for spans in found] == [[(0, 4)], [(0, 5)], [], [(0, 1)]]


@given(st.text(st.sampled_from("ab\n\r\u2028"), max_size=60), st.integers(1, 7))
def test_lines_are_the_text(content, chunk):
    found = list(lines.lines(chunked(content, chunk), 100, "it"))
    assert "".join(line for _, line in found) == content
    assert [number for number, _ in found] == list(range(1, len(found) + 1))
    assert all("\n" not in line[:-1] for _, line in found)
