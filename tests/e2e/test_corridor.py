"""Through the front door with the official OpenAI client: both regions, streams and whole answers."""

import json

import openai
import pytest

from .house import SECRET

MAIL = "mia.muster@example.org"


def client(house, region, surface):
    return openai.OpenAI(
        base_url=house.url(region) + "/v1", api_key=house.token(region, surface), max_retries=0, timeout=20
    )


def ask(house, text, *, region="eu", surface="support", **options):
    return client(house, region, surface).chat.completions.create(
        model="small", messages=[{"role": "user", "content": text}], **options
    )


def read(stream):
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    return text, chunks


@pytest.mark.parametrize("region", ["eu", "us"])
@pytest.mark.parametrize("surface", ["support", "account_chat", "product_discovery", "fraud_scoring"])
def test_whole_answers_come_back_with_personal_data_restored(house, region, surface):
    answer = ask(house, f"I am {MAIL}", region=region, surface=surface)
    assert answer.choices[0].message.content == f"You said: I am {MAIL}"
    assert answer.usage.total_tokens > 0


@pytest.mark.parametrize("region", ["eu", "us"])
@pytest.mark.parametrize("word", ["Hello", "BYTES", "CRLF"])
def test_streams_come_back_restored_with_their_outcome_in_the_last_event(house, region, word):
    text, chunks = read(
        ask(house, f"{word} {MAIL}", region=region, stream=True, stream_options={"include_usage": True})
    )
    assert MAIL in text
    assert "<EMAIL" not in text
    assert chunks[-1].model_extra["firedoor"]["outcome"] == "minimised"
    assert chunks[-1].usage.total_tokens > 0


def test_tool_calls_keep_valid_json(house):
    answer = ask(house, f"TOOL {MAIL}")
    call = answer.choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"to": MAIL, "text": 'hi "there"'}
    stream = list(ask(house, f"TOOL {MAIL}", stream=True))
    arguments = "".join(
        c.choices[0].delta.tool_calls[0].function.arguments or ""
        for c in stream
        if c.choices and c.choices[0].delta.tool_calls
    )
    assert json.loads(arguments) == {"to": MAIL, "text": 'hi "there"'}


def test_several_choices_and_a_conversation(house):
    answer = client(house, "eu", "support").chat.completions.create(
        model="small",
        n=3,
        messages=[
            {"role": "system", "content": "You help."},
            {"role": "user", "content": f"I am {MAIL}"},
            {"role": "assistant", "content": f"Hello {MAIL}"},
            {"role": "user", "content": "What is my address again?"},
        ],
    )
    assert len(answer.choices) == 3


def test_models_lists_what_the_credential_may_use(house):
    assert [m.id for m in client(house, "eu", "support").models.list()] == ["small"]


def test_embeddings_go_through_the_same_corridor(house):
    made = client(house, "eu", "support").embeddings.create(
        model="small", input=[f"boots for {MAIL}", "tent"], encoding_format="float"
    )
    assert len(made.data) == 2
    with pytest.raises(openai.NotFoundError):
        client(house, "eu", "account_chat").embeddings.create(model="small", input="x")


def test_the_wrong_region_is_told_where_to_go(house):
    wrong = openai.OpenAI(base_url=house.url("us") + "/v1", api_key=house.token("eu", "support"), max_retries=0)
    with pytest.raises(openai.APIStatusError) as caught:
        wrong.chat.completions.create(model="small", messages=[{"role": "user", "content": "hi"}])
    assert caught.value.status_code == 421
    assert caught.value.response.headers["firedoor-address"] == house.url("eu")


@pytest.mark.parametrize(
    ("jurisdiction", "status", "code"),
    [("US", 421, "wrong_region"), ("JP", 403, "jurisdiction_not_served"), ("xx", 400, "invalid_jurisdiction")],
)
def test_a_stated_jurisdiction_only_makes_it_stricter(house, jurisdiction, status, code):
    with pytest.raises(openai.APIStatusError) as caught:
        ask(house, "hi", extra_headers={"Firedoor-Jurisdiction": jurisdiction})
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert ask(house, "hi", extra_headers={"Firedoor-Jurisdiction": "FR"}).choices


