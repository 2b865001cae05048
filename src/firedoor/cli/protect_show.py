"""What `firedoor protect` prints: never more of what is protected than its owner needs to recognise it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import typer

from firedoor.app.protection import Stores
from firedoor.cli.options import echo_json, printable
from firedoor.core.detect.leak.rows import Row
from firedoor.core.detect.spans import Hit
from firedoor.core.policy import masked
from firedoor.store.documents import Document, PublicText
from firedoor.store.protected import KeptValue
from firedoor.store.rows import masked as masked_row

Shown = dict[str, Any]


def everything(stores: Stores, set_: str | None, *, each_row: bool) -> list[Shown]:
    """All that a region protects, or what is in one set; published texts belong to none."""
    rows = stores.rows.load()
    shown = [
        *map(of_value, stores.values.load()),
        *(map(of_row, rows) if each_row else of_rows(rows)),
        *map(of_document, stores.documents.list()),
        *map(of_public, stores.documents.list_public()),
    ]
    return [one for one in shown if set_ is None or one["set"] == set_]


def of_value(value: KeptValue) -> Shown:
    """A value or honeytoken; `place` is the file that it was planted in."""
    shown = {"id": value.id, "set": value.set, "kind": value.kind, "masked": masked(value.text)}
    return {**shown, "place": value.place} if value.place else shown


def of_row(row: Row) -> Shown:
    """A row by the beginning of what it is about."""
    return {"id": row.id, "set": row.set, "kind": "row", "masked": masked_row(row)}


def of_rows(rows: Iterable[Row]) -> list[Shown]:
    """How many rows each set has, and how many values in them."""
    counts: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        count = counts.setdefault((row.set, row.attribute), [0, 0])
        count[0] += 1
        count[1] += len(row.values)
    return [
        {"set": set_, "kind": "rows", "attribute": attribute, "rows": number, "values": values}
        for (set_, attribute), (number, values) in counts.items()
    ]


def of_document(document: Document) -> Shown:
    """A document: its size in normalised characters, and how many fingerprints are its own."""
    return {
        "id": document.id,
        "set": document.set,
        "kind": "document",
        "name": document.name,
        "characters": document.characters,
        "fingerprints": document.fingerprints,
    }


def of_public(public: PublicText) -> Shown:
    """A published text."""
    return {"id": public.id, "set": "", "kind": "public", "name": public.name, "characters": public.characters}


def hit_line(hit: Hit, place: str) -> str:
    """A hit for people; `place` is the file in which a honeytoken was planted."""
    told = f"{hit.value_id or '-'}  {hit.set or '-'}  {hit.kind}  characters {hit.start}-{hit.end}"
    view = "" if hit.view == "plain" else f", read as {hit.view}"
    return f"{told}{view}, score {hit.score:.2f}" + (f", planted in {printable(place)}" if place else "")


def echo(shown: list[Shown], *, as_json: bool) -> None:
    """Print a list, or what one call added."""
    if as_json:
        echo_json(shown)
        return
    for one in shown:
        typer.echo(f"{one.get('id', '-'):<15}  {one['set'] or '-':<24} {one['kind']:<10} {_about(one)}")


def _about(one: Shown) -> str:
    if "masked" in one:
        return f"{one['masked']}  {printable(one['place'])}" if "place" in one else str(one["masked"])
    if one["kind"] == "rows":
        return f"{one['rows']:,} rows, {one['values']:,} values"
    size = f"{printable(one['name'])}, {one['characters']:,} characters"
    return f"{size}, {one['fingerprints']:,} fingerprints" if "fingerprints" in one else size
