"""The control API's cases, in process: real cases in a real database, real signatures, the shipped law."""

import asyncio
import json
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from tests.rooms.caseregion import CaseRegion, counted

from firedoor.api.app import build
from firedoor.api.incidents import ACT_LIMIT, PAGE_BYTES, WRITE_LIMIT
from firedoor.core.incident import entries as kinds
from firedoor.core.incident.case import case_of
from firedoor.core.people import LIFETIME, SKEW

CALLED = "Ms Quisling called about her card"


@pytest.fixture
def region():
    folder = Path(tempfile.mkdtemp(prefix="fd"))
    yield CaseRegion(folder / "eu")
    shutil.rmtree(folder)


class Api:
    """Asks the application, in this event loop."""

    def __init__(self, region, app):
        self.region = region
        self._app = app

    async def ask(self, method, path, body=None, headers=None):
        """Status and JSON of an answer."""
        data = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        path, _, query = f"/control/v1/{path}".partition("?")
        head = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "headers": head, "http_version": "1.1", "scheme": "http", "server": ("control", 80), "root_path": "",
        }  # fmt: skip
        said, status, parts = [{"type": "http.request", "body": data}], [], []

        async def receive():
            return said.pop() if said else {"type": "http.disconnect"}

        async def send(message):
            status.append(message.get("status"))
            parts.append(message.get("body", b""))

        await self._app(scope, receive, send)
        return status[0], json.loads(b"".join(parts))

    async def get(self, path, **headers):
        status, answer = await self.ask("GET", path, headers=headers)
        assert status == 200, answer
        return answer

    async def refused(self, method, path, body=None, headers=None):
        """Status and code of a refusal."""
        status, answer = await self.ask(method, path, body, headers)
        assert answer["error"].keys() == {"code", "message", "remedy"}, answer
        return status, answer["error"]["code"]

    async def open(self, by="ana", **more):
        """The id of a case that a person opens."""
        status, written = await self.ask("POST", "incidents", self.region.entry(None, self.region.opened(**more), by))
        assert (status, written["number"], written["kind"]) == (201, 1, "opened"), written
        return written["case"]

    async def write(self, case, payload, by="ana", headers=None):
        """Write `payload`, having seen all; the answer."""
        after = (await self.region.incidents.case(case)).number
        status, written = await self.ask(
            "POST", f"incidents/{case}/entries", self.region.entry(case, payload, by, after)
        )
        assert status == 201, written
        return written


def lived(region, life):
    """Run `life` with the API of a region that keeps cases."""

    async def run():
        async with region.cases() as board:
            await life(Api(region, build(board, cases=region.incidents)))

    asyncio.run(asyncio.wait_for(run(), 60))


def at(seconds):
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def test_a_case_is_opened_worked_and_read_as_it_was(region):
    async def life(api):
        act = region.entry(None, region.opened())
        status, written = await api.ask("POST", "incidents", act)
        case = written["case"]
        assert (status, case) == (201, case_of(act["act"]))
        region.now += 30
        await region.incidents.add(case, counted())
        before = region.now
        region.now += 30
        said = await api.write(case, kinds.Noted(text=CALLED), "cem")
        assert said["kind"] == "noted"
        shown = await api.get(f"incidents/{case}")
        assert (shown["state"], shown["hidden"], shown["region"]) == ("in_progress", False, "eu")
        assert shown["details"]["entries"] == said["number"]
        assert shown["details"]["counted"]["exposed_subjects"] == {"least": 12, "most": 14}
        assert shown["details"]["clocks_set_at"] is not None
        assert shown["dues"][0]["cautious"] is not None
        told = (await api.get(f"incidents/{case}/entries"))["entries"]
        assert [e["number"] for e in told] == list(range(1, said["number"] + 1))
        assert (told[-1]["payload"]["text"], told[-1]["signed"]["act"]["by"]) == (CALLED, "cem")
        then = await api.get(f"incidents/{case}/entries?at={at(before)}")
        assert CALLED not in json.dumps(then)
        assert (await api.get(f"incidents/{case}?at={at(before)}"))["details"]["entries"] == len(then["entries"])
        assert await api.refused("GET", f"incidents/{case}?at={at(region.now - 86400)}") == (404, "unknown_case")
        assert (await api.get(f"incidents/{case}/affected?at={at(before - 15)}"))["affected"] is None
        (line,) = (await api.get("incidents?state=open"))["incidents"]
        assert line["summary"]["exposed_subjects"] == {"least": 12, "most": 14}
        assert len(line["dues"]) <= 4

    lived(region, life)


