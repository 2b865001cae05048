"""`firedoor people`: who may act, and the keys they sign with."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from firedoor.cli.options import HomeOption, JsonOption, echo_json, printable
from firedoor.cli.passphrase import PassphraseFileOption, passphrase
from firedoor.config import Home
from firedoor.core.plan.decode import examine
from firedoor.core.plan.words import ROLES
from firedoor.errors import SetupError
from firedoor.keys import people as keys
from firedoor.store import planfile

people_app = typer.Typer(no_args_is_help=True, help="The people of the plan and their keys.")

PlanOption = Annotated[Path | None, typer.Option("--plan", help="The plan; plan.yaml in the installation's folder.")]

_AT_START = "A running firedoor reads the plan at start: restart it, so that this counts."


@people_app.command()
def add(
    person: Annotated[str, typer.Argument(metavar="ID", help="Short name: letters, digits, - and _.")],
    name: Annotated[str, typer.Option("--name", help="Full name.")],
    role: Annotated[list[str], typer.Option("--role", help=f"One of {', '.join(ROLES)}; repeat for several.")],
    plan: PlanOption = None,
    key_dir: Annotated[Path | None, typer.Option("--key-dir", help="Where to put the private key file.")] = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
) -> None:
    """Make a key for a person and add its public half to the plan."""
    where = Home.find(home)
    document = plan or where.plan
    planfile.read(document)
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", person):  # it also names the key file
        raise SetupError(f"{person!r} is not an id.", remedy="Use lower-case letters, digits, - and _.")
    path = (key_dir or where.keys) / f"{person}.key"
    key = keys.create(path, passphrase(passphrase_file, whose=person, new=True))
    try:
        planfile.add_person(document, person, name, tuple(role), key.public)
    except BaseException:
        with contextlib.suppress(OSError):  # a key that nothing refers to would only be in the way of the next try
            path.unlink()
        raise
    typer.echo(f"{person} is in {document}. Private key: {path}")
    typer.echo(f"It belongs to {person} alone: move it to where only they have it. {_AT_START}")


@people_app.command("list")
def list_people(plan: PlanOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """The people of the plan, also while the plan still has problems."""
    document = plan or Home.find(home).plan
    people = _people(document)
    if as_json:
        echo_json([{"id": person, **entry} for person, entry in people.items()])
        return
    if not people:
        typer.echo("Nobody yet. Add people with `firedoor people add`.")
    for person, entry in people.items():
        roles = ", ".join(map(str, entry.get("roles") or []))
        typer.echo(printable(f"{person}  {entry.get('name', '')}  {roles}  {entry.get('key', '')}"))


@people_app.command()
def revoke(
    person: Annotated[str, typer.Argument(metavar="ID")], plan: PlanOption = None, home: HomeOption = None
) -> None:
    """Take a person out of the plan; what they signed stays in the evidence."""
    document = plan or Home.find(home).plan
    planfile.remove_person(document, person)
    typer.echo(f"{person} is no longer in {document}. {_AT_START} Until then their signature still counts.")


def _people(document: Path) -> dict[str, dict[str, Any]]:
    tree = examine(planfile.read(document)).tree
    people = tree.value.get("people") if tree is not None and isinstance(tree.value, dict) else None
    if people is not None and not isinstance(people, dict):
        raise SetupError(f"`people` in {document} is not a mapping.", remedy="See `firedoor check`.")
    return {str(person): entry for person, entry in (people or {}).items() if isinstance(entry, dict)}
