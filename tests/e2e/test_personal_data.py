"""Personal data through a real gateway: what the model server hears, what comes back, what is on record, and what is not.

All persons and values are invented.
"""

import asyncio
import json
import logging
import re
import threading
import time
from contextlib import contextmanager

import openai
import pytest
import uvicorn

from firedoor.app.gateway import Worker, listen
from firedoor.core.detect.rules.tier import Rules
from firedoor.gateway.protocol import BoundedProtocol
from firedoor.store.planfile import load

from .house import free_port
from .recording import FALLBACK, OTHER_BRAND, PrivateHouse, Recorder

# A message in each language, and the values in it.
MESSAGES = {
    "en": (
        "Hello, my name is {}, I live at {}, {} {}. Please call {} or write to {} about order {}.",
        (
            "Margaret Holloway",
            "27 Birchwood Avenue",
            "Leeds",
            "LS6 2AB",
            "+44 7700 900123",
            "m.holloway@example.org",
            "#481516",
        ),
    ),
    "de": (
        "Guten Tag, mein Name ist {}, ich wohne in der {}, {} {}. Meine Mail ist {}, Telefon {}, IBAN {}.",
        (
            "Annegret Kowalczyk",
            "Lindenstraße 14",
            "80331",
            "München",
            "annegret.k@example.org",
            "0170 5556677",
            "DE89 3704 0044 0532 0130 00",
        ),
    ),
    "fr": (
        "Bonjour, je m'appelle {} et j'habite {}, {} {}. Mon adresse mail est {} et mon téléphone le {}.",
        ("Célestine Marchand", "12 rue des Lilas", "69003", "Lyon", "celestine.m@example.fr", "06 12 34 56 78"),
    ),
    "es": (
        "Hola, me llamo {} y vivo en la {}, {} {}. Mi correo es {} y mi DNI es {}.",
        ("Ramiro Etxeberria Lozano", "calle Mayor 45", "28013", "Madrid", "ramiro.e@example.es", "12345678Z"),
    ),
    "it": (
        "Buongiorno, mi chiamo {}, abito in {}, {} {}. La mia mail è {} e il codice fiscale è {}.",
        ("Ludovica Ferrante", "via Garibaldi 8", "20121", "Milano", "ludovica@example.it", "RSSMRA85T10A562S"),
    ),
    "nl": (
        "Goedendag, ik ben {}, ik woon op {}, {} {}. Mijn e-mail is {} en mijn nummer is {}.",
        ("Willemijn van der Veen", "Prinsengracht 263", "1016 GV", "Amsterdam", "willemijn@example.nl", "06 20481632"),
    ),
    "pl": (
        "Dzień dobry, nazywam się {}, mieszkam przy {}, {} {}. Mój e-mail to {}, a PESEL to {}.",
        ("Zbigniew Wawrzyniak", "ul. Mickiewicza 17", "30-059", "Kraków", "zbigniew@example.pl", "44051401359"),
    ),
}
CARD = "4111 1111 1111 1111"
MAIL = "ines.castell@example.org"
STRANGER = "other.person@example.net"
STRANGERS_PHONE = "+49 151 23456789"


def text_in(language):
    template, values = MESSAGES[language]
    return template.format(*values), values


def words(values):
    """The values, and the longer words of each: no part of a name may be left behind."""
    return {*values, *(word for value in values for word in re.findall(r"[^\W\d_]{5,}", value))} - {"Avenue", "calle"}


def numberless(text):
    """`text` with placeholders that have no numbers."""
    return re.sub(r"<([A-Z_]+)_\d+>", r"<\1>", text)


@pytest.fixture(scope="module")
def model():
    model = Recorder()
    yield model
    model.close()


@pytest.fixture(scope="module")
def started(model, tmp_path_factory):
    house = PrivateHouse(tmp_path_factory.mktemp("private"), model)
    house.start()
    yield house
    house.remove()


@pytest.fixture
def house(started, model):
    model.forget()
    return started


def exchange_of(raw):
    return raw.headers["firedoor-exchange"]


