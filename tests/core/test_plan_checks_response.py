"""Near misses of the checks of duties, cases, other systems and law: plans that look wrong and are right, and the reverse."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from msgspec import structs

from firedoor.core.plan import checks_legal, checks_response
from firedoor.core.plan.decode import decode
from firedoor.core.plan.model import Plan, Witness
from firedoor.core.plan.overview import overview
from firedoor.core.plan.response import (
    COMMON_OUTCOMES,
    Contacts,
    Contract,
    Duty,
    Hooks,
    IncidentRules,
    Legal,
    OpensRule,
    OtherSystem,
    Shift,
)
from firedoor.core.plan.words import DAY, ROLES, Duration
from firedoor.core.plan.zones import ZONES

LOADED = decode((Path(__file__).parent.parent / "vectors" / "plans" / "good.yaml").read_bytes(), "good.yaml")
GOOD = LOADED.plan


def duties(**values: Duty) -> Plan:
    return structs.replace(GOOD, duties=values)


def incidents(**values: object) -> Plan:
    return structs.replace(GOOD, incidents=IncidentRules(**values))  # type: ignore[arg-type]


def opens(*findings: str, **values: object) -> Plan:
    return incidents(opens=(OpensRule(findings=findings, **values),))  # type: ignore[arg-type]


def system(**values: object) -> Plan:
    return incidents(systems={"pager": OtherSystem(**values)})  # type: ignore[arg-type]


def legal(**values: object) -> Plan:
    return structs.replace(GOOD, legal=Legal(**values))  # type: ignore[arg-type]


def people(**contacts: Contacts) -> Plan:
    changed = {name: structs.replace(GOOD.people[name], contacts=each) for name, each in contacts.items()}
    return structs.replace(GOOD, people={**GOOD.people, **changed})


def regions(plan: Plan, **values: dict[str, object]) -> Plan:
    changed = {name: structs.replace(plan.regions[name], **more) for name, more in values.items()}
    return structs.replace(plan, regions={**plan.regions, **changed})


def wrong(check, plan: Plan) -> list[str]:
    return [str(fault.path[-1]) for fault in check(plan)]


def shift(**values: object) -> Shift:
    return Shift(**{"people": ("cleo",), "first": "2026-11-23", **values})  # type: ignore[arg-type]


# --- who is called ---


@pytest.mark.parametrize(
    ("duty", "faults"),
    [
        (Duty(), []),
        (Duty(primary="cleo"), []),
        (Duty(primary="ana"), ["primary"]),  # she is called, and may not act
        (Duty(primary="cleo", deputy="cleo"), ["deputy"]),
        (Duty(deputy="nora"), ["deputy"]),
        (Duty(shifts=(shift(people=("cleo", "ben", "cleo")),)), ["1"]),
        (Duty(shifts=(shift(people=("cleo", "cleo")),)), []),  # two turns of three may be one person's
    ],
)
def test_who_is_on_duty_holds_the_role(duty, faults):
    assert wrong(checks_response.duties_name_holders, duties(dpo=duty)) == faults


@pytest.mark.parametrize(
    ("plan", "unreachable"),
    [
        (GOOD, []),  # nothing is written down at all
        (
            people(ana=Contacts(mail="ana@shop.example")),
            ["ai_engineer", "soc_analyst", "dpo", "communications", "legal"],
        ),
        (people(ana=Contacts(chat="ana"), ben=Contacts(phone="+49 30 123456")), ["dpo", "communications", "legal"]),
        (people(**{name: Contacts(chat=name) for name in GOOD.people}), []),
        (
            structs.replace(people(ana=Contacts(chat="ana")), incidents=system(webhook="https://p.example").incidents),
            [],
        ),
    ],
)
def test_contacts_reach_somebody_for_every_role(plan, unreachable):
    assert [fault.message.split()[-4] for fault in checks_response.roles_can_be_called(plan)] == unreachable


@pytest.mark.parametrize(
    ("values", "faults"),
    [
        ({}, []),
        ({"first": "2028-02-29"}, []),
        ({"first": "2027-02-29"}, ["first"]),
        ({"first": "2026-13-01"}, ["first"]),
        ({"first": "0001-01-01"}, ["first"]),
        ({"first": "2101-01-01"}, ["first"]),
        ({"hours": "20:00-08:00"}, []),
        ({"hours": "08:00-08:00"}, []),
        ({"hours": "23:59-00:00"}, []),
        ({"hours": "00:00-24:00"}, ["hours"]),
        ({"hours": "08:60-09:00"}, ["hours"]),
        ({"zone": "America/Argentina/Buenos_Aires"}, []),
        ({"zone": "Etc/GMT+12"}, []),
        ({"zone": "Europe/berlin"}, ["zone"]),
        ({"zone": "CEST"}, ["zone"]),
        ({"every": Duration(3600)}, []),
        ({"every": Duration(3599)}, ["every"]),
        ({"every": Duration(92 * DAY)}, []),
        ({"every": Duration(93 * DAY)}, ["every"]),
        ({"days": ("sat", "sun")}, []),
        ({"days": ()}, ["days"]),
        ({"days": ("sat", "sat")}, ["days"]),
    ],
)
def test_shifts(values, faults):
    assert wrong(checks_response.shifts_are_sane, duties(dpo=Duty(shifts=(shift(**values),)))) == faults


def test_every_zone_is_there_and_a_misspelt_one_is_named():
    for name in ZONES:
        assert ZoneInfo(name).key == name
    (fault,) = checks_response.shifts_are_sane(duties(dpo=Duty(shifts=(shift(zone="Europe/Zuerich"),))))
    assert fault.remedy.startswith("Did you mean 'Europe/Zurich'?")


# --- what opens a case ---


@pytest.mark.parametrize(
    ("plan", "faults"),
    [
        (opens("any"), []),
        (opens("stranger_data", "model_drift", verdicts=("record",)), []),
        (opens("leak"), ["0"]),  # a word of ours inside, no finding of its own
        (opens("any", "prompt_atack"), ["1"]),
        (opens("any", verdicts=()), ["verdicts"]),
    ],
)
def test_rules_name_findings_that_there_are(plan, faults):
    assert wrong(checks_response.opens_name_known_findings, plan) == faults


@pytest.mark.parametrize(
    ("plan", "faults"),
    [
        (opens("prompt_attack", verdicts=("fallback",), count=50), []),
        (opens("prompt_attack", verdicts=("fallback",), count=50, shut=True), ["shut"]),
        (opens("stranger_data", "asked_attribute", verdicts=("cut",), shut=True), ["shut"]),
        (opens("stranger_data", verdicts=("record", "cut"), shut=True), []),
        (opens("model_drift", verdicts=("record",), shut=True), []),
        (opens("any", shut=True), []),
        (opens("any", verdicts=("mask", "cut", "shut"), shut=True), []),
        (opens("any", verdicts=("cut", "refuse"), shut=True), ["shut"]),
    ],
)
def test_nobody_shuts_by_typing(plan, faults):
    assert wrong(checks_response.nobody_shuts_by_typing, plan) == faults


@pytest.mark.parametrize(
    ("plan", "faults"),
    [
        (incidents(fold=Duration(60), acknowledge=Duration(60), lookback=Duration(60)), []),
        (incidents(fold=Duration(59), acknowledge=Duration(59), lookback=Duration(0)), ["fold", "acknowledge", "lookback"]),
        (incidents(fold=Duration(30 * DAY), acknowledge=Duration(DAY), lookback=Duration(366 * DAY)), []),
        (incidents(fold=Duration(31 * DAY), acknowledge=Duration(DAY + 1), lookback=Duration(367 * DAY)),
         ["fold", "acknowledge", "lookback"]),
        (opens("any", within=Duration(1)), []),
        (opens("any", within=Duration(0.5)), ["within"]),
        (opens("any", within=Duration(8 * DAY)), ["within"]),
    ],
)  # fmt: skip
def test_times(plan, faults):
    assert wrong(checks_response.incident_times_are_sane, plan) == faults


# --- other systems ---

SIGNED = {"secret_file": "pager.secret"}
TOLD = {"webhook": "https://pager.example/in", "jurisdiction": "DE", **SIGNED}


@pytest.mark.parametrize(
    ("values", "faults"),
    [
        (TOLD, []),
        ({**TOLD, "secret_file": None}, ["secret_file"]),
        ({**TOLD, "jurisdiction": None}, ["jurisdiction"]),
        ({"url": "https://desk.example/{id}"}, []),
        ({"url": "https://desk.example/cases"}, ["url"]),
        ({"url": "https://me@desk.example/{id}"}, ["url"]),
        ({"url": "https://desk.example/me@shop/{id}"}, []),
        ({**TOLD, "webhook": "https://me:x@pager.example/in"}, ["webhook"]),
        ({"opens": True}, ["jurisdiction", "secret_file", "opens"]),
        ({"opens": True, "jurisdiction": "DE", **SIGNED}, ["opens"]),  # no region listens
        ({"events": "calls"}, ["pager"]),
    ],
)
def test_systems_have_what_they_need(values, faults):
    assert wrong(checks_response.systems_are_complete, system(**values)) == faults


def test_a_system_that_opens_cases_is_heard_by_a_region():
    plan = regions(system(opens=True, jurisdiction="US", **SIGNED), us={"hooks": Hooks(listen="127.0.0.1:8090")})
    assert not wrong(checks_response.systems_are_complete, plan)
    elsewhere = regions(
        system(opens=True, jurisdiction="DE", **SIGNED), us={"hooks": Hooks(listen="127.0.0.1:8090")}
    )  # fmt: skip
    assert wrong(checks_response.systems_are_complete, elsewhere) == ["opens"]
    assert not wrong(checks_response.hooks_have_their_ports, plan)
    assert wrong(checks_response.hooks_have_their_ports, structs.replace(plan, incidents=IncidentRules())) == ["hooks"]


@pytest.mark.parametrize(
    ("code", "faults"),
    [
        ("DE", 0),
        ("EU", 0),  # the group that a region serves
        ("NO", 0),
        ("US-CA", 0),
        ("CA-QC", 0),
        ("CA", 1),  # only a part of it is served
        ("EEA", 1),  # Iceland is not
        ("JP", 1),
        ("UK", 1),
    ],
)
def test_what_is_told_goes_to_places_that_a_region_serves(code, faults):
    plan = system(**{**TOLD, "jurisdiction": code})
    assert len(wrong(checks_response.systems_stand_in_served_places, plan)) == faults


@pytest.mark.parametrize(
    ("listen", "faults"),
    [
        ("127.0.0.1:8090", 0),
        ("127.0.0.1:8081", 1),  # the gateway's
        ("127.0.0.1:8082", 1),  # that of the other region
        ("127.0.0.1:8083", 1),  # a witness
        ("127.0.0.2:8081", 0),
        ("0.0.0.0:8081", 1),
        ("127.0.0.1:0", 1),
        ("127.0.0.1:70000", 1),
    ],
)
def test_hooks_have_ports_of_their_own(listen, faults):
    plan = system(opens=True, **SIGNED)
    witness = Witness(listen="127.0.0.1:8083", address="http://h:8083")
    plan = regions(plan, us={"witness": witness}, eu={"hooks": Hooks(listen=listen)})
    assert len(wrong(checks_response.hooks_have_their_ports, plan)) == faults
    both = regions(plan, us={"hooks": Hooks(listen=listen)})
    assert len(wrong(checks_response.hooks_have_their_ports, both)) == 2 * faults + 1


# --- law ---


@pytest.mark.parametrize(
    ("values", "faults"),
    [
        ({}, []),
        ({"main": "DE"}, []),
        ({"main": "DE-BY", "establishments": ("DE", "US")}, []),
        ({"main": "NO"}, []),
        ({"main": "RE"}, []),  # a territory of France
        ({"main": "CH"}, ["main"]),
        ({"main": "DE", "establishments": ("AT",)}, ["main"]),
        ({"main": "EU"}, ["main"]),
        ({"main": "UK"}, ["main"]),
        ({"establishments": ("DE",)}, []),
        ({"establishments": ("DE", "CH")}, []),
        ({"establishments": ("DE", "AT")}, ["main"]),  # which of them leads?
        ({"establishments": ("EEA", "QQ")}, ["0", "1"]),
        ({"representative": "DE"}, []),
        ({"representative": "DE", "establishments": ("US", "CH")}, []),
        ({"representative": "DE", "main": "AT"}, ["representative"]),
        ({"representative": "CH"}, ["representative"]),
        ({"representative": "UK"}, ["representative"]),
    ],
)
def test_where_the_responsible_body_is(values, faults):
    plan = legal(**values)
    checks = (
        checks_legal.places_of_law_exist,
        checks_legal.the_seat_is_in_one_place,
        checks_legal.representatives_are_for_strangers,
    )
    found = [name for check in checks for name in wrong(check, plan)]
    assert list(dict.fromkeys(found)) == faults


@pytest.mark.parametrize(
    ("within", "shops", "faults"),
    [
        (DAY, (), []),
        (600, ("gutschein",), []),
        (599, (), ["within"]),
        (367 * DAY, (), ["within"]),
        (DAY, ("alpenladen", "nobody"), ["1"]),
    ],
)
def test_contracts(within, shops, faults):
    contract = Contract(to="bank", starts="detected", within=Duration(within), source="section 9", shops=shops)
    assert wrong(checks_legal.contracts_can_be_kept, legal(contracts={"payments": contract})) == faults


@pytest.mark.parametrize(
    ("outcomes", "faults"),
    [
        ({}, []),
        (dict(COMMON_OUTCOMES), []),
        ({"medium": "authority_and_people"}, []),
        ({"medium": "not_notified"}, []),
        ({"low": "authority"}, []),
        ({"low": "authority_and_people"}, ["low"]),  # more than at medium
        ({"high": "not_notified"}, ["high"]),
        ({"very_high": "authority"}, ["very_high"]),
        (dict.fromkeys(COMMON_OUTCOMES, "authority"), []),
    ],
)
def test_a_worse_breach_is_told_to_no_fewer(outcomes, faults):
    assert wrong(checks_legal.worse_tells_no_less, legal(outcomes=outcomes)) == faults


def test_the_zone_of_the_seat():
    assert not wrong(checks_legal.the_zone_is_known, legal(zone="Europe/Kyiv"))
    assert wrong(checks_legal.the_zone_is_known, legal(zone="Europe/Kyjiv")) == ["zone"]


# --- what `firedoor check` shows ---


def test_the_overview_says_who_is_called_and_whose_law_holds():
    plan = structs.replace(
        people(cleo=Contacts(mail="cleo@shop.example", chat="cleo")),
        duties={"dpo": Duty(primary="cleo", shifts=(shift(hours="20:00-08:00", days=("sat", "sun")),))},
        incidents=system(**{**TOLD, "events": "calls"}).incidents,
        legal=legal(
            main="DE",
            laws={"eu.nis2": "off"},
            small=True,
            contracts={"bank": Contract(to="the bank", starts="aware", within=Duration(DAY), source="section 9")},
        ).legal,
    )
    shown = overview(structs.replace(LOADED, plan=plan))
    duty = next(row for row in shown.duties if row.role == "dpo")
    assert (duty.shifts, duty.then) == (("cleo for 7d each sat sun 20:00-08:00 UTC",), ("cleo",))
    assert [row.role for row in shown.duties] == list(ROLES)
    assert all(row.then for row in shown.duties)
    assert [row.reached_by for row in shown.people] == [(), (), ("mail", "chat")]
    assert [(row.system, row.told, row.jurisdiction) for row in shown.systems] == [("pager", "calls", "DE")]
    assert {row.what: row.value for row in shown.legal} == {
        "main": "DE", "small": "yes", "zone": "UTC", "laws": "eu.nis2 off",
        "contract bank": "the bank: within 1d of aware",
    }  # fmt: skip
