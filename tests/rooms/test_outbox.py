"""Messages on their way to real HTTP servers, out of a real database: signed, in order, none lost, none in the way."""

import asyncio
import contextlib
import json
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from msgspec import structs
from pytest_httpserver import HTTPServer
from werkzeug import Response

from firedoor.app import outbox as outbox_
from firedoor.app.hookcheck import DAY, hook_findings
from firedoor.app.hooksecrets import secrets_of
from firedoor.app.outbox import Outbox, Seen, Standing, read_standing
from firedoor.config import RegionHome
from firedoor.core.incident.hooks import Message
from firedoor.core.incident.webhook import parse_secrets, verify
from firedoor.core.plan.model import Loaded, Plan, Region
from firedoor.core.plan.response import IncidentRules, OtherSystem
from firedoor.errors import KeyUnusable, SetupError, StateBusy

from .incidentstores import CASE, add, opened, opened_store

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(scope="module")
def servers():
    with HTTPServer(threaded=True) as one, HTTPServer(threaded=True) as other:
        yield one, other


class Receiver:
    """What a system of somebody else's does: it verifies, and answers what `answer` says."""

    def __init__(self, server):
        server.clear()
        server.expect_request("/in", method="POST").respond_with_handler(self.take)
        self.url = server.url_for("/in")
        self.answer = lambda _: 200
        self.tried = []
        self.taken = []

    def take(self, request):
        body = request.get_data()
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        id_, at, signature = (request.headers[name] for name in names)
        assert verify(parse_secrets(SECRET), id_, at, signature, body, time.time()) == "good"
        assert request.headers["Content-Type"] == "application/json"
        self.tried.append(id_)
        answer = self.answer(len(self.tried))
        if answer == 200:
            self.taken.append((id_, json.loads(body)))
        return answer if isinstance(answer, Response) else Response("x" * 100_000, status=answer)

    @property
    def ids(self):
        return [id_ for id_, _ in self.taken]


@pytest.fixture
def one(servers):
    return Receiver(servers[0])


@pytest.fixture
def other(servers):
    return Receiver(servers[1])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir()
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    return tmp_path


def messages(system="siem", *, count=3):
    return [Message(f"{CASE}/{n}/{system}", system, json.dumps({"n": n}).encode()) for n in range(1, count + 1)]


def systems(**urls):
    return {name: OtherSystem(webhook=url, jurisdiction="DE", secret_file="secret") for name, url in urls.items()}


@contextlib.asynccontextmanager
async def sending(store, folder, urls, **more):
    outbox = Outbox(store, systems(**urls), folder, folder / "run", **more)
    task = asyncio.create_task(outbox.run())
    try:
        yield outbox
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(check, seconds=30):
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110  what others did is looked at from outside
            await asyncio.sleep(0.02)


def test_messages_are_signed_and_come_in_order_and_once(one, folder) -> None:
    async def run():
        with opened_store(folder / "control.sqlite") as store:
            add(store, opened(), messages=messages())
            async with sending(store, folder, {"siem": one.url}) as outbox:
                await until(lambda: len(one.taken) == 3)
                add(store, messages=messages(count=4)[3:])
                outbox.wake()
                await until(lambda: len(one.taken) == 4)
                await until(lambda: store.messages("siem", 10) == [])
            assert outbox.states["siem"].reason is None

    asyncio.run(run())
    assert one.ids == [f"{CASE}/{n}/siem" for n in (1, 2, 3, 4)]
    assert [body["n"] for _, body in one.taken] == [1, 2, 3, 4]


@pytest.mark.parametrize("status", [500, 404, 410, 429, 302, 300])
def test_what_is_not_taken_is_tried_again_before_anything_later(one, folder, status) -> None:
    one.answer = lambda tries: 200 if tries > 2 else Response(status=status, headers={"Location": one.url + "/other"})

    async def run():
        with opened_store(folder / "control.sqlite") as store:
            add(store, opened(), messages=messages(count=2))
            async with sending(store, folder, {"siem": one.url}, pauses=(0.01,)) as outbox:
                await until(lambda: len(one.taken) == 2)
                await until(lambda: outbox.states["siem"].reason is None)

    asyncio.run(run())
    first, second = (f"{CASE}/{n}/siem" for n in (1, 2))
    assert one.tried == [first, first, first, second]


