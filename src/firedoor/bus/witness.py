"""Asks a witness in another region to cosign a checkpoint: the one place that opens a connection to another region.

Everything sent is a message of `firedoor.core.crossing`, everything received is decoded there before it is looked at.
A witness may be down, slow or lying; each has a result, and none is an exception:

================ =====================================================================================================
`Cosigned`       signatures by all of the witness's keys, verified here, made at about this time
`RolledBack`     the witness has cosigned more of this log than there is: the host's log went back, it must stop signing
`Forked`         the witness has cosigned something else of this log: it was rewritten, the host must stop signing
`Failed`         anything else, with a reason: `refused` (nobody listens), `timeout`, `died`, `redirect`, `too_large`,
                 `garbage` (not what tlog-witness says), `status_NNN` (it will not), `busy` (others were faster),
                 `bad_signature`, `incomplete` (one of its keys did not sign), `bad_time` (its clock or ours is wrong),
                 `forgot` (it knows less than before)
================ =====================================================================================================
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

import aiohttp
from msgspec import Struct
from yarl import URL

from firedoor.core.crossing import MESSAGE_LIMIT, AddCheckpoint, Conflict, Cosignatures, decode, encode
from firedoor.core.evidence.checkpoint import Checkpoint, verify_signatures
from firedoor.core.evidence.note import Signature, Vkey
from firedoor.errors import EvidenceDamaged, SetupError


class WitnessLimits(Struct, frozen=True, kw_only=True):
    """Bounds on one witness's behaviour, each with its reason."""

    connect_seconds: float = 2.0
    """Another region may be on another continent: a few round trips."""
    seconds: float = 5.0
    """For the whole answer: the time in which a checkpoint should have its quorum."""
    clock_seconds: int = 300
    """How far a cosignature's time may be from ours: well-kept clocks differ by less than a second."""
    keep_alive_seconds: float = 4.0
    """Shorter than the 5 s after which uvicorn closes an idle connection, so that we close first."""
    header_bytes: int = 8_190
    """Each header line; aiohttp's own default. Not more than 32 lines."""


class Cosigned(Struct, frozen=True):
    """The witness's signatures of the checkpoint."""

    signatures: tuple[Signature, ...]


class RolledBack(Struct, frozen=True):
    """The witness has cosigned a checkpoint of `known` entries, more than the one it was shown."""

    known: int


class Forked(Struct, frozen=True):
    """The witness says that the checkpoint does not extend the one of `known` entries that it cosigned."""

    known: int


class Failed(Struct, frozen=True):
    """No cosignature this time, for the `reason` in the table above."""

    reason: str


Result: TypeAlias = Cosigned | RolledBack | Forked | Failed

_REQUESTS = 3
"""Per submission: one, one more when the witness names the size it knows, one when another was faster."""
_SIZE_TYPE = "text/x.tlog.size"
_HEADERS = {
    "Accept": "text/plain",
    "Accept-Encoding": "identity",
    "Content-Type": "text/plain",
    "User-Agent": "firedoor",
}


