"""`firedoor incident clocks` at three in the morning: what surely runs in a table, what nobody knows in a few lines."""

import io
from pathlib import Path

from msgspec import structs
from rich.console import Console

from firedoor.api.incident_shapes import Clocks, dues
from firedoor.app.lawbook import calendars, law_book
from firedoor.cli.incident_law import clock_lines
from firedoor.cli.incident_show import clock_notes
from firedoor.cli.incident_tables import clocks_table, is_open, open_lines
from firedoor.core.incident import affected
from firedoor.core.incident.affected import Affected, AskedFor, Range
from firedoor.core.incident.case import fold
from firedoor.core.incident.deadlines import clocks_of
from firedoor.core.incident.entries import Counted, Decided, Entry, MomentSet, Opened
from firedoor.core.plan.decode import decode
from firedoor.core.plan.response import Legal

GOOD = decode((Path(__file__).parents[1] / "vectors" / "plans" / "good.yaml").read_bytes(), "good.yaml").plan
HOME = structs.replace(GOOD.shops["alpenladen"], home="DE", sells_to=("DE", "FR"))
PLAN = structs.replace(GOOD, shops={"alpenladen": HOME}, regions={"eu": GOOD.regions["eu"]})
SHOP = Legal(controller="Alpenladen GmbH", main="DE", establishments=("DE",), zone="Europe/Berlin")
AT = 1_795_420_800_000_000  # 2026-11-23 08:00 UTC
HOUR = 3600 * 10**6
FIVE = Range(5, 5)
SHOPPERS = Counted(
    affected=affected.encode(
        Affected(
            asked=AskedFor(region="eu", scopes=(), since=0, until=None), as_of=0, took=0.1, exchanges=FIVE, exposed=FIVE,
            confirmed=FIVE, subjects=FIVE, exposed_subjects=FIVE,
            jurisdictions={"DE": Range(3, 3), "FR": Range(2, 2)}, categories={}, subjects_by_category={}, recipients={},
            findings={}, unknown={},
        )
    )
)  # fmt: skip
AWARE = MomentSet(event="aware", at=AT, because="seen")
TELL = Decided(outcome="authority_and_people", because="high")


def found(legal, *said):
    payloads = [Opened(cause="finding", title="t", scope="eu/alpenladen/support/*", detected=AT), *said]
    entries = [Entry(case="eu-1", number=n, at=AT, by="dora", payload=payload) for n, payload in enumerate(payloads, 1)]
    return clocks_of(fold(entries), structs.replace(PLAN, legal=legal), law_book(), calendars(), AT + HOUR)


def shown(clocks, width=240):
    console = Console(width=width, file=io.StringIO())
    console.print(clocks_table(clocks, AT + HOUR))
    return console.file.getvalue()


def split(clocks):
    wanted = [clock for clock in clocks if clock.applies != "no"]
    perhaps = [clock for clock in wanted if is_open(clock)]
    return [clock for clock in wanted if clock not in perhaps], perhaps


def test_a_german_shop_with_german_and_french_shoppers_sees_one_clock():
    sure, perhaps = split(found(SHOP, SHOPPERS))
    assert [clock.id for clock in sure] == ["eu.gdpr.33.1"]
    assert {clock.id for clock in perhaps} == {"eu.gdpr.34.1", "pci.acquirer", "pci.visa", "us.ny.dfs", "us.sec.8k"}
    assert [clock.id for clock in split(found(SHOP, SHOPPERS, AWARE, TELL))[0]] == ["eu.gdpr.34.1", "eu.gdpr.33.1"]


def test_a_plan_that_says_nothing_of_law_shows_no_wall_and_hides_nothing():
    for said in ((SHOPPERS,), (SHOPPERS, AWARE), ()):
        sure, perhaps = split(found(Legal(), *said))
        assert [clock.id for clock in sure] == ["eu.gdpr.33.1"]
        lines = list(open_lines(perhaps, AT + HOUR))
        assert len(perhaps) > 30
        assert len(lines) < 30
        told = "\n".join(lines)
        assert all(".".join(clock.id.split(".")[:2]) in told for clock in perhaps)
        assert "established (legal.main): cn.measures, " in told
        assert "(legal.nis2): eu.nis2" in told
    assert "from detection" in told


def test_a_narrow_terminal_breaks_no_id_and_no_moment():
    clocks = found(SHOP, SHOPPERS, AWARE, TELL)
    lines = shown(clocks, 80).splitlines()
    assert "eu.gdpr.33.1  running" in lines
    assert "  due            Thu 2026-11-26 09:00:00 +01:00" in lines
    heads = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert sorted(heads) == sorted(clock.id for clock in clocks)


def test_targets_of_ours_are_marked_wherever_an_end_is_shown():
    clocks = found(SHOP, SHOPPERS, AWARE, TELL)
    by = {clock.id: clock for clock in clocks}
    assert [by[one].target for one in ("eu.gdpr.34.1", "eu.gdpr.33.1")] == [True, False]
    assert {c.id for c in clocks if c.target} == {r.id for r in law_book().rules if r.length == "asap"}
    rows = shown([by["eu.gdpr.34.1"], by["eu.gdpr.33.1"]]).splitlines()
    assert "our target: Tue 2026-11-24 09:00:00 +01:00" in rows[1]
    assert "our target" not in rows[2]
    assert "Thu 2026-11-26 09:00:00 +01:00" in rows[2]
    assert any("no deadline of the law" in line for line in clock_notes(by["eu.gdpr.34.1"]))
    assert not any("no deadline of the law" in line for line in clock_notes(by["eu.gdpr.33.1"]))
    page = Clocks(id="eu-1", at=AT + HOUR, zone="Europe/Berlin", clocks_at="eu-1", clocks=clocks)
    told = {line.partition(":")[0]: line for line in clock_lines(page)}
    assert "target of ours" in told["eu.gdpr.34.1"]
    assert "target of ours" not in told["eu.gdpr.33.1"]
    assert [(due.id, due.target) for due in dues(clocks)] == [("eu.gdpr.34.1", True), ("eu.gdpr.33.1", False)]


def test_what_somebody_dealt_with_is_no_open_question():
    clock = split(found(Legal(), AWARE))[1][0]
    assert [is_open(structs.replace(clock, state=state)) for state in ("running", "missed", "halted", "met", "waived")] == [
        True, True, False, False, False,
    ]  # fmt: skip
