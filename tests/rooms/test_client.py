"""The shop's client against the official OpenAI package and servers that misbehave on the wire."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from firedoor.client import AsyncShopClient, Breaker, ShopClient, SurfaceFallback
from firedoor.core.plan.model import MessageFallback, RefuseFallback, Rule, RulesFallback
from firedoor.errors import CallerError, SetupError

from .misbehaving import DONE, ROLE, Server, answer, completion, drip, event, hang, head, reset, says, stream

FALLBACK = "We are back soon."
RULES = RulesFallback(
    rules=(
        Rule(field="amount", op="missing", points=60, reason="no_amount"),
        Rule(field="amount", op="gt", value=500, points=40, reason="high_amount"),
        Rule(field="card_country", op="differs_from", value="billing_country", points=30, reason="foreign_card"),
    ),
    review=40,
    block=70,
)
ASK = [{"role": "user", "content": "Where is my parcel?"}]
SHORT = 0.4  # seconds; every server below hangs until its test is over, so a call that returns did not wait for it
LONG = 30.0


def support(deadline: float = LONG, fallback=None, **more) -> SurfaceFallback:
    spec = fallback or MessageFallback(text={"en": FALLBACK, "de": "Wir sind bald zurück."})
    return SurfaceFallback(surface="support", model="m", deadline=deadline, fallback=spec, **more)


def checkout(deadline: float = LONG) -> SurfaceFallback:
    return support(deadline, RULES)


@pytest.fixture
def serve() -> Iterator:
    opened = []

    def start(behaviour) -> Server:
        opened.append(Server(behaviour))
        return opened[-1]

    yield start
    for server in opened:
        server.close()


@pytest.fixture(params=["threads", "asyncio"])
def ask(request):
    """`ask(url, surface, …)` -> (text, firedoor, finish reasons), through either client, streamed or not."""

    def whole(made, done):
        assert isinstance(made, ChatCompletion)
        done.append((made.choices[0].message.content, made.firedoor, [c.finish_reason for c in made.choices]))

    def joined(chunks, stream, done):
        assert all(isinstance(chunk, ChatCompletionChunk) for chunk in chunks)
        choices = [choice for chunk in chunks for choice in chunk.choices]
        text = "".join(choice.delta.content or "" for choice in choices)
        done.append((text, stream.firedoor, [c.finish_reason for c in choices if c.finish_reason]))

    async def by_asyncio(url, surface, messages, options, done):
        async with AsyncShopClient(url, "fd_secret", surface=surface) as client:
            made = await client.chat(messages, **options)
            if options.get("stream"):
                joined([chunk async for chunk in made], made, done)
            else:
                whole(made, done)

    def call(url, surface, messages=ASK, **options):
        done: list = []
        if request.param == "asyncio":
            asyncio.run(by_asyncio(url, surface, messages, options, done))
        else:
            with ShopClient(url, "fd_secret", surface=surface) as client:
                made = client.chat(messages, **options)
                if options.get("stream"):
                    joined(list(made), made, done)
                else:
                    whole(made, done)
        return done[0]

    return call


NEVER_ANSWERS = {
    "hangs before the head": hang,
    "drips the head": drip(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 50_000),
    "hangs after the head": says(head(), then=hang),
    "hangs in the body": says(head(), b'{"choices": [', then=hang),
    "drips the body": says(head(), then=drip(b" ")),
}
NO_ANSWER = {
    "closes at once": (says(), "unreachable"),
    "resets": (reset, "unreachable"),
    "is not HTTP": (says(b"\x00\xff\x13garbage\r\n\r\n"), "unreachable"),
    "500": (answer({"error": {"message": "x"}}, 500), "http_500"),
    "502 from a proxy": (says(head(502, "text/html"), b"<h1>Bad gateway"), "http_502"),
    "429": (answer({"error": {"message": "x"}}, 429), "http_429"),
    "403": (answer({"error": {"message": "x"}}, 403), "http_403"),
    "wrong region": (answer({"error": {"message": "x"}}, 421), "http_421"),
    "redirect": (says(head(302, Location="http://127.0.0.1:9/")), "http_302"),
    "no gateway's headers": (answer(completion("hi"), Firedoor_Outcome=""), "not_a_gateway"),
    "not JSON": (says(head(), b"<html>"), "garbage"),
    "a number": (says(head(), b"7"), "garbage"),
    "no choices": (answer({"choices": []}), "garbage"),
    "choices of nothing": (answer({"choices": [{"message": {}}]}), "garbage"),
    "odd keys": (answer(completion("hi", _fields_set=5)), "garbage"),
    "cut in the body": (says(head(Content_Length="500"), b'{"choices": ['), "unreachable"),
}


@pytest.mark.parametrize("behaviour", NEVER_ANSWERS.values(), ids=NEVER_ANSWERS)
@pytest.mark.parametrize("streamed", [False, True])
def test_the_deadline_holds_while_the_gateway_still_hangs(serve, ask, behaviour, streamed):
    server = serve(behaviour)
    text, info, finish = ask(server.url, support(SHORT), stream=streamed)
    assert not server.over.is_set()
    assert (text, finish) == (FALLBACK, ["stop"])
    assert (info.source, info.outcome, info.reason) == ("local", "fallback", "timeout")


@pytest.mark.parametrize(("behaviour", "reason"), NO_ANSWER.values(), ids=NO_ANSWER)
def test_what_is_no_answer_becomes_the_fallback(serve, ask, behaviour, reason):
    text, info, finish = ask(serve(behaviour).url, support())
    assert (text, finish) == (FALLBACK, ["stop"])
    assert (info.source, info.outcome) == ("local", "fallback")
    assert info.reason in {reason, "broken"} if reason == "unreachable" else info.reason == reason


def test_nobody_listens(serve, ask):
    server = serve(hang)
    server.close()
    for streamed in (False, True):
        text, info, _ = ask(server.url, support(), stream=streamed)
        assert (text, info.reason) == (FALLBACK, "unreachable")


def test_a_good_answer_passes_untouched(serve, ask):
    server = serve(answer(completion("It is on its way."), Firedoor_Outcome="minimised"))
    text, info, _ = ask(server.url, support(), subject="s-7", session="t-1", jurisdiction="DE", temperature=0.1)
    assert text == "It is on its way."
    assert (info.outcome, info.exchange, info.source, info.reason) == ("minimised", "x-1", "gateway", None)
    headers, body = server.requests[0]
    assert headers["authorization"] == "Bearer fd_secret"
    assert (headers["firedoor-subject"], headers["firedoor-session"]) == ("s-7", "t-1")
    assert headers["firedoor-jurisdiction"] == "DE"
    assert (body["model"], body["temperature"], body["messages"]) == ("m", 0.1, ASK)


def test_the_gateways_own_fallback_is_told_apart(serve, ask):
    text, info, _ = ask(serve(answer(completion("Gateway says."), Firedoor_Outcome="fallback")).url, support())
    assert (text, info.source, info.outcome) == ("Gateway says.", "gateway", "fallback")


@pytest.mark.parametrize("status", [400, 401, 404, 413])
@pytest.mark.parametrize("streamed", [False, True])
def test_the_callers_own_fault_is_raised(serve, ask, status, streamed):
    server = serve(answer({"error": {"message": "no", "code": "bad"}}, status, Firedoor_Outcome="refused"))
    with pytest.raises(openai.APIStatusError) as caught:
        ask(server.url, support(), stream=streamed)
    assert caught.value.status_code == status


def test_what_cannot_be_sent(serve, ask):
    server = serve(answer(completion("hi")))
    with pytest.raises(CallerError):
        ask(server.url, support(), subject="line\nbreak")
    with pytest.raises(TypeError):
        ask(server.url, support(), messages=[{"role": "user", "content": object()}])
    with pytest.raises(TypeError):
        ask(server.url, support(), no_such_option=1)
    text, info, _ = ask(server.url, support(), messages=[{"role": "user", "content": "half a pair \ud800"}])
    assert text in {FALLBACK, "hi"}
    assert server.requests == [] or info.source == "gateway"


def test_the_language_of_the_fallback(serve, ask):
    url = serve(answer({}, 500)).url
    assert ask(url, support(), language="de-AT")[0] == "Wir sind bald zurück."
    german = [{"role": "user", "content": "Wo ist mein Paket und wann kommt es?"}]
    assert ask(url, support(), messages=german)[0] == "Wir sind bald zurück."


def test_refusing_is_an_answer_too(serve, ask):
    text, info, finish = ask(serve(answer({}, 503)).url, support(fallback=RefuseFallback()))
    assert (text, info.outcome, info.source, finish) == (None, "refused", "local", ["stop"])
    assert (info.exchange, info.reason) == ("x-1", "http_503")


# --- streams ----------------------------------------------------------------------------------------------------------

WORDS = event({"content": "Your parcel"})
END = event({}, "stop", firedoor={"exchange": "x-1", "outcome": "answered", "reason": None})
DIES = {
    "closes": stream(ROLE, WORDS),
    "says done without an end": stream(ROLE, WORDS, DONE),
    "resets": stream(ROLE, WORDS, then=reset),
    "sends half a chunk": stream(ROLE, WORDS, b'data: {"id": "c", "cho'),
    "sends garbage": stream(ROLE, WORDS, b"data: <html>\n\n"),
    "sends a list": stream(ROLE, WORDS, b"data: [1, 2]\n\n"),
    "sends a chunk without choices": stream(ROLE, WORDS, b'data: {"id": "c"}\n\n'),
    "sends choices of text": stream(ROLE, WORDS, b'data: {"choices": ["x"]}\n\n'),
    "sends an error": stream(ROLE, WORDS, b'data: {"error": {"message": "x"}}\n\n'),
    "hangs": stream(ROLE, WORDS, then=hang),
    "drips comments": stream(ROLE, WORDS, then=drip(b": still here\n\n")),
}


def test_a_good_stream_passes_untouched(serve, ask):
    server = serve(stream(ROLE, WORDS, event({"content": " is here."}), END, DONE))
    text, info, finish = ask(server.url, support(), stream=True)
    assert (text, finish) == ("Your parcel is here.", ["stop"])
    assert (info.outcome, info.source, info.exchange) == ("answered", "gateway", "x-1")


@pytest.mark.parametrize("behaviour", DIES.values(), ids=DIES)
def test_a_stream_that_dies_in_the_middle_ends_well(serve, ask, behaviour):
    slow = behaviour in (DIES["hangs"], DIES["drips comments"])
    text, info, finish = ask(serve(behaviour).url, support(SHORT if slow else LONG), stream=True)
    assert text == f"Your parcel\n\n{FALLBACK}"
    assert finish == ["stop"]
    assert (info.outcome, info.source, info.exchange) == ("cut", "gateway", "x-1")
    assert info.reason == ("timeout" if slow else info.reason)


@pytest.mark.parametrize("behaviour", [stream(ROLE), stream(ROLE, DONE), stream(), stream(then=reset)])
def test_a_stream_that_dies_before_it_says_anything_is_replaced_whole(serve, ask, behaviour):
    text, info, finish = ask(serve(behaviour).url, support(), stream=True)
    assert (text, finish, info.source, info.outcome) == (FALLBACK, ["stop"], "local", "fallback")


def test_the_gateways_own_cut_is_told(serve, ask):
    last = event({}, "content_filter", firedoor={"exchange": "x-1", "outcome": "cut", "reason": "leak"})
    text, info, finish = ask(serve(stream(ROLE, WORDS, last, DONE)).url, support(), stream=True)
    assert (text, finish, info.outcome, info.reason) == ("Your parcel", ["content_filter"], "cut", "leak")


def test_only_unfinished_choices_get_a_tail(serve):
    parts = [event({"content": "one"}, index=0), event({"content": "two"}, index=1), event({}, "stop", index=0)]
    with ShopClient(serve(stream(*parts)).url, "fd_x", surface=support()) as client:
        texts = {0: "", 1: ""}
        for chunk in client.chat(ASK, stream=True, n=2):
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
    assert texts == {0: "one", 1: f"two\n\n{FALLBACK}"}


def test_usage_follows_a_local_stream_that_asks_for_it(serve):
    with ShopClient(serve(answer({}, 500)).url, "fd_x", surface=support()) as client:
        chunks = list(client.chat(ASK, stream=True, stream_options={"include_usage": True}))
    assert [bool(chunk.choices) for chunk in chunks] == [True, True, True, False]
    assert chunks[-1].usage.total_tokens == 0


def test_a_reader_who_leaves_frees_the_connection(serve):
    left = threading.Event()

    def until_closed(server, connection):
        connection.sendall(head(content="text/event-stream") + ROLE + WORDS)
        assert connection.recv(1) == b""
        left.set()

    with ShopClient(serve(until_closed).url, "fd_x", surface=support()) as client:
        for _ in client.chat(ASK, stream=True):
            break
        assert left.wait(10)


# --- decisions --------------------------------------------------------------------------------------------------------


def verdict(**answered) -> dict:
    return completion(json.dumps(answered))


def test_the_model_decides(serve):
    server = serve(answer(verdict(decision="review", score=0.5, reasons=["odd hour"])))
    with ShopClient(server.url, "fd_x", surface=checkout()) as client:
        decision = client.decide({"amount": 20}, subject="s")
    assert (decision.decision, decision.score, decision.reasons) == ("review", 0.5, ("odd hour",))
    assert (decision.by, decision.exchange) == ("model", "x-1")
    assert json.loads(server.requests[0][1]["messages"][-1]["content"]) == {"amount": 20}


def test_the_gateways_rules_are_named(serve):
    body = verdict(decision="block", score=90, reasons=["no_amount"], by="rules")
    with ShopClient(serve(answer(body, Firedoor_Outcome="fallback")).url, "fd_x", surface=checkout()) as client:
        assert client.decide({}).by == "gateway-fallback"


@pytest.mark.parametrize(
    "said",
    [
        "allow",
        "",
        '```json\n{"decision":"allow","score":1,"reasons":[]}\n```',
        '{"decision":"ALLOW","score":1,"reasons":[]}',
        '{"decision":"allow","score":"1","reasons":[]}',
        '{"decision":"allow","score":NaN,"reasons":[]}',
        '{"decision":"allow","score":1e999,"reasons":[]}',
        '{"decision":"allow","reasons":[]}',
        '{"decision":"allow","score":1,"reasons":"none"}',
        '{"decision":"allow","score":1,"reasons":[]} trailing',
        json.dumps({"decision": "allow", "score": 1, "reasons": ["x" * 201]}),
        json.dumps({"decision": "allow", "score": 1, "reasons": ["x"] * 33}),
    ],
)
def test_what_is_no_decision_is_left_to_the_rules(serve, said):
    with ShopClient(serve(answer(completion(said))).url, "fd_x", surface=checkout()) as client:
        decision = client.decide({"amount": 900, "card_country": "US", "billing_country": "DE"})
    assert (decision.decision, decision.by) == ("block", "local-rules")
    assert decision.reasons == ("high_amount", "foreign_card")


@pytest.mark.parametrize("status", [400, 401, 404, 413, 421, 500, 503])
def test_checkout_gets_a_decision_whatever_the_status(serve, status):
    with ShopClient(serve(answer({"error": {}}, status)).url, "fd_x", surface=checkout()) as client:
        assert client.decide({"amount": 20}).decision == "allow"


@pytest.mark.parametrize("behaviour", NEVER_ANSWERS.values(), ids=NEVER_ANSWERS)
def test_checkout_gets_a_decision_while_the_gateway_hangs(serve, behaviour):
    with ShopClient(serve(behaviour).url, "fd_x", surface=checkout(SHORT)) as client:
        assert client.decide({"amount": "600.00"}).reasons == ("high_amount",)


def test_odd_transactions_and_headers_still_get_a_decision(serve):
    ring: dict = {}
    ring["self"] = ring
    with ShopClient(serve(hang).url, "fd_x", surface=checkout(SHORT)) as client:
        assert client.decide(ring).reasons == ("no_amount",)
        assert client.decide({"amount": float("nan")}).reasons == ("no_amount",)
        assert client.decide({"amount": 1}, subject="line\nbreak").by == "local-rules"


def test_a_surface_without_rules_cannot_decide(serve):
    with ShopClient(serve(hang).url, "fd_x", surface=support()) as client, pytest.raises(SetupError):
        client.decide({})


# --- breaker, threads, processes --------------------------------------------------------------------------------------


def test_the_breaker_spares_a_dead_gateway_and_finds_it_alive_again(serve):
    now = [0.0]
    breaker = Breaker(failures=3, pause=5, clock=lambda: now[0])
    server = serve(answer({}, 500, Firedoor_Outcome=""))
    with ShopClient(server.url, "fd_x", surface=support(), breaker=breaker) as client:
        reasons = [client.chat(ASK).firedoor.reason for _ in range(5)]
        assert reasons == ["http_500"] * 3 + ["breaker"] * 2
        assert client.chat(ASK, stream=True).firedoor.reason == "breaker"
        assert len(server.requests) == 3
        now[0] = 5.0
        assert client.chat(ASK).firedoor.reason == "http_500"
        assert client.chat(ASK).firedoor.reason == "breaker"
        now[0] = 10.0
        server.behaviour = answer(completion("back"))
        assert [client.chat(ASK).choices[0].message.content for _ in range(2)] == ["back"] * 2


def test_a_gateway_that_answers_on_purpose_does_not_trip_the_breaker(serve):
    breaker = Breaker(failures=1)
    server = serve(answer({"error": {}}, 503))
    with ShopClient(server.url, "fd_x", surface=support(), breaker=breaker) as client:
        assert client.chat(ASK).firedoor.reason == "http_503"
        server.behaviour = answer({"error": {}}, 403, Firedoor_Outcome="")
        assert client.chat(ASK).firedoor.reason == "http_403"
        server.behaviour = answer({"error": {}}, 400, Firedoor_Outcome="")
        with pytest.raises(openai.BadRequestError):
            client.chat(ASK)
        assert not breaker.tripped


def test_a_cut_stream_counts_and_a_whole_one_clears(serve):
    breaker = Breaker(failures=2)
    server = serve(stream(ROLE, WORDS))
    with ShopClient(server.url, "fd_x", surface=support(), breaker=breaker) as client:
        list(client.chat(ASK, stream=True))
        server.behaviour = stream(ROLE, WORDS, END, DONE)
        list(client.chat(ASK, stream=True))
        server.behaviour = stream(ROLE, WORDS)
        list(client.chat(ASK, stream=True))
        assert not breaker.tripped
        list(client.chat(ASK, stream=True))
        assert breaker.tripped


def test_many_threads_share_one_client(serve):
    server = serve(lambda s, c: answer(completion(s.requests[-1][1]["model"]))(s, c))
    with ShopClient(server.url, "fd_x", surface=support()) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.chat(ASK), range(40)))
    assert {a.choices[0].message.content for a in answers} == {"m"}
    assert {a.firedoor.source for a in answers} == {"gateway"}


def test_closing_ends_a_stream_that_is_being_read(serve):
    client = ShopClient(serve(stream(ROLE, WORDS, then=hang)).url, "fd_x", surface=support())
    chunks = iter(client.chat(ASK, stream=True))
    first = [next(chunks), next(chunks)]
    closer = threading.Timer(0.1, client.close)
    closer.start()
    text = "".join(chunk.choices[0].delta.content or "" for chunk in [*first, *chunks])
    closer.join()
    assert text == f"Your parcel\n\n{FALLBACK}"
    with pytest.raises(SetupError):
        client.chat(ASK)


def test_a_forked_child_gets_its_own_loop(serve):
    server = serve(answer(completion("hi")))
    code = f"""
