"""Which grams of a region's documents are protected: those that tell one document, or one family, from all others.

A gram that stands in documents of different families is boilerplate and tells nothing; so is one that stands in a text
that the shop has published. Documents that mostly hold each other, such as the versions of a price list, are a family.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from firedoor.core.detect.leak.grams import DocumentRef
from firedoor.store.fingerprints import Hashes, Index, Printed

FAMILY_SHARE: Final = 0.5
"""Two documents are a family when they share more than this of the smaller one's grams."""
MAX_NEIGHBOURS: Final = 64
"""Documents with the same gram that are compared with each other, by age: more versions of a list chain up."""
MAX_SETS: Final = 64
"""Protected sets that hold documents, in one region: the bits of a word."""

_Ints = npt.NDArray[np.int64]


class Sorted(NamedTuple):
    """The index of what is protected, and how many fingerprints of each document that leaves."""

    kept: Index
    left: list[int]


def sort_out(documents: Sequence[DocumentRef], printed: Sequence[Printed], public: Hashes) -> Sorted:
    """Keep what is protected of the `printed` documents; `public` are the sorted hashes of published texts."""
    count = len(documents)
    owners = np.repeat(np.arange(count), [len(one.hashes) for one in printed])
    hashes = np.concatenate([one.hashes for one in printed])
    order = np.argsort(hashes, kind="stable")  # so that the owners of a gram are in the order of their age
    hashes, owners = hashes[order], owners[order]
    identities = np.concatenate([one.identities for one in printed])[order]
    first = np.flatnonzero(np.concatenate(([True], hashes[1:] != hashes[:-1])))
    sizes = np.diff(first, append=len(hashes))
    families = _families(hashes, owners, sizes, [len(one.hashes) for one in printed])
    of_gram = families[owners]
    kept = np.minimum.reduceat(of_gram, first) == np.maximum.reduceat(of_gram, first)
    kept &= ~_among(hashes[first], public)
    left = np.bincount(owners[np.repeat(kept, sizes)], minlength=count)
    numbers, refs = _numbers(documents, owners, first, kept)
    index = Index(Printed(hashes[first][kept], identities[first][kept]), numbers, refs)
    return Sorted(index, left.tolist())


def _families(hashes: Hashes, owners: _Ints, sizes: _Ints, grams: list[int]) -> _Ints:
    """For each document the number of its family: that of its oldest document."""
    shared = np.repeat(sizes > 1, sizes)
    hashes, owners = hashes[shared], owners[shared]
    count = len(grams)
    common: dict[int, int] = {}
    for distance in range(1, min(MAX_NEIGHBOURS, len(hashes))):
        same = hashes[distance:] == hashes[:-distance]
        if not same.any():
            break
        pairs, times = np.unique(owners[:-distance][same] * count + owners[distance:][same], return_counts=True)
        for pair, number in zip(pairs.tolist(), times.tolist(), strict=True):
            common[pair] = common.get(pair, 0) + number
    family = list(range(count))
    for pair, number in common.items():
        one, other = divmod(pair, count)
        if number > FAMILY_SHARE * min(grams[one], grams[other]):
            _unite(family, one, other)
    return np.array([_oldest(family, one) for one in range(count)])


def _unite(family: list[int], one: int, other: int) -> None:
    one, other = sorted((_oldest(family, one), _oldest(family, other)))
    family[other] = one


def _oldest(family: list[int], one: int) -> int:
    while family[one] != one:
        family[one] = family[family[one]]
        one = family[one]
    return one


def _among(hashes: Hashes, public: Hashes) -> npt.NDArray[np.bool_]:
    """Which of `hashes` are among the sorted `public` ones."""
    if not len(public):
        return np.zeros(len(hashes), dtype=np.bool_)
    places = np.minimum(np.searchsorted(public, hashes), len(public) - 1)
    return np.asarray(public[places] == hashes)


def _numbers(
    documents: Sequence[DocumentRef], owners: _Ints, first: _Ints, kept: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.uint32], list[DocumentRef]]:
    """For each kept gram the number of its oldest document, or one of its own where several sets hold it."""
    names = sorted({document.set for document in documents})
    bits = np.array([1 << names.index(document.set) for document in documents], dtype=np.uint64)
    sets = np.bitwise_or.reduceat(bits[owners], first)[kept]
    numbers = owners[first][kept].astype(np.uint32)
    refs = list(documents)
    mixed = np.flatnonzero(sets != bits[numbers])
    pairs, which = np.unique(np.stack((numbers[mixed].astype(np.uint64), sets[mixed])), axis=1, return_inverse=True)
    for number, held in pairs.T.tolist():
        oldest = documents[number]
        also = tuple(name for bit, name in enumerate(names) if held >> bit & 1 and name != oldest.set)
        refs.append(oldest._replace(also=also))
    numbers[mixed] = len(documents) + which.reshape(-1)
    return numbers, refs
