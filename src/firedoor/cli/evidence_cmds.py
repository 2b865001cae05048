"""`firedoor evidence`: what is recorded, how its logs do, whose keys sign them."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import typer

from firedoor.app.identity import published_keys
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
from firedoor.core.evidence.leaf import BEGIN, CARRIED, Leaf
from firedoor.errors import SetupError
from firedoor.store.files import read_bounded
from firedoor.store.journal_read import Stored, read
from firedoor.store.segments import slots
from firedoor.store.slotlog import HALTED

STATUS_LIMIT = 1024 * 1024
"""Bytes of the agent's status: about 200 for each of at most 512 slots."""
OLD_STATUS = 10.0
"""Seconds after which a status says that no agent runs: it writes one every two."""

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
    """Records by time, without their bodies. The journals' own records show only with --kind begin or carried."""
    oldest = (time.time_ns() // 1000) - parse_age(since) * 1_000_000 if since else 0
    for home_of_region in regions_on_disk(Home.find(home), region):
        for stored in _by_time(home_of_region):
            leaf = stored.leaf
            if leaf.at < oldest or (exchange is not None and leaf.exchange != exchange):
                continue
            if leaf.kind != kind if kind else leaf.kind in {BEGIN, CARRIED}:
                continue
            print_leaf(leaf, as_json=as_json)


@app.command()
def status(home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """How the logs of the evidence do: size, age, witnesses. Exit status 1 if one stands still or no agent runs."""
    well = True
    for where in regions_on_disk(Home.find(home), region):
        try:
            found = _status(where)
        except SetupError as error:
            well = False
            if as_json:
                echo_json({"region": where.name, "ok": False, "problem": error.message})
            else:
                typer.echo(f"{where.name}: {error}")
            continue
        age = time.time() - found["at"]
        refused = [log for log in found["logs"] if log["state"] != "ok"]
        good = abs(age) <= OLD_STATUS and not refused and not found["failed"] and not found["housekeeping"]["problem"]
        well = well and good
        if as_json:
            echo_json({"region": where.name, "ok": good, **found})
        else:
            _print_status(where, found, age)
    raise typer.Exit(0 if well else 1)


@app.command()
def keys(home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """The public keys of a region's log and witness: `log_keys` of the plans of regions on other machines."""
    for where in regions_on_disk(Home.find(home), region):
        published = published_keys(where)
        lines = [str(key) for key in (*published.log, *published.witness)]
        if as_json:
            echo_json({"region": where.name, "log_keys": lines})
        else:
            typer.echo(f"{where.name}:")
            for line in lines:
                typer.echo(f"  - {line}")


def _status(where: RegionHome) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.json.decode(read_bounded(where.agent_status, STATUS_LIMIT))
    except FileNotFoundError as error:
        remedy = "Run `firedoor up`; if it does, see `run/agent.log` in the region's folder."
        raise SetupError(f"The agent of region {where.name} has not run with these logs.", remedy=remedy) from error
    except (OSError, msgspec.DecodeError) as error:
        remedy = "A running agent writes it anew every two seconds."
        raise SetupError(f"The status of the agent of region {where.name} cannot be read.", remedy=remedy) from error
    return found


def _print_status(where: RegionHome, found: dict[str, Any], age: float) -> None:
    region = where.name
    if age > OLD_STATUS:
        typer.echo(f"{region}: NO AGENT RUNS; this is {age:.0f} s old")
    elif age < -OLD_STATUS:
        typer.echo(f"{region}: this is from {-age:.0f} s ahead of this clock: one of the two was wrong")
    if any(log["reason"] == "halted" for log in found["logs"]):
        typer.echo(f"{region}: ALL SIGNING STOPPED, also after a restart: {_halted(where)}")
        typer.echo(f"{region}: a restored backup? `firedoor evidence new-log`. If not, keep everything as it is.")
    for part, problem in found["failed"].items():
        typer.echo(f"{region}: the agent's part {part} FAILED: {problem}")
    checkpoint = found["checkpoint_age"]
    typer.echo(f"{region}: checkpoint {'not signed yet' if checkpoint is None else f'{checkpoint:.1f} s old'}")
    for log in found["logs"]:
        reason = f", {log['reason']}" if log["reason"] else ""
        typer.echo(f"  {log['slot']}: {log['state']}{reason}, {log['published']} of {log['size']} records signed")
    for witness in found["witnesses"]:
        said = witness["reason"] or (f"cosigned {witness['size']}" if witness["size"] else "nothing cosigned yet")
        typer.echo(f"  witness {witness['name']}: {said}")
    if found["cosigns"] is not None:
        typer.echo(f"  its own witness signs for nobody: {found['cosigns']}")
    if found["timestamp"] is not None:
        stamp = found["timestamp"]
        last = f"last over a log of {stamp['size']} records" if stamp["size"] else "none yet since the agent's start"
        typer.echo(f"  time stamp: {stamp['reason'] or 'good'}, {last}")
    problem = found["index"]["problem"]
    typer.echo(f"  index: {problem or 'up to date'}, {found['index']['indexed']} records taken in by this agent")
    if found["housekeeping"]["problem"] is not None:
        typer.echo(f"  housekeeping: {found['housekeeping']['problem']}")


def _halted(where: RegionHome) -> str:
    """What the witness said, as the agent noted it."""
    try:
        return printable(read_bounded(where.logs / HALTED, 1000).decode(errors="replace")).strip()
    except OSError:
        return "a witness has seen what these logs do not go on from"


def _by_time(where: RegionHome) -> Iterator[Stored]:
    """All records of a region; each slot is in order already."""
    streams = [read(where.journal(slot)) for slot in slots(where.journals)]
    return heapq.merge(*streams, key=lambda stored: (stored.leaf.at, stored.leaf.slot, stored.leaf.seq))


def print_leaf(leaf: Leaf, *, as_json: bool) -> None:
    """One record, one line."""
    if as_json:
        echo_json(msgspec.to_builtins(leaf))
        return
    facts = " ".join(f"{name}={_short(value)}" for name, value in sorted(leaf.facts.items()))
    where = f"{leaf.region}/{leaf.slot}#{leaf.seq}"
    line = f"{moment(leaf.at / 1e6)}  {where:<16} {leaf.kind:<9} {leaf.exchange or '-'}  {facts}"
    typer.echo(printable(line.replace("\n", "\\n")))


def _short(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
