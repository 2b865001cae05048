"""Shoppers who buy while everything else happens: checkout is what must never stop."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from pathlib import Path

from msgspec import Struct

from firedoor.client import ShopClient
from firedoor.demo.shop import Customer, DemoShop
from firedoor.store.catalog import read_products

BUYERS = 2
"""Threads that buy. On a machine of two cores that also runs the models, more would only measure the machine."""
PAUSE = 0.3
"""Seconds between two checkouts of a buyer."""


class Tally(Struct):
    """What came of the checkouts."""

    done: int = 0
    failed: int = 0
    late: int = 0
    slowest: float = 0.0
    by: dict[str, int] = {}


class Checkouts:
    """Buyers in threads, from `start` to `stop`."""

    def __init__(self, folder: Path, client_file: Path, credential: str) -> None:
        self.shop = DemoShop(folder / "shop.sqlite")
        self._articles = [p for p in read_products(folder / "catalog.jsonl") if p.stock]
        self.shop.stock_up(self._articles)
        self._client = ShopClient.from_file(client_file, "fraud_scoring", credential=credential)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._by: Counter[str] = Counter()
        self._tally = Tally()
        self._threads = [threading.Thread(target=self._buy, name=f"buyer-{n}", daemon=True) for n in range(BUYERS)]

    @property
    def deadline(self) -> float:
        """Seconds within which a decision must come."""
        return self._client.surface.deadline

    def start(self) -> None:
        """Let the buyers in."""
        for thread in self._threads:
            thread.start()

    def tally(self) -> Tally:
        """What came of it so far."""
        with self._lock:
            return Tally(self._tally.done, self._tally.failed, self._tally.late, self._tally.slowest, dict(self._by))

    def stop(self) -> Tally:
        """Send the buyers home and wait for them."""
        self._stop.set()
        for thread in self._threads:
            thread.join(self.deadline + 15)
        self._client.close()
        return self.tally()

    def _buy(self) -> None:
        while not self._stop.is_set():
            number = next(self._numbers)
            article = self._articles[number % len(self._articles)]
            abroad = number % 5 == 0
            customer = Customer(
                id=f"shopper-{number}",
                bill_country="DE",
                ship_country="FR" if abroad else "DE",
                account_age_days=1 if abroad else 200,
            )
            cart = f"cart-{number}"
            began = time.monotonic()
            try:
                self.shop.add_to_cart(cart, article.sku)
                order = self.shop.checkout(cart, customer, self._client.decide)
            except Exception as problem:  # noqa: BLE001  # any failure of a checkout is what this demonstration counts
                self._count(time.monotonic() - began, type(problem).__name__, failed=True)
            else:
                self._count(time.monotonic() - began, order.decision.by, failed=False)
            self._stop.wait(PAUSE)

    def _count(self, took: float, by: str, *, failed: bool) -> None:
        with self._lock:
            self._by[by] += 1
            self._tally.done += not failed
            self._tally.failed += failed
            self._tally.late += took > self.deadline + 0.5  # half a second for the shop's own database
            self._tally.slowest = max(self._tally.slowest, took)