# --- masked on the way out, restored on the way back ------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("language", MESSAGES)
def test_names_addresses_and_ids_never_reach_the_model_and_come_back(house, model, language, stream):
    text, values = text_in(language)
    said = house.streamed(text)[0] if stream else house.said(text)
    assert said == f"You said: {text}"
    heard = model.heard()
    assert [value for value in words(values) if value in heard] == []
    assert model.last()[0].count("<") >= len(values)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_conversation_sent_again_keeps_its_numbers(house, model, stream):
    texts = [
        text_in("en")[0],
        f"My daughter Ottilie Brandvold also orders; her mail is {MAIL}.",
        "Write to Ottilie, and to Margaret Holloway at m.holloway@example.org.",
    ]
    messages, sent = [], []
    for text in texts:
        messages.append({"role": "user", "content": text})
        said = (house.streamed if stream else house.said)(None, messages=messages)
        if isinstance(said, tuple):
            said = said[0]
        messages.append({"role": "assistant", "content": said})
        sent.append(model.last())
    assert sent[1][:1] == sent[0]
    assert sent[2][:3] == sent[1]
    assert "<PERSON_2>" in sent[1][2]
    assert sent[2][4] == "Write to <PERSON_2>, and to <PERSON_1> at <EMAIL_1>."
    heard = model.heard()
    assert not any(value in heard for value in ("Margaret", "Holloway", "Ottilie", "Brandvold", "@example.org"))
    assert messages[3]["content"] == f"You said: {texts[1]}"


def test_what_was_found_restored_and_invented_is_on_record(house, model):
    model.answer("Dear <PERSON_1>, we write to <EMAIL_1>, <EMAIL_1> and <EMAIL_9>.")
    raw = house.ask(f"I am Margaret Holloway, mail {MAIL}", extra_headers={"Firedoor-Subject": "shopper-8841"})
    exchange = exchange_of(raw)
    said = raw.parse().choices[0].message.content
    assert said == f"Dear Margaret Holloway, we write to {MAIL}, {MAIL} and <EMAIL_9>."
    records = house.records(exchange)
    assert records["intent"].facts["minimised"] == {"PERSON": 1, "EMAIL": 1}
    outcome = records["outcome"].facts
    assert outcome["minimised"] == {"PERSON": 1, "EMAIL": 1}
    assert outcome["restored"] == {"PERSON": 1, "EMAIL": 2}
    assert outcome["invented"] == 1
    assert not {"passed", "shadow"} & outcome.keys()
    for kind in ("intent", "outcome"):  # what lies sealed is what the model was told and said
        body = house.body(records[kind])
        assert "<EMAIL_1>" in body
        assert MAIL not in body
        assert "Holloway" not in body

    found = house.run("evidence", "search", "--region", "eu", "--subject", "shopper-8841", "--json").stdout
    row = json.loads(found)
    assert (row["exchange"], row["outcome"]) == (exchange, "minimised")
    assert {*row["present"]} == {*row["restored"]} == {"PERSON", "EMAIL"}


# --- what becomes of each kind ----------------------------------------------------------------------------------------


