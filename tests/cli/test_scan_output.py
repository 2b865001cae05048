"""`firedoor scan output` as a script meets it: a verdict for each line, and never allow for what was not looked at."""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from firedoor.cli import scan_lines, scan_output
from firedoor.cli.main import app
from firedoor.core.exchange.texts import MASK, Text
from firedoor.errors import FiredoorError, SetupError
from tests.cli.shielded import CONTRACT, empty, furnish, run

CODE = "STAFF-7Q4K-93XD"
COST = "The purchase price of the Gratwind Rain Jacket is 61.37 EUR, as the buyers know well."
LEAK = f"Of course. {CONTRACT} That is all."
MAIL = "Write to petra.lindqvist@example.net about it, she will answer on Monday."
CARD = "The card on file is 4111 1111 1111 1111, shall I use it?"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """An installation with a code, a document, and the costs of a catalogue."""
    home = furnish(tmp_path_factory.mktemp("scan") / "shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIREDOOR_HOME", str(home.root))
        empty(home)
        document = home.root / "contract.txt"
        document.write_text(CONTRACT)
        for words in (
            ["--set", "codes", CODE],
            ["--set", "contracts", "--document", document],
            ["--set", "costs", "--catalog", "alpenladen", "--column", "cost,supplier", "--bind", "sku,name"],
        ):
            run("protect", "add", "--region", "eu", *words)
    return home


@pytest.fixture(autouse=True)
def here(home, monkeypatch):
    monkeypatch.setenv("FIREDOOR_HOME", str(home.root))


def scan(lines, *words):
    """Answers and exit status."""
    given = lines if isinstance(lines, bytes) else "\n".join(map(json.dumps, lines)).encode()
    ran = CliRunner().invoke(app, ["scan", "output", "--region", "eu", *map(str, words)], input=given)
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return [json.loads(line) for line in ran.stdout.splitlines()], ran.exit_code


def judged(text, *words, **more):
    ((answer,), status) = scan([{"id": 1, "text": text, **more}], *words)
    assert status == 0
    return answer


def rules(answer):
    return sorted({finding["rule"] for finding in answer["findings"]})


def pieces(text, size):
    return [text[at : at + size] for at in range(0, len(text), size)]


# --- verdicts ---


def test_a_line_as_it_is_promised():
    answer = judged(f"Use {CODE} at the till.")
    assert list(answer) == ["id", "verdict", "score", "findings", "released"]
    assert (answer["verdict"], answer["score"], answer["released"]) == ("block", 1.0, "")
    (finding,) = answer["findings"]
    assert finding == {
        "rule": "protected_value", "kind": "value", "set": "codes", "id": finding["id"], "view": "plain",
        "span": [4, 19], "masked": "ST…XD", "score": 1.0, "stage": "answer",
        "atlas": ["AML.T0057"], "owasp": ["LLM02:2025"],
    }  # fmt: skip
    assert finding["id"].startswith("pv-")


def test_a_clean_answer_is_allowed_whole():
    text = "The Gratwind Rain Jacket costs 149.90 EUR and is in stock in M. It left on 3 March."
    assert judged(text) == {"id": 1, "verdict": "allow", "score": 0.0, "findings": [], "released": text}


@pytest.mark.parametrize(
    ("text", "rule"), [(COST, "protected_amount"), (LEAK, "protected_document"), (CARD, "payment_card")]
)
def test_each_kind_is_found(text, rule):
    answer = judged(text)
    assert rule in rules(answer)
    assert answer["verdict"] == "block"
    assert answer["released"] == ""


@pytest.mark.parametrize(
    ("surface", "text", "verdict", "released"),
    [
        ("support", f"a {CODE}.", "block", ""),
        ("lenient", f"a {CODE}.", "flag", f"a {CODE}."),
        ("masking", f"a {CODE}.", "block", f"a {MASK}."),
        ("lenient", LEAK, "allow", LEAK),  # it does not protect contracts
        ("lenient", CARD, "flag", CARD),
        ("support", MAIL, "allow", MAIL),  # it may be the shopper's own: nobody knows what was asked
        ("strict", MAIL, "block", ""),
    ],
)
def test_surfaces_judge_by_their_own_rules(surface, text, verdict, released):
    answer = judged(text, "--surface", surface)
    assert (answer["verdict"], answer["released"]) == (verdict, released)


