"""Control calls people for open cases: once for each reason, again after a crash only what was not written."""

import asyncio
from zoneinfo import ZoneInfo

import pytest
from msgspec import structs

from firedoor.control.calling import CLOCKS_EVERY, Calling
from firedoor.core.incident import entries as kinds
from firedoor.core.incident.clocks import Clock
from firedoor.core.incident.entries import MICRO
from firedoor.core.incident.hooks import messages_for
from firedoor.core.plan.response import IncidentRules, OtherSystem
from firedoor.errors import StateBusy, StateUnavailable

from .incidentdesk import SCOPE, Desk, MemoryStore

RULES = IncidentRules(
    systems={
        "pager": OtherSystem(webhook="https://pager.example/in", jurisdiction="DE", secret_file="s", events="calls")
    }
)


class Zones:
    def zone(self, name):
        return ZoneInfo(name)


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path, RULES)


def calling(desk, incidents):
    return Calling(incidents, desk.loaded.plan, "eu", Zones(), lambda: int(desk.now * 1e9))


def running(desk, **more):
    """Its incidents; their clocks are what `desk.reckon` says at the time."""
    plan = desk.loaded.plan
    desk.reckon = lambda case: ()
    desk.clocks = lambda case, now: desk.reckon(case)
    return desk.running(tell=lambda case, entry: messages_for(case, entry, plan, "eu", tuple), **more)


async def calls(incidents):
    """Of the one open case: who was called why."""
    [case] = incidents.open_cases()
    return [(call.role, call.person, call.reason, call.rung) for call in case.calls]


def clock(desk, share, **more):
    values = {"title": "t", "rule_version": "1", "basis": "law", "source": "", "recipients": (), "start_event": "aware"}
    values |= {
        "start_at": desk.micro(),
        "length": "72h",
        "zone": "UTC",
        "due": desk.micro() + MICRO,
        "state": "running",
    }
    return Clock(id="eu.gdpr.33.1", share=share, **{**values, **more})


def test_a_leak_calls_the_commander_and_whoever_acknowledges_ends_it(desk) -> None:
    async def run():
        async with running(desk) as incidents:
            await desk.finds(SCOPE)
            await incidents.look()
            caller = calling(desk, incidents)
            assert await caller.look() == 1
            assert await caller.look() == 0
            [first] = await calls(incidents)
            assert first[0] == "incident_commander"
            desk.now += 15 * 60
            assert await caller.look() == 1
            [case] = incidents.open_cases()
            await desk.write(incidents, case.id, kinds.Acknowledged(), by="ana")
            desk.now += 3600
            assert await caller.look() == 0
            desk.reckon = lambda case: (clock(desk, 0.5),)
            desk.now += CLOCKS_EVERY / MICRO
            assert await caller.look() == 1
            assert (await calls(incidents))[-1][::2] == ("dpo", "eu.gdpr.33.1:50")
            called = [m for m in desk.store.kept["messages"] if b'"case.called"' in m.body]
            assert [m.system for m in called] == ["pager"] * 3
        assert [facts["entry"] for facts in desk.records()].count("called") == 3

    asyncio.run(run())


@pytest.mark.parametrize(
    ("jurisdiction", "webhook", "told"),
    [
        ("DE", "https://pager.example/in", ("pager",)),
        ("DE", None, ()),
        ("US", "https://pager.example/in", ()),  # it stands in another region: nothing of this one is told there
    ],
)
def test_a_call_says_by_what_it_was_carried_and_that_it_reached_nobody(tmp_path, caplog, jurisdiction, webhook, told):
    system = OtherSystem(webhook=webhook, jurisdiction=jurisdiction, secret_file="s", events="calls")
    desk = Desk(tmp_path, IncidentRules(systems={"pager": system}))

    async def run():
        async with running(desk) as incidents:
            await desk.finds(SCOPE)
            await incidents.look()
            assert await calling(desk, incidents).look() == 1
            [case] = incidents.open_cases()
            assert case.calls[0].told == told
            assert case.entries[-1].payload.told == told
            assert len(desk.store.kept["messages"]) == len(told)

    asyncio.run(run())
    assert ("NOT REACHED" in caplog.text) is not told


