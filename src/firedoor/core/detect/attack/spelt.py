"""Letters written as other signs or as words: Morse, braille, the spelling alphabet, pig latin, letters upside down."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

from firedoor.core.detect.attack import likeness
from firedoor.core.detect.attack.budget import Budget
from firedoor.core.detect.attack.shape import CODE_WORDS
from firedoor.core.detect.disguise.views import Edit

# --- Morse (ITU-R M.1677-1) ---

_SIGNS = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.. "
    "----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----. "
    ".-.-.- --..-- ..--.. .----. -.-.-- -..-. -.--. -.--.- ---... -....- .-..-. -...- .-.-. .--.-. ..--.-"
)
_MORSE = dict(zip(_SIGNS.split(), "abcdefghijklmnopqrstuvwxyz0123456789.,?'!/():-\"=+@_", strict=True))
_DASHES = str.maketrans("_\u2013\u2014\u2212\xb7\u2022\u2219\u25cf", "---" + "-" + "....")
_DOT = "[.\\-_\u2013\u2014\u2212\xb7\u2022\u2219\u25cf]"
_WORD_GAP = r"[ ]{0,2}[/|\n][ ]{0,2}|[ ]{2,7}"
_MORSE_RUN = re.compile(rf"(?<![\w.\-]){_DOT}{{1,6}}(?:(?:{_WORD_GAP}|[ ]){_DOT}{{1,6}}){{3,}}(?![\w.\-])")
_MORSE_WORDS = re.compile(_WORD_GAP)
_LEAST_LETTERS, _LEAST_KINDS = 4, 3


def morse(text: str, budget: Budget) -> list[Edit]:
    """Dots and dashes as letters."""
    return _each(_MORSE_RUN, text, budget, _morse)


def _morse(run: str) -> str | None:
    words = [
        "".join(_MORSE.get(sign, "\0") for sign in word.split()) for word in _MORSE_WORDS.split(run.translate(_DASHES))
    ]
    written = " ".join(words)
    kinds = len(set(written.replace(" ", "")))
    if written.count("\0") * 10 > len(written) or kinds < _LEAST_KINDS or len(written) < _LEAST_LETTERS:
        return None
    written = written.replace("\0", "")
    return written if likeness.reads(written, 3.5) or (kinds > 6 and len(written) >= 12) else None


# --- braille (six dots; the Unicode block begins with the blank cell) ---

_BRAILLE = {
    0x2800: " ",
    0x2832: ".",
    0x2802: ",",
    0x2826: "?",
    0x2816: "!",
    0x2804: "'",
    0x2824: "-",
    0x2812: ":",
    0x2806: ";",
    0x2820: "",
    0x283C: "",
}
_BRAILLE |= {0x2800 + cell: letter for cell, letter in zip(
    (1, 3, 9, 25, 17, 11, 27, 19, 10, 26, 5, 7, 13, 29, 21, 15, 31, 23, 14, 30, 37, 39, 58, 45, 61, 53),
    "abcdefghijklmnopqrstuvwxyz", strict=True,
)}  # fmt: skip
MAY_BE_BRAILLE = re.compile("[\u2800-\u28ff]")
_BRAILLE_RUN = re.compile("[\u2800-\u28ff](?:[ \n]{0,3}[\u2800-\u28ff]){3,}")


def braille(text: str, budget: Budget) -> list[Edit]:
    """Braille cells as letters."""
    return _each(_BRAILLE_RUN, text, budget, lambda run: run.translate(_BRAILLE))


# --- the spelling alphabet ---

_CODE = rf"(?:{'|'.join(sorted(CODE_WORDS.split(), key=len, reverse=True))})"
_CODE_RUN = re.compile(rf"(?<![^\W_]){_CODE}(?:[^\w]{{1,4}}{_CODE}(?![^\W_])){{3,}}", re.IGNORECASE)
_CODE_WORD = re.compile(r"[A-Za-z]+(?:-ray)?")


def spoken(text: str, budget: Budget) -> list[Edit]:
    """``india golf november …`` as letters; where the gap is not the usual one, a word ends."""
    return _each(_CODE_RUN, text, budget, _spoken)


def _spoken(run: str) -> str:
    words = list(_CODE_WORD.finditer(run))
    gaps = [run[before.end() : after.start()] for before, after in pairwise(words)]
    usual = Counter(gaps).most_common(1)[0][0]
    letters = [word[0][0].lower() for word in words]
    return letters[0] + "".join(
        ("" if gap == usual else " ") + letter for gap, letter in zip(gaps, letters[1:], strict=True)
    )


# --- pig latin ---

_PIG_RUN = re.compile(r"(?<![^\W_])[A-Za-z]{1,24}ay(?:[^\w]{1,3}[A-Za-z]{1,24}ay(?![^\W_])){2,}")
_PIG_WORD = re.compile(r"([A-Za-z]{1,24})ay")
_CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxyz]{1,4}$|[bcdfghjklmnpqrstvwxz]?qu$")


def pig_latin(text: str, budget: Budget) -> list[Edit]:
    """``ignoreway eviouspray``: the consonants at the end go back to the beginning."""
    return _each(_PIG_RUN, text, budget, _pig)


def _pig(run: str) -> str | None:
    written = _PIG_WORD.sub(_pig_word, run)
    return (
        written if written != run and likeness.cost(written) < likeness.cost(_PIG_WORD.sub(r"\1", run)) + 0.3 else None
    )


def _pig_word(match: re.Match[str]) -> str:
    stem = match[1]
    low = stem.lower()
    end = _CONSONANTS.search(low)
    if end is None:
        return stem
    options = [low[at:] + low[:at] for at in range(end.start(), len(low))]
    if low[-1] in "wyh" and low[0] in "aeiou":  # "allway": nothing was moved
        options.append(low[:-1])
    return min(options, key=lambda option: likeness.cost(option) - 3 * likeness.known_words(option))


# --- upside down ---

_TURNED = str.maketrans(
    "ɐqɔpǝɟƃɓɥᴉıɾʞʃןɯuodbɹsʇnʌʍxʎz" + "∀ᗺƆᗡƎℲ⅁פHIſ˥WNOԀᴚS┴∩ΛMX⅄Z" + "¡¿˙'؛„)(][",  # noqa: RUF001
    "abcdefgghiijkllmnopqrstuvwxyz" + "ABCDEFGGHIJLMNOPRSTUVWXYZ" + '!?.,;"()[]',
)
_TURNED_ONLY = "ɐɔǝɟƃɥᴉɾʞɯɹʇʌʍʎ"
_TURNED_RUN = re.compile(rf"[^\s]{{0,40}}[{_TURNED_ONLY}](?:[^\n]{{0,4000}}[{_TURNED_ONLY}])?[^\s]{{0,40}}")
_LEAST_TURNED = 3
MAY_BE_TURNED = re.compile(f"[{_TURNED_ONLY}]")


def turned(text: str, budget: Budget) -> list[Edit]:
    """Letters upside down, which are mostly written from the last to the first as well."""
    return _each(_TURNED_RUN, text, budget, _turned)


def _turned(run: str) -> str | None:
    if len(MAY_BE_TURNED.findall(run)) < _LEAST_TURNED:
        return None
    written = run.translate(_TURNED)
    return min(written[::-1], written, key=likeness.cost)


def _each(pattern: re.Pattern[str], text: str, budget: Budget, read: Callable[[str], str | None]) -> list[Edit]:
    """An edit for each match that `read` makes something of."""
    edits = []
    for match in pattern.finditer(text):
        if not budget.tries():
            break
        written = read(match[0])
        if written is not None and budget.takes(len(match[0]), len(written)):
            edits.append(Edit(*match.span(), written))
    return edits
