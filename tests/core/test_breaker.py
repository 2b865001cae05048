"""The breaker of a model instance: by itself, against a plainer one, and what an exchange tells it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from firedoor.core.breaker import SHORTENED, SLICES, Breaker
from firedoor.core.exchange import effects as do
from firedoor.core.exchange import events as ev
from firedoor.core.exchange.machine import Exchange, Phase
from firedoor.core.fallback import FallbackAnswer
from firedoor.core.plan.model import BreakerRules, CacheRules
from firedoor.core.plan.words import Duration

from .world import FALLBACK_TEXT, OPEN, SECRET, SHUT, answer, body, call, chunk, inspected, let_through, terms

RULES = BreakerRules()


def fails(breaker, times, now=100.0):
    for _ in range(times):
        breaker.failed(breaker.ask(now), now, 0.0)


def tripped(rules=RULES, now=100.0):
    breaker = Breaker(rules)
    fails(breaker, rules.failures, now)
    return breaker


# --- by itself ----------------------------------------------------------------------------------------------------------


def test_it_trips_at_the_last_failure_in_a_row_and_not_before():
    breaker = Breaker(RULES)
    fails(breaker, 4)
    breaker.answered(breaker.ask(100.0), 100.0)
    fails(breaker, 4)
    assert breaker.state(100.0) == "closed"
    fails(breaker, 1)
    assert (breaker.state(100.0), breaker.trips, breaker.ask(100.0)) == ("open", 1, None)


@pytest.mark.parametrize(("failed", "ended"), [(10, "closed"), (11, "open")])
def test_it_trips_when_more_than_the_share_failed(failed, ended):
    breaker = Breaker(RULES)
    for number in range(20):  # good ones first, never five bad ones in a row
        leave = breaker.ask(100.0)
        bad = number % 2 == 1 or (number == 18 and failed == 11)
        breaker.failed(leave, 100.0, 0.0) if bad else breaker.answered(leave, 100.0)
    assert breaker.state(100.0) == ended


def test_a_share_of_few_calls_says_nothing_and_what_is_long_past_neither():
    breaker = Breaker(RULES)
    for number in range(60):  # two of three fail, but only 18 or so in each window
        now = 100.0 + number * RULES.window / 18
        leave = breaker.ask(now)
        breaker.answered(leave, now) if number % 3 == 0 else breaker.failed(leave, now, 0.0)
    assert breaker.state(now) == "closed"


def test_rests_grow_to_their_bound_and_begin_anew_after_a_good_while():
    breaker, now, rests = tripped(), 100.0, []
    for _ in range(7):
        rest = 0.0
        while breaker.ask(now + rest) is None:
            rest += 0.5
        rests.append(rest)
        now += rest
        breaker.failed(breaker._probe, now, 0.0)
    assert rests == [1, 2, 4, 8, 16, 30, 30]
    now += 30
    for _ in range(RULES.probes):
        breaker.answered(breaker.ask(now), now)
    assert breaker.state(now) == "closed"
    fails(breaker, 5, now + 29)
    assert breaker.state(now + 29 + 29.9) == "open"
    now += 29 + 30
    for _ in range(RULES.probes):
        breaker.answered(breaker.ask(now), now)
    fails(breaker, 5, now + 31)
    assert breaker.state(now + 31 + 1) == "half_open"


def test_one_probe_at_a_time_and_one_that_says_nothing_makes_room():
    breaker = tripped()
    first = breaker.ask(101.0)
    assert first.probe
    assert breaker.ask(101.0) is None
    breaker.nothing(first)
    second = breaker.ask(101.0)
    breaker.answered(first, 101.0)  # too late
    breaker.answered(second, 101.0)
    assert breaker.state(101.0) == "half_open"
    breaker.answered(breaker.ask(101.0), 101.0)
    assert (breaker.state(101.0), breaker.probes) == ("closed", 3)


def test_a_probe_that_hangs_keeps_its_turn_for_the_longest_rest():
    breaker = tripped()
    hanging = breaker.ask(101.0)
    assert breaker.ask(101.0 + 29.9) is None
    breaker.answered(breaker.ask(131.0), 131.0)
    assert breaker.state(131.0) == "half_open"
    breaker.failed(hanging, 132.0, 0.0)
    assert breaker.state(132.0) == "open"


def test_a_long_stream_is_a_probe_passed_when_it_begins_and_counts_once():
    breaker = tripped()
    first = breaker.ask(101.0)
    breaker.answering(first, 101.0)
    breaker.answering(first, 101.0)
    breaker.answered(first, 105.0)
    assert breaker.state(105.0) == "half_open"
    second = breaker.ask(105.0)
    breaker.answering(second, 105.0)
    assert breaker.state(105.0) == "closed"
    breaker.failed(second, 106.0, 0.0)  # it speaks of the time before
    assert breaker.state(106.0) == "closed"


def test_a_probe_that_begins_well_and_ends_badly_opens_it_again():
    breaker = tripped()
    probe = breaker.ask(101.0)
    breaker.answering(probe, 101.0)
    breaker.failed(probe, 101.5, 0.0)
    assert (breaker.state(101.5), breaker.trips) == ("open", 2)


def test_calls_from_before_a_trip_count_for_nothing_after_it():
    breaker = Breaker(RULES)
    before = [breaker.ask(100.0) for _ in range(40)]
    for leave in before[:20]:
        breaker.failed(leave, 100.0, 0.0)
    assert (breaker.state(100.0), breaker.trips) == ("open", 1)
    for _ in range(RULES.probes):
        breaker.answered(breaker.ask(101.0), 101.0)
    for leave in before[20:]:
        breaker.failed(leave, 101.0, 0.0)
    assert (breaker.state(101.0), breaker.trips) == ("closed", 1)


@given(st.floats(0, 1))
def test_chance_shortens_a_rest_by_a_quarter_at_most(chance):
    breaker = Breaker(BreakerRules(failures=1))
    breaker.failed(breaker.ask(0.0), 0.0, chance)
    assert breaker.state(1 - SHORTENED - 1e-9) == "open"
    assert breaker.state(1.0) == "half_open"


# --- against a plainer one ----------------------------------------------------------------------------------------------


class Plain:
    """The same rules, looked up in a list of everything that ever happened."""

    def __init__(self, rules):
        self.rules = rules
        self.calls = []

    def count(self, now, failed):
        self.calls.append((int(now * SLICES / self.rules.window), failed))

    def trips(self):
        row = 0
        for _, failed in reversed(self.calls):
            if not failed:
                break
            row += 1
        newest = self.calls[-1][0]
        recent = [failed for number, failed in self.calls if number > newest - SLICES]
        return row >= self.rules.failures or (
            len(recent) >= self.rules.minimum and sum(recent) > self.rules.share * len(recent)
        )


@settings(deadline=None)
@given(
    st.builds(
        BreakerRules,
        failures=st.integers(1, 12),
        share=st.sampled_from([0.25, 0.5, 1.0]),
        minimum=st.integers(1, 20),
        window=st.sampled_from([Duration(1), Duration(10)]),
    ),
    st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=60),
)
def test_it_trips_exactly_when_the_list_says_so(rules, happened):
    breaker, plain, now = Breaker(rules), Plain(rules), 50.0
    for wait, failed in happened:
        now += wait
        leave = breaker.ask(now)
        plain.count(now, failed)
        breaker.failed(leave, now, 0.0) if failed else breaker.answered(leave, now)
        must = failed and plain.trips()
        assert (breaker.state(now) == "open") == must
        if must:
            return


class Lives(RuleBasedStateMachine):
    """Any order of calls, ends and waits."""

    leaves = Bundle("leaves")

    def __init__(self):
        super().__init__()
        self.rules = BreakerRules(failures=2, minimum=3, rest=Duration(1), longest_rest=Duration(4), probes=2)
        self.breaker = Breaker(self.rules)
        self.now = 10.0
        self.probing = None
        self.probed_at = 0.0
        self.opened_at = None

    @rule(seconds=st.sampled_from([0.1, 0.9, 1.0, 3.0, 5.0, 20.0]))
    def wait(self, seconds):
        self.now += seconds

    @rule(target=leaves)
    def ask(self):
        state = self.breaker.state(self.now)
        leave = self.breaker.ask(self.now)
        if state == "closed":
            assert leave is not None
            assert not leave.probe
        if state == "open":
            assert leave is None
        if state == "half_open":
            taken = self.probing is not None and self.now < self.probed_at + self.rules.longest_rest
            assert (leave is None) == taken
            if leave is not None:
                self.probing, self.probed_at = leave, self.now
        return leave

    def told(self, leave, tell):
        before = self.breaker.state(self.now), self.breaker.trips
        old = leave is not None and (leave.over or leave.era != self.breaker._era)
        if leave is None:
            return
        tell(leave)
        if leave is self.probing:
            self.probing = None
        if old:
            assert (self.breaker.state(self.now), self.breaker.trips) == before
        if self.breaker.trips > before[1]:
            self.opened_at, self.probing = self.now, None
        if self.breaker.state(self.now) == "closed":
            self.probing = None

    @rule(leave=leaves)
    def begins(self, leave):
        self.told(leave, lambda one: self.breaker.answering(one, self.now) if one.probe else None)

    @rule(leave=consumes(leaves))
    def answers(self, leave):
        self.told(leave, lambda one: self.breaker.answered(one, self.now))

    @rule(leave=consumes(leaves), chance=st.sampled_from([0.0, 0.5, 1.0]))
    def breaks(self, leave, chance):
        self.told(leave, lambda one: self.breaker.failed(one, self.now, chance))

    @rule(leave=consumes(leaves))
    def says_nothing(self, leave):
        self.told(leave, self.breaker.nothing)

    @precondition(lambda self: self.opened_at is not None)
    @invariant()
    def never_open_for_longer_than_the_longest_rest(self):
        if self.breaker.state(self.now) == "open":
            assert self.now - self.opened_at < self.rules.longest_rest


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


# --- what an exchange tells it ------------------------------------------------------------------------------------------


def called(*, stream=False, **settled):
    exchange = Exchange(call(), terms(**settled))
    exchange.begin(OPEN)
    (inspect,) = exchange.handle(ev.BodyRead(body("Hello", stream=stream)))
    let_through(exchange, exchange.handle(inspected(inspect.request)))
    exchange.handle(ev.IntentRecorded())
    return exchange


def fates(exchange, *facts):
    return [e.fate for fact in facts for e in exchange.handle(fact) if isinstance(e, do.TellBreaker)]


HEAD, STREAM_HEAD = ev.ModelResponded(200, event_stream=False), ev.ModelResponded(200, event_stream=True)
SAID = b"".join(chunk(word) for word in ("We ", "have ", "boots ", "in ", "six ", "sizes, ", "and ", "laces. "))
HELD = chunk(SECRET[:8])
END = chunk(finish="stop") + b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ([HEAD, ev.ModelSent(answer("fine")), ev.ModelFinished()], ["answered"]),
        ([HEAD, ev.ModelSent(b"{}"), ev.ModelFinished()], ["failed"]),
        ([HEAD, ev.ModelBroke("died")], ["failed"]),
        ([ev.ModelBroke("refused")], ["failed"]),
        ([ev.ModelBroke("timeout"), ev.ModelTimeUp(1.0)], ["failed"]),
        ([ev.ModelBroke("internal")], []),
        ([STREAM_HEAD], ["failed"]),  # a stream that nobody asked for
        ([ev.ModelResponded(500, event_stream=False)], ["failed"]),
        ([ev.ModelResponded(503, event_stream=False), ev.ModelFinished()], ["failed"]),
        ([ev.ModelResponded(429, event_stream=False)], ["failed"]),
        ([ev.ModelResponded(400, event_stream=False)], ["answered"]),
        ([ev.ModelResponded(401, event_stream=False), ev.ClientLeft()], ["answered"]),
        ([ev.ModelTimeUp(1.0)], ["failed"]),
        ([HEAD, ev.ModelTimeUp(0.5)], ["failed"]),  # a head is no answer
        ([ev.ModelTimeUp(0.49)], []),  # the time went elsewhere
        ([HEAD, ev.ModelSent(b'{"id"'), ev.ModelTimeUp(1.0)], []),  # slow, and there
        ([ev.DeadlinePassed()], []),
        ([ev.ClientLeft()], []),
        ([ev.DoorShut(SHUT), ev.ModelTimeUp(1.0)], []),
        ([HEAD, ev.ModelSent(answer(f"We pay {SECRET}.")), ev.ModelFinished()], []),
    ],
)
def test_what_it_hears_of_a_whole_answer(facts, told):
    assert fates(called(), *facts) == told


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ([ev.ModelSent(SAID + END)], ["answered"]),
        ([ev.ModelSent(SAID), ev.ModelSent(END), ev.ModelFinished()], ["answering", "answered"]),
        ([ev.ModelSent(SAID), ev.ModelBroke("died")], ["answering", "failed"]),
        ([ev.ModelSent(SAID), ev.ModelBroke("timeout")], ["answering", "failed"]),
        ([ev.ModelSent(SAID), ev.ModelSent(b'data: {"error": {"code": 500}}\n\n')], ["answering", "failed"]),
        ([ev.ModelSent(SAID), ev.ModelFinished()], ["answering", "failed"]),  # stopped in the middle
        ([ev.ModelSent(SAID), ev.StreamTimeUp()], ["answering"]),
        ([ev.ModelSent(SAID), ev.ClientLeft()], ["answering"]),
        ([ev.ModelSent(SAID), ev.DoorShut(SHUT)], ["answering"]),
        ([ev.ModelSent(SAID), ev.ModelSent(chunk(f"We pay {SECRET} for it."))], ["answering"]),
        ([ev.ModelTimeUp(1.0)], ["failed"]),
        ([ev.ModelSent(HELD), ev.ModelTimeUp(1.0)], []),
    ],
)
def test_what_it_hears_of_a_stream(facts, told):
    assert fates(called(stream=True), STREAM_HEAD, *facts) == told


@pytest.mark.parametrize("cache", [None, CacheRules(scope="surface")])
def test_an_open_breaker_gives_the_fallback_without_an_intent(cache):
    exchange = Exchange(call(), terms(cache=cache))
    exchange.begin(OPEN)
    (inspect,) = exchange.handle(ev.BodyRead(body("Hello")))
    effects = exchange.handle(inspected(inspect.request))
    if cache is not None:
        effects = exchange.handle(ev.AnswerMissed())
    assert effects == [do.AskBreaker()]
    (give,) = exchange.handle(ev.BreakerOpen())
    assert isinstance(give, do.GiveFallback)
    (outcome,) = exchange.handle(ev.FallbackGiven(FallbackAnswer(FALLBACK_TEXT, False, "message")))
    assert (outcome.facts["outcome"], outcome.facts["reason"]) == ("fallback", "breaker_open")
    (respond,) = exchange.handle(ev.OutcomeRecorded(1))
    headers = dict(respond.headers)
    assert (headers["firedoor-reason"], headers["firedoor-switch"]) == ("breaker_open", OPEN.header())
    assert exchange.phase is Phase.CLOSED


def test_embeddings_have_none_and_say_why():
    exchange = Exchange(call("embeddings"), terms())
    exchange.begin(OPEN)
    (inspect,) = exchange.handle(ev.BodyRead(b'{"model": "small", "input": ["boots"]}'))
    assert exchange.handle(inspected(inspect.request)) == [do.AskBreaker()]
    exchange.handle(ev.BreakerOpen())
    (respond,) = exchange.handle(ev.OutcomeRecorded(1))
    assert (respond.status, dict(respond.headers)["firedoor-reason"]) == (503, "breaker_open")
