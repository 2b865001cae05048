"""The bench's own parts: the requests it sends, the stand-in it sends them to, and what its loader counts."""

from __future__ import annotations

import json
import os
import re
from itertools import pairwise

import msgspec
import pytest
from typer.testing import CliRunner

from firedoor.app.regionkeys import open_region
from firedoor.bench.house import HONEYTOKENS, REGION, VALUES, furnish
from firedoor.bench.load import Result, _where_it_ends, percentile
from firedoor.bench.processes import machine, running
from firedoor.bench.shapes import Shape, address
from firedoor.bench.standin import CHUNKS, MARK_AFTER, MARK_BEFORE, Answers
from firedoor.cli.bench_cmds import app
from firedoor.core.plan.decode import decode
from firedoor.store.credentials import CredentialFile, token_digest
from firedoor.store.protected import ProtectedFile


def body_of(request: bytes) -> dict:
    head, _, body = request.partition(b"\r\n\r\n")
    assert int(re.search(rb"Content-Length: (\d+)", head)[1]) == len(body)
    return json.loads(body)


@pytest.mark.parametrize(("name", "characters"), [("short", 300), ("kilobyte", 1000), ("history", 300)])
def test_user_messages_have_their_length_and_are_never_the_same(name, characters):
    shape = Shape(name, "127.0.0.1:1", "fd_x", stream=False, model="m")
    texts = [body_of(shape.request(n, 0))["messages"][-1]["content"] for n in range(3000)]
    assert {len(text) for text in texts} == {characters}
    assert len(set(texts)) == 3000
    assert len({re.sub(r"\d{9}", "", text) for text in texts}) > 900
    for n, text in enumerate(texts):
        assert f"write to {address(n).decode()} about order A-{n:09d}." in text


def test_a_short_request_is_about_a_kilobyte():
    body = Shape("short", "127.0.0.1:1", "fd_x", stream=True, model="m").request(7, 0).partition(b"\r\n\r\n")[2]
    assert 900 <= len(body) <= 1100
    assert json.loads(body)["stream"] is True


def test_a_conversation_sends_what_it_sent_before_and_one_new_message():
    shape = Shape("history", "127.0.0.1:1", "fd_x", stream=False, model="m")
    turns = [body_of(shape.request(100 + turn, turn))["messages"] for turn in range(shape.turns)]
    assert [len(messages) for messages in turns] == [2 + 2 * turn for turn in range(10)]
    for before, after in pairwise(turns):
        assert after[: len(before)] == before
        assert [m["role"] for m in after[len(before) :]] == ["assistant", "user"]
    sessions = {re.search(rb"Firedoor-Session: (\S+)", shape.request(100 + t, t))[1] for t in range(10)}
    assert len(sessions) == 1


def test_the_standin_answers_600_characters_with_the_address_as_it_came():
    answers = Answers()
    head, _, body = answers.whole(b"<EMAIL_1>").partition(b"\r\n\r\n")
    assert int(head.rsplit(b" ", 1)[1]) == len(body)
    said = json.loads(body)["choices"][0]["message"]["content"]
    assert "We will write to <EMAIL_1> then." in said
    assert 580 <= len(said) <= 620


def test_the_standins_stream_is_fifty_chunks_of_sound_framing():
    pieces = Answers().stream(b"<EMAIL_1>")
    assert len(pieces) == CHUNKS
    head, _, rest = b"".join(pieces).partition(b"\r\n\r\n")
    assert b"chunked" in head
    payload = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        payload += rest[:length]
        assert rest[length : length + 2] == b"\r\n"
        rest = rest[length + 2 :]
        if length == 0:
            break
    assert rest == b""
    events = payload.decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event[6:]) for event in events[:-2]]
    said = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert said.endswith(" We will write to <EMAIL_1> then.")
    assert not any("<EMAIL_1>" in json.dumps(chunk) for chunk in chunks)


@pytest.mark.parametrize("streamed", [[], ["--stream"]])
def test_loader_and_standin_agree_and_every_answer_is_counted(tmp_path, streamed):
    log = tmp_path / "log"
    core = min(os.sched_getaffinity(0))
    with running(["-m", "firedoor.bench.standin", "--pace-ms", "0.1"], core=core, log=log) as standin:
        arguments = ["-m", "firedoor.bench.load", "--port", str(standin.first_line()["port"]), "--model", "m"]
        arguments += [
            "--concurrency",
            "4",
            "--seconds",
            "0.2",
            "--warm-up",
            "0.1",
            "--watch",
            str(standin.pid),
            *streamed,
        ]
        with running(arguments, core=core, log=log) as load:
            result = msgspec.convert(load.first_line(), Result)
        assert standin.private_mib() > 1
    assert result.requests > 0
    assert result.watched_cpu_us > 0
    assert result.failed == 0
    assert result.restored == result.requests
    assert 0 < result.first_p50 <= result.p50 <= result.p95 <= result.p99


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", (43, 38)),
        (b"HTTP/1.1 200 OK\r\ncontent-length:5\r\nx: y\r\n\r\n", (48, 43)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", (-2, 47)),
        (b"HTTP/1.1 200 OK\r\nContent-Len", (-1, 0)),
    ],
)
def test_where_a_response_ends(data, found):
    assert _where_it_ends(data) == found


def test_percentiles():
    values = [float(n) for n in range(100)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([], 0.5), percentile([3.0], 0.99)) == (
        50,
        99,
        0,
        3,
    )


def test_the_throw_away_house_has_all_protection(tmp_path):

    house = furnish(tmp_path / "home", 9)
    plan = decode(house.home.plan.read_bytes(), "plan").plan
    assert plan.surfaces["support"].protect == ("prices",)
    place = house.region
    ring = open_region(place, decode(house.home.plan.read_bytes(), "plan"), house.home.root)
    values = ProtectedFile(place.protected, ring.worker().protect).load()
    assert len(values) == VALUES + HONEYTOKENS
    credential = CredentialFile(place.credentials, REGION).load()[token_digest(house.credential)]
    assert (credential.shop, credential.surface) == ("alpenladen", "support")
    assert house.credential not in place.credentials.read_text()


def test_the_marks_stand_in_no_other_text():
    shape = Shape("kilobyte", "h", "c", stream=False, model="m")
    for n in range(1009):
        body = shape.request(n, 0)
        assert body.count(MARK_BEFORE) == 1
        assert body.count(MARK_AFTER) >= 1


@pytest.mark.parametrize("levels", ["", "0", "1,x", "1,,2", "257"])
def test_concurrency_has_bounds(levels):
    result = CliRunner().invoke(app, ["gateway", "--concurrency", levels])
    assert result.exit_code == 2
    assert "1,16,64" in result.output


def test_a_machine_line_names_processor_and_python():
    line = machine().line()
    assert "Python 3." in line
    assert "cores" in line
