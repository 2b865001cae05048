"""NATS as it fails: killed, hung, cut off, flooding, lying."""

import asyncio
import contextlib
import datetime as dt
import ipaddress

import msgspec
import nats
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.rooms.links import Link, Namespace
from tests.rooms.nats_servers import free_port, serving, two_regions
from tests.rooms.test_bus import HOSTS, TABLE, heard, listening, opened, run, until

from firedoor.bus import natsconnection
from firedoor.bus.nats import NatsBus, NatsStatus
from firedoor.core import natsconfig
from firedoor.core.nkeys import Credentials
from firedoor.core.plan.model import Loaded, SwitchRules
from firedoor.core.plan.model import NatsBus as Declared
from firedoor.errors import SetupError

OPEN = 'listen: "{host}:{port}"\nmax_payload: 256KB\n'
"""A server without keys: for what has nothing to do with them."""


@pytest.fixture
def serve(tmp_path):
    with serving(tmp_path) as make:
        yield make


@pytest.fixture
def server(serve):
    port = free_port()
    return serve("open", port, OPEN.format(host="127.0.0.1", port=port))


def bus_of(server, name="one", **more):
    return NatsBus((server.url,), name=name, **more)


def test_it_connects_when_the_server_comes_and_again_after_kill_9(server):
    one, two = bus_of(server), bus_of(server, "two")
    got, connects = listening(two), []
    two.on_connect = lambda: connects.append(two.status.server)

    async def life():
        await one.open()
        await two.open()
        one.publish(TABLE, b"nobody hears this")
        assert one.status == NatsStatus((), 1, 0, 1, 0, "")
        await until(lambda: two.status.trouble == "refused")
        for number in range(1, 3):
            server.start()
            await until(lambda number=number: one.status.server and two.status.server and len(connects) == number)
            await heard(one, TABLE, got, b"%d" % number)
            server.kill()
            await until(lambda: one.status.server is None and two.status.server is None)
            one.publish(TABLE, b"late")
        assert set(connects) == {f"127.0.0.1:{server.port}"}
        server.start()
        await until(lambda: len(connects) == 3 and one.status.server)
        await heard(one, TABLE, got, b"3")
        assert set(got) == {b"1", b"2", b"3"}  # what could not be sent then is not sent later
        assert one.status.trouble == ""
        await one.aclose()
        await two.aclose()

    run(life())


@pytest.mark.parametrize("waiting", [0, 60], ids=["idle", "with full buffers"])
def test_a_server_that_hangs_is_left_and_found_again(server, waiting):
    one, two = bus_of(server), bus_of(server, "two")
    got, told = listening(two), []
    server.start()

    async def life():
        before = asyncio.all_tasks()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))
        async with opened(one, two):
            server.hang()
            for _ in range(waiting):
                one.publish(TABLE, b"x" * 190_000)
                await asyncio.sleep(0.002)
            await until(lambda: one.status.server is None and two.status.server is None)
            server.go_on()
            await until(lambda: one.status.server and two.status.server)
            await heard(one, TABLE, got, b"again")
            assert min(one.status.connects, two.status.connects) >= 2
        assert asyncio.all_tasks() == before

    run(life())
    assert told == []


def test_a_link_that_hangs_is_left_and_a_cut_one_too(server):
    server.start()
    with Link(server.port) as link:
        one, two = NatsBus((f"nats://127.0.0.1:{link.port}",), name="one"), bus_of(server, "two")
        got = listening(one)

        async def life():
            async with opened(one, two):
                for fail in (link.cut, link.hang):
                    await asyncio.to_thread(fail)
                    await until(lambda: one.status.server is None)
                    assert two.status.connects == 1
                    await asyncio.to_thread(link.heal)
                    await until(lambda: one.status.server)
                    await heard(two, TABLE, got, fail.__name__.encode())
                link.delay(0.05)
                await heard(two, TABLE, got, b"slow")
                assert one.status.connects == 3

        run(life())


def test_packets_that_vanish_are_noticed_on_both_sides(serve):
    with Namespace() as network:
        config = OPEN.format(host=network.there, port=4222) + "ping_interval: 300ms\nping_max: 2\ndebug: true\n"
        server = serve("far", 4222, config, host=network.there, prefix=network.prefix).start()
        one = bus_of(server)

        async def life():
            async with opened(one):
                network.drop()
                await until(lambda: one.status.server is None)
                await until(lambda: "Stale Connection" in server.log.read_text())
                network.heal()
                await until(lambda: one.status.server)

        run(life())


