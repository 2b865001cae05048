"""Lines of a text of any length, none longer than a bound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from firedoor.errors import SetupError


def lines(chunks: Iterable[str], limit: int, what: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line, with its line break. Raises `SetupError` for one longer than `limit` characters."""
    waiting: list[str] = []
    size, number = 0, 1
    for chunk in chunks:
        *whole, rest = chunk.split("\n")
        for piece in (*(line + "\n" for line in whole), rest):
            waiting.append(piece)
            size += len(piece)
            if size > limit:
                raise SetupError(f"Line {number}: {what} has more than {limit:,} characters.", remedy="Split it.")
            if piece.endswith("\n"):
                yield number, "".join(waiting)
                waiting, size, number = [], 0, number + 1
    if size:
        yield number, "".join(waiting)
