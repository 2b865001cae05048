"""The plan's file: reading it, and the two edits that commands make to it without touching a comment.

An edit replaces or inserts whole lines of `people`, is read back, and is written only if everything else in the plan
stayed the same and no problem came up that was not there before.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from firedoor.core.plan.decode import Examined, decode, examine
from firedoor.core.plan.model import Loaded, Plan
from firedoor.core.plan.reading import MAX_BYTES, Tree
from firedoor.errors import PlanInvalid, SetupError
from firedoor.store.files import read_bounded, write_atomic

_EMPTY_PEOPLE = re.compile(r"(\s*people\s*:)(?:\s*(?:\{\s*\}|null|~))?(\s*(?:#.*)?)\Z")
_BY_HAND = "Write `people` as a block of one person under the other, or edit the file by hand."

Lines = list[str]


def load(path: Path) -> Loaded:
    """The plan in the file `path`. Raises `SetupError` if it cannot be read, `PlanInvalid` with all its problems."""
    return decode(read(path), str(path))


def read(path: Path) -> bytes:
    """The file's bytes, within the bound of a plan. Raises `SetupError`."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise SetupError(f"{path} is not a file.", remedy="Name the plan's YAML file.")
        return read_bounded(path, MAX_BYTES)
    except FileNotFoundError:
        raise SetupError(f"There is no plan at {path}.", remedy="`firedoor init` writes one to start from.") from None
    except OSError as error:
        raise SetupError(
            f"{path} cannot be read: {error.strerror}.", remedy="See to its owner and permissions."
        ) from None


def missing_files(plan: Plan, folder: Path) -> list[tuple[str, str]]:
    """Files that the plan names and that are not there: (dotted path in the plan, name). Names count from `folder`."""
    named = [(f"shops.{name}.catalog", shop.catalog) for name, shop in plan.shops.items()]
    for name, model in plan.models.items():
        files = (("weights", model.weights), ("script", model.script), ("api_key_file", model.api_key_file))
        named += [(f"models.{name}.{key}", file) for key, file in files]
    named += [
        (f"incidents.systems.{name}.secret_file", one.secret_file) for name, one in plan.incidents.systems.items()
    ]
    return [(where, file) for where, file in named if file is not None and not (folder / file).is_file()]


def add_person(path: Path, person_id: str, name: str, roles: tuple[str, ...], key: str) -> None:
    """Add a person to `people`. `key` is ``ed25519:`` and base64.

    Raises `SetupError` if the file cannot be edited or the id is taken, `PlanInvalid` with the problems that the edit
    would bring; the file is untouched then.
    """
    entry = {"name": name, "roles": list(roles), "key": key}

    def insert(lines: Lines, tree: Tree, people: dict[str, Any]) -> Lines:
        if person_id in people:
            raise SetupError(f"There is a person {person_id} already.", remedy="Choose another id, or revoke it first.")
        return _inserted(lines, tree, person_id, entry)

    _edit(path, insert, lambda people: {**people, person_id: entry})


def remove_person(path: Path, person_id: str) -> None:
    """Remove a person from `people`. Raises as `add_person` does, `SetupError` if there is no such person."""

    def cut(lines: Lines, tree: Tree, people: dict[str, Any]) -> Lines:
        if person_id not in people:
            raise SetupError(
                f"There is no person {person_id}.", remedy="`firedoor check` lists the people of the plan."
            )
        return _removed(lines, tree, person_id)

    _edit(path, cut, lambda people: {name: entry for name, entry in people.items() if name != person_id})


