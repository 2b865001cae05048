"""`firedoor switches nats` and `nats-key`: the NATS servers that carry switch tables between several hosts."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from firedoor.cli.options import HomeOption, RegionOption, planned_region
from firedoor.config import Home
from firedoor.core.natsconfig import render
from firedoor.core.nkeys import Credentials
from firedoor.errors import SetupError
from firedoor.store import planfile

_PLAN_BOUND = 15
"""The last of the 16 servers that a plan may name."""


def nats(
    region: RegionOption = None,
    server: Annotated[
        int, typer.Option("--server", help="Which of the servers in the plan, from 0.", min=0, max=_PLAN_BOUND)
    ] = 0,
    home: HomeOption = None,
) -> None:
    """Print the configuration of a region's NATS server. Only the global switch table passes between regions."""
    found = Home.find(home)
    loaded = planfile.load(found.plan)
    typer.echo(render(loaded, planned_region(found, loaded.plan, region).name, server), nl=False)


def nats_key(
    path: Annotated[Path, typer.Argument(help="The file to make.", metavar="FILE")],
) -> None:
    """Make a key for a NATS user in a file of its own, and print the public half for the servers."""
    made = Credentials(secrets.token_bytes(32))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        remedy = "Name another file: a key is never replaced." if isinstance(error, FileExistsError) else ""
        raise SetupError(f"{path} cannot be made: {error.strerror}.", remedy=remedy) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(made.file())
    typer.echo(made.public)
