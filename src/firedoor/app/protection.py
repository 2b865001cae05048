"""What a region protects: values, rows and documents, read together; for each surface, its part of them."""

from __future__ import annotations

import hmac
from typing import NamedTuple

import msgspec

from firedoor.config import RegionHome
from firedoor.core.detect.leak.grams import GramFolding
from firedoor.core.detect.leak.guard import LeakIndex
from firedoor.core.detect.leak.rows import RowIndex
from firedoor.core.detect.leak.values import ValueIndex
from firedoor.core.plan.model import AnswerRules
from firedoor.errors import KeyUnusable
from firedoor.keys.derive import SealingBox
from firedoor.store.documentlist import LIST_NAME
from firedoor.store.documents import DocumentStore
from firedoor.store.protected import ProtectedFile
from firedoor.store.rows import RowFile


class Stores(NamedTuple):
    """Where a region keeps what it protects."""

    values: ProtectedFile
    rows: RowFile
    documents: DocumentStore

    @classmethod
    def of(cls, place: RegionHome, box: SealingBox) -> Stores:
        """Those of the region at `place`, whose workers' key is `box`."""
        return cls(ProtectedFile(place.protected, box), RowFile(place.rows, box), DocumentStore(place.documents, box))


class _Parts(NamedTuple):
    """What surfaces that protect the same sets share, in one thread."""

    values: ValueIndex
    rows: RowIndex


class Protection:
    """All that a region protects, as it was when it was loaded.

    Raises `KeyUnusable` for a file that does not open, `SetupError`, OSError: nothing protected is another answer than
    unreadable.
    """

    def __init__(self, stores: Stores, key: bytes, files: frozenset[str]) -> None:
        self._stores = stores
        self._files = files
        self._values = stores.values.load()
        self._rows = stores.rows.load()
        self._documents = stores.documents.open()  # before the list: one that is newer shows as a change
        documents = stores.documents.list()
        self._with_documents = frozenset(document.set for document in documents)
        content = msgspec.msgpack.encode((self._values, self._rows, documents))
        self._digest = hmac.digest(key, content, "sha256").hex()
        self._parts: dict[tuple[frozenset[str], bool], _Parts] = {}
        self._foldings = {beside: GramFolding() for beside in (False, True)}

    @classmethod
    def load(cls, place: RegionHome, box: SealingBox, before: Protection | None = None) -> Protection:
        """What the region at `place` protects now; `before` is what it protected when somebody looked last.

        Nothing here ever deletes a file of it: one that was there and is gone is `KeyUnusable`.
        """
        paths = (place.protected, place.rows, place.documents / LIST_NAME)
        files = frozenset(path.name for path in paths if path.exists())
        gone = sorted(before._files - files) if before is not None else []
        if gone:
            raise KeyUnusable(
                f"Protected content of region {place.name} is gone: {', '.join(gone)}.",
                remedy="Restore it from a backup. To protect nothing on purpose, use `firedoor protect remove`.",
            )
        return cls(Stores.of(place, box), box.subkey("in force"), files)

    @property
    def digest(self) -> str:
        """Another one for other content; nothing can be told from it."""
        return self._digest

    def changed(self) -> bool:
        """Whether anything was added or removed since. Three stats."""
        return any(store.changed() for store in self._stores)

    def index(self, sets: frozenset[str], rules: AnswerRules, *, beside: bool = False) -> LeakIndex:
        """What the answers of a surface that protects `sets` must not hold; honeytokens are in every one.

        Indexes with the same `beside` are for one thread together. Raises `ActRefused` for content that an older
        version took and this one does not.
        """
        parts = self._parts.get((sets, beside))
        if parts is None:
            values = (value for value in self._values if value.kind == "honeytoken" or value.set in sets)
            rows = (row for row in self._rows if row.set in sets)
            parts = self._parts[sets, beside] = _Parts(ValueIndex(values), RowIndex.build(rows))
        return LeakIndex(
            parts.values,
            rows=parts.rows,
            documents=(self._documents,) if self._documents is not None else (),
            elsewhere=self._with_documents - sets,
            prompts=rules.system_prompt != "off",
            folding=self._foldings[beside],
        )

    def sets(self) -> frozenset[str]:
        """Every set that has something in it, whether or not the plan still declares it."""
        held = {value.set for value in self._values} | {row.set for row in self._rows}
        return self._with_documents | held
