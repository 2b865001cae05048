"""`firedoor protect`: what must not leave in an answer. Nothing that is protected is ever shown in clear again."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from firedoor.app.protection import Protection, Stores
from firedoor.app.regionkeys import open_region
from firedoor.cli import protect_add, protect_show
from firedoor.cli.options import HomeOption, JsonOption, RegionOption, echo_json, planned_region
from firedoor.cli.protect_plant import planted
from firedoor.config import Home, RegionHome
from firedoor.core.detect.leak.guard import LeakIndex
from firedoor.core.detect.spans import Hit
from firedoor.core.plan.model import AnswerRules, Plan
from firedoor.errors import ActRefused
from firedoor.keys.derive import SealingBox
from firedoor.store import planfile
from firedoor.store.protected import KeptValue, make_honeytoken

TEST_LIMIT = 1_048_576
"""Characters read by `protect test`, as much as a request may hold."""

SetOption = Annotated[str, typer.Option("--set", help="Protected set, declared in the plan.")]

app = typer.Typer(no_args_is_help=True, help="What must not leave in an answer: values, rows, documents, honeytokens.")


@app.command()
def add(
    values: Annotated[list[str] | None, typer.Argument(help="Values, or - for one a line on stdin.")] = None,
    set_: Annotated[
        str | None, typer.Option("--set", help="Protected set, declared in the plan.", show_default=False)
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="One value a line; keeps them out of the shell's history.")
    ] = None,
    document: Annotated[
        list[Path] | None, typer.Option("--document", help="Text file, or folder of them; repeat for several.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Table (CSV or JSON Lines) with a row for each thing.")
    ] = None,
    catalog: Annotated[
        str | None, typer.Option("--catalog", metavar="SHOP", help="The products of a shop, as the plan names them.")
    ] = None,
    column: Annotated[
        str | None, typer.Option("--column", "--field", help="Columns with what is protected, separated by commas.")
    ] = None,
    bind: Annotated[str | None, typer.Option("--bind", help="Columns that say whose it is, such as sku,name.")] = None,
    owner: Annotated[
        str | None, typer.Option("--owner", help="Columns with whose own it is: that shopper may read it.")
    ] = None,
    public: Annotated[
        list[Path] | None, typer.Option("--public", help="What the shop has published; it is never a leak.")
    ] = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Protect values, documents, or columns of a table. Gateway workers take them up by themselves.

    All that one call gives is protected, or nothing of it.
    """
    given = {
        "values": bool(values) or file is not None,
        "--document": bool(document),
        "--csv": csv is not None,
        "--catalog": catalog is not None,
        "--public": bool(public),
    }
    kinds = [name for name, is_given in given.items() if is_given]
    if len(kinds) > 1:
        raise typer.BadParameter(f"{' and '.join(kinds)}: give one kind of thing at a time.")
    table = csv is not None or catalog is not None
    if not table and any((column, bind, owner)):
        raise typer.BadParameter("--column, --bind and --owner are for --csv and --catalog.")
    here = _Here.find(home, region)
    if public:
        protect_show.echo(
            [protect_show.of_public(one) for one in protect_add.publish(here.stores, public)], as_json=as_json
        )
        return
    if set_ is None:
        raise typer.BadParameter("Name the protected set with --set.")
    here.check_set(set_)
    if document:
        protect_add.publish_catalogs(here.stores, here.plan, here.plan_folder)
        added = protect_add.documents(here.stores, set_, document)
        protect_show.echo([protect_show.of_document(one) for one in added], as_json=as_json)
    elif table:
        source = protect_add.source(csv, catalog, here.plan, here.plan_folder)
        columns = protect_add.Columns.parse(column, bind, owner)
        if columns.bind:
            kept = protect_add.rows(here.stores, set_, here.plan.protected[set_].attribute, source, columns)
            protect_show.echo(protect_show.of_rows(kept), as_json=as_json)
        else:
            unbound = protect_add.unbound(here.stores, set_, source, columns)
            protect_show.echo([protect_show.of_value(value) for value in unbound], as_json=as_json)
    else:
        texts = protect_add.values(values or [], file)
        added_values = here.stores.values.add(set_, "value", texts)
        protect_show.echo([protect_show.of_value(value) for value in added_values], as_json=as_json)


