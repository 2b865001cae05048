"""Answers given before to somebody else: certain by the id, suspected by the text, and silent about servers without ids."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.replays import MAX_ID, TRUST, Replays

KEY = bytes(range(32))
LONG = "Your parcel with the blue running shoes was handed to the carrier this morning and reaches Graz on Thursday. "
LONG += "Please have the pickup code ready when you go there."


def hexes(seed=1):
    made = random.Random(seed)  # invented ids, the same in every run
    while True:
        yield f"chatcmpl-{made.getrandbits(128):032x}"


def ask(replays, who, what, *, shop="alpen", surface="support", session=None):
    return replays.asker(shop, surface, who, session, what.encode())


def answered(replays, answer_id, asker, text="", model="m"):
    """One whole answer, as the machine asks about it."""
    by_id = replays.seen_id(model, answer_id, asker)
    by_text = False if by_id else replays.seen_text(model, answer_id, text, asker)
    return by_id, by_text


@pytest.fixture
def trusted():
    """Replays that have seen enough of a server with good ids, and that server's ids."""
    replays, ids = Replays(KEY), hexes()
    for number in range(TRUST + 1):
        assert answered(replays, next(ids), ask(replays, f"s{number}", "hello"), f"Answer {number}") == (False, False)
    return replays, ids


def test_the_same_id_for_another_person_is_a_replay_at_the_first_frame(trusted):
    replays, ids = trusted
    id_ = next(ids)
    assert answered(replays, id_, ask(replays, "ana", "where is my parcel"), LONG) == (False, False)
    assert replays.seen_id("m", id_, ask(replays, "ben", "where is my parcel now"))
    assert replays.seen_id("m", id_, ask(replays, "ben", "where is my parcel"))
    assert replays.seen_id("m", id_, ask(replays, "ana", "where is my coat"))
    assert replays.seen_id("m", id_, ask(replays, "ana", "where is my parcel", shop="berg"))
    assert replays.seen_id("m", id_, ask(replays, "ana", "where is my parcel", surface="search"))


def test_an_answer_that_is_still_arriving_or_asked_for_again_is_no_replay(trusted):
    replays, ids = trusted
    id_ = next(ids)
    mine = ask(replays, "ana", "where is my parcel", session="one")
    assert not any(replays.seen_id("m", id_, mine) for _ in range(5))
    assert not replays.seen_id("m", id_, ask(replays, "ana", "where is my parcel", session="two"))
    assert replays.seen_id("m", id_, ask(replays, None, "where is my parcel", session="one"))


def test_a_session_stands_for_a_person_nobody_names(trusted):
    replays, ids = trusted
    id_ = next(ids)
    replays.seen_id("m", id_, ask(replays, None, "q", session="one"))
    assert not replays.seen_id("m", id_, ask(replays, None, "q", session="one"))
    assert replays.seen_id("m", id_, ask(replays, None, "q", session="two"))
    other = next(ids)
    replays.seen_id("m", other, ask(replays, None, "q"))
    assert not replays.seen_id("m", other, ask(replays, None, "q"))  # nobody can tell two strangers apart


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda n: "chatcmpl-scripted", id="always the same"),
        pytest.param(lambda n: "chatcmpl-standin-0001", id="the stand-in's"),
        pytest.param(lambda n: "chatcmpl-6f0f3c4d9e2b4a719c55d0b1e8a7f321", id="a good one, always the same"),
        pytest.param(lambda n: f"chatcmpl-{n % 20}", id="a counter that restarts"),
        pytest.param(lambda n: f"chatcmpl-{n * 7919 % 999}", id="a number below a thousand"),
        pytest.param(lambda n: f"chatcmpl-standin-model-{n % 20:08d}", id="a counter in a long id"),
        pytest.param(lambda n: f"chatcmpl-{1_700_000_000 + n // 5}", id="the second"),
        pytest.param(lambda n: "", id="empty"),
        pytest.param(lambda n: None, id="none"),
        pytest.param(lambda n: n % 20, id="no text"),
        pytest.param(lambda n: "x" * (MAX_ID + 1), id="too long"),
        pytest.param(lambda n: ["a"], id="a list"),
    ],
)
def test_ids_that_mean_nothing_raise_no_alarm(make):
    replays = Replays(KEY)
    for n in range(3000):
        asker = ask(replays, f"s{n % 97}", f"question {n % 53}")
        assert answered(replays, make(n), asker, f"Answer {n} {LONG}") == (False, False)


def test_servers_that_draw_one_good_id_each_are_found_out():
    replays, ids = Replays(KEY), hexes()
    of_process = [next(ids) for _ in range(6)]
    for n in range(500):
        asker = ask(replays, f"s{n}", f"question {n}")
        assert answered(replays, of_process[n % 6], asker, f"Answer {n}") == (False, False)