def test_who_cannot_keep_up_gets_the_newest(server, monkeypatch):
    server.start()
    two = bus_of(server, "two")
    got, other = listening(two), listening(two, HOSTS)

    async def life():
        async with opened(two):
            sender = await nats.connect(server.url)
            for number in range(2000):
                await sender.publish(TABLE, b"%04d" % number)
            await sender.publish(HOSTS, b"end")
            await until(lambda: other and got and got[-1] == b"1999")
            assert got == sorted(got)
            assert len(got) + two.status.dropped == 2000
            await sender.publish(TABLE, b"x" * 200_000)  # more than a message may have
            await sender.publish(TABLE, b"9999")
            await until(lambda: got[-1] == b"9999")
            assert b"x" not in {message[:1] for message in got}
            await sender.close()

    monkeypatch.setattr(natsconnection, "INBOX", 4)
    run(life())
    assert two.status.dropped > 0


def test_more_than_can_be_sent_drops_the_oldest(server):
    server.start()
    one, two = bus_of(server), bus_of(server, "two")
    got = listening(two)

    async def life():
        async with opened(one, two):
            for number in range(natsconnection.OUTBOX + 10):
                one.publish(TABLE, b"%03d" % number)
            await until(lambda: len(got) == natsconnection.OUTBOX)
            assert (got[0], one.status.dropped, one.status.failed) == (b"010", 10, 0)

    run(life())


def test_closing_sends_what_was_said_and_ends_in_time_even_if_the_server_hangs(server):
    server.start()
    one, two = bus_of(server), bus_of(server, "two")
    got = listening(two)

    async def life():
        before = asyncio.all_tasks()
        async with opened(one, two):
            one.publish(TABLE, b"last words")
            await one.aclose()
            await until(lambda: got == [b"last words"])
            server.hang()
            two.publish(TABLE, b"x" * 190_000)
        server.go_on()
        assert asyncio.all_tasks() == before

    run(life())


def test_a_server_that_takes_less_is_said_once(serve, caplog):
    port = free_port()
    server = serve("small", port, f'listen: "127.0.0.1:{port}"\nmax_payload: 1KB\n').start()
    one, two = bus_of(server), bus_of(server, "two")
    got = listening(two)

    async def life():
        async with opened(one, two):
            for _ in range(3):
                one.publish(TABLE, b"x" * 1025)
            assert (one.status.failed, one.status.trouble) == (3, "max_payload")
            await heard(one, TABLE, got, b"x" * 1024)

    run(life())
    assert [record.message for record in caplog.records if "max_payload" in record.message] == [
        f"NATS server 127.0.0.1:{port}: max_payload"
    ]


# What is no server, or not ours


async def says(data, close):
    async def serve(reader, writer):
        writer.write(data)
        if close:
            writer.close()
        else:
            with contextlib.suppress(OSError):  # it may end by a reset
                await reader.read()  # until the other side ends
            writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


INFO = b'INFO {"version":"2.15.1","max_payload":1048576}\r\n'


