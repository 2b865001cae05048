"""``firedoor init``, ``check`` and ``schema``: write a plan to start from, and say what a plan means."""

from __future__ import annotations

import json
import shlex
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from firedoor.cli.options import HomeOption, JsonOption
from firedoor.config import HOME_VARIABLE, Home
from firedoor.core.plan.checks_people import STARTERS, command
from firedoor.core.plan.overview import Overview, overview
from firedoor.core.plan.schema import plan_schema
from firedoor.core.plan.words import Duration
from firedoor.errors import PlanInvalid, Problem, SetupError
from firedoor.models.installed import deep_lack
from firedoor.store import planfile
from firedoor.store.files import write_atomic

WRITTEN = {
    "starter-plan.yaml": "plan.yaml",
    "plan.schema.json": "plan.schema.json",
    "sample-catalog.jsonl": "catalog.jsonl",
}
"""What `init` writes: the shipped file and its name beside the plan."""

app = typer.Typer(help="The plan: start one, check one.", no_args_is_help=True)


@app.command()
def init(
    folder: Annotated[
        Path | None, typer.Argument(help="Where to write it; $FIREDOOR_HOME or .firedoor unless named.", metavar="DIR")
    ] = None,
) -> None:
    """Write a plan to start from, its JSON Schema for editors, and a sample catalogue."""
    root = folder or Home.find().root
    try:
        written = _write_starter(root)
    except SetupError as error:
        _fail(error)
    for path in written:
        typer.echo(f"wrote {path}")
    if root.absolute() != Home.find().root:
        typer.echo(f"Work on this folder from here on:\n  export {HOME_VARIABLE}={shlex.quote(str(root.absolute()))}")
    typer.echo("Next, add the people who act in an incident; each command makes a key:")
    for person, (name, roles) in STARTERS.items():
        typer.echo(f"  {command(person, name, *roles)}")
    typer.echo("Then: firedoor check")


