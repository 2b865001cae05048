"""Answers that a model server gave before, to somebody else: a cache behind it that does not ask who is asking.

Known at the first frame by the id of the answer, which every server that has good ids makes anew for each answer. Known
at the end by the text, which only raises a suspicion: a model may say the same to two people.

Some servers send the same id always, number their answers, or draw from a few hundred ids. Whether ids mean anything is
learnt for each model instance: see `Manner`.
"""

from __future__ import annotations

import hashlib
from typing import Generic, NamedTuple, TypeGuard, TypeVar

from firedoor.core.detect.fold import Folding

LIMIT = 32_768
"""Answers remembered, by id and by text: about 12 MB, and half an hour at nine answers a second."""
MAX_ID = 200
"""Characters of an id; known servers send 9 to 60. Longer ones are not judged."""
LEAST_TEXT = 120
"""Folded characters. Shorter answers are the same by chance: greetings, refusals, one price."""
APART = 12
"""Places in which two ids of one server differ if they are random: at least 48 bits, so that a chance repeat among the
remembered ones is expected once in 10^10 answers."""
TRUST = 8
"""Random ids in a row before a repeat is called a replay. More than the processes of a server that draw one id each."""
DISTRUST = -1000
"""Where the count goes on after an id came with two texts: a server that was caught earns trust slowly."""

_BYTES = 8
_NONE = bytes(_BYTES)

Kept = TypeVar("Kept")


class Asker(NamedTuple):
    """Whom an answer is for, and what was asked: keyed digests. `person` is empty if nobody said who it is."""

    person: bytes
    asked: bytes


class _Answered(NamedTuple):
    asker: Asker
    text: bytes


class Replays:
    """The answers that one worker saw. `key` is 32 random bytes of this process: nothing here is ever stored.

    Call `asker` when the request goes to the model instance, `seen_id` at the first frame of its answer, before any of
    it leaves, and `seen_text` when the answer ended whole.
    """

    def __init__(self, key: bytes, limit: int = LIMIT) -> None:
        self._key = key
        self._ids = _Recent[_Answered](limit)
        self._texts = _Recent[Asker | None](limit)
        self._manners: dict[str, Manner] = {}
        self._folding = Folding()

    def asker(self, shop: str, surface: str, subject: str | None, session: str | None, request: bytes) -> Asker:
        """`subject` and `session` are pseudonyms; the session counts where the subject is not known.

        `request` is the body as it goes to the model instance.
        """
        who = f"s\0{subject}" if subject is not None else f"t\0{session}" if session is not None else ""
        place = f"{shop}\0{surface}\0"
        person = self._digest(f"{place}{who}".encode()) if who else b""
        return Asker(person, self._digest(place.encode() + self._digest(request)))

    def seen_id(self, model: str, answer_id: object, asker: Asker) -> bool:
        """Whether this answer of the model instance `model` was given before, to another person or request: certain.

        `answer_id` is the ``id`` of the completion or of its first chunk, whatever its type. Asking again about the
        same answer changes nothing.
        """
        if not _is_id(answer_id):
            return False
        key = self._digest(answer_id.encode("utf-8", "surrogatepass"))
        manner = self._manner(model)
        known = self._ids.get(key)
        if known is None:
            manner.sent(answer_id)
            self._ids.put(key, _Answered(asker, _NONE))
            return False
        return known.asker != asker and manner.unique

    def seen_text(self, model: str, answer_id: object, text: str, asker: Asker) -> bool:
        """Whether the same long text went to another person who asked something else: a suspicion, told once a text.

        `text` is all that the model wrote in this answer. At least one of the two persons is known.
        """
        folded = "".join(map(self._folding.__getitem__, text))
        digest = self._digest(folded.encode("utf-8", "surrogatepass"))
        if _is_id(answer_id):
            self._learn(model, answer_id, digest)
        if len(folded) < LEAST_TEXT:
            return False
        if not self._texts.holds(digest):
            self._texts.put(digest, asker)
            return False
        first = self._texts.get(digest)
        if first is None or first.person == asker.person or first.asked == asker.asked:
            return False
        self._texts.put(digest, None)
        return True

    def _learn(self, model: str, answer_id: str, text: bytes) -> None:
        """An id that comes with two texts is no id of an answer. One that comes with the same text may be a replay."""
        key = self._digest(answer_id.encode("utf-8", "surrogatepass"))
        known = self._ids.get(key)
        if known is None:
            return
        if known.text == _NONE:
            self._ids.put(key, known._replace(text=text))
        elif known.text != text:
            self._manner(model).caught()

    def _manner(self, model: str) -> Manner:
        return self._manners.setdefault(model, Manner())

    def _digest(self, data: bytes) -> bytes:
        return hashlib.blake2b(data, digest_size=_BYTES, key=self._key).digest()


class Manner:
    """How a model instance makes its ids, as far as was seen.

    They count as unique after `TRUST` of them in a row that differ from the one before as random ones do. A number that
    goes up differs in its last places only; what repeats is not counted.
    """

    __slots__ = ("_last", "_random")

    def __init__(self) -> None:
        self._last = ""
        self._random = 0

    @property
    def unique(self) -> bool:
        """Whether the same id twice means the same answer twice."""
        return self._random >= TRUST

    def sent(self, answer_id: str) -> None:
        """Take an id that was not seen before."""
        last, self._last = self._last, answer_id
        if len(last) != len(answer_id):
            return
        if sum(a != b for a, b in zip(last, answer_id, strict=True)) >= APART:
            self._random += 1
        else:
            self._random = min(self._random, 0)

    def caught(self) -> None:
        """The same id came with two texts."""
        self._random = DISTRUST


class _Recent(Generic[Kept]):
    """The newest `limit` to half as many entries, in two halves: the older one is forgotten at once."""

    __slots__ = ("_half", "_new", "_old")

    def __init__(self, limit: int) -> None:
        self._half = max(1, limit // 2)
        self._new: dict[bytes, Kept] = {}
        self._old: dict[bytes, Kept] = {}

    def holds(self, key: bytes) -> bool:
        return key in self._new or key in self._old

    def get(self, key: bytes) -> Kept | None:
        return self._new[key] if key in self._new else self._old.get(key)

    def put(self, key: bytes, value: Kept) -> None:
        if key not in self._new and len(self._new) >= self._half:
            self._old, self._new = self._new, {}
        self._new[key] = value


def _is_id(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= MAX_ID
