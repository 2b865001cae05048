"""The names that are nobody's on one surface: what its plan says, and the products of the shops it serves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from firedoor.app.prepare import catalog_source
from firedoor.core.detect.brands import Brands
from firedoor.core.plan.model import Plan
from firedoor.store.catalog import read_products


def surface_brands(plan: Plan, surface: str, shops: Iterable[str], plan_folder: Path) -> Brands:
    """The brands of `surface` in `shops`; shops without a catalogue add none. Raises `SetupError`."""
    sources = [catalog_source(plan, shop, plan_folder) for shop in shops if plan.shops[shop].catalog is not None]
    return Brands(plan.surfaces[surface].personal_data.not_personal, _products(sources))


def _products(sources: Iterable[Path]) -> Iterator[str]:
    for source in sources:
        for product in read_products(source):
            if product.visible:  # variants carry the same name and a size
                yield product.name
