"""One snapshot while it is taken: items in their order, each with where, how and when, and the document of them all."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from firedoor.app.hostclock import clock_state
from firedoor.errors import FiredoorError, StateDamaged
from firedoor.ports.incidents import SnapshotTaken

FORMAT: Final = 1

_encoder = msgspec.json.Encoder(order="sorted")


class Item(NamedTuple):
    """One thing taken: how many it holds, and a code for what of it is missing."""

    name: str
    locator: str
    method: str
    content: Any
    held: int
    missing: str = ""


class Part(NamedTuple):
    """How an item is taken. `take` gives content, how many, and what is missing; it blocks."""

    name: str
    locator: str
    method: str
    take: Callable[[], tuple[Any, int, str]]


class Taking:
    """One snapshot while it is taken. `read` runs in a thread; what it did not come to is missing."""

    def __init__(self, case: str, region: str, now_ns: Callable[[], int]) -> None:
        self.missing: dict[str, str] = {}
        self._case = case
        self._region = region
        self._now_ns = now_ns
        self._began = time.monotonic()
        self._at = now_ns()
        self._clock = clock_state()
        self._items: list[tuple[Item, int]] = []
        self._left: list[str] = []
        self._closed = False

    @property
    def age(self) -> float:
        """Seconds since it was begun."""
        return time.monotonic() - self._began

    def add(self, item: Item, place: int | None = None) -> None:
        """Take it in, at `place` of the order; nothing any more once the document is made."""
        if not self._closed:
            self._items.insert(len(self._items) if place is None else place, (item, self._now_ns()))

    def read(self, parts: Sequence[Part]) -> None:
        """Take all `parts`, in their order; what cannot be taken keeps none of the others."""
        self._left = [part.name for part in parts]
        for part in parts:
            try:
                content, count, missing = part.take()
            except (FiredoorError, OSError, ValueError) as error:
                self.missing[part.name] = _code(error)
            else:
                self.add(Item(part.name, part.locator, part.method, content, count, missing))
            if self._closed:
                return
            self._left.remove(part.name)

    def document(self, scopes: Sequence[str], host: str) -> SnapshotTaken:
        """The document of what was taken until now."""
        self._closed = True
        taken, missing = list(self._items), dict(self.missing)
        missing |= dict.fromkeys(self._left, "time_over")
        missing |= {item.name: item.missing for item, _ in taken if item.missing}
        items = []
        for number, (item, at) in enumerate(taken, 1):
            content = _encoder.encode(item.content)
            items.append(
                {
                    "evidence_id": f"{self._case}/{self._at // 1000}/{number}",
                    "kind": item.name,
                    "locator": item.locator,
                    "method": item.method,
                    "collected_at": at // 1000,
                    "clock_offset_ms": self._clock.get("offset_ms"),
                    "bytes": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "content": msgspec.Raw(content),
                }
            )
        document = {
            "firedoor_snapshot": FORMAT,
            "incident_id": self._case,
            "scopes": list(scopes),
            "source_system": {"region": self._region, "host": host},
            "collected_by": "firedoor",
            "tool": f"firedoor {version()}",
            "collected_at": self._at // 1000,
            "clock": self._clock,
            "purpose": "evidence of a personal data breach (GDPR Art. 33(5), 5(2))",
            "storage_region": self._region,
            "classification": "pseudonyms, ids and sealed content",
            "items": items,
            "missing": missing,
        }
        return SnapshotTaken(_encoder.encode(document), {item.name: item.held for item, _ in taken}, missing)


def _code(error: Exception) -> str:
    if isinstance(error, StateDamaged):
        return "damaged"
    return "cannot_be_read" if isinstance(error, FiredoorError | OSError) else "cannot_be_understood"


@functools.cache
def version() -> str:
    """Of this Firedoor."""
    try:
        return importlib.metadata.version("firedoor")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
