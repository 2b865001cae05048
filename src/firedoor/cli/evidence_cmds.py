"""`firedoor evidence`: list and show what is recorded, verify that nothing was changed."""

from __future__ import annotations

import asyncio
import base64
import heapq
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from firedoor.cli.options import (
    HomeOption,
    JsonOption,
    RegionOption,
    echo_json,
    moment,
    parse_age,
    printable,
    regions_on_disk,
)
from firedoor.config import Home, RegionHome
from firedoor.core.evidence.leaf import CARRIED, KEY, Leaf
from firedoor.core.evidence.record import Record
from firedoor.errors import ActRefused, EvidenceDamaged
from firedoor.keys.derive import RegionKeys
from firedoor.keys.root import load_root
from firedoor.store.journal import open_journal
from firedoor.store.journal_read import KeyRing, Stored, open_body, read
from firedoor.store.journal_verify import Report, SlotReport, verify
from firedoor.store.segments import slots

OPERATOR_SLOT = "operator"
"""The journal slot in which people's readings of sealed bodies are recorded."""
REASON_LIMIT = 1000

app = typer.Typer(no_args_is_help=True, help="What happened, and proof that the record of it was not changed.")


@app.command("list")
def list_records(
    home: HomeOption = None,
    region: RegionOption = None,
    since: Annotated[str | None, typer.Option(help="Only records younger than this: 30m, 1h, 7d.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind: intent, outcome, finding, switch …")] = None,
    exchange: Annotated[str | None, typer.Option(help="Only records of this exchange.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Records by time, without their bodies. The journals' own key records show only with --kind key."""
    oldest = time.time_ns() - parse_age(since) * 1_000_000_000 if since else 0
    for home_of_region in regions_on_disk(Home.find(home), region):
        for stored in _by_time(home_of_region):
            leaf = stored.leaf
            if leaf.at < oldest or (exchange is not None and leaf.exchange != exchange):
                continue
            if leaf.kind != kind if kind else leaf.kind in {KEY, CARRIED}:
                continue
            _print(leaf, as_json=as_json)


@app.command()
def show(
    exchange: str,
    home: HomeOption = None,
    region: RegionOption = None,
    body: Annotated[bool, typer.Option("--body", help="Decrypt the minimised bodies; needs --reason.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why the bodies are read; recorded before they are shown.")] = None,
    as_json: JsonOption = False,
) -> None:
    """All records of one exchange, in order."""
    homes = [(where, _records_of(where, exchange)) for where in regions_on_disk(Home.find(home), region)]
    homes = [(where, records) for where, records in homes if records]
    if not homes:
        raise ActRefused(
            "unknown_exchange", f"No record of exchange {exchange}.", remedy="See `firedoor evidence list`."
        )
    for where, records in homes:
        bodies: dict[tuple[str, int], bytes] = {}
        if body:
            bodies = _read_bodies(where, exchange, records, reason)
        for stored in records:
            _print(stored.leaf, as_json=as_json, body=bodies.get((stored.leaf.slot, stored.leaf.seq)))


@app.command("verify")
def verify_journals(
    folder: Annotated[Path | None, typer.Argument(help="A journal folder; else the installation's.")] = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every frame, hash and sequence number. Exit status 0 if all verify, else 1."""
    folders = [folder] if folder else [where.journals for where in regions_on_disk(Home.find(home), region)]
    reports: list[tuple[Path, Report]] = []
    for place in folders:
        try:
            reports.append((place, verify(place)))
        except EvidenceDamaged as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error
    ok = all(report.ok for _, report in reports)
    if as_json:
        found = [msgspec.to_builtins(slot) for _, report in reports for slot in report.slots]
        echo_json({"ok": ok, "slots": found})
    else:
        for place, report in reports:
            _print_report(place, report)
        typer.echo("verified" if ok else "DAMAGED")
    raise typer.Exit(0 if ok else 1)


def _by_time(where: RegionHome) -> Iterator[Stored]:
    """All records of a region; each slot is in order already."""
    streams = [read(where.journal(slot)) for slot in slots(where.journals)]
    return heapq.merge(*streams, key=lambda stored: (stored.leaf.at, stored.leaf.slot, stored.leaf.seq))


def _records_of(where: RegionHome, exchange: str) -> list[Stored]:
    return [stored for stored in _by_time(where) if stored.leaf.exchange == exchange]


def _read_bodies(
    where: RegionHome, exchange: str, records: list[Stored], reason: str | None
) -> dict[tuple[str, int], bytes]:
    """The bodies in clear, by slot and sequence number, after the reading of them is on record."""
    if not reason or len(reason) > REASON_LIMIT:
        raise ActRefused(
            "no_reason",
            f"Bodies are shown with a reason of at most {REASON_LIMIT} characters.",
            remedy="Add --reason TEXT.",
        )
    keys = load_root(where.root_key, where.name)
    ring = KeyRing(keys.opener)
    wanted = [stored for stored in records if stored.leaf.body is not None]
    for slot in {stored.leaf.slot for stored in wanted}:
        for stored in read(where.journal(slot)):
            ring.learn(stored)
    asyncio.run(_record_access(where, keys, exchange, len(wanted), reason))
    return {(stored.leaf.slot, stored.leaf.seq): open_body(stored, ring) for stored in wanted}


async def _record_access(where: RegionHome, keys: RegionKeys, exchange: str, bodies: int, reason: str) -> None:
    journal = open_journal(
        where.journal(OPERATOR_SLOT), region=where.name, slot=OPERATOR_SLOT, seal=keys.seal, clock_ns=time.time_ns
    )
    try:
        # The reason is a person's own words: it is sealed like any other content.
        await journal.append(
            Record(
                kind="access",
                exchange=exchange,
                at=time.time_ns(),
                facts={"by": f"uid:{os.getuid()}", "bodies": bodies},
                body=reason.encode(),
            )
        )
    finally:
        await journal.aclose()


def _print(leaf: Leaf, *, as_json: bool, body: bytes | None = None) -> None:
    if as_json:
        record: dict[str, Any] = msgspec.to_builtins(leaf)
        if body is not None:
            record["clear"] = _clear(body)
        echo_json(record)
        return
    facts = " ".join(f"{name}={_short(value)}" for name, value in sorted(leaf.facts.items()))
    where = f"{leaf.region}/{leaf.slot}#{leaf.seq}"
    line = f"{moment(leaf.at / 1e9)}  {where:<16} {leaf.kind:<9} {leaf.exchange or '-'}  {facts}"
    typer.echo(printable(line.replace("\n", "\\n")))  # one record, one line
    if body is not None:
        typer.echo(printable(_clear(body)))


def _clear(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(body).decode()


def _short(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _print_report(place: Path, report: Report) -> None:
    typer.echo(f"{place}")
    for slot in report.slots:
        typer.echo(f"  {_summary(slot)}")
    for damage in report.damage:
        typer.echo(f"  DAMAGED {damage.file}, record {damage.record}: {damage.problem}")


def _summary(slot: SlotReport) -> str:
    parts: Iterable[str] = (
        f"{slot.region}/{slot.slot}: {slot.records} records in {slot.segments} segments",
        f"{slot.bodies} sealed bodies",
        f"{slot.answered} exchanges closed",
        f"{slot.open} open",
        f"{slot.unknown} unknown",
        *([f"{slot.torn} bytes not yet whole at the end"] if slot.torn else []),
    )
    return ", ".join(parts)