def test_a_strangers_value_is_flagged_where_it_is_known_what_was_asked():
    request = {"messages": [{"role": "user", "content": "Who can help me?"}]}
    assert judged(MAIL, "--surface", "support", request=request)["verdict"] == "flag"
    theirs = {"messages": [{"role": "user", "content": f"Is this right? {MAIL}"}]}
    assert judged(MAIL, "--surface", "support", request=theirs)["verdict"] == "allow"


def test_strangers_are_told_with_their_place():
    (finding,) = judged(MAIL, "--surface", "support")["findings"]
    assert (finding["rule"], finding["kind"], finding["set"], finding["id"]) == ("stranger_data", "EMAIL", "", None)
    assert MAIL[slice(*finding["span"])] == "petra.lindqvist@example.net"
    assert "petra" not in finding["masked"]


@pytest.mark.parametrize(
    "more",
    [
        {"request": {"messages": [{"role": "user", "content": "I am petra.lindqvist@example.net"}]}},
        {"own": {"email": "petra.lindqvist@example.net"}},
    ],
)
def test_what_the_shopper_brought_is_nobody_elses(more):
    assert judged(MAIL, **more)["verdict"] == "allow"


def test_what_the_shopper_typed_is_no_leak():
    request = {"messages": [{"role": "user", "content": f"My voucher {CODE} does not work"}]}
    assert judged(f"Your {CODE} is fine.", request=request)["verdict"] == "allow"
    request["messages"][0]["role"] = "system"
    assert judged(f"Your {CODE} is fine.", request=request)["verdict"] == "block"


def test_the_surfaces_own_instructions():
    said = "Never reveal that returns are approved by the night shift without looking, whatever the customer may say."
    request = {"messages": [{"role": "system", "content": said}]}
    assert rules(judged(said, "--surface", "support", request=request)) == ["system_prompt"]
    assert judged(said, "--surface", "lenient", request=request)["verdict"] == "allow"


# --- grants ---


@pytest.mark.parametrize(
    ("more", "surface", "verdict"),
    [
        ({"grants": ["costs"]}, None, "allow"),
        ({"grants": ["buyer"]}, None, "allow"),
        ({"grants": ["buyer"]}, "support", "allow"),
        ({"role": "buyer"}, "support", "allow"),
        ({"role": "shopper"}, "support", "block"),
        ({"grants": ["contracts"]}, None, "block"),
        ({"grants": []}, None, "block"),
    ],
)
def test_grants_are_sets_or_roles(more, surface, verdict):
    assert judged(COST, *(["--surface", surface] if surface else []), **more)["verdict"] == verdict


def test_a_role_counts_where_the_plan_says():
    assert judged(f"a {CODE}.", "--surface", "lenient", grants=["clerk"])["verdict"] == "allow"
    assert judged(f"a {CODE}.", "--surface", "masking", grants=["clerk"])["verdict"] == "block"


def test_a_grant_of_nothing_is_told():
    answer = judged(COST, grants=["cost", "buyers"])
    assert answer["verdict"] == "block"
    assert answer["unknown_grants"] == ["cost", "buyers"]


# --- streams ---


@pytest.mark.parametrize("size", [1, 4, 50])
def test_what_leaves_before_the_stop(size):
    text = f"Use the code {CODE} at the till."
    answer = judged(text, chunks=pieces(text, size))
    assert answer["verdict"] == "block"
    assert text.startswith(answer["released"])
    assert "STA" not in answer["released"]
    if size == 1:
        assert answer["released"] == "Use the code "


def test_a_document_stops_within_its_bound():
    text = f"Of course. {CONTRACT}"
    answer = judged(text, chunks=pieces(text, 4))
    assert answer["verdict"] == "block"
    assert len(answer["released"]) < len("Of course. ") + 45


def test_streams_that_go_on():
    text = f"a {CODE}, and so on."
    assert judged(text, "--surface", "lenient", chunks=pieces(text, 3))["released"] == text
    assert judged(text, "--surface", "masking", chunks=pieces(text, 3))["released"] == f"a {MASK}, and so on."
    clean = "The jacket is in stock in all sizes."
    assert judged(clean, chunks=pieces(clean, 2))["released"] == clean


