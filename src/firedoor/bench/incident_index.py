"""An index of invented exchanges, filled in bulk, and what the truth about them is: counted from the arrays alone."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.dialects import sqlite

from firedoor.store.index_packs import Packs
from firedoor.store.index_tables import LIVE
from firedoor.store.state import State, open_state

REGION: Final = "bench"
SHOPS: Final = ("alpenladen", "modehaus", "buecherei", "spielwaren", "gartenwelt", "weinkeller")
SURFACES: Final = ("support", "product_discovery", "recommendations", "account_chat")
MODELS: Final = ("eu-chat", "eu-small")
COUNTRIES: Final = (
    "DE", "FR", "IT", "ES", "NL", "BE", "AT", "PL", "CZ", "SE", "DK", "FI", "IE", "PT", "GR", "HU", "RO", "BG", "HR",
    "NO",
)  # fmt: skip
LABELS: Final = (
    "EMAIL", "PHONE", "PERSON", "ADDRESS", "IBAN", "CARD", "ORDER_ID", "CUSTOMER_ID", "DATE_OF_BIRTH", "IP", "TAX_ID",
    "PASSPORT",
)  # fmt: skip
OUTCOMES: Final = ("answered", "minimised", "fallback", "refused", "cut", "unknown")
SHARES: Final = (0.58, 0.27, 0.09, 0.03, 0.025, 0.004)
"""The rest is still open."""
RULES: Final = ("honeytoken", "protected_value", "prompt_attack", "stranger_data")
EXCHANGES_PER_SUBJECT: Final = 5
SLOTS: Final = 8
DAYS: Final = 30
"""Over which they are spread."""
MICRO_DAY: Final = 86_400 * 1_000_000
CHUNK: Final = 100_000

Ints = npt.NDArray[np.int64]


class Invented(Struct, frozen=True):
    """Exchanges as columns, in the order of time. Numbers are those of the index's own tables."""

    began: Ints
    last: Ints
    shop: Ints
    surface: Ints
    model: Ints
    country: Ints
    outcome: Ints
    released: Ints
    present: Ints
    restored: Ints
    called: Ints
    rule: Ints
    key: Ints
    subject_of_key: Ints
    lookups: list[str]

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.began)


