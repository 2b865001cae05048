"""`firedoor scan`: what the detectors find in texts, a line of JSON for each. Made to be measured and scripted."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Annotated, Any, BinaryIO

import msgspec
import typer
from msgspec import Raw, Struct

from firedoor.cli.finding import DeepOption, PlanOption, ShopOption, SurfaceOption, search
from firedoor.cli.piping import until_closed
from firedoor.core.detect.own import OwnValues
from firedoor.core.detect.own.text import OwnFolding
from firedoor.core.detect.settle import settled
from firedoor.core.detect.spans import Detector, Span
from firedoor.core.subject import FIELD, take_subject
from firedoor.errors import CallerError

TEXT_LIMIT = 1_048_576
"""Characters of a text: as much as a request may hold."""
LINE_LIMIT = 16 * TEXT_LIMIT
"""Bytes of a line: such a text with every character escaped (``\\ud83d\\ude00``), and room for the rest."""

app = typer.Typer(no_args_is_help=True, help="What the detectors find in texts.")


class Line(Struct):
    """What a line of input may hold; other fields say something to other scans.

    `own` is what a shop tells about its shopper: the `subject` that a request to the gateway may carry.
    """

    text: str
    id: Raw = Raw(b"null")
    own: Any = None


class BadLine(Exception):
    """A line that cannot be searched. `code` is stable for scripts; nothing of the line but its id is repeated."""

    def __init__(self, code: str, message: str, line_id: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.id = line_id


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
    if sys.stdin.isatty():
        typer.echo('Waiting for lines such as {"id": 1, "text": "…"}; Ctrl-D ends.', err=True)
    output = typer.get_binary_stream("stdout")
    failed = False
    with until_closed():
        for line in _lines(typer.get_binary_stream("stdin")):
            try:
                answer = _answer(line, detector, explain=explain)
            except BadLine as bad:
                failed = True
                answer = {"id": bad.id, "error": {"code": bad.code, "message": bad.message}}
            output.write(msgspec.json.encode(answer) + b"\n")
            output.flush()
    raise typer.Exit(1 if failed else 0)


def _lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """Each line that is not blank as soon as it is there; None for one that is too long, whose rest is skipped."""
    while line := stream.readline(LINE_LIMIT + 1):
        if len(line) > LINE_LIMIT:
            while not line.endswith(b"\n") and (line := stream.readline(LINE_LIMIT)):
                pass
            yield None
        elif not line.isspace():
            yield line


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


def _answer(line: bytes | None, detector: _WithOwn, *, explain: bool) -> dict[str, Any]:
    asked = _read(line)
    try:
        spans = detector.find(asked)
    except CallerError as error:
        raise BadLine("bad_own", error.message.replace(f"{FIELD}.subject", "own"), asked.id) from None
    except Exception as error:  # noqa: BLE001  not knowing is not the same as finding nothing, and others still ask
        raise BadLine("detector_failed", f"The search failed: {type(error).__name__}.", asked.id) from None
    return {"id": asked.id, "spans": [_told(span, explain=explain) for span in spans]}


def _told(span: Span, *, explain: bool) -> dict[str, Any]:
    told = {"start": span.start, "end": span.end, "label": span.label, "score": round(span.score, 3)}
    return {**told, "tier": span.tier, "rule": span.rule} if explain else told


def _read(line: bytes | None) -> Line:
    """Raises `BadLine`."""
    if line is None:
        raise BadLine("too_long", f"A line has at most {LINE_LIMIT:,} bytes.")
    try:
        asked = msgspec.json.decode(line, type=Line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _fault(line) from None
    if len(asked.text) > TEXT_LIMIT:
        raise BadLine("too_long", f"A text has at most {TEXT_LIMIT:,} characters.", asked.id)
    return asked


def _fault(line: bytes) -> BadLine:
    """What is wrong with a line that was not understood; its id, where it can be read."""
    try:
        value = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return BadLine("not_utf8", f"Byte {error.start} of the line is not UTF-8.")
    except (ValueError, RecursionError):
        return BadLine("not_json", "The line is not JSON.")
    if not isinstance(value, dict):
        return BadLine("not_an_object", 'A line is a JSON object: {"id": …, "text": "…"}.')
    found = _sendable(value.get("id"))
    if not isinstance(value.get("text"), str):
        return BadLine("no_text", '"text" must be a string.', found)
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return BadLine("lone_surrogate", "The line holds half of a surrogate pair, which is no character.", found)
    return BadLine("not_json", "The line is not JSON.", found)


def _sendable(value: Any) -> Any:
    """`value` as it can be written: an id may itself be what is wrong."""
    try:
        return Raw(json.dumps(value, allow_nan=False).encode())
    except (ValueError, RecursionError):
        return None
