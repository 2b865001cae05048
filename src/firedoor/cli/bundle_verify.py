"""`firedoor evidence verify`: whether an installation's evidence, a folder of journals or a bundle is untouched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from firedoor.app.bundlecheck import verify_bundle
from firedoor.app.evidencecheck import RegionReport, verify_journals, verify_region
from firedoor.cli.options import HomeOption, JsonOption, RegionOption, echo_json, printable, regions_on_disk
from firedoor.config import Home
from firedoor.core.evidence.bundle import CUSTODY
from firedoor.core.evidence.policy import POLICY_LIMIT
from firedoor.errors import EvidenceDamaged, SetupError
from firedoor.store import planfile
from firedoor.store.files import read_bounded


def verify(
    what: Annotated[Path | None, typer.Argument(help="A bundle, a journals folder; else this installation.")] = None,
    policy: Annotated[Path | None, typer.Option("--policy", help="Check a bundle by this trust policy.")] = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check everything, and name what is wrong. Exit status 0 if all of it verifies, else 1."""
    if what is not None and (what.is_file() or (what / CUSTODY).exists()):
        _verify_bundle(what, policy, as_json=as_json)
        return
    try:
        reports = [verify_journals(what)] if what is not None else _verify_installation(Home.find(home), region)
    except EvidenceDamaged as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    ok = all(report.ok for report in reports)
    if as_json:
        found = [slot for report in reports for slot in msgspec.to_builtins(report.slots)]
        echo_json({"ok": ok, "slots": found, "regions": msgspec.to_builtins(reports)})
    else:
        for report in reports:
            _print_report(report)
        typer.echo("verified" if ok else "DAMAGED")
    raise typer.Exit(0 if ok else 1)


def _verify_installation(installation: Home, region: str | None) -> list[RegionReport]:
    loaded = planfile.load(installation.plan) if installation.plan.exists() else None
    return [verify_region(installation, place, loaded) for place in regions_on_disk(installation, region)]


def _verify_bundle(path: Path, policy: Path | None, *, as_json: bool) -> None:
    try:
        report = verify_bundle(path, read_bounded(policy, POLICY_LIMIT) if policy is not None else None)
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}.") from error
    if as_json:
        echo_json({"ok": report.ok, **msgspec.to_builtins(report)})
    else:
        typer.echo(
            f"{path}: region {report.region}, {report.records} records, {report.bodies} bodies, {report.gone} gone"
        )
        typer.echo(f"SHA-256 of {CUSTODY}: {report.manifest}")
        typer.echo(f"cosigned by {', '.join(report.cosigned) or 'nobody'}")
        for note in report.notes:
            typer.echo(printable(f"  note: {note}"))
        for damage in report.damage:
            typer.echo(printable(f"  DAMAGED {damage.file}: {damage.problem}"))
        typer.echo("verified" if report.ok else "DAMAGED")
    raise typer.Exit(0 if report.ok else 1)


def _print_report(report: RegionReport) -> None:
    typer.echo(report.region)
    for slot in report.slots:
        parts = [f"{slot.region}/{slot.slot}: {slot.records} records in {slot.segments} segments"]
        parts += [f"{slot.bodies} bodies", f"{slot.answered} exchanges closed", f"{slot.open} open"]
        parts += [f"{count} {what}" for count, what in (
            (slot.unknown, "unknown"), (slot.erased, "bodies erased"), (slot.expired, "bodies expired"),
            (slot.torn, "bytes not yet whole at the end"),
        ) if count]  # fmt: skip
        typer.echo(f"  {', '.join(parts)}")
    for slot_name, size in sorted(report.logs.items()):
        typer.echo(f"  log {slot_name}: {size} records signed")
    if report.cosigned:
        typer.echo(f"  cosigned by {', '.join(report.cosigned)}")
    for note in report.notes:
        typer.echo(f"  note: {note}")
    for damage in report.damage:
        typer.echo(printable(f"  DAMAGED {damage.file}, {damage.problem}"))
