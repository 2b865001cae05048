"""A region's protected documents: what is kept of them are fingerprints, never their text.

In the folder: the sealed list of documents, which also names the index that goes with it; for each document, and for
each published text, a sealed file of its fingerprints; the index, made from all of them. The list is replaced last, so
that a crash leaves the old state or the new. Who may write the files may change them: operators do on the region's
host, gateway workers open the index again when the list changes.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from msgspec.structs import replace

from firedoor.core.detect.leak.grams import ENOUGH, MIN_FOLDED, DocumentRef, GramFolding, GramKey
from firedoor.errors import ActRefused, KeyUnusable, SetupError
from firedoor.store import boilerplate, documentlist, fingerprints
from firedoor.store.boilerplate import MAX_SETS, Sorted
from firedoor.store.box import Box, same_release
from firedoor.store.documentlist import INDEX_PREFIX, LIST_NAME, PRINTS_SUFFIX, Document, Listing, PublicText
from firedoor.store.files import locked, read_bounded, stamp, write_atomic
from firedoor.store.fingerprints import Hashes, MappedFingerprints, Printed

__all__ = ["Document", "DocumentStore", "PublicText"]

MAX_CHARACTERS: Final = 16 * 1024 * 1024
"""Characters of a document, as given and folded: the longest price lists have a tenth; 25 s to take in."""
MAX_DOCUMENTS: Final = 10_000
"""Documents, and published texts, of a region: each is a file, and all are compared when one is added."""
MAX_FINGERPRINTS: Final = 20_000_000
"""Fingerprints of a region's documents, and of its published texts: 20 million are 384 MB of index."""
MAX_NAME: Final = 200

