"""What `firedoor protect` puts into a region's stores, and takes out: what one call gives, or nothing of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import typer

from firedoor.app.prepare import catalog_source
from firedoor.app.protection import Stores
from firedoor.cli.options import printable
from firedoor.cli.protect_texts import MAX_NAME, read_texts
from firedoor.core.detect.leak.rows import Row, check_row
from firedoor.core.detect.leak.values import MAX_VALUES, check_value
from firedoor.core.plan.model import Attribute, Plan
from firedoor.errors import ActRefused, SetupError
from firedoor.ports.exchange import ProductSource
from firedoor.store.catalog import Product, read_products
from firedoor.store.documents import Document, PublicText
from firedoor.store.files import read_bounded
from firedoor.store.products import FieldsFile, utf8
from firedoor.store.protected import KeptValue

LIST_LIMIT: Final = 32 * 1024 * 1024
"""Bytes of a list of values; more cannot be kept anyway."""
CATALOG_CHARACTERS: Final = 8_000_000
"""Characters of a shop's catalogue that count as published: some 20,000 products, read in about ten seconds."""
NAMED: Final = 5
"""Rows left out that are named."""
_LACKING: Final = frozenset(("row_without_term", "row_without_value", "row_value_unusable"))
"""Why a row is left out: tables have rows with an empty cost, or a dash."""


class Columns(NamedTuple):
    """The columns of a table with what is protected, with whose it is, and with who may read it."""

    values: tuple[str, ...]
    bind: tuple[str, ...]
    owner: tuple[str, ...]

    @classmethod
    def parse(cls, column: str | None, bind: str | None, owner: str | None) -> Columns:
        """From what was given, separated by commas. Raises `typer.BadParameter`."""
        parsed = cls(*(_names(given) for given in (column, bind, owner)))
        if not parsed.values:
            raise typer.BadParameter(
                "Name the columns that are protected with --column, such as --column cost,supplier."
            )
        if parsed.owner and not parsed.bind:
            raise typer.BadParameter("--owner says who may read a row: say with --bind what the row is about.")
        return parsed


class Line(NamedTuple):
    """What a row of a table says, without what is empty. `where` is its line."""

    where: str
    values: tuple[str, ...]
    terms: tuple[str, ...]
    owners: tuple[str, ...]


def values(given: list[str], file: Path | None) -> list[str]:
    """Values from the arguments, from standard input for ``-``, and one a line from `file`. Raises `ActRefused`."""
    lines: list[str] = []
    if file is not None:
        try:
            lines += utf8(read_bounded(file, LIST_LIMIT), file.name).splitlines()
        except OSError as error:
            raise SetupError(f"{file} cannot be read: {error.strerror}.") from None
    lines += sys.stdin.read(LIST_LIMIT).splitlines() if given == ["-"] else given
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise ActRefused(
            "no_values",
            "No values were given.",
            remedy="Give values, --file FILE, or - for stdin; or --document, --csv or --catalog.",
        )
    if len(texts) > MAX_VALUES:
        raise ActRefused("too_many_values", f"A region has at most {MAX_VALUES} protected values.")
    return texts


def documents(stores: Stores, set_: str, paths: list[Path]) -> tuple[Document, ...]:
    """Protect the texts of `paths`; how they are known now."""
    return stores.documents.add(set_, read_texts(paths))


def publish(stores: Stores, paths: list[Path]) -> list[PublicText]:
    """Have the texts of each of `paths` be no leak, in place of those that were given before under the same name."""
    read = [(str(path)[-MAX_NAME:], read_texts([path])) for path in paths]
    return [stores.documents.add_public(name, [source.text for source in sources]) for name, sources in read]


def publish_catalogs(stores: Stores, plan: Plan, plan_folder: Path) -> None:
    """Have the products of the plan's shops be no leak; a catalogue that did not change is not read again."""
    known = {one.name: one.added for one in stores.documents.list_public()}
    for shop, declared in plan.shops.items():
        if declared.catalog is None:
            continue
        source, name = catalog_source(plan, shop, plan_folder), f"catalogue of {shop}"
        if known.get(name, 0) <= source.stat().st_mtime:
            stores.documents.add_public(name, _published(source))


def _published(source: Path) -> Iterator[str]:
    left = CATALOG_CHARACTERS
    for product in read_products(source):
        text = _said_of(product)
        if len(text) > left:
            typer.echo(f"{source.name}: only its first {CATALOG_CHARACTERS:,} characters count as published.", err=True)
            return
        left -= len(text)
        yield text


def _said_of(product: Product) -> str:
    told = [product.name, product.description or ""]
    return "\n".join([*told, *(value for value in product.attributes.values() if isinstance(value, str))])


