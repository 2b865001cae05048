"""`firedoor scan pii` as a script meets it: a line for a line, at once, whatever is in it."""

import json
import os
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from firedoor.app import detectors as detectors_of_the_app
from firedoor.app.detectors import Detectors
from firedoor.cli import finding, scan_cmds, scan_lines
from firedoor.cli.finding import Search
from firedoor.cli.main import app
from firedoor.core.detect.spans import Span
from firedoor.core.plan.model import LABELS
from firedoor.errors import SetupError
from firedoor.models import installed
from tests.cli.home import PLAN

TEXT = "My e-mail is nora.field@example.com, order number 100482."


@pytest.fixture(scope="module")
def detectors():
    return Detectors()


@pytest.fixture(autouse=True)
def loaded(detectors, monkeypatch):
    """Load the detectors once for all commands that run in this process."""
    vars(detectors).pop("_deep", None)  # each test has its own idea of the deep model
    monkeypatch.setattr(finding, "Detectors", lambda: detectors)


def scan(lines, *words):
    """Answers and exit status."""
    given = lines if isinstance(lines, bytes) else "\n".join(map(json.dumps, lines)).encode()
    ran = CliRunner().invoke(app, ["scan", "pii", *map(str, words)], input=given)
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return [json.loads(line) for line in ran.stdout.splitlines()], ran.exit_code


def found(answer, text=TEXT):
    return {span["label"]: text[span["start"] : span["end"]] for span in answer["spans"]}


def test_spans_as_they_are_promised():
    ((answer,), status) = scan([{"id": "a", "text": TEXT, "lang": "en", "role": "shopper"}])
    assert status == 0
    assert list(answer) == ["id", "spans"]
    assert all(list(span) == ["start", "end", "label", "score"] for span in answer["spans"])
    assert all(span["label"] in LABELS and 0 <= span["score"] <= 1 for span in answer["spans"])
    assert found(answer)["EMAIL"] == "nora.field@example.com"
    assert found(answer)["ORDER_ID"] == "100482"


def test_explained():
    ((answer,), _) = scan([{"id": 1, "text": TEXT}], "--explain")
    told = {span["label"]: (span["tier"], span["rule"]) for span in answer["spans"]}
    assert told["EMAIL"][0] == "rule"
    assert told["EMAIL"][1].startswith("email")


def test_offsets_count_code_points():
    text = "\U0001f600\U0001f600 é\u0301 nora.field@example.com"
    ((answer,), _) = scan([{"id": 1, "text": text}])
    assert found(answer, text)["EMAIL"] == "nora.field@example.com"


@pytest.mark.parametrize(
    "raw", ["1", "1.0", "1e2", "123456789012345678901234567890", '"é\\u00e9"', "null", "true", '[1, {"a": 2}]', "{}"]
)
def test_ids_come_back_as_they_were(raw):
    ran = CliRunner().invoke(app, ["scan", "pii"], input=f'{{"text": "", "id": {raw}}}\n')
    assert ran.stdout == f'{{"id":{raw},"spans":[]}}\n'


def test_a_line_without_an_id_has_none():
    assert scan([{"text": "hello"}]) == ([{"id": None, "spans": []}], 0)


BAD = {
    b"x": (None, "not_json"),
    b'{"id": 1, "text": "a"': (None, "not_json"),
    b"[" * 100_000: (None, "not_json"),
    b'{"id": 1, "text": "a", "x": NaN}': (1, "not_json"),
    b"[1]": (None, "not_an_object"),
    b'"text"': (None, "not_an_object"),
    b'{"id": 1}': (1, "no_text"),
    b'{"id": [2], "text": null}': ([2], "no_text"),
    b'{"id": 1, "text": ["a"]}': (1, "no_text"),
    b'{"id": 1, "text": "a \\ud800 b"}': (1, "lone_surrogate"),
    b'{"id": "\\udfff", "text": "a"}': ("\udfff", "lone_surrogate"),
    b'{"id": 1, "text": "a", "own": {"email": "\\ud800"}}': (1, "lone_surrogate"),
    b'{"id": 1, "text": "\xff"}': (None, "not_utf8"),
    b'{"id": 1, "text": "a", "own": "nora"}': (1, "bad_own"),
    b'{"id": 1, "text": "a", "own": {"emails": [{}]}}': (1, "bad_own"),
    b'{"id": 1, "text": "a", "own": {"shoe_size": 38}}': (1, "bad_own"),
}


