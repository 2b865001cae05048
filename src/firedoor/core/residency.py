"""Who may enter this region's gateway, decided from the request head alone: the body of a stranger is never read.

The steps, in order: (1) a credential is there, (2) it names this region, (3) it is known, in force and covers a
declared surface, (4) the stated jurisdiction is served here, (5) the stated role is one of the plan's, (6) the stated
address is one. Headers can only make the verdict stricter.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from msgspec import Struct

from firedoor.core.plan.lookup import JurisdictionTable
from firedoor.core.plan.model import Plan
from firedoor.errors import CallerError

_JURISDICTION = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?\Z")
SHOPPER = "shopper"
"""The role of a caller who may receive no protected set."""
MAX_HEADER = 256
"""Characters of an identifying header. Shop platforms' ids and session tokens are below 128."""


class Head(Struct, frozen=True):
    """The headers that matter, each at most once; None when absent."""

    authorization: str | None = None
    jurisdiction: str | None = None
    subject: str | None = None
    session: str | None = None
    address: str | None = None
    role: str | None = None


class Grant(Struct, frozen=True):
    """What a credential opens: one surface of one shop in one region, for callers of a role (None: shoppers)."""

    id: str
    shop: str
    surface: str
    role: str | None = None


class Admitted(Struct, frozen=True):
    """The request may be read."""

    grant: Grant
    jurisdiction: str | None
    granted: frozenset[str] = frozenset()
    """Protected sets that the caller may receive."""
    network: str | None = None
    """The network that the shopper's device is in, as far as a household or a company has one."""


class Residency:
    """The rules of one region."""

    def __init__(self, plan: Plan, region: str, jurisdictions: JurisdictionTable) -> None:
        self._plan = plan
        self._region = region
        self._jurisdictions = jurisdictions

    def admit(self, head: Head, find: Callable[[str], Grant | None]) -> Admitted:
        """The grant and the jurisdiction, or `CallerError` 400, 401, 403 or 421. `find` knows tokens in force."""
        token = _bearer(head.authorization)  # 1
        named = region_named(token)  # 2
        if named != self._region:
            if named in self._plan.regions:
                raise self._misdirected(named)
            raise _unauthorized()
        grant = find(token)  # 3
        if grant is None or not self._plan.serves(grant.surface, grant.shop):
            raise _unauthorized()
        jurisdiction, granted = self._jurisdiction(head, grant), self._granted(head, grant)  # 4, 5
        return Admitted(grant, jurisdiction, granted, _network(head.address))  # 6

    def _granted(self, head: Head, grant: Grant) -> frozenset[str]:
        """What the credential's role may receive; a role that the shop's server states only takes away from it."""
        granted = self._plan.granted(grant.role, grant.surface)
        if head.role is None:
            return granted
        if head.role != SHOPPER and head.role not in self._plan.grants:
            raise CallerError(400, "invalid_role", "Firedoor-Role must be shopper, or a role of the plan.")
        return granted & self._plan.granted(head.role, grant.surface)

    def _jurisdiction(self, head: Head, grant: Grant) -> str | None:
        stated = head.jurisdiction
        if stated is None:
            home = self._plan.shops[grant.shop].home
            return home if self._jurisdictions.region_of(home) == self._region else None
        if not _JURISDICTION.match(stated):
            raise CallerError(400, "invalid_jurisdiction", "Firedoor-Jurisdiction must be an ISO 3166 code.")
        serving = self._jurisdictions.region_of(stated)
        if serving is None:
            raise CallerError(403, "jurisdiction_not_served", "No region of the plan serves that jurisdiction.")
        if serving != self._region:
            raise self._misdirected(serving)
        return stated

    def _misdirected(self, region: str) -> CallerError:
        address = self._plan.regions[region].address
        return CallerError(
            421,
            "wrong_region",
            f"This exchange belongs to region {region}: {address}",
            headers=(("firedoor-region", region), ("firedoor-address", address), ("connection", "close")),
        )


def region_named(token: str) -> str | None:
    """The region in ``fd_REGION_ID_SECRET``; None for anything else."""
    if not token.startswith("fd_"):
        return None
    parts = token[3:].rsplit("_", 2)
    return parts[0] if len(parts) == 3 else None


def _network(address: str | None) -> str | None:
    """The /24 of an IPv4 address or the /56 of an IPv6 one, which is what providers give to one customer (RIPE-690)."""
    if address is None:
        return None
    try:
        found = ipaddress.ip_address(address.strip().partition("%")[0])
    except ValueError:
        problem = "Firedoor-Client-Address must be an IP address without a port."
        raise CallerError(400, "invalid_address", problem) from None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    prefix = 24 if found.version == 4 else 56
    return str(ipaddress.ip_network(f"{found}/{prefix}", strict=False))


def _bearer(header: str | None) -> str:
    if header is None or not header[:7].lower() == "bearer " or len(header) > MAX_HEADER:
        raise _unauthorized()
    return header[7:].strip()


def _unauthorized() -> CallerError:
    return CallerError(
        401,
        "invalid_credential",
        "The credential is missing, unknown, expired or revoked.",
        headers=(("www-authenticate", "Bearer"),),
    )
