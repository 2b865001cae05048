"""The scripted model instance: what a script says, how it travels, and how it breaks."""

from __future__ import annotations

import asyncio
import json
from typing import Any, get_args

import msgspec
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.redteam.disguises import DISGUISES, Disguise
from firedoor.errors import ModelFailed, SetupError
from firedoor.upstream import play
from firedoor.upstream.http import HttpLimits, HttpModelServer
from firedoor.upstream.script import Answer, Pace, Rule, Script, ToolCall, Usage, When, decode, load, spoken
from firedoor.upstream.scripted import embed, last_user, serve_scripted

SCRIPT = b"""\
firedoor_script: 1
model: demo
rules:
  - name: parcel
    when: {matches: 'order (A-\\d+)'}
    answer: {text: 'Order {match} is on its way.', pace: {characters: 3}}
  - name: leak
    when: {contains: discount}
    answer: {text: 'Secretly: {leak}!', leak: VIP-7731}
  - name: tool
    when: {contains: cancel}
    answer: {tool_calls: [{name: cancel_order, arguments: {order: A-17, note: 'caf\xc3\xa9'}}], pace: {characters: 4}}
  - name: choices
    when: {contains: options}
    answer: {text: first, choices: [second]}
default: {text: 'You said: {user}'}
"""


def ask(text: str, **more: Any) -> dict[str, Any]:
    return {
        "model": "demo",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": text}],
        **more,
    }


async def call(script: Script, body: dict[str, Any], path: str = "/chat/completions") -> tuple[int, bool, bytes]:
    async with serve_scripted(script) as served:
        server = HttpModelServer(served.base_url)
        try:
            answer = await server.call(path, json.dumps(body).encode(), timeout=5)
            data = b"".join([chunk async for chunk in answer.chunks()])
            return answer.status, answer.event_stream, data
        finally:
            await server.aclose()


