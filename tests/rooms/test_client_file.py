"""The client file: what a shop's server gets of a plan, and nothing secret."""

from __future__ import annotations

import json

import msgspec
import pytest

from firedoor.client import ShopClient
from firedoor.core.clientfile import MAX_FILE, client_file, parse_client_file
from firedoor.core.plan.model import Plan, SearchFallback
from firedoor.errors import SetupError
from firedoor.store.catalog import build

MESSAGE = {"kind": "message", "text": {"en": "Back soon."}}
SEARCH = {"kind": "search", "text": {"en": "Found:"}, "empty": {"en": "Nothing."}}
RULES = {
    "kind": "rules",
    "rules": [{"field": "a", "op": "missing", "points": 1, "reason": "r"}],
    "review": 1,
    "block": 2,
}


def surface(fallback, **more):
    return {"models": {"eu": "eu-chat"}, "deadline": 0.25, "fallback": fallback, **more}


@pytest.fixture
def plan():
    return msgspec.convert(
        {
            "firedoor": 1,
            "name": "p",
            "people": {"ana": {"name": "Ana Example", "roles": ["dpo"], "key": "ed25519:" + "A" * 43 + "="}},
            "regions": {
                name: {"jurisdictions": [code], "address": f"http://{name}.example:8443", "listen": "127.0.0.1:1"}
                for name, code in (("eu", "EU"), ("us", "US"))
            },
            "models": {
                "eu-chat": {
                    "region": "eu",
                    "engine": "openai",
                    "name": "chat-7b",
                    "url": "http://m.example/v1",
                    "api_key_file": "k",
                }
            },
            "shops": {
                "alpenladen": {"platform": "other", "home": "DE", "catalog": "c.jsonl"},
                "strandladen": {"platform": "other", "home": "DE"},
            },
            "surfaces": {
                "support": surface(MESSAGE),
                "product_discovery": surface(SEARCH, shops=["alpenladen"], stream_deadline=30),
                "fraud_scoring": surface(RULES),
            },
        },
        Plan,
        dec_hook=lambda kind, value: kind(value),  # durations
    )


def test_a_shop_gets_its_own_surfaces(plan):
    made = client_file(plan, "alpenladen", "eu")
    read = parse_client_file(json.dumps(made).encode(), "file")
    assert (read.base_url, read.shop, read.region, read.plan) == ("http://eu.example:8443/v1", "alpenladen", "eu", "p")
    assert set(read.surfaces) == {"support", "product_discovery", "fraud_scoring"}
    search = read.surfaces["product_discovery"]
    assert (search.model, search.deadline, search.stream_deadline) == ("chat-7b", 0.25, 30.0)
    assert search.catalog == "alpenladen.sqlite"
    assert isinstance(search.fallback, SearchFallback)
    assert read.surfaces["fraud_scoring"].fallback == plan.surfaces["fraud_scoring"].fallback
    assert set(client_file(plan, "strandladen", "eu")["surfaces"]) == {"support", "fraud_scoring"}


def test_nothing_of_the_people_or_the_models_is_in_it(plan):
    text = json.dumps(client_file(plan, "alpenladen", "eu"))
    assert not [
        word for word in ("Ana", "ed25519", "m.example", "api_key", "strandladen", "us.example") if word in text
    ]


@pytest.mark.parametrize(("shop", "region"), [("nobody", "eu"), ("alpenladen", "mars"), ("alpenladen", "us")])
def test_what_the_plan_does_not_have(plan, shop, region):
    with pytest.raises(SetupError):
        client_file(plan, shop, region)


@pytest.mark.parametrize(
    "damage", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b" " * (MAX_FILE + 1), b'{"firedoor_client": 2}']
)
def test_what_is_no_client_file(damage):
    with pytest.raises(SetupError, match="is not a client file"):
        parse_client_file(damage, "file")


@pytest.mark.parametrize(
    "change",
    [
        {"base_url": "http://eu.example/v1/../x"},
        {"base_url": "file:///etc/passwd"},
        {"secret": "fd_x"},
        {"surfaces": {"A B": {}}},
    ],
)
def test_what_a_client_file_may_not_hold(plan, change):
    with pytest.raises(SetupError):
        parse_client_file(json.dumps({**client_file(plan, "alpenladen", "eu"), **change}).encode(), "file")


def test_a_client_from_a_file(plan, tmp_path, monkeypatch):
    path = tmp_path / "firedoor-client.json"
    path.write_text(json.dumps(client_file(plan, "alpenladen", "eu")))
    for name in ("FIREDOOR_CREDENTIAL", "FIREDOOR_CREDENTIAL_FRAUD_SCORING"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SetupError, match="FIREDOOR_CREDENTIAL_FRAUD_SCORING"):
        ShopClient.from_file(path, "fraud_scoring")
    monkeypatch.setenv("FIREDOOR_CREDENTIAL", "fd_x")
    with ShopClient.from_file(path, "fraud_scoring") as client:
        assert client.surface.surface == "fraud_scoring"
    with pytest.raises(SetupError, match="not a catalogue index"):
        ShopClient.from_file(path, "product_discovery")
    with pytest.raises(SetupError, match="no surface"):
        ShopClient.from_file(path, "returns")
    with pytest.raises(SetupError, match="cannot be read"):
        ShopClient.from_file(tmp_path / "none.json", "support")


def test_a_search_surface_answers_from_the_shops_own_index(plan, tmp_path):
    path = tmp_path / "firedoor-client.json"
    written = client_file(plan, "alpenladen", "eu")
    written["base_url"] = "http://127.0.0.1:9/v1"
    written["surfaces"]["product_discovery"]["deadline"] = 20
    path.write_text(json.dumps(written))
    row = {"sku": "A", "type": "simple", "name": "Two person tent", "price": 329, "currency": "EUR"}
    (tmp_path / "c.jsonl").write_text(json.dumps(row))
    build(tmp_path / "c.jsonl", tmp_path / "alpenladen.sqlite")
    with ShopClient.from_file(path, "product_discovery", credential="fd_x") as client:
        found = client.chat([{"role": "user", "content": "Do you have tents?"}])
        nothing = client.chat([{"role": "user", "content": "bananas"}])
    assert found.choices[0].message.content == "Found:\n- Two person tent, 329.00 EUR"
    assert nothing.choices[0].message.content == "Nothing."
