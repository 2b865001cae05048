"""A table of disasters: each durable step of a shut and of an opening fails, fails though it was carried out, or is the
last thing before kill -9. Then everything is started again from what the disk holds."""

import asyncio
import errno

import pytest

from firedoor.errors import FiredoorError, JournalPoisoned

from .region import NOTE, Region, board_tasks

ONE = "eu/alpen/support/m0"
WRITES = {"store": ("save",), "page": ("publish", "beat"), "journal": ("append", "note")}


class Killed(Exception):  # an event, not an error of anybody
    """The process ends here: nothing is written after it."""


class Fuse:
    """Blows at the `at`-th write of one part, before or after the real one."""

    def __init__(self, part, how, after):
        self.part, self.how, self.after = part, how, after
        self.countdown = None
        self.dead = False
        self.blown = False

    def arm(self, at):
        self.countdown = at

    def error(self):
        self.blown = True
        if self.how == "kill":
            self.dead = True
            return Killed()
        return JournalPoisoned("disk") if self.part == "journal" else OSError(errno.ENOSPC, "No space left on device")

    def wrap(self, name, real):
        return Fused(self, name, real)


class Fused:
    def __init__(self, fuse, name, real):
        self._fuse, self._name, self._real = fuse, name, real

    def __getattr__(self, attribute):
        real = getattr(self._real, attribute)
        if attribute not in WRITES[self._name]:
            return real

        def write(*args):
            fuse = self._fuse
            if fuse.dead:
                raise Killed
            if self._name != fuse.part or fuse.countdown is None:
                return real(*args)
            fuse.countdown -= 1
            if fuse.countdown != 0:
                return real(*args)
            if fuse.after:
                real(*args)
            raise fuse.error()

        return write


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 60))


CASES = [
    (part, at, how, after) for part in WRITES for at in (1, 2) for how in ("fail", "kill") for after in (False, True)
]


async def attempt(call):
    try:
        return await call
    except (FiredoorError, OSError, Killed) as error:
        return error


@pytest.mark.parametrize(("part", "at", "how", "after"), CASES)
def test_a_shut_that_showed_stays(tmp_path, part, at, how, after):
    region, fuse = Region(tmp_path / "eu"), Fuse(part, how, after)

    async def life():
        async with region.control(crash=True, wrap=fuse.wrap) as board:
            await board.shut(region.shut_by("eu/berg"))
            fuse.arm(at)
            result = await attempt(board.shut(region.shut_by(ONE)))
            shown = ONE in region.shut_scopes()
            if part != "page" or at > 1:
                assert shown, "nothing that fails later undoes it"
            if not fuse.dead:
                for _ in range(2):
                    try:
                        board.beat()
                    except (OSError, Killed):
                        continue
                    await board.settled()
            if not fuse.dead:
                assert ONE in region.shut_scopes(), "what could not be shown at once shows with the next beat"
                assert board.keeper.durable
                shown = True
        async with region.control():
            assert (ONE in region.shut_scopes()) or not shown
            assert "eu/berg/*/*" in region.shut_scopes()
        return result

    run(life())
    if ONE in region.shut_scopes():
        assert ("shut", ONE) in region.switch_records(), "the restart records what the crash left out"


@pytest.mark.parametrize(("part", "at", "how", "after"), CASES)
def test_an_opening_that_breaks_on_the_way_leaves_it_shut(tmp_path, part, at, how, after):
    region, fuse = Region(tmp_path / "eu"), Fuse(part, how, after)

    async def life():
        async with region.control(crash=True, wrap=fuse.wrap) as board:
            await board.shut(region.shut_by(ONE))
            pending = await board.propose(region.open_by(ONE), NOTE)
            fuse.arm(at)
            result = await attempt(board.approve(pending.id, region.sign(pending.signed.act, "ben")))
            durable = region.store.load()
            if region.shut_scopes() == []:
                assert durable.table.shut == (), "nothing shows as open that is not durably open"
                assert ("open", ONE) in region.switch_records()
            elif isinstance(result, FiredoorError):
                board.beat()
                await board.settled()
        async with region.control() as board:
            if region.shut_scopes() == []:
                entry = board.keeper.trail[-1]
                assert (entry.state, entry.by) == ("open", ("ana", "ben"))
                assert ("open", ONE) in region.switch_records()
                assert not (how == "fail" and isinstance(result, FiredoorError)), "who was told no finds it shut"
        if not fuse.blown:
            assert region.shut_scopes() == []

    run(life())


@pytest.mark.parametrize(("part", "at", "how", "after"), CASES)
def test_a_proposal_alone_never_opens(tmp_path, part, at, how, after):
    region, fuse = Region(tmp_path / "eu"), Fuse(part, how, after)

    async def life():
        async with region.control(crash=True, wrap=fuse.wrap) as board:
            await board.shut(region.shut_by(ONE))
            fuse.arm(at)
            await attempt(board.propose(region.open_by(ONE), NOTE))
            assert region.shut_scopes() == [ONE]
        async with region.control():
            assert region.shut_scopes() == [ONE]

    run(life())


