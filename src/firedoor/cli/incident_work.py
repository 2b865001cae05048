"""Working a case: `firedoor incident ack`, `assign`, `note`, `task`, `done`, `correct`, `resolve`, `close` …"""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec
import typer

from firedoor.cli.incident_case import AfterOption, Asker, BecauseOption, CaseArgument, micro, told
from firedoor.cli.options import HomeOption, JsonOption, RegionOption
from firedoor.cli.passphrase import PassphraseFileOption
from firedoor.cli.signing import AsOption, KeyOption
from firedoor.core.incident import entries as kinds
from firedoor.core.incident.entries import Payload, encode_payload
from firedoor.core.plan.words import Role
from firedoor.errors import ActRefused

TaskRoleOption = Annotated[Role | None, typer.Option("--role", help="Whose work it is.")]
MOMENTS = frozenset({"at", "due", "detected"})
"""Fields that may be given as a moment or an age."""


def ack(
    case: CaseArgument,
    as_: AsOption,
    note: Annotated[str | None, typer.Option("--note", help="What you do; kept sealed.")] = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that you are at it: nobody else is called until a clock calls again."""
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    told(visit.write(kinds.Acknowledged(note=note)), as_json=as_json)


def assign(
    case: CaseArgument,
    role: Annotated[Role, typer.Argument(help="The role in this case.")],
    person: Annotated[str, typer.Argument(help="Who has it: their id in the plan.")],
    as_: AsOption,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say who has a role in this case."""
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    told(visit.write(kinds.Assigned(role=role, person=person)), as_json=as_json)


def note(
    case: CaseArgument,
    text: Annotated[str, typer.Argument(help="What you saw or did, in at most 8000 characters; kept sealed.")],
    as_: AsOption,
    exchange: Annotated[list[str] | None, typer.Option("--exchange", help="An exchange that shows it; repeat.")] = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write down what you saw or did."""
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    told(visit.write(kinds.Noted(text=text, exchanges=tuple(exchange or ()))), as_json=as_json)


def task(
    case: CaseArgument,
    text: Annotated[str, typer.Argument(help="What is to be done; kept sealed.")],
    as_: AsOption,
    role: TaskRoleOption = None,
    person: Annotated[str | None, typer.Option("--person", help="Who does it: their id in the plan.")] = None,
    due: Annotated[str | None, typer.Option("--due", help="By when: a moment with its zone.")] = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what is to be done. The number of the entry is that of the task."""
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    payload = kinds.Tasked(text=text, role=role, person=person, due=micro("--due", due))
    told(visit.write(payload), as_json=as_json)


def done(
    case: CaseArgument,
    number: Annotated[int, typer.Argument(metavar="TASK", min=1, help="The number of the task.")],
    as_: AsOption,
    dropped: Annotated[bool, typer.Option("--dropped", help="It is not done, and need not be.")] = False,
    note: Annotated[str | None, typer.Option("--note", help="What came of it; kept sealed.")] = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that a task is done, or dropped."""
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    payload = kinds.TaskEnded(task=number, state="dropped" if dropped else "done", text=note)
    told(visit.write(payload), as_json=as_json)


def correct(
    case: CaseArgument,
    number: Annotated[int, typer.Argument(metavar="ENTRY", min=1, help="The number of the entry.")],
    as_: AsOption,
    because: BecauseOption,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="What it should have said; repeat.")
    ] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="It should not have been said at all.")] = False,
    after: AfterOption = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Correct an entry by another one: it stays as it was, and from now on counts as corrected."""
    if withdraw == bool(set_):
        raise typer.BadParameter("Say what it should have said with --set, or --withdraw it.")
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    instead = None
    if set_:
        details = visit.details()
        entry = next(iter(visit.entries(number - 1)), None)
        if entry is None or entry.number != number:
            raise ActRefused("no_entry", f"The case has no entry {number}.")
        says = entry.payload
        if (last := details.corrected.get(number)) is not None:
            says = _said_by(visit.entries(last - 1)[0].payload) or says
        instead = encode_payload(_changed(says, set_)).decode()
    payload = kinds.Correction(of=number, instead=instead, because=because)
    told(visit.write(payload, after), as_json=as_json)


def resolve(
    case: CaseArgument,
    as_: AsOption,
    because: BecauseOption,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Handling is over; clocks of law still run."""
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    told(visit.write(kinds.Resolved(because=because)), as_json=as_json)


def close(
    case: CaseArgument,
    as_: AsOption,
    because: BecauseOption,
    lessons: Annotated[str | None, typer.Option("--lessons", help="What was learned; kept sealed.")] = None,
    after: AfterOption = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close the case. It is refused while a clock of law is unanswered: closing stops none."""
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    told(visit.write(kinds.Closed(because=because, lessons=lessons), after), as_json=as_json)


def reopen(
    case: CaseArgument,
    as_: AsOption,
    because: BecauseOption,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on with a resolved or closed case."""
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    told(visit.write(kinds.Reopened(because=because)), as_json=as_json)


def _said_by(payload: Payload) -> Payload | None:
    """What a correction says instead."""
    instead = payload.instead if isinstance(payload, kinds.Correction) else None
    return None if instead is None else kinds.decode_payload(instead.encode())


def _changed(says: Payload, changes: list[str]) -> Payload:
    """`says` with fields changed: values are JSON, or text; moments may be written as people do."""
    fields: dict[str, Any] = msgspec.to_builtins(says)
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or name == "kind" or name not in says.__struct_fields__:
            raise typer.BadParameter(f"--set {change!r}: its fields are {', '.join(says.__struct_fields__)}.")
        fields[name] = _value(name, value)
    try:
        changed: Payload = msgspec.convert(fields, Payload)
        return changed
    except msgspec.ValidationError as error:
        raise typer.BadParameter(f"This cannot be said: {error}.") from error


def _value(name: str, text: str) -> Any:
    if name in MOMENTS and not text.isdigit():
        return micro("--set", text)
    try:
        return json.loads(text)
    except ValueError:
        return text
