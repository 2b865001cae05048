"""The attack rules that come with the package, read and compiled."""

from __future__ import annotations

from importlib import resources

from firedoor.core.detect.attack.rulefile import RuleFileInvalid, read_rules
from firedoor.core.detect.attack.rules import RuleSet
from firedoor.errors import SetupError

FILE = "attack-rules.txt"


def attack_rules() -> RuleSet:
    """The shipped rules, ready to search. Raises `SetupError` if their file is missing or damaged."""
    try:
        text = resources.files("firedoor.data").joinpath(FILE).read_text("utf-8")
        return RuleSet(read_rules(text))
    except (OSError, UnicodeDecodeError, RuleFileInvalid) as error:
        why = str(error) if isinstance(error, RuleFileInvalid) else "it cannot be read"
        raise SetupError(
            f"This installation of Firedoor is damaged: {FILE}: {why}.", remedy="Install the package anew."
        ) from None