@pytest.mark.parametrize(
    ("data", "close", "trouble"),
    [
        (b"", False, "timeout"),
        (b"", True, "garbage"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", True, "garbage"),
        (b"INFO nothing\r\n", False, "garbage"),
        (b"x" * 200_000, False, "garbage"),
        (INFO, False, "timeout"),
        (INFO + b"-ERR 'Authorization Violation'\r\n", False, "authorization"),
        (INFO + b"PONG\r\n" + b"MSG a 1 99999999999999\r\n", False, "timeout"),
        (INFO + b"PONG\r\n" + b"\0\xff\r\n" * 1000, False, None),
    ],
)
def test_what_is_no_server_is_left_and_tried_again(monkeypatch, data, close, trouble):
    monkeypatch.setattr(natsconnection, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(natsconnection, "WAIT_SECONDS", (0.0, 0.01))
    told = []

    async def life():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))
        server = await says(data, close)
        one = NatsBus((f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}",), name="one")
        listening(one)
        await one.open()
        await until(lambda: one.status.trouble)
        assert trouble is None or one.status.trouble == trouble
        assert one.status.server is None
        await one.aclose()
        server.close()

    run(life())
    assert told == []


@pytest.mark.parametrize(
    "server",
    [
        "nats://",
        "nats://user:secret@127.0.0.1:1",
        "nats://127.0.0.1:70000",
        "nats://127.0.0.1:x",
        "nats://h/path",
        "tls://h?x",
    ],
)
def test_an_address_that_cannot_be_one_is_refused_and_not_repeated(server):
    with pytest.raises(SetupError, match=r"nats://HOST:PORT") as refused:
        run(NatsBus((server,), name="one").open())
    assert "secret" not in str(refused.value)


def test_credentials_with_a_jwt_are_shown(serve, tmp_path):
    operator, account, user = (Credentials(bytes([n]) * 32) for n in (1, 2, 3))
    jwt = [
        _jwt(operator, "O", _name(operator, "O"), {"type": "operator", "version": 2}),
        _jwt(operator, "O", _name(account, "A"), {"type": "account", "version": 2, "limits": LIMITS}),
        _jwt(account, "A", user.public, {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}),
    ]
    port = free_port()
    preload = f"{{{_name(account, 'A')}: {jwt[1]}}}"
    config = f'listen: "127.0.0.1:{port}"\noperator: {jwt[0]}\nresolver: MEMORY\nresolver_preload: {preload}\n'
    server = serve("operator", port, config).start()
    file = tmp_path / "user.creds"
    head = f"-----BEGIN NATS USER JWT-----\n{jwt[2]}\n------END NATS USER JWT------\n\n************* IMPORTANT\n\n"
    file.write_bytes(head.encode() + user.file())
    one = bus_of(server, credentials_file=file)

    async def life():
        async with opened(one):
            assert one.status.trouble == ""

    run(life())


LIMITS = {
    "subs": -1,
    "data": -1,
    "payload": -1,
    "imports": -1,
    "exports": -1,
    "wildcards": True,
    "conn": -1,
    "leaf": -1,
}


def _name(key, kind):
    """The key's public half as that of an operator or account."""
    import base64
    import binascii

    raw = base64.b32decode(key.public)[1:33]
    data = bytes([{"O": 14, "A": 0}[kind] << 3]) + raw
    return base64.b32encode(data + binascii.crc_hqx(data, 0).to_bytes(2, "little")).rstrip(b"=").decode()


def _jwt(issuer, kind, subject, claims):
    import base64

    def part(value):
        return base64.urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()

    body = {"jti": "t", "iat": 1_700_000_000, "iss": _name(issuer, kind), "name": "t", "sub": subject, "nats": claims}
    text = part({"typ": "JWT", "alg": "ed25519-nkey"}) + "." + part(body)
    signature = base64.b64decode(issuer.sign(text))
    return text + "." + base64.urlsafe_b64encode(signature).rstrip(b"=").decode()


# TLS


def _certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nats")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - dt.timedelta(1)).not_valid_after(now + dt.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(pem)
    return folder / "cert.pem", folder / "key.pem"


def test_tls_is_used_where_the_plan_says_so_or_nothing(serve, tmp_path, server):
    certificate, key = _certificate(tmp_path)
    client, port = Credentials(b"\5" * 32), free_port()
    (tmp_path / "creds").write_bytes(client.file())
    plan = msgspec.structs.replace(two_regions().plan, switches=SwitchRules())
    declared = Declared(servers=(f"tls://127.0.0.1:{port}",), ca_file="cert.pem")
    regions = {"eu": msgspec.structs.replace(plan.regions["eu"], bus=declared)}
    config = natsconfig.render(Loaded(msgspec.structs.replace(plan, regions=regions), "0" * 64, "test"), "eu")
    variables = {
        natsconfig.CLIENT: client.public,
        natsconfig.CERTIFICATE: str(certificate),
        natsconfig.CERTIFICATE_KEY: str(key),
    }
    serve("tls", port, config, variables).start()
    server.start()
    more = {"credentials_file": tmp_path / "creds", "ca_file": certificate}
    good = NatsBus(declared.servers, name="one", **more)
    bad = [
        NatsBus(declared.servers, name="another CA", credentials_file=tmp_path / "creds"),
        NatsBus((f"tls://127.0.0.1:{server.port}",), name="a server without TLS", **more),
    ]

    async def life():
        async with opened(good):
            for bus in bad:
                await bus.open()
            await until(lambda: all(bus.status.trouble == "tls" for bus in bad))
            for bus in bad:
                await bus.aclose()
            assert [bus.status.connects for bus in bad] == [0, 0]
        with pytest.raises(SetupError, match="CA cannot be read"):
            await NatsBus(declared.servers, name="one", ca_file=tmp_path / "nowhere").open()

    run(life())