def test_each_kind_is_handled_as_the_plan_says(house, model):
    born = 1988
    text = (
        f"Please write to {MAIL} or call +44 7700 900321. I live at Lindenstraße 14, 80331 München, born on 12.05.{born}, "
        "my ip is 198.51.100.23, order #771204. My password is tulpe-Quark-77. Regards, Margaret Holloway"
    )
    raw = house.ask(text, "mixed")
    age = time.gmtime().tm_year - born
    told = model.last()[0]
    assert told == (
        "Please write to example.org or call +44. I live at <STREET_ADDRESS_1>, 803xx <CITY_1>, born on "
        f"{age // 10 * 10}-{age // 10 * 10 + 9}, my ip is 198.51.100.0/24, order #771204. "
        "My password is <SECRET_1>. Regards, [removed]"
    )
    # What has a placeholder comes back; what became coarser or went, does not.
    expected = (
        told.replace("<CITY_1>", "München")
        .replace("<STREET_ADDRESS_1>", "Lindenstraße 14")
        .replace("<SECRET_1>", "tulpe-Quark-77")
    )
    assert raw.parse().choices[0].message.content == f"You said: {expected}"
    facts = house.facts(exchange_of(raw))
    once = ("EMAIL", "PHONE", "POSTCODE", "CITY", "STREET_ADDRESS", "DATE_OF_BIRTH", "IP", "SECRET", "PERSON")
    for kind in ("intent", "outcome"):
        assert facts[kind]["minimised"] == dict.fromkeys(once, 1)
        assert facts[kind]["passed"] == {"ORDER_ID": 1}
    assert facts["outcome"]["restored"] == {"CITY": 1, "STREET_ADDRESS": 1, "SECRET": 1}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("label", "value"), [("CREDIT_CARD", CARD), ("IBAN", "DE89 3704 0044 0532 0130 00")], ids=["card", "iban"]
)
def test_what_is_refused_goes_nowhere(house, model, label, value, stream):
    messages = [
        {"role": "system", "content": "You help."},
        {"role": "user", "content": f"Refund to {label.replace('_', ' ').lower()} {value} please, I am {MAIL}"},
    ]
    with pytest.raises(openai.BadRequestError) as caught:
        house.ask(None, "mixed", messages=messages, stream=stream)
    error, response = caught.value, caught.value.response
    assert error.code == "personal_data_refused"
    assert error.param == "messages[1].content"
    assert label in error.message
    everything = response.text + repr(response.headers)
    assert not any(part in everything for part in (value, value.replace(" ", ""), value[-4:], MAIL))
    assert model.bodies == []
    records = house.records(response.headers["firedoor-exchange"])
    assert {*records} == {"outcome"}
    outcome = records["outcome"]
    assert (outcome.facts["outcome"], outcome.facts["reason"]) == ("refused", "personal_data_refused")
    assert outcome.body is None
    assert house.files_with(value, value.replace(" ", ""), MAIL) == set()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_in_shadow_mode_the_model_hears_all_but_cards(house, model, stream):
    text = f"My name is Margaret Holloway, card {CARD}, order #771204, mail {MAIL}"
    raw = house.ask(text, "shadow", stream=stream)
    if stream:
        said = "".join(c.choices[0].delta.content or "" for c in raw.parse() if c.choices)
    else:
        said = raw.parse().choices[0].message.content
    assert said == f"You said: {text}"
    assert model.last() == [text.replace(CARD, "<CREDIT_CARD_1>")]
    facts = house.facts(exchange_of(raw))
    for kind in ("intent", "outcome"):
        assert facts[kind]["minimised"] == {"CREDIT_CARD": 1}
        assert facts[kind]["shadow"] == {"PERSON": 1, "EMAIL": 1, "CREDIT_CARD": 1}
        assert facts[kind]["passed"] == {"ORDER_ID": 1}
    assert house.files_with(MAIL, "Holloway", CARD) == set()
    if stream:
        listed = house.run("evidence", "list", "--region", "eu", "--kind", "intent", "--json").stdout.splitlines()
        assert any('"shadow"' in line and exchange_of(raw) in line for line in listed)


def test_where_all_passes_cards_do_not(house, model):
    text = f"My name is Margaret Holloway, card {CARD}, mail {MAIL}"
    raw = house.ask(text, "all_pass")
    assert model.last() == [text.replace(CARD, "<CREDIT_CARD_1>")]
    assert raw.parse().choices[0].message.content == f"You said: {text}"
    facts = house.facts(exchange_of(raw))["outcome"]
    assert facts["minimised"] == {"CREDIT_CARD": 1}
    assert facts["passed"] == {"PERSON": 1, "EMAIL": 1}


def test_fields_of_a_transaction_have_rules_of_their_own(house, model):
    transaction = {
        "amount": 79.9,
        "order": "#771204",
        "customer": {
            "email": MAIL,
            "username": "wolkenschaf",
            "loyalty": {"card": "AB-99-71", "since": 2019},
            "age": 3,
        },
        "comment": "leave it with Margaret Holloway, 27 Birchwood Avenue",
        "items": [{"sku": "AL-1001-XL", "count": 2}],
    }
    raw = house.ask(json.dumps(transaction), "fraud_scoring")
    told = json.loads(model.last()[0])
    assert told == {
        "amount": "50-100",
        "order": "#771204",
        "customer": {"email": "example.org", "username": "<USERNAME_1>", "loyalty": "[removed]", "age": 3},
        "comment": "leave it with <PERSON_1>, <STREET_ADDRESS_1>",
        "items": [{"sku": "AL-1001-XL", "count": 2}],
    }
    said = json.loads(raw.parse().choices[0].message.content.removeprefix("You said: "))
    assert said["customer"]["username"] == "wolkenschaf"
    assert said["comment"] == transaction["comment"]
    assert said["amount"] == "50-100"
    assert house.facts(exchange_of(raw))["outcome"]["passed"] == {"ORDER_ID": 1}


# --- what the shop tells ----------------------------------------------------------------------------------------------

