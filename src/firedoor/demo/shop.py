"""A small shop with stock, carts and orders in SQLite: what the demonstration and the drills keep selling from.

Its checkout asks for a fraud decision before it takes the database's one write lock, so a slow model makes no other
buyer wait, and sells in one transaction afterwards.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from firedoor.core.rules import Decision
from firedoor.errors import CallerError, SetupError
from firedoor.store.catalog import Product

MAX_QUANTITY = 100
"""Pieces of one article in a cart: a household, not a reseller."""
MAX_LINES = 200
"""Different articles in a cart; keeps the transaction that is scored far below its own bound."""
LOCK_TIME = 10.0
"""Seconds a thread waits for the write lock; one sale holds it for about a millisecond."""

Status = Literal["placed", "held", "refused"]
_STATUS: dict[str, Status] = {"allow": "placed", "review": "held", "block": "refused"}

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS products (
        sku TEXT PRIMARY KEY, name TEXT NOT NULL, cents INTEGER NOT NULL CHECK (cents >= 0), currency TEXT NOT NULL,
        stock INTEGER NOT NULL CHECK (stock >= 0)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS cart_items (
        cart TEXT NOT NULL, sku TEXT NOT NULL REFERENCES products, quantity INTEGER NOT NULL CHECK (quantity > 0),
        PRIMARY KEY (cart, sku)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS orders (
        id INTEGER PRIMARY KEY, cart TEXT NOT NULL, customer TEXT NOT NULL, status TEXT NOT NULL,
        cents INTEGER NOT NULL, currency TEXT NOT NULL, decision TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS order_items (
        order_id INTEGER NOT NULL REFERENCES orders, sku TEXT NOT NULL REFERENCES products,
        quantity INTEGER NOT NULL, cents INTEGER NOT NULL, PRIMARY KEY (order_id, sku)
    ) STRICT;
"""


_STOCK_UP = """
    INSERT INTO products VALUES (?, ?, ?, ?, ?) ON CONFLICT (sku)
    DO UPDATE SET name = excluded.name, cents = excluded.cents, currency = excluded.currency, stock = excluded.stock
"""


class Customer(Struct, frozen=True, kw_only=True):
    """Who buys. `id` is the shop's own opaque id; countries are ISO 3166 codes; `attempts` counts payment attempts."""

    id: str
    bill_country: str
    ship_country: str
    account_age_days: int
    attempts: int = 1


class Line(Struct, frozen=True):
    """One article of a cart or an order. `cents` is the price of one piece."""

    sku: str
    quantity: int
    cents: int


class Order(Struct, frozen=True):
    """What came of a checkout. A refused order took no stock, a held one did."""

    number: str
    status: Status
    cents: int
    currency: str
    lines: tuple[Line, ...]
    decision: Decision


