"""`firedoor protect`: values and honeytokens that must not leave in an answer. They are never shown in clear again."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from firedoor.app.regionkeys import open_region
from firedoor.cli.options import HomeOption, JsonOption, RegionOption, echo_json, planned_region
from firedoor.config import Home
from firedoor.core.detect.protected import MAX_VALUES, ProtectedIndex, ProtectedValue
from firedoor.core.plan.model import Plan
from firedoor.errors import ActRefused, SetupError
from firedoor.store import planfile
from firedoor.store.files import read_bounded
from firedoor.store.protected import ProtectedFile, make_honeytoken, masked

LIST_LIMIT = 32 * 1024 * 1024
"""Bytes of a list of values; more cannot be kept anyway."""
TEST_LIMIT = 1_048_576
"""Characters read by `protect test`, as much as a request may hold."""

SetOption = Annotated[str, typer.Option("--set", help="Protected set, declared in the plan.")]

app = typer.Typer(no_args_is_help=True, help="Values and honeytokens that must not leave in an answer.")


@app.command()
def add(
    set_: SetOption,
    values: Annotated[list[str] | None, typer.Argument(help="Values, or - for one a line on stdin.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="One value a line; keeps them out of the shell's history.")
    ] = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Protect values. Gateway workers take them up by themselves."""
    plan, kept = _place(home, region)
    _check_set(plan, set_)
    texts = _texts(values or [], file)
    if not texts:
        raise ActRefused("no_values", "No values were given.", remedy="Give values, --file FILE, or - for stdin.")
    _print(kept.add(set_, "value", texts), as_json=as_json)


@app.command("list")
def list_values(home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Ids, sets and the ends of each value."""
    _, kept = _place(home, region)
    _print(list(kept.load()), as_json=as_json)


@app.command()
def remove(value_id: str, home: HomeOption = None, region: RegionOption = None) -> None:
    """Stop protecting one value."""
    _, kept = _place(home, region)
    removed = kept.remove(value_id)
    typer.echo(f"{removed.id} of {removed.set} is no longer protected")


@app.command()
def honeytoken(
    set_: SetOption,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 1,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make codes that stand for nothing, and protect them. They are printed this once."""
    plan, kept = _place(home, region)
    _check_set(plan, set_)
    tokens = [make_honeytoken(os.urandom(32)) for _ in range(count)]
    made = kept.add(set_, "honeytoken", tokens)
    if as_json:
        echo_json([{"id": value.id, "set": value.set, "token": value.text} for value in made])
        return
    for value in made:
        typer.echo(f"{value.id}  {value.text}")
    typer.echo(
        "Plant each where no shopper may look: one price list, one supplier record, one internal document each.\n"
        "An answer that holds one is stopped, and its id says where the leak came from. They are not shown again.",
        err=True,
    )


@app.command("test")
def find_in_text(home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Say which protected values the text on stdin holds. Exit status 1 if any."""
    _, kept = _place(home, region)
    text = sys.stdin.read(TEST_LIMIT + 1)
    if len(text) > TEST_LIMIT:
        raise ActRefused("text_too_long", f"At most {TEST_LIMIT} characters are tested at a time.")
    hits = ProtectedIndex.build(kept.load()).find(text)
    if as_json:
        echo_json([hit._asdict() for hit in hits])
    else:
        for hit in hits:
            typer.echo(f"{hit.value_id}  {hit.set}  {hit.kind}  characters {hit.start}-{hit.end}")
        if not hits:
            typer.echo("no protected value")
    raise typer.Exit(1 if hits else 0)


def _place(home: Path | None, region: str | None) -> tuple[Plan, ProtectedFile]:
    """The plan, and the region's protected values."""
    found = Home.find(home)
    loaded = planfile.load(found.plan)
    where = planned_region(found, loaded.plan, region)
    return loaded.plan, ProtectedFile(where.protected, open_region(where, loaded, found.plan.parent).worker().protect)


def _check_set(plan: Plan, name: str) -> None:
    if name not in plan.protected:
        declared = ", ".join(sorted(plan.protected)) or "none"
        raise ActRefused("unknown_set", f"The plan declares no protected set {name}.", remedy=f"Declared: {declared}.")


def _texts(values: list[str], file: Path | None) -> list[str]:
    lines: list[str] = []
    if file is not None:
        try:
            lines += read_bounded(file, LIST_LIMIT).decode().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SetupError(f"{file} cannot be read as UTF-8 text.") from error
    if values == ["-"]:
        lines += sys.stdin.read(LIST_LIMIT).splitlines()
    else:
        lines += values
    texts = [line.strip() for line in lines if line.strip()]
    if len(texts) > MAX_VALUES:
        raise ActRefused("too_many_values", f"A region has at most {MAX_VALUES} protected values.")
    return texts


def _print(values: list[ProtectedValue], *, as_json: bool) -> None:
    rows = [{"id": v.id, "set": v.set, "kind": v.kind, "masked": masked(v.text)} for v in values]
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        typer.echo(f"{row['id']}  {row['set']:<24} {row['kind']:<10} {row['masked']}")