def _edit(
    named: Path,
    change: Callable[[Lines, Tree, dict[str, Any]], Lines],
    expected: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    path = named.resolve()  # through a symbolic link, so that the rename does not replace the link
    with _alone(path.parent):
        document = read(path)
        before = examine(document)
        if before.tree is None or not isinstance(before.tree.value, dict):
            raise PlanInvalid(str(named), before.problems)
        people = before.tree.value.get("people")
        if not isinstance(people, dict | None):
            raise SetupError(f"`people` in {named} is not a mapping.", remedy="Write `people: {}`.")
        text = document.decode("utf-8-sig")
        # What UTF-8 cannot hold (a terminal's broken bytes) becomes `?`, which the comparison below refuses.
        changed = "\n".join(change(text.split("\n"), before.tree, people or {})).encode(errors="replace")
        after = examine(changed)
        if after.tree is None or after.tree.value != {**before.tree.value, "people": expected(people or {})}:
            raise SetupError(f"`people` in {named} is written in a way that commands cannot edit.", remedy=_BY_HAND)
        _refuse_new_problems(str(named), before, after)
        try:
            write_atomic(path, changed, stat.S_IMODE(path.stat().st_mode))
        except OSError as error:
            raise SetupError(f"{named} cannot be written: {error.strerror}.", remedy="See to its folder.") from None


def _refuse_new_problems(source: str, before: Examined, after: Examined) -> None:
    """Raises `PlanInvalid` with the problems that `after` has and `before` had not.

    Those that were there may stay, so that a plan can be filled step by step. So may those of sections that could not
    be read before.
    """
    known = {(problem.path, problem.message) for problem in before.problems}
    new = [
        problem
        for problem in after.problems
        if (problem.path, problem.message) not in known and re.split(r"[.\[]", problem.path)[0] not in before.unread
    ]
    if new:
        raise PlanInvalid(source, new)


def _inserted(lines: Lines, tree: Tree, person_id: str, entry: dict[str, Any]) -> Lines:
    people = tree.value.get("people")
    indent = "  "
    ending = "\r" if lines[0].endswith("\r") else ""
    if people:
        at = tree.last["people",]
        indent = _indent_of_entries(lines, tree, people)
    elif "people" in tree.value:
        at = tree.first["people",]
        lines = [*lines[: at - 1], _emptied(lines[at - 1], ""), *lines[at:]]
    else:
        at = len(lines) - 1 if not lines[-1].strip() else len(lines)
        lines = [*lines[:at], f"people:{ending}", *(lines[at:] or [""])]
        at += 1
    new = [
        f"{indent}{person_id}:",
        f"{indent}  name: {json.dumps(entry['name'], ensure_ascii=False)}",
        f"{indent}  roles: [{', '.join(entry['roles'])}]",
        f"{indent}  key: {entry['key']}",
    ]
    tail = lines[at:] or [""]  # a file without a line break at its end gets one
    return [*lines[:at], *(line + ending for line in new), *tail]


def _removed(lines: Lines, tree: Tree, person_id: str) -> Lines:
    people = tree.value["people"]
    _indent_of_entries(lines, tree, people)
    first, last = tree.first["people", person_id], tree.last["people", person_id]
    kept = [*lines[: first - 1], *lines[last:]]
    if len(people) == 1:
        header = tree.first["people",] - 1
        kept[header] = _emptied(kept[header], " {}")
    return kept


def _indent_of_entries(lines: Lines, tree: Tree, people: dict[str, Any]) -> str:
    """The white space before each person's name. Raises `SetupError` unless each starts a line of its own."""
    indents = set()
    for name in people:
        line = lines[tree.first["people", name] - 1]
        match = re.match(rf"(\s+){re.escape(name)}\s*:", line)
        if match is None:
            raise SetupError("`people` is not written as a block.", remedy=_BY_HAND)
        indents.add(match[1])
    if len(indents) != 1:
        raise SetupError("`people` is not written as a block.", remedy=_BY_HAND)
    return indents.pop()


def _emptied(line: str, value: str) -> str:
    """The line that holds the key `people`, with `value` in place of an empty one; its comment stays."""
    match = _EMPTY_PEOPLE.match(line)
    if match is None:
        raise SetupError("`people` is not written on a line of its own.", remedy=_BY_HAND)
    return f"{match[1]}{value}{match[2]}"


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One edit at a time: a lock on the folder, which leaves no file behind. Raises `SetupError`."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SetupError(f"{folder} cannot be opened: {error.strerror}.", remedy="Name the plan's file.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