class DemoShop:
    """The shop in one file. Every call opens its own connection, so any thread may make it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with closing(self._connect()) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(_SCHEMA)
        except sqlite3.Error as problem:
            raise SetupError(f"{path} cannot be the shop: {problem}.", remedy="Name another file.") from None

    def stock_up(self, products: Iterable[Product]) -> int:
        """Take in every article that has stock of its own; return how many. Known ones get the new price and stock."""
        count = 0
        with self._transaction() as connection:
            for product in products:
                if product.stock is not None:
                    row = (product.sku, product.name, round(product.price * 100), product.currency, product.stock)
                    connection.execute(_STOCK_UP, row)
                    count += 1
        return count

    def stock(self, sku: str) -> int:
        """Pieces left. Raises `CallerError` for an unknown article."""
        with self._snapshot() as connection:
            return int(_product(connection, sku)["stock"])

    def add_to_cart(self, cart: str, sku: str, quantity: int = 1) -> None:
        """Put pieces into a cart. Raises `CallerError` for an unknown article, another currency or too much."""
        with self._transaction() as connection:
            product = _product(connection, sku)
            lines, currency = _cart(connection, cart)
            had = next((line.quantity for line in lines if line.sku == sku), 0)
            if not 0 < quantity <= MAX_QUANTITY - had or (not had and len(lines) >= MAX_LINES):
                raise CallerError(400, "too_many", f"A cart holds up to {MAX_QUANTITY} pieces of {MAX_LINES} articles.")
            if lines and product["currency"] != currency:
                raise CallerError(400, "other_currency", "All articles of a cart have one currency.")
            connection.execute("INSERT OR REPLACE INTO cart_items VALUES (?, ?, ?)", (cart, sku, had + quantity))

    def checkout(self, cart: str, customer: Customer, decide: Callable[[dict[str, Any]], Decision]) -> Order:
        """Buy what is in the cart. Raises `CallerError` when it is empty, was changed meanwhile, or stock is gone.

        1. Read the cart. 2. Ask `decide`, holding no lock. 3. In one transaction: check that the cart is what was
        decided about, take the stock, empty the cart, write the order with its decision. A refused order leaves the
        cart and the stock alone.
        """
        with self._snapshot() as connection:
            lines, currency = _cart(connection, cart)
        if not lines:
            raise CallerError(409, "empty_cart", "There is nothing in this cart.")
        cents = sum(line.cents * line.quantity for line in lines)
        decision = decide(transaction_of(customer, lines, cents, currency))
        order = Order("", _STATUS[decision.decision], cents, currency, lines, decision)
        with self._transaction() as connection:
            if _cart(connection, cart) != (lines, currency):
                raise CallerError(409, "cart_changed", "The cart was changed or bought meanwhile.")
            if order.status != "refused":
                _take_stock(connection, lines)
                connection.execute("DELETE FROM cart_items WHERE cart = ?", (cart,))
            return msgspec.structs.replace(order, number=_write_order(connection, cart, customer.id, order))

    def orders(self) -> list[Order]:
        """All orders, oldest first."""
        with self._snapshot() as connection:
            rows = connection.execute("SELECT * FROM orders ORDER BY id").fetchall()
            items = connection.execute("SELECT * FROM order_items ORDER BY order_id, sku").fetchall()
        lines: dict[int, list[Line]] = {row["id"]: [] for row in rows}
        for item in items:
            lines[item["order_id"]].append(Line(item["sku"], item["quantity"], item["cents"]))
        return [
            Order(
                _number(row["id"]),
                row["status"],
                row["cents"],
                row["currency"],
                tuple(lines[row["id"]]),
                msgspec.json.decode(row["decision"], type=Decision),
            )
            for row in rows
        ]

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=LOCK_TIME, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """One consistent view for reading; waits for no writer."""
        with closing(self._connect()) as connection:
            connection.execute("BEGIN")
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")


def transaction_of(customer: Customer, lines: Iterable[Line], cents: int, currency: str) -> dict[str, Any]:
    """What fraud scoring is asked about. No names and no addresses: the score needs none."""
    return {
        "amount": cents / 100,
        "currency": currency,
        "items": sum(line.quantity for line in lines),
        "bill_country": customer.bill_country,
        "ship_country": customer.ship_country,
        "account_age_days": customer.account_age_days,
        "attempts": customer.attempts,
    }


def _product(connection: sqlite3.Connection, sku: str) -> sqlite3.Row:
    row: sqlite3.Row | None = connection.execute("SELECT * FROM products WHERE sku = ?", (sku,)).fetchone()
    if row is None:
        raise CallerError(404, "unknown_article", "The shop has no such article.")
    return row


def _cart(connection: sqlite3.Connection, cart: str) -> tuple[tuple[Line, ...], str]:
    rows = connection.execute(
        "SELECT sku, quantity, cents, currency FROM cart_items JOIN products USING (sku) WHERE cart = ? ORDER BY sku",
        (cart,),
    ).fetchall()
    lines = tuple(Line(row["sku"], row["quantity"], row["cents"]) for row in rows)
    return lines, rows[0]["currency"] if rows else ""


def _take_stock(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    for line in lines:
        taken = connection.execute(
            "UPDATE products SET stock = stock - ?1 WHERE sku = ?2 AND stock >= ?1", (line.quantity, line.sku)
        )
        if taken.rowcount != 1:
            raise CallerError(409, "out_of_stock", "An article of this cart is sold out.")


def _write_order(connection: sqlite3.Connection, cart: str, customer: str, order: Order) -> str:
    decision = msgspec.json.encode(order.decision).decode()
    written = connection.execute(
        "INSERT INTO orders (cart, customer, status, cents, currency, decision) VALUES (?, ?, ?, ?, ?, ?)",
        (cart, customer, order.status, order.cents, order.currency, decision),
    ).lastrowid
    assert written is not None
    rows = [(written, line.sku, line.quantity, line.cents) for line in order.lines]
    connection.executemany("INSERT INTO order_items VALUES (?, ?, ?, ?)", rows)
    return _number(written)


def _number(order: int) -> str:
    return f"ORD-{100_000 + order}"
