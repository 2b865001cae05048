"""Other systems tell a region of cases over real HTTP, with real signatures, into real cases."""

import asyncio
import contextlib
import json
import random
from zoneinfo import ZoneInfo

import aiohttp
import pytest

from firedoor.api import hasty
from firedoor.app.hooks import bind, build, serve, serve_hooks
from firedoor.control import hooks as desks
from firedoor.control.hooks import HookDesk
from firedoor.core.incident import entries as kinds
from firedoor.core.incident.case import fold
from firedoor.core.incident.incoming import BODY_LIMIT
from firedoor.core.incident.webhook import parse_secrets, sign
from firedoor.core.plan.response import IncidentRules, OtherSystem
from firedoor.errors import SetupError, StateUnavailable

from .incidentdesk import SCOPE, Desk

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
SYSTEMS = {
    "siem": OtherSystem(opens=True, jurisdiction="DE", secret_file="siem"),
    "desk": OtherSystem(opens=True, jurisdiction="DE", secret_file="desk"),
    "pager": OtherSystem(webhook="https://pager.example/in", secret_file="siem"),
    "lost": OtherSystem(opens=True, secret_file="nowhere"),
}


class Zones:
    def zone(self, name):
        return ZoneInfo(name)


class There:
    """A region that listens, and systems that tell it things. `send` gives status and answer."""

    def __init__(self, incidents, desk, session, url):
        self.incidents, self.desk, self.session, self.url = incidents, desk, session, url

    async def send(self, name, body, *, secret=SECRET, headers=None, at=None, id_="msg_1", data=None):
        data = json.dumps(body).encode() if data is None else data
        at = int(self.desk.now if at is None else at)
        signed = {
            "webhook-id": id_, "webhook-timestamp": str(at),
            "webhook-signature": sign(parse_secrets(secret), id_, at, data),
        }  # fmt: skip
        async with self.session.post(
            f"{self.url}/hooks/{name}", data=data, headers={**signed, **(headers or {})}
        ) as answer:
            return answer.status, await answer.json()

    async def opens(self, ref="SIR-4", **more):
        status, said = await self.send("siem", opening(ref, **more))
        assert status in (200, 201), said
        return said["case"]

    async def kinds(self, case):
        return [(entry.by, kinds.kind_of(entry.payload)) for entry in await self.incidents.entries(case)]


@pytest.fixture
def desk(tmp_path):
    for name, secret in (("siem", SECRET), ("desk", OTHER)):
        (tmp_path / name).write_text(secret)
        (tmp_path / name).chmod(0o600)
    made = Desk(tmp_path / "region", IncidentRules(systems=SYSTEMS))
    made.folder = tmp_path
    return made


