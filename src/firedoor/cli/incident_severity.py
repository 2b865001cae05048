"""`firedoor incident severity`: what ENISA's method says of a case, why, and what would change it; and signing it."""

from __future__ import annotations

from typing import Annotated, Any, get_args

import msgspec
import typer
from msgspec import to_builtins

from firedoor.api import incident_shapes as shapes
from firedoor.cli.incident_case import AfterOption, Asker, AtOption, CaseArgument, PersonOption, rfc3339, told
from firedoor.cli.options import HomeOption, JsonOption, RegionOption, echo_json, printable
from firedoor.cli.passphrase import PassphraseFileOption
from firedoor.cli.signing import KeyOption
from firedoor.core.incident import severity as enisa
from firedoor.core.incident.entries import Scored
from firedoor.core.incident.severity import Inputs, Score
from firedoor.core.incident.severity_table import BASES, GROUNDS, Base, Ground

WHY = 200
"""Characters of a factor's reason: more stands in --because."""
_FLAGS = ("many", "unintelligible")

CategoryHelp = (
    f"BASE[:GROUND…]: {', '.join(get_args(Base))}, each with what moves it; repeat. In the place of those suggested."
)
FactorHelp = "LEVEL, or LEVEL=WHY: 0.25 to 1"


def severity(
    case: CaseArgument,
    score: Annotated[bool, typer.Option("--score", help="Sign the score, as the data-protection officer.")] = False,
    because: Annotated[str | None, typer.Option("--because", help="With --score: why; kept sealed.")] = None,
    category: Annotated[list[str] | None, typer.Option("--category", help=CategoryHelp)] = None,
    identification: Annotated[str | None, typer.Option("--identification", help=FactorHelp)] = None,
    confidentiality: Annotated[str | None, typer.Option("--confidentiality", help="0, 0.25 or 0.5[=WHY]")] = None,
    integrity: Annotated[str | None, typer.Option("--integrity", help="0, 0.25 or 0.5[=WHY]")] = None,
    availability: Annotated[str | None, typer.Option("--availability", help="0, 0.25 or 0.5[=WHY]")] = None,
    malice: Annotated[str | None, typer.Option("--malice", help="0 or 0.5[=WHY]")] = None,
    many: Annotated[str | None, typer.Option("--many", help="yes or no[=WHY]: more than 100 people")] = None,
    unintelligible: Annotated[
        str | None, typer.Option("--unintelligible", help="yes or no[=WHY]: nobody can read it")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    at: AtOption = None,
    after: AfterOption = None,
    as_: PersonOption = None,
    key: KeyOption = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> None:
    """How severe it is by ENISA's method, with the reason of each factor and what would change the band.

    With factors given, what they would come to; with --score that is signed. A person decides, never the score.
    """
    if score and (because is None or at is not None):
        raise typer.BadParameter("--score takes --because, and is about now.")
    given = {
        "identification": identification, "confidentiality": confidentiality, "integrity": integrity,
        "availability": availability, "malice": malice, "many": many, "unintelligible": unintelligible,
    }  # fmt: skip
    visit = Asker(home, region, as_, key, passphrase_file).visit(case)
    visit.details()
    told_now = visit.severity(rfc3339(at))
    inputs = changed(told_now.inputs, category, given, because)
    result = enisa.score(inputs)
    if not score:
        _show(told_now, inputs, result, as_json=as_json)
        return
    for line in enisa.explain(result):
        typer.echo(printable(line), err=True)
    if not yes and not typer.confirm("Sign this score?", err=True):
        raise typer.Exit(1)
    payload = Scored(inputs=enisa.encode(inputs), quarters=result.quarters, because=because or "")
    written = visit.write(payload, after)
    told(written, as_json=as_json, quarters=result.quarters, band=result.band)


def changed(inputs: Inputs, categories: list[str] | None, given: dict[str, str | None], because: str | None) -> Inputs:
    """`inputs` with what a person knows better. Raises `typer.BadParameter`."""
    why = (because or "as chosen")[:WHY]
    fields: dict[str, Any] = to_builtins(inputs)
    if categories:
        labels = [list(each.labels) for each in inputs.categories]
        named = [_category(text, why) for text in categories]
        for each, old in zip(named, labels, strict=False):
            each["labels"] = old
        fields["categories"] = named
    for name, text in given.items():
        if text is not None:
            level, _, reason = text.partition("=")
            value: dict[str, Any] = {"why": (reason or why)[:WHY], "by": "person"}
            value |= {"holds": _flag(name, level)} if name in _FLAGS else {"quarters": _quarters(name, level)}
            fields[name] = value
    try:
        return msgspec.convert(fields, Inputs)
    except msgspec.ValidationError as error:
        raise typer.BadParameter(f"The method does not know this: {error}.") from error


def _show(now: shapes.Severity, inputs: Inputs, result: Score, *, as_json: bool) -> None:
    if as_json:
        chosen = {"inputs": to_builtins(inputs), "score": to_builtins(result)}
        echo_json(to_builtins(now) | ({"chosen": chosen} if inputs != now.inputs else {}))
        return
    for title, score in (("signed: ", now.scored), ("suggested: ", now.suggested)):
        if score is not None:
            _print(title, score)
    said = set() if now.suggested is None else set(enisa.explain(now.suggested))
    for line in (f"  {reason}" for reason in now.advice.reasons):
        if line not in said:
            typer.echo(printable(line))
    if inputs != now.inputs:
        _print("as you say: ", result)


def _print(title: str, score: Score) -> None:
    for number, line in enumerate(enisa.explain(score)):
        typer.echo(printable(f"{title if number == 0 else ''}{line}"))


def _category(text: str, why: str) -> dict[str, Any]:
    base, *grounds = text.split(":")
    if base not in BASES:
        raise typer.BadParameter(f"--category {text!r}: it begins with one of {', '.join(BASES)}.")
    named = [ground if "." in ground else f"{base}.{ground}" for ground in grounds]
    for ground in named:
        if ground not in GROUNDS:
            known = [name.partition(".")[2] for name in get_args(Ground) if name.startswith(f"{base}.")]
            raise typer.BadParameter(f"--category {text!r}: what moves {base} is one of {', '.join(known)}.")
    adjustments = [{"ground": ground, "why": why, "by": "person"} for ground in named]
    return {"base": base, "why": why, "by": "person", "adjustments": adjustments}


def _quarters(name: str, text: str) -> int:
    try:
        quarters = float(text) * 4
    except ValueError:
        quarters = -1
    if quarters != int(quarters) or not 0 <= quarters <= 4:
        raise typer.BadParameter(f"--{name} {text!r}: a level is a multiple of 0.25 up to 1.")
    return int(quarters)


def _flag(name: str, text: str) -> bool:
    if text not in ("yes", "no"):
        raise typer.BadParameter(f"--{name} is yes or no.")
    return text == "yes"