def test_a_foreign_or_revoked_credential_opens_nothing(house):
    for key in ("sk-nothing", "fd_eu_000000000000_" + "0" * 48, "fd_xx_1_2"):
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=house.url("eu") + "/v1", api_key=key, max_retries=0).models.list()


def test_an_unknown_model_is_not_found(house):
    with pytest.raises(openai.NotFoundError):
        client(house, "eu", "support").chat.completions.create(
            model="other", messages=[{"role": "user", "content": "x"}]
        )


def test_a_leak_shuts_its_own_door_and_two_people_open_it(house):
    before = read(ask(house, "Hi there", region="us", stream=True))[0]
    assert before == "You said: Hi there"
    text, chunks = read(ask(house, "LEAK please", region="us", stream=True))
    assert text.startswith("Well, between us: ")
    assert not any(SECRET[:n] in text for n in range(4, len(SECRET)))
    assert chunks[-1].model_extra["firedoor"] == {
        "exchange": chunks[-1].model_extra["firedoor"]["exchange"],
        "outcome": "cut",
        "reason": "leak",
    }

    raw = client(house, "us", "support").chat.completions.with_raw_response.create(
        model="small", messages=[{"role": "user", "content": "hi"}]
    )
    assert raw.headers["firedoor-outcome"] == "fallback"
    assert raw.headers["firedoor-switch"].startswith("shut")
    assert "Our team will answer" in raw.parse().choices[0].message.content
    with pytest.raises(openai.InternalServerError):
        client(house, "us", "support").embeddings.create(model="small", input="x")
    # Other surfaces and the other region go on.
    assert ask(house, "hi", region="us", surface="account_chat").choices[0].message.content == "You said: hi"
    assert ask(house, "hi", region="eu").choices[0].message.content == "You said: hi"

    scope = "us/alpenladen/support/us-chat"
    house.wait(lambda: scope in house.run("switches", check=False).stdout, what="the switch in the table")
    opened = house.run("open", scope, "--note", "fixed", "--as", "ana", "--key", house.keys["ana"], "--json")
    request = json.loads(opened.stdout)["id"]
    alone = house.run("approve", request, "--as", "ana", "--key", house.keys["ana"], "--yes", check=False)
    assert alone.returncode != 0
    assert ask(house, "hi", region="us").choices[0].message.content != "You said: hi"
    house.run("approve", request, "--as", "ben", "--key", house.keys["ben"], "--yes")
    house.wait(lambda: ask(house, "hi", region="us").choices[0].message.content == "You said: hi", what="an open door")


def test_a_person_shuts_and_streams_in_flight_are_cut(house):
    stream = ask(house, "SLOW", surface="account_chat", stream=True)
    first = next(iter(stream))
    assert first
    house.run(
        "shut",
        "eu/alpenladen/account_chat",
        "--reason",
        "operator",
        "--note",
        "test",
        "--as",
        "cem",
        "--key",
        house.keys["cem"],
    )
    text, chunks = read(stream)
    assert text.endswith("This answer was stopped.")
    assert chunks[-1].choices[0].finish_reason == "content_filter"
    assert chunks[-1].model_extra["firedoor"]["outcome"] == "cut"


def test_what_the_caller_typed_is_not_a_leak(house):
    answer = ask(house, f"Is it true that {SECRET}?", surface="product_discovery")
    assert SECRET in answer.choices[0].message.content


def test_the_evidence_verifies_and_holds_no_personal_data(house):
    ask(house, f"Remember {MAIL}", surface="product_discovery")
    house.run("evidence", "verify")
    listed = house.run("evidence", "list", "--region", "eu", "--json").stdout
    assert '"outcome"' in listed
    for path in house.home.region("eu").journals.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert MAIL.encode() not in data
            assert SECRET.encode() not in data


def test_the_shut_file_shuts_with_nothing_else_and_latches(house):
    place = house.home.region("eu")
    assert ask(house, "hi", surface="product_discovery").choices[0].message.content == "You said: hi"
    place.shut_file.touch()
    house.wait(
        lambda: "You may like" in ask(house, "tent", surface="product_discovery").choices[0].message.content,
        what="a shut door",
    )
    house.wait(lambda: "eu/*/*/*" in house.run("switches", check=False).stdout, what="the latch")
    place.shut_file.unlink()
    assert "You may like" in ask(house, "tent", surface="product_discovery").choices[0].message.content
