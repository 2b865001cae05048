"""`firedoor scan`: what the detectors find in texts, a line of JSON for each. Made to be measured and scripted."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from firedoor.cli.finding import DeepOption, PlanOption, ShopOption, SurfaceOption, search
from firedoor.cli.options import HomeOption, RegionOption
from firedoor.cli.scan_lines import BadLine, Line, answer_lines
from firedoor.core.detect.own import OwnValues
from firedoor.core.detect.own.text import OwnFolding
from firedoor.core.detect.settle import settled
from firedoor.core.detect.spans import Detector, Span
from firedoor.core.subject import FIELD, take_subject
from firedoor.errors import CallerError

app = typer.Typer(no_args_is_help=True, help="What the detectors find in texts.")


@app.callback()
def _scan() -> None:
    """What the detectors find in texts."""


@app.command()
def pii(
    explain: Annotated[bool, typer.Option("--explain", help="Say of each span who found it, by which rule.")] = False,
    plan: PlanOption = None,
    surface: SurfaceOption = None,
    shop: ShopOption = None,
    deep: DeepOption = False,
) -> None:
    """Personal data: {"id", "text"} a line on stdin, {"id", "spans"} a line on stdout, each at once.

    Offsets count code points. A line that cannot be searched is answered by {"id", "error"}; the others still are.
    Exit status 1 if there was one.
    """
    detector = _WithOwn(search(plan, surface, shop, deep=deep).detector)

    def answer(asked: Line) -> dict[str, Any]:
        try:
            spans = detector.find(asked)
        except CallerError as error:
            raise BadLine("bad_own", error.message.replace(f"{FIELD}.subject", "own"), asked.id) from None
        except Exception as error:  # noqa: BLE001  not knowing is not the same as finding nothing, and others still ask
            raise BadLine("detector_failed", f"The search failed: {type(error).__name__}.", asked.id) from None
        return {"id": asked.id, "spans": [_told(span, explain=explain) for span in spans]}

    raise typer.Exit(0 if answer_lines(Line, answer) else 1)


@app.command()
def output(
    plan: PlanOption = None,
    surface: SurfaceOption = None,
    shop: ShopOption = None,
    home: HomeOption = None,
    region: RegionOption = None,
) -> None:
    """Answers: {"id", "text"} a line on stdin, {"id", "verdict", "score", "findings"} a line on stdout, each at once.

    `verdict` is allow, flag or block. A line may hold "chunks" (the text in pieces: "released" is then what a caller
    would have got), "grants" (sets or roles), "request" and "own". Offsets count code points. An answer that could not
    be looked at is answered by {"id", "error"}, never by allow. Exit status 1 if there was one.
    """
    from firedoor.cli.scan_output import Answer, open_scan  # noqa: PLC0415  loads what a region protects

    scan = open_scan(plan, surface, shop, home, region)
    raise typer.Exit(0 if answer_lines(Answer, scan.judge) else 1)


@app.command()
def prompt(plan: PlanOption = None, surface: SurfaceOption = None) -> None:
    """Prompts: {"id", "text"} a line on stdin, {"id", "verdict", "score", "findings"} a line on stdout, each at once.

    `verdict` is allow, flag or block; from a `score` of 0.5 on there is something. A line may hold "role" (shopper,
    document or tool: whose words it is) and "grants" (what the caller may ask for: cost, margin, supplier …, or sets
    and roles of the plan). Offsets count code points. A text that could not be read is answered by {"id", "error"},
    never by allow. Exit status 1 if there was one.
    """
    from firedoor.cli.scan_prompt import Prompt, open_scan  # noqa: PLC0415  loads the model of attacks

    raise typer.Exit(0 if answer_lines(Prompt, open_scan(plan, surface).judge) else 1)


class _WithOwn:
    """All tiers: what does not depend on the shopper, and what does."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._folding = OwnFolding()

    def find(self, asked: Line) -> list[Span]:
        """Spans in `asked`. Raises `CallerError` for a subject that is none."""
        _, record = take_subject({FIELD: {"subject": asked.own}})
        found = self._detector.find(asked.text)
        return found if record is None else settled([*OwnValues(record, self._folding).find(asked.text), *found])


def _told(span: Span, *, explain: bool) -> dict[str, Any]:
    told = {"start": span.start, "end": span.end, "label": span.label, "score": round(span.score, 3)}
    return {**told, "tier": span.tier, "rule": span.rule} if explain else told