def test_a_leak_that_comes_in_while_the_disk_writes_the_opening_wins(tmp_path):
    region = Region(tmp_path / "eu")
    leaked = []

    def wrap(name, real):
        if name != "store":
            return real

        class Slow:
            def __getattr__(self, name):
                return getattr(real, name)

            def save(self, *state):
                real.save(*state)
                if leaked and leaked[0] is not None:
                    loop, board = leaked.pop(0)
                    asyncio.run_coroutine_threadsafe(board(), loop).result()

        return Slow()

    async def life():
        async with region.control(crash=True, wrap=wrap) as board:
            await board.shut(region.shut_by(ONE))
            pending = await board.propose(region.open_by(ONE), NOTE)

            async def leak():
                await region.finding(ONE)
                board.beat()

            leaked.append((asyncio.get_running_loop(), leak))
            result = await attempt(board.approve(pending.id, region.sign(pending.signed.act, "ben")))
            assert result.code == "unknown_request"
            assert region.shut_scopes() == [ONE]
            await asyncio.gather(*board_tasks())
        async with region.control():
            assert region.shut_scopes() == [ONE], "the opened table on the disk was older than the page"

    run(life())
    assert ("kept_shut", ONE) in region.switch_records()


def test_another_shut_while_the_disk_writes_the_opening_is_kept(tmp_path):
    region = Region(tmp_path / "eu")
    other = []

    def wrap(name, real):
        if name != "store":
            return real

        class Slow:
            def __getattr__(self, name):
                return getattr(real, name)

            def save(self, *state):
                real.save(*state)
                if other:
                    loop, board = other.pop()
                    loop.call_soon_threadsafe(board)

        return Slow()

    async def life():
        async with region.control(crash=True, wrap=wrap) as board:
            await board.shut(region.shut_by(ONE))
            pending = await board.propose(region.open_by(ONE), NOTE)
            tasks = []
            shut = region.shut_by("eu/berg")
            other.append((asyncio.get_running_loop(), lambda: tasks.append(asyncio.ensure_future(board.shut(shut)))))
            await board.approve(pending.id, region.sign(pending.signed.act, "ben"))
            await asyncio.gather(*tasks)
            assert region.shut_scopes() == ["eu/berg/*/*"]
        async with region.control():
            assert region.shut_scopes() == ["eu/berg/*/*"]

    run(life())


def test_with_a_dead_disk_shutting_works_and_says_so(tmp_path):
    region = Region(tmp_path / "eu")
    broken = {"now": False}

    def wrap(name, real):
        class Disk:
            def __getattr__(self, attribute):
                if broken["now"] and attribute == "save":
                    raise OSError(errno.EIO, "Input/output error")
                return getattr(real, attribute)

        return Disk() if name == "store" else real

    async def life():
        async with region.control(crash=True, wrap=wrap) as board:
            await board.shut(region.shut_by("eu/berg"))
            pending = await board.propose(region.open_by("eu/berg"), NOTE)
            broken["now"] = True
            done = await board.shut(region.shut_by(ONE))
            assert (done.changed, done.durable) == (True, False)
            assert ONE in region.shut_scopes()
            result = await attempt(board.approve(pending.id, region.sign(pending.signed.act, "ben")))
            assert isinstance(result, FiredoorError)
            assert "eu/berg/*/*" in region.shut_scopes()
            broken["now"] = False
            board.beat()
            await board.settled()
            assert board.keeper.durable
            await board.approve(pending.id, region.sign(pending.signed.act, "ben"))
            assert region.shut_scopes() == [ONE]

    run(life())


def test_a_shut_file_that_comes_in_while_the_disk_writes_the_opening_wins(tmp_path):
    region = Region(tmp_path / "eu")
    touch = []

    def wrap(name, real):
        if name != "store":
            return real

        class Slow:
            def __getattr__(self, name):
                return getattr(real, name)

            def save(self, *state):
                real.save(*state)
                if touch:
                    touch.pop()()

        return Slow()

    async def life():
        async with region.control(crash=True, wrap=wrap) as board:
            await board.shut(region.shut_by("eu"))
            pending = await board.propose(region.open_by("eu/*/*/*"), NOTE)
            touch.append(region.home.shut_file.touch)
            result = await attempt(board.approve(pending.id, region.sign(pending.signed.act, "ben")))
            assert result.code == "shut_file_present"
            assert region.shut_scopes() == ["eu/*/*/*"]
            region.home.shut_file.unlink()
        async with region.control():
            assert region.shut_scopes() == ["eu/*/*/*"]

    run(life())


def test_a_request_that_was_carried_out_does_not_come_back_after_a_crash(tmp_path):
    region, fuse = Region(tmp_path / "eu"), Fuse("store", "kill", after=False)

    async def life():
        async with region.control(crash=True, wrap=fuse.wrap) as board:
            await board.shut(region.shut_by(ONE))
            pending = await board.propose(region.open_by(ONE), NOTE)
            fuse.arm(2)  # the first write opens
            approval = region.sign(pending.signed.act, "ben")
            assert isinstance(await attempt(board.approve(pending.id, approval)), Killed)
            assert region.shut_scopes() == []
            assert region.store.requests() == (pending,)
        async with region.control() as board:
            assert board.requests() == []
            await board.shut(region.shut_by(ONE))
            assert (await attempt(board.approve(pending.id, approval))).code == "unknown_request"
            assert region.shut_scopes() == [ONE]

    run(life())