def test_a_system_that_is_gone_or_slow_keeps_no_other_one_waiting_and_doctor_hears_of_it(one, other, folder) -> None:
    hold = threading.Event()
    other.answer = lambda _: 200 if hold.wait(20) else 500

    async def run():
        with opened_store(folder / "control.sqlite") as store:
            names = ("gone", "slow", "siem")
            add(store, opened(), messages=[m for name in names for m in messages(name, count=120)])
            urls = {"gone": "http://127.0.0.1:9/in", "slow": other.url, "siem": one.url}
            async with sending(store, folder, urls, pauses=(0.01, 3600.0)) as outbox:
                await until(lambda: len(one.taken) == 120)
                await until(lambda: outbox.states["gone"].tries == 2)
                assert len(store.messages("gone", 1000)) == 100  # read at most a hundred at a time
                assert store.messages("gone", 1)[0].tries == 2
                assert store.messages("gone", 1)[0].not_before > time.time() + 3000
                hold.set()
                await until(lambda: other.taken)

    asyncio.run(run())
    seen = read_standing(folder / "run")
    assert seen.systems["gone"].reason == "refused"
    assert seen.systems["gone"].since is not None
    assert seen.systems["siem"].reason is None


def _waits(store) -> int:
    return len(store.messages("siem", 10))


def test_after_a_restart_it_goes_on_where_it_was(one, folder) -> None:
    one.answer = lambda tries: 200 if tries != 2 else 503

    async def run():
        for most in (1, 3):
            with opened_store(folder / "control.sqlite") as store:
                add(store, opened(), messages=messages())
                async with sending(store, folder, {"siem": one.url}, pauses=(0.3,)):
                    await until(lambda most=most, store=store: len(one.taken) >= most and _waits(store) == 3 - most)

    asyncio.run(run())
    assert list(dict.fromkeys(one.ids)) == [f"{CASE}/{n}/siem" for n in (1, 2, 3)]


def test_who_was_away_before_a_restart_is_away_since_then(one, folder) -> None:
    one.answer = lambda tries: 200 if tries > 2 else 404
    (folder / "run" / "hooks.json").write_bytes(msgspec.json.encode(Seen(1, {"siem": Standing("status_404", 5, 9)})))

    async def run():
        with opened_store(folder / "control.sqlite") as store:
            add(store, opened(), messages=messages(count=1))
            async with sending(store, folder, {"siem": one.url}, pauses=(0.2,)) as outbox:
                await until(lambda: one.tried)
                await until(lambda: outbox.states["siem"].tries > 9)
                assert read_standing(folder / "run").systems["siem"].since == 5
                await until(lambda: outbox.states["siem"].reason is None)

    asyncio.run(run())
    assert read_standing(folder / "run").systems["siem"].reason is None


def test_a_process_that_ends_between_the_answer_and_the_note_sends_the_same_id_again(one, folder) -> None:
    class Dies:
        def __init__(self, store):
            self.messages, self.again, self.tell_only = store.messages, store.again, store.tell_only

        def sent(self, message):
            raise StateBusy("another control of the region writes")

    async def run():
        with opened_store(folder / "control.sqlite") as store:
            add(store, opened(), messages=messages(count=1))
            await asyncio.wait_for(Outbox(Dies(store), systems(siem=one.url), folder, folder / "run").run(), 30)
            async with sending(store, folder, {"siem": one.url}):
                await until(lambda: store.messages("siem", 10) == [])

    asyncio.run(run())
    assert one.ids == [f"{CASE}/1/siem"] * 2


def test_a_database_that_cannot_be_read_is_tried_again(one, folder, monkeypatch) -> None:
    monkeypatch.setattr(outbox_, "PAUSES", (0.01,))

    class Refuses:
        def __init__(self, store):
            self.store, self.left = store, 2
            self.sent, self.again, self.tell_only = store.sent, store.again, store.tell_only

        def messages(self, system, limit):
            self.left -= 1
            if self.left >= 0:
                raise OSError(5, "Input/output error")
            return self.store.messages(system, limit)

    async def run():
        with opened_store(folder / "control.sqlite") as store:
            add(store, opened(), messages=messages())
            async with sending(Refuses(store), folder, {"siem": one.url}):
                await until(lambda: len(one.taken) == 3)

    asyncio.run(run())


