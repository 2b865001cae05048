"""Near misses of the checks: plans that look wrong and are right, and the reverse."""

import base64
from pathlib import Path

import msgspec
import pytest

from firedoor.core.plan import checks, checks_answers, checks_data, checks_fallback, checks_models, checks_people
from firedoor.core.plan.decode import decode
from firedoor.core.plan.model import MAY_OPEN, AnswerRules, BreakerRules, CacheRules, NatsBus, Plan, Rule, RulesFallback
from firedoor.core.plan.words import ROLES, Duration

GOOD = decode((Path(__file__).parent.parent / "vectors" / "plans" / "good.yaml").read_bytes(), "good.yaml").plan


def key(number: int) -> str:
    return "ed25519:" + base64.b64encode(bytes([number]) * 32).decode()


def changed(section: str, name: str, **values: object) -> Plan:
    entries = getattr(GOOD, section)
    entry = msgspec.structs.replace(entries[name], **values)
    return msgspec.structs.replace(GOOD, **{section: {**entries, name: entry}})


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.run.__name__)
def test_a_good_plan_passes_each_check_and_names_what_it_reads(check):
    assert list(check.run(GOOD)) == []
    assert check.reads <= set(GOOD.__struct_fields__)


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        ("127.0.0.1:80", "127.0.0.1:81", False),
        ("0.0.0.0:80", "10.0.0.1:80", True),
        ("10.0.0.1:80", "0.0.0.0:80", True),
        ("0.0.0.0:80", "0.0.0.0:81", False),
    ],
)
def test_ports(first, second, clash):
    regions = {
        "eu": msgspec.structs.replace(GOOD.regions["eu"], listen=first),
        "us": msgspec.structs.replace(GOOD.regions["us"], listen=second),
    }
    assert bool(list(checks.ports_differ(msgspec.structs.replace(GOOD, regions=regions)))) is clash


@pytest.mark.parametrize(
    ("deadline", "stream", "lease", "fine"),
    [
        (0.05, 120, 0.5, True),
        (0.049, 120, 2, False),
        (120, 120, 60, True),
        (120.5, 200, 2, False),
        (1, 600, 2, True),
        (1, 601, 2, False),
        (2, 1.9, 2, False),
        (1, 120, 0.499, False),
        (1, 120, 61, False),
    ],
)
def test_times(deadline, stream, lease, fine):
    plan = changed(
        "surfaces", "support", deadline=Duration(deadline), stream_deadline=Duration(stream), lease=Duration(lease)
    )
    assert (not list(checks.times_are_sane(plan))) is fine


@pytest.mark.parametrize(
    ("eu", "us", "count"),
    [
        (("EU",), ("DE",), 0),  # a country beside its group: the more precise one wins
        (("EU", "EEA"), ("US",), 0),
        (("EU",), ("EEA",), 1),
        (("EEA",), ("EU",), 1),
        (("DE", "DE"), ("US",), 1),
        (("DE",), ("DE",), 1),
        ((), ("US",), 1),
        (("US-CA",), ("US",), 0),
    ],
)
def test_one_region_for_each_jurisdiction(eu, us, count):
    regions = {
        "eu": msgspec.structs.replace(GOOD.regions["eu"], jurisdictions=eu),
        "us": msgspec.structs.replace(GOOD.regions["us"], jurisdictions=us),
    }
    assert len(list(checks.jurisdictions_have_one_region(msgspec.structs.replace(GOOD, regions=regions)))) == count


def test_a_home_in_a_group_that_regions_share_has_no_region():
    regions = {
        "eu": msgspec.structs.replace(GOOD.regions["eu"], jurisdictions=tuple(sorted(checks.expand("EU") - {"FR"}))),
        "us": msgspec.structs.replace(GOOD.regions["us"], jurisdictions=("FR", "US", "NO", "CH", "CA")),
    }
    plan = msgspec.structs.replace(changed("shops", "gutschein", home="EU"), regions=regions)
    assert [fault.message for fault in checks.shops_are_served(plan)] == ["several regions share EU"]


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("http://127.0.0.1:1/", True),
        ("http://127.0.0.1:1/a@b", True),
        ("http://user@127.0.0.1:1/", False),
        ("https://user:password@host", False),
        (None, True),
    ],
)
def test_passwords_in_urls(url, fine):
    assert (not list(checks.urls_hold_no_passwords(changed("models", "us-chat", url=url)))) is fine


@pytest.mark.parametrize(
    ("op", "value", "fine"),
    [
        ("ge", 5.0, True),
        ("ge", True, False),
        ("ge", "5", False),
        ("lt", None, False),
        ("eq", "a", True),
        ("eq", True, True),
        ("ne", ("a",), False),
        ("eq", None, False),
        ("in", ("a",), True),
        ("in", (), False),
        ("not_in", "a", False),
        ("missing", None, True),
        ("missing", 1.0, False),
        ("differs_from", "other", True),
        ("differs_from", 1.0, False),
        ("differs_from", "", False),
    ],
)
def test_rules(op, value, fine):
    rule = Rule(field="amount", op=op, value=value, points=1, reason="r")
    plan = changed("surfaces", "fraud_scoring", fallback=RulesFallback(rules=(rule,), review=1, block=2))
    assert (not list(checks_fallback.rules_can_be_computed(plan))) is fine