@app.command("list")
def list_all(
    set_: Annotated[str | None, typer.Option("--set", help="Only this protected set.", show_default=False)] = None,
    rows: Annotated[bool, typer.Option("--rows", help="Each row by its id, which findings name.")] = False,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Values by their ends, rows by their number, documents by their names and sizes; published texts."""
    protect_show.echo(protect_show.everything(_Here.find(home, region).stores, set_, each_row=rows), as_json=as_json)


@app.command()
def remove(
    id_: Annotated[str | None, typer.Argument(metavar="[ID]", help="Of a value, a document or a public text.")] = None,
    set_: Annotated[str | None, typer.Option("--set", help="All that is in this set.", show_default=False)] = None,
    home: HomeOption = None,
    region: RegionOption = None,
) -> None:
    """Stop protecting one thing, or all of a set."""
    if (id_ is None) == (set_ is None):
        raise typer.BadParameter("Give an id of `firedoor protect list`, or --set.")
    stores = _Here.find(home, region).stores
    for line in protect_add.removed(stores, id_, set_):
        typer.echo(line)


@app.command()
def honeytoken(
    set_: SetOption,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many; with --plant, for each file.")] = 1,
    plant: Annotated[
        list[Path] | None,
        typer.Option("--plant", help="Put them into this file, in its own shape; repeat for several."),
    ] = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make codes that stand for nothing, and protect them. They are printed this once.

    With --plant each file gets codes of its own, in an invented line or row, and a finding's id says which file leaked.
    """
    here = _Here.find(home, region)
    here.check_set(set_)
    made = (
        _planted(here.stores, set_, plant, count)
        if plant
        else here.stores.values.add(set_, "honeytoken", _codes(count))
    )
    if as_json:
        echo_json(
            [{"id": v.id, "set": v.set, "token": v.text, **({"place": v.place} if v.place else {})} for v in made]
        )
        return
    for value in made:
        typer.echo(f"{value.id}  {value.text}" + (f"  {value.place}" if value.place else ""))
    if not plant:
        typer.echo(
            "Plant each where no shopper may look: one price list, one supplier record, one internal document each.\n"
            "An answer that holds one is stopped, and its id says where the leak came from. They are not shown again.",
            err=True,
        )


@app.command("test")
def find_in_text(
    chunks: Annotated[
        int | None, typer.Option("--chunks", min=1, help="Feed it in pieces of so many characters, as a stream.")
    ] = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what the text on stdin holds that is protected. Exit status 1 if anything."""
    here = _Here.find(home, region)
    text = sys.stdin.read(TEST_LIMIT + 1)
    if len(text) > TEST_LIMIT:
        raise ActRefused("text_too_long", f"At most {TEST_LIMIT} characters are tested at a time.")
    protection = Protection.load(here.place, here.box)
    index = protection.index(protection.sets(), AnswerRules())
    hits = _hits(index, text, chunks or max(1, len(text)))
    if as_json:
        echo_json([hit._asdict() for hit in hits])
    else:
        places = {value.id: value.place for value in here.stores.values.load() if value.place}
        for hit in hits:
            typer.echo(protect_show.hit_line(hit, places.get(hit.value_id, "")))
        if not hits:
            typer.echo("no protected value")
    raise typer.Exit(1 if hits else 0)


@app.command()
def rebuild(home: HomeOption = None, region: RegionOption = None) -> None:
    """Make the index of documents again, with the shops' catalogues as they are now."""
    here = _Here.find(home, region)
    protect_add.publish_catalogs(here.stores, here.plan, here.plan_folder)
    here.stores.documents.rebuild()
    typer.echo(f"the index holds {len(here.stores.documents.list())} documents")


class _Here:
    """The region whose content is protected, and its plan."""

    def __init__(self, plan: Plan, plan_folder: Path, place: RegionHome, box: SealingBox) -> None:
        self.plan = plan
        self.plan_folder = plan_folder
        self.place = place
        self.box = box
        self.stores = Stores.of(place, box)

    @classmethod
    def find(cls, home: Path | None, region: str | None) -> _Here:
        found = Home.find(home)
        loaded = planfile.load(found.plan)
        place = planned_region(found, loaded.plan, region)
        box = open_region(place, loaded, found.plan.parent).worker().protect
        return cls(loaded.plan, found.plan.parent, place, box)

    def check_set(self, name: str) -> None:
        """Raises `ActRefused` for a set that the plan does not declare."""
        if name not in self.plan.protected:
            declared = ", ".join(sorted(self.plan.protected)) or "none"
            raise ActRefused(
                "unknown_set", f"The plan declares no protected set {name}.", remedy=f"Declared: {declared}."
            )


def _codes(count: int) -> list[str]:
    return [make_honeytoken(os.urandom(32)) for _ in range(count)]


def _planted(stores: Stores, set_: str, files: list[Path], count: int) -> list[KeptValue]:
    """Codes of its own for each file. They are protected before they stand in it."""
    codes = [_codes(count) for _ in files]
    changes = [planted(file, mine) for file, mine in zip(files, codes, strict=True)]
    if len({change.path for change in changes}) < len(changes):
        raise ActRefused("same_file", "A file is named twice.", remedy="Ask for more codes with --count.")
    made: list[KeptValue] = []
    for file, mine, change in zip(files, codes, changes, strict=True):
        added = stores.values.add(set_, "honeytoken", mine, place=str(file))
        try:
            change.write()
        except BaseException:
            for value in added:
                stores.values.remove(value.id)
            raise
        made += added
    return made


def _hits(index: LeakIndex, text: str, size: int) -> list[Hit]:
    watch = index.guard(index.read({})).watch()
    hits = [hit for at in range(0, len(text), size) for hit in watch.feed(text[at : at + size])]
    return hits + watch.end()
