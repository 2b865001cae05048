"""How fast is known who is affected, and how long an incident takes from its finding until it is known."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Final

import sqlalchemy as sa
from msgspec import Struct

from firedoor.app.affected import affected_source
from firedoor.bench.incident_chain import Chain, chain
from firedoor.bench.incident_index import DAYS, MICRO_DAY, REGION, SHOPS, SURFACES, Invented, fill, invent
from firedoor.bench.incident_postgres import STARTED, started
from firedoor.bench.incident_truth import Asked, wrong
from firedoor.bench.processes import Machine, machine
from firedoor.config import RegionHome
from firedoor.core.plan.model import Region
from firedoor.errors import SetupError
from firedoor.store.state_connect import postgres

TIMES: Final = 5
WHOLE: Final = "the whole region, 30 days"
TYPICAL: Final = "one surface of a shop, one day"


class Counted(Struct, frozen=True):
    """One question, asked `TIMES` times: seconds. `wrong` names figures that are not what is true."""

    engine: str
    exchanges: int
    question: str
    in_question: int
    p50: float
    longest: float
    wrong: list[str]


class Figures(Struct, frozen=True):
    """The whole run. `filled` says how many seconds making an index of so many exchanges took."""

    machine: Machine
    filled: dict[str, float]
    counted: list[Counted]
    chain: Chain | None


def run(exchanges: int, large: int, postgres_url: str | None, say: Callable[[str], None]) -> Figures:
    """The whole benchmark; `large` 0 leaves the large index out, None PostgreSQL. Raises `SetupError`, OSError."""
    here = machine()
    now = time.time_ns() // 1000
    filled: dict[str, float] = {}
    counted: list[Counted] = []
    with tempfile.TemporaryDirectory(prefix="firedoor-bench-") as folder, _database(postgres_url) as url:
        for size in [exchanges, *([large] if large else [])]:
            say(f"{size:,} exchanges")
            made = invent(size, now)
            for engine in ("SQLite", *(("PostgreSQL",) if url is not None else ())):
                place = RegionHome(REGION, Path(folder) / f"{engine}-{size}")
                place.root.mkdir()
                declared = None
                if engine == "PostgreSQL" and url is not None:
                    declared = Region(jurisdictions=("EU",), address="http://bench", listen="127.0.0.1:0", state=url)
                    _empty(url)
                say(f"{size:,} exchanges into {engine}")
                began = time.perf_counter()
                fill(place.state if declared is None else url or "", made)
                filled[f"{engine} {size}"] = round(time.perf_counter() - began, 1)
                for asked in _questions(now):
                    say(f"{engine}, {size:,} exchanges: {asked.name}")
                    counted.append(_measured(place, declared, engine, made, asked))
        say("an incident")
        incident = chain(Path(folder) / "house", invent(exchanges, now), say)
    return Figures(here, filled, counted, incident)


def _questions(now: int) -> list[Asked]:
    day = now - DAYS // 2 * MICRO_DAY
    return [
        Asked(WHOLE, None, None, now - DAYS * MICRO_DAY, None),
        Asked(TYPICAL, SHOPS[0], SURFACES[0], day, day + MICRO_DAY),
    ]


def _measured(place: RegionHome, declared: Region | None, engine: str, made: Invented, asked: Asked) -> Counted:
    source = affected_source(place, declared)
    times = []
    found = source.count(asked.asked_for())  # once to warm up: an index that is read every day is in memory
    for _ in range(TIMES):
        began = time.perf_counter()
        found = source.count(asked.asked_for())
        times.append(time.perf_counter() - began)
    return Counted(
        engine, made.size, asked.name, found.exchanges.least, round(median(times), 3), round(max(times), 3),
        wrong(made, asked, found),
    )  # fmt: skip


@contextlib.contextmanager
def _database(url: str | None) -> Iterator[str | None]:
    if url == STARTED:
        with started() as own:
            yield own
        return
    if url is not None and _tables(url):
        raise SetupError("The database is not empty.", remedy="Give the bench one of its own: it is emptied.")
    yield url


def _empty(url: str) -> None:
    """Drop what the size before made. Only what the bench made itself is ever there, see `_database`."""
    engine = postgres(url)
    with engine.begin() as connection:
        for name in sa.inspect(connection).get_table_names():
            connection.exec_driver_sql(f'DROP TABLE "{name}" CASCADE')
    engine.dispose()


def _tables(url: str) -> list[str]:
    engine = postgres(url)
    try:
        with engine.connect() as connection:
            return sa.inspect(connection).get_table_names()
    except sa.exc.SQLAlchemyError as error:
        raise SetupError(f"The database cannot be used: {type(error).__name__}.") from error
    finally:
        engine.dispose()