def test_the_legal_clock_starts_when_a_person_says_so_and_a_decision_tells_what_follows(region):
    async def life(api):
        case = await api.open()
        await region.incidents.add(case, counted())

        async def clock(name="eu.gdpr.33.1"):
            found = (await api.get(f"incidents/{case}/clocks"))["clocks"]
            return next(c for c in found if c["id"] == name)

        waiting = await clock()
        assert (waiting["due"], waiting["cautious"]) == (None, region.micro - 60 * 10**6 + 72 * 3600 * 10**6)
        aware = kinds.MomentSet(event="aware", at=region.micro, because="the log shows whose data it was")
        await api.write(case, aware, "ben")
        assert (await clock())["due"] == region.micro + 72 * 3600 * 10**6
        severity = await api.get(f"incidents/{case}/severity")
        assert severity["scored"] is None
        assert severity["suggested"]["lines"]
        await api.write(case, kinds.Decided(outcome="not_notified", because="sealed values only"), "ben")
        assert (await clock())["state"] in ("waived", "not_applicable")
        assert (await api.get(f"incidents/{case}/severity"))["decided"]["outcome"] == "not_notified"
        assert (await api.get(f"incidents/{case}/clocks"))["zone"] == "Europe/Berlin"

    lived(region, life)


def test_only_roles_that_may_decide_do_and_nobody_decides_over_what_they_did_not_see(region):
    async def life(api):
        case = await api.open()
        path = f"incidents/{case}/entries"
        decided = kinds.Decided(outcome="no_breach", because="nothing of anybody")
        newest = (await region.incidents.case(case)).number
        assert await api.refused("POST", path, region.entry(case, decided, "cem", newest)) == (403, "role_missing")
        await api.write(case, kinds.Noted(text="wait"), "cem")
        assert await api.refused("POST", path, region.entry(case, decided, "ben", newest)) == (409, "case_moved")
        body = region.entry(case, kinds.Noted(text="once"), "cem", newest)
        assert (await api.ask("POST", path, body))[0] == 201
        assert await api.refused("POST", path, body) == (409, "nonce_spent")
        altered = region.entry(case, kinds.Noted(text="one"), "cem", newest) | {"payload": kinds.Noted(text="two")}
        assert await api.refused("POST", path, altered) == (400, "bad_payload")
        assert await api.refused("POST", "incidents", region.entry(case, decided, "ben")) == (400, "other_case")
        assert (await api.ask("POST", path, region.entry(None, region.opened())))[1]["error"]["code"] == "other_case"

    lived(region, life)


def test_cases_merge_and_split_by_entries(region):
    async def life(api):
        region.now += 1
        one, two = await api.open(title="One"), await api.open(title="Two")
        await api.write(one, kinds.MergedInto(case=two, because="the same"))
        assert (await api.get(f"incidents/{one}"))["state"] == "merged"
        kept = await api.get(f"incidents/{two}")
        assert kept["details"]["took_in"] == [one]
        assert [c["id"] for c in (await api.get("incidents?state=merged"))["incidents"]] == [one]
        assert (await api.get(f"incidents/{one}/clocks"))["clocks_at"] == two
        ahead = region.entry(two, kinds.Noted(text="not yet"), after=99)
        assert await api.refused("POST", f"incidents/{two}/entries", ahead) == (400, "bad_act")
        again = region.entry(one, kinds.Noted(text="too late"), after=1)
        assert await api.refused("POST", f"incidents/{one}/entries", again) == (409, "case_merged")

    lived(region, life)


def test_where_an_unsealed_restricted_case_is_is_told_to_nobody(region):
    async def life(api):
        case = await api.open(title=CALLED)
        scopes = (await api.get(f"incidents/{case}"))["details"]["scopes"]
        assert (await api.get("incidents/unsealed"))["cases"] == [{"id": case, "scopes": scopes}]
        await api.write(case, kinds.Restricted(roles=("legal",)), "ben")
        assert (await api.get("incidents/unsealed"))["cases"] == [{"id": case, "scopes": ["eu/*/*/*"]}]

    lived(region, life)


