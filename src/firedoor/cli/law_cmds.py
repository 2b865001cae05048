"""`firedoor law`: the rules of law that clocks go by, where each stands, and which must be read again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from msgspec import to_builtins
from rich.text import Text

from firedoor.app.lawbook import law_book
from firedoor.cli.incident_tables import Rows, print_table
from firedoor.cli.options import HomeOption, JsonOption, echo_json
from firedoor.config import Home
from firedoor.core.incident.law import ASAP, LawBook, Rule
from firedoor.core.incident.recipients import described
from firedoor.core.plan.response import Legal
from firedoor.errors import PlanInvalid, SetupError
from firedoor.store import planfile

app = typer.Typer(no_args_is_help=True, help="The rules of law that clocks go by, with their sources. No legal advice.")


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """Every rule: its limit, from when it counts, whether it is in force, when it must be read again."""
    rules, today = law_book().rules, _today()
    if as_json:
        echo_json([_row(rule, today) for rule in rules])
        return
    table = Rows("clock", "law", "limit", "from", "status", "read on", "again by")
    for rule in rules:
        old = " (over)" if _old(rule, today) else ""
        cells = (
            rule.id, rule.cited, _limit(rule), rule.starts, _status(rule, today), rule.reviewed_on,
            f"{rule.review_by}{old}",
        )  # fmt: skip
        table.add_row(*(Text(cell or "") for cell in cells))
    print_table(table)
    _warn(rules, today)


@app.command()
def show(
    clock: Annotated[str, typer.Argument(metavar="CLOCK", help="Its id, or the beginning of several: eu.gdpr.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """All that is known of a rule: when it applies, to whom it goes, where it stands, what is often got wrong.

    Authorities are named by what `legal` of the plan says, if there is a plan.
    """
    book, today, legal = law_book(), _today(), _legal(Home.find(home))
    found = [rule for rule in book.rules if rule.id == clock or rule.id.startswith(f"{clock}.")]
    if not found:
        raise SetupError(f"There is no rule {clock}.", remedy="`firedoor law list` has them all.")
    if as_json:
        echo_json(
            [_row(rule, today) | {"goes_to": _goes_to(rule, legal, book), "rule": to_builtins(rule)} for rule in found]
        )
        return
    for rule in found:
        typer.echo(f"{rule.id}: {rule.title}")
        for name, text in _lines(rule, today, _goes_to(rule, legal, book)):
            typer.echo(f"  {name:<12}{text}")
    _warn(found, today)


def _legal(home: Home) -> Legal | None:
    """What the plan says of law; None without a plan that can be read: `firedoor check` says what is wrong with it."""
    try:
        return planfile.load(home.plan).plan.legal
    except (PlanInvalid, SetupError):
        return None


def _goes_to(rule: Rule, legal: Legal | None, book: LawBook) -> list[str]:
    return [to for word in rule.to for to in described(word, legal, book)]


def _lines(rule: Rule, today: str, goes_to: list[str]) -> list[tuple[str, str]]:
    lines = [
        ("law", rule.cited),
        ("limit", _limit(rule)),
        ("counts from", rule.starts),
        ("goes to", "; ".join(goes_to)),
    ]
    if rule.also is not None:
        lines.append(
            ("and", f"{rule.also.length} from {rule.also.starts}, if that was within {rule.also.within} before")
        )
    lines += [("or", f"{variant.length} if {variant.when}") for variant in rule.variants]
    lines += [("applies if", str(condition)) for condition in rule.applies]
    lines += [("status", _status(rule, today)), ("owner", rule.owner), ("source", str(rule.source))]
    sure = {"R": "read", "K": "known, to be read again", "?": "not established"}[rule.confidence]
    lines.append(("reviewed", f"{rule.reviewed_on}, again by {rule.review_by}; {sure}; version {rule.version}"))
    return lines + [("note", note) for note in rule.notes]


def _limit(rule: Rule) -> str:
    return f"asap (target of ours: {rule.limit})" if rule.length == ASAP else str(rule.limit or rule.length)


def _status(rule: Rule, today: str) -> str:
    if rule.status != "in_force":
        return f"{rule.status}: off"
    if (rule.valid_from or "") > today:
        return f"from {rule.valid_from}"
    return "in force" if rule.holds_on(today) else f"until {rule.valid_to}"


def _old(rule: Rule, today: str) -> bool:
    return (rule.review_by or today) < today


def _row(rule: Rule, today: str) -> dict[str, Any]:
    return {
        "id": rule.id, "title": rule.title, "law": rule.law, "article": rule.article, "starts": rule.starts,
        "limit": _limit(rule), "status": rule.status, "valid_from": rule.valid_from, "valid_to": rule.valid_to,
        "in_application": rule.holds_on(today), "source": rule.source, "confidence": rule.confidence,
        "version": rule.version, "reviewed_on": rule.reviewed_on, "review_by": rule.review_by,
        "review_over": _old(rule, today),
    }  # fmt: skip


def _warn(rules: list[Rule] | tuple[Rule, ...], today: str) -> None:
    old = [rule.id for rule in rules if _old(rule, today)]
    if old:
        typer.echo(f"To be read again, as they may have changed: {', '.join(old)}.", err=True)


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
