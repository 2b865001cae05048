"""What a snapshot holds: everything that would be gone tomorrow, in order, each with where, how and when; as it is."""

import asyncio
import base64
import hashlib
import threading

import msgspec
import pytest
from msgspec import structs
from tests.rooms.firstminutes import LEAK, CaseRegion
from tests.rooms.incidentstores import BOX

from firedoor.app import snapshot
from firedoor.core.plan.model import Loaded, NatsBus
from firedoor.core.sessions import RULES, Key, Turn
from firedoor.store import cache_care, takings
from firedoor.store.credentials import CredentialFile
from firedoor.store.sessiontable import SessionTable

ORDER = [
    "switches", "models", "sessions", "cache", "journals", "index", "credentials", "baselines", "versions", "exchanges",
]  # fmt: skip
EVERY = {"evidence_id", "kind", "locator", "method", "collected_at", "clock_offset_ms", "bytes", "sha256", "content"}


@pytest.fixture
def house(tmp_path):
    return CaseRegion(tmp_path)


def take(house, scopes=(LEAK,), exchanges=("fx-1",), act=lambda life: None):
    """A snapshot of a running control, and its document."""

    async def life():
        async with house.life() as life:
            act(life)
            return await life.snapshots.take("eu-1", scopes, exchanges)

    taken = asyncio.run(asyncio.wait_for(life(), 60))
    return taken, msgspec.json.decode(taken.data)


def item(document, kind):
    return next((one["content"] for one in document["items"] if one["kind"] == kind), None)


def sessions(house, count=1):
    table = SessionTable.open(house.place.sessions, 2, BOX.subkey("sessions"), RULES)
    for number in range(count):
        table.note([Key("session", f"s-{number}")], Turn(attack=True), 1_800_000_000.0)
    table.close()


