"""The answer cache behind a real gateway: who is given an answer again, and who never is; and a model server with a
careless cache of its own. All of it is invented."""

import sqlite3
from contextlib import closing

import pytest

from firedoor.core.replays import TRUST
from firedoor.upstream.script import Answer, Script

from .leaks import CUT, FALLBACK, VALUE, GuardedHouse, Player

SAID = "Parcels take three days to Germany and five to France."


@pytest.fixture(scope="module")
def player():
    player = Player()
    yield player
    player.close()


@pytest.fixture(scope="module")
def careless():
    """A model server behind whose back a cache answers what resembles an earlier question."""
    player = Player()
    player.play(Script(model="small", cache="soft", default=Answer(text="You asked: {user}")))
    yield player
    player.close()


@pytest.fixture(scope="module")
def started(player, careless, tmp_path_factory):
    house = GuardedHouse(tmp_path_factory.mktemp("cache") / "house", {"chat": player.url, "soft": careless.url})
    house.start()
    house.protect("codes")
    player.say(VALUE)
    house.wait(lambda: house.ask("x").reason == "leak", what="protection")
    yield house
    house.remove()


@pytest.fixture
def model(player):
    player.say(SAID)
    return player


@pytest.fixture
def house(started, model):
    return started


def by(subject, **more):
    return {"extra_headers": {"Firedoor-Subject": subject, **more}}


def taken(house, reply):
    """What the exchange had to do with the cache."""
    (intent,) = house.leaves("intent", reply.exchange)
    return intent.facts.get("cache"), intent.facts.get("cached_from")


def ask(house, question, subject, surface="own_cache", **options):
    """The reply, when what it leaves in the cache is there."""
    reply = house.ask(question, surface, **by(subject), **options)
    if taken(house, reply)[0] == "miss" and reply.outcome == "answered":
        house.wait(lambda: house.kept(reply.exchange), what="the answer in the cache")
    return reply


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_shopper_is_given_it_again_and_no_other(house, model, stream):
    question = f"How long does a parcel take? {stream}"
    first = ask(house, question, "anna", stream=stream)
    assert (first.text, taken(house, first)) == (SAID, ("miss", None))
    model.say("Something else.")
    calls = model.calls
    for again in (stream, not stream):
        reply = house.ask(question, "own_cache", stream=again, **by("anna"))
        assert (reply.text, reply.outcome) == (SAID, "answered")
        assert taken(house, reply) == ("hit", first.exchange)
        assert reply.exchange != first.exchange
    assert model.calls == calls
    for options in (by("boris"), by("Anna"), by("anna", **{"Firedoor-Jurisdiction": "FR"})):
        reply = house.ask(question, "own_cache", stream=stream, **options)
        assert (reply.text, taken(house, reply)[0]) == ("Something else.", "miss")
    assert house.ask(question, "own_cache", stream=stream).text == "Something else."  # who knows who that is
    assert house.ask(question, "own_cache", role="buyer", **by("anna")).text == "Something else."
    assert house.ask(question + "?", "own_cache", **by("anna")).text == "Something else."
    assert house.ask(question, "shared_cache", **by("anna")).text == "Something else."


def test_a_shared_cache_gives_nobody_what_is_somebodys(house, model):
    first = ask(house, "What are your hours?", "anna", "shared_cache")
    model.say("Hours of somebody else.")
    assert house.ask("What are your hours?", "shared_cache", **by("boris")).text == SAID
    # Something personal in the question, or a shopper the shop tells about: it is asked anew each time.
    for question, more in (
        ("What are your hours? My mail is boris@example.org", {}),
        ("What are your hours?", {"extra_body": {"firedoor": {"subject": {"customer_id": "C-9002"}}}}),
    ):
        for number in range(2):
            model.say(f"Answer {number}.")
            reply = house.ask(question, "shared_cache", **by("boris"), **more)
            assert reply.text == f"Answer {number}."
            assert taken(house, reply) == (None, None)
    assert first.outcome == "answered"


def test_a_leak_is_never_kept(house, model):
    for number in range(2):
        model.say(f"Between us: {VALUE}.")
        calls = model.calls
        reply = house.ask("What is the code?", "own_cache", stream=bool(number), **by("anna"))
        assert reply.reason == "leak"
        assert model.calls == calls + 1
    model.say("There is none.")
    assert house.ask("What is the code?", "own_cache", **by("anna")).text == "There is none."