import os, sys
from firedoor.client import ShopClient, SurfaceFallback
from firedoor.core.plan.model import MessageFallback
surface = SurfaceFallback(surface="support", model="m", deadline=20, fallback=MessageFallback(text={{"en": "off"}}))
client = ShopClient({server.url!r}, "fd_x", surface=surface)
ask = lambda: client.chat([{{"role": "user", "content": "x"}}]).choices[0].message.content
assert ask() == "hi"
child = os.fork()
if child == 0:
    os._exit(0 if ask() == "hi" else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False, timeout=60).returncode == 0


def test_importing_the_client_is_light():
    heavy = ("openai", "uvicorn", "aiohttp", "hyperscan", "starlette", "cryptography", "phonenumbers", "ruamel")
    code = f"import sys, firedoor.client; print([name for name in {heavy!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_without_the_openai_package_the_error_says_what_to_install():
    code = """
import sys
sys.modules["openai"] = None
from firedoor.client import ShopClient, SurfaceFallback
from firedoor.core.plan.model import RefuseFallback
try:
    ShopClient("http://127.0.0.1:9/v1", "fd_x", surface=SurfaceFallback(surface="s", model="m", deadline=1, fallback=RefuseFallback()))
except Exception as error:
    print(type(error).__name__, error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "SetupError The package `openai` is not installed. Install it with: pip install 'firedoor[client]'\n"