SUBJECT = {
    "first_name": "Mirela",
    "last_name": "Testowa",
    "email": "mirela.probna@example.org",
    "addresses": [{"street": "ul. Próbna 5", "postcode": "00-001", "city": "Warszawa"}],
    "order_ids": ["#10042"],
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_shoppers_own_values_are_masked_and_the_field_goes_nowhere(house, model, stream):
    text = "hi its mirela, parcel 10042 should go to Probna 5 now"
    more = {"extra_body": {"firedoor": {"subject": SUBJECT}}}
    said = house.streamed(text, **more)[0] if stream else house.said(text, **more)
    assert model.last() == ["hi its <PERSON_1>, parcel <ORDER_ID_1> should go to <STREET_ADDRESS_1> now"]
    assert "firedoor" not in model.bodies[-1]
    heard = model.heard().lower()
    assert not any(word in heard for word in ("mirela", "testowa", "probna", "próbna", "warszawa", "10042"))
    assert said.removeprefix("You said: ").lower() == text.lower()
    assert house.files_with("Testowa", "mirela.probna@example.org", "Próbna 5") == set()


def test_the_shoppers_own_values_are_no_strangers(house, model):
    model.answer(f"We wrote to {SUBJECT['email']}.")
    raw = house.ask("Did you write to me?", "account_chat", extra_body={"firedoor": {"subject": SUBJECT}})
    assert raw.parse().choices[0].message.content == f"We wrote to {SUBJECT['email']}."
    assert {*house.records(exchange_of(raw))} == {"intent", "outcome"}


@pytest.mark.parametrize(
    ("told", "param"),
    [
        ({"subject": {**SUBJECT, "shoe_size": "44-Quitte"}}, "firedoor.subject.shoe_size"),
        ({"subject": SUBJECT, "debug": "44-Quitte"}, "firedoor.debug"),
        ({"subject": {"44-Quitte": "x"}}, "firedoor.subject"),
    ],
)
def test_an_unknown_field_about_the_shopper_is_an_error(house, model, told, param):
    with pytest.raises(openai.BadRequestError) as caught:
        house.ask("hello", extra_body={"firedoor": told})
    assert (caught.value.code, caught.value.param) == ("invalid_value", param)
    everything = caught.value.response.text + repr(caught.value.response.headers)
    assert not any(word in everything for word in ("44-Quitte", "Mirela", "Testowa", "10042"))
    assert model.bodies == []
    assert house.files_with("44-Quitte") == set()


# --- strangers' data in answers ---------------------------------------------------------------------------------------

LEAKED = f"Of course. The customer before you has the mail {STRANGER} and the phone number {STRANGERS_PHONE}. Bye now!"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_strangers_data_is_recorded_and_the_answer_is_whole(house, model, stream):
    model.answer(LEAKED)
    raw = house.ask(f"Who else bought it? Mail me: {MAIL}", stream=stream)
    if stream:
        chunks = list(raw.parse())
        said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert chunks[-1].model_extra["firedoor"]["outcome"] == "minimised"
    else:
        said = raw.parse().choices[0].message.content
    assert said == LEAKED
    records = house.records(exchange_of(raw))
    finding = records["finding"].facts
    assert (finding["rule"], finding["verdict"]) == ("stranger_data", "record")
    assert finding["labels"] == {"EMAIL": 1, "PHONE": 1}
    assert records["outcome"].facts["findings"] == 1
    if stream:
        found = house.run("evidence", "search", "--region", "eu", "--finding", "stranger_data", "--json").stdout
        assert any(exchange_of(raw) in line and "stranger_data" in line for line in found.splitlines())
    assert house.files_with(STRANGER, STRANGERS_PHONE) == set()


@pytest.mark.parametrize("pace", [1, 5, 500])
def test_no_character_of_a_strangers_value_leaves_a_stream_that_is_cut(house, model, pace):
    model.answer(LEAKED, pace=pace)
    raw = house.ask("Who else bought it?", "account_chat", stream=True)
    chunks = list(raw.parse())
    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    last = chunks[-1]
    facts = house.facts(exchange_of(raw))
    if said == FALLBACK:  # nothing had left when the value came
        assert pace == 500
        assert last.model_extra["firedoor"]["outcome"] == facts["outcome"]["outcome"] == "fallback"
    else:
        kept, _, note = said.partition("\n\n")
        assert note == "This answer was stopped."
        assert LEAKED.startswith(kept)
        assert LEAKED.index(STRANGER) >= len(kept) > 10
        assert last.choices[0].finish_reason == "content_filter"
        assert last.model_extra["firedoor"]["outcome"] == facts["outcome"]["outcome"] == "cut"
    assert last.model_extra["firedoor"]["reason"] == facts["outcome"]["reason"] == "stranger_data"
    assert facts["finding"]["verdict"] == "cut"
    assert facts["finding"]["labels"]["EMAIL"] == 1


def test_a_whole_answer_with_a_strangers_value_gives_the_fallback(house, model):
    model.answer(LEAKED)
    raw = house.ask("Who else bought it?", "account_chat")
    assert raw.parse().choices[0].message.content == FALLBACK
    assert raw.headers["firedoor-outcome"] == "fallback"
    assert raw.headers["firedoor-reason"] == "stranger_data"
    assert house.facts(exchange_of(raw))["finding"]["labels"]["EMAIL"] == 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_where_answers_are_cut_what_the_caller_brought_comes_back(house, stream):
    text = f"I am Margaret Holloway, {MAIL}, {STRANGERS_PHONE}. Do you have my address?"
    said = (house.streamed(text, "account_chat")[0]) if stream else house.said(text, "account_chat")
    assert said == f"You said: {text}"


def test_where_answers_pass_nothing_is_recorded(house, model):
    model.answer(LEAKED)
    raw = house.ask("Who else bought it?", "all_pass")
    assert raw.parse().choices[0].message.content == LEAKED
    assert {*house.records(exchange_of(raw))} == {"intent", "outcome"}


# --- brands, media, embeddings, size, faults --------------------------------------------------------------------------


def test_a_shops_own_brands_stay_and_only_there(house, model):
    text = f"Do you have the {OTHER_BRAND} rucksack in green? My name is Margaret Holloway."
    for shop, told in (("bergladen", OTHER_BRAND), ("alpenladen", "<PERSON_1>")):
        assert house.said(text, shop=shop) == f"You said: {text}"
        assert f"the {told} rucksack" in model.last()[0]
        assert "Holloway" not in model.last()[0]
    # A name that the plan lets through on one surface is still a name on another.
    text = "Hello, my name is Greta Nordwand and I live in Leeds."
    house.said(text, "pictures")
    assert "Greta Nordwand" in model.last()[0]
    house.said(text)
    assert "Nordwand" not in model.last()[0]


def test_pictures_are_refused_unless_the_plan_lets_them_pass(house, model):
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'iVBORw0KGgo' * 20}"}}
    content = [{"type": "text", "text": f"Is this my parcel? Mail {MAIL}"}, picture]
    messages = [{"role": "user", "content": content}]
    with pytest.raises(openai.BadRequestError) as caught:
        house.ask(None, messages=messages)
    assert caught.value.code == "unsupported_content"
    assert model.bodies == []
    house.ask(None, "pictures", messages=messages)
    told = model.last()[0]
    assert told[1] == picture
    assert told[0] == {"type": "text", "text": "Is this my parcel? Mail <EMAIL_1>"}
    # What can be read of a picture is: the query of its address.
    linked = {"type": "image_url", "image_url": {"url": f"https://shop.example/a.png?for={MAIL}&w=200"}}
    house.ask(None, "pictures", messages=[{"role": "user", "content": [linked]}])
    address = model.last()[0][0]["image_url"]["url"]
    assert address.startswith("https://shop.example/a.png?for=")
    assert address.endswith("&w=200")
    assert "ines.castell" not in address


