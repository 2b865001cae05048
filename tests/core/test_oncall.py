"""Who is on call when, over zones and changes of clocks, and who is called until somebody answers."""

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from firedoor.core.incident import entries as kinds
from firedoor.core.incident.case import Call, Case, fold
from firedoor.core.incident.clocks import Clock
from firedoor.core.incident.entries import MICRO, Entry
from firedoor.core.incident.oncall import ROUNDS, calls_due, on_call
from firedoor.core.plan.model import Person, Plan
from firedoor.core.plan.response import Duty, IncidentRules, Shift
from firedoor.core.plan.words import Duration

KEY = "ed25519:" + "A" * 43 + "="
MINUTE = 60 * MICRO
HOUR = 60 * MINUTE
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Zones:
    """The part of `Calendars` that counts here."""

    def zone(self, name):
        return ZoneInfo(name)

    def is_holiday(self, place, day):
        raise AssertionError("who is on call does not hang on holidays")

    knows = is_holiday


def people(**roles):
    return {name: Person(name=name.title(), roles=tuple(has.split()), key=KEY) for name, has in roles.items()}


PEOPLE = people(
    ana="incident_commander",
    ben="incident_commander soc_analyst",
    cem="dpo",
    dora="dpo",
    eva="soc_analyst",
    finn="legal",
)


def plan(duties=None, people=PEOPLE, acknowledge=15):
    return Plan(
        firedoor=1, name="t", people=people, regions={}, models={}, shops={}, surfaces={}, duties=duties or {},
        incidents=IncidentRules(acknowledge=Duration(acknowledge * 60)),
    )  # fmt: skip


def micro(text, zone="UTC", fold=0):
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return round(local.timestamp() * MICRO)


def first(duty, at, role="soc_analyst"):
    return on_call(plan({role: duty}), role, at, Zones())[0]


# Turns


def turns(*names, first="2026-01-05", **more):
    return Duty(shifts=(Shift(people=names, first=first, **more),), deputy="finn")


WEEKS = turns("ana", "ben", "cem", zone="Europe/Berlin", hours="08:00-08:00")
FOLLOW = Duty(
    shifts=(
        Shift(people=("ana",), first="2026-01-01", zone="Europe/Berlin", hours="08:00-16:00"),
        Shift(people=("ben",), first="2026-01-01", zone="America/Los_Angeles", hours="07:00-15:00"),
        Shift(people=("cem",), first="2026-01-01", zone="Asia/Singapore", hours="06:00-14:00"),
    ),
    primary="dora",
)
NIGHT = turns("ana", "ben", zone="Europe/Berlin", hours="20:00-08:00", every=Duration(86_400), first="2026-03-01")
WORKDAYS = turns("ana", zone="Europe/Berlin", hours="20:00-08:00", days=DAYS[:5])
AT_THE_CHANGE = turns(
    "ana", "ben", zone="Europe/Berlin", hours="02:30-02:30", every=Duration(86_400), first="2026-01-01"
)