def invent(count: int, until: int, seed: int = 1) -> Invented:
    """`count` exchanges of the `DAYS` before `until` (Unix microseconds), of a fifth as many shoppers.

    A tenth of these have two keys, a tenth of the exchanges names no shopper.
    """
    chance = np.random.default_rng(seed)
    subjects = max(1, count // EXCHANGES_PER_SUBJECT)
    keys = subjects + subjects // 10
    began = np.sort(until - chance.integers(1, DAYS * MICRO_DAY, count))
    outcome = chance.choice(len(OUTCOMES) + 1, count, p=[*SHARES, 1 - sum(SHARES)])
    answers = np.isin(outcome, (0, 1))
    # A few combinations of labels are common, others rare: most shoppers give a name and a mail address.
    masks = np.array([0, 0, 0, 1, 5, 5, 7, 1 << 6, 3, *(chance.integers(0, 1 << len(LABELS), 24))], dtype=np.int64)
    present = masks[np.minimum(chance.geometric(0.25, count) - 1, len(masks) - 1)]
    subject_of_key = np.concatenate([np.arange(subjects), np.arange(keys - subjects)])
    digits = chance.bytes(16 * subjects).hex()
    return Invented(
        began=began,
        last=began + chance.integers(100_000, 20_000_000, count),
        shop=chance.integers(0, len(SHOPS), count),
        surface=chance.integers(0, len(SURFACES), count),
        model=chance.integers(0, len(MODELS), count),
        country=chance.integers(0, len(COUNTRIES), count),
        outcome=outcome,
        released=np.where(answers, chance.integers(0, 900, count) * chance.integers(0, 2, count), 0)
        + np.where(outcome == 4, chance.integers(0, 300, count), 0),
        present=present,
        restored=np.where(answers, present & chance.integers(0, 1 << len(LABELS), count), 0),
        called=(outcome != 3).astype(np.int64),
        rule=np.where(chance.random(count) < 0.001, chance.integers(1, len(RULES) + 1, count), 0),
        key=np.where(chance.random(count) < 0.9, chance.integers(0, keys, count), -1),
        subject_of_key=subject_of_key,
        lookups=[digits[at : at + 32] for at in range(0, len(digits), 32)],
    )


def fill(where: Path | str, made: Invented) -> None:
    """Put them into the index at `where` (a SQLite file that is not there yet, or an empty database)."""
    state = open_state(where, REGION)
    try:
        with state.writing() as connection:
            for table in LIVE.all():
                for index in table.indexes:
                    index.drop(connection)
            _small_tables(connection)
            _bulk(state, connection, LIVE.subject_keys, _keys(made))
            _bulk(state, connection, LIVE.exchanges, _exchanges(made))
            _bulk(state, connection, LIVE.findings, _findings(made))
            for table in LIVE.all():
                for index in table.indexes:
                    index.create(connection)
        with state.writing() as connection:
            _pack(connection, made)
        if state.dialect == "postgresql":
            for table in LIVE.all():
                state.wipe_traces(table.name)
    finally:
        state.close()


def _pack(connection: sa.Connection, made: Invented) -> None:
    """As the writer of the index packs what it took in: all but the newest of each slot."""
    packs = Packs(LIVE)
    while packs.make(connection, {slot: _last_seq(made, slot) for slot in range(1, SLOTS + 1)}, SLOTS):
        pass


def _last_seq(made: Invented, slot: int) -> int:
    """An exchange has three records, one after the other."""
    return 3 * len(range(slot - 1, made.size, SLOTS))


def scope_number(shop: Any, surface: Any, model: Any, country: Any) -> Any:
    """The integer of a scope; arrays too."""
    return 1 + ((shop * len(SURFACES) + surface) * len(MODELS) + model) * len(COUNTRIES) + country


def _small_tables(connection: sa.Connection) -> None:
    words = ["", *OUTCOMES, *RULES, "shut", "record", "p-1", *(f"c-{n}" for n in range(len(SHOPS) * len(SURFACES)))]
    connection.execute(LIVE.words.insert(), [{"id": i, "word": word} for i, word in enumerate(words)])
    connection.execute(LIVE.labels.insert(), [{"id": i, "label": label} for i, label in enumerate(LABELS, 1)])
    slots = [{"number": n + 1, "slot": f"invented{n}", "seq": 0, "prev": ""} for n in range(SLOTS)]  # no journal
    connection.execute(LIVE.slots.insert(), slots)
    nothing = {"id": 0, "shop": "", "surface": "", "model": "", "jurisdiction": ""}
    scopes = [nothing] + [
        {
            "id": scope_number(a, b, c, d),
            "shop": shop,
            "surface": surface,
            "model": model,
            "jurisdiction": country,
        }
        for a, shop in enumerate(SHOPS)
        for b, surface in enumerate(SURFACES)
        for c, model in enumerate(MODELS)
        for d, country in enumerate(COUNTRIES)
    ]
    connection.execute(LIVE.scopes.insert(), scopes)


RULE_WORDS: Final = len(OUTCOMES) + 1
SHUT_WORD: Final = RULE_WORDS + len(RULES)
PLAN_WORD: Final = SHUT_WORD + 2
CREDENTIAL_WORDS: Final = PLAN_WORD + 1


def _keys(made: Invented) -> Iterator[list[tuple[Any, ...]]]:
    first: dict[int, int] = {}
    rows = []
    for key, subject in enumerate(made.subject_of_key.tolist(), 1):
        rows.append((key, f"{key:032x}", made.lookups[subject], first.setdefault(subject, key), False))
    yield rows


def _exchanges(made: Invented) -> Iterator[list[tuple[Any, ...]]]:
    for start in range(0, made.size, CHUNK):
        part = slice(start, start + CHUNK)
        numbers = np.arange(start, min(start + CHUNK, made.size))
        random = _scattered(numbers).tolist()
        firsts = (3 * (numbers // SLOTS) + 1).tolist()
        scope = scope_number(made.shop[part], made.surface[part], made.model[part], made.country[part])
        credential = CREDENTIAL_WORDS + made.shop[part] * len(SURFACES) + made.surface[part]
        ended = made.outcome[part] < len(OUTCOMES)
        yield [
            (f"fx-{b // 1000:011x}-{r:016x}", n % SLOTS + 1, q, q + 2, b, e, s, c, PLAN_WORD,
             None if k < 0 else k + 1, f"{k + 2:032x}" if k >= 0 else None, bool(f), o + 1 if done else None,
             0 if done else None, q + 2 if done else 0, rel, p, r2, bool(rule))
            for n, q, r, b, e, s, c, k, f, o, done, rel, p, r2, rule in zip(
                numbers.tolist(), firsts, random, made.began[part].tolist(), made.last[part].tolist(), scope.tolist(),
                credential.tolist(), made.key[part].tolist(), made.called[part].tolist(),
                made.outcome[part].tolist(), ended.tolist(), made.released[part].tolist(),
                made.present[part].tolist(), made.restored[part].tolist(), made.rule[part].tolist(), strict=True,
            )
        ]  # fmt: skip


def _findings(made: Invented) -> Iterator[list[tuple[Any, ...]]]:
    rows = []
    for n in np.flatnonzero(made.rule).tolist():
        random = int(_scattered(np.array([n]))[0])
        began = int(made.began[n])
        scope = int(scope_number(made.shop[n], made.surface[n], made.model[n], made.country[n]))
        rule = int(made.rule[n])
        verdict = SHUT_WORD if rule <= 2 else SHUT_WORD + 1
        exchange = f"fx-{began // 1000:011x}-{random:016x}"
        rows.append((n % SLOTS + 1, 3 * (n // SLOTS) + 2, began, exchange, RULE_WORDS + rule - 1, verdict, scope))
    yield rows


def _scattered(numbers: Ints) -> npt.NDArray[np.uint64]:
    """What stands for the random half of an exchange's id."""
    return numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def _bulk(state: State, connection: sa.Connection, table: sa.Table, chunks: Iterator[list[tuple[Any, ...]]]) -> None:
    driver: Any = connection.connection.driver_connection
    if state.dialect == "sqlite":
        insert = str(table.insert().compile(dialect=sqlite.dialect(paramstyle="qmark")))
        for rows in chunks:
            driver.executemany(insert, rows)
        return
    names = ",".join(f'"{column.name}"' for column in table.columns)
    with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
        for rows in chunks:
            text = io.StringIO()
            for row in rows:
                text.write("\t".join("\\N" if v is None else str(v) for v in row) + "\n")
            copy.write(text.getvalue().encode())