def test_bad_lines_are_answered_and_the_others_too():
    good = json.dumps({"id": "good", "text": TEXT}).encode()
    answers, status = scan(b"\n".join([good, *(part for bad in BAD for part in (bad, b"", good))]))
    assert status == 1
    assert [answer["id"] for answer in answers[::2]] == ["good"] * (len(BAD) + 1)
    assert all(found(answer)["EMAIL"] for answer in answers[::2])
    told = [(answer["id"], answer["error"]["code"]) for answer in answers[1::2]]
    assert told == list(BAD.values())
    assert all(answer["error"]["message"].endswith(".") for answer in answers[1::2])
    assert "nora" not in json.dumps(answers[1::2])


def test_texts_and_lines_have_a_bound(monkeypatch):
    monkeypatch.setattr(scan_lines, "TEXT_LIMIT", 100)
    monkeypatch.setattr(scan_lines, "LINE_LIMIT", 400)
    texts = ["a" * 100, "a" * 101, "\U0001f600" * 400, "b"]
    answers, status = scan([{"id": n, "text": text} for n, text in enumerate(texts)])
    assert status == 1
    assert [(a["id"], a.get("error", {}).get("code")) for a in answers] == [
        (0, None), (1, "too_long"), (None, "too_long"), (3, None),
    ]  # fmt: skip


def test_a_detector_that_fails_is_not_one_that_finds_nothing(monkeypatch):
    class Broken:
        def find(self, text):
            raise ValueError(text)

    monkeypatch.setattr(scan_cmds, "search", lambda *_, **__: Search(Broken(), None))
    answers, status = scan([{"id": 1, "text": TEXT}])
    assert answers == [{"id": 1, "error": {"code": "detector_failed", "message": "The search failed: ValueError."}}]
    assert status == 1


def test_the_shoppers_own_values():
    text = "tell mirko that 10-042 is late"
    line = {"id": 1, "text": text, "own": {"name": "Mirko Vogel", "order_ids": ["10042"]}}
    ((answer,), status) = scan([line], "--explain")
    assert status == 0
    assert found(answer, text) == {"PERSON": "mirko", "ORDER_ID": "10-042"}
    assert {span["tier"] for span in answer["spans"]} == {"own"}


def test_the_deep_model_reads_too_where_it_is_asked_for(monkeypatch):
    class Deep:
        def find(self, text):
            return [Span(0, 2, "PERSON", "deep.name", 0.9, "deep")]

    monkeypatch.setattr(detectors_of_the_app, "load_deep", Deep)
    ((answer,), _) = scan([{"id": 1, "text": TEXT}], "--deep", "--explain")
    assert [span["tier"] for span in answer["spans"]][:2] == ["deep", "rule"]
    assert scan([{"id": 1, "text": "My"}]) == ([{"id": 1, "spans": []}], 0)


def test_a_deep_model_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(installed, "DISTRIBUTION", "no-such-distribution")
    with pytest.raises(SetupError, match="not installed") as caught:
        scan([{"id": 1, "text": TEXT}], "--deep")
    assert "firedoor[deep]" in caught.value.remedy


# --- a surface's settings ---

NAMES = "Hello, my name is Laura Brandt and I have a question."


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "plan.yaml"
    product = {"sku": "1", "type": "simple", "name": "Paul Smith boots", "price": 10, "currency": "EUR"}
    (tmp_path / "catalog.jsonl").write_text(json.dumps(product) + "\n")
    shops = PLAN.replace(
        "{platform: other, home: DE}",
        "{platform: other, home: DE, catalog: catalog.jsonl}\n  other: {platform: other, home: DE}",
    )
    never = ", ".join(f"{label}: 1.0" for label in LABELS)
    surfaces = f"""\
    personal_data: {{thresholds: {{PERSON: 0.2}}, not_personal: [Laura Brandt]}}
  mute: {{models: {{eu: eu-chat}}, deadline: 2s, fallback: {{kind: refuse}}, personal_data: {{thresholds: {{{never}}}}}}}
  chat: {{models: {{eu: eu-chat}}, deadline: 2s, shops: [other], fallback: {{kind: refuse}}}}
"""
    path.write_text(shops + surfaces)
    return path


