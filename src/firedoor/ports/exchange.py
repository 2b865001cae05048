"""What an exchange asks for besides the model: sessions, earlier answers, products."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from firedoor.core.cache import Found, Partition, Poisoned, Source
from firedoor.core.plan.model import CacheRules
from firedoor.core.sessions import Key, Standing, Turn


class Sessions(Protocol):
    """What sessions, shoppers, credentials and networks have been adding up to, on this host.

    Owes: the sums of all workers of the host count, and what other hosts have told; nothing raises and nothing waits;
    what is kept identifies nobody and holds no word of what was asked.
    """

    @property
    def counts(self) -> Mapping[str, int]:
        """What happened to the file, by name, since this worker began."""
        ...

    def note(self, keys: Iterable[Key], turn: Turn, now: float) -> Standing:
        """Add `turn` to the sums of `keys`; the worst of what follows. `now` in Unix seconds."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class Cache(Protocol):
    """Answers that are given again to the same request in the same partition.

    Owes: what is found was kept for exactly this partition and request and not changed since, and its time is not over;
    nothing raises, whatever became of the file, and nothing waits for more than some milliseconds; how long a look
    takes does not depend on what other partitions hold.
    """

    def find(self, partition: Partition, request: Mapping[str, Any]) -> Found | Poisoned | None:
        """The answer to `request`, None for none. An entry that was not kept for it, or was changed, is removed."""
        ...

    def keep(
        self, partition: Partition, request: Mapping[str, Any], text: str, source: Source, rules: CacheRules
    ) -> bool:
        """Keep `text` for `rules.ttl`; the oldest of shop and surface make room. Whether it was kept."""
        ...

    def set_aside(self, partition: Partition, request: Mapping[str, Any]) -> bool:
        """Give the answer to `request` to nobody any more, and keep it sealed for evidence. Whether it was there."""
        ...

    def close(self) -> None:
        """Let go of the file; from then on nothing is found."""
        ...


class Catalog(Protocol):
    """Full-text search in a shop's catalogue. Owes: an answer within a few milliseconds, for any query text."""

    def search(self, query: str, *, limit: int) -> list[dict[str, object]]:
        """Best hits first: ``sku``, ``name``, ``price``, ``currency``."""
        ...

    def names(self) -> list[str]:
        """The names of all products."""
        ...


class ProductFields(NamedTuple):
    """Some fields of one product as text, empty where it has none. `where` is its place, such as ``line 12``."""

    where: str
    values: tuple[str, ...]


class ProductSource(Protocol):
    """The products of a shop as its platform keeps them: every field by the platform's own name.

    Owes: each product once; a number as its digits; nothing is changed on the platform.
    """

    def products(self, fields: Sequence[str]) -> Iterator[ProductFields]:
        """The values of `fields`, in their order, for each product.

        Raises `SetupError` for a source that cannot be read, and `ActRefused` (``unknown_column``, naming the fields
        that there are) when no product has one of `fields`: at the latest behind the last product.
        """
        ...
