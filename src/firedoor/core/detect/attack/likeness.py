"""Whether letters read like language: by how rare each pair of them is in seven languages (en de es fr it nl pt).

The table is made by ``training/prompt_attacks/bigrams.py``. Accents are left off; what is no Latin letter is the end of
a word. Texts are looked at as bytes in Latin-1, one for each code point, so that places in both are the same.
"""

from __future__ import annotations

import math
import re
import string
import unicodedata
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Steps = npt.NDArray[np.int64]
Pairs = npt.NDArray[np.uint16]
_NAT = 16

_TABLE = """
    VEIFDEIJJFNMGHIHGOJFGIJKYPP
    DOOLKSRNSMWRGKEQObGIHMQXZQS
    SMWzzKzfzNzzPzzOzzNXdPzzzSf
    PIzSzKzzIJzRQzzHzdPYNPzzzZz
    HJgzXDzZdIzbYWeKzzQSVOeZzaz
    AMQLKKRMTKZSHKEROXEFJOPSRTS
    LOzzcOSczNzzTzzMzzNbTQzzzzz
    MNzgZJzVSMzfQzRPzzNUVOzzzaz
    LKfzzHzzzMzhVYTMzzRYQRzYzYz
    IJRILIQMbWQRJMFIPTMGHTNfXzQ
    WQzzaSezzzzVzzXRzzzczRezzzz
    OPzzzOzzcRzcWTXSzzVVSWzfzdz
    HHTXQHVUWIzWJSbKWzgPOOVdzQc
    JIOzcIfzzLzzgQzMNzzUYNzzzZz
    DIWLHHTKTJcTWYOJzbXKGRUVzUS
    FUQNORLPUPcUKJFONhGKNLOQZWZ
    QKzzzKadSNzzOzzKRzKVSPzzzzz
    zzzzzzzzzzzzzzzzzzzzzMzzzzz
    GHSPMGUOWHzRQONIUZOMKOSWzRV
    DLXLYIbZPJcUTTZLNbcLGNaYzVc
    FHVZzFcZIHgcSZgIgzJNNMfUzQV
    MOQPQLURZNbZNMHXRzKLMYWYVbX
    WLzzzKzzzLzzZzzNzzXzzhezzez
    SMzzgOzzTPzzzzUQzzZZzYzzzzz
    SZzczZzzzUzzzzzfYzzzXzzzzzz
    JVzZeUzzzczzXWYVYzYUbzzzzzz
    SQhzzQzzzPzzzzzTzzzzbTzXzzW
"""
_STEPS = string.ascii_uppercase + string.ascii_lowercase
SYMBOLS = 27
"""The end of a word, and the letters."""
_MOST = 3.0
_RAREST = 7.0
"""Nats: one pair of letters that never was is no proof, since there are names and abbreviations."""


def _letter(code: int) -> int:
    plain = unicodedata.normalize("NFD", chr(code))[0].lower()
    return ord(plain) - 96 if "a" <= plain <= "z" else 0


_LETTERS = bytes(map(_letter, range(256)))

_JOINT = np.exp(-np.array([[_STEPS.index(step) / 4 for step in row] for row in _TABLE.split()]))
_JOINT[0, 0] = 0
_JOINT /= _JOINT.sum()
COSTS: Floats = np.minimum(-np.log(np.maximum(_JOINT / _JOINT.sum(1, keepdims=True), 1e-9)), _RAREST).astype(np.float32)
COSTS[0, 0] = 0
"""Nats that each letter costs behind another."""


def _shifted(shift: int) -> npt.NDArray[np.intp]:
    return np.array([0, *((at + shift) % 26 + 1 for at in range(26))])


def _even() -> npt.NDArray[np.float64]:
    """Every letter as often as any other."""
    even = np.outer(_JOINT.sum(1), _JOINT.sum(0))
    even[1:, 1:] = even[1:, 1:].mean()
    even[0, 1:] = even[0, 1:].mean()
    even[1:, 0] = even[1:, 0].mean()
    return even


def _odds(other: npt.NDArray[np.float64]) -> Steps:
    """Steps by which each pair speaks for `other` against language; whole numbers are the quickest to add up."""
    odds = np.log(np.maximum(other, 1e-9) / np.maximum(_JOINT, 1e-9)).clip(-_MOST, _MOST)
    odds[0, 0] = 0
    steps: Steps = (odds * _NAT).astype(np.int64).ravel()
    return steps


_MIRRORED = np.array([0, *range(26, 0, -1)])
_ROT13 = np.ix_(_shifted(13), _shifted(13))
_ATBASH = np.ix_(_MIRRORED, _MIRRORED)
_STRANGE = _odds((_JOINT[_ROT13] + _JOINT[_ATBASH] + _JOINT.T + _even()) / 4)
_REVERSED = _odds(_JOINT.T)
STRANGE, BACKWARDS, _SHORT = 8.0, 9.0, 60
"""Nats from which a stretch of text is looked at more closely: one text of shoppers in forty."""


class Stretch(NamedTuple):
    """The stretch of a text, code points `start`..`end`, that speaks most for something, by `gain` nats."""

    gain: float
    start: int
    end: int


def pairs(text: str) -> Pairs:
    """For each code point but the first, the number of the pair that it makes with the one before."""
    letters = np.frombuffer(text.encode("latin-1", "replace").translate(_LETTERS), np.uint8)
    found = letters[:-1].astype(np.uint16)
    found *= SYMBOLS
    found += letters[1:]
    return found