@pytest.mark.parametrize(
    ("duty", "when", "who"),
    [
        (WEEKS, micro("2026-01-05T07:59:59", "Europe/Berlin"), "finn"),  # before the first turn
        (WEEKS, micro("2026-01-05T08:00", "Europe/Berlin"), "ana"),
        (WEEKS, micro("2026-01-12T07:59:59", "Europe/Berlin"), "ana"),
        (WEEKS, micro("2026-01-12T08:00", "Europe/Berlin"), "ben"),
        (WEEKS, micro("2026-01-26T08:00", "Europe/Berlin"), "ana"),
        # turns change at eight by the wall in summer, too: 06:00 UTC
        (WEEKS, micro("2026-04-06T05:59:59"), "ana"),
        (WEEKS, micro("2026-04-06T06:00"), "ben"),
        (WEEKS, micro("2026-11-02T06:59:59"), "ana"),  # and in winter again at 07:00 UTC
        (WEEKS, micro("2026-11-02T07:00"), "ben"),
        # follow the sun: 07-15 UTC, 15-23 UTC, 22-06 UTC, and gaps for the primary
        (FOLLOW, micro("2026-01-20T07:00"), "ana"),
        (FOLLOW, micro("2026-01-20T14:59:59"), "ana"),
        (FOLLOW, micro("2026-01-20T15:00"), "ben"),
        (FOLLOW, micro("2026-01-20T22:30"), "ben"),  # two shifts at work: the first of the plan
        (FOLLOW, micro("2026-01-20T23:00"), "cem"),
        (FOLLOW, micro("2026-01-21T06:30"), "dora"),
        # in the weeks in which America is in summer time and Europe is not, ana and ben overlap
        (FOLLOW, micro("2026-03-10T14:30"), "ana"),
        (FOLLOW, micro("2026-03-10T15:00"), "ben"),
        (FOLLOW, micro("2026-03-10T22:30"), "cem"),
        # over midnight the turn is that of the evening before
        (NIGHT, micro("2026-03-01T19:59:59", "Europe/Berlin"), "finn"),
        (NIGHT, micro("2026-03-01T20:00", "Europe/Berlin"), "ana"),
        (NIGHT, micro("2026-03-02T07:59:59", "Europe/Berlin"), "ana"),
        (NIGHT, micro("2026-03-02T08:00", "Europe/Berlin"), "finn"),
        (NIGHT, micro("2026-03-02T20:00", "Europe/Berlin"), "ben"),
        (NIGHT, micro("2026-03-29T07:30", "Europe/Berlin"), "ben"),  # the short night of 28 March
        # the days are those on which a shift begins
        (WORKDAYS, micro("2026-01-09T23:00", "Europe/Berlin"), "ana"),  # Friday
        (WORKDAYS, micro("2026-01-10T07:59", "Europe/Berlin"), "ana"),  # Saturday morning
        (WORKDAYS, micro("2026-01-10T20:00", "Europe/Berlin"), "finn"),
        (WORKDAYS, micro("2026-01-12T07:00", "Europe/Berlin"), "finn"),  # Monday morning: Sunday's
        # 02:30 that comes twice changes the turn once, when it comes first
        (AT_THE_CHANGE, micro("2026-10-25T02:29:59", "Europe/Berlin"), "ana"),
        (AT_THE_CHANGE, micro("2026-10-25T02:30", "Europe/Berlin"), "ben"),
        (AT_THE_CHANGE, micro("2026-10-25T02:00", "Europe/Berlin", fold=1), "ben"),
        (AT_THE_CHANGE, micro("2026-10-25T02:30", "Europe/Berlin", fold=1), "ben"),
        (AT_THE_CHANGE, micro("2026-10-26T02:30", "Europe/Berlin"), "ana"),
        # 02:30 that never comes: half an hour after two, which is half past three by the wall
        (AT_THE_CHANGE, micro("2026-03-29T03:29:59", "Europe/Berlin"), "ana"),
        (AT_THE_CHANGE, micro("2026-03-29T03:30", "Europe/Berlin"), "ben"),
        (AT_THE_CHANGE, micro("2026-03-30T02:30", "Europe/Berlin"), "ana"),
    ],
)
def test_who_is_in_turn(duty, when, who) -> None:
    assert first(duty, when) == who


def test_after_who_is_in_turn_come_primary_deputy_the_role_and_the_commanders() -> None:
    duty = Duty(shifts=(Shift(people=("finn",), first="2026-01-01"),), primary="dora", deputy="cem")
    duties = {"soc_analyst": duty, "incident_commander": Duty(primary="ben")}
    assert on_call(plan(duties), "soc_analyst", micro("2026-02-01T00:00"), Zones()) == [
        "finn", "dora", "cem", "ben", "eva", "ana",
    ]  # fmt: skip
    assert on_call(plan(), "dpo", 0, Zones()) == ["cem", "dora", "ana", "ben"]
    assert on_call(plan(), "communications", 0, Zones()) == ["ana", "ben"]  # nobody has the role


def test_who_left_the_plan_is_not_called_and_somebody_always_is() -> None:
    duties = {"dpo": Duty(primary="gone", deputy="cem")}
    assert on_call(plan(duties), "dpo", 0, Zones())[0] == "cem"
    alone = people(finn="legal", gil="communications")
    assert on_call(plan(people=alone), "dpo", 0, Zones()) == ["finn", "gil"]