def test_after_a_crash_anywhere_nobody_is_called_twice_for_the_same(desk, tmp_path) -> None:
    """The disk fails or dies at each call in turn, before or after its work; then the next process looks."""

    async def run():
        for number in range(1, 12):
            for done in (False, True):
                there = Desk(tmp_path / f"{number}{done}", RULES)
                store = MemoryStore()
                async with running(there, store=store) as incidents:
                    await there.finds(SCOPE)
                    await incidents.look()
                    store.fail_at, store.done, store.dies = store.calls + number, done, True
                    for _ in range(2):
                        await calling(there, incidents).look()
                    store.fail_at = None
                async with running(there) as incidents:
                    for _ in range(2):
                        await calling(there, incidents).look()
                    assert len(await calls(incidents)) == 1
                ids = [m.id for m in there.store.kept["messages"] if b'"case.called"' in m.body]
                assert len(ids) == 1

    asyncio.run(run())


def test_a_case_or_its_clocks_that_fail_keep_no_call_waiting(desk, caplog) -> None:
    def broken(case):
        raise StateUnavailable("the law is not read")

    async def run():
        async with running(desk) as incidents:
            await desk.finds(SCOPE, "eu/berg/search/m1")
            await incidents.look()
            desk.reckon = broken
            caller = calling(desk, incidents)
            assert await caller.look() == 2
            assert await caller.look() == 0
            assert caplog.text.count("StateUnavailable") == 2  # once for each case

            class Refuses:
                """The first case is not written."""

                open_cases, clocks = incidents.open_cases, incidents.clocks

                async def add(self, case_id, payload):
                    if case_id == incidents.open_cases()[0].id:
                        raise OSError(28, "No space left on device")
                    return await incidents.add(case_id, payload)

            desk.now += 15 * 60
            assert await calling(desk, Refuses()).look() == 1

    asyncio.run(run())


def test_clocks_are_reckoned_when_the_case_moved_and_now_and_then(desk) -> None:
    reckoned = []

    async def run():
        async with running(desk) as incidents:
            await desk.finds(SCOPE)
            await incidents.look()
            desk.reckon = lambda case: reckoned.append(desk.now) or ()
            caller = calling(desk, incidents)
            for _ in range(60):
                await caller.look()
                desk.now += 1
            assert len(reckoned) == 4  # as it opened, called, and each twenty seconds
            [case] = incidents.open_cases()
            await desk.write(incidents, case.id, kinds.Noted(text="looking"), by="cem")
            before = len(reckoned)
            await caller.look()
            assert len(reckoned) == before + 1
            desk.now -= 3600
            await caller.look()
            assert len(reckoned) == before + 2

    asyncio.run(run())


def test_calling_ends_where_another_control_took_over(desk) -> None:
    class Lost:
        def open_cases(self):
            return [case]

        def clocks(self, case, now):
            return ()

        async def add(self, case_id, payload):
            raise StateBusy("another control of the region writes")

    async def run():
        nonlocal case
        async with running(desk) as incidents:
            await desk.finds(SCOPE)
            await incidents.look()
            [case] = incidents.open_cases()
        with pytest.raises(StateBusy):
            await asyncio.wait_for(calling(desk, Lost()).run(), 30)

    case = None
    asyncio.run(run())


def test_it_looks_again_and_again(desk, monkeypatch) -> None:
    monkeypatch.setattr("firedoor.control.calling.EVERY", 0.01)

    async def run():
        async with running(desk) as incidents:
            task = asyncio.create_task(calling(desk, incidents).run())
            await desk.finds(SCOPE)
            await incidents.look()
            async with asyncio.timeout(30):
                while not await calls(incidents):  # noqa: ASYNC110  what others did is looked at from outside
                    await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def test_a_plan_without_a_commander_calls_somebody(desk) -> None:
    plan = desk.loaded.plan
    nobody = {name: structs.replace(person, roles=("soc_analyst",)) for name, person in plan.people.items()}

    async def run():
        async with running(desk) as incidents:
            await desk.finds(SCOPE)
            await incidents.look()
            other = Calling(incidents, structs.replace(plan, people=nobody), "eu", Zones(), lambda: int(desk.now * 1e9))
            assert await other.look() == 1

    asyncio.run(run())