def data_lines(stream: bytes) -> list[str]:
    """The data of each event, by the plain rules of the event-stream format."""
    events = []
    for block in stream.decode().replace("\r\n", "\n").split("\n\n"):
        data = [line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")]
        if data:
            events.append("\n".join(data))
    return events


def texts(stream: bytes) -> dict[int, str]:
    said: dict[int, str] = {}
    for data in data_lines(stream):
        for choice in json.loads(data)["choices"] if data != "[DONE]" else []:
            said[choice["index"]] = said.get(choice["index"], "") + (choice["delta"].get("content") or "")
    return said


@pytest.mark.parametrize(
    ("user", "rule", "said"),
    [
        ("Where is order A-17?", "parcel", "Order A-17 is on its way."),
        ("Where is order B-17?", None, "You said: Where is order B-17?"),
        ("any discount?", "leak", "Secretly: VIP-7731!"),
        ("any Discount?", None, "You said: any Discount?"),
        ("order A-1 discount", "parcel", "Order A-1 is on its way."),
        ("{leak} {match}", None, "You said: {leak} {match}"),
        ("", None, "You said: "),
    ],
)
def test_the_first_rule_that_matches_answers(user, rule, said):
    script = decode(SCRIPT)
    name, answer, match = script.answer_to(user)
    assert (name, spoken(answer, user, match)) == (rule, said)


def test_json_and_stream_say_the_same_and_the_record_shows_what_the_model_saw():
    async def main() -> None:
        async with serve_scripted(decode(SCRIPT), key="sk-1") as served:
            client = openai.AsyncOpenAI(base_url=served.base_url, api_key="sk-1", max_retries=0)
            question = ask("Where is order A-17?")
            whole = await client.chat.completions.create(**question)
            assert whole.choices[0].message.content == "Order A-17 is on its way."
            assert whole.choices[0].finish_reason == "stop"
            pieces = []
            async for chunk in await client.chat.completions.create(
                **question, stream=True, stream_options={"include_usage": True}
            ):
                pieces += [choice.delta.content for choice in chunk.choices if choice.delta.content]
                usage = chunk.usage
            assert pieces[0] == "Ord"
            assert "".join(pieces) == "Order A-17 is on its way."
            assert usage is not None
            assert usage.completion_tokens == 6
            assert [r.rule for r in served.received] == ["parcel", "parcel"]
            assert [(await served.instance.ended(i)).end for i in (0, 1)] == ["answered", "answered"]
            assert served.received[0].last_user() == "Where is order A-17?"
            assert served.received[0].body["messages"] == question["messages"]
            vectors = await client.embeddings.create(model="demo", input=["a", "b", "a"], encoding_format="float")
            assert vectors.data[0].embedding == vectors.data[2].embedding != vectors.data[1].embedding
            assert [m.id async for m in client.models.list()] == ["demo"]
            wrong = openai.AsyncOpenAI(base_url=served.base_url, api_key="sk-2", max_retries=0)
            with pytest.raises(openai.AuthenticationError):
                await wrong.chat.completions.create(**question)
            assert len(served.received) == 3
            await client.close()
            await wrong.close()

    asyncio.run(main())


def test_tool_arguments_are_split_over_events_and_come_whole_in_json():
    arguments = {"order": "A-17", "note": "café"}
    _, _, stream = asyncio.run(call(decode(SCRIPT), ask("cancel it", stream=True)))
    parts = []
    for data in data_lines(stream)[:-1]:
        for choice in json.loads(data)["choices"]:
            parts += [c["function"]["arguments"] for c in choice["delta"].get("tool_calls", [])]
    assert len(parts) > 3
    assert json.loads("".join(parts)) == arguments
    _, _, body = asyncio.run(call(decode(SCRIPT), ask("cancel it")))
    choice = json.loads(body)["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == arguments


@pytest.mark.parametrize(
    ("n", "said"), [(1, ["first"]), (2, ["first", "second"]), (3, ["first", "second", "first"]), (99, ["first"])]
)
def test_n_choices(n, said):
    _, _, body = asyncio.run(call(decode(SCRIPT), ask("options", n=n)))
    assert [c["message"]["content"] for c in json.loads(body)["choices"]] == said
    _, _, stream = asyncio.run(call(decode(SCRIPT), ask("options", n=n, stream=True)))
    assert list(texts(stream).values()) == said


def test_reasoning_usage_and_finish_are_as_written():
    answer = Answer(text="Hi", reasoning="hmm", finish="length", usage=Usage(prompt_tokens=7, completion_tokens=9))
    _, _, body = asyncio.run(call(Script(default=answer), ask("x")))
    decoded = json.loads(body)
    assert decoded["choices"][0]["message"] == {"role": "assistant", "content": "Hi", "reasoning_content": "hmm"}
    assert decoded["choices"][0]["finish_reason"] == "length"
    assert decoded["usage"] == {"prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16}
    _, _, stream = asyncio.run(call(Script(default=answer), ask("x", stream=True)))
    deltas = [json.loads(d)["choices"][0]["delta"] for d in data_lines(stream)[:-1]]
    assert "".join(d.get("reasoning_content", "") for d in deltas) == "hmm"


WRITTEN = {
    "upper": "SUPPLIER NORDWIND PRICE IS 17.40",
    "markdown": "- Supplier Nordwind price is\n- **17.40**",
    "nospace": "SupplierNordwindpriceis17.40",
    "spaced": "S u p p l i e r   N o r d w i n d   p r i c e   i s   1 7 . 4 0",
    "zero_width": "\u200b".join("Supplier Nordwind price is 17.40"),
    "homoglyph": "Suррliеr Nоrdwind рriсе is 17.40",
    "fullwidth": "Ｓｕｐｐｌｉｅｒ　Ｎｏｒｄｗｉｎｄ　ｐｒｉｃｅ　ｉｓ　１７．４０",
    "base64": "U3VwcGxpZXIgTm9yZHdpbmQgcHJpY2UgaXMgMTcuNDA=",
    "hex": "537570706c696572204e6f726477696e642070726963652069732031372e3430",
    "rot13": "Fhccyvre Abeqjvaq cevpr vf 17.40",
    "reversed": "04.71 si ecirp dniwdroN reilppuS",
    "leet": "5uppl13r N0rdw1nd pr1c3 15 17.40",
}


@pytest.mark.parametrize("how", get_args(Disguise))
def test_a_leak_is_written_in_its_disguise(how):
    assert WRITTEN.keys() == {*get_args(Disguise)} == DISGUISES.keys()
    script = decode(
        b"default: {text: 'So: {leak}!', leak: Supplier Nordwind price is 17.40, disguise: %s}" % how.encode()
    )
    assert spoken(script.default, "", "") == f"So: {WRITTEN[how]}!"


@pytest.mark.parametrize(
    ("place", "more", "said"),
    [
        ("content", "text: 'A {leak} B'", {"content": "A SECRET B"}),
        ("content", "text: 'A '", {"content": "A SECRET"}),
        ("reasoning", "text: A, reasoning: 'Say {leak} now'", {"content": "A", "reasoning_content": "Say SECRET now"}),
        ("reasoning", "text: A", {"content": "A", "reasoning_content": "SECRET"}),
        ("refusal", "text: A, refusal: 'No: '", {"content": "A", "refusal": "No: SECRET"}),
        ("arguments", "text: A", {"content": "A", "arguments": '{"text": "SECRET"}'}),
        (
            "arguments",
            "text: A, tool_calls: [{name: f, arguments: {q: 'x {leak}'}}]",
            {"content": "A", "arguments": '{"q": "x SECRET"}'},
        ),
    ],
)
def test_a_leak_is_said_where_the_script_says(place, more, said):
    script = decode(
        f"default: {{{more}, leak: secret, disguise: upper, in: {place}, pace: {{characters: 2}}}}".encode()
    )

    def parts(told: dict[str, Any]) -> dict[str, str]:
        calls = told.pop("tool_calls", [])
        found = {name: value for name, value in told.items() if name != "role" and value}
        return {**found, **({"arguments": calls[0]["function"]["arguments"]} if calls else {})}

    _, _, body = asyncio.run(call(script, ask("x")))
    assert parts(json.loads(body)["choices"][0]["message"]) == said
    _, _, stream = asyncio.run(call(script, ask("x", stream=True)))
    joined: dict[str, Any] = {}
    for data in data_lines(stream)[:-1]:
        for name, value in parts(json.loads(data)["choices"][0]["delta"]).items():
            joined[name] = joined.get(name, "") + value
    assert joined == said


def test_a_leak_in_the_second_choice_alone():
    for more, second in (("", "SECRET"), (", choices: ['or {leak}', third]", "or SECRET")):
        script = decode(f"default: {{text: first, leak: SECRET, in: second_choice{more}}}".encode())
        _, _, stream = asyncio.run(call(script, ask("x", stream=True, n=2)))
        assert texts(stream) == {0: "first", 1: second}
        _, _, stream = asyncio.run(call(script, ask("x", stream=True)))
        assert texts(stream) == {0: "first"}


def test_quotes_and_braces_in_a_leak_stay_what_they_are():
    script = decode(
        b"""default: {tool_calls: [{name: f, arguments: {q: '{leak}'}}], leak: 'a "b" {user} \\ c', in: arguments}"""
    )
    _, _, body = asyncio.run(call(script, ask("x")))
    (told,) = json.loads(body)["choices"][0]["message"]["tool_calls"]
    assert json.loads(told["function"]["arguments"]) == {"q": 'a "b" {user} \\ c'}


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(max_size=60),
    size=st.integers(1, 20),
    wire=st.sampled_from(["plain", "crlf", "comments", "multi_line", "byte_by_byte"]),
)
def test_every_way_on_the_wire_carries_the_same_text(text, size, wire):
    answer = Answer(text=text, pace=Pace(characters=size), wire=wire)
    turn = play.Turn(answer, text, 1, "m", {})
    pieces = [piece for event in turn.events() for piece in play.on_the_wire(event, wire)]
    stream = b"".join(pieces)
    assert texts(stream)[0] == text
    assert data_lines(stream)[-1] == "[DONE]"
    if wire == "byte_by_byte":
        assert {len(p) for p in pieces} == {1}
    if wire == "multi_line":
        assert b'\ndata: "choices"' in stream


@pytest.mark.parametrize(
    ("fault", "streamed", "reason"),
    [
        ("hang", False, "timeout"),
        ("die", False, "died"),
        ("die", True, "died"),
        ("die_midway", False, "died"),
        ("die_midway", True, "died"),
        ("hang_midway", False, "timeout"),
        ("hang_midway", True, "timeout"),
        ("garbage", True, "garbage"),
        ("redirect", True, "redirect"),
        ("huge", False, "too_large"),
        ("huge", True, "too_large"),
    ],
)
def test_faults_that_end_a_call(fault, streamed, reason):
    async def main() -> None:
        async with serve_scripted(Script(default=Answer(text="word " * 40, fault=fault))) as served:
            server = HttpModelServer(served.base_url)
            server._client.limits = HttpLimits(idle_seconds=0.1, answer_bytes=200_000)
            with pytest.raises(ModelFailed) as failed:
                answer = await server.call(
                    "/chat/completions", json.dumps(ask("x", stream=streamed)).encode(), timeout=0.5
                )
                async for _ in answer.chunks():
                    pass
            assert failed.value.reason == reason
            await server.aclose()

    asyncio.run(main())


def test_die_midway_sends_exactly_the_events_before_it():
    async def main() -> None:
        answer = Answer(text="abcdef", pace=Pace(characters=1), fault="die_midway", fault_after=3)
        async with serve_scripted(Script(default=answer)) as served:
            server = HttpModelServer(served.base_url)
            with pytest.raises(ModelFailed):
                got = await server.call("/chat/completions", json.dumps(ask("x", stream=True)).encode(), timeout=5)
                async for _ in got.chunks():
                    pass
            assert (await served.instance.ended()).events == 3
            await server.aclose()

    asyncio.run(main())


@pytest.mark.parametrize(("fault", "status"), [("status_500", 500), ("status_429", 429)])
def test_error_statuses_have_the_openai_shape(fault, status):
    got, streamed, body = asyncio.run(call(Script(default=Answer(fault=fault)), ask("x", stream=True)))
    assert (got, streamed) == (status, False)
    assert json.loads(body)["error"]["message"]


def test_faults_inside_an_answer():
    def stream(fault: str) -> bytes:
        return asyncio.run(call(Script(default=Answer(text="abc", fault=fault)), ask("x", stream=True)))[2]

    assert b"[DONE]" not in stream("no_done")
    assert texts(stream("no_done"))[0] == "abc"
    assert max(len(line) for line in stream("long_line").split(b"\n")) > 1_000_000
    with pytest.raises(json.JSONDecodeError):
        texts(stream("garbage_event"))
    with pytest.raises(UnicodeDecodeError):
        stream("cut_utf8").decode()
    status, streamed, body = asyncio.run(call(Script(default=Answer(fault="wrong_type")), ask("x", stream=True)))
    assert (status, streamed) == (200, False)
    assert body.startswith(b"<html>")


@pytest.mark.parametrize("fault", ["cut_utf8", "garbage_event"])
def test_a_whole_answer_can_be_broken_too(fault):
    _, _, body = asyncio.run(call(Script(default=Answer(text="café", fault=fault)), ask("x")))
    with pytest.raises((UnicodeDecodeError, json.JSONDecodeError)):
        json.loads(body)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_json"),
        (b"[]", "bad_json"),
        (b"{", "bad_json"),
        (b'{"input": 3}', "bad_input"),
        (b'{"input": []}', "bad_input"),
    ],
)
def test_bad_requests_are_told_so(body, code):
    async def main() -> None:
        async with serve_scripted(Script()) as served:
            server = HttpModelServer(served.base_url)
            answer = await server.call("/embeddings", body, timeout=5)
            said = b"".join([chunk async for chunk in answer.chunks()])
            assert (answer.status, json.loads(said)["error"]["code"]) == (400, code)
            await server.aclose()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "a"),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}], "a\nb"),
        ([{"role": "system", "content": "a"}], ""),
        ([{"role": "user", "content": None}], ""),
        ("nonsense", ""),
        (None, ""),
        ([3, None], ""),
    ],
)
def test_last_user_message(messages, text):
    assert last_user({"messages": messages}) == text


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"rules: [", "line"),
        (b"rulez: []", "rulez"),
        (b"firedoor_script: 2", "firedoor_script"),
        (b"rules: [{name: a, answer: {text: 1}}]", "rules[0].answer.text"),
        (b"rules: [{name: a, when: {matches: '('}, answer: {}}]", "regular expression"),
        (b"rules: [{name: a, answer: {pace: {characters: 0}}}]", "characters"),
        (b"rules: [{name: a, answer: {fault: explode}}]", "explode"),
        (b"\xff\xfe\x00", "YAML"),
        (b"x" * 2_000_000, "larger"),
        (b"[" * 10_000, "YAML"),
    ],
)
def test_a_wrong_script_is_refused_with_the_place(document, says):
    with pytest.raises(SetupError) as error:
        decode(document)
    assert says in str(error.value)
    assert error.value.remedy


@given(st.binary(max_size=200))
def test_any_bytes_are_a_script_or_a_setup_error(document):
    try:
        decode(document)
    except SetupError:
        pass


def test_a_script_survives_being_written_as_json(tmp_path):
    script = Script(rules=(Rule(name="a", when=When(contains="x"), answer=Answer(tool_calls=(ToolCall(name="t"),))),))
    path = tmp_path / "script.json"
    path.write_bytes(msgspec.json.encode(script))
    assert load(path) == script
    with pytest.raises(SetupError, match=r"missing\.yaml"):
        load(tmp_path / "missing.yaml")


@given(st.text(max_size=30), st.text(max_size=30))
def test_vectors_have_length_one_and_tell_texts_apart(a, b):
    assert abs(sum(x * x for x in embed(a, 64)) - 1) < 1e-9
    assert (embed(a, 64) == embed(b, 64)) == (a == b)
