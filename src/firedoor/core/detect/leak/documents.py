"""Stretches of protected documents in an answer, while it grows.

Every gram of a document is known, so it is enough to ask for each eleventh of the answer's, as it stands, read
backwards and as rot13. 31 characters of a document in a row hold at least one that is asked. Where one is known, its
neighbours are looked at one by one. What is asked, and so what is found, depends on the places in the folded text only,
never on how the answer was cut.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Sequence
from operator import itemgetter

from firedoor.core.detect.leak.grams import (
    ENOUGH,
    GRAM,
    WINDOW,
    DocumentRef,
    Fingerprints,
    GramFolding,
    grams_at,
    grams_of,
)
from firedoor.core.detect.spans import Hit, HitKind, View

PIECE = 4096
"""Code points looked at together: what is remembered of a text is at most a few of them."""

_VIEWS: tuple[View, ...] = ("plain", "reversed", "rot13")
_STEP = 11
"""Every which gram is asked: of `ENOUGH` in a row one is."""
_LATE = 1
"""Folded characters that may wait with a gram that is to be asked: so many more may leave, and less is done for each
of the small pieces that a stream comes in."""
_KEPT = WINDOW + GRAM + 8  # folded characters that may be looked at again
_TRIM = 1024  # folded characters above that are let go together

_START = itemgetter(0)

Known = tuple[int, DocumentRef]
"""The place of a known gram, in folded characters from the start of the text, and a document that holds it."""


def typed_grams(sources: Sequence[Fingerprints], folding: GramFolding, text: str) -> frozenset[bytes]:
    """Grams of protected documents in a text that the caller brought: they are no leak when they come back.

    As they stand in the documents, in whichever view the text has them. Linear in `text`.
    """
    watch = _CollectingWatch(sources, folding)
    watch.feed(text)
    return frozenset(watch.collected)


class DocumentWatch:
    """Protected documents in one growing text: a `Watch`, except that it holds nothing back before a gram is known.

    So a hit may begin up to `MIN_FOLDED` - 1 folded characters before what `held_from` gave earlier, which goes back
    then; that many and no more of a document leave in a row. Held back are as many at most, until a leak is reported;
    from there on all of it until none is known for a `WINDOW`. A leak that goes on is reported stretch by stretch, each
    hit beginning where the last one ended.

    Grams in `typed`, documents of the sets `granted`, and those only of sets `elsewhere`, which are not protected here,
    are not seen at all.
    """

    __slots__ = ("_asks", "_elsewhere", "_end", "_enough", "_fed", "_folding", "_granted", "_kept", "_kind", "_live",
                 "_marked", "_pieces", "_read", "_sources", "_table", "_tracks", "_typed", "_waiting")  # fmt: skip

    def __init__(
        self,
        sources: Sequence[Fingerprints],
        folding: GramFolding,
        *,
        typed: frozenset[bytes] = frozenset(),
        granted: frozenset[str] = frozenset(),
        elsewhere: frozenset[str] = frozenset(),
        kind: HitKind = "document",
    ) -> None:
        self._sources = sources
        self._folding = folding
        self._typed = typed
        self._granted = granted
        self._elsewhere = elsewhere
        self._kind: HitKind = kind
        self._table = folding.table
        self._tracks = [_Track(self, view) for view in _VIEWS]
        self._waiting = ""  # text that cannot complete a gram that is looked at
        self._enough = GRAM  # code points that may
        self._live = False  # whether any gram may be looked at, not only those asked
        self._marked = ""  # the end of the text before that, folded and marked
        self._kept = 0  # the place that it begins at
        self._end = 0  # and ends at
        self._pieces: list[tuple[int, int, str]] = []  # what it comes from: place, code point, text
        self._read: tuple[int, list[int]] = (-1, [])  # of the piece asked last: place, code point of each folded one
        self._fed = 0
        self._asks = 0  # the next place whose gram is asked in every view

    def feed(self, text: str) -> list[Hit]:
        """See `Watch.feed`."""
        text = self._waiting + text
        if len(text) < self._enough and text.isascii():
            self._waiting = text
            return []
        self._waiting = ""
        if len(text) <= PIECE:
            return self._take(text)
        return [hit for at in range(0, len(text), PIECE) for hit in self._take(text[at : at + PIECE])]

    def held_from(self) -> int:
        """Where the live run begins, or what is not reported of a leak; the length fed while there is neither."""
        if not self._live:
            return self._fed + len(self._waiting)
        return min((track.hold for track in self._tracks if track.hold is not None), default=self._fed)

    def end(self) -> list[Hit]:
        """What goes on to the end of a leak. A shorter stretch is nothing."""
        return [hit for track in self._tracks for hit in track.close()]

    def _take(self, piece: str) -> list[Hit]:
        marked = piece.translate(self._table) if piece.isascii() else self._folding.marked(piece)
        end = self._end
        if marked:
            self._pieces.append((end, self._fed, piece))
            self._marked += marked
            self._end = end = end + len(marked)
        self._fed += len(piece)
        last = end - GRAM
        hits: list[Hit] = []
        if last >= self._asks or self._live:
            if self._live or last >= self._asks + _STEP or not self._is_unknown(self._asks - self._kept):
                hits = self._look_at(last)
            else:  # as with most pieces of most texts
                self._asks += _STEP
            if end > self._kept + _KEPT + _TRIM:
                self._trim(end - _KEPT)
        self._enough = 1 if self._live else self._asks - last + _LATE
        return hits

    def _is_unknown(self, at: int) -> bool:
        """Whether the gram at `at` of the marked text is known in no view: the quick way."""
        grams = grams_at(self._marked, at)
        for source in self._sources:  # noqa: SIM110  # a generator costs as much as the rest
            if source.find(grams):
                return False
        return True

    def _look_at(self, last: int) -> list[Hit]:
        """Look at what is due of the grams up to `last`."""
        first, asked = self._asks, max(0, (last - self._asks) // _STEP + 1)
        self._asks += asked * _STEP
        hits: list[Hit] = []
        self._live = False
        for track in self._tracks:
            known = self.look(track.view, first, self._asks - _STEP, _STEP) if asked else []
            hits += track.advance([place for place, _ in known], last)
            self._live |= track.live
        return hits

    def _trim(self, before: int) -> None:
        """Let go of what comes from folded characters before `before`."""
        self._marked = self._marked[before - self._kept :]
        self._kept = before
        del self._pieces[: self._piece(before)]

    def _piece(self, place: int) -> int:
        return bisect_right(self._pieces, place, key=_START) - 1

    def look(self, view: View, first: int, last: int, step: int) -> list[Known]:
        """The known grams at `first`, `first` + `step` … `last`, in order."""
        grams = grams_of(self._marked[first - self._kept : last - self._kept + GRAM], view, step)
        found: dict[int, DocumentRef] = {}
        for source in self._sources:
            for at, number in source.find(grams):
                ref = source.document(number)
                if at not in found and self._counts(grams[at], ref):
                    found[at] = ref
        if view == "reversed":
            return sorted((last - at * step, ref) for at, ref in found.items())
        return sorted((first + at * step, ref) for at, ref in found.items())

    def _counts(self, gram: bytes, ref: DocumentRef) -> bool:
        return gram not in self._typed and not ref.may_leave(self._granted, self._elsewhere)

    def offset(self, place: int) -> int:
        """The code point that the folded character at `place` comes from."""
        start, fed, piece = self._pieces[self._piece(place)]
        if self._read[0] != start:
            of = self._folding.of
            self._read = start, [fed + i for i, character in enumerate(piece) for _ in of(character)]
        return self._read[1][place - start]

    def hit(self, start: int, end: int, view: View, ref: DocumentRef, share: float) -> Hit:
        """A hit of this watch."""
        return Hit(start, end, ref.id, ref.protecting(self._elsewhere), self._kind, view, round(share, 2))


class _CollectingWatch(DocumentWatch):
    __slots__ = ("collected",)

    def __init__(self, sources: Sequence[Fingerprints], folding: GramFolding) -> None:
        super().__init__(sources, folding)
        self.collected: set[bytes] = set()

    def _counts(self, gram: bytes, ref: DocumentRef) -> bool:  # noqa: ARG002  # whoever may receive it
        self.collected.add(gram)
        return True


class _Track:
    """The search in one view. A gram's place is that of its first folded character.

    A run are known grams one after another, and is live as long as it may go on. Once `ENOUGH` grams lie in a window it
    is a leak, until none is known for a whole window.
    """

    __slots__ = ("_from", "_leaking", "_looked", "_recent", "_reported", "_run_ends", "_run_from", "_until", "_watch",
                 "hold", "view")  # fmt: skip

    def __init__(self, watch: DocumentWatch, view: View) -> None:
        self._watch = watch
        self.view: View = view
        self._looked = 0  # where looking one by one goes on
        self._until = -1  # and where it ends, unless it finds more
        self._recent: deque[Known] = deque()  # known grams of the last window; of a leak, those not reported
        self._run_from = 0  # code point where the last run begins
        self._run_ends = -2  # its last gram
        self._leaking = False
        self._from = 0  # code point before which a leak is reported
        self._reported = -1  # the last gram that was
        self.hold: int | None = None
        """The code point from which a run or a leak is live."""

    @property
    def live(self) -> bool:
        """Whether every gram is to be looked at."""
        return self._looked <= self._until

    def advance(self, asked: list[int], last: int) -> list[Hit]:
        """Look at what is due of the grams up to `last`; `asked` are the places of known ones among them, in order."""
        hits = self._look_closely(last)
        for place in asked:
            if place >= self._looked:
                self._looked = max(self._looked, place - WINDOW + 1)
                self._until = place
                hits += self._look_closely(last)
        if self._leaking:
            self.hold = self._from
        else:
            self.hold = self._run_from if self._run_ends == last else None
        return hits

    def close(self) -> list[Hit]:
        """No more is known for a window, or comes at all: the rest of a leak."""
        rest = [self._report()] if self._leaking and self._recent else []
        self._leaking = False
        self._recent.clear()
        return rest

    def _look_closely(self, last: int) -> list[Hit]:
        """Look at one gram after another as far as that is due."""
        if self._looked > self._until:
            return []
        hits: list[Hit] = []
        while (upto := min(last, self._until)) >= self._looked:
            for known in self._watch.look(self.view, self._looked, upto, 1):
                hits += self._know(known)
            self._looked = upto + 1
        return hits + self.close() if self._looked > self._until else hits

    def _know(self, known: Known) -> list[Hit]:
        """One more known gram."""
        place = known[0]
        if place != self._run_ends + 1:
            self._run_from = self._watch.offset(place)
        self._run_ends = place
        self._until = place + WINDOW
        recent = self._recent
        recent.append(known)
        if not self._leaking:
            while recent[0][0] <= place - WINDOW:
                recent.popleft()
            if len(recent) < ENOUGH:
                return []
            self._leaking = True
            self._from = self._watch.offset(recent[0][0])
            self._reported = recent[0][0] - 1
        elif place - self._reported < ENOUGH:
            return []
        return [self._report()]

    def _report(self) -> Hit:
        """A hit for what is known and not reported, up to the end of the last gram."""
        place = self._recent[-1][0]
        start, self._from = self._from, self._watch.offset(place + GRAM - 1) + 1
        share = len(self._recent) / (place - self._reported)
        (ref, _), *_ = Counter(ref for _, ref in self._recent).most_common(1)
        self._reported = place
        self._recent.clear()
        return self._watch.hit(start, self._from, self.view, ref, share)
