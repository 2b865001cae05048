"""Count the templates of a language and name the lines that the builder would refuse: ``check_templates.py LANG…``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

GENRES = ("shop", "trades", "records", "prose", "official", "prompts", "nothing")
PERSONS = (
    "full",
    "first",
    "last",
    "title_last",
    "last_first",
    "second",
    "second_first",
    "second_last",
    "third",
    "third_first",
)
PERSONAL = (
    *PERSONS, "street", "address", "address_ml", "city", "postcode", "email", "phone", "card", "iban", "national_id",
    "tax_id", "ip", "username", "secret", "order", "account", "dob", "url",
)  # fmt: skip
HARMLESS = (
    "org", "country", "region", "date", "time", "month", "weekday", "brand", "product", "sku", "price", "number", "size",
    "colour", "tracking",
)  # fmt: skip
MODIFIERS = ("gen", "dat", "acc", "ins", "loc", "voc", "lower", "upper", "initial", "nick")
SLOT = re.compile(r"\{([a-z_]+)(?::([a-z]+))?\}")


def lines(path: Path) -> list[tuple[int, str]]:
    """Number and text of every template in `path`."""
    written = path.read_text(encoding="utf-8").splitlines()
    return [(n, line) for n, line in enumerate(written, 1) if line.strip() and not line.startswith("# ")]


def faults(path: Path) -> list[str]:
    """What is wrong with the templates in `path`."""
    found = []
    seen: set[str] = set()
    for number, line in lines(path):
        slots = SLOT.findall(line)
        if "{" in SLOT.sub("", line) or "}" in SLOT.sub("", line):
            found.append(f"{path.name}:{number}: a brace that is no slot")
        for name, modifier in slots:
            if name not in PERSONAL + HARMLESS:
                found.append(f"{path.name}:{number}: unknown slot {name}")
            if modifier and modifier not in MODIFIERS:
                found.append(f"{path.name}:{number}: unknown modifier {modifier}")
            if path.stem == "nothing" and name in PERSONAL:
                found.append(f"{path.name}:{number}: {name} is personal")
        key = SLOT.sub("{}", line).lower()
        if key in seen:
            found.append(f"{path.name}:{number}: said before")
        seen.add(key)
    return found


def main() -> int:
    """Print counts and faults; 1 if there are faults."""
    bad = 0
    for language in sys.argv[1:]:
        for genre in GENRES:
            path = Path(__file__).parents[1] / "templates" / language / f"{genre}.txt"
            if not path.exists():
                print(f"{language} {genre}: missing")
                continue
            print(f"{language} {genre}: {len(lines(path))}")
            for fault in faults(path):
                print("  " + fault)
                bad = 1
    return bad


if __name__ == "__main__":
    raise SystemExit(main())
