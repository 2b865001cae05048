"""Time stamps (RFC 3161) by a real authority: `openssl ts` behind a small HTTP server."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path

import pytest

from firedoor.app import stamping
from firedoor.app.stamping import Stamping
from firedoor.bus.timestamp import TimestampAuthority, TimestampLimits, verify_token
from firedoor.core.plan.model import Timestamps
from firedoor.core.plan.words import Duration
from firedoor.errors import EvidenceDamaged, SetupError, TimestampFailed

from ..core.logs import MemoryLog  # noqa: TID252  # tests are no installed package
from .agents import until
from .witnesses import raw_server, says

pytest.importorskip("rfc3161_client", reason='pip install "firedoor[timestamps]"')
pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="apt-get install openssl")

Heard = Callable[[bytes], bytes]

MESSAGE = MemoryLog().note(9)
REPLY = "Content-Type: application/timestamp-reply"
CONFIG = """[tsa]
default_tsa = t
[t]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ordering = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


def openssl(folder: Path, *words: str, data: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *words], cwd=folder, input=data, check=True, capture_output=True).stdout


class Authority:
    """A certificate authority, a time-stamp authority under it, and its answers."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl(
            folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Example CA"
        )
        openssl(folder, "req", *key, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=Example time stamps")
        (folder / "ext").write_text("extendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\n")
        sign = ["x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
        openssl(folder, *sign, "-extfile", "ext", "-out", "tsa.pem")
        (folder / "tsa.cnf").write_text(CONFIG.format(folder=folder))
        (folder / "serial").write_text("01\n")
        self.certificates = (folder / "ca.pem").read_bytes()

    def answer(self, query: bytes) -> bytes:
        (self._folder / "query").write_bytes(query)
        openssl(
            self._folder, "ts", "-reply", "-config", "tsa.cnf", "-section", "t", "-queryfile", "query", "-out", "reply"
        )
        return (self._folder / "reply").read_bytes()

    def check(self, token: bytes, message: bytes) -> None:
        """Let openssl verify a token."""
        (self._folder / "token").write_bytes(token)
        (self._folder / "message").write_bytes(message)
        openssl(self._folder, "ts", "-verify", "-in", "token", "-data", "message", "-CAfile", "ca.pem")

    @contextlib.asynccontextmanager
    async def served(self, seen: list[bytes] | None = None, heard: Heard = bytes) -> AsyncIterator[str]:
        """Over HTTP. `heard` turns what it was asked into what it answers."""

        async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(li.split(b":")[1]) for li in head.split(b"\r\n") if li.lower().startswith(b"content-length")
            )
            asked = await reader.readexactly(length)
            if seen is not None:
                seen.append(head + asked)
            await says(200, self.answer(heard(asked)), REPLY)(reader, writer)
            writer.close()

        server = await asyncio.start_server(run, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/tsr"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa") / "theirs")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa") / "other")


def stamp(authority: Authority, message: bytes = MESSAGE, certificates: bytes = b"", **more):
    async def run():
        async with authority.served(**more) as url:
            return await TimestampAuthority(url, certificates or authority.certificates).stamp(message)

    return asyncio.run(run())


def reason(url: str, authority: Authority, **more) -> str:
    async def run() -> str:
        with pytest.raises(TimestampFailed) as raised:
            await TimestampAuthority(url, authority.certificates, **more).stamp(MESSAGE)
        assert raised.value.remedy
        return raised.value.reason

    return asyncio.run(run())


def test_a_token_verifies_now_and_later_and_with_openssl(authority: Authority) -> None:
    token = stamp(authority)
    assert abs(token.time - time.time()) < 300
    assert verify_token(token.data, MESSAGE, authority.certificates) == token.time
    authority.check(token.data, MESSAGE)


def test_only_a_hash_leaves(authority: Authority) -> None:
    seen: list[bytes] = []
    stamp(authority, seen=seen)
    assert sha256(MESSAGE).digest() in seen[0]
    assert b"alpenladen" not in seen[0]
    assert len(seen[0]) < 400


def test_a_token_is_for_its_message_only(authority: Authority, stranger: Authority) -> None:
    token = stamp(authority)
    with pytest.raises(EvidenceDamaged, match="for something else"):
        verify_token(token.data, MESSAGE + b"x", authority.certificates)
    with pytest.raises(EvidenceDamaged, match="not by an authority"):
        verify_token(token.data, MESSAGE, stranger.certificates)
    assert verify_token(token.data, MESSAGE, stranger.certificates + authority.certificates) == token.time


def test_a_changed_token_does_not_verify(authority: Authority) -> None:
    data = stamp(authority).data
    for place in range(0, len(data), 23):
        changed = bytearray(data)
        changed[place] ^= 1
        try:
            moment = verify_token(bytes(changed), MESSAGE, authority.certificates)
        except EvidenceDamaged:
            continue
        assert moment == verify_token(data, MESSAGE, authority.certificates), "outside of what is signed"
    for other in (b"", data[:-1], data + b"x", b"x" * 70_000):
        with pytest.raises(EvidenceDamaged):
            verify_token(other, MESSAGE, authority.certificates)


def test_another_authority_and_another_message_are_refused_on_arrival(
    authority: Authority, stranger: Authority
) -> None:
    with pytest.raises(TimestampFailed, match="not by an authority") as raised:
        stamp(stranger, certificates=authority.certificates)
    assert raised.value.reason == "bad_token"
    with pytest.raises(TimestampFailed, match="for something else") as raised:
        stamp(
            authority, heard=lambda asked: asked.replace(sha256(MESSAGE).digest(), sha256(b"something else").digest())
        )
    assert raised.value.reason == "bad_token"


def test_an_old_answer_to_the_same_message_is_refused(authority: Authority) -> None:
    seen: list[bytes] = []
    stamp(authority, seen=seen)
    with pytest.raises(TimestampFailed, match="another request"):
        stamp(authority, heard=lambda _: seen[0].partition(b"\r\n\r\n")[2])


def test_an_authority_that_is_down_slow_or_no_authority(authority: Authority) -> None:
    async def run(handler) -> str:
        async with raw_server(handler) as url:
            with pytest.raises(TimestampFailed) as raised:
                limits = TimestampLimits(seconds=0.3)
                await TimestampAuthority(url, authority.certificates, limits=limits).stamp(MESSAGE)
            assert raised.value.remedy
            return raised.value.reason

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pass

    for handler, why in [
        (hang, "timeout"),
        (die, "died"),
        (says(200, b"<html>"), "garbage"),
        (says(200, b"no token", REPLY), "bad_token"),
        (says(200, b"x" * 70_000, REPLY), "too_large"),
        (says(302, b"", "Location: http://127.0.0.1:1/"), "status_302"),
        (says(500), "status_500"),
    ]:
        assert asyncio.run(run(handler)) == why
    assert reason("http://127.0.0.1:1/", authority) == "refused"


@pytest.mark.parametrize("off", [3600, -3600])
def test_a_clock_that_is_an_hour_off_is_noticed(authority: Authority, off: int) -> None:
    async def run() -> None:
        async with authority.served() as url:
            shifted = TimestampAuthority(url, authority.certificates, clock=lambda: time.time() + off)
            with pytest.raises(TimestampFailed) as raised:
                await shifted.stamp(MESSAGE)
            assert raised.value.reason == "bad_time"

    asyncio.run(run())


def test_what_the_plan_names_must_be_usable(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("", "tsa.example", "ftp://tsa.example/", "http://me@tsa.example/"):
        with pytest.raises(SetupError, match="url"):
            TimestampAuthority(url, authority.certificates)
    leaf = (authority._folder / "tsa.pem").read_bytes()
    for certificates in (b"", b"no pem", leaf, authority.certificates + b" " * 300_000):
        with pytest.raises(SetupError, match="certificates"):
            TimestampAuthority("https://tsa.example/", certificates)
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    with pytest.raises(SetupError, match=r"firedoor\[timestamps\]"):
        TimestampAuthority("https://tsa.example/", authority.certificates)


def test_the_regions_checkpoint_is_stamped_once_also_over_restarts(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamping, "RETRY", 0.05)
    (tmp_path / "ca.pem").write_bytes(authority.certificates)
    (tmp_path / "checkpoints").mkdir()
    checkpoint, stamps = tmp_path / "checkpoints/checkpoint", tmp_path / "timestamps"
    asked: list[bytes] = []

    async def run(url: str, size: int, done: Callable[[Stamping], object]) -> None:
        checkpoint.write_bytes(MemoryLog().note(size))
        declared = Timestamps(url=url, jurisdiction="DE", certificates="ca.pem", every=Duration(1))
        made = Stamping(tmp_path, declared, tmp_path)
        task = asyncio.create_task(made.run())
        await until(lambda: done(made))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def go() -> None:
        async with authority.served(asked) as url:
            await run(url, 5, lambda made: made.state.size == 5)
            before = {path.name: path.read_bytes() for path in stamps.iterdir()}
            assert set(before) == {"5.checkpoint", "5.tsr"}
            verify_token(before["5.tsr"], before["5.checkpoint"], authority.certificates)
            turns = iter(range(20))
            await run(url, 5, lambda _: next(turns) > 10)
            assert {path.name: path.read_bytes() for path in stamps.iterdir()} == before
            assert len(asked) == 1, "a restart asks for no other stamp of the same checkpoint"
        await run(url, 6, lambda made: made.state.reason == "refused")

    asyncio.run(go())
    nobody = Timestamps(url="http://127.0.0.1:1", jurisdiction="DE", certificates="absent.pem")
    with pytest.raises(SetupError, match="certificates"):
        asyncio.run(Stamping(tmp_path, nobody, tmp_path).run())
