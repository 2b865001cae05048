"""How a pattern of a data shape ends. Pure."""

from __future__ import annotations

from typing import Final

END: Final = r"$(?!\n)"
"""The end of the text, and of nothing less: Python's ``$`` alone also holds before a last line feed, and a name with
one would pass. Valid in JSON Schema, too: in ECMA's regular expressions it says the same as ``$``.
"""