class WitnessClient:
    """One witness: `address` is its submission prefix, `keys` are its verifier keys. Used by one task at a time.

    Made and closed inside a running event loop. Raises `SetupError` for an address that is no URL, or without keys.
    """

    def __init__(
        self,
        address: str,
        keys: Sequence[Vkey],
        *,
        clock: Callable[[], float] = time.time,
        limits: WitnessLimits | None = None,
    ) -> None:
        self._url = _submission(address)
        if not keys:
            raise SetupError("A witness has no key.", remedy="Write its keys into the plan.")
        self._keys = tuple(keys)
        self._clock = clock
        self._limits = limits or WitnessLimits()
        self._known: dict[str, int] = {}
        self._session: aiohttp.ClientSession | None = None

    async def submit(
        self,
        checkpoint: Checkpoint,
        signatures: Sequence[Signature],
        proof: Callable[[int], Sequence[bytes]],
    ) -> Result:
        """Get `checkpoint` cosigned. `signatures` are the log's own; `proof(old)` proves that it extends `old` entries.

        `proof` reads the disk, so a thread calls it. Raises only what `proof` raises, and `EvidenceDamaged` if what it
        was given cannot be sent.
        """
        old = min(self._known.get(checkpoint.origin, 0), checkpoint.size)
        for _ in range(_REQUESTS):
            steps = tuple(await asyncio.to_thread(proof, old)) if 0 < old < checkpoint.size else ()
            body = encode(AddCheckpoint(old, steps, checkpoint, tuple(signatures)))
            try:
                status, kind, answer = await self._post(body)
                result = self._judge(checkpoint, old, status, kind, answer)
            except EvidenceDamaged:
                return Failed("garbage")
            except (aiohttp.ClientError, OSError, ValueError) as error:
                return Failed(_reason(error))
            if not isinstance(result, int):
                return result
            old = result
        return Failed("busy")

    async def aclose(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _judge(self, checkpoint: Checkpoint, old: int, status: int, kind: str, answer: bytes) -> Result | int:
        """The result, or the size to begin from in another request. Raises `EvidenceDamaged` for garbage."""
        if status == 200:
            return self._cosigned(checkpoint, decode(Cosignatures, answer))
        if status == 422:
            return Forked(old)
        if status != 409:
            return Failed("redirect" if 300 <= status < 400 else f"status_{status}")
        if kind != _SIZE_TYPE and old == checkpoint.size:
            return Forked(old)  # the specification gives this answer to another root of the same size no body
        known = decode(Conflict, answer).size
        if known > checkpoint.size:
            return RolledBack(known)
        if known == old:
            return Forked(known) if old == checkpoint.size else Failed("garbage")
        before, self._known[checkpoint.origin] = self._known.get(checkpoint.origin, 0), known
        return Failed("forgot") if known < before else known

    def _cosigned(self, checkpoint: Checkpoint, answer: Cosignatures) -> Result:
        try:
            verified = verify_signatures(checkpoint, answer.signatures, self._keys)
        except EvidenceDamaged:
            return Failed("bad_signature")
        if {v.vkey for v in verified} != set(self._keys):
            return Failed("incomplete")
        now = self._clock()
        if any(v.time is None or abs(v.time - now) > self._limits.clock_seconds for v in verified):
            return Failed("bad_time")
        self._known[checkpoint.origin] = checkpoint.size
        known = {(key.name, key.id) for key in self._keys}
        return Cosigned(tuple(s for s in answer.signatures if (s.name, s.id) in known))

    async def _post(self, body: bytes) -> tuple[int, str, bytes]:
        """Status, content type and body of the answer. Raises what aiohttp raises, TimeoutError, `_TooLarge`."""
        async with (
            asyncio.timeout(self._limits.seconds),
            self._open().post(self._url, data=body, headers=_HEADERS, allow_redirects=False) as response,
        ):
            if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
                raise EvidenceDamaged("A witness's answer is coded.")
            answer = bytearray()
            async for chunk in response.content.iter_any():
                answer += chunk
                if len(answer) > MESSAGE_LIMIT:
                    response.close()
                    raise _TooLarge
            return response.status, response.content_type, bytes(answer)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            limits = self._limits
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=1, keepalive_timeout=limits.keep_alive_seconds),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                max_line_size=limits.header_bytes,
                max_field_size=limits.header_bytes,
                max_headers=32,
            )
        return self._session


class _TooLarge(ValueError):
    """An answer over the limit."""


def _reason(error: Exception) -> str:
    """The reason code of what aiohttp or the system raised; its text may hold the witness's words and stays inside."""
    match error:
        case _TooLarge():
            return "too_large"
        case TimeoutError():
            return "timeout"
        case aiohttp.ClientConnectorError():
            return "refused"
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError() | OSError():
            return "died"
        case _:
            return "garbage"


def _submission(address: str) -> URL:
    try:
        url = URL(address)
        usable = url.scheme in {"http", "https"} and bool(url.host) and url.port is not None
    except ValueError:
        usable = False
    if not usable or url.user is not None or url.password is not None or url.query_string or url.fragment:
        raise SetupError(
            "A witness's address is not an http or https URL, or holds a user, a query or a fragment.",
            remedy="Write its submission prefix, for example https://witness.example:7380.",
        )
    return url.with_path(url.raw_path.rstrip("/") + "/add-checkpoint", encoded=True)