def test_thresholds_and_empty_rules():
    plan = changed("surfaces", "fraud_scoring", fallback=RulesFallback(rules=(), review=3, block=2))
    assert [fault.path[-1] for fault in checks_fallback.rules_can_be_computed(plan)] == ["rules", "review"]


@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_asked_for(role):
    people = {
        name: msgspec.structs.replace(person, roles=tuple(held for held in person.roles if held != role))
        for name, person in GOOD.people.items()
    }
    faults = list(checks_people.roles_are_held(msgspec.structs.replace(GOOD, people=people)))
    assert [fault.message for fault in faults] == [f"nobody holds the role {role}"]
    empty = list(checks_people.roles_are_held(msgspec.structs.replace(GOOD, people={})))
    asked = next(fault.remedy for fault in empty if fault.message.endswith(role))
    assert asked.startswith("Run: firedoor people add ")
    assert f"--role {role}" in asked


def test_the_starters_hold_every_role_and_two_may_open():
    roles = [set(roles) for _, roles in checks_people.STARTERS.values()]
    assert set().union(*roles) == set(ROLES)
    assert sum(bool(held & MAY_OPEN) for held in roles) >= 2


def test_two_people_with_one_key_are_not_two():
    ana = GOOD.people["ana"]
    last = ana.key[-2]
    respelled = f"{ana.key[:-2]}{chr(ord(last) + 1)}="  # the last two bits of base64 are padding: the same 32 bytes
    assert checks_people.key_bytes(respelled) == checks_people.key_bytes(ana.key)
    twin = msgspec.structs.replace(ana, name="Twin Example", key=respelled)
    plan = msgspec.structs.replace(GOOD, people={"ana": ana, "twin": twin})
    assert [fault.path for fault in checks_people.keys_differ(plan)] == [("people", "twin", "key")]
    assert len(list(checks_people.two_can_open(plan))) == 1
    other = msgspec.structs.replace(twin, key=key(9))
    assert not list(checks_people.two_can_open(msgspec.structs.replace(GOOD, people={"ana": ana, "twin": other})))


def test_shutting_roles_do_not_count_towards_opening():
    legal = msgspec.structs.replace(GOOD.people["ben"], roles=("legal", "soc_analyst"))
    plan = msgspec.structs.replace(GOOD, people={"ana": GOOD.people["ana"], "ben": legal})
    assert len(list(checks_people.two_can_open(plan))) == 1


def checked(check, name, **values):
    return [fault.path[1:] for fault in check(changed("surfaces", name, **values))]


@pytest.mark.parametrize("key", ["leak", "doubtful", "secrets", "system_prompt"])
@pytest.mark.parametrize("verdict", ["record", "mask", "cut"])
def test_only_decisions_cannot_be_masked(key, verdict):
    rules = AnswerRules(**{key: verdict})
    check = checks_answers.decisions_have_no_holes
    assert checked(check, "support", answers=rules) == []
    decides = RulesFallback(rules=(), review=1, block=2)
    found = checked(check, "support", answers=rules, fallback=decides)
    assert found == ([("support", "answers", key)] if verdict == "mask" else [])


def test_embeddings_have_neither_prompt_nor_cache():
    check = checks_answers.embeddings_are_no_texts
    settings = {"answers": AnswerRules(system_prompt="cut"), "cache": CacheRules()}
    assert checked(check, "support", **settings) == []
    found = checked(check, "support", **settings, models={}, embeddings={"eu": "eu-chat"})
    assert found == [("support", "answers", "system_prompt"), ("support", "cache")]
    assert checked(check, "support", models={}, embeddings={"eu": "eu-chat"}) == []


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({}, []),
        ({"window": 1.0, "rest": 0.1, "longest_rest": 0.1}, []),
        ({"window": 300.0, "rest": 300.0, "longest_rest": 300.0}, []),
        ({"window": 0.9}, ["window"]),
        ({"window": 301.0}, ["window"]),
        ({"rest": 0.09}, ["rest"]),
        ({"rest": 301.0}, ["rest", "longest_rest"]),
        ({"rest": 31.0}, ["longest_rest"]),
        ({"rest": 30.0}, []),
        ({"longest_rest": 301.0}, ["longest_rest"]),
    ],
)
def test_breakers(values, wrong):
    rules = BreakerRules(**{name: Duration(value) for name, value in values.items()})
    name = next(iter(GOOD.models))
    faults = checks_models.breakers_can_work(changed("models", name, breaker=rules))
    assert [fault.path for fault in faults] == [("models", name, "breaker", key) for key in wrong]


@pytest.mark.parametrize(
    ("url", "fine"),
    [("tls://nats.example.com:4222", True), ("tls://me:secret@nats.example.com:4222", False)],
)
def test_addresses_of_a_bus_hold_no_passwords(url, fine):
    bus = NatsBus(servers=("nats://127.0.0.1:4222", url))
    faults = list(checks_data.servers_hold_no_passwords(changed("regions", "eu", bus=bus)))
    assert [fault.path for fault in faults] == ([] if fine else [("regions", "eu", "bus", "servers", 1)])