def test_every_item_says_whence_how_and_when_it_was_taken_and_what_its_bytes_are(house):
    house.keep_answers(2)
    taken, document = take(house)
    assert [one["kind"] for one in document["items"]] == [kind for kind in ORDER if kind not in taken.missing]
    for number, one in enumerate(document["items"], 1):
        assert one.keys() == EVERY
        assert one["evidence_id"].endswith(f"/{number}")
        content = msgspec.json.encode(one["content"], order="sorted")
        assert (one["bytes"], one["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert document["incident_id"] == "eu-1"
    assert document["storage_region"] == document["source_system"]["region"] == "eu"
    assert document["tool"].startswith("firedoor ")
    assert document["clock"]["realtime_ns"] > document["clock"]["boottime_ns"] > 0
    assert document["missing"] == taken.missing
    assert taken.items.keys() == {one["kind"] for one in document["items"]}
    assert taken.data == msgspec.json.encode(document, order="sorted")  # canonical


def test_the_switches_are_taken_as_they_are_said_with_how_they_came_about(house):
    _, document = take(house, act=lambda life: life.board.findings.leak("w0", 7, LEAK, "fx-1"))
    switches = item(document, "switches")
    assert [s["scope"]["surface"] for s in switches["table"]["shut"]] == ["support"]
    assert switches["trail"][-1]["seq"] == 7
    assert switches["cursors"] is not None


def test_kept_answers_are_taken_sealed_those_of_the_case_first(house):
    house.keep_answers(3, shop="berg")
    house.keep_answers(2)
    before = house.place.cache.read_bytes()
    taken, document = take(house, exchanges=())
    answers = item(document, "cache")
    assert [one["shop"] for one in answers["entries"]] == ["alpen"] * 2 + ["berg"] * 3
    assert (answers["there"], answers["cut"], taken.items["cache"]) == (5, 0, 5)
    for one in answers["entries"]:
        sealed = base64.b64decode(one["sealed"])
        assert hashlib.sha256(sealed).hexdigest() == one["sha256"]
        assert b"An answer" not in sealed
    assert b"An answer" not in taken.data
    assert house.place.cache.read_bytes() == before  # nothing is changed


def test_answers_that_find_no_room_are_listed_with_their_digest_and_said_to_be_missing(house, monkeypatch):
    house.keep_answers(6, text="x" * 1000)
    monkeypatch.setattr(takings, "ANSWER_BYTES", 3000)
    taken, document = take(house)
    answers = item(document, "cache")["entries"]
    assert [("sealed" in one) for one in answers] == [True] * 2 + [False] * 4
    assert all(len(one["sha256"]) == 64 for one in answers)
    assert (taken.missing["cache"], item(document, "cache")["cut"]) == ("cut_off", 4)
    monkeypatch.setattr(takings, "ANSWERS", 4)
    taken, document = take(house)
    assert (item(document, "cache")["there"], taken.items["cache"]) == (6, 4)


def test_what_is_in_quarantine_is_taken_too(house):
    house.keep_answers(2)
    cache_care.quarantine(house.place.cache, cache_care.Chosen(), BOX.subkey("cache"))
    _, document = take(house)
    assert [one["table"] for one in item(document, "cache")["entries"]] == ["quarantined"] * 2


def test_sums_of_sessions_are_taken_hashed(house):
    sessions(house, 3)
    taken, document = take(house)
    entries = item(document, "sessions")["entries"]
    assert taken.items["sessions"] == len(entries) == 3
    assert {one["slot"] for one in entries} == {2}
    assert {len(base64.b64decode(one["entry"])) for one in entries} == {184}
    assert b"s-0" not in taken.data


def test_a_half_written_sum_counts_as_missing(house):
    sessions(house)
    with house.place.sessions.open("r+b") as file:
        data = bytearray(file.read())
        (entry,) = [
            base64.b64decode(e["entry"]) for e in takings.session_sums(house.place.sessions, lambda: True).items
        ]
        place = bytes(data).find(entry)
        file.seek(place + 60)
        file.write(bytes([entry[60] ^ 255]))
    taken, document = take(house)
    assert (taken.missing["sessions"], item(document, "sessions")["cut"]) == ("cut_off", 1)


def test_credentials_are_named_without_secret_or_hash(house):
    token, credential = CredentialFile(house.place.credentials, "eu").issue("alpen", "support", 1.0)
    taken, document = take(house)
    (one,) = item(document, "credentials")
    assert (one["id"], one["shop"]) == (credential.id, "alpen")
    assert token.rpartition("_")[2].encode() not in taken.data
    assert hashlib.sha256(token.encode()).hexdigest().encode() not in taken.data


def test_versions_and_rules_are_named_by_their_digests(house):
    _, document = take(house)
    versions = item(document, "versions")
    assert versions["plan"] == house.region.loaded.digest
    assert versions["epoch"] == 1
    assert "attack-rules.txt" in versions["data"]
    assert all(len(digest) == 64 for digest in versions["data"].values())


def test_files_that_are_damaged_or_not_there_keep_no_other_item_from_being_taken(house):
    house.place.cache.write_bytes(b"no database" * 1000)
    house.place.credentials.write_text("{")
    house.place.baselines.write_bytes(b"nothing")
    taken, document = take(house)
    assert taken.missing["cache"] == "damaged"
    assert taken.missing["credentials"] == taken.missing["baselines"] == "cannot_be_read"
    assert taken.missing["index"] == "cannot_be_read"  # nobody wrote one here
    assert item(document, "sessions") == {"there": 0, "cut": 0, "entries": []}
    assert item(document, "versions")["epoch"] == 1


def test_a_disk_that_hangs_is_missing_and_the_snapshot_comes_all_the_same(house, monkeypatch):
    monkeypatch.setattr(snapshot, "FILES_WAIT", 0.3)
    release = threading.Event()

    def hang(*_):
        release.wait(30)
        return takings.Taken([], 0, 0)

    monkeypatch.setattr(snapshot, "kept_answers", hang)

    async def life():
        async with house.life() as life:
            try:
                return await life.snapshots.take("eu-1", (LEAK,), ())
            finally:
                release.set()

    taken = asyncio.run(asyncio.wait_for(life(), 60))
    assert taken.missing["cache"] == taken.missing["versions"] == "time_over"
    assert {"switches", "sessions"} <= taken.items.keys()


def test_other_hosts_of_the_region_are_said_to_be_missing(house):
    region = structs.replace(house.region.loaded.plan.regions["eu"], bus=NatsBus(servers=("nats://127.0.0.1:1",)))
    plan = structs.replace(house.region.loaded.plan, regions={"eu": region})
    house.region.loaded = Loaded(plan, house.region.loaded.digest, "plan.yaml")
    taken, _ = take(house)
    assert taken.missing["other_hosts"] == "not_reached"


def test_the_models_in_question_are_looked_at(house):
    taken, document = take(house)
    assert list(item(document, "models")) == ["m0"]
    taken, document = take(house, scopes=("eu/alpen",))
    assert len(item(document, "models")) == snapshot.MODELS
    assert taken.missing["models"] == "cut_off"
