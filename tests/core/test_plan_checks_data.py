"""Near misses of the checks of what lies at rest: plans that look wrong and are right, and the reverse."""

from pathlib import Path

import msgspec
import pytest

from firedoor.core.plan import checks_data
from firedoor.core.plan.decode import decode
from firedoor.core.plan.model import (
    AwsKmsRoot,
    Dataset,
    Evidence,
    ExternalWitness,
    Pkcs11Root,
    Plan,
    Timestamps,
    VaultRoot,
    Witness,
)
from firedoor.core.plan.words import DAY, Duration

GOOD = decode((Path(__file__).parent.parent / "vectors" / "plans" / "good.yaml").read_bytes(), "good.yaml").plan
KEY = "witness.example+00000001+AcCkGRfyaAYVY+4dHEAF7C0V2HWtAxmVXKgPlY0vqRpk"


def dataset(**values: object) -> Plan:
    entry = Dataset(**{"region": "eu", "kind": "training", "sealing": "firedoor", **values})  # type: ignore[arg-type]
    return msgspec.structs.replace(GOOD, datasets={"chats": entry})


def regions(**values: dict[str, object]) -> Plan:
    changed = {name: msgspec.structs.replace(GOOD.regions[name], **more) for name, more in values.items()}
    return msgspec.structs.replace(GOOD, regions={**GOOD.regions, **changed})


def paths(check, plan: Plan) -> list[str]:
    return [str(fault.path[-1]) for fault in check(plan)]


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"path": "a.sealed"}, []),
        ({"path": "a", "sealing": "provider"}, []),  # an encrypted disk: `doctor` says what it cannot see
        ({"url": "http://h:1", "jurisdiction": "DE", "sealing": "provider"}, []),
        ({"url": "http://h:1", "jurisdiction": "DE"}, ["sealing"]),
        ({"path": "a", "sealing": "none"}, ["sealing"]),
        ({"url": "http://h:1", "sealing": "provider"}, ["jurisdiction"]),
        ({}, ["chats"]),
        ({"path": "a", "url": "http://h:1", "jurisdiction": "DE"}, ["url"]),
    ],
)
def test_where_a_dataset_lies_and_who_seals_it(values, wrong):
    plan = dataset(**values)
    found = paths(checks_data.datasets_are_sealed, plan) + paths(checks_data.datasets_lie_in_one_place, plan)
    assert found == wrong


@pytest.mark.parametrize(
    ("code", "region", "fine"),
    [
        ("DE", "eu", True),
        ("DE-BY", "eu", True),
        ("EU", "eu", True),
        ("NO", "eu", True),
        ("US", "eu", False),
        ("GB", "eu", False),  # nobody serves it
        ("EEA", "eu", False),  # Iceland is served by nobody
        ("US-CA", "us", True),
        ("CA-QC", "us", True),
        ("CA", "us", False),
        ("UK", "eu", True),  # no country: that is another check's to say
        ("DE", "mars", True),  # no region: likewise
    ],
)
def test_servers_stand_where_their_region_serves(code, region, fine):
    plan = dataset(url="http://h:1", jurisdiction=code, sealing="provider", region=region)
    assert (not list(checks_data.data_and_keys_stay_home(plan))) is fine


@pytest.mark.parametrize(
    ("root", "wrong"),
    [
        (VaultRoot(url="https://bao:8200", token_file="t", jurisdiction="AT"), 0),
        (VaultRoot(url="https://bao:8200", token_file="t", jurisdiction="US"), 1),
        (AwsKmsRoot(aws_region="eu-central-1", jurisdiction="DE"), 0),
        (AwsKmsRoot(aws_region="us-east-1", jurisdiction="US"), 1),
        (Pkcs11Root(module="m", token="t", pin_file="p"), 0),
    ],
)
def test_roots_stand_where_their_region_serves(root, wrong):
    assert len(list(checks_data.data_and_keys_stay_home(regions(eu={"root": root})))) == wrong


