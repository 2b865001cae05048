"""Make the folder of an installation ready for a plan. Can run twice; replaces nothing that holds a secret."""

from __future__ import annotations

from pathlib import Path

from firedoor.config import Home, RegionHome
from firedoor.core.plan.model import Loaded, Plan, SearchFallback
from firedoor.errors import SetupError
from firedoor.keys.root import create_root, load_root
from firedoor.store.catalog import build


def prepare(home: Home, loaded: Loaded, plan_folder: Path) -> None:
    """Folders, region roots and catalogue indexes. Raises `SetupError`, `KeyUnusable`."""
    for name in loaded.plan.regions:
        prepare_region(home.region(name), loaded.plan, plan_folder)


def prepare_region(place: RegionHome, plan: Plan, plan_folder: Path) -> None:
    """One region's share of `prepare`."""
    place.make()
    if place.root_key.exists():
        load_root(place.root_key, place.name)  # says now, not at the first request, that it cannot be used
    elif any(place.journals.iterdir()):
        raise SetupError(
            f"Region {place.name} has evidence but no root: a new root could not read it.",
            remedy="Restore root.json from its backup.",
        )
    else:
        create_root(place.root_key, place.name)
    for shop in sorted(searched_shops(plan, place.name)):
        source = catalog_source(plan, shop, plan_folder)
        index = place.catalog(shop)
        if not index.exists() or index.stat().st_mtime_ns < source.stat().st_mtime_ns:
            build(source, index)


def searched_shops(plan: Plan, region: str) -> set[str]:
    """Shops whose catalogue some surface of `region` falls back to."""
    return {
        shop
        for name, surface in plan.surfaces.items()
        if region in surface.models and isinstance(surface.fallback, SearchFallback)
        for shop in plan.shops
        if plan.serves(name, shop)
    }


def catalog_source(plan: Plan, shop: str, plan_folder: Path) -> Path:
    """The shop's catalogue file; a relative path counts from the plan's folder. Raises `SetupError`."""
    named = plan.shops[shop].catalog
    if named is None:
        raise SetupError(f"Shop {shop} has no catalogue.", remedy="Name one in the plan: `catalog:`.")
    path = plan_folder / named
    if not path.is_file():
        raise SetupError(f"The catalogue of {shop} is missing: {path}.", remedy="Correct `catalog:` in the plan.")
    return path
