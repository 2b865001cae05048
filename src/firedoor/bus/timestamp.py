"""Asks a time-stamp authority (RFC 3161) to vouch for when a checkpoint existed, and verifies its tokens.

The authority sees one SHA-256 and a random number. A token is the whole response, in DER, as `openssl ts` reads it; it
is verified when it comes and may be verified at any later time: its certificates need only have been valid when it was
made. Needs the package rfc3161-client.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import aiohttp
from cryptography.x509 import Certificate, load_pem_x509_certificates
from msgspec import Struct
from yarl import URL

from firedoor.errors import EvidenceDamaged, SetupError, TimestampFailed

if TYPE_CHECKING:
    from rfc3161_client import TimeStampResponse, VerifierBuilder

TOKEN_LIMIT = 65_536
"""Bytes of a token: a signature and up to a dozen certificates of 2 kB."""
CERTIFICATES_LIMIT = 262_144
"""Bytes of a PEM file with an authority's certificates."""
CERTIFICATES = 64
"""Certificates in it: the roots and intermediates of a few authorities."""

_HEADERS = {
    "Accept": "application/timestamp-reply",
    "Accept-Encoding": "identity",
    "Content-Type": "application/timestamp-query",
    "User-Agent": "firedoor",
}
_REMEDY = "Evidence goes on without it; look at the plan's `evidence.timestamps` if this lasts."


class TimestampLimits(Struct, frozen=True, kw_only=True):
    """Bounds on an authority's behaviour, each with its reason."""

    connect_seconds: float = 5.0
    """It may be on another continent."""
    seconds: float = 20.0
    """For the whole answer: public authorities are slow, and nothing waits for them."""
    clock_seconds: int = 300
    """How far its time may be from ours: well-kept clocks differ by less than a second."""


class Token(Struct, frozen=True):
    """A verified token and the time it vouches for (seconds since the epoch)."""

    data: bytes
    time: int


class TimestampAuthority:
    """One authority at `url`; `certificates` is PEM with its roots, and intermediates if it sends none.

    Raises `SetupError` if a package is missing, or the URL or the certificates cannot be used.
    """

    def __init__(
        self,
        url: str,
        certificates: bytes,
        *,
        clock: Callable[[], float] = time.time,
        limits: TimestampLimits | None = None,
    ) -> None:
        _package()
        self._url = _address(url)
        self._certificates = certificates
        _split(certificates)
        self._clock = clock
        self._limits = limits or TimestampLimits()

    async def stamp(self, message: bytes) -> Token:
        """A token over `message`, of which only the SHA-256 leaves. Raises `TimestampFailed`.

        Its reasons: `refused` (nobody listens), `timeout`, `died`, `too_large`, `garbage` (not a reply),
        `status_NNN`, `bad_token` (it does not verify), `bad_time` (its clock or ours is wrong).
        """
        rfc3161 = _package()
        builder = rfc3161.TimestampRequestBuilder().data(message)
        request = builder.hash_algorithm(rfc3161.HashAlgorithm.SHA256).build()
        try:
            data = await self._post(request.as_bytes())
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failed(_reason(error)) from None
        try:
            moment = _verify(data, message, self._certificates, rfc3161.VerifierBuilder.from_request(request))
        except EvidenceDamaged as error:
            raise TimestampFailed("bad_token", error.message, remedy=_REMEDY) from error
        if abs(moment - self._clock()) > self._limits.clock_seconds:
            raise _failed("bad_time")
        return Token(data, moment)

    async def _post(self, body: bytes) -> bytes:
        limits = self._limits
        session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_headers=64,
        )
        async with (
            session,
            asyncio.timeout(limits.seconds),
            session.post(self._url, data=body, headers=_HEADERS, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise _failed(f"status_{response.status}")
            if response.content_type != "application/timestamp-reply":
                raise _failed("garbage")
            data = bytearray()
            async for chunk in response.content.iter_any():
                data += chunk
                if len(data) > TOKEN_LIMIT:
                    raise _failed("too_large")
            return bytes(data)


def verify_token(data: bytes, message: bytes, certificates: bytes) -> int:
    """The time (seconds since the epoch) at which an authority under `certificates` (PEM) saw `message`.

    Raises `EvidenceDamaged` if the token does not verify, `SetupError` for unusable certificates or a missing package.
    """
    return _verify(data, message, certificates, _package().VerifierBuilder())


def _verify(data: bytes, message: bytes, certificates: bytes, builder: VerifierBuilder) -> int:
    rfc3161 = _package()
    roots, intermediates = _split(certificates)
    for root in roots:
        builder = builder.add_root_certificate(root)
    for intermediate in intermediates:
        builder = builder.add_intermediate_certificate(intermediate)
    if len(data) > TOKEN_LIMIT:
        raise EvidenceDamaged(f"A time-stamp token is larger than {TOKEN_LIMIT} bytes.")
    try:
        response: TimeStampResponse = rfc3161.decode_timestamp_response(data)
        builder.build().verify_message(response, message)
        return int(response.tst_info.gen_time.timestamp())
    except (rfc3161.VerificationError, ValueError) as error:
        raise EvidenceDamaged(f"A time-stamp token does not verify: {_why(error)}.") from error


def _why(error: Exception) -> str:
    """A phrase for what went wrong, in our words: the library's may quote the token."""
    text = str(error)
    known = {
        "Mismatch between messages": "it is for something else",
        "Nonce mismatch": "it answers another request",
        "PKIStatus is not GRANTED": "the authority did not grant it",
        "Error while verifying certificates": "its signature is not by an authority under the plan's certificates",
    }
    return next((phrase for start, phrase in known.items() if text.startswith(start)), "it is not a whole token")


def _split(certificates: bytes) -> tuple[list[Certificate], list[Certificate]]:
    """Roots, which issued themselves, and the others. Raises `SetupError`."""
    remedy = "Put the authority's root certificate, and its intermediates, into one PEM file."
    try:
        found = load_pem_x509_certificates(certificates[: CERTIFICATES_LIMIT + 1])
    except ValueError as error:
        raise SetupError("The time-stamp authority's certificates are not PEM.", remedy=remedy) from error
    roots = [certificate for certificate in found if certificate.issuer == certificate.subject]
    if not roots or len(found) > CERTIFICATES or len(certificates) > CERTIFICATES_LIMIT:
        raise SetupError("The time-stamp authority's certificates have no root, or are too many.", remedy=remedy)
    return list(dict.fromkeys(roots)), list(dict.fromkeys(c for c in found if c not in roots))


def _package() -> Any:
    try:
        import rfc3161_client  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise SetupError(
            "The package rfc3161-client is not installed.", remedy='Install it: pip install "firedoor[timestamps]".'
        ) from error
    return rfc3161_client


def _failed(reason: str) -> TimestampFailed:
    return TimestampFailed(reason, f"The time-stamp authority gave no token: {reason}.", remedy=_REMEDY)


def _reason(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "timeout"
        case aiohttp.ClientConnectorError():
            return "refused"
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError() | OSError():
            return "died"
        case _:
            return "garbage"


def _address(text: str) -> URL:
    try:
        url = URL(text)
        usable = url.scheme in {"http", "https"} and bool(url.host) and url.port is not None
    except ValueError:
        usable = False
    if not usable or url.user is not None or url.password is not None or url.fragment:
        raise SetupError(
            "A time-stamp authority's url is not an http or https URL, or holds a user or a fragment.",
            remedy="Write its address, for example https://tsa.example/tsr.",
        )
    return url