@pytest.mark.parametrize(
    ("eu", "us", "gateway", "clashes"),
    [
        ("127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:8081", 0),
        ("127.0.0.1:9001", "127.0.0.1:9001", "127.0.0.1:8081", 1),
        ("127.0.0.1:9001", "127.0.0.2:9001", "127.0.0.1:8081", 0),
        ("0.0.0.0:9001", "127.0.0.2:9001", "127.0.0.1:8081", 1),
        ("127.0.0.1:8081", "127.0.0.1:9002", "127.0.0.1:8081", 1),  # its own region's gateway
        ("127.0.0.1:8082", "127.0.0.1:9002", "127.0.0.1:8081", 1),
        ("127.0.0.1:9001", "127.0.0.1:9002", "0.0.0.0:9002", 1),
        ("127.0.0.1:0", "127.0.0.1:9002", "127.0.0.1:8081", 1),
    ],
)
def test_ports_of_witnesses(eu, us, gateway, clashes):
    plan = regions(
        eu={"listen": gateway, "witness": Witness(listen=eu, address="http://a")},
        us={"witness": Witness(listen=us, address="http://b")},
    )
    assert len(list(checks_data.witnesses_have_their_ports(plan))) == clashes


@pytest.mark.parametrize(
    ("quorum", "witnesses", "external", "fine"),
    [
        (0, (), 0, True),
        (1, (), 0, False),
        (1, ("eu",), 0, False),  # eu itself would have none
        (1, ("eu", "us"), 0, True),
        (2, ("eu", "us"), 0, False),
        (2, ("eu", "us"), 1, True),
        (2, ("us",), 1, False),
        (2, (), 2, True),
    ],
)
def test_quorums(quorum, witnesses, external, fine):
    own = {
        name: {"witness": Witness(listen=f"127.0.0.1:900{at}", address="http://a")} for at, name in enumerate(witnesses)
    }
    outside = {f"w{at}": ExternalWitness(address="https://w", jurisdiction="JP", keys=(KEY,)) for at in range(external)}
    plan = msgspec.structs.replace(regions(**own), evidence=Evidence(quorum=quorum, witnesses=outside))
    assert (not list(checks_data.quorums_can_be_met(plan))) is fine


@pytest.mark.parametrize(
    ("seconds", "fine"), [(3599, False), (3600, True), (30 * DAY, True), (3660 * DAY, True), (3660 * DAY + 1, False)]
)
def test_retention(seconds, fine):
    for plan in (
        regions(eu={"retention": Duration(seconds)}),
        msgspec.structs.replace(
            GOOD,
            surfaces={
                "support": msgspec.structs.replace(GOOD.surfaces["support"], retention=Duration(seconds)),
            },
        ),
    ):
        assert (not list(checks_data.times_at_rest_are_sane(plan))) is fine


@pytest.mark.parametrize(("seconds", "fine"), [(59, False), (60, True), (DAY, True), (DAY + 1, False)])
def test_the_beat_of_time_stamps(seconds, fine):
    stamps = Timestamps(url="http://t", jurisdiction="CH", certificates="c", every=Duration(seconds))
    plan = msgspec.structs.replace(GOOD, evidence=Evidence(timestamps=stamps))
    assert (not list(checks_data.times_at_rest_are_sane(plan))) is fine
    assert not list(checks_data.places_exist(plan))


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("postgresql://db.example/us", True),
        ("postgresql://firedoor@db.example/us", True),
        ("postgresql:///us?host=/run/postgresql", True),
        ("postgresql://firedoor:@db.example/us", False),
        ("postgresql://firedoor:secret@db.example/us", False),
        ("postgresql://db.example/us?application_name=a@b", True),
    ],
)
def test_a_database_url_may_name_a_user_and_no_password(url, fine):
    assert (not list(checks_data.servers_hold_no_passwords(regions(us={"state": url})))) is fine


def test_sealed_weights():
    good = msgspec.structs.replace(GOOD.models["eu-chat"], sealed=True, weights="w.sealed")
    for model, wrong in (
        (good, []),
        (msgspec.structs.replace(good, weights=None), ["weights"]),
        (msgspec.structs.replace(good, engine="openai"), ["sealed"]),
        (msgspec.structs.replace(good, sealed=False, weights=None), []),
    ):
        plan = msgspec.structs.replace(GOOD, models={"eu-chat": model})
        assert paths(checks_data.sealed_weights_can_be_opened, plan) == wrong
