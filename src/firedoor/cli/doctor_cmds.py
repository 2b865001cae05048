"""`firedoor doctor`: what is right and wrong with this installation, running or not."""

from __future__ import annotations

import msgspec
import typer

from firedoor.app.doctor import examine
from firedoor.cli.options import HomeOption, JsonOption, RegionOption, echo_json, printable
from firedoor.config import Home


def doctor(home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Look at plan, keys, sealed files, disk, clock and processes. Exits 1 if something has failed."""
    where = Home.find(home)
    findings = list(examine(where, region))
    failed = [finding for finding in findings if finding.level == "FAIL"]
    if as_json:
        echo_json({"ok": not failed, "checks": msgspec.to_builtins(findings)})
        raise typer.Exit(1 if failed else 0)
    for finding in findings:
        place = f"{finding.region}: " if finding.region is not None else ""
        typer.echo(printable(f"{finding.level:<4}  {place}{finding.what}"))
        if finding.level != "ok" and finding.remedy:
            typer.echo(printable(f"      {finding.remedy}"))
    warned = sum(finding.level == "warn" for finding in findings)
    typer.echo(f"{len(failed)} failed, {warned} to look at, {len(findings) - len(failed) - warned} ok")
    raise typer.Exit(1 if failed else 0)
