"""The bytes an exchange answers with, in OpenAI's shapes."""

from __future__ import annotations

from typing import Any

import msgspec

from firedoor.core import sse
from firedoor.errors import CallerError

JSON = ("content-type", "application/json")
EVENT_STREAM = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-store"))


def error_body(error: CallerError) -> bytes:
    """The OpenAI error object. `type` says whose fault it was."""
    kind = "server_error" if error.status >= 500 else "invalid_request_error"
    if error.status in (401, 403):
        kind = "authentication_error"
    return msgspec.json.encode(
        {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}
    )


def chunk(head: dict[str, Any], choices: list[dict[str, Any]]) -> dict[str, Any]:
    """A stream chunk with the id, time and model of `head`."""
    return {**head, "object": "chat.completion.chunk", "choices": choices}


def cut_text_chunk(head: dict[str, Any], open_choices: list[int], text: str) -> bytes:
    """What the reader of a cut stream sees last."""
    choices = [{"index": i, "delta": {"content": text}, "finish_reason": None} for i in open_choices]
    return sse.encode(msgspec.json.encode(chunk(head, choices)))


def cut_end_chunk(head: dict[str, Any], open_choices: list[int]) -> dict[str, Any]:
    """The chunk that ends the choices a cut left open."""
    return chunk(head, [{"index": i, "delta": {}, "finish_reason": "content_filter"} for i in open_choices])


def last_event(document: dict[str, Any], exchange: str, outcome: str, reason: str | None) -> bytes:
    """The final chunk with the outcome in it, and the end of the stream."""
    document["firedoor"] = {"exchange": exchange, "outcome": outcome, "reason": reason}
    return sse.encode(msgspec.json.encode(document)) + sse.encode(sse.DONE)