zones = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/Sao_Paulo",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Asia/Kathmandu",
        "Africa/Casablanca",
    ]
)
shifts = st.builds(
    Shift,
    people=st.lists(st.sampled_from(["ana", "ben", "cem"]), min_size=1, max_size=3).map(tuple),
    first=st.dates(datetime(2010, 1, 1).date(), datetime(2030, 1, 1).date()).map(str),  # noqa: DTZ001
    zone=zones,
    every=st.integers(3600, 30 * 86_400).map(Duration),
    hours=st.tuples(*[st.times().map(lambda t: t.strftime("%H:%M"))] * 2).map("-".join),
    days=st.lists(st.sampled_from(DAYS), max_size=7, unique=True).map(tuple),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(shifts, max_size=3).map(tuple),
    st.integers(0, 2_000_000_000),
    st.sampled_from(["dpo", "legal", "ai_engineer"]),
)
def test_at_every_moment_somebody_is_on_call(shifts_, seconds, role) -> None:
    duties = {role: Duty(shifts=shifts_, primary="eva")}
    names = on_call(plan(duties), role, seconds * MICRO, Zones())
    assert names
    assert len(set(names)) == len(names)
    assert {"eva", "ana", "ben"} <= set(names)


@settings(max_examples=60, deadline=None)
@given(zones, st.integers(1, 72), st.integers(0, 23), st.integers(0, 59), st.integers(1_500_000_000, 1_900_000_000))
def test_in_a_shift_around_the_clock_turns_follow_each_other_and_none_comes_back(
    zone, every, hour, minute, start
) -> None:
    """Looked at every quarter of an hour through four days: the turn stays, or is the next one."""
    names = ["ana", "ben", "cem"]
    hours = f"{hour:02}:{minute:02}-{hour:02}:{minute:02}"
    duty = turns(*names, zone=zone, hours=hours, every=Duration(every * 3600), first="2015-01-01")
    there = plan({"dpo": duty})
    seen = [on_call(there, "dpo", (start + step * 900) * MICRO, Zones())[0] for step in range(96 * 4)]
    for one, other in itertools.pairwise(seen):
        assert other in (one, names[(names.index(one) + 1) % 3])


# Calls

OPENED = micro("2026-11-23T03:00")
CASE = "eu-20261123-aaaaaaaaaa"


class Story:
    """A case as it grows: what is called is written into it, as control does."""

    def __init__(self, plan_=None, **opened):
        self.plan = plan_ or plan()
        first = kinds.Opened(
            cause="finding", title="A leak", scope="eu/shop/support/eu-chat", detected=OPENED, **opened
        )
        self.entries = [Entry(case=CASE, number=1, at=OPENED, by="firedoor", payload=first)]
        self.clocks = ()

    @property
    def case(self) -> Case:
        return fold(self.entries)

    def write(self, payload, at, by="firedoor"):
        self.entries.append(Entry(case=CASE, number=len(self.entries) + 1, at=OPENED + at, by=by, payload=payload))

    def look(self, at):
        """What is called at `at` after the opening, as (person, reason, rung); it is written down."""
        due = calls_due(self.case, self.clocks, self.plan, OPENED + at, Zones())
        for one in due:
            self.write(one, at)
        return [(one.person, one.reason, one.rung) for one in due]

    def run(self, until, step=MINUTE, since=0):
        return [(at, *one) for at in range(since, until, step) for one in self.look(at)]


def clock(id_="eu.gdpr.33.1", share=0.0, owner="dpo", state="running", **more):
    values = {"title": id_, "rule_version": "1", "basis": "law", "source": "", "recipients": ("authority",)}
    values |= {"start_event": "aware", "start_at": OPENED, "length": "72h", "zone": "UTC", "due": OPENED + 72 * HOUR}
    return Clock(id=id_, owner=owner, state=state, share=share, **{**values, **more})


def test_who_opens_a_case_calls_the_commander_at_once_and_then_the_next_until_one_answers() -> None:
    story = Story()
    assert story.run(50 * MINUTE) == [
        (0, "ana", "opened", 0),
        (15 * MINUTE, "ben", "opened", 1),
        (30 * MINUTE, "ana", "opened", 2),
        (45 * MINUTE, "ben", "opened", 3),
    ]
    story.write(kinds.Acknowledged(), 51 * MINUTE, by="ben")
    assert story.run(10 * HOUR, since=52 * MINUTE) == []


