"""`firedoor incident restore`: cases from the evidence, after control's database was lost."""

from __future__ import annotations

import msgspec
import typer

from firedoor.app.incidentrestore import restore as restore_cases
from firedoor.app.operator import as_operator
from firedoor.app.regionkeys import epochs, open_region
from firedoor.cli.options import HomeOption, JsonOption, RegionOption, echo_json, planned_region, printable
from firedoor.config import Home
from firedoor.store import planfile


def restore(home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Take up cases from the evidence that control's database lacks or cannot read. Stop control first.

    Nothing that the database holds and can read is changed. Exit status 1 if a case could not be taken up whole.
    """
    where = Home.find(home)
    loaded = planfile.load(where.plan)
    place = planned_region(where, loaded.plan, region)
    ring = open_region(place, loaded, where.plan.parent)
    done = as_operator(place, epochs(place, ring.worker()), lambda write: restore_cases(place, loaded, ring, write))
    if as_json:
        echo_json(msgspec.to_builtins(done))
    else:
        typer.echo(f"{done.region}: {done.entries} entries of {done.cases} cases came back from the evidence")
        for case, why in done.left.items():
            typer.echo(printable(f"  {case} is left as it was: {why}"), err=True)
    raise typer.Exit(1 if done.left else 0)
