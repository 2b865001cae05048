"""`firedoor client-file`: what a shop's server needs to use `firedoor.client`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from firedoor.cli.options import HomeOption
from firedoor.config import Home
from firedoor.core.clientfile import client_file
from firedoor.errors import SetupError
from firedoor.store.files import write_atomic
from firedoor.store.planfile import load

NAME = "firedoor-client.json"


def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write it; made if it is not there.")],
    shop: Annotated[str, typer.Option("--shop", help="Shop of the plan.")],
    region: Annotated[str, typer.Option("--region", help="Region that the shop's server uses.")],
    home: HomeOption = None,
) -> None:
    """Write the shop's client file, and its catalogue index if a fallback searches it. No secrets are in either."""
    place = Home.find(home)
    settings = client_file(load(place.plan).plan, shop, region)
    index = place.region(region).catalog(shop)
    searched = any(surface.get("catalog") for surface in settings["surfaces"].values())
    if searched and not index.exists():
        raise SetupError(f"The catalogue of {shop} has no index yet.", remedy="Run `firedoor up` once; it builds it.")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / NAME, msgspec.json.format(msgspec.json.encode(settings)) + b"\n", 0o644)
    typer.echo(f"{folder / NAME}: shop {shop}, region {region}, surfaces {', '.join(settings['surfaces'])}")
    if searched:
        shutil.copyfile(index, folder / f"{shop}.sqlite")
        typer.echo(f"{folder / f'{shop}.sqlite'}: the catalogue that search fallbacks answer from")
    typer.echo("Put them on the shop's server; give it each surface's credential as FIREDOOR_CREDENTIAL_SURFACE.")