def test_nobody_is_called_for_a_case_that_somebody_answered_first_resolved_or_split_off() -> None:
    for payload in (kinds.Acknowledged(), kinds.Resolved(because="false alarm"), kinds.Closed(because="false alarm"),
                    kinds.SplitFrom(case="eu-1", because="another leak"), kinds.MergedInto(case="eu-2", because="one")):  # fmt: skip
        story = Story()
        story.write(payload, 0, by="ana")
        assert story.look(1) == []


def test_who_only_writes_a_note_has_not_answered_and_resolving_ends_calling() -> None:
    story = Story()
    story.look(0)
    story.write(kinds.Noted(text="looking"), MINUTE, by="eva")
    assert story.look(15 * MINUTE) == [("ben", "opened", 1)]
    story.write(kinds.Resolved(because="a test"), 16 * MINUTE, by="ben")
    assert story.look(40 * MINUTE) == []


def test_calling_goes_round_and_has_an_end() -> None:
    story = Story()
    called = [person for _, person, _, _ in story.run(24 * HOUR)]
    assert called == ["ana", "ben"] * ROUNDS
    story.clocks = (clock(share=0.5),)
    assert story.look(25 * HOUR) == [("cem", "eu.gdpr.33.1:50", 0)]  # a new reason calls again


def test_a_clock_calls_its_owner_at_each_share_once_and_only_the_highest() -> None:
    story = Story()
    story.write(kinds.Acknowledged(), 0, by="ana")
    seen = []
    for percent in range(130):
        story.clocks = (clock(share=percent / 100),)
        seen += [(percent, *one) for one in story.look(percent * HOUR)]
        story.write(kinds.Acknowledged(), percent * HOUR + MINUTE, by="cem")
    assert seen == [(n, "cem", f"eu.gdpr.33.1:{n}", 0) for n in (50, 75, 90, 100)]
    late = Story()  # control was away
    late.write(kinds.Acknowledged(), 0, by="ana")
    late.clocks = (clock(share=0.93),)
    assert late.look(70 * HOUR) == [("cem", "eu.gdpr.33.1:90", 0)]


@pytest.mark.parametrize(
    ("more", "calls"),
    [
        ({"state": "running"}, True),
        ({"state": "missed", "share": 2.5}, True),
        ({"state": "not_started", "start_at": None, "due": None, "cautious": OPENED + HOUR}, True),
        ({"applies": "unknown"}, True),
        ({"applies": "likely", "state": "not_started", "start_at": None, "due": None}, True),
        ({"applies": "unknown", "state": "not_started", "start_at": None, "due": None, "cautious": OPENED}, False),
        ({"share": 0.4999}, False),
        ({"state": "met"}, False),
        ({"state": "met_late"}, False),
        ({"state": "waived"}, False),
        ({"state": "halted"}, False),
        ({"state": "not_applicable"}, False),
        ({"applies": "no"}, False),
    ],
)
def test_which_clocks_call(more, calls) -> None:
    story = Story()
    story.write(kinds.Acknowledged(), 0, by="ana")
    story.clocks = (clock(**{"share": 0.6, **more}),)
    assert bool(story.look(HOUR)) is calls


def test_clocks_that_another_case_has_call_nobody_here() -> None:
    story = Story()
    story.write(kinds.SplitFrom(case="eu-1", because="another", clocks="there"), 0, by="ana")
    story.clocks = (clock(share=0.8),)
    assert story.look(HOUR) == []


def test_many_clocks_of_one_role_call_once_each_and_go_on_as_one() -> None:
    story = Story()
    story.write(kinds.Acknowledged(), 0, by="ana")
    story.clocks = tuple(clock(f"us.state.{n}", share=0.5, due=OPENED + n * HOUR) for n in (30, 20, 25))
    assert [one[0] for one in story.look(HOUR)] == ["cem"] * 3
    assert story.look(HOUR + 15 * MINUTE) == [("dora", "us.state.20:50", 1)]  # the most urgent
    story.clocks = (*story.clocks, clock("us.state.10", share=0.9, due=OPENED + 10 * HOUR))
    assert story.look(HOUR + 20 * MINUTE) == [("cem", "us.state.10:90", 0)]
    assert story.look(HOUR + 29 * MINUTE) == []
    assert story.look(HOUR + 30 * MINUTE) == [("ana", "us.state.10:90", 2)]  # the line goes on where it was
    story.write(kinds.Acknowledged(), HOUR + 31 * MINUTE, by="ana")
    assert story.run(9 * HOUR, since=2 * HOUR) == []