def test_inputs_of_embeddings_are_masked(house, model):
    text, values = text_in("de")
    made = house.client("support").embeddings.create(model="small", input=[text, "a tent"], encoding_format="float")
    assert len(made.data) == 2
    first, second = model.bodies[-1]["input"]
    assert second == "a tent"
    assert "<PERSON_1>" in first
    assert [value for value in words(values) if value in first] == []
    house.client("support").embeddings.create(model="small", input=f"mail {MAIL}", encoding_format="float")
    assert model.bodies[-1]["input"] == "mail <EMAIL_1>"


def test_a_large_body_is_handled_like_its_pieces(house, model):
    pieces = [text_in(language)[0] for language in MESSAGES]
    filler = "The tent was fine and the weather was not. We will go there again in spring. "
    pieces = [f"{piece} {filler * 10}".strip() for piece in pieces]
    assert sum(map(len, pieces)) > 6000
    alone = []
    for piece in pieces:
        house.said(piece)
        alone += model.last()
    together = house.said(None, messages=[{"role": "user", "content": piece} for piece in pieces])
    assert [*map(numberless, model.last())] == [*map(numberless, alone)]
    assert together == f"You said: {pieces[-1]}"
    # As one text, too, nothing gets through, and all of it comes back.
    model.forget()
    whole = "\n\n".join(pieces)
    assert house.streamed(whole)[0] == f"You said: {whole}"
    heard = model.heard()
    assert [value for _, values in MESSAGES.values() for value in words(values) if value in heard] == []


