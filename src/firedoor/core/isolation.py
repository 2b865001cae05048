"""A model instance that was isolated: how, and how far that is. Pure.

Control notes what is to be done and what was (`Isolated`); the parent of the model server's process does what only it
can do, and says what became of it (`Halted`). Each of them writes one small file and reads the other's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

from msgspec import Struct, structs

from firedoor.core.evidence.record import Fact
from firedoor.core.switches import ANY, Scope, Table
from firedoor.core.switchstate import Entry

How = Literal["cut", "freeze", "stop"]
HOWS: tuple[How, ...] = get_args(How)
"""The mildest first."""
Did = Literal["held", "frozen", "stopped", "gone", "failed", "fresh"]
Step = Literal["revoked", "seen", "halted", "sealed", "recorded"]
STEPS: tuple[Step, ...] = get_args(Step)
"""In their order: no key any more, what only a living process tells, then its process, then files, then the record."""

HIDDEN = "(left out)"
_SECRET = re.compile(r"key|token|secret|passw|passphrase|credential|auth", re.IGNORECASE)
_PATH = re.compile(r"(file|path|dir)\Z", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^/@\s]+@")


class Halted(Struct, frozen=True, kw_only=True):
    """What became of the process: said by its parent, about the isolation of this `version` and `how`.

    ``held``: it runs and is not started again; ``frozen``: every process of it is halted; ``stopped``: ended;
    ``gone``: there was none; ``failed``: `why`; ``fresh``: another one, with another key, has taken its place.
    `born` tells `pid` from a later process of the same number. `woken` counts how often somebody continued it.
    """

    version: int
    how: How
    did: Did
    pid: int | None = None
    born: str = ""
    processes: tuple[int, ...] = ()
    woken: int = 0
    why: str = ""

    def about(self, note: Isolated) -> bool:
        """Whether it answers this isolation, and not an earlier one."""
        return (self.version, self.how) == (note.version, note.how)


class Isolated(Struct, frozen=True, kw_only=True):
    """One model instance that is isolated, as control notes it. `at` is Unix seconds, `by` who shut it (person ids).

    `version` is that of the switch table that shut it. `own` says that its process is one of Firedoor's. `details` is
    what was seen so far, for the sealed body of the record; `record` the record's sequence number. `releasing` says
    that two persons opened it: once all is recorded, a fresh process takes its place.
    """

    model: str
    how: How
    version: int
    at: float
    reason: str
    by: tuple[str, ...]
    own: bool
    steps: tuple[Step, ...] = ()
    details: dict[str, Any] = {}
    halted: Halted | None = None
    record: int = 0
    releasing: bool = False

    @property
    def next(self) -> Step | None:
        """The step to be done now, None after the last."""
        return next((step for step in STEPS if step not in self.steps), None)

    @property
    def may_return(self) -> bool:
        """Whether its process may be ended and another one started: opened, and its state is on record."""
        return self.releasing and self.next is None

    @property
    def id(self) -> str:
        """The id under which its records stand in the evidence."""
        return f"isolated.{self.model}.{self.version}"

    def done(self, step: Step, **changes: Any) -> Isolated:
        """The same with `step` behind it."""
        return structs.replace(self, steps=(*self.steps, step), **changes)


def as_how(text: str) -> How:
    """`text` as one of the ways to isolate. Raises ValueError."""
    for how in HOWS:
        if how == text:
            return how
    raise ValueError(f"to isolate means one of {', '.join(HOWS)}")


def isolated(model: str, how: How, entry: Entry, *, own: bool) -> Isolated:
    """The note to begin with."""
    return Isolated(
        model=model, how=how, version=entry.version, at=entry.at, reason=entry.reason, by=entry.by, own=own
    )  # fmt: skip


def replaces(present: Isolated | None, how: How) -> bool:
    """Whether to begin anew. What was halted is not let go again by a milder wish: that is what opening is for."""
    return present is None or present.releasing or HOWS.index(how) > HOWS.index(present.how)


def wanted(entry: Entry) -> tuple[str, How] | None:
    """The model instance that a shut isolates, and how; None for any other change of the table."""
    if entry.state != "shut" or entry.signed is None:
        return None
    how = entry.signed.act.args.get("isolate")
    return (entry.scope.model, as_how(how)) if how in HOWS and names_model(entry.scope) else None


def names_model(scope: Scope) -> bool:
    """Whether `scope` is a model instance of one region, for all shops and surfaces."""
    return (scope.shop, scope.surface) == (ANY, ANY) and ANY not in (scope.region, scope.model)


def left_over(notes: Mapping[str, Isolated], trail: Iterable[Entry], table: Table) -> tuple[list[Entry], list[str]]:
    """What a crash left undone: shuts that isolate and were not noted, model instances that were opened since.

    Only an opening that is known releases, and only what no switch shuts: a table that was lost releases nothing.
    """
    asked: dict[str, Entry] = {}
    opened: list[Entry] = []
    for entry in trail:
        if (found := wanted(entry)) is not None:
            asked[found[0]] = entry
        elif entry.state == "open" and entry.drill is None:
            opened.append(entry)

    def shut(model: str) -> bool:
        return any(switch.scope.covers(Scope(table.region, model=model)) for switch in table.shut)

    def was_opened(model: str, since: int) -> bool:
        alone = Scope(table.region, model=model)
        return any(entry.version > since and entry.scope.covers(alone) for entry in opened)

    missing = [
        entry for model, entry in asked.items()
        if shut(model) and not was_opened(model, entry.version) and (
            model not in notes or notes[model].version < entry.version
        )
    ]  # fmt: skip
    release = [model for model, note in notes.items() if not shut(model) and was_opened(model, note.version)]
    return missing, release


def isolate_facts(note: Isolated, region: str) -> dict[str, Fact]:
    """The facts of the record: codes, digests and counts; the rest is in its body."""
    halted, details = note.halted, note.details
    facts: dict[str, Fact] = {
        "act": "isolate",
        "state": "done",
        "scope": str(Scope(region, model=note.model)),
        "model": note.model,
        "how": note.how,
        "reason": note.reason,
        "by": list(note.by),
        "switches": note.version,
        "key": str(details.get("key", "unknown")),
        "process": halted.did if halted is not None else "unconfirmed" if note.own else "not_ours",
        "processes": len(halted.processes) if halted is not None else 0,
        "baseline": str(_at(details, "baseline", "state") or "not_verified"),
        "exchanges": len(_at(details, "exchanges", "ids") or ()),
    }
    for name in ("weights", "program", "command"):
        digest = _at(details, name, "sha256")
        if isinstance(digest, str):
            facts[f"{name}_sha256"] = digest
    return facts


def release_facts(note: Isolated, region: str, fresh: Halted | None) -> dict[str, Fact]:
    """The facts of the record that it was let back: the process that ended, and the one that took its place."""
    return {
        "act": "release",
        "state": "done",
        "scope": str(Scope(region, model=note.model)),
        "model": note.model,
        "how": note.how,
        "switches": note.version,
        "key": "rotated" if note.own else "at_provider",
        "process": fresh.did if fresh is not None else "not_ours",
        "old_pid": note.halted.pid if note.halted is not None else None,
        "new_pid": fresh.pid if fresh is not None else None,
    }


def bare_command(arguments: Iterable[str]) -> list[str]:
    """A command line without secrets: values of options whose names sound like one, and users in addresses.

    An option that names a file stays: the path is no secret, and tells where the secret was.
    """
    kept: list[str] = []
    hide = False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        secret = name.startswith("-") and _SECRET.search(name) is not None and _PATH.search(name) is None
        if hide and not argument.startswith("--"):
            kept.append(HIDDEN)
        elif secret and equals:
            kept.append(f"{name}={HIDDEN}")
        else:
            kept.append(_USER.sub(f"{HIDDEN}@", argument))
        hide = secret and not equals
    return kept


def _at(details: Mapping[str, Any], *path: str) -> Any:
    value: Any = details
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
