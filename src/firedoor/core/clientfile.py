"""What a shop's server must know to use one region's gateway, and to answer when no gateway does. No secrets in it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from firedoor.core.patterns import END
from firedoor.core.plan.model import Fallback, Plan, SearchFallback
from firedoor.core.plan.words import Name
from firedoor.errors import SetupError

MAX_FILE = 4_194_304
"""Bytes of a client file. A plan with 100 surfaces and texts in ten languages makes about 300 kB."""


class SurfaceFallback(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One surface as the shop's server sees it. Times in seconds.

    `deadline` bounds a whole answer and the first words of a stream, `stream_deadline` a whole stream. `catalog` is
    the path of the full-text index that a search fallback answers from.
    """

    surface: Name
    model: Annotated[str, Meta(min_length=1)]
    deadline: Annotated[float, Meta(gt=0, le=600)]
    fallback: Fallback
    stream_deadline: Annotated[float, Meta(gt=0, le=3600)] = 120.0
    catalog: str | None = None


class ClientFile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file. `base_url` is the region's gateway with ``/v1``."""

    firedoor_client: Literal[1]
    plan: str
    shop: Name
    region: Name
    base_url: Annotated[str, Meta(pattern=r"^https?://[^\s/]+/v1" + END)]
    surfaces: dict[Name, SurfaceFallback]


def client_file(plan: Plan, shop: str, region: str) -> dict[str, Any]:
    """The file for one shop in one region, ready for JSON: every surface that a model instance serves there.

    A search fallback's index is named ``SHOP.sqlite``, beside the file. Raises `SetupError` when the plan has no such
    shop or region, or no surface for them.
    """
    if shop not in plan.shops or region not in plan.regions:
        raise SetupError(f"The plan has no shop {shop!r} or no region {region!r}.", remedy="See `firedoor check`.")
    surfaces = {
        name: SurfaceFallback(
            surface=name,
            model=plan.models[surface.models[region]].name,
            deadline=float(surface.deadline),
            stream_deadline=float(surface.stream_deadline),
            fallback=surface.fallback,
            catalog=f"{shop}.sqlite" if isinstance(surface.fallback, SearchFallback) else None,
        )
        for name, surface in plan.surfaces.items()
        if plan.serves(name, shop) and region in surface.models
    }
    if not surfaces:
        raise SetupError(f"No surface of {shop!r} is served in {region!r}.", remedy="Name another region.")
    made: dict[str, Any] = msgspec.to_builtins(
        ClientFile(
            firedoor_client=1,
            plan=plan.name,
            shop=shop,
            region=region,
            base_url=f"{plan.regions[region].address}/v1",
            surfaces=surfaces,
        )
    )
    return made


def parse_client_file(data: bytes, source: str) -> ClientFile:
    """Decode and check a client file; `source` names it in errors. Raises `SetupError`."""
    try:
        if len(data) > MAX_FILE:
            raise msgspec.ValidationError(f"it is larger than {MAX_FILE} bytes")
        return msgspec.json.decode(data, type=ClientFile)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as problem:
        what = str(problem) if isinstance(problem, msgspec.ValidationError) else "it is not JSON"
        raise SetupError(f"{source} is not a client file: {what}.", remedy="Export it again.") from None
