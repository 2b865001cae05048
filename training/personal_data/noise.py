"""What people and machines do to orthography: chat, capitals, typing errors, scanners. Spans move along."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable, Sequence

from training.personal_data.fill import Labelled

_SCANNED = {"0": "O", "1": "l", "5": "S", "8": "B"}


def noisy(text: Labelled, rng: random.Random) -> Labelled:
    """`text`, in a bit less than half of all cases changed in one of these ways."""
    chance = rng.random()
    if chance < 0.54:
        return text
    if chance < 0.70:
        return stripped(text, rng)
    if chance < 0.84:
        return _mapped(text, str.lower)
    if chance < 0.87:
        return _mapped(text, str.upper)
    if chance < 0.91:
        return titled(text)
    if chance < 0.95:
        return typed(text, rng)
    if chance < 0.975:
        return _mapped(text, without_accents)
    return scanned(text, rng)


_ORDINARY = re.compile(r"(?<![^\W_])[^\W\d_]{3,}(?![^\W_])")


def reworded(text: Labelled, words: Sequence[str], rng: random.Random) -> Labelled:
    """In a third of all texts some words outside the spans are others, from `words`: it is not the words next to a name
    alone that tell it, and a rare word is no name. Where the old one had a capital, so has the new one; a few more do.
    """
    if not words or rng.random() > 0.35:
        return text
    pieces = list(text.text)
    for match in _ORDINARY.finditer(text.text):
        start, end = match.span()
        if rng.random() < 0.1 and not any(a < end and start < b for a, b, _ in text.spans):
            word = rng.choice(words)
            capital = text.text[start].isupper() or rng.random() < 0.08
            pieces[start:end] = [word.capitalize() if capital else word, *[""] * (end - start - 1)]
    return rebuilt(text, pieces)


def rebuilt(text: Labelled, pieces: list[str]) -> Labelled:
    """`text` with its character number i replaced by ``pieces[i]``."""
    starts = [0]
    for piece in pieces:
        starts.append(starts[-1] + len(piece))
    whole = "".join(pieces)
    spans = []
    for start, end, label in text.spans:
        a, b = starts[start], starts[end]
        while a < b and whole[a].isspace():
            a += 1
        while b > a and whole[b - 1].isspace():
            b -= 1
        if b > a:
            spans.append((a, b, label))
    return Labelled(whole, spans, text.language, text.source)


def _mapped(text: Labelled, change: Callable[[str], str]) -> Labelled:
    return rebuilt(text, [change(c) for c in text.text])


def without_accents(character: str) -> str:
    """How people write who have another keyboard."""
    return (
        "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
        .replace("ł", "l")
        .replace("ß", "ss")
    )


def stripped(text: Labelled, rng: random.Random) -> Labelled:
    """Lower case without punctuation, as transcribed chats are; sometimes digits stand apart from letters."""
    apart = rng.random() < 0.5
    pieces = []
    last = " "
    for character in text.text:
        piece = character.lower()
        if not (piece.isalnum() or piece.isspace() or unicodedata.category(piece[0]) == "Mn"):
            piece = "" if rng.random() < 0.85 or last == " " else " "
        elif apart and ((piece.isdigit() and last.isalpha()) or (piece.isalpha() and last.isdigit())):
            piece = " " + piece
        if piece == " " and last == " ":
            piece = ""
        if piece:
            last = piece[-1]
        pieces.append(piece)
    return rebuilt(text, pieces)


def titled(text: Labelled) -> Labelled:
    """Every Word With A Capital."""
    pieces = [
        c.upper() if c.isalpha() and (i == 0 or not text.text[i - 1].isalpha()) else c for i, c in enumerate(text.text)
    ]
    return rebuilt(text, pieces)


def typed(text: Labelled, rng: random.Random) -> Labelled:
    """Letters left out, doubled or exchanged, sometimes all lower case."""
    pieces = list(text.text)
    for i, character in enumerate(pieces[:-1]):
        if character.isalpha() and rng.random() < 0.03:
            kind = rng.random()
            if kind < 0.35:
                pieces[i] = ""
            elif kind < 0.6:
                pieces[i] = character * 2
            elif pieces[i + 1].isalpha():
                pieces[i], pieces[i + 1] = pieces[i + 1], character
    if rng.random() < 0.4:
        pieces = [p.lower() for p in pieces]
    return rebuilt(text, pieces)


def scanned(text: Labelled, rng: random.Random) -> Labelled:
    """Digits misread as letters, lines broken at any space."""
    pieces = []
    for character in text.text:
        if character in _SCANNED and rng.random() < 0.5:
            pieces.append(_SCANNED[character])
        elif character == " " and rng.random() < 0.06:
            pieces.append("\n")
        else:
            pieces.append(character)
    return rebuilt(text, pieces)