@app.command()
def check(
    plan: Annotated[
        Path | None, typer.Argument(help="The plan; plan.yaml in $FIREDOOR_HOME or .firedoor unless named.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a plan means, or everything that is wrong with it. Exits 0, 1 with problems, 2 if it cannot be read."""
    path = plan or Home.find(home).plan
    try:
        loaded = planfile.load(path)
    except PlanInvalid as invalid:
        typer.echo(_problems_json(path, invalid.problems) if as_json else problems_text(str(path), invalid))
        raise typer.Exit(1) from None
    except SetupError as error:
        _fail(error)
    for where, name in planfile.missing_files(loaded.plan, path.parent):
        typer.echo(f"{path}: {where}: the file {name} is not there (yet).", err=True)
    deep = [name for name, surface in loaded.plan.surfaces.items() if surface.personal_data.deep != "off"]
    lack = deep_lack() if deep else None
    if lack is not None:
        typer.echo(f"{path}: surfaces.{deep[0]}.personal_data.deep: here: {lack.message}\n    {lack.remedy}", err=True)
    meaning = overview(loaded)
    if meaning.not_called:
        said = (
            f"who is called in an incident is not reached in {', '.join(meaning.not_called)}: no system is told of it"
        )
        typer.echo(f"{path}: incidents.systems: {said}\n    Give one that stands there a `webhook`.", err=True)
    if as_json:
        typer.echo(json.dumps({"ok": True, "source": str(path), **msgspec.to_builtins(meaning)}, ensure_ascii=False))
    else:
        _show(path, meaning)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a plan."""
    typer.echo(json.dumps(plan_schema(), indent=2, ensure_ascii=False))


def _write_starter(root: Path) -> list[Path]:
    """Write the files. Raises `SetupError` before any write when a plan or catalogue is there already."""
    shipped = files("firedoor") / "data"
    contents = {root / name: (shipped / source).read_bytes() for source, name in WRITTEN.items()}
    taken = [path for path in contents if path.exists() and path.name != "plan.schema.json"]
    if taken:
        raise SetupError(f"{taken[0]} is there already.", remedy="Choose another folder, or move it away.")
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, content in contents.items():
            write_atomic(path, content, 0o644)
    except OSError as error:
        raise SetupError(f"{root} cannot be written: {error.strerror}.", remedy="Choose another folder.") from None
    return list(contents)


def problems_text(path: str, invalid: PlanInvalid) -> str:
    """Every problem: line, path, message, and what to do."""
    blocks = []
    for problem in invalid.problems:
        lines = [f"{path}:{problem.line}: {problem.path}: {problem.message}"]
        lines += [f"    {problem.remedy}"] if problem.remedy else []
        blocks.append("\n".join(lines))
    return "\n".join([*blocks, invalid.message])


def _problems_json(path: Path, problems: list[Problem]) -> str:
    rows = [
        {"line": problem.line, "path": problem.path, "message": problem.message, "remedy": problem.remedy}
        for problem in problems
    ]
    return json.dumps({"ok": False, "source": str(path), "problems": rows}, ensure_ascii=False)


def _show(path: Path, plan: Overview) -> None:
    console = Console()
    console.print(f"{path}: plan {plan.name}, in order", markup=False, highlight=False, soft_wrap=True)
    console.print(f"sha256 {plan.digest}", markup=False, highlight=False, soft_wrap=True)
    console.print(
        _table(
            "Regions",
            ("region", "jurisdictions", "address", "listens on", "workers", "model instances"),
            [(r.region, _list(r.jurisdictions), r.address, r.listen, r.workers, _list(r.models)) for r in plan.regions],
        ),
        _table(
            "Surfaces",
            ("shop", "surface", "region", "model", "deadline", "fallback", "personal data", "protect"),
            [
                (
                    s.shop,
                    s.surface,
                    s.region,
                    _list([m for m in (s.model, s.embeddings) if m])
                    if s.model or s.embeddings
                    else "none: fallback only",
                    Duration(s.deadline),
                    s.fallback,
                    s.personal_data,
                    _list(s.protect),
                )
                for s in plan.surfaces
            ],
        ),
        _table(
            "People",
            ("person", "name", "roles", "may open", "reached by"),
            [(p.person, p.name, _list(p.roles), _yes(p.may_open), _list(p.reached_by)) for p in plan.people],
        ),
        _table(
            "Called in an incident",
            ("role", "in turns", "then"),
            [(d.role, "; ".join(d.shifts) or "nobody", _list(d.then)) for d in plan.duties],
        ),
        _table(
            "Opens a case",
            ("findings", "verdicts", "how often", "then by itself", "seen by"),
            [
                (_list(o.findings), _list(o.verdicts), o.often, _list(o.then), _list(o.seen_by or ("everybody",)))
                for o in plan.opens
            ],
        ),
        *([_systems(plan)] if plan.systems else []),
        _table("Law", ("what", "value"), [(row.what, row.value) for row in plan.legal]),
        _table("Jurisdictions", ("served by", "jurisdictions"), _by_region(plan)),
    )


def _systems(plan: Overview) -> Table:
    return _table(
        "Other systems",
        ("system", "told of", "stands in", "may open cases"),
        [(s.system, s.told, s.jurisdiction or "", _yes(s.opens)) for s in plan.systems],
    )


def _by_region(plan: Overview) -> list[tuple[str, str]]:
    return [
        (row.region, " ".join(code for code, region in plan.jurisdictions.items() if region == row.region))
        for row in plan.regions
    ]


def _table(title: str, columns: tuple[str, ...], rows: list[Any]) -> Table:
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))  # Text: brackets in a name are no markup
    return table


def _yes(said: bool) -> str:
    return "yes" if said else "no"


def _list(words: tuple[str, ...] | list[str]) -> str:
    return ", ".join(words) or "none"


def _fail(error: SetupError) -> NoReturn:
    typer.echo(f"{error.message}\n    {error.remedy}", err=True)
    raise typer.Exit(2)
