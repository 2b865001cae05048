"""`firedoor redact` on files, as the people use it who hand them on: nothing half, nothing overwritten unasked."""

import json
import os
import stat
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from firedoor.app import redaction
from firedoor.app.detectors import Detectors
from firedoor.cli import finding
from firedoor.cli.main import app
from firedoor.errors import SetupError
from tests.cli.home import PLAN

TEXT = "My e-mail is nora.field@example.com, order number 100482.\n"
CLEAN = "My e-mail is <EMAIL_1>, order number <ORDER_ID_1>.\n"


@pytest.fixture(scope="module")
def detectors():
    return Detectors()


@pytest.fixture(autouse=True)
def loaded(detectors, monkeypatch):
    """Load the detectors once for all commands that run in this process."""
    monkeypatch.setattr(finding, "Detectors", lambda: detectors)


def redact(*words, given=None):
    ran = CliRunner().invoke(app, ["redact", *map(str, words)], input=given)
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return ran


@pytest.fixture
def letter(tmp_path):
    path = tmp_path / "letter.txt"
    path.write_text(TEXT)
    return path


def test_a_file_is_printed_and_stays(letter):
    ran = redact(letter)
    assert (ran.exit_code, ran.stdout) == (0, CLEAN)
    assert letter.read_text() == TEXT
    assert ran.stderr == "replaced: EMAIL 1, ORDER_ID 1\nvalues: EMAIL 1, ORDER_ID 1\n"


def test_standard_input_and_a_summary_for_scripts():
    ran = redact("--json", given=TEXT * 2)
    assert ran.stdout == CLEAN * 2
    assert json.loads(ran.stderr) == {"replaced": {"EMAIL": 2, "ORDER_ID": 2}, "values": {"EMAIL": 1, "ORDER_ID": 1}}


def test_blocks_and_single_labels(letter):
    masked = redact(letter, "--placeholder", "mask", "--label", "email")
    assert masked.stdout == TEXT.replace("nora.field@example.com", "█" * 22)
    assert masked.stderr == "replaced: EMAIL 1\n"
    both = redact(letter, "--label", "EMAIL", "--label", "PHONE")
    assert both.stdout == TEXT.replace("nora.field@example.com", "<EMAIL_1>")


def test_formats_by_name_and_by_word(tmp_path):
    kinds = {
        "a.csv": ('id,mail\n1,"nora.field@example.com"\n', 'id,mail\n1,"<EMAIL_1>"\n'),
        "a.tsv": ("id\tmail\n1,2\tnora.field@example.com\n", "id\tmail\n1,2\t<EMAIL_1>\n"),
        "a.JSON": ('{"mail": "nora.field@example.com"}', '{"mail": "<EMAIL_1>"}'),
        "a.ndjson": ('["nora.field@example.com"]\n[]\n', '["<EMAIL_1>"]\n[]\n'),
        "a.log": ("{ nora.field@example.com\n", "{ <EMAIL_1>\n"),
    }
    for name, (content, expected) in kinds.items():
        path = tmp_path / name
        path.write_text(content)
        assert redact(path).stdout == expected
    assert redact("--format", "json", given='["nora.field@example.com"]').stdout == '["<EMAIL_1>"]'
    assert redact("--format", "text", tmp_path / "a.csv").stdout == 'id,mail\n1,"<EMAIL_1>"\n'


def test_in_place_keeps_the_mode_and_names_are_the_same_in_all_files(letter):
    other = letter.with_name("other.txt")
    other.write_text("Write to nora.field@example.com or ben.hill@example.com!\n")
    letter.chmod(0o640)
    ran = redact(letter, other, "--in-place")
    assert (ran.exit_code, ran.stdout) == (0, "")
    assert letter.read_text() == CLEAN
    assert other.read_text() == "Write to <EMAIL_1> or <EMAIL_2>!\n"
    assert stat.S_IMODE(letter.stat().st_mode) == 0o640
    assert sorted(path.name for path in letter.parent.iterdir()) == ["letter.txt", "other.txt"]


def test_there_and_back(letter, tmp_path):
    table = tmp_path / "people.csv"
    table.write_text('mail,order\r\nnora.field@example.com,"order number 100482"\r\n')
    before = table.read_bytes()
    kept = tmp_path / "kept.map"
    ran = redact(letter, table, "--in-place", "--map", kept)
    assert "personal data in clear" in ran.stderr
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [json.loads(line) for line in kept.read_text().splitlines()] == [
        {"placeholder": "<EMAIL_1>", "value": "nora.field@example.com"},
        {"placeholder": "<ORDER_ID_1>", "value": "100482"},
    ]
    assert b"nora" not in table.read_bytes()
    back = redact("--restore", letter, "--map", kept)
    assert back.stdout == TEXT
    assert back.stderr == "restored: EMAIL 1, ORDER_ID 1\n"
    assert redact("--restore", table, "--map", kept, "--in-place").exit_code == 0
    assert table.read_bytes() == before
    unknown = redact("--restore", "--map", kept, "--json", given="<EMAIL_1> <EMAIL_9>")
    assert unknown.stdout == "nora.field@example.com <EMAIL_9>"
    assert json.loads(unknown.stderr) == {"restored": {"EMAIL": 1}, "unknown": 1}