def test_without_a_secret_that_is_private_nothing_is_sent_and_a_new_one_holds_at_once(one, folder) -> None:
    (folder / "secret").chmod(0o644)

    async def run():
        with opened_store(folder / "control.sqlite") as store:
            add(store, opened(), messages=messages())
            async with sending(store, folder, {"siem": one.url}, pauses=(0.01,)) as outbox:
                await until(lambda: outbox.states["siem"].tries >= 2)
                assert (outbox.states["siem"].reason, one.tried) == ("no_secret", [])
                (folder / "secret").chmod(0o600)
                await until(lambda: len(one.taken) == 3)

    asyncio.run(run())


def test_an_address_without_tls_trust_is_not_sent_to(folder) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "pair.pem").write_bytes(key.private_bytes(*plain) + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pair.pem")

    async def run():
        with HTTPServer(ssl_context=context) as server, opened_store(folder / "control.sqlite") as store:
            strange = Receiver(server)
            add(store, opened(), messages=messages())
            async with sending(store, folder, {"siem": strange.url}, pauses=(0.01,)) as outbox:
                await until(lambda: outbox.states["siem"].reason is not None)
            assert (outbox.states["siem"].reason, strange.tried) == ("tls", [])

    asyncio.run(run())


def test_what_no_secret_file_is(folder) -> None:
    for text in ("", "hunter2", SECRET[:20]):
        (folder / "secret").write_text(text)
        with pytest.raises(KeyUnusable) as refused:
            secrets_of(systems(siem="https://siem.example"), "siem", folder)
        assert "hunter2" not in str(refused.value)
    with pytest.raises(KeyUnusable, match="no secret"):
        secrets_of({"siem": OtherSystem(webhook="https://siem.example")}, "siem", folder)


def test_what_is_known_of_other_systems(folder) -> None:
    assert read_standing(folder / "run") is None
    (folder / "run" / "hooks.json").write_text("{")
    with pytest.raises(SetupError):
        read_standing(folder / "run")


@pytest.mark.parametrize(
    ("standing", "level", "says"),
    [
        (None, "ok", "has what it was told"),
        (Standing(taken=1), "ok", "has what it was told"),
        (Standing("refused", 60, 3), "ok", "tried again"),
        (Standing("refused", 2 * DAY, 50), "warn", "takes nothing since"),
        (Standing("status_404", DAY - 600, 25), "warn", "status_404"),
        (Standing("status_410", DAY + 60, 26), "FAIL", "status_410"),
    ],
)
def test_what_doctor_says_of_a_system(folder, standing, level, says) -> None:
    """`since` of each is how long ago, in seconds."""
    declared = {**systems(siem="https://siem.example"), "link": OtherSystem(url="https://x.example/{id}")}
    declared["theirs"] = structs.replace(declared["siem"], jurisdiction="US")
    regions = {
        name: Region(jurisdictions=(served,), address=f"https://{name}.example", listen="127.0.0.1:1")
        for name, served in (("eu", "EU"), ("us", "US"))
    }
    plan = Plan(
        firedoor=1, name="t", people={}, regions=regions, models={}, shops={}, surfaces={},
        incidents=IncidentRules(systems=declared),
    )  # fmt: skip
    place, loaded = RegionHome("eu", folder), Loaded(plan, "ab" * 32, "plan.yaml")
    if standing is not None:
        ago = standing.since
        standing = structs.replace(standing, since=None if ago is None else int(time.time()) - ago)
        (folder / "run" / "hooks.json").write_bytes(msgspec.json.encode(Seen(1, {"siem": standing})))
    [finding] = hook_findings(place, loaded, folder)
    assert finding.level == level
    assert says in finding.what
    (folder / "secret").unlink()
    [finding] = hook_findings(place, loaded, folder)
    assert (finding.level, "missing" in finding.what) == ("FAIL", True)


def test_messages_to_a_system_that_left_the_plan_are_dropped_and_counted(one, folder) -> None:
    async def run():
        with opened_store(folder / "control.sqlite") as store:
            add(store, opened(), messages=[*messages("gone"), *messages()])
            async with sending(store, folder, {"siem": one.url}):
                await until(lambda: len(one.taken) == 3)
            assert store.messages("gone", 10) == []
            assert store.dropped() == {"gone": 3}
            await asyncio.wait_for(Outbox(store, {}, folder, folder / "run").run(), 30)  # none is left to tell
            assert store.dropped() == {"gone": 3}

    asyncio.run(run())