def strange(found: Pairs) -> tuple[bool, bool]:
    """Whether some stretch may be enciphered, and whether some may be written backwards."""
    if not len(found):
        return False, False
    longer = math.log(max(1.0, len(found) / _SHORT))  # more stretches, more chances
    strangest, most_backwards = _most(_STRANGE, found), _most(_REVERSED, found)
    return strangest >= (STRANGE + longer) * _NAT, most_backwards >= (BACKWARDS + longer) * _NAT


def strangest(found: Pairs) -> Stretch:
    """The stretch that may be enciphered the most."""
    return best_stretch(_STRANGE, found)


def most_backwards(found: Pairs) -> Stretch:
    """The stretch that may be written backwards the most."""
    return best_stretch(_REVERSED, found)


def _most(weights: Steps, found: Pairs) -> int:
    sums = weights.take(found).cumsum()
    return int((sums - np.minimum.accumulate(sums)).max())


def best_of(weights: Floats, found: Pairs) -> tuple[int, float]:
    """The row of `weights` whose best stretch gains the most, and how much."""
    sums = weights.take(found, axis=1).cumsum(axis=1)
    gains = (sums - np.minimum(np.minimum.accumulate(sums, axis=1), 0)).max(axis=1)
    row = int(gains.argmax())
    return row, float(gains[row])


def best_stretch(weights: Floats | Steps, found: Pairs) -> Stretch:
    """The stretch whose pairs add up to the most `weights`."""
    sums = weights.take(found).cumsum(dtype=np.float64)
    lows = np.minimum(np.minimum.accumulate(sums), 0)
    end = int((sums - lows).argmax())
    gain = float(sums[end] - lows[end])
    start = int((sums[: end + 1] <= lows[end]).nonzero()[0][-1]) + 1 if lows[end] < 0 else 0
    return Stretch(gain, start, end + 2)


def reversal() -> Floats:
    """What each pair gains where letters are written from the last to the first."""
    return (COSTS - COSTS.T).ravel()


def substitution(letters: npt.NDArray[np.intp]) -> Floats:
    """What each pair gains where letter n of the alphabet stands for ``letters[n]``, both counted from 1."""
    return (COSTS - COSTS[np.ix_(letters, letters)]).ravel()


def shifts() -> dict[int, npt.NDArray[np.intp]]:
    """What each letter stands for, by the number of letters that it was moved back by."""
    return {shift: _shifted(shift) for shift in range(1, 26)}


def mirrored() -> npt.NDArray[np.intp]:
    """The alphabet backwards."""
    return _MIRRORED


def gain(weights: Floats, text: str) -> float:
    """What all of `text` gains."""
    return float(weights.take(pairs(f" {text} ")).sum())


def cost(text: str) -> float:
    """Nats a letter costs in `text`: 2.2 to 3 for language, 4 and more for random letters. Infinite without any."""
    found = pairs(f" {text} ")
    count = int(np.count_nonzero(found))
    return float(COSTS.take(found).sum()) / count if count else float("inf")


_PRINTED = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\ufffd]")
_LETTER = re.compile(r"[^\W\d_]")
MOST_COST = 3.35
_SHARE = 0.5


def reads(text: str, most: float = MOST_COST) -> bool:
    """Whether `text` is something to read: mostly letters, and Latin ones that follow each other as in language."""
    shown = len(_PRINTED.findall(text))
    letters = len(_LETTER.findall(text))
    if letters < _SHARE * shown or not letters:
        return False
    wide = sum(character > "\u024f" and character.isalpha() for character in text)
    return wide > letters / 2 or cost(text) <= most


def total(text: str) -> float:
    """Nats that all letters of `text` cost."""
    return float(COSTS.take(pairs(f" {text} ")).sum())


def code(letter: str) -> int:
    """The row of a letter in `COSTS`."""
    return _LETTERS[ord(letter)] if letter <= "\xff" else 0


def _split(words: str) -> frozenset[str]:
    return frozenset(words.split())


_WORDS = _split(
    """
    the and you your for are this that with have not what all can will how when from now was please tell show
    give ignore instructions previous prompt system rules reveal code print repeat everything about above before
    order price want need get but they their then than who why where which would could should out our any has
    more does did its into only must say said write read send discount cost list items secret password hidden
    like make use just know help act pretend new time one here there been were also because respond answer
    output message text word words user assistant customer product details information forget disregard override
    bypass following instead without der die das und ist ich sie nicht mit den ein eine auf für dem von zu wie
    was alle deine ihre bitte mir zeige anweisungen vorherigen ignoriere regeln sag kann auch oder wenn wir hat
    les des une que est pour dans vous pas qui sur avec tout mes moi vos toutes votre ignore ignorez
    instructions los las por con una para como más pero sus todo todas muestra dime instrucciones anteriores
    reglas ignora del che non per sono una con come più tutte tutto mostra dimmi istruzioni precedenti regole
    della gli het een van niet voor met zijn alle jouw toon regels vorige negeer instructies dat wat não uma com
    para você todas suas mostre diga instruções anteriores regras seu sua
    """
)
"""Common words of the seven languages, and those of people who want a model to do something else."""
_WORD = re.compile(r"[^\W\d_]{3,}")


_BOTH_WAYS = _split("was der now per dem den sag net les los era are ton won not")


def known_words(text: str, *, one_way: bool = False) -> int:
    """How many common words `text` has; `one_way`: that are no words backwards."""
    words = _WORD.findall(text.casefold())
    return sum(word in _WORDS and not (one_way and word in _BOTH_WAYS) for word in words)