def test_what_is_protected_later_is_not_given_again(house, model):
    code = "Lavendelfeld QZ-2231-Ahorn"
    model.say(f"The spring code is {code}.")
    assert ask(house, "What is the spring code?", "anna").text == f"The spring code is {code}."
    calls = model.calls
    assert house.ask("What is the spring code?", "own_cache", **by("anna")).text == f"The spring code is {code}."
    assert model.calls == calls
    house.run("protect", "add", "--set", "codes", code)
    model.say(f"It is {code}.")
    house.wait(lambda: house.ask("x").reason == "leak", what="protection")
    for stream in (True, False):
        reply = house.ask("What is the spring code?", "own_cache", stream=stream, **by("anna"))
        assert reply.reason == "leak"
        assert code not in reply.text


def test_an_entry_in_another_place_is_a_finding_and_a_miss(house, model):
    """Somebody who can write the file gives one shopper what another was told."""
    model.say("Only for Anna's eyes.")
    first = ask(house, "What about mine?", "anna")
    model.say("Only for Boris.")
    ask(house, "What about mine?", "boris")
    with closing(sqlite3.connect(house.home.region("eu").cache)) as file, file:
        source = file.execute("SELECT * FROM entries WHERE exchange = ?", (first.exchange,)).fetchone()
        names = [column[1] for column in file.execute("PRAGMA table_info(entries)")][2:]
        changes = ", ".join(f"{name} = ?" for name in names)
        changed = file.execute(f"UPDATE entries SET {changes} WHERE exchange <> ?", (*source[2:], first.exchange))
        assert changed.rowcount >= 1
    reply = house.ask("What about mine?", "own_cache", **by("boris"))
    assert (reply.text, taken(house, reply)[0]) == ("Only for Boris.", "miss")
    (found,) = house.findings(reply.exchange)
    assert (found["rule"], found["stage"], found["cached_from"]) == ("poisoned_cache", "cache", first.exchange)
    assert found["owasp"] == ["LLM02:2025", "LLM04:2025"]
    # It is gone, and the one that was in its place is as good as before.
    assert house.findings(house.ask("What about mine?", "own_cache", **by("boris")).exchange) == []
    assert house.ask("What about mine?", "own_cache", **by("anna")).text == "Only for Anna's eyes."


def test_no_answer_lies_in_the_file_in_clear(house, model):
    model.say("Marmalade with a secret ingredient.")
    ask(house, "And the jam of my grandmother?", "anna-of-the-hills")
    region = house.home.region("eu")
    for path in region.cache.parent.glob(region.cache.name + "*"):
        data = path.read_bytes()
        assert not any(text in data for text in (b"Marmalade", b"grandmother", b"anna-of-the-hills"))


def test_after_a_shut_the_cache_begins_empty(house, model):
    ask(house, "Who are you?", "anna")
    model.say("Somebody new.")
    assert house.ask("Who are you?", "own_cache", **by("anna")).text == SAID
    scope = "eu/alpenladen/bystander"
    house.run("shut", scope, "--reason", "suspicion", "--note", "test", "--as", "cem", "--key", house.keys["cem"])
    house.wait(lambda: house.ask("x", "bystander").outcome == "fallback", what="a shut door")
    assert house.ask("Who are you?", "own_cache", **by("anna")).text == "Somebody new."
    # And behind a shut door nobody is given what is kept.
    house.run("shut", "eu/alpenladen/own_cache", "--note", "test", "--as", "cem", "--key", house.keys["cem"])
    house.wait(lambda: house.ask("x", "own_cache").outcome == "fallback", what="a shut door")
    assert house.ask("Who are you?", "own_cache", **by("anna")).text == FALLBACK


@pytest.mark.parametrize("stream", [True, False])
def test_a_model_server_that_gives_one_shopper_what_another_was_told(house, stream):
    """Its answers are what they should be until it is known that their ids are random ones."""
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
    if stream:
        for number in range(TRUST + 1):
            reply = house.ask(f"{words[number]} question of mine", "soft", stream=True, **by("anna"))
            assert reply.text == f"You asked: {words[number]} question of mine"
    mine = f"{stream}: where is my own parcel?"
    question = f"Parcel for {stream} of Anna in Kehl?"
    assert house.ask(question, "soft", stream=stream, **by("anna")).text == f"You asked: {question}"
    other = house.ask(f"Parcel for {stream} of Boris?", "soft", stream=stream, **by("boris"))
    assert (other.text, other.outcome, other.reason) == (FALLBACK, "fallback", "model_replayed")
    assert "Anna" not in other.all()
    (found,) = house.findings(other.exchange)
    assert (found["rule"], found["stage"], found["verdict"]) == ("replayed_answer", "model", "cut")
    assert house.ask(mine, "soft", stream=stream, **by("anna")).text == f"You asked: {mine}"
    assert CUT not in other.text