@contextlib.asynccontextmanager
async def listening(desk, cases=None, **more):
    async with desk.running(**more) as incidents:
        plan = desk.loaded.plan
        hooks = HookDesk(cases or incidents, plan, "eu", Zones(), lambda: int(desk.now * 1e9))
        listener = bind("127.0.0.1", 0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        ready = asyncio.Event()
        task = asyncio.create_task(serve(build(hooks, SYSTEMS, desk.folder), listener, ready.set))
        await ready.wait()
        try:
            async with aiohttp.ClientSession() as session:
                yield There(incidents, desk, session, url)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def opening(ref="SIR-4", scope=SCOPE, detected="2027-01-15T07:00:00Z", **more):
    data = {"ref": ref, "title": "Prices on a forum", "scope": scope, "detected": detected, **more}
    return {"type": "case.open", "timestamp": "2027-01-15T07:59:00Z", "data": data}


def moment(event, at="2027-01-15T06:00:00Z", **which):
    return {"type": "case.moment", "timestamp": at, "data": {"event": event, "at": at, "because": "a mail", **which}}


def state(what, at="2027-01-15T07:59:00Z", **which):
    return {"type": "case.state", "timestamp": at, "data": {"state": what, **which}}


def run(desk, story, **more):
    async def whole():
        async with listening(desk, **more) as there:
            await story(there)

    asyncio.run(whole())


def test_a_signed_call_opens_a_case_once_whatever_is_repeated(desk) -> None:
    async def story(there):
        body = opening(url="https://siem.example/4")
        status, said = await there.send("siem", body)
        assert (status, said["new"], said["state"], said["entry"]) == (201, True, "new", 2)
        case = await there.incidents.case(said["case"])
        assert case.opened == kinds.Opened(
            cause="hook", title="Prices on a forum", scope=SCOPE, detected=1_799_996_400_000_000, shut=False,
            system="siem", ref="SIR-4",
        )  # fmt: skip
        assert case.links == (kinds.Linked(system="siem", ref="SIR-4", url="https://siem.example/4"),)
        again = [await there.send("siem", body, id_=f"msg_{n}") for n in range(3)]
        again += await asyncio.gather(*(there.send("siem", body, id_="msg_1") for _ in range(5)))
        assert {(status, said["new"], said["case"]) for status, said in again} == {(200, False, case.id)}
        desk.now += 3 * 86_400  # another day: still that case
        assert (await there.send("siem", body))[0] == 200
        assert [c.id for c in there.incidents.open_cases()] == [case.id]
        assert len((await there.incidents.case(case.id)).entries) == 2
        assert await there.opens("SIR-5") != case.id
        status, said = await there.send("desk", body, secret=OTHER)  # the same ref is another case there
        assert status == 201
        assert said["case"] != case.id

    run(desk, story)


def test_after_a_restart_a_repeated_call_still_changes_nothing(desk) -> None:
    body = [opening(), state("acknowledged", ref="SIR-4"), moment("aware", ref="SIR-4")]
    before = []

    async def first(there):
        for one in body:
            assert (await there.send("siem", one))[0] == 201
        [case] = there.incidents.open_cases()
        before.append(case)

    async def second(there):
        for one in body:
            assert (await there.send("siem", one))[0] == 200
        assert there.incidents.open_cases() == before

    run(desk, first)
    run(desk, second)


@pytest.mark.parametrize(
    "change",
    [
        {"secret": OTHER},
        {"headers": {"webhook-signature": "v1,AAAA"}},
        {"headers": {"webhook-signature": ""}},
        {"headers": {"webhook-id": "msg_2"}},
        {"headers": {"webhook-timestamp": "1800000001"}},
        {"headers": {"webhook-timestamp": "now"}},
        {"name": "nobody"},
        {"name": "pager"},  # it is told, and may tell nothing
        {"name": "lost"},  # its secret is not there
        {"name": "lost", "secret": "whsec_" + "A" * 43 + "="},
        {"name": "nobody", "secret": "whsec_" + "A" * 43 + "="},
        {"name": "desk"},
    ],
)
def test_who_is_not_known_may_not_or_did_not_sign_gets_one_answer(desk, change, caplog) -> None:
    async def story(there):
        name = change.pop("name", "siem")
        status, said = await there.send(name, opening(), **change)
        assert (status, said["error"]["code"]) == (401, "not_signed")
        assert "siem" not in said["error"]["message"]
        assert there.incidents.open_cases() == []

    run(desk, story)
    assert "nobody" not in caplog.text


def test_a_call_is_taken_for_five_minutes_either_way(desk) -> None:
    async def story(there):
        for seconds, status in ((-301, 401), (301, 401), (-300, 201), (300, 200)):
            found, _ = await there.send("siem", opening(), at=desk.now + seconds)
            assert found == status
        assert (await there.send("siem", opening(), at=desk.now - 301))[1]["error"]["code"] == "too_old"

    run(desk, story)


def test_two_headers_of_a_name_do_not_verify(desk) -> None:
    async def story(there):
        data = json.dumps(opening()).encode()
        at = int(desk.now)
        headers = [
            ("webhook-id", "m"),
            ("webhook-timestamp", str(at)),
            ("webhook-signature", sign(parse_secrets(SECRET), "m", at, data)),
        ]
        for more in headers:
            async with there.session.post(f"{there.url}/hooks/siem", data=data, headers=[*headers, more]) as answer:
                assert answer.status == 401

    run(desk, story)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"type": "case.delete"}, 400, "bad_body"),
        (opening(shut=True), 400, "bad_body"),
        (opening(scope="us"), 400, "other_region"),
        (opening(scope="eu/nowhere"), 400, "unknown_scope"),
        (opening(detected="2027-01-15T09:00:00Z"), 400, "bad_moment"),
        (moment("aware", ref="SIR-77"), 404, "unknown_case"),
        (moment("aware", case="eu-20270115-aaaaaaaaaa"), 404, "unknown_case"),
        (state("closed", ref="SIR-77"), 404, "unknown_case"),
        (
            {"type": "case.link", "timestamp": "2027-01-15T07:59:00Z", "data": {"case": "eu-1", "ref": "x"}},
            404,
            "unknown_case",
        ),
    ],
)
def test_what_is_signed_and_cannot_be_taken_is_said_why(desk, body, status, code) -> None:
    async def story(there):
        found, said = await there.send("siem", body)
        assert (found, said["error"]["code"]) == (status, code)
        assert there.incidents.open_cases() == []

    run(desk, story)