@contextmanager
def worker_of(house, slot):
    """A gateway worker of the house in a thread of this process: its address."""
    loop, ready, ended = asyncio.new_event_loop(), threading.Event(), []
    bound = listen(f"127.0.0.1:{free_port()}")

    async def serve():
        worker = Worker(house.home.region("eu"), load(house.plan), slot, house.folder)
        application = await worker.start()
        server = uvicorn.Server(
            uvicorn.Config(application, http=BoundedProtocol, ws="none", lifespan="off", log_config=None)
        )
        ended.append(lambda: setattr(server, "should_exit", True))
        ready.set()
        await server.serve(sockets=[bound])
        await worker.aclose()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
    finally:
        ended[0]()
        thread.join(15)
        bound.close()
        assert not thread.is_alive()


@pytest.mark.parametrize("filler", ["", " The tent was fine." * 330], ids=["short", "long"])
def test_a_detector_that_fails_gives_the_fallback(house, model, monkeypatch, caplog, filler):
    def fail(_, text):
        raise RuntimeError(f"cannot read {text}")

    text = f"I am Margaret Holloway, {MAIL}.{filler}"
    with worker_of(house, "worker-7") as url, caplog.at_level(logging.DEBUG, "firedoor"):
        client = openai.OpenAI(base_url=url, api_key=house.token("eu", "support"), max_retries=0, timeout=30)
        ask = client.chat.completions.with_raw_response.create
        messages = [{"role": "user", "content": text}]
        assert ask(model="small", messages=messages).parse().choices[0].message.content == f"You said: {text}"
        model.forget()
        monkeypatch.setattr(Rules, "find", fail)
        messages[0]["content"] += " And again."
        raw = ask(model="small", messages=messages)
        assert raw.parse().choices[0].message.content == FALLBACK
        assert (raw.headers["firedoor-outcome"], raw.headers["firedoor-reason"]) == ("fallback", "inspection_failed")
        streamed = ask(model="small", messages=messages, stream=True)
        chunks = list(streamed.parse())
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == FALLBACK
        assert chunks[-1].model_extra["firedoor"]["reason"] == "inspection_failed"
    assert model.bodies == []
    assert {*house.records(exchange_of(raw))} == {"outcome"}
    assert "inspection failed: RuntimeError" in caplog.text
    assert MAIL not in caplog.text
    assert "Holloway" not in caplog.text


# --- what is left behind ----------------------------------------------------------------------------------------------


def test_no_file_of_the_installation_holds_a_value(house, model):
    everything = []
    for language in MESSAGES:
        text, values = text_in(language)
        everything += values
        surface = "shadow" if language in ("en", "fr") else "support"
        house.ask(text, surface, extra_headers={"Firedoor-Subject": "shopper-7713", "Firedoor-Session": "visit-7713"})
    house.ask("hi its mirela", extra_body={"firedoor": {"subject": SUBJECT}})
    model.answer(LEAKED)
    house.ask(f"Card {CARD}, mail {MAIL}", "account_chat", stream=True).parse().response.read()
    texts = {SUBJECT["first_name"], SUBJECT["last_name"], SUBJECT["email"], "Próbna 5"}
    texts |= {*everything, CARD, CARD.replace(" ", ""), MAIL, STRANGER, STRANGERS_PHONE, "shopper-7713", "visit-7713"}
    texts = {text for text in texts if not re.fullmatch("[0-9a-fA-F]{0,8}|Lyon", text)}  # hashes have such by chance
    house.run("evidence", "search", "--region", "eu", "--summary")  # all of it is in the index by now
    assert {name for name, _ in house.files_with("fraud_scoring")} >= {"plan.yaml"}  # the search would find something
    assert any("/journal" in f"/{name}" for name, _ in house.files_with("minimised"))
    assert house.files_with(*texts) == set()
    house.run("evidence", "verify")
