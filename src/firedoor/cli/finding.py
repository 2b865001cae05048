"""What `firedoor scan pii` and `firedoor redact` share: a search with or without a surface of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from firedoor.app.brands import surface_brands
from firedoor.app.detectors import Detectors
from firedoor.config import Home
from firedoor.core.detect.brands import Brands
from firedoor.core.detect.spans import Detector
from firedoor.core.plan.model import PersonalDataRules, Plan, Surface
from firedoor.errors import SetupError
from firedoor.store import planfile

PlanOption = Annotated[Path | None, typer.Option("--plan", help="The plan that has the surface.", show_default=False)]
SurfaceOption = Annotated[
    str | None, typer.Option("--surface", help="Search as for this surface: its thresholds, its names of nobody.")
]
ShopOption = Annotated[
    str | None, typer.Option("--shop", help="Know the products of this shop only; else of all that the surface serves.")
]
DeepOption = Annotated[bool, typer.Option("--deep", help="Use the deep model too: slower, needs firedoor[deep].")]


class Search(NamedTuple):
    """A detector, and the surface whose settings it has, if one was named."""

    detector: Detector
    surface: Surface | None


def search(plan: Path | None, surface: str | None, shop: str | None, *, deep: bool) -> Search:
    """Load the detectors; the deep one too with `deep`, or if the surface uses it.

    Raises `typer.BadParameter`, `SetupError`, `PlanInvalid`.
    """
    if surface is None:
        if plan is not None or shop is not None:
            raise typer.BadParameter("--plan and --shop say whose the surface is: name it with --surface.")
        return Search(_pipeline(None, None, deep=deep), None)
    path = plan or Home.find().plan
    declared = planfile.load(path).plan
    if surface not in declared.surfaces:
        raise unknown("surface", surface, list(declared.surfaces))
    served = served_shops(declared, surface, shop)
    settings = declared.surfaces[surface]
    brands = surface_brands(declared, surface, served, path.parent)
    return Search(_pipeline(settings.personal_data, brands, deep=deep), settings)


def _pipeline(settings: PersonalDataRules | None, brands: Brands | None, *, deep: bool) -> Detector:
    return Detectors().pipeline(settings, brands, deep="always" if deep else None)


def served_shops(plan: Plan, surface: str, shop: str | None) -> list[str]:
    """The shops that have the surface, or the one named. Raises `SetupError`."""
    served = [name for name in plan.shops if plan.serves(surface, name)]
    if shop is None:
        return served
    if shop not in served:
        raise unknown("shop with this surface", shop, served)
    return [shop]


def unknown(what: str, name: str, known: list[str]) -> SetupError:
    """The error for a name that the plan does not have."""
    return SetupError(f"The plan has no {what} {name!r}.", remedy=f"It has: {', '.join(known) or 'none'}.")
