"""Whether plain values have the plan's shape: walks the types of model.py and reports every misfit, not only the first.

Each value is converted by msgspec, so what passes here is exactly what msgspec accepts; the walk only decides where to
ask and how to say it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from firedoor.core.plan.faults import Fault, Path, nearest, shown
from firedoor.core.plan.words import DAY, Duration

LONGEST = 3660 * DAY
"""Seconds. Nothing in a plan is kept for more than ten years; the checks set the bounds of each key."""

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)\Z")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

_EXAMPLES = {
    "firedoor": "Write `firedoor: 1`, the version of this format.",
    "name": "Give it a name: `name: …`.",
    "people": "Write `people: {}` and fill it with `firedoor people add`.",
    "roles": "Write for example `roles: [soc_analyst]`.",
    "key": "`firedoor people add` makes a key and writes its public half here.",
    "jurisdictions": "List what the region serves: `jurisdictions: [EU]`.",
    "address": "Say where shops reach the region: `address: https://ai.example.com`.",
    "listen": "Say what its gateway binds: `listen: 127.0.0.1:8080`.",
    "deadline": "Every surface has a time in which its answer comes, from AI or not: `deadline: 2s`.",
    "fallback": "Say what shoppers get while AI is off: `fallback: {kind: message, text: {en: …}}`; "
    "kinds are message, search, rules and refuse.",
    "models": "Name the model instance of each region: `models: {eu: eu-chat}`.",
    "home": "Name the jurisdiction to assume when the shop states none: `home: DE`.",
}
"""What to write when a required key is missing, by the key's name."""


def seconds(text: object) -> Duration:
    """``250ms``, ``2s``, ``1m``, ``12h`` or ``30d`` as seconds. Raises ValueError for anything else."""
    if not isinstance(text, str):
        raise ValueError("must be a duration with its unit")  # noqa: TRY004  # msgspec hands on both the same way
    match = _DURATION.match(text)
    if match is None:
        raise ValueError("must be a duration with its unit")
    value = float(match[1]) * _UNITS[match[2]]
    if not 0 < value <= LONGEST:
        raise ValueError("must be more than 0 and at most ten years")
    return Duration(value)


def dec_hook(kind: type, value: Any) -> Any:
    """What `msgspec.convert` asks for types it does not know: durations."""
    if kind is Duration:
        return seconds(value)
    raise NotImplementedError(kind)


def misfits(value: Any, kind: Any, path: Path = ()) -> Iterator[Fault]:
    """Everything in `value` that is not of the type `kind`, in the order of the document."""
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    arguments = get_args(bare)
    if isinstance(bare, type) and issubclass(bare, Struct):
        yield from _struct(value, bare, path)
    elif get_origin(bare) is dict:
        yield from _mapping(value, arguments[0], arguments[1], path)
    elif get_origin(bare) is tuple:
        yield from _sequence(value, arguments[0], path)
    elif get_origin(bare) in (UnionType, Union):
        yield from _union(value, bare, path)
    else:
        yield from _leaf(value, kind, path)


def _struct(value: Any, kind: type[Struct], path: Path) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield _not_a("mapping of keys to values", value, path)
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    tag_field = kind.__struct_config__.tag_field
    for name, inner in value.items():
        if name in fields:
            yield from misfits(inner, fields[name].type, (*path, name))
        elif name != tag_field:
            known = [*fields, *([tag_field] if tag_field else [])]
            yield Fault((*path, name), "unknown key", f"{nearest(name, known)}Keys here: {', '.join(known)}.")
    for name, field in fields.items():
        if field.required and name not in value:
            yield Fault((*path, name), "is missing", _EXAMPLES.get(name, f"Add `{name}: …`."))


def _mapping(value: Any, key_kind: Any, value_kind: Any, path: Path) -> Iterator[Fault]:
    if not isinstance(value, dict):
        remedy = "Write {} if there are none." if value is None else ""
        yield _not_a("mapping of names to values", value, path, remedy)
        return
    for name, inner in value.items():
        yield from _leaf(name, key_kind, (*path, name))
        yield from misfits(inner, value_kind, (*path, name))