MAGIC: Final = b"firedoor documents 1\n"
LIST_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of the list; with 20,000 entries of the longest names it is smaller."""
PURPOSE: Final = "documents"

_GRAM_BYTES = 12
_PRINTS_LIMIT = max(_GRAM_BYTES * MAX_CHARACTERS, 8 * MAX_FINGERPRINTS) + 64  # and what sealing adds
_GENERATION = 16
_TRIES = 5  # to open an index that is being replaced

_Parts = list[Hashes]


class DocumentStore:
    """The documents of one region, in a folder of their own. No folder, or no list in it, means none.

    Every method raises OSError when the disk refuses, and `KeyUnusable` for files that were changed, or belong to
    another region: unreadable is another answer than nothing protected.
    """

    def __init__(self, folder: Path, box: Box) -> None:
        self._folder = folder
        self._box = box
        self._list = folder / LIST_NAME
        self._secret = box.subkey("fingerprints")
        self._key = GramKey.derive(self._secret)
        self._folding = GramFolding()
        self._stamp: tuple[int, int, int] | None = None

    def list(self) -> tuple[Document, ...]:
        """Every document, oldest first."""
        return self._load().documents

    def list_public(self) -> tuple[PublicText, ...]:
        """Every published text, oldest first."""
        return self._load().public

    def add(self, set_: str, texts: Iterable[tuple[str, str]]) -> tuple[Document, ...]:
        """The documents now in `set_` for these (name, text); a text that was there keeps its id and name.

        All or none. Raises `ActRefused` for a text too short or long, for too many, and where too little of one, given
        now or before, would be its own.
        """
        wanted: list[bytes] = []
        new: dict[bytes, tuple[str, int, Printed]] = {}
        for name, text in texts:
            folded = self._folded(name, text)
            digest = blake2b(folded.encode(), key=self._secret, digest_size=16, person=b"gram document").digest()
            wanted.append(digest)
            if digest not in new:
                new[digest] = name, len(folded), fingerprints.fingerprint(folded, self._key)
        with self._changing() as listing:
            listing.check_folding()
            added, digests = [], {}
            there = listing.by_digest(set_)
            for digest, (name, characters, printed) in new.items():
                if digest not in there:
                    document = Document(_new_id("doc"), set_, name, characters, len(printed.hashes), int(time.time()))
                    added.append(document)
                    digests[document.id] = digest
                    self._write(document.id, printed.hashes.tobytes() + printed.identities.tobytes())
            if added:
                documents = (*listing.documents, *added)
                self._commit(replace(listing, documents=documents, digests=listing.digests | digests))
                there = self._load().by_digest(set_)
        return tuple(there[digest] for digest in wanted)

    def add_public(self, name: str, texts: Iterable[str]) -> PublicText:
        """Stop protecting what stands in `texts`, which the shop has published; those of the same name are replaced.

        Raises `ActRefused` for too many, and where too little of a document would be left.
        """
        _check_name(name)
        parts: _Parts = []
        characters = 0
        for text in texts:
            folded = self._folding.plain(text[: MAX_FINGERPRINTS + 1])
            characters += len(folded)
            if max(len(text), characters) > MAX_FINGERPRINTS:
                raise _too_many("characters of published texts", MAX_FINGERPRINTS)
            parts.append(fingerprints.hashes(folded, self._key))
        public = PublicText(_new_id("pub"), name, characters, int(time.time()))
        with self._changing() as listing:
            listing.check_folding()
            self._write(public.id, _united(parts).tobytes())
            others = (one for one in listing.public if one.name != name)
            self._commit(replace(listing, public=(*others, public)))
        return public

    def remove(self, id_: str) -> Document | PublicText:
        """The document, or published text, that was removed. Raises `ActRefused` if there is none with this id."""
        with self._changing() as listing:
            for one in listing.all():
                if one.id == id_:
                    self._commit(listing.without((id_,)))
                    return one
        raise ActRefused(
            "unknown_document", f"There is no protected document {id_}.", remedy="See `firedoor protect list`."
        )

    def remove_set(self, set_: str) -> int:
        """Remove every document of a set at once; how many there were."""
        with self._changing() as listing:
            gone = {document.id for document in listing.documents if document.set == set_}
            if gone:
                self._commit(listing.without(gone))
        return len(gone)

    def rebuild(self) -> None:
        """Make the index again from what is kept of each document."""
        with self._changing() as listing:
            self._commit(listing)

    def changed(self) -> bool:
        """Whether anything changed since the last `open`. One stat."""
        return stamp(self._list) != self._stamp

    def open(self) -> MappedFingerprints | None:
        """The index as it is now; None while there are no documents. Raises `SetupError` if it is not there."""
        for _ in range(_TRIES):
            seen = stamp(self._list)
            listing = self._load()
            listing.check_folding()
            try:
                mapped = self._mapped(listing)
            except FileNotFoundError:
                continue  # replaced since the list was read
            self._stamp = seen
            return mapped
        raise SetupError(
            "The index of protected documents is not there.", remedy="Make it again with `firedoor protect rebuild`."
        )

    def _mapped(self, listing: Listing) -> MappedFingerprints | None:
        if not listing.documents:
            return None
        return MappedFingerprints(self._folder / listing.index, self._secret, listing.generation)

    def _folded(self, name: str, text: str) -> str:
        _check_name(name)
        folded = self._folding.plain(text[: MAX_CHARACTERS + 1])
        if max(len(text), len(folded)) > MAX_CHARACTERS:
            raise ActRefused(
                "document_too_long",
                f"{name} has more than {MAX_CHARACTERS} characters.",
                remedy="Add its chapters one by one.",
            )
        if len(folded) < MIN_FOLDED:
            raise ActRefused(
                "document_too_short",
                f"{name} has fewer than {MIN_FOLDED} letters and digits.",
                remedy="Protect it as a value.",
            )
        return folded

    @contextmanager
    def _changing(self) -> Iterator[Listing]:
        """The list, for as long as nobody else changes it. What a crash left over is removed."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with locked(self._list):
            if stamp(self._list) is None:
                self._check_none()
                self._write_list(Listing(os.urandom(_GENERATION)))  # first of all, so that files without it are a loss
            listing = self._load()
            self._sweep(listing)
            yield listing

    def _commit(self, listing: Listing) -> None:
        """Make the index for `listing` and have it count from now on. Raises `ActRefused`, with all as it was."""
        for what, there, most in (
            ("documents", len(listing.documents), MAX_DOCUMENTS),
            ("published texts", len(listing.public), MAX_DOCUMENTS),
            ("protected sets with documents", len({one.set for one in listing.documents}), MAX_SETS),
        ):
            if there > most:
                raise _too_many(what, most)
        listing = replace(
            listing, generation=os.urandom(_GENERATION), folding=listing.folding or documentlist.folding_now()
        )
        if not listing.all():
            listing = replace(listing, folding=b"")
        if listing.documents:
            sorted_out = self._sort_out(listing)
            content = fingerprints.encode(sorted_out.kept, self._secret, listing.generation)
            write_atomic(self._folder / listing.index, content)
            documents = zip(listing.documents, sorted_out.left, strict=True)
            listing = replace(listing, documents=tuple(_with_left(*one) for one in documents))
        self._write_list(listing)
        self._sweep(listing)

    def _sort_out(self, listing: Listing) -> Sorted:
        printed = [self._read_printed(one.id) for one in listing.documents]
        if sum(len(one.hashes) for one in printed) > MAX_FINGERPRINTS:
            raise _too_many("fingerprints of documents", MAX_FINGERPRINTS)
        public = [np.frombuffer(self._read(one.id), "<u8") for one in listing.public]
        if sum(map(len, public)) > MAX_FINGERPRINTS:
            raise _too_many("fingerprints of published texts", MAX_FINGERPRINTS)
        refs = [DocumentRef(one.id, one.set) for one in listing.documents]
        return boilerplate.sort_out(refs, printed, _united(public))

    def _load(self) -> Listing:
        try:
            data = read_bounded(self._list, LIST_LIMIT)
        except FileNotFoundError:
            self._check_none()
            return Listing(b"")
        if not data.startswith(MAGIC):
            raise KeyUnusable(f"{LIST_NAME} is not a list of documents.", remedy="Restore it from a backup.")
        plain = self._box.open(data[len(MAGIC) :], PURPOSE)
        with same_release(LIST_NAME):
            return msgspec.msgpack.decode(plain, type=Listing)

    def _check_none(self) -> None:
        """Raises `KeyUnusable` if there are files of documents and only their list is gone."""
        if any(self._folder.glob(f"*{PRINTS_SUFFIX}")) or any(self._folder.glob(f"{INDEX_PREFIX}*")):
            raise KeyUnusable(f"{LIST_NAME} is not there any more.", remedy="Restore it from a backup.")

    def _write_list(self, listing: Listing) -> None:
        write_atomic(self._list, MAGIC + self._box.seal(msgspec.msgpack.encode(listing), PURPOSE))

    def _write(self, id_: str, content: bytes) -> None:
        write_atomic(self._folder / f"{id_}{PRINTS_SUFFIX}", self._box.seal(content, f"{PURPOSE} {id_}"))

    def _read(self, id_: str) -> bytes:
        try:
            sealed = read_bounded(self._folder / f"{id_}{PRINTS_SUFFIX}", _PRINTS_LIMIT)
        except FileNotFoundError as error:
            raise KeyUnusable(
                f"The fingerprints of {id_} are not there any more.", remedy="Restore them from a backup, or remove it."
            ) from error
        return self._box.open(sealed, f"{PURPOSE} {id_}")

    def _read_printed(self, id_: str) -> Printed:
        content = self._read(id_)
        count = len(content) // _GRAM_BYTES
        return Printed(np.frombuffer(content, "<u8", count), np.frombuffer(content, "<u4", count, 8 * count))

    def _sweep(self, listing: Listing) -> None:
        """Remove files that belong to no state: of what was removed, and of writers that died."""
        kept = {*listing.files(), f".{LIST_NAME}.lock"}
        for path in self._folder.iterdir():
            if path.name not in kept:
                path.unlink(missing_ok=True)


def _united(parts: _Parts) -> Hashes:
    return np.unique(np.concatenate([np.empty(0, np.uint64), *parts]))


def _with_left(document: Document, left: int) -> Document:
    """`document` with `left` fingerprints. Raises `ActRefused` if that is too little to know it by."""
    if left < ENOUGH:
        raise ActRefused(
            "document_not_its_own",
            f"Nearly all of {document.name} ({document.id}) would stand in other documents, or in published texts.",
            remedy="Remove those, or do not protect it.",
        )
    return replace(document, fingerprints=left)


def _check_name(name: str) -> None:
    if not 0 < len(name) <= MAX_NAME:
        raise ActRefused("bad_name", f"The name of a document has 1 to {MAX_NAME} characters.")


def _too_many(what: str, most: int) -> ActRefused:
    return ActRefused("too_many_documents", f"A region has at most {most} {what}.", remedy="Remove old ones.")


def _new_id(kind: str) -> str:
    # Random: an id derived from the text would let anybody test guesses of it.
    return f"{kind}-{secrets.token_hex(6)}"
