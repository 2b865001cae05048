"""`firedoor redact`: texts, CSV and JSON without the personal data in them, and back."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, NamedTuple

import typer

from firedoor.app import redaction
from firedoor.app.redaction import Format, MapFile
from firedoor.cli.finding import DeepOption, PlanOption, ShopOption, SurfaceOption, search
from firedoor.cli.piping import until_closed
from firedoor.core.minimise.handlings import Handlings
from firedoor.core.plan.model import LABELS, Surface
from firedoor.core.redact.edits import Numbered, Redaction, Restoration, masked


def redact(
    files: Annotated[list[Path] | None, typer.Argument(help="Files; without any, standard input.")] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Replace the files. Nothing keeps the old ones.")
    ] = False,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="Only this kind of data; repeat for several.")
    ] = None,
    placeholder: Annotated[
        Literal["typed", "mask"], typer.Option("--placeholder", help="<EMAIL_1>, or blocks of the same length.")
    ] = "typed",
    map_: Annotated[
        Path | None,
        typer.Option("--map", help="Write what placeholders stand for to this new file; read by --restore."),
    ] = None,
    restore: Annotated[bool, typer.Option("--restore", help="Put the values of --map back.")] = False,
    format_: Annotated[
        Format | None, typer.Option("--format", help="What is read; else by the files' names, and text.")
    ] = None,
    plan: PlanOption = None,
    surface: SurfaceOption = None,
    shop: ShopOption = None,
    deep: DeepOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary on standard error as JSON.")] = False,
) -> None:
    """Replace personal data in files by numbered placeholders. Writes to standard output; files stay as they are.

    The same value has the same placeholder in all files of one run.
    """
    work = _Work(
        [_Source(path, format_ or redaction.format_of(path)) for path in files or ()],
        format_ or "text",
        in_place=in_place,
    )
    if restore:
        if map_ is None or label or placeholder == "mask" or surface is not None or deep:
            raise typer.BadParameter("--restore takes --map FILE, and no option about what is found.")
        restoration = Restoration(redaction.read_map(map_))
        work.check()
        work.do(restoration)
        _tell({"restored": restoration.restored, "unknown": restoration.unknown}, as_json=as_json)
        return
    if map_ is not None and placeholder == "mask":
        raise typer.BadParameter("Blocks stand for nothing: --map is for typed placeholders.")
    wanted = _labels(label)
    work.check()
    found = search(plan, surface, shop, deep=deep)
    with _map(map_, work) as kept:
        numbered = Numbered(kept.add if kept is not None else lambda _, __: None)
        put = masked if placeholder == "mask" else numbered
        edit = Redaction(found.detector.find, wanted - _passed(found.surface), put)
        work.do(edit, kept)
    values = {"values": numbered.values} if placeholder == "typed" else {}
    _tell({"replaced": edit.replaced, **values}, as_json=as_json)


class _Source(NamedTuple):
    path: Path
    kind: Format


class _Work:
    """The files of one run, or standard input. `begun` says whether anything has been written."""

    def __init__(self, sources: list[_Source], stdin_kind: Format, *, in_place: bool) -> None:
        if in_place and not sources:
            raise typer.BadParameter("--in-place wants files.")
        self._sources = sources
        self._stdin_kind = stdin_kind
        self._in_place = in_place
        self.begun = False

    def check(self) -> None:
        """Raises `SetupError` for what would stop the work: nothing has been written then."""
        for path, kind in self._sources:
            if self._in_place:
                redaction.check_replaceable(path)
            redaction.check(path, kind)

    def do(self, edit: Redaction | Restoration, kept: MapFile | None = None) -> None:
        """Edit every file. Raises `SetupError`."""
        if not self._sources:
            if sys.stdin.isatty():
                typer.echo("Waiting for text; Ctrl-D ends.", err=True)
            self._print(typer.get_binary_stream("stdin"), "standard input", self._stdin_kind, edit)
        for path, kind in self._sources:
            with redaction.opened(path) as source:
                if self._in_place:
                    redaction.replace(
                        path,
                        redaction.edited(source, str(path), kind, edit),
                        kept.sync if kept is not None else _nothing,
                    )
                    self.begun = True
                else:
                    self._print(source, str(path), kind, edit)

    def _print(self, source: BinaryIO, name: str, kind: Format, edit: Redaction | Restoration) -> None:
        output = typer.get_binary_stream("stdout")
        with until_closed():
            for piece in redaction.edited(source, name, kind, edit):
                output.write(piece)
                self.begun = True
            output.flush()


@contextlib.contextmanager
def _map(path: Path | None, work: _Work) -> Iterator[MapFile | None]:
    """The map under way. It stays if anything was written, also when an error ends the run: it may be all there is."""
    if path is None:
        yield None
        return
    kept = MapFile(path)
    typer.echo(
        f"{path} will hold personal data in clear. Keep it as you keep the originals, and delete it in time.", err=True
    )
    try:
        yield kept
        kept.sync()
        work.begun = True
    finally:
        kept.close(keep=work.begun)


def _nothing() -> None:
    """What is done before a replacement that needs no map."""


def _labels(named: list[str] | None) -> frozenset[str]:
    wanted = frozenset(name.upper() for name in named or LABELS)
    if unknown := sorted(wanted.difference(LABELS)):
        raise typer.BadParameter(f"There is no label {unknown[0]}: it is one of {', '.join(LABELS)}.")
    return wanted


def _passed(surface: Surface | None) -> frozenset[str]:
    """What the surface lets through."""
    if surface is None:
        return frozenset()
    handlings = Handlings(surface.personal_data)
    return frozenset(label for label in LABELS if handlings.of(label) == "pass")


def _tell(summary: Mapping[str, Counter[str] | int], *, as_json: bool) -> None:
    if as_json:
        plain = {
            name: dict(sorted(told.items())) if isinstance(told, Counter) else told for name, told in summary.items()
        }
        typer.echo(json.dumps(plain), err=True)
        return
    for name, told in summary.items():
        if isinstance(told, Counter):
            counts = ", ".join(f"{label} {count}" for label, count in sorted(told.items()))
            typer.echo(f"{name}: {counts or 'nothing'}", err=True)
        elif told:
            typer.echo(f"{name}: {told} placeholders that the map does not have", err=True)
