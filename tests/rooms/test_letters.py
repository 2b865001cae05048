"""Who is to be written to: exactly those of the shop's list who are affected, after two persons agreed, on record."""

import csv
import json
import random
import stat

import pytest
import typer
from msgspec import json as fast
from msgspec import structs
from typer.testing import CliRunner

from firedoor.agent.follower import bring_up_to_date
from firedoor.app import letters
from firedoor.app.affected import affected_source
from firedoor.app.affected_survey import AffectedSubject
from firedoor.app.customerlist import ID_BYTES, LINE, customer_ids
from firedoor.app.indexplace import index_place
from firedoor.cli import asking, bundle_cmds, incident_people
from firedoor.control.caselog import Draft
from firedoor.core.evidence.record import Record
from firedoor.core.incident.case import fold
from firedoor.core.incident.entries import Findings, FoundOne, Noted, Restricted
from firedoor.core.people import Act, Signed, note_digest
from firedoor.errors import ActRefused, SetupError, StateUnavailable
from firedoor.store.journal_read import read
from firedoor.store.journal_slots import JournalSlots

from .bundles import PLAN, lookup
from .casehouse import CASE, CaseHouse

REASON = "letters to the shoppers of case 12"
SHOPPERS = 60


class Truth:
    """What was written: for each shopper who is affected whether they were exposed, and where they are."""

    def __init__(self):
        self.affected = {}

    def add(self, shopper, *, exposed, confirmed, country):
        known = self.affected.setdefault(shopper, {"exposed": False, "confirmed": False, "countries": set()})
        known["exposed"] |= exposed
        known["confirmed"] |= confirmed
        known["countries"].add(country)


def name(number):
    """Ids as shops give them; some are not ASCII."""
    return f"käufer-{number}" if number % 7 == 0 else f"shopper-{number}"


