"""The words that all sections of a plan are written with: names, texts, durations, roles."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from firedoor.core.patterns import END

Name = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,62}" + END, description="lower-case name: letters, digits, - and _")
]
CountryCode = Annotated[
    str,
    Meta(pattern=r"^([A-Z]{2}(-[A-Z0-9]{1,3})?|EEA)" + END, description="ISO 3166 code, or EU / EEA for all members"),
]
Language = Annotated[str, Meta(pattern=r"^[a-z]{2}" + END, description="ISO 639-1 code")]
Text = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=4000,
        pattern=r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$",
        description="text of 1 to 4000 characters, without control characters",
    ),
]
Url = Annotated[str, Meta(pattern=r"^https?://[^\s]+" + END, description="URL: http:// or https://")]
PublicKey = Annotated[
    str,
    Meta(pattern=r"^ed25519:[A-Za-z0-9+/]{43}=" + END, description="public key: ed25519: and 44 characters of base64"),
]
Role = Literal[
    "incident_commander", "platform_engineer", "ai_engineer", "soc_analyst", "dpo", "communications", "legal"
]
ROLES: tuple[Role, ...] = get_args(Role)

DAY = 86_400


class Duration(float):
    """Seconds, written as ``250ms``, ``2s``, ``1m``, ``12h`` or ``30d`` in the plan."""

    def __str__(self) -> str:
        if self >= DAY and self % DAY == 0:
            return f"{self / DAY:g}d"
        return f"{self:g}s" if self >= 1 else f"{self * 1000:g}ms"


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every mapping of the plan: immutable, and an unknown key is an error. `kw_only` does not inherit."""
