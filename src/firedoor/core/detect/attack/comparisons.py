"""Numbers that a question or a guess compares an amount with: "is it above 40?", "unter 30?"."""

from __future__ import annotations


def compared_numbers(text: str) -> tuple[float, ...]:
    """The numbers that `text` compares an amount with, in the order of the text; empty for most texts."""
    return ()