def source(table: Path | None, shop: str | None, plan: Plan, plan_folder: Path) -> ProductSource:
    """The table, or the catalogue of the shop. Raises `SetupError`."""
    if table is not None:
        return FieldsFile(table)
    if shop not in plan.shops:
        known = ", ".join(sorted(plan.shops))
        raise SetupError(f"The plan has no shop {shop!r}.", remedy=f"It has: {known or 'none'}.")
    return FieldsFile(catalog_source(plan, shop, plan_folder))


def rows(stores: Stores, set_: str, attribute: Attribute, source: ProductSource, columns: Columns) -> list[Row]:
    """Protect the rows of `source` that have a value and a name; which were left out is told.

    Rows of the same things are replaced. Raises `ActRefused` naming the line of a bad one, or if none can be protected.
    """
    new: list[Row] = []
    left_out: list[str] = []
    for line in _lines(source, columns):
        values = tuple(value for value in line.values if _is_usable(value))
        row = Row("", set_, attribute, line.terms, values, line.owners)
        try:
            check_row(row)
        except ActRefused as refused:
            if refused.code not in _LACKING:
                raise _at(line.where, refused) from None
            left_out.append(line.where)
        else:
            new.append(row)
    if not new:
        raise ActRefused(
            "no_rows",
            "No row has a value to protect together with something that it is bound to.",
            remedy="See to --column and --bind: a value needs an article number or a name of six letters.",
        )
    if left_out:
        named = ", ".join(left_out[:NAMED]) + (", …" if len(left_out) > NAMED else "")
        typer.echo(f"{len(left_out):,} rows left out, without value or name: {named}", err=True)
    before = len(stores.rows.load())
    kept = stores.rows.add(new)
    if replaced := before + len(kept) - len(stores.rows.load()):
        typer.echo(f"{replaced:,} rows replaced: of each only what this call gave is protected.", err=True)
    return kept


def unbound(stores: Stores, set_: str, source: ProductSource, columns: Columns) -> list[KeptValue]:
    """Protect texts that are bound to nothing, as values. Raises `ActRefused` naming the line of one that is none."""
    texts: dict[str, None] = {}
    for line in _lines(source, columns):
        for text in line.values:
            try:
                check_value(text)
            except ActRefused as refused:
                raise _at(line.where, refused) from None
            texts[text] = None
    return stores.values.add(set_, "value", texts)


def _lines(source: ProductSource, columns: Columns) -> Iterator[Line]:
    """The rows of `source`, without what is empty."""
    values, terms = len(columns.values), len(columns.values) + len(columns.bind)
    for where, told in source.products((*columns.values, *columns.bind, *columns.owner)):
        parts = (told[:values], told[values:terms], told[terms:])
        yield Line(where, *(tuple(text for text in part if text) for part in parts))


def _is_usable(value: str) -> bool:
    """Whether a value can be protected: no zero, no dash for "unknown"."""
    try:
        check_row(Row("", "", "other", ("AL-1001",), (value,)))
    except ActRefused as refused:
        return refused.code not in _LACKING
    return True


def _at(where: str, refused: ActRefused) -> ActRefused:
    return ActRefused(refused.code, f"{where}: {refused.message}", remedy=refused.remedy)


def removed(stores: Stores, id_: str | None, set_: str | None) -> Iterator[str]:
    """Remove one thing, or all of a set; a line for people about each kind. Raises `ActRefused` if there is none."""
    if set_ is not None:
        values, held = stores.values.remove_set(set_), [row for row in stores.rows.load() if row.set == set_]
        if held:
            stores.rows.remove(set_)
        held_here = any(document.set == set_ for document in stores.documents.list())
        documents = stores.documents.remove_set(set_) if held_here else 0
        if not (values or held or documents):
            raise ActRefused("unknown_set", f"Nothing is protected in {set_}.", remedy="See `firedoor protect list`.")
        told = (f"{values:,} values", f"{len(held):,} rows", f"{documents:,} documents")
        yield f"{', '.join(told)} of {set_} are no longer protected"
    elif (id_ or "").startswith(("doc-", "pub-")):
        one = stores.documents.remove(id_ or "")
        what = "no longer protected" if isinstance(one, Document) else "no longer taken for published"
        yield f"{one.id} ({printable(one.name)}) is {what}"
    elif (id_ or "").startswith("pr-"):
        (row,) = stores.rows.remove(id_ or "")
        yield f"{row.id} of {row.set} is no longer protected"
    else:
        value = stores.values.remove(id_ or "")
        yield f"{value.id} of {value.set} is no longer protected"


def _names(given: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in (given or "").split(",") if name.strip()))