def test_a_restricted_case_shows_what_must_be_known_and_no_more(region):
    async def life(api):
        case = await api.open(title=CALLED)
        open_ = await api.open(title="Seen by all")
        await api.write(case, kinds.Restricted(roles=("legal",)), "ben")
        for answer in (await api.get(f"incidents/{case}"), (await api.get(f"incidents?named={case}"))["incidents"][0]):
            assert (answer["hidden"], answer["restricted"], answer["state"]) == (True, True, "in_progress")
            assert answer["day"] == at(region.now)[:10]
            assert answer["dues"]
            assert answer.get("details") is None
            assert answer.get("summary") is None
            assert CALLED not in json.dumps(answer)
        for part in ("entries", "clocks", "affected", "severity"):
            assert await api.refused("GET", f"incidents/{case}/{part}") == (403, "restricted")
        assert region.accesses() == []

        look = region.looking(case, "ana")
        assert (await api.get(f"incidents/{case}", **look))["details"]["opened"]["title"] == CALLED
        assert (await api.get(f"incidents/{case}/entries", **look))["entries"]
        (seen,) = region.accesses()
        assert (seen["act"], seen["state"], seen["incident"], seen["by"]) == ("see_incident", "done", case, "ana")
        assert seen["signatures"]
        assert (await api.get(f"incidents/{case}", **region.looking(case, "ana")))["hidden"] is False
        assert len(region.accesses()) == 2
        then = f"incidents/{case}?at={at(region.now)}"
        assert (await api.get(then))["hidden"] is True
        assert (await api.get(f"incidents/{open_}", **region.looking(case, "cem")))["hidden"] is False

    lived(region, life)


def test_who_may_not_look_is_refused_and_that_is_on_record(region):
    async def life(api):
        case = await api.open(title=CALLED)
        other = await api.open()
        await api.write(case, kinds.Restricted(roles=("legal",)), "ben")
        await api.write(other, kinds.Restricted(roles=("legal",)), "ben")
        forged = region.looking(case, "ben")
        region.people.keys["ben"], key = region.people.keys["cem"], region.people.keys["ben"]
        cems = region.looking(case, "ben")
        region.people.keys["ben"] = key
        tries = [
            (region.looking(case, "cem"), 403, "may_not_see"),
            (cems, 403, "bad_signature"),
            (region.looking(case, "ana", made_at=int(region.now) - LIFETIME - 1), 410, "expired"),
            (region.looking(case, "ana", made_at=int(region.now) + SKEW + 1), 400, "from_the_future"),
            (region.looking(case, "ana", plan="cd" * 32), 409, "other_plan"),
            (region.looking(other, "ana"), 400, "other_case"),
            (region.looking(case, "ana", act="end_drill", args={"drill": "friday"}), 400, "bad_act"),
        ]
        for header, status, code in tries:
            assert await api.refused("GET", f"incidents/{case}", headers=header) == (status, code)
        await asyncio.sleep(0.2)
        assert [(f["state"], f["code"]) for f in region.accesses()] == [("refused", code) for _, _, code in tries]
        assert {f["incident"] for f in region.accesses()} == {case}
        assert (await api.get(f"incidents/{case}", **forged))["hidden"] is False
        for header in ("", "!", "AAAA", "e30=", "A" * (ACT_LIMIT + 1)):
            found = await api.refused("GET", f"incidents/{case}", headers={"Firedoor-Act": header})
            assert found == (400, "bad_act")

    lived(region, life)


