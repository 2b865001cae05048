"""The sealed file of a region's protected values and honeytokens.

The plan names the sets; the values stand only here, sealed with the region's key. Who may write the file may change it:
operators do on the region's host, gateway workers read it again when it changes.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Final, Literal

from firedoor.core.detect.leak.values import MAX_VALUES, ProtectedValue, check_value
from firedoor.errors import ActRefused
from firedoor.store.files import locked
from firedoor.store.sealedlist import SealedList

PURPOSE: Final = "protected"
MAGIC: Final = b"firedoor protected 1\n"
FILE_LIMIT: Final = 32 * 1024 * 1024
"""Bytes; `MAX_VALUES` values of the longest text are smaller, even with every character escaped."""

CODE_ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Digits and capitals that nobody confuses when reading a code aloud."""
CODE_PREFIXES: Final = ("SUP", "ERP", "VND", "PRC", "CTR", "LOT")


class KeptValue(ProtectedValue, frozen=True):
    """A value as it is kept. `place` is the file in which a honeytoken was planted, for people; never looked for."""

    place: str = ""


class ProtectedFile(SealedList[KeptValue]):
    """The values of one region. Not there yet means none."""

    magic, purpose, limit, what = MAGIC, PURPOSE, FILE_LIMIT, "protected values"
    entries = tuple[KeptValue, ...]

    def add(
        self, set_: str, kind: Literal["value", "honeytoken"], texts: Iterable[str], place: str = ""
    ) -> list[KeptValue]:
        """The values now in `set_` for these texts; a text that was there keeps its id. Raises `ActRefused`.

        All or none: one text that cannot be searched for refuses the whole call.
        """
        wanted = list(dict.fromkeys(text.strip() for text in texts))
        for text in wanted:
            check_value(text)
        with locked(self.path):
            values = list(self.load())
            known = {(value.set, value.text): value for value in values}
            added = [KeptValue(_new_id(), set_, kind, text, place) for text in wanted if (set_, text) not in known]
            if len(values) + len(added) > MAX_VALUES:
                raise ActRefused(
                    "too_many_values", f"A region has at most {MAX_VALUES} protected values.", remedy="Remove old ones."
                )
            if added:
                self._write([*values, *added])
        new = {(value.set, value.text): value for value in added}
        return [known.get((set_, text)) or new[set_, text] for text in wanted]

    def remove_set(self, set_: str) -> int:
        """Remove every value and honeytoken of a set; how many there were."""
        with locked(self.path):
            values = self.load()
            kept = [value for value in values if value.set != set_]
            if len(kept) < len(values):
                self._write(kept)
        return len(values) - len(kept)

    def remove(self, value_id: str) -> KeptValue:
        """The value that was removed. Raises `ActRefused` if there is none with this id."""
        with locked(self.path):
            values = self.load()
            for value in values:
                if value.id == value_id:
                    self._write([kept for kept in values if kept is not value])
                    return value
        raise ActRefused(
            "unknown_value", f"There is no protected value {value_id}.", remedy="See `firedoor protect list`."
        )


def make_honeytoken(random: bytes) -> str:
    """A code such as ``SUP-7Q4K-93XD-M2WF-8TJC`` that looks like a supplier's reference and stands for nothing.

    `random` is at least 16 random bytes; 16 of 31 symbols carry 79 bits, so that it occurs nowhere by chance.
    """
    if len(random) < 16:
        raise ValueError("16 random bytes are needed")
    number = int.from_bytes(random, "big")
    number, prefix = divmod(number, len(CODE_PREFIXES))
    symbols = []
    for _ in range(16):
        number, index = divmod(number, len(CODE_ALPHABET))
        symbols.append(CODE_ALPHABET[index])
    code = "".join(symbols)
    return "-".join((CODE_PREFIXES[prefix], code[:4], code[4:8], code[8:12], code[12:]))


def _new_id() -> str:
    # Random: an id derived from the text would let anybody test guesses of a price against it.
    return f"pv-{secrets.token_hex(6)}"