def _sequence(value: Any, kind: Any, path: Path) -> Iterator[Fault]:
    if not isinstance(value, list):
        yield _not_a("list", value, path, "Write [] if there are none, [a, b] for two.")
        return
    for position, inner in enumerate(value):
        yield from misfits(inner, kind, (*path, position))


def _union(value: Any, kind: Any, path: Path) -> Iterator[Fault]:
    members = [member for member in get_args(kind) if member is not NoneType]
    tagged = {
        member.__struct_config__.tag: member
        for member in members
        if isinstance(member, type) and issubclass(member, Struct)
    }
    if value is None and NoneType in get_args(kind):
        return
    if len(members) == 1:
        yield from misfits(value, members[0], path)
    elif tagged:
        yield from _tagged(value, tagged, path)
    else:
        yield from _leaf(value, kind, path)


def _tagged(value: Any, members: Mapping[Any, type[Struct]], path: Path) -> Iterator[Fault]:
    field = next(iter(members.values())).__struct_config__.tag_field or "kind"
    if not isinstance(value, dict):
        yield _not_a("mapping of keys to values", value, path, f"`{field}:` is one of {', '.join(members)}.")
    elif field not in value:
        yield Fault((*path, field), "is missing", f"One of: {', '.join(members)}.")
    elif not isinstance(value[field], str) or value[field] not in members:
        word = value[field] if isinstance(value[field], str) else _what(value[field])
        remedy = f"{nearest(word, members)}One of: {', '.join(members)}."
        yield Fault((*path, field), f"{shown(word)} is no known {field}", remedy)
    else:
        yield from _struct(value, members[value[field]], path)


def _leaf(value: Any, kind: Any, path: Path) -> Iterator[Fault]:
    try:
        msgspec.convert(value, kind, dec_hook=dec_hook)
    except msgspec.ValidationError as error:
        yield _explained(value, kind, path, str(error))
    else:
        # A $ also matches before a line break at the end, and names with line breaks make bad file names.
        if any(meta.pattern and not re.fullmatch(meta.pattern, value) for meta in _metas(kind)):
            yield _explained(value, kind, path, "holds a line break")


def _explained(value: Any, kind: Any, path: Path, said: str) -> Fault:
    """The misfit in the plan author's words. A text is repeated only where a short name is expected, never a key."""
    if kind is Duration:
        problem = said if isinstance(value, str) else f"must be a duration, this is {_what(value)} without a unit"
        return Fault(path, problem, "Write a number with ms, s, m, h or d: 250ms, 2s, 30d.")
    if get_origin(kind) is Literal:
        known = [str(choice) for choice in get_args(kind)]
        word = str(value) if isinstance(value, str | int | float) else _what(value)
        return Fault(path, f"{shown(word)} is not allowed here", f"{nearest(word, known)}One of: {', '.join(known)}.")
    if _wants_text(kind) and not isinstance(value, str):
        return Fault(path, f"must be text, this is {_what(value)}", "Put a number, true, false or null in quotes.")
    bounds = [meta for meta in _metas(kind) if meta.ge is not None]
    if bounds and isinstance(value, int) and not isinstance(value, bool):
        return Fault(path, "out of bounds", f"From {bounds[0].ge} to {bounds[0].le}.")
    descriptions = [meta.description for meta in _metas(kind) if meta.description]
    if isinstance(value, str) and descriptions:
        return Fault(path, f"must be {'an' if descriptions[0][0] in 'aeioAEIO' else 'a'} {descriptions[0]}")
    if bounds:
        return Fault(path, f"must be a whole number, this is {_what(value)}")
    return Fault(path, f"does not fit: {said.partition(' - at ')[0]}")


def _metas(kind: Any) -> list[Meta]:
    return [extra for extra in get_args(kind)[1:] if isinstance(extra, Meta)] if get_origin(kind) is Annotated else []


def _wants_text(kind: Any) -> bool:
    return (get_args(kind)[0] if get_origin(kind) is Annotated else kind) is str


def _not_a(wanted: str, value: Any, path: Path, remedy: str = "") -> Fault:
    return Fault(path, f"must be a {wanted}, this is {_what(value)}", remedy)


def _what(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "a mapping"
