"""What `firedoor bench switch` finds out, as values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from msgspec import Struct

from firedoor.bench.load import percentile
from firedoor.bench.processes import Machine


class Size(Struct, frozen=True):
    """How much is measured. `peers` are the kinds of other products, `every` seconds between two questions of a poller.

    `watched` and `back` are the seconds that they are watched without their server, and after it is back.
    """

    hosts: int = 8
    workers: int = 4
    readers: tuple[int, ...] = (1, 10, 100)
    flips: int = 50
    buses: bool = True
    failures: tuple[str, ...] = ("killed", "hung")
    peers: tuple[str, ...] = ("poll", "redis", "kv")
    looks: int = 20_000
    every: float = 1.0
    watched: float = 5.0
    back: float = 30.0


QUICK = Size(hosts=1, workers=1, readers=(2,), flips=2, buses=False, failures=("killed",), peers=(), looks=500)


class Spread(Struct, frozen=True):
    """Times in milliseconds of `count` measurements."""

    count: int
    p50: float
    p99: float
    most: float


def spread(seconds: Iterable[float]) -> Spread | None:
    """Of times in seconds; None of none."""
    ordered = sorted(seconds)
    if not ordered:
        return None
    return Spread(len(ordered), *(1e3 * v for v in (percentile(ordered, 0.5), percentile(ordered, 0.99), ordered[-1])))


class Flip(Struct, frozen=True):
    """From asking to shut until readers see it. `each` is of every reader in every flip, `last` of the last in each.

    `said` is the same as `last`, but from the moment at which control had said its table on the bus.
    """

    system: str
    way: str
    readers: int
    pages: int
    each: Spread
    last: Spread
    said: Spread | None = None


class Work(Struct, frozen=True):
    """What a shut does to four real gateway workers under load.

    `refused`: from asking to shut until the last of the workers has refused a request. `let_through`: of requests that
    came after, until the newest that AI still answered; 0 if there was none. `text`: until the last byte of the model's
    text in any stream that was in flight; `closed`: until the last of these streams was at its end.
    """

    way: str
    workers: int
    requests: int
    per_second: float
    streams: int
    refused: Spread
    let_through: Spread
    text: Spread | None
    closed: Spread | None


class Failure(Struct, frozen=True):
    """What readers do when what tells them is gone, and when it is back. Seconds.

    `safe` is until the last reader was fail-safe, None for never (as long as `watched`); `over` the same minus the
    lease. `back` is from the moment the server could be spoken to again until the last reader saw the truth; None: not
    within `watched`.
    """

    system: str
    what: str
    readers: int
    safe: float | None
    over: float | None
    back: float | None
    watched: float
    note: str = ""


class Cost(Struct, frozen=True):
    """Nanoseconds of one look at the page and of judging it, medians; `switches` stand in the table."""

    switches: int
    look: float
    standing: float


class Figures(Struct, frozen=True):
    """The whole run. `skipped` says which rows are missing, and why."""

    machine: Machine
    lease: float
    beat: float
    flips: list[Flip]
    work: list[Work]
    failures: list[Failure]
    costs: list[Cost]
    skipped: list[str]


def flip_figures(
    system: str, way: str, pages: int, times: Sequence[Sequence[float]], said: Sequence[float] = ()
) -> Flip:
    """`times` are of each flip, of every reader; `said` of each flip, from asking until the table was said."""
    each = spread(t for flip in times for t in flip)
    last = spread(max(flip) for flip in times)
    assert each is not None
    assert last is not None
    after = spread(max(flip) - told for flip, told in zip(times, said, strict=False) if math.isfinite(told))
    return Flip(system, way, len(times[0]), pages, each, last, after)
