"""Bad callers and bad models: a clear error or the fallback, an evidence record, no crash, no internals."""

import json
import socket
import time

import pytest

FALLBACK = "Our team will answer you by mail."


@pytest.fixture
def door(house):
    """A raw HTTP conversation with the EU gateway."""

    def talk(raw, *, half_close=False, timeout=20.0, pieces=None):
        with socket.create_connection(("127.0.0.1", house.ports["eu"]), timeout=timeout) as s:
            for piece in pieces or [raw]:
                s.sendall(piece)
            if half_close:
                s.shutdown(socket.SHUT_WR)
            data = b""
            while True:
                try:
                    more = s.recv(65536)
                except (TimeoutError, ConnectionResetError):
                    break
                data += more
                if not more or complete(data):
                    break
        head, _, body = data.partition(b"\r\n\r\n")
        status = int(head.split(b" ")[1]) if head else 0
        return status, body

    return talk


def complete(data):
    head, split, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return bool(split) and len(body) >= int(line.split(b":")[1])
    return False


def request(house, body, *, path="/v1/chat/completions", surface="support", headers=""):
    token = house.token("eu", surface)
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{headers}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def chat(text, **more):
    return json.dumps({"model": "small", "messages": [{"role": "user", "content": text}], **more}).encode()


BODIES = {
    "malformed": (b'{"model": "small", ', 400, "invalid_json"),
    "not utf-8": (b'{"model": "\xff\xfe"}', 400, "invalid_json"),
    "nul": (b"\x00" * 50, 400, "invalid_json"),
    "list": (b"[]", 400, "invalid_json"),
    "wrong types": (b'{"model": 5, "messages": {}}', 400, "invalid_type"),
    "deep": (b'{"a":' * 5000 + b"1" + b"}" * 5000, 400, "invalid_json"),
    "10 MB": (b'{"model": "small", "x": "' + b"x" * 10_000_000 + b'"}', 413, "body_too_large"),
    "100 k messages": (
        json.dumps({"model": "small", "messages": [{"role": "user", "content": ""}] * 20_000}).encode(),
        400,
        "too_many_messages",
    ),
    "unknown model": (
        json.dumps({"model": "gpt", "messages": [{"role": "user", "content": "x"}]}).encode(),
        404,
        "model_not_found",
    ),
    "image": (
        json.dumps(
            {
                "model": "small",
                "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}],
            }
        ).encode(),
        400,
        "unsupported_content",
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_gets_a_clear_error(house, door, name):
    body, status, code = BODIES[name]
    got, answer = door(request(house, body))
    assert (got, json.loads(answer)["error"]["code"]) == (status, code)


def test_nul_bytes_and_odd_characters_in_text_pass_through(house, door):
    text = "a\x00b\u202e\U0001f600\u200d"
    status, answer = door(request(house, chat(text)))
    assert status == 200
    assert json.loads(answer)["choices"][0]["message"]["content"] == f"You said: {text}"


def test_a_request_byte_by_byte(house, door):
    raw = request(house, chat("slowly"))
    status, answer = door(None, pieces=[raw[i : i + 1] for i in range(len(raw))])
    assert (status, json.loads(answer)["choices"][0]["message"]["content"]) == (200, "You said: slowly")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x: " + b"y" * 40_000 + b"\r\n\r\n", 431),
        (b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n", 404),
        (b"GET /v1/chat/completions HTTP/1.1\r\nhost: x\r\n\r\n", 405),
        (b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello", 401),
        (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
            400,
        ),
    ],
)
def test_bad_http_gets_a_clear_error(door, raw, status):
    got, answer = door(raw)
    assert got == status
    assert json.loads(answer)["error"]["code"]


def test_the_wrong_region_is_answered_before_the_body_is_sent(house, door):
    token = house.token("us", "support")
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 1000000\r\n\r\n"
    status, answer = door(head.encode())
    assert (status, json.loads(answer)["error"]["code"]) == (421, "wrong_region")


def test_a_half_closed_connection_and_a_vanished_caller_leave_a_record(house, door):
    door(request(house, chat("SLOW", stream=True)), half_close=True, timeout=5)

    def cut():
        listed = house.run("evidence", "list", "--region", "eu", "--kind", "outcome", "--json").stdout
        return "client_left" in listed

    house.wait(cut, what="an outcome of the caller who left")


def test_a_dripping_head_does_not_block_others(house, door):
    held = [socket.create_connection(("127.0.0.1", house.ports["eu"])) for _ in range(50)]
    try:
        for s in held:
            s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nx: ")
        status, _ = door(request(house, chat("hello")))
        assert status == 200
    finally:
        for s in held:
            s.close()


MODEL_FAULTS = ["HANG", "EXPIRES", "GARBAGE", "REDIRECT", "TYPE", "BUSY", "BROKEN", "HUGE"]


@pytest.mark.parametrize("word", MODEL_FAULTS)
def test_a_bad_model_server_gives_the_fallback(house, door, word):
    status, answer = door(request(house, chat(word)))
    assert status == 200
    assert json.loads(answer)["choices"][0]["message"]["content"] == FALLBACK


@pytest.mark.parametrize("stream", [pytest.param(True, marks=pytest.mark.torture), False])
def test_a_line_of_one_megabyte_passes_or_falls_back(house, door, stream):
    status, answer = door(request(house, chat("LONGLINE", stream=stream)), timeout=10)
    assert status == 200
    assert b"xxxx" in answer or FALLBACK.encode() in answer


@pytest.mark.parametrize(
    "word",
    [pytest.param("MIDWAY", marks=pytest.mark.torture), "DIES", "BADEVENT", "CUTLETTER"],  # half a minute of silence
)
def test_a_stream_that_breaks_ends_well_formed(house, word):
    import openai

    client = openai.OpenAI(
        base_url=house.url("eu") + "/v1", api_key=house.token("eu", "support"), max_retries=0, timeout=60
    )
    chunks = list(
        client.chat.completions.create(model="small", stream=True, messages=[{"role": "user", "content": word}])
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text.endswith("This answer was stopped.") or text == FALLBACK
    assert chunks[-1].model_extra["firedoor"]["outcome"] in ("cut", "fallback")


def test_no_error_text_tells_internals(house, door):
    for word in MODEL_FAULTS:
        _, answer = door(request(house, chat(word)))
        for secret in (b"Traceback", b"aiohttp", b"firedoor/", b".py", b"127.0.0.1"):
            assert secret not in answer


def test_checkout_surfaces_answer_within_their_deadline_whatever_the_model_does(house, door):
    for word in ("HANG", "EXPIRES", "HUGE"):
        began = time.monotonic()
        status, answer = door(request(house, chat(f'{word} {{"amount": 2000}}'), surface="fraud_scoring"))
        took = time.monotonic() - began
        assert status == 200
        assert json.loads(json.loads(answer)["choices"][0]["message"]["content"])["decision"] == "review"
        assert took < 30  # not a measurement: it only says that the answer did not wait for the model


def test_a_large_request_is_minimised_too(house, door):
    filler = "The tent was fine, the weather was not. " * 600
    status, answer = door(
        request(house, chat(f"{filler} Write to mia.muster@example.org or +49 30 23125 042.", stream=False))
    )
    assert status == 200
    assert b"mia.muster@example.org" in answer
    listed = house.run("evidence", "list", "--region", "eu", "--kind", "intent", "--json").stdout
    assert '"EMAIL": 1' in listed.splitlines()[-1]
    assert '"PHONE": 1' in listed.splitlines()[-1]