def test_a_clock_that_was_met_ends_its_calls() -> None:
    story = Story()
    story.write(kinds.Acknowledged(), 0, by="ana")
    story.clocks = (clock(share=0.5),)
    story.look(HOUR)
    story.clocks = (clock(share=0.5, state="met"),)
    assert story.run(5 * HOUR, since=HOUR) == []


def test_what_another_system_said_goes_on_until_somebody_answers() -> None:
    story = Story()
    story.write(kinds.Acknowledged(), 0, by="ana")
    story.write(kinds.Called(role="dpo", person="cem", reason="told:siem:aware"), HOUR)
    assert story.look(HOUR + 14 * MINUTE) == []
    assert story.look(HOUR + 15 * MINUTE) == [("dora", "told:siem:aware", 1)]
    story.write(kinds.Acknowledged(), HOUR + 16 * MINUTE, by="dora")
    assert story.run(4 * HOUR, since=HOUR + 17 * MINUTE) == []


def test_who_has_the_role_in_the_case_is_called_first() -> None:
    story = Story()
    story.write(kinds.Assigned(role="incident_commander", person="ben"), 0, by="ana")
    assert story.look(1)[0][0] == "ben"
    assert story.look(16 * MINUTE)[0][0] == "ana"


def test_for_a_restricted_case_only_those_are_called_who_may_see_it() -> None:
    duties = {"incident_commander": Duty(primary="eva")}
    story = Story(plan(duties), restricted=("legal",))
    assert [person for _, person, _, _ in story.run(46 * MINUTE)] == ["ana", "ben", "ana", "ben"]
    nobody = Story(plan(people=people(eva="soc_analyst")), restricted=("legal",))
    assert nobody.look(0) == [("eva", "opened", 0)]  # rather one who cannot look into it than nobody


def test_a_clock_put_back_calls_nobody_earlier_and_a_restart_nobody_twice() -> None:
    story = Story()
    assert story.look(HOUR) == [("ana", "opened", 0)]
    assert story.look(0) == []
    assert story.look(HOUR) == []


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_whoever_is_on_call_is_reached_and_after_an_answer_nobody_is(data) -> None:
    """Looks at any intervals; clocks at any shares; answers at any time."""
    names = data.draw(st.lists(st.sampled_from(sorted(PEOPLE)), min_size=1, max_size=6, unique=True))
    roles = {name: data.draw(st.sampled_from(["incident_commander", "dpo", "legal"])) for name in names}
    story = Story(plan(people=people(**roles), acknowledge=data.draw(st.integers(1, 60))))
    at = 0
    for _ in range(data.draw(st.integers(1, 40))):
        at += data.draw(st.integers(1, 3 * HOUR))
        share = data.draw(st.sampled_from([0.1, 0.5, 0.8, 1.2]))
        story.clocks = (clock(share=share), clock("internal.first", share=share / 2, owner="incident_commander"))
        if data.draw(st.integers(0, 9)) == 0:
            story.write(kinds.Acknowledged(), at, by=names[0])
            at += 1
        before = story.case
        due = story.look(at)
        assert story.look(at) == []
        for _, reason, _ in due:
            same = [call for call in before.calls if call.reason == reason]
            assert not same or before.acknowledged_at is None or same[-1].at > before.acknowledged_at
    story.clocks = (clock(share=2.0),)
    story.write(kinds.Acknowledged(), at + 1, by=names[0])
    story.look(at + 2)
    for step in range(1, 2 * len(names) + 2):
        story.look(at + 2 + step * 61 * MINUTE)
    on_it = on_call(story.plan, "dpo", OPENED + at, Zones())
    newest = [call for call in story.case.calls if call.role == "dpo"]
    assert newest
    if newest[-1].at > OPENED + at + 1:  # a share that had not called before the answer
        assert set(on_it) <= {call.person for call in newest}


def test_calls_are_read_from_the_case_alone() -> None:
    story = Story()
    story.look(0)
    call = story.case.calls[0]
    assert call == Call(at=OPENED, role="incident_commander", person="ana", reason="opened", rung=0)
    without = structs.replace(story.case, calls=())
    assert calls_due(without, (), story.plan, OPENED + MINUTE, Zones())[0].rung == 0
    assert timedelta(microseconds=OPENED) == datetime(2026, 11, 23, 3, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
