"""A text as it reads with its disguises undone: the plain view, and one more for each level of decoding.

``plain`` is always the first, also where nothing changed. A further view has everything undone that the one before has,
decoded runs in their places, so that what stands around them stays: "Decode this and follow: …". Its name says what was
undone, in order: ``base64+rot13``. Whether anything is to be undone is asked first, in one pass over the bytes.

Bounds: three levels (one for a text of more than 64 k code points), six views, 64 k decoded code points and 256 runs
a text, eightfold growth of a run. What goes beyond is counted in `Views.refused`. What decodes to nothing that can be
read is dropped: it is no sign of anything.
"""

from __future__ import annotations

from collections.abc import Callable

from firedoor.core.detect.attack import ciphers, escapes, leet, numbers, runs, spacing, spelt
from firedoor.core.detect.attack.budget import MAX_DECODED, Budget
from firedoor.core.detect.attack.hidden import MAY_HIDE, hidden
from firedoor.core.detect.attack.letters import plain
from firedoor.core.detect.attack.shape import Need, outlines, strangeness
from firedoor.core.detect.attack.signs import Views
from firedoor.core.detect.disguise.views import Edit, View

LEVELS = 3
"""Encodings within each other that are undone: nobody writes more by hand, and a model seldom follows more."""
MAX_VIEWS = 6

_Decode = Callable[[str, Budget], tuple[str, list[Edit]]]


def _named(name: str, decode: Callable[[str, Budget], list[Edit]]) -> _Decode:
    return lambda text, budget: (name, decode(text, budget))


_DECODERS: tuple[tuple[Need, _Decode], ...] = (
    (Need.SYMBOLS, _named("rot47", ciphers.rot47)),
    (Need.DENSE, runs.dense),
    (Need.ESCAPES, _named("escapes", escapes.escaped)),
    (Need.LITERALS, _named("strings", escapes.literals)),
    (Need.SPACED, _named("spaced", spacing.singles)),
    (Need.NUMBERS, _named("numbers", numbers.numbers)),
    (Need.MORSE, _named("morse", spelt.morse)),
    (Need.SPELLING, _named("spelling", spelt.spoken)),
    (Need.GROUPS, runs.grouped),
    (Need.RUNS, runs.packed),
    (Need.PIG_LATIN, _named("pig-latin", spelt.pig_latin)),
    (Need.PIECES, _named("pieces", spacing.pieces)),
    (Need.LEET, _named("leet", leet.leet)),
    (Need.JOINED, _named("joined", spacing.joined)),
)
"""In an order in which what one writes can be read by those after it."""


def views(text: str) -> Views:
    """The views of `text`, at least one and at most `MAX_VIEWS`; their offsets lead back to its code points."""
    original = View("plain", text)
    first = plain(original, "plain")
    budget = Budget()
    found = [first]
    leaves: list[View] = []
    view, name = (first, "") if text.isascii() else _unhidden(original, first, budget)
    if name:
        found.append(view)
    for _ in range(LEVELS if len(text) <= MAX_DECODED else 1):
        undone, name = _decoded(view, name, budget)
        if undone is not view:
            found.append(undone)
        read, name = _deciphered(undone, name, budget, leaves)
        if read is view:
            break
        if read is not undone:
            found.append(read)
        view = read
    else:
        spare = Budget()
        if _decoded(view, name, spare)[0] is not view or _deciphered(view, name, spare, [])[0] is not view:
            budget.refused += 1
    return Views(tuple([*found, *leaves][:MAX_VIEWS]), budget.refused)


def _unhidden(original: View, first: View, budget: Budget) -> tuple[View, str]:
    """What only the characters say that the plain view has not: hidden texts, letters upside down, braille."""
    name = ""
    view = original
    if MAY_HIDE.search(view.text):
        view, name = _rewritten(view, name, "hidden", hidden(view.text, budget))
    if spelt.MAY_BE_TURNED.search(view.text):
        view, name = _rewritten(view, name, "upside-down", spelt.turned(view.text, budget))
    view = plain(view, name) if name else first
    if spelt.MAY_BE_BRAILLE.search(view.text):
        view, name = _rewritten(view, name, "braille", spelt.braille(view.text, budget))
    return view, name


def _decoded(view: View, name: str, budget: Budget) -> tuple[View, str]:
    """`view` with one level decoded, and its name; `view` itself if there is nothing to decode."""
    needed = outlines(view.text)
    if needed:
        for need, decode in _DECODERS:
            if need & needed:
                view, name = _rewritten(view, name, *decode(view.text, budget))
    return view, name


def _deciphered(view: View, name: str, budget: Budget, leaves: list[View]) -> tuple[View, str]:
    """The same for letters that stand for others; `leaves` gets what may also be meant."""
    strange = strangeness(view.text)
    if Need.CIPHER & strange:
        view, name = _rewritten(view, name, *ciphers.deciphered(view.text, budget))
    if (Need.BACKWARDS | Need.CIPHER) & strange:
        whole, words = ciphers.backwards(view.text, budget)
        if whole:
            leaves.append(_rewritten(view, name, "reversed-words", words)[0])
        view, name = _rewritten(view, name, "reversed", whole)
    return view, name


def _rewritten(view: View, name: str, kind: str, edits: list[Edit]) -> tuple[View, str]:
    if not edits:
        return view, name
    name = f"{name}+{kind}" if name else kind
    changed = view.rewritten(name, edits)
    return plain(changed, name), name
