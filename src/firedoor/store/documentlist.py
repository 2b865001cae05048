"""The list of a region's protected documents and published texts, as it is sealed in their folder."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from hashlib import blake2b
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from firedoor.core.detect.leak.grams import GramFolding
from firedoor.errors import SetupError

LIST_NAME: Final = "documents.sealed"
PRINTS_SUFFIX: Final = ".grams"
INDEX_PREFIX: Final = "index."


class Document(Struct, frozen=True):
    """A protected document. `fingerprints` are the grams that are its own: at most 19 less than folded `characters`.

    What is missing is in published texts, in documents of another kind, or repeated. `added` is in Unix seconds.
    """

    id: str
    set: str
    name: str
    characters: int
    fingerprints: int
    added: int


class PublicText(Struct, frozen=True):
    """A text that the shop has published: what it holds is never protected. `added` is in Unix seconds."""

    id: str
    name: str
    characters: int
    added: int


class Listing(Struct, frozen=True):
    """The sealed list. `digests` are keyed hashes of the documents' folded texts, by id; no index without documents.

    `folding` says how texts were folded (`folding_now`): other fingerprints than those would find nothing.
    """

    generation: bytes
    folding: bytes = b""
    documents: tuple[Document, ...] = ()
    digests: dict[str, bytes] = {}
    public: tuple[PublicText, ...] = ()

    @property
    def index(self) -> str:
        """Name of the index that goes with it."""
        return f"{INDEX_PREFIX}{self.generation.hex()}"

    def files(self) -> set[str]:
        """Names of all files that belong to it."""
        return {LIST_NAME, self.index, *(f"{one.id}{PRINTS_SUFFIX}" for one in self.all())}

    def all(self) -> list[Document | PublicText]:
        """Documents and published texts."""
        return [*self.documents, *self.public]

    def check_folding(self) -> None:
        """Raises `SetupError` if fingerprints made now would not fit those that are there."""
        if self.folding != folding_now() and self.all():
            raise SetupError(
                "The protected documents were added by a version of Firedoor that compares texts in another way.",
                remedy="Remove them and add them again.",
            )

    def by_digest(self, set_: str) -> dict[bytes, Document]:
        """The documents of a set by the digests of their texts."""
        return {self.digests[one.id]: one for one in self.documents if one.set == set_}

    def without(self, gone: Collection[str]) -> Listing:
        """All but those with the ids `gone`."""
        return replace(
            self,
            documents=tuple(one for one in self.documents if one.id not in gone),
            digests={id_: digest for id_, digest in self.digests.items() if id_ not in gone},
            public=tuple(one for one in self.public if one.id not in gone),
        )


@cache
def folding_now() -> bytes:
    """What changes when characters are folded in another way: a hash of how common ones are."""
    common = "".join(map(chr, (*range(0x20, 0x590), *range(0x1E00, 0x2000), *range(0xFF01, 0xFF5F))))
    return blake2b(GramFolding().plain(common).encode(), digest_size=8).digest()
