"""No pattern of any data shape lets a last line feed pass; texts that may have line feeds anywhere are another thing."""

import importlib
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect

import firedoor
from firedoor.core.incident.entries import CaseId
from firedoor.core.patterns import END
from firedoor.core.plan.schema import plan_schema
from firedoor.core.plan.words import CountryCode, Name

ROOT = Path(firedoor.__file__).parent


def modules():
    """Those that say what a text looks like."""
    for path in sorted(ROOT.rglob("*.py")):
        if "Meta(" in path.read_text(encoding="utf-8"):
            yield importlib.import_module(".".join(("firedoor", *path.relative_to(ROOT).with_suffix("").parts)))


def patterns():
    """Of every `Struct` and every annotated name of the package, and of the schema that editors get."""
    known: set[str] = set()
    for module in modules():
        for value in vars(module).values():
            for meta in getattr(value, "__metadata__", ()):
                if isinstance(meta, msgspec.Meta) and meta.pattern is not None:
                    known.add(meta.pattern)
            if isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__module__ == module.__name__:
                walk(inspect.type_info(value), known, set())
    schema(plan_schema(), known)
    return sorted(known)


def walk(value, known, seen):
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, tuple):
        for each in value:
            walk(each, known, seen)
    elif isinstance(value, inspect.Type | inspect.Field):
        if isinstance(value, inspect.StrType) and value.pattern is not None:
            known.add(value.pattern)
        for name in value.__struct_fields__:
            walk(getattr(value, name), known, seen)


def schema(value, known):
    if isinstance(value, dict):
        if isinstance(value.get("pattern"), str):
            known.add(value["pattern"])
        for each in value.values():
            schema(each, known)
    elif isinstance(value, list):
        for each in value:
            schema(each, known)


PATTERNS = patterns()
FREE = {pattern for pattern in PATTERNS if re.search(pattern, "one\ntwo")}


def test_the_walk_finds_them() -> None:
    assert len(PATTERNS) > 30
    assert len(FREE) < 8


@pytest.mark.parametrize("pattern", [pattern for pattern in PATTERNS if pattern not in FREE])
def test_a_last_line_feed_is_refused(pattern) -> None:
    assert pattern.endswith(END)

    @settings(max_examples=15, database=None, deadline=None)
    @given(st.from_regex(re.compile(pattern, re.ASCII)))
    def refused(text):
        assert not text.endswith("\n")
        assert re.search(pattern, text + "\n") is None

    refused()


@pytest.mark.parametrize("shape", [Name, CountryCode, CaseId])
def test_so_does_the_decoder(shape) -> None:
    assert msgspec.convert("eu" if shape is not CountryCode else "EU", shape)
    for text in ("eu\n", "EU\n", "EEA\n", "\n"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(text, shape)
