"""Make the folder of an installation ready for a plan. Can run twice; replaces nothing that holds a secret."""

from __future__ import annotations

import contextlib
from pathlib import Path

from firedoor.app.identity import has_identity
from firedoor.app.regionkeys import make_region
from firedoor.config import Home, RegionHome
from firedoor.core.plan.model import Loaded, Plan, SearchFallback
from firedoor.errors import SetupError
from firedoor.store.catalog import build


def prepare(home: Home, loaded: Loaded, plan_folder: Path) -> None:
    """Folders, regions' keys and catalogue indexes. Raises `SetupError`, `KeyUnusable`."""
    for name in loaded.plan.regions:
        prepare_region(home.region(name), loaded, plan_folder)


def prepare_region(place: RegionHome, loaded: Loaded, plan_folder: Path) -> None:
    """One region's share of `prepare`. Raises `SetupError`, and `KeyUnusable` if it has no keys and can get none.

    A ring that is there is not opened here.
    """
    prepare_files(place, loaded, plan_folder)
    if not place.ring.exists() or not has_identity(place):
        make_region(place, loaded, plan_folder)


def prepare_files(place: RegionHome, loaded: Loaded, plan_folder: Path) -> None:
    """What a region's gateways need to give fallbacks: folders and catalogue indexes, no keys. Raises `SetupError`.

    A catalogue that no fallback needs only tells the names of products, which are nobody's: without it, workers go on.
    """
    try:
        place.make()
    except OSError as error:
        raise SetupError(
            f"The folder of region {place.name} cannot be made: {error.strerror}.", remedy="Check its owner and disk."
        ) from error
    searched = searched_shops(loaded.plan, place.name)
    for shop in sorted(searched):
        _index(place, loaded.plan, shop, plan_folder)
    for shop in sorted(_served_shops(loaded.plan, place.name) - searched):
        with contextlib.suppress(SetupError):
            _index(place, loaded.plan, shop, plan_folder)


def _index(place: RegionHome, plan: Plan, shop: str, plan_folder: Path) -> None:
    """Build the index of a shop's catalogue, if the catalogue is newer. Raises `SetupError`."""
    source, index = catalog_source(plan, shop, plan_folder), place.catalog(shop)
    if not index.exists() or index.stat().st_mtime_ns < source.stat().st_mtime_ns:
        build(source, index)


def _served_shops(plan: Plan, region: str) -> set[str]:
    """Shops with a catalogue for which a model instance of `region` is asked."""
    return {
        shop
        for name, surface in plan.surfaces.items()
        if region in surface.models or region in surface.embeddings
        for shop in plan.shops
        if plan.serves(name, shop) and plan.shops[shop].catalog is not None
    }


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