def test_lists_and_entries_come_in_bounded_pages(region):
    async def life(api):
        cases = []
        for number in range(4):
            region.now += 1
            cases.append(await api.open(title=f"case {number}"))
        cases.reverse()
        page = await api.get("incidents?limit=3")
        assert ([c["id"] for c in page["incidents"]], page["more"]) == (cases[:3], True)
        page = await api.get(f"incidents?limit=3&before={cases[2]}")
        assert ([c["id"] for c in page["incidents"]], page["more"]) == (cases[3:], False)
        assert len((await api.get(f"incidents?since={at(region.now)}"))["incidents"]) == 1
        tail = cases[1][-10:]
        assert [c["id"] for c in (await api.get(f"incidents?named={tail}"))["incidents"]] == [cases[1]]
        for _ in range(18):
            await api.write(cases[0], kinds.Noted(text="wort " * 1599, exchanges=("x" * 120,) * 50), "cem")
        newest = (await region.incidents.case(cases[0])).number
        numbers, more = [], True
        while more:
            page = await api.get(f"incidents/{cases[0]}/entries?limit=7&after={numbers[-1] if numbers else 0}")
            assert len(page["entries"]) <= 7
            assert len(msgspec.json.encode(page)) <= PAGE_BYTES + 65536
            numbers += [e["number"] for e in page["entries"]]
            more = page["more"]
        assert numbers == list(range(1, newest + 1))

    lived(region, life)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "incidents?state=lost", None, 400, "bad_query"),
        ("GET", "incidents?limit=0", None, 400, "bad_query"),
        ("GET", "incidents?limit=201", None, 400, "bad_query"),
        ("GET", "incidents?limit=1&limit=2", None, 400, "bad_query"),
        ("GET", "incidents?colour=red", None, 400, "bad_query"),
        ("GET", "incidents?since=2026-11-23", None, 400, "bad_query"),
        ("GET", "incidents?since=yesterday", None, 400, "bad_query"),
        ("GET", "incidents?since=0001-01-01T00:00:00Z", None, 400, "bad_query"),
        ("GET", "incidents?before=eu-20260101-aaaaaaaaaa", None, 404, "unknown_case"),
        ("GET", "incidents/eu-20260101-aaaaaaaaaa", None, 404, "unknown_case"),
        ("GET", "incidents/%20", None, 404, "unknown_case"),
        ("GET", "incidents/CASE?at=nonsense", None, 400, "bad_query"),
        ("GET", "incidents/CASE/entries?after=-1", None, 400, "bad_query"),
        ("GET", "incidents/CASE/entries?after=99999999", None, 400, "bad_query"),
        ("GET", "incidents/CASE/nothing", None, 404, "no_such_path"),
        ("PUT", "incidents/CASE", None, 405, "wrong_method"),
        ("POST", "incidents", b"", 400, "bad_body"),
        ("POST", "incidents", b"{}", 400, "bad_body"),
        ("POST", "incidents", b"[" * 9000, 400, "bad_body"),
        ("POST", "incidents/CASE/entries", b"\xff", 400, "bad_body"),
        ("POST", "incidents/CASE/entries", b" " * (WRITE_LIMIT + 1), 413, "body_too_large"),
    ],
)
def test_what_is_refused_says_why(region, method, path, body, status, code):
    async def life(api):
        case = await api.open()
        assert await api.refused(method, path.replace("CASE", case), body) == (status, code)

    lived(region, life)


def test_an_entry_beyond_its_bounds_is_refused_before_anything_is_asked(region):
    async def life(api):
        case = await api.open()
        for payload in (
            kinds.Noted(text=""),
            kinds.Noted(text="a\x1bb"),
            kinds.Noted(text="x" * 8001),
            kinds.Assigned(role="dpo", person="Not A Name"),
            kinds.SplitOff(case=case, because="x", entries=()),
        ):
            body = region.entry(case, payload, after=1)
            assert await api.refused("POST", f"incidents/{case}/entries", body) == (400, "bad_body")
        for body in (region.entry(case, kinds.Noted(text="x"), after=1) | {"more": 1},):
            assert await api.refused("POST", f"incidents/{case}/entries", body) == (400, "bad_body")
        unknown = region.entry("eu-20260101-aaaaaaaaaa", kinds.Noted(text="x"))
        path = "incidents/eu-20260101-aaaaaaaaaa/entries"
        assert await api.refused("POST", path, unknown) == (404, "unknown_case")

    lived(region, life)


def test_a_case_is_shown_though_nobody_can_reckon_its_clocks(region):
    async def life(api):
        case = await api.open()
        region.law = False
        assert (await api.get(f"incidents/{case}"))["dues"] is None
        assert (await api.get("incidents"))["incidents"][0]["dues"] is None
        assert await api.refused("GET", f"incidents/{case}/clocks") == (503, "unavailable")

    lived(region, life)


def test_without_cases_control_says_so_and_its_switches_are_there(region):
    async def run():
        async with region.control() as board:
            api = Api(region, build(board))
            assert await api.refused("GET", "incidents") == (503, "unavailable")
            assert await api.refused("POST", "incidents/x/entries", b"{}") == (503, "unavailable")
            assert (await api.get("switches"))["region"] == "eu"

    asyncio.run(run())