def test_other_paths_methods_and_sizes(desk) -> None:
    async def story(there):
        async with there.session.get(f"{there.url}/hooks/siem") as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (405, "wrong_method")
        async with there.session.post(f"{there.url}/hooks/siem/more") as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (404, "no_such_path")
        status, said = await there.send("siem", None, data=b" " * (BODY_LIMIT + 1))
        assert (status, said["error"]["code"]) == (413, "body_too_large")

        async def endless():
            for _ in range(100):
                yield b" " * 4096

        async with there.session.post(f"{there.url}/hooks/siem", data=endless()) as answer:
            assert answer.status == 413

    run(desk, story)


def test_whoever_is_slow_is_dropped_and_the_others_are_served(desk, monkeypatch) -> None:
    monkeypatch.setattr(hasty, "EXCHANGE_SECONDS", 1.0)

    async def story(there):
        port = int(there.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /hooks/siem HTTP/1.1\r\nHost: f\r\nContent-Length: 100\r\n\r\n{")
        assert (await there.send("siem", opening()))[0] == 201
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()

    run(desk, story)


def test_detected_moves_to_earlier_and_never_against_what_a_person_said(desk) -> None:
    async def story(there):
        name = await there.opens()
        status, said = await there.send("siem", moment("detected", ref="SIR-4"))
        case = await there.incidents.case(name)
        assert (status, said["new"], case.moments["detected"]) == (201, True, 1_799_992_800_000_000)
        assert (await there.send("siem", moment("detected", ref="SIR-4")))[0] == 200
        later = moment("detected", at="2027-01-15T06:30:00Z", ref="SIR-4")
        assert (await there.send("siem", later))[0] == 201
        case = await there.incidents.case(name)
        assert (case.entries[-1].payload.text, case.moments["detected"]) == (
            "siem: detected there at 2027-01-15T06:30:00.000Z: a mail", 1_799_992_800_000_000,
        )  # fmt: skip
        set_ = kinds.MomentSet(event="detected", at=1_799_994_000_000_000, because="the mail was read then")
        await desk.write(there.incidents, name, set_, by="cem")
        assert (await there.send("siem", moment("detected", at="2027-01-15T05:00:00Z", ref="SIR-4")))[0] == 201
        assert (await there.incidents.case(name)).moments["detected"] == 1_799_994_000_000_000

    run(desk, story)


def test_what_the_law_counts_from_is_noted_and_the_officer_is_called(desk) -> None:
    async def story(there):
        name = await there.opens()
        assert (await there.send("siem", moment("aware", ref="SIR-4")))[0] == 201
        assert (await there.send("siem", moment("aware", ref="SIR-4")))[0] == 200
        case = await there.incidents.case(name)
        assert "aware" not in case.moments
        assert [(c.role, c.person, c.reason) for c in case.calls] == [("dpo", "ben", "told:siem:aware")]
        assert (await there.kinds(name))[-2:] == [("hook:siem", "noted"), ("firedoor", "called")]
        there.desk.now += float(there.desk.loaded.plan.incidents.acknowledge)
        await there.send("siem", moment("aware", at="2027-01-15T06:01:00Z", ref="SIR-4"))  # they say it otherwise now
        assert len((await there.incidents.case(name)).calls) == 2

    run(desk, story)


def test_states_there_are_notes_and_end_nothing_here(desk) -> None:
    async def story(there):
        name = await there.opens()
        for what in ("acknowledged", "resolved", "closed"):
            assert (await there.send("siem", state(what, ref="SIR-4")))[0] == 201
        case = await there.incidents.case(name)
        assert (case.state, case.acknowledged_at) == ("new", None)
        assert case.entries[-1].payload.text == "siem: closed there since 2027-01-15T07:59:00.000Z."

    run(desk, story)


def test_a_case_of_ours_is_linked_and_found_by_its_ref_also_after_a_merge(desk) -> None:
    async def story(there):
        await desk.finds(SCOPE)
        await there.incidents.look()
        [ours] = there.incidents.open_cases()
        link = {"type": "case.link", "timestamp": "2027-01-15T07:59:00Z", "data": {"case": ours.id, "ref": "SIR-8"}}
        assert [(await there.send("siem", link))[0] for _ in range(2)] == [201, 200]
        assert (await there.send("siem", state("closed", ref="SIR-8")))[1]["case"] == ours.id
        other = await there.opens("SIR-9", scope="eu/berg/search/m1")
        await desk.write(there.incidents, other, kinds.MergedInto(case=ours.id, because="the same"), by="ana")
        assert (await there.send("siem", opening("SIR-9")))[1]["case"] == ours.id
        assert (await there.send("siem", state("resolved", ref="SIR-9")))[1]["case"] == ours.id
        status, said = await there.send("siem", moment("detected", case=other))
        assert (status, said["case"]) == (201, ours.id)
        assert (await there.incidents.case(ours.id)).moments["detected"] == 1_799_992_800_000_000

    run(desk, story)


def test_a_closed_case_is_not_opened_again_and_takes_nothing(desk) -> None:
    async def story(there):
        name = await there.opens()
        await desk.write(there.incidents, name, kinds.Closed(because="a test of theirs"), by="ana")
        status, said = await there.send("siem", opening())
        assert (status, said["case"], said["state"]) == (200, name, "closed")
        status, said = await there.send("siem", state("reopened", case=name))
        assert (status, said["error"]["code"]) == (409, "case_closed")

    run(desk, story)


def test_a_rule_gone_wrong_there_fills_nothing_here(desk, monkeypatch) -> None:
    monkeypatch.setattr(desks, "OPEN_CASES", 3)
    monkeypatch.setattr(desks, "ENTRIES", 5)

    async def story(there):
        for number in range(3):
            await there.opens(f"SIR-{number}")
        status, said = await there.send("siem", opening("SIR-4"))
        assert (status, said["error"]["code"]) == (429, "too_many_cases")
        assert (await there.send("desk", opening("SIR-4"), secret=OTHER))[0] == 201
        sent = [
            await there.send("siem", state("resolved", at=f"2027-01-15T07:0{n}:00Z", ref="SIR-1")) for n in range(4)
        ]
        assert [status for status, _ in sent] == [201, 201, 201, 429]
        assert sent[-1][1]["error"]["code"] == "too_many_entries"

    run(desk, story)


def test_while_nothing_can_be_kept_they_are_asked_to_come_again(desk) -> None:
    class Full:
        def __init__(self, error):
            self.error = error

        def open_cases(self):
            return []

        async def open_for(self, by, payload, trigger):
            raise self.error

    for error, status in (
        (OSError(28, "No space left on device"), 503),
        (StateUnavailable("busy"), 503),
        (KeyError("x"), 500),
    ):

        async def story(there, status=status):
            found, said = await there.send("siem", opening())
            assert found == status
            assert "space" not in json.dumps(said)

        run(desk, story, cases=Full(error))


def test_it_serves_where_the_plan_says_and_says_if_it_cannot(desk) -> None:
    async def whole():
        with contextlib.closing(bind("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            with pytest.raises(SetupError, match="cannot listen"):
                await serve_hooks(address, None, {}, desk.folder, lambda: None)
        ready = asyncio.Event()
        task = asyncio.create_task(serve_hooks(address, None, SYSTEMS, desk.folder, ready.set))
        await asyncio.wait_for(ready.wait(), 30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(whole())


def test_whatever_is_said_in_whatever_order_the_case_folds_and_no_moment_of_law_is_set(desk) -> None:
    """A seeded walk: opens, links, moments and states, each sent once or more, in any order."""
    seed = random.Random(20261123)
    bodies = [opening(f"SIR-{n}", url=f"https://siem.example/{n}") for n in range(3)]
    bodies += [
        moment(event, at=f"2027-01-15T0{n}:00:00Z", ref=f"SIR-{n % 3}")
        for n, event in enumerate(("detected", "aware", "triaged", "knew", "detected", "aware"))
    ]
    bodies += [state(what, ref=f"SIR-{n}") for n, what in enumerate(("acknowledged", "closed", "reopened"))]
    walk = [seed.choice(bodies) for _ in range(60)]

    async def story(there):
        for number, body in enumerate(walk):
            status, said = await there.send("siem", body, id_=f"m{number}")
            assert status in (200, 201, 404), said
        for case in there.incidents.open_cases():
            assert fold(case.entries) == case
            assert set(case.moments) == {"detected"}
            said = [(entry.by, entry.payload) for entry in case.entries if entry.by == "hook:siem"]
            assert all(said.count(one) == 1 for one in said)

    run(desk, story)


def test_a_system_that_talks_on_wakes_nobody_every_time(desk):
    async def story(there):
        case = await there.opens()
        for n in range(10):
            there.desk.now += 1
            status, _ = await there.send("siem", moment("aware", at=f"2027-01-15T06:00:{n:02}Z", case=case))
            assert status == 201
        assert [kind for _, kind in await there.kinds(case)].count("called") == 1
        there.desk.now += float(there.desk.loaded.plan.incidents.acknowledge)
        await there.send("siem", moment("aware", at="2027-01-15T06:01:00Z", case=case))
        assert [kind for _, kind in await there.kinds(case)].count("called") == 2

    run(desk, story)
