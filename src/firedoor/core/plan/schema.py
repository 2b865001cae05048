"""The JSON Schema of a plan, for editors that complete and check while one writes."""

from __future__ import annotations

from typing import Any

import msgspec

from firedoor.core.patterns import END
from firedoor.core.plan import model, response
from firedoor.core.plan.model import Plan
from firedoor.core.plan.words import Duration

_DURATION = {
    "title": "Duration",
    "description": "a number with ms, s, m, h or d: 250ms, 2s, 30d",
    "type": "string",
    "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)" + END,
}


def plan_schema() -> dict[str, Any]:
    """The schema (JSON Schema 2020-12) of a plan of this version. The checks ask for more than it can say."""
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Firedoor emergency plan",
        **msgspec.json.schema(Plan, schema_hook=_hook),
    }
    for name, part in schema["$defs"].items():
        part_type = getattr(model, name, None) or getattr(response, name)
        for field in msgspec.structs.fields(part_type):
            if field.default_factory is not msgspec.NODEFAULT:
                default = field.default_factory()
                part["properties"][field.encode_name]["default"] = _shown(default)
    return schema


def _shown(default: object) -> object:
    """A default as people would write it; a mapping with all its own defaults is written empty."""
    if isinstance(default, msgspec.Struct):
        return {}
    if isinstance(default, Duration):
        return str(default)
    return msgspec.to_builtins(default, enc_hook=str)


def _hook(kind: type) -> dict[str, Any]:
    if kind is Duration:
        return dict(_DURATION)
    raise NotImplementedError(kind)