def people(text, *words):
    ((answer,), _) = scan([{"id": 1, "text": text}], *words)
    return [text[s["start"] : s["end"]] for s in answer["spans"] if s["label"] == "PERSON"]


def test_names_that_are_nobodys_on_a_surface(plan):
    assert "Laura Brandt" in people(NAMES)
    assert people(NAMES, "--plan", plan, "--surface", "support") == []


def test_products_of_the_shops_of_a_surface(plan):
    text = "Hello, my name is Paul Smith."
    assert people(text) == ["Paul Smith"]
    assert people(text, "--plan", plan, "--surface", "support") == []
    assert people(text, "--plan", plan, "--surface", "support", "--shop", "other") == ["Paul Smith"]
    assert people(text, "--plan", plan, "--surface", "chat") == ["Paul Smith"]


def test_thresholds_of_a_surface(plan):
    assert people(NAMES, "--plan", plan, "--surface", "mute") == []
    ((answer,), _) = scan([{"id": 1, "text": TEXT}], "--plan", plan, "--surface", "mute")
    assert found(answer)["EMAIL"] == "nora.field@example.com"  # rules have no thresholds


def test_a_surface_that_always_uses_the_deep_model(plan, monkeypatch):
    monkeypatch.setattr(installed, "DISTRIBUTION", "no-such-distribution")
    plan.write_text(plan.read_text().replace("{thresholds: {PERSON: 0.2}", "{deep: always, thresholds: {PERSON: 0.2}"))
    with pytest.raises(SetupError, match="deep model is not installed"):
        scan([], "--plan", plan, "--surface", "support")


def test_the_installations_own_plan(plan, monkeypatch):
    monkeypatch.setenv("FIREDOOR_HOME", str(plan.parent))
    assert people(NAMES, "--surface", "support") == []


def test_what_the_plan_does_not_have(plan):
    for words, says in (
        (["--surface", "suport"], "no surface 'suport'"),
        (["--surface", "chat", "--shop", "alpenladen"], "'alpenladen'"),
    ):
        with pytest.raises(SetupError, match=says):
            scan([], "--plan", plan, *words)
    assert scan([], "--plan", plan)[1] == 2
    with pytest.raises(SetupError, match="no plan at"):
        scan([], "--plan", plan.with_name("none.yaml"), "--surface", "chat")


# --- as a process ---


@pytest.fixture
def process():
    arguments = [sys.executable, "-m", "firedoor", "scan", "pii"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        yield child
        child.kill()


def test_a_conversation(process):
    for number in range(3):  # each answer comes before the next question
        process.stdin.write(json.dumps({"id": number, "text": TEXT}).encode() + b"\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        assert (answer["id"], found(answer)["EMAIL"]) == (number, "nora.field@example.com")
    process.stdin.write(b'{"id": 3, "text": "the last line has no end"}')
    assert process.communicate() == (b'{"id":3,"spans":[]}\n', b"")
    assert process.returncode == 0


def test_a_reader_that_goes(process):
    line = json.dumps({"id": 1, "text": TEXT}).encode() + b"\n"
    process.stdin.write(line)
    process.stdin.flush()
    process.stdout.readline()
    process.stdout.close()
    _, said = process.communicate(line * 10)
    assert said == b""
    assert process.returncode == 1


def test_on_a_terminal_it_says_what_it_waits_for():
    ours, theirs = os.openpty()
    try:
        arguments = [sys.executable, "-m", "firedoor", "scan", "pii"]
        with subprocess.Popen(arguments, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            assert b"Waiting for lines" in child.stderr.readline()
            child.send_signal(signal.SIGKILL)
    finally:
        os.close(ours)
        os.close(theirs)


def test_other_commands_do_not_load_the_detectors():
    program = (
        "import sys; from typer.testing import CliRunner; from firedoor.cli.main import app; "
        "import firedoor.cli.switch_cmds; print('numpy' in sys.modules, 'onnxruntime' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ran.stdout == "False False\n"
