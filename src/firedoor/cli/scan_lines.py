"""Lines of JSON on standard input, each answered at once: what the scans share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Literal, TypeVar

import msgspec
import typer
from msgspec import Raw, Struct

from firedoor.cli.piping import until_closed
from firedoor.core.policy import Action

TEXT_LIMIT = 1_048_576
"""Characters of a text: as much as a request may hold."""
LINE_LIMIT = 16 * TEXT_LIMIT
"""Bytes of a line: such a text with every character escaped (``\\ud83d\\ude00``), and room for the rest."""


class Line(Struct):
    """What a line of input may hold; other fields say something to other scans.

    `own` is what a shop tells about its shopper: the `subject` that a request to the gateway may carry.
    """

    text: str
    id: Raw = Raw(b"null")
    own: Any = None


Asked = TypeVar("Asked", bound=Line)


def told_verdict(strictest: Action) -> Literal["allow", "flag", "block"]:
    """What a scan says where the gateway would do this."""
    if strictest == "off":
        return "allow"
    return "flag" if strictest == "record" else "block"


class BadLine(Exception):
    """A line that cannot be searched. `code` is stable for scripts; nothing of the line but its id is repeated."""

    def __init__(self, code: str, message: str, line_id: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.id = line_id


def answer_lines(kind: type[Asked], answer: Callable[[Asked], dict[str, Any]]) -> bool:
    """Write the `answer` to each line of standard input, or what is wrong with it; whether there was no such line."""
    if sys.stdin.isatty():
        typer.echo('Waiting for lines such as {"id": 1, "text": "…"}; Ctrl-D ends.', err=True)
    output = typer.get_binary_stream("stdout")
    well = True
    with until_closed():
        for line in _lines(typer.get_binary_stream("stdin")):
            try:
                told = answer(_read(line, kind))
            except BadLine as bad:
                well = False
                told = {"id": bad.id, "error": {"code": bad.code, "message": bad.message}}
            output.write(msgspec.json.encode(told) + b"\n")
            output.flush()
    return well


def _lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """Each line that is not blank as soon as it is there; None for one that is too long, whose rest is skipped."""
    while line := stream.readline(LINE_LIMIT + 1):
        if len(line) > LINE_LIMIT:
            while not line.endswith(b"\n") and (line := stream.readline(LINE_LIMIT)):
                pass
            yield None
        elif not line.isspace():
            yield line


def _read(line: bytes | None, kind: type[Asked]) -> Asked:
    """Raises `BadLine`."""
    if line is None:
        raise BadLine("too_long", f"A line has at most {LINE_LIMIT:,} bytes.")
    try:
        asked = msgspec.json.decode(line, type=kind)
    except msgspec.ValidationError as error:
        raise _fault(line, str(error)) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _fault(line) from None
    if len(asked.text) > TEXT_LIMIT:
        raise BadLine("too_long", f"A text has at most {TEXT_LIMIT:,} characters.", asked.id)
    return asked


def _fault(line: bytes, field: str = "") -> BadLine:
    """What is wrong with a line that was not understood; its id, where it can be read. `field` is a wrong one's fault,
    which names types and never the value.
    """
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
    return BadLine("bad_field", f"{field}.", found) if field else BadLine("not_json", "The line is not JSON.", found)


def _sendable(value: Any) -> Any:
    """`value` as it can be written: an id may itself be what is wrong."""
    try:
        return Raw(json.dumps(value, allow_nan=False).encode())
    except (ValueError, RecursionError):
        return None