def test_an_id_with_two_texts_takes_the_trust_away(trusted):
    replays, ids = trusted
    id_ = next(ids)
    ana, ben = ask(replays, "ana", "a"), ask(replays, "ben", "b")
    assert answered(replays, id_, ana, "one") == (False, False)
    assert replays.seen_id("m", id_, ben)
    replays.seen_text("m", id_, "two", ana)
    assert not replays.seen_id("m", id_, ben)
    for n in range(TRUST * 3):
        answered(replays, next(ids), ask(replays, f"t{n}", "x"), f"Other {n}")
    assert not replays.seen_id("m", id_, ben)


def test_a_cache_that_was_there_from_the_start_does_not_keep_the_trust_from_growing():
    replays, ids = Replays(KEY), hexes()
    cached = next(ids)
    found = 0
    for n in range(60):
        asker = ask(replays, f"s{n}", f"where is my parcel {n}")
        hit = n % 2 == 0
        by_id, _ = answered(replays, cached if hit else next(ids), asker, LONG if hit else f"Other {n}")
        assert hit or not by_id
        found += by_id
    assert found >= 20


def test_trust_is_of_one_model_instance(trusted):
    replays, ids = trusted
    id_ = next(ids)
    assert not replays.seen_id("other", id_, ask(replays, "ana", "a"))
    assert not replays.seen_id("other", id_, ask(replays, "ben", "b"))
    assert replays.seen_id(
        "m", id_, ask(replays, "ben", "b")
    )  # an answer of another instance is as much somebody else's


@pytest.mark.parametrize("length", [16, 20, 29, 32, 36])
@pytest.mark.parametrize(
    "alphabet", ["0123456789abcdef", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"]
)
def test_ids_of_known_servers_are_trusted(length, alphabet):
    made = random.Random(length)
    replays = Replays(KEY)
    ids = ["chatcmpl-" + "".join(made.choices(alphabet, k=length)) for _ in range(200)]
    for n, id_ in enumerate(ids):
        assert not replays.seen_id("m", id_, ask(replays, f"s{n}", "q"))
    assert replays.seen_id("m", ids[-1], ask(replays, "other", "q"))


def test_the_same_long_text_for_another_person_and_question_is_a_suspicion_told_once():
    replays = Replays(KEY)
    assert not replays.seen_text("m", None, LONG, ask(replays, "ana", "where is my parcel"))
    for person, question in (("ana", "where is it"), ("ben", "where is my parcel")):
        assert not replays.seen_text("m", None, LONG, ask(replays, person, question))
    disguised = LONG.upper().replace(" ", "\n * ")
    assert replays.seen_text("m", None, disguised, ask(replays, "ben", "what about my order"))
    assert not replays.seen_text("m", None, LONG, ask(replays, "cem", "hello?"))


def test_what_is_no_suspicion():
    replays = Replays(KEY)
    short = "Sorry, I cannot help with that."
    for n in range(5):
        assert not replays.seen_text("m", None, short, ask(replays, f"s{n}", f"question {n}"))
        assert not replays.seen_text("m", None, LONG + str(n), ask(replays, f"s{n}", f"question {n}"))
        assert not replays.seen_text("m", None, LONG, ask(replays, None, f"question {n}"))  # nobody is known
    assert not replays.seen_text("m", None, "", ask(replays, "ana", "x"))
    assert replays.seen_text("m", None, LONG, ask(replays, "ana", "y"))  # a stranger's answer came to Ana


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.lists(st.integers(0, 200), max_size=300))
def test_memory_is_bounded_and_forgetting_raises_no_alarm(limit, order):
    replays = Replays(KEY, limit)
    ids = hexes()
    made = [next(ids) for _ in range(201)]
    for n in order:
        answered(replays, made[n], ask(replays, f"s{n}", f"q{n}"), f"{LONG} {n}")
        assert sum(map(len, (replays._ids._new, replays._ids._old))) <= max(2, limit)
        assert sum(map(len, (replays._texts._new, replays._texts._old))) <= max(2, limit)
    assert not any(replays.seen_id("m", made[n], ask(replays, f"s{n}", f"q{n}")) for n in order)


def test_nothing_of_the_answers_is_kept(trusted):
    replays, ids = trusted
    answered(replays, next(ids), ask(replays, "ana-4711", "my code is 90210"), LONG)
    kept = [*replays._ids._new.items(), *replays._texts._new.items()]
    assert all(len(part) <= 8 for key, value in kept for part in (key, *_parts(value)))


def _parts(value):
    return [part for one in value for part in (one if isinstance(one, tuple) else (one,))]
