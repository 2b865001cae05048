"""A case that goes on: leaks behind doors that people opened, and at further model instances, with the real parts."""

import asyncio

import msgspec
import pytest
from tests.rooms.firstminutes import LEAK, CaseRegion, kinds_of, until

from firedoor.control import firstminute
from firedoor.core.incident import entries as kinds
from firedoor.core.incident import rounds as rules
from firedoor.core.incident.case import fold
from firedoor.core.incident.rounds import rounds, unsealed, wrong_purges
from firedoor.errors import ActRefused
from firedoor.store import cache_care


@pytest.fixture
def house(tmp_path):
    return CaseRegion(tmp_path)


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(firstminute, "AGAIN", (0.02,))
    monkeypatch.setattr(firstminute, "DEBOUNCE", 0.02)
    monkeypatch.setattr(firstminute, "INDEX_WAIT", 0.1)
    monkeypatch.setattr(firstminute, "INDEX_LOOK", 0.02)
    monkeypatch.setattr(firstminute, "COUNT_LATER", (0.05,) * 5)


def run(life):
    return asyncio.run(asyncio.wait_for(life(), 120))


def only(life):
    (case,) = life.incidents.open_cases()
    return case


def times(life, kind, count):
    return lambda: life.incidents.open_cases() and kinds_of(only(life)).count(kind) >= count


async def leak(house, life, scope=LEAK, **more):
    house.region.now += 60
    await house.region.finding(scope, **more)
    life.board.beat()
    await life.incidents.look()


async def reopen(house, life, scope=LEAK):
    pending = await life.board.propose(house.region.open_by(scope), "leak understood, prompt changed")
    await life.board.approve(pending.id, house.region.sign(pending.signed.act, "ben"))


def answers(document):
    taken = msgspec.json.decode(document)
    return next(item for item in taken["items"] if item["kind"] == "cache")["content"]["entries"]


def held(house):
    return sum(one.served + one.quarantined for one in cache_care.status(house.place.cache, epoch=0, now=0))


def test_a_leak_behind_a_door_that_people_opened_is_sealed_and_purged_for_itself(house):
    house.keep_answers(3)

    async def life():
        async with house.life() as life:
            await leak(house, life)
            await until(times(life, "purged", 1), "the first round")
            await reopen(house, life)
            house.region.now += 600
            house.keep_answers(2, epoch=1, shop="berg")
            await leak(house, life)
            await until(times(life, "purged", 2), "the second round")
            await until(lambda: not life.first._tasks, "the rest")
            return only(life)

    case = run(life)
    first, second = rounds(case.entries)
    assert (first.round, second.round, first.scopes, second.scopes) == (1, 2, (LEAK,), (LEAK,))
    assert kinds_of(case).count("contained") == kinds_of(case).count("sealed") == 2
    assert wrong_purges(case.entries) == ()
    purges = [entry.payload for entry in case.entries if isinstance(entry.payload, kinds.Purged)]
    assert [(p.seal, p.items, p.cache_epoch) for p in purges] == [
        (first.sha256, {"removed": 3}, 1),
        (second.sha256, {"removed": 2}, 2),
    ]
    assert (case.sealed_at, case.purged_at) == (first.at, first.purged_at)  # the first minute stays what it was
    (one, before), (two, after) = house.snapshots()
    assert [(leaf.facts["round"], leaf.facts["covers"]) for leaf in (one, two)] == [
        (1, first.covers),
        (2, second.covers),
    ]
    assert (len(answers(before)), {a["shop"] for a in answers(after)}) == (3, {"berg"})
    assert held(house) == 0