def write_traffic(house, truth):
    """Exchanges of many shoppers in and out of the case's scope and time; one in twenty leaks."""
    chance = random.Random(5)
    keys = house.ring.worker()
    records, found = [], []
    for number in range(240):
        shopper = chance.randrange(SHOPPERS)
        spelt = name(shopper).encode().decode("latin-1")
        inside = chance.random() < 0.5
        surface = "support" if inside else "search"
        country = chance.choice(["DE", "FR", "AT"])
        outcome = chance.choice(["answered", "answered", "fallback"])
        exchange, pseudonym = f"fx-{number}", keys.pseudonym("subject", spelt)
        place = {"shop": "alpen", "surface": surface, "model": "m0", "jurisdiction": country}
        facts = {**place, "credential": "c1", "plan": PLAN}
        shared = {"exchange": exchange, "subject": pseudonym, "retention": surface}
        at = house.clock()
        released = 40 if outcome == "answered" else 0
        end = {**facts, "outcome": outcome, "released": released}
        records.append(Record(kind="intent", at=at, facts=facts, body=None, **shared))
        leaks = inside and outcome == "answered" and chance.random() < 0.1
        if leaks:
            finding = {**facts, "rule": "leak.value", "verdict": "shut"}
            records.append(Record(kind="finding", at=at, facts=finding, body=None, **shared))
        records.append(Record(kind="outcome", at=at, facts=end, body=None, **shared))
        if inside:
            truth.add(shopper, exposed=outcome == "answered", confirmed=leaks, country=country)
        if leaks:
            found.append(exchange)
    for number in range(3):  # nobody is named in these
        facts = {"shop": "alpen", "surface": "support", "model": "m0", "credential": "c1", "plan": PLAN}
        records.append(Record(kind="intent", exchange=f"fx-n{number}", at=house.clock(), facts=facts))
        ended = {**facts, "outcome": "answered"}
        records.append(Record(kind="outcome", exchange=f"fx-n{number}", at=house.clock(), facts=ended))
    house.write("w0", records)
    return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A house whose index is up to date, with a case about `support`; and the truth."""
    folder = tmp_path_factory.mktemp("letters")
    house, truth = CaseHouse(folder), Truth()
    leaks = write_traffic(house, truth)
    at = house.clock() // 1000
    found = tuple(
        FoundOne(slot="w0", seq=n, at=at, rule="leak.value", verdict="shut", scope="eu/alpen/support/m0", exchange=leak)
        for n, leak in enumerate(leaks, 1)
    )
    opened = house.opened()
    opened = opened._replace(payload=structs.replace(opened.payload, detected=at))
    house.write_case(opened, Draft(CASE, Findings(found=found)), house.signed("ana", Noted(text="seen"), after=2))
    place = index_place(house.place, house.loaded.plan.regions["eu"])
    bring_up_to_date(place, JournalSlots(house.place.journals), "eu")
    return house, truth


@pytest.fixture
def customers(tmp_path):
    """Every shopper but the last ten, two of them twice, and many whom nobody knows."""
    ids = [name(number) for number in range(SHOPPERS - 10)]
    ids += [f"stranger-{number}" for number in range(500)] + ids[:2]
    random.Random(3).shuffle(ids)
    path = tmp_path / "customers.txt"
    path.write_text("\n".join(ids) + "\n\n", encoding="utf-8")
    return path


def case_of(house):
    with house.store() as store:
        return fold(store.entries(CASE))


def wanted(house, customers, column=None):
    return letters.wanted(case_of(house), "eu", house.loaded.plan, customers, column)


def source(house):
    return affected_source(house.place, house.loaded.plan.regions["eu"], now_ns=house.clock)


def ask(house, what, by="ben", case=None):
    nonce = f"{random.randrange(1 << 120):032x}"
    args = {"selection": what.selection.digest, "reason": "incident", "note_sha256": note_digest(nonce, REASON)}
    act = Act(region="eu", act="read_bodies", args=args, plan=PLAN, by=by, made_at=house.now, nonce=nonce)
    signed = Signed(act, (house.keys[by].sign(by, act),))
    return house.desk(lambda desk: letters.ask(desk, case or case_of(house), what, signed, REASON))


def agree(house, grant, by="ana", case=None):
    signature = house.keys[by].sign(by, grant.signed.act)
    return house.desk(lambda desk: letters.agree(desk, case or case_of(house), grant, signature))


def write(house, what, grant, out):
    return house.desk(lambda desk: letters.write_people(desk, source(house), what, grant.id, out))


def told(house):
    return [one.leaf for one in read(house.place.journal("operator")) if one.leaf.kind in ("request", "access")]


def code(call):
    with pytest.raises(ActRefused) as refused:
        call()
    return refused.value.code


def test_exactly_those_of_the_list_who_are_affected(scene, customers, tmp_path):
    house, truth = scene
    what = wanted(house, customers)
    grant = agree(house, ask(house, what))
    out = tmp_path / "letters.csv"
    done = write(house, what, grant, out)
    with out.open(encoding="utf-8", newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    listed = {number for number in truth.affected if number < SHOPPERS - 10}
    assert rows.keys() == {name(number) for number in listed}
    for number in listed:
        row, true = rows[name(number)], truth.affected[number]
        assert (row["exposed"], row["confirmed"]) == tuple("yes" if true[k] else "no" for k in ("exposed", "confirmed"))
        assert set(row["jurisdictions"].split()) == true["countries"]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert (done.listed, done.written) == (SHOPPERS - 10 + 500 + 2, len(listed))
    assert (done.affected, done.not_listed) == (len(truth.affected), len(truth.affected) - len(listed))
    assert done.exposed == sum(truth.affected[n]["exposed"] for n in listed)
    assert 0 < done.confirmed == sum(truth.affected[n]["confirmed"] for n in listed)
    assert done.never["no_subject"] == 3


def test_every_use_is_on_record_without_a_name(scene, customers, tmp_path):
    house, _ = scene
    what = wanted(house, customers)
    grant = agree(house, ask(house, what))
    for number in range(2):  # the grant lives an hour, each use of it is told
        write(house, what, grant, tmp_path / f"out{number}")
    mine = [leaf.facts for leaf in told(house) if leaf.facts.get("grant") == grant.id]
    assert [facts["state"] for facts in mine] == ["proposed", "approved", "done", "done"]
    assert mine[-1]["what"] == "letters"
    assert mine[-1]["incident"] == CASE
    assert mine[-1]["by"] == ["ben", "ana"]
    for path in house.place.journals.rglob("*"):
        if path.is_file():
            assert b"shopper-" not in path.read_bytes()
    assert REASON.encode() not in b"".join(p.read_bytes() for p in house.place.grants.iterdir())


class TestRefused:
    def test_without_a_second_person(self, scene, customers, tmp_path):
        house, _ = scene
        what = wanted(house, customers)
        asked = ask(house, what)
        with pytest.raises(ActRefused) as refusal:
            write(house, what, asked, tmp_path / "out")
        assert refusal.value.code == "second_person_missing"
        assert f"firedoor incident people {CASE} --approve {asked.id}" in refusal.value.remedy
        assert code(lambda: agree(house, asked, by="ben")) == "same_person"
        assert not (tmp_path / "out").exists()
        refused = [leaf.facts for leaf in told(house) if leaf.facts["state"] == "refused"]
        assert refused[-2]["code"] == "second_person_missing"
        assert refused[-2]["incident"] == CASE

    def test_another_list_than_the_two_agreed_on(self, scene, customers, tmp_path):
        house, _ = scene
        grant = agree(house, ask(house, wanted(house, customers)))
        customers.write_text(customers.read_text(encoding="utf-8") + "one-more\n", encoding="utf-8")
        assert code(lambda: write(house, wanted(house, customers), grant, tmp_path / "out")) == "other_request"
        columns = tmp_path / "c.csv"
        columns.write_text("a,b\n1,2\n")
        grant = agree(house, ask(house, wanted(house, columns, "a")))
        assert code(lambda: write(house, wanted(house, columns, "b"), grant, tmp_path / "out")) == "other_request"
        assert not (tmp_path / "out").exists()

    def test_a_case_that_is_about_more_by_now(self, scene, customers, tmp_path):
        house, _ = scene
        what = wanted(house, customers)
        grant = agree(house, ask(house, what))
        one = FoundOne(slot="w9", seq=1, at=house.clock() // 1000, rule="leak.value", verdict="shut", scope="eu/alpen")
        case = case_of(house)
        more = structs.replace(case, found=(*case.found, one), scopes=(*case.scopes, one.scope))
        now = letters.wanted(more, "eu", house.loaded.plan, customers)
        assert code(lambda: write(house, now, grant, tmp_path / "out")) == "other_request"

    def test_bodies_and_letters_are_two_things(self, scene, customers, tmp_path):
        house, _ = scene
        what = wanted(house, customers)
        grant = agree(house, ask(house, what))
        records = [one for one in read(house.place.journal("w0")) if one.leaf.exchange == "fx-1"]
        assert code(lambda: house.desk(lambda desk: desk.show("fx-1", records, grant.id))) == "not_in_grant"
        bodies = house.approve(house.request(letters.Selection(exchanges=("fx-1",))))
        assert code(lambda: write(house, what, bodies, tmp_path / "out")) == "other_request"
        assert code(lambda: agree(house, house.request(letters.Selection(exchanges=("fx-1",))))) == "other_request"

    def test_who_may_not(self, scene, customers):
        house, _ = scene
        what = wanted(house, customers)
        assert code(lambda: ask(house, what, by="cem")) == "role_missing"
        assert code(lambda: agree(house, ask(house, what), by="dora")) == "role_missing"
        hidden = structs.replace(case_of(house), restricted=Restricted(people=("cem",)))
        assert code(lambda: ask(house, what, by="cem", case=hidden)) == "role_missing"
        plan = structs.replace(
            house.loaded.plan,
            people={
                **house.loaded.plan.people,
                "cem": structs.replace(house.loaded.plan.people["cem"], roles=("legal",)),
            },
        )
        before, house.loaded = house.loaded, structs.replace(house.loaded, plan=plan)
        try:
            other = structs.replace(hidden, restricted=Restricted(people=("ana",)))
            assert code(lambda: ask(house, what, by="cem", case=other)) == "may_not_see"
            assert ask(house, what, by="cem", case=hidden)
        finally:
            house.loaded = before

    def test_nothing_is_left_of_a_file_that_could_not_be_finished(self, scene, customers, tmp_path):
        house, _ = scene
        what = wanted(house, customers)
        grant = agree(house, ask(house, what))
        (tmp_path / "there").write_text("kept")
        with pytest.raises(SetupError, match="is there already"):
            write(house, what, grant, tmp_path / "there")
        assert (tmp_path / "there").read_text() == "kept"

        class Failing:
            def affected_subjects(self, asked):
                yield AffectedSubject(lookup("a"), True, True, (), ())
                raise StateUnavailable("gone")

        with pytest.raises(StateUnavailable):
            house.desk(lambda desk: letters.write_people(desk, Failing(), what, grant.id, tmp_path / "out"))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["customers.txt", "there"]


class TestLists:
    def read(self, tmp_path, data, column=None):
        path = tmp_path / "list"
        path.write_bytes(data)
        return list(customer_ids(path, column))

    def test_lines(self, tmp_path):
        assert self.read(tmp_path, b"\xef\xbb\xbfa\r\n  b \n\n\nc d\n") == ["a", "b", "c d"]
        assert self.read(tmp_path, b"") == []
        assert self.read(tmp_path, "é,1\n".encode()) == ["é,1"]

    def test_a_column(self, tmp_path):
        assert self.read(tmp_path, b'id;name\n1;"x;y"\n\n2\n;z\n', "id") == ["1", "2"]
        assert self.read(tmp_path, b'name,id\n"a\nb",1\n"c",2\n', "id") == ["1", "2"]

    @pytest.mark.parametrize(
        ("data", "column", "said"),
        [
            (b"a\n\xff\n", None, "not UTF-8"),
            (b"a\n" + b"x" * (ID_BYTES + 1), None, "Id 2 of list is longer"),
            ("ä".encode() * 600, None, "Id 1 of list is longer"),
            (b"y\n" + b"x" * (LINE + 1), None, "Line 2 of list has more"),
            (b"a,b\n1,2\n", "id", "no column 'id'"),
            (b"id,id\n1,2\n", "id", "no column 'id'"),
            (b'id\n"unfinished\n', "id", "is no CSV"),
            (b"", "id", "no column"),
        ],
    )
    def test_what_is_no_list(self, tmp_path, data, column, said):
        with pytest.raises(SetupError, match=said) as refused:
            self.read(tmp_path, data, column)
        assert "xxx" not in str(refused.value)

    def test_no_file(self, tmp_path):
        with pytest.raises(SetupError, match="cannot be read"):
            list(customer_ids(tmp_path / "none"))

    def test_too_many(self, tmp_path, monkeypatch):
        monkeypatch.setattr("firedoor.app.customerlist.LISTED", 3)
        with pytest.raises(SetupError, match="more than 3 ids"):
            self.read(tmp_path, b"1\n2\n3\n4\n")


class TestCommand:
    @pytest.fixture
    def run(self, scene, monkeypatch):
        house, _ = scene
        app = typer.Typer()
        app.command()(incident_people.people)
        place = asking.Office(house.home, house.place, house.loaded, house.ring)
        monkeypatch.setattr(incident_people, "open_office", lambda home, region: place)
        monkeypatch.setattr(incident_people, "Signer", lambda home, person, key, file: Hand(house, person))
        monkeypatch.setattr(incident_people.time, "time", lambda: house.now)
        monkeypatch.setattr("firedoor.app.reading.time.time_ns", house.clock)
        monkeypatch.setattr(asking, "Desk", lambda *args: letters.Desk(*args, house.clock))
        return lambda *options: CliRunner().invoke(app, list(options))

    def test_from_asking_to_the_file(self, run, scene, customers, tmp_path):
        _, truth = scene
        asked = run(CASE, "--customers", str(customers), "--note", REASON, "--as", "ben")
        assert asked.exit_code == 0, asked.output
        request = asked.stdout.split()[1].rstrip(":")
        agreed = run("last", "--approve", request, "--as", "ana", "--yes")
        assert agreed.exit_code == 0, agreed.output
        assert f"note: {REASON}" in agreed.stderr
        out = tmp_path / "out.csv"
        done = run(CASE, "--customers", str(customers), "--grant", request, "--out", str(out))
        assert done.exit_code == 0, done.output
        listed = sum(number < SHOPPERS - 10 for number in truth.affected)
        assert f"{listed} of 552 ids are affected" in done.stdout
        assert "no list can tell: no_subject: 3" in done.stdout
        assert "shopper-" not in asked.output + agreed.output + done.output
        assert len(out.read_text(encoding="utf-8").splitlines()) == listed + 1
        found = json.loads(
            run(CASE, "--customers", str(customers), "--grant", request, "--out", str(tmp_path / "2"), "--json").stdout
        )
        assert (found["written"], found["listed"]) == (listed, 552)

    @pytest.mark.parametrize(
        "options",
        [
            (CASE,), (CASE, "--note", "x", "--grant", "y"), (CASE, "--note", "x", "--as", "ben"),
            (CASE, "--note", "x", "--customers", "c"), (CASE, "--grant", "x", "--customers", "customers.txt"),
        ],
    )  # fmt: skip
    def test_what_is_missing_is_said(self, run, options, customers):
        given = [str(customers) if option == "customers.txt" else option for option in options]
        ran = run(*given)
        assert ran.exit_code == 2, ran.output

    def test_whoever_may_not_agree_is_shown_nothing(self, run, customers, monkeypatch):
        asked = run(CASE, "--customers", str(customers), "--note", REASON, "--as", "ben")
        request = asked.stdout.split()[1].rstrip(":")
        monkeypatch.setattr(bundle_cmds, "open_office", incident_people.open_office)
        with pytest.raises(ActRefused) as refusal:
            bundle_cmds.approve(request, "ana")
        assert f"firedoor incident people {CASE} --approve {request}" in refusal.value.remedy
        ran = run(CASE[3:], "--approve", request, "--as", "cem", "--yes")
        assert isinstance(ran.exception, ActRefused)
        assert REASON not in ran.output

    def test_no_such_case(self, run, customers):
        ran = run("eu-20260101-aaaaaaaaaa", "--customers", str(customers), "--note", "x", "--as", "ben")
        assert isinstance(ran.exception, ActRefused)


class Hand:
    """A person at the terminal, with their key."""

    def __init__(self, house, person):
        self._house = house
        self.person = person

    def sign(self, act):
        return self._house.keys[self.person].sign(self.person, fast.decode(fast.encode(act), type=Act))