def test_a_strangers_value_does_not_leave_where_it_is_cut():
    answer = judged(MAIL, "--surface", "strict", chunks=pieces(MAIL, 5))
    assert answer["verdict"] == "block"
    assert "petra" not in answer["released"]


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_however_it_is_cut_the_verdict_is_that_of_the_whole(home, data):
    text = data.draw(st.sampled_from([COST, LEAK, f"a {CODE}.", MAIL, "fine"]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    scan_ = opened(home)
    whole = scan_.judge(scan_output.Answer(text))
    cut = scan_.judge(scan_output.Answer(text, chunks=tuple(chunks)))
    assert cut["verdict"] == whole["verdict"]
    assert text.startswith(cut["released"])
    assert {(f["rule"], f["id"]) for f in cut["findings"]} == {(f["rule"], f["id"]) for f in whole["findings"]}


_OPENED = []


def opened(home):
    """One scan for all examples."""
    if not _OPENED:
        _OPENED.append(scan_output.open_scan(home.plan, None, None, home.root, "eu"))
    return _OPENED[0]


# --- what goes wrong ---


BAD = {
    b"x": (None, "not_json"),
    b'{"id": 1}': (1, "no_text"),
    b'{"id": 1, "text": "a", "grants": "costs"}': (1, "bad_field"),
    b'{"id": 1, "text": "a", "chunks": [1]}': (1, "bad_field"),
    b'{"id": 1, "text": "ab", "chunks": ["a"]}': (1, "bad_chunks"),
    b'{"id": 1, "text": "a", "request": []}': (1, "bad_field"),
    b'{"id": 1, "text": "a", "request": {"messages": "hello"}}': (1, "bad_request"),
    b'{"id": 1, "text": "a", "request": {"messages": [1]}}': (1, "bad_request"),
    b'{"id": 1, "text": "a", "own": {"shoe_size": 38}}': (1, "bad_own"),
    b'{"id": 1, "text": "a", "request": {"firedoor": 1}}': (1, "bad_own"),
    b'{"id": 1, "text": "a \\ud800 b"}': (1, "lone_surrogate"),
    b'{"id": 1, "text": "\xff"}': (None, "not_utf8"),
}


def test_bad_lines_are_answered_and_the_others_too():
    good = json.dumps({"id": "good", "text": f"a {CODE}."}).encode()
    answers, status = scan(b"\n".join([good, *(part for bad in BAD for part in (bad, b"", good))]))
    assert status == 1
    assert [(one["id"], one["verdict"]) for one in answers[::2]] == [("good", "block")] * (len(BAD) + 1)
    assert [(one["id"], one["error"]["code"]) for one in answers[1::2]] == list(BAD.values())
    assert all("verdict" not in one for one in answers[1::2])


def test_a_search_that_fails_is_never_allow(monkeypatch):
    def fail(*_):
        raise ZeroDivisionError(CODE)

    for broken in ("feed", "end", "take"):
        with monkeypatch.context() as patch:
            patch.setattr(Text, broken, fail)
            answers, status = scan([{"id": 1, "text": "fine"}])
        assert answers == [
            {"id": 1, "error": {"code": "not_scanned", "message": "The search failed: ZeroDivisionError."}}
        ]
        assert status == 1


def test_lines_have_a_bound(monkeypatch):
    monkeypatch.setattr(scan_lines, "TEXT_LIMIT", 10)
    ((answer,), status) = scan([{"id": 1, "text": "a" * 11}])
    assert (answer["error"]["code"], status) == ("too_long", 1)


def test_what_the_plan_does_not_have():
    for words, says in (
        (["--surface", "suport"], "no surface 'suport'"),
        (["--surface", "support", "--shop", "x"], "'x'"),
    ):
        with pytest.raises(SetupError, match=says):
            scan([], *words)


def test_an_installation_that_cannot_be_read_judges_nothing(home, tmp_path, monkeypatch):
    monkeypatch.setenv("FIREDOOR_HOME", str(tmp_path))
    with pytest.raises(FiredoorError):
        scan([{"id": 1, "text": "fine"}])
    (tmp_path / "plan.yaml").write_bytes(home.plan.read_bytes())
    with pytest.raises(FiredoorError):
        scan([{"id": 1, "text": "fine"}], "--plan", tmp_path / "plan.yaml")


def test_the_installation_is_the_one_beside_the_plan(home, monkeypatch):
    monkeypatch.delenv("FIREDOOR_HOME")
    assert judged(f"a {CODE}.", "--plan", home.plan)["verdict"] == "block"


def test_each_line_is_answered_at_once(home):
    arguments = [sys.executable, "-m", "firedoor", "scan", "output", "--plan", str(home.plan), "--region", "eu"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        for number in range(2):
            child.stdin.write(json.dumps({"id": number, "text": f"a {CODE}."}).encode() + b"\n")
            child.stdin.flush()
            assert json.loads(child.stdout.readline())["id"] == number
        child.stdin.close()
        assert child.wait() == 0
