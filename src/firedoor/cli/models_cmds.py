"""`firedoor models`: whether the model instances are still the ones that somebody said are right; isolating one."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from firedoor.app.modelwatch import RegionLooker
from firedoor.app.regionkeys import open_region
from firedoor.cli.isolation_cmds import isolate, isolated
from firedoor.cli.options import HomeOption, JsonOption, RegionOption, echo_json, moment, planned_region, printable
from firedoor.config import Home
from firedoor.core.integrity import Baseline, Verified
from firedoor.core.plan.model import Loaded
from firedoor.errors import FiredoorError, SetupError
from firedoor.store import planfile
from firedoor.store.baselines import BaselineFile

ModelsArgument = Annotated[
    list[str] | None, typer.Argument(help="Model instances; without: those that the plan has watched.")
]

app = typer.Typer(
    no_args_is_help=True, help="Whether model instances are still the ones they should be; isolating one that is not."
)
app.command()(isolate)
app.command()(isolated)


@app.command()
def baseline(
    models: ModelsArgument = None, home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False
) -> None:
    """Say that model instances are right as they are now. They must run; every probe is asked three times."""
    found = Home.find(home)
    loaded = planfile.load(found.plan)
    rows: list[dict[str, Any]] = []
    for where, names in _chosen(found, loaded, models or [], region).items():
        kept = _kept(found, loaded, where)
        before = kept.load()
        taken = asyncio.run(_take(RegionLooker(found.region(where), loaded, found.plan.parent), names))
        kept.take(taken)
        rows += [_row(where, name, before.get(name), taken[name]) for name in names]
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        typer.echo(f"{row['region']}/{row['model']}: baseline of {len(row['used'])} items, {row['before']}")
        for item, why in row["not_used"].items():
            typer.echo(printable(f"  not used: {item} ({why})"))


@app.command()
def verify(
    models: ModelsArgument = None, home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False
) -> None:
    """Compare with the baselines now. Exits 0 if all are the same, 1 if one changed, 2 if one cannot be verified."""
    try:
        found = Home.find(home)
        loaded = planfile.load(found.plan)
        verified = [
            (where, name, one)
            for where, names in _chosen(found, loaded, models or [], region).items()
            for name, one in _verified(found, loaded, where, names).items()
        ]
    except FiredoorError as error:  # status 1 would say that something changed
        typer.echo(f"firedoor: {error}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        echo_json(
            [
                {"region": where, "model": name, "state": one.state, "what": one.what, "not_seen": one.unseen}
                for where, name, one in verified
            ]
        )
    else:
        for where, name, one in verified:
            typer.echo(printable(f"{where}/{name}: {_said(one)}"))
    states = {one.state for _, _, one in verified}
    raise typer.Exit(1 if "drift" in states else 0 if states == {"same"} else 2)


def _verified(home: Home, loaded: Loaded, region: str, names: list[str]) -> dict[str, Verified]:
    """Raises `FiredoorError` if the baselines cannot be opened."""
    baselines = _kept(home, loaded, region).load()
    looker = RegionLooker(home.region(region), loaded, home.plan.parent)

    async def looks() -> dict[str, Verified]:
        try:
            return {name: await looker.verify(name, baselines.get(name)) for name in names}
        finally:
            await looker.aclose()

    return asyncio.run(looks())


async def _take(looker: RegionLooker, names: list[str]) -> dict[str, Baseline]:
    """All or none. Raises `SetupError`."""
    taken: dict[str, Baseline] = {}
    try:
        for name in names:
            try:
                taken[name] = await looker.baseline(name)
            except SetupError as error:
                raise SetupError(f"{name}: {error.message}", remedy=error.remedy) from None
    finally:
        await looker.aclose()
    return taken


def _chosen(home: Home, loaded: Loaded, named: list[str], region: str | None) -> dict[str, list[str]]:
    """The model instances to look at, by region. Raises `SetupError`."""
    plan = loaded.plan
    for name in named:
        if name not in plan.models:
            raise SetupError(f"The plan has no model instance {name}.", remedy=f"It has: {', '.join(plan.models)}.")
    wanted = named or [name for name, model in plan.models.items() if model.integrity is not None]
    only = planned_region(home, plan, region).name if region is not None else None
    chosen: dict[str, list[str]] = {}
    for name in dict.fromkeys(wanted):
        where = plan.models[name].region
        if only in {None, where}:
            chosen.setdefault(where, []).append(name)
    if not chosen:
        raise SetupError(
            "The plan has no model instance watched.", remedy="Write `integrity: {}` at one, or name model instances."
        )
    return chosen


def _kept(home: Home, loaded: Loaded, region: str) -> BaselineFile:
    place = home.region(region)
    return BaselineFile(place.baselines, open_region(place, loaded, home.plan.parent).worker().protect)


def _row(region: str, name: str, before: Baseline | None, taken: Baseline) -> dict[str, Any]:
    said = f"in the place of the one of {moment(before.at)}" if before is not None else "the first one"
    return {
        "region": region, "model": name, "used": sorted(taken.items), "not_used": taken.unused, "before": said,
    }  # fmt: skip


def _said(one: Verified) -> str:
    unseen = ", ".join(sorted(f"{item} ({why})" for item, why in one.unseen.items()))
    if one.state == "same":
        return "the same as its baseline"
    if one.state == "drift":
        also = f"; not seen: {unseen}" if unseen else ""
        return f"NOT THE SAME as its baseline: {', '.join(one.changed)}{also}"
    return f"NOT VERIFIED: {unseen}"
