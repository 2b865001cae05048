"""Where the rules for fields of structured requests apply: JSONPath (RFC 9535) on JSON that came in a text. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from firedoor.core.plan.model import FieldRule

if TYPE_CHECKING:
    from jsonpath_rfc9535 import JSONPathQuery

Location = tuple[str | int, ...]
"""Keys and positions from the top of a document."""

MAX_DEPTH = 64
"""Nesting of a document that rules are looked up in. An order with its lines reaches about eight."""


class TooDeep(Exception):  # named after what happened; never leaves this package
    """A document is nested too deep for rules about its fields."""


def compiled(path: str) -> JSONPathQuery:
    """The query of a rule. Raises `ValueError`, with a reason for the plan's author, for one that cannot be used.

    A shopper's text is what it will be asked of, so the time it takes must be linear in the document: one ``..`` at
    most, filters that look at nothing but the value itself (``@``), and no regular expressions.
    """
    # Here, for most plans have no such rule, and every process reads a plan at its start.
    from jsonpath_rfc9535 import JSONPathError  # noqa: PLC0415
    from jsonpath_rfc9535 import compile as compile_query  # noqa: PLC0415
    from jsonpath_rfc9535.lex import tokenize  # noqa: PLC0415
    from jsonpath_rfc9535.tokens import TokenType  # noqa: PLC0415

    try:
        query = compile_query(path)
        kinds = [token.type_ for token in tokenize(path)]
        functions = {token.value for token in tokenize(path) if token.type_ is TokenType.FUNCTION}
    except (JSONPathError, RecursionError) as error:
        raise ValueError(f"is no JSONPath of RFC 9535: {str(error) or 'nested too deep'}") from None
    if kinds.count(TokenType.DOUBLE_DOT) > 1:
        raise ValueError("has more than one '..'")
    if kinds.count(TokenType.ROOT) > 1:
        raise ValueError("has a filter that looks at the whole document ('$')")
    if functions & {"match", "search"}:
        raise ValueError("has a regular expression, whose time nobody can bound")
    return query


class Ambiguous(Exception):  # named after what happened; never leaves this package
    """A document says a key twice, so that it can be read in two ways, and rules are looked up in one of them."""


class FieldRules:
    """The rules of a surface, compiled once."""

    def __init__(self, rules: Iterable[FieldRule]) -> None:
        self._rules = [(compiled(rule.path), rule) for rule in rules]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def at(self, document: Any) -> dict[Location, FieldRule]:
        """The rule of each place in `document` that has one; of several, the first listed. Raises `TooDeep`."""
        if not isinstance(document, dict | list) or not self._rules:
            return {}
        _bound(document, MAX_DEPTH)
        places: dict[Location, FieldRule] = {}
        for query, rule in self._rules:
            for node in query.finditer(document):
                places.setdefault(node.location, rule)
        return places


def _bound(value: Any, depth: int) -> None:
    if not depth:
        raise TooDeep
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            _bound(inner, depth - 1)