def test_an_existing_map_is_never_touched(letter, tmp_path):
    kept = tmp_path / "kept.map"
    kept.write_text("mine")
    with pytest.raises(SetupError, match="there already"):
        redact(letter, "--in-place", "--map", kept)
    assert kept.read_text() == "mine"
    assert letter.read_text() == TEXT


def test_a_map_that_nothing_needs_is_not_left(letter, tmp_path):
    letter.write_bytes(b"a\xff")
    with pytest.raises(SetupError, match="not UTF-8"):
        redact("--map", tmp_path / "kept.map", given=b"\xff nora.field@example.com")
    assert not (tmp_path / "kept.map").exists()
    with pytest.raises(SetupError, match="cannot be made"):
        redact("--map", tmp_path / "none" / "kept.map", given=TEXT)


@pytest.mark.parametrize("kind", ["text", "csv"])
def test_bytes_that_are_no_text_are_named_and_nothing_is_written(letter, tmp_path, kind):
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b'"a"\n' * 10_000 + "é".encode() + b'\xe9 "b"\n')
    with pytest.raises(SetupError, match=r"bad\.txt: byte 40002 is not UTF-8") as caught:
        redact(letter, bad, "--in-place", "--format", kind)
    assert "iconv" in caught.value.remedy
    assert letter.read_text() == TEXT
    ran = CliRunner().invoke(app, ["redact", str(letter), str(bad), "--format", kind])
    assert ran.stdout == ""
    bad.write_bytes(b"a\xe9")  # the file ends within a character
    with pytest.raises(SetupError, match=r"byte 1 is not"):
        redact(bad)


def test_a_document_that_is_none_stops_everything_before_it_begins(letter, tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text('{"mail": "nora.field@example.com"')
    with pytest.raises(SetupError, match=r"bad\.json: The document is not JSON") as caught:
        redact(letter, bad, "--in-place")
    assert "nora" not in str(caught.value)
    assert letter.read_text() == TEXT


def test_what_is_not_replaced(letter, tmp_path):
    (tmp_path / "link").symlink_to(letter)
    (tmp_path / "folder").mkdir()
    for path, says in (
        (tmp_path / "link", "symbolic link"),
        (tmp_path / "folder", "not a file"),
        (tmp_path / "x", "No such"),
    ):
        with pytest.raises(SetupError, match=says):
            redact(path, "--in-place")
    assert redact(tmp_path / "link").stdout == CLEAN  # reading is another thing
    os.link(letter, tmp_path / "second")
    with pytest.raises(SetupError, match="hard link"):
        redact(letter, "--in-place")
    assert letter.read_text() == TEXT


def test_a_disk_that_is_full_leaves_the_old_file(letter, monkeypatch):
    def full(_descriptor, _data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(redaction, "write_all", full)
    with pytest.raises(SetupError, match="No space left"):
        redact(letter, "--in-place")
    assert [path.name for path in letter.parent.iterdir()] == ["letter.txt"]
    assert letter.read_text() == TEXT


def test_the_map_is_durable_before_the_file_is_gone(letter, tmp_path, monkeypatch):
    kept = tmp_path / "kept.map"
    seen = []
    sync = redaction.MapFile.sync

    def watched(self):
        seen.append((letter.read_text(), kept.read_text().count("\n")))
        sync(self)

    monkeypatch.setattr(redaction.MapFile, "sync", watched)
    redact(letter, "--in-place", "--map", kept)
    assert seen[0] == (TEXT, 2)


@pytest.mark.parametrize(
    "words",
    [
        ["--in-place"],
        ["--label", "NAME"],
        ["--restore"],
        ["--restore", "--map", "m", "--label", "EMAIL"],
        ["--map", "m", "--placeholder", "mask"],
        ["--placeholder", "stars"],
        ["--format", "xml"],
        ["--plan", "p"],
    ],
)
def test_words_that_mean_nothing(words):
    assert redact(*words, given="").exit_code == 2


def test_maps_that_are_none(letter, tmp_path):
    for content, says in ((b"x", "line 1 is not of a map"), (b'{"placeholder": "x", "value": ""}\n', "no placeholder")):
        (tmp_path / "m").write_bytes(content)
        with pytest.raises(SetupError, match=says):
            redact("--restore", letter, "--map", tmp_path / "m")
    with pytest.raises(SetupError, match="cannot be read"):
        redact("--restore", letter, "--map", tmp_path / "none")


def test_what_a_surface_lets_through_stays(letter, tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN + "    personal_data: {default: pass, labels: {ORDER_ID: generalise}}\n")
    ran = redact(letter, "--plan", plan, "--surface", "support")
    assert ran.stdout == TEXT.replace("100482", "<ORDER_ID_1>")


def test_a_reader_that_goes(letter):
    letter.write_text(TEXT * 5_000)
    arguments = [sys.executable, "-m", "firedoor", "redact", str(letter)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        child.stdout.read(10)
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 1