def test_another_model_instance_that_joins_is_sealed_too_and_a_restart_does_nothing_again(house):
    async def first():
        async with house.life(crash=True) as life:
            await leak(house, life)
            await until(times(life, "purged", 1), "the first round")
            await leak(house, life, "eu/alpen/support/m1", slot="w1")
            await until(times(life, "purged", 2), "the second round")
            return only(life)

    async def second():
        async with house.life() as life:
            await life.first.settled(only(life).id)
            return only(life)

    before, after = run(first), run(second)
    assert [one.scopes for one in rounds(after.entries)] == [(LEAK,), ("eu/alpen/support/m1",)]
    assert [kinds_of(after).count(kind) for kind in ("contained", "sealed", "purged")] == [2, 2, 2]
    assert len(house.snapshots()) == 2
    assert before.entries == after.entries[: before.number]


def test_more_leaks_behind_a_door_that_is_shut_make_no_snapshot(house):
    async def life():
        async with house.life() as life:
            await leak(house, life)
            await until(times(life, "purged", 1), "the first round")
            for _ in range(5):  # of a host that does not hear
                await leak(house, life)
            await until(times(life, "contained", 3), "what it tells")
            await until(lambda: not life.first._tasks, "the rest")
            assert len(house.snapshots()) == 1

    run(life)


def test_a_flood_of_leaks_makes_few_snapshots_and_the_last_one_covers_all(house, monkeypatch):
    monkeypatch.setattr(rules, "SEALS", 1)
    monkeypatch.setattr(rules, "WINDOW", 1_200 * kinds.MICRO)
    monkeypatch.setattr(firstminute, "seal_wait", _short(rules.seal_wait))

    async def life():
        async with house.life() as life:
            for number in range(10):
                await leak(house, life, f"eu/alpen/support/m{number}", slot=f"w{number}")
                await asyncio.sleep(0.03)
            # The third model instance shuts the surface: what leaks after it shuts nothing more.
            wide = "eu/alpen/support/*"
            await until(lambda: wide in {scope for _, scope in unsealed(only(life).entries)}, "all doors")
            await until(times(life, "counted", 1), "what need not wait")
            await asyncio.sleep(0.2)
            assert len(house.snapshots()) == 1
            with pytest.raises(ActRefused) as refused:
                await life.first.purge(only(life))
            assert refused.value.code == "not_sealed"
            house.region.now += 1_300
            await until(lambda: not unsealed(only(life).entries), "the seal of all that waited")
            await until(lambda: not life.first._tasks, "its purge")
            assert len(house.snapshots()) == 2
            known = rounds(only(life).entries)
            assert known[-1].purge is not None
            assert [one.scopes for one in known] == [(LEAK,), ("eu/alpen/support/m1", wide)]
            assert wrong_purges(only(life).entries) == ()

    run(life)


def _short(real):
    """Minutes of waiting are looked at anew every 50 ms."""
    return lambda case, now: min(real(case, now), 50_000)


def test_a_seal_that_fails_in_a_later_round_is_told_again_and_nothing_goes_meanwhile(house):
    failing = []

    def wrap(part, real):
        if part != "snapshots":
            return real

        class Snapshots:
            async def take(self, *arguments):
                if failing:
                    raise OSError(28, "no space left")
                return await real.take(*arguments)

        return Snapshots()

    async def life():
        async with house.life(wrap=wrap) as life:
            failing.append(1)
            await leak(house, life)
            await until(times(life, "step_failed", 1), "the failure")
            failing.clear()
            await until(times(life, "purged", 1), "the first round")
            failing.append(1)
            house.keep_answers(1, epoch=1)
            await leak(house, life, "eu/alpen/support/m1", slot="w1")
            await until(times(life, "step_failed", 2), "the failure of the second round")
            await asyncio.sleep(0.1)
            assert (kinds_of(only(life)).count("step_failed"), held(house)) == (2, 1)
            # A purge that had waited for its turn since the first seal looks at the case anew.
            stale = fold(only(life).entries[: kinds_of(only(life)).index("sealed") + 1])
            assert await life.first._do(stale, "purge", firstminute._Progress()) == []
            failing.clear()
            await until(times(life, "purged", 2), "the second round")
            assert held(house) == 0

    run(life)
